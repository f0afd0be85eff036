package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/clock"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/base/vault"
	"github.com/qanat-water/qanat/internal/ledger"
)

var ctx = context.Background()

type well struct {
	Name   string            `json:"name"`
	Code   string            `json:"code,omitempty"`
	Depth  float64           `json:"depth,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
}

var wells = &ledger.Noun[well]{
	Name: "well",
	Blobs: func(w well) []string {
		if hash := w.Labels["blob"]; hash != "" {
			return []string{hash}
		}
		return nil
	},
	Table: &ledger.Table[well]{
		Columns: []ledger.Column{{Name: "name", Type: ledger.Text}, {Name: "code", Type: ledger.Text}, {Name: "depth", Type: ledger.Real}},
		Unique:  [][]string{{"code"}},
		Row: func(d ledger.Doc[well]) []any {
			if d.Body.Name == "panics in its row" {
				panic("on purpose")
			}
			var code any
			if d.Body.Code != "" {
				code = d.Body.Code
			}
			return []any{d.Body.Name, code, d.Body.Depth}
		},
	},
	Check: func(tx *ledger.Tx, before, after *ledger.Doc[well]) error {
		if after != nil && after.Body.Depth < 0 {
			return fault.New(fault.Invalid, "well.depth", "A depth is not negative").At("/depth", "negative", "Give metres below ground")
		}
		return nil
	},
}

var secrets = &ledger.Noun[string]{Name: "secret", Secret: true}

var amina = ledger.Actor{ID: "0190a000-0000-7000-8000-000000000001", Kind: "account", Name: "Amina", Door: "web", From: "127.0.0.1"}
var juma = ledger.Actor{ID: "0190a000-0000-7000-8000-000000000002", Kind: "account", Name: "Juma", Door: "web"}

const org = "0190a000-0000-7000-8000-0000000000aa"

type world struct {
	*ledger.Ledger
	t     testing.TB
	store *store.Store
	clock *clock.Manual
	open  func() *ledger.Ledger
	// reopen opens a second ledger over the same database.
	reopen func() (*ledger.Ledger, error)
}

func newWorld(t testing.TB, openStore func() *store.Store) *world {
	t.Helper()
	return newWorldIn(t, filepath.Join(t.TempDir(), "checkpoints"), openStore)
}

// newWorldIn is newWorld with a directory for the checkpoints.
func newWorldIn(t testing.TB, dir string, openStore func() *store.Store) *world {
	t.Helper()
	v, err := vault.New([]byte("a master key of 32 bytes for test"[:32]))
	check(t, err)
	w := &world{t: t, clock: clock.NewManual(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC))}
	w.reopen = func() (*ledger.Ledger, error) {
		return ledger.Open(ctx, ledger.Config{Store: w.store, Vault: v, Clock: w.clock, Nouns: []ledger.Kind{wells, secrets, orders}, Origin: "test.example/qanat", CheckpointDir: dir})
	}
	w.open = func() *ledger.Ledger {
		w.store = openStore()
		l, err := w.reopen()
		check(t, err)
		t.Cleanup(func() { l.Close() })
		return l
	}
	w.Ledger = w.open()
	return w
}

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) { fn(t, newWorld(t, open)) })
}

func (w *world) write(actor ledger.Actor, fn func(tx *ledger.Tx) error) {
	w.t.Helper()
	w.clock.Advance(time.Minute)
	check(w.t, w.Write(ctx, actor, "", fn))
}

func (w *world) create(body well) (doc ledger.Doc[well]) {
	w.t.Helper()
	w.write(amina, func(tx *ledger.Tx) (err error) { doc, err = wells.Create(tx, org, "", body); return err })
	return doc
}

func (w *world) update(actor ledger.Actor, id string, change func(*well)) (doc ledger.Doc[well]) {
	w.t.Helper()
	w.write(actor, func(tx *ledger.Tx) (err error) {
		doc, err = wells.Update(tx, id, 0, func(b *well) error { change(b); return nil })
		return err
	})
	return doc
}

func (w *world) get(id string) (doc ledger.Doc[well], err error) {
	err = errors.Join(w.Read(ctx, func(r *ledger.Reader) (e error) { doc, e = wells.Get(r, id); return e }))
	return doc, err
}

func (w *world) undo(entry int64) error {
	w.clock.Advance(time.Minute)
	_, err := w.Undo(ctx, juma, "a mistake", entry, anybody)
	return err
}

func anybody(*ledger.Tx, ledger.Entry) error { return nil }

func (w *world) verified() {
	w.t.Helper()
	report, err := w.Verify(ctx, nil)
	check(w.t, err)
	for _, p := range report.Problems {
		w.t.Errorf("verify: %s: %s", p.Where, p.What)
	}
}

func TestLifeOfADocument(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		doc := w.create(well{Name: "North", Depth: 30})
		w.update(juma, doc.ID, func(b *well) { b.Depth = 42 })
		w.write(amina, func(tx *ledger.Tx) error { return wells.Delete(tx, doc.ID, 2) })
		if _, err := w.get(doc.ID); fault.KindOf(err) != fault.NotFound {
			t.Errorf("a deleted document is read: %v", err)
		}
		check(t, w.undo(3)) // undelete
		back, err := w.get(doc.ID)
		check(t, err)
		if back.Body.Depth != 42 || back.Revision != 4 || back.Org != org {
			t.Errorf("undeleted = %+v", back)
		}
		check(t, w.Read(ctx, func(r *ledger.Reader) error {
			history, err := r.History(doc.ID)
			check(t, err)
			var told []string
			for _, h := range history {
				told = append(told, fmt.Sprintf("%d %s by %s, %d differences, reverts %d", h.Entry.Revision, h.Entry.Verb, h.Entry.ActorName, len(h.Differences), h.Entry.Reverts))
			}
			want := "4 undo by Juma, 2 differences, reverts 3|3 delete by Amina, 2 differences, reverts 0|2 update by Juma, 1 differences, reverts 0|1 create by Amina, 2 differences, reverts 0"
			if got := strings.Join(told, "|"); got != want {
				t.Errorf("history =\n%s\nwant\n%s", got, want)
			}
			before, _, err := r.AsOf(doc.ID, history[3].Entry.Time)
			check(t, err)
			if string(before) != `{"name":"North","depth":30}` {
				t.Errorf("as of the creation = %s", before)
			}
			if gone, _, err := r.AsOf(doc.ID, history[1].Entry.Time); err != nil || gone != nil {
				t.Errorf("as of the deletion = %s, %v", gone, err)
			}
			return nil
		}))
		w.verified()
	})
}

func TestStaleAndUnchanged(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		doc := w.create(well{Name: "North"})
		w.update(juma, doc.ID, func(b *well) { b.Depth = 1 })
		err := w.Write(ctx, amina, "", func(tx *ledger.Tx) error {
			_, err := wells.Update(tx, doc.ID, 1, func(b *well) error { b.Depth = 2; return nil })
			return err
		})
		if fault.KindOf(err) != fault.Conflict {
			t.Errorf("stale update: %v, want a conflict", err)
		}
		if same := w.update(juma, doc.ID, func(b *well) { b.Depth = 1 }); same.Revision != 2 {
			t.Errorf("an update that changes nothing made revision %d", same.Revision)
		}
	})
}

func TestUndoKeepsWhatOthersDidLater(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		doc := w.create(well{Name: "North", Depth: 30, Labels: map[string]string{"a/b": "1"}})
		w.update(amina, doc.ID, func(b *well) { b.Depth = 99; b.Labels["c"] = "x" })           // entry 2
		w.update(juma, doc.ID, func(b *well) { b.Name = "North gate"; b.Labels["a/b"] = "2" }) // entry 3
		check(t, w.undo(2))
		got, err := w.get(doc.ID)
		check(t, err)
		if got.Body.Name != "North gate" || got.Body.Depth != 30 || got.Body.Labels["a/b"] != "2" || len(got.Body.Labels) != 1 {
			t.Errorf("after undoing the first update: %+v", got.Body)
		}
		check(t, w.undo(4)) // the undo is undone
		if got, err = w.get(doc.ID); err != nil || got.Body.Depth != 99 || got.Body.Labels["c"] != "x" {
			t.Errorf("after undoing the undo: %+v %v", got.Body, err)
		}
		w.update(juma, doc.ID, func(b *well) { b.Name = "Again" }) // entry 6 changes what entry 3 changed
		if err := w.undo(3); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "/name") {
			t.Errorf("undoing what was changed again: %v, want a conflict that names /name", err)
		}
		if err := w.undo(1); fault.KindOf(err) != fault.Conflict {
			t.Errorf("undoing the creation of what was changed since: %v, want a conflict", err)
		}
		w.verified()
	})
}

func TestUndoObeysTheRules(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.create(well{Name: "A", Code: "17"})
		w.update(amina, first.ID, func(b *well) { b.Code = "18" }) // entry 2
		w.create(well{Name: "B", Code: "17"})
		if err := w.undo(2); fault.KindOf(err) != fault.Conflict {
			t.Errorf("undo would give two wells one code: %v", err)
		}
		if _, err := w.Undo(ctx, juma, "", 2, func(*ledger.Tx, ledger.Entry) error { return fault.New(fault.Denied, "no", "no") }); fault.KindOf(err) != fault.Denied {
			t.Errorf("undo without the right: %v", err)
		}
		w.verified()
	})
}

func TestUndoActTakesAnImportBack(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var act int64
		for chunk := range 3 {
			w.write(amina, func(tx *ledger.Tx) error {
				tx.Within(act)
				for i := range 150 {
					if _, err := wells.Create(tx, org, "", well{Name: fmt.Sprintf("w%d-%d", chunk, i)}); err != nil {
						return err
					}
				}
				act = tx.Act()
				return nil
			})
		}
		var touched string
		check(t, w.Read(ctx, func(r *ledger.Reader) error {
			found, err := wells.List(r, "n.name = $1", "w1-17")
			touched = found[0].ID
			return err
		}))
		w.update(juma, touched, func(b *well) { b.Depth = 5 })
		result, err := w.UndoAct(ctx, juma, "wrong file", act, anybody, nil)
		check(t, err)
		if result.Count != 449 || len(result.Conflicts) != 1 || result.Conflicts[0].Entry.Doc != touched {
			t.Errorf("undone %d with conflicts %+v, want 449 and one of %s", result.Count, result.Conflicts, touched)
		}
		again, err := w.UndoAct(ctx, juma, "it was right", result.Act, anybody, nil)
		check(t, err)
		if again.Count != 449 || w.count() != 450 {
			t.Errorf("undoing the undo: %d, and %d wells", again.Count, w.count())
		}
		w.verified()
	})
}

func TestAPanicWhileRowsAreWrittenIsAnError(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		err := w.Write(ctx, amina, "", func(tx *ledger.Tx) error {
			_, err := wells.Create(tx, org, "", well{Name: "panics in its row"})
			return err
		})
		if err == nil || fault.KindOf(err) != fault.Internal {
			t.Errorf("the write with the panic: %v", err)
		}
		w.create(well{Name: "after it"})
		w.verified()
	})
}

func TestTwoNodesMayBothWriteFirst(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		other, err := w.reopen()
		check(t, err)
		defer other.Close()
		var wg sync.WaitGroup
		both := make(chan struct{}, 2)
		for _, l := range []*ledger.Ledger{w.Ledger, other} {
			wg.Go(func() {
				if err := l.Write(ctx, amina, "", func(tx *ledger.Tx) error {
					both <- struct{}{}
					for range 50 { // on PostgreSQL both are now where there is no head yet
						if len(both) == 2 || w.store.Engine() == store.SQLite {
							break
						}
						time.Sleep(2 * time.Millisecond)
					}
					_, err := wells.Create(tx, org, "", well{Name: "first"})
					return err
				}); err != nil {
					t.Errorf("a node's first write: %v", err)
				}
			})
		}
		wg.Wait()
		w.verified()
	})
}

func TestAFailedCommitIsNotTriedAgain(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		if w.store.Engine() != store.Postgres {
			return // there a rule can wait for the commit
		}
		check(t, w.store.Write(ctx, func(q *store.Q) error {
			for _, ddl := range []string{
				`CREATE FUNCTION late() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'too late'; END $$ LANGUAGE plpgsql`,
				`CREATE CONSTRAINT TRIGGER late AFTER INSERT ON well DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.name = 'late') EXECUTE FUNCTION late()`,
			} {
				if _, err := q.Exec(ddl); err != nil {
					return err
				}
			}
			return nil
		}))
		gate := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			check(t, w.Write(ctx, amina, "", func(*ledger.Tx) error { <-gate; return nil }))
		})
		time.Sleep(50 * time.Millisecond) // the writer is busy: what comes now becomes one group
		var ran atomic.Int64
		for i := range 4 {
			name := []string{"late", "on time"}[min(i, 1)]
			wg.Go(func() {
				if err := w.Write(ctx, amina, "", func(tx *ledger.Tx) error {
					ran.Add(1)
					_, err := wells.Create(tx, org, "", well{Name: name})
					return err
				}); err == nil {
					t.Errorf("%s: acknowledged by a commit that failed", name)
				}
			})
		}
		time.Sleep(50 * time.Millisecond)
		close(gate)
		wg.Wait()
		if ran.Load() != 4 {
			t.Errorf("4 writes ran %d times; after a commit of unknown outcome again is twice", ran.Load())
		}
	})
}

func TestUndoActReportsWhatIsTakenNow(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var ids []string
		for _, code := range []string{"a", "b", "c"} {
			ids = append(ids, w.create(well{Name: code, Code: code}).ID)
		}
		var act int64
		w.write(amina, func(tx *ledger.Tx) error {
			for _, id := range ids {
				if err := wells.Delete(tx, id, 0); err != nil {
					return err
				}
			}
			act = tx.Act()
			return nil
		})
		w.create(well{Name: "new", Code: "b"})
		result, err := w.UndoAct(ctx, amina, "a mistake", act, anybody, nil)
		check(t, err)
		if result.Count != 2 || len(result.Conflicts) != 1 || result.Conflicts[0].Entry.Doc != ids[1] || !strings.Contains(result.Conflicts[0].Message, "already another well") {
			t.Errorf("undone %d with conflicts %+v, want 2 and one of %s", result.Count, result.Conflicts, ids[1])
		}
		if w.count() != 3 {
			t.Errorf("%d wells, want a, c and the new b", w.count())
		}
		w.verified()
	})
}

func (w *world) count() (n int) {
	check(w.t, w.Read(ctx, func(r *ledger.Reader) error { _, err := r.Row([]any{&n}, `SELECT count(*) FROM well`); return err }))
	return n
}

// TestOnlyTheGuiltyFail runs writes that fail in every way beside honest ones
// that share their commits.
func TestOnlyTheGuiltyFail(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.create(well{Name: "taken", Code: "1"})
		var wg sync.WaitGroup
		for i := range 40 {
			bad := []func(tx *ledger.Tx) error{
				func(tx *ledger.Tx) error {
					_, err := wells.Create(tx, org, "", well{Name: "dup", Code: "1"})
					return err
				},
				func(tx *ledger.Tx) error {
					if _, err := wells.Create(tx, org, "", well{Name: "lost"}); err != nil {
						return err
					}
					var n int
					if _, err := tx.Row([]any{&n}, `SELECT count(*) FROM well WHERE name = 'lost'`); err == nil && n != 1 {
						t.Errorf("a write does not see its own change: %d", n)
					}
					return fault.New(fault.Denied, "changed.mind", "no")
				},
				func(tx *ledger.Tx) error {
					_, _ = wells.Create(tx, org, "", well{Name: "lost"})
					panic("on purpose")
				},
				func(tx *ledger.Tx) error { _, err := wells.Create(tx, org, "", well{Depth: -1}); return err },
			}[i%4]
			wg.Go(func() {
				if err := w.Write(ctx, amina, "", bad); err == nil {
					t.Errorf("bad write %d succeeded", i%4)
				}
			})
			wg.Go(func() {
				if err := w.Write(ctx, amina, "", func(tx *ledger.Tx) error {
					_, err := wells.Create(tx, org, "", well{Name: "honest", Code: fmt.Sprint("h", i)})
					return err
				}); err != nil {
					t.Errorf("honest write: %v", err)
				}
			})
		}
		wg.Wait()
		if n := w.count(); n != 41 {
			t.Errorf("%d wells, want 41", n)
		}
		w.verified()
	})
}

func TestReopenGoesOnAndChecksTheCheckpoint(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for i := range 37 {
			w.create(well{Name: fmt.Sprint(i)})
		}
		check(t, w.Close())
		check(t, w.store.Close())
		w.Ledger = w.open()
		w.create(well{Name: "after"})
		check(t, w.Checkpoint(ctx))
		w.verified()
		check(t, w.Read(ctx, func(r *ledger.Reader) error {
			c, found, err := r.LatestCheckpoint()
			if !found || c.Size != 38 || !strings.HasPrefix(c.Note, "test.example/qanat\n38\n") {
				t.Errorf("checkpoint = %+v, %v", c, found)
			}
			return err
		}))
	})
}

func TestSecretsAreNeverShown(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write(amina, func(tx *ledger.Tx) error { _, err := secrets.Create(tx, "", "", "hunter2"); return err })
		check(t, w.Read(ctx, func(r *ledger.Reader) error {
			e, before, after, err := r.Entry(1)
			check(t, err)
			history, err := r.History(e.Doc)
			check(t, err)
			body, _, err := r.AsOf(e.Doc, time.Now().Add(time.Hour))
			if before != nil || after != nil || history[0].Differences != nil || body != nil {
				t.Errorf("secret shown: %s %s %v %s", before, after, history, body)
			}
			return err
		}))
	})
}

func TestRebuild(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		doc := w.create(well{Name: "North", Depth: 3})
		w.create(well{Name: "South"})
		check(t, w.store.Write(ctx, func(q *store.Q) error {
			return q.Script(`UPDATE document SET body = '{}', revision = 9; DELETE FROM well`)
		}))
		report, err := w.Verify(ctx, nil)
		check(t, err)
		if report.OK() {
			t.Error("verify found nothing wrong")
		}
		check(t, w.Rebuild(ctx, nil))
		w.verified()
		if got, err := w.get(doc.ID); err != nil || got.Body.Depth != 3 {
			t.Errorf("rebuilt = %+v, %v", got, err)
		}
	})
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(fault.Cause(err))
	}
}
