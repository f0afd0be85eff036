package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/qanat-water/qanat/internal/ledger"
)

const (
	refusalRate = 1.0 / 900 // one in a quarter of an hour of the same attempt of the same actor
	notedBurst  = 100       // of all actors at once, then one a second
)

// noteRefusal writes down that somebody tried to change what he may not: the
// organizations that he belongs to see it under Activity. Attempts that repeat are
// written down once in a while, and a flood of them is cut: what was refused is refused.
func (s *server) noteRefusal(ctx huma.Context, actor ledger.Actor) {
	if e, ok := ctx.Context().Value(requestKey).(*event); !ok || !e.refused || ctx.Method() == http.MethodGet {
		return
	}
	what := ctx.Method() + " " + ctx.Operation().Path
	if ok, _ := s.refused.Allow(actor.ID + " " + what); !ok {
		return
	}
	if ok, _ := s.noted.Allow(""); !ok {
		return
	}
	if err := s.Activity.Refused(context.WithoutCancel(ctx.Context()), actor, what); err != nil {
		s.Log.Error("a refusal was not written down", "error", err)
	}
}
