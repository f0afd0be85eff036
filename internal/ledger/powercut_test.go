package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/powercut"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
)

// TestPowerCuts cuts the power in the middle of a random write while four people
// write, and wants every acknowledged change back and nothing half-done.
// QANAT_POWERCUTS sets how often; a failure names its seed.
func TestPowerCuts(t *testing.T) {
	cuts := 300
	if n, err := strconv.Atoi(os.Getenv("QANAT_POWERCUTS")); err == nil {
		cuts = n
	} else if testing.Short() {
		cuts = 20
	}
	first := uint64(1)
	if n, err := strconv.ParseUint(os.Getenv("QANAT_POWERCUT_SEED"), 10, 64); err == nil {
		first, cuts = n, 1
	}
	acknowledged := 0
	for seed := first; seed < first+uint64(cuts); seed++ {
		acknowledged += cutOnce(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if acknowledged < cuts {
		t.Errorf("only %d changes were acknowledged in %d cuts: the test cuts too early to mean anything", acknowledged, cuts)
	}
	t.Logf("%d power cuts, %d acknowledged changes, none lost", cuts, acknowledged)
}

func cutOnce(t *testing.T, seed uint64) (acknowledged int) {
	random := rand.New(rand.NewPCG(seed, 5))
	before, after := t.TempDir(), t.TempDir()
	disk := powercut.New(before, seed, 250+random.IntN(900))
	s, err := store.OpenSQLiteVFS(ctx, filepath.Join(before, "qanat.db"), storetest.Key, powercut.VFS, []int{8, 40, 4000}[seed%3])
	check(t, err)
	w := newWorldIn(t, t.TempDir(), func() *store.Store { return s })

	type known struct {
		id    string
		depth float64
	}
	var mu sync.Mutex
	var all []*known
	var people sync.WaitGroup
	for person := range 4 {
		mine := rand.New(rand.NewPCG(seed, uint64(person)))
		people.Go(func() {
			var own []*known
			for i := 0; !disk.Dead() && i < 400; i++ {
				depth := float64(i + 1)
				var k *known
				var id string
				err := w.Write(ctx, amina, "", func(tx *ledger.Tx) error {
					if len(own) > 0 && mine.IntN(2) == 0 {
						k = own[mine.IntN(len(own))]
						id = k.id
						_, err := wells.Update(tx, id, 0, func(b *well) error { b.Depth = depth; return nil })
						return err
					}
					doc, err := wells.Create(tx, org, "", well{Name: fmt.Sprintf("%d-%d", person, i), Depth: depth})
					k, id = nil, doc.ID
					return err
				})
				if err != nil {
					return // its change may or may not have happened
				}
				if k == nil {
					k = &known{id: id}
					own = append(own, k)
					mu.Lock()
					all = append(all, k)
					mu.Unlock()
				}
				k.depth = depth
				mu.Lock()
				acknowledged++
				mu.Unlock()
			}
		})
	}
	people.Wait()
	_ = w.Close() // the power is off: it fails, as it must
	check(t, disk.Recover(after))
	_ = s.Close()

	recovered, err := store.OpenSQLite(ctx, filepath.Join(after, "qanat.db"), storetest.Key)
	check(t, err)
	defer recovered.Close()
	w.store = recovered
	l, err := w.reopen()
	check(t, err)
	defer l.Close()
	w.Ledger = l
	w.verified()
	for _, k := range all {
		// The last change of a person may have happened without an answer.
		if got, err := w.get(k.id); err != nil || got.Body.Depth < k.depth {
			t.Errorf("acknowledged depth %g of %s is %g after the cut (%v)", k.depth, k.id, got.Body.Depth, err)
		}
	}
	return acknowledged
}
