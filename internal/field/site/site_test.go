package site_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/field/site"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/org"
)

func TestCode(t *testing.T) {
	for code, valid := range map[string]bool{
		"10007": true, "157469": true, "742897074": true, "1124056539": true,
		"10008": false, "01": false, "7": false, "": false, "1000a": false, "10007 ": false, "-10007": false, strings.Repeat("1", 40): false,
	} {
		if site.ValidCode(code) != valid {
			t.Errorf("code %q: valid is %v", code, !valid)
		}
	}
	if got := site.CodeOf(1000); got != "10007" {
		t.Errorf("the first code is %s", got)
	}
	for n := int64(1000); n < 3000; n++ { // any single wrong digit is found
		code := []byte(site.CodeOf(n))
		for i := range code {
			for d := byte('0'); d <= '9'; d++ {
				if was := code[i]; d != was && !(i == 0 && d == '0') {
					code[i] = d
					if site.ValidCode(string(code)) {
						t.Fatalf("%s instead of %s is not found", code, site.CodeOf(n))
					}
					code[i] = was
				}
			}
		}
	}
}

// Two server processes on one database, many people at once: no code twice, and
// none of a deleted site again.
func TestCodesAreUnique(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := newWorld(t, open())
		// The first number's code is taken by a site from elsewhere.
		first, err := w.sites.Create(ctx, w.Admin, w.Org, site.Site{Type: "water_point", Branch: w.Org, Code: "10007"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.sites.Create(ctx, w.Admin, w.Org, site.Site{Type: "water_point", Branch: w.Org, Code: "10007"})
		wantCode(t, "the same code again", err, "site.taken")
		other := site.New(w.Ledger, nil)
		var wait sync.WaitGroup
		var mu sync.Mutex
		codes := map[string]int{first.Body.Code: 1}
		for i := range 8 {
			wait.Go(func() {
				s := w.sites
				if i%2 == 0 {
					s = other
				}
				for range 12 {
					d, err := s.Create(ctx, w.Admin, w.Org, site.Site{Type: "water_point", Branch: w.Org})
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					codes[d.Body.Code]++
					mu.Unlock()
				}
			})
		}
		wait.Wait()
		if len(codes) != 97 {
			t.Errorf("%d codes for 97 sites", len(codes))
		}
		if err := w.sites.Delete(ctx, w.Admin, first.ID, 0); err != nil {
			t.Fatal(err)
		}
		next, err := site.New(w.Ledger, nil).Create(ctx, w.Admin, w.Org, site.Site{Type: "water_point", Branch: w.Org})
		if err != nil || codes[next.Body.Code] != 0 {
			t.Errorf("a used code is given again: %s, %v", next.Body.Code, err)
		}
	})
}

func TestCheck(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t)())
	good := func() site.Site {
		return site.Site{Type: "water_point", Branch: w.Org, Name: "Chipho", Location: &site.Location{Lat: -16.1, Lon: 34.8}}
	}
	with := func(key string, v any) func(*site.Site) {
		return func(s *site.Site) { s.Properties = map[string]any{key: v} }
	}
	for _, test := range []struct {
		name   string
		change func(*site.Site)
		place  string // "": it is fine
	}{
		{"plain", func(*site.Site) {}, ""},
		{"no location", func(s *site.Site) { s.Location = nil }, ""},
		{"latitude", func(s *site.Site) { s.Location.Lat = 91 }, "/location/lat"},
		{"longitude", func(s *site.Site) { s.Location.Lon = -180.5 }, "/location/lon"},
		{"null island", func(s *site.Site) { *s.Location = site.Location{} }, "/location"},
		{"null island, meant", func(s *site.Site) { *s.Location = site.Location{Confirmed: true} }, ""},
		{"privacy", func(s *site.Site) { s.Privacy = "secret" }, "/privacy"},
		{"status", func(s *site.Site) { s.Status = "fine" }, "/status"},
		{"type", func(s *site.Site) { s.Type = "moon_base" }, "/type"},
		{"name", func(s *site.Site) { s.Name = strings.Repeat("n", 201) }, "/name"},
		{"code", func(s *site.Site) { s.Code = "10008" }, "/code"},
		{"unknown property", with("colour", "blue"), "/properties/colour"},
		{"integer", with("served_population", 250.0), ""},
		{"no integer", with("served_population", 2.5), "/properties/served_population"},
		{"integer as text", with("served_population", "250"), "/properties/served_population"},
		{"negative", with("served_population", -1.0), "/properties/served_population"},
		{"date", with("report_date", "2024-02-29"), ""},
		{"no date", with("report_date", "2023-02-29"), "/properties/report_date"},
		{"choice", with("water_source", "borehole"), ""},
		{"no choice", with("water_source", "moon"), "/properties/water_source"},
		{"text", with("water_tech", "Afridev"), ""},
		{"photo", func(s *site.Site) { s.Photos = []site.File{{Name: "a.jpg", Blob: "../../etc"}} }, "/photos/0/blob"},
		{"photo that is not there", func(s *site.Site) {
			s.Photos = []site.File{{Name: "a.jpg", Blob: strings.Repeat("0", 64)}}
		}, "/photos/0/blob"},
		{"no text", with("water_tech", true), "/properties/water_tech"},
		{"a list", with("water_tech", []any{"a"}), "/properties/water_tech"},
	} {
		s := good()
		test.change(&s)
		_, err := w.sites.Create(ctx, w.Admin, w.Org, s)
		if test.place == "" {
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if f := fault.From(err); err == nil || f.Kind != fault.Invalid || len(f.Details) != 1 || f.Details[0].Place != test.place || f.Details[0].Mend == "" {
			t.Errorf("%s: got %v (%s), want a place %s with a mend", test.name, err, fault.Cause(err), test.place)
		}
	}
	other := w.Organization(t, "Another")
	s := good()
	s.Branch = other
	_, err := w.sites.Create(ctx, w.Admin, w.Org, s)
	if fault.KindOf(err) == fault.Internal || err == nil {
		t.Errorf("a branch of another organization: %v", err)
	}
	d, err := w.sites.Create(ctx, w.Admin, w.Org, good())
	if err != nil {
		t.Fatal(err)
	}
	renumbered := d.Body
	renumbered.Code = "157469"
	_, err = w.sites.Update(ctx, w.Admin, d.ID, 0, renumbered)
	wantCode(t, "a changed code", err, "site.code.fixed")
	_, err = w.sites.Update(ctx, w.Admin, d.ID, 7, d.Body)
	wantCode(t, "a stale revision", err, "site.stale")
}

