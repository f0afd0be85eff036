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
	unnamed     bool            // a token whose scope names no verb
	kinds       []string        // the kinds that a token is for; nil: all
	memberships []membership
	locks       []lock
	seen        view                // of the reader that was asked last
	lines       map[string][]string // of branches, where SQL was asked
	at          string              // the branch that was asked for last
	above       []string            // its line
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
	switch actor.Kind {
	case "system":
		s.System = true
		return s, nil
	case "device":
		s.Device = actor.ID
		return s, nil
	}
	v, err := viewOf(r)
	if err != nil {
		return nil, err
	}
	s.seen = v
	person := ""
	switch actor.Kind {
	case "account":
		person = actor.ID
	case "phone":
		s.limit = phoneMay
		if person, err = phoneOwner(v, actor.ID); err != nil {
			return nil, err
		}
	case "token":
		return s, s.readToken(v)
	}
	if person == "" {
		return s, nil
	}
	active, err := accountActive(v, person)
	if err != nil || !active {
		return s, err
	}
	if s.memberships, err = membershipsOf(v, person); err != nil {
		return nil, err
	}
	s.Person, s.principal = person, "person:"+person
	return s, s.readLocks(v)
}

// view is that of a reader: the one known already, unless a write may have staged something meanwhile.
func (s *Set) view(r *ledger.Reader) (view, error) {
	if s.seen.r == r && !r.Staged(pictured...) {
		return s.seen, nil
	}
	v, err := viewOf(r)
	s.seen = v
	return v, err
}

func accountActive(v view, person string) (bool, error) {
	if active, _, ok := lookup(v, func(p *picture) map[string]bool { return p.accounts }, person); ok {
		return active, nil
	}
	var state string
	if _, err := v.r.Row([]any{&state}, "SELECT state FROM account WHERE id = $1", person); err != nil {
		return false, fmt.Errorf("account of the actor: %w", err)
	}
	return state == activeState, nil
}

