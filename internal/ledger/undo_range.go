package ledger

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
)

// Selection says whose changes are undone. It names an actor or an act; what is
// empty does not narrow it.
type Selection struct {
	Actor        string   // id of an account, device, phone or token
	Act          int64    // an act: an import, an earlier undo
	Orgs         []string // nil: all, the server's own included
	Kinds        []string
	Verbs        []Verb
	Since, Until time.Time // both included
	After        int64     // only entries with a larger number
	Before       int64     // only entries with a smaller number
	// Join lets the undo join an earlier one, which was interrupted. What that had undone is not undone again.
	Join int64
}

// Undone is what an undo has done so far, or a preview says that it would do.
type Undone struct {
	Act       int64      `json:"act" doc:"the act of the undo, which can be undone itself; 0: nothing was undone"`
	Total     int        `json:"total" doc:"changes selected"`
	Done      int        `json:"done" doc:"of them looked at so far"`
	Documents int        `json:"documents" doc:"documents that they changed"`
	Count     int        `json:"count" doc:"changes undone"`
	Already   int        `json:"already" doc:"changes that were undone before"`
	Kept      int        `json:"kept" doc:"changes that stay, because of later work of others or a rule"`
	Denied    int        `json:"denied" doc:"changes that stay, because the asker may not undo them"`
	Tally     []Tally    `json:"tally" doc:"the same by kind and verb"`
	Conflicts []Conflict `json:"conflicts" doc:"the first 1,000 of what stays"`
}

// Tally counts changes of one sort.
type Tally struct {
	Kind    string `json:"kind"`
	Verb    Verb   `json:"verb"`
	Total   int    `json:"total"`
	Count   int    `json:"count"`
	Already int    `json:"already"`
	Kept    int    `json:"kept" doc:"for whatever reason"`
}

const (
	undoRead     = 256                    // changes that are read ahead together
	undoTurn     = 100 * time.Millisecond // after which others get their turn to write
	undoPasses   = 5                      // times that what a rule refused is tried again
	mostConflict = 1000
	mostImagined = 20_000 // documents of a preview that are kept in memory for later rules
)

// UndoRange takes back everything that a selection names, newest first, in
// chunks that join one act, between which others write. The changes of one
// document with nobody else's between them are taken back by one revision. What
// cannot be undone is reported and left. progress, if any, is told after each
// chunk. After an interruption the same call goes on where it stopped.
func (l *Ledger) UndoRange(ctx context.Context, actor Actor, reason string, s Selection, may May, progress func(Undone)) (Undone, error) {
	return (&undoing{l: l, actor: actor, reason: reason, may: may, progress: progress, act: s.Join}).run(ctx, s)
}

// PreviewUndo says what UndoRange would do, by the same decision, and writes
// nothing. Rules that ask SQL see what is there now, and a name or code that
// somebody else has taken since is only found by the undo itself.
func (l *Ledger) PreviewUndo(ctx context.Context, actor Actor, s Selection, may May, progress func(Undone)) (Undone, error) {
	return (&undoing{l: l, actor: actor, may: may, progress: progress, imagined: map[string]*document{}}).run(ctx, s)
}

// undoing is one run of UndoRange or PreviewUndo.
type undoing struct {
	l        *Ledger
	actor    Actor
	reason   string
	may      May
	progress func(Undone)
	act      int64
	imagined map[string]*document // of a preview: what it would have written; nil: this is none

	result Undone
	tally  map[string]*Tally
	refuse []refusal // of this pass
}

// unit is what a selection names of one document, newest first.
type unit struct {
	doc     string
	entries []chosen
}

type chosen struct {
	number, revision int64
	kind             string
	verb             Verb
}

type refusal struct {
	doc   string
	entry chosen
	err   error
}

// outcome is what one chunk did. It is counted when the chunk is committed.
type outcome struct {
	units         int
	act           int64
	undone, again []chosen
	refused       []refusal
}

