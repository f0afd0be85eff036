package survey

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// Listed is a form as a phone's list shows it.
type Listed struct {
	ID      string `json:"id" doc:"document id of the version"`
	FormID  string `json:"form_id"`
	Name    string `json:"name"`
	Version string `json:"version"`
	Hash    string `json:"hash"`
	Files   bool   `json:"files" doc:"the form has files of its own"`
}

// FormsFor gives the current forms of all surveys that a phone's person may fill in now in an organization.
func (s *Service) FormsFor(ctx context.Context, actor ledger.Actor, org string) (list []Listed, err error) {
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		set, err := access.Principals(r, actor)
		if err != nil {
			return err
		}
		where, args, err := set.Visible("deployment", access.Submit)
		if err != nil {
			return err
		}
		args = append(args, org)
		list = nil
		rows := r.Query(fmt.Sprintf(`SELECT f.id, f.form_id, s.name, f.version, f.hash, (SELECT COUNT(*) FROM form_file x WHERE x.form = f.id)
			FROM survey s JOIN form f ON f.id = s.form
			WHERE s.org = $%d AND s.id IN (SELECT n.survey FROM deployment n WHERE %s) ORDER BY s.name, f.form_id`, len(args), where), args...)
		for rows.Next() {
			var l Listed
			var files int64
			rows.Scan(&l.ID, &l.FormID, &l.Name, &l.Version, &l.Hash, &files)
			l.Files = files > 0
			list = append(list, l)
		}
		return rows.Close()
	})
	return list, err
}

// XML opens the exact bytes of a version.
func (s *Service) XML(ctx context.Context, actor ledger.Actor, formID string) (content io.ReadCloser, doc ledger.Doc[Form], err error) {
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error { doc, err = s.requireForm(r, actor, access.See, formID); return err })
	if err != nil {
		return nil, doc, err
	}
	content, err = s.Blobs.Get(ctx, doc.Body.Blob)
	return content, doc, err
}

// Form reads a version with its schema.
func (s *Service) Form(ctx context.Context, actor ledger.Actor, formID string) (doc ledger.Doc[Form], err error) {
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error { doc, err = s.requireForm(r, actor, access.See, formID); return err })
	return doc, err
}

// Files lists a version's own files.
func (s *Service) Files(ctx context.Context, actor ledger.Actor, formID string) (docs []ledger.Doc[FormFile], err error) {
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		if _, err := s.requireForm(r, actor, access.See, formID); err != nil {
			return err
		}
		docs, err = FormFiles.List(r, "n.form = $1 ORDER BY n.name", formID)
		return err
	})
	return docs, err
}

// File opens one of a version's files.
func (s *Service) File(ctx context.Context, actor ledger.Actor, formID, name string) (io.ReadCloser, ledger.Doc[FormFile], error) {
	files, err := s.Files(ctx, actor, formID)
	if err != nil {
		return nil, ledger.Doc[FormFile]{}, err
	}
	for _, f := range files {
		if f.Body.Name == name {
			content, err := s.Blobs.Get(ctx, f.Body.Blob)
			return content, f, err
		}
	}
	return nil, ledger.Doc[FormFile]{}, FormFiles.NotFound()
}

// Get reads a survey.
func (s *Service) Get(ctx context.Context, actor ledger.Actor, surveyID string) (doc ledger.Doc[Survey], err error) {
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error { doc, err = s.require(r, actor, access.See, surveyID); return err })
	return doc, err
}

// GetAt reads a survey as it stood at a time.
func (s *Service) GetAt(ctx context.Context, actor ledger.Actor, surveyID string, at time.Time) (ledger.Doc[Survey], error) {
	return getAt(ctx, s, actor, &Surveys, SurveyThing, surveyID, at)
}

// List gives the surveys of an organization that the actor may see.
func (s *Service) List(ctx context.Context, actor ledger.Actor, org string) (docs []ledger.Doc[Survey], err error) {
	return s.ListAt(ctx, actor, org, time.Time{})
}

// ListAt is List as it stood at a time, unless that is zero.
func (s *Service) ListAt(ctx context.Context, actor ledger.Actor, org string, at time.Time) (docs []ledger.Doc[Survey], err error) {
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		docs, err = visibleAt(r, actor, &Surveys, org, at, "ORDER BY n.name, n.id")
		return err
	})
	return docs, err
}

// Deployment reads a deployment.
func (s *Service) Deployment(ctx context.Context, actor ledger.Actor, deploymentID string) (doc ledger.Doc[Deployment], err error) {
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		if doc, err = Deployments.Get(r, deploymentID); err != nil {
			return err
		}
		t, err := DeploymentThing(r, doc)
		if err != nil {
			return err
		}
		return access.Require(r, actor, access.See, t)
	})
	return doc, err
}

// DeploymentAt reads a deployment as it stood at a time, under the survey of today.
func (s *Service) DeploymentAt(ctx context.Context, actor ledger.Actor, deploymentID string, at time.Time) (ledger.Doc[Deployment], error) {
	return getAt(ctx, s, actor, &Deployments, DeploymentThing, deploymentID, at)
}

// Deployments lists a survey's deployments that the actor may see.
func (s *Service) Deployments(ctx context.Context, actor ledger.Actor, surveyID string) (docs []ledger.Doc[Deployment], err error) {
	return s.DeploymentsAt(ctx, actor, surveyID, time.Time{})
}

// DeploymentsAt is Deployments as they stood at a time, unless that is zero, of a survey that is still there.
func (s *Service) DeploymentsAt(ctx context.Context, actor ledger.Actor, surveyID string, at time.Time) (docs []ledger.Doc[Deployment], err error) {
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		survey, err := s.require(r, actor, access.See, surveyID)
		if err != nil {
			return err
		}
		docs, err = visibleAt(r, actor, &Deployments, survey.Org, at, "AND n.survey = ? ORDER BY n.name, n.id", surveyID)
		return err
	})
	return docs, err
}

// Versions lists a survey's versions, newest first, without their schemas.
func (s *Service) Versions(ctx context.Context, actor ledger.Actor, surveyID string) (list []Listed, err error) {
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		if _, err := s.require(r, actor, access.See, surveyID); err != nil {
			return err
		}
		list = nil
		rows := r.Query("SELECT id, form_id, title, version, hash FROM form WHERE survey = $1 ORDER BY made DESC, id DESC", surveyID)
		for rows.Next() {
			var l Listed
			rows.Scan(&l.ID, &l.FormID, &l.Name, &l.Version, &l.Hash)
			l.Name = strings.TrimSpace(l.Name)
			list = append(list, l)
		}
		return rows.Close()
	})
	return list, err
}
