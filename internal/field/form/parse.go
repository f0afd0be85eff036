package form

import (
	"fmt"
	"sort"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
)

var formLimits = limits{what: "form", bytes: MaxForm, nodes: maxFormNodes}

const (
	maxID       = 255     // characters of a form id, version or instance id
	maxText     = 3 << 20 // bytes of all texts once each question has its own; the form is kept in one document
	maxWarnings = 100
	maxFields   = 20_000
	// Choice lists that many fields share are repeated in each field up to this many choices in all; beyond it they are in Form.Lists.
	maxInlineChoices = 20_000
)

// builder holds what is known of a form while it is read.
type builder struct {
	form      *Form
	root      *branch
	texts     map[string][]translated // itext id -> its values
	instances map[string]*element     // secondary instances inside the form
	external  map[string]string       // secondary instances in files: id -> file name
	lists     map[string][]Choice     // choices read, by what identifies the itemset
	binds     map[string]*branch      // bind id -> what it binds
	files     map[string]bool
	textBytes int
	grown     int // fields
	inlined   int
	position  int // order in the body
	err       error
}

// branch is a node of the primary instance with all that the form says about it.
type branch struct {
	name     string
	path     string
	parent   *branch
	children []*branch
	byName   map[string]*branch
	field    Field
	bindType string
	asked    int // place in the body, 0 when absent
	repeat   bool
	control  string // name of the body element
}

// Parse reads an XForm. Errors are fault errors naming line and element.
func Parse(data []byte) (*Form, error) {
	doc, err := read(data, formLimits)
	if err != nil {
		return nil, err
	}
	b := &builder{form: &Form{}, texts: map[string][]translated{}, instances: map[string]*element{}, external: map[string]string{},
		lists: map[string][]Choice{}, binds: map[string]*branch{}, files: map[string]bool{}}
	head, body := doc.child("head"), doc.child("body")
	if doc.name != "html" || head == nil || body == nil {
		return nil, fault.New(fault.Invalid, "form.not_xform", "This is not an XForm").
			At(doc.place(), "an XForm is <h:html> with <h:head> and <h:body>", "Upload the XForm XML your form tool writes, not a submission or a spreadsheet")
	}
	model := head.child("model")
	if model == nil {
		return nil, fault.New(fault.Invalid, "form.no_model", "The form has no <model>").
			At(head.place(), "<model> is missing", "Create the form again with its form tool")
	}
	if title := head.child("title"); title != nil {
		b.form.Title = strings.TrimSpace(clip(title.text()))
	}
	b.readTexts(model)
	if err := b.readInstances(model); err != nil {
		return nil, err
	}
	b.readBinds(model)
	b.readActions(model)
	b.readSubmission(model)
	b.readBody(body, b.root)
	if b.err != nil {
		return nil, b.err
	}
	b.form.HasInstanceID = b.root.find("meta", "instanceID") != nil
	b.root.settle()
	b.form.Fields = b.fields(b.root)
	if b.textBytes > maxText {
		return nil, fault.New(fault.TooLarge, "form.too_much_text", fmt.Sprintf("Labels, hints and choices come to more than %d MB once each question has its own", maxText>>20)).
			WithMend("Shorten texts that many questions share, or move long choice lists into an attached CSV file")
	}
	for name := range b.files {
		b.form.Files = append(b.form.Files, name)
	}
	sort.Strings(b.form.Files)
	if b.form.Title == "" {
		b.form.Title = b.form.ID
	}
	return b.form, nil
}

// readInstances takes the first instance as the shape of submissions and keeps the others for choice lists.
func (b *builder) readInstances(model *element) error {
	var primary *element
	for _, e := range model.children() {
		if e.name != "instance" {
			continue
		}
		if primary == nil && e.attr("src") == "" && len(e.children()) > 0 {
			primary = e.children()[0]
			continue
		}
		id, src := e.attr("id"), e.attr("src")
		if src != "" {
			if name := fileOf(src); name != "" {
				b.external[id] = name
				b.files[name] = true
			}
			continue
		}
		if inner := e.children(); len(inner) > 0 {
			b.instances[id] = inner[0]
		}
	}
	if primary == nil {
		return fault.New(fault.Invalid, "form.no_instance", "The form does not say what a submission looks like").
			At(model.place(), "no <instance> with content", "Create the form again with its form tool")
	}
	f := b.form
	f.Root = primary.name
	if f.ID = strings.TrimSpace(primary.attr("id")); f.ID == "" {
		f.ID = strings.TrimSpace(xmlns(primary)) // older forms name themselves by namespace
	}
	f.Version = strings.TrimSpace(primary.attr("version"))
	if f.ID == "" {
		return fault.New(fault.Invalid, "form.no_id", "The form has no id").
			At(primary.place(), "the attribute id is missing", "Give the form an id: form_id in the XLSForm's settings sheet")
	}
	if len(f.ID) > maxID || len(f.Version) > maxID {
		return fault.New(fault.Invalid, "form.id_too_long", "The form's id or version is too long").
			At(primary.place(), fmt.Sprintf("longer than %d bytes", maxID), "Choose a shorter form_id and version")
	}
	b.root = &branch{name: primary.name, path: "/" + primary.name}
	b.grow(b.root, primary)
	if b.grown > maxFields || b.textBytes > maxText {
		return fault.New(fault.TooLarge, "form.too_many_fields", fmt.Sprintf("The form has more than %d questions, or their names are too long", maxFields)).
			At(primary.place(), fmt.Sprintf("%d elements", b.grown), "Split the form")
	}
	return nil
}

