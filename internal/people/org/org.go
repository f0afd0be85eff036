// Package org holds organizations: branches, teams, memberships, how people come
// in, the sharing policy, workspaces.
//
// An organization is a tree of branches; the root branch is the organization and
// its id is the organization's id. It guarantees, undo included, that a tree has
// no cycles and no orphans, that names are unique among siblings, that a person
// is once in a group, and that the last admin of an organization is neither
// removed nor demoted, whichever way it is tried. Who may change what is
// people/access's answer, asked inside the same transaction.
//
// Invitations and sign-in links are tokens of 32 random bytes, kept as hashes,
// used once, and expiring. A sign-in link replaces the password, never the
// second factor, and an admin can only make one for a person who has no
// membership beyond what that admin administers.
//
// A join code has 50 random bits, is kept as a hash, ends by time, by uses and when
// it is revoked, never makes admins, and stops when its maker could not make it any more. Nobody is
// put into an organization by his id alone. Links that go by mail are shown to
// nobody else.
//
// The sharing policy is settings that the server obeys: this package answers who
// may export and who needs a factor of this server; site, survey and keep ask it
// for the rest. Workspaces are kept here and enforced by people/access.
//
// Limits: 16 levels of branches; names of 100 characters; 500 of a kind in a
// workspace; 1,000 uses and a year for a join code.
//
// Who controls this package puts himself into any group.
package org

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
)

const maxDepth = 16

// Standing groups of a branch.
const (
	Admins   = "admins"
	Managers = "managers"
	Viewers  = "viewers"
	Members  = "members"
)

// Groups are the standing groups, the strongest first.
var Groups = []string{Admins, Managers, Viewers, Members}

// Branch is an organization (no parent) or a part of one.
type Branch struct {
	Name   string `json:"name"`
	Parent string `json:"parent,omitempty" doc:"the branch above; empty: this is the organization itself"`
	// Path is worked out when a tree is read, and never kept: moving a branch
	// changes that branch alone.
	Path []string `json:"path,omitempty" doc:"ids of the branches above, organization first"`
	// FullName too.
	FullName string `json:"full_name,omitempty" doc:"names, organization first: Org > Office"`
}

// Team is a group of people in a branch with a name of its own.
type Team struct {
	Branch string `json:"branch"`
	Name   string `json:"name"`
	// FullName is worked out when a tree is read, and never kept.
	FullName string `json:"full_name,omitempty" doc:"names, organization first: Org > Office > Team"`
}

// Membership puts a person into a standing group or a team of a branch.
type Membership struct {
	Person string `json:"person" doc:"id of the account"`
	Branch string `json:"branch"`
	Group  string `json:"group" doc:"admins, managers, viewers, members, or team:<id>"`
	// Until ends it by itself: a server administrator's visit under break-glass.
	Until time.Time `json:"until,omitzero" doc:"ends then: a server administrator's visit under break-glass"`
}

// Invitation is a one-time link: into a group of a branch, or, with an account
// and no group, a sign-in link for that account.
type Invitation struct {
	Branch  string    `json:"branch"`
	Group   string    `json:"group,omitempty"`
	Name    string    `json:"name,omitempty"`
	Email   string    `json:"email,omitempty"`
	Account string    `json:"account,omitempty" doc:"a sign-in link for this account"`
	Token   string    `json:"token" doc:"SHA-256 of the token"`
	Expires time.Time `json:"expires"`
	By      string    `json:"by,omitempty" doc:"account that invited"`
	// Operator makes the person a server administrator as well: the first one of a new server.
	Operator bool      `json:"operator,omitempty"`
	Used     time.Time `json:"used,omitzero"`
	UsedBy   string    `json:"used_by,omitempty"`
	Post     *Post     `json:"post,omitempty" doc:"the mail with its link, when it goes by mail"`
}

// Branches is the noun of branches.
var Branches = ledger.Noun[Branch]{
	Name: "branch",
	Table: &ledger.Table[Branch]{
		Columns: []ledger.Column{{Name: "parent", Type: ledger.Text}, {Name: "name", Type: ledger.Text}, {Name: "sibling", Type: ledger.Text}},
		Unique:  [][]string{{"sibling"}},
		Indexes: [][]string{{"parent"}, {"org"}},
		Row: func(d ledger.Doc[Branch]) []any {
			return []any{d.Body.Parent, d.Body.Name, sibling(d.Org, d.Body.Parent, d.Body.Name)}
		},
	},
}

