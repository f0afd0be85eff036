package access

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
)

// Columns says where a kind's index table keeps what the rules ask for, so that
// lists can be filtered in SQL. Empty: the kind has none of it.
type Columns struct {
	Branch string // column with the managing branch
	Word   string // column with the privacy or state
	Owner  string // column with the person whose own it is
	Type   string // column with the type, for workspaces
	// Parents gives the column with the id of the parent of each kind, for all
	// kinds that rules name as kind.role: {"survey": "survey", "deployment": "deployment"}.
	Parents map[string]string
	// Lists gives, for a role that stands in documents, a query for (thing id,
	// list) where list is as ListText writes it:
	// {"viewer": "SELECT id, viewers FROM deployment"}.
	Lists map[string]string
	// Undo says what undoing a change of a document's content asks, where that is
	// not the right to edit it: a verb, and the words (states) in which it is asked
	// for. An empty verb: the right to edit.
	Undo func(before, after json.RawMessage) (verb Verb, words []string)
}

// kind is what a noun of a higher floor told about itself.
type kind struct {
	columns Columns
	current func(r *ledger.Reader, id string) (Thing, error)
	of      func(r *ledger.Reader, org, id string, body json.RawMessage) (Thing, error)
	secret  bool
}

var kinds struct {
	sync.RWMutex
	byName map[string]kind
}

// Register tells access how a noun's documents are things. It is called once for
// a noun, when its package is initialized; more rules are added to the table.
func Register[T any](noun *ledger.Noun[T], columns Columns, thing func(r *ledger.Reader, d ledger.Doc[T]) (Thing, error), more ...Rule) bool {
	kinds.Lock()
	defer kinds.Unlock()
	if kinds.byName == nil {
		kinds.byName = map[string]kind{}
	}
	if _, twice := kinds.byName[noun.Name]; twice {
		panic("access: " + noun.Name + " is registered twice")
	}
	describe := func(r *ledger.Reader, d ledger.Doc[T]) (Thing, error) {
		t, err := thing(r, d)
		if err == nil && t.Kind == "" {
			t.Kind, t.ID, t.Org = noun.Name, d.ID, d.Org
		}
		return t, err
	}
	kinds.byName[noun.Name] = kind{
		columns: columns, secret: noun.Secret,
		current: func(r *ledger.Reader, id string) (Thing, error) {
			d, err := noun.Get(r, id)
			if err != nil {
				return Thing{}, err
			}
			return describe(r, d)
		},
		of: func(r *ledger.Reader, org, id string, body json.RawMessage) (Thing, error) {
			d := ledger.Doc[T]{ID: id, Org: org}
			if err := json.Unmarshal(body, &d.Body); err != nil {
				return Thing{}, fmt.Errorf("past content of %s %s: %w", noun.Name, id, err)
			}
			return describe(r, d)
		},
	}
	rules.Lock()
	defer rules.Unlock()
	for _, row := range more {
		rules.byKind[row.Kind] = append(rules.byKind[row.Kind], row)
	}
	compile()
	return true
}

func registered(name string) (kind, bool) {
	kinds.RLock()
	defer kinds.RUnlock()
	k, known := kinds.byName[name]
	return k, known
}

// Describe reads a document of any registered kind as a thing. A kind that
// nobody registered has no things.
func Describe(r *ledger.Reader, kind, id string) (Thing, error) {
	k, known := registered(kind)
	if !known {
		return Thing{}, missing(kind)
	}
	return k.current(r, id)
}

// DescribePast describes a document by content that it had: one that is deleted,
// or an earlier revision.
func DescribePast(r *ledger.Reader, kind, org, id string, body json.RawMessage) (Thing, error) {
	k, known := registered(kind)
	if !known {
		return Thing{}, missing(kind)
	}
	return k.of(r, org, id, body)
}

func missing(kind string) error {
	return fault.Newf(fault.NotFound, kind+".missing", "There is no such %s", kind)
}

func isMissing(err error) bool { return err != nil && fault.KindOf(err) == fault.NotFound }

