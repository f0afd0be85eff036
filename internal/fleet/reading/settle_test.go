package reading

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
)

// TestReadersSeeEveryStoredReading reads while readings come in and are settled:
// what was acknowledged before a query began is in its answer, once.
func TestReadersSeeEveryStoredReading(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		ctx, cancel := context.WithCancel(context.Background())
		s := begin(t, open(), Config{})
		d := device(t, s, "d")
		var wait sync.WaitGroup
		const total = 400
		var mu sync.Mutex
		stored := 0
		wait.Go(func() {
			defer cancel()
			for i := range total {
				if err := s.Add(context.Background(), Message{Device: d, Received: noon, Values: []Value{{"a", at(i - total), float64(i), ""}}}); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				stored = i + 1
				mu.Unlock()
			}
		})
		wait.Go(func() {
			for ctx.Err() == nil {
				if err := s.Settle(context.Background()); err != nil {
					t.Error(err)
					return
				}
			}
		})
		for ctx.Err() == nil {
			mu.Lock()
			least := stored
			mu.Unlock()
			got, err := s.Range(context.Background(), Span{Device: "d", From: noon.Add(-24 * time.Hour), To: noon, Limit: total})
			if err != nil {
				t.Fatal(err)
			}
			if least == 0 {
				continue
			}
			if n := len(got[0].TS); n < least {
				t.Fatalf("%d readings in the answer, %d were stored before", n, least)
			}
			for i, v := range got[0].Value {
				if v != float64(i) {
					t.Fatalf("reading %d is %v", i, v)
				}
			}
			latest, err := s.Latest(context.Background(), "d")
			if err != nil || len(latest) != 1 || latest[0].Value < float64(least-1) {
				t.Fatalf("latest %+v (%v), at least %d was stored before", latest, err, least-1)
			}
		}
		wait.Wait()
	})
}

// TestSettlingChangesNothing asks the same questions before and after rows are
// settled, with corrections and repetitions on both sides.
func TestSettlingChangesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	db := storetest.SQLite(t)()
	s := begin(t, db, Config{})
	d := device(t, s, "d")
	ask := func() string {
		t.Helper()
		var answers []any
		for _, limit := range []int{1000, 7} {
			for _, from := range []int{0, 20, 59} {
				series, err := s.Range(context.Background(), Span{Device: "d", From: time.UnixMilli(at(from)), To: time.UnixMilli(at(50)), Limit: limit})
				if err != nil {
					t.Fatal(err)
				}
				answers = append(answers, series)
			}
		}
		latest, err := s.Latest(context.Background(), "d")
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(append(answers, latest))
	}
	for round := range 30 {
		for range 40 {
			v := Value{[]string{"a", "b"}[r.IntN(2)], at(r.IntN(60)), float64(r.IntN(4)), ""}
			if err := s.Add(context.Background(), Message{Device: d, Received: noon.Add(time.Duration(round) * time.Second), Values: []Value{v}}); err != nil {
				t.Fatal(err)
			}
		}
		before := ask()
		if err := s.Settle(context.Background()); err != nil {
			t.Fatal(err)
		}
		if after := ask(); after != before {
			t.Fatalf("round %d: settling changed\n%s\nto\n%s", round, before, after)
		}
	}
	var left int64
	if err := db.Read(context.Background(), func(q *store.Q) error {
		_, err := q.Row([]any{&left}, `SELECT count(*) FROM reading_log`)
		return err
	}); err != nil || left != 0 {
		t.Errorf("%d values left in the log (%v)", left, err)
	}
}

// TestTheLogIsReadBack stops before rows are settled, and in the middle of it.
func TestTheLogIsReadBack(t *testing.T) {
	open := storetest.SQLite(t)
	s := begin(t, open(), Config{})
	d := device(t, s, "d")
	var values []Value
	for i := range 900 {
		values = append(values, Value{"a", at(-i), float64(i), ""})
	}
	for range 10 {
		if err := s.Add(context.Background(), Message{Device: d, Received: noon, Values: values}); err != nil {
			t.Fatal(err)
		}
		for i := range values {
			values[i].TS = values[i].TS - 900*60_000
		}
	}
	frozen, _ := s.memory.freeze()
	for _, rows := range frozen { // some are in their places, and the log is still there
		rows = slices.Clone(rows[:4000])
		slices.SortFunc(rows, compareRows)
		if err := s.db.Write(context.Background(), func(q *store.Q) error { return insertRows(q, rows) }); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	again := begin(t, open(), Config{})
	if latest, err := again.Latest(context.Background(), "d"); err != nil || len(latest) != 1 || latest[0].TS != at(0) {
		t.Errorf("latest: %+v (%v)", latest, err)
	}
	if n, err := again.Count(context.Background(), "d"); n != 9000 || err != nil {
		t.Errorf("%d rows (%v), want 9000", n, err)
	}
	if err := again.Add(context.Background(), Message{Device: device(t, again, "d"), Received: noon, Values: []Value{{"a", at(1), 1, ""}}}); err != nil {
		t.Errorf("after the log was read back: %v", err)
	}
	again.Close()
	third := begin(t, open(), Config{})
	if n, err := third.Count(context.Background(), "d"); n != 9001 || err != nil {
		t.Errorf("%d rows (%v), want 9001", n, err)
	}
}
