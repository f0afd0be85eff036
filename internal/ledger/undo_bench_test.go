package ledger_test

import (
	"testing"

	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
)

// BenchmarkUndo deletes 10,000 documents among 20,000, looks at what undoing all
// of it would do, and does it.
func BenchmarkUndo(b *testing.B) {
	storetest.EachBench(b, func(b *testing.B, open func() *store.Store) {
		w := newWorld(b, open)
		const records = 10_000
		ids := fill(b, w, 2*records)
		looked, undone := 0.0, 0.0
		for b.Loop() {
			b.StopTimer()
			for from := 0; from < records; from += 500 {
				check(b, w.Write(ctx, juma, "", func(tx *ledger.Tx) error {
					for _, id := range ids[from : from+500] {
						if err := wells.Delete(tx, id, 0); err != nil {
							return err
						}
					}
					return nil
				}))
			}
			b.StartTimer()
			whole := ledger.Selection{Actor: juma.ID, Verbs: []ledger.Verb{ledger.VerbDelete}}
			began := b.Elapsed()
			preview, err := w.PreviewUndo(ctx, amina, whole, anybody, nil)
			check(b, err)
			middle := b.Elapsed()
			result, err := w.UndoRange(ctx, amina, "", whole, anybody, nil)
			check(b, err)
			if preview.Count != records || result.Count != records {
				b.Fatalf("previewed %d, undone %d of %d", preview.Count, result.Count, records)
			}
			looked += (middle - began).Seconds()
			undone += (b.Elapsed() - middle).Seconds()
		}
		b.ReportMetric(records*float64(b.N)/undone, "records/s")
		b.ReportMetric(records*float64(b.N)/looked, "previewed/s")
	})
}
