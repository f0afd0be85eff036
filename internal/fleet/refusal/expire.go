package refusal

import (
	"context"
	"time"

	"github.com/qanat-water/qanat/internal/base/store"
)

// Older counts the rows of an organization that were last seen before a time.
func (b *Book) Older(ctx context.Context, org string, before time.Time) (n int64, err error) {
	err = b.db.Read(ctx, func(q *store.Q) error {
		_, err := q.Row([]any{&n}, `SELECT count(*) FROM refusal WHERE org = $1 AND last < $2`, org, before.UnixMilli())
		return err
	})
	return n, err
}

// Expire deletes them, with the messages that the devices were refused before then.
func (b *Book) Expire(ctx context.Context, org string, devices []string, before time.Time) (n int64, err error) {
	err = b.db.Write(ctx, func(q *store.Q) error {
		if n, err = q.Exec(`DELETE FROM refusal WHERE org = $1 AND last < $2`, org, before.UnixMilli()); err != nil {
			return err
		}
		for _, device := range devices {
			if _, err := q.Exec(`DELETE FROM refused_message WHERE device = $1 AND time < $2`, device, before.UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}
