package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
)

// Explanation answers why somebody may, or may not, do a verb to a thing.
type Explanation struct {
	Allowed bool     `json:"allowed"`
	Who     string   `json:"who" doc:"principal: person:<id>, phone:<id> or token:<id>"`
	Name    string   `json:"name"`
	Verb    Verb     `json:"verb"`
	Thing   string   `json:"thing" doc:"kind:id"`
	Title   string   `json:"title" doc:"the thing in words"`
	Chains  []Chain  `json:"chains" doc:"every way in which a role is held, those that allow it first"`
	Limits  []string `json:"limits" doc:"what stands against it, whatever the chains say"`
	Needed  []Need   `json:"needed" doc:"what would allow it; only told when it is not allowed"`
}

// Need is a row of the table of rights that has the verb.
type Need struct {
	Roles []string `json:"roles"`
	When  []string `json:"when,omitempty" doc:"only while the thing is one of these"`
	Text  string   `json:"text"`
}

// Why explains. Who may share the thing, or is an admin of its branch, may ask
// about the people he can know of; everybody may ask about himself, for what he
// sees. about is person:<id>, phone:<id> or token:<id>; empty: the asker.
func Why(r *ledger.Reader, asker ledger.Actor, about string, verb Verb, t Thing) (Explanation, error) {
	s, err := Principals(r, asker)
	if err != nil {
		return Explanation{}, err
	}
	if about == "" {
		about = principalOf(s)
	}
	actor, err := actorOf(about)
	if err != nil {
		return Explanation{}, err
	}
	of, err := Principals(r, actor)
	if err != nil {
		return Explanation{}, err
	}
	self := asker.Kind == "account" && s.Person != "" && of.Person == s.Person || actor.Kind == asker.Kind && actor.ID == asker.ID
	if self {
		err = s.Require(r, See, t)
	} else if err = s.mayAsk(r, t); err == nil {
		err = s.mayKnow(r, of, t)
	}
	if err == nil {
		err = knownVerb(t.Kind, verb)
	}
	if err != nil {
		return Explanation{}, err
	}
	return why(r, of, about, verb, t)
}

func why(r *ledger.Reader, of *Set, about string, verb Verb, t Thing) (Explanation, error) {
	w := newTeller(r)
	x := Explanation{Who: about, Verb: verb, Thing: t.Kind + ":" + t.ID, Title: t.title(), Limits: []string{}, Needed: []Need{}}
	decided, err := of.Decide(r, verb, t)
	if err != nil {
		return x, err
	}
	x.Allowed = decided.Allowed
	if x.Name, err = w.principal(of, about); err != nil {
		return x, err
	}
	if x.Chains, err = w.chains(of, verb, t); err != nil {
		return x, err
	}
	if x.Allowed {
		return x, nil
	}
	x.Limits = of.limits(verb, t)
	x.Needed = needed(verb, t)
	return x, nil
}

// limits are what stands against an actor, beside the table.
func (s *Set) limits(verb Verb, t Thing) []string {
	against := []string{}
	switch {
	case s.System:
	case s.principal == "" && s.Device == "":
		against = append(against, "nobody that this server knows as active")
	case s.Token != "" && !s.scoped(t.Kind, verb):
		against = append(against, fmt.Sprintf("the scope of the token does not let it %s any %s", verb, strings.ReplaceAll(t.Kind, "_", " ")))
	case !s.scoped(t.Kind, verb):
		against = append(against, fmt.Sprintf("a phone may only send in and see, not %s", verb))
	case s.hidden(&t):
		against = append(against, fmt.Sprintf("the workspace that they are locked into does not show this %s", t.title()))
	}
	return against
}

// needed are the rows of the table that have a verb for a kind.
func needed(verb Verb, t Thing) []Need {
	list := []Need{}
	for _, rule := range RulesOf(t.Kind) {
		if !slices.Contains(rule.May, verb) {
			continue
		}
		var words []string
		for _, role := range rule.Who {
			words = append(words, bearers(role))
		}
		text := strings.Join(words, ", or ")
		if len(rule.When) > 0 {
			text += ", while it is " + strings.Join(rule.When, " or ")
		}
		list = append(list, Need{Roles: rule.Who, When: rule.When, Text: text})
	}
	return list
}

// VerbsOf are what can be done to a kind of thing, as the table has them.
func VerbsOf(kind string) []Verb {
	var verbs []Verb
	for _, rule := range RulesOf(kind) {
		for _, v := range rule.May {
			if !slices.Contains(verbs, v) {
				verbs = append(verbs, v)
			}
		}
	}
	return verbs
}

