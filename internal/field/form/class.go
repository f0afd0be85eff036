package form

import "strings"

// The classes of questions, by bind::qanat:class. A question without one may be shared
// with anybody who is given the responses.
const (
	Public       = "public"
	Organization = "organization"
	Confidential = "confidential"
)

// Classes are the classes, the least strict first.
var Classes = []string{Public, Organization, Confidential}

// Classified is a question, group or repeat with a class.
type Classified struct {
	Path  string `json:"path"`
	Label Text   `json:"label,omitempty"`
	Class string `json:"class"`
}

// Classified are the fields that have a class, as they stand in the form. What
// stands in a group has at least the group's. A class that is not known counts as
// confidential, and so does what is marked confidential without a class.
func (f *Form) Classified() []Classified {
	var found []Classified
	var look func(fields []Field, above string)
	look = func(fields []Field, above string) {
		for _, field := range fields {
			class := stricter(above, field.class())
			if class != "" && len(field.Fields) == 0 {
				found = append(found, Classified{field.Path, field.Label, class})
			}
			look(field.Fields, class)
		}
	}
	look(f.Fields, "")
	return found
}

func (f *Field) class() string {
	class := strings.ToLower(strings.TrimSpace(f.Class))
	switch class {
	case Public, Organization, Confidential:
		return class
	case "":
		switch strings.ToLower(strings.TrimSpace(f.Confidential)) {
		case "", "no", "false", "false()", "0":
			return ""
		}
	}
	return Confidential
}

// stricter is the stricter of two classes; no class is the least strict.
func stricter(a, b string) string {
	for i := len(Classes) - 1; i >= 0; i-- {
		if class := Classes[i]; a == class || b == class {
			return class
		}
	}
	return ""
}
