package access_test

import (
	"strings"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/id"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
)

// token makes a service token and gives it as an actor.
func (c *cast) token(t testing.TB, group, verbs, kinds string) ledger.Actor {
	t.Helper()
	actor := ledger.Actor{Kind: "token", Name: "a token", Door: "test"}
	c.Write(t, func(tx *ledger.Tx) error {
		d, err := account.ServiceTokens.Create(tx, c.Org, "", account.ServiceToken{Name: "a token", Branch: c.north, Group: group,
			Verbs: strings.Fields(verbs), Kinds: strings.Fields(kinds), Hash: id.New(), Expires: c.Clock.Now().Add(time.Hour), State: account.Active})
		actor.ID = d.ID
		return err
	})
	return actor
}

// A token acts by its group and grants, as far as its scope goes, and until its end.
func TestToken(t *testing.T) {
	c := newCast(t, storetest.SQLite(t)())
	granted := c.token(t, "", "", "")
	c.Write(t, func(tx *ledger.Tx) error {
		_, err := access.Give(tx, access.Grant{Thing: "site:" + c.things["site private"], Principal: "token:" + granted.ID, Role: "admin"})
		return err
	})
	admin, revoked := c.token(t, org.Admins, "", ""), c.token(t, org.Admins, "", "")
	c.Write(t, func(tx *ledger.Tx) error {
		_, err := account.ServiceTokens.Update(tx, revoked.ID, 0, func(s *account.ServiceToken) error { s.State = account.Revoked; return nil })
		return err
	})
	all := strings.Builder{}
	for _, v := range access.Verbs() {
		all.WriteString(string(v) + " ")
	}
	for _, test := range []struct {
		name  string
		who   ledger.Actor
		thing string
		may   string // of see edit share administer delete export reveal
	}{
		{"no group, no grant", c.token(t, "", "", ""), "site private", ""},
		{"no group, no grant", c.token(t, "", "", ""), "site public", "see edit"},
		{"a grant", granted, "site private", "see edit"},
		{"a viewer", c.token(t, org.Viewers, "", ""), "site private", "see"},
		{"a viewer for everything", c.token(t, org.Viewers, all.String(), ""), "site private", "see"},
		{"an admin without a scope", admin, "site private", "see edit"},
		{"an admin for everything", c.token(t, org.Admins, all.String(), ""), "site private", "see edit share administer delete export"},
		{"an admin for everything", c.token(t, org.Admins, all.String(), ""), "response final", "see delete export"},
		{"an admin who sees", c.token(t, org.Admins, "see", ""), "site private", "see"},
		{"an admin who shares", c.token(t, org.Admins, "see share", ""), "site private", "see share"},
		{"an admin of surveys", c.token(t, org.Admins, "see edit", "survey response"), "site private", ""},
		{"an admin of surveys", c.token(t, org.Admins, "see edit", "survey response"), "survey", "see edit"},
		{"revoked", revoked, "site public", ""},
		{"of another server", ledger.Actor{Kind: "token", ID: id.New()}, "site public", ""},
		{"a person's id", ledger.Actor{Kind: "token", ID: c.people["org admin"].ID}, "site public", ""},
	} {
		c.Read(t, func(r *ledger.Reader) error {
			thing, err := c.thing(r, test.thing)
			if err != nil {
				return err
			}
			var may []string
			for _, verb := range []access.Verb{access.See, access.Edit, access.Share, access.Administer, access.Delete, access.Export, access.Reveal} {
				if access.Require(r, test.who, verb, thing) == nil {
					may = append(may, string(verb))
				}
			}
			if got := strings.Join(may, " "); got != test.may {
				t.Errorf("%s on the %s: may %q, want %q", test.name, test.thing, got, test.may)
			}
			return nil
		})
	}
	if err := access.Fresh(admin, c.Clock.Now()); err == nil {
		t.Error("a token has proved a second factor")
	}
	c.Clock.Advance(59*time.Minute + 59*time.Second)
	check := func(want bool) {
		t.Helper()
		c.Read(t, func(r *ledger.Reader) error {
			if is := sees(t, r, admin, c.things["site private"]); is != want {
				t.Errorf("seen is %v, want %v", is, want)
			}
			where, _, err := access.Visible(r, admin, "site")
			if (where != "(1 = 0)") != want {
				t.Errorf("list filter %s", where)
			}
			return err
		})
	}
	check(true)
	c.Clock.Advance(time.Second)
	check(false)
}

