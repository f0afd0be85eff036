package account_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

// A thief with thousands of addresses hammers at one account, for days. He gets a
// hundred tries; its person goes on from the browser, the session, the passkey
// and the sign-in that are known, and nobody else notices.
func TestNobodyIsLockedOut(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open())
		ruth(t, w)
		full, secret := setUp(t, w)
		view, err := w.Accounts.Session(ctx, full.Text)
		if err != nil {
			t.Fatal(err)
		}
		known := account.Visit{Door: "web", From: "192.0.2.200", Agent: "Test browser", Device: w.Accounts.DeviceCookie(view, "")}
		if known.Device == "" || w.Accounts.DeviceCookie(view, known.Device) != "" {
			t.Fatalf("device cookie %q, and again %q", known.Device, w.Accounts.DeviceCookie(view, known.Device))
		}
		key := phone()
		if _, _, err := add(t, w, full.Text, key, "Phone"); err != nil {
			t.Fatal(err)
		}

		hammer := func(s *account.Service, n int) (looked int) {
			t.Helper()
			for i := range n {
				from := account.Visit{Door: "web", From: fmt.Sprintf("10.%d.%d.%d", i/60_000, i/250%250, i%250+1), Agent: "Bot"}
				_, err := s.CheckPassword(ctx, email, fmt.Sprint("guess ", i), from)
				switch fault.From(err).Code {
				case "sign-in.wrong":
					looked++
				case "sign-in.closed":
				default:
					t.Fatalf("guess %d: %v", i, err)
				}
			}
			return looked
		}
		if n := hammer(w.Accounts, 1500); n != 100 {
			t.Errorf("%d of the guesses were looked at, want 100", n)
		}
		// The same over a restart, and the next day.
		again := account.New(account.Config{Ledger: w.Ledger, Vault: w.Vault, HashMemory: peopletest.HashMemory})
		w.Clock.Advance(24 * time.Hour)
		if n := hammer(again, 20); n != 0 {
			t.Errorf("after a restart %d more were looked at", n)
		}
		for what, from := range map[string]account.Visit{
			"her own address, another browser": {From: "192.0.2.201"},
			"a stolen cookie of somebody else": {From: "10.9.9.9", Device: "x." + strings.Repeat("A", 54)},
		} {
			_, err := again.CheckPassword(ctx, email, password, from)
			wantCode(t, what, err, "sign-in.closed")
		}
		w.Accounts = again

		// A passkey signs in from anywhere, and so does a known browser.
		if _, _, err := show(t, w, "", key, account.Visit{From: "203.0.113.1", Agent: "Elsewhere"}); err != nil {
			t.Errorf("her passkey from elsewhere: %v", err)
		}
		hammer(w.Accounts, 200) // the sign-in opened it again
		half, _, err := w.Accounts.SignIn(ctx, email, password, known)
		if err != nil {
			t.Fatalf("her password from the known browser: %v", err)
		}
		if _, _, err := w.Accounts.Code(ctx, half.Text, code(t, w, secret), known); err != nil {
			t.Fatalf("her code from there: %v", err)
		}
		if _, err := w.Accounts.CheckPassword(ctx, email, password, account.Visit{From: "192.0.2.202"}); err != nil {
			t.Errorf("after her sign-in it is open again: %v", err)
		}

		// A stolen device cookie gives a hundred tries as well, and takes nothing from others.
		hammer(w.Accounts, 200)
		looked := 0
		for i := range 300 {
			w.Clock.Advance(31 * time.Second)
			if _, err := w.Accounts.CheckPassword(ctx, email, fmt.Sprint("guess ", i), known); fault.From(err).Code == "sign-in.wrong" {
				looked++
			}
		}
		if looked != 100 {
			t.Errorf("%d guesses with a stolen cookie were looked at, want 100", looked)
		}
		w.Clock.Advance(time.Minute)
		if _, err := w.Accounts.StepUp(ctx, full.Text, code(t, w, secret), home); err != nil && fault.From(err).Code != "session.none" {
			t.Errorf("a step-up in an open session: %v", err)
		}
	})
}

// Somebody who has the password hammers at the code: he gets a hundred tries
// too, and her open session still shows its factor again.
func TestCodesCloseToStrangersOnly(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	var mails []string
	w.Accounts = account.New(account.Config{Ledger: w.Ledger, Vault: w.Vault, HashMemory: peopletest.HashMemory,
		Mail: func(_ context.Context, to, subject, _ string) { mails = append(mails, to+" "+subject) }})
	ruth(t, w)
	full, secret := setUp(t, w)
	looked := 0
	for i := range 130 {
		from := account.Visit{Door: "web", From: fmt.Sprintf("10.0.1.%d", i), Agent: "Bot"}
		half, _, err := w.Accounts.SignIn(ctx, email, password, from)
		if err != nil {
			wantCode(t, "the password without its second factor", err, "sign-in.closed")
			continue
		}
		w.Clock.Advance(2 * time.Minute)
		_, _, err = w.Accounts.Code(ctx, half.Text, "000000", from)
		switch fault.From(err).Code {
		case "totp.wrong":
			looked++
		case "sign-in.closed":
		default:
			t.Fatalf("try %d: %v", i, err)
		}
		if i%20 == 0 { // she is at work meanwhile
			if _, err := w.Accounts.Session(ctx, full.Text); err != nil {
				t.Fatal(err)
			}
		}
	}
	if looked != 100 {
		t.Errorf("%d codes were looked at, want 100", looked)
	}
	if _, err := w.Accounts.StepUp(ctx, full.Text, code(t, w, secret), home); err != nil {
		t.Errorf("her step-up: %v", err)
	}
	if len(mails) == 0 || mails[0] != email+" Qanat: Your password was used without your second factor" {
		t.Errorf("mails %q", mails)
	}
}

