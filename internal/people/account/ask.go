package account

import "github.com/qanat-water/qanat/internal/ledger"

// Provider is the second factor of a session that an outside provider has vouched for.
const Provider = "provider"

var factorRules []func(r *ledger.Reader, account string) (bool, error)

// AskOwnFactor adds a rule that wants a second factor of this server from a person,
// whatever an outside provider says. It is called when packages are initialized.
func AskOwnFactor(rule func(r *ledger.Reader, account string) (bool, error)) bool {
	factorRules = append(factorRules, rule)
	return true
}

// factorAsked tells whether a session that has shown this factor must show one of
// this server.
func factorAsked(r *ledger.Reader, account, shown string) (bool, error) {
	if shown != Provider {
		return shown == "", nil
	}
	for _, rule := range factorRules {
		if asked, err := rule(r, account); err != nil || asked {
			return asked, err
		}
	}
	return false, nil
}
