package org_test

import (
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

var here = account.Visit{Door: "web", From: "192.0.2.7"}

func joinCode(w *peopletest.World, change func(*org.JoinCode)) org.JoinCode {
	c := org.JoinCode{Name: "Training", Branch: w.Org, Group: org.Members, MaxUses: 2, Expires: w.Ledger.Now().Add(24 * time.Hour)}
	if change != nil {
		change(&c)
	}
	return c
}

func in(w *peopletest.World, t *testing.T, person, branch, group string) bool {
	t.Helper()
	found := 0
	w.Read(t, func(r *ledger.Reader) error {
		m, err := org.Memberships.List(r, "n.person = $1 AND n.branch = $2 AND n.standing = $3", person, branch, group)
		found = len(m)
		return err
	})
	return found == 1
}

func TestJoinByCode(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open())
		north := w.Branch(t, w.Org, "North")
		for what, c := range map[string]org.JoinCode{
			"for admins":                     joinCode(w, func(c *org.JoinCode) { c.Group = org.Admins }),
			"for managers, without approval": joinCode(w, func(c *org.JoinCode) { c.Group = org.Managers }),
			"for nobody":                     joinCode(w, func(c *org.JoinCode) { c.MaxUses = 0 }),
			"that has expired":               joinCode(w, func(c *org.JoinCode) { c.Expires = w.Ledger.Now() }),
			"for ever":                       joinCode(w, func(c *org.JoinCode) { c.Expires = w.Ledger.Now().AddDate(2, 0, 0) }),
		} {
			_, _, err := w.Orgs.MakeCode(ctx, w.Admin, w.Org, c)
			wantCode(t, "a code "+what, err, "join_code.invalid")
		}
		_, _, err := w.Orgs.MakeCode(ctx, ledger.Actor{ID: w.Admin.ID, Kind: "token"}, w.Org, joinCode(w, nil))
		wantCode(t, "made by a token", err, "join_code.person")
		_, _, err = w.Orgs.Invite(ctx, ledger.Actor{ID: w.Admin.ID, Kind: "token"}, org.Invitation{Branch: w.Org, Group: org.Members})
		wantCode(t, "an invitation by a token", err, "join_code.person")
		wantCode(t, "somebody let in by a token", w.Orgs.Decide(ctx, ledger.Actor{ID: w.Admin.ID, Kind: "token"}, w.Org, true, ""), "join_code.person")
		_, _, err = w.Orgs.MakeCode(ctx, w.Manager, w.Org, joinCode(w, nil))
		wantCode(t, "made by a manager", err, "join_code.denied")

		code, made, err := w.Orgs.MakeCode(ctx, w.Admin, w.Org, joinCode(w, func(c *org.JoinCode) { c.Branch = north }))
		if err != nil || made.Body.Hash != "" {
			t.Fatalf("%+v, %v", made, err)
		}
		listed := must(w.Orgs.Codes(ctx, w.Admin, w.Org))
		if len(listed) != 1 || listed[0].Body.Hash != "" {
			t.Errorf("listed: %+v", listed)
		}
		if seen := must(w.Orgs.Codes(ctx, w.Member, w.Org)); len(seen) != 0 {
			t.Errorf("a member lists %+v", seen)
		}
		// As it is typed from paper.
		typed := " " + strings.ReplaceAll(strings.ToLower(org.ShowCode(code)), "0", "o") + " "
		offer, err := w.Orgs.LookAtCode(ctx, typed, here)
		if err != nil || offer.Organization != "Test Water Office" || offer.Branch != "Test Water Office > North" || offer.Approval {
			t.Fatalf("%+v, %v", offer, err)
		}
		joined, err := w.Orgs.UseCode(ctx, w.Outside, typed, here)
		if err != nil || joined.State != "joined" || !in(w, t, w.Outside.ID, north, org.Members) {
			t.Fatalf("%+v, %v", joined, err)
		}
		if _, err := w.Orgs.UseCode(ctx, w.Outside, code, here); err != nil {
			t.Errorf("the same person again: %v", err)
		}
		_, err = w.Orgs.UseCode(ctx, ledger.Actor{ID: w.Outside.ID, Kind: "phone"}, code, here)
		wantCode(t, "by a phone", err, "join_code.person")

		// A newcomer gets an account with it; that was the second and last use.
		_, _, err = w.Orgs.NewcomerByCode(ctx, code, org.Answer{Name: "Neema", Email: "neema@example.org", Password: "short"}, here)
		if fault.KindOf(err) != fault.Invalid {
			t.Errorf("a weak password: %v", err)
		}
		_, view, err := w.Orgs.NewcomerByCode(ctx, code, org.Answer{Name: "Neema", Email: "neema@example.org", Password: "sorghum-kettle-9"}, here)
		if err != nil || view.Needs != account.NeedsTOTPSetup || !in(w, t, view.Account.ID, north, org.Members) {
			t.Fatalf("%+v, %v", view, err)
		}
		_, err = w.Orgs.LookAtCode(ctx, code, here)
		wantCode(t, "used up", err, "join_code.missing")

		// The account is there now: its password opens it, another does not.
		again, _, err := w.Orgs.MakeCode(ctx, w.Admin, w.Org, joinCode(w, nil))
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = w.Orgs.NewcomerByCode(ctx, again, org.Answer{Name: "Eve", Email: "neema@example.org", Password: "sorghum-kettle-8"}, here)
		wantCode(t, "another's address", err, "sign-in.wrong")
		if _, _, err := w.Orgs.NewcomerByCode(ctx, again, org.Answer{Email: "Neema@example.org", Password: "sorghum-kettle-9"}, here); err != nil || !in(w, t, view.Account.ID, w.Org, org.Members) {
			t.Errorf("who has been here before: %v", err)
		}

		// Revoked, expired, or made by somebody who could not make it any more.
		revoked, doc, _ := w.Orgs.MakeCode(ctx, w.Admin, w.Org, joinCode(w, nil))
		wantCode(t, "revoked by a manager", w.Orgs.RevokeCode(ctx, w.Manager, doc.ID), "join_code.missing")
		if err := w.Orgs.RevokeCode(ctx, w.Admin, doc.ID); err != nil {
			t.Fatal(err)
		}
		_, err = w.Orgs.UseCode(ctx, w.Viewer, revoked, here)
		wantCode(t, "revoked", err, "join_code.missing")
		var number int64
		w.Read(t, func(r *ledger.Reader) error { d, err := org.JoinCodes.Get(r, doc.ID); number = d.Entry; return err })
		_, err = w.Ledger.Undo(ctx, w.Admin, "", number, access.MayUndo)
		wantCode(t, "the revoking is undone", err, "join_code.revoked")
		w.Clock.Advance(10 * time.Minute) // tries of one address are few
		gone := w.Person(t, "Gone Admin", "", "")
		m := w.Join(t, gone.ID, w.Org, org.Admins)
		after, _, _ := w.Orgs.MakeCode(ctx, gone, w.Org, joinCode(w, nil))
		if err := w.Orgs.Leave(ctx, w.Admin, m, 0); err != nil {
			t.Fatal(err)
		}
		_, err = w.Orgs.UseCode(ctx, w.Viewer, after, here)
		wantCode(t, "its maker is no admin any more", err, "join_code.missing")
		w.Clock.Advance(25 * time.Hour)
		_, err = w.Orgs.UseCode(ctx, w.Viewer, again, here)
		wantCode(t, "expired", err, "join_code.missing")
	})
}

