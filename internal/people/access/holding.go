package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/qanat-water/qanat/internal/ledger"
)

const mostHoldings = 20_000

// Holding is one line that gives a principal something: a grant, or a place in a
// document's list.
type Holding struct {
	Org, Kind, ID string // of the thing
	Role          string
	Principal     string
	Grant         string // id of the grant; empty: it stands in a list of the document
}

// Holdings are the lines of an organization's things that name principals, or,
// elsewhere, those of all other organizations. It asks no rights: who calls it
// tells only what the asker may know. Of very many it gives the first.
func Holdings(r *ledger.Reader, org string, elsewhere bool) ([]Holding, error) {
	compare := "="
	if elsewhere {
		compare = "<> '' AND org <>"
	}
	var found []Holding
	limit := fmt.Sprint(" LIMIT ", mostHoldings)
	rows := r.Query("SELECT id, org, kind, subject, role, principal FROM access_grant WHERE org "+compare+" $1 AND principal <> 'everyone' ORDER BY id"+limit, org)
	for rows.Next() {
		var h Holding
		rows.Scan(&h.Grant, &h.Org, &h.Kind, &h.ID, &h.Role, &h.Principal)
		found = append(found, h)
	}
	if err := rows.Close(); err != nil {
		return nil, fmt.Errorf("grants: %w", err)
	}
	kinds.RLock()
	lists := map[string]map[string]string{}
	for name, k := range kinds.byName {
		if r.Has(name) {
			lists[name] = k.columns.Lists
		}
	}
	kinds.RUnlock()
	for kind, queries := range lists {
		for role, query := range queries {
			rows := r.Query("SELECT n.id, n.org, l.list FROM "+kind+" n JOIN ("+named(query)+") l ON l.id = n.id WHERE l.list <> '' AND n.org "+compare+" $1 ORDER BY n.id"+limit, org)
			for rows.Next() {
				h := Holding{Kind: kind, Role: role}
				var list string
				rows.Scan(&h.ID, &h.Org, &list)
				for _, h.Principal = range strings.Fields(list) {
					if h.Principal != "everyone" {
						found = append(found, h)
					}
				}
			}
			if err := rows.Close(); err != nil {
				return nil, fmt.Errorf("lists of %s: %w", kind, err)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b Holding) int { return strings.Compare(a.ID+a.Role, b.ID+b.Role) })
	return found, nil
}

// named gives the two columns of a list query their names.
func named(query string) string {
	return "WITH q(id, list) AS (" + query + ") SELECT id, list FROM q"
}

// HomeOf is the organizations that a principal comes from: those of a person, or
// the one that a branch, team or token stands in.
func HomeOf(r *ledger.Reader, principal string) ([]string, error) {
	kind, rest, _ := strings.Cut(principal, ":")
	w := newTeller(r)
	switch kind {
	case "person":
		return w.texts("SELECT DISTINCT org FROM membership WHERE person = $1", rest)
	case "team":
		return w.texts("SELECT org FROM team WHERE id = $1", rest)
	case "token":
		return w.texts("SELECT org FROM token WHERE id = $1", rest)
	case "branch", "group":
		branch, _, _ := strings.Cut(rest, "/")
		return w.texts("SELECT org FROM branch WHERE id = $1", branch)
	}
	return nil, nil
}

// NameOf is a principal in words, branches with those above them.
func NameOf(r *ledger.Reader, principal string) (string, error) {
	return newTeller(r).principal(&Set{}, principal)
}

// Title is a thing in words, for whoever may see it.
func (t Thing) Title() string { return t.title() }
