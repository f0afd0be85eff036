package org

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/id"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// Workspace locks people of an organization to a part of it: who is named by one
// sees of the organization only what his workspaces name. Admins of the
// organization are never locked. The locking is done by people/access.
type Workspace struct {
	Name       string   `json:"name"`
	Colour     string   `json:"colour,omitempty" doc:"of its banner in the portal: #rrggbb; empty: the portal's own"`
	People     []string `json:"people,omitempty" doc:"principals that are locked into it"`
	Surveys    []string `json:"surveys,omitempty" doc:"ids of the surveys that can be seen in it"`
	SiteTypes  []string `json:"site_types,omitempty" doc:"keys of the site types whose sites can be seen in it, for example water_point"`
	Dashboards []string `json:"dashboards,omitempty"`
	Presets    []string `json:"presets,omitempty" doc:"roles that its people may give to others"`
}

const maxInWorkspace = 500

// Workspaces is the noun of workspaces.
var Workspaces = ledger.Noun[Workspace]{
	Name: "workspace",
	Table: &ledger.Table[Workspace]{
		Columns: []ledger.Column{
			{Name: "people", Type: ledger.Text}, {Name: "surveys", Type: ledger.Text}, {Name: "types", Type: ledger.Text}, {Name: "presets", Type: ledger.Text},
			{Name: "name", Type: ledger.Text}, {Name: "sibling", Type: ledger.Text},
		},
		Unique:  [][]string{{"sibling"}},
		Indexes: [][]string{{"org"}},
		Row: func(d ledger.Doc[Workspace]) []any {
			b := d.Body
			return []any{access.ListText(b.People), access.ListText(b.Surveys), access.ListText(b.SiteTypes), access.ListText(b.Presets),
				b.Name, sibling(d.Org, "", b.Name)}
		},
	},
}

var _ = access.Register(&Workspaces, access.Columns{Branch: "org"}, func(_ *ledger.Reader, d ledger.Doc[Workspace]) (access.Thing, error) {
	return access.Thing{Branch: d.Org, Name: d.Body.Name}, nil
})

var (
	colour  = regexp.MustCompile(`^#[0-9a-f]{6}$`)
	typeKey = regexp.MustCompile(`^[a-z][a-z0-9_]{0,79}$`)
)

func checkWorkspace(tx *ledger.Tx, _, after *ledger.Doc[Workspace]) error {
	if after == nil {
		return nil
	}
	w := after.Body
	if err := checkName("workspace", w.Name); err != nil {
		return err
	}
	f := fault.New(fault.Invalid, "workspace.invalid", "This workspace cannot be kept")
	if w.Colour != "" && !colour.MatchString(w.Colour) {
		f.At("/colour", "not a colour", "six hexadecimal digits after #, for example #1b5e78")
	}
	for place, list := range map[string][]string{"/people": w.People, "/surveys": w.Surveys, "/site_types": w.SiteTypes, "/dashboards": w.Dashboards, "/presets": w.Presets} {
		if len(list) > maxInWorkspace {
			return fault.Newf(fault.Invalid, "workspace.size", "A workspace names at most %d of a kind", maxInWorkspace).At(place, "too long", "name teams or branches, or make two workspaces")
		}
	}
	for _, p := range w.People {
		if !access.ValidPrincipal(p) || p == "everyone" {
			f.At("/people", "not a principal that can be locked", "person:<id>, team:<id>, branch:<id> or group:<branch>/managers|viewers|members")
		}
	}
	for _, role := range w.Presets {
		if !slices.Contains(Presets(), role) {
			f.At("/presets", "unknown role", "some of the roles that grants give on surveys, deployments and sites")
		}
	}
	for _, key := range w.SiteTypes { // built-in types have no documents: a type is known by its key
		if !typeKey.MatchString(key) {
			f.At("/site_types", "not the key of a site type", "small letters, digits and _, for example water_point")
		}
	}
	for _, d := range w.Dashboards {
		if !id.Valid(d) {
			f.At("/dashboards", "not an identifier", "ids of dashboards")
		}
	}
	if len(f.Details) > 0 {
		return f
	}
	return inOrganization(tx, after.Org, "survey", "/surveys", w.Surveys)
}

// Presets are the roles that may be given inside a workspace.
func Presets() []string {
	var all []string
	for _, kind := range []string{"survey", "deployment", "site"} {
		for _, role := range access.GrantRoles(kind) {
			if !slices.Contains(all, role) {
				all = append(all, role)
			}
		}
	}
	return all
}

// inOrganization refuses ids that are no documents of a kind of higher floors in
// the organization; what belongs to the server itself is everybody's.
func inOrganization(tx *ledger.Tx, organization, kind, place string, ids []string) error {
	for _, doc := range ids {
		in, is, found, err := tx.OrgOf(doc)
		if err != nil {
			return err
		}
		if !found || is != kind || in != organization && in != "" {
			return fault.Newf(fault.Invalid, "workspace.unknown", "%.60q is not in this organization", doc).
				At(place, "unknown", "name what is in the organization")
		}
	}
	return nil
}

