package response

import (
	"bytes"
	"context"
	"io"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/id"
	"github.com/qanat-water/qanat/internal/field/form"
	"github.com/qanat-water/qanat/internal/field/survey"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// quarantine keeps what cannot become a response. Content that is there already is the same submission.
func (s *Service) quarantine(tx *ledger.Tx, up Upload, sub Submission, why *Quarantine) (Receipt, error) {
	var known string
	found, err := tx.Row([]any{&known}, "SELECT id FROM submission WHERE org = $1 AND form_id = $2 AND instance_id = $3 AND sha256 = $4", up.Org, sub.FormID, sub.InstanceID, sub.SHA256)
	if err != nil {
		return Receipt{}, err
	}
	if found {
		receipt, err := s.again(tx, up, known)
		return value(receipt), err
	}
	why.Reason = clipped(why.Reason)
	sub.Quarantine = why
	sub.Attachments = join(nil, up.Files, false)
	doc, err := Submissions.Create(tx, up.Org, "", sub)
	return Receipt{Submission: doc.ID, Quarantine: why}, err
}

// Quarantined lists the submissions that wait in quarantine, without their content, newest first.
func (s *Service) Quarantined(ctx context.Context, actor ledger.Actor, org string) (docs []ledger.Doc[Submission], err error) {
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		set, err := access.Principals(r, actor)
		if err != nil {
			return err
		}
		where, args, err := set.Visible("submission", access.See)
		if err != nil {
			return err
		}
		args = append(args, org)
		docs, err = light(r, &Submissions, where+" AND n.held = 1 AND n.org = $"+itoa(len(args))+" ORDER BY n.received DESC, n.id DESC LIMIT 500", args, func(b *Submission) { b.XML = nil })
		return err
	})
	return docs, err
}

// Release says how a quarantined submission becomes a response; what is empty is found as for any submission.
type Release struct {
	Form       string `json:"form,omitempty" doc:"document id of the version to read it by"`
	Deployment string `json:"deployment,omitempty"`
	XML        []byte `json:"xml,omitempty" doc:"repaired XML, when the original cannot be read; the original stays"`
}

// ReleaseQuarantine makes a response of a quarantined submission. The administrator's right stands in for the enumerator's.
func (s *Service) ReleaseQuarantine(ctx context.Context, actor ledger.Actor, submissionID, reason string, how Release) (doc ledger.Doc[Response], err error) {
	xml := how.XML
	if xml == nil {
		if xml, err = s.XML(ctx, actor, submissionID); err != nil {
			return doc, err
		}
	}
	instance, broken := form.ParseInstance(xml)
	err = s.Ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		held, err := Submissions.Get(tx.Reader, submissionID)
		if err != nil {
			return err
		}
		thing, err := submissionThing(tx.Reader, held)
		if err != nil {
			return err
		}
		if err := access.Require(tx.Reader, actor, access.Release, thing); err != nil {
			return err
		}
		if !held.Body.held() {
			return fault.New(fault.Conflict, "quarantine.released", "The submission is not in quarantine any more").WithMend("Load the list again")
		}
		if broken != nil {
			return broken
		}
		t, err := s.releaseTo(tx.Reader, held.Org, instance, how)
		if err != nil {
			return err
		}
		if t.survey != held.Body.Survey {
			if err := access.Require(tx.Reader, actor, access.Release, access.Thing{Kind: "submission", Org: held.Org, Branch: t.branch}); err != nil {
				return err
			}
		}
		deployment := how.Deployment
		if deployment == "" {
			found, err := tx.Row([]any{&deployment}, "SELECT id FROM deployment WHERE survey = $1 ORDER BY state, id LIMIT 1", t.survey) // active before closed
			if err != nil {
				return err
			}
			if !found {
				return fault.New(fault.Conflict, "quarantine.deployment", "The survey has no deployment").WithMend("Deploy the survey first")
			}
		}
		in := read{instance: instance}
		if err := s.answer(tx.Reader, &in, t.form); err != nil {
			return err
		}
		sub := held.Body
		sub.FormID, sub.Version, sub.InstanceID = instance.FormID, instance.Version, instance.InstanceID
		conflictOf, _, err := s.conflict(tx, held, sub)
		if err != nil {
			return err
		}
		body, err := s.make(tx, actor, held.Org, held.ID, sub, t, deployment, in)
		if err != nil {
			return err
		}
		body.ConflictOf = conflictOf
		body.Attachments = join(body.Attachments, held.Body.Attachments, true)
		responseID := id.New()
		_, err = Submissions.Update(tx, held.ID, held.Revision, func(b *Submission) error {
			b.FormID, b.Version, b.InstanceID = sub.FormID, sub.Version, sub.InstanceID
			b.Survey, b.Branch, b.Response, b.Attachments = t.survey, t.branch, responseID, nil
			b.Quarantine.Released, b.Quarantine.By = tx.Now, actor.ID
			return nil
		})
		if err != nil {
			return err
		}
		doc, err = Responses.Create(tx, held.Org, responseID, body)
		return err
	})
	return doc, err
}

