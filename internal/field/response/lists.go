package response

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/field/form"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// Filter chooses responses; what is empty does not count.
type Filter struct {
	Org, Survey, Deployment, Site, State, Enumerator string
	Text                                             string // in the response's name
	Before                                           string // id of the last response of the page before
	Limit                                            int
	At                                               time.Time // as they stood then; zero: now
}

// Page is some responses, newest first, and the id to go on from; empty at the end.
type Page struct {
	Items []ledger.Doc[Response]
	Next  string
}

// List gives the responses the actor may see, without their answers.
func (s *Service) List(ctx context.Context, actor ledger.Actor, f Filter) (page Page, err error) {
	if f.Limit <= 0 || f.Limit > 500 {
		f.Limit = 100
	}
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		set, err := access.Principals(r, actor)
		if err != nil {
			return err
		}
		see := set.Visible
		if !f.At.IsZero() {
			if r, err = r.At(f.Org, f.At); err != nil {
				return err
			}
			see = set.VisibleThen
		}
		where, args, err := see("response", access.See)
		if err != nil {
			return err
		}
		also := func(condition, value string) {
			if value != "" {
				args = append(args, value)
				where += " AND " + strings.Replace(condition, "?", "$"+itoa(len(args)), 1)
			}
		}
		also("n.org = ?", f.Org)
		also("n.survey = ?", f.Survey)
		also("n.deployment = ?", f.Deployment)
		also("n.site = ?", f.Site)
		also("n.state = ?", f.State)
		also("n.enumerator = ?", f.Enumerator)
		also("n.id < ?", f.Before)
		if f.Text != "" {
			also("LOWER(n.name) LIKE ? ESCAPE '\\'", "%"+strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(f.Text))+"%")
		}
		args = append(args, f.Limit+1)
		page = Page{}
		page.Items, err = light(r, &Responses, where+" ORDER BY n.id DESC LIMIT $"+itoa(len(args)), args, func(b *Response) { b.Answers = nil })
		if len(page.Items) > f.Limit {
			page.Items = page.Items[:f.Limit]
			page.Next = page.Items[f.Limit-1].ID
		}
		return err
	})
	return page, err
}

// light lists documents without their bulk. One whole document is in memory at a time: some thousand answers of a phone gone wild
// must not take the server down when somebody opens the list.
func light[T any](r *ledger.Reader, noun *ledger.Noun[T], where string, args []any, strip func(*T)) ([]ledger.Doc[T], error) {
	var ids []string
	rows := r.Query("SELECT n.id FROM "+r.From(noun.Name)+" n WHERE "+where, args...)
	for rows.Next() {
		var id string
		rows.Scan(&id)
		ids = append(ids, id)
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	docs := make([]ledger.Doc[T], 0, len(ids))
	for _, id := range ids {
		d, err := noun.Get(r, id)
		if err != nil {
			return nil, err
		}
		strip(&d.Body)
		docs = append(docs, d)
	}
	return docs, nil
}

// Counts tells how many responses of each state the actor may see, by survey.
func (s *Service) Counts(ctx context.Context, actor ledger.Actor, org string) (counts map[string]map[string]int64, err error) {
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		where, args, err := access.Visible(r, actor, "response")
		if err != nil {
			return err
		}
		counts = map[string]map[string]int64{}
		args = append(args, org)
		rows := r.Query("SELECT n.survey, n.state, COUNT(*) FROM response n WHERE "+where+" AND n.org = $"+itoa(len(args))+" GROUP BY n.survey, n.state", args...)
		for rows.Next() {
			var survey, state string
			var n int64
			rows.Scan(&survey, &state, &n)
			if counts[survey] == nil {
				counts[survey] = map[string]int64{}
			}
			counts[survey][state] = n
		}
		return rows.Close()
	})
	return counts, err
}

// Shown is a response with all that its page needs.
type Shown struct {
	Doc  ledger.Doc[Response] `json:"doc"`
	Form *form.Form           `json:"form" doc:"the version it was filled in with"`
	May  map[string]bool      `json:"may" doc:"what the reader may do now"`
}

// Get reads a response.
func (s *Service) Get(ctx context.Context, actor ledger.Actor, responseID string) (shown Shown, err error) {
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		if shown.Doc, err = Responses.Get(r, responseID); err != nil {
			return err
		}
		t, err := Thing(r, shown.Doc)
		if err != nil {
			return err
		}
		if err := access.Require(r, actor, access.See, t); err != nil {
			return err
		}
		shown.May = map[string]bool{}
		for _, verb := range []access.Verb{access.Submit, access.Approve, access.Reject, access.Edit, access.Delete, access.Recall} {
			shown.May[string(verb)] = access.Require(r, actor, verb, t) == nil && possible(verb, shown.Doc.Body.State)
		}
		shown.Form, err = s.schema(r, shown.Doc.Body.Form)
		return err
	})
	return shown, err
}

// GetAt reads a response as it stood at a time, with the form it was filled in with. Nothing can be done to the past.
func (s *Service) GetAt(ctx context.Context, actor ledger.Actor, responseID string, at time.Time) (shown Shown, err error) {
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		past, err := r.At("", at)
		if err != nil {
			return err
		}
		if shown.Doc, err = Responses.Get(past, responseID); err != nil {
			return err
		}
		set, err := access.Principals(r, actor)
		if err != nil {
			return err
		}
		t, err := Thing(r, shown.Doc)
		if err == nil {
			err = set.RequireThen(r, access.See, t)
		}
		if err != nil {
			return err
		}
		shown.May = map[string]bool{}
		shown.Form, err = s.schema(r, shown.Doc.Body.Form)
		return err
	})
	return shown, err
}

// possible tells whether a state allows a change, whoever makes it.
func possible(verb access.Verb, state string) bool {
	switch verb {
	case access.Submit:
		return state == Draft || state == Rejected
	case access.Approve:
		return state == Pending
	case access.Reject:
		return state == Pending || state == Final
	case access.Recall:
		return state == Pending || state == Rejected
	}
	return true
}

// File opens an attachment of a response by its name. The newest of a name counts.
func (s *Service) File(ctx context.Context, actor ledger.Actor, responseID, name string) (io.ReadCloser, Attachment, error) {
	shown, err := s.Get(ctx, actor, responseID)
	if err != nil {
		return nil, Attachment{}, err
	}
	return s.open(ctx, shown, name)
}

// FileAt is File of a response as it stood at a time.
func (s *Service) FileAt(ctx context.Context, actor ledger.Actor, responseID, name string, at time.Time) (io.ReadCloser, Attachment, error) {
	shown, err := s.GetAt(ctx, actor, responseID, at)
	if err != nil {
		return nil, Attachment{}, err
	}
	return s.open(ctx, shown, name)
}

func (s *Service) open(ctx context.Context, shown Shown, name string) (io.ReadCloser, Attachment, error) {
	list := shown.Doc.Body.Attachments
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Name == name && list[i].Expired {
			return nil, Attachment{}, fault.New(fault.NotFound, "attachment.expired", "The file was kept for as long as the organization keeps files").WithMend("It is gone for good; the answers are kept")
		}
		if list[i].Name == name && !list[i].Missing {
			content, err := s.Blobs.Get(ctx, list[i].Blob)
			return content, list[i], err
		}
	}
	return nil, Attachment{}, fault.New(fault.NotFound, "attachment.missing", "The response has no such file, or it has not come yet").WithMend("Ask the enumerator to send the form again")
}
