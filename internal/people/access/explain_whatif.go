package access

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/qanat-water/qanat/internal/ledger"
)

const (
	mostAffected  = 200    // people whose gains and losses are told
	triedTogether = 40     // of them in one turn of the writer
	mostCounted   = 10_000 // things of a kind that are counted
)

// Effect is what a change of rights would do. Nothing of it has happened.
type Effect struct {
	People   []Gain    `json:"people" doc:"who would gain or lose something, by name"`
	Everyone *Gain     `json:"everyone,omitempty" doc:"what every account of the server would gain or lose"`
	Others   *Gain     `json:"others,omitempty" doc:"what people of another organization would, who are not told one by one"`
	Count    int       `json:"count" doc:"people who would, among those looked at"`
	More     bool      `json:"more" doc:"so many are meant that not all were looked at"`
	Visible  []Visibly `json:"visible" doc:"how much the one person would see; empty when several are meant"`
}

// Gain is what somebody would gain and lose.
type Gain struct {
	Principal string    `json:"principal"`
	Name      string    `json:"name"`
	On        []OnThing `json:"on"`
}

// OnThing is the part of a Gain on one thing, or on all things of a sort.
type OnThing struct {
	Kind  string `json:"kind"`
	Title string `json:"title" doc:"the thing, or sort of things, in words"`
	Gains []Verb `json:"gains"`
	Loses []Verb `json:"loses"`
}

// Visibly counts the things of a kind that somebody sees.
type Visibly struct {
	Kind   string `json:"kind"`
	Before int64  `json:"before"`
	After  int64  `json:"after"`
	More   bool   `json:"more" doc:"there are more than were counted"`
}

// Trial is a change of rights to be tried out.
type Trial struct {
	Apply     func(tx *ledger.Tx) error                 // as it would be done, its checks included
	Principal func(r *ledger.Reader) (string, error)    // whom it concerns
	On        func(r *ledger.Reader) ([]Example, error) // what rights are compared on
}

// Example is a thing that rights are compared on, or one that stands for a sort.
type Example struct {
	Thing
	Title string
}

// WhatIf says what a change of rights would do: it is done, rights are asked by
// the same function as ever, and it is taken back before anybody sees it. Who
// may not do it gets the answer that doing it would give.
func WhatIf(ctx context.Context, l *ledger.Ledger, asker ledger.Actor, t Trial) (Effect, error) {
	e := Effect{People: []Gain{}, Visible: []Visibly{}}
	var actors []string // principals that act
	var principal string
	known := map[string]bool{}
	err := l.Try(ctx, asker, func(tx *ledger.Tx) (err error) { // whom it concerns; refused here when it is to be refused
		actors, known = nil, map[string]bool{}
		if principal, err = t.Principal(tx.Reader); err != nil {
			return err
		}
		examples, err := t.On(tx.Reader)
		if err != nil {
			return err
		}
		w := newTeller(tx.Reader)
		people, err := w.expand(principal)
		if err != nil {
			return err
		}
		e.More = len(people) > mostAffected
		people = people[:min(len(people), mostAffected)]
		s, err := Principals(tx.Reader, asker)
		if err != nil {
			return err
		}
		var thing Thing
		if len(examples) > 0 {
			thing = examples[0].Thing
			programs, err := w.programs(Share, thing, nil, principal) // tokens; phones have no rights but their person's
			if err != nil {
				return err
			}
			for _, p := range programs[:min(len(programs), mostAffected)] {
				actors = append(actors, p.principal)
				kind, id, _ := strings.Cut(p.principal, ":")
				if d, err := Describe(tx.Reader, kind, id); err == nil {
					known[p.principal] = s.Require(tx.Reader, See, d) == nil
				} else if !isMissing(err) {
					return err
				}
			}
		}
		of, err := s.knows(tx.Reader, people, thing)
		for _, p := range people {
			actors, known["person:"+p] = append(actors, "person:"+p), of[p]
		}
		if err != nil {
			return err
		}
		return t.Apply(tx)
	})
	if err != nil {
		return e, err
	}
	single := ""
	if person, is := strings.CutPrefix(principal, "person:"); is {
		single = person
	}
	if err := e.everyone(ctx, l, asker, t); err != nil {
		return e, err
	}
	for chunk := range slices.Chunk(actors, triedTogether) {
		if err := e.compare(ctx, l, asker, t, principal, chunk, known); err != nil {
			return e, err
		}
	}
	if single != "" {
		if err := e.count(ctx, l, asker, t, single); err != nil {
			return e, err
		}
	}
	slices.SortFunc(e.People, func(a, b Gain) int { return strings.Compare(a.Name, b.Name) })
	return e, nil
}

