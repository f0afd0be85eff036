package org

import (
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// A membership with an end is a visit of a server administrator under
// break-glass. It never counts as an organization's admin, because it goes away,
// and it cannot be made to last.

// Visit puts a person into a standing group of an organization until a time,
// inside a transaction. The caller has decided that the actor may.
func Visit(tx *ledger.Tx, person, organization, group string, until time.Time) (ledger.Doc[Membership], error) {
	return Memberships.Create(tx, organization, "", Membership{Person: person, Branch: organization, Group: group, Until: until.UTC()})
}

// Overdue are the visits that should have ended.
func Overdue(r *ledger.Reader, now time.Time) ([]ledger.Doc[Membership], error) {
	return Memberships.List(r, "n.until > 0 AND n.until <= $1 ORDER BY n.until LIMIT 500", now.UnixMilli())
}

func untilMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// checkVisit keeps a visit what it was, and the visitor from making admins, or
// himself a member who stays.
func checkVisit(tx *ledger.Tx, before, after *ledger.Doc[Membership]) error {
	if after == nil {
		return nil
	}
	visit := !after.Body.Until.IsZero()
	switch {
	case before != nil && before.Body != after.Body && (visit || !before.Body.Until.IsZero()):
		return fault.New(fault.Invalid, "membership.visit", "A visit under break-glass is ended, not changed").WithMend("End it; give the person a membership of its own if that is meant")
	case visit && before == nil && after.Revision > 1:
		return fault.New(fault.Invalid, "membership.visit", "A visit under break-glass that has ended does not come back").WithMend("A server administrator begins another, with its reason")
	case visit && before == nil && !after.Body.Until.After(tx.Now):
		return fault.New(fault.Invalid, "membership.visit", "A visit ends in the future").At("/until", "in the past", "choose an hour or so")
	case visit:
		return nil
	case tx.Actor.Kind == "account" && after.Body.Person == tx.Actor.ID:
		return access.Visiting(tx, after.Org)
	case before == nil && after.Revision > 1:
		return nil // he undoes that somebody was taken out, such as by a thief: people who were there before
	case after.Body.Group == Admins || before != nil && before.Body.Group == Admins:
		return access.Deciding(tx, after.Org)
	}
	return nil
}