// Teams is the noun of teams.
var Teams = ledger.Noun[Team]{
	Name: "team",
	Table: &ledger.Table[Team]{
		Columns: []ledger.Column{{Name: "branch", Type: ledger.Text}, {Name: "name", Type: ledger.Text}, {Name: "sibling", Type: ledger.Text}},
		Unique:  [][]string{{"sibling"}},
		Indexes: [][]string{{"branch"}, {"org"}},
		Row: func(d ledger.Doc[Team]) []any {
			return []any{d.Body.Branch, d.Body.Name, d.Body.Branch + "/" + strings.ToLower(d.Body.Name)}
		},
	},
}

// Memberships is the noun of memberships.
var Memberships = ledger.Noun[Membership]{
	Name: "membership",
	Table: &ledger.Table[Membership]{
		Columns: []ledger.Column{{Name: "person", Type: ledger.Text}, {Name: "branch", Type: ledger.Text}, {Name: "standing", Type: ledger.Text}, {Name: "until", Type: ledger.Integer}},
		Unique:  [][]string{{"person", "branch", "standing"}},
		Indexes: [][]string{{"branch", "standing"}, {"org"}, {"until"}},
		Row: func(d ledger.Doc[Membership]) []any {
			return []any{d.Body.Person, d.Body.Branch, d.Body.Group, untilMillis(d.Body.Until)}
		},
	},
}

// Invitations is the noun of invitations.
var Invitations = ledger.Noun[Invitation]{
	Name: "invitation",
	Table: &ledger.Table[Invitation]{
		Columns: []ledger.Column{{Name: "token", Type: ledger.Text}, {Name: "branch", Type: ledger.Text}},
		Unique:  [][]string{{"token"}},
		Indexes: [][]string{{"org"}},
		Row:     func(d ledger.Doc[Invitation]) []any { return []any{d.Body.Token, d.Body.Branch} },
	},
}

func init() { // here, because the rules read the nouns that they are rules of
	Branches.Check, Teams.Check = checkBranch, checkTeam
	Memberships.Check, Invitations.Check = checkMembership, checkInvitation
	Policies.Check, Workspaces.Check = checkPolicy, checkWorkspace
	JoinCodes.Check, JoinRequests.Check = checkJoinCode, checkJoinRequest
}

// Nouns are the nouns of this package, for ledger.Config.
func Nouns() []ledger.Kind {
	return []ledger.Kind{&Branches, &Teams, &Memberships, &Invitations, &Policies, &Workspaces, &JoinCodes, &JoinRequests}
}

var _ = access.Register(&Branches, access.Columns{Branch: "id"}, func(_ *ledger.Reader, d ledger.Doc[Branch]) (access.Thing, error) {
	return access.Thing{Branch: d.ID, Name: d.Body.Name}, nil
})

var _ = access.Register(&Teams, access.Columns{Branch: "branch"}, func(_ *ledger.Reader, d ledger.Doc[Team]) (access.Thing, error) {
	return access.Thing{Branch: d.Body.Branch, Name: d.Body.Name}, nil
})

var _ = access.Register(&Memberships, access.Columns{Branch: "branch", Owner: "person"}, func(_ *ledger.Reader, d ledger.Doc[Membership]) (access.Thing, error) {
	return access.Thing{Branch: d.Body.Branch, Owner: d.Body.Person}, nil
})

var _ = access.Register(&Invitations, access.Columns{Branch: "branch"}, func(_ *ledger.Reader, d ledger.Doc[Invitation]) (access.Thing, error) {
	return access.Thing{Branch: d.Body.Branch, Name: d.Body.Name}, nil
})

var _ = account.GuardEnd(func(tx *ledger.Tx, person string) error {
	held, err := Memberships.List(tx.Reader, "n.person = $1 AND n.standing = 'admins' AND n.branch = n.org AND n.until = 0", person)
	if err != nil {
		return err
	}
	for _, m := range held {
		if err := keepsAdmin(tx, m.Org, "", person); err != nil {
			return err
		}
	}
	return nil
})

