// Package activity shows what happened and takes it back: the ledger, read with
// somebody's eyes.
//
// It guarantees that nobody reads an entry of a thing that he may not see, and
// that an undo asks for the same right as the change it reverts. Managers and
// admins of a whole organization see all its entries; others see those of the
// things they see now (for what is deleted: as it last was).
//
// Undoing a range asks besides for the right to see all of the organization's
// activity. It runs on in the background; after a restart of the server the same
// undo, started again, goes on where it stopped.
//
// Limits: a page holds at most 100 acts. Who controls this package reads the
// past of every organization.
package activity

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

const (
	maxActs = 100
	maxLook = 2000 // entries that are looked at for one page, so that a page of the unseen ends
)

// Service reads and reverts.
type Service struct {
	Ledger *ledger.Ledger

	runs runs
}

// Act is what somebody did at once: one entry, or the thousands of an import.
type Act struct {
	Act     int64            `json:"act"`
	Entries int64            `json:"entries" doc:"how many entries it has"`
	Newest  int64            `json:"newest" doc:"number of its newest entry"`
	Kinds   map[string]int64 `json:"kinds" doc:"entries by kind"`
	Entry   ledger.Entry     `json:"entry" doc:"its first entry"`
	Title   string           `json:"title,omitempty" doc:"name of the document of the first entry"`
	Undone  bool             `json:"undone" doc:"its newest entry was undone"`
}

// Query says which acts.
type Query struct {
	Org    string
	Kind   string
	Doc    string
	Actor  string
	Before int64 // acts whose newest entry has a smaller number
	Since  time.Time
	Until  time.Time
	Limit  int
}

// Acts lists acts, newest first, and the cursor of the next page: 0 at the end.
func (s *Service) Acts(ctx context.Context, actor ledger.Actor, q Query) (acts []Act, next int64, err error) {
	limit := maxActs
	if q.Limit > 0 {
		limit = min(q.Limit, maxActs)
	}
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		eyes, err := look(r, actor, q.Org)
		if err != nil {
			return err
		}
		before, looked := q.Before, 0
		skip := map[int64]bool{}
		for len(acts) < limit && looked < maxLook {
			page, err := candidates(r, q, before, skip)
			if err != nil {
				return err
			}
			if len(page) == 0 {
				next = 0
				return nil
			}
			for _, c := range page {
				looked++
				before, next = c.number, c.number
				if skip[c.act] {
					continue
				}
				skip[c.act] = true
				act, ok, err := eyes.act(c.act, q.Before)
				if err != nil {
					return err
				}
				if ok {
					if acts = append(acts, act); len(acts) == limit {
						return nil
					}
				}
			}
		}
		return nil
	})
	return acts, next, err
}

type candidate struct{ number, act int64 }

// candidates are the next entries of acts that are not known yet.
func candidates(r *ledger.Reader, q Query, before int64, skip map[int64]bool) ([]candidate, error) {
	where, args := []string{"org = $1"}, []any{q.Org}
	add := func(condition string, value any) {
		args = append(args, value)
		where = append(where, strings.ReplaceAll(condition, "?", fmt.Sprintf("$%d", len(args))))
	}
	for condition, value := range map[string]string{"kind = ?": q.Kind, "doc = ?": q.Doc, "actor = ?": q.Actor} {
		if value != "" {
			add(condition, value)
		}
	}
	if before != 0 {
		add("number < ?", before)
	}
	if !q.Since.IsZero() {
		add("time >= ?", q.Since.UnixMilli())
	}
	if !q.Until.IsZero() {
		add("time <= ?", q.Until.UnixMilli())
	}
	if len(skip) > 0 {
		marks := make([]string, 0, len(skip))
		for act := range skip {
			args = append(args, act)
			marks = append(marks, fmt.Sprintf("$%d", len(args)))
		}
		where = append(where, "act NOT IN ("+strings.Join(marks, ", ")+")")
	}
	rows := r.Query(`SELECT number, act FROM entry WHERE `+strings.Join(where, " AND ")+` ORDER BY number DESC LIMIT 100`, args...)
	var found []candidate
	for rows.Next() {
		var c candidate
		rows.Scan(&c.number, &c.act)
		found = append(found, c)
	}
	return found, rows.Close()
}

