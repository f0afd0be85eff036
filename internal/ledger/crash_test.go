package ledger_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/clock"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/base/vault"
	"github.com/qanat-water/qanat/internal/ledger"
)

var errInjected = errors.New("injected")

// trap lets the first step of a name fail: before it has happened, or after.
type trap struct {
	armed     atomic.Bool
	name      string
	persisted bool
	steps     []string // what was done while it was armed
	sprung    bool
}

func (s *trap) step(name string, do func() error) error {
	if !s.armed.Load() {
		return do()
	}
	s.steps = append(s.steps, name)
	if name != s.name || s.sprung {
		return do()
	}
	if s.sprung = true; s.persisted {
		if err := do(); err != nil {
			return err
		}
	}
	return errInjected
}

// arm runs something with one step failing.
func (w *crashWorld) arm(name string, persisted bool, run func() error) (err error) {
	w.trap.name, w.trap.persisted, w.trap.steps, w.trap.sprung = name, persisted, nil, false
	w.armed.Store(true)
	defer w.armed.Store(false)
	return run()
}

// crashWorld is a ledger on a store whose steps may fail.
type crashWorld struct {
	*ledger.Ledger
	*trap
	t   *testing.T
	dir string
	s   *store.Store
}

// reopen opens the ledger again, as after a crash, over what the store holds.
func (w *crashWorld) reopen() {
	w.t.Helper()
	v, err := vault.New([]byte("a master key of 32 bytes for test"[:32]))
	check(w.t, err)
	w.trap = &trap{}
	w.Ledger, err = ledger.Open(ctx, ledger.Config{Store: store.Faulty(w.s, w.step), Vault: v, Clock: clock.NewManual(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)),
		Nouns: []ledger.Kind{wells}, Origin: origin, CheckpointDir: w.dir, CheckpointEvery: time.Hour})
	check(w.t, err)
	w.FailSteps(w.step)
}

func (w *crashWorld) get(id string) (doc ledger.Doc[well], err error) {
	err = w.Read(ctx, func(r *ledger.Reader) (e error) { doc, e = wells.Get(r, id); return e })
	return doc, err
}

