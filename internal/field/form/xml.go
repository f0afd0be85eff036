package form

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/qanat-water/qanat/internal/base/fault"
)

// Limits of what is read. A form of 10,000 choices in two languages has about 80,000 nodes.
const (
	MaxForm     = 10 << 20 // bytes of an XForm
	MaxInstance = 10 << 20 // bytes of a submission's XML, without its files

	maxFormNodes     = 300_000 // elements and attributes
	maxInstanceNodes = 100_000
	maxDepth         = 64
	maxName          = 255 // bytes of an element's name
)

// element is an XML element in document order. Names carry no prefix.
type element struct {
	name  string
	space string
	attrs []xml.Attr
	nodes []node
	line  int
}

// node is a piece of text or an element.
type node struct {
	text string
	el   *element
}

func (e *element) children() []*element {
	var out []*element
	for _, n := range e.nodes {
		if n.el != nil {
			out = append(out, n.el)
		}
	}
	return out
}

func (e *element) child(name string) *element {
	for _, n := range e.nodes {
		if n.el != nil && n.el.name == name {
			return n.el
		}
	}
	return nil
}

// attr returns the attribute without a namespace, else one of that name in any namespace.
func (e *element) attr(name string) string {
	value := ""
	for _, a := range e.attrs {
		if a.Name.Local != name || a.Name.Space == "xmlns" {
			continue
		}
		if a.Name.Space == "" {
			return a.Value
		}
		if value == "" {
			value = a.Value
		}
	}
	return value
}

func (e *element) has(name string) bool {
	for _, a := range e.attrs {
		if a.Name.Local == name && a.Name.Space != "xmlns" {
			return true
		}
	}
	return false
}

// text is the element's own character data, without that of elements inside.
func (e *element) text() string {
	if len(e.nodes) == 1 && e.nodes[0].el == nil {
		return e.nodes[0].text
	}
	var b strings.Builder
	for _, n := range e.nodes {
		if n.el == nil {
			b.WriteString(n.text)
		}
	}
	return b.String()
}

func (e *element) place() string { return fmt.Sprintf("line %d, <%s>", e.line, e.name) }

type limits struct {
	what  string // "form" or "submission": prefix of fault codes
	bytes int
	nodes int
}

