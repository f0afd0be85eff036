// Package peopletest makes an organization with people for the tests of higher
// floors: a real ledger, real accounts, one person in each standing group.
//
// For tests only; its passwords are cheap to hash and its clock stands.
package peopletest

import (
	"context"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/clock"
	"github.com/qanat-water/qanat/internal/base/id"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/vault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
)

// HashMemory is a cost of password hashes that tests can afford, in KiB.
const HashMemory = 64

// System is the actor that prepares tests.
var System = ledger.System("test")

// World is a ledger with one organization and its people.
type World struct {
	Store    *store.Store
	Vault    *vault.Vault
	Clock    *clock.Manual
	Ledger   *ledger.Ledger
	Accounts *account.Service
	Orgs     *org.Service

	Org                                     string
	Admin, Manager, Viewer, Member, Outside ledger.Actor // Outside belongs to nothing
}

// Nouns are the nouns of floor 2.
func Nouns() []ledger.Kind {
	return append(append(account.Nouns(), org.Nouns()...), &access.Grants)
}

// New opens a ledger with the nouns of people and those given, and makes the organization.
func New(t testing.TB, s *store.Store, nouns ...ledger.Kind) *World {
	t.Helper()
	v, err := vault.New([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	w := &World{Store: s, Vault: v, Clock: clock.NewManual(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC))}
	w.Ledger, err = ledger.Open(context.Background(), ledger.Config{
		Store: s, Vault: v, Clock: w.Clock, Nouns: append(Nouns(), nouns...), Origin: "test.example/qanat",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Ledger.Close() })
	w.Accounts = account.New(account.Config{Ledger: w.Ledger, Vault: v, HashMemory: HashMemory})
	w.Orgs = org.New(w.Ledger, w.Accounts)
	w.Org = w.Organization(t, "Test Water Office")
	w.Admin = w.Person(t, "Amina Admin", w.Org, org.Admins)
	w.Manager = w.Person(t, "Moses Manager", w.Org, org.Managers)
	w.Viewer = w.Person(t, "Vera Viewer", w.Org, org.Viewers)
	w.Member = w.Person(t, "Mary Member", w.Org, org.Members)
	w.Outside = w.Person(t, "Otto Outside", "", "")
	return w
}

// Write writes as the test itself.
func (w *World) Write(t testing.TB, fn func(tx *ledger.Tx) error) {
	t.Helper()
	if err := w.Ledger.Write(context.Background(), System, "prepare", fn); err != nil {
		t.Fatal(err)
	}
}

// Read reads.
func (w *World) Read(t testing.TB, fn func(r *ledger.Reader) error) {
	t.Helper()
	if err := w.Ledger.Read(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

// Organization makes another organization, still without people.
func (w *World) Organization(t testing.TB, name string) string {
	t.Helper()
	organization := id.New()
	w.Write(t, func(tx *ledger.Tx) error {
		_, err := org.Branches.Create(tx, organization, organization, org.Branch{Name: name})
		return err
	})
	return organization
}

// Branch makes a branch under another.
func (w *World) Branch(t testing.TB, parent, name string) string {
	t.Helper()
	var made string
	w.Write(t, func(tx *ledger.Tx) error {
		up, err := org.Branches.Get(tx.Reader, parent)
		if err != nil {
			return err
		}
		b, err := org.Branches.Create(tx, up.Org, "", org.Branch{Name: name, Parent: parent})
		made = b.ID
		return err
	})
	return made
}

// Person makes an account, and puts it into a group of a branch unless that is empty.
func (w *World) Person(t testing.TB, name, branch, group string) ledger.Actor {
	t.Helper()
	actor := ledger.Actor{Kind: "account", Name: name, Door: "test"}
	w.Write(t, func(tx *ledger.Tx) error {
		a, err := account.Create(tx, id.New()+"@example.org", name, account.Hashed{})
		actor.ID = a.ID
		return err
	})
	if branch != "" {
		w.Join(t, actor.ID, branch, group)
	}
	return actor
}

// Join puts a person into a group of a branch.
func (w *World) Join(t testing.TB, person, branch, group string) string {
	t.Helper()
	var made string
	w.Write(t, func(tx *ledger.Tx) error {
		b, err := org.Branches.Get(tx.Reader, branch)
		if err != nil {
			return err
		}
		m, err := org.Memberships.Create(tx, b.Org, "", org.Membership{Person: person, Branch: branch, Group: group})
		made = m.ID
		return err
	})
	return made
}
