package response

import (
	"context"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/id"
	"github.com/qanat-water/qanat/internal/field/form"
	"github.com/qanat-water/qanat/internal/field/survey"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// Start begins a response in the portal.
func (s *Service) Start(ctx context.Context, actor ledger.Actor, deploymentID string, answers map[string]any) (doc ledger.Doc[Response], err error) {
	instance := "uuid:" + id.New()
	err = s.Ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error {
		d, err := survey.Deployments.Get(tx.Reader, deploymentID)
		if err != nil {
			return err
		}
		t, err := survey.DeploymentThing(tx.Reader, d)
		if err != nil {
			return err
		}
		if err := access.Require(tx.Reader, actor, access.Submit, t); err != nil {
			return err
		}
		_, person, err := sender(tx.Reader, actor, d.Org)
		if err != nil {
			return err
		}
		sv, err := survey.Surveys.Get(tx.Reader, d.Body.Survey)
		if err != nil {
			return err
		}
		body := Response{Survey: sv.ID, Deployment: d.ID, Form: sv.Body.Form, InstanceID: instance, State: Draft, Enumerator: person, Answers: answers}
		if err := s.derive(tx, actor, d, &body); err != nil {
			return err
		}
		doc, err = Responses.Create(tx, d.Org, "", body)
		return err
	})
	return doc, err
}

// derive takes site and location from answers that were written in the portal.
func (s *Service) derive(tx *ledger.Tx, actor ledger.Actor, d ledger.Doc[survey.Deployment], b *Response) error {
	schema, err := s.schema(tx.Reader, b.Form)
	if err != nil {
		return err
	}
	b.Location = form.Location(schema, b.Answers)
	if b.Site == "" {
		b.Site, err = s.siteOf(tx.Reader, actor, d.Org, d.Body.SiteQuestion, b.Answers)
	}
	return err
}

// change runs one change of a response: the right to it first, then the change with its deployment at hand.
func (s *Service) change(ctx context.Context, actor ledger.Actor, verb access.Verb, responseID string, ifRevision int64, reason string, fn func(tx *ledger.Tx, d ledger.Doc[survey.Deployment], b *Response) error) (doc ledger.Doc[Response], err error) {
	err = s.Ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		before, err := Responses.Get(tx.Reader, responseID)
		if err != nil {
			return err
		}
		t, err := Thing(tx.Reader, before)
		if err != nil {
			return err
		}
		if err := access.Require(tx.Reader, actor, verb, t); err != nil {
			if done := past[verb]; done != "" && fault.KindOf(err) == fault.Denied && !possible(verb, before.Body.State) {
				return notIn(&before.Body, done) // it is not the person that is wrong
			}
			return err
		}
		d, err := survey.Deployments.Get(tx.Reader, before.Body.Deployment)
		if err != nil {
			return err
		}
		doc, err = Responses.Update(tx, responseID, ifRevision, func(b *Response) error { return fn(tx, d, b) })
		return err
	})
	return doc, err
}

var past = map[access.Verb]string{access.Submit: "submitted", access.Approve: "approved", access.Reject: "rejected", access.Recall: "recalled"}

func notIn(b *Response, verb string) error {
	return fault.Newf(fault.Conflict, "response.state", "A %s response cannot be %s", b.State, verb).WithMend("Load the response again; somebody may have been faster")
}

// Submit sends a draft or a rejected response in.
func (s *Service) Submit(ctx context.Context, actor ledger.Actor, responseID string, ifRevision int64) (ledger.Doc[Response], error) {
	return s.change(ctx, actor, access.Submit, responseID, ifRevision, "", func(tx *ledger.Tx, d ledger.Doc[survey.Deployment], b *Response) error {
		if b.State != Draft && b.State != Rejected {
			return notIn(b, "submitted")
		}
		b.State, b.Rejection, b.Approvals, b.Submitted = Final, nil, nil, tx.Now
		if len(d.Body.Stages) > 0 {
			b.State = Pending
		}
		return nil
	})
}

