package access_test

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/id"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

// chooser draws a number below n: from rapid, or from a seed.
type chooser func(what string, n int) int

func pick[T any](c chooser, what string, from []T) T { return from[c(what, len(from))] }

// scene is some random organizations that share people, lists and grants, and
// what they were made of, so that an oracle can judge without asking the database.
type scene struct {
	actors     []ledger.Actor
	orgs       []string
	branches   []placed
	teams      []placed
	ended      map[string]bool
	people     []string
	members    map[string]org.Membership // by id
	tokens     map[string]account.ServiceToken
	workspaces map[string]org.Workspace
	orgOf      map[string]string
	grants     []access.Grant
	specimens  []specimen
	kindsOf    map[string][]string // kind -> ids
}

// placed is a branch or team with what it stands in.
type placed struct{ id, in, org string }

// specimen is one thing with all that rights can depend on.
type specimen struct {
	kind, id, org, branch, word, owner, siteType string
	survey, deployment                           string
	lists                                        map[string][]string // role -> principals
}

var (
	siteTypes = []string{"water_point", "household", "tank"}
	scopes    = [][]string{nil, nil, {"see"}, {"see", "edit", "submit", "approve"}, {"see", "share", "administer", "delete", "reveal", "export"}, {"create", "see", "revoke"}}
	scopeOf   = [][]string{nil, nil, nil, {"site"}, {"response", "deployment", "survey"}, {"site", "device", "branch", "team", "membership"}}
)

// draw is drawScene by rapid.
func draw(t *rapid.T, l *ledger.Ledger) *scene {
	return drawScene(t, l, func(what string, n int) int { return rapid.IntRange(0, n-1).Draw(t, what) })
}

// drawScene makes a scene in the database. Tokens that are short have ended an hour later.
func drawScene(t interface{ Fatal(...any) }, l *ledger.Ledger, c chooser) *scene {
	var s *scene
	now := l.Now()
	if err := l.Write(ctx, peopletest.System, "draw", func(tx *ledger.Tx) error {
		s = &scene{ended: map[string]bool{}, members: map[string]org.Membership{}, tokens: map[string]account.ServiceToken{}, workspaces: map[string]org.Workspace{},
			orgOf: map[string]string{}, kindsOf: map[string][]string{}}
		return s.draw(tx, now, c)
	}); err != nil {
		t.Fatal(fault.Cause(err))
	}
	return s
}

func (s *scene) draw(tx *ledger.Tx, now time.Time, c chooser) error {
	for _, step := range []func(*ledger.Tx, chooser) error{s.drawOrganizations, s.drawPeople} {
		if err := step(tx, c); err != nil {
			return err
		}
	}
	if err := s.drawTokens(tx, now, c); err != nil {
		return err
	}
	for _, step := range []func(*ledger.Tx, chooser) error{s.drawThings, s.drawGrants, s.drawWorkspaces, s.drawEnd} {
		if err := step(tx, c); err != nil {
			return err
		}
	}
	return nil
}

func (s *scene) drawOrganizations(tx *ledger.Tx, c chooser) error {
	for o := range 2 + c("a third organization", 2) {
		root := id.New()
		s.orgs = append(s.orgs, root)
		if _, err := org.Branches.Create(tx, root, root, org.Branch{Name: fmt.Sprint("Org ", o)}); err != nil {
			return err
		}
		in := []placed{{root, "", root}}
		for b := range c("branches", 6) {
			up := pick(c, "parent", in)
			d, err := org.Branches.Create(tx, root, "", org.Branch{Name: fmt.Sprint("Branch ", b), Parent: up.id})
			if err != nil {
				return err
			}
			in = append(in, placed{d.ID, up.id, root})
		}
		for n := range c("teams", 3) {
			b := pick(c, "team's branch", in)
			d, err := org.Teams.Create(tx, root, "", org.Team{Branch: b.id, Name: fmt.Sprint("Team ", n)})
			if err != nil {
				return err
			}
			s.teams = append(s.teams, placed{d.ID, b.id, root})
		}
		s.branches = append(s.branches, in...)
	}
	for _, b := range s.branches {
		s.add(specimen{kind: "branch", id: b.id, org: b.org, branch: b.id})
	}
	for _, t := range s.teams {
		s.add(specimen{kind: "team", id: t.id, org: t.org, branch: t.in})
	}
	return nil
}

func (s *scene) add(x specimen) {
	s.specimens = append(s.specimens, x)
	if x.id != "" {
		s.kindsOf[x.kind] = append(s.kindsOf[x.kind], x.id)
	}
}

