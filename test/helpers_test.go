package test

import (
	"errors"
	"testing"

	"github.com/qanat-water/qanat/test/rig"
)

// asProblem tells whether an error is a refusal of the server, and which.
func asProblem(err error, p **rig.Problem) bool { return errors.As(err, p) }

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