// MayUndo tells whether the transaction's actor may undo an entry: whoever may
// edit a thing, as it was, as it became and as it is, may undo its changes, those
// of its branch, privacy and lists only who administers it; whoever may delete it
// may undo its making, and whoever may delete and create it, its deletion. Undoing
// a grant is sharing.
// It has the form that ledger.Undo and ledger.UndoAct ask for.
func MayUndo(tx *ledger.Tx, e ledger.Entry) error {
	return undoRule(tx, e, func() (*Set, error) { return Principals(tx.Reader, tx.Actor) })
}

// whoIsWho are the nouns of which an undo can change who the actor is.
var whoIsWho = []string{"account", "branch", "membership", "token", "workspace"}

// UndoRule is MayUndo for a whole act: it reads who the actor is once for each
// write instead of once for each entry.
func UndoRule() ledger.May {
	var of *ledger.Tx
	var set *Set
	return func(tx *ledger.Tx, e ledger.Entry) error {
		return undoRule(tx, e, func() (*Set, error) {
			if of == tx && !slices.Contains(whoIsWho, e.Kind) {
				return set, nil
			}
			var err error
			set, err = Principals(tx.Reader, tx.Actor)
			of = tx
			return set, err
		})
	}
}

func undoRule(tx *ledger.Tx, e ledger.Entry, principals func() (*Set, error)) error {
	k, known := registered(e.Kind)
	if !known || k.secret {
		if tx.Actor.Kind == "system" {
			return nil
		}
		return missing(e.Kind)
	}
	_, before, after, err := tx.Entry(e.Number)
	if err != nil {
		return err
	}
	s, err := principals()
	if err != nil {
		return err
	}
	var things []Thing
	for _, body := range []json.RawMessage{before, after} {
		if body == nil {
			continue
		}
		t, err := k.of(tx.Reader, e.Org, e.Doc, body)
		if err != nil {
			return err
		}
		things = append(things, t)
	}
	verbs := []Verb{Edit}
	var words []string // in which they are asked for; nil: always
	switch {
	case before == nil: // undoing it deletes
		verbs = []Verb{Delete}
	case after == nil: // undoing it makes it again: who may only delete, as a person a membership, may not
		verbs = []Verb{Delete, Create}
	case things[0].rights() != things[1].rights() && hasVerb(e.Kind, Administer):
		verbs = []Verb{Edit, Administer}
	case k.columns.Undo != nil:
		if verb, in := k.columns.Undo(before, after); verb != "" {
			verbs, words = []Verb{verb}, in
		}
	}
	now, err := k.current(tx.Reader, e.Doc)
	if err == nil {
		things = append(things, now)
	} else if !isMissing(err) {
		return err
	}
	for _, t := range things {
		asked := verbs
		if t.Kind != e.Kind { // a grant is described as the thing it is on
			asked = []Verb{Share}
		} else if words != nil && !slices.Contains(words, t.word()) {
			asked = []Verb{See}
		}
		for _, verb := range asked {
			if err := s.Require(tx.Reader, verb, t); err != nil {
				return err
			}
		}
	}
	return nil
}

// rights is the part of a thing that decides who may do what to it.
func (t Thing) rights() string { return fmt.Sprint(t.Branch, " ", t.Privacy, " ", t.Owner, t.Holders) }

func hasVerb(kind string, verb Verb) bool {
	return slices.ContainsFunc(RulesOf(kind), func(r Rule) bool { return slices.Contains(r.May, verb) })
}

// A grant is the thing that it is on.
var _ = Register(&Grants, Columns{}, func(r *ledger.Reader, d ledger.Doc[Grant]) (Thing, error) {
	return d.Body.target(r)
})

// InBranch names a kind whose documents stand in branches, and the column that says in which.
type InBranch struct{ Kind, Column string }

// KindsInBranches are the registered kinds that stand in branches, sorted.
func KindsInBranches() []InBranch {
	kinds.RLock()
	defer kinds.RUnlock()
	var in []InBranch
	for name, k := range kinds.byName {
		if k.columns.Branch != "" {
			in = append(in, InBranch{name, k.columns.Branch})
		}
	}
	slices.SortFunc(in, func(a, b InBranch) int { return strings.Compare(a.Kind, b.Kind) })
	return in
}
