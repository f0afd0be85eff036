package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/vault"
)

// Entries are checked in chunks that any core takes. A chunk is a whole subtree
// of the tree, so that all hashes below its root are checked with it, and what
// is left for the end is one hash of each chunk.
const (
	chunkLevels  = 10
	chunkEntries = 1 << chunkLevels
	batchBytes   = 8 << 20 // of rows that are held at a time, and one row beyond
	keysKept     = 1 << 15 // opened keys of a generation; the one before it is kept, too
)

// chunk is what checking one has found.
type chunk struct {
	problems    []Problem
	matched     int64 // documents whose newest entry is here, and was compared with them
	first, last int64 // times of its first and last entry
	edge        [chunkLevels + 1]tlog.Hash
	above       []storedHash // what its last entry added to the tree above the chunk
}

func (c *chunk) found(where, what string, args ...any) {
	if len(c.problems) <= maxProblems {
		c.problems = append(c.problems, Problem{Where: where, What: fmt.Sprintf(what, args...)})
	}
}

// entryChecker checks chunks, one at a time, on a connection of its own. Its
// buffers are used again and again.
type entryChecker struct {
	v      *verifier
	q      *store.Q
	row    headerOf[store.Borrowed]
	body   store.Borrowed // sealed
	dest   []any
	buffer []byte // rows as they are hashed: 0, header, sealed
	batch  []placed
	docs   []*docInfo // of the batch
	bodies map[string][]byte
	plain  []byte
	leaves []leafHash
	tree   treeRuns
	most   int // rows to ask for
}

// placed is an entry in the buffer.
type placed struct {
	number, time, revision int64
	from, sealed, to       int // its leaf without the 0 begins at from+1
	org, kind, doc         span
}

type span struct{ from, to int }

// leafHash is the hash of an entry that is there.
type leafHash struct {
	hash  tlog.Hash
	there bool
}

// docInfo is what checking entries needs of their document.
type docInfo struct {
	id        string
	missing   bool
	sealed    bool       // its key is put aside: entries are opened with it, but there is nothing to compare
	erased    bool       // its key is destroyed
	key       *vault.Key // nil also when it does not open
	org, kind string

	revision, entry, changed, shape int64
}

func newEntryChecker(v *verifier, q *store.Q) *entryChecker {
	c := &entryChecker{v: v, q: q, tree: treeRuns{q: q}, bodies: map[string][]byte{}, most: chunkEntries}
	r := &c.row
	c.dest = []any{&r.number, &r.time, &r.act, &r.org, &r.kind, &r.doc, &r.revision, &r.verb, &r.actor, &r.actorKind, &r.door, &r.reverts, &c.body}
	return c
}

// check checks the chunk that begins after entry lo.
func (c *entryChecker) check(lo int64) (*chunk, error) {
	hi := min(lo+chunkEntries, c.v.size)
	out := &chunk{}
	c.leaves = c.leaves[:0]
	for at := lo; at < hi; {
		if err := c.read(at, hi); err != nil {
			return nil, err
		}
		if len(c.batch) == 0 {
			break
		}
		if err := c.know(); err != nil {
			return nil, err
		}
		for i := range c.batch {
			c.entry(out, lo, &c.batch[i], c.docs[i])
		}
		at = c.batch[len(c.batch)-1].number
	}
	c.missing(out, lo, hi+1)
	return out, c.hashes(out, lo, hi)
}

// read takes the rows after a number into the buffer, until it is full.
func (c *entryChecker) read(after, hi int64) error {
	c.buffer, c.batch = c.buffer[:0], c.batch[:0]
	rows := c.q.Query(`SELECT number, time, act, org, kind, doc, revision, verb, actor, actor_kind, door, reverts, sealed
		FROM entry WHERE number > $1 AND number <= $2 ORDER BY number LIMIT $3`, after, hi, c.most)
	for len(c.buffer) < batchBytes && rows.Next() {
		rows.Scan(c.dest...)
		e := &c.row
		p := placed{number: e.number, time: e.time, revision: e.revision, from: len(c.buffer)}
		c.buffer = e.append(append(c.buffer, 0))
		p.org = span{p.from + 1 + textsAt, p.from + 1 + textsAt + len(e.org)}
		p.kind = span{p.org.to + 4, p.org.to + 4 + len(e.kind)}
		p.doc = span{p.kind.to + 4, p.kind.to + 4 + len(e.doc)}
		p.sealed = len(c.buffer)
		c.buffer = append(c.buffer, c.body...)
		p.to = len(c.buffer)
		c.batch = append(c.batch, p)
	}
	c.most = fitting(len(c.batch), len(c.buffer), chunkEntries)
	return rows.Close()
}

// fitting is how many rows to ask for next: those that were taken, if they filled
// the buffer, because what is asked for and not taken is sent all the same; or
// else many.
func fitting(rows, bytes, most int) int {
	if bytes >= batchBytes {
		return max(rows, 1)
	}
	return most
}

