package ledger_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
)

var thief = ledger.Actor{ID: "0190a000-0000-7000-8000-00000000000f", Kind: "account", Name: "Amina's session", Door: "web"}

// What one actor did to a document without anybody in between is one revision back.
func TestUndoRangeFoldsRuns(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		doc := w.create(well{Name: "North", Depth: 30}) // entry 1
		for i := range 9 {
			w.update(thief, doc.ID, func(b *well) { b.Depth = float64(40 + i) })
		}
		w.update(juma, doc.ID, func(b *well) { b.Name = "North gate" }) // entry 11
		w.update(thief, doc.ID, func(b *well) { b.Code = "9" })
		result, err := w.UndoRange(ctx, amina, "stolen", ledger.Selection{Actor: thief.ID}, anybody, nil)
		check(t, err)
		got, err := w.get(doc.ID)
		check(t, err)
		if result.Count != 10 || got.Revision != 14 || got.Body.Depth != 30 || got.Body.Name != "North gate" || got.Body.Code != "" {
			t.Errorf("undone %d: %+v", result.Count, got)
		}
		check(t, w.Read(ctx, func(r *ledger.Reader) error {
			made, err := r.Entries(ledger.Filter{Doc: doc.ID, Verb: ledger.VerbUndo})
			check(t, err)
			if made[0].Reverts != 2 || made[0].Through != 10 || made[1].Reverts != 12 || made[1].Through != 0 || made[0].Act != made[1].Act {
				t.Errorf("the undo's entries: %+v", made)
			}
			middle, _, _, err := r.Entry(5)
			check(t, err)
			by, err := r.UndoneBy(middle)
			if by != made[0].Number {
				t.Errorf("a change within the run is undone by %d, want %d", by, made[0].Number)
			}
			return err
		}))
		// Of a run that cannot go back as one, what can goes back.
		w.update(thief, doc.ID, func(b *well) { b.Depth = 99 })
		w.update(thief, doc.ID, func(b *well) { b.Name = "gone" })
		w.update(juma, doc.ID, func(b *well) { b.Name = "South gate" })
		result, err = w.UndoRange(ctx, amina, "", ledger.Selection{Actor: thief.ID}, anybody, nil)
		check(t, err)
		if got, _ = w.get(doc.ID); result.Count != 1 || result.Kept != 1 || result.Already != 10 || got.Body.Depth != 30 || got.Body.Name != "South gate" {
			t.Errorf("undone in part: %+v: %+v", result, got.Body)
		}
		w.verified()
	})
}

// An undo that is interrupted goes on where it stopped, in the same act; a code
// that somebody else has taken meanwhile stops nothing but its own document.
func TestUndoRangeGoesOn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const several = 700
		var ids []string
		w.write(amina, func(tx *ledger.Tx) error {
			for i := range several {
				doc, err := wells.Create(tx, org, "", well{Name: fmt.Sprint(i), Code: fmt.Sprint(i)})
				if err != nil {
					return err
				}
				ids = append(ids, doc.ID)
			}
			return nil
		})
		w.write(thief, func(tx *ledger.Tx) error {
			for _, id := range ids {
				if err := wells.Delete(tx, id, 0); err != nil {
					return err
				}
			}
			return nil
		})
		w.create(well{Name: "another", Code: "17"})
		stop, cancel := context.WithCancel(ctx)
		all := ledger.Selection{Actor: thief.ID}
		part, err := w.UndoRange(stop, amina, "", all, anybody, func(ledger.Undone) { cancel() })
		if err == nil || part.Count == 0 || part.Count > 400 {
			t.Fatalf("interrupted after %d: %v", part.Count, err)
		}
		for _, id := range ids { // somebody works on what is back
			if _, err := w.get(id); err == nil {
				w.update(juma, id, func(b *well) { b.Depth = 7 })
				break
			}
		}
		all.Join = part.Act
		rest, err := w.UndoRange(ctx, amina, "", all, anybody, nil)
		check(t, err)
		if rest.Act != part.Act || rest.Already != part.Count || rest.Count != several-1-part.Count || rest.Kept != 1 || rest.Conflicts[0].Entry.Doc != ids[17] {
			t.Errorf("gone on: %d undone, %d already, %d kept of act %d; before: %d of act %d", rest.Count, rest.Already, rest.Kept, rest.Act, part.Count, part.Act)
		}
		w.verified()
	})
}

func TestUndoRangeWantsASelection(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		if _, err := w.UndoRange(ctx, amina, "", ledger.Selection{Orgs: []string{org}}, anybody, nil); fault.KindOf(err) != fault.Invalid {
			t.Errorf("an undo of everybody's changes: %v", err)
		}
		none, err := w.PreviewUndo(ctx, amina, ledger.Selection{Actor: "nobody"}, anybody, nil)
		if err != nil || none.Total != 0 {
			t.Errorf("an undo of nothing: %+v, %v", none, err)
		}
	})
}
