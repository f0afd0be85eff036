package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/qanat-water/qanat/internal/ledger"
)

const maxChains = 24 // ways of one person to one thing that are told

// Chain is one way from somebody to a role on a thing. Take any link away, and
// this way is gone.
type Chain struct {
	Role   string `json:"role" doc:"as in the table of rights; kind.role is one that is held on the thing that this one is a part of"`
	Allows bool   `json:"allows" doc:"the role carries the verb, in the thing's present state"`
	Steps  []Step `json:"steps"`
	Text   string `json:"text" doc:"the steps in words"`
}

// Step is one link of a chain.
type Step struct {
	Link string `json:"link" enum:"person,phone,device,token,job,membership,organization,reaches,manages,grant,list,owner,self,everyone,part,role"`
	Kind string `json:"kind,omitempty" doc:"of the document that makes this link"`
	ID   string `json:"id,omitempty" doc:"its id: take it away or change it, and the chain breaks"`
	Text string `json:"text"`
}

// teller finds chains and remembers names, for one snapshot.
type teller struct {
	r     *ledger.Reader
	names map[string]string
}

func newTeller(r *ledger.Reader) *teller { return &teller{r, map[string]string{}} }

func (w *teller) remember(key string, find func() (string, error)) (string, error) {
	if name, known := w.names[key]; known {
		return name, nil
	}
	name, err := find()
	w.names[key] = name
	return name, err
}

// principal is a principal in words, branches with those above them.
func (w *teller) principal(s *Set, principal string) (string, error) {
	return w.remember(principal, func() (string, error) {
		kind, rest, _ := strings.Cut(principal, ":")
		switch kind {
		case "branch":
			path, err := w.path(s, rest)
			return "everybody in " + path, err
		case "group":
			branch, group, _ := strings.Cut(rest, "/")
			path, err := w.path(s, branch)
			return group + " of " + path, err
		case "phone":
			t, err := Describe(w.r, "phone", rest)
			if err != nil {
				return "a removed phone", ignoreMissing(err)
			}
			name, err := nameOf(w.r, "person:"+t.Owner)
			return "a phone of " + name, err
		case "token", "device":
			t, err := Describe(w.r, kind, rest)
			if err != nil {
				return "a removed " + kind, ignoreMissing(err)
			}
			return kind + " " + t.Name, nil
		}
		return nameOf(w.r, principal)
	})
}

func ignoreMissing(err error) error {
	if isMissing(err) {
		return nil
	}
	return err
}

func (w *teller) path(s *Set, branch string) (string, error) {
	return w.remember("path "+branch, func() (string, error) {
		path, err := s.path(w.r, branch)
		if path == "" {
			path = "a removed branch"
		}
		return path, err
	})
}

// chains are the ways in which an actor holds roles on a thing, those that allow the verb first.
func (w *teller) chains(s *Set, verb Verb, t Thing) ([]Chain, error) {
	start, err := w.start(s)
	if err != nil {
		return nil, err
	}
	if s.System {
		return []Chain{chain("system", true, start)}, nil
	}
	held, err := s.roles(w.r, t)
	if err != nil {
		return nil, err
	}
	found := []Chain{}
	for _, h := range held {
		ways, err := w.ways(s, h, t)
		if err != nil {
			return nil, err
		}
		allows := s.allows([]heldRole{h}, verb, t) != nil
		last := Step{Link: "role", Text: verdict(h.role, verb, t, allows)}
		for _, way := range ways {
			found = append(found, chain(h.role, allows, slices.Concat(start, way, []Step{last})))
		}
	}
	slices.SortStableFunc(found, func(a, b Chain) int { // the allowing, then the particular before the general
		if a.Allows != b.Allows {
			if a.Allows {
				return -1
			}
			return 1
		}
		return a.general() - b.general()
	})
	return found[:min(len(found), maxChains)], nil
}

// verdict is what a role allows, in words.
func verdict(role string, verb Verb, t Thing, allows bool) string {
	not, state := "", ""
	if !allows {
		not = "not "
	}
	rules := slices.DeleteFunc(slices.Clone(RulesOf(t.Kind)), func(r Rule) bool { return !slices.Contains(r.Who, role) || !slices.Contains(r.May, verb) })
	if len(rules) > 0 && !slices.ContainsFunc(rules, func(r Rule) bool { return len(r.When) == 0 }) {
		state = when(t) // only then it is the state that decides
	}
	return fmt.Sprintf("%s may %s%s it%s", bearers(role), not, verb, state)
}