// An organization's own type, and what it adds to a built-in one.
func TestOwnTypes(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t)())
	_, err := w.sites.SaveType(ctx, w.Manager, w.Org, site.Type{Key: "kiln", Name: "Kiln"})
	wantCode(t, "a manager makes a type", err, "site_type.denied")
	_, err = w.sites.SaveType(ctx, w.Admin, w.Org, site.Type{Key: "Kiln!", Name: ""})
	if f := fault.From(err); len(f.Details) != 2 {
		t.Errorf("a bad type: %v", err)
	}
	own := site.Type{Key: "water_point", Name: "Water point", Properties: []site.Property{{Key: "colour", Label: "Colour", Type: site.Text}}}
	if _, err := w.sites.SaveType(ctx, w.Admin, w.Org, own); err != nil {
		t.Fatal(err)
	}
	d, err := w.sites.Create(ctx, w.Admin, w.Org, site.Site{Type: "water_point", Branch: w.Org, Properties: map[string]any{"colour": "blue", "water_source": "borehole"}})
	if err != nil {
		t.Fatal(err)
	}
	own.Properties[0] = site.Property{Key: "depth_class", Label: "Depth class", Type: site.Text}
	if _, err := w.sites.SaveType(ctx, w.Admin, w.Org, own); err != nil {
		t.Fatal(err)
	}
	kept := d.Body
	kept.Name = "A value that stood there before the type changed is let be"
	if _, err := w.sites.Update(ctx, w.Admin, d.ID, 0, kept); err != nil {
		t.Error(err)
	}
	kept.Properties = map[string]any{"colour": "red"}
	_, err = w.sites.Update(ctx, w.Admin, d.ID, 0, kept)
	wantCode(t, "a new value of a property that is gone", err, "site.invalid")
	_, err = w.sites.Create(ctx, w.Admin, w.Organization(t, "Another"), site.Site{Type: "water_point", Branch: w.Org, Properties: map[string]any{"colour": "blue"}})
	if err == nil {
		t.Error("another organization has the property too")
	}
}

