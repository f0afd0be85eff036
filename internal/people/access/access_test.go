package access_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

// cast is one organization with one thing of each kind, and a person in each role.
type cast struct {
	*peopletest.World
	north  string
	people map[string]ledger.Actor
	things map[string]string // "site public" -> id
}

func newCast(t testing.TB, s *store.Store) *cast {
	c := &cast{World: peopletest.New(t, s, nouns...), people: map[string]ledger.Actor{}, things: map[string]string{}}
	c.north = c.Branch(t, c.Org, "North")
	for name, in := range map[string][2]string{
		"org admin": {c.Org, org.Admins}, "org manager": {c.Org, org.Managers}, "org viewer": {c.Org, org.Viewers}, "org member": {c.Org, org.Members},
		"branch admin": {c.north, org.Admins}, "branch manager": {c.north, org.Managers}, "branch viewer": {c.north, org.Viewers}, "branch member": {c.north, org.Members},
		"outsider": {"", ""}, "view": {"", ""}, "edit": {"", ""}, "admin": {"", ""},
		"administrator": {"", ""}, "deployer": {"", ""}, "survey viewer": {"", ""},
		"enumerator": {"", ""}, "other enumerator": {"", ""}, "approver 1": {"", ""}, "approver 2": {"", ""}, "deployment viewer": {"", ""}, "deployment manager": {"", ""}, "deployment admin": {"", ""},
	} {
		c.people[name] = c.Person(t, name, in[0], in[1])
	}
	person := func(names ...string) (l []string) {
		for _, n := range names {
			l = append(l, "person:"+c.people[n].ID)
		}
		return l
	}
	c.Write(t, func(tx *ledger.Tx) error {
		create := func(n *ledger.Noun[thing], name string, b thing) string {
			b.Branch = c.north
			d, err := n.Create(tx, c.Org, "", b)
			if err != nil {
				t.Fatal(err)
			}
			c.things[name] = d.ID
			return d.ID
		}
		give := func(thing, who, role string) {
			if _, err := access.Give(tx, access.Grant{Thing: thing, Principal: person(who)[0], Role: role}); err != nil {
				t.Fatal(err)
			}
		}
		for _, privacy := range []string{"public", "protected", "private"} {
			site := create(sites, "site "+privacy, thing{Word: privacy})
			for _, role := range []string{"view", "edit", "admin"} {
				give("site:"+site, role, role)
			}
		}
		survey := create(surveys, "survey", thing{})
		give("survey:"+survey, "administrator", "administrator")
		give("survey:"+survey, "deployer", "deployer")
		give("survey:"+survey, "survey viewer", "viewer")
		for _, word := range []string{"active", "closed"} {
			create(deployments, "deployment "+word, thing{Survey: survey, Word: word, Enumerators: person("enumerator", "other enumerator"),
				Approvers: person("approver 1", "approver 2"), Viewers: person("deployment viewer"), Managers: person("deployment manager"), AdminList: person("deployment admin")})
		}
		for _, state := range []string{"draft", "pending", "rejected", "final"} {
			create(responses, "response "+state, thing{Survey: survey, Deployment: c.things["deployment active"], Word: state, Owner: c.people["enumerator"].ID})
		}
		return nil
	})
	return c
}

func (c *cast) thing(r *ledger.Reader, name string) (access.Thing, error) {
	kind, _, _ := strings.Cut(name, " ")
	t, err := access.Describe(r, kind, c.things[name])
	if name == "response pending" { // it waits at the first stage, which allows editing
		t.Holders = append(t.Holders, access.Holder{Role: "stage", Principal: "person:" + c.people["approver 1"].ID},
			access.Holder{Role: "stage-editor", Principal: "person:" + c.people["approver 1"].ID})
	}
	return t, err
}

