package ledger_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
)

// order says what is sealed, or erased.
type order struct {
	Sealed []string `json:"sealed,omitempty"`
	Erased []string `json:"erased,omitempty"`
}

var orders = &ledger.Noun[order]{Name: "order", Erases: func(o order) ([]string, []string) { return o.Sealed, o.Erased }}

func (w *world) seal(ids ...string) (orderID string) {
	w.t.Helper()
	w.write(amina, func(tx *ledger.Tx) error {
		o, err := orders.Create(tx, org, "", order{Sealed: ids})
		orderID = o.ID
		for _, id := range ids {
			if err == nil {
				_, err = tx.Seal(id)
			}
		}
		return err
	})
	return orderID
}

func TestSealedComesBackAsItWas(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		doc := w.create(well{Name: "North", Code: "7", Depth: 30})
		w.update(juma, doc.ID, func(b *well) { b.Depth = 42 })
		at := w.Now()
		deleted := w.create(well{Name: "gone already"})
		w.write(amina, func(tx *ledger.Tx) error { return wells.Delete(tx, deleted.ID, 0) })
		id := w.seal(doc.ID, deleted.ID)
		w.hidden(doc.ID, at)
		w.verified()
		if err := w.undo(2); fault.From(err).Code != "document.erased" {
			t.Errorf("an undo of what is sealed: %v", err)
		}
		// Somebody takes its code meanwhile, and gives it back.
		other := w.create(well{Name: "other", Code: "7"})
		back := func(tx *ledger.Tx) error {
			if _, err := orders.Update(tx, id, 0, func(o *order) error { o.Sealed = nil; return nil }); err != nil {
				return err
			}
			if err := tx.Unseal(deleted.ID, false); err != nil {
				return err
			}
			return tx.Unseal(doc.ID, true)
		}
		if err := w.Write(ctx, amina, "", back); fault.KindOf(err) != fault.Conflict {
			t.Errorf("it came back beside another with its code: %v", err)
		}
		w.hidden(doc.ID, at)
		w.verified()
		w.update(juma, other.ID, func(b *well) { b.Code = "8" })
		w.write(amina, back)
		is, err := w.get(doc.ID)
		if err != nil || is.Body.Depth != 42 || is.Body.Code != "7" {
			t.Errorf("it came back as %+v, %v", is, err)
		}
		if _, err := w.get(deleted.ID); fault.KindOf(err) != fault.NotFound {
			t.Errorf("what was deleted before came back: %v", err)
		}
		w.verified()
	})
}

// hidden expects that nobody reads anything of a document any more.
func (w *world) hidden(id string, at time.Time) {
	w.t.Helper()
	w.reads(func(r *ledger.Reader) error {
		if _, err := wells.Get(r, id); fault.KindOf(err) != fault.NotFound {
			w.t.Errorf("it is read: %v", err)
		}
		if docs, err := wells.List(r, "n.id = $1", id); err != nil || len(docs) != 0 {
			w.t.Errorf("it is listed: %v, %v", docs, err)
		}
		past, err := r.At("", at)
		check(w.t, err)
		if _, err := wells.Get(past, id); fault.KindOf(err) != fault.NotFound {
			w.t.Errorf("its past is read: %v", err)
		}
		if docs, err := wells.List(past, "n.id = $1", id); err != nil || len(docs) != 0 {
			w.t.Errorf("its past is listed: %v, %v", docs, err)
		}
		history, err := r.History(id)
		check(w.t, err)
		for _, step := range history {
			if len(step.Differences) > 0 || step.Entry.ActorName != "" || !step.Entry.Erased {
				w.t.Errorf("its history says %+v", step)
			}
		}
		content, entry, err := r.AsOf(id, at)
		if content != nil || entry.ActorName != "" || err != nil {
			w.t.Errorf("as of then it is %s by %q, %v", content, entry.ActorName, err)
		}
		return r.Documents(org, func(d ledger.Raw) error {
			if d.ID == id {
				w.t.Error("it is exported")
			}
			return nil
		})
	})
	check(w.t, w.Read(ctx, func(r *ledger.Reader) error {
		return r.Each(ledger.Filter{Doc: id}, func(e ledger.Entry, content json.RawMessage) error {
			if content != nil {
				w.t.Errorf("entry %d says %s", e.Number, content)
			}
			return nil
		})
	}))
}

func TestErasedStaysErased(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		kept := w.create(well{Name: "kept", Code: "1"})
		doc := w.create(well{Name: "North", Code: "7", Depth: 30})
		at := w.Now()
		w.update(juma, doc.ID, func(b *well) { b.Depth = 42 })
		id := w.seal(doc.ID)
		erase := func(tx *ledger.Tx) error {
			if _, err := orders.Update(tx, id, 0, func(o *order) error { *o = order{Erased: o.Sealed}; return nil }); err != nil {
				return err
			}
			return tx.Erase(doc.ID)
		}
		w.write(amina, erase)
		w.hidden(doc.ID, at)
		if err := w.Write(ctx, amina, "", func(tx *ledger.Tx) error {
			_, err := orders.Create(tx, org, "", order{})
			if err == nil {
				err = tx.Unseal(doc.ID, true)
			}
			return err
		}); fault.KindOf(err) != fault.Conflict {
			t.Errorf("it was called back from nothing: %v", err)
		}
		for number := int64(2); number <= 5; number++ {
			if err := w.undo(number); number != 4 && fault.From(err).Code != "document.erased" {
				t.Errorf("an undo of entry %d: %v", number, err)
			}
		}
		w.create(well{Name: "its code is free again", Code: "7"})
		check(t, w.Checkpoint(ctx))
		w.verified()
		report, err := w.Verify(ctx, nil)
		if err != nil || report.Erased != 1 {
			t.Errorf("%d erased, %v", report.Erased, err)
		}
		check(t, w.Rebuild(ctx, nil))
		w.hidden(doc.ID, at)
		if is, err := w.get(kept.ID); err != nil || is.Body.Name != "kept" {
			t.Errorf("beside it: %+v, %v", is, err)
		}
		w.verified()
	})
}

