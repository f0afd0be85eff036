package ledger

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/qanat-water/qanat/internal/base/store"
)

// head is the tree's right edge: all that appending needs. Stored hashes are
// numbered as in tlog: appending entries n, n+1, … appends one contiguous run of
// hashes, which is stored as one row.
type head struct {
	entries int64 // entries in the tree
	time    int64 // ms since 1970 of the newest
	root    tlog.Hash
	edge    map[int64]tlog.Hash // the stored hashes that later appends and the root need
}

func loadHead(q *store.Q) (*head, error) {
	h := &head{}
	lock := ""
	if q.Engine() == store.Postgres {
		lock = " FOR UPDATE"
	}
	var root []byte
	load := func() (bool, error) {
		return q.Row([]any{&h.entries, &h.time, &root}, `SELECT entries, time, root FROM head WHERE id = 1`+lock)
	}
	found, err := load()
	if err != nil {
		return nil, err
	}
	if !found {
		// The first write of a new database. On PostgreSQL a second node that does the
		// same waits in the INSERT until the first has committed, and then finds its row.
		empty, _ := tlog.TreeHash(0, nil)
		if _, err := q.Exec(`INSERT INTO head (id, entries, time, root) VALUES (1, 0, 0, $1) ON CONFLICT (id) DO NOTHING`, empty[:]); err != nil {
			return nil, err
		}
		if found, err = load(); err != nil || !found {
			return nil, errors.Join(err, errors.New("the tree has no head"))
		}
	}
	if len(root) != tlog.HashSize {
		return nil, fmt.Errorf("the tree's head is damaged")
	}
	copy(h.root[:], root)
	return h, nil
}

// fill reads the hashes of the right edge.
func (h *head) fill(q *store.Q) error {
	if h.edge != nil {
		return nil
	}
	h.edge = map[int64]tlog.Hash{}
	if h.entries == 0 {
		return nil
	}
	need := tlog.StoredHashIndex // the complete subtrees that cover the first entries leaves
	var indexes []int64
	var low int64
	for low < h.entries {
		level := 0
		for low&(1<<(level+1)-1) == 0 && low+1<<(level+1) <= h.entries {
			level++
		}
		indexes = append(indexes, need(level, low>>level))
		low += 1 << level
	}
	hashes, err := storedHashes(q).ReadHashes(indexes)
	if err != nil {
		return err
	}
	for i, index := range indexes {
		h.edge[index] = hashes[i]
	}
	return nil
}

// append adds leaves and returns the run of stored hashes to write, and the
// index of its first.
func (h *head) append(leaves []tlog.Hash) (first int64, run []tlog.Hash, err error) {
	first = tlog.StoredHashCount(h.entries)
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			if index >= first && index-first < int64(len(run)) {
				out[i] = run[index-first]
			} else if hash, ok := h.edge[index]; ok {
				out[i] = hash
			} else {
				return nil, fmt.Errorf("tree: hash %d is not at hand", index)
			}
		}
		return out, nil
	})
	for i, leaf := range leaves {
		hashes, err := tlog.StoredHashesForRecordHash(h.entries+int64(i), leaf, reader)
		if err != nil {
			return 0, nil, err
		}
		run = append(run, hashes...)
	}
	h.entries += int64(len(leaves))
	if h.root, err = tlog.TreeHash(h.entries, reader); err != nil {
		return 0, nil, err
	}
	h.trim(first, run)
	return first, run, nil
}

// trim keeps of the edge and a run just the roots of the complete subtrees.
func (h *head) trim(first int64, run []tlog.Hash) {
	edge := map[int64]tlog.Hash{}
	var low int64
	for low < h.entries {
		level := 0
		for low&(1<<(level+1)-1) == 0 && low+1<<(level+1) <= h.entries {
			level++
		}
		index := tlog.StoredHashIndex(level, low>>level)
		if index >= first {
			edge[index] = run[index-first]
		} else {
			edge[index] = h.edge[index]
		}
		low += 1 << level
	}
	h.edge = edge
}

// storedHashes reads hashes from the tree table.
func storedHashes(q *store.Q) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			var first int64
			var run []byte
			found, err := q.Row([]any{&first, &run}, `SELECT first, hashes FROM tree WHERE first <= $1 ORDER BY first DESC LIMIT 1`, index)
			if err != nil {
				return nil, err
			}
			at := (index - first) * tlog.HashSize
			if !found || at+tlog.HashSize > int64(len(run)) {
				return nil, fmt.Errorf("tree: hash %d is missing", index)
			}
			copy(out[i][:], run[at:])
		}
		return out, nil
	})
}
