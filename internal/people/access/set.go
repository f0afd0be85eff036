package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/qanat-water/qanat/internal/ledger"
)

// Set is who an actor is: the person or token and all memberships, read once. It is
// good for one snapshot, and for one goroutine.
type Set struct {
	Actor  ledger.Actor
	Person string // the account's id; empty for a token, a device, a job or nobody
	Token  string
	Device string
	System bool

	principal   string          // how grants and lists name the actor; empty: they never do
	limit       func(Verb) bool // nil: no limit beside the rules
	kinds       []string        // the kinds that a token is for; nil: all
	memberships []membership
	locks       []lock
	lines       map[string][]string
	room        []heldRole // for Require, to be used again
}

type membership struct{ org, branch, group, doc string }

func (m membership) reaches() bool { return slices.Contains(reaching, m.group) }

// in tells whether the membership is one of a group in the branch itself.
// The people of a team are members of the team's branch.
func (m membership) in(group string) bool {
	return m.group == group || group == "members" && strings.HasPrefix(m.group, "team:")
}

// heldRole is a role on a thing and how it is held.
type heldRole struct {
	role string // as in a Rule's Who
	via  string // "membership", "grant", "list", "everyone", "own", "self", "people"
	m    membership
	by   string // the principal of the grant or list
	on   string // title of the thing it is held on; only Decide fills it in
	at   string // the branch where it counts
	of   *Thing
}

const (
	activeState = "active"
	maxLine     = 64 // branches above a branch
)

// phones act with their person's rights, but can only do this.
func phoneMay(v Verb) bool { return v == See || v == Submit }

// Principals reads who an actor is. An account that is not active, an unknown or
// revoked phone or token, a token whose time is over, and an unknown kind of
// actor are nobody.
func Principals(r *ledger.Reader, actor ledger.Actor) (*Set, error) {
	s := &Set{Actor: actor}
	person := ""
	switch actor.Kind {
	case "system":
		s.System = true
		return s, nil
	case "device":
		s.Device = actor.ID
		return s, nil
	case "account":
		person = actor.ID
	case "phone":
		s.limit = phoneMay
		owner, err := phoneOwner(r, actor.ID)
		if err != nil {
			return nil, err
		}
		person = owner
	case "token":
		return s, s.readToken(r)
	}
	if person == "" {
		return s, nil
	}
	active, err := accountActive(r, person)
	if err != nil || !active {
		return s, err
	}
	if s.memberships, err = membershipsOf(r, person); err != nil {
		return nil, err
	}
	s.Person, s.principal = person, "person:"+person
	return s, s.readLocks(r)
}

func accountActive(r *ledger.Reader, person string) (bool, error) {
	p, seen, err := pictureFor(r)
	if err != nil {
		return false, err
	}
	if active, _, ok := lookup(p, seen, func(p *picture) map[string]bool { return p.accounts }, person); ok {
		return active, nil
	}
	var state string
	if _, err := r.Row([]any{&state}, "SELECT state FROM account WHERE id = $1", person); err != nil {
		return false, fmt.Errorf("account of the actor: %w", err)
	}
	return state == activeState, nil
}

func membershipsOf(r *ledger.Reader, person string) ([]membership, error) {
	p, seen, err := pictureFor(r)
	if err != nil {
		return nil, err
	}
	if held, _, ok := lookup(p, seen, func(p *picture) map[string][]membership { return p.memberships }, person); ok {
		return held, nil
	}
	var held []membership
	rows := r.Query("SELECT org, branch, standing FROM membership WHERE person = $1", person)
	for rows.Next() {
		var m membership
		rows.Scan(&m.org, &m.branch, &m.group)
		held = append(held, m)
	}
	if err := rows.Close(); err != nil {
		return nil, fmt.Errorf("memberships of the actor: %w", err)
	}
	return held, nil
}

// phoneOwner is the person of a phone that is not revoked.
func phoneOwner(r *ledger.Reader, id string) (string, error) {
	p, seen, err := pictureFor(r)
	if err != nil {
		return "", err
	}
	is, known, _ := lookup(p, seen, func(p *picture) map[string]phone { return p.phones }, id)
	if !known {
		t, err := Describe(r, "phone", id)
		if err != nil && !isMissing(err) {
			return "", err
		}
		is = phone{owner: t.Owner, active: err == nil && t.State != "revoked"}
		if err == nil {
			p.keepPhone(seen, id, is)
		}
	}
	if !is.active {
		return "", nil
	}
	return is.owner, nil
}

// Organizations are those the actor belongs to.
func (s *Set) Organizations() []string {
	var orgs []string
	for _, m := range s.memberships {
		if !slices.Contains(orgs, m.org) {
			orgs = append(orgs, m.org)
		}
	}
	return orgs
}

func (s *Set) belongs(org string) bool {
	for i := range s.memberships {
		if s.memberships[i].org == org {
			return true
		}
	}
	return false
}

// Is tells whether the actor is meant by a principal.
func (s *Set) Is(r *ledger.Reader, principal string) (bool, error) {
	if s.principal == "" {
		return false, nil
	}
	kind, rest, _ := strings.Cut(principal, ":")
	switch kind {
	case "everyone":
		return rest == "", nil
	case "person", "token":
		return principal == s.principal, nil
	case "team":
		return slices.ContainsFunc(s.memberships, func(m membership) bool { return m.group == principal }), nil
	case "branch":
		return s.holds(r, rest, "")
	case "group":
		branch, group, _ := strings.Cut(rest, "/")
		return s.holds(r, branch, group)
	}
	return false, nil
}

