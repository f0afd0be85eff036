package access_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/id"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

var ctx = context.Background()

// scene is two random organizations that share people and grants.
type scene struct {
	actors  []ledger.Actor
	orgs    []string
	kindsOf map[string][]string // kind -> ids
}

// draw makes a scene in the database.
func draw(t *rapid.T, l *ledger.Ledger) *scene {
	s := &scene{kindsOf: map[string][]string{}}
	err := l.Write(ctx, peopletest.System, "draw", func(tx *ledger.Tx) error {
		*s = scene{kindsOf: map[string][]string{}}
		pick := func(what string, from []string) string { return rapid.SampledFrom(from).Draw(t, what) }
		must := func(err error) {
			if err != nil && !errors.As(err, new(*fault.Error)) {
				panic(err)
			}
			if err != nil {
				panic(fault.Cause(err))
			}
		}
		type place struct{ id, org string }
		var places []place
		var teams []struct{ id, branch, org string }
		for o := range 2 {
			root := id.New()
			s.orgs = append(s.orgs, root)
			_, err := org.Branches.Create(tx, root, root, org.Branch{Name: fmt.Sprint("Org ", o)})
			must(err)
			in := []place{{root, root}}
			for b := range rapid.IntRange(0, 5).Draw(t, "branches") {
				up := rapid.SampledFrom(in).Draw(t, "parent")
				d, err := org.Branches.Create(tx, root, "", org.Branch{Name: fmt.Sprint("Branch ", b), Parent: up.id})
				must(err)
				in = append(in, place{d.ID, root})
			}
			for n := range rapid.IntRange(0, 2).Draw(t, "teams") {
				b := rapid.SampledFrom(in).Draw(t, "team's branch")
				d, err := org.Teams.Create(tx, root, "", org.Team{Branch: b.id, Name: fmt.Sprint("Team ", n)})
				must(err)
				teams = append(teams, struct{ id, branch, org string }{d.ID, b.id, root})
			}
			places = append(places, in...)
		}
		var people []string
		for n := range 4 {
			a, err := account.Create(tx, id.New()+"@example.org", fmt.Sprint("Person ", n), account.Hashed{})
			must(err)
			people = append(people, a.ID)
			s.actors = append(s.actors, ledger.Actor{ID: a.ID, Kind: "account"})
		}
		seen := map[string]bool{}
		for range rapid.IntRange(0, 8).Draw(t, "memberships") {
			p := rapid.SampledFrom(places).Draw(t, "where")
			m := org.Membership{Person: pick("who", people), Branch: p.id, Group: pick("group", org.Groups)}
			if len(teams) > 0 && rapid.IntRange(0, 3).Draw(t, "in a team") == 0 {
				team := rapid.SampledFrom(teams).Draw(t, "team")
				m.Branch, m.Group, p.org = team.branch, "team:"+team.id, team.org
			}
			if key := fmt.Sprint(m); !seen[key] {
				seen[key] = true
				_, err := org.Memberships.Create(tx, p.org, "", m)
				must(err)
			}
		}
		principal := func() string {
			b := rapid.SampledFrom(places).Draw(t, "principal's branch").id
			from := []string{"everyone", "person:" + pick("person", people), "branch:" + b, "group:" + b + "/" + pick("its group", org.Groups)}
			for _, team := range teams {
				from = append(from, "team:"+team.id)
			}
			return pick("principal", from[rapid.IntRange(0, 1).Draw(t, "not everyone"):])
		}
		list := func() []string {
			var l []string
			for range rapid.IntRange(0, 2).Draw(t, "list") {
				l = append(l, principal())
			}
			return l
		}
		create := func(n *ledger.Noun[thing], p place, b thing) string {
			b.Branch = p.id
			d, err := n.Create(tx, p.org, "", b)
			must(err)
			s.kindsOf[n.Name] = append(s.kindsOf[n.Name], d.ID)
			return d.ID
		}
		somewhere := func() place { return rapid.SampledFrom(places).Draw(t, "place") }
		for range 4 {
			create(sites, somewhere(), thing{Word: pick("privacy", []string{"public", "protected", "private", "private"})})
		}
		for range 2 {
			at := somewhere()
			survey := create(surveys, at, thing{})
			deployment := create(deployments, at, thing{Survey: survey, Word: pick("open", []string{"active", "closed"}),
				Enumerators: list(), Approvers: list(), Viewers: list(), Managers: list(), AdminList: list()})
			for range 3 {
				create(responses, at, thing{Survey: survey, Deployment: deployment, Word: pick("state", []string{"draft", "pending", "rejected", "final"}), Owner: pick("enumerator", people)})
			}
		}
		at := somewhere()
		phone := create(phones, at, thing{Owner: pick("phone of", people), Word: pick("phone is", []string{"", "revoked"})})
		device := create(devices, at, thing{})
		given := map[access.Grant]bool{}
		for range rapid.IntRange(0, 6).Draw(t, "grants") {
			kind := pick("kind", []string{"site", "survey", "deployment"})
			g := access.Grant{Thing: kind + ":" + pick("thing", s.kindsOf[kind]), Principal: principal(), Role: pick("role", access.GrantRoles(kind))}
			if !given[g] {
				given[g] = true
				_, err := access.Grants.Create(tx, s.orgs[0], "", g)
				must(err)
			}
		}
		if rapid.IntRange(0, 3).Draw(t, "one has ended") == 0 {
			if _, err := account.Accounts.Update(tx, people[0], 0, func(a *account.Account) error { a.State = account.Ended; return nil }); err != nil && fault.From(err).Code != "membership.last-admin" {
				panic(err)
			}
		}
		s.kindsOf["branch"], s.kindsOf["membership"], s.kindsOf["team"] = nil, nil, nil
		for _, p := range places {
			s.kindsOf["branch"] = append(s.kindsOf["branch"], p.id)
		}
		for _, team := range teams {
			s.kindsOf["team"] = append(s.kindsOf["team"], team.id)
		}
		held, err := org.Memberships.List(tx.Reader, "n.org = $1 OR n.org = $2", s.orgs[0], s.orgs[1])
		must(err)
		for _, m := range held {
			s.kindsOf["membership"] = append(s.kindsOf["membership"], m.ID)
		}
		s.actors = append(s.actors, ledger.Actor{ID: phone, Kind: "phone"}, ledger.Actor{ID: device, Kind: "device"}, ledger.Actor{ID: people[1], Kind: "device"},
			ledger.Actor{ID: people[1], Kind: "token"}, ledger.Actor{ID: people[1]}, ledger.Actor{Kind: "account"}, peopletest.System)
		return nil
	})
	if err != nil {
		t.Fatal(fault.Cause(err))
	}
	return s
}

