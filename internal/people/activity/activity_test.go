package activity_test

import (
	"context"
	"testing"

	"github.com/qanat-water/qanat/internal/base/id"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/activity"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

func TestAnActIsShownAsFarAsItIsTheOrganizations(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open())
		other := id.New()
		w.Write(t, func(tx *ledger.Tx) error {
			if _, err := org.Branches.Create(tx, other, other, org.Branch{Name: "Somebody else's office"}); err != nil {
				return err
			}
			_, err := org.Teams.Create(tx, w.Org, "", org.Team{Branch: w.Org, Name: "Our team"})
			return err
		})
		service := &activity.Service{Ledger: w.Ledger}
		acts, _, err := service.Acts(context.Background(), w.Admin, activity.Query{Org: w.Org, Limit: 1})
		if err != nil || len(acts) != 1 {
			t.Fatal(acts, err)
		}
		a := acts[0]
		if a.Title != "Our team" || a.Entry.Org != w.Org || a.Entries != 1 || len(a.Kinds) != 1 || a.Kinds["team"] != 1 {
			t.Errorf("the act shows %q of %s, %d entries, kinds %v", a.Title, a.Entry.Org, a.Entries, a.Kinds)
		}
		if _, _, err := service.Acts(context.Background(), w.Admin, activity.Query{Org: other}); err == nil {
			t.Error("the other organization's activity is shown")
		}
	})
}