func (c *entryChecker) bytes(s span) []byte { return c.buffer[s.from:s.to] }

// know finds the documents of a batch: their keys, and the content of those
// whose newest entry is in it.
func (c *entryChecker) know() error {
	c.docs = c.docs[:0]
	clear(c.bodies)
	first, last := c.batch[0].number, c.batch[len(c.batch)-1].number
	var wanted []any
	asked := map[string]bool{}
	c.v.keys.mu.Lock()
	for i := range c.batch {
		doc := c.bytes(c.batch[i].doc)
		d := c.v.keys.get(doc)
		c.docs = append(c.docs, d)
		if (d == nil || d.entry >= first && d.entry <= last) && !asked[string(doc)] {
			asked[string(doc)] = true
			wanted = append(wanted, string(doc))
		}
	}
	c.v.keys.mu.Unlock()
	if len(wanted) == 0 {
		return nil
	}
	fresh := make(map[string]*docInfo, len(wanted))
	for len(wanted) > 0 {
		part := wanted[:min(len(wanted), wantedMost)]
		wanted = wanted[len(part):]
		if err := c.ask(part, first, last, fresh); err != nil {
			return err
		}
	}
	c.v.keys.mu.Lock()
	defer c.v.keys.mu.Unlock()
	for i := range c.batch {
		doc := c.bytes(c.batch[i].doc)
		d := fresh[string(doc)]
		if d == nil && c.docs[i] == nil {
			d = &docInfo{id: string(doc), missing: true}
			fresh[d.id] = d
		}
		if d != nil {
			c.docs[i] = d
		}
	}
	for _, d := range fresh {
		c.v.keys.put(d)
	}
	return nil
}

// wantedMost is how many documents are asked for at once. There are statements
// for this many and for a few only; what is too much is the last one again.
const wantedMost = 512

func (c *entryChecker) ask(ids []any, first, last int64, into map[string]*docInfo) error {
	n := wantedMost
	if len(ids) <= wantedMost/16 {
		n = wantedMost / 16
	}
	args := append(make([]any, 0, n+2), first, last)
	args = append(args, ids...)
	for len(args) < n+2 {
		args = append(args, ids[len(ids)-1])
	}
	var id, org, kind string
	var revision, entry, changed, shape int64
	var wrapped, held, body store.Borrowed
	rows := c.q.Query(askDocuments[n], args...)
	for dest := []any{&id, &org, &kind, &revision, &entry, &changed, &shape, &wrapped, &held, &body}; rows.Next(); {
		rows.Scan(dest...)
		d := &docInfo{id: id, org: org, kind: kind, revision: revision, entry: entry, changed: changed, shape: shape}
		if wrapped == nil {
			wrapped, d.sealed, d.erased = held, held != nil, held == nil
		}
		if !d.erased {
			d.key, _ = c.v.ledger.vault.Unwrap(id, wrapped) // without one its entries do not open, which is told of them
		}
		if body != nil {
			c.bodies[id] = append([]byte{}, body...)
		}
		into[id] = d
	}
	return rows.Close()
}

var askDocuments = map[int]string{wantedMost: askFor(wantedMost), wantedMost / 16: askFor(wantedMost / 16)}

func askFor(n int) string {
	marks := make([]string, n)
	for i := range marks {
		marks[i] = fmt.Sprintf("$%d", i+3)
	}
	return `SELECT d.id, d.org, d.kind, d.revision, d.entry, d.changed, d.shape, d.key, d.held, CASE WHEN d.entry >= $1 AND d.entry <= $2 THEN d.body END
		FROM document d WHERE d.id IN (` + strings.Join(marks, ", ") + `)`
}

// keyring keeps documents' keys while their entries come by, as many as fit.
type keyring struct {
	mu         sync.Mutex
	young, old map[string]*docInfo
}

func (k *keyring) get(doc []byte) *docInfo {
	if d := k.young[string(doc)]; d != nil {
		return d
	}
	d := k.old[string(doc)]
	if d != nil {
		k.put(d)
	}
	return d
}

func (k *keyring) put(d *docInfo) {
	if len(k.young) >= keysKept {
		k.old, k.young = k.young, make(map[string]*docInfo, keysKept)
	}
	k.young[d.id] = d
}

// missing tells of the entries before a number that should have come.
func (c *entryChecker) missing(out *chunk, lo, before int64) {
	for next := lo + int64(len(c.leaves)) + 1; next < before; next++ {
		out.found(fmt.Sprintf("entry %d", next), "is missing")
		c.leaves = append(c.leaves, leafHash{})
	}
}

var errKey = errors.New("the key does not open")