// eyes are somebody's rights over one snapshot.
type eyes struct {
	r   *ledger.Reader
	set *access.Set
	org string
	all bool // may see everything of the organization
}

func look(r *ledger.Reader, actor ledger.Actor, org string) (*eyes, error) {
	set, err := access.Principals(r, actor)
	if err != nil {
		return nil, err
	}
	member := set.System
	for _, mine := range set.Organizations() {
		member = member || mine == org
	}
	if !member {
		return nil, fault.New(fault.NotFound, "branch.missing", "There is no such organization").WithMend("Check the link; you may not belong to it")
	}
	d, err := set.Decide(r, access.See, access.Thing{Kind: "activity", Org: org, Branch: org})
	return &eyes{r: r, set: set, org: org, all: d.Allowed || set.System}, err
}

// sees tells whether an entry may be read.
func (e *eyes) sees(entry ledger.Entry) (bool, error) {
	if e.all && entry.Org == e.org {
		return true, nil
	}
	if e.r.Secret(entry.Kind) {
		return false, nil
	}
	thing, err := access.Describe(e.r, entry.Kind, entry.Doc)
	if fault.KindOf(err) == fault.NotFound && err != nil {
		var last json.RawMessage
		if last, err = e.lastContent(entry.Doc); err == nil && last != nil {
			thing, err = access.DescribePast(e.r, entry.Kind, entry.Org, entry.Doc, last)
		}
		if last == nil && err == nil {
			return false, nil
		}
	}
	if err != nil {
		if fault.KindOf(err) == fault.NotFound {
			return false, nil
		}
		return false, err
	}
	d, err := e.set.Decide(e.r, access.See, thing)
	return d.Allowed, err
}

// lastContent is what a deleted document was before its deletion.
func (e *eyes) lastContent(doc string) (json.RawMessage, error) {
	entries, err := e.r.Entries(ledger.Filter{Doc: doc, Limit: 1})
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	_, before, after, err := e.r.Entry(entries[0].Number)
	if after != nil {
		return after, err
	}
	return before, err
}

// act describes what an act did in the organization; ok is false when it may not
// be seen, or was on an earlier page. What it did elsewhere, such as making the
// account of somebody who joins, is no part of it here.
func (e *eyes) act(number, before int64) (Act, bool, error) {
	a := Act{Act: number, Kinds: map[string]int64{}}
	var oldest int64
	rows := e.r.Query(`SELECT kind, count(*), min(number), max(number) FROM entry WHERE act = $1 AND org = $2 GROUP BY kind`, number, e.org)
	for rows.Next() {
		var kind string
		var count, first, newest int64
		rows.Scan(&kind, &count, &first, &newest)
		a.Kinds[kind] = count
		a.Entries += count
		a.Newest = max(a.Newest, newest)
		if oldest == 0 || first < oldest {
			oldest = first
		}
	}
	if err := rows.Close(); err != nil {
		return a, false, err
	}
	if before != 0 && a.Newest >= before {
		return a, false, nil
	}
	entry, earlier, later, err := e.r.Entry(oldest)
	if err != nil {
		return a, false, err
	}
	a.Entry, a.Title = entry, Title(later, earlier)
	if ok, err := e.sees(entry); err != nil || !ok {
		return a, false, err
	}
	newest := entry
	if a.Newest != oldest {
		if newest, _, _, err = e.r.Entry(a.Newest); err != nil {
			return a, false, err
		}
	}
	by, err := e.r.UndoneBy(newest)
	a.Undone = by != 0
	return a, true, err
}

// Title is what a document is called, by the first of its contents that says.
func Title(contents ...json.RawMessage) string {
	for _, content := range contents {
		var named struct {
			Name, Title, Serial, Email, What string
			InstanceID                       string `json:"instance_id"`
		}
		if content == nil || json.Unmarshal(content, &named) != nil {
			continue
		}
		for _, name := range []string{named.Name, named.Title, named.Serial, named.Email, named.What, named.InstanceID} {
			if name != "" {
				return name
			}
		}
	}
	return ""
}

