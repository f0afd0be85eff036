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

func TestRecoveryCodes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open())
		var mails []string
		w.Accounts = account.New(account.Config{Ledger: w.Ledger, Vault: w.Vault, HashMemory: peopletest.HashMemory,
			Mail: func(_ context.Context, to, subject, text string) { mails = append(mails, to+" "+subject+" "+text) }})
		id := ruth(t, w)
		full, _ := setUp(t, w)
		actor := actorOf(t, w, full.Text)
		stale := actor
		stale.Factor = time.Time{}
		_, err := w.Accounts.MakeRecoveryCodes(ctx, stale)
		wantCode(t, "without a fresh factor", err, "session.step-up")
		old, err := w.Accounts.MakeRecoveryCodes(ctx, actor)
		if err != nil || len(old) != 10 || len(old[0]) != 19 {
			t.Fatalf("codes %v, %v", old, err)
		}
		codes, err := w.Accounts.MakeRecoveryCodes(ctx, actor)
		if err != nil {
			t.Fatal(err)
		}
		half := func() string {
			t.Helper()
			w.Clock.Advance(time.Minute)
			token, _, err := w.Accounts.SignIn(ctx, email, password, away)
			if err != nil {
				t.Fatal(err)
			}
			return token.Text
		}
		try := func(code string) (account.View, error) {
			t.Helper()
			_, view, err := w.Accounts.Recover(ctx, half(), code, away)
			return view, err
		}
		_, err = try(old[0])
		wantCode(t, "of the set before", err, "recovery.wrong")
		for what, code := range map[string]string{"nothing": "", "a guess": "aaaa-aaaa-aaaa-aaaa"} {
			_, err = try(code)
			wantCode(t, what, err, "recovery.wrong")
		}
		view, err := try(" " + strings.ToUpper(strings.ReplaceAll(codes[3], "-", " ")))
		if err != nil || view.Needs != account.NeedsNothing || view.Factor != account.ByRecovery || view.Account.ID != id {
			t.Fatalf("the right one: %+v, %v", view, err)
		}
		if len(mails) != 2 || !strings.HasPrefix(mails[0], email+" Qanat: Your password was used without your second factor") ||
			!strings.HasPrefix(mails[1], email+" Qanat: A recovery code was used") || !strings.Contains(mails[1], "198.51.100.9") || strings.Contains(mails[1], codes[3]) {
			t.Errorf("mails: %q", mails)
		}
		_, err = try(codes[3])
		wantCode(t, "the same again", err, "recovery.wrong")
		_, _, err = w.Accounts.Recover(ctx, full.Text, codes[4], home)
		wantCode(t, "in a session that is complete", err, "recovery.needless")
		if m, err := w.Accounts.Means(ctx, actor); err != nil || m.Recovery != 9 || !m.TOTP || !m.Password {
			t.Errorf("means: %+v, %v", m, err)
		}
		if _, err := w.Accounts.Means(ctx, ledger.Actor{ID: id, Kind: "device"}); err == nil {
			t.Error("a device sees the means of a person")
		}

		// Guessing them is slowed like guessing codes.
		token, slowed := half(), false
		for range 10 {
			_, _, err := w.Accounts.Recover(ctx, token, "aaaa-aaaa-aaaa-aaaa", account.Visit{From: "203.0.113.77"})
			slowed = slowed || fault.KindOf(err) == fault.TooMany
		}
		if !slowed {
			t.Error("ten guesses were not slowed")
		}
		if err := w.Accounts.ResetFactor(ctx, peopletest.System, id, "lost"); err != nil {
			t.Fatal(err)
		}
		w.Clock.Advance(time.Hour)
		_, err = try(codes[5])
		wantCode(t, "after the factors were taken", err, "recovery.needless")
		w.Read(t, func(r *ledger.Reader) error {
			entries, err := r.Entries(ledger.Filter{Kind: "security_event", Limit: 1000})
			if len(entries) < 1 {
				t.Error("no security event")
			}
			return err
		})
	})
}