func TestJoinWithApproval(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open())
		code, _, err := w.Orgs.MakeCode(ctx, w.Admin, w.Org, joinCode(w, func(c *org.JoinCode) { c.Approval, c.Group, c.MaxUses = true, org.Managers, 10 }))
		if err != nil {
			t.Fatal(err)
		}
		ask := func(a ledger.Actor) org.Joined {
			t.Helper()
			joined, err := w.Orgs.UseCode(ctx, a, code, here)
			if err != nil {
				t.Fatal(err)
			}
			return joined
		}
		if j := ask(w.Outside); j.State != org.Waiting || in(w, t, w.Outside.ID, w.Org, org.Managers) {
			t.Fatalf("%+v", j)
		}
		ask(w.Outside) // is one request
		ask(w.Member)
		for who, want := range map[*ledger.Actor]int{&w.Admin: 2, &w.Manager: 0, &w.Viewer: 0} {
			if found := must(w.Orgs.Requests(ctx, *who, w.Org)); len(found) != want {
				t.Errorf("%s sees %d requests, want %d", who.Name, len(found), want)
			}
		}
		mine := must(w.Orgs.MyRequests(ctx, w.Outside))
		if len(mine) != 1 || mine[0].Path != "Test Water Office" || mine[0].Body.State != org.Waiting {
			t.Fatalf("own requests: %+v", mine)
		}
		wantCode(t, "approved by the person itself", w.Orgs.Decide(ctx, w.Outside, mine[0].ID, true, ""), "join_request.denied")
		wantCode(t, "approved by a manager", w.Orgs.Decide(ctx, w.Manager, mine[0].ID, true, ""), "join_request.missing")
		if err := w.Orgs.Decide(ctx, w.Admin, mine[0].ID, true, ""); err != nil || !in(w, t, w.Outside.ID, w.Org, org.Managers) {
			t.Fatalf("approved: %v", err)
		}
		wantCode(t, "approved twice", w.Orgs.Decide(ctx, w.Admin, mine[0].ID, false, ""), "join_request.decided")
		other := must(w.Orgs.MyRequests(ctx, w.Member))[0]
		if err := w.Orgs.Decide(ctx, w.Admin, other.ID, false, "not now"); err != nil || in(w, t, w.Member.ID, w.Org, org.Managers) {
			t.Fatalf("declined: %v", err)
		}
		if q := must(w.Orgs.MyRequests(ctx, w.Member))[0]; q.Body.State != org.Declined || q.Body.Reason != "not now" {
			t.Errorf("declined: %+v", q)
		}
		if j := ask(w.Member); j.State != org.Waiting {
			t.Errorf("asking again: %+v", j)
		}

		// A newcomer who waits belongs to nothing yet.
		_, view, err := w.Orgs.NewcomerByCode(ctx, code, org.Answer{Name: "Neema", Email: "neema@example.org", Password: "sorghum-kettle-9"}, here)
		if err != nil {
			t.Fatal(err)
		}
		if got := must(w.Orgs.Organizations(ctx, ledger.Actor{ID: view.Account.ID, Kind: "account"})); len(got) != 0 {
			t.Errorf("belongs to %+v", got)
		}
	})
}

