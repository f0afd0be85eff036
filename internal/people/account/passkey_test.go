package account_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/account/passkeytest"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

var portal = account.Place{ID: "water.example.org", Origin: "https://water.example.org"}

func phone() *passkeytest.Authenticator { return passkeytest.New(portal.Origin, portal.ID) }

// add registers a passkey in a session.
func add(t *testing.T, w *peopletest.World, token string, with *passkeytest.Authenticator, name string) (account.Token, account.View, error) {
	t.Helper()
	q, err := w.Accounts.BeginAdd(ctx, token, portal, home)
	if err != nil {
		return account.Token{}, account.View{}, err
	}
	answer, err := with.Create(q.Options)
	if err != nil {
		t.Fatal(err)
	}
	return w.Accounts.FinishAdd(ctx, token, q.ID, name, answer, home)
}

// show answers with a passkey.
func show(t *testing.T, w *peopletest.World, token string, with *passkeytest.Authenticator, visit account.Visit) (account.Token, account.View, error) {
	t.Helper()
	q, err := w.Accounts.BeginPasskey(ctx, token, portal, visit)
	if err != nil {
		return account.Token{}, account.View{}, err
	}
	answer, err := with.Get(q.Options)
	if err != nil {
		t.Fatal(err)
	}
	return w.Accounts.FinishPasskey(ctx, token, q.ID, answer, visit)
}

func actorOf(t *testing.T, w *peopletest.World, token string) ledger.Actor {
	t.Helper()
	view, err := w.Accounts.Session(ctx, token)
	if err != nil {
		t.Fatal(err)
	}
	a, err := account.ActorOf(view, "web", home.From)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestPasskeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open())
		id := ruth(t, w)

		// The first second factor of a new account is a passkey.
		half, view, err := w.Accounts.SignIn(ctx, email, password, home)
		if err != nil || view.Needs != account.NeedsTOTPSetup {
			t.Fatalf("first sign-in: %+v, %v", view, err)
		}
		mine := phone()
		full, view, err := add(t, w, half.Text, mine, "Ruth's phone")
		if err != nil || view.Needs != account.NeedsNothing || view.Factor != account.ByPasskey {
			t.Fatalf("the first passkey: %+v, %v", view, err)
		}
		if _, err := w.Accounts.Session(ctx, half.Text); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("the token from before it still works: %v", err)
		}

		// It signs in alone: two factors at once.
		alone, view, err := show(t, w, "", mine, away)
		if err != nil || view.Account.ID != id || view.Needs != account.NeedsNothing || alone.Text == "" {
			t.Fatalf("signing in with it: %+v, %v", view, err)
		}
		if err := access.Fresh(actorOf(t, w, alone.Text), w.Ledger.Now()); err != nil {
			t.Errorf("after that the factor is fresh: %v", err)
		}

		// It is the second factor of a sign-in with password, and of nobody else's.
		half, view, err = w.Accounts.SignIn(ctx, email, password, away)
		if err != nil || view.Needs != account.NeedsCode {
			t.Fatalf("a sign-in with password: %+v, %v", view, err)
		}
		_, _, err = w.Accounts.Code(ctx, half.Text, "000000", away)
		wantCode(t, "a code without an app", err, "totp.none")
		second, view, err := show(t, w, half.Text, mine, away)
		if err != nil || view.Needs != account.NeedsNothing || second.Text == half.Text {
			t.Fatalf("as second factor: %+v, %v", view, err)
		}

		// Step-up with it; adding another one asks for it.
		w.Clock.Advance(access.FreshFor + time.Second)
		_, _, err = add(t, w, full.Text, phone(), "Key")
		wantCode(t, "adding one later", err, "session.step-up")
		if token, view, err := show(t, w, full.Text, mine, home); err != nil || token.Text != "" || !view.Proved.Equal(w.Ledger.Now()) {
			t.Fatalf("step-up: %+v, %v", view, err)
		}
		key := phone()
		if _, _, err := add(t, w, full.Text, key, " Key "); err != nil {
			t.Fatal(err)
		}

		actor := actorOf(t, w, full.Text)
		means, err := w.Accounts.Means(ctx, actor)
		if err != nil || len(means.Passkeys) != 2 || means.Passkeys[1].Name != "Key" || means.Passkeys[0].From != "192.0.2.1" || means.TOTP {
			t.Fatalf("the account's means: %+v, %v", means, err)
		}
		if err := w.Accounts.RenamePasskey(ctx, actor, means.Passkeys[1].ID, "Blue key"); err != nil {
			t.Error(err)
		}
		wantCode(t, "renamed by another", w.Accounts.RenamePasskey(ctx, w.Admin, means.Passkeys[1].ID, "Mine"), "passkey.missing")
		wantCode(t, "renamed to nothing", w.Accounts.RenamePasskey(ctx, actor, means.Passkeys[1].ID, ""), "passkey.name")
		wantCode(t, "removed by another", w.Accounts.RemovePasskey(ctx, w.Admin, means.Passkeys[0].ID), "passkey.missing")
		stale := actor
		stale.Factor = time.Time{}
		wantCode(t, "removed without a fresh factor", w.Accounts.RemovePasskey(ctx, stale, means.Passkeys[0].ID), "session.step-up")
		if err := w.Accounts.RemovePasskey(ctx, actor, means.Passkeys[0].ID); err != nil {
			t.Fatal(err)
		}
		_, _, err = show(t, w, "", mine, away)
		wantCode(t, "a removed one", err, "passkey.wrong")
		wantCode(t, "removing the last factor", w.Accounts.RemovePasskey(ctx, actor, means.Passkeys[1].ID), "factor.last")

		// Ended accounts and taken factors.
		if err := w.Accounts.ResetFactor(ctx, peopletest.System, id, "lost"); err != nil {
			t.Fatal(err)
		}
		_, _, err = show(t, w, "", key, away)
		wantCode(t, "after the factors were taken", err, "passkey.wrong")
		if _, view, err := w.Accounts.SignIn(ctx, email, password, home); err != nil || view.Needs != account.NeedsTOTPSetup {
			t.Errorf("the next sign-in: %+v, %v", view, err)
		}
	})
}

