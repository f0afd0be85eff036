package access

import "github.com/qanat-water/qanat/internal/ledger"

var grantGuards []func(tx *ledger.Tx, g Grant) error

// GuardGrant adds a rule of a higher floor that can forbid a grant, whichever way
// it is given. It is called when packages are initialized.
func GuardGrant(guard func(tx *ledger.Tx, g Grant) error) bool {
	grantGuards = append(grantGuards, guard)
	return true
}

func (g Grant) guarded(tx *ledger.Tx) error {
	for _, guard := range grantGuards {
		if err := guard(tx, g); err != nil {
			return err
		}
	}
	return nil
}
