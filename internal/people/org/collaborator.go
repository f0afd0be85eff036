package org

import (
	"context"
	"slices"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
)

const mostCollaborations = 500 // lines of each direction that are told

// Collaboration is a right that somebody has in an organization he does not belong to.
type Collaboration struct {
	Principal        string `json:"principal"`
	Name             string `json:"name" doc:"who has it, in words"`
	Organization     string `json:"organization" doc:"the other organization: where they come from, or where the thing is"`
	OrganizationName string `json:"organization_name"`
	Kind             string `json:"kind" doc:"of the thing"`
	Thing            string `json:"thing,omitempty" doc:"its id; only told to who may see it"`
	Title            string `json:"title,omitempty"`
	Role             string `json:"role"`
	Grant            string `json:"grant,omitempty" doc:"id of the grant; empty: it stands in a list of the thing"`
}

// Collaborations are an organization's, both ways.
type Collaborations struct {
	Here      []Collaboration `json:"here" doc:"people and groups of other organizations who have rights on things of this one"`
	Elsewhere []Collaboration `json:"elsewhere" doc:"people and groups of this organization who have rights on things of others"`
	More      bool            `json:"more" doc:"there are more than are told"`
}

// Collaborators lists who works here without belonging here, and who of here
// works elsewhere. Who sees the members of the whole organization may.
func (s *Service) Collaborators(ctx context.Context, actor ledger.Actor, organization string) (Collaborations, error) {
	found := Collaborations{}
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		found = Collaborations{Here: []Collaboration{}, Elsewhere: []Collaboration{}}
		set, err := access.Principals(r, actor)
		if err == nil {
			err = set.Require(r, access.See, access.Thing{Kind: "membership", Org: organization, Branch: organization})
		}
		if err != nil {
			return err
		}
		look := collaborators{r, set, organization, map[string][]string{}}
		if found.Here, err = look.lines(false, &found.More); err == nil {
			found.Elsewhere, err = look.lines(true, &found.More)
		}
		return err
	})
	return found, err
}

// collaborators looks for them in one snapshot.
type collaborators struct {
	r            *ledger.Reader
	set          *access.Set
	organization string
	homes        map[string][]string
}

func (c collaborators) lines(elsewhere bool, more *bool) ([]Collaboration, error) {
	held, err := access.Holdings(c.r, c.organization, elsewhere)
	list := []Collaboration{}
	for _, h := range held {
		if err != nil {
			break
		}
		home, known := c.homes[h.Principal]
		if !known {
			if home, err = access.HomeOf(c.r, h.Principal); err != nil {
				break
			}
			c.homes[h.Principal] = home
		}
		if slices.Contains(home, h.Org) || elsewhere && !slices.Contains(home, c.organization) {
			continue
		}
		if len(list) == mostCollaborations {
			*more = true
			break
		}
		var line Collaboration
		line, err = c.line(h, home, elsewhere)
		list = append(list, line)
	}
	return list, err
}

func (c collaborators) line(h access.Holding, home []string, elsewhere bool) (Collaboration, error) {
	line := Collaboration{Principal: h.Principal, Kind: h.Kind, Role: h.Role, Organization: h.Org}
	if !elsewhere {
		if line.Organization, line.Grant = "", h.Grant; len(home) > 0 {
			line.Organization = home[0]
		}
	}
	var err error
	if line.Name, err = access.NameOf(c.r, h.Principal); err != nil {
		return line, err
	}
	if line.Organization != "" {
		b, err := Branches.Get(c.r, line.Organization)
		if err != nil && fault.KindOf(err) != fault.NotFound {
			return line, err
		}
		line.OrganizationName = b.Body.Name
	}
	t, err := access.Describe(c.r, h.Kind, h.ID)
	if err == nil {
		err = c.set.Require(c.r, access.See, t)
	}
	if err == nil {
		line.Thing, line.Title = h.ID, t.Title()
	} else if kind := fault.KindOf(err); kind == fault.NotFound || kind == fault.Denied {
		err = nil
	}
	return line, err
}

