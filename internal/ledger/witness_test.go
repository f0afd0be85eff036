package ledger_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/clock"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/base/vault"
	"github.com/qanat-water/qanat/internal/base/witness"
	"github.com/qanat-water/qanat/internal/base/witness/witnesstest"
	"github.com/qanat-water/qanat/internal/ledger"
)

const origin = "test.example/qanat"

// watchedLedger opens a ledger that has witnesses.
func watchedLedger(t *testing.T, s *store.Store, dir string, required bool, witnesses ...*witnesstest.Witness) (*ledger.Ledger, error) {
	t.Helper()
	c := witnessed(t, s, dir, witnesses...)
	for i := range c.Witnesses {
		c.Witnesses[i].Required = required
	}
	l, err := ledger.Open(ctx, c)
	if err == nil {
		t.Cleanup(func() { l.Close() })
	}
	return l, err
}

func witnessed(t *testing.T, s *store.Store, dir string, witnesses ...*witnesstest.Witness) ledger.Config {
	t.Helper()
	v, err := vault.New([]byte("a master key of 32 bytes for test"[:32]))
	check(t, err)
	c := ledger.Config{Store: s, Vault: v, Clock: clock.NewManual(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)), Nouns: []ledger.Kind{wells}, Origin: origin,
		CheckpointDir: dir, CheckpointEvery: time.Hour, WitnessRetry: 20 * time.Millisecond, Log: slog.New(slog.DiscardHandler)}
	for _, w := range witnesses {
		key, err := witness.ParseKey(w.Key)
		check(t, err)
		client, err := witness.New(w.URL, key)
		check(t, err)
		c.Witnesses = append(c.Witnesses, ledger.Witness{Client: client})
	}
	return c
}

// verifierKey is the key of the ledgers here, which all have one.
func verifierKey(t *testing.T) string {
	t.Helper()
	l, err := watchedLedger(t, storetest.SQLite(t)(), "", false)
	check(t, err)
	return l.VerifierKey()
}

func newWitness(t *testing.T, name string) *witnesstest.Witness {
	t.Helper()
	w := witnesstest.New(t, name)
	w.Know(t, verifierKey(t))
	return w
}

func grow(t *testing.T, l *ledger.Ledger, what string, n int) {
	t.Helper()
	for i := range n {
		check(t, l.Write(ctx, amina, "", func(tx *ledger.Tx) error {
			_, err := wells.Create(tx, org, "", well{Name: fmt.Sprint(what, i)})
			return err
		}))
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 500 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("it does not come: " + what)
}

func cosigned(t *testing.T, l *ledger.Ledger, w *witnesstest.Witness, size int64) func() bool {
	return func() bool {
		c := latest(t, l)
		name, _, _ := strings.Cut(w.Key, "+")
		return c.Size == size && strings.Contains(c.Note, "\n— "+name+" ")
	}
}

func TestCheckpointsAreCosigned(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		one, two, dir := newWitness(t, "witness.example/one"), newWitness(t, "witness.example/two"), t.TempDir()
		s := open()
		l, err := watchedLedger(t, s, dir, true, one, two)
		check(t, err)
		for round := range 4 {
			grow(t, l, fmt.Sprint("round ", round, " "), round+1)
			check(t, l.Checkpoint(ctx))
			size := latest(t, l).Size
			eventually(t, "a checkpoint cosigned by both", func() bool { return cosigned(t, l, one, size)() && cosigned(t, l, two, size)() })
			note := latest(t, l).Note
			eventually(t, "the file as the table", func() bool {
				file, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
				check(t, err)
				return string(file) == note
			})
		}
		eventually(t, "both states good", func() bool {
			states := latest(t, l).Witnesses
			for _, state := range states {
				if state.State != "good" || state.Size != 10 || state.Time == nil || state.Problem != "" || !state.Required {
					return false
				}
			}
			return len(states) == 2
		})
		check(t, l.Close())
		// A ledger that has lost what its witness cosigned asks, and is told.
		check(t, s.Write(ctx, func(q *store.Q) error { return q.Script(`DELETE FROM cosignature`) }))
		l, err = watchedLedger(t, s, dir, true, one, two)
		check(t, err)
		if !cosigned(t, l, one, 10)() || !cosigned(t, l, two, 10)() {
			t.Errorf("after the start: %s", latest(t, l).Note)
		}
		report, err := l.Verify(ctx, nil)
		check(t, err)
		if !report.OK() {
			t.Errorf("verify: %+v", report.Problems)
		}
		// Whoever edits a cosignature, or moves it to another checkpoint, is found.
		for _, change := range []string{
			`UPDATE cosignature SET line = replace(line, 'one ', 'two ') WHERE size = 10`,
			`UPDATE cosignature SET size = 6 WHERE size = 10 AND witness LIKE '%one+%'`,
			`UPDATE cosignature SET witness = 'x' || witness WHERE size = 10 AND witness LIKE '%one+%'`,
			`UPDATE cosignature SET size = 7 WHERE size = 10 AND witness LIKE '%one+%'`,
		} {
			check(t, s.Write(ctx, func(q *store.Q) error { return q.Script(`CREATE TABLE kept AS SELECT * FROM cosignature; ` + change) }))
			if report, err = l.Verify(ctx, nil); err != nil || report.OK() || !strings.HasPrefix(report.Problems[0].Where, "cosignature of checkpoint ") {
				t.Errorf("%s: %+v, %v", change, report.Problems, err)
			}
			check(t, s.Write(ctx, func(q *store.Q) error {
				return q.Script(`DELETE FROM cosignature; INSERT INTO cosignature SELECT * FROM kept; DROP TABLE kept`)
			}))
		}
	})
}

