package reading

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/qanat-water/qanat/internal/base/fault"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestParse(t *testing.T) {
	now := noon.UnixMilli()
	cborPack := func(records ...map[any]any) string {
		b, err := cbor.Marshal(records)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, c := range []struct{ name, in, want string }{
		{"plain", `{"ts":1772366400000,"values":{"flow":1.25,"open":true}}`, "flow 1772366400000 1.25;open 1772366400000 1"},
		{"time after values", `{"values":{"flow":-3e-2},"ts":1772366400000}`, "flow 1772366400000 -0.03"},
		{"no time means now", ` {"values" : {"flow":0} } `, fmt.Sprintf("flow %d 0", now)},
		{"list", `[{"ts":1772366400000,"values":{"a":1}},{"ts":1772366401000,"values":{"a":2}}]`, "a 1772366400000 1;a 1772366401000 2"},
		{"escaped name", `{"values":{"fl\u006fw":1}}`, fmt.Sprintf("flow %d 1", now)},
		{"minus zero is zero", `{"values":{"flow":-0.0}}`, fmt.Sprintf("flow %d 0", now)},
		{"SenML multiple (RFC 8428, 5.1.2)", `[{"bn":"urn:dev:ow:10e2073a01080063:","n":"voltage","u":"V","v":120.1},{"n":"current","u":"A","v":1.2}]`,
			fmt.Sprintf("voltage %d 120.1 V;current %d 1.2 A", now, now)},
		{"SenML base time and unit (RFC 8428, 5.1.2)", `[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},{"n":"current","t":-5,"v":1.2}]`,
			"voltage 1276020076001 120.1 V;current 1276020071001 1.2 A"},
		{"SenML relative time, base value, flag", `[{"bv":20,"n":"t","v":1.5,"t":-60},{"n":"wet","vb":true}]`,
			fmt.Sprintf("t %d 21.5;wet %d 1", now-60000, now)},
		{"SenML unknown field is ignored", `[{"n":"t","v":1,"x":{"a":[1,{"b":null}]}}]`, fmt.Sprintf("t %d 1", now)},
		{"SenML CBOR", cborPack(map[any]any{-2: "urn:dev:x:", -3: 1276020076.5, 0: "voltage", 1: "V", 2: 120.1}, map[any]any{0: "current", 6: -5, 2: 1}),
			"voltage 1276020076500 120.1 V;current 1276020071500 1"},
		{"months late", `{"ts":1388534400000,"values":{"volume":34878.7}}`, "volume 1388534400000 34878.7"},
	} {
		values, err := NewParser(DefaultLimits).Parse([]byte(c.in), noon)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []string
		for _, v := range values {
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %d %v %s", v.Channel, v.TS, v.Value, v.Unit)))
		}
		if g := strings.Join(got, ";"); g != c.want {
			t.Errorf("%s: got %s, want %s", c.name, g, c.want)
		}
	}
}

