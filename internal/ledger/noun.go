package ledger

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/id"
)

// Noun is a kind of document. It is declared once, as a package variable of the
// package that owns its rules.
type Noun[T any] struct {
	// Name stands in every entry for ever: "site". It is also the name of the index table.
	Name string
	// Shape is the version of T's JSON. Older documents go through Upgrade when read.
	Shape   int
	Upgrade func(shape int, body []byte) ([]byte, error)
	// Secret content (credentials, keys) is never shown by history, activity or export.
	Secret bool
	// Table makes lists and searches fast; nil for nouns that are only got by id.
	Table *Table[T]
	// Blobs lists the files that a content names, by their SHA-256; nil: none.
	Blobs func(T) []string
	// Without lists the files that a content says are gone on purpose: entries before
	// it may name them, and they are not there.
	Without func(T) []string
	// Erases lists the documents that a content says are sealed, and those that are erased.
	Erases func(T) (sealed, erased []string)
	// Check is the rule for every write, undo included. before is nil for a
	// creation or an undelete, after is nil for a deletion.
	Check func(tx *Tx, before, after *Doc[T]) error
}

// Table is the index of a noun: typed columns derived from the document, dropped
// and made again from the documents whenever its declaration changes.
type Table[T any] struct {
	Columns []Column
	Unique  [][]string         // sets of columns that no two documents share
	Indexes [][]string         // sets of columns that lists are sorted or filtered by
	Row     func(Doc[T]) []any // values for Columns; nil for no row
	Version int                // to be raised when Row changes its mind
}

// Column is a column of an index table.
type Column struct {
	Name string
	Type Type
}

// Type is the type of a column.
type Type string

// The types. A column of any type may hold NULL.
const (
	Text    Type = "{text}"
	Integer Type = "{bigint}"
	Real    Type = "{real}"
)

// Doc is a document with what the ledger knows of it.
type Doc[T any] struct {
	ID       string    `json:"id"`
	Org      string    `json:"org" doc:"organization it belongs to; empty: the server"`
	Revision int64     `json:"revision" doc:"1 for the first"`
	Entry    int64     `json:"entry" doc:"number of the ledger entry that made this revision"`
	Changed  time.Time `json:"changed"`
	Body     T         `json:"body"`
}

// Kind is a declared noun, whatever its type.
type Kind interface {
	noun() string
	words() string
	shape() int
	secret() bool
	table() *indexTable
	row(d *document) ([]any, error)
	upgraded(shape int, body []byte) ([]byte, error)
	check(tx *Tx, before, after *document) error
	blobs(d *document) ([]string, error)
	naming() bool
	lacks() bool
	without(d *document) ([]string, error)
	erasing() bool
	erases(d *document) (sealed, erased []string, err error)
}

// indexTable is the part of a Table that knows no type.
type indexTable struct {
	columns []Column
	unique  [][]string
	indexes [][]string
	version int
}

func (n *Noun[T]) noun() string  { return n.Name }
func (n *Noun[T]) words() string { return strings.ReplaceAll(n.Name, "_", " ") }
func (n *Noun[T]) secret() bool  { return n.Secret }
func (n *Noun[T]) shape() int    { return max(n.Shape, 1) }

func (n *Noun[T]) table() *indexTable {
	if n.Table == nil {
		return nil
	}
	return &indexTable{n.Table.Columns, n.Table.Unique, n.Table.Indexes, n.Table.Version}
}

func (n *Noun[T]) row(d *document) ([]any, error) {
	doc, err := n.decode(d)
	if err != nil {
		return nil, err
	}
	row := n.Table.Row(doc)
	if row != nil && len(row) != len(n.Table.Columns) {
		return nil, fmt.Errorf("noun %s: a row of %d values for %d columns", n.Name, len(row), len(n.Table.Columns))
	}
	for i, value := range row {
		if text, ok := value.(string); ok && strings.ContainsRune(text, 0) {
			row[i] = strings.ReplaceAll(text, "\x00", "\uFFFD") // PostgreSQL has no text with NUL; the document keeps it
		}
	}
	return row, nil
}

func (n *Noun[T]) lacks() bool   { return n.Without != nil }
func (n *Noun[T]) naming() bool  { return n.Blobs != nil }
func (n *Noun[T]) erasing() bool { return n.Erases != nil }

func (n *Noun[T]) erases(d *document) (sealed, erased []string, err error) {
	doc, err := n.decode(d)
	if err != nil {
		return nil, nil, err
	}
	sealed, erased = n.Erases(doc.Body)
	return sealed, erased, nil
}

func (n *Noun[T]) without(d *document) ([]string, error) {
	doc, err := n.decode(d)
	if err != nil {
		return nil, err
	}
	return n.Without(doc.Body), nil
}

func (n *Noun[T]) blobs(d *document) ([]string, error) {
	if n.Blobs == nil || d.body == nil {
		return nil, nil
	}
	doc, err := n.decode(d)
	if err != nil {
		return nil, err
	}
	return n.Blobs(doc.Body), nil
}

func (n *Noun[T]) check(tx *Tx, before, after *document) error {
	if n.Check == nil {
		return nil
	}
	var docs [2]*Doc[T]
	for i, d := range []*document{before, after} {
		if d == nil || d.body == nil {
			continue
		}
		doc, err := n.decode(d)
		if err != nil {
			return err
		}
		docs[i] = &doc
	}
	return n.Check(tx, docs[0], docs[1])
}

