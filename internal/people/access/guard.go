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

var exportGuards []func(r *ledger.Reader, actor ledger.Actor, t Thing) error

// GuardExport adds a rule that can forbid an export to somebody who has the right
// to: an organization's policy. It is called when packages are initialized.
func GuardExport(guard func(r *ledger.Reader, actor ledger.Actor, t Thing) error) bool {
	exportGuards = append(exportGuards, guard)
	return true
}

// RequireExport is nil when the actor may export the thing: by his rights and by
// every guard. Every export asks it.
func RequireExport(r *ledger.Reader, actor ledger.Actor, t Thing) error {
	if err := Require(r, actor, Export, t); err != nil {
		return err
	}
	for _, guard := range exportGuards {
		if err := guard(r, actor, t); err != nil {
			return err
		}
	}
	return nil
}
