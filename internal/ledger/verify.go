package ledger

import (
	"bytes"
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/qanat-water/qanat/internal/base/store"
)

// Problem is something that is not as the ledger promises.
type Problem struct {
	Where string `json:"where" doc:"table and row, such as 'entry 17' or 'document 0198…'"`
	What  string `json:"what"`
}

// Report is what verification found.
type Report struct {
	Entries   int64     `json:"entries"`
	Documents int64     `json:"documents"`
	Erased    int64     `json:"erased" doc:"documents whose content was erased"`
	Root      string    `json:"root" doc:"root hash of the tree, base64"`
	Problems  []Problem `json:"problems"`
	Cut       bool      `json:"cut,omitempty" doc:"there were more problems than are listed"`
}

// OK tells whether everything is as promised.
func (r *Report) OK() bool { return len(r.Problems) == 0 }

const maxProblems = 1000

type verifier struct {
	ledger   *Ledger
	q        *store.Q
	report   Report
	progress func(done, total int64)
	total    int64
	done     int64
}

// Verify reads the whole ledger in one snapshot and checks every promise of it:
// each entry against the tree, each hash of the tree, each signed checkpoint,
// each sealed content, each document and each index row against the entries.
func (l *Ledger) Verify(ctx context.Context, progress func(done, total int64)) (Report, error) {
	v := &verifier{ledger: l, progress: progress}
	v.report.Problems = []Problem{}
	if l.refused != nil {
		v.found("checkpoint file", "%v", l.refused)
	}
	err := l.store.Read(ctx, func(q *store.Q) error {
		v.q = q
		for _, step := range []func() error{v.size, v.entries, v.checkpoints, v.cosignatures, v.documents, v.indexes} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
	return v.report, err
}

func (v *verifier) found(where, what string, args ...any) {
	if len(v.report.Problems) == maxProblems {
		v.report.Cut = true
		return
	}
	v.report.Problems = append(v.report.Problems, Problem{Where: where, What: fmt.Sprintf(what, args...)})
}

func (v *verifier) step(n int) {
	v.done += int64(n)
	if v.progress != nil {
		v.progress(v.done, v.total)
	}
}

func (v *verifier) size() error {
	var entries, documents int64
	if _, err := v.q.Row([]any{&entries}, `SELECT count(*) FROM entry`); err != nil {
		return err
	}
	if _, err := v.q.Row([]any{&documents}, `SELECT count(*) FROM document`); err != nil {
		return err
	}
	v.total = entries + 2*documents
	return nil
}

// entries checks numbering, time, seals, leaf hashes and every hash of the tree.
func (v *verifier) entries() error {
	edge := &head{edge: map[int64]tlog.Hash{}}
	edge.root, _ = tlog.TreeHash(0, nil)
	tree := &treeRows{q: v.q}
	reader := &Reader{q: v.q, ledger: v.ledger}
	var last int64
	for {
		page, err := reader.records(`e.number > $1 ORDER BY e.number LIMIT 500`, []any{last})
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		leaves := make([]tlog.Hash, len(page))
		for i := range page {
			e := &page[i]
			where := fmt.Sprintf("entry %d", e.number)
			if e.number != edge.entries+int64(i)+1 {
				v.found(where, "entry %d is missing before it", edge.entries+int64(i)+1)
				edge.entries = e.number - int64(i) - 1 // go on from here; the tree will not fit
			}
			if e.time < edge.time {
				v.found(where, "is older than the entry before it")
			}
			edge.time = e.time
			v.content(where, e)
			leaves[i] = tlog.RecordHash(leaf(e.encode(), e.sealed))
		}
		last = page[len(page)-1].number
		before := edge.entries
		first, run, err := edge.append(leaves)
		if err != nil {
			v.found(fmt.Sprintf("entry %d", before+1), "the tree cannot be followed from here: %v", err)
			return nil
		}
		if err := v.hashes(tree, before, first, leaves, run); err != nil {
			return err
		}
		v.step(len(page))
	}
	v.report.Entries, v.report.Root = edge.entries, edge.root.String()
	if extra, err := tree.more(); err != nil {
		return err
	} else if extra {
		v.found("tree", "has hashes beyond the last entry")
	}
	return v.headRow(edge)
}

func (v *verifier) headRow(edge *head) error {
	var entries, ms, ids int64
	var root []byte
	found, err := v.q.Row([]any{&entries, &ms, &root, &ids}, `SELECT entries, time, root, (SELECT count(*) FROM head) FROM head WHERE id = 1`)
	if err != nil {
		return err
	}
	if !found {
		if edge.entries > 0 {
			v.found("head", "is missing")
		}
		return nil
	}
	if ids != 1 {
		v.found("head", "has %d rows instead of one", ids)
	}
	if entries != edge.entries {
		v.found("head", "says %d entries, there are %d", entries, edge.entries)
	}
	if !bytes.Equal(root, edge.root[:]) {
		v.found("head", "its root is not that of the entries")
	}
	if ms != edge.time {
		v.found("head", "its time is not that of the newest entry")
	}
	return nil
}

// content opens what is sealed in an entry, unless it was erased.
func (v *verifier) content(where string, e *record) {
	if e.wrapped == nil {
		return // a missing document is found below, an erased one is as it should be
	}
	if _, err := v.ledger.unseal(&e.header, e.wrapped, e.sealed); err != nil {
		v.found(where, "its sealed content does not open: the entry or the key of document %s was changed", e.doc)
	}
}

// hashes compares recomputed hashes with the stored ones. A differing leaf names
// its entry; a differing inner hash names its row.
func (v *verifier) hashes(tree *treeRows, before, first int64, leaves, run []tlog.Hash) error {
	isLeaf := map[int64]int64{} // stored index -> entry
	for i := range leaves {
		isLeaf[tlog.StoredHashIndex(0, before+int64(i))] = before + int64(i) + 1
	}
	bad := false
	for i, want := range run {
		index := first + int64(i)
		is, row, err := tree.at(index)
		if err != nil {
			return err
		}
		switch number, leaf := isLeaf[index]; {
		case is == want:
		case row < 0:
			v.found("tree", "hash %d is missing", index)
		case leaf:
			v.found(fmt.Sprintf("entry %d", number), "is not what the tree (row %d) has the hash of", row)
			bad = true
		case !bad:
			v.found(fmt.Sprintf("tree row %d", row), "hash %d is not that of the entries below it", index)
		}
	}
	return nil
}

// treeRows reads the tree table once, from the first hash to the last.
type treeRows struct {
	q     *store.Q
	first int64
	run   []byte
	read  bool
}

// at gives the stored hash with an index; row is -1 when there is none.
func (t *treeRows) at(index int64) (hash tlog.Hash, row int64, err error) {
	for !t.read || index >= t.first+int64(len(t.run))/tlog.HashSize {
		from := int64(0)
		if t.read {
			from = t.first + 1
		}
		var first int64
		var run []byte
		found, err := t.q.Row([]any{&first, &run}, `SELECT first, hashes FROM tree WHERE first >= $1 ORDER BY first LIMIT 1`, from)
		if err != nil {
			return hash, -1, err
		}
		if !found || first > index {
			return hash, -1, nil
		}
		t.first, t.run, t.read = first, run, true
	}
	offset := (index - t.first) * tlog.HashSize
	if offset < 0 || offset+tlog.HashSize > int64(len(t.run)) {
		return hash, -1, nil
	}
	copy(hash[:], t.run[offset:])
	return hash, t.first, nil
}

// more tells whether there are rows, or hashes in the row, beyond those asked for.
func (t *treeRows) more() (bool, error) {
	var rows int64
	_, err := t.q.Row([]any{&rows}, `SELECT count(*) FROM tree WHERE first > $1 OR $2 = 0`, t.first, boolInt(t.read))
	return rows > 0 || len(t.run)%tlog.HashSize != 0, err
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (v *verifier) checkpoints() error {
	rows := v.q.Query(`SELECT c.size, c.time, c.note, coalesce(e.time, 0) FROM checkpoint c LEFT JOIN entry e ON e.number = c.size ORDER BY c.size`)
	type signed struct {
		size, time, entryTime int64
		note                  string
	}
	var all []signed
	for rows.Next() {
		var c signed
		rows.Scan(&c.size, &c.time, &c.note, &c.entryTime)
		all = append(all, c)
	}
	if err := rows.Close(); err != nil {
		return err
	}
	for _, c := range all {
		where := fmt.Sprintf("checkpoint %d", c.size)
		size, root, err := v.ledger.signer.open(c.note)
		switch {
		case err != nil:
			v.found(where, "its signature does not hold")
		case size != c.size:
			v.found(where, "was signed for %d entries", size)
		case size > v.report.Entries:
			v.found(where, "was signed for more entries than there are: entries are missing at the end")
		case c.time != c.entryTime:
			v.found(where, "its time is not that of its last entry")
		default:
			if is, err := tlog.TreeHash(size, storedHashes(v.q)); err != nil || is != root {
				v.found(where, "its root is not that of the first %d entries: the past was changed", size)
			}
		}
	}
	return nil
}

// documents checks each document against its newest entry.
func (v *verifier) documents() error {
	reader := &Reader{q: v.q, ledger: v.ledger}
	rows := v.q.Query(`SELECT e.number, e.doc FROM entry e LEFT JOIN document d ON d.id = e.doc WHERE d.id IS NULL ORDER BY e.number LIMIT 100`)
	for rows.Next() {
		var number int64
		var doc string
		rows.Scan(&number, &doc)
		v.found("document "+doc, "is missing; entry %d is of it", number)
	}
	if err := rows.Close(); err != nil {
		return err
	}
	return eachDocument(v.q, "", func(page []*document) error {
		for _, d := range page {
			if err := v.document(reader, d); err != nil {
				return err
			}
		}
		v.step(len(page))
		return nil
	})
}

func (v *verifier) document(reader *Reader, d *document) error {
	v.report.Documents++
	where := "document " + d.id
	if d.wrapped == nil {
		v.report.Erased++
		if d.body != nil {
			v.found(where, "has content but no key")
		}
		return nil
	}
	found, err := reader.records(`e.doc = $1 ORDER BY e.revision DESC LIMIT 1`, []any{d.id})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		v.found(where, "no entry made it")
		return nil
	}
	e := &found[0]
	switch {
	case d.revision != e.revision:
		v.found(where, "has revision %d, its newest entry %d", d.revision, e.revision)
	case d.entry != e.number:
		v.found(where, "names entry %d, its newest is %d", d.entry, e.number)
	case d.changed != e.time:
		v.found(where, "its time is not that of entry %d", e.number)
	case d.org != e.org || d.kind != e.kind:
		v.found(where, "its organization or kind is not that of entry %d", e.number)
	default:
		c, err := v.ledger.unseal(&e.header, e.wrapped, e.sealed)
		if err != nil {
			return nil // told with the entry
		}
		if !bytes.Equal(c.Body, d.body) || (c.Body == nil) != (d.body == nil) {
			v.found(where, "its content is not that of entry %d", e.number)
		} else if d.shape != c.Shape {
			v.found(where, "its shape is not that of entry %d", e.number)
		}
	}
	return nil
}

// indexes checks each row of each index table against its document.
func (v *verifier) indexes() error {
	names := map[string]bool{}
	for _, k := range v.ledger.order {
		t := k.table()
		if t == nil {
			continue
		}
		names[k.noun()] = true
		expected := int64(0)
		err := eachDocument(v.q, k.noun(), func(page []*document) error {
			for _, d := range page {
				if d.body == nil {
					continue
				}
				row, err := k.row(d)
				if err != nil {
					v.found("document "+d.id, "cannot be indexed: %v", err)
					continue
				}
				if row == nil {
					continue
				}
				expected++
				if err := v.indexRow(k, d, row); err != nil {
					return err
				}
			}
			v.step(len(page))
			return nil
		})
		if err != nil {
			return err
		}
		var rows int64
		if _, err := v.q.Row([]any{&rows}, `SELECT count(*) FROM `+k.noun()); err != nil {
			return err
		}
		if rows > expected {
			v.found("index "+k.noun(), "has %d rows for %d documents", rows, expected)
		}
	}
	return nil
}

func (v *verifier) indexRow(k Kind, d *document, want []any) error {
	columns := k.table().columns
	var org string
	dest := []any{&org}
	sql := `SELECT org`
	for _, c := range columns {
		sql += `, ` + c.Name
		switch c.Type {
		case Integer:
			dest = append(dest, new(*int64))
		case Real:
			dest = append(dest, new(*float64))
		default:
			dest = append(dest, new(*string))
		}
	}
	found, err := v.q.Row(dest, sql+` FROM `+k.noun()+` WHERE id = $1`, d.id)
	if err != nil {
		return err
	}
	where := "index " + k.noun() + " " + d.id
	if !found {
		v.found(where, "is missing")
		return nil
	}
	if org != d.org {
		v.found(where, "its organization is not that of the document")
	}
	for i, c := range columns {
		is, must := plain(dest[i+1]), plain(want[i])
		if whole, ok := must.(int64); ok && c.Type == Real {
			must = float64(whole)
		}
		if is != must {
			v.found(where, "column %s is %v, by the document it is %v", c.Name, is, must)
		}
	}
	return nil
}

// plain makes values of a row comparable: what pointers point at, integers as
// int64, nil for NULL.
func plain(value any) any {
	switch x := value.(type) {
	case int:
		return int64(x)
	case **int64:
		return plain(*x)
	case **float64:
		return plain(*x)
	case **string:
		return plain(*x)
	case *int64:
		if x != nil {
			return *x
		}
		return nil
	case *float64:
		if x != nil {
			return *x
		}
		return nil
	case *string:
		if x != nil {
			return *x
		}
		return nil
	}
	return value
}

// Rebuild makes documents and indexes again from the entries and the keys. It
// is for a database whose derived tables were lost or changed; entries, the
// tree and the keys are never touched.
func (l *Ledger) Rebuild(ctx context.Context, progress func(done, total int64)) error {
	return l.store.Write(ctx, func(q *store.Q) error {
		reader := &Reader{q: q, ledger: l}
		var total, done int64
		if _, err := q.Row([]any{&total}, `SELECT count(*) FROM document`); err != nil {
			return err
		}
		err := eachDocument(q, "", func(page []*document) error {
			for _, d := range page {
				found, err := reader.records(`e.doc = $1 ORDER BY e.revision DESC LIMIT 1`, []any{d.id})
				if err != nil {
					return err
				}
				if len(found) == 0 || d.wrapped == nil {
					continue
				}
				e := &found[0]
				c, err := l.unseal(&e.header, e.wrapped, e.sealed)
				if err != nil {
					return err
				}
				if _, err := q.Exec(`UPDATE document SET org = $1, kind = $2, revision = $3, entry = $4, changed = $5, shape = $6, body = $7 WHERE id = $8`,
					e.org, e.kind, e.revision, e.number, e.time, c.Shape, textOf(c.Body), d.id); err != nil {
					return err
				}
			}
			done += int64(len(page))
			if progress != nil {
				progress(done, total)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, k := range l.order {
			if t := k.table(); t != nil {
				if err := q.Script(`DROP TABLE IF EXISTS ` + k.noun() + `;` + t.ddl(k.noun())); err != nil {
					return err
				}
				if err := l.fillIndex(q, k); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