// bearers are those who hold a role, in words.
func bearers(role string) string {
	kind, of, above := strings.Cut(role, ".")
	if !above {
		of, kind = role, ""
	}
	words := map[string]string{
		"admins": "admins of its branch", "managers": "managers of its branch", "viewers": "viewers of its branch", "members": "members of its branch",
		"everyone": "everyone", "people": "all people of its organization", "own": "whose own it is", "self": "the device itself",
		"stage": "approvers of its present stage", "stage-editor": "approvers of its present stage who may edit", "remover": "enumerators who may delete",
	}[of]
	switch {
	case words == "":
		words = "who has the role " + of
		if above {
			words += " on its " + kind
		}
	case above:
		words += ", which manages its " + kind + ","
	}
	return words
}

func chain(role string, allows bool, steps []Step) Chain {
	words := make([]string, len(steps))
	for i, s := range steps {
		words[i] = s.Text
	}
	return Chain{Role: role, Allows: allows, Steps: steps, Text: strings.Join(words, " → ")}
}

// general is 1 for what somebody has by merely having an account.
func (c Chain) general() int {
	if len(c.Steps) > 1 && slices.ContainsFunc(c.Steps, func(s Step) bool { return s.Link == "everyone" }) {
		return 1
	}
	return 0
}

// plain is the role without the kind it is held on.
func (h heldRole) plain() string { return h.role[strings.LastIndexByte(h.role, '.')+1:] }

// start is who acts, and for whom.
func (w *teller) start(s *Set) ([]Step, error) {
	switch {
	case s.System:
		return []Step{{Link: "job", Text: s.Actor.Name + " is a job of the server itself"}}, nil
	case s.Device != "":
		return []Step{{Link: "device", Kind: "device", ID: s.Device, Text: "the device itself"}}, nil
	case s.Actor.Kind == "token":
		name, err := w.principal(s, "token:"+s.Actor.ID)
		return []Step{{Link: "token", Kind: "token", ID: s.Actor.ID, Text: name}}, err
	}
	name, err := w.principal(s, "person:"+s.Person)
	person := Step{Link: "person", Kind: "account", ID: s.Person, Text: name}
	if s.Actor.Kind == "phone" {
		return []Step{{Link: "phone", Kind: "phone", ID: s.Actor.ID, Text: "a phone"}, person}, err
	}
	return []Step{person}, err
}

// ways are the steps between somebody and a role that he holds, one list for each
// way in which he does.
func (w *teller) ways(s *Set, h heldRole, t Thing) ([][]Step, error) {
	on, part := level(h, t)
	var ways [][]Step
	var err error
	switch h.via {
	case "self":
		ways = [][]Step{{{Link: "self", Kind: on.Kind, ID: on.ID, Text: "is the " + on.title()}}}
	case "own":
		ways = [][]Step{{{Link: "owner", Kind: on.Kind, ID: on.ID, Text: "their own " + on.title()}}}
	case "everyone":
		ways = [][]Step{{{Link: "everyone", Text: "everyone with an account on this server"}}}
	case "people":
		ways, err = w.belongs(s, h.at)
	case "membership":
		ways, err = w.reaching(s, []membership{h.m}, h.at)
		for i := range ways {
			ways[i] = append(ways[i], Step{Link: "manages", Kind: on.Kind, ID: on.ID, Text: "manages the " + on.title()})
		}
	default:
		ways, err = w.meant(s, h.by)
		if err != nil {
			return nil, err
		}
		var link Step
		if link, err = w.given(s, h, on); err != nil {
			return nil, err
		}
		for i := range ways {
			ways[i] = append(ways[i], link)
		}
	}
	if part.Text != "" {
		for i := range ways {
			ways[i] = append(ways[i], part)
		}
	}
	return ways, err
}

// level is the thing that a role is held on: t, or one that it is a part of.
func level(h heldRole, t Thing) (Thing, Step) {
	if h.of == nil || h.of.Kind == t.Kind && h.of.ID == t.ID {
		return t, Step{}
	}
	return *h.of, Step{Link: "part", Kind: t.Kind, ID: t.ID, Text: "the " + t.title() + " is a part of it"}
}