// sibling is the text that no two of the same name in the same place share.
func sibling(organization, parent, name string) string {
	return organization + "/" + parent + "/" + strings.ToLower(name)
}

func checkName(kind, name string) error {
	if n := utf8.RuneCountInString(name); n < 1 || n > 100 || strings.TrimSpace(name) != name ||
		strings.ContainsFunc(name, unicode.IsControl) || !utf8.ValidString(name) {
		return fault.Newf(fault.Invalid, kind+".name", "The name of a %s has 1 to 100 characters", kind).
			At("/name", "missing, too long, or with blanks around it", "write it as people say it")
	}
	return nil
}

func checkBranch(tx *ledger.Tx, before, after *ledger.Doc[Branch]) error {
	if after == nil {
		return branchIsEmpty(tx, before)
	}
	b := after.Body
	if err := checkName("branch", b.Name); err != nil {
		return err
	}
	if b.Path != nil || b.FullName != "" {
		return fmt.Errorf("branch %s: a path is never kept", after.ID)
	}
	if b.Parent == "" {
		if after.ID != after.Org {
			return fault.New(fault.Invalid, "branch.parent", "A branch has a branch above it").
				At("/parent", "missing", "name the branch above; only the organization itself has none")
		}
		return nil
	}
	if after.ID == after.Org {
		return fault.New(fault.Invalid, "branch.parent", "An organization stands at the top").At("/parent", "not empty", "leave it out")
	}
	if before != nil && before.Body.Parent != b.Parent {
		// Here and not only in the service, because an undo moves too.
		for _, parent := range []string{before.Body.Parent, b.Parent} {
			if err := access.Require(tx.Reader, tx.Actor, access.Create, access.Thing{Kind: "branch", Org: after.Org, Branch: parent}); err != nil {
				return err
			}
		}
	}
	at, seen := b.Parent, []string{after.ID}
	for at != "" {
		if slices.Contains(seen, at) {
			return fault.New(fault.Conflict, "branch.cycle", "A branch cannot stand under itself").
				At("/parent", "is this branch or one below it", "choose a branch outside of it")
		}
		if seen = append(seen, at); len(seen) > maxDepth {
			return fault.Newf(fault.Invalid, "branch.depth", "Branches go %d levels deep at most", maxDepth).At("/parent", "too deep", "choose a higher one")
		}
		up, err := Branches.Get(tx.Reader, at)
		if err != nil || up.Org != after.Org {
			return unknownBranch("/parent", err)
		}
		at = up.Body.Parent
	}
	return nil
}

// unknownBranch is the answer for a branch that is not there or in another organization.
func unknownBranch(place string, err error) error {
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return err
	}
	return fault.New(fault.Invalid, "branch.unknown", "There is no such branch in this organization").
		At(place, "unknown branch", "choose one of the organization's branches")
}

// InOrg checks that a branch belongs to an organization: for the rules of
// documents that name one.
func InOrg(r *ledger.Reader, organization, branch string) error {
	b, err := Branches.Get(r, branch)
	if err != nil || b.Org != organization {
		return unknownBranch("/branch", err)
	}
	return nil
}

// branchIsEmpty refuses to delete what others stand in.
func branchIsEmpty(tx *ledger.Tx, b *ledger.Doc[Branch]) error {
	for _, in := range access.KindsInBranches() {
		if in.Kind == "branch" {
			in.Column = "parent"
		}
		var one int
		if declared, err := tx.Row([]any{&one}, "SELECT 1 FROM noun WHERE name = $1", in.Kind); err != nil {
			return err
		} else if !declared {
			continue
		}
		found, err := tx.Row([]any{&one}, "SELECT 1 FROM "+in.Kind+" n WHERE n."+in.Column+" = $1 LIMIT 1", b.ID)
		if err != nil {
			return err
		}
		if found {
			return fault.Newf(fault.Conflict, "branch.used", "%s still has a %s in it", b.Body.Name, strings.ReplaceAll(in.Kind, "_", " ")).
				WithMend("Move or delete what is in it first")
		}
	}
	return nil
}

