package org

import (
	"regexp"
	"slices"

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
	SiteTypes  []string `json:"site_types,omitempty" doc:"ids of the site types whose sites can be seen in it"`
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

var colour = regexp.MustCompile(`^#[0-9a-f]{6}$`)

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
	for _, d := range w.Dashboards {
		if !id.Valid(d) {
			f.At("/dashboards", "not an identifier", "ids of dashboards")
		}
	}
	if len(f.Details) > 0 {
		return f
	}
	if err := inOrganization(tx, after.Org, "survey", "/surveys", w.Surveys); err != nil {
		return err
	}
	return inOrganization(tx, after.Org, "site_type", "/site_types", w.SiteTypes)
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
