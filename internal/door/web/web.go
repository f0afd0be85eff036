// Package web is the HTTPS door: a JSON API, described by OpenAPI 3.1 at
// /api/openapi.json and readable at /api/docs.
//
// It guarantees that every request has limits on size, time and rate, that its
// shape is checked against the schema before any code of ours sees it, that who
// acts is known from a session cookie or a service token and passed on as an actor, and that every
// error leaves as an RFC 9457 problem that names place and mend and nothing
// internal. A request that changes something must come from our own pages
// (Sec-Fetch-Site, Origin) or from no browser at all.
//
// It holds no rules and no SQL: rights are asked for by the packages it calls.
// Who controls this package acts as whoever is signed in while he does.
package web

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
	"path"
	"reflect"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/qanat-water/qanat/internal/base/blob"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/netaddr"
	"github.com/qanat-water/qanat/internal/field/response"
	"github.com/qanat-water/qanat/internal/field/site"
	"github.com/qanat-water/qanat/internal/field/survey"
	"github.com/qanat-water/qanat/internal/fleet/device"
	"github.com/qanat-water/qanat/internal/guard"
	"github.com/qanat-water/qanat/internal/keep/erasure"
	"github.com/qanat-water/qanat/internal/keep/export"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/activity"
	"github.com/qanat-water/qanat/internal/people/org"
	admin "github.com/qanat-water/qanat/internal/people/server"
)

// Limits of a request. Uploads (imports, forms) have their own, in the route table.
const (
	maxBody     = 1 << 20  // bytes of a JSON body of somebody who is signed in
	maxOpenBody = 32 << 10 // bytes of anybody's
	perSecond   = 50       // requests of one address, on average
	burst       = 300      // of one address at once: a page with its parts, times a few
	maxKeys     = 100_000  // addresses that are counted
	claimRate   = 0.2      // claims of one address each second
	claimBurst  = 20
	maxURL      = 8 << 10
	cookieName  = "__Host-qanat"
	maxAgentLen = 300
)

// House is what the API opens doors to.
type House struct {
	Name      string // of the server, for people
	Version   string
	PublicURL string // "https://water.example.org"; "": what the request says
	MQTT      string // host:port that devices are told
	Ledger    *ledger.Ledger
	Blobs     *blob.Store
	Accounts  *account.Service
	People    *org.Service
	Sites     *site.Service
	Surveys   *survey.Service
	Responses *response.Service
	Devices   *device.Devices
	Activity  *activity.Service
	Archive   *export.Service
	Erasures  *erasure.Service
	Server    *admin.Service
	Closing   <-chan struct{}          // closed when the server is about to stop; nil: nobody tells
	Connected func(device string) bool // does a device have a live session
	// Collect gives the address that a phone's form app is set up with, and its settings as a QR code.
	Collect func(base, token, org string) (address, qr string, err error)
	Log     *slog.Logger
}

type server struct {
	House
	api      huma.API
	rate     *guard.Rate
	claims   *guard.Rate
	origins  *http.CrossOriginProtection
	exports  *guard.Slots // archives under way
	uploads  *guard.Slots // large bodies on their way in
	feeds    *guard.Slots // readers of activity
	refused  *guard.Rate  // refused attempts that are written down, of each actor and route
	noted    *guard.Rate  // and of all together
	previews *guard.Slots // changes of rights that are tried out
	pasts    *guard.Slots // lists of the past that are being made
	finds    *guard.Rate  // of principals by name, by person
	tokens   *guard.Rate  // requests of each service token
	revoked  revocations
}

// Handler serves /api/.
func Handler(h House) http.Handler {
	s, mux := newServer(h)
	return s.guarded(mux)
}

func newServer(h House) (*server, *http.ServeMux) {
	s := &server{
		House: h, origins: http.NewCrossOriginProtection(), exports: guard.NewSlots(maxExports, maxExportsOfOne), feeds: guard.NewSlots(maxFeeds, maxFeedsOfOne), refused: guard.NewRate(refusalRate, 1, maxKeys), noted: guard.NewRate(1, notedBurst, 1),
		uploads: guard.NewSlots(maxUploads, maxUploadsOfOne), previews: guard.NewSlots(maxPreviews, maxPreviewsOfOne), pasts: guard.NewSlots(maxPasts, maxPastsOfOne),
		finds:  guard.NewRate(findRate, findBurst, maxKeys),
		tokens: guard.NewRate(tokenPerSecond, tokenBurst, maxKeys),
		rate:   guard.NewRate(perSecond, burst, maxKeys), claims: guard.NewRate(claimRate, claimBurst, maxKeys),
	}
	mux := http.NewServeMux()
	s.api = newAPI(mux, h.Version)
	s.routes()
	s.describe(mux)
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) { s.nowhere(mux, w, r) })
	return s, mux
}

func newAPI(mux *http.ServeMux, version string) huma.API {
	config := huma.DefaultConfig("Qanat", version)
	config.Info.Description = "Water data: sites, surveys, responses, devices, readings, and the history of every change."
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.CreateHooks = nil // no $schema members and Link headers
	config.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	return humago.New(mux, config)
}

