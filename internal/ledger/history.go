package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/vault"
)

// Filter says which entries to list.
type Filter struct {
	Orgs   []string // nil: of all organizations and the server
	Kind   string
	Doc    string
	Actor  string
	Verb   Verb
	Door   string
	By     string // kind of actor
	Act    int64
	Before int64 // only entries with a smaller number
	After  int64 // only entries with a larger number
	Since  time.Time
	Until  time.Time
	Oldest bool // oldest first instead of newest first
	Limit  int  // at most 1,000; 0: 100
}

const entryColumns = `e.number, e.time, e.act, e.org, e.kind, e.doc, e.revision, e.verb, e.actor, e.actor_kind, e.door, e.reverts, e.sealed, d.key`

// record is an entry as stored, with its document's wrapped key.
type record struct {
	header
	sealed, wrapped []byte
}

func (r *Reader) records(where string, args []any) ([]record, error) {
	return scanRecords(r.Query(`SELECT `+entryColumns+` FROM entry e LEFT JOIN document d ON d.id = e.doc WHERE `+where, args...))
}

func scanRecords(rows *store.Rows) ([]record, error) {
	var found []record
	for rows.Next() {
		var e record
		rows.Scan(&e.number, &e.time, &e.act, &e.org, &e.kind, &e.doc, &e.revision, &e.verb, &e.actor, &e.actorKind, &e.door, &e.reverts, &e.sealed, &e.wrapped)
		found = append(found, e)
	}
	return found, rows.Close()
}

// open gives the entry with what was sealed: name, address, reason and content.
func (r *Reader) open(rec *record) (Entry, content, error) {
	e := rec.entry()
	if rec.wrapped == nil {
		e.Erased = true
		return e, content{}, nil
	}
	key, err := r.key(rec)
	if err != nil {
		return e, content{}, err
	}
	c, err := unsealWith(key, &rec.header, rec.sealed)
	e.ActorName, e.From, e.Reason, e.Through = c.Name, c.From, c.Reason, c.Through
	return e, c, err
}

// key unwraps the key of an entry, unless the entry before was of the same document.
func (r *Reader) key(rec *record) (*vault.Key, error) {
	if k := &r.opened; k.key == nil || k.doc != rec.doc || !bytes.Equal(k.wrapped, rec.wrapped) {
		key, err := r.ledger.vault.Unwrap(rec.doc, rec.wrapped)
		if err != nil {
			return nil, err
		}
		*k = openedKey{rec.doc, rec.wrapped, key}
	}
	return r.opened.key, nil
}

type openedKey struct {
	doc     string
	wrapped []byte
	key     *vault.Key
}

// Entries lists entries, newest first, without their content.
func (r *Reader) Entries(f Filter) ([]Entry, error) {
	var entries []Entry
	err := r.Each(f, func(e Entry, _ json.RawMessage) error {
		entries = append(entries, e)
		return nil
	})
	return entries, err
}

// Each is Entries with the content that each entry gave its document: nil when
// it deleted it, when it was erased, and for secret nouns.
func (r *Reader) Each(f Filter, fn func(e Entry, content json.RawMessage) error) error {
	where, args := []string{"1 = 1"}, []any{}
	add := func(condition string, value any) {
		args = append(args, value)
		where = append(where, strings.ReplaceAll(condition, "?", fmt.Sprintf("$%d", len(args))))
	}
	if f.Orgs != nil {
		if len(f.Orgs) == 0 {
			return nil
		}
		marks := make([]string, len(f.Orgs))
		for i, org := range f.Orgs {
			args = append(args, org)
			marks[i] = fmt.Sprintf("$%d", len(args))
		}
		where = append(where, "e.org IN ("+strings.Join(marks, ", ")+")")
	}
	for _, c := range []struct{ condition, value string }{{"e.kind = ?", f.Kind}, {"e.doc = ?", f.Doc}, {"e.actor = ?", f.Actor}, {"e.verb = ?", string(f.Verb)}, {"e.door = ?", f.Door}, {"e.actor_kind = ?", f.By}} {
		if c.value != "" {
			add(c.condition, c.value)
		}
	}
	if f.Act != 0 {
		add("e.act = ?", f.Act)
	}
	if f.Before != 0 {
		add("e.number < ?", f.Before)
	}
	if f.After != 0 {
		add("e.number > ?", f.After)
	}
	if !f.Since.IsZero() {
		add("e.time >= ?", f.Since.UnixMilli())
	}
	if !f.Until.IsZero() {
		add("e.time <= ?", f.Until.UnixMilli())
	}
	limit, order := 100, "DESC"
	if f.Limit > 0 {
		limit = min(f.Limit, 1000)
	}
	if f.Oldest {
		order = "ASC"
	}
	// The entries first, so that no engine thinks of joining all documents.
	sort := fmt.Sprintf(" ORDER BY e.number %s LIMIT %d", order, limit)
	found, err := scanRecords(r.Query(`SELECT `+entryColumns+` FROM (SELECT * FROM entry e WHERE `+strings.Join(where, " AND ")+sort+`) e LEFT JOIN document d ON d.id = e.doc`+sort, args...))
	if err != nil {
		return err
	}
	for i := range found {
		e, c, err := r.open(&found[i])
		if err != nil {
			return err
		}
		if r.Secret(e.Kind) {
			c.Body = nil
		}
		if err := fn(e, c.Body); err != nil {
			return err
		}
	}
	return nil
}

