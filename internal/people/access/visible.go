package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/qanat-water/qanat/internal/ledger"
)

// Visible is an SQL condition over the alias n of a kind's index table: the rows
// that Decide would let the actor see. args are numbered from $1; a caller's own
// go on after the last of them.
func Visible(r *ledger.Reader, actor ledger.Actor, kind string) (where string, args []any, err error) {
	s, err := Principals(r, actor)
	if err != nil {
		return "", nil, err
	}
	return s.Visible(kind, See)
}

const nothing = "(1 = 0)"

// Visible is the function of that name for any verb, for an actor whose
// principals are known.
func (s *Set) Visible(kind string, verb Verb) (where string, args []any, err error) {
	switch {
	case s.System:
		return "(1 = 1)", nil, nil
	case !s.scoped(kind, verb):
		return nothing, nil, nil
	case s.Device != "":
		if kind != "device" || !(heldRole{role: "self"}).may(kind, "", verb) {
			return nothing, nil, nil
		}
		return "(n.id = $1)", []any{s.Device}, nil
	case s.principal == "":
		return nothing, nil, nil
	}
	k, known := registered(kind)
	if !known {
		return "", nil, fmt.Errorf("access: %s is not registered, so its lists cannot be filtered", kind)
	}
	ways := s.ways(kind, verb, k)
	if len(ways) == 0 {
		return nothing, nil, nil
	}
	id := s.Person + s.Token // one of them is empty
	// The actor is named even when no way asks for it: engines count arguments.
	where, args = "($1 <> '' AND ("+strings.Join(ways, " OR ")+")", []any{id}
	for i := range s.locks {
		var within string
		if within, args = s.locks[i].condition(kind, k, args); within != "" {
			where += " AND " + within
		}
	}
	return where + ")", args, nil
}

// ways are the conditions of which each lets a row be seen. Rows of the table
// that hold in the same states are one question to the database.
func (s *Set) ways(name string, verb Verb, k kind) []string {
	var whens []string
	roles := map[string][]string{}
	for _, rule := range RulesOf(name) {
		if !slices.Contains(rule.May, verb) || len(rule.When) > 0 && k.columns.Word == "" {
			continue
		}
		when := strings.Join(rule.When, "','")
		if _, known := roles[when]; !known {
			whens = append(whens, when)
		}
		roles[when] = append(roles[when], rule.Who...)
	}
	var ways []string
	for _, when := range whens {
		way := strings.Join(s.holding(name, k, roles[when], "n"), " OR ")
		switch {
		case way == "":
			continue
		case when != "" && way == anybody:
			way = fmt.Sprintf("n.%s IN ('%s')", k.columns.Word, when)
		case when != "":
			way = fmt.Sprintf("n.%s IN ('%s') AND (%s)", k.columns.Word, when, way)
		}
		ways = append(ways, way)
	}
	return ways
}

const anybody = "1 = 1"

// holding says in SQL that the actor holds one of some roles on the row a.
func (s *Set) holding(name string, k kind, roles []string, a string) []string {
	c := k.columns
	var ways, groups, given, lists, parents []string
	above := map[string][]string{}
	for _, role := range slices.Compact(slices.Sorted(slices.Values(roles))) {
		parent, onIt, is := strings.Cut(role, ".")
		switch {
		case is:
			if above[parent] == nil {
				parents = append(parents, parent)
			}
			above[parent] = append(above[parent], onIt)
		case role == "everyone":
			return []string{anybody}
		case role == "people":
			ways = append(ways, fmt.Sprintf("%s.org IN (SELECT m.org FROM %s)", a, s.held()))
		case role == "own":
			if c.Owner != "" && s.Person != "" {
				ways = append(ways, fmt.Sprintf("%s.%s = $1", a, c.Owner))
			}
		case slices.Contains(standing, role):
			groups = append(groups, role)
		case role == "self":
		default:
			if !slices.Contains(computed, role) {
				given = append(given, role)
			}
			if list := c.Lists[role]; list != "" {
				lists = append(lists, list)
			}
		}
	}
	if c.Branch != "" && len(groups) > 0 {
		ways = append(ways, fmt.Sprintf("%s.%s IN (%s)", a, c.Branch, s.branches(groups)))
	}
	if len(given) > 0 && len(GrantRoles(name)) > 0 {
		ways = append(ways, fmt.Sprintf("%s.id IN (SELECT g.subject FROM access_grant g WHERE g.kind = '%s' AND g.role IN ('%s') AND g.principal IN (%s))",
			a, name, strings.Join(given, "','"), s.named()))
	}
	if len(lists) > 0 {
		ways = append(ways, fmt.Sprintf(`%s.id IN (WITH l(id, list) AS (%s), p(principal) AS (%s)
			SELECT l.id FROM l JOIN p ON l.list LIKE '%% ' || p.principal || ' %%')`, a, strings.Join(lists, " UNION ALL "), s.named()))
	}
	for _, parent := range parents {
		column := c.Parents[parent]
		of, known := registered(parent)
		if column == "" || !known {
			continue
		}
		inner := a + "p"
		if on := s.holding(parent, of, above[parent], inner); len(on) > 0 {
			ways = append(ways, fmt.Sprintf("%s.%s IN (SELECT %s.id FROM %s %s WHERE %s)", a, column, inner, parent, inner, strings.Join(on, " OR ")))
		}
	}
	return ways
}

// held is the actor's memberships m: table and condition.
func (s *Set) held() string {
	if s.Token != "" {
		return "token m WHERE m.id = $1 AND m.standing <> ''"
	}
	return "membership m WHERE m.person = $1"
}

// branches is a query for the branches where the actor is in one of some groups,
// those below included for the groups that reach down.
func (s *Set) branches(groups []string) string {
	var reach []string
	members := ""
	for _, g := range groups {
		if slices.Contains(reaching, g) {
			reach = append(reach, g)
		} else {
			members = fmt.Sprintf("SELECT m.branch FROM %s AND (m.standing = 'members' OR m.standing LIKE 'team:%%')", s.held())
		}
	}
	if len(reach) == 0 {
		return members
	}
	query := fmt.Sprintf(`WITH RECURSIVE down(id) AS (SELECT m.branch FROM %s AND m.standing IN ('%s')
		UNION SELECT b.id FROM branch b JOIN down ON b.parent = down.id) SELECT id FROM down`, s.held(), strings.Join(reach, "','"))
	if members != "" {
		query += " UNION " + members
	}
	return query
}

// named is a query for all that the actor is meant by.
func (s *Set) named() string {
	kind := "person"
	if s.Token != "" {
		kind = "token"
	}
	from := s.held()
	return fmt.Sprintf(`WITH RECURSIVE down(id, standing) AS (
	SELECT m.branch, m.standing FROM %[1]s AND m.standing IN ('admins', 'managers', 'viewers')
	UNION SELECT b.id, down.standing FROM branch b JOIN down ON b.parent = down.id)
SELECT 'group:' || down.id || '/' || down.standing FROM down
UNION SELECT 'branch:' || down.id FROM down
UNION SELECT 'branch:' || m.branch FROM %[1]s
UNION SELECT 'group:' || m.branch || '/members' FROM %[1]s AND (m.standing = 'members' OR m.standing LIKE 'team:%%')
UNION SELECT m.standing FROM %[1]s AND m.standing LIKE 'team:%%'
UNION SELECT 'everyone' UNION SELECT '%[2]s:' || $1`, from, kind)
}
