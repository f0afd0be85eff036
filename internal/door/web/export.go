package web

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
)

// maxExports is how many archives are made at once. Each holds one of the
// database's few readers for as long as its client takes to download it, and the
// others must have theirs.
const (
	maxExports      = 2
	maxExportsOfOne = 1
)

// export streams the archive while it is made. What fails in the middle cuts the
// connection: half an archive must not look like a whole one.
func (s *server) export(ctx context.Context, actor ledger.Actor, in *ByID) (*huma.StreamResponse, error) {
	free, ok := s.exports.Take(actor.ID)
	if !ok {
		return nil, fault.New(fault.TooMany, "export.busy", "Other archives are being downloaded from this server").After(time.Minute).WithMend("Try again in some minutes")
	}
	if err := s.Archive.Begin(ctx, actor, in.ID, ""); err != nil {
		free()
		return nil, err
	}
	name := "qanat-" + s.Ledger.Now().UTC().Format("2006-01-02") + ".zip"
	return &huma.StreamResponse{Body: func(c huma.Context) {
		defer free()
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
