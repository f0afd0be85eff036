package survey_test

import (
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/field/survey"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/org"
)

// TestSurveysOfThePast: a survey, its deployments and the phones as they stood. The
// lists of a deployment count as they were and as they are.
func TestSurveysOfThePast(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		before := w.Ledger.Now()
		w.Clock.Advance(time.Hour)
		s := must[ledger.Doc[survey.Survey]](t)(w.surveys.CreateFromXForm(ctx, w.Admin, w.Org, w.Org, w.visit))
		stays, leaves, comes := w.Person(t, "Stella", w.Org, org.Members), w.Person(t, "Leo", w.Org, org.Members), w.Person(t, "Chim", w.Org, org.Members)
		is := func(people ...ledger.Actor) (list []string) {
			for _, p := range people {
				list = append(list, "person:"+p.ID)
			}
			return list
		}
		deploy := func(name string) string {
			return must[ledger.Doc[survey.Deployment]](t)(w.surveys.Deploy(ctx, w.Admin, survey.Deployment{Survey: s.ID, Name: name, Active: true, Enumerators: is(stays, leaves)})).ID
		}
		kept, gone := deploy("March"), deploy("Pilot")
		phone, _, err := w.surveys.CreatePhone(ctx, w.Manager, w.Org, w.Member.ID, "Mary's phone")
		if err != nil {
			t.Fatal(err)
		}
		at := w.Ledger.Now()
		w.Clock.Advance(time.Hour)
		must[ledger.Doc[survey.Survey]](t)(w.surveys.Change(ctx, w.Admin, s.ID, 0, "", survey.Survey{Name: "Renamed", FormID: s.Body.FormID, Form: s.Body.Form, Branch: w.Org}))
		must[ledger.Doc[survey.Deployment]](t)(w.surveys.ChangeDeployment(ctx, w.Admin, kept, 0, "", func(d *survey.Deployment) error {
			d.Name, d.Enumerators = "April", is(stays, comes)
			return nil
		}))
		w.Write(t, func(tx *ledger.Tx) error { return survey.Deployments.Delete(tx, gone, 0) })
		if err := w.surveys.RevokePhone(ctx, w.Manager, phone.ID, "lost"); err != nil {
			t.Fatal(err)
		}
		w.Clock.Advance(time.Hour)

		for _, c := range []struct {
			who   ledger.Actor
			names string // of the deployments as they stood
		}{{w.Admin, "March Pilot "}, {stays, "March Pilot "}, {leaves, ""}, {comes, ""}, {w.Viewer, ""}, {w.Outside, ""}} {
			names := ""
			docs, err := w.surveys.DeploymentsAt(ctx, c.who, s.ID, at)
			if err != nil && fault.KindOf(err) != fault.NotFound {
				t.Fatal(err)
			}
			for _, d := range docs {
				names += d.Body.Name + " "
			}
			// Who was only in the one that is gone takes part in nothing today, and does not see the survey.
			if names != c.names {
				t.Errorf("%s lists %q as they stood, want %q", c.who.Name, names, c.names)
			}
			for id, name := range map[string]string{kept: "March", gone: "Pilot"} {
				d, err := w.surveys.DeploymentAt(ctx, c.who, id, at)
				sees := c.names != "" || id == gone && c.who.ID == leaves.ID
				if (err == nil) != sees || err == nil && d.Body.Name != name || err != nil && fault.KindOf(err) != fault.NotFound {
					t.Errorf("%s gets %q as it stood: %q, %v, want seen %v", c.who.Name, name, d.Body.Name, err, sees)
				}
			}
			got, err := w.surveys.GetAt(ctx, c.who, s.ID, at)
			sees := c.names != "" || c.who.ID == comes.ID // who takes part today sees what the survey was
			if (err == nil) != sees || err == nil && got.Body.Name != "Pump visit" || err != nil && fault.KindOf(err) != fault.NotFound {
				t.Errorf("%s gets the survey as it stood: %q, %v, want seen %v", c.who.Name, got.Body.Name, err, sees)
			}
		}
		if _, err := w.surveys.GetAt(ctx, w.Admin, s.ID, before); fault.KindOf(err) != fault.NotFound || err == nil {
			t.Errorf("the survey before it was made: %v", err)
		}
		if docs, err := w.surveys.DeploymentsAt(ctx, w.Admin, s.ID, before); err != nil || len(docs) != 0 {
			t.Errorf("deployments before there were any: %v, %v", docs, err)
		}
		for who, count := range map[*ledger.Actor]int{&w.Admin: 1, &w.Member: 1, &w.Viewer: 0, &w.Outside: 0} {
			docs, err := w.surveys.PhonesAt(ctx, *who, w.Org, at)
			if err != nil || len(docs) != count || count > 0 && docs[0].Body.Revoked {
				t.Errorf("%s: phones as they stood %+v, %v; want %d", who.Name, docs, err, count)
			}
		}
		if docs := must[[]ledger.Doc[survey.Phone]](t)(w.surveys.Phones(ctx, w.Member, w.Org)); len(docs) != 1 || !docs[0].Body.Revoked {
			t.Errorf("phones now %+v", docs)
		}
	})
}
