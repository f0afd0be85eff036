package web

import (
	"bytes"
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/qanat-water/qanat/internal/field/site"
	"github.com/qanat-water/qanat/internal/ledger"
)

type importUpload struct {
	InOrg
	Branch  string `query:"branch" required:"true" format:"uuid" doc:"branch that the sites belong to"`
	Type    string `query:"type" required:"true" maxLength:"100" doc:"key of their type"`
	Name    string `query:"name" maxLength:"300" doc:"of the file"`
	Privacy string `query:"privacy" enum:",public,protected,private"`
	RawBody []byte `contentType:"text/csv"`
}

func (s *server) importPreview(ctx context.Context, actor ledger.Actor, in *importUpload) (*Body[site.ImportView], error) {
	return body(s.Sites.Preview(ctx, actor, site.NewImport{Org: in.Org, Branch: in.Branch, Type: in.Type, Name: in.Name, Privacy: in.Privacy}, bytes.NewReader(in.RawBody)))
}

func (s *server) imports(ctx context.Context, actor ledger.Actor, in *InOrg) (*Body[Page[site.ImportView]], error) {
	return list(s.Sites.ListImports(ctx, actor, in.Org))
}

func (s *server) importGet(ctx context.Context, actor ledger.Actor, in *ByID) (*Body[site.ImportView], error) {
	return body(s.Sites.GetImport(ctx, actor, in.ID))
}

func (s *server) importErrors(ctx context.Context, actor ledger.Actor, in *ByID) (*huma.StreamResponse, error) {
	if _, err := s.Sites.GetImport(ctx, actor, in.ID); err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		c.SetHeader("Content-Type", "text/csv; charset=utf-8")
		c.SetHeader("Content-Disposition", `attachment; filename="rows-left-out.csv"`)
		c.SetStatus(http.StatusOK)
		if err := s.Sites.ErrorFile(ctx, actor, in.ID, c.BodyWriter()); err != nil {
			panic(http.ErrAbortHandler) // a cut connection is the only way left to say so
		}
	}}, nil
}

type importRunRequest struct {
	ByID
	Body struct {
		Mapping map[string]string `json:"mapping,omitempty" doc:"column to property; absent: as the preview guessed"`
	}
}

func (s *server) importRun(ctx context.Context, actor ledger.Actor, in *importRunRequest) (*Body[site.ImportView], error) {
	return body(s.Sites.Start(ctx, actor, in.ID, in.Body.Mapping))
}

func (s *server) importUndo(ctx context.Context, actor ledger.Actor, in *reasoned) (*Body[site.ImportView], error) {
	view, _, err := s.Sites.UndoImport(ctx, actor, in.ID, in.Body.Reason, nil)
	return body(view, err)
}
