package org

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/id"
	"github.com/qanat-water/qanat/internal/base/mail"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
)

// Service changes and reads organizations.
type Service struct {
	ledger   *ledger.Ledger
	accounts *account.Service
	mail     *mail.Sender // nil: links are shown to who invites
	server   string
	began    time.Time // what waited before is lost

	tries, posts, senders *account.Throttle
}

// New makes the service.
func New(l *ledger.Ledger, accounts *account.Service) *Service {
	return &Service{
		ledger: l, accounts: accounts, began: l.Now(),
		tries: account.NewThrottle(l.Now, codeLimits), posts: account.NewThrottle(l.Now, postLimits), senders: account.NewThrottle(l.Now, senderLimits),
	}
}

// CreateBranch makes a branch under another; admins of that one may.
func (s *Service) CreateBranch(ctx context.Context, actor ledger.Actor, b Branch) (ledger.Doc[Branch], error) {
	var made ledger.Doc[Branch]
	err := s.ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error {
		up, err := Branches.Get(tx.Reader, b.Parent)
		if err != nil {
			return unknownBranch("/parent", err)
		}
		if err := access.Require(tx.Reader, actor, access.Create, access.Thing{Kind: "branch", Org: up.Org, Branch: up.ID}); err != nil {
			return err
		}
		made, err = Branches.Create(tx, up.Org, "", Branch{Name: strings.TrimSpace(b.Name), Parent: b.Parent})
		return err
	})
	return made, err
}

// UpdateBranch renames or moves a branch; who moves it must be an admin
// of both places, which is a rule of the noun.
func (s *Service) UpdateBranch(ctx context.Context, actor ledger.Actor, branch string, ifRevision int64, to Branch) (ledger.Doc[Branch], error) {
	var made ledger.Doc[Branch]
	err := s.ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error {
		b, err := Branches.Get(tx.Reader, branch)
		if err != nil {
			return err
		}
		if err := access.Require(tx.Reader, actor, access.Edit, access.Thing{Kind: "branch", ID: b.ID, Org: b.Org, Branch: b.ID}); err != nil {
			return err
		}
		made, err = Branches.Update(tx, branch, ifRevision, func(d *Branch) error {
			d.Name, d.Parent = strings.TrimSpace(to.Name), to.Parent
			return nil
		})
		return err
	})
	return made, err
}

// DeleteBranch deletes a branch that nothing stands in.
func (s *Service) DeleteBranch(ctx context.Context, actor ledger.Actor, branch string, ifRevision int64) error {
	return s.ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error {
		if err := require(tx, "branch", branch, access.Delete); err != nil {
			return err
		}
		return Branches.Delete(tx, branch, ifRevision)
	})
}

func require(tx *ledger.Tx, kind, doc string, verb access.Verb) error {
	t, err := access.Describe(tx.Reader, kind, doc)
	if err != nil {
		return err
	}
	return access.Require(tx.Reader, tx.Actor, verb, t)
}

// CreateTeam makes a team; admins of its branch may.
func (s *Service) CreateTeam(ctx context.Context, actor ledger.Actor, t Team) (ledger.Doc[Team], error) {
	var made ledger.Doc[Team]
	err := s.ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error {
		b, err := Branches.Get(tx.Reader, t.Branch)
		if err != nil {
			return unknownBranch("/branch", err)
		}
		if err := access.Require(tx.Reader, actor, access.Create, access.Thing{Kind: "team", Org: b.Org, Branch: b.ID}); err != nil {
			return err
		}
		made, err = Teams.Create(tx, b.Org, "", Team{Branch: t.Branch, Name: strings.TrimSpace(t.Name)})
		return err
	})
	return made, err
}

// RenameTeam renames a team.
func (s *Service) RenameTeam(ctx context.Context, actor ledger.Actor, team string, ifRevision int64, name string) (ledger.Doc[Team], error) {
	var made ledger.Doc[Team]
	err := s.ledger.Write(ctx, actor, "", func(tx *ledger.Tx) (err error) {
		if err := require(tx, "team", team, access.Edit); err != nil {
			return err
		}
		made, err = Teams.Update(tx, team, ifRevision, func(t *Team) error { t.Name = strings.TrimSpace(name); return nil })
		return err
	})
	return made, err
}