// both runs look before and after the change.
func both(ctx context.Context, l *ledger.Ledger, asker ledger.Actor, t Trial, look func(r *ledger.Reader, after bool) error) error {
	return l.Try(ctx, asker, func(tx *ledger.Tx) error {
		if err := look(tx.Reader, false); err != nil {
			return err
		}
		if err := t.Apply(tx); err != nil {
			return err
		}
		return look(tx.Reader, true)
	})
}

// may is what a set may do to each example.
func (s *Set) may(r *ledger.Reader, examples []Example) ([][]Verb, error) {
	all := make([][]Verb, len(examples))
	for i, x := range examples {
		held, err := s.roles(r, x.Thing)
		if err != nil {
			return nil, err
		}
		for _, v := range VerbsOf(x.Kind) {
			if s.able(held, v, &x.Thing) {
				all[i] = append(all[i], v)
			}
		}
	}
	return all, nil
}

// differences are what changed between two answers of may.
func differences(examples []Example, before, after [][]Verb) []OnThing {
	var on []OnThing
	for i, x := range examples {
		d := OnThing{Kind: x.Kind, Title: x.Title, Gains: lacking(after[i], before[i]), Loses: lacking(before[i], after[i])}
		if len(d.Gains)+len(d.Loses) > 0 {
			on = append(on, d)
		}
	}
	return on
}

func lacking(these, those []Verb) []Verb {
	return slices.DeleteFunc(append([]Verb{}, these...), func(v Verb) bool { return slices.Contains(those, v) })
}

func (e *Effect) everyone(ctx context.Context, l *ledger.Ledger, asker ledger.Actor, t Trial) error {
	var before, after [][]Verb
	var examples []Example
	err := both(ctx, l, asker, t, func(r *ledger.Reader, changed bool) (err error) {
		if !changed {
			if examples, err = t.On(r); err != nil {
				return err
			}
		}
		before, after = after, nil
		after, err = stranger().may(r, examples)
		return err
	})
	if on := differences(examples, before, after); len(on) > 0 && err == nil {
		e.Everyone = &Gain{Principal: "everyone", Name: "everyone with an account on this server", On: on}
	}
	return err
}

// stranger is somebody with an account and nothing else.
func stranger() *Set {
	return &Set{Actor: ledger.Actor{Kind: "account", ID: "nobody"}, Person: "nobody", principal: "person:nobody"}
}