func (u *undoing) run(ctx context.Context, s Selection) (Undone, error) {
	u.tally = map[string]*Tally{}
	units, err := u.plan(ctx, s)
	for pass := 1; err == nil && len(units) > 0; pass++ {
		before := u.result.Count
		if err = u.pass(ctx, units); err != nil {
			break
		}
		// A rule may refuse what it allows once more is undone: a grant on what is still deleted.
		units = nil
		final := u.refuse
		u.refuse = nil
		if pass < undoPasses && u.result.Count > before {
			final, units = u.split(final)
		}
		for _, r := range final {
			if err = u.report(ctx, r); err != nil {
				break
			}
		}
	}
	return u.told(), err
}

// split parts what is refused for good from what is tried again.
func (u *undoing) split(refused []refusal) (final []refusal, again []unit) {
	at := map[string]int{}
	for _, r := range refused {
		if fault.From(r.err).Code == codeLater {
			final = append(final, r)
			continue
		}
		i, known := at[r.doc]
		if !known {
			i = len(again)
			at[r.doc] = i
			again = append(again, unit{doc: r.doc})
		}
		again[i].entries = append(again[i].entries, r.entry)
		u.result.Done--
	}
	for i := range again {
		slices.SortFunc(again[i].entries, func(a, b chosen) int { return int(b.revision - a.revision) })
	}
	return final, again
}

// plan reads what a selection names, the document with the newest change first.
func (u *undoing) plan(ctx context.Context, s Selection) ([]unit, error) {
	where, args, err := s.where()
	if err != nil {
		return nil, err
	}
	var units []unit
	at := map[string]int{}
	err = u.l.Read(ctx, func(r *Reader) error {
		rows := r.Query(`SELECT number, doc, revision, kind, verb FROM entry WHERE `+where+` ORDER BY number DESC`, args...)
		for rows.Next() {
			var c chosen
			var doc string
			rows.Scan(&c.number, &doc, &c.revision, &c.kind, (*string)(&c.verb))
			i, known := at[doc]
			if !known {
				i = len(units)
				at[doc] = i
				units = append(units, unit{doc: doc})
			}
			units[i].entries = append(units[i].entries, c)
			u.result.Total++
			u.of(c).Total++
		}
		return rows.Close()
	})
	u.result.Documents = len(units)
	return units, err
}

func (s Selection) where() (string, []any, error) {
	if s.Actor == "" && s.Act == 0 {
		return "", nil, fault.New(fault.Invalid, "undo.selection", "An undo needs to know whose changes, or which act").
			At("/actor", "missing", "choose a person, device or token")
	}
	where, args := []string{"1 = 1"}, []any{}
	mark := func(value any) string {
		args = append(args, value)
		return fmt.Sprintf("$%d", len(args))
	}
	oneOf := func(column string, values []string) {
		marks := []string{"''"} // none of no values
		for _, v := range values {
			marks = append(marks, mark(v))
		}
		where = append(where, column+" IN ("+strings.Join(marks[min(1, len(values)):], ", ")+")")
	}
	if s.Actor != "" {
		where = append(where, "actor = "+mark(s.Actor))
	}
	if s.Act != 0 {
		where = append(where, "act = "+mark(s.Act))
	}
	if s.Orgs != nil {
		oneOf("org", s.Orgs)
	}
	if len(s.Kinds) > 0 {
		oneOf("kind", s.Kinds)
	}
	if len(s.Verbs) > 0 {
		verbs := make([]string, len(s.Verbs))
		for i, v := range s.Verbs {
			verbs[i] = string(v)
		}
		oneOf("verb", verbs)
	}
	if !s.Since.IsZero() {
		where = append(where, "time >= "+mark(s.Since.UnixMilli()))
	}
	if !s.Until.IsZero() {
		where = append(where, "time <= "+mark(s.Until.UnixMilli()))
	}
	if s.After != 0 {
		where = append(where, "number > "+mark(s.After))
	}
	if s.Before != 0 {
		where = append(where, "number < "+mark(s.Before))
	}
	return strings.Join(where, " AND "), args, nil
}

