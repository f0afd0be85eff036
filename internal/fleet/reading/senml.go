package reading

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

// record is one SenML record (RFC 8428, section 4). Fields that carry what is
// not stored (text, data, sums) are seen, so that nothing is lost silently.
type record struct {
	baseVersion                           *float64
	baseName, baseUnit, name, unit        *string
	baseTime, baseValue, value, time, sum *float64
	flag                                  *bool
	text                                  bool
}

// relative: a SenML time below this is relative to now (RFC 8428, section 4.5.3).
const relative = 1 << 28

// senMLVersion is the newest version of the format that is understood.
const senMLVersion = 10

// pack resolves records as they come: base fields stay until they change.
type pack struct {
	name, unit  string
	time, value float64
	prefix      string // the part of the names that is the sender's own
	prefixed    bool
}

func (p *Parser) resolve(k *pack, r *record, i int) error {
	at := func(field string) func() string {
		return func() string { return "/" + strconv.Itoa(i) + "/" + field }
	}
	if r.baseVersion != nil && (*r.baseVersion > senMLVersion || *r.baseVersion < 1) {
		return refuse("reading.senml", at("bver")(), fmt.Sprintf("SenML version %g is not understood", *r.baseVersion), "Send version 10 (RFC 8428)")
	}
	if r.baseName != nil {
		k.name = *r.baseName
	}
	if r.baseUnit != nil {
		k.unit = *r.baseUnit
	}
	if r.baseTime != nil {
		k.time = *r.baseTime
	}
	if r.baseValue != nil {
		k.value = *r.baseValue
	}
	if r.text || r.sum != nil {
		return refuse("reading.senml", at("v")(), "Text, data and sums are not stored as readings", "Send numbers (v) or flags (vb); send a sum as a record of its own")
	}
	if r.value == nil && r.flag == nil {
		if r.name == nil && r.unit == nil && r.time == nil {
			return nil // base fields alone
		}
		return refuse("reading.senml", at("v")(), "The record has no value", "Send a number (v) or a flag (vb)")
	}
	if r.value != nil && r.flag != nil {
		return refuse("reading.senml", at("v")(), "The record has two values", "Send either v or vb")
	}
	name := k.name
	if r.name != nil {
		name += *r.name
	}
	if len(name) > 1024 {
		return refuse("reading.channel", at("n")(), "The name is too long", "Use at most 64 characters for the channel")
	}
	// A full SenML name begins with the sender's own; the certificate has said already who that is.
	cut := strings.LastIndexAny(name, ":/") + 1
	if k.prefixed && k.prefix != name[:cut] {
		return refuse("reading.senml", at("n")(), fmt.Sprintf("The records name two senders, %.80q and %.80q", k.prefix, name[:cut]), "Send one message per device")
	}
	k.prefix, k.prefixed = name[:cut], true

	v := Value{Channel: p.name([]byte(name[cut:])), Unit: k.unit}
	if r.unit != nil {
		v.Unit = *r.unit
	}
	if r.flag != nil && *r.flag {
		v.Value = 1
	}
	if r.value != nil {
		v.Value = k.value + *r.value
	}
	t := k.time
	if r.time != nil {
		t += *r.time
	}
	if t < relative {
		t += float64(p.now.UnixMilli()) / 1000
	}
	if math.IsNaN(t) || math.Abs(t) > 1<<43 {
		return refuse("reading.time", at("t")(), "The time is out of range", "Send seconds since 1970 in UTC")
	}
	v.TS = int64(math.Round(t * 1000))
	return p.add(v, at("n"))
}

// senML tells whether a JSON array is SenML rather than a list of plain
// messages, by the first key of its first object.
func senML(payload []byte) bool {
	s := &scanner{in: payload}
	if s.expect('[') != nil || s.expect('{') != nil {
		return false
	}
	key, err := s.text()
	return err == nil && string(key) != "ts" && string(key) != "values"
}

func (p *Parser) senMLJSON(s *scanner) error {
	k := &pack{}
	return s.list(func(i int) error {
		if s.peek() != '{' {
			return s.broken("A SenML record was expected")
		}
		var r record
		if err := s.object(func(key []byte) error { return r.field(s, key, i) }); err != nil {
			return err
		}
		return p.resolve(k, &r, i)
	})
}

