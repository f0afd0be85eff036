package web

import (
	"bytes"
	"context"
	"io"
	"mime"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/field/response"
	"github.com/qanat-water/qanat/internal/ledger"
)

type responseQuery struct {
	InOrg
	AsOf
	Survey     string `query:"survey" maxLength:"40"`
	Deployment string `query:"deployment" maxLength:"40"`
	Site       string `query:"site" maxLength:"40"`
	State      string `query:"state" enum:",draft,pending,rejected,final"`
	Enumerator string `query:"enumerator" maxLength:"40"`
	Text       string `query:"q" maxLength:"200" doc:"in the response's name"`
	Cursor     string `query:"cursor" maxLength:"40"`
	Limit      int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
}

// ResponseRow is a response in a list, with the names of what it points to.
type ResponseRow struct {
	ledger.Doc[response.Response]
	SiteName       string `json:"site_name,omitempty"`
	SurveyName     string `json:"survey_name,omitempty"`
	EnumeratorName string `json:"enumerator_name,omitempty"`
}

func (s *server) responses(ctx context.Context, actor ledger.Actor, in *responseQuery) (*Body[Page[ResponseRow]], error) {
	at, err := s.moment(in.AsOf)
	if err != nil {
		return nil, err
	}
	free, err := s.past(actor, at)
	if err != nil {
		return nil, err
	}
	defer free()
	page, err := s.Responses.List(ctx, actor, response.Filter{
		Org: in.Org, Survey: in.Survey, Deployment: in.Deployment, Site: in.Site, State: in.State, Enumerator: in.Enumerator, Text: in.Text, Before: in.Cursor, Limit: in.Limit, At: at,
	})
	if err != nil {
		return nil, err
	}
	rows, err := s.responseRows(ctx, actor, page.Items)
	out, err := list(rows, err)
	if err == nil {
		out.Body.Next = page.Next
	}
	return out, err
}

func (s *server) siteResponses(ctx context.Context, actor ledger.Actor, in *struct {
	RecordQuery
	Cursor string `query:"cursor" maxLength:"40"`
}) (*Body[Page[ResponseRow]], error) {
	of, err := s.site(ctx, actor, &in.RecordQuery)
	if err != nil {
		return nil, err
	}
	return s.responses(ctx, actor, &responseQuery{InOrg: InOrg{of.Body.Org}, AsOf: in.AsOf, Site: in.ID, Cursor: in.Cursor, Limit: 50})
}

// responseRows looks up each name once.
func (s *server) responseRows(ctx context.Context, actor ledger.Actor, docs []ledger.Doc[response.Response]) ([]ResponseRow, error) {
	names := map[string]string{}
	name := func(id string, find func() (string, error)) (string, error) {
		if known, ok := names[id]; ok || id == "" {
			return known, nil
		}
		found, err := find()
		if err != nil && fault.KindOf(err) == fault.NotFound {
			err = nil
		}
		names[id] = found
		return found, err
	}
	rows := make([]ResponseRow, len(docs))
	for i, doc := range docs {
		row := ResponseRow{Doc: doc}
		var err error
		if row.SiteName, err = name(doc.Body.Site, func() (string, error) { return s.siteName(ctx, actor, doc.Body.Site) }); err != nil {
			return nil, err
		}
		if row.SurveyName, err = name(doc.Body.Survey, func() (string, error) {
			d, err := s.Surveys.Get(ctx, actor, doc.Body.Survey)
			return d.Body.Name, err
		}); err != nil {
			return nil, err
		}
		if row.EnumeratorName, err = name(doc.Body.Enumerator, func() (string, error) { return s.People.Name(ctx, actor, doc.Org, doc.Body.Enumerator) }); err != nil {
			return nil, err
		}
		rows[i] = row
	}
	return rows, nil
}

// ResponseView is a response with all that its page needs.
type ResponseView struct {
	response.Shown
	SiteName       string `json:"site_name,omitempty"`
	SurveyName     string `json:"survey_name,omitempty"`
	EnumeratorName string `json:"enumerator_name,omitempty"`
}

type taggedResponse struct {
	ETag string `header:"ETag"`
	Body ResponseView
}

func (s *server) response(ctx context.Context, actor ledger.Actor, in *RecordQuery) (*taggedResponse, error) {
	at, err := s.moment(in.AsOf)
	if err != nil {
		return nil, err
	}
	var shown response.Shown
	if at.IsZero() {
		shown, err = s.Responses.Get(ctx, actor, in.ID)
	} else {
		shown, err = s.Responses.GetAt(ctx, actor, in.ID, at)
	}
	if err != nil {
		return nil, err
	}
	rows, err := s.responseRows(ctx, actor, []ledger.Doc[response.Response]{shown.Doc})
	if err != nil {
		return nil, err
	}
	return &taggedResponse{ETag: etag(shown.Doc.Revision), Body: ResponseView{shown, rows[0].SiteName, rows[0].SurveyName, rows[0].EnumeratorName}}, nil
}

type responseEdit struct {
	ByID
	IfMatch
	Body struct {
		response.Edit
		Reason string `json:"reason,omitempty" maxLength:"2000"`
	}
}