// Whatever the organizations, memberships, lists and grants are: what the list
// filter shows is exactly what the decision function allows, Require agrees with
// Decide, and every decision has its reasons.
func TestDecideIsVisible(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		st := open()
		w := peopletest.New(t, st, nouns...)
		if checks := flag.Lookup("rapid.checks"); st.Engine() == store.Postgres && checks.Value.String() == checks.DefValue {
			defer checks.Value.Set(checks.DefValue)
			checks.Value.Set("15") // a round trip for each question
		}
		decisions, allowed := 0, 0
		rapid.Check(t, func(t *rapid.T) {
			s := draw(t, w.Ledger)
			err := w.Ledger.Read(ctx, func(r *ledger.Reader) error {
				for kind, ids := range s.kindsOf {
					things := map[string]access.Thing{}
					for _, id := range ids {
						thing, err := access.Describe(r, kind, id)
						if err != nil {
							return err
						}
						things[id] = thing
					}
					for _, actor := range s.actors {
						where, args, err := access.Visible(r, actor, kind)
						if err != nil {
							return err
						}
						var listed []string
						rows := r.Query("SELECT n.id FROM "+kind+" n WHERE "+where, args...)
						for rows.Next() {
							var id string
							rows.Scan(&id)
							listed = append(listed, id)
						}
						if err := rows.Close(); err != nil {
							return fmt.Errorf("%s: %w", where, err)
						}
						for id, thing := range things {
							d, err := access.Decide(r, actor, access.See, thing)
							if err != nil {
								return err
							}
							decisions++
							if d.Allowed {
								allowed++
							}
							if listed := slices.Contains(listed, id); listed != d.Allowed {
								t.Fatalf("%s %s on %s %s: listed is %v, decided %v because %q\n%s", actor.Kind, actor.ID, kind, id, listed, d.Allowed, d.Why, where)
							}
							if len(d.Why) == 0 {
								t.Fatalf("a decision without reasons: %s on %s", actor.Kind, kind)
							}
							required := access.Require(r, actor, access.See, thing)
							if (required == nil) != d.Allowed || required != nil && fault.KindOf(required) != fault.NotFound {
								t.Fatalf("%s on %s: decided %v, required %v", actor.Kind, kind, d.Allowed, required)
							}
							for _, verb := range []access.Verb{access.Edit, access.Submit, access.Delete} {
								d2, err := access.Decide(r, actor, verb, thing)
								if err != nil {
									return err
								}
								required := access.Require(r, actor, verb, thing)
								if (required == nil) != d2.Allowed || required != nil && (fault.KindOf(required) == fault.Denied) != d.Allowed {
									t.Fatalf("%s on %s: %s decided %v, seen %v, required %v", actor.Kind, kind, verb, d2.Allowed, d.Allowed, required)
								}
							}
						}
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(fault.Cause(err))
			}
		})
		if allowed == 0 || allowed == decisions {
			t.Errorf("%d of %d decisions allowed: the scenes are too plain", allowed, decisions)
		}
		t.Logf("%d decisions, %d of them allowed", decisions, allowed)
	})
}
