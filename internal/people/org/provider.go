package org

import (
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/account"
)

// Whom a sign-in provider brings joins as its organization has said, never as an admin.
var _ = account.JoinBy(func(tx *ledger.Tx, organization, branch, group, person string) error {
	if group == Admins {
		group = Members
	}
	_, err := Memberships.Create(tx, organization, "", Membership{Person: person, Branch: branch, Group: group})
	return err
})
