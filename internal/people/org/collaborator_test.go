package org_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

// place is a site as far as access asks for it.
type place struct{ Branch, Word string }

var places = &ledger.Noun[place]{Name: "site", Table: &ledger.Table[place]{
	Columns: []ledger.Column{{Name: "branch", Type: ledger.Text}, {Name: "word", Type: ledger.Text}},
	Row:     func(d ledger.Doc[place]) []any { return []any{d.Body.Branch, d.Body.Word} },
}}

var _ = access.Register(places, access.Columns{Branch: "branch", Word: "word"}, func(_ *ledger.Reader, d ledger.Doc[place]) (access.Thing, error) {
	return access.Thing{Branch: d.Body.Branch, Privacy: d.Body.Word, Name: "Chipho"}, nil
})

// Both organizations see that they work together, and neither learns more by it.
func TestCollaborators(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open(), places)
		other := w.Organization(t, "Other Charity")
		boss := w.Person(t, "Bea Boss", other, org.Admins)
		helper := w.Person(t, "Hal Helper", other, org.Members)
		var site string
		give := func(by ledger.Actor, principal, role string) error {
			return w.Ledger.Write(ctx, by, "", func(tx *ledger.Tx) error {
				_, err := access.Give(tx, access.Grant{Thing: "site:" + site, Principal: principal, Role: role})
				return err
			})
		}
		w.Write(t, func(tx *ledger.Tx) error {
			d, err := places.Create(tx, w.Org, "", place{w.Org, "private"})
			site = d.ID
			return err
		})
		var mail string
		w.Read(t, func(r *ledger.Reader) error {
			a, err := account.Accounts.Get(r, helper.ID)
			mail = a.Body.Email
			return err
		})

		found, err := w.Orgs.Find(ctx, w.Admin, "site", site, mail, "")
		if err != nil || found.Principal != "person:"+helper.ID || !found.Collaborator {
			t.Fatalf("by e-mail: %+v, %v", found, err)
		}
		group, err := w.Orgs.Find(ctx, w.Admin, "site", site, "", "other charity")
		if err != nil || group.Principal != "branch:"+other || !group.Collaborator {
			t.Fatalf("by name: %+v, %v", group, err)
		}
		own, err := w.Orgs.Find(ctx, w.Admin, "site", site, "", "Test Water Office")
		if err != nil || own.Collaborator {
			t.Errorf("the own organization: %+v, %v", own, err)
		}
		_, err = w.Orgs.Find(ctx, w.Admin, "site", site, "nobody@example.org", "")
		wantCode(t, "an unknown address", err, "account.missing")
		_, err = w.Orgs.Find(ctx, w.Admin, "site", site, "", "Other")
		wantCode(t, "a part of a name", err, "branch.missing")
		_, err = w.Orgs.Find(ctx, w.Viewer, "site", site, mail, "")
		wantCode(t, "who may not share", err, "site.denied")
		_, err = w.Orgs.Find(ctx, w.Outside, "site", site, mail, "")
		wantCode(t, "who does not see the site", err, "site.missing")

		for principal, role := range map[string]string{found.Principal: "edit", "group:" + other + "/admins": "view", "person:" + w.Viewer.ID: "edit", "everyone": "view"} {
			if err := give(w.Admin, principal, role); err != nil {
				t.Fatal(err)
			}
		}
		lines := func(list []org.Collaboration) (said []string) {
			for _, c := range list {
				said = append(said, fmt.Sprintf("%s (%s) %s on %q of a %s", c.Name, c.OrganizationName, c.Role, c.Title, c.Kind))
			}
			slices.Sort(said)
			return said
		}
		here, err := w.Orgs.Collaborators(ctx, w.Admin, w.Org)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{`Hal Helper (Other Charity) edit on "site Chipho" of a site`, `admins of Other Charity (Other Charity) view on "site Chipho" of a site`}
		if got := lines(here.Here); !slices.Equal(got, want) || len(here.Elsewhere) != 0 {
			t.Errorf("here: %q, want %q; elsewhere %v", got, want, here.Elsewhere)
		}
		there, err := w.Orgs.Collaborators(ctx, boss, other)
		if err != nil {
			t.Fatal(err)
		}
		want = []string{`Hal Helper (Test Water Office) edit on "site Chipho" of a site`, `admins of Other Charity (Test Water Office) view on "site Chipho" of a site`}
		if got := lines(there.Elsewhere); !slices.Equal(got, want) || len(there.Here) != 0 {
			t.Errorf("elsewhere: %q, want %q; here %v", got, want, there.Here)
		}
		auditor := w.Person(t, "Aud Auditor", other, org.Viewers) // sees the members, not the site: everyone is no reason after this
		if err := w.Ledger.Write(ctx, w.Admin, "", func(tx *ledger.Tx) error {
			all, err := access.Grants.List(tx.Reader, "n.principal = 'everyone'")
			if err != nil {
				return err
			}
			return access.TakeBack(tx, all[0].ID)
		}); err != nil {
			t.Fatal(err)
		}
		told, err := w.Orgs.Collaborators(ctx, auditor, other)
		if err != nil || len(told.Elsewhere) != 2 || told.Elsewhere[0].Title != "" || told.Elsewhere[0].Thing != "" {
			t.Errorf("whoever does not see the site: %+v, %v", told, err)
		}
		_, err = w.Orgs.Collaborators(ctx, w.Outside, w.Org)
		wantCode(t, "an outsider", err, "membership.missing")
		_, err = w.Orgs.Collaborators(ctx, w.Member, w.Org)
		wantCode(t, "a member", err, "membership.denied")
	})
}

