package account_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

func TestServiceTokens(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open())
		north := w.Branch(t, w.Org, "North")
		fresh := func(a ledger.Actor) ledger.Actor { a.Factor = w.Ledger.Now(); return a }
		asked := account.ServiceToken{Name: "Dashboard", Branch: north, Group: "viewers", Verbs: []string{"see"}, Kinds: []string{"site", "device"}, Expires: w.Ledger.Now().AddDate(1, 0, 0)}
		low := w.Person(t, "Nadia North", north, org.Admins)

		make := func(what string, actor ledger.Actor, code string, change func(*account.ServiceToken)) {
			t.Helper()
			a := asked
			change(&a)
			_, _, err := w.Accounts.CreateToken(ctx, actor, a)
			wantCode(t, what, err, code)
		}
		same := func(*account.ServiceToken) {}
		make("without a fresh factor", w.Admin, "session.step-up", same)
		make("by a manager", fresh(w.Manager), "token.denied", same)
		make("by an outsider", fresh(w.Outside), "token.missing", same)
		make("in a branch that is not there", fresh(w.Admin), "token.missing", func(a *account.ServiceToken) { a.Branch = w.Admin.ID })
		make("above the maker's branch", fresh(low), "token.denied", func(a *account.ServiceToken) { a.Branch = w.Org })
		make("for ever", fresh(w.Admin), "token.expires", func(a *account.ServiceToken) { a.Expires = w.Ledger.Now().AddDate(2, 0, 0) })
		make("without an end", fresh(w.Admin), "token.expires", func(a *account.ServiceToken) { a.Expires = time.Time{} })
		make("as a group that is none", fresh(w.Admin), "token.group", func(a *account.ServiceToken) { a.Group = "kings" })
		make("with an unknown verb", fresh(w.Admin), "token.scope", func(a *account.ServiceToken) { a.Verbs = []string{"rule"} })
		make("with an unknown kind", fresh(w.Admin), "token.scope", func(a *account.ServiceToken) { a.Kinds = []string{"session"} })
		make("without a name", fresh(w.Admin), "token.name", func(a *account.ServiceToken) { a.Name = " " })

		token, doc, err := w.Accounts.CreateToken(ctx, fresh(low), asked)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(token.Text, "qanat_") || len(token.Text) != 66 || doc.Org != w.Org || strings.Contains(fmt.Sprint(doc), token.Text) {
			t.Errorf("token %q, document %+v", token.Text, doc)
		}
		actor, err := w.Accounts.TokenActor(ctx, token.Text, away)
		if want := (ledger.Actor{ID: doc.ID, Kind: "token", Name: "Dashboard", Door: "web", From: away.From}); actor != want || err != nil {
			t.Errorf("it acts as %+v, %v", actor, err)
		}
		_, _, err = w.Accounts.CreateToken(ctx, fresh(actor), asked)
		if fault.KindOf(err) != fault.NotFound && fault.KindOf(err) != fault.Denied {
			t.Errorf("a token makes a token: %v", err)
		}

		// A letter more, another one, or none of ours: the same answer.
		other := []byte(token.Text)
		other[20] ^= 1
		for _, wrong := range []string{"", "qanat_", token.Text + "a", string(other), strings.Repeat("x", 66)} {
			_, err := w.Accounts.TokenActor(ctx, wrong, home)
			wantCode(t, fmt.Sprintf("%.20q", wrong), err, "token.unknown")
		}

		// The last use is shown, and written down once a day, not each time.
		uses := func() int {
			n := 0
			w.Read(t, func(r *ledger.Reader) error {
				entries, err := r.Entries(ledger.Filter{Kind: "token_use"})
				n = len(entries)
				return err
			})
			return n
		}
		for range 5 {
			w.Clock.Advance(time.Minute)
			if _, err := w.Accounts.TokenActor(ctx, token.Text, home); err != nil {
				t.Fatal(err)
			}
		}
		if n := uses(); n != 1 {
			t.Errorf("six uses are %d entries", n)
		}
		list, err := w.Accounts.Tokens(ctx, w.Admin, w.Org)
		if err != nil || len(list) != 1 || !list[0].Used.Equal(w.Ledger.Now()) || list[0].From != home.From || list[0].By.Name != "Nadia North" || list[0].MakerLeft || list[0].State != "active" {
			t.Errorf("list: %+v, %v", list, err)
		}
		for range 30 {
			w.Clock.Advance(time.Hour)
			if _, err := w.Accounts.TokenActor(ctx, token.Text, home); err != nil {
				t.Fatal(err)
			}
		}
		if n := uses(); n != 3 { // moved from away to home, then a day passed
			t.Errorf("thirty hours of uses are %d entries", n)
		}
		again := account.New(account.Config{Ledger: w.Ledger, Vault: w.Vault, HashMemory: peopletest.HashMemory})
		if list, err := again.Tokens(ctx, w.Admin, w.Org); err != nil || len(list) != 1 || list[0].Used.IsZero() {
			t.Errorf("after a restart the last use is gone: %+v, %v", list, err)
		}
		for who, a := range map[string]ledger.Actor{"a viewer": w.Viewer, "an outsider": w.Outside} {
			if list, err := w.Accounts.Tokens(ctx, a, w.Org); err != nil || len(list) != 0 {
				t.Errorf("%s sees %+v, %v", who, list, err)
			}
		}

		// Its maker leaves: it stays, and says so.
		w.Write(t, func(tx *ledger.Tx) error {
			held, err := org.Memberships.List(tx.Reader, "n.person = $1", low.ID)
			if err == nil {
				err = org.Memberships.Delete(tx, held[0].ID, 0)
			}
			return err
		})
		if list, err := w.Accounts.Tokens(ctx, w.Admin, w.Org); err != nil || !list[0].MakerLeft {
			t.Errorf("the maker left: %+v, %v", list, err)
		}

		wantCode(t, "revoked by a manager", w.Accounts.RevokeToken(ctx, w.Manager, doc.ID, ""), "token.missing")
		if err := w.Accounts.RevokeToken(ctx, w.Admin, doc.ID, "not needed"); err != nil {
			t.Fatal(err)
		}
		_, err = w.Accounts.TokenActor(ctx, token.Text, home)
		wantCode(t, "a revoked one", err, "token.unknown")
		revive := func(change func(*account.ServiceToken)) error {
			return w.Ledger.Write(ctx, peopletest.System, "", func(tx *ledger.Tx) error {
				_, err := account.ServiceTokens.Update(tx, doc.ID, 0, func(s *account.ServiceToken) error { change(s); return nil })
				return err
			})
		}
		wantCode(t, "reviving one", revive(func(s *account.ServiceToken) { s.State = account.Active }), "token.revoked")
		wantCode(t, "widening one", revive(func(s *account.ServiceToken) { s.Verbs = nil }), "token.fixed")

		short := asked
		short.Expires = w.Ledger.Now().Add(time.Hour)
		token, _, err = w.Accounts.CreateToken(ctx, fresh(w.Admin), short)
		if err != nil {
			t.Fatal(err)
		}
		w.Clock.Advance(time.Hour)
		_, err = w.Accounts.TokenActor(ctx, token.Text, home)
		wantCode(t, "one that has ended", err, "token.unknown")
	})
}