func TestRights(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := newWorld(t, open())
		north, south := w.Branch(t, w.Org, "North"), w.Branch(t, w.Org, "South")
		nora := w.Person(t, "Nora", north, org.Managers)
		made := map[string]ledger.Doc[site.Site]{}
		for _, privacy := range []string{site.Public, site.Protected, site.Private} {
			d, err := w.sites.Create(ctx, nora, w.Org, site.Site{Type: "water_point", Name: privacy, Branch: north, Privacy: privacy})
			if err != nil {
				t.Fatal(err)
			}
			made[privacy] = d
		}
		_, err := w.sites.Create(ctx, nora, w.Org, site.Site{Type: "water_point", Branch: south})
		wantCode(t, "in another branch", err, "site.denied")
		sees := func(a ledger.Actor) string {
			page, err := w.sites.List(ctx, a, site.Filter{Org: w.Org})
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, d := range page.Items {
				names = append(names, d.Body.Name)
			}
			return strings.Join(names, " ")
		}
		for _, test := range []struct {
			who   ledger.Actor
			see   string
			edit  string // names that may be edited
			purge string
		}{
			{w.Admin, "private protected public", "private protected public", "private protected public"},
			{w.Manager, "private protected public", "private protected public", "private protected public"},
			{nora, "private protected public", "private protected public", "private protected public"},
			{w.Viewer, "private protected public", "public", ""},
			{w.Member, "protected public", "public", ""}, // a member of the organization, not of the branch
			{w.Outside, "protected public", "public", ""},
			{ledger.Actor{Kind: "device", ID: "d"}, "", "", ""},
			{ledger.Actor{Kind: "token", ID: nora.ID}, "", "", ""},
		} {
			if got := sees(test.who); got != test.see {
				t.Errorf("%s %s lists %q, want %q", test.who.Kind, test.who.Name, got, test.see)
			}
			for name, d := range made {
				_, may, err := w.sites.Get(ctx, test.who, d.ID)
				if seen := slices.Contains(strings.Fields(test.see), name); seen != (err == nil) || !seen && fault.KindOf(err) != fault.NotFound {
					t.Errorf("%s gets %s: %v", test.who.Name, name, err)
				}
				if may.Edit != slices.Contains(strings.Fields(test.edit), name) || may.Delete != slices.Contains(strings.Fields(test.purge), name) || may.Share != may.Delete {
					t.Errorf("%s on %s: %+v", test.who.Name, name, may)
				}
			}
		}

		wantCode(t, "a branch with sites in it is deleted", w.Orgs.DeleteBranch(ctx, w.Admin, north, 0), "branch.used")

		// Privacy is for those who administer; a grant opens one site to one person.
		open1 := made[site.Public].Body
		open1.Privacy = site.Private
		_, err = w.sites.Update(ctx, w.Outside, made[site.Public].ID, 0, open1)
		wantCode(t, "an outsider makes a public site private", err, "site.denied")
		err = w.Ledger.Write(ctx, nora, "", func(tx *ledger.Tx) error {
			_, err := access.Give(tx, access.Grant{Thing: "site:" + made[site.Private].ID, Principal: "person:" + w.Outside.ID, Role: "edit"})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if sees(w.Outside) != "private protected public" {
			t.Error("a grant does not open the private site")
		}
		body := made[site.Private].Body
		body.Name = "private"
		body.Status = site.Functional
		if _, err := w.sites.Update(ctx, w.Outside, made[site.Private].ID, 0, body); err != nil {
			t.Errorf("the holder of edit: %v", err)
		}
		wantCode(t, "the holder of edit deletes", w.sites.Delete(ctx, w.Outside, made[site.Private].ID, 0), "site.denied")

		// Undo asks for the same rights.
		history := func() (entry int64) {
			w.Read(t, func(r *ledger.Reader) error {
				d, err := site.Sites.Get(r, made[site.Private].ID)
				entry = d.Entry
				return err
			})
			return entry
		}
		_, err = w.Ledger.Undo(ctx, w.Member, "", history(), access.MayUndo)
		wantCode(t, "who cannot see it undoes", err, "site.missing")
		_, err = w.Ledger.Undo(ctx, w.Viewer, "", history(), access.MayUndo)
		wantCode(t, "who can only see it undoes", err, "site.denied")
		if _, err = w.Ledger.Undo(ctx, nora, "", history(), access.MayUndo); err != nil {
			t.Error(err)
		}
		opened := made[site.Private].Body
		opened.Privacy = site.Public
		if _, err := w.sites.Update(ctx, nora, made[site.Private].ID, 0, opened); err != nil {
			t.Fatal(err)
		}
		_, err = w.Ledger.Undo(ctx, w.Outside, "", history(), access.MayUndo)
		wantCode(t, "the holder of edit undoes a change of privacy", err, "site.denied")
		if _, err = w.Ledger.Undo(ctx, nora, "", history(), access.MayUndo); err != nil {
			t.Error(err)
		}
		if err := w.sites.Delete(ctx, nora, made[site.Private].ID, 0); err != nil {
			t.Fatal(err)
		}
		var deleted int64
		w.Read(t, func(r *ledger.Reader) error {
			entries, err := r.Entries(ledger.Filter{Doc: made[site.Private].ID, Limit: 1})
			deleted = entries[0].Number
			return err
		})
		_, err = w.Ledger.Undo(ctx, w.Outside, "", deleted, access.MayUndo)
		wantCode(t, "the holder of edit undeletes", err, "site.denied")
		if _, err = w.Ledger.Undo(ctx, w.Admin, "", deleted, access.MayUndo); err != nil {
			t.Error(err)
		}
	})
}