// DeleteTeam deletes a team without people.
func (s *Service) DeleteTeam(ctx context.Context, actor ledger.Actor, team string, ifRevision int64) error {
	return s.ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error {
		if err := require(tx, "team", team, access.Delete); err != nil {
			return err
		}
		return Teams.Delete(tx, team, ifRevision)
	})
}

// Join puts a person of the organization into a group; admins of the branch may.
// Others are invited, or join by a code.
func (s *Service) Join(ctx context.Context, actor ledger.Actor, m Membership) (ledger.Doc[Membership], error) {
	var made ledger.Doc[Membership]
	err := s.ledger.Write(ctx, actor, "", func(tx *ledger.Tx) (err error) {
		made, err = Join(tx, m)
		return err
	})
	return made, err
}

// stranger refuses a person who belongs to no branch of an organization: an id
// alone pulls nobody into a place, and does not even tell whether there is such a person.
func stranger(r *ledger.Reader, organization, person string) error {
	var one int
	known, err := r.Row([]any{&one}, "SELECT 1 FROM membership WHERE person = $1 AND org = $2 LIMIT 1", person, organization)
	if err == nil && !known {
		err = fault.New(fault.Invalid, "membership.person", "There is no such person in this organization").
			At("/person", "nobody of the organization", "invite the person, give out a join code, or share single things by a grant")
	}
	return err
}

// freshFor asks who makes an admin for a second factor shown just now. Else a
// stolen session makes an admin of its own, who then shows a factor of his, and
// two of these are the two people that an erasure takes.
func freshFor(tx *ledger.Tx, group string) error {
	if group != Admins {
		return nil
	}
	return access.Fresh(tx.Actor, tx.Now)
}

// Join is the function of that name inside a transaction.
func Join(tx *ledger.Tx, m Membership) (ledger.Doc[Membership], error) {
	b, err := Branches.Get(tx.Reader, m.Branch)
	if err != nil {
		return ledger.Doc[Membership]{}, unknownBranch("/branch", err)
	}
	if err := access.Require(tx.Reader, tx.Actor, access.Create, access.Thing{Kind: "membership", Org: b.Org, Branch: b.ID}); err != nil {
		return ledger.Doc[Membership]{}, err
	}
	if tx.Actor.Kind != "system" {
		if err := stranger(tx.Reader, b.Org, m.Person); err != nil {
			return ledger.Doc[Membership]{}, err
		}
	}
	if err := freshFor(tx, m.Group); err != nil {
		return ledger.Doc[Membership]{}, err
	}
	return Memberships.Create(tx, b.Org, "", m)
}

// Regroup changes the group of a membership, in the same branch.
func (s *Service) Regroup(ctx context.Context, actor ledger.Actor, membership string, ifRevision int64, group string) (ledger.Doc[Membership], error) {
	var made ledger.Doc[Membership]
	err := s.ledger.Write(ctx, actor, "", func(tx *ledger.Tx) (err error) {
		made, err = regroup(tx, membership, ifRevision, group)
		return err
	})
	return made, err
}

func regroup(tx *ledger.Tx, membership string, ifRevision int64, group string) (ledger.Doc[Membership], error) {
	if err := require(tx, "membership", membership, access.Edit); err != nil {
		return ledger.Doc[Membership]{}, err
	}
	if err := freshFor(tx, group); err != nil {
		return ledger.Doc[Membership]{}, err
	}
	return Memberships.Update(tx, membership, ifRevision, func(m *Membership) error { m.Group = group; return nil })
}

// Leave ends a membership; admins of the branch may, and the person.
func (s *Service) Leave(ctx context.Context, actor ledger.Actor, membership string, ifRevision int64) error {
	return s.ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error { return leave(tx, membership, ifRevision) })
}

func leave(tx *ledger.Tx, membership string, ifRevision int64) error {
	if err := require(tx, "membership", membership, access.Delete); err != nil {
		return err
	}
	return Memberships.Delete(tx, membership, ifRevision)
}

