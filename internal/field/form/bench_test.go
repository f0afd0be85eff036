package form

import (
	"os"
	"strings"
	"testing"
)

// BenchmarkParse parses a real form, and the worst that the limits let in.
func BenchmarkParse(b *testing.B) {
	worst := []byte(`<h:html xmlns:h="x"><h:head><model><instance><d id="x"><q/></d></instance><instance id="a"><root>` + strings.Repeat("<i><name>a</name></i>", maxFormNodes/2-100) +
		`</root></instance></model></h:head><h:body/></h:html>`)
	for name, data := range map[string][]byte{"visit": fixture(b, "visit.xml"), "worst": worst} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				mustParse(b, data)
			}
		})
	}
}

// BenchmarkAnswers reads a submission and its answers.
func BenchmarkAnswers(b *testing.B) {
	f := mustParse(b, fixture(b, "visit.xml"))
	data, err := os.ReadFile("testdata/visit-instance.xml")
	if err != nil {
		b.Fatal(err)
	}
	worst := []byte(`<visit id="pump_visit">` + strings.Repeat("<part><qty>x</qty></part>", maxInstanceNodes/2-10) + `</visit>`)
	for name, data := range map[string][]byte{"visit": data, "worst": worst} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				Answers(f, mustInstance(b, data))
			}
		})
	}
}
