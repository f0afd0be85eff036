package web

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/org"
)

// A preview has the ledger's one place of the writer for a moment, and a search
// for a principal tells whether an address has an account: so neither can be
// asked for without end.
const (
	maxPreviews      = 2
	maxPreviewsOfOne = 1
	findRate         = 0.1 // of one person each second
	findBurst        = 20
)

// AskedThing names a thing and a verb. It is exported, as all parts of requests are.
type AskedThing struct {
	Kind string `query:"kind" required:"true" maxLength:"40" doc:"site, survey, deployment, response, device …"`
	ID   string `query:"id" required:"true" format:"uuid"`
	Verb string `query:"verb" default:"see" maxLength:"20"`
}

type whyQuery struct {
	AskedThing
	Person string `query:"person" maxLength:"40" doc:"whom it is about; without one of these three: myself"`
	Token  string `query:"token" maxLength:"40"`
	Phone  string `query:"phone" maxLength:"40"`
}

func (s *server) why(ctx context.Context, actor ledger.Actor, in *whyQuery) (*Body[access.Explanation], error) {
	about := ""
	for kind, id := range map[string]string{"person:": in.Person, "token:": in.Token, "phone:": in.Phone} {
		if id != "" && about != "" {
			return nil, fault.New(fault.Invalid, "access.who", "Ask about one at a time").At("person", "more than one is named", "name a person, a token or a phone")
		}
		if id != "" {
			about = kind + id
		}
	}
	var x access.Explanation
	err := s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		t, err := access.Describe(r, in.Kind, in.ID)
		if err == nil {
			x, err = access.Why(r, actor, about, access.Verb(in.Verb), t)
		}
		return err
	})
	return body(x, err)
}

type whoQuery struct {
	AskedThing
	After string `query:"after" maxLength:"300" doc:"cursor of the page before"`
}

func (s *server) who(ctx context.Context, actor ledger.Actor, in *whoQuery) (*Body[access.Audience], error) {
	var a access.Audience
	err := s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		t, err := access.Describe(r, in.Kind, in.ID)
		if err == nil {
			a, err = access.Who(r, actor, access.Verb(in.Verb), t, in.After)
		}
		return err
	})
	return body(a, err)
}

// RightsOfKind are what can be given and done on a kind of thing.
type RightsOfKind struct {
	Verbs []access.Verb `json:"verbs"`
	Roles []RoleOfKind  `json:"roles" doc:"that a grant can give; none: this kind takes no grants"`
}

// RoleOfKind is what a role may.
type RoleOfKind struct {
	Role string        `json:"role"`
	May  []access.Verb `json:"may" doc:"in some state of the thing at least"`
}

type kindQuery struct {
	Kind string `path:"kind" maxLength:"40"`
}

func (s *server) rightsOfKind(_ context.Context, _ ledger.Actor, in *kindQuery) (*Body[RightsOfKind], error) {
	out := RightsOfKind{Verbs: access.VerbsOf(in.Kind), Roles: []RoleOfKind{}}
	if len(out.Verbs) == 0 {
		return nil, fault.New(fault.NotFound, "access.kind", "There is no such kind of thing")
	}
	for _, role := range access.GrantRoles(in.Kind) {
		may := RoleOfKind{Role: role, May: []access.Verb{}}
		for _, rule := range access.RulesOf(in.Kind) {
			for _, v := range rule.May {
				if slices.Contains(rule.Who, role) && !slices.Contains(may.May, v) {
					may.May = append(may.May, v)
				}
			}
		}
		out.Roles = append(out.Roles, may)
	}
	return body(out, nil)
}

type previewRequest struct {
	Body struct {
		Give     *access.Grant `json:"give,omitempty" doc:"a grant to be"`
		TakeBack string        `json:"take_back,omitempty" maxLength:"40" doc:"id of a grant"`
		Join     *Joining      `json:"join,omitempty"`
		Leave    string        `json:"leave,omitempty" maxLength:"40" doc:"id of a membership"`
		Regroup  *Regrouping   `json:"regroup,omitempty"`
	}
}

// Joining puts a person into a group.
type Joining struct {
	Person string `json:"person" format:"uuid"`
	Branch string `json:"branch" format:"uuid"`
	Group  string `json:"group" maxLength:"60" doc:"admins, managers, viewers, members, or team:<id>"`
}

