package site_test

import (
	"testing"

	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/field/site"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/org"
)

// A manager whose workspace shows water points works with these and with nothing else.
func TestWorkspace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := newWorld(t, open())
		made := map[string]ledger.Doc[site.Site]{}
		for _, kind := range []string{"water_point", "school"} {
			d, err := w.sites.Create(ctx, w.Admin, w.Org, site.Site{Type: kind, Branch: w.Org, Name: kind, Privacy: site.Public, Location: &site.Location{Lat: 1, Lon: 34}})
			if err != nil {
				t.Fatal(err)
			}
			made[kind] = d
		}
		w.Write(t, func(tx *ledger.Tx) error {
			_, err := org.Workspaces.Create(tx, w.Org, "", org.Workspace{Name: "Water", SiteTypes: []string{"water_point"}, People: []string{"group:" + w.Org + "/managers"}})
			return err
		})
		for _, test := range []struct {
			name string
			who  ledger.Actor
			want int64
		}{{"locked", w.Manager, 1}, {"not locked", w.Member, 2}, {"an admin", w.Admin, 2}} {
			page, err := w.sites.List(ctx, test.who, site.Filter{Org: w.Org})
			if err != nil || page.Total != test.want || int64(len(page.Items)) != test.want {
				t.Errorf("%s: a list of %d, total %d, %v; want %d", test.name, len(page.Items), page.Total, err, test.want)
			}
			points, err := w.sites.Points(ctx, test.who, site.Filter{Org: w.Org})
			if err != nil || int64(len(points.IDs)) != test.want {
				t.Errorf("%s: %d points, %v", test.name, len(points.IDs), err)
			}
		}
		_, _, err := w.sites.Get(ctx, w.Manager, made["school"].ID)
		wantCode(t, "read what is hidden", err, "site.missing")
		_, err = w.sites.GetByCode(ctx, w.Manager, made["school"].Body.Code)
		wantCode(t, "read it by its code", err, "site.missing")
		wantCode(t, "delete it", w.sites.Delete(ctx, w.Manager, made["school"].ID, 0), "site.missing")
		_, err = w.sites.Create(ctx, w.Manager, w.Org, site.Site{Type: "school", Branch: w.Org})
		wantCode(t, "make one that would be hidden", err, "site.denied")
		moved := made["water_point"].Body
		moved.Type = "school"
		_, err = w.sites.Update(ctx, w.Manager, made["water_point"].ID, 0, moved)
		wantCode(t, "put one where it would be hidden", err, "site.type")
		if _, err = w.sites.Create(ctx, w.Manager, w.Org, site.Site{Type: "water_point", Branch: w.Org}); err != nil {
			t.Errorf("work goes on: %v", err)
		}
	})
}
