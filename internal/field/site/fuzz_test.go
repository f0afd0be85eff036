package site

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/qanat-water/qanat/internal/base/fault"
)

// FuzzSheet: whatever a file holds, reading it ends, each row is a site that the
// rules accept or an error that names the row, and nothing is lost.
func FuzzSheet(f *testing.F) {
	files, err := filepath.Glob("testdata/*.csv")
	if err != nil || len(files) == 0 {
		f.Fatal("no fixtures", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	for _, s := range []string{"", "a", "lat,lon\n1,2", "gps\nPOINT(34 -16)\n\"1 2 3 4\"\n", "a\tb\n1\t2\n", "a|b|a|\n1|2|3|4|5\n", "\"", "a,b\n\"x", "y,x\n90,180\nNaN,1e400\n", "served population\n\"1,200\"\n1 200\n0x10\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := openSheet(strings.NewReader(text))
		if err != nil {
			if fault.KindOf(err) == fault.Internal {
				t.Fatalf("refused without a reason: %v", err)
			}
			return
		}
		typ := BuiltIn("water_point")
		mapping := guess(s.columns, typ)
		if len(mapping) != len(s.columns) {
			t.Fatalf("%d columns, %d of them mapped: %v", len(s.columns), len(mapping), mapping)
		}
		if err := checkMapping(mapping, s.columns); err != nil {
			t.Fatalf("a guess that is refused: %v from %q", err, s.columns)
		}
		p := newPlan(s.columns, s.delimiter, mapping, typ, "branch", Protected)
		own := Type{Key: "water_point", Name: "x", Properties: p.fresh}
		if err := own.check(); err != nil {
			t.Fatalf("properties that a type cannot have: %v from %q", err, s.columns)
		}
		for {
			record, wrong, err := s.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if wrong != nil {
				if wrong.Row != s.row || wrong.Message == "" {
					t.Fatalf("an error that says nothing: %+v", wrong)
				}
				continue
			}
			site, blank, problems := p.site(s.row, record)
			for _, e := range problems {
				if e.Row != s.row || e.Message == "" || e.Mend == "" || e.Column == "" || !utf8.ValidString(e.Value) {
					t.Fatalf("an error without row, column, message or mend: %+v", e)
				}
			}
			if len(problems) > 0 || blank {
				continue
			}
			if site.Code == "" {
				site.Code = "10007"
			}
			if found := append(site.problems(), p.typ.problems(site.Properties, nil)...); len(found) > 0 {
				t.Fatalf("the preview accepts what the rules refuse: %+v", found)
			}
		}
	})
}

func TestStatusOf(t *testing.T) {
	for words, want := range map[string]string{
		"Functional": Functional, "Yes": Functional, "working": Functional, "Functional (in use)": Functional, "oui": Functional,
		"Partially functional but in need of repair": Partly, "Functional but needs repair": Partly, "Functional, needs maintenance": Partly, "seasonal": Partly,
		"Not functional": NotFunctional, "Non-functional": NotFunctional, "No longer exists or abandoned": NotFunctional, "Abandoned": NotFunctional, "no": NotFunctional, "Broken down": NotFunctional,
		"Not working": NotFunctional, "Out of order": NotFunctional, "Unknown": Unknown, "Don't know": Unknown, "maybe": "", "42": "",
	} {
		if got, ok := statusOf(words); got != want || ok != (want != "") {
			t.Errorf("%q is %q, want %q", words, got, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, test := range []struct {
		cell   string
		commas bool
		want   float64
		ok     bool
	}{
		{"12", false, 12, true}, {"-1.5", false, -1.5, true}, {"1,200", false, 1200, true}, {"1,200", true, 1.2, true}, {"1,5", false, 1.5, true},
		{"1.200,5", true, 1200.5, true}, {"1 200", false, 1200, true}, {"1,234,567.8", false, 1234567.8, true}, {"−3", false, -3, true}, {"1e3", false, 1000, true},
		{"NaN", false, 0, false}, {"inf", false, 0, false}, {"0x10", false, 0, false}, {"12 m", false, 0, false}, {"", false, 0, false}, {"1,2,3", false, 0, false}, {"1_000", false, 0, false},
	} {
		got, ok := decimal(test.cell, test.commas)
		if ok != test.ok || ok && got != test.want {
			t.Errorf("%q with decimal commas %v: %v %v, want %v %v", test.cell, test.commas, got, ok, test.want, test.ok)
		}
	}
	for cell, want := range map[string]float64{"-14.5": -14.5, "-14,524": -14.524, "14.5 S": -14.5, "S14.5": -14.5, "35.2E": 35.2, "35.2°": 35.2, " 12 ": 12} {
		if got, ok := degrees(cell); !ok || got != want {
			t.Errorf("%q is %v %v, want %v", cell, got, ok, want)
		}
	}
	for cell, want := range map[string]string{"06/04/2022": "2022-04-06", "6.4.2022": "2022-04-06", "2022-04-06": "2022-04-06", "2022-04-06T10:00:00Z": "2022-04-06", "6 Apr 2022": "2022-04-06", "04/23/2022": "", "6/4/22": "", "31/02/2022": ""} {
		if got, ok := day(cell); got != want || ok != (want != "") {
			t.Errorf("%q is %q, want %q", cell, got, want)
		}
	}
	for cell, want := range map[string]Location{"-14.5 35.2": {Lat: -14.5, Lon: 35.2}, "-14.5, 35.2": {Lat: -14.5, Lon: 35.2}, "POINT(35.2 -14.5)": {Lat: -14.5, Lon: 35.2}, "-14.5 35.2 700 0": {Lat: -14.5, Lon: 35.2}} {
		if got, err := position(cell); err != nil || *got != want {
			t.Errorf("%q is %v %v, want %v", cell, got, err, want)
		}
	}
}