func (s *scene) drawPeople(tx *ledger.Tx, c chooser) error {
	for n := range 5 {
		a, err := account.Create(tx, id.New()+"@example.org", fmt.Sprint("Person ", n), account.Hashed{})
		if err != nil {
			return err
		}
		s.people = append(s.people, a.ID)
		s.actors = append(s.actors, ledger.Actor{ID: a.ID, Kind: "account"})
		s.add(specimen{kind: "account", id: a.ID, owner: a.ID, word: "active"})
	}
	seen := map[org.Membership]bool{}
	for range c("memberships", 16) {
		at := pick(c, "where", s.branches)
		m := org.Membership{Person: pick(c, "who", s.people), Branch: at.id, Group: pick(c, "group", org.Groups)}
		if len(s.teams) > 0 && c("in a team", 4) == 0 {
			team := pick(c, "team", s.teams)
			m.Branch, m.Group, at.org = team.in, "team:"+team.id, team.org
		}
		if seen[m] {
			continue
		}
		seen[m] = true
		d, err := org.Memberships.Create(tx, at.org, "", m)
		if err != nil {
			return err
		}
		s.members[d.ID], s.orgOf[d.ID] = m, at.org
		s.add(specimen{kind: "membership", id: d.ID, org: at.org, branch: m.Branch, owner: m.Person})
	}
	return nil
}

func (s *scene) drawTokens(tx *ledger.Tx, now time.Time, c chooser) error {
	for n := range 1 + c("tokens", 3) {
		at := pick(c, "token's branch", s.branches)
		token := account.ServiceToken{
			Name: fmt.Sprint("Token ", n), Branch: at.id, Group: pick(c, "token acts as", append([]string{""}, org.Groups...)),
			Verbs: pick(c, "verbs", scopes), Kinds: pick(c, "kinds", scopeOf), Hash: id.New(), State: account.Active,
			Expires: now.Add([]time.Duration{24 * time.Hour, 24 * time.Hour, time.Minute}[c("lasts", 3)]),
		}
		if c("revoked", 4) == 0 {
			token.State = account.Revoked
		}
		d, err := account.ServiceTokens.Create(tx, at.org, "", token)
		if err != nil {
			return err
		}
		s.tokens[d.ID], s.orgOf[d.ID] = token, at.org
		s.actors = append(s.actors, ledger.Actor{ID: d.ID, Kind: "token"})
		s.add(specimen{kind: "token", id: d.ID, org: at.org, branch: at.id, word: token.State})
	}
	return nil
}

// principal draws somebody, of any organization.
func (s *scene) principal(c chooser) string {
	b := pick(c, "principal's branch", s.branches).id
	from := []string{"everyone", "person:" + pick(c, "person", s.people), "person:" + pick(c, "person", s.people), "branch:" + b, "group:" + b + "/" + pick(c, "its group", org.Groups)}
	for _, t := range s.teams {
		from = append(from, "team:"+t.id)
	}
	for _, token := range sortedKeys(s.tokens) {
		from = append(from, "token:"+token)
	}
	return pick(c, "principal", from[min(1, c("not everyone", 6)):])
}

func (s *scene) list(c chooser) []string {
	var l []string
	for range c("list", 3) {
		l = append(l, s.principal(c))
	}
	return l
}