func (s *server) responseUpdate(ctx context.Context, actor ledger.Actor, in *responseEdit) (*Tagged[ledger.Doc[response.Response]], error) {
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	return document(s.Responses.Edit(ctx, actor, in.ID, revision, in.Body.Reason, in.Body.Edit))
}

func (s *server) responseDelete(ctx context.Context, actor ledger.Actor, in *struct {
	Deletion
	Reason string `query:"reason" maxLength:"2000"`
}) (*none, error) {
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	return done(s.Responses.Delete(ctx, actor, in.ID, revision, in.Reason))
}

// step is a handler for one of the transitions of a response.
func (s *server) step(do func(ctx context.Context, actor ledger.Actor, id string, ifRevision int64, reason string) (ledger.Doc[response.Response], error)) func(context.Context, ledger.Actor, *stepRequest) (*Tagged[ledger.Doc[response.Response]], error) {
	return func(ctx context.Context, actor ledger.Actor, in *stepRequest) (*Tagged[ledger.Doc[response.Response]], error) {
		revision, err := in.revision()
		if err != nil {
			return nil, err
		}
		return document(do(ctx, actor, in.ID, revision, in.Body.Reason))
	}
}

type startRequest struct {
	ByID
	Body struct {
		Answers map[string]any `json:"answers,omitempty"`
	}
}

func (s *server) responseStart(ctx context.Context, actor ledger.Actor, in *startRequest) (*Tagged[ledger.Doc[response.Response]], error) {
	return document(s.Responses.Start(ctx, actor, in.ID, in.Body.Answers))
}

type stepRequest struct {
	ByID
	IfMatch
	Body Reason
}

func unreasoned(do func(context.Context, ledger.Actor, string, int64) (ledger.Doc[response.Response], error)) func(context.Context, ledger.Actor, string, int64, string) (ledger.Doc[response.Response], error) {
	return func(ctx context.Context, actor ledger.Actor, id string, revision int64, _ string) (ledger.Doc[response.Response], error) {
		return do(ctx, actor, id, revision)
	}
}

// submissionXML is what the phone sent, byte for byte.
func (s *server) submissionXML(ctx context.Context, actor ledger.Actor, in *ByID) (*huma.StreamResponse, error) {
	shown, err := s.Responses.Get(ctx, actor, in.ID)
	if err != nil {
		return nil, err
	}
	xml, err := s.Responses.XML(ctx, actor, shown.Doc.Body.Submission)
	if err != nil {
		return nil, err
	}
	return stream(io.NopCloser(bytes.NewReader(xml)), "application/xml; charset=utf-8", "submission.xml"), nil
}

// NamedFile is a file of a document. It is exported because huma reads only exported embedded types.
type NamedFile struct {
	ByID
	Name string `path:"name" maxLength:"300"`
}

type fileQuery struct {
	NamedFile
	AsOf
}

func (s *server) responseFile(ctx context.Context, actor ledger.Actor, in *fileQuery) (*huma.StreamResponse, error) {
	at, err := s.moment(in.AsOf)
	if err != nil {
		return nil, err
	}
	if !at.IsZero() {
		content, file, err := s.Responses.FileAt(ctx, actor, in.ID, in.Name, at)
		if err != nil {
			return nil, err
		}
		return stream(content, file.Type, file.Name), nil
	}
	content, file, err := s.Responses.File(ctx, actor, in.ID, in.Name)
	if err != nil {
		return nil, err
	}
	return stream(content, file.Type, file.Name), nil
}

// disposition lets pictures, sound, film and plain text be shown in place, and
// makes everything keep its name. What may hold a script or a look-alike of our
// pages (HTML, SVG, XML, PDF) is only ever saved.
func disposition(kind, name string) string {
	how := "attachment"
	media, _, _ := mime.ParseMediaType(kind)
	major, _, _ := strings.Cut(media, "/")
	if media != "image/svg+xml" && slices.Contains([]string{"image", "audio", "video"}, major) || media == "text/plain" {
		how = "inline"
	}
	return mime.FormatMediaType(how, map[string]string{"filename": name})
}

func (s *server) quarantine(ctx context.Context, actor ledger.Actor, in *InOrg) (*Body[Page[ledger.Doc[response.Submission]]], error) {
	return list(s.Responses.Quarantined(ctx, actor, in.Org))
}

type releaseRequest struct {
	ByID
	Body struct {
		response.Release
		Reason string `json:"reason,omitempty" maxLength:"2000"`
	}
}

func (s *server) quarantineRelease(ctx context.Context, actor ledger.Actor, in *releaseRequest) (*Tagged[ledger.Doc[response.Response]], error) {
	return document(s.Responses.ReleaseQuarantine(ctx, actor, in.ID, in.Body.Reason, in.Body.Release))
}

func (s *server) quarantineXML(ctx context.Context, actor ledger.Actor, in *ByID) (*huma.StreamResponse, error) {
	xml, err := s.Responses.XML(ctx, actor, in.ID)
	if err != nil {
		return nil, err
	}
	return stream(io.NopCloser(bytes.NewReader(xml)), "application/xml; charset=utf-8", "submission.xml"), nil
}
