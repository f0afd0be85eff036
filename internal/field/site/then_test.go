package site_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/field/site"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// TestListsOfThePast asks every kind of list at each moment, and again at the end as of that moment.
func TestListsOfThePast(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := newWorld(t, open())
		random := rand.New(rand.NewPCG(1, 2))
		north := w.Branch(t, w.Org, "North")
		var ids []string
		var times []time.Time
		var remembered []string
		pick := func(list ...string) string { return list[random.IntN(len(list))] }
		for range 15 {
			w.Clock.Advance(time.Minute)
			for range 3 {
				body := site.Site{Type: "water_point", Name: pick("Well", "well b", "Spring", "Tank"), Branch: pick(w.Org, north), Status: pick(site.Functional, site.Partly, ""), Privacy: pick(site.Public, site.Private)}
				if random.IntN(3) > 0 {
					body.Location = &site.Location{Lat: random.Float64()*10 + 1, Lon: random.Float64()*10 + 30}
				}
				var err error
				switch what := random.IntN(5); {
				case what < 2 || len(ids) == 0:
					var d ledger.Doc[site.Site]
					d, err = w.sites.Create(ctx, w.Admin, w.Org, body)
					ids = append(ids, d.ID)
				case what < 4:
					_, err = w.sites.Update(ctx, w.Admin, pick(ids...), 0, body)
				default:
					err = w.sites.Delete(ctx, w.Admin, pick(ids...), 0)
				}
				if err != nil && fault.KindOf(err) != fault.NotFound {
					t.Fatal(err)
				}
			}
			times = append(times, w.Ledger.Now())
			remembered = append(remembered, w.lists(t, time.Time{}, ids))
		}
		w.Clock.Advance(time.Hour)
		for i, at := range times {
			if is := w.lists(t, at, ids); is != remembered[i] {
				t.Fatalf("as of %s the lists are\n%s\nthey were\n%s", at, is, remembered[i])
			}
		}
	})
}

