package ledger_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
)

// body is a plausible water point of about 500 bytes of JSON.
func body(i int) well {
	return well{Name: fmt.Sprintf("Borehole %d", i), Code: fmt.Sprint(i), Depth: 42.5, Labels: map[string]string{
		"water_source": "Protected borehole", "water_tech": "Hand pump, Afridev", "status": "Functional but needs repair", "install_year": "2011",
		"management": "Community water committee", "payment": "200 a month for each household", "notes": "The pump rod was replaced last March; the apron has a crack on the east side."}}
}

// BenchmarkLedger writes new documents with 1 and 32 writers, on disk before
// each is answered, and with 32 writers also changes spread over existing ones.
// The baseline, with the same 32 writers, is one commit for each change.
func BenchmarkLedger(b *testing.B) {
	for engine, fresh := range map[string]func(testing.TB) func() *store.Store{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		create := func(w *world, i int) error {
			return w.Write(ctx, amina, "", func(tx *ledger.Tx) error { _, err := wells.Create(tx, org, "", body(i)); return err })
		}
		for _, writers := range []int{1, 32} {
			b.Run(fmt.Sprintf("%s/%d", engine, writers), func(b *testing.B) {
				w := newWorld(b, fresh(b))
				b.ResetTimer()
				parallel(b, writers, b.N, func(i int) error { return create(w, i) })
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "changes/s")
			})
		}
		b.Run(engine+"/32-baseline-commit-each", func(b *testing.B) {
			w := newWorld(b, fresh(b))
			var one sync.Mutex
			b.ResetTimer()
			parallel(b, 32, b.N, func(i int) error {
				one.Lock()
				defer one.Unlock()
				return create(w, i)
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "changes/s")
		})
		b.Run(engine+"/32-spread-over-20000", func(b *testing.B) {
			w := newWorld(b, fresh(b))
			ids := fill(b, w, 20_000)
			b.ResetTimer()
			parallel(b, 32, b.N, func(i int) error {
				id := ids[(i*7919)%len(ids)]
				return w.Write(ctx, juma, "", func(tx *ledger.Tx) error {
					_, err := wells.Update(tx, id, 0, func(body *well) error { body.Depth += float64(i + 1); return nil })
					return err
				})
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "changes/s")
		})
	}
}

// fill makes n documents, 500 a write, and gives their ids.
func fill(b testing.TB, w *world, n int) []string {
	b.Helper()
	const chunk = 500
	ids := make([]string, n)
	parallel(b, 8, n/chunk, func(i int) error {
		return w.Write(ctx, amina, "", func(tx *ledger.Tx) error {
			for j := range chunk {
				doc, err := wells.Create(tx, org, "", body(i*chunk+j))
				if err != nil {
					return err
				}
				ids[i*chunk+j] = doc.ID
			}
			return nil
		})
	})
	return ids
}

// BenchmarkVerify reads a ledger of 20,000 entries and checks everything.
func BenchmarkVerify(b *testing.B) {
	storetest.EachBench(b, func(b *testing.B, open func() *store.Store) {
		w := newWorld(b, open)
		const entries = 20_000
		fill(b, w, entries)
		b.ResetTimer()
		for b.Loop() {
			w.verified()
		}
		b.ReportMetric(entries*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	})
}

func parallel(b testing.TB, writers, n int, fn func(i int) error) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := fn(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