// TestCrashTable lets each step of a write and of a checkpoint fail, once before it
// has happened and once after, when only its answer is lost. What was refused
// left nothing, unless the commit itself was in doubt; what was acknowledged is
// there; the ledger goes on, opens again, and verifies.
func TestCrashTable(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := &crashWorld{t: t, dir: t.TempDir(), s: open()}
		w.reopen()
		serial := 0
		create := func(name string) (id string, err error) {
			serial++
			err = w.Write(ctx, amina, "", func(tx *ledger.Tx) error {
				doc, err := wells.Create(tx, org, "", well{Name: name, Code: fmt.Sprint("code ", serial)})
				id = doc.ID
				return err
			})
			return id, err
		}
		kept, err := create("kept")
		check(t, err)

		// A write that creates one document and changes another.
		depth := 0.0
		write := func() (id string, err error) {
			serial++
			depth++
			err = w.Write(ctx, juma, "", func(tx *ledger.Tx) error {
				doc, err := wells.Create(tx, org, "", well{Name: "made", Code: fmt.Sprint("code ", serial)})
				if err != nil {
					return err
				}
				id = doc.ID
				_, err = wells.Update(tx, kept, 0, func(b *well) error { b.Depth = depth; return nil })
				return err
			})
			return id, err
		}
		present := func(id string) bool {
			made, err := w.get(id)
			is, errKept := w.get(kept)
			if errKept != nil {
				t.Fatal(errKept)
			}
			if (err == nil) != (is.Body.Depth == depth) {
				t.Errorf("half of the write is there: made %v, depth %g of %g", err, is.Body.Depth, depth)
			}
			return err == nil && made.Body.Name == "made"
		}
		var id string
		check(t, w.Close())
		w.reopen() // with the first write after a start, which reads the tree's edge
		check(t, w.arm("", false, func() (err error) { id, err = write(); return err }))
		steps := distinct(t, w.trap.steps, "SELECT first, hashes", "INSERT INTO entry", "INSERT INTO document", "INSERT INTO well", "INSERT INTO tree", "COMMIT")
		for _, step := range steps {
			for _, persisted := range []bool{false, true} {
				name := fmt.Sprintf("write, %s, persisted %v", step, persisted)
				err := w.arm(step, persisted, func() (err error) { id, err = write(); return err })
				if !errors.Is(err, errInjected) {
					t.Errorf("%s: %v after %q", name, err, w.trap.steps)
				}
				want := persisted && step == "COMMIT"
				if present(id) != want {
					t.Errorf("%s: there %v, want %v", name, !want, want)
				}
				after, err := create("after") // the server that lives on
				check(t, err)
				check(t, w.Close())
				w.reopen() // and the one after it
				if present(id) != want {
					t.Errorf("%s: there %v after the restart", name, !want)
				}
				if !want {
					depth--
				}
				if _, err := w.get(after); err != nil {
					t.Errorf("%s: what was acknowledged next: %v", name, err)
				}
			}
		}
		verified(t, w.Ledger)

		// A checkpoint: into the table, and to its file.
		_, err = write()
		check(t, err)
		check(t, w.arm("", false, func() error { return w.Checkpoint(ctx) }))
		for _, step := range distinct(t, w.trap.steps, "INSERT INTO checkpoint", "COMMIT", "make", "write", "sync", "close", "rename", "sync directory") {
			for _, persisted := range []bool{false, true} {
				name := fmt.Sprintf("checkpoint, %s, persisted %v", step, persisted)
				before := size(t, w.dir)
				_, err := write()
				check(t, err)
				if err := w.arm(step, persisted, func() error { return w.Checkpoint(ctx) }); !errors.Is(err, errInjected) {
					t.Errorf("%s: %v after %q", name, err, w.trap.steps)
				}
				// The file is the one before or the new one, whole; and what it says is in the table.
				c := latest(t, w.Ledger)
				if is := size(t, w.dir); is != before && is != c.Size {
					t.Errorf("%s: the file is of %d entries, it was of %d, the table has %d", name, is, before, c.Size)
				}
				crashed := w.Ledger
				w.reopen() // while the other is still there: a crash closes nothing
				check(t, w.Checkpoint(ctx))
				if is, c := size(t, w.dir), latest(t, w.Ledger); is != c.Size || c.Size <= before {
					t.Errorf("%s: after the next checkpoint the file is of %d entries, the table of %d", name, is, c.Size)
				}
				if left, err := filepath.Glob(filepath.Join(w.dir, "*")); err != nil || len(left) != 1 {
					t.Errorf("%s: left %v", name, left)
				}
				check(t, crashed.Close())
			}
		}
		verified(t, w.Ledger)
		check(t, w.Close())
	})
}

// distinct are the steps by name; the wanted must be among them.
func distinct(t *testing.T, steps []string, wanted ...string) []string {
	t.Helper()
	for _, step := range wanted {
		if !slices.Contains(steps, step) {
			t.Fatalf("no %s among the steps %q", step, steps)
		}
	}
	all := slices.Clone(steps)
	slices.Sort(all)
	return slices.Compact(all)
}

// size is what the checkpoint file says.
func size(t *testing.T, dir string) (n int64) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	check(t, err)
	lines := strings.Split(string(text), "\n")
	if _, err := fmt.Sscan(lines[1], &n); err != nil || len(lines) < 6 {
		t.Fatalf("the checkpoint file is %q", text)
	}
	return n
}

func verified(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	report, err := l.Verify(ctx, nil)
	check(t, err)
	for _, p := range report.Problems {
		t.Errorf("verify: %s: %s", p.Where, p.What)
	}
}
