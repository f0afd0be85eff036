package ledger

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
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
	if len(before) > 0 && bytes.Equal(before, after) {
		return
	}
	old, oldIs := members(before)
	fresh, freshIs := members(after)
	if !(oldIs && freshIs || path == "" && (oldIs || len(before) == 0) && (freshIs || len(after) == 0)) {
		if !equalJSON(before, after) {
			*found = append(*found, Difference{Path: path, Old: before, New: after})
		}
		return
	}
	for len(old) > 0 || len(fresh) > 0 {
		switch {
		case len(fresh) == 0 || len(old) > 0 && old[0].name < fresh[0].name:
			diff(path+"/"+escape.Replace(old[0].name), old[0].value, nil, found)
			old = old[1:]
		case len(old) == 0 || fresh[0].name < old[0].name:
			diff(path+"/"+escape.Replace(fresh[0].name), nil, fresh[0].value, found)
			fresh = fresh[1:]
		default:
			if !bytes.Equal(old[0].value, fresh[0].value) {
				diff(path+"/"+escape.Replace(old[0].name), old[0].value, fresh[0].value, found)
			}
			old, fresh = old[1:], fresh[1:]
		}
	}
}

// member is a member of an object, its value as it stands there.
type member struct {
	name  string
	value json.RawMessage
}

// members are those of an object in the order of their names; false when it is
// none. Contents are valid JSON, so it suffices to see where values end, which is
// many times quicker than to parse them. Of a name that comes twice the last counts.
func members(raw json.RawMessage) ([]member, bool) {
	raw = bytes.Trim(raw, " \t\r\n")
	if len(raw) < 2 || raw[0] != '{' {
		return nil, false
	}
	found := make([]member, 0, 16)
	for i := 1; ; {
		for i < len(raw) && (raw[i] <= ' ' || raw[i] == ',') {
			i++
		}
		if i == len(raw)-1 && raw[i] == '}' {
			break
		}
		end := valueEnd(raw, i)
		if i >= len(raw) || raw[i] != '"' || end < 0 {
			return nil, false
		}
		var name string
		if quoted := raw[i:end]; bytes.IndexByte(quoted, '\\') < 0 && utf8.Valid(quoted) {
			name = string(quoted[1 : len(quoted)-1])
		} else if json.Unmarshal(quoted, &name) != nil {
			return nil, false
		}
		for i = end; i < len(raw) && raw[i] <= ' '; i++ {
		}
		if i >= len(raw) || raw[i] != ':' {
			return nil, false
		}
		for i++; i < len(raw) && raw[i] <= ' '; i++ {
		}
		if end = valueEnd(raw, i); end < 0 {
			return nil, false
		}
		found = append(found, member{name, raw[i:end:end]})
		i = end
	}
	slices.SortStableFunc(found, func(a, b member) int { return strings.Compare(a.name, b.name) })
	last := found[:0]
	for i, m := range found {
		if i+1 == len(found) || found[i+1].name != m.name {
			last = append(last, m)
		}
	}
	return last, true
}

// valueEnd is where the value that begins at i ends; -1 when it does not.
func valueEnd(raw []byte, i int) int {
	depth := 0
	for ; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			for i++; i < len(raw) && raw[i] != '"'; i++ {
				if raw[i] == '\\' {
					i++
				}
			}
			if i >= len(raw) {
				return -1
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // a number or a word before it
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return -1
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

func equalJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	if simple(a) && simple(b) {
		return false // numbers keep their text, and a text has one form only
	}
	return bytes.Equal(canonical(a), canonical(b))
}

// simple tells whether a value is its own canonical form.
func simple(raw json.RawMessage) bool {
	first, last := raw[0], raw[len(raw)-1]
	return first > ' ' && last > ' ' && first != '{' && first != '[' && bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw)
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