func (r *record) field(s *scanner, key []byte, i int) error {
	label := string(key)
	number := func(into **float64) error {
		n, err := s.number()
		if err != nil {
			return err
		}
		return once(into, &n, label, i)
	}
	text := func(into **string) error {
		b, err := s.text()
		if err != nil {
			return err
		}
		t := string(b)
		return once(into, &t, label, i)
	}
	switch label {
	case "bver":
		return number(&r.baseVersion)
	case "bn":
		return text(&r.baseName)
	case "bt":
		return number(&r.baseTime)
	case "bu":
		return text(&r.baseUnit)
	case "bv":
		return number(&r.baseValue)
	case "n":
		return text(&r.name)
	case "u":
		return text(&r.unit)
	case "v":
		return number(&r.value)
	case "t":
		return number(&r.time)
	case "s", "bs":
		return number(&r.sum)
	case "vb":
		s.peek()
		b := s.word("true")
		if !b && !s.word("false") {
			return s.broken("true or false was expected")
		}
		return once(&r.flag, &b, label, i)
	case "vs", "vd":
		r.text = true
	}
	if strings.HasSuffix(label, "_") {
		return mustUnderstand(label, i)
	}
	return s.skip(0)
}

func mustUnderstand(label string, i int) error {
	return refuse("reading.senml", "/"+strconv.Itoa(i)+"/"+label, "The message demands an extension that is not known here", "Leave out fields whose name ends in _")
}

func once[T any](into **T, value *T, label string, i int) error {
	if *into != nil {
		return refuse("reading.senml", "/"+strconv.Itoa(i)+"/"+label, "The field is given twice", "Give it once")
	}
	*into = value
	return nil
}

// cborLimits keeps the decoder from building what a message this small should not hold.
var cborLimits = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, MaxNestedLevels: 8, MaxArrayElements: 16384, MaxMapPairs: 64,
		TagsMd: cbor.TagsForbidden, UTF8: cbor.UTF8RejectInvalid,
	}.DecMode()
	if err != nil {
		panic(err) // the options above are constants
	}
	return mode
}()

// senMLCBOR reads the CBOR form, whose labels are small integers (RFC 8428, section 6).
func (p *Parser) senMLCBOR(payload []byte) error {
	var raw []map[any]any
	if err := cborLimits.Unmarshal(payload, &raw); err != nil {
		return refuse("reading.format", "the message", "The CBOR cannot be read: "+err.Error(), "Send a SenML pack as RFC 8428 has it")
	}
	k := &pack{}
	for i, fields := range raw {
		var r record
		for label, value := range fields {
			if err := r.fieldCBOR(label, value, i); err != nil {
				return err
			}
		}
		if err := p.resolve(k, &r, i); err != nil {
			return err
		}
	}
	return nil
}

var cborLabels = map[int64]string{-1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs", 0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd"}

func (r *record) fieldCBOR(label, value any, i int) error {
	var name string
	switch l := label.(type) {
	case uint64:
		if l <= 8 {
			name = cborLabels[int64(l)]
		}
	case int64:
		name = cborLabels[l]
	case string:
		if strings.HasSuffix(l, "_") {
			return mustUnderstand(l, i)
		}
	}
	wrong := func(want string) error {
		return refuse("reading.senml", "/"+strconv.Itoa(i)+"/"+name, want+" was expected", "Send a SenML pack as RFC 8428 has it")
	}
	numbers := map[string]**float64{"bver": &r.baseVersion, "bt": &r.baseTime, "bv": &r.baseValue, "v": &r.value, "t": &r.time, "s": &r.sum, "bs": &r.sum}
	texts := map[string]**string{"bn": &r.baseName, "bu": &r.baseUnit, "n": &r.name, "u": &r.unit}
	switch {
	case numbers[name] != nil:
		var n float64
		switch v := value.(type) {
		case uint64:
			n = float64(v)
		case int64:
			n = float64(v)
		case float64:
			n = v
		default:
			return wrong("A number")
		}
		return once(numbers[name], &n, name, i)
	case texts[name] != nil:
		t, ok := value.(string)
		if !ok {
			return wrong("Text")
		}
		return once(texts[name], &t, name, i)
	case name == "vb":
		b, ok := value.(bool)
		if !ok {
			return wrong("true or false")
		}
		return once(&r.flag, &b, name, i)
	case name == "vs" || name == "vd":
		r.text = true
	}
	return nil
}
