package activity

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/id"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// Line is an entry as exports and the feed tell it. Its names are a format that
// others read (docs/audit-feed.md): members are added, never changed.
type Line struct {
	Type         string    `json:"type"` // entry
	Number       int64     `json:"number"`
	Time         time.Time `json:"time"`
	Act          int64     `json:"act"`
	Organization string    `json:"organization"`
	Verb         string    `json:"verb"`
	Kind         string    `json:"kind"`
	Document     string    `json:"document"`
	Revision     int64     `json:"revision"`
	Title        string    `json:"title,omitempty"`
	Actor        LineActor `json:"actor"`
	Door         string    `json:"door"`
	Address      string    `json:"address,omitempty"`
	Reason       string    `json:"reason,omitempty"`
	Reverts      int64     `json:"reverts,omitempty"`
	Through      int64     `json:"through,omitempty"`
	Erased       bool      `json:"erased,omitempty"`
	Glass        *Glass    `json:"break_glass,omitempty"`

	Changes []ledger.Difference `json:"changes,omitempty"`
	Omitted bool                `json:"changes_omitted,omitempty"` // they were too large for a line
}

// LineActor is who acted.
type LineActor struct {
	ID   string `json:"id,omitempty"`
	Kind string `json:"kind"`
	Name string `json:"name,omitempty"`
}

const (
	maxBatch   = 100     // entries that are looked at for one batch, each of up to 4 MiB before and after
	maxChanges = 1 << 18 // bytes of changes in a line
)

// BeginExport asks for the right to take activity out and writes down who does,
// and what: before the first line leaves. A program that reads the feed is
// written down once a day.
func (s *Service) BeginExport(ctx context.Context, actor ledger.Actor, q Query, after int64, what string) error {
	record := AccessRecord{What: what, Thing: "activity:" + q.Org, Detail: q.words(after)}
	return s.Ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error {
		if err := mayExport(tx.Reader, actor, q.Org); err != nil {
			return err
		}
		if err := access.FreshPerson(actor, tx.Now); err != nil {
			return err
		}
		if actor.Kind != "token" {
			return Record(tx, q.Org, record)
		}
		daily := id.Named(actor.ID, q.Org+" "+what+" "+tx.Now.UTC().Format(time.DateOnly))
		if _, known, err := exists(tx, daily); err != nil || known {
			return err
		}
		_, err := Records.Create(tx, q.Org, daily, record)
		return err
	})
}

func exists(tx *ledger.Tx, doc string) (string, bool, error) {
	_, kind, found, err := tx.OrgOf(doc)
	return kind, found, err
}

// words is a query for people.
func (q Query) words(after int64) string {
	var parts []string
	for _, p := range []struct{ name, value string }{
		{"kind", q.Kind}, {"document", q.Doc}, {"actor", q.Actor}, {"actor kind", q.ActorKind}, {"verb", q.Verb}, {"door", q.Door}, {"address", q.Address}, {"reason", q.Text},
	} {
		if p.value != "" {
			parts = append(parts, p.name+" "+p.value)
		}
	}
	if !q.Since.IsZero() {
		parts = append(parts, "since "+q.Since.UTC().Format(time.RFC3339))
	}
	if !q.Until.IsZero() {
		parts = append(parts, "until "+q.Until.UTC().Format(time.RFC3339))
	}
	if after > 0 {
		parts = append(parts, fmt.Sprintf("after entry %d", after))
	}
	if len(parts) == 0 {
		return "all of it"
	}
	words := strings.Join(parts, ", ")
	return words[:min(len(words), 2000)]
}

// Batch reads the next lines after a number, oldest first: those that fit among
// the next entries of the organization. last is where to go on; more tells
// whether there is more now. The right is asked for each batch, so that a
// reader who loses it gets no more.
func (s *Service) Batch(ctx context.Context, actor ledger.Actor, q Query, after int64) (lines []Line, last int64, more bool, err error) {
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		if err := mayExport(r, actor, q.Org); err != nil {
			return err
		}
		span, err := q.bounded(r)
		if err != nil {
			return err
		}
		lines, last = nil, after
		if after >= span.last && !q.Until.IsZero() {
			return nil
		}
		changes, err := r.Changes(ledger.Filter{
			Orgs: []string{q.Org}, Kind: q.Kind, Doc: q.Doc, Actor: q.Actor, By: q.ActorKind, Verb: ledger.Verb(q.Verb), Door: q.Door,
			After: max(after, span.first-1), Before: span.last + 1, Oldest: true, Limit: maxBatch,
		})
		if err != nil {
			return err
		}
		glasses, err := glassesOf(r, q.Org)
		if err != nil {
			return err
		}
		for _, c := range changes {
			last = c.Entry.Number
			if q.fits(c.Entry) {
				lines = append(lines, line(c, glasses.over(c.Entry)))
			}
		}
		more = len(changes) == maxBatch
		if !more { // what is not the organization's, or does not fit, need not be looked at again
			last = max(last, span.last)
		}
		return nil
	})
	return lines, last, more, err
}

func line(c ledger.Change, glass *Glass) Line {
	e := c.Entry
	l := Line{
		Type: "entry", Number: e.Number, Time: e.Time, Act: e.Act, Organization: e.Org, Verb: string(e.Verb), Kind: e.Kind, Document: e.Doc, Revision: e.Revision,
		Title: Title(c.After, c.Before), Actor: LineActor{e.Actor, e.ActorKind, e.ActorName}, Door: e.Door, Address: e.From, Reason: e.Reason,
		Reverts: e.Reverts, Through: e.Through, Erased: e.Erased, Glass: glass,
	}
	l.Changes = ledger.Diff(c.Before, c.After)
	size := 0
	for _, d := range l.Changes {
		size += len(d.Path) + len(d.Old) + len(d.New)
	}
	if size > maxChanges {
		l.Changes, l.Omitted = nil, true
	}
	return l
}

// Text is the changes of a line as one text, for a table.
func (l Line) Text() string {
	if len(l.Changes) == 0 {
		return ""
	}
	text, err := json.Marshal(l.Changes)
	if err != nil {
		return ""
	}
	return string(text)
}
