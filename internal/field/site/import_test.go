package site_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/qanat-water/qanat/internal/base/blob"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/field/site"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

var ctx = context.Background()

type world struct {
	*peopletest.World
	sites *site.Service
}

func newWorld(t testing.TB, s *store.Store) *world {
	w := &world{World: peopletest.New(t, s, site.Nouns()...)}
	blobs, err := blob.Open(t.TempDir(), w.Vault)
	if err != nil {
		t.Fatal(err)
	}
	w.sites = site.New(w.Ledger, blobs)
	t.Cleanup(w.sites.Close)
	return w
}

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	if err == nil || fault.From(err).Code != code {
		t.Errorf("%s: got %v (%s), want %s", what, err, fault.Cause(err), code)
	}
}

func fixture(t testing.TB, name string) *bytes.Reader {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(b)
}

// shared finds recorded data that stands beside the repository on some machines.
func shared(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../../../shared/data/sites", name))
	if err != nil {
		t.Skip("no recorded data on this machine: ", err)
	}
	return b
}

func total(t testing.TB, w *world) int64 {
	t.Helper()
	page, err := w.sites.List(ctx, w.Admin, site.Filter{Org: w.Org, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	return page.Total
}

func TestImportDistrict(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := newWorld(t, open())
		n := site.NewImport{Org: w.Org, Branch: w.Org, Name: "district.csv"}
		_, err := w.sites.Preview(ctx, w.Member, n, fixture(t, "district.csv"))
		wantCode(t, "a member imports", err, "site_import.denied")
		_, err = w.sites.Preview(ctx, w.Outside, n, fixture(t, "district.csv"))
		wantCode(t, "an outsider imports", err, "site_import.missing")

		v, err := w.sites.Preview(ctx, w.Manager, n, fixture(t, "district.csv"))
		if err != nil {
			t.Fatal(err)
		}
		wantMapping := map[string]string{
			"Name": "name", "Latitude": "latitude", "Longitude": "longitude", "Functional status": "status", "Water source": "water_source",
			"Install year": "install_year", "Colour of the pump": "colour_of_the_pump", "submitted_on": "report_date",
		}
		if !reflect.DeepEqual(v.Mapping, wantMapping) {
			t.Errorf("mapping %v", v.Mapping)
		}
		if v.State != site.Previewed || v.Rows != 12 || v.Creates != 4 || v.Skips != 1 || v.ErrorRows != 7 || total(t, w) != 0 {
			t.Errorf("preview: %+v", v.Import)
		}
		wantErrors := []string{
			"5 Latitude 134.9: latitude 134.9 is not between -90 and 90 (latitude and longitude look swapped)",
			"6 Latitude 0: latitude 0 and longitude 0 is in the sea off Ghana, and what a phone without a fix writes (leave the location out, or confirm it)",
			"7 Longitude : is empty, but the other coordinate is not (write both, or none)",
			"8 Functional status sometimes maybe: does not say a status",
			"9 Water source Moon: is none of the choices of Water source",
			"10 Install year 198: 198 is less than 1800 (check it)",
			"11 submitted_on 04/23/2022: is no date (write YYYY-MM-DD, or day/month/year with four digits for the year)",
		}
		for i, want := range wantErrors {
			if i >= len(v.Errors) {
				t.Errorf("error %q is missing", want)
				continue
			}
			e := v.Errors[i]
			if got := fmt.Sprintf("%d %s %s: %s (%s)", e.Row, e.Column, e.Value, e.Message, e.Mend); !strings.HasPrefix(got, want) {
				t.Errorf("error %d: %s\nwant %s", i, got, want)
			}
		}

		done, err := w.sites.Run(ctx, w.Manager, v.ID, nil)
		if err != nil || done.State != site.Done || done.Creates != 4 || done.Done != 12 || done.ErrorRows != 7 || done.Act == 0 {
			t.Fatalf("run: %+v, %v", done, err)
		}
		page, err := w.sites.List(ctx, w.Viewer, site.Filter{Org: w.Org, Text: "tomali"})
		if err != nil || len(page.Items) != 1 {
			t.Fatalf("find: %+v, %v", page, err)
		}
		got := page.Items[0].Body
		want := site.Site{
			Code: got.Code, Type: "water_point", Name: "Tomali, north", Branch: w.Org, Privacy: site.Protected, Status: site.NotFunctional,
			Location: &site.Location{Lat: -16.2211, Lon: 34.9177},
			Properties: map[string]any{"water_source": "borehole", "install_year": 1998.0, "colour_of_the_pump": "red, faded", "report_date": "2022-04-08",
				"status_detail": "No longer exists or abandoned"},
		}
		if !reflect.DeepEqual(got, want) || !site.ValidCode(got.Code) {
			t.Errorf("imported site\n%+v\nwant\n%+v", got, want)
		}
		types, err := w.sites.Types(ctx, w.Viewer, w.Org)
		if err != nil || types[0].Property("colour_of_the_pump") == nil {
			t.Errorf("the type has no column of the import: %v", err)
		}
		var out bytes.Buffer
		if err := w.sites.ErrorFile(ctx, w.Manager, v.ID, &out); err != nil {
			t.Fatal(err)
		}
		lines, err := csv.NewReader(&out).ReadAll()
		if err != nil || len(lines) != 8 || lines[1][0] != "5" || lines[1][3] != "Swapped" {
			t.Errorf("file of errors: %v, %v", lines, err)
		}

		// The same rows again with their codes change nothing; one is changed.
		again := "code,Name,Latitude,Longitude\n" + got.Code + ",\"Tomali, north\",-16.2211,34.9177\n" + got.Code + ",Tomali,,\n123,bad code,1,1\n"
		v2, err := w.sites.Preview(ctx, w.Manager, n, strings.NewReader(again))
		if err != nil || v2.Updates != 2 || v2.Creates != 0 || v2.ErrorRows != 1 {
			t.Fatalf("second preview: %+v, %v", v2.Import, err)
		}
		if v2, err = w.sites.Run(ctx, w.Manager, v2.ID, nil); err != nil || v2.Updates != 1 || v2.Skips != 1 || total(t, w) != 4 {
			t.Fatalf("second run: %+v, %v", v2.Import, err)
		}

		// Undo of the first keeps the site that was changed later, undo of the second sets it free.
		u, undone, err := w.sites.UndoImport(ctx, w.Manager, v.ID, "", nil)
		if err != nil || u.State != site.Undone || len(undone.Conflicts) != 1 || total(t, w) != 1 {
			t.Fatalf("undo: %+v %+v, %v", u, undone, err)
		}
		_, err = w.sites.Run(ctx, w.Manager, v.ID, nil)
		wantCode(t, "run what is undone", err, "import.over")
		if _, undone, err = w.sites.UndoImport(ctx, w.Manager, v2.ID, "", nil); err != nil || undone.Count != 1 {
			t.Fatalf("undo of the second: %+v, %v", undone, err)
		}
		if types, _ = w.sites.Types(ctx, w.Viewer, w.Org); types[0].Property("colour_of_the_pump") != nil {
			t.Error("the property that the import added is still there after its undo")
		}
	})
}

