package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

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

// verifier checks a ledger on several connections that see one snapshot. It holds
// at most 16 MB of rows for each, and as much of the database's pages, the keys of
// 65,536 documents (some 80 MB), and a few hundred bytes for each 1,024 entries,
// however large the ledger is.
type verifier struct {
	ledger    *Ledger
	q         *store.Q // for what one connection does alone
	report    Report
	told      map[Problem]bool
	size      int64 // the entries are numbered up to here
	documents int64
	matched   int64 // documents that were compared with their newest entry
	keys      keyring
	published []byte // the checkpoint file; nil: there is none

	mu       sync.Mutex
	progress func(done, total int64)
	file     func(hash, document string)
	gone     map[string]int64 // files that are gone on purpose, with the entry since when
	total    int64
	done     int64
}

// Verify reads the whole ledger in one snapshot and checks every promise of it:
// each entry against the tree, each hash of the tree, each signed checkpoint,
// each sealed content, each document and each index row against the entries.
func (l *Ledger) Verify(ctx context.Context, progress func(done, total int64)) (Report, error) {
	return l.VerifyFiles(ctx, progress, nil)
}

// VerifyFiles is Verify that also tells of each file that any entry names, as
// often as it is named, and of the document that does. Whether the files are there
// is for the caller to see.
func (l *Ledger) VerifyFiles(ctx context.Context, progress func(done, total int64), file func(hash, document string)) (Report, error) {
	v := &verifier{ledger: l, progress: progress, file: file, told: map[Problem]bool{}, keys: keyring{young: map[string]*docInfo{}}}
	v.report.Problems = []Problem{}
	if l.refused != nil {
		v.found("checkpoint file", "%v", l.refused)
	}
	var err error
	if v.published, err = l.signer.published(); err != nil {
		return v.report, err
	}
	var entries int64
	if err := l.store.Read(ctx, func(q *store.Q) error {
		_, err := q.Row([]any{&entries}, `SELECT coalesce(max(entries), 0) FROM head`)
		return err
	}); err != nil {
		return v.report, err
	}
	err = l.store.ReadTogether(ctx, int(min(int64(runtime.GOMAXPROCS(0)), verifyMost, 1+entries/verifyWorth)), func(views []*store.Q) error {
		v.q = views[0]
		if file != nil {
			var err error
			if v.gone, err = (&Reader{q: v.q, ledger: l}).without(); err != nil {
				return err
			}
		}
		for _, step := range []func([]*store.Q) error{v.measure, v.entries, v.checkpoints, v.cosignatures, v.eachDocument, v.erasures} {
			if err := step(views); err != nil {
				return err
			}
		}
		return nil
	})
	return v.report, err
}

const (
	verifyMost  = 8     // connections that verification reads with
	verifyWorth = 2_000 // entries that one more of them is worth opening for
)

func (v *verifier) found(where, what string, args ...any) {
	v.add(Problem{Where: where, What: fmt.Sprintf(what, args...)})
}

func (v *verifier) add(p Problem) {
	if v.told[p] {
		return
	}
	if len(v.report.Problems) == maxProblems {
		v.report.Cut = true
		return
	}
	v.told[p] = true
	v.report.Problems = append(v.report.Problems, p)
}

func (v *verifier) step(n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.done += int64(n)
	if v.progress != nil {
		v.progress(v.done, v.total)
	}
}

// measure tells how much there is to do. The entries go up to the greatest number
// that there is, or that the head knows of; only if the two differ the entries are
// counted, because one of them may be beyond all reason.
func (v *verifier) measure([]*store.Q) error {
	var newest, head int64
	if _, err := v.q.Row([]any{&newest, &head}, `SELECT (SELECT coalesce(max(number), 0) FROM entry), (SELECT coalesce(max(entries), 0) FROM head)`); err != nil {
		return err
	}
	entries := newest
	if newest != head {
		if _, err := v.q.Row([]any{&entries}, `SELECT count(*) FROM entry`); err != nil {
			return err
		}
	}
	if _, err := v.q.Row([]any{&v.documents}, `SELECT count(*) FROM document`); err != nil {
		return err
	}
	if v.size = max(newest, head); v.size-entries > maxProblems {
		v.size = entries
	}
	v.total = v.size + v.documents
	rows := v.q.Query(`SELECT number FROM entry WHERE number > $1 OR number < 1 ORDER BY number LIMIT 100`, v.size)
	for rows.Next() {
		var number int64
		rows.Scan(&number)
		v.found(fmt.Sprintf("entry %d", number), "has a number that is not its own: there are %d entries", entries)
	}
	return rows.Close()
}

