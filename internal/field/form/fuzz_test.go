package form

import (
	"encoding/json"
	"testing"

	"github.com/qanat-water/qanat/internal/base/fault"
)

func FuzzParse(f *testing.F) {
	f.Add(fixture(f, "visit.xml"))
	f.Add([]byte(`<html><head><model><instance><d id="x"><q/></d></instance></model></head><body><select1 ref="/d/q"><itemset nodeset="randomize(instance('a')/root/item[x=')'],3)"/></select1></body></html>`))
	visit := mustInstance(f, fixture(f, "visit-instance.xml"))
	f.Fuzz(func(t *testing.T, data []byte) {
		form, err := Parse(data)
		if err != nil {
			if fault.KindOf(err) == fault.Internal {
				t.Fatalf("not a fault: %v", err)
			}
			return
		}
		if form.ID == "" || form.Root == "" {
			t.Fatalf("a form without id or root: %+v", form)
		}
		if _, err := json.Marshal(form); err != nil {
			t.Fatal(err)
		}
		form.Walk(func(x *Field) {
			if form.Find(x.Path) == nil {
				t.Fatalf("%s cannot be found", x.Path)
			}
		})
		Answers(form, visit)
	})
}

func FuzzParseInstance(f *testing.F) {
	f.Add(fixture(f, "visit-instance.xml"))
	f.Add([]byte(`<visit id="pump_visit"><part/><place>1 2;3 4</place><test><ph>1e5</ph></test></visit>`))
	form := mustParse(f, fixture(f, "visit.xml"))
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := ParseInstance(data)
		if err != nil {
			if fault.KindOf(err) == fault.Internal {
				t.Fatalf("not a fault: %v", err)
			}
			return
		}
		if in.InstanceID == "" || in.FormID == "" {
			t.Fatalf("no id: %+v", in)
		}
		if _, err := json.Marshal(Answers(form, in).Answers); err != nil {
			t.Fatal(err)
		}
	})
}
