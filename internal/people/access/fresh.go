package access

import (
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
)

// FreshFor is how long the proof of a second factor counts for what asks for a
// fresh one.
const FreshFor = 10 * time.Minute

// Fresh is nil when the actor has proved a second factor within the last ten
// minutes, or is a job of the server itself. An open browser, or a session that
// was stolen, is not enough for what is hard to take back: whoever calls this
// asks for the factor again. Tokens, phones and devices have none to show.
func Fresh(actor ledger.Actor, now time.Time) error {
	if actor.Kind == "system" {
		return nil
	}
	if age := now.Sub(actor.Factor); !actor.Factor.IsZero() && age >= -time.Minute && age <= FreshFor {
		return nil
	}
	return fault.New(fault.Denied, "session.step-up", "This needs your second factor again").
		WithMend("Give a code of your authenticator app or use a passkey, then try again")
}

// FreshPerson is Fresh for what a program may do as well: its token was made with
// a fresh factor, for the scope that names it.
func FreshPerson(actor ledger.Actor, now time.Time) error {
	if actor.Kind == "token" {
		return nil
	}
	return Fresh(actor, now)
}
