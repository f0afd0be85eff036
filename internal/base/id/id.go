// Package id makes and checks identifiers: UUIDs of version 7 (RFC 9562) in
// their text form.
//
// They are ordered by time of making, so that what is written together stands
// together on disk, and unguessable enough not to collide; they are no secrets.
package id

import "github.com/google/uuid"

// New makes an identifier. Two made in one process sort in the order they were made.
func New() string {
	return uuid.Must(uuid.NewV7()).String()
}

// Valid tells whether s is an identifier in canonical form. Any UUID version
// will do: phones and gateways make their own.
func Valid(s string) bool {
	if len(s) != 36 {
		return false
	}
	u, err := uuid.Parse(s)
	return err == nil && u.String() == s
}
