package form

import (
	"path"
	"regexp"
	"strings"
)

// translated is one value of an itext text: in a language, of a kind ("" for the plain text, "image", "guidance", ...).
type translated struct {
	language, kind, text string
}

func (b *builder) readTexts(model *element) {
	itext := model.child("itext")
	if itext == nil {
		return
	}
	seen := map[string]bool{}
	for _, t := range itext.children() {
		if t.name != "translation" {
			continue
		}
		language := clip(t.attr("lang"))
		if !seen[language] {
			seen[language] = true
			b.form.Languages = append(b.form.Languages, language)
		}
		if t.has("default") && b.form.DefaultLanguage == "" {
			b.form.DefaultLanguage = language
		}
		for _, text := range t.children() {
			id := text.attr("id")
			for _, v := range text.children() {
				if v.name != "value" {
					continue
				}
				value := translated{language: language, kind: v.attr("form"), text: inline(v)}
				b.texts[id] = append(b.texts[id], value)
				if name := fileOf(value.text); name != "" {
					b.files[name] = true
				}
			}
		}
	}
	if b.form.DefaultLanguage == "" && len(b.form.Languages) > 0 {
		b.form.DefaultLanguage = b.form.Languages[0]
	}
}

// inline is an element's text with each <output> as its expression in braces.
func inline(e *element) string {
	if len(e.nodes) == 1 && e.nodes[0].el == nil {
		return strings.TrimSpace(e.nodes[0].text)
	}
	var out strings.Builder
	for _, n := range e.nodes {
		switch {
		case n.el == nil:
			out.WriteString(n.text)
		case n.el.name == "output":
			expression := n.el.attr("value")
			if expression == "" {
				expression = n.el.attr("ref")
			}
			out.WriteString("{" + strings.TrimSpace(expression) + "}")
		default: // markup of older forms, such as <h:b>
			out.WriteString(inline(n.el))
		}
	}
	return strings.TrimSpace(out.String())
}

var itextCall = regexp.MustCompile(`^\s*(?:jr:)?itext\(\s*(?:'([^']*)'|"([^"]*)"|([^'")]+?))\s*\)\s*$`)

// textOf reads a text that is either itself or a call of jr:itext('id').
func (b *builder) textOf(s string) Text {
	if m := itextCall.FindStringSubmatch(s); m != nil && m[3] == "" {
		text, _, _ := b.itext(m[1] + m[2])
		return text
	}
	return b.plain(s)
}

func (b *builder) plain(s string) Text {
	if s == "" {
		return nil
	}
	b.textBytes += len(s)
	return Text{"": s}
}

// itext gives an id's text, its guidance and its media. A text with a long and a short form is shown by the long one.
func (b *builder) itext(id string) (text, guidance Text, media map[string]string) {
	for _, v := range b.texts[id] {
		if b.textBytes += len(v.text) + 16; b.textBytes > maxText {
			return text, guidance, media // Parse refuses the form; no need to build it
		}
		switch v.kind {
		case "", "long", "short":
			if text == nil {
				text = Text{}
			}
			if _, taken := text[v.language]; !taken || v.kind == "long" {
				text[v.language] = v.text
			}
		case "guidance":
			if guidance == nil {
				guidance = Text{}
			}
			guidance[v.language] = v.text
		default:
			if name := fileOf(v.text); name != "" {
				if media == nil {
					media = map[string]string{}
				}
				if _, taken := media[v.kind]; !taken {
					media[v.kind] = name
				}
			}
		}
	}
	return text, guidance, media
}

// label reads a <label> or <hint>: a reference to itext, a reference to an answer, or the text itself.
func (b *builder) label(e *element) (text, guidance Text, media map[string]string) {
	ref := e.attr("ref")
	if m := itextCall.FindStringSubmatch(ref); m != nil && m[3] == "" {
		return b.itext(m[1] + m[2])
	}
	if ref != "" && len(e.nodes) == 0 {
		return b.plain("{" + ref + "}"), nil, nil
	}
	return b.plain(inline(e)), nil, nil
}

// fileOf gives the name of the file that a jr: address means, or "": jr://images/pump.jpg, jr://file-csv/sites.csv.
func fileOf(address string) string {
	rest, ok := strings.CutPrefix(strings.TrimSpace(address), "jr://")
	if !ok {
		return ""
	}
	kind, name, ok := strings.Cut(rest, "/")
	if !ok || kind == "instance" { // last-saved, on the phone itself
		return ""
	}
	return FileName(name)
}

// FileName is the last part of a path as phones and other systems write it, or "" where nothing safe is left. It is never more than 255 bytes.
func FileName(name string) string {
	name = path.Base(strings.ReplaceAll(strings.TrimSpace(name), "\\", "/"))
	if name == "." || name == ".." || name == "/" || len(name) > 255 {
		return ""
	}
	for _, r := range name {
		if r < ' ' || r == 0x7f {
			return ""
		}
	}
	return name
}
