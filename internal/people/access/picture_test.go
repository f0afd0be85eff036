package access_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

// site makes a private site in a branch.
func (c *cast) site(t testing.TB, branch string) string {
	t.Helper()
	var made string
	c.Write(t, func(tx *ledger.Tx) error {
		d, err := sites.Create(tx, c.Org, "", thing{Branch: branch, Word: "private"})
		made = d.ID
		return err
	})
	return made
}

func sees(t testing.TB, r *ledger.Reader, actor ledger.Actor, site string) bool {
	t.Helper()
	thing, err := access.Describe(r, "site", site)
	if err != nil {
		t.Fatal(err)
	}
	return access.Require(r, actor, access.See, thing) == nil
}

// What is taken back is gone at the next question: in the transaction that takes
// it back, in the snapshots after it, and not in those before it.
func TestTakenBackAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		c := newCast(t, open())
		south := c.Branch(t, c.Org, "South")
		ward := c.Branch(t, south, "Ward")
		who := c.Person(t, "Noor", "", "")
		for _, test := range []struct {
			name       string
			give, take func(tx *ledger.Tx, at *string) error
		}{
			{"a grant", func(tx *ledger.Tx, at *string) error {
				d, err := access.Give(tx, access.Grant{Thing: "site:" + *at, Principal: "person:" + who.ID, Role: "view"})
				*at = d.ID
				return err
			}, func(tx *ledger.Tx, at *string) error { return access.TakeBack(tx, *at) }},
			{"a membership above", func(tx *ledger.Tx, at *string) error {
				d, err := org.Memberships.Create(tx, c.Org, "", org.Membership{Person: who.ID, Branch: south, Group: org.Viewers})
				*at = d.ID
				return err
			}, func(tx *ledger.Tx, at *string) error { return org.Memberships.Delete(tx, *at, 0) }},
			{"the place of a branch", func(tx *ledger.Tx, at *string) error {
				_, err := org.Memberships.Create(tx, c.Org, "", org.Membership{Person: who.ID, Branch: south, Group: org.Managers})
				return err
			}, func(tx *ledger.Tx, at *string) error {
				_, err := org.Branches.Update(tx, ward, 0, func(b *org.Branch) error { b.Parent = c.north; return nil })
				return err
			}},
			{"an account", func(tx *ledger.Tx, at *string) error {
				_, err := org.Memberships.Create(tx, c.Org, "", org.Membership{Person: who.ID, Branch: c.north, Group: org.Viewers})
				return err
			}, func(tx *ledger.Tx, at *string) error {
				_, err := account.Accounts.Update(tx, who.ID, 0, func(a *account.Account) error { a.State = account.Ended; return nil })
				return err
			}},
		} {
			site := c.site(t, ward)
			now := func() (is bool) {
				c.Read(t, func(r *ledger.Reader) error { is = sees(t, r, who, site); return nil })
				return is
			}
			if now() {
				t.Errorf("%s: seen before it is given", test.name)
			}
			at := site
			c.Write(t, func(tx *ledger.Tx) error {
				if err := test.give(tx, &at); err != nil {
					return err
				}
				if !sees(t, tx.Reader, who, site) {
					t.Errorf("%s: not seen in the transaction that gives it", test.name)
				}
				return nil
			})
			if !now() {
				t.Errorf("%s: not seen after it was given", test.name)
			}
			no := errors.New("no")
			err := c.Ledger.Write(ctx, peopletest.System, "", func(tx *ledger.Tx) error {
				if err := test.take(tx, &at); err != nil {
					return err
				}
				if sees(t, tx.Reader, who, site) {
					t.Errorf("%s: seen in the transaction that takes it back", test.name)
				}
				return no
			})
			if !errors.Is(err, no) || !now() {
				t.Errorf("%s: gone although nothing was taken back: %v", test.name, err)
			}
			c.Read(t, func(old *ledger.Reader) error {
				if !sees(t, old, who, site) { // the snapshot begins here
					t.Errorf("%s: not seen in a snapshot", test.name)
				}
				c.Write(t, func(tx *ledger.Tx) error { return test.take(tx, &at) })
				if now() {
					t.Errorf("%s: seen after it was taken back", test.name)
				}
				if !sees(t, old, who, site) {
					t.Errorf("%s: a snapshot answers from after its time", test.name)
				}
				return nil
			})
		}
	})
}

// Another process writes to the same database all the time: every snapshot of this
// one decides by what stands in it.
func TestTakenBackByAnotherProcess(t *testing.T) {
	open := storetest.Postgres(t)
	c := newCast(t, open())
	elsewhere, err := ledger.Open(ctx, ledger.Config{
		Store: open(), Vault: c.Vault, Clock: c.Clock, Nouns: append(peopletest.Nouns(), nouns...), Origin: "test.example/qanat",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { elsewhere.Close() })
	who := c.Person(t, "Noor", "", "")
	site := c.site(t, c.north)
	stop, writes := make(chan struct{}), atomic.Int64{}
	var done sync.WaitGroup
	done.Go(func() {
		grant := ""
		for {
			select {
			case <-stop:
				return
			default:
			}
			err := elsewhere.Write(context.Background(), peopletest.System, "", func(tx *ledger.Tx) error {
				if grant != "" {
					err := access.TakeBack(tx, grant)
					return err
				}
				d, err := access.Give(tx, access.Grant{Thing: "site:" + site, Principal: "person:" + who.ID, Role: "view"})
				grant = d.ID
				return err
			})
			if err != nil {
				t.Error(err)
				return
			}
			if writes.Add(1)%2 == 0 {
				grant = ""
			}
		}
	})
	// Writes of this process that touch no rights move the picture on between.
	done.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				c.site(t, c.north)
			}
		}
	})
	asked, seen := 0, 0
	for until := time.Now().Add(time.Second); time.Now().Before(until); asked++ {
		c.Read(t, func(r *ledger.Reader) error {
			var stands int
			if _, err := r.Row([]any{&stands}, "SELECT count(*) FROM access_grant WHERE subject = $1", site); err != nil {
				return err
			}
			for range 3 {
				if is := sees(t, r, who, site); is != (stands == 1) {
					t.Errorf("question %d after %d changes: seen is %v, and %d grants stand", asked, writes.Load(), is, stands)
				}
			}
			seen += stands
			return nil
		})
	}
	close(stop)
	done.Wait()
	if seen == 0 || seen == asked {
		t.Errorf("%d of %d questions found a grant: nothing changed between them", seen, asked)
	}
	t.Logf("%d questions, %d of them with the grant, %d changes elsewhere", asked, seen, writes.Load())
}
