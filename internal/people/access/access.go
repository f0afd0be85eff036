// Package access answers one question: may this actor do this verb on this
// thing, and why.
//
// It guarantees one decision function for every door and every list. Rights are
// worked out when asked, from memberships, grants, tokens, workspaces and the lists that
// stand in documents; nothing is cached in a document, so what is taken back is
// gone at the next question. What is not allowed by a row of the table in table.go
// is refused; scopes of tokens and workspaces only narrow what a row allows. What
// may not be seen does not exist: Require answers not-found. Visible is the same
// table as an SQL condition for lists, Parts the same for counting. A property test
// holds them together, and another compares both with policies in Cedar that were
// written from the handbook (testdata/oracle.cedar).
//
// Who belongs where and what is granted is kept in memory (picture.go), because
// asking the database costs ten to a hundred times more than deciding. It
// cannot answer from before a change: a question is about a snapshot; the picture
// knows by entry numbers which snapshots it is right for; a newer one makes it read
// the entries between, whichever process wrote them; an older one, and a
// transaction that has changed such things itself, are answered by SQL.
//
// Limits: a branch tree deeper than 64 is cut off (org refuses 16). Rights of a
// document that is deleted are those of its last content. A system actor may do
// everything: only jobs inside the process are one, and each has a name. The
// picture takes about 300 bytes for each account, membership and grant. Index tables
// that are changed without an entry (ledger.Rebuild) are seen after a new start.
//
// It reads the index tables of people/org and people/account, and writes only
// grants. Who controls it reads and changes everything.
package access

import (
	"fmt"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
)

// Verb is something that can be done to a thing.
type Verb string

// The verbs. What each means for a kind of thing is said in the table.
const (
	See        Verb = "see"
	Edit       Verb = "edit"
	Create     Verb = "create"
	Delete     Verb = "delete"
	Share      Verb = "share"      // give and take back grants
	Administer Verb = "administer" // privacy, owner, merge; settings of a branch
	Submit     Verb = "submit"     // attach a response, send in
	Approve    Verb = "approve"
	Reject     Verb = "reject"
	Recall     Verb = "recall" // an enumerator takes a pending response back to draft
	Deploy     Verb = "deploy" // create, edit, close deployments
	Design     Verb = "design" // edit a survey's form and translations
	Reveal     Verb = "reveal" // confidential answers
	Export     Verb = "export"
	Claim      Verb = "claim"
	Revoke     Verb = "revoke"
	Release    Verb = "release" // let something out of quarantine
)

// Thing is what access needs to know of a document.
type Thing struct {
	Kind    string
	ID      string // empty: one that is to be made
	Org     string
	Branch  string // the branch that manages it; the organization's id for its own things
	Privacy string // a site's privacy
	State   string // a response's or deployment's state; a thing has a privacy or a state, not both
	Owner   string // the person whose own it is: a response's enumerator
	Type    string // a site's type, for workspaces
	Holders []Holder
	Parent  *Thing // deployment -> survey, response -> deployment
	Name    string // for explanations
}

// Holder is one line of a list that stands in the document itself.
type Holder struct {
	Role      string // as the table calls it: "viewer"
	Principal string
}

func (t Thing) word() string {
	if t.Privacy != "" {
		return t.Privacy
	}
	return t.State
}

func (t Thing) title() string {
	kind := strings.ReplaceAll(t.Kind, "_", " ")
	if t.Name != "" {
		return kind + " " + t.Name
	}
	return kind
}

// Decision is an answer with its reasons.
type Decision struct {
	Allowed bool
	// Why has one chain for each way in which the actor may, or, when refused,
	// what the actor holds and what would be needed. Sentences for people.
	Why []string
}

// Require is nil when the actor may. It is NotFound when the actor may not even
// see the thing, and Denied when it may be seen but not done.
func Require(r *ledger.Reader, actor ledger.Actor, verb Verb, t Thing) error {
	s, err := Principals(r, actor)
	if err != nil {
		return err
	}
	return s.Require(r, verb, t)
}