// Found is a principal that somebody asked for by name.
type Found struct {
	Principal    string `json:"principal"`
	Name         string `json:"name"`
	Collaborator bool   `json:"collaborator" doc:"of another organization than the thing's"`
}

// Find looks for a person by the exact e-mail address, or for an organization by
// its exact name, to share a thing with. Who may share the thing may; he learns
// nobody's members by it. The door limits how often.
func (s *Service) Find(ctx context.Context, actor ledger.Actor, kind, thing, email, organization string) (Found, error) {
	var found Found
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		t, err := access.Describe(r, kind, thing)
		if err == nil {
			err = access.Require(r, actor, access.Share, t)
		}
		if err != nil {
			return err
		}
		if email != "" {
			found, err = byEmail(r, account.Normal(email))
		} else {
			found, err = byName(r, organization)
		}
		if err != nil {
			return err
		}
		home, err := access.HomeOf(r, found.Principal)
		found.Collaborator = !slices.Contains(home, t.Org)
		return err
	})
	return found, err
}

func byEmail(r *ledger.Reader, email string) (Found, error) {
	accounts, err := account.Accounts.List(r, "n.email = $1", email)
	if err != nil {
		return Found{}, err
	}
	if len(accounts) != 1 || accounts[0].Body.State != account.Active {
		return Found{}, fault.New(fault.NotFound, "account.missing", "Nobody with this e-mail address has an account here").
			At("/email", "unknown", "ask for the address they sign in with, or invite them")
	}
	return Found{Principal: "person:" + accounts[0].ID, Name: accounts[0].Body.Name}, nil
}

func byName(r *ledger.Reader, name string) (Found, error) {
	roots, err := Branches.List(r, "n.parent = ''")
	if err != nil {
		return Found{}, err
	}
	var found []Found
	for _, b := range roots {
		if strings.EqualFold(b.Body.Name, strings.TrimSpace(name)) {
			found = append(found, Found{Principal: "branch:" + b.ID, Name: b.Body.Name})
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return Found{}, fault.New(fault.NotFound, "branch.missing", "There is no organization of this name here").
			At("/organization", "unknown", "write the name exactly as its people write it")
	default:
		return Found{}, fault.New(fault.Conflict, "branch.ambiguous", "Several organizations have this name").
			At("/organization", "not unique", "share with a person by e-mail address instead")
	}
}

// WhatIfJoined is access.WhatIf for a new membership.
func (s *Service) WhatIfJoined(ctx context.Context, actor ledger.Actor, m Membership) (access.Effect, error) {
	return access.WhatIf(ctx, s.ledger, actor, access.Trial{
		Apply:     func(tx *ledger.Tx) error { _, err := Join(tx, m); return err },
		Principal: func(*ledger.Reader) (string, error) { return "person:" + m.Person, nil },
		On:        func(r *ledger.Reader) ([]access.Example, error) { return examples(r, m.Branch) },
	})
}

// WhatIfRegrouped is access.WhatIf for another group, or, when group is empty,
// for the end of a membership.
func (s *Service) WhatIfRegrouped(ctx context.Context, actor ledger.Actor, membership, group string) (access.Effect, error) {
	return access.WhatIf(ctx, s.ledger, actor, access.Trial{
		Apply: func(tx *ledger.Tx) error {
			if group == "" {
				return leave(tx, membership, 0)
			}
			_, err := regroup(tx, membership, 0, group)
			return err
		},
		Principal: func(r *ledger.Reader) (string, error) {
			m, err := Memberships.Get(r, membership)
			return "person:" + m.Body.Person, err
		},
		On: func(r *ledger.Reader) ([]access.Example, error) {
			m, err := Memberships.Get(r, membership)
			if err != nil {
				return nil, err
			}
			return examples(r, m.Body.Branch)
		},
	})
}

func examples(r *ledger.Reader, branch string) ([]access.Example, error) {
	b, err := Branches.Get(r, branch)
	if err != nil {
		return nil, unknownBranch("/branch", err)
	}
	return access.InBranchExamples(b.Org, b.ID), nil
}