// The permission tables of the handbook, written out a second time as lists of
// who may: a verb on a thing is allowed to exactly these.
const matrix = `
site public    see     everyone
site public    edit    everyone
site public    submit  everyone
site public    delete  org admin, org manager, branch admin, branch manager, admin
site public    administer org admin, org manager, branch admin, branch manager, admin
site public    share   org admin, org manager, branch admin, branch manager, admin
site protected see     everyone
site protected submit  everyone
site protected edit    org admin, org manager, branch admin, branch manager, edit, admin
site protected delete  org admin, org manager, branch admin, branch manager, admin
site private   see     org admin, org manager, org viewer, branch admin, branch manager, branch viewer, branch member, view, edit, admin
site private   submit  org admin, org manager, org viewer, branch admin, branch manager, branch viewer, branch member, view, edit, admin
site private   edit    org admin, org manager, branch admin, branch manager, edit, admin
site private   share   org admin, org manager, branch admin, branch manager, admin

survey see     org admin, branch admin, administrator, deployer, survey viewer, enumerator, other enumerator, approver 1, approver 2, deployment viewer, deployment manager, deployment admin
survey edit    org admin, branch admin, administrator
survey design  org admin, branch admin, administrator
survey share   org admin, branch admin, administrator
survey deploy  org admin, branch admin, administrator, deployer

deployment active submit enumerator, other enumerator
deployment closed submit
deployment active see  org admin, branch admin, administrator, deployer, enumerator, other enumerator, approver 1, approver 2, deployment viewer, deployment manager, deployment admin
deployment closed see  org admin, branch admin, administrator, deployer, enumerator, other enumerator, approver 1, approver 2, deployment viewer, deployment manager, deployment admin
deployment active edit org admin, branch admin, administrator, deployer, deployment admin

response draft    see    enumerator, deployment manager, deployment admin, org admin, branch admin, administrator
response pending  see    enumerator, approver 1, approver 2, deployment manager, deployment admin, org admin, branch admin, administrator
response rejected see    enumerator, approver 1, approver 2, deployment manager, deployment admin, org admin, branch admin, administrator
response final    see    enumerator, approver 1, approver 2, deployment viewer, deployment manager, deployment admin, org admin, branch admin, administrator
response draft    edit   enumerator, deployment manager, deployment admin
response pending  edit   approver 1, deployment manager, deployment admin
response rejected edit   enumerator, deployment manager, deployment admin
response final    edit   deployment manager, deployment admin
response draft    submit enumerator, deployment manager, deployment admin
response rejected submit enumerator, deployment manager, deployment admin
response pending  recall enumerator
response pending  approve approver 1, deployment manager, deployment admin, org admin, branch admin, administrator
response pending  reject approver 1, deployment manager, deployment admin, org admin, branch admin, administrator
response final    reject deployment manager, deployment admin, org admin, branch admin, administrator
response draft    delete enumerator, deployment manager, deployment admin, org admin, branch admin, administrator
response rejected delete enumerator, deployment manager, deployment admin, org admin, branch admin, administrator
response pending  delete deployment manager, deployment admin, org admin, branch admin, administrator
response final    delete deployment manager, deployment admin, org admin, branch admin, administrator
response draft    reveal enumerator, org admin, branch admin, administrator
response rejected reveal enumerator, org admin, branch admin, administrator
response pending  reveal org admin, branch admin, administrator
response final    reveal org admin, branch admin, administrator
`

func TestMatrix(t *testing.T) {
	c := newCast(t, storetest.SQLite(t)())
	// The people of the organization that every test has are in groups of its root, as "org ..." are.
	c.Read(t, func(r *ledger.Reader) error {
		for line := range strings.Lines(strings.TrimSpace(matrix)) {
			words := strings.Fields(line)
			if len(words) == 0 {
				continue
			}
			name, rest := words[0], words[1:]
			if c.things[name] == "" {
				name, rest = words[0]+" "+words[1], words[2:]
			}
			verb := access.Verb(rest[0])
			allowed := strings.Split(strings.Join(rest[1:], " "), ", ")
			thing, err := c.thing(r, name)
			if err != nil {
				return err
			}
			for who, actor := range c.people {
				d, err := access.Decide(r, actor, verb, thing)
				if err != nil {
					return err
				}
				if want := allowed[0] == "everyone" || slices.Contains(allowed, who); d.Allowed != want {
					t.Errorf("%s may %s the %s: %v, want %v, because %q", who, verb, name, d.Allowed, want, d.Why)
				}
			}
		}
		return nil
	})
}