func TestParseRefusesWithPlaceAndMend(t *testing.T) {
	many := `{"values":{"c0":0`
	for i := 1; i <= 1000; i++ {
		many += fmt.Sprintf(`,"c%d":%d`, i, i)
	}
	many += `}}`
	nan, _ := cbor.Marshal([]map[any]any{{0: "t", 2: math.NaN()}})
	for _, c := range []struct{ name, in, place string }{
		{"empty", ``, "byte 0"},
		{"spaces", `  `, "byte 0"},
		{"text", `hello`, "byte 0"},
		{"no values", `{"values":{}}`, "/"},
		{"no values field", `{"ts":1772366400000}`, "/values"},
		{"cut off", `{"values":{"flow":1`, "byte 19"},
		{"something after", `{"values":{"flow":1}} x`, "byte 22"},
		{"a second message", `{"values":{"flow":1}}{"values":{"flow":1}}`, "byte 21"},
		{"comma at the end", `{"values":{"flow":1,}}`, "byte 20"},
		{"leading zero", `{"values":{"flow":01}}`, "byte 19"},
		{"plus", `{"values":{"flow":+1}}`, "byte 18"},
		{"text value", `{"values":{"flow":"1"}}`, "/values/flow"},
		{"null", `{"values":{"flow":null}}`, "/values/flow"},
		{"nested", `[{"values":{"a":1}},{"values":{"flow":{"a":1}}}]`, "/1/values/flow"},
		{"not finite", `{"values":{"flow":1e999}}`, "/values/flow"},
		{"NaN in CBOR", string(nan), "/0/n"},
		{"channel twice", `{"values":{"flow":1,"flow":2}}`, "/values/flow"},
		{"bad channel", `{"values":{"fl ow":1}}`, "/values/fl ow"},
		{"empty channel", `{"values":{"":1}}`, "/values/"},
		{"long channel", `{"values":{"` + strings.Repeat("x", 65) + `":1}}`, "/values/" + strings.Repeat("x", 65)},
		{"seconds for milliseconds", `{"ts":1772366400,"values":{"flow":1}}`, "/ts"},
		{"the future", `{"ts":1772366701000,"values":{"flow":1}}`, "/ts"},
		{"half a millisecond", `{"ts":1772366400000.5,"values":{"flow":1}}`, "/ts"},
		{"time twice", `{"ts":1772366400000,"ts":1772366400000,"values":{"flow":1}}`, "/ts"},
		{"unknown field", `{"values":{"flow":1},"value":2}`, "/value"},
		{"too many", many, "/values/c1000"},
		{"control character", "{\"values\":{\"fl\now\":1}}", "byte 11"},
		{"deep", `[{"n":"t","v":1,"x":` + strings.Repeat("[", 60000) + `}]`, "byte 37"},
		{"SenML text", `[{"n":"t","vs":"on"}]`, "/0/v"},
		{"SenML without value", `[{"n":"t"}]`, "/0/v"},
		{"SenML two values", `[{"n":"t","v":1,"vb":true}]`, "/0/v"},
		{"SenML extension", `[{"n":"t","v":1,"ext_":1}]`, "/0/ext_"},
		{"SenML version", `[{"bver":11,"n":"t","v":1}]`, "/0/bver"},
		{"SenML two senders", `[{"n":"dev:a:t","v":1},{"n":"dev:b:t","v":1}]`, "/1/n"},
		{"SenML field twice", `[{"n":"t","v":1,"v":2}]`, "/0/v"},
		{"CBOR garbage", "\x9f\xff\x00", "the message"},
		{"CBOR bomb", "\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "the message"},
	} {
		_, err := NewParser(DefaultLimits).Parse([]byte(c.in), noon)
		if err == nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		f := fault.From(err)
		if f.Kind != fault.Invalid || len(f.Details) != 1 || f.Details[0].Place != c.place || f.Details[0].Mend == "" || f.Details[0].Message == "" {
			t.Errorf("%s: want a mend at %q, got %+v", c.name, c.place, f)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"ts":1772366400000,"values":{"flow":1.25,"open":true}}`))
	f.Add([]byte(`[{"ts":1772366400000,"values":{"a":1}},{"values":{"a":2e5}}]`))
	f.Add([]byte(`[{"bn":"urn:dev:ow:1:","bt":1.27e9,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},{"n":"current","t":-5,"vb":true}]`))
	b, _ := cbor.Marshal([]map[any]any{{-2: "urn:dev:x:", -3: 1276020076.5, 0: "voltage", 1: "V", 2: 120.1}, {0: "c", 4: true, "x": []int{1}}})
	f.Add(b)
	p := NewParser(DefaultLimits)
	f.Fuzz(func(t *testing.T, in []byte) {
		values, err := p.Parse(in, noon)
		if err != nil {
			if e := fault.From(err); e.Kind != fault.Invalid || len(e.Details) == 0 {
				t.Fatalf("refused without a place: %v", err)
			}
			return
		}
		if len(values) == 0 || len(values) > DefaultLimits.Values {
			t.Fatalf("%d values accepted", len(values))
		}
		for _, v := range values {
			if !validChannel(v.Channel) || math.IsNaN(v.Value) || math.IsInf(v.Value, 0) || v.TS < earliest || v.TS > noon.Add(DefaultLimits.Skew).UnixMilli() {
				t.Fatalf("accepted %+v", v)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	in := []byte(`{"ts":1772366400000,"values":{"flow":1.25,"pressure":3.1,"battery":87}}`)
	p := NewParser(DefaultLimits)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Parse(in, noon); err != nil {
			b.Fatal(err)
		}
	}
}
