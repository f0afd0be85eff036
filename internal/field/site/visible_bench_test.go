package site_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/field/site"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

const (
	inBranch = 2_000 // sites
	shown    = 50    // branches whose sites are to be seen
	hidden   = 10
)

// BenchmarkVisible lists 100,000 private sites of 120,000. For the person "hard" they
// are seen through 50 memberships of 2,000 sites each, by branch; for "mix" through
// regions, branches, teams, and grants to him, his team and his branch. all is the
// same page with nothing to filter, as a baseline.
func BenchmarkVisible(b *testing.B) {
	storetest.EachBench(b, func(b *testing.B, open func() *store.Store) {
		w := newWorld(b, open())
		hard, mix, all, some := w.crowd(b)
		for _, who := range []struct {
			name  string
			actor ledger.Actor
			want  int64
		}{{"hard", hard, shown*inBranch + some}, {"mix", mix, shown*inBranch + all}, {"all", peopletest.System, (shown + hidden) * inBranch}} {
			b.Run(who.name+"/page", func(b *testing.B) {
				measure(b, func() error {
					page, err := w.sites.List(ctx, who.actor, site.Filter{Org: w.Org, Sort: "code", Limit: 100})
					if err == nil && (page.Total != who.want || len(page.Items) != 100) {
						err = fmt.Errorf("%d of %d sites, want %d", len(page.Items), page.Total, who.want)
					}
					return err
				})
			})
			b.Run(who.name+"/points", func(b *testing.B) {
				measure(b, func() error {
					p, err := w.sites.Points(ctx, who.actor, site.Filter{Org: w.Org})
					if err == nil && int64(len(p.IDs)) != who.want {
						err = fmt.Errorf("%d points, want %d", len(p.IDs), who.want)
					}
					return err
				})
			})
		}
	})
}

func measure(b *testing.B, fn func() error) {
	var took []time.Duration
	for b.Loop() {
		from := time.Now()
		if err := fn(); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(from))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
	b.ReportMetric(float64(took[0].Microseconds())/1000, "best-ms")
	b.ReportMetric(0, "ns/op")
}

// crowd fills 5 regions of 10 branches each, and 10 branches beside them. all and
// some are how many sites of those beside are granted to mix and to hard.
func (w *world) crowd(b *testing.B) (hard, mix ledger.Actor, all, some int64) {
	b.Helper()
	var regions, branches, teams []string
	for r := range 5 {
		regions = append(regions, w.Branch(b, w.Org, fmt.Sprint("Region ", r)))
		for d := range 10 {
			branches = append(branches, w.Branch(b, regions[r], fmt.Sprint("District ", d)))
		}
	}
	for d := range hidden {
		branches = append(branches, w.Branch(b, w.Org, fmt.Sprint("Elsewhere ", d)))
	}
	var ids [][]string
	for i, branch := range branches {
		var made []string
		for from := 0; from < inBranch; from += 1000 {
			codes, err := w.sites.Codes(ctx, 1000)
			if err != nil {
				b.Fatal(err)
			}
			w.Write(b, func(tx *ledger.Tx) error {
				for n := range 1000 {
					d, err := site.Create(tx, w.Org, "", site.Site{Code: codes[n], Type: "water_point", Branch: branch, Name: fmt.Sprint("Point ", i, " ", n), Privacy: site.Private,
						Location: &site.Location{Lat: float64(i), Lon: 34 + float64(n)/2000}, Status: site.Functional})
					if err != nil {
						return err
					}
					made = append(made, d.ID)
				}
				return nil
			})
		}
		ids = append(ids, made)
	}
	hard, mix = w.Person(b, "Hard", "", ""), w.Person(b, "Mix", "", "")
	w.Write(b, func(tx *ledger.Tx) error {
		join := func(who ledger.Actor, branch, group string) error {
			if group == "team" {
				d, err := org.Teams.Create(tx, w.Org, "", org.Team{Branch: branch, Name: "Team of " + who.Name})
				if err != nil {
					return err
				}
				group = "team:" + d.ID
				teams = append(teams, group)
			}
			_, err := org.Memberships.Create(tx, w.Org, "", org.Membership{Person: who.ID, Branch: branch, Group: group})
			return err
		}
		for i, branch := range branches[:shown] {
			if err := join(hard, branch, []string{org.Viewers, org.Members, "team", org.Managers, org.Admins}[i%5]); err != nil {
				return err
			}
		}
		teams = nil
		for _, region := range regions[:3] {
			if err := join(mix, region, org.Viewers); err != nil {
				return err
			}
		}
		for i, branch := range branches[30:shown] {
			if err := join(mix, branch, []string{org.Viewers, org.Members, "team"}[i%3]); err != nil {
				return err
			}
		}
		for i := range 27 { // on sites of branches where he is not
			to := []string{"person:" + mix.ID, teams[0], "branch:" + branches[30], "group:" + branches[5] + "/viewers"}[i%4]
			if _, err := access.Grants.Create(tx, w.Org, "", access.Grant{Thing: "site:" + ids[shown+i%hidden][i], Principal: to, Role: "view"}); err != nil {
				return err
			}
			if all++; i%4 > 1 { // those to a branch or a group of it reach the other person, too
				some++
			}
		}
		return nil
	})
	return hard, mix, all, some
}