var qualified = regexp.MustCompile(`(?:[\w.-]+/)*(\w+)\.(\w+)`)

// schemaName names a type in the description by its package too, because two
// packages may both have a Form: SurveyForm, FormForm, SiteSiteDoc.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Name() == "" {
		return huma.DefaultSchemaNamer(t, hint)
	}
	outer, inner, generic := strings.Cut(t.Name(), "[")
	name := outer
	if pkg := path.Base(t.PkgPath()); !generic && pkg != "web" && pkg != "." {
		name = strings.ToUpper(pkg[:1]) + pkg[1:] + outer
	}
	if !generic {
		return name
	}
	inner = qualified.ReplaceAllStringFunc(strings.TrimSuffix(inner, "]"), func(full string) string {
		parts := qualified.FindStringSubmatch(full)
		return strings.ToUpper(parts[1][:1]) + parts[1][1:] + parts[2]
	})
	return strings.NewReplacer("[", "", "]", "", ",", "", "*", "").Replace(strings.ReplaceAll(inner, "Web", "")) + outer
}

type key int

const (
	visitKey key = iota
	tokenKey
	requestKey
	hostKey
	actorKey
	bearerKey
)

// guarded is what every request goes through: limits, origin, who, one log line.
func (s *server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		raw := make([]byte, 8)
		rand.Read(raw)
		e := &event{id: hex.EncodeToString(raw)}
		out := &recorder{ResponseWriter: w}
		w = out
		w.Header().Set("X-Request-Id", e.id)
		w.Header().Set("Cache-Control", "no-store")
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				e.err = "panic: " + strings.ReplaceAll(string(debug.Stack()), "\n", " | ")
				s.refuse(w, r, fault.From(http.ErrAbortHandler))
			}
			// Only the path's pattern is logged: paths hold identifiers, queries hold words of people.
			attrs := []any{"id", e.id, "method", r.Method, "route", r.Pattern, "status", out.status, "ms", time.Since(began).Milliseconds(), "bytes", out.bytes}
			if e.err != "" {
				s.Log.Error("request failed", append(attrs, "error", e.err)...)
			} else {
				s.Log.Debug("request", attrs...)
			}
		}()
		if ok, wait := s.rate.Allow(netaddr.Prefix(r.RemoteAddr)); !ok {
			s.refuse(w, r, fault.New(fault.TooMany, "rate.address", "Too many requests from your address").After(wait).WithMend("Wait a moment"))
			return
		}
		if len(r.URL.RequestURI()) > maxURL {
			s.refuse(w, r, fault.New(fault.TooLarge, "url.size", "The address is too long").WithMend("Send less in the query"))
			return
		}
		if err := s.origins.Check(r); err != nil {
			s.refuse(w, r, fault.New(fault.Denied, "origin", "This request came from another site's page").WithMend("Use Qanat's own pages, or a program"))
			return
		}
		visit := account.Visit{Door: "web", From: netaddr.Host(r.RemoteAddr), Agent: r.UserAgent()[:min(len(r.UserAgent()), maxAgentLen)]}
		if c, err := r.Cookie(deviceCookie); err == nil {
			visit.Device = c.Value
		}
		ctx := context.WithValue(r.Context(), visitKey, visit)
		ctx = context.WithValue(ctx, requestKey, e)
		ctx = context.WithValue(ctx, hostKey, r.Host)
		if c, err := r.Cookie(cookieName); err == nil {
			ctx = context.WithValue(ctx, tokenKey, c.Value)
		}
		if text, ok := bearer(r); ok {
			ctx = context.WithValue(ctx, bearerKey, text)
		}
		inner := r.WithContext(ctx)
		next.ServeHTTP(w, inner)
		r.Pattern = inner.Pattern
	})
}

// event is what is learnt of a request on its way, to be logged once.
type event struct {
	id, err string
	refused bool // it asked for more than the actor may
}

type recorder struct {
	http.ResponseWriter
	status    int
	bytes     int64
	prolonged time.Time
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	r.leaving()
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func visitOf(ctx context.Context) account.Visit {
	v, _ := ctx.Value(visitKey).(account.Visit)
	return v
}

func tokenOf(ctx context.Context) string {
	t, _ := ctx.Value(tokenKey).(string)
	return t
}

// actor is who acts: nobody without a session that has shown its second factor, or
// a service token.
func (s *server) actor(ctx context.Context) (ledger.Actor, error) {
	token := tokenOf(ctx)
	if text, ok := ctx.Value(bearerKey).(string); ok {
		return s.program(ctx, text, token)
	}
	if token == "" {
		return ledger.Actor{}, fault.New(fault.Unauthenticated, "session.none", "You are not signed in").WithMend("Sign in")
	}
	view, err := s.Accounts.Session(ctx, token)
	if err != nil {
		return ledger.Actor{}, err
	}
	visit := visitOf(ctx)
	return account.ActorOf(view, visit.Door, visit.From)
}
