package test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/qanat-water/qanat/test/rig"
)

type chains []struct {
	Allows bool
	Text   string
}

// TestAccessExplained: who may, why, what would change, and collaborators, over the API.
func TestAccessExplained(t *testing.T) {
	s := rig.New(t, "")
	second := s.Invite(s.Org, "admins", "Second Admin", "second@example.org")
	viewer := s.Invite(s.Org, "viewers", "Vera Viewer", "vera@example.org")
	place := rig.Post[rig.Doc[site]](second, "/sites", map[string]any{"org": s.Org, "body": site{Type: "water_point", Name: "Chipho", Branch: s.Org, Privacy: "private"}})
	on := "kind=site&id=" + place.ID

	who := rig.Get[struct {
		Everyone bool
		Count    int
		People   []struct {
			Principal, Name string
			Chains          chains
		}
	}](second, "/access/who?verb=see&"+on)
	if who.Everyone || who.Count != 3 || len(who.People) != 3 || !strings.Contains(who.People[1].Chains[0].Text, "Vera Viewer → viewers of ") {
		t.Errorf("who may see: %+v", who)
	}
	type why struct {
		Allowed bool
		Chains  chains
		Needed  []struct{ Text string }
	}
	if x := rig.Get[why](second, "/access/why?verb=edit&person="+viewer.ID+"&"+on); x.Allowed || len(x.Needed) == 0 {
		t.Errorf("why the viewer may not edit: %+v", x)
	}
	if x := rig.Get[why](viewer, "/access/why?verb=see&"+on); !x.Allowed || !x.Chains[0].Allows {
		t.Errorf("why I may see: %+v", x)
	}
	refused := func(c *rig.Client, method, path string, in any, code string) {
		t.Helper()
		var p *rig.Problem
		if err := c.Call(method, path, in, nil); !asProblem(err, &p) || p.Code != code {
			t.Errorf("%s %s: %v, want %s", method, path, err, code)
		}
	}
	refused(viewer, http.MethodGet, "/access/who?"+on, nil, "access.ask")
	refused(viewer, http.MethodGet, "/access/why?person="+second.ID+"&"+on, nil, "access.ask")
	refused(second, http.MethodGet, "/access/why?verb=fly&"+on, nil, "access.verb")
	refused(second, http.MethodPost, "/access/preview", map[string]any{}, "access.preview")

	grant := map[string]any{"thing": "site:" + place.ID, "principal": "person:" + viewer.ID, "role": "edit"}
	effect := rig.Post[struct {
		People []struct {
			Name string
			On   []struct{ Gains, Loses []string }
		}
	}](second, "/access/preview", map[string]any{"give": grant})
	if len(effect.People) != 1 || effect.People[0].Name != "Vera Viewer" || !slices.Equal(effect.People[0].On[0].Gains, []string{"edit"}) {
		t.Errorf("what would change: %+v", effect)
	}
	refused(viewer, http.MethodPost, "/access/preview", map[string]any{"give": grant}, "site.denied")
	if x := rig.Get[why](second, "/access/why?verb=edit&person="+viewer.ID+"&"+on); x.Allowed {
		t.Errorf("a preview gave the right: %+v", x)
	}
	rig.Post[rig.Doc[any]](second, "/grants", grant)
	if x := rig.Get[why](second, "/access/why?verb=edit&person="+viewer.ID+"&"+on); !x.Allowed || !strings.Contains(x.Chains[0].Text, "a grant gives them edit") {
		t.Errorf("after the grant: %+v", x)
	}
	lines := rig.Get[rig.List[struct {
		Name         string
		Collaborator bool
	}]](second, "/grants?thing=site:"+place.ID)
	if len(lines.Items) != 1 || lines.Items[0].Name != "Vera Viewer" || lines.Items[0].Collaborator {
		t.Errorf("grants: %+v", lines)
	}
	found := rig.Post[struct {
		Principal    string
		Collaborator bool
	}](second, "/access/find", map[string]any{"kind": "site", "id": place.ID, "email": "vera@example.org"})
	if found.Principal != "person:"+viewer.ID || found.Collaborator {
		t.Errorf("found: %+v", found)
	}
	refused(viewer, http.MethodPost, "/access/find", map[string]any{"kind": "site", "id": place.ID, "email": "vera@example.org"}, "site.denied")
	collaborators := rig.Get[struct{ Here, Elsewhere []any }](second, "/organizations/"+s.Org+"/collaborators")
	if len(collaborators.Here)+len(collaborators.Elsewhere) != 0 {
		t.Errorf("collaborators: %+v", collaborators)
	}
	rights := rig.Get[struct {
		Verbs []string
		Roles []struct{ Role string }
	}](viewer, "/access/rights/site")
	if len(rights.Roles) != 3 || !slices.Contains(rights.Verbs, "share") {
		t.Errorf("rights of sites: %+v", rights)
	}
}