// compare tells what some actors would gain and lose.
func (e *Effect) compare(ctx context.Context, l *ledger.Ledger, asker ledger.Actor, t Trial, principal string, actors []string, known map[string]bool) error {
	var examples []Example
	before, after := map[string][][]Verb{}, map[string][][]Verb{}
	var gains []Gain
	var others []OnThing
	group := ""
	err := both(ctx, l, asker, t, func(r *ledger.Reader, changed bool) (err error) {
		into := before
		if changed {
			into = after
		} else if examples, err = t.On(r); err != nil {
			return err
		}
		w := newTeller(r)
		for _, p := range actors {
			actor, err := actorOf(p)
			if err != nil {
				return err
			}
			s, err := Principals(r, actor)
			if err != nil {
				return err
			}
			if into[p], err = s.may(r, examples); err != nil {
				return err
			}
		}
		if !changed {
			return nil
		}
		gains, others = nil, nil
		for _, p := range actors {
			on := differences(examples, before[p], after[p])
			if len(on) == 0 {
				continue
			}
			s := &Set{}
			if !known[p] {
				others = on
				group, err = w.principal(s, principal)
			} else {
				var name string
				name, err = w.principal(s, p)
				gains = append(gains, Gain{p, name, on})
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	e.People = append(e.People, gains...)
	e.Count += len(gains)
	if others != nil {
		e.Others = &Gain{principal, group, others}
	}
	return err
}

// count tells how much one person would see.
func (e *Effect) count(ctx context.Context, l *ledger.Ledger, asker ledger.Actor, t Trial, person string) error {
	var before, after []Visibly
	err := both(ctx, l, asker, t, func(r *ledger.Reader, _ bool) error {
		before, after = after, nil
		s, err := Principals(r, ledger.Actor{Kind: "account", ID: person})
		if err != nil {
			return err
		}
		for _, kind := range []string{"site", "survey", "deployment", "response", "device"} {
			if _, known := registered(kind); !known || !r.Has(kind) {
				continue
			}
			where, args, err := s.Visible(kind, See)
			if err != nil {
				return err
			}
			v := Visibly{Kind: kind}
			if _, err := r.Row([]any{&v.After}, fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM %s n WHERE %s LIMIT %d) seen", kind, where, mostCounted+1), args...); err != nil {
				return err
			}
			after = append(after, v)
		}
		return nil
	})
	for i, v := range after {
		v.Before = before[i].After
		v.More = v.After > mostCounted || v.Before > mostCounted
		e.Visible = append(e.Visible, v)
	}
	return err
}

// WhatIfGiven is WhatIf for a grant.
func WhatIfGiven(ctx context.Context, l *ledger.Ledger, asker ledger.Actor, g Grant) (Effect, error) {
	return WhatIf(ctx, l, asker, Trial{
		Apply:     func(tx *ledger.Tx) error { _, err := Give(tx, g); return err },
		Principal: func(*ledger.Reader) (string, error) { return g.Principal, nil },
		On:        func(r *ledger.Reader) ([]Example, error) { return g.examples(r) },
	})
}

// WhatIfTakenBack is WhatIf for the end of a grant.
func WhatIfTakenBack(ctx context.Context, l *ledger.Ledger, asker ledger.Actor, id string) (Effect, error) {
	return WhatIf(ctx, l, asker, Trial{
		Apply: func(tx *ledger.Tx) error { return TakeBack(tx, id) },
		Principal: func(r *ledger.Reader) (string, error) {
			g, err := Grants.Get(r, id)
			return g.Body.Principal, err
		},
		On: func(r *ledger.Reader) ([]Example, error) {
			g, err := Grants.Get(r, id)
			if err != nil {
				return nil, err
			}
			return g.Body.examples(r)
		},
	})
}

// examples are the grant's thing, and what is made a part of it.
func (g Grant) examples(r *ledger.Reader) ([]Example, error) {
	t, err := g.target(r)
	if err != nil {
		return nil, err
	}
	list := []Example{{t, t.title()}}
	at := &t
	if t.Kind == "survey" {
		d := Thing{Kind: "deployment", Org: t.Org, Branch: t.Branch, State: "active", Parent: &t}
		list, at = append(list, Example{d, "its open deployments"}), &d
	}
	if at.Kind == "deployment" {
		for _, state := range []string{"draft", "pending", "rejected", "final"} {
			list = append(list, Example{Thing{Kind: "response", Org: t.Org, Branch: t.Branch, State: state, Parent: at}, "its " + state + " responses"})
		}
	}
	return list, nil
}

// sorts are the kinds of things that stand in branches, those that people think of first.
var sorts = [][2]string{
	{"site", "sites"}, {"survey", "surveys"}, {"device", "devices"}, {"phone", "phones"}, {"membership", "people in groups"}, {"invitation", "invitations"},
	{"branch", "branches"}, {"team", "teams"}, {"token", "service tokens"},
}

// InBranchExamples stand for the things of each kind that a branch manages.
func InBranchExamples(org, branch string) []Example {
	words := slices.Clone(sorts)
	for _, in := range KindsInBranches() {
		known := slices.ContainsFunc(sorts, func(s [2]string) bool { return s[0] == in.Kind })
		if !known && !slices.Contains([]string{"deployment", "response", "submission"}, in.Kind) { // these follow their survey
			words = append(words, [2]string{in.Kind, strings.ReplaceAll(in.Kind, "_", " ") + "s"})
		}
	}
	var list []Example
	for _, w := range words {
		if _, known := registered(w[0]); !known {
			continue
		}
		t := Thing{Kind: w[0], Org: org, Branch: branch}
		if t.Kind == "site" {
			t.Privacy = "private"
		}
		list = append(list, Example{t, w[1]})
	}
	return list
}