// lists is every list of sites, whole and in pages, and each site.
func (w *world) lists(t *testing.T, at time.Time, ids []string) string {
	t.Helper()
	all := map[string]any{}
	for _, actor := range []ledger.Actor{w.Admin, w.Viewer} {
		for _, f := range []site.Filter{
			{}, {Sort: "-name", Limit: 2}, {Sort: "code", Limit: 3}, {Sort: "-changed", Limit: 4}, {Status: site.Partly}, {Text: "well", Limit: 2}, {Box: []float64{30, 0, 36, 9}},
		} {
			name := fmt.Sprint(actor.Name, f)
			f.Org, f.At = w.Org, at
			docs := []ledger.Doc[site.Site]{}
			for {
				page, err := w.sites.List(ctx, actor, f)
				if err != nil {
					t.Fatal(err)
				}
				all[name+" total"] = page.Total
				docs = append(docs, page.Items...)
				if f.Cursor = page.Next; page.Next == "" {
					break
				}
			}
			all[name] = docs
		}
	}
	points, err := w.sites.Points(ctx, w.Admin, site.Filter{Org: w.Org, At: at})
	if err != nil {
		t.Fatal(err)
	}
	where := map[string]string{}
	for i, id := range points.IDs {
		where[id] = fmt.Sprint(points.Lat[i], points.Lon[i], points.Status[i], points.Names[i])
	}
	all["points"], all["unplaced"] = where, points.Unplaced
	for _, id := range ids {
		var d ledger.Doc[site.Site]
		var err error
		if at.IsZero() {
			d, _, err = w.sites.Get(ctx, w.Admin, id)
		} else {
			d, err = w.sites.GetAt(ctx, w.Admin, id, at)
		}
		if err != nil && fault.KindOf(err) != fault.NotFound {
			t.Fatal(err)
		}
		if err == nil {
			all[id] = d
		}
	}
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestRightsOverThePast: today's rights count, over the record as it stood and as it is.
func TestRightsOverThePast(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t)())
	make := func(name, privacy string) string {
		d, err := w.sites.Create(ctx, w.Admin, w.Org, site.Site{Type: "water_point", Name: name, Branch: w.Org, Privacy: privacy})
		if err != nil {
			t.Fatal(err)
		}
		return d.ID
	}
	set := func(id, name, privacy string) {
		if _, err := w.sites.Update(ctx, w.Admin, id, 0, site.Site{Type: "water_point", Name: name, Branch: w.Org, Privacy: privacy}); err != nil {
			t.Fatal(err)
		}
	}
	stayed, hidden, opened, gone, goneHidden := make("stayed", site.Public), make("hidden", site.Public), make("opened", site.Private), make("gone", site.Public), make("gone hidden", site.Private)
	at := w.Ledger.Now()
	w.Clock.Advance(time.Hour)
	set(stayed, "stayed, renamed", site.Public)
	set(hidden, "hidden", site.Private)
	set(opened, "opened", site.Public)
	for _, id := range []string{gone, goneHidden} {
		if err := w.sites.Delete(ctx, w.Admin, id, 0); err != nil {
			t.Fatal(err)
		}
	}
	sees := func(actor ledger.Actor) map[string]bool {
		t.Helper()
		page, err := w.sites.List(ctx, actor, site.Filter{Org: w.Org, At: at})
		if err != nil {
			t.Fatal(err)
		}
		listed := map[string]bool{}
		for _, d := range page.Items {
			listed[d.ID] = true
		}
		for _, id := range []string{stayed, hidden, opened, gone, goneHidden} {
			if _, err := w.sites.GetAt(ctx, actor, id, at); (err == nil) != listed[id] {
				t.Errorf("%s: listed is %v, got is %v", actor.Name, listed[id], err)
			}
		}
		return listed
	}
	want := func(actor ledger.Actor, what string, ids ...string) {
		t.Helper()
		is := sees(actor)
		for _, id := range ids {
			if !is[id] {
				t.Errorf("%s (%s) does not see %s as it stood", actor.Name, what, id)
			}
			delete(is, id)
		}
		if len(is) > 0 {
			t.Errorf("%s (%s) sees %v besides", actor.Name, what, is)
		}
	}
	want(w.Admin, "an admin of today", stayed, hidden, opened, gone, goneHidden)
	want(w.Outside, "what was public, and is or is gone", stayed, gone)
	var grant ledger.Doc[access.Grant]
	w.Write(t, func(tx *ledger.Tx) (err error) {
		grant, err = access.Give(tx, access.Grant{Thing: "site:" + hidden, Principal: "person:" + w.Outside.ID, Role: "view"})
		return err
	})
	want(w.Outside, "given the hidden one today", stayed, gone, hidden)
	w.Write(t, func(tx *ledger.Tx) error { return access.TakeBack(tx, grant.ID) })
	want(w.Outside, "and taken back", stayed, gone)
}

// BenchmarkListThen is the first page of 10,000 sites, with their number and by
// rights, as of a moment since when 1,000 have changed; the baseline is the same now.
func BenchmarkListThen(b *testing.B) {
	storetest.EachBench(b, func(b *testing.B, open func() *store.Store) {
		w := newWorld(b, open())
		ids := make([]string, 10_000)
		for i := 0; i < len(ids); i += 500 {
			w.Write(b, func(tx *ledger.Tx) error {
				for j := i; j < i+500; j++ {
					d, err := site.Create(tx, w.Org, "", site.Site{Code: site.CodeOf(int64(5000 + j)), Type: "water_point", Name: fmt.Sprint("Borehole ", j), Branch: w.Org, Status: site.Functional,
						Location: &site.Location{Lat: 1 + float64(j)/1e4, Lon: 30}, Properties: map[string]any{"install_year": 2011.0}})
					if err != nil {
						return err
					}
					ids[j] = d.ID
				}
				return nil
			})
		}
		at := w.Ledger.Now()
		w.Clock.Advance(time.Hour)
		for i := 0; i < 1000; i += 100 {
			w.Write(b, func(tx *ledger.Tx) error {
				for _, id := range ids[i : i+100] {
					if _, err := site.Sites.Update(tx, id, 0, func(s *site.Site) error { s.Status = site.NotFunctional; return nil }); err != nil {
						return err
					}
				}
				return nil
			})
		}
		for name, f := range map[string]site.Filter{"then": {Org: w.Org, At: at}, "now": {Org: w.Org}} {
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					page, err := w.sites.List(ctx, w.Viewer, f)
					if err != nil || page.Total != int64(len(ids)) {
						b.Fatalf("%d sites, %v", page.Total, err)
					}
				}
			})
		}
	})
}
