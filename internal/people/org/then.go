package org

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
)

// MembersAt lists the people of an organization as they belonged to it at a time.
// Branches and teams have the names of then, people those of today. Who belongs to
// the organization no longer is there without an address: what it has become since
// is not the organization's to know.
func (s *Service) MembersAt(ctx context.Context, actor ledger.Actor, organization string, at time.Time) ([]Member, error) {
	tree, err := s.TreeAt(ctx, actor, organization, at)
	if err != nil {
		return nil, err
	}
	paths, teams := tree.paths(), tree.teamNames()
	members := []Member{}
	err = s.ledger.Read(ctx, func(r *ledger.Reader) error {
		past, err := r.At(organization, at)
		if err != nil {
			return err
		}
		set, err := access.Principals(r, actor)
		if err != nil {
			return err
		}
		where, args, err := set.VisibleThen(Memberships.Name, access.See)
		if err != nil {
			return err
		}
		where, args = where+" AND n.org = $"+itoa(len(args)+1), append(args, organization)
		held, err := Memberships.List(past, where+" ORDER BY n.id", args...)
		if err != nil {
			return err
		}
		people := map[string]*Member{}
		rows := past.Query(`SELECT a.id, a.name, CASE WHEN EXISTS (SELECT 1 FROM membership m WHERE m.person = a.id AND m.org = $`+itoa(len(args))+`) THEN a.email ELSE '' END
			FROM account a WHERE a.id IN (SELECT n.person FROM `+past.From(Memberships.Name)+` n WHERE `+where+`)`, args...)
		for rows.Next() {
			var p account.Person
			rows.Scan(&p.ID, &p.Name, &p.Email)
			people[p.ID] = &Member{Account: p}
		}
		if err := rows.Close(); err != nil {
			return err
		}
		for _, m := range held {
			if of := people[m.Body.Person]; of != nil { // an account that was erased is nobody
				of.Memberships = append(of.Memberships, heldBy(m, paths, teams))
			}
		}
		members = members[:0]
		for _, m := range people {
			members = append(members, *m)
		}
		slices.SortFunc(members, func(a, b Member) int {
			return cmp.Or(cmp.Compare(a.Account.Name, b.Account.Name), cmp.Compare(a.Account.ID, b.Account.ID))
		})
		return nil
	})
	return members, err
}

func heldBy(m ledger.Doc[Membership], paths, teams map[string]string) Held {
	h := Held{ID: m.ID, Revision: m.Revision, Branch: m.Body.Branch, BranchPath: paths[m.Body.Branch], Group: m.Body.Group, GroupName: m.Body.Group, Until: m.Body.Until}
	if name, is := teams[m.Body.Group]; is {
		h.GroupName = name
	}
	return h
}

// teamNames is the name of each team by its group.
func (t Tree) teamNames() map[string]string {
	names := map[string]string{}
	for _, team := range t.Teams {
		names["team:"+team.ID] = team.Body.Name
	}
	return names
}