func TestJoinCodesCannotBeGuessed(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	code, _, err := w.Orgs.MakeCode(ctx, w.Admin, w.Org, joinCode(w, nil))
	if err != nil {
		t.Fatal(err)
	}
	const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	elsewhere := func(n int) account.Visit {
		return account.Visit{From: "198.51.100." + string(rune('0'+n%10)) + string(rune('0'+n/10%10))}
	}
	// One wrong character, and two neighbours that changed places, are told as typing mistakes.
	wrong := []string{"", "short", code + "0", code[:11], "U" + code[1:], strings.Repeat("0", 100), "ÄÖÜ" + code[3:]}
	for i := range code {
		other := alphabet[(strings.IndexByte(alphabet, code[i])+7)%32]
		wrong = append(wrong, code[:i]+string(other)+code[i+1:])
		if i > 0 && code[i] != code[i-1] {
			wrong = append(wrong, code[:i-1]+string(code[i])+string(code[i-1])+code[i+1:])
		}
	}
	for i, typed := range wrong {
		_, err := w.Orgs.LookAtCode(ctx, typed, elsewhere(i))
		wantCode(t, typed, err, "join_code.typed")
	}
	// From one address a few tries are allowed, then one in half a minute.
	var refused int
	for range 40 {
		if _, err := w.Orgs.LookAtCode(ctx, "AAAA-AAAA-AAAA", here); fault.KindOf(err) == fault.TooMany {
			refused++
		}
	}
	if refused != 30 {
		t.Errorf("%d of 40 tries refused, want 30", refused)
	}
	if _, err := w.Orgs.LookAtCode(ctx, code, account.Visit{From: "203.0.113.9"}); err != nil {
		t.Errorf("others are held up: %v", err)
	}
}
