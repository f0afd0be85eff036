package access_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/id"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

// crowd is a large organization: 200 branches, 1,000 people with 3,000
// memberships, 3,000 sites with 10,000 grants, 1,000 responses of 20 deployments.
type crowd struct {
	*peopletest.World
	actors   []ledger.Actor
	branches []string
	things   []access.Thing
}

func newCrowd(t testing.TB, s *store.Store) *crowd {
	c := &crowd{World: peopletest.New(t, s, nouns...)}
	draw := rand.New(rand.NewPCG(1, 2)) // the same organization at every run
	pick := func(from []string) string { return from[draw.IntN(len(from))] }
	var people, siteIDs, responseIDs []string
	step := func(n int, fn func(tx *ledger.Tx, i int) error) {
		for from := 0; from < n; from += 500 {
			c.Write(t, func(tx *ledger.Tx) error {
				for i := from; i < min(n, from+500); i++ {
					if err := fn(tx, i); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	c.branches = []string{c.Org}
	step(200, func(tx *ledger.Tx, i int) error {
		d, err := org.Branches.Create(tx, c.Org, "", org.Branch{Name: fmt.Sprint("Branch ", i), Parent: c.branches[i/5]}) // five to a branch: four levels
		c.branches = append(c.branches, d.ID)
		return err
	})
	step(1000, func(tx *ledger.Tx, i int) error {
		a, err := account.Create(tx, fmt.Sprintf("person%d@example.org", i), fmt.Sprint("Person ", i), account.Hashed{})
		people = append(people, a.ID)
		c.actors = append(c.actors, ledger.Actor{ID: a.ID, Kind: "account"})
		return err
	})
	joined := map[org.Membership]bool{}
	step(3000, func(tx *ledger.Tx, _ int) error {
		m := org.Membership{Person: pick(people), Branch: pick(c.branches[1:]), Group: pick(org.Groups)}
		if joined[m] {
			return nil
		}
		joined[m] = true
		_, err := org.Memberships.Create(tx, c.Org, "", m)
		return err
	})
	step(3000, func(tx *ledger.Tx, _ int) error {
		d, err := sites.Create(tx, c.Org, "", thing{Branch: pick(c.branches), Word: pick([]string{"public", "protected", "private"})})
		siteIDs = append(siteIDs, d.ID)
		return err
	})
	given := map[access.Grant]bool{}
	step(10_000, func(tx *ledger.Tx, _ int) error {
		g := access.Grant{Thing: "site:" + pick(siteIDs), Principal: pick([]string{"person:" + pick(people), "branch:" + pick(c.branches), "group:" + pick(c.branches) + "/" + pick(org.Groups)}), Role: pick(access.GrantRoles("site"))}
		if given[g] {
			return nil
		}
		given[g] = true
		_, err := access.Grants.Create(tx, c.Org, "", g)
		return err
	})
	c.Write(t, func(tx *ledger.Tx) error {
		for range 20 {
			at := pick(c.branches)
			survey, err := surveys.Create(tx, c.Org, "", thing{Branch: at})
			if err != nil {
				return err
			}
			list := func(n int) (l []string) {
				for range n {
					l = append(l, "person:"+pick(people))
				}
				return append(l, "branch:"+pick(c.branches))
			}
			d, err := deployments.Create(tx, c.Org, "", thing{Branch: at, Survey: survey.ID, Word: "active", Enumerators: list(20), Approvers: list(3), Viewers: list(5), Managers: list(2)})
			if err != nil {
				return err
			}
			for range 50 {
				r, err := responses.Create(tx, c.Org, "", thing{Branch: at, Survey: survey.ID, Deployment: d.ID, Word: pick([]string{"draft", "pending", "rejected", "final"}), Owner: pick(people)})
				if err != nil {
					return err
				}
				responseIDs = append(responseIDs, r.ID)
			}
		}
		return nil
	})
	c.Read(t, func(r *ledger.Reader) error {
		for kind, ids := range map[string][]string{"site": siteIDs, "response": responseIDs} {
			for _, id := range ids {
				thing, err := access.Describe(r, kind, id)
				if err != nil {
					return err
				}
				c.things = append(c.things, thing)
			}
		}
		return nil
	})
	return c
}

// BenchmarkDecide asks about random things for random people of a large
// organization, who are not read before. memory is how it is asked, snapshot the
// first question of a new snapshot, and sql the same question where the picture in
// memory does not count: in a transaction that has itself changed who belongs where.
func BenchmarkDecide(b *testing.B) {
	storetest.EachBench(b, func(b *testing.B, open func() *store.Store) {
		c := newCrowd(b, open())
		verbs := []access.Verb{access.See, access.See, access.Edit, access.Delete}
		ask := func(r *ledger.Reader) time.Duration {
			actor, thing, verb := c.actors[rand.IntN(len(c.actors))], c.things[rand.IntN(len(c.things))], verbs[rand.IntN(len(verbs))]
			from := time.Now()
			_ = access.Require(r, actor, verb, thing)
			return time.Since(from)
		}
		report := func(b *testing.B, took []time.Duration) {
			slices.Sort(took)
			var sum time.Duration
			for _, d := range took {
				sum += d
			}
			b.ReportMetric(float64(sum.Nanoseconds())/float64(len(took)), "ns/decision")
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
			b.ReportMetric(0, "ns/op")
		}
		b.Run("memory", func(b *testing.B) {
			c.Read(b, func(r *ledger.Reader) error {
				var took []time.Duration
				for b.Loop() {
					took = append(took, ask(r))
				}
				report(b, took)
				return nil
			})
		})
		b.Run("snapshot", func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				if err := c.Ledger.Read(context.Background(), func(r *ledger.Reader) error { took = append(took, ask(r)); return nil }); err != nil {
					b.Fatal(err)
				}
			}
			report(b, took)
		})
		b.Run("sql", func(b *testing.B) {
			c.Write(b, func(tx *ledger.Tx) error {
				if _, err := account.Create(tx, id.New()+"@example.org", "Newly come", account.Hashed{}); err != nil {
					return err
				}
				var took []time.Duration
				for b.Loop() {
					took = append(took, ask(tx.Reader))
				}
				report(b, took)
				return nil
			})
		})
	})
}
