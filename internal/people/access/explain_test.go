package access_test

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

// fewer lets a property run a few times where each question is a round trip, and
// where everything is short: rapid divides by five then.
func fewer(t *testing.T, sqlite, postgres int, engine store.Engine) {
	f := flag.Lookup("rapid.checks")
	if f.Value.String() != f.DefValue {
		return
	}
	checks := sqlite
	if engine == store.Postgres {
		checks = postgres
	}
	if testing.Short() {
		checks = 5 * max(2, checks/5)
	}
	f.Value.Set(strconv.Itoa(checks))
	t.Cleanup(func() { f.Value.Set(f.DefValue) })
}

// asked are verbs that tell apart who may what.
var asked = []access.Verb{access.See, access.Edit, access.Share, access.Approve, access.Submit, access.Delete}

// Whatever the organizations, memberships, lists and grants are: Who names exactly
// those for whom Decide says yes, each with a chain that allows.
func TestWhoIsDecide(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		st := open()
		w := peopletest.New(t, st, nouns...)
		fewer(t, 20, 5, st.Engine())
		verbs := asked
		few := testing.Short() || st.Engine() == store.Postgres
		if few {
			verbs = asked[:2]
		}
		answers, named, forAll := 0, 0, 0
		rapid.Check(t, func(t *rapid.T) {
			s := draw(t, w.Ledger)
			err := w.Ledger.Read(ctx, func(r *ledger.Reader) error {
				for kind, ids := range s.kindsOf {
					if few {
						ids = ids[:min(len(ids), 3)]
					}
					for _, id := range ids {
						thing, err := access.Describe(r, kind, id)
						if err != nil {
							return err
						}
						for _, verb := range verbs {
							if !slices.Contains(access.VerbsOf(kind), verb) {
								continue
							}
							told, err := everyPage(r, peopletest.System, verb, thing)
							if err != nil {
								return err
							}
							answers++
							if told.everyone {
								forAll++
							}
							for _, actor := range s.actors {
								principal := map[string]string{"account": "person:", "phone": "phone:", "device": "device:", "token": "token:"}[actor.Kind] + actor.ID
								if strings.HasPrefix(principal, actor.ID) || actor.ID == "" {
									continue
								}
								d, err := access.Decide(r, actor, verb, thing)
								if err != nil {
									return err
								}
								listed := told.people[principal]
								switch {
								case listed != nil && !d.Allowed:
									t.Fatalf("%s may %s %s %s says Who, because %v; Decide: %q", principal, verb, kind, id, listed, d.Why)
								case listed == nil && d.Allowed && !(told.everyone && actor.Kind != "device"):
									t.Fatalf("%s may %s %s %s because %q, and Who does not know", principal, verb, kind, id, d.Why)
								case told.everyone && told.except[principal] == d.Allowed && told.except[principal]:
									t.Fatalf("%s is excepted from %s %s %s, but may", principal, verb, kind, id)
								}
								if listed != nil {
									named++
									if len(listed) == 0 {
										t.Fatalf("%s may %s %s %s without a chain", principal, verb, kind, id)
									}
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
		if named == 0 || forAll == 0 {
			t.Errorf("%d answers named %d people, %d were for everyone: the scenes are too plain", answers, named, forAll)
		}
		t.Logf("%d answers, %d people named, %d for everyone", answers, named, forAll)
	})
}

type audience struct {
	everyone bool
	people   map[string][]access.Chain
	except   map[string]bool
}

func everyPage(r *ledger.Reader, asker ledger.Actor, verb access.Verb, t access.Thing) (audience, error) {
	told := audience{people: map[string][]access.Chain{}, except: map[string]bool{}}
	after := ""
	for {
		a, err := access.Who(r, asker, verb, t, after)
		if err != nil {
			return told, err
		}
		told.everyone = a.Everyone
		for _, p := range a.People {
			told.people[p.Principal] = p.Chains
		}
		for _, p := range a.Except {
			told.except[p.Principal] = true
		}
		if after = a.Next; after == "" {
			if len(told.people) != a.Count {
				return told, fmt.Errorf("%d people on all pages, %d counted", len(told.people), a.Count)
			}
			return told, nil
		}
	}
}

var errBack = errors.New("take it back")

// A decision stands on its chains: there is an allowing chain exactly when Decide
// says yes, and when the only one loses any of its links, Decide says no.
func TestChainsCarryTheDecision(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		st := open()
		w := peopletest.New(t, st, nouns...)
		fewer(t, 20, 4, st.Engine())
		cut := map[string]int{}
		rapid.Check(t, func(t *rapid.T) {
			s := draw(t, w.Ledger)
			for kind, ids := range s.kindsOf {
				if cuttableKinds[kind] == nil {
					continue
				}
				for _, id := range ids {
					for _, actor := range s.actors[:4] {
						verb := asked[rapid.IntRange(0, len(asked)-1).Draw(t, "verb")]
						if !slices.Contains(access.VerbsOf(kind), verb) {
							verb = access.See
						}
						var x access.Explanation
						err := w.Ledger.Read(ctx, func(r *ledger.Reader) error {
							thing, err := access.Describe(r, kind, id)
							if err != nil {
								return err
							}
							x, err = access.Why(r, peopletest.System, "person:"+actor.ID, verb, thing)
							return err
						})
						if err != nil {
							t.Fatal(fault.Cause(err))
						}
						allowing := slices.DeleteFunc(slices.Clone(x.Chains), func(c access.Chain) bool { return !c.Allows })
						if x.Allowed != (len(allowing) > 0) {
							t.Fatalf("%s %s %s: allowed is %v with %d allowing chains: %v", actor.Name, verb, kind, x.Allowed, len(allowing), x.Chains)
						}
						if len(allowing) != 1 {
							continue
						}
						for i, step := range allowing[0].Steps {
							if !cuttable(step) {
								continue
							}
							cut[step.Link]++
							err := w.Ledger.Write(ctx, peopletest.System, "", func(tx *ledger.Tx) error {
								if err := sever(tx, allowing[0].Steps, i, actor); err != nil {
									if fault.From(err).Code == "membership.last-admin" {
										return errBack
									}
									return err
								}
								thing, err := access.Describe(tx.Reader, kind, id)
								if err != nil {
									return err
								}
								d, err := access.Decide(tx.Reader, actor, verb, thing)
								if err == nil && d.Allowed {
									err = fmt.Errorf("without %v of the only chain %s, still allowed: %q", step, allowing[0].Text, d.Why)
								}
								if err == nil {
									err = errBack
								}
								return err
							})
							if !errors.Is(err, errBack) {
								t.Fatal(fault.Cause(err))
							}
						}
					}
				}
			}
		})
		for _, link := range []string{"person", "membership", "reaches", "manages", "grant", "list", "owner"} {
			if cut[link] == 0 && st.Engine() == store.SQLite && !testing.Short() { // there it runs often enough
				t.Errorf("no chain was cut at a %s: the scenes are too plain (%v)", link, cut)
			}
		}
		t.Logf("links cut: %v", cut)
	})
}

var cuttableKinds = map[string]*ledger.Noun[thing]{"site": sites, "survey": surveys, "deployment": deployments, "response": responses, "phone": phones, "device": devices}

func cuttable(s access.Step) bool {
	return slices.Contains([]string{"person", "membership", "reaches", "manages", "grant", "list", "owner"}, s.Link) &&
		!strings.Contains(s.Text, "participant") // a list that others' lists make
}

// sever takes away what a step stands on.
func sever(tx *ledger.Tx, steps []access.Step, at int, actor ledger.Actor) error {
	step := steps[at]
	change := func(fn func(b *thing)) error {
		_, err := cuttableKinds[step.Kind].Update(tx, step.ID, 0, func(b *thing) error { fn(b); return nil })
		return err
	}
	switch step.Link {
	case "person":
		_, err := account.Accounts.Update(tx, actor.ID, 0, func(a *account.Account) error { a.State = account.Ended; return nil })
		return err
	case "membership":
		return org.Memberships.Delete(tx, step.ID, 0)
	case "grant":
		return access.Grants.Delete(tx, step.ID, 0)
	case "reaches": // the branch moves away from below the one whose rights reach down
		m, err := org.Memberships.Get(tx.Reader, steps[at-1].ID)
		if err != nil || m.Body.Branch == m.Org {
			return cmp.Or(err, errBack) // below the organization itself everything stays
		}
		elsewhere, err := org.Branches.Create(tx, m.Org, "", org.Branch{Name: "Elsewhere " + step.ID, Parent: m.Org})
		if err == nil {
			_, err = org.Branches.Update(tx, step.ID, 0, func(b *org.Branch) error { b.Parent = elsewhere.ID; return nil })
		}
		return err
	case "manages":
		return change(func(b *thing) { b.Branch = "00000000-0000-4000-8000-000000000000" })
	case "owner":
		return change(func(b *thing) { b.Owner = "" })
	case "list":
		return change(func(b *thing) {
			b.Enumerators, b.Approvers, b.Viewers, b.Managers, b.AdminList = nil, nil, nil, nil, nil
		})
	}
	return fmt.Errorf("%v cannot be cut", step)
}

// What WhatIf says is what happens: for every person of the scene, on the thing
// and the sorts of things it names.
func TestWhatIfIsDoing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		st := open()
		w := peopletest.New(t, st, nouns...)
		fewer(t, 25, 6, st.Engine())
		gained, lost := 0, 0
		rapid.Check(t, func(t *rapid.T) {
			s := draw(t, w.Ledger)
			kind := rapid.SampledFrom([]string{"site", "survey", "deployment"}).Draw(t, "kind")
			id := rapid.SampledFrom(s.kindsOf[kind]).Draw(t, "thing")
			b := rapid.SampledFrom(s.kindsOf["branch"]).Draw(t, "branch")
			g := access.Grant{Thing: kind + ":" + id, Role: rapid.SampledFrom(access.GrantRoles(kind)).Draw(t, "role")}
			g.Principal = rapid.SampledFrom([]string{"everyone", "person:" + s.actors[0].ID, "branch:" + b, "group:" + b + "/managers", "group:" + b + "/members"}).Draw(t, "to")
			thing := func(r *ledger.Reader) access.Thing {
				d, err := access.Describe(r, kind, id)
				if err != nil {
					panic(err)
				}
				return d
			}
			rights := func() map[string][]access.Verb {
				all := map[string][]access.Verb{}
				if err := w.Ledger.Read(ctx, func(r *ledger.Reader) error {
					for _, actor := range s.actors[:4] {
						for _, v := range access.VerbsOf(kind) {
							if d, err := access.Decide(r, actor, v, thing(r)); err != nil {
								return err
							} else if d.Allowed {
								all["person:"+actor.ID] = append(all["person:"+actor.ID], v)
							}
						}
					}
					return nil
				}); err != nil {
					t.Fatal(fault.Cause(err))
				}
				return all
			}
			compare := func(what string, told access.Effect, before, after map[string][]access.Verb) {
				for _, actor := range s.actors[:4] {
					p := "person:" + actor.ID
					var on access.OnThing
					for _, gain := range told.People {
						if gain.Principal == p || gain.Principal == "everyone" {
							for _, o := range gain.On {
								if o.Kind == kind {
									on = o
								}
							}
						}
					}
					if told.Everyone != nil && len(on.Gains)+len(on.Loses) == 0 { // everyone gains what he had not
						on = told.Everyone.On[0]
						on.Gains = slices.DeleteFunc(slices.Clone(on.Gains), func(v access.Verb) bool { return slices.Contains(before[p], v) || after[p] == nil })
						on.Loses = slices.DeleteFunc(slices.Clone(on.Loses), func(v access.Verb) bool { return slices.Contains(after[p], v) || before[p] == nil })
					}
					for _, v := range access.VerbsOf(kind) {
						had, has := slices.Contains(before[p], v), slices.Contains(after[p], v)
						if (has && !had) != slices.Contains(on.Gains, v) || (had && !has) != slices.Contains(on.Loses, v) {
							t.Fatalf("%s %+v: %s %s: before %v, after %v, foretold %+v", what, g, p, v, had, has, told)
						}
						if has && !had {
							gained++
						}
						if had && !has {
							lost++
						}
					}
				}
			}
			before := rights()
			told, err := access.WhatIfGiven(ctx, w.Ledger, peopletest.System, g)
			var doc ledger.Doc[access.Grant]
			done := w.Ledger.Write(ctx, peopletest.System, "", func(tx *ledger.Tx) (err error) { doc, err = access.Give(tx, g); return err })
			if (err == nil) != (done == nil) {
				t.Fatalf("foretold %v, done %v", err, done)
			}
			if done != nil {
				return // it is there already
			}
			after := rights()
			compare("giving", told, before, after)
			if told, err = access.WhatIfTakenBack(ctx, w.Ledger, peopletest.System, doc.ID); err != nil {
				t.Fatal(fault.Cause(err))
			}
			if still := rights(); fmt.Sprint(still) != fmt.Sprint(after) {
				t.Fatal("a preview changed something")
			}
			if err := w.Ledger.Write(ctx, peopletest.System, "", func(tx *ledger.Tx) error { return access.TakeBack(tx, doc.ID) }); err != nil {
				t.Fatal(fault.Cause(err))
			}
			compare("taking back", told, after, rights())
		})
		if (gained == 0 || lost == 0) && st.Engine() == store.SQLite && !testing.Short() {
			t.Errorf("%d rights gained, %d lost: the scenes are too plain", gained, lost)
		}
	})
}

// Who may ask, and what he learns of people whom he does not know.
func TestWhoMayAsk(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open(), nouns...)
		north := w.Branch(t, w.Org, "North")
		other := w.Organization(t, "Other Charity")
		sharer := w.Person(t, "Sam Sharer", other, org.Admins)
		hidden := w.Person(t, "Hana Hidden", other, org.Members)
		var site, response string
		w.Write(t, func(tx *ledger.Tx) error {
			d, err := sites.Create(tx, w.Org, "", thing{Branch: north, Word: "private"})
			if err != nil {
				return err
			}
			site = d.ID
			// A response belongs to no branch: it is its survey's.
			survey, err := surveys.Create(tx, w.Org, "", thing{Branch: w.Org})
			if err != nil {
				return err
			}
			round, err := deployments.Create(tx, w.Org, "", thing{Branch: w.Org, Survey: survey.ID, Word: "active", Viewers: []string{"person:" + w.Viewer.ID}})
			if err != nil {
				return err
			}
			r, err := responses.Create(tx, w.Org, "", thing{Survey: survey.ID, Deployment: round.ID, Word: "final"})
			response = r.ID
			return err
		})
		give := func(principal, role string) {
			t.Helper()
			w.Write(t, func(tx *ledger.Tx) error {
				_, err := access.Give(tx, access.Grant{Thing: "site:" + site, Principal: principal, Role: role})
				return err
			})
		}
		give("person:"+sharer.ID, "admin")
		give("branch:"+other, "view")
		w.Read(t, func(r *ledger.Reader) error {
			at, err := access.Describe(r, "site", site)
			if err != nil {
				return err
			}
			for name, c := range map[string]struct {
				asker ledger.Actor
				about string
				code  string
			}{
				"an admin about anybody":              {w.Admin, "person:" + w.Viewer.ID, ""},
				"an admin about a named collaborator": {w.Admin, "person:" + sharer.ID, ""},
				"an admin about another's people":     {w.Admin, "person:" + hidden.ID, "account.missing"},
				"an admin about nobody":               {w.Admin, "person:" + site, "account.missing"},
				"an admin about a valve":              {w.Admin, "valve:1", "access.who"},
				"a viewer about himself":              {w.Viewer, "", ""},
				"a viewer about others":               {w.Viewer, "person:" + w.Admin.ID, "access.ask"},
				"an outsider about himself":           {w.Outside, "", "site.missing"},
				"a sharer about his own people":       {sharer, "person:" + hidden.ID, ""},
				"a sharer about strangers":            {sharer, "person:" + w.Member.ID, "account.missing"},
			} {
				_, err := access.Why(r, c.asker, c.about, access.See, at)
				if code := codeOf(err); code != c.code {
					t.Errorf("%s: %q, want %q (%v)", name, code, c.code, err)
				}
			}
			if _, err := access.Who(r, w.Viewer, access.See, at, ""); codeOf(err) != "access.ask" {
				t.Errorf("a viewer asks who: %v", err)
			}
			part, err := access.Describe(r, "response", response)
			if err != nil {
				return err
			}
			if _, err := access.Who(r, w.Admin, access.See, part, ""); err != nil {
				t.Errorf("an admin asks who sees a response to his survey: %v", err)
			}
			if _, err := access.Who(r, w.Viewer, access.See, part, ""); codeOf(err) != "access.ask" {
				t.Errorf("a viewer asks who sees a response: %v", err)
			}
			if _, err := access.Who(r, w.Outside, access.See, at, ""); codeOf(err) != "site.missing" {
				t.Errorf("an outsider asks who: %v", err)
			}
			if _, err := access.Who(r, w.Admin, access.Approve, at, ""); codeOf(err) != "access.verb" {
				t.Errorf("who may approve a site: %v", err)
			}
			a, err := access.Who(r, w.Admin, access.See, at, "")
			if err != nil {
				return err
			}
			var names []string
			for _, p := range a.People {
				names = append(names, p.Name)
			}
			if got := strings.Join(names, ", "); got != "Amina Admin, Moses Manager, Sam Sharer, Vera Viewer" {
				t.Errorf("the admin is told of %s", got)
			}
			if !slices.ContainsFunc(a.Groups, func(s access.Source) bool { return s.Principal == "branch:"+other && s.Hidden && s.Count == 1 }) {
				t.Errorf("groups: %+v", a.Groups)
			}
			x, err := access.Why(r, w.Admin, "person:"+w.Manager.ID, access.Edit, at)
			if want := "Moses Manager → managers of Test Water Office → reaches down to Test Water Office > North → manages the site Chipho → managers of its branch may edit it"; err != nil || !x.Allowed || x.Chains[0].Text != want {
				t.Errorf("why: %+v, %v\nwant %s", x, err, want)
			}
			x, err = access.Why(r, w.Admin, "person:"+w.Member.ID, access.Edit, at)
			if err != nil || x.Allowed || len(x.Needed) == 0 {
				t.Errorf("why not: %+v, %v", x, err)
			}
			return nil
		})
		told, err := access.WhatIfGiven(ctx, w.Ledger, w.Admin, access.Grant{Thing: "site:" + site, Principal: "branch:" + other, Role: "edit"})
		if err != nil || told.Others == nil || len(told.People) != 0 && told.People[0].Name != "Sam Sharer" {
			t.Errorf("what if the others may edit: %+v, %v", told, err)
		}
		if _, err := access.WhatIfGiven(ctx, w.Ledger, w.Viewer, access.Grant{Thing: "site:" + site, Principal: "everyone", Role: "edit"}); fault.KindOf(err) != fault.Denied {
			t.Errorf("a viewer tries a grant: %v", err)
		}
		if _, err := access.WhatIfGiven(ctx, w.Ledger, w.Outside, access.Grant{Thing: "site:" + site, Principal: "everyone", Role: "edit"}); codeOf(err) != "site.missing" {
			t.Errorf("an outsider tries a grant: %v", err)
		}
		if _, err := access.WhatIfGiven(ctx, w.Ledger, w.Admin, access.Grant{Thing: "site:" + site, Principal: "branch:" + other, Role: "view"}); codeOf(err) != "access_grant.taken" {
			t.Errorf("a grant that is there already: %v", err)
		}
	})
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return fault.From(err).Code
}
