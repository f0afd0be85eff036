package response

import (
	"encoding/json"
	"reflect"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/field/survey"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// How the nouns are things to people/access, and what they mean to surveys.
var (
	_ = access.Register(&Responses, access.Columns{Word: "state", Owner: "enumerator", Parents: map[string]string{"survey": "survey", "deployment": "deployment"}, Undo: undoDecision}, Thing)
	_ = access.Register(&Submissions, access.Columns{Branch: "branch", Owner: "enumerator", Parents: map[string]string{"survey": "survey"}}, submissionThing)
	_ = survey.Hold(survey.Holder{FormUsed: used("form"), DeploymentUsed: used("deployment"), DeploymentChanged: deploymentChanged})
)

// Thing describes a response. Who approves its present stage holds that stage; the enumerator may remove it where the deployment says so.
func Thing(r *ledger.Reader, d ledger.Doc[Response]) (access.Thing, error) {
	t := access.Thing{Kind: "response", ID: d.ID, Org: d.Org, State: d.Body.State, Owner: d.Body.Enumerator, Name: d.Body.Name}
	deployment, err := survey.Deployments.Get(r, d.Body.Deployment)
	if err != nil {
		return t, err
	}
	if stage, waiting := stageOf(deployment.Body, d.Body); waiting {
		for _, p := range stage.Approvers {
			t.Holders = append(t.Holders, access.Holder{Role: "stage", Principal: p})
			if !stage.NoEdit {
				t.Holders = append(t.Holders, access.Holder{Role: "stage-editor", Principal: p})
			}
		}
	}
	if deployment.Body.DeleteFinal {
		t.Holders = append(t.Holders, access.Holder{Role: "remover", Principal: "person:" + d.Body.Enumerator})
	}
	parent, err := survey.DeploymentThing(r, deployment)
	t.Parent = &parent
	return t, err
}

// undoDecision lets an approval or rejection be taken back by who may reject
// what it was, became and is: survey administrators decide, with override, and never
// edit answers. Anything more than a decision is an edit.
func undoDecision(before, after json.RawMessage) (access.Verb, []string) {
	var was, is Response
	if json.Unmarshal(before, &was) != nil || json.Unmarshal(after, &is) != nil || was.State == Draft || is.State == Draft ||
		was.State == Rejected && is.State == Rejected {
		return "", nil
	}
	for _, b := range []*Response{&was, &is} {
		b.State, b.Approvals, b.Rejection = "", nil, nil
	}
	if !reflect.DeepEqual(was, is) {
		return "", nil
	}
	return access.Reject, []string{Pending, Final}
}

// stageOf is the stage that a pending response waits at.
func stageOf(d survey.Deployment, b Response) (survey.Stage, bool) {
	if b.State != Pending || len(b.Approvals) >= len(d.Stages) {
		return survey.Stage{}, false
	}
	return d.Stages[len(b.Approvals)], true
}

func submissionThing(r *ledger.Reader, d ledger.Doc[Submission]) (access.Thing, error) {
	t := access.Thing{Kind: "submission", ID: d.ID, Org: d.Org, Branch: d.Body.Branch, Owner: d.Body.Enumerator}
	if d.Body.Survey == "" {
		return t, nil
	}
	s, err := survey.Surveys.Get(r, d.Body.Survey)
	if fault.KindOf(err) == fault.NotFound && err != nil {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	parent, err := survey.SurveyThing(r, s)
	t.Parent = &parent
	return t, err
}

func used(column string) func(tx *ledger.Tx, id string) (bool, error) {
	return func(tx *ledger.Tx, id string) (bool, error) {
		var one string
		return tx.Row([]any{&one}, "SELECT id FROM response WHERE "+column+" = $1", id)
	}
}

// deploymentChanged finalizes what was only waiting for a stage that is gone.
func deploymentChanged(tx *ledger.Tx, before, after *ledger.Doc[survey.Deployment]) error {
	if before == nil || len(after.Body.Stages) >= len(before.Body.Stages) {
		return nil
	}
	waiting, err := Responses.List(tx.Reader, "n.deployment = $1 AND n.state = 'pending' AND n.approvals >= $2 ORDER BY n.id", after.ID, len(after.Body.Stages))
	if err != nil {
		return err
	}
	for _, d := range waiting {
		if _, err := Responses.Update(tx, d.ID, 0, func(b *Response) error { b.State = Final; return nil }); err != nil {
			return err
		}
	}
	return nil
}
