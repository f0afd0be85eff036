package site

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// Types of a property's value.
const (
	Text    = "text"
	Number  = "number"
	Integer = "integer"
	Date    = "date" // YYYY-MM-DD
	Select  = "choice"
	Boolean = "boolean"
)

// Property is what a site of some type can say about itself.
type Property struct {
	Key     string   `json:"key"`
	Label   string   `json:"label"`
	Type    string   `json:"type" enum:"text,number,integer,date,choice,boolean"`
	Choices []Choice `json:"choices,omitempty"`
	Unit    string   `json:"unit,omitempty"`
	Min     *float64 `json:"min,omitempty"`
	Max     *float64 `json:"max,omitempty"`
}

// Choice is a value that can be chosen.
type Choice struct {
	Value string `json:"value"`
	Label string `json:"label"`
}

// Type is a kind of site with its properties.
type Type struct {
	Key        string     `json:"key"`
	Name       string     `json:"name"`
	Properties []Property `json:"properties"`
}

// Types is the noun of an organization's own site types. One with the key of a
// built-in type adds its properties to that type, for this organization.
var Types = ledger.Noun[Type]{
	Name: "site_type",
	Table: &ledger.Table[Type]{
		Columns: []ledger.Column{{Name: "key", Type: ledger.Text}, {Name: "orgkey", Type: ledger.Text}},
		Unique:  [][]string{{"orgkey"}},
		Indexes: [][]string{{"org"}},
		Row:     func(d ledger.Doc[Type]) []any { return []any{d.Body.Key, d.Org + "/" + d.Body.Key} },
	},
}

func init() {
	Types.Check = func(tx *ledger.Tx, before, after *ledger.Doc[Type]) error {
		if after == nil || before != nil && before.Body.Key != after.Body.Key {
			return typeIsFree(tx, before, after)
		}
		return after.Body.check()
	}
}

var _ = access.Register(&Types, access.Columns{}, func(_ *ledger.Reader, d ledger.Doc[Type]) (access.Thing, error) {
	return access.Thing{Branch: d.Org, Name: d.Body.Name}, nil
})

// typeIsFree refuses to delete a type that sites still have. A built-in type
// stays when an organization takes back what it added.
func typeIsFree(tx *ledger.Tx, before, after *ledger.Doc[Type]) error {
	if after != nil {
		return fault.New(fault.Invalid, "site_type.key", "A site type keeps its key").At("/key", "changed", "make another type")
	}
	if BuiltIn(before.Body.Key) != nil {
		return nil
	}
	var one int
	used, err := tx.Row([]any{&one}, "SELECT 1 FROM site n WHERE n.org = $1 AND n.type = $2 LIMIT 1", before.Org, before.Body.Key)
	if err == nil && used {
		err = fault.Newf(fault.Conflict, "site_type.used", "There are sites of the type %s", before.Body.Name).WithMend("Delete them or give them another type first")
	}
	return err
}

