package ledger_test

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
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

// BenchmarkLedger writes, on disk before each write is answered, with 32 writers:
// new documents, and changes spread over 100,000 existing ones. The baselines are
// one writer, and the same 32 writers with a commit for each change.
func BenchmarkLedger(b *testing.B) {
	const existing = 100_000
	storetest.EachBench(b, func(b *testing.B, open func() *store.Store) {
		create := func(w *world) func(int) error {
			return func(i int) error {
				return w.Write(ctx, amina, "", func(tx *ledger.Tx) error { _, err := wells.Create(tx, org, "", body(existing+i)); return err })
			}
		}
		w := newWorld(b, open)
		var taken atomic.Int64 // codes are unique, and sub-benchmarks run more than once
		measure := func(b *testing.B, writers int, fn func(i int) error) {
			b.Helper()
			from := int(taken.Add(int64(b.N))) - b.N
			b.ResetTimer()
			parallel(b, writers, b.N, func(i int) error { return fn(from + i) })
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "changes/s")
			b.ReportMetric(0, "ns/op")
		}
		b.Run("1", func(b *testing.B) { measure(b, 1, create(w)) })
		b.Run("32", func(b *testing.B) {
			b.Run("new", func(b *testing.B) { measure(b, 32, create(w)) })
			b.Run("new-baseline-commit-each", func(b *testing.B) {
				var one sync.Mutex
				each := create(w)
				measure(b, 32, func(i int) error {
					one.Lock()
					defer one.Unlock()
					return each(i)
				})
			})
			ids := fill(b, w, existing)
			b.Run("spread-over-100000", func(b *testing.B) {
				measure(b, 32, func(i int) error {
					id := ids[(i*7919)%len(ids)]
					return w.Write(ctx, juma, "", func(tx *ledger.Tx) error {
						_, err := wells.Update(tx, id, 0, func(body *well) error { body.Depth += float64(i + 1); return nil })
						return err
					})
				})
			})
		})
	})
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

// BenchmarkVerify checks everything of a ledger of 200,000 entries of about 850
// bytes: ten revisions each of 20,000 documents. The baseline is one core. The
// hardest case is that no document has a second revision, because each is compared
// with its newest entry, and so is its row in the index.
func BenchmarkVerify(b *testing.B) {
	storetest.EachBench(b, func(b *testing.B, open func() *store.Store) {
		const documents, revisions = 20_000, 10
		w := newWorld(b, open)
		verify := func(entries int64, cores int) func(b *testing.B) {
			return func(b *testing.B) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
				for b.Loop() {
					report, err := w.Verify(ctx, nil)
					check(b, err)
					if !report.OK() || report.Entries != entries {
						b.Fatalf("%d entries, %v", report.Entries, report.Problems)
					}
				}
				b.ReportMetric(float64(entries)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
			}
		}
		ids := fill(b, w, documents)
		b.Run("one-revision-each", verify(documents, runtime.GOMAXPROCS(0)))
		for i := range (revisions - 1) * documents / 500 {
			check(b, w.Write(ctx, juma, "", func(tx *ledger.Tx) error {
				for j := i * 500; j < (i+1)*500; j++ {
					if _, err := wells.Update(tx, ids[j*7919%documents], 0, func(w *well) error { w.Depth += float64(j + 1); return nil }); err != nil {
						return err
					}
				}
				return nil
			}))
		}
		b.Run("ten-revisions-each", verify(revisions*documents, runtime.GOMAXPROCS(0)))
		b.Run("ten-revisions-each-baseline-one-core", verify(revisions*documents, 1))
	})
}

// BenchmarkHistory answers with the whole history of a document of 1,000
// revisions: read, opened, compared step by step, and written as JSON. The
// baseline is the same one revision at a time.
func BenchmarkHistory(b *testing.B) {
	storetest.EachBench(b, func(b *testing.B, open func() *store.Store) {
		const revisions = 1000
		w := newWorld(b, open)
		ids := fill(b, w, 20_000)
		id := ids[7919]
		for i := range revisions - 1 {
			check(b, w.Write(ctx, juma, "measured again", func(tx *ledger.Tx) error {
				if i%10 == 0 { // others work in between, so that the revisions stand apart
					if _, err := wells.Update(tx, ids[i], 0, func(w *well) error { w.Depth = float64(i); return nil }); err != nil {
						return err
					}
				}
				_, err := wells.Update(tx, id, 0, func(w *well) error {
					w.Depth += float64(i + 1)
					w.Labels["status"] = fmt.Sprint("seen ", i)
					return nil
				})
				return err
			}))
		}
		answer := func(b *testing.B, read func(r *ledger.Reader) (any, error)) {
			b.Helper()
			for b.Loop() {
				check(b, w.Read(ctx, func(r *ledger.Reader) error {
					history, err := read(r)
					if err != nil {
						return err
					}
					return json.NewEncoder(io.Discard).Encode(history)
				}))
			}
			b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N), "ms/history")
			b.ReportMetric(0, "ns/op")
		}
		b.Run("1000", func(b *testing.B) {
			answer(b, func(r *ledger.Reader) (any, error) {
				history, err := r.History(id)
				if len(history) != revisions {
					b.Fatalf("%d revisions", len(history))
				}
				return history, err
			})
		})
		b.Run("1000-baseline-one-at-a-time", func(b *testing.B) {
			answer(b, func(r *ledger.Reader) (any, error) {
				entries, err := r.Entries(ledger.Filter{Doc: id, Limit: revisions})
				if err != nil {
					return nil, err
				}
				var steps []any
				for _, e := range entries {
					e, before, after, err := r.Entry(e.Number)
					if err != nil {
						return nil, err
					}
					steps = append(steps, ledger.Revision{Entry: e, Differences: ledger.Diff(before, after)})
				}
				return steps, nil
			})
		})
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
