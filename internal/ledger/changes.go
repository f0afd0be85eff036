package ledger

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// Change is an entry with its document's content before and after it; both are
// nil for secret nouns, and when it was erased.
type Change struct {
	Entry         Entry
	Before, After json.RawMessage
}

// Changes is Each with the content before, too: many entries with few queries.
func (r *Reader) Changes(f Filter) ([]Change, error) {
	var found []Change
	var wanted []step
	err := r.Each(f, func(e Entry, content json.RawMessage) error {
		found = append(found, Change{Entry: e, After: content})
		if e.Revision > 1 && !r.Secret(e.Kind) {
			wanted = append(wanted, step{e.Doc, e.Revision - 1})
		}
		return nil
	})
	if err != nil || len(wanted) == 0 {
		return found, err
	}
	p := newPast(r.ledger)
	if err := p.read(r, wanted); err != nil {
		return nil, err
	}
	for i := range found {
		if r.Secret(found[i].Entry.Kind) {
			continue
		}
		if was, known := p.revision(found[i].Entry.Doc, found[i].Entry.Revision-1); known {
			found[i].Before = was.content.Body
		}
	}
	return found, nil
}

// Numbered are entries by their numbers, with content, in no order.
func (r *Reader) Numbered(numbers []int64) (map[int64]Change, error) {
	marks := make([]string, len(numbers))
	args := make([]any, len(numbers))
	for i, n := range numbers {
		marks[i], args[i] = fmt.Sprintf("$%d", i+1), n
	}
	found := map[int64]Change{}
	if len(numbers) == 0 {
		return found, nil
	}
	records, err := scanRecords(r.Query(fmt.Sprintf(`SELECT %s FROM (SELECT * FROM entry e WHERE e.number IN (%s) LIMIT %d) e LEFT JOIN document d ON d.id = e.doc`,
		entryColumns, strings.Join(marks, ", "), len(numbers)), args...))
	if err != nil {
		return nil, err
	}
	for i := range records {
		e, c, err := r.open(&records[i])
		if err != nil {
			return nil, err
		}
		if r.Secret(e.Kind) {
			c.Body = nil
		}
		found[e.Number] = Change{Entry: e, After: c.Body}
	}
	return found, nil
}

// Undone tells of entries which entry undid each and is not undone itself, by
// their numbers; those that stand are not in it.
func (r *Reader) Undone(entries []Entry) (map[int64]int64, error) {
	p := newPast(r.ledger)
	docs := map[string]bool{}
	var ids []any
	for _, e := range entries {
		if !docs[e.Doc] {
			docs[e.Doc] = true
			ids = append(ids, e.Doc)
		}
	}
	for part := range slices.Chunk(ids, mostSteps) {
		if err := p.readUndos(r, part); err != nil {
			return nil, err
		}
	}
	undone := map[int64]int64{}
	for _, e := range entries {
		if by := p.undoneBy(e.Doc, e.Number); by != 0 {
			undone[e.Number] = by
		}
	}
	return undone, nil
}

// Between turns a span of time, both ends included, into the numbers of the first
// and last entry in it: numbers and times grow together. A zero time is no bound.
// When there is none in it, last is smaller than first.
func (r *Reader) Between(since, until time.Time) (first, last int64, err error) {
	if _, err := r.Row([]any{&last}, `SELECT entries FROM head WHERE id = 1`); err != nil {
		return 0, 0, err
	}
	newest := last
	earlier := func(than func(ms int64) bool) int64 { // how many entries are
		return int64(sort.Search(int(newest), func(i int) bool {
			var ms int64
			if _, e := r.Row([]any{&ms}, `SELECT time FROM entry WHERE number = $1`, int64(i)+1); e != nil {
				err = e
			}
			return !than(ms)
		}))
	}
	first = 1
	if !since.IsZero() {
		ms := since.UnixMilli()
		if !since.Equal(since.Truncate(time.Millisecond)) {
			ms++ // what is kept has milliseconds
		}
		first = 1 + earlier(func(t int64) bool { return t < ms })
	}
	if !until.IsZero() {
		last = earlier(func(t int64) bool { return t <= until.UnixMilli() })
	}
	return first, last, err
}