// Approve passes the stage that a pending response waits at. By somebody who is no approver of the stage it is marked as override.
func (s *Service) Approve(ctx context.Context, actor ledger.Actor, responseID string, ifRevision int64) (ledger.Doc[Response], error) {
	return s.change(ctx, actor, access.Approve, responseID, ifRevision, "", func(tx *ledger.Tx, d ledger.Doc[survey.Deployment], b *Response) error {
		if b.State != Pending {
			return notIn(b, "approved")
		}
		stage, waiting := stageOf(d.Body, *b)
		if waiting {
			own, err := among(tx, actor, stage.Approvers)
			if err != nil {
				return err
			}
			b.Approvals = append(b.Approvals, Approval{Stage: stage.Name, By: actor.ID, Name: actor.Name, At: tx.Now, Override: !own})
		}
		if len(b.Approvals) >= len(d.Body.Stages) {
			b.State = Final
		}
		return nil
	})
}

// Reject sends a pending or final response back, with a reason for the enumerator. All approvals are gone.
func (s *Service) Reject(ctx context.Context, actor ledger.Actor, responseID string, ifRevision int64, reason string) (ledger.Doc[Response], error) {
	return s.change(ctx, actor, access.Reject, responseID, ifRevision, reason, func(tx *ledger.Tx, d ledger.Doc[survey.Deployment], b *Response) error {
		if b.State != Pending && b.State != Final {
			return notIn(b, "rejected")
		}
		own := false
		if stage, waiting := stageOf(d.Body, *b); waiting {
			var err error
			if own, err = among(tx, actor, stage.Approvers); err != nil {
				return err
			}
		}
		b.State, b.Approvals = Rejected, nil
		b.Rejection = &Rejection{By: actor.ID, Name: actor.Name, At: tx.Now, Reason: reason, Override: !own}
		return nil
	})
}

// Recall takes an enumerator's own pending or rejected response back to a draft.
func (s *Service) Recall(ctx context.Context, actor ledger.Actor, responseID string, ifRevision int64) (ledger.Doc[Response], error) {
	return s.change(ctx, actor, access.Recall, responseID, ifRevision, "", func(_ *ledger.Tx, _ ledger.Doc[survey.Deployment], b *Response) error {
		if b.State != Pending && b.State != Rejected {
			return notIn(b, "recalled")
		}
		b.State, b.Approvals, b.Rejection = Draft, nil, nil
		return nil
	})
}

// Edit is what may be changed of a response; nil leaves it.
type Edit struct {
	Answers map[string]any `json:"answers,omitempty"`
	Site    *string        `json:"site,omitempty" doc:"id of the site, or empty for none"`
}

// Edit changes answers or the site. The submission stays as it came.
func (s *Service) Edit(ctx context.Context, actor ledger.Actor, responseID string, ifRevision int64, reason string, edit Edit) (ledger.Doc[Response], error) {
	return s.change(ctx, actor, access.Edit, responseID, ifRevision, reason, func(tx *ledger.Tx, d ledger.Doc[survey.Deployment], b *Response) error {
		if edit.Site != nil {
			if b.Site = *edit.Site; b.Site != "" {
				if s.Sites == nil {
					return fault.New(fault.Unavailable, "response.sites", "Sites cannot be looked up")
				}
				site, found, err := s.Sites(tx.Reader, actor, d.Org, b.Site)
				if err != nil {
					return err
				}
				if !found {
					return fault.New(fault.Invalid, "response.site", "There is no such site").At("/site", "not a site you may attach responses to", "Choose a site of the organization")
				}
				b.Site = site
			}
		}
		if edit.Answers != nil {
			b.Answers = edit.Answers
			if edit.Site != nil && *edit.Site == "" { // none on purpose: do not find it again
				schema, err := s.schema(tx.Reader, b.Form)
				if err != nil {
					return err
				}
				b.Location = form.Location(schema, b.Answers)
				return nil
			}
			return s.derive(tx, actor, d, b)
		}
		return nil
	})
}

// Delete deletes a response. The submission it was made of stays, and so does its past.
func (s *Service) Delete(ctx context.Context, actor ledger.Actor, responseID string, ifRevision int64, reason string) error {
	return s.Ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		before, err := Responses.Get(tx.Reader, responseID)
		if err != nil {
			return err
		}
		t, err := Thing(tx.Reader, before)
		if err != nil {
			return err
		}
		if err := access.Require(tx.Reader, actor, access.Delete, t); err != nil {
			return err
		}
		return Responses.Delete(tx, responseID, ifRevision)
	})
}

func among(tx *ledger.Tx, actor ledger.Actor, principals []string) (bool, error) {
	set, err := access.Principals(tx.Reader, actor)
	if err != nil {
		return false, err
	}
	for _, p := range principals {
		if is, err := set.Is(tx.Reader, p); err != nil || is {
			return is, err
		}
	}
	return false, nil
}
