package web

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/activity"
)

// How many feeds of activity are followed at once, and exports are under way. Each
// waits most of the time, and holds a reader of the database only while it reads a batch.
const (
	maxFeeds      = 40
	maxFeedsOfOne = 4
	heartbeat     = 15 * time.Second
	otherProcess  = 2 * time.Second // how often to look for what another process of the server has written
)

// ActivityFilter says which entries. It is exported, as all parts of requests are.
type ActivityFilter struct {
	Kind      string    `query:"kind" maxLength:"40" doc:"kind of thing"`
	Doc       string    `query:"doc" maxLength:"40" doc:"id of one document"`
	Actor     string    `query:"actor" maxLength:"40" doc:"id of an account, token, device or phone"`
	ActorKind string    `query:"actor_kind" maxLength:"20" doc:"account, token, device, phone, system"`
	Verb      string    `query:"verb" maxLength:"20" doc:"create, update, delete, undelete, undo"`
	Door      string    `query:"door" maxLength:"20" doc:"web, openrosa, mqtt, cli, server"`
	Address   string    `query:"address" maxLength:"60" doc:"network address, or how it begins"`
	Text      string    `query:"text" maxLength:"100" doc:"words in the reason"`
	Since     time.Time `query:"since"`
	Until     time.Time `query:"until"`
}

func (f ActivityFilter) query(org string) activity.Query {
	return activity.Query{
		Org: org, Kind: f.Kind, Doc: f.Doc, Actor: f.Actor, ActorKind: f.ActorKind, Verb: f.Verb, Door: f.Door, Address: f.Address, Text: f.Text, Since: f.Since, Until: f.Until,
	}
}

// AuditRequest asks for an organization's activity.
type AuditRequest struct {
	ByID
	ActivityFilter
	After int64 `query:"after" minimum:"0" doc:"only entries with a larger number: where an earlier answer ended"`
}

type feedRequest struct {
	AuditRequest
	Follow bool `query:"follow" doc:"stay, and tell what happens from now on, with a heartbeat at least every 15 seconds"`
}

// mark is a line of the feed that is no entry: it says how far the reader is.
type mark struct {
	Type  string    `json:"type"` // heartbeat, end
	After int64     `json:"after"`
	Time  time.Time `json:"time"`
}

// auditFeed streams activity as JSON lines (docs/audit-feed.md). What fails in the
// middle cuts the connection: the reader goes on after the last number it has.
func (s *server) auditFeed(ctx context.Context, actor ledger.Actor, in *feedRequest) (*huma.StreamResponse, error) {
	what := "activity exported as JSON lines"
	if in.Follow {
		what = "activity feed followed"
	}
	return s.stream(ctx, actor, in.AuditRequest, what, "application/jsonl", "", func(w *flushing) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		say := func(kind string, after int64) error {
			if err := enc.Encode(mark{kind, after, s.Ledger.Now().UTC().Truncate(time.Millisecond)}); err != nil {
				return err
			}
			return w.flush()
		}
		last, err := s.batches(ctx, actor, in.AuditRequest, in.After, func(l activity.Line) error { return enc.Encode(l) }, w.flush)
		if err != nil {
			return err
		}
		if !in.Follow {
			return say("end", last)
		}
		if err := say("heartbeat", last); err != nil {
			return err
		}
		return s.follow(ctx, in.AuditRequest, last, func(l activity.Line) error { return enc.Encode(l) }, say, w.flush)
	})
}

// follow tells what happens until the reader, the server or the right goes.
func (s *server) follow(ctx context.Context, in AuditRequest, last int64, tell func(activity.Line) error, say func(string, int64) error, flush func() error) error {
	news := make(chan struct{}, 1)
	stop := s.Ledger.Watch(func(entries []ledger.Entry) {
		for _, e := range entries {
			if e.Org == in.ID {
				select {
				case news <- struct{}{}:
				default: // the reader knows already that there is something
				}
				return
			}
		}
	})
	defer stop()
	beat, look := time.NewTicker(heartbeat), time.NewTicker(otherProcess)
	defer beat.Stop()
	defer look.Stop()
	for {
		quiet := false
		select {
		case <-ctx.Done():
			return nil
		case <-s.Closing:
			return say("end", last)
		case <-news:
		case <-look.C:
		case <-beat.C:
			quiet = true
		}
		actor, err := s.actor(ctx) // session or token may have ended
		if err != nil {
			return say("end", last)
		}
		if last, err = s.batches(ctx, actor, in, last, tell, flush); err != nil {
			return err
		}
		if quiet {
			if err := say("heartbeat", last); err != nil {
				return err
			}
		}
	}
}

