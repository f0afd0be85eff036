package web

import (
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
)

// How many lists of the past are made at once. Each opens all that has changed
// since, up to a hundred thousand records.
const (
	maxPasts      = 8
	maxPastsOfOne = 4
)

// past takes a place for a list as of a moment; free gives it back. A list of now needs none.
func (s *server) past(actor ledger.Actor, at time.Time) (free func(), err error) {
	if at.IsZero() {
		return func() {}, nil
	}
	free, ok := s.pasts.Take(actor.ID)
	if !ok {
		return nil, fault.New(fault.TooMany, "at.busy", "Other lists of the past are being made").After(time.Second).WithMend("Try again in a moment")
	}
	return free, nil
}

// AsOf asks for what was, instead of what is. Links are followed with the same
// moment; names of other things are those of today.
type AsOf struct {
	At string `query:"at" maxLength:"40" doc:"a time (RFC 3339) in the past: as it stood then, as far as you may see it today; empty: now"`
}

// moment is the time that is asked for; zero: now.
func (s *server) moment(in AsOf) (time.Time, error) {
	if in.At == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, in.At)
	if err != nil {
		return at, fault.Newf(fault.Invalid, "at.unreadable", "%.40q is no time", in.At).
			At("at", "not a time in the form of RFC 3339", "Write it like 2026-03-01T08:00:00Z")
	}
	if at.After(s.Ledger.Now()) {
		return at, fault.New(fault.Invalid, "at.future", "Nobody knows yet how it will stand then").
			At("at", "in the future", "Choose a time in the past, or leave it out for now")
	}
	return at, nil
}