// Making a token is taken back like any other change, and so it ends.
func TestUndoneTokenEnds(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	maker := w.Admin
	maker.Factor = w.Ledger.Now()
	token, doc, err := w.Accounts.CreateToken(ctx, maker, account.ServiceToken{Name: "Thief", Branch: w.Org, Group: "admins", Expires: w.Ledger.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Ledger.Undo(ctx, w.Admin, "", doc.Entry, access.MayUndo); err != nil {
		t.Fatal(err)
	}
	_, err = w.Accounts.TokenActor(ctx, token.Text, home)
	wantCode(t, "after the undo", err, "token.unknown")

	// Nor does a thief who is still there bring it back.
	var undo int64
	w.Read(t, func(r *ledger.Reader) error {
		entries, err := r.Entries(ledger.Filter{Doc: doc.ID, Limit: 1})
		undo = entries[0].Number
		return err
	})
	_, err = w.Ledger.Undo(ctx, maker, "", undo, access.MayUndo)
	wantCode(t, "the undo undone", err, "token.revoked")
}

// Who is locked into a workspace gets out of it by no token.
func TestNoTokenOutOfAWorkspace(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	north := w.Branch(t, w.Org, "North")
	low := w.Person(t, "Nadia North", north, org.Admins)
	low.Factor = w.Ledger.Now()
	w.Write(t, func(tx *ledger.Tx) error {
		_, err := org.Workspaces.Create(tx, w.Org, "", org.Workspace{Name: "Pilot", People: []string{"person:" + low.ID}})
		return err
	})
	_, _, err := w.Accounts.CreateToken(ctx, low, account.ServiceToken{Name: "Way out", Branch: north, Group: "admins", Expires: w.Ledger.Now().Add(time.Hour)})
	wantCode(t, "made inside a workspace", err, "workspace.locked")
}

// Whoever tries many wrong tokens is slowed; a right one from there goes on.
func TestWrongTokensAreSlowed(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	maker := w.Admin
	maker.Factor = w.Ledger.Now()
	token, _, err := w.Accounts.CreateToken(ctx, maker, account.ServiceToken{Name: "Right", Branch: w.Org, Group: "viewers", Expires: w.Ledger.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	slow := 0
	for range 50 {
		if _, err := w.Accounts.TokenActor(ctx, "qanat_wrong", home); fault.KindOf(err) == fault.TooMany {
			slow++
		}
	}
	if slow != 30 {
		t.Errorf("%d of 50 wrong tokens were slowed, want 30", slow)
	}
	if _, err := w.Accounts.TokenActor(ctx, token.Text, home); err != nil {
		t.Errorf("the right one: %v", err)
	}
}
