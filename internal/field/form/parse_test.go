package form

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
)

func fixture(t testing.TB, name string) []byte {
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func mustParse(t testing.TB, data []byte) *Form {
	f, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestParseVisit(t *testing.T) {
	f := mustParse(t, fixture(t, "visit.xml"))
	if f.ID != "pump_visit" || f.Version != "7" || f.Title != "Pump visit" || f.Root != "visit" || !f.HasInstanceID || f.DefaultLanguage != "English" {
		t.Errorf("head: %+v", f)
	}
	if got := strings.Join(f.Languages, ","); got != "English,Français" {
		t.Errorf("languages %s", got)
	}
	if got := strings.Join(f.Files, ","); got != "pump.png,scores.csv,villages.csv" {
		t.Errorf("files %s", got)
	}
	var order []string
	f.Walk(func(x *Field) { order = append(order, fmt.Sprintf("%s:%s:%v", x.Path, x.Type, x.Hidden)) })
	want := []string{"/visit/kind:select:false", "/visit/name:string:false", "/visit/site_code:string:false", "/visit/faults:selectMultiple:false", "/visit/place:geopoint:false",
		"/visit/part:repeat:false", "/visit/part/what:string:false", "/visit/part/qty:int:false", "/visit/test:group:false", "/visit/test/ph:decimal:false", "/visit/test/when:date:false",
		"/visit/photo:binary:false", "/visit/village:select:false", "/visit/begin:dateTime:true", "/visit/score:int:true", "/visit/meta:group:true", "/visit/meta/instanceID:string:true", "/visit/meta/entity:string:true"}
	if got := strings.Join(order, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("fields:\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	name := f.Find("/visit/name")
	if name.Label["English"] != "Name of {/visit/site_code}" || name.Label["Français"] != "Nom" || name.Hint["English"] != "As painted" || name.Guidance["English"] != "On the plinth" ||
		name.Media["image"] != "pump.png" || name.Required != "true()" || name.RequiredText[""] != "A pump needs a name" || name.Confidential != "yes" || name.SaveTo != "name" {
		t.Errorf("name: %+v", name)
	}
	kind := f.Find("/visit/kind")
	if len(kind.Choices) != 2 || kind.Choices[1].Value != "tap" || kind.Choices[1].Label["Français"] != "Borne" || !kind.Filter || kind.List != "kinds" || kind.Appearance != "minimal" {
		t.Errorf("kind: %+v", kind)
	}
	if part := f.Find("/visit/part"); part.Label[""] != "Part" || part.Count != "3" {
		t.Errorf("part: %+v", part)
	}
	if qty := f.Find("/visit/part/qty"); qty.Constraint != "(. > 0 and . < )" || qty.ConstraintMsg["Français"] != "Borne" {
		t.Errorf("a broken constraint is kept as text: %+v", qty)
	}
	if v := f.Find("/visit/village"); v.External != "villages.csv" || len(v.Choices) != 0 {
		t.Errorf("village: %+v", v)
	}
	if len(f.Entities) != 1 || f.Entities[0] != (Entity{Path: "/visit", Dataset: "pumps", Create: "1"}) {
		t.Errorf("entities: %+v", f.Entities)
	}
	if len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0].Message, "/visit/gone") || !strings.HasPrefix(f.Warnings[0].Place, "line 5") {
		t.Errorf("warnings: %+v", f.Warnings)
	}
	if _, err := json.Marshal(f); err != nil {
		t.Error(err)
	}
}

func TestParseRefuses(t *testing.T) {
	wrap := func(instance, binds, body string) string {
		return `<h:html xmlns="http://www.w3.org/2002/xforms" xmlns:h="http://www.w3.org/1999/xhtml"><h:head><h:title>x</h:title><model><instance>` + instance + `</instance>` + binds + `</model></h:head><h:body>` + body + `</h:body></h:html>`
	}
	deep := strings.Repeat("<a>", 80) + strings.Repeat("</a>", 80)
	// One long text that many questions share would grow to more than the form itself.
	shared := `<itext><translation lang="en"><text id="t"><value>` + strings.Repeat("x", 100_000) + `</value></text></translation></itext>`
	labels := strings.Repeat(`<input ref="/d/q"><label ref="jr:itext('t')"/></input>`, 1)
	items := `<select ref="/d/q">` + strings.Repeat(`<item><label ref="jr:itext('t')"/><value>v</value></item>`, 1000) + `</select>`
	for _, c := range []struct{ name, xml, code, place string }{
		{"empty", "", "form.xml.malformed", "line 1"},
		{"text", "hello", "form.xml.malformed", "line 1"},
		{"not closed", "<h:html><a>\n<b></a>", "form.xml.malformed", "line 2"},
		{"two roots", "<a/><b/>", "form.xml.malformed", "line 1"},
		{"doctype", "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>", "form.xml.doctype", "line 1"},
		{"billion laughs", "<?xml version='1.0'?>\n<!DOCTYPE lolz [<!ENTITY a 'lol'><!ENTITY b '&a;&a;'>]><lolz>&b;</lolz>", "form.xml.doctype", "line 2"},
		{"unknown entity", "<a>\n&nbsp;</a>", "form.xml.malformed", "line 2"},
		{"latin-1", "<?xml version='1.0' encoding='ISO-8859-1'?><a/>", "form.xml.encoding", "line 1"},
		{"bad byte", "<a>\n\n\xff</a>", "form.xml.encoding", "line 3"},
		{"utf-16", "\xff\xfe<\x00a\x00", "form.xml.encoding", "line 1"},
		{"a submission", `<data id="x"/>`, "form.not_xform", "line 1, <data>"},
		{"no model", `<html><head/><body/></html>`, "form.no_model", "line 1, <head>"},
		{"no instance", wrap("", "", ""), "form.no_instance", "<model>"},
		{"no id", wrap("<d/>", "", ""), "form.no_id", "<d>"},
		{"question for nothing", wrap(`<d id="x"><q/></d>`, "", `<input ref="/d/r"/>`), "form.ref.unknown", "<input>"},
		{"repeat for nothing", wrap(`<d id="x"><q/></d>`, "", `<group><repeat nodeset="/d/r"/></group>`), "form.ref.unknown", "<repeat>"},
		{"deep", wrap(`<d id="x">`+deep+`</d>`, "", ""), "form.too_deep", "<a>"},
		{"long name", wrap(`<d id="x"><`+strings.Repeat("n", 300)+`/></d>`, "", ""), "form.name_too_long", "line 1"},
		{"many questions", wrap(`<d id="x">`+manyElements(maxFields+1)+`</d>`, "", ""), "form.too_many_fields", "<d>"},
		{"many nodes", wrap(`<d id="x">`+strings.Repeat("<q/>", maxFormNodes)+`</d>`, "", ""), "form.too_many_nodes", "line 1"},
		{"one text many times", wrap(`<d id="x"><q/></d>`, shared, labels+items), "form.too_much_text", ""},
		{"large", "<a>" + strings.Repeat(" ", MaxForm) + "</a>", "form.too_large", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.xml))
			f := fault.From(err)
			if err == nil || f.Code != c.code {
				t.Fatalf("got %v, want code %s", err, c.code)
			}
			if c.place != "" && (len(f.Details) == 0 || !strings.Contains(f.Details[0].Place, c.place) || f.Details[0].Mend == "") {
				t.Errorf("details %+v, want place %q and a mend", f.Details, c.place)
			}
			if c.place == "" && f.Mend == "" {
				t.Errorf("no mend")
			}
		})
	}
}