// What a passkey answers is bound to page, server, challenge, key and person.
func TestPasskeyRefusals(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	ruth(t, w)
	half, _, err := w.Accounts.SignIn(ctx, email, password, home)
	if err != nil {
		t.Fatal(err)
	}
	other := base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	for what, wrong := range map[string]func(*passkeytest.Authenticator){
		"another page's":        func(a *passkeytest.Authenticator) { a.Origin = "https://water.example.com" },
		"one over plain HTTP":   func(a *passkeytest.Authenticator) { a.Origin = "http://water.example.org" },
		"another server's":      func(a *passkeytest.Authenticator) { a.RP = "example.org" },
		"another challenge":     func(a *passkeytest.Authenticator) { a.Challenge = other },
		"one that asked nobody": func(a *passkeytest.Authenticator) { a.Unverified = true },
	} {
		a := phone()
		wrong(a)
		_, _, err := add(t, w, half.Text, a, "Phone")
		wantCode(t, "adding "+what, err, "passkey.wrong")
	}
	mine := phone()
	full, _, err := add(t, w, half.Text, mine, "Phone")
	if err != nil {
		t.Fatal(err)
	}
	for what, wrong := range map[string]func(*passkeytest.Authenticator){
		"another page's":        func(a *passkeytest.Authenticator) { a.Origin = "https://water.example.com" },
		"another server's":      func(a *passkeytest.Authenticator) { a.RP = "example.org" },
		"another challenge":     func(a *passkeytest.Authenticator) { a.Challenge = other },
		"one that asked nobody": func(a *passkeytest.Authenticator) { a.Unverified = true },
		"a forged one":          func(a *passkeytest.Authenticator) { a.Forged = true },
	} {
		a := *mine
		wrong(&a)
		_, _, err := show(t, w, "", &a, away)
		wantCode(t, "signing in with "+what, err, "passkey.wrong")
	}

	// An answer works once, in time, in the session that was asked, for what it was asked.
	q, err := w.Accounts.BeginPasskey(ctx, "", portal, away)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := mine.Get(q.Options)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = w.Accounts.FinishPasskey(ctx, full.Text, q.ID, answer, away)
	wantCode(t, "in another session", err, "passkey.late")
	_, _, err = w.Accounts.FinishPasskey(ctx, "", q.ID, answer, away)
	wantCode(t, "after a try elsewhere", err, "passkey.late")
	q, _ = w.Accounts.BeginPasskey(ctx, "", portal, away)
	answer, _ = mine.Get(q.Options)
	_, _, err = w.Accounts.FinishAdd(ctx, full.Text, q.ID, "x", answer, home)
	wantCode(t, "as a new passkey", err, "passkey.late")
	q, _ = w.Accounts.BeginPasskey(ctx, "", portal, away)
	answer, _ = mine.Get(q.Options)
	if _, _, err := w.Accounts.FinishPasskey(ctx, "", q.ID, answer, away); err != nil {
		t.Fatalf("the right answer: %v", err)
	}
	_, _, err = w.Accounts.FinishPasskey(ctx, "", q.ID, answer, away)
	wantCode(t, "the same again", err, "passkey.late")
	q, _ = w.Accounts.BeginPasskey(ctx, "", portal, away)
	answer, _ = mine.Get(q.Options)
	w.Clock.Advance(5 * time.Minute)
	_, _, err = w.Accounts.FinishPasskey(ctx, "", q.ID, answer, away)
	wantCode(t, "five minutes later", err, "passkey.late")
	for _, nonsense := range []any{nil, "x", map[string]any{}, map[string]any{"id": "AA", "type": "public-key"}} {
		q, _ = w.Accounts.BeginPasskey(ctx, "", portal, away)
		_, _, err = w.Accounts.FinishPasskey(ctx, "", q.ID, nonsense, away)
		wantCode(t, fmt.Sprintf("nonsense %v", nonsense), err, "passkey.wrong")
	}

	// Another person's passkey is no second factor.
	w.Write(t, func(tx *ledger.Tx) error {
		hashed, err := w.Accounts.Hash(ctx, password, "esther@example.org")
		if err == nil {
			_, err = account.Create(tx, "esther@example.org", "Esther Phiri", hashed)
		}
		return err
	})
	hers, _, err := w.Accounts.SignIn(ctx, "esther@example.org", password, home)
	if err != nil {
		t.Fatal(err)
	}
	esther := phone()
	if _, _, err := add(t, w, hers.Text, esther, "Phone"); err != nil {
		t.Fatal(err)
	}
	half, _, err = w.Accounts.SignIn(ctx, email, password, home)
	if err != nil {
		t.Fatal(err)
	}
	q, err = w.Accounts.BeginPasskey(ctx, half.Text, portal, home)
	if err != nil {
		t.Fatal(err)
	}
	open, _ := json.Marshal(q.Options)
	var loose map[string]map[string]any
	_ = json.Unmarshal(open, &loose)
	delete(loose["publicKey"], "allowCredentials")
	if answer, err = esther.Get(loose); err != nil {
		t.Fatal(err)
	}
	_, _, err = w.Accounts.FinishPasskey(ctx, half.Text, q.ID, answer, home)
	wantCode(t, "Esther's passkey for Ruth", err, "passkey.wrong")

	// A counter that goes back: somebody has a copy. It is not taken any more.
	mine.Count = 1
	_, _, err = show(t, w, "", mine, away)
	wantCode(t, "a copied one", err, "passkey.cloned")
	mine.Count = 100
	_, _, err = show(t, w, "", mine, away)
	wantCode(t, "after that", err, "passkey.wrong")
	w.Read(t, func(r *ledger.Reader) error {
		entries, err := r.Entries(ledger.Filter{Kind: "security_event"})
		found := false
		for _, e := range entries {
			_, _, body, err := r.Entry(e.Number)
			if err != nil {
				return err
			}
			var is account.Event
			_ = json.Unmarshal(body, &is)
			found = found || is.What == "passkey-cloned"
		}
		if !found {
			t.Error("the copy is not written down")
		}
		return err
	})
}

