package account_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

var (
	ctx  = context.Background()
	home = account.Visit{Door: "web", From: "192.0.2.1", Agent: "Test browser"}
	away = account.Visit{Door: "web", From: "198.51.100.9:4711"}
)

const (
	email    = "ruth@example.org"
	password = "sorghum kettle nine"
)

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	if err == nil || fault.From(err).Code != code {
		t.Errorf("%s: got %v (%s), want %s", what, err, fault.Cause(err), code)
	}
}

// ruth makes an account with a password.
func ruth(t *testing.T, w *peopletest.World) string {
	t.Helper()
	hashed, err := w.Accounts.Hash(ctx, password, email, "Ruth Banda")
	if err != nil {
		t.Fatal(err)
	}
	var made string
	w.Write(t, func(tx *ledger.Tx) error {
		a, err := account.Create(tx, " Ruth@Example.org", "Ruth Banda", hashed)
		made = a.ID
		return err
	})
	return made
}

func code(t *testing.T, w *peopletest.World, secret string) string {
	t.Helper()
	c, err := account.Code(secret, w.Ledger.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// setUp signs in and sets a second factor up; it gives the full session and the secret.
func setUp(t *testing.T, w *peopletest.World) (account.Token, string) {
	t.Helper()
	token, view, err := w.Accounts.SignIn(ctx, email, password, home)
	if err != nil || view.Needs != account.NeedsTOTPSetup {
		t.Fatalf("first sign-in: %+v, %v", view, err)
	}
	setup, err := w.Accounts.SetupTOTP(ctx, token.Text, home)
	if err != nil || !strings.HasPrefix(setup.URI, "otpauth://totp/Qanat:ruth@example.org?") {
		t.Fatalf("set-up: %+v, %v", setup, err)
	}
	full, view, err := w.Accounts.ConfirmTOTP(ctx, token.Text, code(t, w, setup.Secret), home)
	if err != nil || view.Needs != account.NeedsNothing {
		t.Fatalf("confirm: %+v, %v", view, err)
	}
	if _, err := w.Accounts.Session(ctx, token.Text); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("the token from before the second factor still works: %v", err)
	}
	return full, setup.Secret
}

func TestSignIn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open())
		id := ruth(t, w)
		full, secret := setUp(t, w)
		view, err := w.Accounts.Session(ctx, full.Text)
		if err != nil || view.Account.ID != id || view.Agent != "Test browser" {
			t.Fatalf("session: %+v, %v", view, err)
		}
		if actor, err := account.ActorOf(view, "web", home.From); err != nil || actor.ID != id || actor.Kind != "account" {
			t.Errorf("actor: %+v, %v", actor, err)
		}

		// The second sign-in needs a code; the one of the set-up was used.
		token, view, err := w.Accounts.SignIn(ctx, "RUTH@example.org ", password, away)
		if err != nil || view.Needs != account.NeedsCode {
			t.Fatalf("second sign-in: %+v, %v", view, err)
		}
		_, err = account.ActorOf(view, "web", "")
		wantCode(t, "acting without the second factor", err, "session.code")
		_, err = w.Accounts.SetupTOTP(ctx, token.Text, away)
		wantCode(t, "replacing the second factor without it", err, "session.code")
		_, _, err = w.Accounts.ConfirmTOTP(ctx, token.Text, "000000", away)
		wantCode(t, "confirming another without it", err, "session.code")
		_, _, err = w.Accounts.Code(ctx, token.Text, code(t, w, secret), away)
		wantCode(t, "the same code again", err, "totp.wrong")
		w.Clock.Advance(30 * time.Second)
		token2, view, err := w.Accounts.Code(ctx, token.Text, code(t, w, secret), away)
		if err != nil || view.Needs != account.NeedsNothing || token2 == token {
			t.Fatalf("the next code: %+v, %v", view, err)
		}

		// Both sessions are listed; one is revoked from the other.
		actor, _ := account.ActorOf(view, "web", away.From)
		list, err := w.Accounts.List(ctx, actor, id)
		if err != nil || len(list) != 2 {
			t.Fatalf("sessions: %+v, %v", list, err)
		}
		_, err = w.Accounts.List(ctx, w.Admin, id)
		wantCode(t, "another lists them", err, "session.missing")
		wantCode(t, "another revokes one", w.Accounts.Revoke(ctx, w.Admin, list[0].ID), "session.missing")
		if err := w.Accounts.Revoke(ctx, actor, list[1].ID); err != nil {
			t.Fatal(err)
		}
		_, err = w.Accounts.Session(ctx, full.Text)
		wantCode(t, "a revoked session", err, "session.none")
		if err := w.Accounts.SignOut(ctx, token2.Text, away); err != nil {
			t.Fatal(err)
		}
		_, err = w.Accounts.Session(ctx, token2.Text)
		wantCode(t, "after signing out", err, "session.none")
		if err := w.Accounts.SignOut(ctx, token2.Text, away); err != nil {
			t.Errorf("signing out twice: %v", err)
		}

		// All of it stands in the ledger, without a secret.
		w.Read(t, func(r *ledger.Reader) error {
			entries, err := r.Entries(ledger.Filter{Actor: id})
			reasons := map[string]int{}
			for _, e := range entries {
				reasons[e.Reason]++
				_, before, after, err := r.Entry(e.Number)
				if err != nil {
					return err
				}
				if e.Kind != "account" && e.Kind != "security_event" && (before != nil || after != nil) {
					t.Errorf("content of a %s is shown: %s", e.Kind, after)
				}
			}
			if reasons["signed in with password"] != 2 || reasons["second factor set up"] == 0 || reasons["signed out"] != 1 {
				t.Errorf("entries: %v", reasons)
			}
			return err
		})
	})
}

