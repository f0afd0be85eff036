// Package form reads XForms, the ODK dialect, and the submissions made with them. It is pure: no database, no clock, no network.
//
// It guarantees: the same bytes give the same Form, Instance and Answered; every value of a submission is in its answers, as its
// question's type where it fits and as text with a Flag where it does not; names are matched without regard to namespace prefixes.
//
// Limits: an expression (relevant, constraint, calculate, required) is kept as text and never evaluated, so a form with a broken
// one still loads. External choice files are named, not read. Sizes, depth and node counts are bounded by MaxForm, MaxInstance
// and the constants beside them. Input is UTF-8 only.
//
// An attacker who writes forms or submissions gains nothing here beyond labels and values of his choosing: document types and
// entities are refused, so nothing is expanded or fetched, and text that one itext entry would multiply over many questions is
// counted against a total. Whoever shows labels must still escape them.
package form

// A Type says what an answer is.
type Type string

// The types of fields. Group and Repeat have Fields of their own; all others have answers.
const (
	Group          Type = "group"
	Repeat         Type = "repeat"
	String         Type = "string"
	Int            Type = "int"
	Decimal        Type = "decimal"
	Boolean        Type = "boolean"
	Date           Type = "date"
	Time           Type = "time"
	DateTime       Type = "dateTime"
	Geopoint       Type = "geopoint"
	Geotrace       Type = "geotrace"
	Geoshape       Type = "geoshape"
	Select         Type = "select"
	SelectMultiple Type = "selectMultiple"
	Rank           Type = "rank" // a SelectMultiple in the order of preference
	Binary         Type = "binary"
	Barcode        Type = "barcode"
	Trigger        Type = "trigger" // an acknowledgement: "OK"
)

// Text is one text in the form's languages. The key "" holds text that stands in the form without a language. An output inside a
// text is written {expression}.
type Text map[string]string

// Form is what a form asks for.
type Form struct {
	ID              string              `json:"id"`
	Version         string              `json:"version"`
	Title           string              `json:"title"`
	Root            string              `json:"root"` // name of a submission's root element
	Languages       []string            `json:"languages,omitempty"`
	DefaultLanguage string              `json:"default_language,omitempty"`
	Fields          []Field             `json:"fields"`
	Lists           map[string][]Choice `json:"lists,omitempty"` // choice lists too large to be repeated in every field that uses them
	Files           []string            `json:"files,omitempty"` // media and data files the form needs on the phone
	Entities        []Entity            `json:"entities,omitempty"`
	HasInstanceID   bool                `json:"has_instance_id"`
	Encrypted       bool                `json:"encrypted,omitempty"` // submissions are encrypted to a key only the form's author has
	ClientEditable  bool                `json:"client_editable,omitempty"`
	Warnings        []Warning           `json:"warnings,omitempty"`
}

// Field is a question, a hidden value, a group or a repeat.
type Field struct {
	Path          string            `json:"path"` // "/data/tests/ph"
	Name          string            `json:"name"`
	Type          Type              `json:"type"`
	Label         Text              `json:"label,omitempty"`
	Hint          Text              `json:"hint,omitempty"`
	Guidance      Text              `json:"guidance,omitempty"`
	Media         map[string]string `json:"media,omitempty"` // image, audio, video -> file name
	Appearance    string            `json:"appearance,omitempty"`
	Hidden        bool              `json:"hidden,omitempty"` // bound but not asked: metadata, calculations
	ReadOnly      string            `json:"readonly,omitempty"`
	Required      string            `json:"required,omitempty"`
	RequiredText  Text              `json:"required_text,omitempty"`
	Relevant      string            `json:"relevant,omitempty"`
	Constraint    string            `json:"constraint,omitempty"`
	ConstraintMsg Text              `json:"constraint_text,omitempty"`
	Calculate     string            `json:"calculate,omitempty"`
	Preload       string            `json:"preload,omitempty"` // "timestamp start"
	Count         string            `json:"count,omitempty"`   // of a repeat
	MediaType     string            `json:"media_type,omitempty"`
	Choices       []Choice          `json:"choices,omitempty"`
	List          string            `json:"list,omitempty"`     // the list Choices come from, or the only trace of it
	External      string            `json:"external,omitempty"` // the file that holds the choices
	Filter        bool              `json:"filter,omitempty"`   // the choices offered depend on other answers
	SaveTo        string            `json:"save_to,omitempty"`  // property of the entity this answer is saved to
	Confidential  string            `json:"confidential,omitempty"`
	Class         string            `json:"class,omitempty"`
	Fields        []Field           `json:"fields,omitempty"`
}

// Choice is one answer a select offers.
type Choice struct {
	Value string            `json:"value"`
	Label Text              `json:"label,omitempty"`
	Media map[string]string `json:"media,omitempty"`
}

// Entity says that a submission creates or updates an entity of a dataset.
type Entity struct {
	Path    string `json:"path"` // the element that holds it: the root, a group or a repeat
	Dataset string `json:"dataset"`
	Create  string `json:"create,omitempty"` // expression, or "1"
	Update  string `json:"update,omitempty"`
}

// Warning is something odd in a form that does not keep answers from being read.
type Warning struct {
	Place   string `json:"place"`
	Message string `json:"message"`
}

// Find returns the field at a path, or nil.
func (f *Form) Find(path string) *Field {
	fields := f.Fields
	for {
		next := false
		for i := range fields {
			if fields[i].Path == path {
				return &fields[i]
			}
			if len(path) > len(fields[i].Path) && path[:len(fields[i].Path)] == fields[i].Path && path[len(fields[i].Path)] == '/' {
				fields, next = fields[i].Fields, true
				break
			}
		}
		if !next {
			return nil
		}
	}
}

// Walk visits every field, a group before its fields.
func (f *Form) Walk(visit func(*Field)) { walk(f.Fields, visit) }

func walk(fields []Field, visit func(*Field)) {
	for i := range fields {
		visit(&fields[i])
		walk(fields[i].Fields, visit)
	}
}

// Choices returns what a select offers, wherever the form keeps it.
func (f *Form) Choices(field *Field) []Choice {
	if len(field.Choices) > 0 || field.List == "" {
		return field.Choices
	}
	return f.Lists[field.List]
}

// In returns the text in a language, else in the default language, else any.
func (t Text) In(language, fallback string) string {
	for _, l := range []string{language, fallback, ""} {
		if s, ok := t[l]; ok {
			return s
		}
	}
	best, found := "", false
	for l := range t {
		if !found || l < best {
			best, found = l, true
		}
	}
	return t[best]
}
