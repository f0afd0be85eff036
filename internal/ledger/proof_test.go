package ledger_test

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/ledger"
)

// TestProofsAgreeWithAnotherLibrary proves every entry of trees of many sizes, and
// every growth between checkpoints, and has them checked by a library that shares
// no code with ours.
func TestProofsAgreeWithAnotherLibrary(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		notes := map[int64]string{}
		var sizes []int64
		for size := int64(1); size <= 18; size++ {
			w.create(well{Name: fmt.Sprint("well ", size)})
			check(t, w.Checkpoint(ctx))
			if size%3 == 0 {
				continue
			}
			c := latest(t, w.Ledger)
			if c.Size != size {
				t.Fatalf("the checkpoint of %d entries says %d", size, c.Size)
			}
			notes[size], sizes = c.Note, append(sizes, size)
			for entry := int64(1); entry <= size; entry++ {
				file, err := w.ProveEntry(ctx, entry)
				check(t, err)
				p := readProof(t, w.Ledger, string(file))
				if p.index != uint64(entry-1) || p.size != uint64(size) {
					t.Errorf("the proof of entry %d of %d is of %d of %d", entry, size, p.index, p.size)
				}
				if err := proof.VerifyInclusion(rfc6962.DefaultHasher, p.index, p.size, rfc6962.DefaultHasher.HashLeaf(p.leaf), p.hashes, p.root); err != nil {
					t.Errorf("entry %d of %d: %v", entry, size, err)
				}
			}
		}
		for _, to := range sizes {
			for _, from := range sizes {
				file, err := w.ProveConsistency(ctx, from, to)
				if from > to {
					if fault.KindOf(err) != fault.Invalid {
						t.Errorf("from %d to %d: %v", from, to, err)
					}
					continue
				}
				check(t, err)
				p := readProof(t, w.Ledger, string(file))
				_, old := readNote(t, w.Ledger, notes[from])
				if p.size != uint64(to) || p.index != uint64(from) {
					t.Errorf("from %d to %d is from %d to %d", from, to, p.index, p.size)
				}
				if err := proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(from), uint64(to), p.hashes, old, p.root); err != nil {
					t.Errorf("from %d to %d: %v", from, to, err)
				}
			}
		}
	})
}

func TestProofsThatCannotBe(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		if _, err := w.ProveEntry(ctx, 1); fault.KindOf(err) != fault.NotFound {
			t.Errorf("an entry of an empty ledger: %v", err)
		}
		if _, err := w.ProveConsistency(ctx, 1, 0); fault.KindOf(err) != fault.NotFound {
			t.Errorf("before the first checkpoint: %v", err)
		}
		for i := range 5 {
			w.create(well{Name: fmt.Sprint(i)})
		}
		// Newer than any checkpoint: one is signed for it.
		file, err := w.ProveEntry(ctx, 4)
		check(t, err)
		if p := readProof(t, w.Ledger, string(file)); p.size != 5 || latest(t, w.Ledger).Size != 5 {
			t.Errorf("proved in a tree of %d", p.size)
		}
		w.create(well{Name: "later"})
		for _, c := range []struct {
			from, to int64
			want     fault.Kind
		}{{0, 0, fault.Invalid}, {-1, 5, fault.Invalid}, {5, 4, fault.Invalid}, {1, 4, fault.NotFound}, {6, 0, fault.NotFound}, {6, 6, fault.NotFound}, {1, 1 << 60, fault.NotFound}} {
			if _, err := w.ProveConsistency(ctx, c.from, c.to); fault.KindOf(err) != c.want || err == nil {
				t.Errorf("from %d to %d: %v, want %s", c.from, c.to, err, c.want)
			}
		}
		for _, number := range []int64{0, -1, 7, 1 << 60} {
			if _, err := w.ProveEntry(ctx, number); fault.KindOf(err) != fault.NotFound {
				t.Errorf("entry %d: %v", number, err)
			}
		}
	})
}

// TestNothingIsProvedOfAChangedLedger: who edits an entry gets no proof for it.
func TestNothingIsProvedOfAChangedLedger(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for i := range 6 {
			w.create(well{Name: fmt.Sprint(i)})
		}
		check(t, w.Checkpoint(ctx))
		check(t, w.store.Write(ctx, func(q *store.Q) error {
			_, err := q.Exec(`UPDATE entry SET actor = 'somebody else' WHERE number = 3`)
			return err
		}))
		if file, err := w.ProveEntry(ctx, 3); fault.KindOf(err) != fault.Conflict {
			t.Errorf("an edited entry is proved: %v\n%s", err, file)
		}
		if _, err := w.ProveEntry(ctx, 4); err != nil {
			t.Errorf("its neighbour: %v", err)
		}
	})
}

func latest(t *testing.T, l *ledger.Ledger) (c ledger.Checkpoint) {
	t.Helper()
	check(t, l.Read(ctx, func(r *ledger.Reader) (err error) { c, _, err = r.LatestCheckpoint(); return err }))
	return c
}

// proofFile is a proof as it stands in a file: of an entry, or from a size.
type proofFile struct {
	index  uint64 // or the old size
	leaf   []byte
	hashes [][]byte
	size   uint64
	root   []byte
}

func readProof(t *testing.T, l *ledger.Ledger, file string) (p proofFile) {
	t.Helper()
	head, text, _ := strings.Cut(file, "\n\n")
	lines := strings.Split(head, "\n")
	var err error
	if rest, isEntry := strings.CutPrefix(head, "c2sp.org/tlog-proof@v1\nextra "); isEntry {
		extra, _, _ := strings.Cut(rest, "\n")
		p.leaf, err = base64.StdEncoding.DecodeString(extra)
		check(t, err)
		p.index, err = strconv.ParseUint(strings.TrimPrefix(lines[2], "index "), 10, 64)
		lines = lines[3:]
	} else {
		p.index, err = strconv.ParseUint(strings.TrimPrefix(lines[0], "old "), 10, 64)
		lines = lines[1:]
	}
	check(t, err)
	for _, line := range lines {
		hash, err := base64.StdEncoding.DecodeString(line)
		check(t, err)
		p.hashes = append(p.hashes, hash)
	}
	p.size, p.root = readNote(t, l, text)
	return p
}

func readNote(t *testing.T, l *ledger.Ledger, text string) (size uint64, root []byte) {
	t.Helper()
	v, err := note.NewVerifier(l.VerifierKey())
	check(t, err)
	n, err := note.Open([]byte(text), note.VerifierList(v))
	check(t, err)
	lines := strings.Split(n.Text, "\n")
	size, err = strconv.ParseUint(lines[1], 10, 64)
	check(t, err)
	root, err = base64.StdEncoding.DecodeString(lines[2])
	check(t, err)
	return size, root
}
