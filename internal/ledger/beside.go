package ledger

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// Seen is the number of the last entry that is in the reader's snapshot; in a
// write, of the last before it.
func (r *Reader) Seen() (int64, error) {
	if r.group != nil && !r.group.dry {
		return r.group.head.entries, nil
	}
	if !r.knows {
		if _, err := r.q.Row([]any{&r.seen}, `SELECT entries FROM head WHERE id = 1`); err != nil {
			return 0, fmt.Errorf("newest entry: %w", err)
		}
		r.knows = true
	}
	return r.seen, nil
}

// Staged tells whether the transaction holds changes of one of these nouns that
// are not committed yet, its own or those of writes that share its commit.
func (r *Reader) Staged(nouns ...string) bool {
	if r.group == nil {
		return false
	}
	for _, n := range nouns {
		if r.group.staged[n] > 0 {
			return true
		}
	}
	return false
}

// Has tells whether a noun was declared at Open, so that its index table is there.
func (r *Reader) Has(noun string) bool { return r.ledger.kinds[noun] != nil }

// Clock is the time: in a write, that of its entries.
func (r *Reader) Clock() time.Time {
	if r.group != nil {
		return time.UnixMilli(r.group.now).UTC()
	}
	return r.ledger.clock.Now()
}

// Touched is a document that an entry changed.
type Touched struct {
	Number    int64
	Kind, Doc string
}

// TouchedSince lists the entries of some nouns after a number, up to what Seen
// says, in their order. It is how something that is kept beside the ledger learns
// what has changed, whichever process wrote it.
func (r *Reader) TouchedSince(number int64, nouns ...string) ([]Touched, error) {
	seen, err := r.Seen()
	if err != nil {
		return nil, err
	}
	args := []any{number, seen}
	marks := make([]string, len(nouns))
	for i, n := range nouns {
		args = append(args, n)
		marks[i] = fmt.Sprintf("$%d", len(args))
	}
	var touched []Touched
	rows := r.q.Query(`SELECT number, kind, doc FROM entry WHERE number > $1 AND number <= $2 AND kind IN (`+strings.Join(marks, ", ")+`) ORDER BY number`, args...)
	for rows.Next() {
		var t Touched
		rows.Scan(&t.Number, &t.Kind, &t.Doc)
		touched = append(touched, t)
	}
	return touched, rows.Close()
}

// beside is what packages keep in memory for as long as the ledger is open.
type beside struct {
	mu   sync.Mutex
	kept sync.Map // key -> value
}

// Beside gives what is kept beside the ledger under a key, made at the first
// call. It is made once, and must not read or write the ledger while it is made.
func (r *Reader) Beside(key any, make func(*Ledger) any) any {
	b := &r.ledger.beside
	if v, ok := b.kept.Load(key); ok {
		return v
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if v, ok := b.kept.Load(key); ok {
		return v
	}
	v := make(r.ledger)
	b.kept.Store(key, v)
	return v
}
