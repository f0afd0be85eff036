package survey

import (
	"strings"

	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// How the nouns are things to people/access: the same facts once from documents and once from index tables.
var (
	_ = access.Register(&Surveys, access.Columns{Branch: "branch", Lists: map[string]string{"participant": participants}}, SurveyThing)
	_ = access.Register(&Forms, access.Columns{Parents: map[string]string{"survey": "survey"}}, FormThing)
	_ = access.Register(&FormFiles, access.Columns{Parents: map[string]string{"form": "form"}}, func(r *ledger.Reader, d ledger.Doc[FormFile]) (access.Thing, error) {
		f, err := Forms.Get(r, d.Body.Form)
		if err != nil {
			return access.Thing{}, err
		}
		return FormThing(r, f)
	})
	_ = access.Register(&Deployments, access.Columns{Word: "state", Parents: map[string]string{"survey": "survey"}, Lists: map[string]string{
		"enumerator": "SELECT id, enumerators AS list FROM deployment",
		"approver":   "SELECT id, approvers AS list FROM deployment",
		"viewer":     "SELECT id, viewers AS list FROM deployment",
		"manager":    "SELECT id, managers AS list FROM deployment",
		"admin":      "SELECT id, admins AS list FROM deployment",
	}}, DeploymentThing)
	_ = access.Register(&Phones, access.Columns{Branch: "org", Owner: "account"}, PhoneThing)
)

const participants = `SELECT survey AS id, enumerators AS list FROM deployment UNION ALL SELECT survey, approvers FROM deployment UNION ALL
	SELECT survey, viewers FROM deployment UNION ALL SELECT survey, managers FROM deployment UNION ALL SELECT survey, admins FROM deployment`

// SurveyThing describes a survey. Who stands in any list of any of its deployments takes part in it.
func SurveyThing(r *ledger.Reader, d ledger.Doc[Survey]) (access.Thing, error) {
	t := access.Thing{Kind: "survey", ID: d.ID, Org: d.Org, Branch: d.Body.Branch, Name: d.Body.Name}
	rows := r.Query("SELECT enumerators, approvers, viewers, managers, admins FROM deployment WHERE survey = $1", d.ID)
	seen := map[string]bool{}
	for rows.Next() {
		var lists [5]string
		rows.Scan(&lists[0], &lists[1], &lists[2], &lists[3], &lists[4])
		for _, p := range strings.Fields(strings.Join(lists[:], " ")) {
			if !seen[p] {
				seen[p] = true
				t.Holders = append(t.Holders, access.Holder{Role: "participant", Principal: p})
			}
		}
	}
	return t, rows.Close()
}

// FormThing describes a version of a form.
func FormThing(r *ledger.Reader, d ledger.Doc[Form]) (access.Thing, error) {
	t := access.Thing{Kind: "form", ID: d.ID, Org: d.Org, Name: strings.TrimSpace(d.Body.Title + " " + d.Body.Version)}
	s, err := Surveys.Get(r, d.Body.Survey)
	if err != nil {
		return t, err
	}
	parent, err := SurveyThing(r, s)
	t.Parent = &parent
	return t, err
}

// DeploymentThing describes a deployment.
func DeploymentThing(r *ledger.Reader, d ledger.Doc[Deployment]) (access.Thing, error) {
	t := access.Thing{Kind: "deployment", ID: d.ID, Org: d.Org, State: d.Body.State(), Name: d.Body.Name}
	for role, list := range map[string][]string{"enumerator": d.Body.Enumerators, "approver": d.Body.approvers(), "viewer": d.Body.Viewers, "manager": d.Body.Managers, "admin": d.Body.Admins} {
		for _, p := range list {
			t.Holders = append(t.Holders, access.Holder{Role: role, Principal: p})
		}
	}
	s, err := Surveys.Get(r, d.Body.Survey)
	if err != nil {
		return t, err
	}
	parent, err := SurveyThing(r, s)
	t.Parent = &parent
	return t, err
}

// PhoneThing describes a phone. It belongs to the organization as a whole.
func PhoneThing(_ *ledger.Reader, d ledger.Doc[Phone]) (access.Thing, error) {
	t := access.Thing{Kind: "phone", ID: d.ID, Org: d.Org, Branch: d.Org, State: "active", Owner: d.Body.Account, Name: d.Body.Name}
	if d.Body.Revoked {
		t.State = "revoked"
	}
	return t, nil
}