// entry checks what is sealed, and that the document knows of it.
func (c *entryChecker) entry(out *chunk, lo int64, p *placed, d *docInfo) {
	c.missing(out, lo, p.number)
	c.leaves = append(c.leaves, leafHash{sha256.Sum256(c.buffer[p.from:p.to]), true})
	if p.time < out.last {
		out.found(fmt.Sprintf("entry %d", p.number), "is older than the entry before it")
	}
	if out.last = p.time; out.first == 0 {
		out.first = p.time
	}
	if d.missing {
		out.found("document "+d.id, "is missing; entry %d is of it", p.number)
		return
	}
	if d.erased {
		return // as it should be
	}
	err := errKey
	if d.key != nil {
		c.plain, err = d.key.AppendOpen(c.plain[:0], c.buffer[p.sealed:p.to], c.buffer[p.from+1:p.sealed])
	}
	if err != nil {
		out.found(fmt.Sprintf("entry %d", p.number), "its sealed content does not open: the entry or the key of document %s was changed", d.id)
	} else if c.v.file != nil {
		c.files(p)
	}
	switch {
	case d.sealed:
	case p.number == d.entry:
		out.matched++
		c.newest(out, p, d, err == nil)
	case p.revision >= d.revision:
		out.found("document "+d.id, "names entry %d, its newest is %d", d.entry, p.number)
	}
}

// newest compares a document with the entry that it names.
func (c *entryChecker) newest(out *chunk, p *placed, d *docInfo, opened bool) {
	where := "document " + d.id
	switch {
	case d.revision != p.revision:
		out.found(where, "has revision %d, its newest entry %d", d.revision, p.revision)
	case d.changed != p.time:
		out.found(where, "its time is not that of entry %d", p.number)
	case d.org != string(c.bytes(p.org)) || d.kind != string(c.bytes(p.kind)):
		out.found(where, "its organization or kind is not that of entry %d", p.number)
	case opened:
		switch shape, same := contentIs(c.plain, c.bodies[d.id]); {
		case !same:
			out.found(where, "its content is not that of entry %d", p.number)
		case int64(shape) != d.shape:
			out.found(where, "its shape is not that of entry %d", p.number)
		}
	}
}

// contentIs tells whether a sealed content's body is the one that is given, nil
// for none, and gives its shape. Nearly always the body stands at the end, byte
// for byte: then only the little before it is parsed.
func contentIs(plain, body []byte) (shape int, same bool) {
	var c content
	if before, ok := bytes.CutSuffix(plain, []byte("}")); ok && body != nil {
		if before, ok = bytes.CutSuffix(before, body); ok {
			if before, ok = bytes.CutSuffix(before, []byte(`,"body":`)); ok &&
				json.Unmarshal(append(bytes.Clone(before), '}'), &c) == nil && c.Body == nil {
				return c.Shape, json.Valid(body)
			}
		}
	}
	c = content{}
	if json.Unmarshal(plain, &c) != nil {
		return 0, false
	}
	return c.Shape, bytes.Equal(c.Body, body) && (c.Body == nil) == (body == nil)
}

// files tells of the files that a content names.
func (c *entryChecker) files(p *placed) {
	k := c.v.ledger.kinds[string(c.bytes(p.kind))]
	if k == nil || !k.naming() {
		return
	}
	var content content
	if json.Unmarshal(c.plain, &content) != nil {
		return
	}
	for _, hash := range c.v.ledger.blobsOf(k.noun(), content.Shape, content.Body) {
		if p.number <= c.v.gone[hash] {
			continue
		}
		c.v.mu.Lock()
		c.v.file(hash, string(c.bytes(p.kind))+" "+string(c.bytes(p.doc)))
		c.v.mu.Unlock()
	}
}

// hashes compares the leaves of a chunk, and all hashes of the tree below its
// root, with those that are stored. What differs is told once: the stored leaf
// is taken to go on, so that the hashes above it are judged by themselves.
func (c *entryChecker) hashes(out *chunk, lo, hi int64) error {
	first := tlog.StoredHashCount(lo)
	stored, err := c.tree.read(out, first, tlog.StoredHashCount(hi))
	if err != nil {
		return err
	}
	at, gone := 0, false
	next := func() (hash tlog.Hash, row int64) {
		s := stored[at]
		at++
		if s.row < 0 && !gone {
			gone = true
			out.found("tree", "hash %d is missing", first+int64(at)-1)
		}
		return s.hash, s.row
	}
	for i, leaf := range c.leaves {
		h, row := next()
		switch {
		case row < 0:
			h = leaf.hash
		case leaf.there && h != leaf.hash:
			out.found(fmt.Sprintf("entry %d", lo+int64(i)+1), "is not what the tree (row %d) has the hash of", row)
		}
		level := 0
		for ; level < chunkLevels && i>>level&1 == 1; level++ {
			h = tlog.NodeHash(out.edge[level], h)
			if is, row := next(); row >= 0 && is != h {
				out.found(fmt.Sprintf("tree row %d", row), "hash %d is not that of the entries below it", first+int64(at)-1)
			}
		}
		out.edge[level] = h
	}
	out.above = append(out.above, stored[at:]...)
	return nil
}