func TestWhy(t *testing.T) {
	c := newCast(t, storetest.SQLite(t)())
	team := ""
	c.Write(t, func(tx *ledger.Tx) error {
		d, err := org.Teams.Create(tx, c.Org, "", org.Team{Branch: c.Org, Name: "Pump menders"})
		if err != nil {
			return err
		}
		team = "team:" + d.ID
		_, err = access.Give(tx, access.Grant{Thing: "site:" + c.things["site private"], Principal: team, Role: "edit"})
		return err
	})
	mender := c.Person(t, "Maria Mender", c.Org, team)
	for _, test := range []struct {
		who   ledger.Actor
		verb  access.Verb
		thing string
		want  string // one of the reasons
	}{
		{c.people["org manager"], access.Edit, "site private", "org manager is in managers of Test Water Office, whose rights reach down to Test Water Office > North, which manages the site Chipho; managers may edit it while it is private"},
		{c.people["branch viewer"], access.See, "site private", "branch viewer is in viewers of Test Water Office > North, which manages the site Chipho; viewers may see it while it is private"},
		{mender, access.Edit, "site private", "edit on the site Chipho is granted to team Pump menders, and Maria Mender is one of them; edit may edit it while it is private"},
		{c.people["view"], access.Edit, "site private", "view on the site Chipho is granted to view, but view may not edit it while it is private"},
		{c.people["outsider"], access.See, "site public", "outsider has an account on this server; everyone may see it while it is public"},
		{c.people["enumerator"], access.See, "response pending", "the response is enumerator's own; own may see it while it is pending"},
		{c.people["deployment viewer"], access.See, "response final", "the deployment May round lists deployment viewer as viewer; deployment.viewer may see it while it is final"},
		{c.people["branch admin"], access.Reveal, "response final", "branch admin is in admins of Test Water Office > North, which manages the survey Functionality; survey.admins may reveal it while it is final"},
		{ledger.Actor{Kind: "token", ID: mender.ID}, access.See, "site public", "the actor is nobody that this server knows as active"},
		{ledger.System("nightly check"), access.See, "site private", "nightly check is a job of the server itself"},
	} {
		c.Read(t, func(r *ledger.Reader) error {
			thing, err := c.thing(r, test.thing)
			if err != nil {
				return err
			}
			d, err := access.Decide(r, test.who, test.verb, thing)
			if !slices.Contains(d.Why, test.want) {
				t.Errorf("why %s may %s %s:\n%s\nwant\n%s", test.who.Name, test.verb, test.thing, strings.Join(d.Why, "\n"), test.want)
			}
			return err
		})
	}
}

func TestGrants(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		c := newCast(t, open())
		site := "site:" + c.things["site private"]
		give := func(who ledger.Actor, g access.Grant) (made ledger.Doc[access.Grant], err error) {
			err = c.Ledger.Write(ctx, who, "", func(tx *ledger.Tx) (err error) { made, err = access.Give(tx, g); return err })
			return made, err
		}
		everyone := access.Grant{Thing: site, Principal: "everyone", Role: "view"}
		for _, test := range []struct {
			name string
			who  string
			g    access.Grant
			kind fault.Kind
		}{
			{"who cannot see it", "outsider", everyone, fault.NotFound},
			{"who may only edit", "edit", everyone, fault.Denied},
			{"an unknown role", "admin", access.Grant{Thing: site, Principal: "everyone", Role: "owner"}, fault.Invalid},
			{"a computed role", "branch admin", access.Grant{Thing: "survey:" + c.things["survey"], Principal: "everyone", Role: "participant"}, fault.Invalid},
			{"an unknown principal", "admin", access.Grant{Thing: site, Principal: "group:x/bosses", Role: "view"}, fault.Invalid},
			{"a principal that would match many", "admin", access.Grant{Thing: site, Principal: "person:%", Role: "view"}, fault.Invalid},
			{"nothing", "admin", access.Grant{Thing: "site:none", Principal: "everyone", Role: "view"}, fault.NotFound},
			{"the same again", "org admin", access.Grant{Thing: site, Principal: "person:" + c.people["view"].ID, Role: "view"}, fault.Conflict},
		} {
			if _, err := give(c.people[test.who], test.g); err == nil || fault.KindOf(err) != test.kind {
				t.Errorf("%s: %v (%s), want %s", test.name, err, fault.Cause(err), test.kind)
			}
		}
		g, err := give(c.people["admin"], everyone)
		if err != nil {
			t.Fatal(err)
		}
		sees := func() (ok bool) {
			c.Read(t, func(r *ledger.Reader) error {
				thing, err := c.thing(r, "site private")
				ok = access.Require(r, c.people["outsider"], access.See, thing) == nil
				return err
			})
			return ok
		}
		if !sees() {
			t.Error("a grant to everyone opens nothing")
		}
		undo := func(who string) error {
			_, err := c.Ledger.Undo(ctx, c.people[who], "", g.Entry, access.MayUndo)
			return err
		}
		if err := undo("edit"); fault.KindOf(err) != fault.Denied || err == nil {
			t.Errorf("who may not share undoes sharing: %v", err)
		}
		if err := undo("admin"); err != nil {
			t.Errorf("undo: %v", err)
		}
		if sees() {
			t.Error("an undone grant still opens")
		}
	})
}

