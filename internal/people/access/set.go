package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/qanat-water/qanat/internal/ledger"
)

// Set is who an actor is: the person and all memberships, read once. It is good
// for one snapshot.
type Set struct {
	Actor  ledger.Actor
	Person string // the account's id; empty for a device, a job or nobody
	Device string
	System bool

	limit       map[Verb]bool // nil: no limit beside the rules
	memberships []membership
	lines       map[string][]string
}

type membership struct{ org, branch, group string }

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
	on   string // title of the thing it is held on
	at   string // the branch where it counts
}

// phones act with their person's rights, but can only do this.
var phoneMay = map[Verb]bool{See: true, Submit: true}

// Principals reads who an actor is. An account that is not active, an unknown
// phone and an unknown kind of actor are nobody.
func Principals(r *ledger.Reader, actor ledger.Actor) (*Set, error) {
	s := &Set{Actor: actor, lines: map[string][]string{}}
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
	}
	if person == "" {
		return s, nil
	}
	var state string
	found, err := r.Row([]any{&state}, "SELECT state FROM account WHERE id = $1", person)
	if err != nil {
		return nil, fmt.Errorf("account of the actor: %w", err)
	}
	if !found || state != "active" {
		return s, nil
	}
	s.Person = person
	rows := r.Query("SELECT org, branch, standing FROM membership WHERE person = $1", person)
	for rows.Next() {
		var m membership
		rows.Scan(&m.org, &m.branch, &m.group)
		s.memberships = append(s.memberships, m)
	}
	if err := rows.Close(); err != nil {
		return nil, fmt.Errorf("memberships of the actor: %w", err)
	}
	return s, nil
}

// phoneOwner is the person of a phone that is not revoked.
func phoneOwner(r *ledger.Reader, phone string) (string, error) {
	t, err := Describe(r, "phone", phone)
	if isMissing(err) {
		return "", nil
	}
	if err != nil || t.State == "revoked" {
		return "", err
	}
	return t.Owner, nil
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

// Is tells whether the actor is meant by a principal.
func (s *Set) Is(r *ledger.Reader, principal string) (bool, error) {
	if s.Person == "" {
		return false, nil
	}
	kind, rest, _ := strings.Cut(principal, ":")
	switch kind {
	case "everyone":
		return rest == "", nil
	case "person":
		return rest == s.Person, nil
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

// holds tells whether the person is in a standing group of a branch (any group
// when empty), directly or from above.
func (s *Set) holds(r *ledger.Reader, branch, group string) (bool, error) {
	if len(s.memberships) == 0 {
		return false, nil
	}
	line, err := s.line(r, branch)
	if err != nil {
		return false, err
	}
	for _, m := range s.memberships {
		if group != "" && !m.in(group) {
			continue
		}
		at := slices.Index(line, m.branch)
		if at == 0 || at > 0 && m.reaches() {
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
	var line []string
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
	s.lines[branch] = line
	return line, nil
}

// roles is everything the actor holds on a thing, grants and the thing's parents included.
func (s *Set) roles(r *ledger.Reader, t Thing) ([]heldRole, error) {
	held, err := s.own(r, t)
	if err != nil || s.Person == "" {
		return held, err
	}
	granted, err := s.granted(r, t)
	if err != nil {
		return nil, err
	}
	held = append(held, granted...)
	if t.Parent == nil {
		return held, nil
	}
	above, err := s.roles(r, *t.Parent)
	for _, h := range above {
		if !strings.Contains(h.role, ".") {
			h.role = t.Parent.Kind + "." + h.role
		}
		held = append(held, h)
	}
	return held, err
}

// own is what the actor holds by the thing itself and by memberships.
func (s *Set) own(r *ledger.Reader, t Thing) ([]heldRole, error) {
	if s.Device != "" && t.Kind == "device" && t.ID == s.Device {
		return []heldRole{{role: "self", via: "self", on: t.title()}}, nil
	}
	if s.Person == "" {
		return nil, nil
	}
	held := []heldRole{{role: "everyone", via: "everyone"}}
	if t.Owner == s.Person {
		held = append(held, heldRole{role: "own", via: "own", on: t.title()})
	}
	if t.Org != "" && slices.Contains(s.Organizations(), t.Org) {
		held = append(held, heldRole{role: "people", via: "people", at: t.Org})
	}
	line, err := s.line(r, t.Branch)
	if err != nil {
		return nil, err
	}
	for _, m := range s.memberships {
		at := slices.Index(line, m.branch)
		if at == 0 || at > 0 && m.reaches() {
			role := m.group
			if strings.HasPrefix(role, "team:") {
				role = "members"
			}
			held = append(held, heldRole{role: role, via: "membership", m: m, on: t.title(), at: t.Branch})
		}
	}
	for _, h := range t.Holders {
		is, err := s.Is(r, h.Principal)
		if err != nil {
			return nil, err
		}
		if is {
			held = append(held, heldRole{role: h.Role, via: "list", by: h.Principal, on: t.title()})
		}
	}
	return held, nil
}

func (s *Set) granted(r *ledger.Reader, t Thing) ([]heldRole, error) {
	if t.ID == "" {
		return nil, nil
	}
	type line struct{ role, principal string }
	var lines []line
	rows := r.Query("SELECT role, principal FROM access_grant WHERE kind = $1 AND subject = $2", t.Kind, t.ID)
	for rows.Next() {
		var l line
		rows.Scan(&l.role, &l.principal)
		lines = append(lines, l)
	}
	if err := rows.Close(); err != nil {
		return nil, fmt.Errorf("grants on %s: %w", t.Kind, err)
	}
	var held []heldRole
	for _, l := range lines {
		is, err := s.Is(r, l.principal)
		if err != nil {
			return nil, err
		}
		if is {
			held = append(held, heldRole{role: l.role, via: "grant", by: l.principal, on: t.title()})
		}
	}
	return held, nil
}