func checkTeam(tx *ledger.Tx, before, after *ledger.Doc[Team]) error {
	if after == nil {
		var one int
		found, err := tx.Row([]any{&one}, "SELECT 1 FROM membership WHERE standing = $1 LIMIT 1", "team:"+before.ID)
		if err == nil && found {
			err = fault.Newf(fault.Conflict, "team.used", "There are still people in the team %s", before.Body.Name).WithMend("Take them out first")
		}
		return err
	}
	if err := checkName("team", after.Body.Name); err != nil {
		return err
	}
	if after.Body.FullName != "" {
		return fmt.Errorf("team %s: a full name is never kept", after.ID)
	}
	if before != nil && before.Body.Branch != after.Body.Branch {
		return fault.New(fault.Invalid, "team.branch", "A team stays in its branch").At("/branch", "changed", "make another team there")
	}
	return InOrg(tx.Reader, after.Org, after.Body.Branch)
}

func checkMembership(tx *ledger.Tx, before, after *ledger.Doc[Membership]) error {
	if err := checkVisit(tx, before, after); err != nil {
		return err
	}
	if before != nil && before.Body.Until.IsZero() && before.Body.Group == Admins && before.Body.Branch == before.Org && (after == nil || after.Body != before.Body) {
		if err := keepsAdmin(tx, before.Org, before.ID, ""); err != nil {
			return err
		}
	}
	if before != nil && (after == nil || after.Body != before.Body) {
		if err := staysInside(tx, before); err != nil {
			return err
		}
	}
	if after == nil {
		return nil
	}
	m := after.Body
	if err := InOrg(tx.Reader, after.Org, m.Branch); err != nil {
		return err
	}
	if a, err := account.Accounts.Get(tx.Reader, m.Person); err != nil || a.Body.State != account.Active {
		if err != nil && fault.KindOf(err) != fault.NotFound {
			return err
		}
		return fault.New(fault.Invalid, "membership.person", "There is no such person").At("/person", "no active account", "invite the person")
	}
	return checkGroup(tx.Reader, m.Branch, m.Group)
}

func checkGroup(r *ledger.Reader, branch, group string) error {
	if slices.Contains(Groups, group) {
		return nil
	}
	if team, is := strings.CutPrefix(group, "team:"); is {
		t, err := Teams.Get(r, team)
		if err == nil && t.Body.Branch == branch {
			return nil
		}
		if err != nil && fault.KindOf(err) != fault.NotFound {
			return err
		}
	}
	return fault.Newf(fault.Invalid, "membership.group", "%.60q is no group of this branch", group).
		At("/group", "unknown group", "one of "+strings.Join(Groups, ", ")+", or team:<id of a team of the branch>")
}

// keepsAdmin refuses when an organization would have no active admin left
// without one membership, or without one person.
func keepsAdmin(tx *ledger.Tx, organization, membership, person string) error {
	var left int
	if _, err := tx.Row([]any{&left}, `SELECT count(*) FROM membership n JOIN account a ON a.id = n.person
		WHERE n.org = $1 AND n.branch = $1 AND n.standing = 'admins' AND n.until = 0 AND a.state = 'active' AND n.id <> $2 AND n.person <> $3`,
		organization, membership, person); err != nil {
		return err
	}
	if left == 0 {
		return fault.New(fault.Conflict, "membership.last-admin", "This is the last admin of the organization").
			WithMend("Make another person an admin of the organization first")
	}
	return nil
}

func checkInvitation(tx *ledger.Tx, before, after *ledger.Doc[Invitation]) error {
	if after == nil {
		return nil
	}
	i := after.Body
	if before != nil && !before.Body.Used.IsZero() && i.Used.IsZero() {
		return fault.New(fault.Conflict, "invitation.used", "A used invitation stays used").WithMend("Make a new one")
	}
	if i.Account == "" && i.Group == Admins {
		if err := access.Deciding(tx, after.Org); err != nil {
			return err
		}
	}
	if before != nil { // what stands around it may have changed since; it is looked at when used
		return nil
	}
	if i.Account != "" {
		return nil
	}
	if i.Name != "" {
		if err := checkName("person", i.Name); err != nil {
			return err
		}
	}
	if err := InOrg(tx.Reader, after.Org, i.Branch); err != nil {
		return err
	}
	return checkGroup(tx.Reader, i.Branch, i.Group)
}