// xmlns is the namespace of an instance's root where it is its own and not that of XForms.
func xmlns(e *element) string {
	if e.space == "" || e.space == "http://www.w3.org/2002/xforms" || e.space == "http://www.w3.org/1999/xhtml" {
		return ""
	}
	return e.space
}

// grow adds the children of an instance element. A repeat stands there twice or more, as template and as example; they become one.
func (b *builder) grow(at *branch, e *element) {
	if dataset := e.attr("dataset"); e.name == "entity" && dataset != "" && at.parent != nil {
		holder := at.parent
		if holder.name == "meta" && holder.parent != nil {
			holder = holder.parent
		}
		entity := Entity{Path: holder.path, Dataset: dataset, Create: e.attr("create"), Update: e.attr("update")}
		known := false
		for _, other := range b.form.Entities {
			known = known || other.Path == entity.Path && other.Dataset == dataset
		}
		if !known {
			b.form.Entities = append(b.form.Entities, entity)
		}
	}
	if e.has("template") {
		at.repeat = true
	}
	for _, c := range e.children() {
		child := at.byName[c.name]
		if child == nil {
			if b.grown++; b.grown > maxFields || b.textBytes > maxText {
				return
			}
			b.textBytes += len(at.path) + len(c.name)
			child = &branch{name: c.name, path: at.path + "/" + c.name, parent: at}
			if at.byName == nil {
				at.byName = map[string]*branch{}
			}
			at.byName[c.name] = child
			at.children = append(at.children, child)
		}
		b.grow(child, c)
	}
}

func (n *branch) find(names ...string) *branch {
	for _, name := range names {
		if n = n.byName[name]; n == nil {
			return nil
		}
	}
	return n
}

// resolve follows a reference such as /data/tests/ph, ./ph, ../orx:meta or current()/../ph from a context. Predicates are dropped. It returns nil
// for what is not a plain path to a node.
func (b *builder) resolve(ref string, context *branch) *branch {
	steps := splitPath(ref)
	if len(steps) == 0 {
		return nil
	}
	at := context
	if steps[0] == "" {
		if len(steps) < 2 || steps[1] != b.root.name {
			return nil
		}
		at, steps = b.root, steps[2:]
	}
	for _, step := range steps {
		switch step {
		case ".", "current()", "":
		case "..":
			at = at.parent
		default:
			at = at.byName[step]
		}
		if at == nil {
			return nil
		}
	}
	return at
}

// splitPath gives the steps of a path without prefixes and predicates; an absolute path begins with an empty step.
func splitPath(path string) []string {
	var steps []string
	depth, start := 0, 0
	var quote byte
	path = strings.TrimSpace(path)
	if path == "" {
		return nil
	}
	step := func(s string) {
		if i := strings.IndexByte(s, '['); i >= 0 {
			s = s[:i]
		}
		s = strings.TrimSpace(s)
		if i := strings.LastIndexByte(s, ':'); i >= 0 {
			s = s[i+1:]
		}
		steps = append(steps, s)
	}
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == '/' && depth == 0:
			step(path[start:i])
			start = i + 1
		}
	}
	step(path[start:])
	return steps
}

func (b *builder) warn(e *element, format string, args ...any) {
	if len(b.form.Warnings) < maxWarnings {
		b.form.Warnings = append(b.form.Warnings, Warning{Place: e.place(), Message: clip(fmt.Sprintf(format, args...))})
	}
}

