package survey_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/field/survey"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/org"
)

// classed is the visit with a class on the pump's depth, and the name without its mark.
func classed(w *world, class string) []byte {
	xml := bytes.Replace(w.visit, []byte(` qanat:confidential="yes"`), []byte(` qanat:class="`+class+`"`), 1)
	return bytes.ReplaceAll(xml, []byte(`id="pump_visit"`), []byte(`id="visit_`+class+`"`))
}

func fresh(w *world, a ledger.Actor) ledger.Actor {
	a.Factor = w.Ledger.Now()
	return a
}

func TestDeploymentsObeyThePolicy(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		north := w.Branch(t, w.Org, "North")
		elsewhere := w.Organization(t, "Other Office")
		ours, admin, theirs := "person:"+w.Member.ID, "person:"+w.Admin.ID, "person:"+w.Outside.ID
		check := func(p ...string) []survey.Stage { return []survey.Stage{{Name: "check", Approvers: p}} }
		for _, class := range []string{"public", "organization", "confidential"} {
			s := must[ledger.Doc[survey.Survey]](t)(w.surveys.CreateFromXForm(ctx, w.Admin, w.Org, north, classed(w, class)))
			for _, test := range []struct {
				what string
				d    survey.Deployment
				ok   string // classes that may be deployed so
			}{
				{"nobody", survey.Deployment{}, "public organization confidential"},
				{"everyone answers", survey.Deployment{Enumerators: []string{"everyone"}}, "public"},
				{"an outsider answers", survey.Deployment{Enumerators: []string{theirs}}, "public"},
				{"a member answers", survey.Deployment{Enumerators: []string{ours}}, "public organization confidential"},
				{"everyone looks", survey.Deployment{Viewers: []string{"everyone"}}, "public"},
				{"another organization's branch looks", survey.Deployment{Viewers: []string{"branch:" + elsewhere}}, "public"},
				{"another organization's admins look", survey.Deployment{Viewers: []string{"group:" + elsewhere + "/admins"}}, "public"},
				{"a branch looks", survey.Deployment{Viewers: []string{"branch:" + north}}, "public organization"},
				{"members approve", survey.Deployment{Stages: check("group:" + w.Org + "/members")}, "public organization"},
				{"managers manage", survey.Deployment{Managers: []string{"group:" + w.Org + "/managers"}}, "public organization"},
				{"a member administers", survey.Deployment{Admins: []string{ours}}, "public organization"},
				{"admins look, approve and manage", survey.Deployment{Viewers: []string{admin}, Stages: check("group:" + north + "/admins"), Managers: []string{"group:" + w.Org + "/admins"}}, "public organization confidential"},
				{"a token that is not there looks", survey.Deployment{Viewers: []string{"token:" + w.Org}}, "public"},
			} {
				test.d.Survey, test.d.Name, test.d.Active = s.ID, test.what, true
				_, err := w.surveys.Deploy(ctx, w.Admin, test.d)
				if ok := strings.Contains(test.ok, class); ok && err != nil {
					t.Errorf("%s, %s: %v", class, test.what, err)
				} else if !ok {
					wantCode(t, class+", "+test.what, err, "policy.share")
					if text := fault.From(err).Error(); !strings.Contains(text, "class "+class) || !strings.Contains(text, "Name of") {
						t.Errorf("%s, %s: the rule or the question is not named: %s", class, test.what, text)
					}
				}
			}
		}
	})
}

