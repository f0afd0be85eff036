package account_test

import (
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

func TestStepUp(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	id := ruth(t, w)
	full, secret := setUp(t, w)
	actor := func() ledger.Actor {
		t.Helper()
		view, err := w.Accounts.Session(ctx, full.Text)
		if err != nil {
			t.Fatal(err)
		}
		a, err := account.ActorOf(view, "web", home.From)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if err := access.Fresh(actor(), w.Ledger.Now()); err != nil {
		t.Errorf("right after the second factor: %v", err)
	}
	w.Clock.Advance(access.FreshFor + time.Second)
	wantCode(t, "ten minutes later", access.Fresh(actor(), w.Ledger.Now()), "session.step-up")

	// What is hard to take back asks for it: another second factor, a password
	// without the old one.
	_, err := w.Accounts.SetupTOTP(ctx, full.Text, home)
	wantCode(t, "another second factor", err, "session.step-up")
	_, _, err = w.Accounts.ConfirmTOTP(ctx, full.Text, "000000", home)
	wantCode(t, "confirming one", err, "session.step-up")
	wantCode(t, "a password without the old one", w.Accounts.ChangePassword(ctx, full.Text, "", "lantern barrel clay", home), "session.step-up")

	used := code(t, w, secret)
	view, err := w.Accounts.StepUp(ctx, full.Text, used, home)
	if err != nil || view.Account.ID != id {
		t.Fatalf("step-up: %+v, %v", view, err)
	}
	if err := access.Fresh(actor(), w.Ledger.Now()); err != nil {
		t.Errorf("after the step-up: %v", err)
	}
	_, err = w.Accounts.StepUp(ctx, full.Text, used, home)
	wantCode(t, "the same code again", err, "totp.wrong")
	if err := w.Accounts.ChangePassword(ctx, full.Text, "", "lantern barrel clay", home); err != nil {
		t.Errorf("a password with a fresh factor: %v", err)
	}
	if _, err := w.Accounts.SetupTOTP(ctx, full.Text, home); err != nil {
		t.Errorf("another second factor with a fresh one: %v", err)
	}

	half, _, err := w.Accounts.SignIn(ctx, email, "lantern barrel clay", away)
	if err != nil {
		t.Fatal(err)
	}
	w.Clock.Advance(30 * time.Second)
	_, err = w.Accounts.StepUp(ctx, half.Text, code(t, w, secret), away)
	wantCode(t, "a step-up instead of a sign-in", err, "session.code")
	if err := access.Fresh(peopletest.System, w.Ledger.Now()); err != nil {
		t.Errorf("the server itself: %v", err)
	}
	for _, factor := range []time.Time{{}, w.Ledger.Now().Add(time.Hour)} {
		wantCode(t, "a factor that cannot be", access.Fresh(ledger.Actor{ID: id, Kind: "account", Factor: factor}, w.Ledger.Now()), "session.step-up")
	}
}

func TestEndingSessionsOfOthers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open())
		id := ruth(t, w)
		full, _ := setUp(t, w)
		other, _, err := w.Accounts.SignIn(ctx, email, password, away)
		if err != nil {
			t.Fatal(err)
		}
		view, err := w.Accounts.Session(ctx, full.Text)
		if err != nil {
			t.Fatal(err)
		}
		self, _ := account.ActorOf(view, "web", home.From)
		if n, err := w.Accounts.EndOthers(ctx, self, full.Text); n != 1 || err != nil {
			t.Errorf("ending the others ended %d, %v", n, err)
		}
		_, err = w.Accounts.Session(ctx, other.Text)
		wantCode(t, "another session", err, "session.none")
		if _, err := w.Accounts.Session(ctx, full.Text); err != nil {
			t.Errorf("the session that asked: %v", err)
		}

		_, err = w.Accounts.EndMember(ctx, w.Admin, w.Org, id, "")
		wantCode(t, "for somebody outside", err, "account.missing")
		north := w.Branch(t, w.Org, "North")
		w.Write(t, func(tx *ledger.Tx) error {
			_, err := org.Memberships.Create(tx, w.Org, "", org.Membership{Person: id, Branch: north, Group: org.Members})
			return err
		})
		low := w.Person(t, "Nadia North", north, org.Admins)
		if _, err := w.Accounts.EndMember(ctx, low, w.Org, w.Admin.ID, ""); err == nil {
			t.Error("an admin of a branch ends the sessions of one above")
		}
		_, err = w.Accounts.EndMember(ctx, w.Manager, w.Org, id, "")
		wantCode(t, "by a manager", err, "membership.denied")
		_, err = w.Accounts.EndMember(ctx, w.Outside, w.Org, id, "")
		wantCode(t, "by an outsider", err, "membership.missing")
		if n, err := w.Accounts.EndMember(ctx, low, w.Org, id, "her phone was stolen"); n != 1 || err != nil {
			t.Fatalf("by the admin of her branch: %d, %v", n, err)
		}
		_, err = w.Accounts.Session(ctx, full.Text)
		wantCode(t, "her session", err, "session.none")
		w.Read(t, func(r *ledger.Reader) error {
			entries, err := r.Entries(ledger.Filter{Kind: "security_event", Orgs: []string{w.Org}})
			if len(entries) != 1 || entries[0].Org != w.Org || entries[0].Actor != low.ID || entries[0].Reason != "her phone was stolen" {
				t.Errorf("the organization sees %+v", entries)
			}
			return err
		})
	})
}
