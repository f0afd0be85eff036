package test

import (
	"encoding/json"
	"errors"
	"iter"
	"net/url"
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

// decode reads an answer into out; what is no success fails the test. It may be called from any goroutine.
func decode(t *testing.T, answer *rig.Answer, out any) bool {
	if answer.Status >= 300 {
		t.Errorf("%d: %.300s", answer.Status, answer.Body)
		return false
	}
	if err := json.Unmarshal(answer.Body, out); err != nil {
		t.Errorf("%v in %.300s", err, answer.Body)
		return false
	}
	return true
}

// pages goes through all pages of a list.
func pages[T any](t *testing.T, c *rig.Client, path string) iter.Seq[rig.Doc[T]] {
	return func(yield func(rig.Doc[T]) bool) {
		t.Helper()
		for cursor := ""; ; {
			page := rig.Get[rig.List[rig.Doc[T]]](c, path+"&cursor="+url.QueryEscape(cursor))
			for _, doc := range page.Items {
				if !yield(doc) {
					return
				}
			}
			if cursor = page.Next; cursor == "" {
				return
			}
		}
	}
}