func TestList(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := newWorld(t, open())
		north := w.Branch(t, w.Org, "North")
		for i := range 23 {
			s := site.Site{Type: "water_point", Branch: w.Org, Name: fmt.Sprintf("Point %d", i%7), Status: site.Functional, Location: &site.Location{Lat: -10 - float64(i)/10, Lon: 178 + float64(i)/10}}
			if s.Location.Lon > 180 {
				s.Location.Lon -= 360
			}
			if i%2 == 1 {
				s.Type, s.Branch, s.Status = "school", north, ""
			}
			if i == 22 {
				s.Location, s.Name = nil, "100%_sure"
			}
			if _, err := w.sites.Create(ctx, w.Admin, w.Org, s); err != nil {
				t.Fatal(err)
			}
		}
		for _, sort := range []string{"", "name", "-name", "code", "-code", "changed", "-changed"} {
			seen := map[string]bool{}
			f := site.Filter{Org: w.Org, Sort: sort, Limit: 5}
			pages := 0
			for {
				page, err := w.sites.List(ctx, w.Viewer, f)
				if err != nil || page.Total != 23 {
					t.Fatalf("%s: %+v, %v", sort, page.Total, err)
				}
				for _, d := range page.Items {
					seen[d.ID] = true
				}
				if pages++; page.Next == "" {
					break
				}
				f.Cursor = page.Next
			}
			if len(seen) != 23 || pages != 5 {
				t.Errorf("sort %q: %d sites on %d pages", sort, len(seen), pages)
			}
		}
		for name, test := range map[string]struct {
			f    site.Filter
			want int64
		}{
			"type":                     {site.Filter{Type: "school"}, 11},
			"status":                   {site.Filter{Status: site.Functional}, 12},
			"branch":                   {site.Filter{Branch: north}, 11},
			"branch and below":         {site.Filter{Branch: w.Org}, 23},
			"part of a name":           {site.Filter{Text: "OINT 3"}, 3},
			"signs in a name":          {site.Filter{Text: "0%_"}, 1},
			"beginning of a code":      {site.Filter{Text: "100"}, 11},
			"box":                      {site.Filter{Box: []float64{178, -90, 178.55, 90}}, 6},
			"box across the date line": {site.Filter{Box: []float64{179.95, -90, -179.85, 90}}, 2},
		} {
			page, err := w.sites.List(ctx, w.Viewer, test.f)
			if err != nil || page.Total != test.want {
				t.Errorf("%s: %d, %v; want %d", name, page.Total, err, test.want)
			}
		}
		for name, f := range map[string]site.Filter{"sort": {Sort: "colour"}, "cursor": {Cursor: "???"}, "box": {Box: []float64{1}}} {
			if _, err := w.sites.List(ctx, w.Viewer, f); fault.KindOf(err) != fault.Invalid || err == nil {
				t.Errorf("bad %s: %v", name, err)
			}
		}
		p, err := w.sites.Points(ctx, w.Viewer, site.Filter{Org: w.Org})
		if err != nil || len(p.IDs) != 22 || len(p.Lon) != 22 || len(p.Codes) != 22 || p.Unplaced != 1 || p.More {
			t.Errorf("points: %+v, %v", p, err)
		}
	})
}

// BenchmarkPoints reads all positions of a large organization.
func BenchmarkPoints(b *testing.B) {
	storetest.EachBench(b, func(b *testing.B, open func() *store.Store) {
		w := newWorld(b, open())
		const many = 50_000
		for from := 0; from < many; from += 1000 {
			codes, err := w.sites.Codes(ctx, 1000)
			if err != nil {
				b.Fatal(err)
			}
			w.Write(b, func(tx *ledger.Tx) error {
				for i := range 1000 {
					_, err := site.Create(tx, w.Org, "", site.Site{Code: codes[i], Type: "water_point", Branch: w.Org, Name: "Point",
						Location: &site.Location{Lat: float64(from+i) / many, Lon: 34}, Status: site.Functional})
					if err != nil {
						return err
					}
				}
				return nil
			})
		}
		for b.Loop() {
			p, err := w.sites.Points(ctx, w.Viewer, site.Filter{Org: w.Org})
			if err != nil || len(p.IDs) != many {
				b.Fatal(len(p.IDs), err)
			}
		}
		b.ReportMetric(many*float64(b.N)/b.Elapsed().Seconds(), "points/s")
	})
}
