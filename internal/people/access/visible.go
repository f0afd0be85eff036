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
	conditions := make([]string, len(ways))
	for i, w := range ways {
		conditions[i] = w.condition("n")
	}
	// The actor is named even when no way asks for it: engines count arguments.
	where, args = s.within("($1 <> '' AND ("+strings.Join(conditions, " OR ")+")", kind, k)
	return where + ")", args, nil
}

// Part is one of the queries whose rows together are those of Visible.
type Part struct {
	From  string // with the alias n
	Where string
}

// Parts is Visible cut into queries that share no row and that an engine can each
// answer by an index: for counting and for finding few among many. One
// condition with OR makes it read all rows.
func (s *Set) Parts(kind string, verb Verb) (parts []Part, args []any, err error) {
	k, known := registered(kind)
	if s.System || s.Device != "" || s.principal == "" || !known || !s.scoped(kind, verb) {
		where, args, err := s.Visible(kind, verb)
		return []Part{{kind + " n", where}}, args, err
	}
	var before []string
	for _, w := range s.ways(kind, verb, k) {
		p := Part{kind + " n", "$1 <> '' AND " + w.condition("n")}
		if w.ids != "" { // from the few to the many
			p = Part{"(SELECT DISTINCT g.id AS id FROM (" + w.ids + ") g) x CROSS JOIN " + kind + " n", "$1 <> '' AND n.id = x.id"}
		}
		if len(before) > 0 {
			p.Where += " AND (" + strings.Join(before, " OR ") + ") IS NOT TRUE"
		}
		before = append(before, w.condition("n"))
		p.Where, args = s.within(p.Where, kind, k)
		parts = append(parts, p)
	}
	if len(parts) == 0 {
		return []Part{{kind + " n", nothing}}, nil, nil
	}
	return parts, args, nil
}

// within adds to a condition what workspaces ask.
func (s *Set) within(where, name string, k kind) (string, []any) {
	args := []any{s.Person + s.Token} // one of them is empty
	for i := range s.locks {
		var within string
		if within, args = s.locks[i].condition(name, k, args); within != "" {
			where += " AND " + within
		}
	}
	return where, args
}

// way is one of the ways in which a row may be seen.
type way struct {
	ids   string // a query for the ids of the rows, in a column id; empty: where says it
	where string
}

func (w way) condition(a string) string {
	if w.ids != "" {
		return a + ".id IN (" + w.ids + ")"
	}
	return "(" + w.where + ")"
}

// ways are all ways in which the actor may. Rows of the table that hold in the
// same states are one question to the database; what a branch says comes first.
func (s *Set) ways(name string, verb Verb, k kind) []way {
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
	var always, sometimes, ids []way
	for _, when := range whens {
		held := s.holding(name, k, roles[when], "n")
		if when == "" {
			for _, w := range held {
				if w.ids != "" {
					ids = append(ids, w)
				} else {
					always = append(always, w)
				}
			}
			continue
		}
		if len(held) == 0 {
			continue
		}
		in := fmt.Sprintf("n.%s IN ('%s')", k.columns.Word, when)
		if by := anyOf(held, "n"); by != "("+anybody+")" {
			in += " AND (" + by + ")"
		}
		sometimes = append(sometimes, way{where: in})
	}
	return slices.Concat(always, sometimes, ids)
}

func anyOf(ways []way, a string) string {
	conditions := make([]string, len(ways))
	for i, w := range ways {
		conditions[i] = w.condition(a)
	}
	return strings.Join(conditions, " OR ")
}

const anybody = "1 = 1"

// holding says in SQL that the actor holds one of some roles on the row a.
func (s *Set) holding(name string, k kind, roles []string, a string) []way {
	c := k.columns
	var ways []way
	var groups, given, lists, parents []string
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
			return []way{{where: anybody}}
		case role == "people":
			ways = append(ways, way{where: fmt.Sprintf("%s.org IN (SELECT m.org FROM %s)", a, s.held())})
		case role == "own":
			if c.Owner != "" && s.Person != "" {
				ways = append(ways, way{where: fmt.Sprintf("%s.%s = $1", a, c.Owner)})
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
		ways = append(ways, way{where: fmt.Sprintf("%s.%s IN (%s)", a, c.Branch, s.branches(groups))})
	}
	if len(given) > 0 && len(GrantRoles(name)) > 0 {
		ways = append(ways, way{ids: fmt.Sprintf("SELECT g.subject AS id FROM access_grant g WHERE g.kind = '%s' AND g.role IN ('%s') AND g.principal IN (%s)",
			name, strings.Join(given, "','"), s.named())})
	}
	if len(lists) > 0 {
		ways = append(ways, way{ids: fmt.Sprintf(`WITH l(id, list) AS (%s), p(principal) AS (%s)
			SELECT l.id AS id FROM l JOIN p ON l.list LIKE '%% ' || p.principal || ' %%'`, strings.Join(lists, " UNION ALL "), s.named())})
	}
	for _, parent := range parents {
		column := c.Parents[parent]
		of, known := registered(parent)
		if column == "" || !known {
			continue
		}
		inner := a + "p"
		if on := s.holding(parent, of, above[parent], inner); len(on) > 0 {
			ways = append(ways, way{where: fmt.Sprintf("%s.%s IN (SELECT %s.id FROM %s %s WHERE %s)", a, column, inner, parent, inner, anyOf(on, inner))})
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