// Tree is an organization with its branches and teams.
type Tree struct {
	Organization ledger.Doc[Branch]   `json:"organization"`
	Branches     []ledger.Doc[Branch] `json:"branches" doc:"all but the organization itself, each after the one above it, then by name"`
	Teams        []ledger.Doc[Team]   `json:"teams"`
}

// Tree reads an organization; everybody who belongs to it may see its tree.
func (s *Service) Tree(ctx context.Context, actor ledger.Actor, organization string) (Tree, error) {
	return s.TreeAt(ctx, actor, organization, time.Time{})
}

// TreeAt is Tree as it stood at a time, unless that is zero.
func (s *Service) TreeAt(ctx context.Context, actor ledger.Actor, organization string, at time.Time) (Tree, error) {
	var tree Tree
	err := s.ledger.Read(ctx, func(r *ledger.Reader) (err error) {
		if err := access.Require(r, actor, access.See, access.Thing{Kind: "branch", ID: organization, Org: organization, Branch: organization}); err != nil {
			return err
		}
		if !at.IsZero() {
			if r, err = r.At(organization, at); err != nil {
				return err
			}
		}
		if tree.Organization, err = Branches.Get(r, organization); err != nil {
			return err
		}
		if tree.Organization.Body.Parent != "" {
			return Branches.NotFound()
		}
		all, err := Branches.List(r, "n.org = $1 ORDER BY n.name, n.id", organization)
		if err != nil {
			return err
		}
		tree.Branches = under(all, organization, nil)
		tree.Teams, err = Teams.List(r, "n.org = $1 ORDER BY n.name, n.id", organization)
		tree.fullNames()
		return err
	})
	return tree, err
}

func (t *Tree) fullNames() {
	paths := t.paths()
	t.Organization.Body.FullName = t.Organization.Body.Name
	for i := range t.Branches {
		t.Branches[i].Body.FullName = paths[t.Branches[i].ID]
	}
	for i := range t.Teams {
		t.Teams[i].Body.FullName = paths[t.Teams[i].Body.Branch] + " > " + t.Teams[i].Body.Name
	}
}

// under is the branches below one, each with its path, depth first.
func under(all []ledger.Doc[Branch], parent string, above []string) []ledger.Doc[Branch] {
	found := []ledger.Doc[Branch]{}
	path := append(slices.Clone(above), parent)
	for _, b := range all {
		if b.Body.Parent == parent && len(path) <= maxDepth {
			b.Body.Path = path
			found = append(found, b)
			found = append(found, under(all, b.ID, path)...)
		}
	}
	return found
}

// Member is a person with memberships.
type Member struct {
	Account     account.Person `json:"account" doc:"of today, also as of a moment; who has left the organization since has no e-mail address"`
	Memberships []Held         `json:"memberships"`
}

// Held is one membership of a person.
type Held struct {
	ID         string    `json:"id"`
	Revision   int64     `json:"revision"`
	Branch     string    `json:"branch"`
	BranchPath string    `json:"branch_path" doc:"names, organization first: Org > Office"`
	Group      string    `json:"group"`
	GroupName  string    `json:"group_name" doc:"the group, or the name of the team"`
	Until      time.Time `json:"until,omitzero" doc:"ends then: a server administrator's visit under break-glass"`
}