// TestAWitnessRefusesOlderAndOtherLedgers opens other databases under the same key:
// an older one, one with another past, and an empty one. No checkpoint file helps.
func TestAWitnessRefusesOlderAndOtherLedgers(t *testing.T) {
	for _, engine := range []struct {
		name string
		open func(testing.TB) func() *store.Store
	}{{"sqlite", storetest.SQLite}, {"postgres", storetest.Postgres}} {
		t.Run(engine.name, func(t *testing.T) {
			w := newWitness(t, "witness.example/one")
			l, err := watchedLedger(t, engine.open(t)(), t.TempDir(), false, w)
			check(t, err)
			grow(t, l, "true ", 5)
			check(t, l.Checkpoint(ctx))
			eventually(t, "a cosignature", cosigned(t, l, w, 5))
			check(t, l.Close())
			for _, c := range []struct {
				name, what string
				entries    int
				code       string
			}{{"empty", "", 0, "ledger.rolled-back"}, {"older", "true ", 3, "ledger.rolled-back"}, {"as long, another past", "other ", 5, "ledger.forked"}, {"longer, another past", "other ", 8, "ledger.forked"}} {
				t.Run(c.name, func(t *testing.T) {
					s := engine.open(t)()
					alone, err := watchedLedger(t, s, "", false)
					check(t, err)
					grow(t, alone, c.what, c.entries)
					check(t, alone.Close())
					_, err = watchedLedger(t, s, "", false, w)
					if f := fault.From(err); err == nil || f.Code != c.code || f.Kind != fault.Conflict || !strings.Contains(f.Message, "witness.example/one") {
						t.Errorf("opened: %v", err)
					}
					if w.Size(origin) != 5 {
						t.Errorf("the witness has cosigned %d entries", w.Size(origin))
					}
				})
			}
		})
	}
}

func TestAWitnessThatIsAway(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := newWitness(t, "witness.example/one")
		s, dir := open(), t.TempDir()
		away := func(out http.ResponseWriter) bool { out.WriteHeader(http.StatusServiceUnavailable); return true }
		// It refuses a ledger that it has never seen: nothing that could be forked.
		w.Fail(func(out http.ResponseWriter) bool { out.WriteHeader(http.StatusUnprocessableEntity); return true })
		first, err := watchedLedger(t, s, dir, false, w)
		check(t, err)
		check(t, first.Close())
		w.Fail(away)
		if _, err := watchedLedger(t, s, dir, true, w); fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "witness.example/one") {
			t.Errorf("a required witness is away, and the ledger opens: %v", err)
		}
		l, err := watchedLedger(t, s, dir, false, w)
		check(t, err)
		grow(t, l, "a ", 3)
		check(t, l.Checkpoint(ctx))
		asked := w.Asked()
		eventually(t, "another try", func() bool { return w.Asked() > asked+1 })
		if state := l.Witnesses()[0]; state.State != "unreachable" || state.Problem == "" || state.Size != 0 {
			t.Errorf("state %+v", state)
		}
		w.Fail(nil)
		eventually(t, "a cosignature when it is back", cosigned(t, l, w, 3))
		check(t, l.Close())

		// It hangs: neither writes nor the end wait for it.
		hang := make(chan struct{})
		defer close(hang)
		l, err = watchedLedger(t, s, dir, false, w)
		check(t, err)
		w.Fail(func(http.ResponseWriter) bool { <-hang; return true })
		began := time.Now()
		grow(t, l, "b ", 3)
		check(t, l.Checkpoint(ctx))
		asked = w.Asked()
		eventually(t, "a question", func() bool { return w.Asked() > asked-1 && w.Asked() > 0 })
		grow(t, l, "c ", 3)
		check(t, l.Close())
		if took := time.Since(began); took > witness.Timeout/2 {
			t.Errorf("it took %s with a witness that hangs", took)
		}
	})
}

// TestAWitnessThatContradictsLater: at the start it was away, so that the ledger
// opened; then it says that it has seen another one.
func TestAWitnessThatContradictsLater(t *testing.T) {
	w := newWitness(t, "witness.example/one")
	l, err := watchedLedger(t, storetest.SQLite(t)(), "", false, w)
	check(t, err)
	grow(t, l, "true ", 5)
	check(t, l.Checkpoint(ctx))
	eventually(t, "a cosignature", cosigned(t, l, w, 5))
	check(t, l.Close())

	w.Fail(func(out http.ResponseWriter) bool { out.WriteHeader(http.StatusBadGateway); return true })
	s := storetest.SQLite(t)()
	fork, err := watchedLedger(t, s, "", false, w)
	check(t, err)
	grow(t, fork, "other ", 3)
	check(t, fork.Checkpoint(ctx))
	w.Fail(nil)
	eventually(t, "a conflict", func() bool { return fork.Witnesses()[0].State == "conflict" })
	grow(t, fork, "more ", 4)
	check(t, fork.Checkpoint(ctx))
	eventually(t, "another conflict", func() bool { return strings.Contains(fork.Witnesses()[0].Problem, "first 5") })
	check(t, fork.Close())
	if _, err := watchedLedger(t, s, "", false, w); fault.KindOf(err) != fault.Conflict {
		t.Errorf("the fork opens again: %v", err)
	}
	stranger := witnesstest.New(t, "witness.example/stranger")
	other, err := watchedLedger(t, storetest.SQLite(t)(), "", false, stranger)
	check(t, err)
	if state := other.Witnesses()[0]; state.State != "unknown" {
		t.Errorf("a witness that does not know the ledger: %+v", state)
	}
}
