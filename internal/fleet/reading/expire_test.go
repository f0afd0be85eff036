package reading

import (
	"context"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
)

func TestExpireTakesTheOldOfOneDevice(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		ctx := context.Background()
		s := begin(t, open(), Config{})
		for _, id := range []string{"pump-1", "pump-2"} {
			d := device(t, s, id)
			for m := range 6 {
				if err := s.Add(ctx, Message{Device: d, Received: noon, Values: []Value{{Channel: "flow", TS: at(m), Value: float64(m)}, {Channel: "level", TS: at(m), Value: 1}}}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := s.Settle(ctx); err != nil {
			t.Fatal(err)
		}
		before := time.UnixMilli(at(4))
		if n, err := s.Older(ctx, "pump-1", before); n != 8 || err != nil {
			t.Errorf("%d are older, %v", n, err)
		}
		if n, err := s.Expire(ctx, "pump-1", before); n != 8 || err != nil {
			t.Errorf("%d expired, %v", n, err)
		}
		for id, want := range map[string]int64{"pump-1": 4, "pump-2": 12} {
			if n, err := s.Count(ctx, id); n != want || err != nil {
				t.Errorf("%s has %d, %v; want %d", id, n, err, want)
			}
		}
		if n, err := s.Expire(ctx, "nobody", before); n != 0 || err != nil {
			t.Errorf("of nobody %d, %v", n, err)
		}
	})
}

// TestExpireGoesInSteps lets more expire than one transaction takes.
func TestExpireGoesInSteps(t *testing.T) {
	ctx := context.Background()
	s := begin(t, storetest.SQLite(t)(), Config{})
	device(t, s, "pump-1")
	if err := s.Add(ctx, Message{Device: device(t, s, "pump-1"), Received: noon, Values: []Value{{Channel: "flow", TS: at(0), Value: 1}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	const many = 2*expireAtOnce + 10
	if err := s.db.Write(ctx, func(q *store.Q) error {
		_, err := q.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
			INSERT INTO reading (series, ts, value, received) SELECT (SELECT max(id) FROM reading_series), i, 1.0, 1 FROM n`, many)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Expire(ctx, "pump-1", time.UnixMilli(many)); n != many-1 || err != nil {
		t.Errorf("%d expired, %v; want %d", n, err, many-1)
	}
}
