package web

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/qanat-water/qanat/internal/base/fault"
)

// Problem is an RFC 9457 problem.
type Problem struct {
	Type   string         `json:"type" doc:"always about:blank; code tells problems apart"`
	Title  string         `json:"title" doc:"the status in words"`
	Status int            `json:"status"`
	Detail string         `json:"detail" doc:"what is wrong, for people"`
	Code   string         `json:"code" doc:"stable, for programs: site.code.taken"`
	Mend   string         `json:"mend,omitempty" doc:"what to do about it"`
	Errors []fault.Detail `json:"errors,omitempty" doc:"each place that is wrong"`

	headers http.Header
}

func (p *Problem) Error() string                { return p.Detail }
func (p *Problem) GetStatus() int               { return p.Status }
func (p *Problem) GetHeaders() http.Header      { return p.headers }
func (p *Problem) ContentType(ct string) string { return "application/problem+json" }

var statuses = map[fault.Kind]int{
	fault.Invalid: http.StatusUnprocessableEntity, fault.Unauthenticated: http.StatusUnauthorized, fault.Denied: http.StatusForbidden,
	fault.NotFound: http.StatusNotFound, fault.Conflict: http.StatusConflict, fault.TooLarge: http.StatusRequestEntityTooLarge,
	fault.TooMany: http.StatusTooManyRequests, fault.Unavailable: http.StatusServiceUnavailable, fault.Internal: http.StatusInternalServerError,
}

func problem(err error) *Problem {
	f := fault.From(err)
	status := statuses[f.Kind]
	p := &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: f.Message, Code: f.Code, Mend: f.Mend, Errors: f.Details}
	if f.Wait > 0 {
		p.headers = http.Header{"Retry-After": {retryAfter(f.Wait)}}
	}
	return p
}

// refuse answers with a problem outside of the API library.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	send(w, problem(err))
}

func send(w http.ResponseWriter, p *Problem) {
	maps.Copy(w.Header(), p.headers)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone if this fails
}

// nowhere answers what no route takes, and tells a wrong method from a wrong address.
func (s *server) nowhere(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := *r
		other.Method = method
		if _, pattern := mux.Handler(&other); pattern != r.Pattern {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		s.refuse(w, r, fault.New(fault.NotFound, "route.missing", "There is nothing at this address").WithMend("See /api/docs for what there is"))
		return
	}
	list := strings.Join(allowed, ", ")
	w.Header().Set("Allow", list)
	p := problem(fault.Newf(fault.Invalid, "route.method", "This address does not take %.20s", r.Method).WithMend("It takes " + list))
	p.Status, p.Title = http.StatusMethodNotAllowed, http.StatusText(http.StatusMethodNotAllowed)
	send(w, p)
}

func retryAfter(wait time.Duration) string { return strconv.Itoa(int(wait/time.Second) + 1) }

// What the API library itself refuses (shape, size, missing fields) becomes the
// same problem as everything else.
func init() {
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		p := &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: message, Code: "request." + strconv.Itoa(status)}
		switch status {
		case http.StatusUnprocessableEntity, http.StatusBadRequest:
			p.Code, p.Detail, p.Mend = "request.shape", "The request does not have the shape that /api/docs describes", "Mend what is listed and send it again"
			if len(errs) == 0 { // nothing more is known: the body is empty, or of another kind
				p.Errors = []fault.Detail{{Place: "/", Message: message}}
			}
		case http.StatusRequestEntityTooLarge:
			p.Mend = "Send less at once"
		case http.StatusUnsupportedMediaType:
			p.Detail, p.Mend = "A body of this type is not taken here", "Send application/json, or for an upload the type that /api/docs names"
		case http.StatusRequestTimeout:
			p.Detail, p.Mend = "The request took too long to arrive", "Try again where the network is better"
		case http.StatusInternalServerError:
			return problem(errors.New(message))
		}
		for _, err := range errs {
			d := fault.Detail{Message: err.Error()}
			if detailed, ok := err.(huma.ErrorDetailer); ok {
				is := detailed.ErrorDetail()
				d = fault.Detail{Place: pointer(is.Location), Message: is.Message}
			}
			p.Errors = append(p.Errors, d)
		}
		return p
	}
}

var bracket = strings.NewReplacer("[", "/", "]", "", ".", "/")

// pointer turns the library's "body.photos[2].name" into "/photos/2/name".
func pointer(location string) string {
	if rest, ok := strings.CutPrefix(location, "body"); ok {
		return "/" + strings.TrimPrefix(bracket.Replace(rest), "/")
	}
	return location
}

// answered makes a handler's error a problem.
func answered[I, O any](fn func(context.Context, *I) (*O, error)) func(context.Context, *I) (*O, error) {
	return func(ctx context.Context, in *I) (*O, error) {
		out, err := fn(ctx, in)
		if err == nil {
			return out, nil
		}
		return nil, told(ctx, err)
	}
}

// told is an error as a problem, its cause kept for the log, and a refusal for who should know of it.
func told(ctx context.Context, err error) *Problem {
	if fault.KindOf(err) == fault.Internal && ctx.Err() == nil {
		if e, ok := ctx.Value(requestKey).(*event); ok {
			e.err = fault.Cause(err)
		}
	}
	if f := fault.From(err); f.Kind == fault.Denied && f.Code != "session.step-up" { // that is a question, no refusal
		if e, ok := ctx.Value(requestKey).(*event); ok {
			e.refused = true
		}
	}
	return problem(err)
}