func (s *Service) conflict(tx *ledger.Tx, held ledger.Doc[Submission], sub Submission) (first string, found bool, err error) {
	found, err = tx.Row([]any{&first}, "SELECT response FROM submission WHERE org = $1 AND form_id = $2 AND instance_id = $3 AND id <> $4 AND response <> '' ORDER BY id LIMIT 1",
		held.Org, sub.FormID, sub.InstanceID, held.ID)
	return first, found, err
}

// releaseTo finds the version to read a released submission by.
func (s *Service) releaseTo(r *ledger.Reader, org string, in *form.Instance, how Release) (target, error) {
	if how.Form == "" {
		t, why, err := s.target(r, org, in)
		if err == nil && why != nil {
			err = fault.New(fault.Conflict, "quarantine."+why.Code, why.Reason).WithMend("Upload the form first, or choose the version to read it by")
		}
		if err != nil {
			return t, err
		}
		return t, deploymentOf(r, how.Deployment, t.survey)
	}
	version, err := survey.Forms.Get(r, how.Form)
	if err != nil {
		return target{}, err
	}
	owner, err := survey.Surveys.Get(r, version.Body.Survey)
	if err != nil {
		return target{}, err
	}
	if owner.Org != org {
		return target{}, survey.Forms.NotFound()
	}
	if err := deploymentOf(r, how.Deployment, owner.ID); err != nil {
		return target{}, err
	}
	return target{survey: owner.ID, branch: owner.Body.Branch, form: version.ID}, nil
}

func deploymentOf(r *ledger.Reader, deployment, surveyID string) error {
	if deployment == "" {
		return nil
	}
	d, err := survey.Deployments.Get(r, deployment)
	if err == nil && d.Body.Survey != surveyID {
		err = fault.New(fault.Invalid, "quarantine.deployment", "The deployment is one of another survey").At("/deployment", "another survey", "Choose a deployment of the form's survey")
	}
	return err
}

// XML gives the exact bytes of a submission.
func (s *Service) XML(ctx context.Context, actor ledger.Actor, submissionID string) ([]byte, error) {
	var doc ledger.Doc[Submission]
	err := s.Ledger.Read(ctx, func(r *ledger.Reader) (err error) {
		if doc, err = Submissions.Get(r, submissionID); err != nil {
			return err
		}
		if doc.Body.Response != "" { // who may see the response may see what it was made of
			if response, err := Responses.Get(r, doc.Body.Response); err == nil {
				t, err := Thing(r, response)
				if err != nil {
					return err
				}
				if access.Require(r, actor, access.See, t) == nil {
					return nil
				}
			}
		}
		t, err := submissionThing(r, doc)
		if err != nil {
			return err
		}
		return access.Require(r, actor, access.See, t)
	})
	if err != nil || doc.Body.Blob == "" {
		return doc.Body.XML, err
	}
	content, err := s.Blobs.Get(ctx, doc.Body.Blob)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	var b bytes.Buffer
	_, err = io.Copy(&b, content)
	return b.Bytes(), err
}
