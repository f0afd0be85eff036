package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
)

// export streams the archive while it is made. What fails in the middle cuts the
// connection: half an archive must not look like a whole one.
func (s *server) export(ctx context.Context, actor ledger.Actor, in *ByID) (*huma.StreamResponse, error) {
	if err := s.Archive.Begin(ctx, actor, in.ID, ""); err != nil {
		return nil, err
	}
	name := "qanat-" + s.Ledger.Now().UTC().Format("2006-01-02") + ".zip"
	return &huma.StreamResponse{Body: func(c huma.Context) {
		c.SetHeader("Content-Type", "application/zip")
		c.SetHeader("Content-Disposition", `attachment; filename="`+name+`"`)
		c.SetStatus(http.StatusOK)
		if err := s.Archive.Write(ctx, in.ID, c.BodyWriter()); err != nil {
			if e, ok := ctx.Value(requestKey).(*event); ok {
				e.err = fault.Cause(err)
			}
			panic(http.ErrAbortHandler)
		}
	}}, nil
}