// Workspaces are those of an organization, by name; its admins may see them.
func (s *Service) Workspaces(ctx context.Context, actor ledger.Actor, organization string) ([]ledger.Doc[Workspace], error) {
	var found []ledger.Doc[Workspace]
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		if err := access.Require(r, actor, access.See, access.Thing{Kind: "branch", ID: organization, Org: organization, Branch: organization}); err != nil {
			return err
		}
		where, args, err := access.Visible(r, actor, "workspace")
		if err != nil {
			return err
		}
		args = append(args, organization)
		found, err = Workspaces.List(r, where+" AND n.org = $"+itoa(len(args))+" ORDER BY n.name, n.id", args...)
		return err
	})
	return found, err
}

// MakeWorkspace makes a workspace; admins of the organization may.
func (s *Service) MakeWorkspace(ctx context.Context, actor ledger.Actor, organization string, w Workspace) (ledger.Doc[Workspace], error) {
	var made ledger.Doc[Workspace]
	err := s.ledger.Write(ctx, actor, "", func(tx *ledger.Tx) (err error) {
		if err := access.Require(tx.Reader, actor, access.Create, access.Thing{Kind: "workspace", Org: organization, Branch: organization}); err != nil {
			return err
		}
		made, err = Workspaces.Create(tx, organization, "", w.tidy())
		return err
	})
	return made, err
}

// ChangeWorkspace changes a workspace. It holds for its people at their next request.
func (s *Service) ChangeWorkspace(ctx context.Context, actor ledger.Actor, workspace string, ifRevision int64, w Workspace) (ledger.Doc[Workspace], error) {
	var made ledger.Doc[Workspace]
	err := s.ledger.Write(ctx, actor, "", func(tx *ledger.Tx) (err error) {
		if err := require(tx, "workspace", workspace, access.Edit); err != nil {
			return err
		}
		made, err = Workspaces.Update(tx, workspace, ifRevision, func(d *Workspace) error { *d = w.tidy(); return nil })
		return err
	})
	return made, err
}

// DeleteWorkspace deletes a workspace: its people see again what their groups allow,
// unless another workspace names them.
func (s *Service) DeleteWorkspace(ctx context.Context, actor ledger.Actor, workspace string, ifRevision int64) error {
	return s.ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error {
		if err := require(tx, "workspace", workspace, access.Delete); err != nil {
			return err
		}
		return Workspaces.Delete(tx, workspace, ifRevision)
	})
}

// tidy is a workspace with each thing named once.
func (w Workspace) tidy() Workspace {
	w.Name, w.Colour = strings.TrimSpace(w.Name), strings.ToLower(w.Colour)
	for _, list := range []*[]string{&w.People, &w.Surveys, &w.SiteTypes, &w.Dashboards, &w.Presets} {
		once := slices.Clone(*list)
		slices.Sort(once)
		*list = slices.Compact(once)
	}
	return w
}

// Inside is a workspace as a person who is locked into it sees it.
type Inside struct {
	ID        string   `json:"id"`
	Org       string   `json:"org"`
	Name      string   `json:"name"`
	Colour    string   `json:"colour,omitempty" doc:"#rrggbb"`
	Surveys   []string `json:"surveys"`
	SiteTypes []string `json:"site_types"`
}

// LockedInto are the workspaces that a person is locked into, by organization and name.
func (s *Service) LockedInto(ctx context.Context, actor ledger.Actor) ([]Inside, error) {
	inside := []Inside{}
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		inside = inside[:0]
		var one int
		if any, err := r.Row([]any{&one}, "SELECT 1 FROM workspace LIMIT 1"); err != nil || !any {
			return err
		}
		who, err := access.Principals(r, actor)
		if err != nil {
			return err
		}
		found, err := Workspaces.List(r, `n.org IN (SELECT m.org FROM membership m WHERE m.person = $1) AND n.org NOT IN
			(SELECT m.org FROM membership m WHERE m.person = $1 AND m.branch = m.org AND m.standing = 'admins') ORDER BY n.org, n.name, n.id`, actor.ID)
		if err != nil {
			return err
		}
		for _, w := range found {
			for _, p := range w.Body.People {
				in, err := who.Is(r, p)
				if err != nil {
					return err
				}
				if in {
					inside = append(inside, Inside{w.ID, w.Org, w.Body.Name, w.Body.Colour, some(w.Body.Surveys), some(w.Body.SiteTypes)})
					break
				}
			}
		}
		return nil
	})
	return inside, err
}

func some(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// staysInside refuses that somebody gets out of a workspace by giving up the group
// that it names, and keeps another. Who leaves altogether may.
func staysInside(tx *ledger.Tx, m *ledger.Doc[Membership]) error {
	if tx.Actor.Kind != "account" || tx.Actor.ID != m.Body.Person {
		return nil
	}
	locked := access.Outside(tx, m.Org)
	if locked == nil || fault.KindOf(locked) != fault.Denied {
		return locked
	}
	var one int
	if another, err := tx.Row([]any{&one}, "SELECT 1 FROM membership WHERE org = $1 AND person = $2 AND id <> $3 LIMIT 1", m.Org, m.Body.Person, m.ID); err != nil || !another {
		return err
	}
	return fault.New(fault.Denied, "workspace.locked", "Who works inside a workspace does not change the own groups").WithMend("Ask an admin of the organization")
}