func (b *builder) readBinds(model *element) {
	for _, e := range model.children() {
		if e.name != "bind" {
			continue
		}
		ref := e.attr("nodeset")
		if ref == "" {
			ref = e.attr("ref")
		}
		if strings.Contains(ref, "@") {
			continue // an entity's id or such: an attribute, never an answer
		}
		n := b.resolve(ref, b.root)
		if n == nil {
			b.warn(e, "bind for %q, which is not in the form", ref)
			continue
		}
		if id := e.attr("id"); id != "" {
			b.binds[id] = n
		}
		if t := e.attr("type"); t != "" {
			n.bindType = t[strings.LastIndexByte(t, ':')+1:]
		}
		f := &n.field
		set(&f.ReadOnly, e.attr("readonly"))
		set(&f.Required, e.attr("required"))
		set(&f.Relevant, e.attr("relevant"))
		set(&f.Constraint, e.attr("constraint"))
		set(&f.Calculate, e.attr("calculate"))
		set(&f.SaveTo, e.attr("saveto"))
		set(&f.Preload, strings.TrimSpace(e.attr("preload")+" "+e.attr("preloadParams")))
		if m := e.attr("constraintMsg"); m != "" {
			f.ConstraintMsg = b.textOf(m)
		}
		if m := e.attr("requiredMsg"); m != "" {
			f.RequiredText = b.textOf(m)
		}
		for _, a := range e.attrs { // Qanat's own marks, by whatever address the form gives the prefix
			if strings.Contains(a.Name.Space, "qanat") {
				switch a.Name.Local {
				case "confidential":
					f.Confidential = a.Value
				case "class":
					f.Class = a.Value
				}
			}
		}
		for _, expression := range []string{f.Calculate, f.Constraint, f.Relevant} {
			b.pulled(expression)
		}
	}
}

func set(to *string, value string) {
	if value = strings.TrimSpace(value); value != "" {
		*to = value
	}
}

// readActions gives the fields that an action fills a type where the bind has none.
func (b *builder) readActions(model *element) {
	for _, e := range model.children() {
		n := b.resolve(e.attr("ref"), b.root)
		if n == nil || n.bindType != "" {
			continue
		}
		switch e.name {
		case "recordaudio":
			n.bindType = "binary"
		case "setgeopoint":
			n.bindType = "geopoint"
		}
	}
}

func (b *builder) readSubmission(model *element) {
	if s := model.child("submission"); s != nil {
		b.form.Encrypted = s.attr("base64RsaPublicKey") != ""
		editable := strings.TrimSpace(s.attr("client-editable"))
		b.form.ClientEditable = editable == "true" || editable == "true()"
	}
}

// fields turns the instance's tree into the form's: asked ones in the order of the body, then hidden ones in the order of the instance.
func (b *builder) fields(n *branch) []Field {
	ordered := append([]*branch(nil), n.children...)
	sort.SliceStable(ordered, func(i, j int) bool {
		a, c := ordered[i].asked, ordered[j].asked
		if a == 0 || c == 0 {
			return a != 0 && c == 0
		}
		return a < c
	})
	out := make([]Field, 0, len(ordered))
	for _, c := range ordered {
		f := c.field
		f.Name, f.Path = c.name, c.path
		f.Hidden = c.asked == 0
		switch {
		case c.repeat:
			f.Type = Repeat
		case len(c.children) > 0 || c.control == "group":
			f.Type = Group
		default:
			f.Type = typeOf(c)
		}
		if len(c.children) > 0 {
			f.Fields = b.fields(c)
		}
		out = append(out, f)
	}
	return out
}

// settle gives each node that is not asked itself the place in the body of the first thing inside it.
func (n *branch) settle() {
	for _, c := range n.children {
		c.settle()
		if c.asked > 0 && (n.asked == 0 || c.asked < n.asked) {
			n.asked = c.asked
		}
	}
}

// typeOf joins what the bind and the body say. The body knows selects, the bind knows numbers.
func typeOf(n *branch) Type {
	switch n.control {
	case "select1":
		return Select
	case "select":
		return SelectMultiple
	case "rank":
		return Rank
	case "upload":
		return Binary
	case "trigger":
		return Trigger
	}
	switch n.bindType {
	case "int", "integer", "long", "short", "nonNegativeInteger", "positiveInteger":
		return Int
	case "decimal", "double", "float":
		return Decimal
	case "boolean":
		return Boolean
	case "date":
		return Date
	case "time":
		return Time
	case "dateTime":
		return DateTime
	case "geopoint":
		return Geopoint
	case "geotrace":
		return Geotrace
	case "geoshape":
		return Geoshape
	case "binary", "base64Binary":
		return Binary
	case "barcode":
		return Barcode
	case "select1":
		return Select
	case "select":
		return SelectMultiple
	case "rank":
		return Rank
	}
	return String
}