// pass goes once through units.
func (u *undoing) pass(ctx context.Context, units []unit) error {
	for len(units) > 0 {
		n, entries := 0, 0
		for n < len(units) && (n == 0 || entries+len(units[n].entries) <= undoRead) {
			entries += len(units[n].entries)
			n++
		}
		chunk := units[:n]
		units = units[n:]
		p, err := u.recall(ctx, chunk)
		for err == nil && len(chunk) > 0 {
			var done int
			done, err = u.turn(ctx, chunk, p)
			chunk = chunk[done:]
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// recall reads what a chunk needs of the past, outside of any write.
func (u *undoing) recall(ctx context.Context, units []unit) (*past, error) {
	p := newPast(u.l)
	var wanted []step
	var docs []any
	for _, un := range units {
		docs = append(docs, un.doc)
		for i, c := range un.entries {
			if i == 0 || un.entries[i-1].revision != c.revision+1 {
				wanted = append(wanted, step{un.doc, c.revision})
			}
			if c.revision > 1 {
				wanted = append(wanted, step{un.doc, c.revision - 1})
			}
		}
	}
	err := u.l.Read(ctx, func(r *Reader) error {
		if err := p.readUndos(r, docs); err != nil {
			return err
		}
		return p.read(r, wanted)
	})
	return p, err
}

// turn undoes as many units as fit into one turn of the writer, at least one.
func (u *undoing) turn(ctx context.Context, units []unit, p *past) (int, error) {
	var out outcome
	err := u.within(ctx, func(tx *Tx) error {
		out = outcome{}
		tx.act, tx.past = u.act, p
		if err := tx.prefetch(units); err != nil {
			return err
		}
		began := u.l.clock.Now()
		for _, un := range units {
			if err := u.unit(tx, un, &out); err != nil {
				return err
			}
			if out.units++; u.l.clock.Now().Sub(began) > undoTurn {
				break
			}
		}
		out.act = tx.act
		return nil
	})
	switch {
	case err == nil:
	case !isRefusal(err) || ctx.Err() != nil:
		return 0, err
	case len(units) > 1: // something in it cannot be written at all: find it
		return u.turn(ctx, units[:len(units)/2], p)
	default:
		out = outcome{units: 1}
		for _, c := range units[0].entries {
			out.refused = append(out.refused, refusal{units[0].doc, c, err})
		}
	}
	u.count(out)
	return out.units, nil
}

// within runs fn in a write, or, for a preview, in a snapshot where it only imagines.
func (u *undoing) within(ctx context.Context, fn func(*Tx) error) error {
	if u.imagined == nil {
		return u.l.Write(ctx, u.actor, u.reason, fn)
	}
	return u.l.Read(ctx, func(r *Reader) error {
		g := &group{ledger: u.l, q: r.q, head: &head{}, docs: maps.Clone(u.imagined), now: u.l.clock.Now().UnixMilli(), dry: true}
		err := fn(&Tx{Reader: &Reader{q: r.q, ledger: u.l, group: g}, Actor: u.actor, Now: time.UnixMilli(g.now).UTC()})
		for _, c := range g.pending {
			if _, known := u.imagined[c.header.doc]; known || len(u.imagined) < mostImagined {
				u.imagined[c.header.doc] = c.after
			}
		}
		return err
	})
}

// imagine is what a preview does instead of writing.
func (tx *Tx) imagine(k Kind, before, after *document) error {
	g := tx.group
	g.pending = append(g.pending, &change{kind: k, before: before, after: after, header: header{doc: after.id}})
	g.docs[after.id] = after
	return nil
}

// prefetch reads the present documents of units with one query.
func (tx *Tx) prefetch(units []unit) error {
	var marks []string
	var args []any
	for _, un := range units {
		if _, known := tx.group.docs[un.doc]; !known {
			args = append(args, un.doc)
			marks = append(marks, fmt.Sprintf("$%d", len(args)))
		}
	}
	if len(args) == 0 {
		return nil
	}
	found, err := scanDocuments(tx.q.Query(`SELECT `+documentColumns+` FROM document d WHERE d.id IN (`+strings.Join(marks, ", ")+`)`, args...))
	for _, d := range found {
		if d.wrapped != nil {
			d.key = tx.past.keys[d.id]
		}
		tx.group.docs[d.id] = d
	}
	return err
}

// unit undoes what is to be undone of one document.
func (u *undoing) unit(tx *Tx, un unit, out *outcome) error {
	var open []chosen
	for _, c := range un.entries {
		if tx.past.undoneBy(un.doc, c.number) != 0 {
			out.again = append(out.again, c)
		} else {
			open = append(open, c)
		}
	}
	for len(open) > 0 {
		n := 1
		for n < len(open) && open[n].revision == open[n-1].revision-1 {
			n++
		}
		if err := u.attempt(tx, un.doc, open[:n], out); err != nil {
			return err
		}
		open = open[n:]
	}
	return nil
}

// attempt undoes a run of consecutive revisions, newest first, as one; when
// that is refused, one by one, so that what can be undone is.
func (u *undoing) attempt(tx *Tx, doc string, run []chosen, out *outcome) error {
	mark := len(tx.group.pending)
	err := u.revert(tx, run)
	switch {
	case err == nil && len(tx.group.pending) > mark:
		out.undone = append(out.undone, run...)
	case err == nil:
		out.again = append(out.again, run...)
	case !isRefusal(err) || tx.group.broken != nil || len(tx.group.pending) > mark:
		return err
	case len(run) > 1:
		for i := range run {
			if err := u.attempt(tx, doc, run[i:i+1], out); err != nil {
				return err
			}
		}
	default:
		out.refused = append(out.refused, refusal{doc, run[0], err})
	}
	return nil
}

func (u *undoing) revert(tx *Tx, run []chosen) error {
	var ends [2]Entry // newest, oldest
	for i, c := range run {
		e, _, err := tx.entryContent(c.number)
		if err != nil {
			return err
		}
		if err := u.may(tx, e); err != nil {
			return err
		}
		if i == 0 {
			ends[0] = e
		}
		ends[1] = e
	}
	return tx.undo(ends[1], ends[0])
}

// isRefusal tells an answer about this change from a failure of the server.
func isRefusal(err error) bool {
	switch fault.KindOf(err) {
	case fault.Invalid, fault.Denied, fault.NotFound, fault.Conflict, fault.TooLarge:
		return err != nil
	default:
		return false
	}
}

func (u *undoing) count(out outcome) {
	if len(out.undone) > 0 && u.imagined == nil {
		u.act = out.act
	}
	for _, c := range out.undone {
		u.of(c).Count++
	}
	for _, c := range out.again {
		u.of(c).Already++
	}
	u.result.Count += len(out.undone)
	u.result.Already += len(out.again)
	u.result.Done += len(out.undone) + len(out.again) + len(out.refused)
	u.refuse = append(u.refuse, out.refused...)
	if u.progress != nil {
		u.progress(u.told())
	}
}

// report counts a change that stays, and says why of the first.
func (u *undoing) report(ctx context.Context, r refusal) error {
	denied := fault.KindOf(r.err) == fault.Denied || fault.KindOf(r.err) == fault.NotFound
	u.of(r.entry).Kept++
	if denied {
		u.result.Denied++
	} else {
		u.result.Kept++
	}
	if len(u.result.Conflicts) >= mostConflict {
		return nil
	}
	return u.l.Read(ctx, func(rd *Reader) error {
		e, _, err := rd.entryContent(r.entry.number)
		u.result.Conflicts = append(u.result.Conflicts, Conflict{Entry: e, Message: fault.From(r.err).Error(), Denied: denied})
		return err
	})
}

func (u *undoing) of(c chosen) *Tally {
	key := c.kind + " " + string(c.verb)
	if u.tally[key] == nil {
		u.tally[key] = &Tally{Kind: c.kind, Verb: c.verb}
	}
	return u.tally[key]
}

// told is the result so far, sharing nothing.
func (u *undoing) told() Undone {
	r := u.result
	r.Act = u.act
	r.Conflicts = append([]Conflict{}, r.Conflicts...)
	r.Tally = []Tally{}
	for _, key := range slices.Sorted(maps.Keys(u.tally)) {
		r.Tally = append(r.Tally, *u.tally[key])
	}
	return r
}
