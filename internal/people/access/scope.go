package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/qanat-water/qanat/internal/base/store"
)

// What narrows rights: the scopes of a service token, and workspaces. Neither
// ever adds to what memberships, grants and lists give.

// verbs are all there are, for scopes that name none.
var verbs = []Verb{See, Edit, Create, Delete, Share, Administer, Submit, Approve, Reject, Recall, Deploy, Design, Reveal, Export, Claim, Revoke, Release}

// Verbs gives all verbs, for the pages that offer them.
func Verbs() []Verb { return slices.Clone(verbs) }

// Guarded are the verbs that a token has only if its scope names them.
var Guarded = []Verb{Share, Administer, Revoke, Delete, Export}

// guardedKind is the kind that a token changes only if its scope names the verb:
// who belongs where decides what people may.
const guardedKind = "membership"

// neverToken are the verbs that no token has, whatever its scope says: they ask
// for a person who proves a second factor.
var neverToken = []Verb{Reveal}

const tokenColumns = "n.org, n.branch, n.standing, n.verbs, n.kinds, n.expires, n.state" // #nosec G101 -- names of columns

func (t *token) scan(rows *store.Rows, id *string) {
	var verbs, kinds, state string
	rows.Scan(id, &t.org, &t.branch, &t.group, &verbs, &kinds, &t.expires, &state)
	t.active = state == activeState
	t.limit, t.kinds, t.unnamed = tokenLimit(strings.Fields(verbs)), nil, verbs == ""
	if kinds != "" {
		t.kinds = strings.Fields(kinds)
	}
}

// tokenLimit is what a token may do at most.
func tokenLimit(named []string) map[Verb]bool {
	limit := map[Verb]bool{}
	for _, v := range verbs {
		limit[v] = !slices.Contains(neverToken, v) && (slices.Contains(named, string(v)) || len(named) == 0 && !slices.Contains(Guarded, v))
	}
	return limit
}

// readToken makes the set that of the service token which the actor is.
func (s *Set) readToken(v view) error {
	r := v.r
	if s.Actor.ID == "" || !r.Has("token") {
		return nil
	}
	t, _, ok := lookup(v, func(p *picture) map[string]token { return p.tokens }, s.Actor.ID)
	if !ok {
		rows := r.Query("SELECT n.id, "+tokenColumns+" FROM token n WHERE n.id = $1", s.Actor.ID)
		for rows.Next() {
			var id string
			t.scan(rows, &id)
		}
		if err := rows.Close(); err != nil {
			return fmt.Errorf("token of the actor: %w", err)
		}
	}
	s.limit, s.kinds, s.unnamed = func(v Verb) bool { return t.limit[v] }, t.kinds, t.unnamed
	if !t.active || r.Clock().UnixMilli() >= t.expires {
		return nil
	}
	s.Token, s.principal = s.Actor.ID, "token:"+s.Actor.ID
	if t.group != "" {
		s.memberships = []membership{{org: t.org, branch: t.branch, group: t.group}}
	}
	return s.readLocks(v)
}

// scoped tells whether the actor's own limits let it do a verb on a kind at all.
func (s *Set) scoped(kind string, verb Verb) bool {
	if s.unnamed && kind == guardedKind && verb != See {
		return false
	}
	return (s.limit == nil || s.limit(verb)) && (s.kinds == nil || slices.Contains(s.kinds, kind))
}

// lock is what an organization lets one of its people see: the union of the
// workspaces that name him.
type lock struct {
	org            string
	surveys, types []string
	presets        []string
}

// unlocked are the kinds that workspaces do not narrow: who somebody is, and the
// organization he works in. All kinds but these are hidden, unless the workspace
// names their survey or site type.
var unlocked = []string{"account", "session", "phone", "branch", "team", "membership", "invitation", "join_code", "join_request", "token", "sign_in_provider", "policy", "workspace", "break_glass", "site_type"}

