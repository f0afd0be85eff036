package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/qanat-water/qanat/internal/ledger"
)

// Visible is an SQL condition over the alias n of a kind's index table: the rows
// that Decide would let the actor see. args are numbered from $1; a caller goes
// on with $2 where one argument is given.
func Visible(r *ledger.Reader, actor ledger.Actor, kind string) (where string, args []any, err error) {
	s, err := Principals(r, actor)
	if err != nil {
		return "", nil, err
	}
	return s.Visible(kind, See)
}

// Visible is the function of that name for any verb, for an actor whose
// principals are known.
func (s *Set) Visible(kind string, verb Verb) (where string, args []any, err error) {
	switch {
	case s.System:
		return "(1 = 1)", nil, nil
	case s.limit != nil && !s.limit[verb]:
		return "(1 = 0)", nil, nil
	case s.Device != "":
		if kind != "device" || !(heldRole{role: "self"}).may(kind, "", verb) {
			return "(1 = 0)", nil, nil
		}
		return "(n.id = $1)", []any{s.Device}, nil
	case s.Person == "":
		return "(1 = 0)", nil, nil
	}
	k, known := registered(kind)
	if !known {
		return "", nil, fmt.Errorf("access: %s is not registered, so its lists cannot be filtered", kind)
	}
	var ways []string
	for _, rule := range RulesOf(kind) {
		if !slices.Contains(rule.May, verb) {
			continue
		}
		var by []string
		for _, who := range rule.Who {
			if way := condition(kind, k, who, "n"); way != "" {
				by = append(by, way)
			}
		}
		if len(by) == 0 {
			continue
		}
		way := strings.Join(by, " OR ")
		if len(rule.When) > 0 {
			if k.columns.Word == "" {
				continue
			}
			way = fmt.Sprintf("n.%s IN ('%s') AND (%s)", k.columns.Word, strings.Join(rule.When, "','"), way)
		}
		if !slices.Contains(ways, way) {
			ways = append(ways, way)
		}
	}
	if len(ways) == 0 {
		return "(1 = 0)", nil, nil
	}
	// The person is named even when no way asks for it: engines count arguments.
	return "($1 <> '' AND (" + strings.Join(ways, " OR ") + "))", []any{s.Person}, nil
}

// condition says in SQL that the person $1 holds a role on the row a; empty when
// the kind cannot have it.
func condition(name string, k kind, who, a string) string {
	c := k.columns
	switch who {
	case "everyone":
		return "1 = 1"
	case "people":
		return fmt.Sprintf("%s.org IN (SELECT m.org FROM membership m WHERE m.person = $1)", a)
	case "self":
		return ""
	case "own":
		if c.Owner == "" {
			return ""
		}
		return fmt.Sprintf("%s.%s = $1", a, c.Owner)
	case "admins", "managers", "viewers":
		if c.Branch == "" {
			return ""
		}
		return fmt.Sprintf(`%s.%s IN (WITH RECURSIVE down(id) AS (SELECT m.branch FROM membership m WHERE m.person = $1 AND m.standing = '%s'
			UNION SELECT b.id FROM branch b JOIN down ON b.parent = down.id) SELECT id FROM down)`, a, c.Branch, who)
	case "members":
		if c.Branch == "" {
			return ""
		}
		return fmt.Sprintf("%s.%s IN (SELECT m.branch FROM membership m WHERE m.person = $1 AND (m.standing = 'members' OR m.standing LIKE 'team:%%'))", a, c.Branch)
	}
	if parent, role, of := strings.Cut(who, "."); of {
		column := c.Parents[parent]
		above, known := registered(parent)
		if column == "" || !known {
			return ""
		}
		inner := a + "p"
		on := condition(parent, above, role, inner)
		if on == "" {
			return ""
		}
		return fmt.Sprintf("%s.%s IN (SELECT %s.id FROM %s %s WHERE %s)", a, column, inner, parent, inner, on)
	}
	granted := fmt.Sprintf("%s.id IN (SELECT g.subject FROM access_grant g WHERE g.kind = '%s' AND g.role = '%s' AND g.principal IN (%s))", a, name, who, principals)
	if list := c.Lists[who]; list != "" {
		granted += fmt.Sprintf(` OR %s.id IN (WITH l(id, list) AS (%s), p(principal) AS (%s)
			SELECT l.id FROM l JOIN p ON l.list LIKE '%% ' || p.principal || ' %%')`, a, list, principals)
	}
	return "(" + granted + ")"
}

// principals is a query for all that the person $1 is meant by.
const principals = `WITH RECURSIVE down(id, standing) AS (
	SELECT m.branch, m.standing FROM membership m WHERE m.person = $1 AND m.standing IN ('admins', 'managers', 'viewers')
	UNION SELECT b.id, down.standing FROM branch b JOIN down ON b.parent = down.id)
SELECT 'group:' || down.id || '/' || down.standing FROM down
UNION SELECT 'branch:' || down.id FROM down
UNION SELECT 'branch:' || m.branch FROM membership m WHERE m.person = $1
UNION SELECT 'group:' || m.branch || '/members' FROM membership m WHERE m.person = $1 AND (m.standing = 'members' OR m.standing LIKE 'team:%')
UNION SELECT m.standing FROM membership m WHERE m.person = $1 AND m.standing LIKE 'team:%'
UNION SELECT 'everyone' UNION SELECT 'person:' || $1`
