package access

import (
	"slices"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
)

// nothingForPrograms are kinds that a service token cannot be narrowed to: they
// belong to persons, or to the server.
var nothingForPrograms = []string{"account", "session", "server", "security_event", "passkey"}

// Scopes are the verbs and kinds that a service token can be narrowed to, sorted.
func Scopes() (verbs, kinds []string) {
	rules.RLock()
	defer rules.RUnlock()
	for kind, rows := range rules.byKind {
		if slices.Contains(nothingForPrograms, kind) {
			continue
		}
		kinds = append(kinds, kind)
		for _, r := range rows {
			for _, v := range r.May {
				if !slices.Contains(verbs, string(v)) {
					verbs = append(verbs, string(v))
				}
			}
		}
	}
	slices.Sort(verbs)
	slices.Sort(kinds)
	return verbs, kinds
}

// Outside is nil when the transaction's actor is not locked into a workspace of an
// organization. What acts for him there by other rights than his own, such as a
// service token, would see what his workspace hides.
func Outside(tx *ledger.Tx, org string) error {
	s, err := Principals(tx.Reader, tx.Actor)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(s.locks, func(l lock) bool { return l.org == org }) {
		return fault.New(fault.Denied, "workspace.locked", "Who works inside a workspace makes nothing that works outside of it").
			WithMend("Ask an admin of the organization")
	}
	return nil
}
