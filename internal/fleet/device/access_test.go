package device_test

import (
	"slices"
	"testing"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/fleet/device"
	"github.com/qanat-water/qanat/internal/fleet/device/devicetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

func TestWhoMayDoWhat(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open(), devicetest.Nouns()...)
		f := devicetest.Over(t, w.Ledger, w.Vault, w.Clock)
		doc, err := f.Devices.Register(ctx, w.Manager, w.Org, device.New{Serial: "SN-1", Branch: w.Org}, "new meter")
		if err != nil {
			t.Fatalf("a manager registers: %v", err)
		}
		self := ledger.Actor{ID: doc.ID, Kind: "device"}
		name := "Meter"
		const ok, no, hidden = fault.Kind(""), fault.Denied, fault.NotFound
		for _, c := range []struct {
			what                                            string
			do                                              func(a ledger.Actor) error
			outside, viewer, member, manager, admin, itself fault.Kind
		}{
			{"see", func(a ledger.Actor) error { _, err := f.Devices.Get(ctx, a, doc.ID); return err }, hidden, ok, ok, ok, ok, ok},
			{"latest", func(a ledger.Actor) error { _, err := f.Devices.Latest(ctx, a, doc.ID); return err }, hidden, ok, ok, ok, ok, ok},
			{"messages", func(a ledger.Actor) error { _, err := f.Devices.Messages(ctx, a, doc.ID); return err }, hidden, ok, ok, ok, ok, ok},
			{"register", func(a ledger.Actor) error {
				_, err := f.Devices.Register(ctx, a, w.Org, device.New{Serial: "SN-" + a.ID, Branch: w.Org}, "")
				return err
			}, hidden, no, no, ok, ok, hidden},
			{"rename", func(a ledger.Actor) error {
				_, err := f.Devices.Update(ctx, a, doc.ID, 0, device.Change{Name: &name}, "")
				return err
			}, hidden, no, no, ok, ok, no},
			{"claim code", func(a ledger.Actor) error { _, err := f.Devices.ClaimCode(ctx, a, doc.ID, ""); return err }, hidden, no, no, ok, ok, no},
			{"revoke", func(a ledger.Actor) error { _, err := f.Devices.Revoke(ctx, a, doc.ID, "test"); return err }, hidden, no, no, ok, ok, no},
			{"refusals", func(a ledger.Actor) error { _, err := f.Devices.RefusalsOf(ctx, a, w.Org, 10); return err }, hidden, hidden, hidden, ok, ok, hidden},
			{"the server's refusals", func(a ledger.Actor) error { _, err := f.Devices.RefusalsOf(ctx, a, "", 10); return err }, hidden, hidden, hidden, hidden, hidden, hidden},
		} {
			for _, by := range []struct {
				name  string
				actor ledger.Actor
				want  fault.Kind
			}{{"outsider", w.Outside, c.outside}, {"viewer", w.Viewer, c.viewer}, {"member", w.Member, c.member}, {"manager", w.Manager, c.manager}, {"admin", w.Admin, c.admin}, {"the device", self, c.itself}} {
				got := ok
				if err := c.do(by.actor); err != nil {
					got = fault.KindOf(err)
				}
				if got != by.want {
					t.Errorf("%s by %s: got %q, want %q", c.what, by.name, got, by.want)
				}
			}
		}
		var pages []string
		for after := ""; ; {
			docs, err := f.Devices.List(ctx, w.Viewer, device.Filter{Org: w.Org, After: after, Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			if len(docs) == 0 {
				break
			}
			after = docs[0].ID
			pages = append(pages, docs[0].Body.Name)
		}
		if len(pages) != 3 || !slices.IsSorted(pages) {
			t.Errorf("page by page: %v, want three names in order", pages)
		}
		for name, c := range map[string]struct {
			actor ledger.Actor
			want  int
		}{"outsider": {w.Outside, 0}, "viewer": {w.Viewer, 3}, "admin": {w.Admin, 3}, "the device": {self, 1}} {
			if docs, err := f.Devices.List(ctx, c.actor, device.Filter{Org: w.Org, Limit: 10}); err != nil || len(docs) != c.want {
				t.Errorf("list for %s: %d devices (%v), want %d", name, len(docs), err, c.want)
			}
		}
	})
}