const workspaceColumns = "n.org, n.people, n.surveys, n.types, n.presets"

func (w *workspace) scan(rows *store.Rows, org *string) {
	var people, surveys, types, presets string
	rows.Scan(&w.doc, org, &people, &surveys, &types, &presets)
	w.people, w.surveys, w.types, w.presets = strings.Fields(people), strings.Fields(surveys), strings.Fields(types), strings.Fields(presets)
}

func workspacesOf(v view, org string) ([]workspace, error) {
	if found, _, ok := lookup(v, func(p *picture) map[string][]workspace { return p.workspaces }, org); ok {
		return found, nil
	}
	var found []workspace
	rows := v.r.Query("SELECT n.id, "+workspaceColumns+" FROM workspace n WHERE n.org = $1", org)
	for rows.Next() {
		var w workspace
		w.scan(rows, &org)
		found = append(found, w)
	}
	if err := rows.Close(); err != nil {
		return nil, fmt.Errorf("workspaces of %s: %w", org, err)
	}
	return found, nil
}

// readLocks finds the workspaces that narrow what the actor sees of the
// organizations it belongs to. Admins of an organization are never locked.
func (s *Set) readLocks(v view) error {
	if !v.r.Has("workspace") {
		return nil
	}
	for i, m := range s.memberships {
		if slices.ContainsFunc(s.memberships[:i], func(before membership) bool { return before.org == m.org }) {
			continue // looked at already
		}
		all, err := workspacesOf(v, m.org)
		if err != nil {
			return err
		}
		if len(all) == 0 || slices.ContainsFunc(s.memberships, func(a membership) bool { return a.branch == m.org && a.group == "admins" }) {
			continue
		}
		l := lock{org: m.org}
		locked := false
		for _, w := range all {
			for _, p := range w.people {
				is, err := s.is(v, p)
				if err != nil {
					return err
				}
				if is {
					locked = true
					l.surveys, l.types, l.presets = append(l.surveys, w.surveys...), append(l.types, w.types...), append(l.presets, w.presets...)
					break
				}
			}
		}
		if locked {
			s.locks = append(s.locks, l)
		}
	}
	return nil
}

// hidden tells whether a workspace hides the thing from the actor.
func (s *Set) hidden(t *Thing) bool {
	for i := range s.locks {
		if l := &s.locks[i]; l.org == t.Org {
			return !l.shows(t)
		}
	}
	return false
}

func (l *lock) shows(t *Thing) bool {
	if slices.Contains(unlocked, t.Kind) {
		return true
	}
	if t.Kind == "site" {
		return slices.Contains(l.types, t.Type)
	}
	for at := t; at != nil; at = at.Parent {
		if at.Kind == "survey" {
			return slices.Contains(l.surveys, at.ID)
		}
	}
	return false
}

// mayGive tells whether the actor's workspace lets it give a role on a thing.
func (s *Set) mayGive(role string, t *Thing) bool {
	for i := range s.locks {
		if l := &s.locks[i]; l.org == t.Org {
			return slices.Contains(l.presets, role)
		}
	}
	return true
}

// condition is hidden as an SQL condition over the alias n; args go on after n.
func (l *lock) condition(name string, k kind, args []any) (string, []any) {
	if slices.Contains(unlocked, name) {
		return "", args
	}
	column, list := "", l.surveys
	switch {
	case name == "site":
		column, list = k.columns.Type, l.types
	case name == "survey":
		column = "id"
	default:
		column = k.columns.Parents["survey"]
	}
	args = append(args, l.org)
	other := fmt.Sprintf("n.org <> $%d", len(args))
	if column == "" || len(list) == 0 {
		return other, args
	}
	var marks []string
	for _, id := range list {
		args = append(args, id)
		marks = append(marks, fmt.Sprintf("$%d", len(args)))
	}
	return fmt.Sprintf("(%s OR n.%s IN (%s))", other, column, strings.Join(marks, ", ")), args
}
