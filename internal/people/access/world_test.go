package access_test

import (
	"strings"

	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// The nouns of higher floors as far as access asks for them, under their own
// names, so that the rows of the table are tested as they stand.
type thing struct {
	Branch, Word, Owner, Survey, Deployment, Type        string
	Enumerators, Approvers, Viewers, Managers, AdminList []string
}

func noun(name string) *ledger.Noun[thing] {
	return &ledger.Noun[thing]{Name: name, Table: &ledger.Table[thing]{
		Columns: []ledger.Column{
			{Name: "branch", Type: ledger.Text}, {Name: "word", Type: ledger.Text}, {Name: "owner", Type: ledger.Text},
			{Name: "survey", Type: ledger.Text}, {Name: "deployment", Type: ledger.Text},
			{Name: "enumerators", Type: ledger.Text}, {Name: "approvers", Type: ledger.Text}, {Name: "viewers", Type: ledger.Text},
			{Name: "managers", Type: ledger.Text}, {Name: "admins", Type: ledger.Text}, {Name: "type", Type: ledger.Text},
		},
		Indexes: [][]string{{"org"}},
		Row: func(d ledger.Doc[thing]) []any {
			b := d.Body
			return []any{b.Branch, b.Word, b.Owner, b.Survey, b.Deployment, access.ListText(b.Enumerators), access.ListText(b.Approvers),
				access.ListText(b.Viewers), access.ListText(b.Managers), access.ListText(b.AdminList), b.Type}
		},
	}}
}

var sites, surveys, deployments, responses, phones, devices = noun("site"), noun("survey"), noun("deployment"), noun("response"), noun("phone"), noun("device")
var forms, submissions, siteImports = noun("form"), noun("submission"), noun("site_import")

var nouns = []ledger.Kind{sites, surveys, deployments, responses, phones, devices, forms, submissions, siteImports}

var lists = map[string]func(thing) []string{
	"enumerator": func(t thing) []string { return t.Enumerators }, "approver": func(t thing) []string { return t.Approvers },
	"viewer": func(t thing) []string { return t.Viewers }, "manager": func(t thing) []string { return t.Managers },
	"admin": func(t thing) []string { return t.AdminList },
}

var _ = access.Register(sites, access.Columns{Branch: "branch", Word: "word", Type: "type"}, func(_ *ledger.Reader, d ledger.Doc[thing]) (access.Thing, error) {
	return access.Thing{Branch: d.Body.Branch, Privacy: d.Body.Word, Type: d.Body.Type, Name: "Chipho"}, nil
})

// Who stands in a list of a deployment takes part in its survey, as in field/survey.
var _ = access.Register(surveys, access.Columns{Branch: "branch", Lists: map[string]string{"participant": "SELECT survey, enumerators || approvers || viewers || managers || admins FROM deployment"}},
	func(r *ledger.Reader, d ledger.Doc[thing]) (access.Thing, error) {
		t := access.Thing{Branch: d.Body.Branch, Name: "Functionality"}
		rows := r.Query("SELECT enumerators || approvers || viewers || managers || admins FROM deployment WHERE survey = $1", d.ID)
		for rows.Next() {
			var list string
			rows.Scan(&list)
			for _, p := range strings.Fields(list) {
				t.Holders = append(t.Holders, access.Holder{Role: "participant", Principal: p})
			}
		}
		return t, rows.Close()
	})

var _ = access.Register(forms, access.Columns{Parents: map[string]string{"survey": "survey"}}, func(r *ledger.Reader, d ledger.Doc[thing]) (access.Thing, error) {
	up, err := access.Describe(r, "survey", d.Body.Survey)
	return access.Thing{Parent: &up}, err
})

var _ = access.Register(submissions, access.Columns{Branch: "branch", Owner: "owner", Parents: map[string]string{"survey": "survey"}}, func(r *ledger.Reader, d ledger.Doc[thing]) (access.Thing, error) {
	t := access.Thing{Branch: d.Body.Branch, Owner: d.Body.Owner}
	if d.Body.Survey == "" {
		return t, nil
	}
	up, err := access.Describe(r, "survey", d.Body.Survey)
	t.Parent = &up
	return t, err
})

var _ = access.Register(siteImports, access.Columns{Branch: "branch", Owner: "owner"}, func(_ *ledger.Reader, d ledger.Doc[thing]) (access.Thing, error) {
	return access.Thing{Branch: d.Body.Branch, Owner: d.Body.Owner}, nil
})

var deploymentLists = map[string]string{
	"enumerator": "SELECT id, enumerators FROM deployment", "approver": "SELECT id, approvers FROM deployment", "viewer": "SELECT id, viewers FROM deployment",
	"manager": "SELECT id, managers FROM deployment", "admin": "SELECT id, admins FROM deployment",
}

var _ = access.Register(deployments, access.Columns{Branch: "branch", Word: "word", Parents: map[string]string{"survey": "survey"}, Lists: deploymentLists},
	func(r *ledger.Reader, d ledger.Doc[thing]) (access.Thing, error) {
		up, err := access.Describe(r, "survey", d.Body.Survey)
		t := access.Thing{Branch: d.Body.Branch, State: d.Body.Word, Parent: &up, Name: "May round"}
		for _, role := range []string{"enumerator", "approver", "viewer", "manager", "admin"} {
			for _, p := range lists[role](d.Body) {
				t.Holders = append(t.Holders, access.Holder{Role: role, Principal: p})
			}
		}
		return t, err
	})

var _ = access.Register(responses, access.Columns{Branch: "branch", Word: "word", Owner: "owner", Parents: map[string]string{"survey": "survey", "deployment": "deployment"}},
	func(r *ledger.Reader, d ledger.Doc[thing]) (access.Thing, error) {
		up, err := access.Describe(r, "deployment", d.Body.Deployment)
		return access.Thing{Branch: d.Body.Branch, State: d.Body.Word, Owner: d.Body.Owner, Parent: &up}, err
	})

var _ = access.Register(phones, access.Columns{Branch: "branch", Owner: "owner"}, func(_ *ledger.Reader, d ledger.Doc[thing]) (access.Thing, error) {
	return access.Thing{Branch: d.Body.Branch, Owner: d.Body.Owner, State: d.Body.Word}, nil
})

var _ = access.Register(devices, access.Columns{Branch: "branch"}, func(_ *ledger.Reader, d ledger.Doc[thing]) (access.Thing, error) {
	return access.Thing{Branch: d.Body.Branch}, nil
})