func TestImportForeignFile(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t)())
	v, err := w.sites.Preview(ctx, w.Admin, site.NewImport{Org: w.Org, Branch: w.Org}, fixture(t, "semicolons.csv"))
	if err != nil {
		t.Fatal(err)
	}
	mapping := map[string]string{}
	for k, c := range v.Mapping {
		mapping[k] = c
	}
	mapping["Statut"], mapping["Statut (2)"] = "status", "-"
	if v, err = w.sites.Run(ctx, w.Admin, v.ID, mapping); err != nil || v.Creates != 2 {
		t.Fatalf("%+v, %v", v.Import, err)
	}
	page, err := w.sites.List(ctx, w.Admin, site.Filter{Org: w.Org, Sort: "-name"})
	if err != nil || len(page.Items) != 2 {
		t.Fatal(page, err)
	}
	one, two := page.Items[0].Body, page.Items[1].Body
	if *one.Location != (site.Location{Lat: -14.524, Lon: 35.216}) || one.Status != site.Functional || one.Properties["temperature_moyenne"] != "21,5" {
		t.Errorf("first: %+v at %+v", one, one.Location)
	}
	if *two.Location != (site.Location{Lat: -14.1, Lon: 35.3}) || two.Status != site.NotFunctional {
		t.Errorf("second: %+v at %+v", two, two.Location)
	}
	for name, test := range map[string]struct {
		file string
		code string
	}{
		"empty":       {"", "import.empty"},
		"spreadsheet": {"PK\x03\x04rest", "import.format"},
		"utf-16":      {"\xff\xfeN\x00a\x00", "import.encoding"},
		"latin-1":     {"nom\xe9,lat\n", "import.encoding"},
	} {
		_, err := w.sites.Preview(ctx, w.Admin, site.NewImport{Org: w.Org, Branch: w.Org}, strings.NewReader(test.file))
		wantCode(t, name, err, test.code)
	}
	_, err = w.sites.Run(ctx, w.Admin, mustPreview(t, w, "lat,lon\n1,2\n").ID, map[string]string{"lat": "latitude", "lon": "-"})
	wantCode(t, "half a position", err, "import.mapping")
	v = mustPreview(t, w, "lat,lon,note\n1,2,\"a \"b\" c\"\n3,4,fine\n5,6,bad \xff text\n7,8,ok,more\n9,9,last\n")
	if v.Rows != 5 || v.ErrorRows != 3 || v.Creates != 2 {
		t.Errorf("rows that cannot be read: %+v", v.Import)
	}
}

