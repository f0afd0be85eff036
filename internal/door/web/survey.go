package web

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/qanat-water/qanat/internal/field/survey"
	"github.com/qanat-water/qanat/internal/ledger"
)

// SurveyView is a survey with how many responses it has.
type SurveyView struct {
	ledger.Doc[survey.Survey]
	Counts    map[string]int64 `json:"counts" doc:"responses that you may see, by state; empty as of a moment"`
	ManagedBy string           `json:"managed_by" doc:"names of the branch that manages it, organization first: Org > Office"`
}

// surveyViews adds to surveys what pages show beside them.
func (s *server) surveyViews(ctx context.Context, counts map[string]map[string]int64, docs ...ledger.Doc[survey.Survey]) ([]SurveyView, error) {
	branches := make([]string, len(docs))
	for i, doc := range docs {
		branches[i] = doc.Body.Branch
	}
	paths, err := s.People.Paths(ctx, branches)
	views := make([]SurveyView, len(docs))
	for i, doc := range docs {
		views[i] = SurveyView{doc, counted(counts, doc.ID), paths[doc.Body.Branch]}
	}
	return views, err
}

type taggedSurvey struct {
	ETag string `header:"ETag"`
	Body SurveyView
}

func (s *server) surveys(ctx context.Context, actor ledger.Actor, in *struct {
	InOrg
	AsOf
}) (*Body[Page[SurveyView]], error) {
	at, err := s.moment(in.AsOf)
	if err != nil {
		return nil, err
	}
	free, err := s.past(actor, at)
	if err != nil {
		return nil, err
	}
	defer free()
	docs, err := s.Surveys.ListAt(ctx, actor, in.Org, at)
	if err != nil {
		return nil, err
	}
	counts, err := s.countsNow(ctx, actor, in.Org, at)
	if err != nil {
		return nil, err
	}
	return list(s.surveyViews(ctx, counts, docs...))
}

func (s *server) survey(ctx context.Context, actor ledger.Actor, in *RecordQuery) (*taggedSurvey, error) {
	at, doc, err := s.surveyAt(ctx, actor, in)
	return s.surveyAnswerAt(ctx, actor, at)(doc, err)
}

// surveyAt reads a survey now or at a time, and says which.
func (s *server) surveyAt(ctx context.Context, actor ledger.Actor, in *RecordQuery) (at time.Time, doc ledger.Doc[survey.Survey], err error) {
	if at, err = s.moment(in.AsOf); err != nil {
		return at, doc, err
	}
	if at.IsZero() {
		doc, err = s.Surveys.Get(ctx, actor, in.ID)
	} else {
		doc, err = s.Surveys.GetAt(ctx, actor, in.ID, at)
	}
	return at, doc, err
}

// countsNow counts responses of the present; nobody has counted those of the past.
func (s *server) countsNow(ctx context.Context, actor ledger.Actor, org string, at time.Time) (map[string]map[string]int64, error) {
	if !at.IsZero() {
		return nil, nil
	}
	return s.Responses.Counts(ctx, actor, org)
}

func (s *server) surveyAnswer(ctx context.Context, actor ledger.Actor) func(ledger.Doc[survey.Survey], error) (*taggedSurvey, error) {
	return s.surveyAnswerAt(ctx, actor, time.Time{})
}

func (s *server) surveyAnswerAt(ctx context.Context, actor ledger.Actor, at time.Time) func(ledger.Doc[survey.Survey], error) (*taggedSurvey, error) {
	return func(doc ledger.Doc[survey.Survey], err error) (*taggedSurvey, error) {
		if err != nil {
			return nil, err
		}
		counts, err := s.countsNow(ctx, actor, doc.Org, at)
		if err != nil {
			return nil, err
		}
		views, err := s.surveyViews(ctx, counts, doc)
		return &taggedSurvey{ETag: etag(doc.Revision), Body: views[0]}, err
	}
}

func counted(counts map[string]map[string]int64, survey string) map[string]int64 {
	if counts[survey] == nil {
		return map[string]int64{}
	}
	return counts[survey]
}

type xformUpload struct {
	InOrg
	Branch  string `query:"branch" required:"true" format:"uuid" doc:"branch that manages the survey"`
	RawBody []byte `contentType:"application/xml"`
}

func (s *server) surveyCreate(ctx context.Context, actor ledger.Actor, in *xformUpload) (*taggedSurvey, error) {
	return s.surveyAnswer(ctx, actor)(s.Surveys.CreateFromXForm(ctx, actor, in.Org, in.Branch, in.RawBody))
}

type surveyChange struct {
	ByID
	IfMatch
	Body struct {
		Body   survey.Survey `json:"body"`
		Reason string        `json:"reason,omitempty" maxLength:"2000"`
	}
}

func (s *server) surveyUpdate(ctx context.Context, actor ledger.Actor, in *surveyChange) (*taggedSurvey, error) {
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	return s.surveyAnswer(ctx, actor)(s.Surveys.Change(ctx, actor, in.ID, revision, in.Body.Reason, in.Body.Body))
}

type versionUpload struct {
	ByID
	RawBody []byte `contentType:"application/xml"`
}

func (s *server) formUpload(ctx context.Context, actor ledger.Actor, in *versionUpload) (*Tagged[ledger.Doc[survey.Form]], error) {
	return document(s.Surveys.AddVersion(ctx, actor, in.ID, in.RawBody))
}

// formCurrent is the version that is or was the survey's current one, with its questions.
func (s *server) formCurrent(ctx context.Context, actor ledger.Actor, in *RecordQuery) (*Tagged[ledger.Doc[survey.Form]], error) {
	_, doc, err := s.surveyAt(ctx, actor, in)
	if err != nil {
		return nil, err
	}
	return document(s.Surveys.Form(ctx, actor, doc.Body.Form))
}