// What a change of group would do is what it does.
func TestWhatIfOfAMembership(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open(), places)
		north := w.Branch(t, w.Org, "North")
		w.Write(t, func(tx *ledger.Tx) error {
			for range 3 {
				if _, err := places.Create(tx, w.Org, "", place{north, "private"}); err != nil {
					return err
				}
			}
			return nil
		})
		gains := func(e access.Effect) (gains, loses []access.Verb, before, after int64) {
			for _, p := range e.People {
				for _, on := range p.On {
					if on.Kind == "site" {
						gains, loses = on.Gains, on.Loses
					}
				}
			}
			for _, v := range e.Visible {
				if v.Kind == "site" {
					before, after = v.Before, v.After
				}
			}
			return gains, loses, before, after
		}
		e, err := w.Orgs.WhatIfJoined(ctx, w.Admin, org.Membership{Person: w.Member.ID, Branch: north, Group: org.Viewers})
		if err != nil {
			t.Fatal(err)
		}
		if got, lost, before, after := gains(e); !slices.Contains(got, access.See) || len(lost) != 0 || before != 0 || after != 3 {
			t.Errorf("joining: gains %v, loses %v, sees %d and then %d sites", got, lost, before, after)
		}
		joined, err := w.Orgs.Join(ctx, w.Admin, org.Membership{Person: w.Member.ID, Branch: north, Group: org.Managers})
		if err != nil {
			t.Fatal(err)
		}
		e, err = w.Orgs.WhatIfRegrouped(ctx, w.Admin, joined.ID, org.Viewers)
		if err != nil {
			t.Fatal(err)
		}
		if got, lost, before, after := gains(e); len(got) != 0 || !slices.Contains(lost, access.Edit) || before != 3 || after != 3 {
			t.Errorf("less: gains %v, loses %v, sees %d and then %d sites", got, lost, before, after)
		}
		e, err = w.Orgs.WhatIfRegrouped(ctx, w.Admin, joined.ID, "")
		if err != nil {
			t.Fatal(err)
		}
		if got, lost, before, after := gains(e); len(got) != 0 || !slices.Contains(lost, access.See) || before != 3 || after != 0 {
			t.Errorf("leaving: gains %v, loses %v, sees %d and then %d sites", got, lost, before, after)
		}
		var own string
		w.Read(t, func(r *ledger.Reader) error {
			m, err := org.Memberships.List(r, "n.person = $1", w.Admin.ID)
			own = m[0].ID
			return err
		})
		_, err = w.Orgs.WhatIfRegrouped(ctx, w.Admin, own, "")
		wantCode(t, "the last admin leaves", err, "membership.last-admin")
		if _, err = w.Orgs.WhatIfJoined(ctx, w.Viewer, org.Membership{Person: w.Member.ID, Branch: north, Group: org.Admins}); fault.KindOf(err) != fault.Denied {
			t.Errorf("a viewer tries: %v", err)
		}
		w.Read(t, func(r *ledger.Reader) error { // nothing of it has happened
			m, err := org.Memberships.List(r, "n.person = $1", w.Member.ID)
			if len(m) != 2 {
				t.Errorf("%d memberships after the trials, want 2", len(m))
			}
			return err
		})
	})
}
