package ledger

import (
	"fmt"

	"github.com/qanat-water/qanat/internal/base/store"
)

// Documents are checked in ranges of their ids that any core takes, and in a
// range by pages.
const (
	rangesOfEach = 4    // ranges for each connection, so that none works alone for long
	pageMost     = 2000 // documents of a page
)

// idRange is the documents after one id, up to another or to the end.
type idRange struct{ after, upTo string }

// documentCount is what checking a range of documents has found.
type documentCount struct {
	problems          []Problem
	documents, erased int64
	rows              map[string]int64 // of index tables: those that were read
	expected          map[string]int64 // and those that should be there
}

func (c *documentCount) found(where, what string, args ...any) {
	if len(c.problems) <= maxProblems {
		c.problems = append(c.problems, Problem{Where: where, What: fmt.Sprintf(what, args...)})
	}
}

// ranges cuts the documents into n ranges of about equal numbers.
func (v *verifier) ranges(q *store.Q, n int) ([]idRange, error) {
	var all []idRange
	after := ""
	for i := int64(1); i < int64(n); i++ {
		var id string
		found, err := q.Row([]any{&id}, `SELECT id FROM document ORDER BY id LIMIT 1 OFFSET $1`, v.documents*i/int64(n))
		if err != nil {
			return nil, err
		}
		if found && id > after {
			all = append(all, idRange{after, id})
			after = id
		}
	}
	return append(all, idRange{after: after}), nil
}

// documentChecker checks ranges, one at a time, on a connection of its own: that
// what is erased has no content, and each row of each index against its document.
// Documents were compared with their entries when these came by.
type documentChecker struct {
	v      *verifier
	q      *store.Q
	buffer []byte // bodies of a page
	page   []*document
	most   int // documents to ask for
}

func (c *documentChecker) check(r idRange) (*documentCount, error) {
	out := &documentCount{rows: map[string]int64{}, expected: map[string]int64{}}
	for after := r.after; ; {
		if err := c.read(idRange{after, r.upTo}); err != nil || len(c.page) == 0 {
			return out, err
		}
		last := c.page[len(c.page)-1].id
		expected := map[Kind]map[string]row{}
		for _, d := range c.page {
			out.documents++
			if d.wrapped == nil {
				out.erased++
				if d.body != nil {
					out.found("document "+d.id, "has content but no key")
				}
			}
			k := c.v.ledger.kinds[d.kind]
			if d.body == nil || k == nil || k.table() == nil {
				continue
			}
			values, err := k.row(d)
			if err != nil {
				out.found("document "+d.id, "cannot be indexed: %v", err)
				continue
			}
			if values != nil {
				if expected[k] == nil {
					expected[k] = map[string]row{}
				}
				expected[k][d.id] = row{d.org, values}
			}
		}
		for _, k := range c.v.ledger.order {
			if rows := expected[k]; rows != nil {
				out.expected[k.noun()] += int64(len(rows))
				if err := c.rows(out, k, idRange{after, last}, rows); err != nil {
					return nil, err
				}
			}
		}
		c.v.step(len(c.page))
		after = last
	}
}

// row is what a document says that its row in an index is.
type row struct {
	org    string
	values []any
}

// read reads the next page of documents.
func (c *documentChecker) read(r idRange) error {
	c.buffer, c.page = c.buffer[:0], c.page[:0]
	var bodies []span // -1: there is none
	var wrapped, body store.Borrowed
	var d document
	var shape int64
	rows := c.q.Query(`SELECT `+documentColumns+` FROM document d WHERE d.id > $1 AND (d.id <= $2 OR $2 = '') ORDER BY d.id LIMIT $3`, r.after, r.upTo, c.most)
	for dest := []any{&d.id, &d.org, &d.kind, &d.revision, &d.entry, &d.changed, &shape, &wrapped, &body}; len(c.buffer) < batchBytes && rows.Next(); {
		rows.Scan(dest...)
		one := d
		one.shape = int(shape)
		if wrapped != nil {
			one.wrapped = []byte{} // that it is there is all that matters here
		}
		c.page = append(c.page, &one)
		if body == nil {
			bodies = append(bodies, span{-1, -1})
			continue
		}
		from := len(c.buffer)
		c.buffer = append(c.buffer, body...)
		bodies = append(bodies, span{from, len(c.buffer)})
	}
	c.most = fitting(len(c.page), len(c.buffer), pageMost)
	for i, d := range c.page {
		if s := bodies[i]; s.from >= 0 {
			d.body = c.buffer[s.from:s.to:s.to]
		}
	}
	return rows.Close()
}

// rows compares the rows of an index with those that documents want.
func (c *documentChecker) rows(out *documentCount, k Kind, r idRange, expected map[string]row) error {
	columns := k.table().columns
	var id, org string
	dest := []any{&id, &org}
	sql := `SELECT id, org`
	for _, column := range columns {
		sql += `, ` + column.Name
		switch column.Type {
		case Integer:
			dest = append(dest, new(*int64))
		case Real:
			dest = append(dest, new(*float64))
		default:
			dest = append(dest, new(*string))
		}
	}
	rows := c.q.Query(sql+` FROM `+k.noun()+` WHERE id > $1 AND id <= $2 ORDER BY id`, r.after, r.upTo)
	for rows.Next() {
		rows.Scan(dest...)
		out.rows[k.noun()]++
		where := "index " + k.noun() + " " + id
		want, ok := expected[id]
		if !ok {
			out.found(where, "is of no document that belongs into it")
			continue
		}
		delete(expected, id)
		if org != want.org {
			out.found(where, "its organization is not that of the document")
		}
		for i, column := range columns {
			is, must := plain(dest[i+2]), plain(want.values[i])
			if whole, ok := must.(int64); ok && column.Type == Real {
				must = float64(whole)
			}
			if is != must {
				out.found(where, "column %s is %v, by the document it is %v", column.Name, is, must)
			}
		}
	}
	if err := rows.Close(); err != nil {
		return err
	}
	for id := range expected {
		out.found("index "+k.noun()+" "+id, "is missing")
	}
	return nil
}
