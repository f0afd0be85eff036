package form

import (
	"regexp"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
)

// readBody walks groups, repeats and questions. Names on this floor are relative to the group they stand in.
func (b *builder) readBody(e *element, context *branch) {
	for _, c := range e.children() {
		if b.err != nil {
			return
		}
		switch c.name {
		case "group":
			b.readGroup(c, context)
		case "repeat":
			b.readRepeat(c, context, nil)
		case "input", "secret", "textarea", "select", "select1", "rank", "upload", "range", "trigger":
			b.readQuestion(c, context)
		}
	}
}

// target finds what a body element is about; ok is false when it names nothing in the instance, which loses answers and so is an error.
func (b *builder) target(e *element, context *branch) (n *branch, named bool) {
	if id := e.attr("bind"); id != "" {
		if n = b.binds[id]; n != nil {
			return n, true
		}
	}
	ref := e.attr("ref")
	if e.name == "repeat" || ref == "" {
		if nodeset := e.attr("nodeset"); nodeset != "" {
			ref = nodeset
		}
	}
	if ref == "" {
		return nil, e.attr("bind") != ""
	}
	return b.resolve(ref, context), true
}

func (b *builder) unknown(e *element) {
	ref := e.attr("ref") + e.attr("nodeset") + e.attr("bind")
	b.err = fault.New(fault.Invalid, "form.ref.unknown", "The form asks for something that its submissions have no place for").
		At(e.place(), clip(ref)+" is not in the form's <instance>", "Add the element to the instance, or correct the reference")
}

func (b *builder) readGroup(e *element, context *branch) {
	n, named := b.target(e, context)
	if named && n == nil {
		b.unknown(e)
		return
	}
	inner := context
	if n != nil {
		inner = n
		b.ask(n, e)
		if n.control == "" {
			n.control = "group"
		}
	}
	// The usual shape of a repeat is a group that has the label and holds nothing but the repeat.
	if repeat := e.child("repeat"); repeat != nil && (n == nil || b.resolve(repeat.attr("nodeset"), inner) == n || b.resolve(repeat.attr("nodeset"), context) == n) {
		if n != nil {
			inner = context
		}
		for _, c := range e.children() {
			if c.name == "repeat" {
				b.readRepeat(c, inner, e)
			}
		}
		rest := &element{name: e.name, line: e.line}
		for _, x := range e.nodes {
			if x.el != nil && x.el.name != "repeat" {
				rest.nodes = append(rest.nodes, x)
			}
		}
		b.readBody(rest, inner)
		return
	}
	if n != nil {
		b.describe(n, e)
	}
	b.readBody(e, inner)
}

func (b *builder) readRepeat(e *element, context *branch, group *element) {
	n, _ := b.target(e, context)
	if n == nil || n == b.root {
		b.unknown(e)
		return
	}
	b.ask(n, e)
	n.repeat = true
	if group != nil {
		b.describe(n, group)
	}
	b.describe(n, e)
	set(&n.field.Count, e.attr("count"))
	b.readBody(e, n)
}

// ask notes the place in the body of a node the first time it is met.
func (b *builder) ask(n *branch, e *element) {
	b.position++
	if n.asked == 0 {
		n.asked = b.position
	}
}

// describe takes label, hint and appearance where the node has none yet: the same node may be asked at two places.
func (b *builder) describe(n *branch, e *element) {
	f := &n.field
	if f.Appearance == "" {
		f.Appearance = strings.TrimSpace(e.attr("appearance"))
	}
	if l := e.child("label"); l != nil && f.Label == nil {
		var media map[string]string
		f.Label, _, media = b.label(l)
		f.Media = media
	}
	if h := e.child("hint"); h != nil && f.Hint == nil {
		f.Hint, f.Guidance, _ = b.label(h)
	}
}

var searchCall = regexp.MustCompile(`\b(?:search|pulldata)\s*\(\s*['"]([^'"]+)['"]`)

// pulled notes the CSV files that an expression looks things up in.
func (b *builder) pulled(expression string) (file string) {
	if !strings.Contains(expression, "search") && !strings.Contains(expression, "pulldata") {
		return ""
	}
	for _, m := range searchCall.FindAllStringSubmatch(expression, -1) {
		if _, inside := b.instances[m[1]]; inside {
			continue
		}
		name := FileName(m[1])
		if name == "" {
			continue
		}
		if !strings.Contains(name, ".") {
			name += ".csv"
		}
		b.files[name] = true
		file = name
	}
	return file
}

func (b *builder) readQuestion(e *element, context *branch) {
	n, _ := b.target(e, context)
	if n == nil {
		b.unknown(e)
		return
	}
	b.ask(n, e)
	if n.control == "" || n.control == "group" {
		n.control = e.name
	}
	b.describe(n, e)
	f := &n.field
	set(&f.MediaType, e.attr("mediatype"))
	if file := b.pulled(f.Appearance); file != "" {
		f.External = file
	}
	if query := e.attr("query"); query != "" { // the older way to external choices: <input query="instance('cities')...">
		if id := instanceOf(query); id != "" {
			f.External = FileName(id + ".csv")
			if inside, ok := b.external[id]; ok {
				f.External = inside
			}
			n.control = "select1"
			f.Filter = true
			b.files["itemsets.csv"] = true
		}
	}
	b.readChoices(e, n)
}