// Detail is one entry with what it changed.
type Detail struct {
	Entry       ledger.Entry        `json:"entry"`
	Title       string              `json:"title,omitempty"`
	Before      json.RawMessage     `json:"before,omitempty"`
	After       json.RawMessage     `json:"after,omitempty"`
	Differences []ledger.Difference `json:"differences"`
	UndoneBy    int64               `json:"undone_by,omitempty" doc:"number of the entry that undid it"`
	Others      int64               `json:"others" doc:"entries of the same act besides this one"`
}

// Entry reads one entry.
func (s *Service) Entry(ctx context.Context, actor ledger.Actor, number int64) (Detail, error) {
	var d Detail
	err := s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		entry, before, after, err := r.Entry(number)
		if err != nil {
			return err
		}
		if err := s.maySee(r, actor, entry); err != nil {
			return err
		}
		d = Detail{Entry: entry, Title: Title(after, before), Before: before, After: after, Differences: ledger.Diff(before, after)}
		if d.UndoneBy, err = r.UndoneBy(entry); err != nil {
			return err
		}
		_, err = r.Row([]any{&d.Others}, `SELECT count(*) - 1 FROM entry WHERE act = $1`, entry.Act)
		return err
	})
	return d, err
}

func (s *Service) maySee(r *ledger.Reader, actor ledger.Actor, entry ledger.Entry) error {
	none := fault.Newf(fault.NotFound, "entry.missing", "There is no entry %d", entry.Number)
	eyes, err := look(r, actor, entry.Org)
	if fault.KindOf(err) == fault.NotFound && err != nil {
		return none
	}
	if err != nil {
		return err
	}
	ok, err := eyes.sees(entry)
	if err == nil && !ok {
		return none
	}
	return err
}

// History reads all that happened to a document.
func (s *Service) History(ctx context.Context, actor ledger.Actor, kind, doc string) ([]ledger.Revision, error) {
	var history []ledger.Revision
	err := s.Ledger.Read(ctx, func(r *ledger.Reader) (err error) {
		if err := s.mayReadDocument(r, actor, kind, doc); err != nil {
			return err
		}
		history, err = r.History(doc)
		return err
	})
	return history, err
}

// AsOf reads a document's content as it stood at a time.
func (s *Service) AsOf(ctx context.Context, actor ledger.Actor, kind, doc string, at time.Time) (content json.RawMessage, entry ledger.Entry, err error) {
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		if err := s.mayReadDocument(r, actor, kind, doc); err != nil {
			return err
		}
		content, entry, err = r.AsOf(doc, at)
		return err
	})
	return content, entry, err
}

func (s *Service) mayReadDocument(r *ledger.Reader, actor ledger.Actor, kind, doc string) error {
	none := fault.Newf(fault.NotFound, "document.missing", "There is no such %.40s", strings.ReplaceAll(kind, "_", " ")).WithMend("Check the link; you may not have the right to see it")
	entries, err := r.Entries(ledger.Filter{Doc: doc, Limit: 1})
	if err != nil {
		return err
	}
	if len(entries) == 0 || entries[0].Kind != kind {
		return none
	}
	if err := s.maySee(r, actor, entries[0]); fault.KindOf(err) == fault.NotFound && err != nil {
		return none
	} else if err != nil {
		return err
	}
	return nil
}

// Undo takes one entry back.
func (s *Service) Undo(ctx context.Context, actor ledger.Actor, number int64, reason string) (ledger.Entry, error) {
	return s.Ledger.Undo(ctx, actor, reason, number, access.MayUndo)
}

// UndoAct takes a whole act back, newest entry first. Who may see none of its
// entries is told that there is no such act.
func (s *Service) UndoAct(ctx context.Context, actor ledger.Actor, act int64, reason string) (ledger.Undone, error) {
	err := s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		entry, _, _, err := r.Entry(act)
		if err != nil {
			return err
		}
		return s.maySee(r, actor, entry)
	})
	if err != nil {
		return ledger.Undone{}, err
	}
	return s.Ledger.UndoAct(ctx, actor, reason, act, access.UndoRule(), nil)
}
