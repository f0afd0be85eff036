package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
)

const prefix = "/api/v1"

// on adds a route that is for everybody: "GET /health". Its body is short.
func on[I, O any](s *server, route, summary string, fn func(context.Context, *I) (*O, error), more ...func(*huma.Operation)) {
	method, path, _ := strings.Cut(route, " ")
	tag := strings.Split(strings.TrimPrefix(path, "/"), "/")[0]
	op := huma.Operation{
		OperationID: strings.ToLower(method) + strings.NewReplacer("/", "-", "{", "", "}", "", ".", "-").Replace(path),
		Method:      method, Path: prefix + path, Summary: summary, Tags: []string{tag},
		MaxBodyBytes: maxOpenBody, BodyReadTimeout: -1, // the library's clock is off: patient has one that ends with the body
		Errors:      []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity, http.StatusTooManyRequests},
		Middlewares: huma.Middlewares{patient(readTime, 0)}, // the last, which upload and long replace
	}
	for _, change := range more {
		change(&op)
	}
	huma.Register(s.api, op, answered(fn))
}

// as adds a route for somebody who is signed in. Who is not is told before a byte
// of the body is read.
func as[I, O any](s *server, route, summary string, fn func(ctx context.Context, actor ledger.Actor, in *I) (*O, error), more ...func(*huma.Operation)) {
	enter := func(op *huma.Operation) {
		op.MaxBodyBytes = maxBody
		op.Middlewares = append(huma.Middlewares{s.enter}, op.Middlewares...)
	}
	on(s, route, summary, func(ctx context.Context, in *I) (*O, error) {
		actor, ok := ctx.Value(actorKey).(ledger.Actor)
		if !ok {
			return nil, errors.New("a route for signed-in people without its actor")
		}
		return fn(ctx, actor, in)
	}, append([]func(*huma.Operation){enter}, more...)...)
}

// enter finds out who acts.
func (s *server) enter(ctx huma.Context, next func(huma.Context)) {
	actor, err := s.actor(ctx.Context())
	if err != nil {
		_, w := humago.Unwrap(ctx)
		send(w, told(ctx.Context(), err))
		return
	}
	next(huma.WithValue(ctx, actorKey, actor))
	s.noteRefusal(ctx, actor)
}

// upload lets a route take a large body, which is held in memory: so few at once.
func (s *server) upload(bytes int64) func(*huma.Operation) {
	return func(op *huma.Operation) {
		op.MaxBodyBytes = bytes
		op.Middlewares[len(op.Middlewares)-1] = s.room
		op.Middlewares = append(op.Middlewares, patient(uploadTime, workTime))
	}
}

// room lets a person upload when there is room for it.
func (s *server) room(ctx huma.Context, next func(huma.Context)) {
	actor, _ := ctx.Context().Value(actorKey).(ledger.Actor)
	free, ok := s.uploads.Take(actor.ID)
	if !ok {
		_, w := humago.Unwrap(ctx)
		send(w, told(ctx.Context(), fault.New(fault.TooMany, "upload.busy", "Other files are being uploaded").After(uploadWait).WithMend("Try again when yours, or those of others, are done")))
		return
	}
	defer free()
	next(ctx)
}

// long lets a route work longer than the server lets others.
func long(op *huma.Operation) {
	op.Middlewares[len(op.Middlewares)-1] = patient(readTime, workTime)
}

// Body is an answer of one value.
type Body[T any] struct{ Body T }

func body[T any](value T, err error) (*Body[T], error) {
	if err != nil {
		return nil, err
	}
	return &Body[T]{Body: value}, nil
}

// Page is a list.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next" doc:"cursor of the next page; empty: this is the last"`
	Total *int64 `json:"total,omitempty"`
}

func list[T any](items []T, err error) (*Body[Page[T]], error) {
	if items == nil {
		items = []T{}
	}
	return body(Page[T]{Items: items}, err)
}

// Tagged is an answer of one document, with its revision as ETag.
type Tagged[T any] struct {
	ETag string `header:"ETag"`
	Body T
}

func document[T any](doc ledger.Doc[T], err error) (*Tagged[ledger.Doc[T]], error) {
	if err != nil {
		return nil, err
	}
	return &Tagged[ledger.Doc[T]]{ETag: etag(doc.Revision), Body: doc}, nil
}

func etag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

// ByID names a document in the path.
type ByID struct {
	ID string `path:"id" format:"uuid"`
}

// IfMatch is the revision that the caller has read.
type IfMatch struct {
	IfMatch string `header:"If-Match" doc:"the ETag that was read; without it the newest revision is changed"`
}

func (m IfMatch) revision() (int64, error) {
	if m.IfMatch == "" || m.IfMatch == "*" {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.Trim(m.IfMatch, `"`), 10, 64)
	if err != nil || n < 1 {
		return 0, fault.Newf(fault.Invalid, "request.if-match", "If-Match %.40q is no ETag of ours", m.IfMatch).WithMend("Send the ETag as you got it")
	}
	return n, nil
}

// InOrg names an organization in the query.
type InOrg struct {
	Org string `query:"org" required:"true" format:"uuid" doc:"organization"`
}

// Reason says why.
type Reason struct {
	Reason string `json:"reason,omitempty" maxLength:"2000"`
}

// none is an answer without content.
type none struct{}

func done(err error) (*none, error) {
	if err != nil {
		return nil, err
	}
	return &none{}, nil
}
