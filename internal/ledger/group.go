package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/qanat-water/qanat/internal/base/store"
)

// group is the writes that share one transaction. What they stage is kept in
// memory and written many rows at a time: when one of them asks a question in
// SQL, and at the end.
type group struct {
	ledger  *Ledger
	q       *store.Q
	head    *head
	now     int64
	docs    map[string]*document // as the transaction sees them; nil: there is none
	pending []*change            // in order; the first `flushed` are in the tables
	staged  map[string]int       // how many of pending are of each noun
	flushed int
	job     int      // pending[job:] belongs to the write that runs now
	saved   bool     // a savepoint stands before the running write's first row
	rekeyed []string // documents whose key the running write has touched
	broken  error
	dry     bool // a preview: rules are asked, nothing is written
}

// change is one entry to be.
type change struct {
	kind          Kind
	before, after *document
	header        header
	headerBytes   []byte
	sealed        []byte
	entry         Entry
}

// Tx is one write. It is valid until the function it was given to returns.
type Tx struct {
	*Reader
	Actor  Actor
	Reason string
	Now    time.Time
	act    int64
}

// Within makes the entries of this write part of an earlier act, so that they
// can be undone together: an import's chunks belong to the import.
func (tx *Tx) Within(act int64) { tx.act = act }

// Act is the act that the write's entries belong to: 0 before the first.
func (tx *Tx) Act() int64 { return tx.act }

func newGroup(l *Ledger, q *store.Q) (*group, error) {
	stored, err := loadHead(q)
	if err != nil {
		return nil, err
	}
	if l.head != nil && l.head.entries == stored.entries && l.head.root == stored.root {
		stored.edge = l.head.edge // nobody else has written since
	}
	if err := stored.fill(q); err != nil {
		return nil, err
	}
	return &group{
		ledger: l, q: q, head: stored, docs: map[string]*document{}, staged: map[string]int{},
		now: max(l.clock.Now().UnixMilli(), stored.time), // time never runs backwards in the ledger
	}, nil
}

// run runs one write. On an error nothing of it is left.
func (g *group) run(j *job) (err error) {
	if err := j.ctx.Err(); err != nil {
		return err
	}
	g.job, g.saved, g.rekeyed = len(g.pending), false, nil
	tx := &Tx{
		Reader: &Reader{q: g.q, ledger: g.ledger, group: g}, Actor: j.actor, Reason: j.reason, Now: time.UnixMilli(g.now).UTC(),
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a write: %v\n%s", p, debug.Stack())
		}
		if err == nil && g.broken == nil && g.saved {
			_, g.broken = g.q.Exec(`RELEASE SAVEPOINT job`)
		}
		if err != nil && g.broken == nil {
			g.broken = g.revert()
		}
		tx.Reader.group, tx.Reader.q = nil, nil // tx is over
	}()
	return j.fn(tx)
}

// revert takes the running write back.
func (g *group) revert() error {
	for _, id := range g.rekeyed {
		delete(g.docs, id)
	}
	for i := len(g.pending) - 1; i >= g.job; i-- {
		c := g.pending[i]
		g.docs[c.header.doc] = c.before
		g.staged[c.header.kind]--
	}
	g.pending = g.pending[:g.job]
	if g.saved {
		g.flushed = min(g.flushed, g.job)
		if _, err := g.q.Exec(`ROLLBACK TO SAVEPOINT job`); err != nil {
			return err
		}
		_, err := g.q.Exec(`RELEASE SAVEPOINT job`)
		return err
	}
	return nil
}

