package reading

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/qanat-water/qanat/internal/base/fault"
)

// Value is one measured value of a channel.
type Value struct {
	Channel string
	TS      int64 // milliseconds since 1970, UTC
	Value   float64
	Unit    string // as the device names it, "" when it does not
}

// Limits bound what one message may say.
type Limits struct {
	Values int           // values in a message
	Skew   time.Duration // how far ahead of the server's clock a time may be
}

// DefaultLimits are those of the doors.
var DefaultLimits = Limits{Values: 1000, Skew: 5 * time.Minute}

// earliest refuses times before 2000-01-01: seconds sent as milliseconds, or a clock that was never set.
const earliest = 946_684_800_000

// channelLimit is the longest channel name.
const channelLimit = 64

func validChannel(name string) bool {
	if name == "" || len(name) > channelLimit {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-') {
			return false
		}
	}
	return true
}

// check judges one value; place says where in the message it stands.
func (p *Parser) check(v *Value, place func() string) error {
	switch {
	case !validChannel(v.Channel):
		return refuse("reading.channel", place(), fmt.Sprintf("The channel name %.70q is not valid", v.Channel),
			"Use 1 to 64 letters, digits, dots, dashes and underscores")
	case math.IsNaN(v.Value) || math.IsInf(v.Value, 0):
		return refuse("reading.value", place(), "The value is not a finite number", "Leave out what was not measured")
	case v.TS < earliest:
		return refuse("reading.time", place(), fmt.Sprintf("The time %d is before the year 2000", v.TS),
			"Send milliseconds since 1970 in UTC, or leave the time out to mean now")
	case v.TS > p.now.Add(p.limits.Skew).UnixMilli():
		return refuse("reading.future", place(), fmt.Sprintf("The time is %s ahead of the server's", time.UnixMilli(min(v.TS, 1<<53)).Sub(p.now).Round(time.Second)),
			"Set the device's clock (NTP), or leave the time out to mean now")
	case len(v.Unit) > channelLimit || strings.ContainsFunc(v.Unit, unicode.IsControl):
		return refuse("reading.unit", place(), "The unit is too long or not printable", "Use at most 64 characters")
	}
	if v.Value == 0 {
		v.Value = 0 // one zero: -0 would count as a correction of it
	}
	return nil
}

func refuse(code, place, message, mend string) error {
	return fault.New(fault.Invalid, code, "The message was refused").At(place, message, mend)
}

// stateLimit is the longest state a device may send.
const stateLimit = 8 << 10

// ParseState reads what a device says of itself: a JSON object.
func ParseState(kind string, payload []byte) (State, error) {
	const mend = `Send a JSON object, such as {"battery":87,"firmware":"1.4.2"}, of at most 8 KiB`
	if len(payload) > stateLimit {
		return State{}, refuse("reading.state", "the message", fmt.Sprintf("The message has %d bytes", len(payload)), mend)
	}
	s := &scanner{in: payload}
	if s.peek() != '{' {
		return State{}, refuse("reading.state", "byte "+strconv.Itoa(s.at), "This is no JSON object", mend)
	}
	if err := s.skip(0); err != nil {
		return State{}, err
	}
	if s.peek(); s.at < len(payload) {
		return State{}, s.broken("There is something after the end of the message")
	}
	return State{Kind: kind, Body: string(payload)}, nil
}