func manyElements(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "<q%d/>", i)
	}
	return b.String()
}

// Text broken into many pieces by comments must not cost the square of their number.
func TestParseManyComments(t *testing.T) {
	data := []byte("<a>" + strings.Repeat("x<!---->", 500_000) + "</a>")
	start := time.Now()
	if _, err := ParseInstance(data); err == nil {
		t.Error("accepted")
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %s", d)
	}
}

func TestLongListIsKeptOnce(t *testing.T) {
	var form strings.Builder
	form.WriteString(`<h:html xmlns="http://www.w3.org/2002/xforms" xmlns:h="http://www.w3.org/1999/xhtml"><h:head><h:title>x</h:title><model><instance><d id="x">`)
	for i := range 5 {
		fmt.Fprintf(&form, "<q%d/>", i)
	}
	form.WriteString(`</d></instance><instance id="sites"><root>`)
	for i := range 9000 {
		fmt.Fprintf(&form, "<item><name>s%d</name><label>Site %d</label></item>", i, i)
	}
	form.WriteString(`</root></instance></model></h:head><h:body>`)
	for i := range 5 {
		fmt.Fprintf(&form, `<select1 ref="/d/q%d"><itemset nodeset="instance('sites')/root/item"><value ref="name"/><label ref="label"/></itemset></select1>`, i)
	}
	form.WriteString(`</h:body></h:html>`)
	f := mustParse(t, []byte(form.String()))
	inField := 0
	for i := range f.Fields {
		if len(f.Fields[i].Choices) > 0 {
			inField++
		}
		if choices := f.Choices(&f.Fields[i]); len(choices) != 9000 || choices[8999].Label[""] != "Site 8999" {
			t.Errorf("%s offers %d choices", f.Fields[i].Path, len(choices))
		}
	}
	if inField != 2 {
		t.Errorf("%d fields repeat the list, want 2", inField)
	}
}
