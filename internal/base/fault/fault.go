// Package fault is the one error type that leaves the house.
//
// It guarantees that an error says what went wrong in words for people, where
// (a row, a field, a place in a document) and how to mend it, and that nothing
// internal is shown: any error that is no fault is reported as internal, and
// its text goes to the log only. A kind is what a caller can act on; it is not
// an HTTP status, each door translates it into its own protocol.
//
// It is pure. Who controls it can leak internals through messages, nothing else.
package fault

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind says what a caller can do about an error.
type Kind string

// The kinds. There are few on purpose.
const (
	Invalid         Kind = "invalid"         // the input is wrong: mend it and send it again
	Unauthenticated Kind = "unauthenticated" // say first who you are
	Denied          Kind = "denied"          // you may see it, but not do this
	NotFound        Kind = "not-found"       // there is none, or you may not know of it
	Conflict        Kind = "conflict"        // it has changed, or something else stands in the way
	TooLarge        Kind = "too-large"       // over a limit of size
	TooMany         Kind = "too-many"        // over a limit of rate: wait
	Unavailable     Kind = "unavailable"     // not now: try again
	Internal        Kind = "internal"        // our fault; details are in the log
)

// Detail names one place that is wrong and how to mend it.
type Detail struct {
	Place   string `json:"place" doc:"JSON pointer, or words such as 'row 17, column lat'"`
	Message string `json:"message"`
	Mend    string `json:"mend,omitempty"`
}

// Error is an error for people and programs.
type Error struct {
	Kind    Kind
	Code    string // stable, dotted, for programs: "site.code.taken"
	Message string // a sentence for people
	Mend    string // what to do about it
	Details []Detail
	Wait    time.Duration // when it may go better, if that is known: Retry-After
	cause   error
}

// New makes an error. The message is shown to people: no internals, no secrets.
func New(kind Kind, code, message string) *Error {
	return &Error{Kind: kind, Code: code, Message: message}
}

// Newf is New with a formatted message.
func Newf(kind Kind, code, format string, args ...any) *Error {
	return New(kind, code, fmt.Sprintf(format, args...))
}

// WithMend says how to mend it.
func (e *Error) WithMend(mend string) *Error { e.Mend = mend; return e }

// After says how long to wait before another try.
func (e *Error) After(wait time.Duration) *Error { e.Wait = wait; return e }

// At adds a place that is wrong.
func (e *Error) At(place, message, mend string) *Error {
	e.Details = append(e.Details, Detail{Place: place, Message: message, Mend: mend})
	return e
}

// Because keeps the cause for the log; it is never shown.
func (e *Error) Because(cause error) *Error { e.cause = cause; return e }

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.cause }

// Error is the message with its places and mends on one line. The cause is left
// out: use Cause for the log.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Message)
	for i, d := range e.Details {
		if i == 3 {
			fmt.Fprintf(&b, " (and %d more)", len(e.Details)-i)
			break
		}
		fmt.Fprintf(&b, "; %s: %s", d.Place, d.Message)
		if d.Mend != "" {
			fmt.Fprintf(&b, " (%s)", d.Mend)
		}
	}
	if e.Mend != "" {
		b.WriteString(". ")
		b.WriteString(e.Mend)
	}
	return b.String()
}

// KindOf is the kind of an error; whatever is no fault is internal.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// From is err as a fault. An error that is none becomes "internal", which says nothing.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return New(Internal, "internal", "Something went wrong on the server").
		WithMend("Try again; if it stays, ask the server's administrator to look at the log").Because(err)
}

// Cause is the innermost text for the log: the error with every cause behind it.
func Cause(err error) string {
	var parts []string
	for err != nil {
		parts = append(parts, err.Error())
		var e *Error
		if !errors.As(err, &e) {
			break
		}
		err = e.cause
	}
	return strings.Join(parts, " <- ")
}