func TestTighterPolicyListsWhatBreaksIt(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := must[ledger.Doc[survey.Survey]](t)(w.surveys.CreateFromXForm(ctx, w.Admin, w.Org, w.Org, classed(w, "organization")))
		deploy := survey.Deployment{Survey: s.ID, Name: "March", Active: true, Viewers: []string{"group:" + w.Org + "/viewers"}, Enumerators: []string{"person:" + w.Member.ID}}
		d := must[ledger.Doc[survey.Deployment]](t)(w.surveys.Deploy(ctx, w.Admin, deploy))
		other := must[ledger.Doc[survey.Deployment]](t)(w.surveys.Deploy(ctx, w.Admin, deploy))
		if found := must[[]survey.Breaking](t)(w.surveys.Breaking(ctx, w.Admin, w.Org)); len(found) != 0 {
			t.Fatalf("%+v", found)
		}
		strict := org.Policy{SitePrivacy: "protected", Share: map[string]string{"organization": org.Administrators}}
		must[ledger.Doc[org.Policy]](t)(w.Orgs.WritePolicy(ctx, w.Admin, w.Org, 0, "", strict))

		_, err := w.surveys.Breaking(ctx, w.Manager, w.Org)
		wantCode(t, "listed for a manager", err, "policy.denied")
		found := must[[]survey.Breaking](t)(w.surveys.Breaking(ctx, w.Admin, w.Org))
		if len(found) != 2 || len(found[0].Breaches) != 1 || found[0].Breaches[0].Name != "the viewers of Test Water Office" || found[0].Breaches[0].Place != "/viewers/0" {
			t.Fatalf("%+v", found)
		}

		// It cannot be changed, but narrowed or closed.
		rename := func(id string) error {
			_, err := w.surveys.ChangeDeployment(ctx, w.Admin, id, 0, "", func(d *survey.Deployment) error { d.Name += "!"; return nil })
			return err
		}
		wantCode(t, "renamed", rename(d.ID), "policy.share")
		must[ledger.Doc[survey.Deployment]](t)(w.surveys.SetActive(ctx, w.Admin, d.ID, false))
		_, err = w.surveys.SetActive(ctx, w.Admin, d.ID, true)
		wantCode(t, "opened again", err, "policy.share")
		must[ledger.Doc[survey.Deployment]](t)(w.surveys.ChangeDeployment(ctx, w.Admin, d.ID, 0, "", func(d *survey.Deployment) error { d.Viewers = nil; return nil }))
		if err := rename(d.ID); err != nil {
			t.Errorf("mended: %v", err)
		}

		// Or accepted, by an admin of the organization, as it is and no further.
		_, err = w.surveys.AcceptBreaches(ctx, fresh(w, w.Admin), other.ID, " ")
		wantCode(t, "accepted without a reason", err, "policy.reason")
		_, err = w.surveys.AcceptBreaches(ctx, w.Admin, other.ID, "donor's report")
		wantCode(t, "accepted with an old factor", err, "session.step-up")
		_, err = w.surveys.AcceptBreaches(ctx, fresh(w, w.Viewer), other.ID, "mine")
		wantCode(t, "accepted by a viewer", err, "policy.denied")
		_, err = w.surveys.ChangeDeployment(ctx, w.Admin, other.ID, 0, "", func(d *survey.Deployment) error {
			d.Accepted = []string{"organization group:" + w.Org + "/viewers"}
			return nil
		})
		if err != nil {
			t.Errorf("an admin of the organization: %v", err)
		}
		accepted := must[ledger.Doc[survey.Deployment]](t)(w.surveys.AcceptBreaches(ctx, fresh(w, w.Admin), other.ID, "donor's report"))
		if err := rename(other.ID); err != nil || len(accepted.Body.Accepted) != 1 {
			t.Errorf("accepted: %+v, %v", accepted.Body, err)
		}
		if found := must[[]survey.Breaking](t)(w.surveys.Breaking(ctx, w.Admin, w.Org)); len(found) != 1 || !found[0].Breaches[0].Accepted {
			t.Errorf("still listed, as accepted: %+v", found)
		}
		_, err = w.surveys.ChangeDeployment(ctx, w.Admin, other.ID, 0, "", func(d *survey.Deployment) error {
			d.Viewers = append(d.Viewers, "group:"+w.Org+"/members")
			return nil
		})
		wantCode(t, "another one after accepting", err, "policy.share")
	})
}

