package form

import (
	"regexp"
	"strings"
)

// readChoices reads a select's choices: written inside it, or an itemset over a list kept in the form or in a file.
func (b *builder) readChoices(e *element, n *branch) {
	f := &n.field
	for _, c := range e.children() {
		switch c.name {
		case "item":
			f.Choices = append(f.Choices, b.item(c))
		case "itemset":
			b.readItemset(c, n)
		}
	}
}

func (b *builder) item(e *element) Choice {
	var choice Choice
	if v := e.child("value"); v != nil {
		choice.Value = strings.TrimSpace(v.text())
	}
	if l := e.child("label"); l != nil {
		choice.Label, _, choice.Media = b.label(l)
	}
	b.textBytes += len(choice.Value) + 32
	return choice
}

var instanceCall = regexp.MustCompile(`instance\s*\(\s*['"]([^'"]+)['"]\s*\)`)

func instanceOf(expression string) string {
	if m := instanceCall.FindStringSubmatch(expression); m != nil {
		return m[1]
	}
	return ""
}

func (b *builder) readItemset(e *element, n *branch) {
	f := &n.field
	nodeset := e.attr("nodeset")
	f.Filter = f.Filter || strings.Contains(nodeset, "[")
	id := instanceOf(nodeset)
	if id == "" {
		return // choices made of other answers, such as the people of a repeat
	}
	if file, ok := b.external[id]; ok {
		f.External = file
		return
	}
	instance, ok := b.instances[id]
	if !ok {
		b.warn(e, "choices come from the list %q, which is not in the form", id)
		return
	}
	f.List = id
	value, label := "name", ""
	if v := e.child("value"); v != nil {
		value = last(v.attr("ref"))
	}
	if l := e.child("label"); l != nil {
		label = l.attr("ref")
	}
	key := id + "\x00" + value + "\x00" + label + "\x00" + strings.Join(stepsAfter(nodeset), "/")
	choices, known := b.lists[key]
	if !known {
		choices = b.listed(instance, stepsAfter(nodeset), value, label)
		b.lists[key] = choices
	}
	if len(f.Choices) > 0 && len(choices) > maxInlineChoices-b.inlined {
		return // both written choices and a large list: the written ones are shown, the others as they are
	}
	if b.inlined+len(choices) <= maxInlineChoices {
		b.inlined += len(choices)
		for _, c := range choices {
			for _, t := range c.Label {
				b.textBytes += len(t)
			}
			b.textBytes += len(c.Value) + 32
		}
		f.Choices = append(f.Choices, choices...)
		return
	}
	if b.form.Lists == nil {
		b.form.Lists = map[string][]Choice{}
	}
	b.form.Lists[id] = choices
}

// stepsAfter gives the steps of the path that follows instance('…') in an itemset's nodeset: root, item.
func stepsAfter(nodeset string) []string {
	at := instanceCall.FindStringIndex(nodeset)
	if at == nil {
		return nil
	}
	rest := nodeset[at[1]:]
	depth := 0
	var quote byte
scan: // the path ends where a call it is an argument of goes on
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '[' || c == '(':
			depth++
		case c == ']':
			depth--
		case c == ')':
			if depth == 0 {
				rest = rest[:i]
				break scan
			}
			depth--
		case c == ',' && depth == 0:
			rest = rest[:i]
			break scan
		}
	}
	var steps []string
	for _, s := range splitPath(rest) {
		if s != "" {
			steps = append(steps, s)
		}
	}
	return steps
}

// listed reads the choices of a list inside the form. The label's ref is the name of an element or jr:itext(element).
func (b *builder) listed(instance *element, steps []string, value, label string) []Choice {
	if len(steps) == 0 || steps[0] != instance.name {
		return nil
	}
	items := []*element{instance}
	for _, step := range steps[1:] {
		var next []*element
		for _, e := range items {
			for _, c := range e.children() {
				if c.name == step {
					next = append(next, c)
				}
			}
		}
		items = next
	}
	byID := false
	if m := itextCall.FindStringSubmatch(label); m != nil && m[3] != "" {
		byID, label = true, m[3]
	}
	label = last(label)
	choices := make([]Choice, 0, len(items))
	for _, item := range items {
		if b.textBytes += 32; b.textBytes > maxText {
			return nil // many itemsets over one long list; Parse refuses the form
		}
		var c Choice
		if v := item.child(value); v != nil {
			c.Value = strings.TrimSpace(v.text())
		}
		if l := item.child(label); l != nil {
			if text := strings.TrimSpace(l.text()); byID {
				c.Label, _, c.Media = b.itext(text)
			} else {
				c.Label = b.plain(text)
			}
		}
		choices = append(choices, c)
	}
	return choices
}

func last(path string) string {
	steps := splitPath(path)
	if len(steps) == 0 {
		return ""
	}
	return steps[len(steps)-1]
}