// Regrouping changes a membership's group.
type Regrouping struct {
	Membership string `json:"membership" format:"uuid"`
	Group      string `json:"group" minLength:"1" maxLength:"60"`
}

func (s *server) accessPreview(ctx context.Context, actor ledger.Actor, in *previewRequest) (*Body[access.Effect], error) {
	free, ok := s.previews.Take(actor.ID)
	if !ok {
		return nil, fault.New(fault.TooMany, "access.busy", "Other changes of rights are being tried out").After(time.Second).WithMend("Try again in a moment")
	}
	defer free()
	b := &in.Body
	var asked []func() (access.Effect, error)
	if b.Give != nil {
		asked = append(asked, func() (access.Effect, error) { return access.WhatIfGiven(ctx, s.Ledger, actor, *b.Give) })
	}
	if b.TakeBack != "" {
		asked = append(asked, func() (access.Effect, error) { return access.WhatIfTakenBack(ctx, s.Ledger, actor, b.TakeBack) })
	}
	if b.Join != nil {
		m := org.Membership{Person: b.Join.Person, Branch: b.Join.Branch, Group: b.Join.Group}
		asked = append(asked, func() (access.Effect, error) { return s.People.WhatIfJoined(ctx, actor, m) })
	}
	if b.Leave != "" {
		asked = append(asked, func() (access.Effect, error) { return s.People.WhatIfRegrouped(ctx, actor, b.Leave, "") })
	}
	if b.Regroup != nil {
		asked = append(asked, func() (access.Effect, error) {
			return s.People.WhatIfRegrouped(ctx, actor, b.Regroup.Membership, b.Regroup.Group)
		})
	}
	if len(asked) != 1 {
		return nil, fault.New(fault.Invalid, "access.preview", "Try one change at a time").
			At("/", "none, or more than one", "send one of give, take_back, join, leave and regroup")
	}
	return body(asked[0]())
}

type findRequest struct {
	Body struct {
		Kind         string `json:"kind" maxLength:"40" doc:"of the thing that is to be shared"`
		ID           string `json:"id" format:"uuid"`
		Email        string `json:"email,omitempty" maxLength:"254" doc:"of a person, exactly"`
		Organization string `json:"organization,omitempty" maxLength:"100" doc:"name of an organization, exactly"`
	}
}

func (s *server) find(ctx context.Context, actor ledger.Actor, in *findRequest) (*Body[org.Found], error) {
	if ok, wait := s.finds.Allow(actor.ID); !ok {
		return nil, fault.New(fault.TooMany, "access.find", "You have looked for many people in a short time").After(wait).WithMend("Wait a moment")
	}
	if (in.Body.Email == "") == (in.Body.Organization == "") {
		return nil, fault.New(fault.Invalid, "access.who", "Look for a person or for an organization").
			At("/email", "both or none", "send an e-mail address or the name of an organization")
	}
	return body(s.People.Find(ctx, actor, in.Body.Kind, in.Body.ID, in.Body.Email, in.Body.Organization))
}

func (s *server) collaborators(ctx context.Context, actor ledger.Actor, in *ByID) (*Body[org.Collaborations], error) {
	return body(s.People.Collaborators(ctx, actor, in.ID))
}

// GrantLine is a grant with the name of whom it is given to.
type GrantLine struct {
	ledger.Doc[access.Grant]
	Name         string `json:"name" doc:"of the principal, in words, today"`
	Collaborator bool   `json:"collaborator" doc:"the principal is of another organization than the thing, today"`
}

func grantLines(r *ledger.Reader, thing access.Thing, grants []ledger.Doc[access.Grant]) ([]GrantLine, error) {
	lines := []GrantLine{}
	for _, g := range grants {
		name, err := access.NameOf(r, g.Body.Principal)
		if err != nil {
			return nil, err
		}
		home, err := access.HomeOf(r, g.Body.Principal)
		if err != nil {
			return nil, err
		}
		// a team or branch that was here once and is gone has no home
		comes := strings.HasPrefix(g.Body.Principal, "person:") || len(home) > 0
		lines = append(lines, GrantLine{g, name, comes && !slices.Contains(home, thing.Org)})
	}
	return lines, nil
}