func (n *Noun[T]) decode(d *document) (Doc[T], error) {
	doc := Doc[T]{ID: d.id, Org: d.org, Revision: d.revision, Entry: d.entry, Changed: time.UnixMilli(d.changed).UTC()}
	body, err := n.upgraded(d.shape, d.body)
	if err != nil {
		return doc, fmt.Errorf("%s %s: %w", n.Name, d.id, err)
	}
	if err := json.Unmarshal(body, &doc.Body); err != nil {
		return doc, fmt.Errorf("%s %s: %w", n.Name, d.id, err)
	}
	return doc, nil
}

// upgraded is a body in the shape of today.
func (n *Noun[T]) upgraded(shape int, body []byte) ([]byte, error) {
	if shape == n.shape() || body == nil {
		return body, nil
	}
	if n.Upgrade == nil || shape > n.shape() {
		return nil, fmt.Errorf("it has shape %d, this program knows %d", shape, n.shape())
	}
	return n.Upgrade(shape, body)
}

// NotFound is the answer for a document of this noun that is not there, or that
// the asker may not know of: the two look the same.
func (n *Noun[T]) NotFound() error {
	return fault.Newf(fault.NotFound, n.Name+".missing", "There is no such %s", n.words()).
		WithMend("Check the link; it may have been deleted, or you may not have the right to see it")
}

// Get reads a document.
func (n *Noun[T]) Get(r *Reader, id string) (Doc[T], error) {
	d, err := r.document(id)
	if err != nil {
		return Doc[T]{}, err
	}
	if d == nil || d.body == nil || d.kind != n.Name {
		return Doc[T]{}, n.NotFound()
	}
	return n.decode(d)
}

// Create makes a document. An empty id means a new one.
func (n *Noun[T]) Create(tx *Tx, org, docID string, body T) (Doc[T], error) {
	if docID == "" {
		docID = id.New()
	} else if !id.Valid(docID) {
		return Doc[T]{}, fault.Newf(fault.Invalid, n.Name+".id", "%.60q is no identifier", docID).WithMend("Send a UUID, or none")
	}
	before, err := tx.document(docID)
	if err != nil {
		return Doc[T]{}, err
	}
	if before != nil {
		return Doc[T]{}, fault.Newf(fault.Conflict, n.Name+".exists", "There is, or was, a %s with this identifier already", n.words()).
			WithMend("Change that one, or take another identifier")
	}
	return n.put(tx, nil, &document{id: docID, org: org, kind: n.Name}, VerbCreate, body)
}

// Update changes a document. ifRevision, when not 0, must be its present
// revision. A change that changes nothing writes nothing.
func (n *Noun[T]) Update(tx *Tx, id string, ifRevision int64, change func(*T) error) (Doc[T], error) {
	before, doc, err := n.current(tx, id, ifRevision)
	if err != nil {
		return doc, err
	}
	// change works on a copy of its own: the caller's document shares nothing with it.
	fresh, err := n.decode(before)
	if err != nil {
		return doc, err
	}
	if err := change(&fresh.Body); err != nil {
		return doc, err
	}
	return n.put(tx, before, before.next(), VerbUpdate, fresh.Body)
}

// Delete deletes a document; its past stays, and undelete brings it back.
func (n *Noun[T]) Delete(tx *Tx, id string, ifRevision int64) error {
	before, _, err := n.current(tx, id, ifRevision)
	if err != nil {
		return err
	}
	return tx.stage(n, before, before.next(), VerbDelete, 0, 0)
}

func (n *Noun[T]) current(tx *Tx, id string, ifRevision int64) (*document, Doc[T], error) {
	doc, err := n.Get(tx.Reader, id)
	if err != nil {
		return nil, doc, err
	}
	if ifRevision != 0 && ifRevision != doc.Revision {
		return nil, doc, fault.Newf(fault.Conflict, n.Name+".stale", "This %s has changed since you read it (revision %d, you have %d)", n.words(), doc.Revision, ifRevision).
			WithMend("Load it again and repeat your change")
	}
	before, err := tx.document(id)
	return before, doc, err
}

func (n *Noun[T]) put(tx *Tx, before, after *document, verb Verb, value T) (Doc[T], error) {
	body, err := json.Marshal(value)
	if err != nil {
		return Doc[T]{}, fmt.Errorf("%s: %w", n.Name, err)
	}
	if len(body) > MaxBody {
		return Doc[T]{}, fault.Newf(fault.TooLarge, n.Name+".size", "This %s has %d bytes of content; %d is the most", n.words(), len(body), MaxBody).
			WithMend("Send large content as files")
	}
	after.body, after.shape = body, n.shape()
	if before != nil && before.shape == after.shape && sameContent(before.body, after.body) {
		return n.decode(before)
	}
	if err := tx.stage(n, before, after, verb, 0, 0); err != nil {
		return Doc[T]{}, err
	}
	return n.decode(after)
}

// sameContent tells whether two contents say the same: an undo may have left
// the members of an object in another order.
func sameContent(a, b []byte) bool {
	if len(a) != len(b) || string(a) == string(b) {
		return len(a) == len(b)
	}
	sum := 0 // of the same bytes in another order it is 0: only then a closer look is worth it
	for i := range a {
		sum += int(a[i]) - int(b[i])
	}
	return sum == 0 && equalJSON(a, b)
}

// List reads documents through the noun's index table, which where calls n:
// "n.branch = $1 ORDER BY n.code LIMIT 100".
func (n *Noun[T]) List(r *Reader, where string, args ...any) ([]Doc[T], error) {
	list := r.listNow
	if r.moment != nil {
		list = r.listThen
	}
	found, err := list(n, where, args)
	if err != nil {
		return nil, err
	}
	docs := make([]Doc[T], 0, len(found))
	for _, d := range found {
		doc, err := n.decode(d)
		if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
	return docs, nil
}