// Whom an organization has put into a workspace sees of it what the workspace shows,
// in lists and in the past, too, and gives only what it offers.
func TestWorkspace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		c := newCast(t, open())
		well, school := c.typed(t, "well"), c.typed(t, "school")
		workspace := ""
		c.Write(t, func(tx *ledger.Tx) error {
			d, err := org.Workspaces.Create(tx, c.Org, "", org.Workspace{Name: "Wells", SiteTypes: []string{"well"}, Presets: []string{"view"},
				People: []string{"group:" + c.Org + "/managers", "group:" + c.Org + "/admins", "person:" + c.people["outsider"].ID}})
			workspace = d.ID
			return err
		})
		shows := func(what string, who ledger.Actor, want ...string) {
			t.Helper()
			c.Read(t, func(r *ledger.Reader) error {
				for _, name := range []string{"well", "school", "survey", "response final", "deployment active"} {
					kind, id := "site", map[string]string{"well": well, "school": school}[name]
					if id == "" {
						kind, id = strings.Fields(name)[0], c.things[name]
					}
					thing, err := access.Describe(r, kind, id)
					if err != nil {
						return err
					}
					wanted := strings.Contains(" "+strings.Join(want, " ")+" ", " "+strings.Fields(name)[0]+" ")
					if err := access.Require(r, who, access.See, thing); (err == nil) != wanted || err != nil && fault.KindOf(err) != fault.NotFound {
						t.Errorf("%s: %s sees the %s: %v, want %v", what, who.Name, name, err, wanted)
					}
					set, err := access.Principals(r, who)
					if err != nil {
						return err
					}
					ids, where, err := listed(r, set, kind, access.See)
					if err != nil {
						return err
					}
					if is := strings.Contains(strings.Join(ids, " "), id); is != wanted {
						t.Errorf("%s: the %s in a list for %s: %v, want %v\n%s", what, name, who.Name, is, wanted, where)
					}
				}
				return nil
			})
		}
		shows("an admin of the organization is never locked", c.people["org admin"], "well", "school", "survey", "response", "deployment")
		shows("a manager from above", c.people["org manager"], "well")
		shows("a manager below is not in the group above", c.people["branch manager"], "well", "school")
		shows("who belongs to nothing is nobody's to lock", c.people["outsider"])
		manager := c.people["org manager"]
		give := func(role string) error {
			return c.Ledger.Write(ctx, manager, "", func(tx *ledger.Tx) error {
				_, err := access.Give(tx, access.Grant{Thing: "site:" + well, Principal: "person:" + c.people["outsider"].ID, Role: role})
				return err
			})
		}
		if err := give("edit"); fault.From(err).Code != "access_grant.preset" {
			t.Errorf("a role that is not offered: %v", err)
		}
		if err := give("view"); err != nil {
			t.Errorf("a role that is offered: %v", fault.Cause(err))
		}
		// An edit from before, of what is hidden now, is not his to undo.
		var before int64
		c.Write(t, func(tx *ledger.Tx) error {
			d, err := sites.Update(tx, school, 0, func(b *thing) error { b.Owner = "somebody"; return nil })
			before = d.Entry
			return err
		})
		if _, err := c.Ledger.Undo(ctx, manager, "", before, access.MayUndo); fault.KindOf(err) != fault.NotFound || err == nil {
			t.Errorf("undo of what the workspace hides: %v", err)
		}
		c.Write(t, func(tx *ledger.Tx) error {
			_, err := org.Workspaces.Update(tx, workspace, 0, func(w *org.Workspace) error {
				w.SiteTypes, w.Surveys = []string{"school"}, nil
				w.People = append(w.People, "person:"+c.people["branch admin"].ID)
				return nil
			})
			return err
		})
		shows("after a change", manager, "school")
		shows("an admin below", c.people["branch admin"], "school")
		c.Write(t, func(tx *ledger.Tx) error { return org.Workspaces.Delete(tx, workspace, 0) })
		shows("without the workspace", manager, "well", "school")
	})
}

// typed makes a private site of a type in the north.
func (c *cast) typed(t testing.TB, siteType string) string {
	t.Helper()
	var made string
	c.Write(t, func(tx *ledger.Tx) error {
		d, err := sites.Create(tx, c.Org, "", thing{Branch: c.north, Word: "private", Type: siteType})
		made = d.ID
		return err
	})
	return made
}
