package ledger

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Difference is one place where two contents differ.
type Difference struct {
	Path string          `json:"path" doc:"JSON pointer (RFC 6901)"`
	Old  json.RawMessage `json:"old,omitempty" doc:"absent: it was not there"`
	New  json.RawMessage `json:"new,omitempty" doc:"absent: it is not there any more"`
}

// Diff lists where two contents differ, in the order of the paths. Objects are
// compared member by member; lists and values as a whole.
func Diff(before, after json.RawMessage) []Difference {
	var found []Difference
	diff("", before, after, &found)
	return found
}

func diff(path string, before, after json.RawMessage, found *[]Difference) {
	old, oldIs := object(before)
	fresh, freshIs := object(after)
	if oldIs && freshIs || path == "" && (oldIs || len(before) == 0) && (freshIs || len(after) == 0) {
		for _, name := range slices.Sorted(maps.Keys(merged(old, fresh))) {
			diff(path+"/"+escape.Replace(name), old[name], fresh[name], found)
		}
		return
	}
	if !equalJSON(before, after) {
		*found = append(*found, Difference{Path: path, Old: before, New: after})
	}
}

var (
	escape   = strings.NewReplacer("~", "~0", "/", "~1")
	unescape = strings.NewReplacer("~1", "/", "~0", "~")
)

func object(raw json.RawMessage) (map[string]json.RawMessage, bool) {
	trimmed := bytes.TrimLeft(raw, " \t\r\n")
	if len(trimmed) == 0 || trimmed[0] != '{' {
		return nil, false
	}
	var m map[string]json.RawMessage
	return m, json.Unmarshal(trimmed, &m) == nil
}

func merged(a, b map[string]json.RawMessage) map[string]bool {
	all := make(map[string]bool, len(a)+len(b))
	for name := range a {
		all[name] = true
	}
	for name := range b {
		all[name] = true
	}
	return all
}

func equalJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	return bytes.Equal(canonical(a), canonical(b))
}

// canonical sorts members and drops white space; numbers keep their text.
func canonical(raw json.RawMessage) []byte {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return raw
	}
	out, err := json.Marshal(v)
	if err != nil {
		return raw
	}
	return out
}

// at reads the value at a path of objects; nil when there is none.
func at(doc json.RawMessage, path string) json.RawMessage {
	for _, name := range steps(path) {
		m, ok := object(doc)
		if !ok {
			return nil
		}
		doc = m[name]
	}
	return doc
}

// set puts a value at a path of objects, or takes it away for nil.
func set(doc json.RawMessage, path []string, value json.RawMessage) (json.RawMessage, error) {
	if len(path) == 0 {
		return value, nil
	}
	m, ok := object(doc)
	if !ok {
		m = map[string]json.RawMessage{}
	}
	inner, err := set(m[path[0]], path[1:], value)
	if err != nil {
		return nil, err
	}
	if inner == nil {
		delete(m, path[0])
	} else {
		m[path[0]] = inner
	}
	return json.Marshal(m)
}

func steps(path string) []string {
	if path == "" {
		return nil
	}
	parts := strings.Split(path[1:], "/")
	for i, p := range parts {
		parts[i] = unescape.Replace(p)
	}
	return parts
}