// Require is the function of that name for an actor whose principals are known:
// for many questions in one snapshot.
func (s *Set) Require(r *ledger.Reader, verb Verb, t Thing) error {
	if s.System {
		return nil
	}
	able, seen := false, false
	if can, see, word := allowed(t.Kind, verb), allowed(t.Kind, See), t.word(); !s.hidden(&t) {
		inScope, inSight := s.scoped(t.Kind, verb), s.scoped(t.Kind, See)
		counts := func(role string) bool {
			return inScope && can.include(role, word) || !seen && inSight && see.include(role, word)
		}
		err := s.each(r, &t, counts, func(h *heldRole) bool {
			able = inScope && can.include(h.role, word)
			seen = seen || inSight && see.include(h.role, word)
			return !able
		})
		if err != nil || able {
			return err
		}
	}
	kind := strings.ReplaceAll(t.Kind, "_", " ")
	if t.ID == "" && !seen { // to be made: who sees the place learns that it is not for them
		seen = t.Org != "" && s.belongs(t.Org)
	}
	if !seen {
		return fault.New(fault.NotFound, t.Kind+".missing", "There is no such "+kind)
	}
	return fault.Newf(fault.Denied, t.Kind+".denied", "You may see this %s, but not %s it", kind, verb).
		WithMend("Ask an administrator of its branch for that right")
}

// Decide answers with reasons.
func Decide(r *ledger.Reader, actor ledger.Actor, verb Verb, t Thing) (Decision, error) {
	s, err := Principals(r, actor)
	if err != nil {
		return Decision{}, err
	}
	return s.Decide(r, verb, t)
}

// Decide is the function of that name for an actor whose principals are known.
func (s *Set) Decide(r *ledger.Reader, verb Verb, t Thing) (Decision, error) {
	if s.System {
		return Decision{true, []string{fmt.Sprintf("%s is a job of the server itself", s.Actor.Name)}}, nil
	}
	held, err := s.roles(r, t)
	if err != nil {
		return Decision{}, err
	}
	if by := s.allows(held, verb, t); by != nil {
		d := Decision{Allowed: true}
		for _, h := range by {
			why, err := s.explain(r, h)
			if err != nil {
				return Decision{}, err
			}
			d.Why = append(d.Why, fmt.Sprintf("%s; %s may %s it%s", why, h.role, verb, when(t)))
		}
		return d, nil
	}
	d := Decision{}
	for _, h := range held {
		why, err := s.explain(r, h)
		if err != nil {
			return Decision{}, err
		}
		d.Why = append(d.Why, fmt.Sprintf("%s, but %s may not %s it%s", why, h.role, verb, when(t)))
	}
	switch {
	case s.principal == "" && s.Device == "":
		d.Why = append(d.Why, "the actor is nobody that this server knows as active")
	case s.Token != "" && !s.scoped(t.Kind, verb):
		d.Why = append(d.Why, fmt.Sprintf("the scope of the token does not let it %s any %s", verb, strings.ReplaceAll(t.Kind, "_", " ")))
	case !s.scoped(t.Kind, verb):
		d.Why = append(d.Why, fmt.Sprintf("a phone may only send in and see, not %s", verb))
	case s.hidden(&t):
		d.Why = append(d.Why, "the workspace of the actor does not show this "+t.title())
	case len(held) == 0:
		d.Why = append(d.Why, "no membership, grant or list reaches this "+t.title())
	}
	return d, nil
}

func when(t Thing) string {
	if w := t.word(); w != "" {
		return " while it is " + w
	}
	return ""
}

// allows gives the held roles that allow a verb, nil when none does.
func (s *Set) allows(held []heldRole, verb Verb, t Thing) []heldRole {
	if s.System {
		return []heldRole{{role: "system"}}
	}
	if s.narrowed(verb, &t) {
		return nil
	}
	var by []heldRole
	roles, word := allowed(t.Kind, verb), t.word()
	for _, h := range held {
		if roles.include(h.role, word) {
			by = append(by, h)
		}
	}
	return by
}

// able is allows without the reasons.
func (s *Set) able(held []heldRole, verb Verb, t *Thing) bool {
	return s.System || len(s.allows(held, verb, *t)) > 0
}

// narrowed tells whether a token's or phone's limit or a workspace is against it, whatever the actor holds.
func (s *Set) narrowed(verb Verb, t *Thing) bool {
	return !s.scoped(t.Kind, verb) || s.hidden(t)
}
