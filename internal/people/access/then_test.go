package access_test

import (
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// TestGrantsOfThePast: the grants that were on a thing, told to whom they would be told today.
func TestGrantsOfThePast(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		c := newCast(t, open())
		id := c.things["site public"]
		told := func(what, who string, at time.Time, want int) {
			t.Helper()
			c.Read(t, func(r *ledger.Reader) error {
				thing, grants, err := access.OnAt(r, c.people[who], "site", id, at)
				if want < 0 {
					if err == nil || fault.KindOf(err) != fault.NotFound {
						t.Errorf("%s: %s is told of %d grants, %v, want nothing", what, who, len(grants), err)
					}
					return nil
				}
				if err != nil || len(grants) != want || thing.ID != id {
					t.Errorf("%s: %s is told of %d grants, %v, want %d", what, who, len(grants), err, want)
				}
				return nil
			})
		}
		at := c.Ledger.Now()
		c.Clock.Advance(time.Hour)
		c.Write(t, func(tx *ledger.Tx) error {
			thing, err := access.Describe(tx.Reader, "site", id)
			if err != nil {
				return err
			}
			grants, err := access.On(tx.Reader, tx.Actor, thing)
			if err != nil {
				return err
			}
			for _, g := range grants {
				if g.Body.Principal != "person:"+c.people["view"].ID {
					if err := access.TakeBack(tx, g.ID); err != nil {
						return err
					}
				}
			}
			return nil
		})
		later := c.Ledger.Now()
		c.Clock.Advance(time.Hour)
		for who, want := range map[string][2]int{"org member": {3, 1}, "branch admin": {3, 1}, "view": {1, 1}, "edit": {1, 0}, "outsider": {0, 0}} {
			told("before they were taken back", who, at, want[0])
			told("after", who, later, want[1])
		}
		told("before it was made", "branch admin", at.Add(-time.Hour), -1)
		set := func(word string) {
			c.Write(t, func(tx *ledger.Tx) error {
				_, err := sites.Update(tx, id, 0, func(b *thing) error { b.Word = word; return nil })
				return err
			})
		}
		set("private")
		told("private since", "outsider", at, -1)
		told("private since, and the grant taken back", "edit", at, -1)
		told("private since", "view", at, 1)
		told("private since", "branch admin", at, 3)
		c.Clock.Advance(time.Hour)
		hidden := c.Ledger.Now()
		c.Clock.Advance(time.Hour)
		set("public")
		told("private then", "outsider", hidden, -1)
		c.Read(t, func(r *ledger.Reader) error {
			for _, kind := range []string{"survey", "account", "nothing"} {
				if _, _, err := access.OnAt(r, c.people["org admin"], kind, id, at); err == nil || fault.KindOf(err) != fault.NotFound {
					t.Errorf("a site as a %s: %v", kind, err)
				}
			}
			return nil
		})
	})
}
