// Package openrosa is the door for form apps: the OpenRosa protocols as ODK Collect speaks them (form list, manifest, submission),
// under /v1/key/{token}/projects/{organization}/, where ODK Central has them.
//
// It guarantees: 201 and 202 are said only when everything sent is on disk; a file goes from the connection to the encrypted store
// without being gathered in memory; the phone's clock and its Date header are never looked at (Collect writes a wrong hour every
// afternoon). Each error is an OpenRosaResponse with a sentence for the person who holds the phone. Tokens are in addresses because
// Collect can do nothing else; they are in no log and no error.
//
// Limits: see Limits. Digest sign-in is not spoken: it needs passwords kept readable.
//
// An attacker with a phone's token can see the forms its person may fill in and send in as that person, until it is revoked; he
// can fill the quarantine, which the limits of guard slow down. He reads no responses.
package openrosa

import (
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/netaddr"
	"github.com/qanat-water/qanat/internal/field/response"
	"github.com/qanat-water/qanat/internal/field/survey"
	"github.com/qanat-water/qanat/internal/guard"
	"github.com/qanat-water/qanat/internal/ledger"
)

// Prefix is where the door stands.
const Prefix = "/v1/key/"

// Config is what the door opens to.
type Config struct {
	Surveys   *survey.Service
	Responses *response.Service
	Log       *slog.Logger // nil: none
	Rate      *guard.Rate  // requests of one address; nil: no limit
	Limits    Limits       // zero values: the defaults
}

// Limits of one submission request.
type Limits struct {
	Advise int64         // bytes above which phones should split (X-OpenRosa-Accept-Content-Length); default 10 MB
	Bytes  int64         // most bytes of a request; default 250 MB
	Parts  int           // most parts; default 300
	Idle   time.Duration // longest wait for the next bytes; default 30 s
	Total  time.Duration // longest request; default 15 min
}

func (l Limits) filled() Limits {
	set(&l.Advise, 10_000_000)
	set(&l.Bytes, 250_000_000)
	set(&l.Parts, 300)
	set(&l.Idle, 30*time.Second)
	set(&l.Total, 15*time.Minute)
	return l
}

func set[T comparable](to *T, value T) {
	var zero T
	if *to == zero {
		*to = value
	}
}

type door struct {
	Config
	limits Limits
}

// visit is one request by a known phone.
type visit struct {
	w     http.ResponseWriter
	r     *http.Request
	org   string
	base  string // address of the phone's own corner, token included: for documents to the phone only
	phone ledger.Doc[survey.Phone]
	actor ledger.Actor
	body  *patient // of a submission
}

// New makes the handler. It answers everything under Prefix.
func New(c Config) http.Handler {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	d := &door{Config: c, limits: c.Limits.filled()}
	const project = Prefix + "{token}/projects/{org}/"
	mux := http.NewServeMux()
	for _, route := range []struct {
		pattern string
		strict  bool // the OpenRosa protocols: X-OpenRosa-Version is required
		fn      func(*visit) error
	}{
		{"GET " + project + "formList", true, d.formList},
		{"GET " + project + "forms/{file}", false, d.form},
		{"GET " + project + "forms/{form}/manifest", true, d.manifest},
		{"GET " + project + "forms/{form}/files/{name}", false, d.file},
		{"HEAD " + project + "submission", true, d.announce},
		{"POST " + project + "submission", true, d.submit},
		{Prefix, false, func(*visit) error { return errNoSuchPlace }},
	} {
		mux.Handle(route.pattern, d.handler(route.strict, route.fn))
	}
	return mux
}

var errNoSuchPlace = fault.New(fault.NotFound, "openrosa.path", "There is nothing at this address").WithMend("Scan the QR code from the portal again")

// handler finds the phone, runs fn, answers its error, and writes one line of log.
func (d *door) handler(strict bool, fn func(*visit) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		h := w.Header()
		h.Set("X-OpenRosa-Version", "1.0")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "private, no-cache")
		h.Set("Referrer-Policy", "no-referrer")
		rec := &recorder{ResponseWriter: w}
		v := &visit{w: rec, r: r, org: r.PathValue("org")}
		err := d.enter(v, strict)
		if err == nil {
			err = fn(v)
		}
		if err != nil {
			refuse(rec, r, err)
		}
		d.note(v, rec, err, time.Since(start))
	})
}

// enter checks the protocol and the token, in this order, as ODK Central does.
func (d *door) enter(v *visit, strict bool) error {
	if d.Rate != nil {
		if ok, wait := d.Rate.Allow(netaddr.Prefix(v.r.RemoteAddr)); !ok {
			v.w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
			return fault.New(fault.TooMany, "openrosa.rate", "Too many requests from your address").WithMend("Wait a moment; what was not sent stays on the phone")
		}
	}
	if strict && v.r.Header.Get("X-OpenRosa-Version") != "1.0" {
		return fault.New(fault.Invalid, "openrosa.version", "The header X-OpenRosa-Version: 1.0 is missing").WithMend("Use a form app that speaks OpenRosa 1.0, such as ODK Collect")
	}
	token := v.r.PathValue("token")
	if token == "" {
		return errNoSuchPlace
	}
	var err error
	if v.phone, v.actor, err = d.Surveys.PhoneByToken(v.r.Context(), token); err != nil {
		return err
	}
	v.actor.From = netaddr.Host(v.r.RemoteAddr)
	if v.phone.Org != v.org {
		return fault.New(fault.NotFound, "openrosa.project", "There is no such project for this phone").WithMend("Scan the QR code from the portal again")
	}
	scheme := "https"
	if v.r.TLS == nil {
		scheme = "http"
	}
	v.base = ServerURL(scheme+"://"+v.r.Host, token, v.org)
	return nil
}

// ServerURL is the address that a phone is set up with.
func ServerURL(server, token, org string) string {
	return server + Prefix + token + "/projects/" + org
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// note logs a request by its pattern; its path has the token.
func (d *door) note(v *visit, rec *recorder, err error, took time.Duration) {
	args := []any{"door", "openrosa", "route", v.r.Pattern, "status", rec.status, "phone", v.phone.ID, "org", v.phone.Org, "from", v.actor.From, "ms", took.Milliseconds()}
	switch {
	case err == nil:
		d.Log.Info("request", args...)
	case v.r.Context().Err() != nil: // the phone hung up; it will come again
		d.Log.Info("request", append(args, "error", fault.Cause(err))...)
	case fault.KindOf(err) == fault.Internal:
		d.Log.Error("request", append(args, "error", fault.Cause(err))...)
	default:
		d.Log.Info("request", append(args, "code", fault.From(err).Code, "error", fault.Cause(err))...)
	}
}
