package device_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/fleet/device"
	"github.com/qanat-water/qanat/internal/fleet/device/devicetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

// TestDevicesOfThePast asks for every list and device at each moment, and again at
// the end as of that moment; and by those who may see a device then or now only.
func TestDevicesOfThePast(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open(), devicetest.Nouns()...)
		f := devicetest.Over(t, w.Ledger, w.Vault, w.Clock)
		north := w.Branch(t, w.Org, "North")
		northern := w.Person(t, "Nora North", north, org.Viewers)
		var ids []string
		register := func(serial string) {
			t.Helper()
			d, err := f.Devices.Register(ctx, w.Manager, w.Org, device.New{Serial: serial, Branch: w.Org}, "new meter")
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, d.ID)
		}
		change := func(n int, c device.Change) {
			t.Helper()
			if _, err := f.Devices.Update(ctx, w.Manager, ids[n], 0, c, ""); err != nil {
				t.Fatal(err)
			}
		}
		lists := func(at time.Time) string {
			t.Helper()
			all := map[string]any{}
			for _, actor := range []ledger.Actor{w.Admin, w.Viewer, w.Outside} {
				for _, filter := range []device.Filter{{Limit: 10}, {Limit: 1}, {Limit: 10, State: device.Revoked}} {
					name := fmt.Sprint(actor.Name, filter)
					filter.Org, filter.At = w.Org, at
					docs := []ledger.Doc[device.Device]{}
					for {
						page, err := f.Devices.List(ctx, actor, filter)
						if err != nil {
							t.Fatal(err)
						}
						docs = append(docs, page...)
						if len(page) < filter.Limit {
							break
						}
						filter.After = page[len(page)-1].ID
					}
					all[name] = docs
				}
				for _, id := range ids {
					get := func() (ledger.Doc[device.Device], error) { return f.Devices.GetAt(ctx, actor, id, at) }
					if at.IsZero() {
						get = func() (ledger.Doc[device.Device], error) { return f.Devices.Get(ctx, actor, id) }
					}
					if d, err := get(); err == nil {
						all[actor.Name+id] = d
					} else if fault.KindOf(err) != fault.NotFound {
						t.Fatal(err)
					}
				}
			}
			text, err := json.MarshalIndent(all, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		text := func(s string) *string { return &s }
		var times []time.Time
		var remembered []string
		for _, step := range []func(){
			func() { register("SN-1"); register("SN-2") },
			func() { change(0, device.Change{Name: text("Well meter")}) },
			func() { register("SN-3"); change(1, device.Change{Name: text("A meter"), Model: text("M2")}) },
			func() {
				if _, err := f.Devices.Revoke(ctx, w.Manager, ids[0], "stolen"); err != nil {
					t.Fatal(err)
				}
			},
			func() {
				w.Write(t, func(tx *ledger.Tx) error { return device.Noun.Delete(tx, ids[2], 0) })
			},
		} {
			w.Clock.Advance(time.Minute)
			step()
			times, remembered = append(times, w.Ledger.Now()), append(remembered, lists(time.Time{}))
		}
		w.Clock.Advance(time.Hour)
		for i, at := range times {
			if is := lists(at); is != remembered[i] {
				t.Fatalf("as of %s the lists are\n%s\nthey were\n%s", at, is, remembered[i])
			}
		}

		// Moved to the north: who sees only the north sees it now, and not as it stood elsewhere.
		change(1, device.Change{Branch: &north})
		w.Clock.Advance(time.Minute)
		moved := w.Ledger.Now()
		w.Clock.Advance(time.Minute)
		change(1, device.Change{Branch: &w.Org})
		change(0, device.Change{Branch: &north})
		for what, c := range map[string]struct {
			at   time.Time
			id   string
			sees bool
		}{
			"in the north then, and not now": {moved, ids[1], false}, "in the north now, and not then": {moved, ids[0], false}, "in the north now": {w.Ledger.Now(), ids[0], true},
		} {
			_, err := f.Devices.GetAt(ctx, northern, c.id, c.at)
			if (err == nil) != c.sees || err != nil && fault.KindOf(err) != fault.NotFound {
				t.Errorf("%s: %v, want seen %v", what, err, c.sees)
			}
			page, err := f.Devices.List(ctx, northern, device.Filter{Org: w.Org, Limit: 10, At: c.at})
			if err != nil || (len(page) == 1) != c.sees {
				t.Errorf("%s: lists %d devices (%v), want seen %v", what, len(page), err, c.sees)
			}
		}
	})
}
