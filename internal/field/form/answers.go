package form

import (
	"fmt"
	"strings"
)

// Point is a position on earth, WGS 84, degrees; altitude and accuracy in metres.
type Point struct {
	Lat      float64  `json:"lat"`
	Lon      float64  `json:"lon"`
	Altitude *float64 `json:"altitude,omitempty"`
	Accuracy *float64 `json:"accuracy,omitempty"`
}

// Flag says that a value is kept although something is wrong with it.
type Flag struct {
	Path    string `json:"path"` // "/data/handpump[2]/qty"
	Value   string `json:"value,omitempty"`
	Problem string `json:"problem"`
}

// Answered is what a submission says, by its form.
type Answered struct {
	// Answers nests as the submission does: a group is a map[string]any, a repeat a []any of these. Values are string, int64,
	// float64, bool, Point, []Point or []string by type; a question without an answer has no key. What does not fit is text.
	Answers  map[string]any
	Location *Point // the first position that was asked for, else the first recorded without asking
	Files    []string
	Started  string // what a field preloaded with "timestamp start" says
	Ended    string
	Flags    []Flag
}

const (
	maxFlags     = 200
	maxFlagValue = 200
)

type reader struct {
	form     *Form
	out      *Answered
	hidden   *Point
	seen     map[string]bool // file names
	choices  map[*Field]map[string]bool
	overflow int
}

// Answers reads a submission's values by the form it was filled with. It does not fail: all that can be wrong becomes a Flag.
func Answers(f *Form, in *Instance) *Answered {
	r := &reader{form: f, out: &Answered{}, seen: map[string]bool{}, choices: map[*Field]map[string]bool{}}
	if in.root.name != f.Root {
		r.flag("/"+in.root.name, "", fmt.Sprintf("the form's submissions begin with <%s>", f.Root))
	}
	r.out.Answers = r.group(in.root, "/"+in.root.name, f.Fields)
	if r.out.Location == nil {
		r.out.Location = r.hidden
	}
	if in.Encrypted {
		r.flag("/"+in.root.name, "", "the answers are encrypted; they are in the attached file")
		r.encryptedFiles(in.root)
	}
	if r.overflow > 0 {
		r.out.Flags = append(r.out.Flags, Flag{Path: "/" + in.root.name, Problem: fmt.Sprintf("%d more values do not fit", r.overflow)})
	}
	return r.out
}

func (r *reader) flag(path, value, problem string) {
	if len(r.out.Flags) >= maxFlags {
		r.overflow++
		return
	}
	if len(value) > maxFlagValue {
		value = strings.ToValidUTF8(value[:maxFlagValue], "") + "…"
	}
	r.out.Flags = append(r.out.Flags, Flag{Path: clip(path), Value: value, Problem: problem})
}

// group reads the children of e, which the form describes by fields.
func (r *reader) group(e *element, path string, fields []Field) map[string]any {
	out := map[string]any{}
	byName := make(map[string]*Field, len(fields))
	for i := range fields {
		byName[fields[i].Name] = &fields[i]
	}
	count := map[string]int{}
	lists := map[string][]any{} // repeats, and what was sent several times without being one
	for _, n := range e.nodes {
		c := n.el
		if c == nil {
			if text := strings.TrimSpace(n.text); text != "" {
				r.flag(path, text, "text where only questions may be")
				lists["#text"] = append(lists["#text"], text)
			}
			continue
		}
		count[c.name]++
		at := path + "/" + c.name
		field := byName[c.name]
		if field != nil && field.Type == Repeat {
			at = fmt.Sprintf("%s[%d]", at, count[c.name])
			if c.has("template") && blank(c) {
				continue
			}
			var value any = map[string]any{}
			if v := r.value(c, at, field); v != nil {
				value = v
			}
			lists[c.name] = append(lists[c.name], value)
			continue
		}
		value := r.value(c, at, field)
		if value == nil {
			continue
		}
		if _, taken := out[c.name]; taken {
			r.flag(at, "", "sent more than once")
			if lists[c.name] == nil {
				lists[c.name] = []any{out[c.name]}
			}
			lists[c.name] = append(lists[c.name], value)
			continue
		}
		out[c.name] = value
	}
	for name, list := range lists {
		out[name] = list
	}
	return out
}

// value reads one element; nil means there is no answer.
func (r *reader) value(e *element, path string, field *Field) any {
	nested := len(e.children()) > 0
	switch {
	case field == nil:
		if blank(e) {
			return nil
		}
		r.flag(path, "", "the form has no such question")
		return r.untyped(e)
	case field.Type == Group || field.Type == Repeat:
		if !nested {
			text := strings.TrimSpace(e.text())
			if text == "" {
				return nil
			}
			r.flag(path, text, "text where a group of questions should be")
			return text
		}
		if values := r.group(e, path, field.Fields); len(values) > 0 {
			return values
		}
		return nil
	case nested:
		if blank(e) {
			return nil
		}
		r.flag(path, "", "elements where an answer should be")
		return r.untyped(e)
	}
	text := e.text()
	if strings.TrimSpace(text) == "" {
		return nil
	}
	value, problem := r.typed(field, text)
	if problem != "" {
		r.flag(path, text, problem)
	}
	r.note(field, path, value)
	return value
}

// note takes from an answer what the response as a whole needs.
func (r *reader) note(field *Field, path string, value any) {
	switch v := value.(type) {
	case Point:
		if field.Hidden && r.hidden == nil {
			r.hidden = &v
		}
		if !field.Hidden && r.out.Location == nil {
			r.out.Location = &v
		}
	case string:
		if field.Type == Binary {
			r.file(path, v)
		}
		switch field.Preload {
		case "timestamp start":
			r.out.Started = v
		case "timestamp end":
			r.out.Ended = v
		}
	}
}

func (r *reader) file(path, name string) {
	clean := FileName(name)
	if clean == "" || clean != strings.TrimSpace(name) {
		r.flag(path, name, "no usable file name")
		return
	}
	if !r.seen[clean] {
		r.seen[clean] = true
		r.out.Files = append(r.out.Files, clean)
	}
}

// encryptedFiles notes the files an encrypted submission is made of: <media><file>…, <encryptedXmlFile>.
func (r *reader) encryptedFiles(e *element) {
	for _, c := range e.children() {
		switch c.name {
		case "media":
			r.encryptedFiles(c)
		case "file", "encryptedXmlFile":
			r.file("/"+c.name, c.text())
		}
	}
}

// untyped keeps what the form knows nothing of: text, or a map of what is inside.
func (r *reader) untyped(e *element) any {
	inside := e.children()
	if len(inside) == 0 {
		return e.text()
	}
	out := map[string]any{}
	if text := strings.TrimSpace(e.text()); text != "" {
		out["#text"] = text
	}
	several := map[string][]any{}
	for _, c := range inside {
		if !blank(c) {
			several[c.name] = append(several[c.name], r.untyped(c))
		}
	}
	for name, values := range several {
		if len(values) == 1 {
			out[name] = values[0]
		} else {
			out[name] = values
		}
	}
	return out
}

func blank(e *element) bool {
	for _, n := range e.nodes {
		if n.el == nil && strings.TrimSpace(n.text) != "" || n.el != nil && !blank(n.el) {
			return false
		}
	}
	return true
}
