package form

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qanat-water/qanat/internal/base/fault"
)

func mustInstance(t testing.TB, data []byte) *Instance {
	in, err := ParseInstance(data)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestAnswersVisit(t *testing.T) {
	f := mustParse(t, fixture(t, "visit.xml"))
	in := mustInstance(t, fixture(t, "visit-instance.xml"))
	if in.FormID != "pump_visit" || in.Version != "7" || in.InstanceID != "uuid:6a3d5a5e-0b0f-4d1e-9f39-1c0a3a2f7b11" || in.Derived {
		t.Errorf("instance %+v", in)
	}
	a := Answers(f, in)
	got, _ := json.Marshal(a.Answers)
	want := `{"begin":"2026-11-20T08:15:30.338+03","extra":{"deep":"kept"},"faults":["leak","dry"],"kind":"well","meta":{"instanceID":"uuid:6a3d5a5e-0b0f-4d1e-9f39-1c0a3a2f7b11"},` +
		`"name":" Mtepe pump\n2","part":[{"qty":2,"what":"rod"},{"qty":"0x10"}],"photo":"1700000000.jpg","place":{"lat":-0.5,"lon":36.25,"altitude":1800,"accuracy":4.5},` +
		`"score":"NaN","site_code":"10007","test":{"ph":7.25,"when":"2026-02-30"},"village":"Kibuyuni"}`
	if string(got) != want {
		t.Errorf("answers\n%s\nwant\n%s", got, want)
	}
	var flags []string
	for _, flag := range a.Flags {
		flags = append(flags, flag.Path+": "+flag.Problem)
	}
	wantFlags := []string{"/visit/kind: not one of the choices", "/visit/part[2]/qty: not a whole number", "/visit/test/when: not a date as 2026-11-21",
		"/visit/score: not a whole number", "/visit/extra: the form has no such question"}
	if strings.Join(flags, "\n") != strings.Join(wantFlags, "\n") {
		t.Errorf("flags\n%s\nwant\n%s", strings.Join(flags, "\n"), strings.Join(wantFlags, "\n"))
	}
	if a.Location == nil || a.Location.Lon != 36.25 || a.Started != "2026-11-20T08:15:30.338+03" || len(a.Files) != 1 || a.Files[0] != "1700000000.jpg" {
		t.Errorf("location %+v, started %s, files %v", a.Location, a.Started, a.Files)
	}
}

func TestDerivedInstanceID(t *testing.T) {
	one := mustInstance(t, []byte(`<d id="x"><q>1</q></d>`))
	again := mustInstance(t, []byte(`<d id="x"><q>1</q></d>`))
	other := mustInstance(t, []byte(`<d id="x"><q>2</q></d>`))
	if !one.Derived || one.InstanceID != again.InstanceID || one.InstanceID == other.InstanceID {
		t.Errorf("%s %s %s", one.InstanceID, again.InstanceID, other.InstanceID)
	}
	if len(one.InstanceID) != 41 || one.InstanceID[19] != '8' || !strings.Contains("89ab", one.InstanceID[24:25]) {
		t.Errorf("%s is no UUIDv8", one.InstanceID)
	}
}

func TestOddSubmissions(t *testing.T) {
	f := mustParse(t, fixture(t, "visit.xml"))
	for _, c := range []struct{ name, xml, answers, problem string }{
		{"answered twice", `<visit id="pump_visit"><name>a</name><name>b</name><name>c</name></visit>`, `{"name":["a","b","c"]}`, "sent more than once"},
		{"group as text", `<visit id="pump_visit"><test>x</test></visit>`, `{"test":"x"}`, "text where a group of questions should be"},
		{"question as group", `<visit id="pump_visit"><name><a>x</a></name></visit>`, `{"name":{"a":"x"}}`, "elements where an answer should be"},
		{"stray text", `<visit id="pump_visit"><name>a</name>stray</visit>`, `{"#text":["stray"],"name":"a"}`, "text where only questions may be"},
		{"latitude", `<visit id="pump_visit"><place>91 0</place></visit>`, `{"place":"91 0"}`, "not a position: latitude, longitude, altitude, accuracy"},
		{"infinite", `<visit id="pump_visit"><test><ph>1e999</ph></test></visit>`, `{"test":{"ph":"1e999"}}`, "not a number"},
		{"huge integer", `<visit id="pump_visit"><score>9007199254740993</score></visit>`, `{"score":"9007199254740993"}`, "too large a number to be kept exactly"},
		{"path as photo", `<visit id="pump_visit"><photo>../../etc/passwd</photo></visit>`, `{"photo":"../../etc/passwd"}`, "no usable file name"},
		{"another root", `<other id="pump_visit"><name>a</name></other>`, `{"name":"a"}`, "the form's submissions begin with <visit>"},
		{"empty repeat", `<visit id="pump_visit"><part/><part><qty>1</qty></part></visit>`, `{"part":[{},{"qty":1}]}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := Answers(f, mustInstance(t, []byte(c.xml)))
			got, err := json.Marshal(a.Answers)
			if err != nil || string(got) != c.answers {
				t.Errorf("answers %s (%v), want %s", got, err, c.answers)
			}
			problems := ""
			for _, flag := range a.Flags {
				problems = flag.Problem
			}
			if problems != c.problem {
				t.Errorf("flags %+v, want %q", a.Flags, c.problem)
			}
		})
	}
}

func TestParseInstanceRefuses(t *testing.T) {
	for _, c := range []struct{ name, xml, code string }{
		{"empty", "", "submission.xml.malformed"},
		{"doctype", `<!DOCTYPE d><d id="x"/>`, "submission.xml.doctype"},
		{"no form", `<d/>`, "submission.no_form"},
		{"long id", `<d id="` + strings.Repeat("x", 300) + `"/>`, "submission.bad_id"},
		{"control character in the id", `<d id="x"><meta><instanceID>a&#9;b</instanceID></meta></d>`, "submission.bad_id"},
		{"deep", `<d id="x">` + strings.Repeat("<a>", 70) + strings.Repeat("</a>", 70) + `</d>`, "submission.too_deep"},
		{"many", `<d id="x">` + strings.Repeat("<a/>", maxInstanceNodes) + `</d>`, "submission.too_many_nodes"},
	} {
		if _, err := ParseInstance([]byte(c.xml)); err == nil || fault.From(err).Code != c.code {
			t.Errorf("%s: %v, want %s", c.name, err, c.code)
		}
	}
}

func TestWaterSimple(t *testing.T) {
	dir := shared(t, "openrosa", "water_simple")
	data, err := os.ReadFile(filepath.Join(dir, "forms", "WaterSimple.xml"))
	if err != nil {
		t.Fatal(err)
	}
	f := mustParse(t, data)
	if f.ID != "build_WaterSimple_1295821382" || f.HasInstanceID || f.Find("/data/users_per_month").Type != Int || f.Find("/data/name").Label["eng"] != "Water Point Name" {
		t.Errorf("%+v", f)
	}
	names, _ := filepath.Glob(filepath.Join(dir, "instances", "WaterSimple_*.xml"))
	ids := map[string]bool{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		in := mustInstance(t, data)
		a := Answers(f, in)
		if in.FormID != f.ID || !in.Derived || len(a.Flags) > 0 || a.Location == nil || a.Location.Lat < 40 || a.Answers["users_per_month"].(int64) < 300 || a.Started == "" {
			t.Errorf("%s: %+v %+v", filepath.Base(name), in, a)
		}
		ids[in.InstanceID] = true
	}
	if len(names) != 3 || len(ids) != 3 {
		t.Errorf("%d files, %d instance ids", len(names), len(ids))
	}
}

// The blank submission in each form of the reference converter has no element its own form does not know.
func TestGoldensKnowTheirInstances(t *testing.T) {
	goldens(t, func(n int, xform []byte) {
		f, err := Parse(xform)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := read(xform, formLimits)
		if err != nil {
			t.Fatal(err)
		}
		root := doc.child("head").child("model").child("instance").children()[0]
		fill(root)
		for _, flag := range Answers(f, &Instance{root: root}).Flags {
			if strings.HasPrefix(flag.Problem, "the form") || strings.HasPrefix(flag.Problem, "elements") {
				t.Errorf("line %d: %+v", n, flag)
			}
		}
	})
}

func fill(e *element) {
	if inside := e.children(); len(inside) > 0 {
		for _, c := range inside {
			fill(c)
		}
		return
	}
	e.nodes = []node{{text: "1"}}
}