// Members lists the people of an organization whose memberships the actor may
// see, by name.
func (s *Service) Members(ctx context.Context, actor ledger.Actor, organization string) ([]Member, error) {
	members := []Member{}
	tree, err := s.Tree(ctx, actor, organization)
	if err != nil {
		return nil, err
	}
	paths, teams := tree.paths(), tree.teamNames()
	err = s.ledger.Read(ctx, func(r *ledger.Reader) error {
		where, args, err := access.Visible(r, actor, "membership")
		if err != nil {
			return err
		}
		args = append(args, organization)
		rows := r.Query(`SELECT a.id, a.name, a.email, n.id, d.revision, n.branch, n.standing, n.until FROM membership n
			JOIN account a ON a.id = n.person JOIN document d ON d.id = n.id
			WHERE `+where+` AND n.org = $`+itoa(len(args))+` ORDER BY a.name, a.id, n.id`, args...)
		members = members[:0]
		for rows.Next() {
			var p account.Person
			var h Held
			var until int64
			rows.Scan(&p.ID, &p.Name, &p.Email, &h.ID, &h.Revision, &h.Branch, &h.Group, &until)
			if until > 0 {
				h.Until = time.UnixMilli(until).UTC()
			}
			h.BranchPath, h.GroupName = paths[h.Branch], h.Group
			if name, is := teams[h.Group]; is {
				h.GroupName = name
			}
			if len(members) == 0 || members[len(members)-1].Account.ID != p.ID {
				members = append(members, Member{Account: p})
			}
			last := &members[len(members)-1]
			last.Memberships = append(last.Memberships, h)
		}
		return rows.Close()
	})
	return members, err
}

// paths is the names of each branch with those above it.
func (t Tree) paths() map[string]string {
	paths := map[string]string{t.Organization.ID: t.Organization.Body.Name}
	for _, b := range t.Branches {
		paths[b.ID] = paths[b.Body.Parent] + " > " + b.Body.Name
	}
	return paths
}

// Mine is an organization that a person belongs to.
type Mine struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	Groups []string `json:"groups" doc:"standing groups that the person is in anywhere in it"`
}

// Organizations are those a person belongs to, by name.
func (s *Service) Organizations(ctx context.Context, actor ledger.Actor) ([]Mine, error) {
	mine := []Mine{}
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		where, args := "n.person = $1", []any{actor.ID}
		if actor.Kind == "system" {
			where, args = "1 = 1", nil
		}
		rows := r.Query(`SELECT n.org, b.name, n.standing FROM membership n JOIN branch b ON b.id = n.org WHERE `+where+` ORDER BY b.name, n.org`, args...)
		mine = mine[:0]
		for rows.Next() {
			var organization, name, group string
			rows.Scan(&organization, &name, &group)
			if len(mine) == 0 || mine[len(mine)-1].ID != organization {
				mine = append(mine, Mine{ID: organization, Name: name})
			}
			last := &mine[len(mine)-1]
			if strings.HasPrefix(group, "team:") {
				group = Members
			}
			if !slices.Contains(last.Groups, group) {
				last.Groups = append(last.Groups, group)
			}
		}
		return rows.Close()
	})
	return mine, err
}

// Bootstrap makes an organization and the invitation of its first admin. Only
// the server itself may.
func (s *Service) Bootstrap(ctx context.Context, actor ledger.Actor, name, adminName, adminEmail string) (organization string, token account.Token, err error) {
	if actor.Kind != "system" {
		return "", token, fault.New(fault.Denied, "organization.denied", "Only the server's administrator may make an organization").
			WithMend("Ask for it to be made with qanat init")
	}
	f := NewFounding(name, adminName, adminEmail)
	err = s.ledger.Write(ctx, actor, "organization made", f.Make)
	return f.Organization, f.Token, err
}

// Founding is an organization that is about to be made, with the invitation of its first admin.
type Founding struct {
	Organization           string
	Token                  account.Token
	Name, Admin, AdminMail string
	Operator               bool // its first admin becomes a server administrator, too
}

// NewFounding chooses id and token, which stay the same when a transaction runs twice.
func NewFounding(name, admin, adminMail string) *Founding {
	return &Founding{Organization: id.New(), Token: account.NewToken(), Name: name, Admin: admin, AdminMail: adminMail}
}

// Make makes it inside a transaction. The caller has decided that the actor may.
func (f *Founding) Make(tx *ledger.Tx) error {
	if _, err := Branches.Create(tx, f.Organization, f.Organization, Branch{Name: strings.TrimSpace(f.Name)}); err != nil {
		return err
	}
	_, err := Invitations.Create(tx, f.Organization, "", Invitation{
		Branch: f.Organization, Group: Admins, Name: f.Admin, Email: account.Normal(f.AdminMail), Operator: f.Operator,
		Token: f.Token.Hash(), Expires: tx.Now.Add(invitationLife),
	})
	return err
}
