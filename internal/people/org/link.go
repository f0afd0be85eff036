package org

import (
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/account"
)

// MakeLink makes the server's own sign-in link for a person inside a transaction,
// in an organization of his, or in none (""). The caller has decided that the
// actor may.
func MakeLink(tx *ledger.Tx, organization string, person ledger.Doc[account.Account], token account.Token) error {
	_, err := Invitations.Create(tx, organization, "", Invitation{
		Branch: organization, Account: person.ID, Name: person.Body.Name, Email: person.Body.Email,
		Token: token.Hash(), Expires: tx.Now.Add(linkLife),
	})
	return err
}
