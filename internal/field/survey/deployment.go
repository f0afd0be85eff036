package survey

import (
	"fmt"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// Deployment is a survey at work: who fills it in, who checks it in which stages, who sees it.
type Deployment struct {
	Survey       string   `json:"survey"`
	Name         string   `json:"name"`
	Active       bool     `json:"active" doc:"responses can be started"`
	Stages       []Stage  `json:"stages,omitempty" doc:"none: what is sent in is final"`
	Enumerators  []string `json:"enumerators,omitempty" doc:"principals that fill in"`
	Viewers      []string `json:"viewers,omitempty"`
	Managers     []string `json:"managers,omitempty"`
	Admins       []string `json:"admins,omitempty"`
	DeleteFinal  bool     `json:"delete_final,omitempty" doc:"enumerators may delete their own final responses"`
	SiteQuestion string   `json:"site_question,omitempty" doc:"path or name of the question that names the site; empty: site, site_id, site_code or water_point"`
	Accepted     []string `json:"accepted,omitempty" doc:"what breaks the sharing policy and was accepted by an admin of the organization: class and principal"`
}

// Stage is one check that a response passes before it is final.
type Stage struct {
	Name      string   `json:"name"`
	Approvers []string `json:"approvers" doc:"principals; one approval is enough"`
	NoEdit    bool     `json:"no_edit,omitempty" doc:"approvers may not change answers"`
}

const (
	maxStages     = 10
	maxPrincipals = 500
)

// State is "active" or "closed".
func (d Deployment) State() string {
	if d.Active {
		return "active"
	}
	return "closed"
}

func (d Deployment) approvers() []string {
	var all []string
	for _, s := range d.Stages {
		all = append(all, s.Approvers...)
	}
	return all
}

// Deployments is the noun of deployments.
var Deployments = ledger.Noun[Deployment]{
	Name: "deployment",
	Table: &ledger.Table[Deployment]{
		Columns: []ledger.Column{{Name: "survey", Type: ledger.Text}, {Name: "name", Type: ledger.Text}, {Name: "state", Type: ledger.Text},
			{Name: "enumerators", Type: ledger.Text}, {Name: "approvers", Type: ledger.Text}, {Name: "viewers", Type: ledger.Text}, {Name: "managers", Type: ledger.Text}, {Name: "admins", Type: ledger.Text}},
		Indexes: [][]string{{"survey"}, {"org", "state"}},
		Row: func(d ledger.Doc[Deployment]) []any {
			b := d.Body
			return []any{b.Survey, b.Name, b.State(), access.ListText(b.Enumerators), access.ListText(b.approvers()), access.ListText(b.Viewers), access.ListText(b.Managers), access.ListText(b.Admins)}
		},
	},
}

func checkDeployment(tx *ledger.Tx, before, after *ledger.Doc[Deployment]) error {
	if after == nil {
		for _, h := range holders {
			if used, err := h.DeploymentUsed(tx, before.ID); err != nil {
				return err
			} else if used {
				return fault.New(fault.Conflict, "deployment.used", "The deployment has responses").WithMend("Close it instead; delete its responses first if they must go")
			}
		}
		return nil
	}
	d := after.Body
	if err := checkName("deployment", d.Name); err != nil {
		return err
	}
	s, err := Surveys.Get(tx.Reader, d.Survey)
	if err != nil {
		return err
	}
	if err := sameOrg(s.Org, after.Org, "deployment"); err != nil {
		return err
	}
	if before != nil && before.Body.Survey != d.Survey {
		return fault.New(fault.Invalid, "deployment.survey", "A deployment stays with its survey").WithMend("Deploy the other survey")
	}
	if err := d.check(); err != nil {
		return err
	}
	if err := keepsPolicy(tx, s, before, after); err != nil {
		return err
	}
	for _, h := range holders {
		if err := h.DeploymentChanged(tx, before, after); err != nil {
			return err
		}
	}
	return nil
}

func (d Deployment) check() error {
	if len(d.Stages) > maxStages {
		return fault.Newf(fault.Invalid, "deployment.stages", "A deployment has at most %d stages", maxStages).At("/stages", "too many", "Join stages")
	}
	lists := map[string][]string{"/enumerators": d.Enumerators, "/viewers": d.Viewers, "/managers": d.Managers, "/admins": d.Admins}
	for i, s := range d.Stages {
		place := fmt.Sprintf("/stages/%d", i)
		if len(s.Approvers) == 0 {
			return fault.New(fault.Invalid, "deployment.stage", "A stage needs somebody who can approve").At(place+"/approvers", "empty", "Add approvers, or remove the stage")
		}
		if err := checkName("stage", s.Name); err != nil {
			return err
		}
		lists[place+"/approvers"] = s.Approvers
	}
	for place, list := range lists {
		if len(list) > maxPrincipals {
			return fault.Newf(fault.Invalid, "deployment.people", "A list of people has at most %d entries", maxPrincipals).At(place, "too long", "Use a team or a branch")
		}
		for i, p := range list {
			if !access.ValidPrincipal(p) {
				return fault.Newf(fault.Invalid, "deployment.principal", "%.80q names nobody", p).
					At(fmt.Sprintf("%s/%d", place, i), "not a principal", "person:<id>, team:<id>, branch:<id>, group:<branch>/admins|managers|viewers|members, or everyone")
			}
		}
	}
	return nil
}
