package access

import (
	"slices"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
)

// Grant gives a principal a role on a thing.
type Grant struct {
	Thing     string `json:"thing" doc:"kind:id, for example site:0192…"`
	Principal string `json:"principal" doc:"person:<id>, team:<id>, branch:<id>, group:<branch>/admins, token:<id>, or everyone"`
	Role      string `json:"role" doc:"a role of the thing's kind: for a site view, edit or admin"`
}

// Grants is the noun of grants. A grant belongs to the organization of its thing.
var Grants = ledger.Noun[Grant]{
	Name: "access_grant",
	Table: &ledger.Table[Grant]{
		Columns: []ledger.Column{
			{Name: "kind", Type: ledger.Text}, {Name: "subject", Type: ledger.Text},
			{Name: "principal", Type: ledger.Text}, {Name: "role", Type: ledger.Text},
		},
		Unique:  [][]string{{"kind", "subject", "principal", "role"}},
		Indexes: [][]string{{"principal", "kind", "role", "subject"}}, // what somebody is granted, without a look at the table
		Row: func(d ledger.Doc[Grant]) []any {
			kind, subject, _ := strings.Cut(d.Body.Thing, ":")
			return []any{kind, subject, d.Body.Principal, d.Body.Role}
		},
	},
	Check: func(tx *ledger.Tx, before, after *ledger.Doc[Grant]) error {
		if before != nil && before.Body.onServer() || after != nil && after.Body.onServer() {
			if err := checkOperator(tx, before, after); err != nil {
				return err
			}
		}
		if after == nil {
			return nil
		}
		if before != nil && before.Body != after.Body {
			return fault.New(fault.Invalid, "access_grant.fixed", "A grant is given or taken back, not changed").
				WithMend("Take it back and give another")
		}
		if err := after.Body.check(); err != nil || before != nil {
			return err
		}
		if after.Body.Principal == "person:"+tx.Actor.ID {
			if err := Visiting(tx, after.Org); err != nil {
				return err
			}
		}
		if err := after.Body.guarded(tx); err != nil {
			return err
		}
		return after.Body.preset(tx)
	},
}

// preset refuses a role that the workspace of the giver does not offer; here and
// not only in Give, because an undo gives too.
func (g Grant) preset(tx *ledger.Tx) error {
	s, err := Principals(tx.Reader, tx.Actor)
	if err != nil || len(s.locks) == 0 {
		return err
	}
	t, err := g.target(tx.Reader)
	if err != nil || s.mayGive(g.Role, &t) {
		return err
	}
	return fault.Newf(fault.Denied, "access_grant.preset", "Your workspace does not let you give the role %s", g.Role).
		At("/role", "not offered by your workspace", "Choose one that your workspace offers, or ask an admin")
}

func (g Grant) check() error {
	kind, subject, _ := strings.Cut(g.Thing, ":")
	roles := GrantRoles(kind)
	if subject == "" || len(roles) == 0 {
		return fault.Newf(fault.Invalid, "access_grant.thing", "%.80q cannot be shared by a grant", g.Thing).
			At("/thing", "not a thing that takes grants", "write it as kind:id, for example site:<id>")
	}
	if !slices.Contains(roles, g.Role) {
		return fault.Newf(fault.Invalid, "access_grant.role", "A %s has no role %.40q", kind, g.Role).
			At("/role", "unknown role", "one of "+strings.Join(roles, ", "))
	}
	if !ValidPrincipal(g.Principal) {
		return fault.Newf(fault.Invalid, "access_grant.principal", "%.80q names nobody", g.Principal).
			At("/principal", "not a principal", "person:<id>, team:<id>, branch:<id>, group:<branch>/admins|managers|viewers|members, token:<id>, or everyone")
	}
	return nil
}

// ValidPrincipal tells whether a text has the form of a principal.
func ValidPrincipal(p string) bool {
	kind, rest, _ := strings.Cut(p, ":")
	if strings.ContainsAny(p, " %_") {
		return false
	}
	switch kind {
	case "everyone":
		return p == "everyone"
	case "person", "team", "branch", "token":
		return rest != "" && !strings.ContainsAny(rest, "/:")
	case "group":
		branch, group, _ := strings.Cut(rest, "/")
		return branch != "" && slices.Contains([]string{"admins", "managers", "viewers", "members"}, group)
	}
	return false
}

// Give grants, when the transaction's actor may share the thing.
func Give(tx *ledger.Tx, g Grant) (ledger.Doc[Grant], error) {
	t, err := g.target(tx.Reader)
	if err == nil {
		err = Require(tx.Reader, tx.Actor, Share, t)
	}
	if err != nil {
		return ledger.Doc[Grant]{}, err
	}
	return Grants.Create(tx, t.Org, "", g)
}

// TakeBack ends a grant, when the transaction's actor may share the thing.
func TakeBack(tx *ledger.Tx, id string) error {
	g, err := Grants.Get(tx.Reader, id)
	if err != nil {
		return err
	}
	t, err := g.Body.target(tx.Reader)
	if err != nil {
		return err
	}
	if err := Require(tx.Reader, tx.Actor, Share, t); err != nil {
		return err
	}
	return Grants.Delete(tx, id, 0)
}

// On lists the grants on a thing. Who may see the thing and belongs to its
// organization, or may share it, sees all of them; others those that mean them:
// everybody on the server sees a public site, and not whom it is shared with.
func On(r *ledger.Reader, actor ledger.Actor, t Thing) ([]ledger.Doc[Grant], error) {
	s, err := Principals(r, actor)
	if err == nil {
		err = s.Require(r, See, t)
	}
	if err != nil {
		return nil, err
	}
	all, err := Grants.List(r, grantsOnThing, t.Kind, t.ID)
	if err != nil {
		return nil, err
	}
	return s.told(r, t, all, s.Require)
}

const grantsOnThing = "n.kind = $1 AND n.subject = $2 ORDER BY n.id"

// told is the grants on a thing that the actor is told of; require is Require, now or then.
func (s *Set) told(r *ledger.Reader, t Thing, all []ledger.Doc[Grant], require func(*ledger.Reader, Verb, Thing) error) ([]ledger.Doc[Grant], error) {
	if s.System || t.Org != "" && s.belongs(t.Org) {
		return all, nil
	}
	if err := require(r, Share, t); err == nil {
		return all, nil
	} else if fault.KindOf(err) != fault.Denied {
		return nil, err
	}
	own := []ledger.Doc[Grant]{}
	for _, g := range all {
		is, err := s.Is(r, g.Body.Principal)
		if err != nil {
			return nil, err
		}
		if is {
			own = append(own, g)
		}
	}
	return own, nil
}

func (g Grant) target(r *ledger.Reader) (Thing, error) {
	kind, subject, _ := strings.Cut(g.Thing, ":")
	return Describe(r, kind, subject)
}

// ListText writes principals as the text of an index column that Visible can
// search: " person:1 team:2 ".
func ListText(principals []string) string {
	if len(principals) == 0 {
		return ""
	}
	return " " + strings.Join(principals, " ") + " "
}