// given is the grant, or the list in the document, that names the role.
func (w *teller) given(s *Set, h heldRole, on Thing) (Step, error) {
	to, err := w.principal(s, h.by)
	if err != nil {
		return Step{}, err
	}
	if h.by == "person:"+s.Person {
		to = "them"
	}
	if h.via == "list" && h.plain() == "participant" { // made of the lists of its deployments
		return Step{Link: "list", Kind: on.Kind, ID: on.ID, Text: fmt.Sprintf("a deployment of the %s names %s: %s", on.title(), to, h.plain())}, nil
	}
	if h.via == "list" {
		return Step{Link: "list", Kind: on.Kind, ID: on.ID, Text: fmt.Sprintf("the %s names %s as %s", on.title(), to, h.plain())}, nil
	}
	step := Step{Link: "grant", Kind: "access_grant", Text: fmt.Sprintf("a grant gives %s %s on the %s", to, h.plain(), on.title())}
	_, err = w.r.Row([]any{&step.ID}, "SELECT id FROM access_grant WHERE kind = $1 AND subject = $2 AND principal = $3 AND role = $4", on.Kind, on.ID, h.by, h.plain())
	return step, err
}

// meant are the ways in which a principal means somebody.
func (w *teller) meant(s *Set, principal string) ([][]Step, error) {
	kind, rest, _ := strings.Cut(principal, ":")
	var of []membership
	at := rest
	switch kind {
	case "everyone":
		return [][]Step{{{Link: "everyone", Text: "everyone with an account on this server"}}}, nil
	case "person", "token":
		return [][]Step{{}}, nil
	case "team":
		for _, m := range s.memberships {
			if m.group == principal {
				of, at = append(of, m), m.branch
			}
		}
	case "branch":
		of = s.memberships
	case "group":
		branch, group, _ := strings.Cut(rest, "/")
		at = branch
		for _, m := range s.memberships {
			if m.in(group) {
				of = append(of, m)
			}
		}
	}
	return w.reaching(s, of, at)
}

// reaching are the ways from memberships to a branch, directly or from above.
func (w *teller) reaching(s *Set, of []membership, branch string) ([][]Step, error) {
	line, err := s.line(w.r, branch)
	if err != nil {
		return nil, err
	}
	var ways [][]Step
	for _, m := range of {
		at := slices.Index(line, m.branch)
		if at != 0 && (at < 0 || !m.reaches()) {
			continue
		}
		step, err := w.member(s, m)
		if err != nil {
			return nil, err
		}
		way := []Step{step}
		if at > 0 {
			path, err := w.path(s, branch)
			if err != nil {
				return nil, err
			}
			way = append(way, Step{Link: "reaches", Kind: "branch", ID: branch, Text: "reaches down to " + path})
		}
		ways = append(ways, way)
	}
	return ways, nil
}

// belongs are the memberships by which somebody is one of an organization's people.
func (w *teller) belongs(s *Set, organization string) ([][]Step, error) {
	var ways [][]Step
	name, err := w.path(s, organization)
	for _, m := range s.memberships {
		if m.org != organization || err != nil {
			continue
		}
		var step Step
		step, err = w.member(s, m)
		ways = append(ways, []Step{step, {Link: "organization", Kind: "branch", ID: organization, Text: "one of the people of " + name}})
	}
	return ways, err
}

// member is a membership as a link. A token's standing in its branch is the token itself.
func (w *teller) member(s *Set, m membership) (Step, error) {
	path, err := w.path(s, m.branch)
	if err != nil {
		return Step{}, err
	}
	step := Step{Link: "membership", Kind: "membership", Text: m.group + " of " + path}
	if strings.HasPrefix(m.group, "team:") {
		name, err := w.principal(s, m.group)
		if err != nil {
			return Step{}, err
		}
		step.Text = name + " in " + path
	}
	if s.Person == "" {
		step.Kind, step.ID = "token", s.Actor.ID
		return step, nil
	}
	_, err = w.r.Row([]any{&step.ID}, "SELECT id FROM membership WHERE person = $1 AND branch = $2 AND standing = $3", s.Person, m.branch, m.group)
	return step, err
}