func validKey(key string) bool {
	if len(key) < 1 || len(key) > 80 || key[0] < 'a' || key[0] > 'z' {
		return false
	}
	return !strings.ContainsFunc(key, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' })
}

func (t Type) check() error {
	e := fault.New(fault.Invalid, "site_type.invalid", "This site type has something wrong in it")
	if !validKey(t.Key) {
		e.At("/key", "not a key", "small letters, digits and _, beginning with a letter")
	}
	if n := utf8.RuneCountInString(t.Name); n < 1 || n > 100 || strings.ContainsFunc(t.Name, unicode.IsControl) {
		e.At("/name", "missing or too long", "1 to 100 characters")
	}
	if len(t.Properties) > maxProperties {
		e.At("/properties", fmt.Sprintf("more than %d", maxProperties), "leave some out")
	}
	seen := map[string]bool{}
	if b := BuiltIn(t.Key); b != nil {
		for _, p := range b.Properties {
			seen[p.Key] = true
		}
	}
	for i, p := range t.Properties {
		place := fmt.Sprintf("/properties/%d", i)
		switch {
		case !validKey(p.Key):
			e.At(place+"/key", fmt.Sprintf("%.80q is not a key", p.Key), "small letters, digits and _, beginning with a letter")
		case seen[p.Key]:
			e.At(place+"/key", fmt.Sprintf("there is a property %s already", p.Key), "choose another key")
		}
		seen[p.Key] = true
		if !slices.Contains([]string{Text, Number, Integer, Date, Select, Boolean}, p.Type) {
			e.At(place+"/type", fmt.Sprintf("%.20q is no type", p.Type), "text, number, integer, date, choice or boolean")
		}
		if p.Type == Select && len(p.Choices) == 0 {
			e.At(place+"/choices", "nothing to choose from", "give at least one choice, or make it text")
		}
	}
	if len(e.Details) > 0 {
		return e
	}
	return nil
}

// Property finds a property by its key.
func (t *Type) Property(key string) *Property {
	for i := range t.Properties {
		if t.Properties[i].Key == key {
			return &t.Properties[i]
		}
	}
	return nil
}

// problems of a site's properties. A value that stood there before is let be,
// even if the type says otherwise today.
func (t *Type) problems(values, had map[string]any) []fault.Detail {
	var found []fault.Detail
	for key, v := range values {
		place := "/properties/" + key
		p := t.Property(key)
		if old, was := had[key]; was && equal(old, v) {
			continue
		}
		if p == nil {
			found = append(found, fault.Detail{Place: place, Message: fmt.Sprintf("%s has no property %.80q", t.Name, key), Mend: "add it to the site type, or leave it out"})
			continue
		}
		if message, mend := p.problem(v); message != "" {
			found = append(found, fault.Detail{Place: place, Message: message, Mend: mend})
		}
	}
	slices.SortFunc(found, func(a, b fault.Detail) int { return strings.Compare(a.Place, b.Place) })
	return found
}

func equal(a, b any) bool {
	if x, ok := numberOf(a); ok {
		y, ok := numberOf(b)
		return ok && x == y
	}
	switch a.(type) {
	case string, bool:
		return a == b
	}
	return false
}

// problem says what is wrong with a value, and how to mend it.
func (p *Property) problem(v any) (message, mend string) {
	switch p.Type {
	case Number, Integer:
		n, ok := numberOf(v)
		switch {
		case !ok:
			return short(fmt.Sprint(v)) + " is no number", "write digits, without a unit"
		case p.Type == Integer && n != math.Trunc(n):
			return fmt.Sprintf("%v is no whole number", n), "round it"
		case p.Min != nil && n < *p.Min:
			return fmt.Sprintf("%v is less than %v", n, *p.Min), "check it"
		case p.Max != nil && n > *p.Max:
			return fmt.Sprintf("%v is more than %v", n, *p.Max), "check it"
		}
		return "", ""
	case Boolean:
		if _, ok := v.(bool); !ok {
			return short(fmt.Sprint(v)) + " is neither yes nor no", "true or false"
		}
		return "", ""
	}
	text, ok := v.(string)
	switch {
	case !ok:
		return short(fmt.Sprint(v)) + " is no text", "write it as text"
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return "not valid text", "save the file as UTF-8"
	case utf8.RuneCountInString(text) > maxText:
		return fmt.Sprintf("longer than %d characters", maxText), "shorten it"
	case p.Type == Date && !dateOf(text):
		return fmt.Sprintf("%.40q is no date", text), "write it as YYYY-MM-DD"
	case p.Type == Select && !slices.ContainsFunc(p.Choices, func(c Choice) bool { return c.Value == text }):
		return fmt.Sprintf("%.60q is none of the choices of %s", text, p.Label), "one of " + p.values()
	}
	return "", ""
}

func (p *Property) values() string {
	var values []string
	for _, c := range p.Choices {
		values = append(values, c.Value)
	}
	if len(values) > 20 {
		values = append(values[:20], "…")
	}
	return strings.Join(values, ", ")
}

// typeOf finds a type as an organization has it. The organization's own part is
// only read when the built-in part does not know every property: that read makes
// a transaction write out what it has staged. nil: there is no such type.
func typeOf(r *ledger.Reader, organization, key string, properties map[string]any) (*Type, error) {
	builtIn := BuiltIn(key)
	if builtIn != nil {
		all := true
		for p := range properties {
			if builtIn.Property(p) == nil {
				all = false
				break
			}
		}
		if all {
			return builtIn, nil
		}
	}
	own, found, err := ownType(r, organization, key)
	if err != nil || !found {
		return builtIn, err
	}
	return merge(builtIn, own.Body), nil
}

// merge is a built-in type with what an organization added.
func merge(builtIn *Type, own Type) *Type {
	if builtIn == nil {
		return &own
	}
	t := *builtIn
	t.Properties = append(slices.Clone(builtIn.Properties), own.Properties...)
	return &t
}

// AllTypes are the types that an organization's sites can have, built-in ones first.
func AllTypes(r *ledger.Reader, organization string) ([]Type, error) {
	own, err := Types.List(r, "n.org = $1 ORDER BY n.key", organization)
	if err != nil {
		return nil, err
	}
	var all []Type
	for i := range builtIn {
		t := &builtIn[i]
		for _, o := range own {
			if o.Body.Key == t.Key {
				t = merge(t, o.Body)
			}
		}
		all = append(all, *t)
	}
	for _, o := range own {
		if BuiltIn(o.Body.Key) == nil {
			all = append(all, o.Body)
		}
	}
	return all, nil
}