// A phone acts for its person, can only see and send in, and not when it is revoked.
func TestPhone(t *testing.T) {
	c := newCast(t, storetest.SQLite(t)())
	ids := map[string]string{}
	c.Write(t, func(tx *ledger.Tx) error {
		for _, state := range []string{"active", "revoked"} {
			d, err := phones.Create(tx, c.Org, "", thing{Branch: c.north, Word: state, Owner: c.people["enumerator"].ID})
			if err != nil {
				return err
			}
			ids[state] = d.ID
		}
		return nil
	})
	c.Read(t, func(r *ledger.Reader) error {
		for _, test := range []struct {
			phone, thing string
			verb         access.Verb
			want         bool
		}{
			{"active", "deployment active", access.Submit, true}, {"active", "response draft", access.See, true}, {"active", "response draft", access.Submit, true},
			{"active", "response draft", access.Delete, false}, {"active", "response draft", access.Edit, false},
			{"revoked", "deployment active", access.Submit, false}, {"revoked", "site public", access.See, false},
		} {
			thing, err := c.thing(r, test.thing)
			if err != nil {
				return err
			}
			d, err := access.Decide(r, ledger.Actor{Kind: "phone", ID: ids[test.phone]}, test.verb, thing)
			if err != nil || d.Allowed != test.want {
				t.Errorf("an %s phone may %s the %s: %v %v", test.phone, test.verb, test.thing, d, err)
			}
		}
		return nil
	})
}

// Who has ended is nobody, whatever he still holds.
func TestEndedAccount(t *testing.T) {
	c := newCast(t, storetest.SQLite(t)())
	gone := c.people["branch manager"]
	check := func(want bool) {
		t.Helper()
		c.Read(t, func(r *ledger.Reader) error {
			thing, err := c.thing(r, "site public")
			if err != nil {
				return err
			}
			d, err := access.Decide(r, gone, access.See, thing)
			if d.Allowed != want {
				t.Errorf("may see a public site: %v, because %q", d.Allowed, d.Why)
			}
			where, _, verr := access.Visible(r, gone, "site")
			if (where != "(1 = 0)") != want || verr != nil {
				t.Errorf("list filter %s, %v", where, verr)
			}
			return err
		})
	}
	check(true)
	if err := c.Accounts.End(ctx, peopletest.System, gone.ID, "left"); err != nil {
		t.Fatal(err)
	}
	check(false)
}

// Everybody sees a public site, and only its people with whom it is shared.
func TestGrantsAreNotTold(t *testing.T) {
	c := newCast(t, storetest.SQLite(t)())
	c.Read(t, func(r *ledger.Reader) error {
		site, err := access.Describe(r, "site", c.things["site public"])
		if err != nil {
			return err
		}
		for who, told := range map[string]int{"org member": 3, "branch admin": 3, "admin": 3, "view": 1, "edit": 1, "outsider": 0} {
			grants, err := access.On(r, c.people[who], site)
			if err != nil || len(grants) != told || told == 1 && grants[0].Body.Principal != "person:"+c.people[who].ID {
				t.Errorf("%s is told of %d grants, want %d: %+v, %v", who, len(grants), told, grants, err)
			}
		}
		return nil
	})
}