func membershipsOf(v view, person string) ([]membership, error) {
	if held, _, ok := lookup(v, func(p *picture) map[string][]membership { return p.memberships }, person); ok {
		return held, nil
	}
	var held []membership
	rows := v.r.Query("SELECT org, branch, standing FROM membership WHERE person = $1", person)
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
func phoneOwner(v view, id string) (string, error) {
	is, known, _ := lookup(v, func(p *picture) map[string]phone { return p.phones }, id)
	if !known {
		t, err := Describe(v.r, "phone", id)
		if err != nil && !isMissing(err) {
			return "", err
		}
		is = phone{owner: t.Owner, active: err == nil && t.State != "revoked"}
		if err == nil {
			v.keepPhone(id, is)
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
	v, err := s.view(r)
	if err != nil {
		return false, err
	}
	return s.is(v, principal)
}

func (s *Set) is(v view, principal string) (bool, error) {
	if s.principal == "" {
		return false, nil
	}
	if principal == s.principal {
		return true, nil
	}
	kind, rest, _ := strings.Cut(principal, ":")
	switch kind {
	case "everyone":
		return rest == "", nil
	case "team":
		return slices.ContainsFunc(s.memberships, func(m membership) bool { return m.group == principal }), nil
	case "branch":
		return s.member(v, rest, "")
	case "group":
		branch, group, _ := strings.Cut(rest, "/")
		return s.member(v, branch, group)
	}
	return false, nil
}

// holds tells whether the actor is in a standing group of a branch (any group
// when empty), directly or from above.
func (s *Set) holds(r *ledger.Reader, branch, group string) (bool, error) {
	v, err := s.view(r)
	if err != nil {
		return false, err
	}
	return s.member(v, branch, group)
}

func (s *Set) member(v view, branch, group string) (bool, error) {
	above := false // only who holds something that reaches down needs the line
	for i := range s.memberships {
		m := &s.memberships[i]
		if group != "" && !m.in(group) {
			continue
		}
		if m.branch == branch {
			return true, nil
		}
		above = above || m.reaches()
	}
	if !above {
		return false, nil
	}
	line, err := s.lineAt(v, branch)
	if err != nil {
		return false, err
	}
	for i := range s.memberships {
		m := &s.memberships[i]
		if (group == "" || m.in(group)) && m.reaches() && slices.Contains(line, m.branch) {
			return true, nil
		}
	}
	return false, nil
}

// line is a branch and all above it, itself first. A branch that is not there
// has an empty line: nobody holds anything in it.
func (s *Set) line(r *ledger.Reader, branch string) ([]string, error) {
	v, err := s.view(r)
	if err != nil {
		return nil, err
	}
	return s.lineAt(v, branch)
}

func (s *Set) lineAt(v view, branch string) ([]string, error) {
	if branch == "" {
		return nil, nil
	}
	if branch == s.at {
		return s.above, nil
	}
	if line, known := s.lines[branch]; known {
		return line, nil
	}
	line, _, ok := lookup(v, func(p *picture) map[string][]string { return p.lines }, branch)
	if ok {
		s.at, s.above = branch, line
		return line, nil
	}
	rows := v.r.Query(`WITH RECURSIVE up(id, parent, depth) AS (
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
	if s.lines == nil {
		s.lines = map[string][]string{}
	}
	s.lines[branch] = line
	return line, nil
}

// roles is everything the actor holds on a thing, grants and the thing's parents
// included, for explanations.
func (s *Set) roles(r *ledger.Reader, t Thing) ([]heldRole, error) {
	var held []heldRole
	err := s.each(r, &t, nil, func(h *heldRole) bool {
		if h.of != nil {
			h.on = h.of.title()
		}
		held = append(held, *h)
		return true
	})
	return held, err
}

// each gives what the actor holds on a thing, until fn has heard enough: first
// what memberships and the thing itself say, then grants, then all of it on the
// thing's parents, whose roles bear the parent's name. Roles that count for
// nothing are not looked at; counts is nil when all do.
func (s *Set) each(r *ledger.Reader, t *Thing, counts func(role string) bool, fn func(*heldRole) bool) error {
	if s.Device != "" && t.Kind == "device" && t.ID == s.Device {
		fn(&heldRole{role: "self", via: "self", of: t})
		return nil
	}
	if s.principal == "" {
		return nil
	}
	v, err := s.view(r)
	if err != nil {
		return err
	}
	w := walk{set: s, view: v, counts: counts, fn: fn}
	for at := t; at != nil && !w.enough; at = at.Parent {
		if err := w.own(at); err != nil {
			return err
		}
		if err := w.granted(at); err != nil {
			return err
		}
		if at.Parent != nil {
			w.parent, w.plain = at.Parent.Kind, ""
		}
	}
	return nil
}

// walk goes through what somebody holds.
type walk struct {
	set    *Set
	view   view
	parent string // kind of the parent it is at; empty: the thing itself
	held   heldRole
	enough bool
	counts func(role string) bool
	fn     func(*heldRole) bool

	plain, named string // the role that was asked for last, and its name here
	worth        bool   // whether it counts
}

// wants tells whether a role is worth finding out who holds it.
func (w *walk) wants(role string) bool {
	if w.enough {
		return false
	}
	if role == w.plain { // a list says the same role many times
		return w.worth
	}
	w.plain, w.named = role, role
	if w.parent != "" {
		w.named = onParent(w.parent, role)
		if w.named == "" && w.counts == nil {
			w.named = w.parent + "." + role
		}
	}
	w.worth = w.counts == nil || w.named != "" && w.counts(w.named)
	return w.worth
}

// give gives what wants has just asked for. After that other roles may count.
func (w *walk) give(h heldRole) {
	h.role = w.named
	w.held = h
	w.enough, w.plain = !w.fn(&w.held), ""
}

// onParent is what the table calls a role that is held on a parent of a kind;
// empty when no row names it.
func onParent(kind, role string) string { return matrix.Load().byName[[2]string{kind, role}] }

// own gives what the actor holds by the thing itself and by memberships.
func (w *walk) own(t *Thing) error {
	s := w.set
	if w.wants("everyone") {
		w.give(heldRole{via: "everyone"})
	}
	if t.Owner != "" && t.Owner == s.Person && w.wants("own") {
		w.give(heldRole{via: "own", of: t})
	}
	if t.Org != "" && w.wants("people") && s.belongs(t.Org) {
		w.give(heldRole{via: "people", at: t.Org})
	}
	if t.Branch != "" {
		for i := range s.memberships {
			m := &s.memberships[i]
			role := m.group
			if strings.HasPrefix(role, "team:") {
				role = "members"
			}
			if !w.wants(role) || m.branch != t.Branch && !m.reaches() {
				continue
			}
			line, err := s.lineAt(w.view, t.Branch)
			if err != nil {
				return err
			}
			if slices.Contains(line, m.branch) {
				w.give(heldRole{via: "membership", m: *m, of: t, at: t.Branch})
			}
		}
	}
	for i := range t.Holders {
		h := &t.Holders[i]
		if !w.wants(h.Role) {
			continue
		}
		is, err := s.is(w.view, h.Principal)
		if err != nil {
			return err
		}
		if is {
			w.give(heldRole{via: "list", by: h.Principal, of: t})
		}
	}
	return nil
}

// granted gives what grants on the thing say.
func (w *walk) granted(t *Thing) error {
	if t.ID == "" || w.enough {
		return nil
	}
	lines, err := grantsOn(w.view, t.Kind, t.ID)
	if err != nil {
		return err
	}
	for i := range lines {
		if !w.wants(lines[i].role) {
			continue
		}
		is, err := w.set.is(w.view, lines[i].principal)
		if err != nil {
			return err
		}
		if is {
			w.give(heldRole{via: "grant", by: lines[i].principal, of: t})
		}
	}
	return nil
}

func grantsOn(v view, kind, id string) ([]granted, error) {
	if lines, _, ok := lookup(v, func(p *picture) map[subject][]granted { return p.grants }, subject{kind, id}); ok {
		return lines, nil
	}
	var lines []granted
	rows := v.r.Query("SELECT role, principal FROM access_grant WHERE kind = $1 AND subject = $2", kind, id)
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
