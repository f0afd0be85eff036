package reading

import (
	"context"
	"time"

	"github.com/qanat-water/qanat/internal/base/store"
)

const expireAtOnce = 20_000 // rows of one transaction

// Older counts the readings of a device from before a time.
func (s *Store) Older(ctx context.Context, device string, before time.Time) (n int64, err error) {
	err = s.db.Read(ctx, func(q *store.Q) error {
		_, err := q.Row([]any{&n}, `SELECT count(*) FROM reading r JOIN reading_series s ON s.id = r.series WHERE s.device = $1 AND r.ts < $2`, device, before.UnixMilli())
		return err
	})
	return n, err
}

// Expire deletes the readings of a device from before a time, in short
// transactions between which others write, and tells how many.
func (s *Store) Expire(ctx context.Context, device string, before time.Time) (deleted int64, err error) {
	var all []numbered
	if err := s.db.Read(ctx, func(q *store.Q) (err error) { all, err = seriesOf(q, device); return err }); err != nil {
		return 0, err
	}
	for _, one := range all {
		for more := true; more; {
			var n int64
			err := s.db.Write(ctx, func(q *store.Q) error {
				until := before.UnixMilli()
				found, err := q.Row([]any{&until}, `SELECT ts FROM reading WHERE series = $1 AND ts < $2 ORDER BY ts LIMIT 1 OFFSET $3`, one.id, until, expireAtOnce)
				if err != nil {
					return err
				}
				if more = found; !found {
					until = before.UnixMilli()
				}
				n, err = q.Exec(`DELETE FROM reading WHERE series = $1 AND ts < $2`, one.id, until)
				return err
			})
			if err != nil {
				return deleted, err
			}
			deleted += n
			more = more && n > 0
		}
	}
	return deleted, nil
}
