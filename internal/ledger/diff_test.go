package ledger

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestDiff(t *testing.T) {
	for _, c := range []struct{ before, after, want string }{
		{`{"a":1}`, `{"a":1}`, `null`},
		{`{"a":1,"b":{"c":[1,2]}}`, `{"a":2,"b":{"c":[1],"d":null}}`, `[{"path":"/a","old":1,"new":2},{"path":"/b/c","old":[1,2],"new":[1]},{"path":"/b/d","new":null}]`},
		{``, `{"a/b":{"~":1}}`, `[{"path":"/a~1b","new":{"~":1}}]`},
		{`{"a":{"x":1}}`, `{"a":3}`, `[{"path":"/a","old":{"x":1},"new":3}]`},
		{`"text"`, ``, `[{"path":"","old":"text"}]`},
	} {
		got, err := json.Marshal(Diff(json.RawMessage(c.before), json.RawMessage(c.after)))
		if err != nil || string(got) != c.want {
			t.Errorf("Diff(%s, %s) =\n%s, want\n%s (%v)", c.before, c.after, got, c.want, err)
		}
	}
}

// FuzzDiff takes any two contents and goes from each to the other by their
// differences: what undo does.
func FuzzDiff(f *testing.F) {
	f.Add(`{"a":1,"b":{"c":[1,2]}}`, `{"a":2,"b":{"d":null}}`)
	f.Add(`{"a/b":{"~":{}}}`, `{"a":{"b":{"~":1}}}`)
	f.Add(`{ "a" : [ 1 , {"b\":\\":"}"} ] , "\u00e9":-1e5 }`, `{"a":"x\\","é":true,"":null}`)
	f.Fuzz(func(t *testing.T, a, b string) {
		before, after := json.RawMessage(a), json.RawMessage(b)
		if _, ok := object(before); !ok || !unambiguous(before) {
			return
		}
		if _, ok := object(after); !ok || !unambiguous(after) {
			return
		}
		for _, raw := range []json.RawMessage{before, after} {
			parsed, _ := object(raw)
			split, ok := members(raw)
			same := ok && len(split) == len(parsed)
			for _, m := range split {
				same = same && string(m.value) == string(parsed[m.name])
			}
			if !same {
				t.Errorf("%s: members %q, parsed %q", raw, split, parsed)
			}
		}
		forth, back := before, after
		var err error
		for _, d := range Diff(before, after) {
			if forth, err = set(forth, steps(d.Path), d.New); err != nil {
				t.Fatal(err)
			}
			if back, err = set(back, steps(d.Path), d.Old); err != nil {
				t.Fatal(err)
			}
		}
		if !equalJSON(forth, after) || !equalJSON(back, before) {
			t.Errorf("%s and %s: differences lead to %s and %s", a, b, forth, back)
		}
	})
}

// FuzzContent reads what was sealed as encoding/json does.
func FuzzContent(f *testing.F) {
	f.Add(`{"name":"A\u00e9","from":"::1","reason":"x","shape":2,"body":{"a":[1,"}"]},"through":7}`)
	f.Add(`{"body":null}`)
	f.Fuzz(func(t *testing.T, text string) {
		var want, got content
		if !json.Valid([]byte(text)) || !unambiguous(json.RawMessage(text)) || !strings.HasPrefix(text, "{") || strings.Contains(strings.ToLower(text), "null") {
			return
		}
		for name := range map[string]int{"name": 0, "from": 0, "reason": 0, "shape": 0, "body": 0, "through": 0} {
			if m, _ := object(json.RawMessage(text)); m[name] == nil {
				for other := range m { // encoding/json takes names in any case
					if strings.EqualFold(other, name) {
						return
					}
				}
			}
		}
		wrong, err := json.Unmarshal([]byte(text), &want), got.parse([]byte(text))
		if (wrong == nil) != (err == nil) || err == nil && fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s: %+v, %v; want %+v, %v", text, got, err, want, wrong)
		}
	})
}

// unambiguous tells whether encoding a value again gives the same value: not so
// with a member named twice, or text that is not UTF-8.
func unambiguous(raw json.RawMessage) bool {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return false
	}
	return fmt.Sprint(countMembers(canonical(raw))) == fmt.Sprint(countMembers(raw))
}

func countMembers(raw []byte) (colons int) {
	inText, escaped := false, false
	for _, c := range raw {
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case c == '"':
			inText = !inText
		case c == ':' && !inText:
			colons++
		}
	}
	return colons
}

// FuzzCheckpoint opens anything that calls itself a checkpoint.
func FuzzCheckpoint(f *testing.F) {
	f.Add("test.example/qanat\n5\nAAAA\n\n— test.example/qanat AAAA\n")
	f.Fuzz(func(t *testing.T, text string) {
		s := &signer{origin: "test.example/qanat", verify: nobody{}}
		if _, _, err := s.open(text); err == nil {
			t.Errorf("opened %q, which nobody signed", text)
		}
	})
}

type nobody struct{}

func (nobody) Name() string                { return "test.example/qanat" }
func (nobody) KeyHash() uint32             { return 1 }
func (nobody) Verify(msg, sig []byte) bool { return false }
