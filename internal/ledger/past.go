package ledger

import (
	"fmt"
	"slices"
	"strings"

	"github.com/qanat-water/qanat/internal/base/vault"
)

// past is entries that were read and opened ahead, many with one query, so that
// undoing does not ask for each. Entries never change, so it cannot be stale.
type past struct {
	ledger  *Ledger
	keys    map[string]*vault.Key
	entries map[int64]was
	steps   map[step]int64 // number of a document's revision
	undos   map[string][]Entry
}

type was struct {
	entry   Entry
	content content
}

type step struct {
	doc      string
	revision int64
}

func newPast(l *Ledger) *past {
	return &past{ledger: l, keys: map[string]*vault.Key{}, entries: map[int64]was{}, steps: map[step]int64{}, undos: map[string][]Entry{}}
}

func (p *past) entry(number int64) (was, bool) {
	if p == nil {
		return was{}, false
	}
	found, known := p.entries[number]
	return found, known
}

func (p *past) revision(doc string, revision int64) (was, bool) {
	if p == nil {
		return was{}, false
	}
	return p.entry(p.steps[step{doc, revision}])
}

// read reads the revisions that are wanted.
func (p *past) read(r *Reader, wanted []step) error {
	for part := range slices.Chunk(wanted, mostSteps) {
		found, err := r.revisions(part)
		if err != nil {
			return err
		}
		for i := range found {
			if err := p.keep(&found[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

const mostSteps = 500 // revisions read by one query

// revisions reads revisions of many documents, in no order.
func (r *Reader) revisions(wanted []step) ([]record, error) {
	var marks []string
	var args []any
	for _, s := range wanted {
		marks = append(marks, fmt.Sprintf("($%d, CAST($%d AS bigint))", len(args)+1, len(args)+2))
		args = append(args, s.doc, s.revision)
	}
	// CROSS JOIN, because SQLite then looks each up by the index instead of reading all entries.
	return scanRecords(r.Query(`WITH want (doc, revision) AS (VALUES `+strings.Join(marks, ", ")+`) SELECT `+entryColumns+`
		FROM want w CROSS JOIN entry e LEFT JOIN document d ON d.id = e.doc WHERE e.doc = w.doc AND e.revision = w.revision`, args...))
}

func (p *past) keep(rec *record) error {
	e := rec.entry()
	var c content
	if rec.wrapped == nil {
		e.Erased = true
	} else {
		key := p.keys[rec.doc]
		if key == nil {
			var err error
			if key, err = p.ledger.vault.Unwrap(rec.doc, rec.wrapped); err != nil {
				return err
			}
			p.keys[rec.doc] = key
		}
		var err error
		if c, err = unsealWith(key, &rec.header, rec.sealed); err != nil {
			return err
		}
		e.ActorName, e.From, e.Reason, e.Through = c.Name, c.From, c.Reason, c.Through
	}
	p.entries[e.Number] = was{e, c}
	p.steps[step{e.Doc, e.Revision}] = e.Number
	return nil
}

// readUndos reads which entries of documents were undone.
func (p *past) readUndos(r *Reader, docs []any) error {
	marks := make([]string, len(docs))
	for i := range docs {
		marks[i] = fmt.Sprintf("$%d", i+1)
	}
	found, err := r.records(`e.reverts > 0 AND e.doc IN (`+strings.Join(marks, ", ")+`) ORDER BY e.number DESC`, docs)
	if err != nil {
		return err
	}
	for i := range found {
		if err := p.keep(&found[i]); err != nil {
			return err
		}
		p.undos[found[i].doc] = append(p.undos[found[i].doc], p.entries[found[i].number].entry)
	}
	return nil
}

// undoneBy is the newest entry that undid an entry, and is not undone itself; 0 for none.
func (p *past) undoneBy(doc string, number int64) int64 {
	for _, u := range p.undos[doc] {
		if u.Number > number && u.Reverts <= number && number <= max(u.Reverts, u.Through) && p.undoneBy(doc, u.Number) == 0 {
			return u.Number
		}
	}
	return 0
}
