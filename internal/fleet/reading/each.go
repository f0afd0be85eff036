package reading

import (
	"context"
	"time"

	"github.com/qanat-water/qanat/internal/base/store"
)

// Raw is a reading as it was stored.
type Raw struct {
	Channel, Unit string
	TS            time.Time
	Value         float64
	Received      time.Time
}

// Each goes through all readings of a device, by channel and time, corrections
// included, a page at a time so that a long export holds no snapshot.
func (s *Store) Each(ctx context.Context, device string, fn func(Raw) error) error {
	if err := s.Settle(ctx); err != nil { // what is only in the log yet belongs to it too
		return err
	}
	var all []numbered
	err := s.db.Read(ctx, func(q *store.Q) (err error) {
		all, err = seriesOf(q, device)
		return err
	})
	if err != nil {
		return err
	}
	for _, series := range all {
		var after, last int64 = -1 << 62, -1 << 62
		for {
			var page []Raw
			err := s.db.Read(ctx, func(q *store.Q) error {
				page = page[:0]
				// Whole instants only: corrections of one instant never fall on two pages.
				rows := q.Query(`SELECT ts, value, received FROM reading WHERE series = $1 AND ts > $2 AND ts <= coalesce((SELECT max(ts) FROM (SELECT ts FROM reading WHERE series = $1 AND ts > $2 ORDER BY ts LIMIT 5000) AS page), $2) ORDER BY ts, received`, series.id, after)
				for rows.Next() {
					var ts, received int64
					var value float64
					rows.Scan(&ts, &value, &received)
					last = ts
					page = append(page, Raw{series.Name, series.Unit, time.UnixMilli(ts).UTC(), value, time.UnixMilli(received).UTC()})
				}
				return rows.Close()
			})
			if err != nil {
				return err
			}
			if len(page) == 0 {
				break
			}
			for _, one := range page {
				if err := fn(one); err != nil {
					return err
				}
			}
			after = last
		}
	}
	return nil
}
