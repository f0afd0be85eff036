package activity_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/activity"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

// BenchmarkActivity reads filtered pages over 100,000 entries: the worst is a
// filter that only the oldest entries fit.
func BenchmarkActivity(b *testing.B) {
	storetest.EachBench(b, func(b *testing.B, open func() *store.Store) {
		s := open()
		w := peopletest.New(b, s, &note)
		service := &activity.Service{Ledger: w.Ledger}
		w.Write(b, func(tx *ledger.Tx) error {
			_, err := org.Teams.Create(tx, w.Org, "", org.Team{Branch: w.Org, Name: "the oldest"})
			return err
		})
		began := w.Clock.Now()
		const entries, perAct = 100_000, 40
		for n := 0; n < entries; n += perAct {
			w.Clock.Advance(time.Minute)
			actor := ledger.Actor{ID: w.Manager.ID, Kind: "account", Name: "Moses", Door: "web", From: fmt.Sprintf("192.0.2.%d", n/perAct%250)}
			if n >= 60_000 { // an import: one act of 40,000
				actor.Door = "import"
			}
			err := w.Ledger.Write(context.Background(), actor, "work of the day", func(tx *ledger.Tx) error {
				for i := range perAct {
					_, err := note.Create(tx, w.Org, "", noted{Text: fmt.Sprint(n + i)})
					if err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		if s.Engine() == store.Postgres { // as the database does by itself within a minute
			if err := s.Write(context.Background(), func(q *store.Q) error { return q.Script("ANALYZE") }); err != nil {
				b.Fatal(err)
			}
		}
		for _, c := range []struct {
			name string
			q    activity.Query
		}{
			{"newest", activity.Query{}},
			{"kind", activity.Query{Kind: "team"}},
			{"actor", activity.Query{Actor: w.Manager.ID, Verb: "create"}},
			{"verb-none", activity.Query{Verb: "delete"}},
			{"door", activity.Query{Door: "test"}},
			{"time", activity.Query{Since: began, Until: began.Add(time.Hour)}},
			{"address", activity.Query{Address: "192.0.2.7"}},
			{"reason-none", activity.Query{Text: "nobody said this"}},
		} {
			c.q.Org, c.q.Limit = w.Org, 50
			b.Run(c.name, func(b *testing.B) {
				for b.Loop() {
					if _, _, err := service.Acts(context.Background(), w.Admin, c.q); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/page")
			})
		}
		b.Run("feed", func(b *testing.B) {
			lines := 0
			for b.Loop() {
				after := int64(0)
				for more := true; more && after < 20_000; {
					page, last, again, err := service.Batch(context.Background(), w.Admin, activity.Query{Org: w.Org}, after)
					if err != nil {
						b.Fatal(err)
					}
					lines += len(page)
					after, more = last, again
				}
			}
			b.ReportMetric(float64(lines)/b.Elapsed().Seconds(), "lines/s")
		})
	})
}

type noted struct {
	Text string `json:"text"`
}

var note = ledger.Noun[noted]{Name: "note"}