func TestSessionsEnd(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	id := ruth(t, w)
	full, secret := setUp(t, w)
	for range 4 { // used every 11 hours
		w.Clock.Advance(11 * time.Hour)
		if _, err := w.Accounts.Session(ctx, full.Text); err != nil {
			t.Fatalf("a session in use: %v", err)
		}
	}
	w.Clock.Advance(12 * time.Hour)
	_, err := w.Accounts.Session(ctx, full.Text)
	wantCode(t, "idle for 12 hours", err, "session.none")

	again := func() account.Token {
		t.Helper()
		w.Clock.Advance(time.Minute)
		token, _, err := w.Accounts.SignIn(ctx, email, password, home)
		if err == nil {
			token, _, err = w.Accounts.Code(ctx, token.Text, code(t, w, secret), home)
		}
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	full = again()
	for range 29 * 24 / 11 {
		w.Clock.Advance(11 * time.Hour)
		if _, err := w.Accounts.Session(ctx, full.Text); err != nil {
			t.Fatalf("a session in use: %v", err)
		}
	}
	for range 4 {
		w.Clock.Advance(11 * time.Hour)
		_, err = w.Accounts.Session(ctx, full.Text)
	}
	wantCode(t, "older than 30 days", err, "session.none")
	if n, err := w.Accounts.Sweep(ctx); n != 2 || err != nil {
		t.Errorf("swept %d expired sessions, want 2: %v", n, err)
	}

	full = again()
	other := again()
	wantCode(t, "a wrong old password", w.Accounts.ChangePassword(ctx, full.Text, "wrong wrong", "millet lantern four", home), "sign-in.wrong")
	wantCode(t, "a common new one", w.Accounts.ChangePassword(ctx, full.Text, password, "Ruth.Banda1990", home), "password.common")
	if err := w.Accounts.ChangePassword(ctx, full.Text, password, "millet lantern four", home); err != nil {
		t.Fatal(err)
	}
	_, err = w.Accounts.Session(ctx, other.Text)
	wantCode(t, "another session after a new password", err, "session.none")
	if _, err = w.Accounts.Session(ctx, full.Text); err != nil {
		t.Errorf("the session that changed the password: %v", err)
	}
	_, _, err = w.Accounts.SignIn(ctx, email, password, away)
	wantCode(t, "the old password", err, "sign-in.wrong")

	if err := w.Accounts.ResetFactor(ctx, peopletest.System, id, "lost the phone; identity checked by call"); err != nil {
		t.Fatal(err)
	}
	_, err = w.Accounts.Session(ctx, full.Text)
	wantCode(t, "a session after the factor was taken away", err, "session.none")
	_, view, err := w.Accounts.SignIn(ctx, email, "millet lantern four", home)
	if err != nil || view.Needs != account.NeedsTOTPSetup {
		t.Errorf("after the factor was taken away: %+v, %v", view, err)
	}
	wantCode(t, "an admin of an organization ends an account", w.Accounts.End(ctx, w.Admin, id, "gone"), "account.missing")
	if err := w.Accounts.End(ctx, peopletest.System, id, "gone"); err != nil {
		t.Fatal(err)
	}
	_, _, err = w.Accounts.SignIn(ctx, email, "millet lantern four", away)
	wantCode(t, "an ended account", err, "sign-in.wrong")
}

// A guesser is slowed; the owner at another address is not; a burst is an entry.
func TestThrottle(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	id := ruth(t, w)
	guess := func(from string) error {
		_, _, err := w.Accounts.SignIn(ctx, email, "wrong password", account.Visit{Door: "web", From: from})
		return err
	}
	for range 5 {
		wantCode(t, "a guess", guess("203.0.113.5"), "sign-in.wrong")
	}
	for range 20 {
		wantCode(t, "a guess too many", guess("203.0.113.5:999"), "sign-in.slow")
	}
	if _, _, err := w.Accounts.SignIn(ctx, email, password, home); err != nil {
		t.Errorf("the owner is locked out: %v", err)
	}
	w.Clock.Advance(31 * time.Second)
	wantCode(t, "after a wait", guess("203.0.113.5"), "sign-in.wrong")
	w.Read(t, func(r *ledger.Reader) error {
		entries, err := r.Entries(ledger.Filter{Kind: "security_event", Orgs: []string{""}})
		bursts := 0
		for _, e := range entries { // the first failure is one too, written beside
			if e.Reason == "too many attempts" {
				bursts++
			}
		}
		if bursts != 1 {
			t.Errorf("%d entries for one burst", bursts)
		}
		return err
	})
	_ = id
	// One address that tries everybody is slowed too, and one /64 is one address.
	slow := 0
	for i := range 80 {
		_, _, err := w.Accounts.SignIn(ctx, strings.Repeat("x", i+1)+"@example.org", "wrong password", account.Visit{From: "2001:db8::" + string(rune('a'+i%6))})
		if fault.KindOf(err) == fault.TooMany {
			slow++
		}
	}
	if slow != 30 {
		t.Errorf("%d of 80 attempts from one network were slowed, want 30", slow)
	}
}

// Codes are slowed for the account from everywhere, but not where the owner has been.
func TestCodeThrottle(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	ruth(t, w)
	_, secret := setUp(t, w)
	refused := 0
	for i := range 30 {
		visit := account.Visit{From: "203.0.113." + string(rune('1'+i%9)) + string(rune('0'+i/9))}
		token, _, err := w.Accounts.SignIn(ctx, email, password, visit)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.Accounts.Code(ctx, token.Text, "123456", visit); fault.KindOf(err) == fault.TooMany {
			refused++
		}
	}
	if refused < 9 {
		t.Errorf("only %d of 30 guesses of a code from many addresses were refused", refused)
	}
	w.Clock.Advance(time.Second)
	token, _, err := w.Accounts.SignIn(ctx, email, password, home)
	if err == nil {
		w.Clock.Advance(30 * time.Second)
		_, _, err = w.Accounts.Code(ctx, token.Text, code(t, w, secret), home)
	}
	if err != nil {
		t.Errorf("the owner, where she was before, is locked out: %v", err)
	}
}