// Nobody gets round the policy by a grant, or by a version of the form that asks more.
func TestPolicyHoldsForGrantsAndVersions(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := must[ledger.Doc[survey.Survey]](t)(w.surveys.CreateFromXForm(ctx, w.Admin, w.Org, w.Org, classed(w, "organization")))
		d := must[ledger.Doc[survey.Deployment]](t)(w.surveys.Deploy(ctx, w.Admin, survey.Deployment{Survey: s.ID, Name: "March", Active: true}))
		give := func(thing, role, principal string) error {
			return w.Ledger.Write(ctx, w.Admin, "", func(tx *ledger.Tx) error {
				_, err := access.Give(tx, access.Grant{Thing: thing, Role: role, Principal: principal})
				return err
			})
		}
		wantCode(t, "a grant to an outsider", give("deployment:"+d.ID, "viewer", "person:"+w.Outside.ID), "policy.share")
		wantCode(t, "a grant to everyone", give("deployment:"+d.ID, "enumerator", "everyone"), "policy.share")
		wantCode(t, "an outsider as administrator", give("survey:"+s.ID, "administrator", "person:"+w.Outside.ID), "policy.share")
		for _, ok := range [][3]string{{"deployment:" + d.ID, "viewer", "person:" + w.Viewer.ID}, {"survey:" + s.ID, "administrator", "person:" + w.Member.ID}, {"survey:" + s.ID, "viewer", "person:" + w.Outside.ID}} {
			if err := give(ok[0], ok[1], ok[2]); err != nil {
				t.Errorf("%v: %v", ok, err)
			}
		}

		// A version with a class that the open deployment shares too far.
		next := bytes.Replace(classed(w, "organization"), []byte(`qanat:class="organization"`), []byte(`qanat:class="confidential"`), 1)
		at := bytes.Index(next, []byte(`id="visit_organization"`))
		next = append(next[:at:at], bytes.Replace(next[at:], []byte(`version="`), []byte(`version="9`), 1)...)
		_, err := w.surveys.AddVersion(ctx, w.Admin, s.ID, next)
		wantCode(t, "a stricter version", err, "policy.share")
		if err != nil && !strings.Contains(err.Error(), "deployment March") {
			t.Errorf("the deployment is not named: %v", err)
		}
		must[ledger.Doc[survey.Deployment]](t)(w.surveys.SetActive(ctx, w.Admin, d.ID, false))
		must[ledger.Doc[survey.Form]](t)(w.surveys.AddVersion(ctx, w.Admin, s.ID, next))
	})
}

// The managing branch's admins are the survey's administrators, worked out when asked.
func TestManagedBy(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		north, south := w.Branch(t, w.Org, "North"), w.Branch(t, w.Org, "South")
		nora, sara := w.Person(t, "Nora North", north, org.Admins), w.Person(t, "Sara South", south, org.Admins)
		s := must[ledger.Doc[survey.Survey]](t)(w.surveys.CreateFromXForm(ctx, nora, w.Org, north, w.visit))
		change := func(by ledger.Actor, branch, name string) error {
			_, err := w.surveys.Change(ctx, by, s.ID, 0, "", survey.Survey{Name: name, Branch: branch, FormID: s.Body.FormID, Form: s.Body.Form})
			return err
		}
		wantCode(t, "South's admin", change(sara, north, "mine"), "survey.missing")
		if err := change(nora, north, "Pump visits"); err != nil {
			t.Errorf("North's admin: %v", err)
		}
		wantCode(t, "given away without a say there", change(nora, south, "Pump visits"), "survey.denied")
		if err := change(w.Admin, south, "Pump visits"); err != nil {
			t.Fatalf("the admin of both: %v", err)
		}
		wantCode(t, "North's admin, after it has gone to South", change(nora, south, "mine again"), "survey.missing")
		_, err := w.surveys.Deploy(ctx, nora, survey.Deployment{Survey: s.ID, Name: "March"})
		wantCode(t, "North's admin deploys it", err, "survey.missing")
		if _, err := w.surveys.Deploy(ctx, sara, survey.Deployment{Survey: s.ID, Name: "March"}); err != nil {
			t.Errorf("South's admin at once: %v", err)
		}

		// To another organization it does not go, not even by an admin of both.
		elsewhere := w.Organization(t, "Other Office")
		w.Join(t, w.Admin.ID, elsewhere, org.Admins)
		err = change(w.Admin, elsewhere, "Pump visits")
		if err == nil {
			t.Error("a survey moves to another organization")
		}
		// And it always has an administrator: the organization's last admin stays.
		for _, m := range must[[]org.Member](t)(w.Orgs.Members(ctx, w.Admin, w.Org)) {
			for _, h := range m.Memberships {
				if h.Group == org.Admins && h.Branch != w.Org {
					if err := w.Orgs.Leave(ctx, w.Admin, h.ID, 0); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if err := change(w.Admin, south, "Pump visits of the office"); err != nil {
			t.Errorf("without any admin in the branch: %v", err)
		}
	})
}