func mustPreview(t testing.TB, w *world, file string) site.ImportView {
	t.Helper()
	v, err := w.sites.Preview(ctx, w.Admin, site.NewImport{Org: w.Org, Branch: w.Org}, strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// An import that is interrupted goes on where it stopped; nothing twice.
func TestImportResumes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := newWorld(t, open())
		var file strings.Builder
		file.WriteString("name,lat,lon,extra\n")
		for i := range 1700 {
			fmt.Fprintf(&file, "Point %d,%f,%f,x\n", i, -10-float64(i)/1000, 34.5)
		}
		v := mustPreview(t, w, file.String())
		// Interrupted: the context ends once 500 rows are done.
		stop, cancel := context.WithCancel(ctx)
		go func() {
			for stop.Err() == nil {
				if now, err := w.sites.GetImport(ctx, w.Admin, v.ID); err == nil && now.Done >= 500 {
					cancel()
				}
			}
		}()
		stopped, err := w.sites.Run(stop, w.Admin, v.ID, nil)
		cancel()
		now, err2 := w.sites.GetImport(ctx, w.Admin, v.ID)
		if err2 != nil {
			t.Fatal(err2)
		}
		if now.State == site.Done {
			t.Log("it was faster than the interruption: ", stopped.Done, err)
		} else if now.State != site.Failed || now.Done == 0 || int64(now.Done) != total(t, w) {
			t.Fatalf("interrupted: %+v with %d sites", now.Import, total(t, w))
		} else if v, err = w.sites.Run(ctx, w.Admin, v.ID, nil); err != nil || v.State != site.Done || v.Done != 1700 {
			t.Fatalf("resumed: %+v, %v", v.Import, err)
		}
		if total(t, w) != 1700 {
			t.Errorf("%d sites of 1700 rows", total(t, w))
		}
		u, undone, err := w.sites.UndoImport(ctx, w.Admin, v.ID, "", nil)
		if err != nil || len(undone.Conflicts) != 0 || total(t, w) != 0 {
			t.Errorf("undo of an interrupted import: %+v %+v, %v", u.Import, undone, err)
		}
	})
}

func TestImportMalawi(t *testing.T) {
	for _, test := range []struct {
		file     string
		rows     int
		statuses map[string]int
	}{
		{"malawi-functionality.csv", 11409, map[string]int{site.Functional: 4151, site.Partly: 5893, site.NotFunctional: 734 + 631}},
		{"malawi-status.csv", 1425, map[string]int{site.Functional: 807, site.Partly: 390, site.NotFunctional: 148 + 67, "": 13}},
	} {
		t.Run(test.file, func(t *testing.T) {
			data := shared(t, test.file)
			w := newWorld(t, storetest.SQLite(t)())
			v, err := w.sites.Preview(ctx, w.Admin, site.NewImport{Org: w.Org, Branch: w.Org, Name: test.file}, bytes.NewReader(data))
			if err != nil || v.Rows != test.rows || v.Creates != test.rows || v.ErrorsTotal != 0 {
				t.Fatalf("preview: %+v %+v, %v", v.Errors, v.Rows, err)
			}
			if v, err = w.sites.Run(ctx, w.Admin, v.ID, nil); err != nil || v.Creates != test.rows || v.ErrorsTotal != 0 {
				t.Fatalf("run: %+v, %v", v.Import, err)
			}
			p, err := w.sites.Points(ctx, w.Viewer, site.Filter{Org: w.Org})
			if err != nil || len(p.IDs) != test.rows || p.Unplaced != 0 {
				t.Fatalf("points: %d, %d without, %v", len(p.IDs), p.Unplaced, err)
			}
			got := map[string]int{}
			for _, s := range p.Status {
				got[s]++
			}
			if !reflect.DeepEqual(got, test.statuses) {
				t.Errorf("statuses %v, want %v", got, test.statuses)
			}
		})
	}
}

// BenchmarkImport imports the rows of a whole country's survey.
func BenchmarkImport(b *testing.B) {
	data := shared(b, "malawi-functionality.csv")
	storetest.EachBench(b, func(b *testing.B, open func() *store.Store) {
		w := newWorld(b, open())
		for b.Loop() {
			v, err := w.sites.Preview(ctx, w.Admin, site.NewImport{Org: w.Org, Branch: w.Org}, bytes.NewReader(data))
			if err != nil {
				b.Fatal(err)
			}
			if v, err = w.sites.Run(ctx, w.Admin, v.ID, nil); err != nil || v.Creates != 11409 {
				b.Fatal(v.Import, err)
			}
		}
		b.ReportMetric(float64(b.N)*11409/b.Elapsed().Seconds(), "sites/s")
		b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/import")
	})
}

// BenchmarkUndoImport takes a whole country's survey back.
func BenchmarkUndoImport(b *testing.B) {
	data := shared(b, "malawi-functionality.csv")
	storetest.EachBench(b, func(b *testing.B, open func() *store.Store) {
		w := newWorld(b, open())
		for b.Loop() {
			b.StopTimer()
			v, err := w.sites.Preview(ctx, w.Admin, site.NewImport{Org: w.Org, Branch: w.Org}, bytes.NewReader(data))
			if err == nil {
				v, err = w.sites.Run(ctx, w.Admin, v.ID, nil)
			}
			if err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			if _, undone, err := w.sites.UndoImport(ctx, w.Admin, v.ID, "", nil); err != nil || undone.Count < 11409 || len(undone.Conflicts) != 0 {
				b.Fatal(undone.Count, undone.Conflicts, err)
			}
		}
		b.ReportMetric(float64(b.N)*11409/b.Elapsed().Seconds(), "sites/s")
	})
}