// batches tells everything that there is now after a number.
func (s *server) batches(ctx context.Context, actor ledger.Actor, in AuditRequest, after int64, tell func(activity.Line) error, flush func() error) (int64, error) {
	for {
		lines, last, more, err := s.Activity.Batch(ctx, actor, in.query(in.ID), after)
		if err != nil {
			return after, err
		}
		for _, l := range lines {
			if err := tell(l); err != nil {
				return after, err
			}
		}
		if after = last; len(lines) > 0 {
			if err := flush(); err != nil {
				return after, err
			}
		}
		if !more {
			return after, nil
		}
	}
}

// auditCSV streams activity as a table.
func (s *server) auditCSV(ctx context.Context, actor ledger.Actor, in *AuditRequest) (*huma.StreamResponse, error) {
	return s.stream(ctx, actor, *in, "activity exported as CSV", "text/csv; charset=utf-8", ".csv", func(w *flushing) error {
		out := csv.NewWriter(w)
		if err := out.Write([]string{"number", "time", "act", "verb", "kind", "document", "revision", "title", "actor_kind", "actor", "actor_name", "door", "address", "reason", "reverts", "break_glass", "changes"}); err != nil {
			return err
		}
		number := func(n int64) string { return strconv.FormatInt(n, 10) }
		_, err := s.batches(ctx, actor, *in, in.After, func(l activity.Line) error {
			reverts, glass := "", ""
			if l.Reverts > 0 {
				reverts = number(l.Reverts)
			}
			if l.Glass != nil {
				glass = l.Glass.Reason
			}
			return out.Write([]string{
				number(l.Number), l.Time.Format(time.RFC3339Nano), number(l.Act), l.Verb, l.Kind, l.Document, number(l.Revision), cell(l.Title),
				l.Actor.Kind, l.Actor.ID, cell(l.Actor.Name), l.Door, l.Address, cell(l.Reason), reverts, cell(glass), cell(l.Text()),
			})
		}, func() error {
			out.Flush()
			if err := out.Error(); err != nil {
				return err
			}
			return w.flush()
		})
		out.Flush()
		if err != nil {
			return err
		}
		return out.Error()
	})
}

// cell keeps a text from being a formula where the table is opened.
func cell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

// stream asks for the right, takes a slot, and answers while fill writes.
func (s *server) stream(ctx context.Context, actor ledger.Actor, in AuditRequest, what, mime, ending string, fill func(*flushing) error) (*huma.StreamResponse, error) {
	free, ok := s.feeds.Take(actor.ID)
	if !ok {
		return nil, fault.New(fault.TooMany, "feed.busy", "Too much activity is being read from this server at once").After(time.Minute).WithMend("End another reader, or try again in some minutes")
	}
	if err := s.Activity.BeginExport(ctx, actor, in.query(in.ID), in.After, what); err != nil {
		free()
		return nil, err
	}
	name := "qanat-activity-" + s.Ledger.Now().UTC().Format("2006-01-02") + ending
	return &huma.StreamResponse{Body: func(c huma.Context) {
		defer free()
		_, w := humago.Unwrap(c)
		c.SetHeader("Content-Type", mime)
		if ending != "" {
			c.SetHeader("Content-Disposition", `attachment; filename="`+name+`"`)
		}
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(time.Time{}) // the request has arrived; an answer that is no connection, in tests, has none
		c.SetStatus(http.StatusOK)
		if err := fill(&flushing{w, control}); err != nil && ctx.Err() == nil {
			if e, ok := ctx.Value(requestKey).(*event); ok && fault.KindOf(err) == fault.Internal {
				e.err = fault.Cause(err)
			}
			panic(http.ErrAbortHandler)
		}
	}}, nil
}

// flushing is an answer whose lines leave when they are said.
type flushing struct {
	io.Writer
	control *http.ResponseController
}

func (f *flushing) flush() error { return f.control.Flush() }