func (s *scene) drawThings(tx *ledger.Tx, c chooser) error {
	make := func(n *ledger.Noun[thing], x specimen) (string, error) {
		b := thing{Branch: x.branch, Word: x.word, Owner: x.owner, Survey: x.survey, Deployment: x.deployment, Type: x.siteType,
			Enumerators: x.lists["enumerator"], Approvers: x.lists["approver"], Viewers: x.lists["viewer"], Managers: x.lists["manager"], AdminList: x.lists["admin"]}
		d, err := n.Create(tx, x.org, "", b)
		x.id = d.ID
		s.add(x)
		return d.ID, err
	}
	at := func(what string) specimen {
		b := pick(c, what, s.branches)
		return specimen{branch: b.id, org: b.org}
	}
	for range 6 {
		x := at("site's branch")
		x.kind, x.word, x.siteType = "site", pick(c, "privacy", []string{"public", "protected", "private", "private"}), pick(c, "site type", siteTypes)
		if _, err := make(sites, x); err != nil {
			return err
		}
	}
	for _, kind := range []*ledger.Noun[thing]{sites, surveys, devices, phones, siteImports} { // those that are not made yet
		x := at("made in")
		x.kind = kind.Name
		if x.kind == "site" {
			x.word, x.siteType = "protected", pick(c, "site type", siteTypes)
		}
		s.add(x)
	}
	for range 2 {
		x := at("survey's branch")
		x.kind = "survey"
		survey, err := make(surveys, x)
		if err != nil {
			return err
		}
		part := specimen{branch: x.branch, org: x.org, survey: survey}
		form := part
		form.kind = "form"
		if _, err := make(forms, form); err != nil {
			return err
		}
		sent := part
		sent.kind, sent.owner = "submission", pick(c, "sent by", s.people)
		if c("for no survey", 3) == 0 {
			sent.survey = ""
		}
		if _, err := make(submissions, sent); err != nil {
			return err
		}
		d := part
		d.kind, d.word = "deployment", pick(c, "open", []string{"active", "closed"})
		d.lists = map[string][]string{"enumerator": s.list(c), "approver": s.list(c), "viewer": s.list(c), "manager": s.list(c), "admin": s.list(c)}
		deployment, err := make(deployments, d)
		if err != nil {
			return err
		}
		for range 3 {
			r := part
			r.kind, r.deployment, r.owner = "response", deployment, pick(c, "enumerator", s.people)
			r.word = pick(c, "state", []string{"draft", "pending", "rejected", "final"})
			if _, err := make(responses, r); err != nil {
				return err
			}
		}
	}
	phone := at("phone's branch")
	phone.kind, phone.owner, phone.word = "phone", pick(c, "phone of", s.people), pick(c, "phone is", []string{"", "revoked"})
	made, err := make(phones, phone)
	if err != nil {
		return err
	}
	device := at("device's branch")
	device.kind = "device"
	station, err := make(devices, device)
	if err != nil {
		return err
	}
	imported := at("import's branch")
	imported.kind, imported.owner = "site_import", pick(c, "import by", s.people)
	if _, err := make(siteImports, imported); err != nil {
		return err
	}
	s.actors = append(s.actors, ledger.Actor{ID: made, Kind: "phone"}, ledger.Actor{ID: station, Kind: "device"}, ledger.Actor{ID: s.people[1], Kind: "device"},
		ledger.Actor{ID: s.people[1], Kind: "token"}, ledger.Actor{ID: s.people[1]}, ledger.Actor{Kind: "account"}, peopletest.System)
	return nil
}

func (s *scene) drawGrants(tx *ledger.Tx, c chooser) error {
	given := map[access.Grant]bool{}
	for range c("grants", 16) {
		kind := pick(c, "kind", []string{"site", "survey", "deployment"})
		g := access.Grant{Thing: kind + ":" + pick(c, "thing", s.kindsOf[kind]), Principal: s.principal(c), Role: pick(c, "role", access.GrantRoles(kind))}
		if given[g] {
			continue
		}
		given[g] = true
		s.grants = append(s.grants, g)
		if _, err := access.Grants.Create(tx, s.orgs[0], "", g); err != nil {
			return err
		}
	}
	return nil
}

func (s *scene) drawWorkspaces(tx *ledger.Tx, c chooser) error {
	for n := range c("workspaces", 3) {
		in := pick(c, "workspace of", s.orgs)
		w := org.Workspace{Name: fmt.Sprint("Workspace ", n)}
		for range 1 + c("locked", 2) {
			if p := s.principal(c); p != "everyone" {
				w.People = append(w.People, p)
			}
		}
		for _, x := range s.specimens {
			if x.kind == "survey" && x.id != "" && x.org == in && c("shown", 2) == 0 {
				w.Surveys = append(w.Surveys, x.id)
			}
		}
		w.SiteTypes = siteTypes[:c("site types", 3)]
		d, err := org.Workspaces.Create(tx, in, "", w)
		if err != nil {
			return err
		}
		s.workspaces[d.ID], s.orgOf[d.ID] = w, in
		s.add(specimen{kind: "workspace", id: d.ID, org: in, branch: in})
	}
	return nil
}

func (s *scene) drawEnd(tx *ledger.Tx, c chooser) error {
	if c("one has ended", 4) > 0 {
		return nil
	}
	_, err := account.Accounts.Update(tx, s.people[0], 0, func(a *account.Account) error { a.State = account.Ended; return nil })
	if err != nil {
		if fault.From(err).Code == "membership.last-admin" {
			return nil
		}
		return err
	}
	s.ended[s.people[0]] = true
	for i := range s.specimens {
		if s.specimens[i].id == s.people[0] {
			s.specimens[i].word = account.Ended
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