func TestDeviceCookies(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	views := make([]account.View, 6)
	cookie := ""
	for i := range views {
		views[i] = account.View{Account: account.Person{ID: fmt.Sprintf("01a200f9-4555-7295-a9f3-86be5d3c321%d", i)}}
		cookie = w.Accounts.DeviceCookie(views[i], cookie)
	}
	if n := strings.Count(cookie, ".") + 1; n != 4 || len(cookie) > 400 {
		t.Errorf("after six accounts the cookie has %d lines, %d bytes", n, len(cookie))
	}
	for i, v := range views {
		if known := w.Accounts.DeviceCookie(v, cookie) == ""; known != (i >= 2) {
			t.Errorf("account %d is known: %v", i, known)
		}
	}
	w.Clock.Advance(366 * 24 * time.Hour)
	if w.Accounts.DeviceCookie(views[5], cookie) == "" {
		t.Error("a cookie of a year ago is known")
	}
	if half := (account.View{Account: views[0].Account, Needs: account.NeedsCode}); w.Accounts.DeviceCookie(half, "") != "" {
		t.Error("a session without its second factor makes a browser known")
	}
}

func TestSignInHistory(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open())
		var mails []string
		w.Accounts = account.New(account.Config{Ledger: w.Ledger, Vault: w.Vault, HashMemory: peopletest.HashMemory,
			Mail: func(_ context.Context, to, subject, _ string) { mails = append(mails, to+" "+subject) }})
		ruth(t, w)
		full, secret := setUp(t, w)
		sign := func(visit account.Visit) account.View {
			t.Helper()
			w.Clock.Advance(time.Minute)
			half, _, err := w.Accounts.SignIn(ctx, email, password, visit)
			if err != nil {
				t.Fatal(err)
			}
			_, view, err := w.Accounts.Code(ctx, half.Text, code(t, w, secret), visit)
			if err != nil {
				t.Fatal(err)
			}
			return view
		}
		sign(home)
		if len(mails) != 0 {
			t.Errorf("mails about the known browser: %q", mails)
		}
		view := sign(account.Visit{Door: "web", From: "203.0.113.5", Agent: "Phone"})
		if len(mails) != 1 || mails[0] != email+" Qanat: A sign-in from a new place" {
			t.Errorf("mails about a new one: %q", mails)
		}
		sign(account.Visit{Door: "web", From: "203.0.113.77", Agent: "Phone, updated", Device: w.Accounts.DeviceCookie(view, "")})
		if len(mails) != 1 {
			t.Errorf("mails about a known cookie elsewhere: %q", mails)
		}
		actor := actorOf(t, w, full.Text)
		past, err := w.Accounts.History(ctx, actor)
		if err != nil || len(past) != 4 || past[0].Agent != "Phone, updated" || past[0].New || past[0].Factor != account.ByTOTP || !past[1].New || past[1].From != "203.0.113.5" || past[2].New || past[3].What != "sign-in" {
			t.Errorf("history: %+v, %v", past, err)
		}
		if _, err := w.Accounts.CheckPassword(ctx, email, "not it", away); err == nil {
			t.Fatal("a wrong password is right")
		}
		for until := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) { // it is written beside the sign-in
			past, err = w.Accounts.History(ctx, actor)
			if err == nil && len(past) == 5 && past[0].What == "sign-in-failed" && past[0].From == "198.51.100.9" {
				break
			}
			if time.Now().After(until) {
				t.Fatalf("the failure is not there: %+v, %v", past, err)
			}
		}
		if past, err := w.Accounts.History(ctx, w.Admin); err != nil || len(past) != 0 {
			t.Errorf("the history of somebody else: %+v, %v", past, err)
		}
	})
}

func TestPasswordRules(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	ruth(t, w)
	full, _ := setUp(t, w)
	change := func(fresh string) error { return w.Accounts.ChangePassword(ctx, full.Text, "", fresh, home) }
	for fresh, want := range map[string]string{
		"short7!":            "password.short",
		"zaq12wsx":           "password.common", // on every list of leaked passwords
		"Liverpool1":         "password.common",
		"RuthBanda1":         "password.common",
		"qanat-water":        "password.common",
		"ruth2026!":          "password.common",
		"\xffsorghum kettle": "password.text",
	} {
		wantCode(t, fresh, change(fresh), want)
	}
	if err := change("fq7-lamp"); err != nil {
		t.Errorf("eight characters beside a second factor: %v", err)
	}
}