// together runs work for each of n things, on all views at once.
func together(views []*store.Q, n int, worker func(q *store.Q) func(i int) error) error {
	var next atomic.Int64
	errs := make([]error, len(views))
	var wg sync.WaitGroup
	for w, q := range views {
		wg.Go(func() {
			do := worker(q)
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if errs[w] = do(i); errs[w] != nil {
					next.Store(int64(n)) // the others stop, too
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// entries checks numbering, time, seals, leaf hashes and every hash of the tree,
// and each document that has entries against its newest.
func (v *verifier) entries(views []*store.Q) error {
	chunks := make([]*chunk, (v.size+chunkEntries-1)/chunkEntries)
	err := together(views, len(chunks), func(q *store.Q) func(int) error {
		checker := newEntryChecker(v, q)
		return func(i int) (err error) {
			lo := int64(i) * chunkEntries
			chunks[i], err = checker.check(lo)
			v.step(int(min(chunkEntries, v.size-lo)))
			return err
		}
	})
	if err != nil {
		return err
	}
	root, newest := v.tree(chunks)
	for _, c := range chunks {
		v.matched += c.matched
	}
	v.report.Entries, v.report.Root = v.size, root.String()
	var extra, length int64
	end := tlog.StoredHashCount(v.size)
	if _, err := v.q.Row([]any{&extra}, `SELECT count(*) FROM tree WHERE first >= $1 OR first < 0`, end); err != nil {
		return err
	}
	if _, err := v.q.Row([]any{&length}, `SELECT first * 32 + length(hashes) FROM tree WHERE first < $1 ORDER BY first DESC LIMIT 1`, end); err != nil {
		return err
	}
	if extra > 0 || length > end*tlog.HashSize {
		v.found("tree", "has hashes beyond the last entry")
	}
	return v.headRow(v.size, newest, root)
}

func (v *verifier) headRow(size, newest int64, must tlog.Hash) error {
	var entries, ms, ids int64
	var root []byte
	found, err := v.q.Row([]any{&entries, &ms, &root, &ids}, `SELECT entries, time, root, (SELECT count(*) FROM head) FROM head WHERE id = 1`)
	if err != nil {
		return err
	}
	if !found {
		if size > 0 {
			v.found("head", "is missing")
		}
		return nil
	}
	if ids != 1 {
		v.found("head", "has %d rows instead of one", ids)
	}
	if entries != size {
		v.found("head", "says %d entries, there are %d", entries, size)
	}
	if !bytes.Equal(root, must[:]) {
		v.found("head", "its root is not that of the entries")
	}
	if ms != newest {
		v.found("head", "its time is not that of the newest entry")
	}
	return nil
}

// checkpoints checks each signed checkpoint against the tree.
func (v *verifier) checkpoints([]*store.Q) error {
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
	tree := remembered(v.q)
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
			if is, err := tlog.TreeHash(size, tree); err != nil || is != root {
				v.found(where, "its root is not that of the first %d entries: the past was changed", size)
			}
		}
	}
	return nil
}

// eachDocument checks that every document was met by its newest entry, and every
// row of every index.
func (v *verifier) eachDocument(views []*store.Q) error {
	ranges, err := v.ranges(v.q, rangesOfEach*len(views))
	if err != nil {
		return err
	}
	counts := make([]*documentCount, len(ranges))
	err = together(views, len(ranges), func(q *store.Q) func(int) error {
		checker := &documentChecker{v: v, q: q, most: pageMost}
		return func(i int) (err error) {
			counts[i], err = checker.check(ranges[i])
			return err
		}
	})
	if err != nil {
		return err
	}
	read, expected := map[string]int64{}, map[string]int64{}
	for _, c := range counts {
		for _, p := range c.problems {
			v.add(p)
		}
		v.report.Documents += c.documents
		v.report.Erased += c.erased
		for noun, n := range c.rows {
			read[noun] += n
		}
		for noun, n := range c.expected {
			expected[noun] += n
		}
	}
	for _, k := range v.ledger.order {
		if k.table() == nil {
			continue
		}
		var rows int64
		if _, err := v.q.Row([]any{&rows}, `SELECT count(*) FROM `+k.noun()); err != nil {
			return err
		}
		if rows > read[k.noun()] {
			v.found("index "+k.noun(), "has %d rows for %d documents", rows, expected[k.noun()])
		}
	}
	if v.report.Documents-v.report.Erased == v.matched {
		return nil
	}
	// Some document was not met. Which, is told by looking at each by itself.
	reader := &Reader{q: v.q, ledger: v.ledger}
	return eachDocument(v.q, "", func(page []*document) error {
		for _, d := range page {
			if err := v.document(reader, d); err != nil {
				return err
			}
		}
		return nil
	})
}

// document checks one document against its newest entry.
func (v *verifier) document(reader *Reader, d *document) error {
	where := "document " + d.id
	if d.wrapped == nil {
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
