package survey

import (
	"bytes"
	"context"
	"crypto/md5" // #nosec G501 -- phones compare forms by MD5 (OpenRosa); nothing is secured by it
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/blob"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/id"
	"github.com/qanat-water/qanat/internal/field/form"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// Nouns are what a ledger must know to hold surveys.
func Nouns() []ledger.Kind {
	return []ledger.Kind{&Surveys, &Forms, &FormFiles, &Deployments, &Phones}
}

// Service is surveys over a ledger and the blobs of their forms.
type Service struct {
	Ledger *ledger.Ledger
	Blobs  *blob.Store
}

func md5Of(data []byte) string {
	sum := md5.Sum(data) // #nosec G401 -- see the import
	return hex.EncodeToString(sum[:])
}

// CreateFromXForm makes a survey of an XForm, managed by a branch. The survey's name is the form's title.
func (s *Service) CreateFromXForm(ctx context.Context, actor ledger.Actor, org, branch string, xml []byte) (doc ledger.Doc[Survey], err error) {
	create := access.Thing{Kind: "survey", Org: org, Branch: branch}
	if err := s.may(ctx, actor, access.Create, create); err != nil {
		return doc, err
	}
	parsed, ref, err := s.keep(ctx, xml)
	if err != nil {
		return doc, err
	}
	surveyID, formID := id.New(), id.New()
	err = s.Ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error {
		if err := access.Require(tx.Reader, actor, access.Create, create); err != nil {
			return err
		}
		var other string
		if taken, err := tx.Row([]any{&other}, "SELECT id FROM survey WHERE org = $1 AND form_id = $2", org, parsed.ID); err != nil {
			return err
		} else if taken {
			return fault.Newf(fault.Conflict, "survey.form_id.taken", "The organization already has a survey with the form id %.80q", parsed.ID).
				WithMend("Upload this as a new version of that survey, or give the form another form_id")
		}
		if _, err := Forms.Create(tx, org, formID, version(surveyID, parsed, ref, xml)); err != nil {
			return err
		}
		doc, err = Surveys.Create(tx, org, surveyID, Survey{Name: clipName(parsed.Title), Branch: branch, FormID: parsed.ID, Form: formID})
		return err
	})
	return doc, err
}

// AddVersion adds a version to a survey and makes it the current one. The same bytes again change nothing but that.
func (s *Service) AddVersion(ctx context.Context, actor ledger.Actor, surveyID string, xml []byte) (doc ledger.Doc[Form], err error) {
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error { _, err := s.require(r, actor, access.Design, surveyID); return err })
	if err != nil {
		return doc, err
	}
	parsed, ref, err := s.keep(ctx, xml)
	if err != nil {
		return doc, err
	}
	err = s.Ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error {
		survey, err := s.require(tx.Reader, actor, access.Design, surveyID)
		if err != nil {
			return err
		}
		if parsed.ID != survey.Body.FormID {
			return fault.Newf(fault.Invalid, "form.other_id", "The form's id is %.80q, the survey's is %.80q", parsed.ID, survey.Body.FormID).
				WithMend("Give the form the survey's form_id, or make a new survey of it")
		}
		var known string
		if found, err := tx.Row([]any{&known}, "SELECT id FROM form WHERE survey = $1 AND version = $2", surveyID, parsed.Version); err != nil {
			return err
		} else if found {
			if doc, err = Forms.Get(tx.Reader, known); err != nil {
				return err
			}
			if doc.Body.Blob != ref.Hash {
				return fault.Newf(fault.Conflict, "form.version.taken", "The survey already has another form with the version %q", parsed.Version).
					WithMend("Raise the version in the form's settings and upload it again")
			}
		} else if doc, err = Forms.Create(tx, survey.Org, "", version(surveyID, parsed, ref, xml)); err != nil {
			return err
		}
		_, err = Surveys.Update(tx, surveyID, 0, func(b *Survey) error { b.Form = doc.ID; return nil })
		return err
	})
	return doc, err
}

func version(survey string, parsed *form.Form, ref blob.Ref, xml []byte) Form {
	return Form{Survey: survey, FormID: parsed.ID, Version: parsed.Version, Title: parsed.Title, Hash: md5Of(xml), Blob: ref.Hash, Size: ref.Size, Schema: parsed}
}

func clipName(title string) string {
	title = strings.TrimSpace(title)
	if r := []rune(title); len(r) > 200 {
		return string(r[:200])
	}
	return title
}

// keep reads a form and stores its bytes.
func (s *Service) keep(ctx context.Context, xml []byte) (*form.Form, blob.Ref, error) {
	parsed, err := form.Parse(xml)
	if err != nil {
		return nil, blob.Ref{}, err
	}
	ref, err := s.Blobs.Put(ctx, bytes.NewReader(xml), form.MaxForm)
	return parsed, ref, err
}

// Change changes a survey's name, branch or current version.
func (s *Service) Change(ctx context.Context, actor ledger.Actor, surveyID string, ifRevision int64, reason string, body Survey) (doc ledger.Doc[Survey], err error) {
	err = s.Ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		before, err := s.require(tx.Reader, actor, access.Edit, surveyID)
		if err != nil {
			return err
		}
		if before.Body.Branch != body.Branch { // it must be allowed where it comes from and where it goes
			if err := access.Require(tx.Reader, actor, access.Create, access.Thing{Kind: "survey", Org: before.Org, Branch: body.Branch}); err != nil {
				return err
			}
		}
		doc, err = Surveys.Update(tx, surveyID, ifRevision, func(b *Survey) error { *b = body; return nil })
		return err
	})
	return doc, err
}

