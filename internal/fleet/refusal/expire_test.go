package refusal

import (
	"context"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/clock"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
)

func TestExpireTakesTheOldOfOneOrganization(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		ctx := context.Background()
		now := clock.NewManual(noon)
		b, err := Open(ctx, open(), now, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		flush := func() {
			t.Helper()
			if err := b.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
		b.Count(Seen{Org: "org-1", Reason: Revoked, Address: "192.0.2.1"})
		b.Count(Seen{Org: "org-2", Reason: Revoked, Address: "192.0.2.1"})
		flush()
		now.Advance(48 * time.Hour)
		b.Count(Seen{Org: "org-1", Reason: Slow, Address: "192.0.2.1"})
		flush()
		before := noon.Add(24 * time.Hour)
		if n, err := b.Older(ctx, "org-1", before); n != 1 || err != nil {
			t.Errorf("%d are older, %v", n, err)
		}
		if n, err := b.Expire(ctx, "org-1", []string{"d"}, before); n != 1 || err != nil {
			t.Errorf("%d expired, %v", n, err)
		}
		for organization, reason := range map[string]Reason{"org-1": Slow, "org-2": Revoked} {
			if rows, err := b.List(ctx, organization, 10); err != nil || len(rows) != 1 || rows[0].Reason != reason {
				t.Errorf("%s has %+v, %v", organization, rows, err)
			}
		}
	})
}
