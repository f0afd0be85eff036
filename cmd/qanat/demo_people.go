package main

import (
	"context"

	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
)

const demoDistrict = "Nkhwali"

// demoPeople are the people of the demo and where they belong. A group that is
// no standing group is a team.
var demoPeople = []struct{ key, name, branch, group string }{
	{"thokozani", "Thokozani Phiri", "", org.Admins},
	{"precious", "Precious Zulu", "", org.Managers},
	{"ruth", "Ruth Chisale", "", org.Viewers},
	{"grace", "Grace Mbewe", "north", org.Managers},
	{"limbani", "Limbani Kachala", "south", org.Managers},
	{"chikondi", "Chikondi Banda", "north", "northern"},
	{"alinafe", "Alinafe Saka", "north", "northern"},
	{"yamikani", "Yamikani Tembo", "north", "northern"},
	{"tiyamike", "Tiyamike Jere", "south", "southern"},
	{"blessings", "Blessings Moyo", "south", "southern"},
	{"davie", "Davie Gondwe", "utility", org.Admins},
	{"esnath", "Esnath Maulana", "utility", "crew"},
}

// organize makes the organization with its branches, teams and people. Nobody
// has a password: sign-in links open the accounts.
func (d *demo) organize(ctx context.Context) error {
	system := ledger.System("qanat demo")
	organization, _, err := d.people.Bootstrap(ctx, system, demoDistrict+" District Water Office", "Thokozani Phiri", demoEmail("thokozani"))
	if err != nil {
		return err
	}
	open, err := d.people.Open(ctx, system, organization)
	if err != nil {
		return err
	}
	for _, i := range open { // nobody holds its link
		if err := d.people.Withdraw(ctx, system, i.ID); err != nil {
			return err
		}
	}
	m := &d.memory
	m.Org, m.Branches, m.Teams, m.People = organization, map[string]string{"": organization}, map[string]string{}, map[string]string{}
	for _, p := range demoPeople {
		err := d.ledger.Write(ctx, system, "account of the demo", func(tx *ledger.Tx) error {
			a, err := account.Create(tx, demoEmail(p.key), p.name, account.Hashed{})
			m.People[p.key] = a.ID
			return err
		})
		if err != nil {
			return err
		}
	}
	if _, err := d.people.Join(ctx, system, org.Membership{Person: m.People["thokozani"], Branch: organization, Group: org.Admins}); err != nil {
		return err
	}
	if err := d.ledger.Write(ctx, system, "server administrator of the demo", func(tx *ledger.Tx) error {
		_, err := access.Grants.Create(tx, "", "", access.OperatorGrant(m.People["thokozani"]))
		return err
	}); err != nil {
		return err
	}
	admin := d.person("thokozani")
	for _, b := range []struct{ key, name string }{{"north", "Mkwapatira Area Office"}, {"south", "Chimpeni Area Office"}, {"utility", demoDistrict + " Town Water"}} {
		made, err := d.people.CreateBranch(ctx, admin, org.Branch{Name: b.name, Parent: organization})
		if err != nil {
			return err
		}
		m.Branches[b.key] = made.ID
	}
	for _, t := range []struct{ key, branch, name string }{{"northern", "north", "Northern enumerators"}, {"southern", "south", "Southern enumerators"}, {"crew", "utility", "Network crew"}} {
		made, err := d.people.CreateTeam(ctx, admin, org.Team{Branch: m.Branches[t.branch], Name: t.name})
		if err != nil {
			return err
		}
		m.Teams[t.key] = made.ID
	}
	for _, p := range demoPeople[1:] {
		group := p.group
		if team, is := m.Teams[group]; is {
			group = "team:" + team
		}
		// By the server: an admin would have to invite each of them first.
		if _, err := d.people.Join(ctx, system, org.Membership{Person: m.People[p.key], Branch: m.Branches[p.branch], Group: group}); err != nil {
			return err
		}
	}
	return nil
}

func demoEmail(key string) string { return key + "@nkhwali.example" }
