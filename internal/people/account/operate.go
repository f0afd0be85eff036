package account

import (
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
)

// What server administrators do to accounts, inside a transaction. The caller
// has decided that the actor may.

// Disable ends an account with all its sessions. Enable takes it back.
func Disable(tx *ledger.Tx, account string) error {
	if err := setState(tx, account, Ended); err != nil {
		return err
	}
	return endSessions(tx, account, "")
}

// Enable lets an ended account sign in again. Its sessions stay ended.
func Enable(tx *ledger.Tx, account string) error { return setState(tx, account, Active) }

func setState(tx *ledger.Tx, account, state string) error {
	_, err := Accounts.Update(tx, account, 0, func(a *Account) error { a.State = state; return nil })
	return err
}

// EndSessions ends all sessions of an account but one ("": all), and counts them.
func EndSessions(tx *ledger.Tx, account, except string) (int, error) {
	var live int
	if _, err := tx.Row([]any{&live}, "SELECT count(*) FROM session WHERE account = $1 AND id <> $2", account, except); err != nil {
		return 0, err
	}
	return live, endSessions(tx, account, except)
}

// FactorsOf names the second factors that an account has, and tells whether it has a password.
func FactorsOf(r *ledger.Reader, account string) (factors []string, password bool, err error) {
	factors = []string{}
	c, err := Credentials.Get(r, CredentialID(account))
	if fault.KindOf(err) == fault.NotFound && err != nil {
		return factors, false, nil
	}
	if c.Body.TOTP != nil {
		factors = append(factors, "authenticator app")
	}
	if err != nil {
		return factors, false, err
	}
	some, err := hasPasskey(r, account)
	if some {
		factors = append(factors, "passkey")
	}
	var keys int
	if _, err := r.Row([]any{&keys}, "SELECT count(*) FROM passkey WHERE account = $1", account); err != nil {
		return nil, false, err
	}
	if keys > 0 {
		factors = append(factors, "passkey")
	}
	if len(c.Body.Recovery) > 0 {
		factors = append(factors, "recovery codes")
	}
	return factors, c.Body.Password != "", err
}

// LastSignIn is when an account has signed in last; zero: never, or before it was written down.
func LastSignIn(r *ledger.Reader, account string) (time.Time, error) {
	var last int64
	found, err := r.Row([]any{&last}, "SELECT made FROM security_event WHERE account = $1 AND what = 'sign-in' ORDER BY made DESC LIMIT 1", account)
	if err != nil || !found {
		return time.Time{}, err
	}
	return time.UnixMilli(last).UTC(), nil
}
