package access_test

import (
	"fmt"
	"testing"

	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

// BenchmarkExplain asks who may edit a site of an organization of 2,000 people,
// and tries a grant to a group of 200: the writer is held for each turn of the trial.
func BenchmarkExplain(b *testing.B) {
	storetest.EachBench(b, func(b *testing.B, open func() *store.Store) {
		w := peopletest.New(b, open(), nouns...)
		branch := w.Branch(b, w.Org, "North")
		var site string
		for n := 0; n < 2000; n += 100 {
			w.Write(b, func(tx *ledger.Tx) error {
				for i := range 100 {
					a, err := account.Create(tx, fmt.Sprintf("p%d@example.org", n+i), fmt.Sprint("Person ", n+i), account.Hashed{})
					if err != nil {
						return err
					}
					m := org.Membership{Person: a.ID, Branch: w.Org, Group: org.Managers}
					if n < 200 {
						m = org.Membership{Person: a.ID, Branch: branch, Group: org.Members}
					}
					if _, err := org.Memberships.Create(tx, w.Org, "", m); err != nil {
						return err
					}
				}
				if n > 0 {
					return nil
				}
				d, err := sites.Create(tx, w.Org, "", thing{Branch: w.Org, Word: "private"})
				site = d.ID
				return err
			})
		}
		b.Run("who", func(b *testing.B) {
			for b.Loop() {
				w.Read(b, func(r *ledger.Reader) error {
					t, err := access.Describe(r, "site", site)
					if err != nil {
						return err
					}
					a, err := access.Who(r, w.Admin, access.Edit, t, "")
					if a.Count < 1800 {
						b.Fatalf("%d people", a.Count)
					}
					return err
				})
			}
		})
		b.Run("what-if", func(b *testing.B) {
			for b.Loop() {
				e, err := access.WhatIfGiven(ctx, w.Ledger, w.Admin, access.Grant{Thing: "site:" + site, Principal: "group:" + branch + "/members", Role: "edit"})
				if err != nil || e.Count < 200 {
					b.Fatalf("%d people, %v", e.Count, err)
				}
			}
		})
	})
}