func (s *server) formVersions(ctx context.Context, actor ledger.Actor, in *ByID) (*Body[Page[survey.Listed]], error) {
	return list(s.Surveys.Versions(ctx, actor, in.ID))
}

func (s *server) formXML(ctx context.Context, actor ledger.Actor, in *ByID) (*huma.StreamResponse, error) {
	content, _, err := s.Surveys.XML(ctx, actor, in.ID)
	if err != nil {
		return nil, err
	}
	return stream(content, "application/xml; charset=utf-8", "form.xml"), nil
}

// stream answers with a file that is never shown by the browser as a page of ours.
func stream(content io.ReadCloser, kind, name string) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(c huma.Context) {
		defer content.Close()
		c.SetHeader("Content-Type", kind)
		c.SetHeader("Content-Disposition", disposition(kind, name))
		c.SetHeader("Content-Security-Policy", "default-src 'none'; sandbox")
		c.SetStatus(http.StatusOK)
		if _, err := io.Copy(c.BodyWriter(), content); err != nil {
			panic(http.ErrAbortHandler) // a cut connection is the only way left to say so
		}
	}}
}

func (s *server) formFiles(ctx context.Context, actor ledger.Actor, in *ByID) (*Body[Page[ledger.Doc[survey.FormFile]]], error) {
	return list(s.Surveys.Files(ctx, actor, in.ID))
}

type formFileUpload struct {
	NamedFile
	RawBody []byte `contentType:"application/octet-stream"`
}

func (s *server) formFilePut(ctx context.Context, actor ledger.Actor, in *formFileUpload) (*Tagged[ledger.Doc[survey.FormFile]], error) {
	return document(s.Surveys.AddFile(ctx, actor, in.ID, in.Name, bytes.NewReader(in.RawBody)))
}

func (s *server) deployments(ctx context.Context, actor ledger.Actor, in *RecordQuery) (*Body[Page[ledger.Doc[survey.Deployment]]], error) {
	at, err := s.moment(in.AsOf)
	if err != nil {
		return nil, err
	}
	return list(s.Surveys.DeploymentsAt(ctx, actor, in.ID, at))
}

type deployRequest struct {
	ByID
	Body survey.Deployment
}

func (s *server) deploy(ctx context.Context, actor ledger.Actor, in *deployRequest) (*Tagged[ledger.Doc[survey.Deployment]], error) {
	in.Body.Survey, in.Body.Accepted = in.ID, nil
	return document(s.Surveys.Deploy(ctx, actor, in.Body))
}

func (s *server) deployment(ctx context.Context, actor ledger.Actor, in *RecordQuery) (*Tagged[ledger.Doc[survey.Deployment]], error) {
	at, err := s.moment(in.AsOf)
	if err != nil {
		return nil, err
	}
	if !at.IsZero() {
		return document(s.Surveys.DeploymentAt(ctx, actor, in.ID, at))
	}
	return document(s.Surveys.Deployment(ctx, actor, in.ID))
}

type deploymentChange struct {
	ByID
	IfMatch
	Body struct {
		Body   survey.Deployment `json:"body"`
		Reason string            `json:"reason,omitempty" maxLength:"2000"`
	}
}

func (s *server) deploymentUpdate(ctx context.Context, actor ledger.Actor, in *deploymentChange) (*Tagged[ledger.Doc[survey.Deployment]], error) {
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	return document(s.Surveys.ChangeDeployment(ctx, actor, in.ID, revision, in.Body.Reason, func(d *survey.Deployment) error {
		in.Body.Body.Survey, in.Body.Body.Accepted = d.Survey, d.Accepted
		*d = in.Body.Body
		return nil
	}))
}

func (s *server) phones(ctx context.Context, actor ledger.Actor, in *struct {
	InOrg
	AsOf
}) (*Body[Page[ledger.Doc[survey.Phone]]], error) {
	at, err := s.moment(in.AsOf)
	if err != nil {
		return nil, err
	}
	docs, err := s.Surveys.PhonesAt(ctx, actor, in.Org, at)
	for i := range docs {
		docs[i].Body.TokenHash = ""
	}
	return list(docs, err)
}

type phoneRequest struct {
	Body struct {
		Org     string `json:"org" format:"uuid"`
		Account string `json:"account" format:"uuid" doc:"the person who will send in"`
		Name    string `json:"name" maxLength:"100"`
	}
}

// NewPhone is a phone's credential, shown once.
type NewPhone struct {
	Phone ledger.Doc[survey.Phone] `json:"phone"`
	URL   string                   `json:"url" doc:"server address for ODK Collect; it holds the token"`
	QR    string                   `json:"qr" doc:"settings for ODK Collect, SVG"`
}

func (s *server) phoneCreate(ctx context.Context, actor ledger.Actor, in *phoneRequest) (*Body[NewPhone], error) {
	doc, token, err := s.Surveys.CreatePhone(ctx, actor, in.Body.Org, in.Body.Account, in.Body.Name)
	if err != nil {
		return nil, err
	}
	doc.Body.TokenHash = ""
	address, picture, err := s.Collect(s.publicURL(ctx), token, in.Body.Org)
	return body(NewPhone{Phone: doc, URL: address, QR: picture}, err)
}

func (s *server) phoneRevoke(ctx context.Context, actor ledger.Actor, in *reasonQuery) (*none, error) {
	return done(s.Surveys.RevokePhone(ctx, actor, in.ID, in.Reason))
}

type reasonQuery struct {
	ByID
	Reason string `query:"reason" maxLength:"2000"`
}
