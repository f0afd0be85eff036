package org_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

// TestMembersOfThePast: the people as they belonged, by the rights of today.
func TestMembersOfThePast(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open())
		north := w.Branch(t, w.Org, "North")
		guest := w.Person(t, "Gita Guest", north, org.Members)
		team, err := w.Orgs.CreateTeam(ctx, w.Admin, org.Team{Branch: north, Name: "Pumps"})
		if err != nil {
			t.Fatal(err)
		}
		in := w.Join(t, w.Member.ID, north, "team:"+team.ID)
		lists := func(at time.Time) string {
			t.Helper()
			all := map[string][]org.Member{}
			for _, actor := range []ledger.Actor{w.Admin, w.Viewer, w.Member} {
				var err error
				if at.IsZero() {
					all[actor.Name], err = w.Orgs.Members(ctx, actor, w.Org)
				} else {
					all[actor.Name], err = w.Orgs.MembersAt(ctx, actor, w.Org, at)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			text, err := json.MarshalIndent(all, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		at, before := w.Ledger.Now(), lists(time.Time{})
		if is := lists(at); is != before {
			t.Fatalf("as of now the lists are\n%s\nthey are\n%s", is, before)
		}
		w.Clock.Advance(time.Hour)
		if _, err := w.Orgs.UpdateBranch(ctx, w.Admin, north, 0, org.Branch{Name: "Upper north", Parent: w.Org}); err != nil {
			t.Fatal(err)
		}
		if err := w.Orgs.Leave(ctx, w.Admin, in, 0); err != nil {
			t.Fatal(err)
		}
		if err := w.Orgs.DeleteTeam(ctx, w.Admin, team.ID, 0); err != nil {
			t.Fatal(err)
		}
		w.Person(t, "Nora New", north, org.Members)
		middle := w.Ledger.Now()
		w.Clock.Advance(time.Hour)
		if is := lists(at); is != before {
			t.Fatalf("as of %s the lists are\n%s\nthey were\n%s", at, is, before)
		}

		// Who has left is known by name, with what he was then; his address is his own again.
		members := func(actor ledger.Actor, at time.Time) map[string]org.Member {
			t.Helper()
			list, err := w.Orgs.MembersAt(ctx, actor, w.Org, at)
			if err != nil {
				t.Fatal(err)
			}
			by := map[string]org.Member{}
			for _, m := range list {
				by[m.Account.Name] = m
			}
			return by
		}
		left := members(w.Admin, at)["Gita Guest"].Memberships
		if err := w.Orgs.Leave(ctx, w.Admin, left[0].ID, 0); err != nil {
			t.Fatal(err)
		}
		is := members(w.Viewer, middle)
		if g := is["Gita Guest"]; len(is) != 6 || len(g.Memberships) != 1 || g.Account.Email != "" || g.Memberships[0].BranchPath != "Test Water Office > Upper north" {
			t.Errorf("a viewer sees then: %+v", is)
		}
		if is["Nora New"].Account.Email == "" {
			t.Error("who still belongs has no address")
		}
		_, err = w.Orgs.MembersAt(ctx, guest, w.Org, middle)
		wantCode(t, "who has left looks back", err, "branch.missing")
		_, err = w.Orgs.MembersAt(ctx, w.Outside, w.Org, middle)
		wantCode(t, "an outsider looks back", err, "branch.missing")
		if is := members(w.Member, middle); len(is) != 1 {
			t.Errorf("a member sees of then: %+v, want only himself", is)
		}
	})
}