// stage adds a change to the group: rules first, then the sealed entry. reverts
// and through are the run of entries that it undoes.
func (tx *Tx) stage(k Kind, before, after *document, verb Verb, reverts, through int64) error {
	g := tx.group
	if g == nil {
		return errors.New("ledger: a transaction was used after its end")
	}
	if _, known := g.ledger.kinds[k.noun()]; !known {
		return fmt.Errorf("ledger: noun %s was not declared at Open", k.noun())
	}
	number := g.head.entries + int64(len(g.pending)) + 1
	after.revision++
	after.entry, after.changed = number, g.now
	if err := k.check(tx, before, after); err != nil {
		return err
	}
	// The check may have written itself: number again, after whatever it staged.
	number = g.head.entries + int64(len(g.pending)) + 1
	after.entry = number
	if tx.act == 0 {
		tx.act = number
	}
	if g.dry {
		return tx.imagine(k, before, after)
	}
	if err := g.openKey(before, after); err != nil {
		return err
	}
	c := &change{kind: k, before: before, after: after}
	c.header = header{
		number: number, time: g.now, act: tx.act, org: after.org, kind: after.kind, doc: after.id, revision: after.revision,
		verb: string(verb), actor: tx.Actor.ID, actorKind: tx.Actor.Kind, door: tx.Actor.Door, reverts: reverts,
	}
	plain, err := json.Marshal(content{Name: tx.Actor.Name, From: tx.Actor.From, Reason: tx.Reason, Shape: after.shape, Body: after.body, Through: through})
	if err != nil {
		return err
	}
	c.headerBytes = c.header.encode()
	c.sealed = after.key.Seal(plain, c.headerBytes)
	c.entry = c.header.entry()
	c.entry.ActorName, c.entry.From, c.entry.Reason, c.entry.Through = tx.Actor.Name, tx.Actor.From, tx.Reason, through
	g.pending = append(g.pending, c)
	g.staged[c.header.kind]++
	g.docs[after.id] = after
	return nil
}

func (g *group) openKey(before, after *document) (err error) {
	switch {
	case before == nil:
		after.key, after.wrapped, err = g.ledger.vault.NewKey(after.id)
	case before.wrapped == nil:
		err = gone(g.ledger.kinds[after.kind])
	case before.key == nil:
		before.key, err = g.ledger.vault.Unwrap(before.id, before.wrapped)
		after.key, after.wrapped = before.key, before.wrapped
	default:
		after.key, after.wrapped = before.key, before.wrapped
	}
	return err
}

// flush writes what is staged, so that SQL sees it. Before the running write's
// own rows it sets a savepoint, because that write may still fail.
func (g *group) flush() error {
	if g.broken != nil {
		return g.broken
	}
	if g.flushed < g.job {
		if err := g.rows(g.pending[g.flushed:g.job]); err != nil {
			g.broken = err
			return err
		}
		g.flushed = g.job
	}
	if g.flushed == len(g.pending) {
		return nil
	}
	if !g.saved {
		if _, err := g.q.Exec(`SAVEPOINT job`); err != nil {
			g.broken = err
			return err
		}
		g.saved = true
	}
	if err := g.rows(g.pending[g.flushed:]); err != nil {
		g.broken = err
		return err
	}
	g.flushed = len(g.pending)
	return nil
}

// finish writes the rest, extends the tree, and leaves the commit to the store.
func (g *group) finish() error {
	if len(g.pending) == 0 {
		return nil
	}
	g.job, g.saved = len(g.pending), false
	if err := g.flush(); err != nil {
		return err
	}
	leaves := make([]tlog.Hash, len(g.pending))
	for i, c := range g.pending {
		leaves[i] = tlog.RecordHash(leaf(c.headerBytes, c.sealed))
	}
	next := &head{entries: g.head.entries, time: g.now, root: g.head.root, edge: g.head.edge}
	first, run, err := next.append(leaves)
	if err != nil {
		return err
	}
	hashes := make([]byte, 0, len(run)*tlog.HashSize)
	for _, h := range run {
		hashes = append(hashes, h[:]...)
	}
	if _, err := g.q.Exec(`INSERT INTO tree (first, hashes) VALUES ($1, $2)`, first, hashes); err != nil {
		return err
	}
	if _, err := g.q.Exec(`UPDATE head SET entries = $1, time = $2, root = $3 WHERE id = 1`, next.entries, next.time, next.root[:]); err != nil {
		return err
	}
	g.head = next
	return nil
}