// One address cannot use up the room of all for questions.
func TestPasskeyQuestionsAreBounded(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	refused := 0
	for range 60 {
		if _, err := w.Accounts.BeginPasskey(ctx, "", portal, home); fault.KindOf(err) == fault.TooMany {
			refused++
		}
	}
	if refused != 10 {
		t.Errorf("%d of 60 questions to one address were refused, want 10", refused)
	}
	if _, err := w.Accounts.BeginPasskey(ctx, "", portal, away); err != nil {
		t.Errorf("another address: %v", err)
	}
	w.Clock.Advance(5 * time.Minute)
	if _, err := w.Accounts.BeginPasskey(ctx, "", portal, home); err != nil {
		t.Errorf("five minutes later: %v", err)
	}
}

// When the only passkey was copied, the password alone sets up no other factor.
func TestCopiedPasskeyLeavesNoWayIn(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	id := ruth(t, w)
	half, _, err := w.Accounts.SignIn(ctx, email, password, home)
	if err != nil {
		t.Fatal(err)
	}
	mine := phone()
	full, _, err := add(t, w, half.Text, mine, "Phone")
	if err != nil {
		t.Fatal(err)
	}
	codes, err := w.Accounts.MakeRecoveryCodes(ctx, actorOf(t, w, full.Text))
	if err != nil {
		t.Fatal(err)
	}
	mine.Count = 100
	if _, _, err := show(t, w, "", mine, home); err != nil {
		t.Fatal(err)
	}
	mine.Count = 1
	_, _, err = show(t, w, "", mine, away)
	wantCode(t, "a copied one", err, "passkey.cloned")

	half, view, err := w.Accounts.SignIn(ctx, email, password, away)
	if err != nil || view.Needs != account.NeedsCode {
		t.Fatalf("with the password: %+v, %v", view, err)
	}
	_, err = w.Accounts.SetupTOTP(ctx, half.Text, away)
	wantCode(t, "an app", err, "session.code")
	_, _, err = add(t, w, half.Text, phone(), "Another")
	wantCode(t, "another passkey", err, "session.code")

	// A recovery code helps, and so does who takes the factor away.
	half, view, err = w.Accounts.Recover(ctx, half.Text, codes[0], home)
	if err != nil || view.Needs != account.NeedsNothing {
		t.Fatalf("with a recovery code: %+v, %v", view, err)
	}
	if _, _, err = add(t, w, half.Text, phone(), "New phone"); err != nil {
		t.Errorf("another passkey then: %v", err)
	}
	if err := w.Accounts.ResetFactor(ctx, peopletest.System, id, "copied"); err != nil {
		t.Fatal(err)
	}
	if _, view, err = w.Accounts.SignIn(ctx, email, password, home); err != nil || view.Needs != account.NeedsTOTPSetup {
		t.Errorf("after the factors were taken: %+v, %v", view, err)
	}
}