// Deploy puts a survey to work.
func (s *Service) Deploy(ctx context.Context, actor ledger.Actor, body Deployment) (doc ledger.Doc[Deployment], err error) {
	err = s.Ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error {
		survey, err := s.require(tx.Reader, actor, access.Deploy, body.Survey)
		if err != nil {
			return err
		}
		doc, err = Deployments.Create(tx, survey.Org, "", body)
		return err
	})
	return doc, err
}

// ChangeDeployment changes a deployment.
func (s *Service) ChangeDeployment(ctx context.Context, actor ledger.Actor, deploymentID string, ifRevision int64, reason string, change func(*Deployment) error) (doc ledger.Doc[Deployment], err error) {
	err = s.Ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		before, err := Deployments.Get(tx.Reader, deploymentID)
		if err != nil {
			return err
		}
		t, err := DeploymentThing(tx.Reader, before)
		if err != nil {
			return err
		}
		if err := access.Require(tx.Reader, actor, access.Edit, t); err != nil {
			return err
		}
		doc, err = Deployments.Update(tx, deploymentID, ifRevision, change)
		return err
	})
	return doc, err
}

// SetActive opens or closes a deployment.
func (s *Service) SetActive(ctx context.Context, actor ledger.Actor, deploymentID string, active bool) (ledger.Doc[Deployment], error) {
	return s.ChangeDeployment(ctx, actor, deploymentID, 0, "", func(d *Deployment) error { d.Active = active; return nil })
}

// AddFile gives a version of a form one of the files it needs; a file of the same name is replaced.
func (s *Service) AddFile(ctx context.Context, actor ledger.Actor, formID, name string, content io.Reader) (doc ledger.Doc[FormFile], err error) {
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error { _, err := s.requireForm(r, actor, access.Edit, formID); return err })
	if err != nil {
		return doc, err
	}
	sum := md5.New() // #nosec G401 -- see the import
	ref, err := s.Blobs.Put(ctx, io.TeeReader(content, sum), MaxFile)
	if err != nil {
		return doc, err
	}
	body := FormFile{Form: formID, Name: name, Hash: hex.EncodeToString(sum.Sum(nil)), Blob: ref.Hash, Size: ref.Size}
	err = s.Ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error {
		f, err := s.requireForm(tx.Reader, actor, access.Edit, formID)
		if err != nil {
			return err
		}
		var known string
		found, err := tx.Row([]any{&known}, "SELECT id FROM form_file WHERE form = $1 AND name = $2", formID, name)
		if err != nil {
			return err
		}
		if found {
			doc, err = FormFiles.Update(tx, known, 0, func(b *FormFile) error { *b = body; return nil })
			return err
		}
		doc, err = FormFiles.Create(tx, f.Org, "", body)
		return err
	})
	return doc, err
}

func (s *Service) may(ctx context.Context, actor ledger.Actor, verb access.Verb, t access.Thing) error {
	return s.Ledger.Read(ctx, func(r *ledger.Reader) error { return access.Require(r, actor, verb, t) })
}

func (s *Service) require(r *ledger.Reader, actor ledger.Actor, verb access.Verb, surveyID string) (ledger.Doc[Survey], error) {
	doc, err := Surveys.Get(r, surveyID)
	if err != nil {
		return doc, err
	}
	t, err := SurveyThing(r, doc)
	if err != nil {
		return doc, err
	}
	return doc, access.Require(r, actor, verb, t)
}

func (s *Service) requireForm(r *ledger.Reader, actor ledger.Actor, verb access.Verb, formID string) (ledger.Doc[Form], error) {
	doc, err := Forms.Get(r, formID)
	if err != nil {
		return doc, err
	}
	t, err := FormThing(r, doc)
	if err != nil {
		return doc, err
	}
	return doc, access.Require(r, actor, verb, t)
}

// getAt reads a document as it stood at a time, when the actor may see it then and now.
func getAt[T any](ctx context.Context, s *Service, actor ledger.Actor, noun *ledger.Noun[T], thing func(*ledger.Reader, ledger.Doc[T]) (access.Thing, error), id string, at time.Time) (doc ledger.Doc[T], err error) {
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		past, err := r.At("", at)
		if err != nil {
			return err
		}
		if doc, err = noun.Get(past, id); err != nil {
			return err
		}
		set, err := access.Principals(r, actor)
		if err != nil {
			return err
		}
		t, err := thing(r, doc)
		if err != nil {
			return err
		}
		return set.RequireThen(r, access.See, t)
	})
	return doc, err
}

// visibleAt lists the documents of an organization that the actor may see, as they stood at a time, unless that is zero.
func visibleAt[T any](r *ledger.Reader, actor ledger.Actor, noun *ledger.Noun[T], org string, at time.Time, rest string, args ...any) ([]ledger.Doc[T], error) {
	set, err := access.Principals(r, actor)
	if err != nil {
		return nil, err
	}
	see := set.Visible
	if !at.IsZero() {
		if r, err = r.At(org, at); err != nil {
			return nil, err
		}
		see = set.VisibleThen
	}
	where, all, err := see(noun.Name, access.See)
	if err != nil {
		return nil, err
	}
	all = append(all, org)
	where += fmt.Sprintf(" AND n.org = $%d ", len(all))
	for _, a := range args {
		all = append(all, a)
		rest = strings.Replace(rest, "?", fmt.Sprintf("$%d", len(all)), 1)
	}
	return noun.List(r, where+rest, all...)
}
