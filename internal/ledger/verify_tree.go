package ledger

import (
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/qanat-water/qanat/internal/base/store"
)

// storedHash is a hash of the tree as the database has it; row -1: it has not.
type storedHash struct {
	hash tlog.Hash
	row  int64
}

// treeRuns reads the tree's table towards its end. It keeps the row it read
// last, because what is asked for next may begin in it.
type treeRuns struct {
	q     *store.Q
	first int64
	run   []byte
	out   []storedHash
}

// read gives the stored hashes from first on, before end. What it gives is valid
// until the next call. Rows must follow one another without gap or overlap.
func (t *treeRuns) read(c *chunk, first, end int64) ([]storedHash, error) {
	t.out = t.out[:0]
	for range end - first {
		t.out = append(t.out, storedHash{row: -1})
	}
	after := t.first
	if len(t.run) == 0 || first < t.first || first >= t.end() {
		if _, err := t.q.Row([]any{&after}, `SELECT coalesce(max(first), 0) - 1 FROM tree WHERE first <= $1`, first); err != nil {
			return nil, err
		}
		t.run = t.run[:0]
	} else {
		t.take(first)
	}
	follows := int64(-1)
	if len(t.run) > 0 {
		follows = t.end()
	}
	rows := t.q.Query(`SELECT first, hashes FROM tree WHERE first > $1 AND first < $2 ORDER BY first`, after, end)
	var run store.Borrowed
	for dest := []any{&t.first, &run}; rows.Next(); {
		rows.Scan(dest...)
		t.run = append(t.run[:0], run...)
		if follows >= 0 && t.first != follows || len(t.run)%tlog.HashSize != 0 {
			c.found(fmt.Sprintf("tree row %d", t.first), "does not follow the row before it, or is not whole")
		}
		follows = t.end()
		t.take(first)
	}
	return t.out, rows.Close()
}

func (t *treeRuns) end() int64 { return t.first + int64(len(t.run)/tlog.HashSize) }

// take puts the hashes of the row into their places; out begins with that of first.
func (t *treeRuns) take(first int64) {
	for i := max(first, t.first); i < min(t.end(), first+int64(len(t.out))); i++ {
		s := &t.out[i-first]
		s.row = t.first
		copy(s.hash[:], t.run[(i-t.first)*tlog.HashSize:])
	}
}

// tree puts the chunks together: it checks the hashes above them and the order of
// time from one to the next, and gives the root and the time of the newest entry.
func (v *verifier) tree(chunks []*chunk) (root tlog.Hash, newest int64) {
	var edge [64]tlog.Hash
	for k, c := range chunks {
		for _, p := range c.problems {
			v.add(p)
		}
		if c.first < newest {
			v.found(fmt.Sprintf("entry %d", int64(k)*chunkEntries+1), "is older than the entry before it")
		}
		newest = max(newest, c.last)
		if v.size-int64(k)*chunkEntries < chunkEntries {
			copy(edge[:], c.edge[:chunkLevels])
			break
		}
		h, level := c.edge[chunkLevels], chunkLevels
		for ; k>>(level-chunkLevels)&1 == 1; level++ {
			h = tlog.NodeHash(edge[level], h)
			switch s := c.above[level-chunkLevels]; {
			case s.row < 0:
				v.found("tree", "a hash of level %d is missing", level+1)
			case s.hash != h:
				v.found(fmt.Sprintf("tree row %d", s.row), "a hash of level %d is not that of the entries below it", level+1)
			}
		}
		edge[level] = h
	}
	if v.size == 0 {
		root, _ = tlog.TreeHash(0, nil)
		return root, 0
	}
	level := bits.TrailingZeros64(uint64(v.size)) // #nosec G115 -- a count
	root = edge[level]
	for level++; v.size>>level > 0; level++ {
		if v.size>>level&1 == 1 {
			root = tlog.NodeHash(edge[level], root)
		}
	}
	return root, newest
}

// remembered reads stored hashes once for roots that are asked for in the order
// of their sizes: nearly all that one needs, the one before it needed too.
func remembered(q *store.Q) tlog.HashReader {
	known := map[int64]tlog.Hash{}
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var wanted []int64
		for _, index := range indexes {
			if _, ok := known[index]; !ok {
				wanted = append(wanted, index)
			}
		}
		read, err := storedHashes(q).ReadHashes(wanted)
		if err != nil {
			return nil, err
		}
		now := make(map[int64]tlog.Hash, len(indexes))
		for i, index := range wanted {
			known[index] = read[i]
		}
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			out[i] = known[index]
			now[index] = known[index]
		}
		known = now
		return out, nil
	})
}