// TestUndoingARangeCopes: an undo of all that somebody did leaves what was erased,
// says so, and takes back the rest.
func TestUndoingARangeCopes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var ids []string
		for i := range 6 {
			doc := w.create(well{Name: fmt.Sprint("well ", i)})
			w.update(juma, doc.ID, func(b *well) { b.Depth = 7 })
			ids = append(ids, doc.ID)
		}
		w.write(juma, func(tx *ledger.Tx) error { return wells.Delete(tx, ids[3], 0) })
		w.seal(ids[0])
		w.write(amina, func(tx *ledger.Tx) error {
			if _, err := orders.Create(tx, org, "", order{Erased: []string{ids[1], ids[3]}}); err != nil {
				return err
			}
			if err := tx.Erase(ids[3]); err != nil {
				return err
			}
			return tx.Erase(ids[1])
		})
		may := func(*ledger.Tx, ledger.Entry) error { return nil }
		preview, err := w.PreviewUndo(ctx, amina, ledger.Selection{Actor: juma.ID}, may, nil)
		if err != nil || preview.Total != 7 || preview.Count != 3 || preview.Kept != 4 {
			t.Errorf("the preview: %+v, %v", preview, err)
		}
		undone, err := w.UndoRange(ctx, amina, "", ledger.Selection{Actor: juma.ID}, may, nil)
		if err != nil || undone.Count != preview.Count || undone.Kept != preview.Kept {
			t.Errorf("the undo: %+v, %v", undone, err)
		}
		w.verified()
	})
}

// TestAThiefCannotErase touches keys behind the ledger's back.
func TestAThiefCannotErase(t *testing.T) {
	for what, sql := range map[string]string{
		"a destroyed key":      `UPDATE document SET key = NULL, body = NULL WHERE id = 'DOC'`,
		"a key set aside":      `UPDATE document SET held = key, key = NULL, body = NULL WHERE id = 'DOC'`,
		"a sealed one opened":  `UPDATE document SET key = held, held = NULL WHERE id = 'SEALED'`,
		"a sealed key in both": `UPDATE document SET key = held WHERE id = 'SEALED'`,
		"a sealed one erased":  `UPDATE document SET held = NULL WHERE id = 'SEALED'`,
		"the order's own key":  `UPDATE document SET key = NULL, body = NULL WHERE id = 'ORDER'`,
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, storetest.SQLite(t))
			doc := w.create(well{Name: "North"})
			sealed := w.create(well{Name: "sealed"})
			order := w.seal(sealed.ID)
			w.verified()
			ids := map[string]string{"DOC": doc.ID, "SEALED": sealed.ID, "ORDER": order}
			victim := ""
			for name, id := range ids {
				if strings.Contains(sql, "'"+name+"'") {
					victim = id
					sql = strings.ReplaceAll(sql, name, id)
				}
			}
			check(t, w.store.Write(ctx, func(q *store.Q) error { _, err := q.Exec(sql); return err }))
			report, err := w.Verify(ctx, nil)
			check(t, err)
			for _, p := range report.Problems {
				if strings.Contains(p.Where, victim) {
					return
				}
			}
			t.Errorf("it is not found: %+v", report.Problems)
		})
	}
}

// TestAKeyIsTouchedOnlyWithAReason: without an entry in the same write nothing happens, and a
// write that fails leaves every key where it was.
func TestAKeyIsTouchedOnlyWithAReason(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		doc := w.create(well{Name: "North"})
		w.write(amina, func(tx *ledger.Tx) error { return wells.Delete(tx, doc.ID, 0) })
		if err := w.Write(ctx, amina, "", func(tx *ledger.Tx) error { return tx.Erase(doc.ID) }); err == nil {
			t.Error("a key was destroyed without an entry")
		}
		w.verified()
		other := w.create(well{Name: "South"})
		err := w.Write(ctx, amina, "", func(tx *ledger.Tx) error {
			if _, err := orders.Create(tx, org, "", order{Sealed: []string{other.ID}}); err != nil {
				return err
			}
			if _, err := tx.Seal(other.ID); err != nil {
				return err
			}
			return fault.New(fault.Conflict, "on.purpose", "on purpose")
		})
		if fault.From(err).Code != "on.purpose" {
			t.Errorf("%v", err)
		}
		if is, err := w.get(other.ID); err != nil || is.Body.Name != "South" {
			t.Errorf("after a write that failed: %+v, %v", is, err)
		}
		w.update(juma, other.ID, func(b *well) { b.Depth = 3 })
	})
}