// holds tells whether the actor is in a standing group of a branch (any group
// when empty), directly or from above.
func (s *Set) holds(r *ledger.Reader, branch, group string) (bool, error) {
	if len(s.memberships) == 0 {
		return false, nil
	}
	line, err := s.line(r, branch)
	if err != nil {
		return false, err
	}
	for i := range s.memberships {
		m := &s.memberships[i]
		at := slices.Index(line, m.branch)
		if at < 0 || group != "" && !m.in(group) {
			continue
		}
		if at == 0 || m.reaches() {
			return true, nil
		}
	}
	return false, nil
}

// line is a branch and all above it, itself first. A branch that is not there
// has an empty line: nobody holds anything in it.
func (s *Set) line(r *ledger.Reader, branch string) ([]string, error) {
	if line, known := s.lines[branch]; known || branch == "" {
		return line, nil
	}
	p, seen, err := pictureFor(r)
	if err != nil {
		return nil, err
	}
	line, ok := p.line(seen, branch)
	if !ok {
		rows := r.Query(`WITH RECURSIVE up(id, parent, depth) AS (
			SELECT b.id, b.parent, 0 FROM branch b WHERE b.id = $1
			UNION ALL SELECT b.id, b.parent, up.depth + 1 FROM branch b JOIN up ON b.id = up.parent WHERE up.depth < 64
		) SELECT id FROM up ORDER BY depth`, branch)
		for rows.Next() {
			var id string
			rows.Scan(&id)
			line = append(line, id)
		}
		if err := rows.Close(); err != nil {
			return nil, fmt.Errorf("branches above: %w", err)
		}
	}
	if s.lines == nil {
		s.lines = map[string][]string{}
	}
	s.lines[branch] = line
	return line, nil
}

// roles is everything the actor holds on a thing, grants and the thing's parents
// included, for explanations.
func (s *Set) roles(r *ledger.Reader, t Thing) ([]heldRole, error) {
	held, err := s.gather(r, nil, &t, true)
	for i := range held {
		if held[i].of != nil {
			held[i].on = held[i].of.title()
		}
	}
	return held, err
}

// gather adds to held what the actor holds on a thing; with grants and parents,
// or only what the thing and memberships say, which is often enough.
func (s *Set) gather(r *ledger.Reader, held []heldRole, t *Thing, all bool) ([]heldRole, error) {
	held, err := s.own(r, held, t)
	if err != nil || !all || s.principal == "" {
		return held, err
	}
	if held, err = s.granted(r, held, t); err != nil || t.Parent == nil {
		return held, err
	}
	from := len(held)
	held, err = s.gather(r, held, t.Parent, true)
	for i := from; i < len(held); i++ {
		held[i].role = onParent(t.Parent.Kind, held[i].role)
	}
	return held, err
}

// onParent is what the table calls a role that is held on a parent of a kind.
func onParent(kind, role string) string {
	if strings.Contains(role, ".") {
		return role
	}
	if name, known := parentRoles.Load().byName[[2]string{kind, role}]; known {
		return name
	}
	return kind + "." + role
}

// own is what the actor holds by the thing itself and by memberships.
func (s *Set) own(r *ledger.Reader, held []heldRole, t *Thing) ([]heldRole, error) {
	if s.Device != "" && t.Kind == "device" && t.ID == s.Device {
		return append(held, heldRole{role: "self", via: "self", of: t}), nil
	}
	if s.principal == "" {
		return held, nil
	}
	held = append(held, heldRole{role: "everyone", via: "everyone"})
	if t.Owner != "" && t.Owner == s.Person {
		held = append(held, heldRole{role: "own", via: "own", of: t})
	}
	if t.Org != "" && s.belongs(t.Org) {
		held = append(held, heldRole{role: "people", via: "people", at: t.Org})
	}
	if len(s.memberships) > 0 {
		line, err := s.line(r, t.Branch)
		if err != nil {
			return nil, err
		}
		for i := range s.memberships {
			m := &s.memberships[i]
			at := slices.Index(line, m.branch)
			if at == 0 || at > 0 && m.reaches() {
				role := m.group
				if strings.HasPrefix(role, "team:") {
					role = "members"
				}
				held = append(held, heldRole{role: role, via: "membership", m: *m, of: t, at: t.Branch})
			}
		}
	}
	for _, h := range t.Holders {
		is, err := s.Is(r, h.Principal)
		if err != nil {
			return nil, err
		}
		if is {
			held = append(held, heldRole{role: h.Role, via: "list", by: h.Principal, of: t})
		}
	}
	return held, nil
}

// granted is what grants on the thing give the actor.
func (s *Set) granted(r *ledger.Reader, held []heldRole, t *Thing) ([]heldRole, error) {
	if t.ID == "" {
		return held, nil
	}
	lines, err := grantsOn(r, t.Kind, t.ID)
	if err != nil {
		return nil, err
	}
	for i := range lines {
		is, err := s.Is(r, lines[i].principal)
		if err != nil {
			return nil, err
		}
		if is {
			held = append(held, heldRole{role: lines[i].role, via: "grant", by: lines[i].principal, of: t})
		}
	}
	return held, nil
}

func grantsOn(r *ledger.Reader, kind, id string) ([]granted, error) {
	p, seen, err := pictureFor(r)
	if err != nil {
		return nil, err
	}
	if lines, _, ok := lookup(p, seen, func(p *picture) map[subject][]granted { return p.grants }, subject{kind, id}); ok {
		return lines, nil
	}
	var lines []granted
	rows := r.Query("SELECT role, principal FROM access_grant WHERE kind = $1 AND subject = $2", kind, id)
	for rows.Next() {
		var g granted
		rows.Scan(&g.role, &g.principal)
		lines = append(lines, g)
	}
	if err := rows.Close(); err != nil {
		return nil, fmt.Errorf("grants on %s: %w", kind, err)
	}
	return lines, nil
}
