package ledger_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
)

const orgB = "0190a000-0000-7000-8000-0000000000bb"

// questions are lists as services ask them: filters, orders, pages, counts.
var questions = []string{
	"n.org = $1 ORDER BY n.id", "n.org = $1 ORDER BY n.name, n.id LIMIT 3", "n.org = $1 ORDER BY n.name DESC, n.id DESC LIMIT 3 OFFSET 3",
	"n.org = $1 AND n.depth > 20 ORDER BY n.depth DESC, n.id", "n.org = $1 AND n.code IS NULL ORDER BY n.id", "n.org = $1 AND n.name LIKE '%b%' ORDER BY n.depth, n.id LIMIT 2",
}

func (w *world) reads(fn func(r *ledger.Reader) error) {
	w.t.Helper()
	check(w.t, w.Read(ctx, fn))
}

// picture is all that a Reader answers, as one text.
func picture(t *testing.T, r *ledger.Reader, organization string, ids []string) string {
	t.Helper()
	all := map[string]any{}
	for _, q := range questions {
		docs, err := wells.List(r, q, organization)
		check(t, err)
		all[q] = docs
	}
	var count int64
	_, err := r.Row([]any{&count}, "SELECT count(*) FROM "+r.From("well")+" n WHERE n.org = $1 AND n.depth <= $2", organization, 50.0)
	check(t, err)
	all["count"] = count
	for _, id := range ids {
		doc, err := wells.Get(r, id)
		if err != nil && fault.KindOf(err) != fault.NotFound {
			t.Fatal(err)
		}
		if err == nil && doc.Org == organization {
			all[id] = doc
		}
	}
	text, err := json.MarshalIndent(all, "", " ")
	check(t, err)
	return string(text)
}

// TestThePastIsAsItWas changes documents at random, remembers what every question
// was answered at each moment, and asks again at the end.
func TestThePastIsAsItWas(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for seed := range uint64(2) {
			random := rand.New(rand.NewPCG(seed, 7))
			var ids []string
			remembered := map[string][]string{} // organization -> picture by step
			var times []time.Time
			pick := func(list []string) string { return list[random.IntN(len(list))] }
			for range 40 {
				w.write(amina, func(tx *ledger.Tx) error {
					for range 1 + random.IntN(3) {
						body := well{Name: pick([]string{"a", "b", "ab", "ba", "كتاب", "%_'"}), Depth: float64(random.IntN(1000)) / 7}
						if random.IntN(2) == 0 {
							body.Code = fmt.Sprint(seed, " ", random.IntN(1_000_000))
						}
						var err error
						switch what := random.IntN(6); {
						case what < 2 || len(ids) == 0:
							var d ledger.Doc[well]
							d, err = wells.Create(tx, pick([]string{org, org, orgB}), "", body)
							ids = append(ids, d.ID)
						case what < 5:
							_, err = wells.Update(tx, pick(ids), 0, func(b *well) error { *b = body; return nil })
						default:
							err = wells.Delete(tx, pick(ids), 0)
						}
						if err != nil && fault.KindOf(err) != fault.NotFound {
							return err
						}
					}
					return nil
				})
				if random.IntN(4) == 0 { // bring something back, or take it away again
					var entries []ledger.Entry
					w.reads(func(r *ledger.Reader) (err error) { entries, err = r.Entries(ledger.Filter{Limit: 10}); return err })
					w.clock.Advance(time.Minute)
					_, err := w.Undo(ctx, juma, "", entries[random.IntN(len(entries))].Number, func(*ledger.Tx, ledger.Entry) error { return nil })
					if err != nil && fault.KindOf(err) != fault.Conflict {
						t.Fatal(err)
					}
				}
				times = append(times, w.Now())
				w.reads(func(r *ledger.Reader) error {
					for _, organization := range []string{org, orgB} {
						remembered[organization] = append(remembered[organization], picture(t, r, organization, ids))
					}
					return nil
				})
			}
			w.reads(func(r *ledger.Reader) error {
				for i, at := range times {
					for organization, pictures := range remembered {
						for _, scope := range []string{organization, ""} {
							past, err := r.At(scope, at)
							check(t, err)
							if is := picture(t, past, organization, ids); is != pictures[i] {
								t.Fatalf("%s, seed %d: at %s the past answers\n%s\nit was\n%s", organization, seed, at, is, pictures[i])
							}
						}
					}
				}
				before, err := r.At(org, w.Now().AddDate(-1, 0, 0))
				check(t, err)
				if docs, err := wells.List(before, "n.org = $1", org); err != nil || len(docs) != 0 {
					t.Errorf("before all time there are %d wells, %v", len(docs), err)
				}
				return nil
			})
		}
	})
}

// TestThePastOfOneOrganization gives nothing of another, changed or not.
func TestThePastOfOneOrganization(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		mine := w.create(well{Name: "mine"})
		var theirs ledger.Doc[well]
		w.write(amina, func(tx *ledger.Tx) (err error) {
			theirs, err = wells.Create(tx, orgB, "", well{Name: "theirs"})
			return err
		})
		at := w.Now()
		w.update(juma, mine.ID, func(b *well) { b.Name = "still mine" })
		w.reads(func(r *ledger.Reader) error {
			past, err := r.At(org, at)
			check(t, err)
			docs, err := wells.List(past, "1 = 1")
			check(t, err)
			if len(docs) != 1 || docs[0].Body.Name != "mine" {
				t.Errorf("the past of one organization has %+v", docs)
			}
			if _, err := wells.Get(past, theirs.ID); fault.KindOf(err) != fault.NotFound {
				t.Errorf("a document of another: %v", err)
			}
			return nil
		})
		if err := w.Write(ctx, amina, "", func(tx *ledger.Tx) error { _, err := tx.At(org, at); return err }); err == nil {
			t.Error("a write read the past")
		}
	})
}

// BenchmarkThen lists the first 50 of 10,000 as of a moment since when 1,000
// have changed; the baseline is the same list now.
func BenchmarkThen(b *testing.B) {
	storetest.EachBench(b, func(b *testing.B, open func() *store.Store) {
		w := newWorld(b, open)
		ids := fill(b, w, 10_000)
		at := w.Now()
		w.clock.Advance(time.Hour)
		for i := 0; i < 1000; i += 100 {
			check(b, w.Write(ctx, juma, "", func(tx *ledger.Tx) error {
				for _, id := range ids[i : i+100] {
					if _, err := wells.Update(tx, id, 0, func(body *well) error { body.Depth++; return nil }); err != nil {
						return err
					}
				}
				return nil
			}))
		}
		for name, of := range map[string]func(r *ledger.Reader) (*ledger.Reader, error){
			"then": func(r *ledger.Reader) (*ledger.Reader, error) { return r.At(org, at) },
			"now":  func(r *ledger.Reader) (*ledger.Reader, error) { return r, nil },
		} {
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					check(b, w.Read(ctx, func(r *ledger.Reader) error {
						r, err := of(r)
						if err != nil {
							return err
						}
						docs, err := wells.List(r, "n.org = $1 ORDER BY n.name, n.id LIMIT 50", org)
						if err == nil && len(docs) != 50 {
							err = fmt.Errorf("%d wells", len(docs))
						}
						return err
					}))
				}
			})
		}
	})
}