// read builds the tree of a document, refusing what could make a reader fetch, expand or exhaust something.
func read(data []byte, lim limits) (*element, error) {
	if len(data) > lim.bytes {
		return nil, fault.New(fault.TooLarge, lim.what+".too_large", fmt.Sprintf("The %s is larger than %d MB", lim.what, lim.bytes>>20)).
			WithMend("Move photos and data into attached files; the XML itself should be small")
	}
	if bytes.HasPrefix(data, []byte{0xFE, 0xFF}) || bytes.HasPrefix(data, []byte{0xFF, 0xFE}) {
		return nil, notUTF8(lim, "UTF-16", 1)
	}
	data = bytes.TrimPrefix(data, []byte("\xEF\xBB\xBF"))
	if !utf8.Valid(data) {
		return nil, notUTF8(lim, "", lineOfBadByte(data))
	}
	dec := xml.NewDecoder(bytes.NewReader(data))
	dec.CharsetReader = func(charset string, in io.Reader) (io.Reader, error) { return nil, charsetError(charset) }
	names := map[string]string{} // element and attribute names repeat; one copy of each is enough
	intern := func(s string) string {
		if kept, ok := names[s]; ok {
			return kept
		}
		names[s] = s
		return s
	}
	var root *element
	var stack []*element
	count := 0
	for {
		token, err := dec.Token()
		line, _ := dec.InputPos()
		if err == io.EOF {
			break
		}
		if err != nil {
			var charset charsetError
			if errors.As(err, &charset) {
				return nil, notUTF8(lim, string(charset), line)
			}
			return nil, malformed(lim, line, stack, err)
		}
		switch t := token.(type) {
		case xml.Directive:
			return nil, fault.New(fault.Invalid, lim.what+".xml.doctype", fmt.Sprintf("The %s declares a document type or entities; these are refused", lim.what)).
				At(fmt.Sprintf("line %d", line), "document type declaration", "Remove the <!DOCTYPE …> declaration and write characters as they are")
		case xml.StartElement:
			count += 1 + len(t.Attr)
			if count > lim.nodes {
				return nil, fault.New(fault.TooLarge, lim.what+".too_many_nodes", fmt.Sprintf("The %s has more than %d elements and attributes", lim.what, lim.nodes)).
					At(fmt.Sprintf("line %d", line), "the limit is reached here", "Move long choice lists into an attached CSV file, or split the "+lim.what)
			}
			if len(stack) >= maxDepth {
				return nil, fault.New(fault.Invalid, lim.what+".too_deep", fmt.Sprintf("The %s nests elements deeper than %d levels", lim.what, maxDepth)).
					At(fmt.Sprintf("line %d, <%s>", line, clip(t.Name.Local)), "nested too deeply", "Flatten the groups")
			}
			if len(t.Name.Local) > maxName {
				return nil, fault.New(fault.Invalid, lim.what+".name_too_long", "An element's name is too long").
					At(fmt.Sprintf("line %d, <%s>", line, clip(t.Name.Local)), fmt.Sprintf("longer than %d bytes", maxName), "Choose shorter question names")
			}
			if root != nil && len(stack) == 0 {
				return nil, malformed(lim, line, nil, errors.New("a second root element"))
			}
			e := &element{name: intern(t.Name.Local), space: intern(t.Name.Space), line: line}
			if len(t.Attr) > 0 {
				e.attrs = make([]xml.Attr, len(t.Attr))
				for i, a := range t.Attr {
					e.attrs[i] = xml.Attr{Name: xml.Name{Space: intern(a.Name.Space), Local: intern(a.Name.Local)}, Value: a.Value}
				}
			}
			if len(stack) == 0 {
				root = e
			} else {
				parent := stack[len(stack)-1]
				parent.nodes = append(parent.nodes, node{el: e})
			}
			stack = append(stack, e)
		case xml.EndElement:
			e := stack[len(stack)-1]
			e.nodes = dropBlank(e.nodes)
			stack = stack[:len(stack)-1]
		case xml.CharData:
			if len(stack) == 0 {
				if len(bytes.TrimSpace(t)) > 0 {
					return nil, malformed(lim, line, nil, errors.New("text outside the root element"))
				}
				continue
			}
			e := stack[len(stack)-1]
			if last := len(e.nodes) - 1; last >= 0 && e.nodes[last].el == nil {
				// Comments break text into pieces. They stay apart, since joining each time would cost the square of their number,
				// and each counts, since it costs memory.
				if count++; count > lim.nodes {
					return nil, fault.New(fault.TooLarge, lim.what+".too_many_nodes", "The text is broken into too many pieces").
						At(fmt.Sprintf("line %d", line), "the limit is reached here", "Remove the comments between the text")
				}
			}
			e.nodes = append(e.nodes, node{text: string(t)})
		}
	}
	if root == nil {
		return nil, malformed(lim, 1, nil, errors.New("no element at all"))
	}
	return root, nil
}

// dropBlank removes the indentation between elements, which is no content. Text alone in an element, and a space on the same line
// (between two outputs of a label), are kept.
func dropBlank(nodes []node) []node {
	elements := false
	for _, n := range nodes {
		elements = elements || n.el != nil
	}
	if !elements {
		return nodes
	}
	kept := nodes[:0]
	for _, n := range nodes {
		if n.el != nil || !strings.Contains(n.text, "\n") || strings.TrimSpace(n.text) != "" {
			kept = append(kept, n)
		}
	}
	return kept
}

type charsetError string

func (c charsetError) Error() string { return "charset " + string(c) }

func notUTF8(lim limits, charset string, line int) error {
	message := fmt.Sprintf("The %s is not UTF-8 text", lim.what)
	if charset != "" {
		message = fmt.Sprintf("The %s is written in %s; only UTF-8 is read", lim.what, clip(charset))
	}
	return fault.New(fault.Invalid, lim.what+".xml.encoding", message).
		At(fmt.Sprintf("line %d", line), "not UTF-8", "Save the file as UTF-8 and declare encoding=\"UTF-8\", or leave the declaration out")
}

func lineOfBadByte(data []byte) int {
	line := 1
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if r == utf8.RuneError && size == 1 {
			return line
		}
		if r == '\n' {
			line++
		}
		data = data[size:]
	}
	return line
}

func malformed(lim limits, line int, stack []*element, cause error) error {
	place := fmt.Sprintf("line %d", line)
	if len(stack) > 0 {
		place += fmt.Sprintf(", inside <%s>", clip(stack[len(stack)-1].name))
	}
	message := cause.Error()
	var syntax *xml.SyntaxError
	if errors.As(cause, &syntax) {
		message = syntax.Msg
	}
	return fault.New(fault.Invalid, lim.what+".xml.malformed", fmt.Sprintf("The %s is not well-formed XML", lim.what)).
		At(place, clip(message), "Check the file at this line, or create it again with the tool that made it").Because(cause)
}

// clip keeps foreign text in messages short.
func clip(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