// rows writes entries, documents and index rows.
func (g *group) rows(changes []*change) error {
	entries := make([][]any, len(changes))
	newest := map[string]*document{}
	var order []*change // the newest change of each document
	for i, c := range changes {
		h := &c.header
		entries[i] = []any{h.number, h.time, h.act, h.org, h.kind, h.doc, h.revision, h.verb, h.actor, h.actorKind, h.door, h.reverts, c.sealed}
	}
	for i := len(changes) - 1; i >= 0; i-- {
		if c := changes[i]; newest[c.header.doc] == nil {
			newest[c.header.doc] = c.after
			order = append(order, c)
		}
	}
	if err := insert(g.q, entryInsert, entries); err != nil {
		return err
	}
	documents := make([][]any, len(order))
	for i, c := range order {
		d := c.after
		documents[len(order)-1-i] = []any{d.id, d.org, d.kind, d.revision, d.entry, d.changed, d.shape, d.wrapped, textOf(d.body)}
	}
	if err := insert(g.q, documentUpsert, documents); err != nil {
		return err
	}
	return g.indexRows(order)
}

// textOf is a body as the document table holds it: NULL when deleted.
func textOf(body []byte) any {
	if body == nil {
		return nil
	}
	return string(body)
}

func (g *group) indexRows(changes []*change) error {
	byKind := map[Kind][]*change{}
	for i := len(changes) - 1; i >= 0; i-- {
		if c := changes[i]; c.kind.table() != nil {
			byKind[c.kind] = append(byKind[c.kind], c)
		}
	}
	for _, k := range g.ledger.order { // in a fixed order, so that two nodes lock alike
		var gone []any
		var rows [][]any
		for _, c := range byKind[k] {
			var row []any
			if c.after.body != nil {
				var err error
				if row, err = k.row(c.after); err != nil {
					return err
				}
			}
			if row == nil {
				gone = append(gone, c.after.id)
			} else {
				rows = append(rows, append([]any{c.after.id, c.after.org}, row...))
			}
		}
		for _, id := range gone { // first, so that what they held is free for others
			if _, err := g.q.Exec(`DELETE FROM `+k.noun()+` WHERE id = $1`, id); err != nil {
				return err
			}
		}
		if len(rows) > 0 {
			if err := insert(g.q, indexUpsert(k), rows); err != nil {
				return err
			}
		}
	}
	return nil
}

// statement is an INSERT that takes any number of rows.
type statement struct {
	head, tail string
	columns    int
}

var entryInsert = statement{
	`INSERT INTO entry (number, time, act, org, kind, doc, revision, verb, actor, actor_kind, door, reverts, sealed) VALUES `, ``, 13}

var documentUpsert = statement{
	`INSERT INTO document (id, org, kind, revision, entry, changed, shape, key, body) VALUES `,
	` ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, entry = excluded.entry, changed = excluded.changed, shape = excluded.shape, body = excluded.body`, 9}

func indexUpsert(k Kind) statement {
	var names, sets strings.Builder
	for _, c := range k.table().columns {
		names.WriteString(", " + c.Name)
		sets.WriteString(", " + c.Name + " = excluded." + c.Name)
	}
	return statement{`INSERT INTO ` + k.noun() + ` (id, org` + names.String() + `) VALUES `,
		` ON CONFLICT (id) DO UPDATE SET org = excluded.org` + sets.String(), 2 + len(k.table().columns)}
}

// insert writes rows in runs of fixed lengths, so that few statements are prepared.
func insert(q *store.Q, s statement, rows [][]any) error {
	for _, size := range []int{32, 8, 1} {
		for len(rows) >= size {
			args := make([]any, 0, size*s.columns)
			for _, row := range rows[:size] {
				args = append(args, row...)
			}
			if _, err := q.Exec(s.sql(size), args...); err != nil {
				return err
			}
			rows = rows[size:]
		}
	}
	return nil
}

func (s statement) sql(rows int) string {
	var b strings.Builder
	b.WriteString(s.head)
	n := 0
	for i := range rows {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('(')
		for j := range s.columns {
			if j > 0 {
				b.WriteString(", ")
			}
			n++
			fmt.Fprintf(&b, "$%d", n)
		}
		b.WriteByte(')')
	}
	b.WriteString(s.tail)
	return b.String()
}