func knownVerb(kind string, verb Verb) error {
	verbs := VerbsOf(kind)
	if slices.Contains(verbs, verb) {
		return nil
	}
	words := make([]string, len(verbs))
	for i, v := range verbs {
		words[i] = string(v)
	}
	return fault.Newf(fault.Invalid, "access.verb", "Nobody can %.20q a %s", verb, strings.ReplaceAll(kind, "_", " ")).
		At("verb", "unknown for this kind", "one of "+strings.Join(words, ", "))
}

// principalOf is an actor as a principal.
func principalOf(s *Set) string {
	switch {
	case s.Actor.Kind == "account":
		return "person:" + s.Actor.ID
	default:
		return s.Actor.Kind + ":" + s.Actor.ID
	}
}

// actorOf is whom a question is about, as an actor.
func actorOf(principal string) (ledger.Actor, error) {
	kind, id, _ := strings.Cut(principal, ":")
	switch {
	case id == "":
	case kind == "person":
		return ledger.Actor{Kind: "account", ID: id}, nil
	case kind == "phone", kind == "token", kind == "device":
		return ledger.Actor{Kind: kind, ID: id}, nil
	}
	return ledger.Actor{}, fault.Newf(fault.Invalid, "access.who", "%.80q names nobody who could act", principal).
		At("who", "not a person, phone or token", "person:<id>, phone:<id> or token:<id>")
}

// mayAsk is nil for who may ask about others: he may share the thing, or is an
// admin of its branch. A part is shared by what it is a part of: a response by its
// deployment and survey.
func (s *Set) mayAsk(r *ledger.Reader, t Thing) error {
	if s.System {
		return nil
	}
	if err := s.Require(r, See, t); err != nil {
		return err
	}
	for at := &t; at != nil; at = at.Parent {
		if err := s.Require(r, Share, *at); err == nil || fault.KindOf(err) != fault.Denied && fault.KindOf(err) != fault.NotFound {
			return err
		}
		if admin, err := s.holds(r, at.Branch, "admins"); err != nil || admin && !s.narrowed(See, at) {
			return err
		}
	}
	return fault.Newf(fault.Denied, "access.ask", "Who may do what to this %s is told to those who may share it, and to the admins of its branch", strings.ReplaceAll(t.Kind, "_", " ")).
		WithMend("Ask about yourself, or ask one of them")
}

// mayKnow is nil when the asker may know of somebody: he sees a membership of
// his, or the thing itself names him. Otherwise there is no such person.
func (s *Set) mayKnow(r *ledger.Reader, of *Set, t Thing) error {
	person := of.Person
	if of.Actor.Kind == "account" {
		person = of.Actor.ID // one that has ended, too
	}
	if person == "" {
		d, err := Describe(r, of.Actor.Kind, of.Actor.ID)
		if err != nil {
			return err
		}
		return s.Require(r, See, d)
	}
	known, err := s.knows(r, []string{person}, t)
	if err == nil && !known[person] {
		err = fault.New(fault.NotFound, "account.missing", "There is no such person").WithMend("Ask about the people of your organization")
	}
	return err
}

// knows tells which people the asker may know of, in view of a thing: himself,
// those of whom he sees a membership, and those whom the thing names one by one.
func (s *Set) knows(r *ledger.Reader, people []string, t Thing) (map[string]bool, error) {
	known := map[string]bool{}
	if s.System {
		for _, p := range people {
			known[p] = true
		}
		return known, nil
	}
	known[s.Person] = true
	for on := &t; on != nil; on = on.Parent {
		known[on.Owner] = true
		for _, h := range on.Holders {
			known[strings.TrimPrefix(h.Principal, "person:")] = true
		}
		rows := r.Query("SELECT principal FROM access_grant WHERE kind = $1 AND subject = $2 AND principal LIKE 'person:%'", on.Kind, on.ID)
		for rows.Next() {
			var p string
			rows.Scan(&p)
			known[strings.TrimPrefix(p, "person:")] = true
		}
		if err := rows.Close(); err != nil {
			return nil, err
		}
	}
	where, args, err := s.Visible("membership", See)
	if err != nil {
		return nil, err
	}
	for chunk := range slices.Chunk(people, 500) {
		marks, with := []string{}, slices.Clone(args)
		for _, p := range chunk {
			with = append(with, p)
			marks = append(marks, fmt.Sprintf("$%d", len(with)))
		}
		rows := r.Query("SELECT DISTINCT n.person FROM membership n WHERE "+where+" AND n.person IN ("+strings.Join(marks, ", ")+")", with...)
		for rows.Next() {
			var p string
			rows.Scan(&p)
			known[p] = true
		}
		if err := rows.Close(); err != nil {
			return nil, err
		}
	}
	return known, nil
}