// Entry reads one entry with the document's content before and after it. The
// content of a secret noun is left out.
func (r *Reader) Entry(number int64) (e Entry, before, after json.RawMessage, err error) {
	e, c, err := r.entryContent(number)
	if err != nil || r.Secret(e.Kind) {
		return e, nil, nil, err
	}
	_, b, err := r.revisionContent(e.Doc, e.Revision-1)
	return e, b.Body, c.Body, err
}

func (r *Reader) entryContent(number int64) (Entry, content, error) {
	if was, known := r.past.entry(number); known {
		return was.entry, was.content, nil
	}
	found, err := r.records(`e.number = $1`, []any{number})
	if err != nil {
		return Entry{}, content{}, err
	}
	if len(found) == 0 {
		return Entry{}, content{}, fault.Newf(fault.NotFound, "entry.missing", "There is no entry %d", number)
	}
	return r.open(&found[0])
}

// Secret tells whether the content of a noun is never shown.
func (r *Reader) Secret(kind string) bool {
	k := r.ledger.kinds[kind]
	return k == nil || k.secret()
}

// revisionContent reads one revision; revision 0 is nothing.
func (r *Reader) revisionContent(doc string, revision int64) (Entry, content, error) {
	if revision == 0 {
		return Entry{}, content{}, nil
	}
	if was, known := r.past.revision(doc, revision); known {
		return was.entry, was.content, nil
	}
	found, err := r.records(`e.doc = $1 AND e.revision = $2`, []any{doc, revision})
	if err != nil {
		return Entry{}, content{}, err
	}
	if len(found) == 0 {
		return Entry{}, content{}, fault.Newf(fault.NotFound, "revision.missing", "There is no revision %d", revision)
	}
	return r.open(&found[0])
}

// Revision is one step of a document's history.
type Revision struct {
	Entry       Entry        `json:"entry"`
	Deleted     bool         `json:"deleted" doc:"the document was gone after this"`
	Differences []Difference `json:"differences,omitempty"`
}

// History is all that happened to a document, newest first, each step with
// what it changed.
func (r *Reader) History(doc string) ([]Revision, error) {
	found, err := r.records(`e.doc = $1 ORDER BY e.revision`, []any{doc})
	if err != nil {
		return nil, err
	}
	history := make([]Revision, len(found))
	var before json.RawMessage
	for i := range found {
		e, c, err := r.open(&found[i])
		if err != nil {
			return nil, err
		}
		step := Revision{Entry: e, Deleted: c.Body == nil}
		if !r.Secret(e.Kind) {
			step.Differences = Diff(before, c.Body)
		}
		before = c.Body
		history[len(found)-1-i] = step
	}
	return history, nil
}

// AsOf is a document's content as it stood at a time: nil when it was deleted
// or not yet made.
func (r *Reader) AsOf(doc string, at time.Time) (json.RawMessage, Entry, error) {
	found, err := r.records(`e.doc = $1 AND e.time <= $2 ORDER BY e.revision DESC LIMIT 1`, []any{doc, at.UnixMilli()})
	if err != nil || len(found) == 0 {
		return nil, Entry{}, err
	}
	e, c, err := r.open(&found[0])
	if r.Secret(e.Kind) {
		return nil, e, err
	}
	return c.Body, e, err
}

// UndoneBy is the number of the newest entry that undid an entry, and is not
// undone itself; 0 when none did.
func (r *Reader) UndoneBy(e Entry) (int64, error) {
	p := newPast(r.ledger)
	if err := p.readUndos(r, []any{e.Doc}); err != nil {
		return 0, err
	}
	return p.undoneBy(e.Doc, e.Number), nil
}
