package web

import (
	"bytes"
	"context"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/field/site"
	"github.com/qanat-water/qanat/internal/fleet/device"
	"github.com/qanat-water/qanat/internal/ledger"
)

type siteQuery struct {
	InOrg
	AsOf
	Branch string `query:"branch" maxLength:"40" doc:"with all branches below it"`
	Type   string `query:"type" maxLength:"100"`
	Status string `query:"status" maxLength:"40"`
	Text   string `query:"q" maxLength:"200" doc:"in the name, or the beginning of the code"`
	Box    string `query:"bbox" maxLength:"200" doc:"west,south,east,north in degrees"`
	Sort   string `query:"sort" maxLength:"20" doc:"name, code or changed; with - before it: backwards"`
	Cursor string `query:"cursor" maxLength:"1000"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50"`
}

func (s *server) siteFilter(q *siteQuery) (site.Filter, error) {
	f := site.Filter{Org: q.Org, Branch: q.Branch, Type: q.Type, Status: q.Status, Text: q.Text, Sort: q.Sort, Cursor: q.Cursor, Limit: q.Limit}
	var err error
	if f.At, err = s.moment(q.AsOf); err != nil || q.Box == "" {
		return f, err
	}
	for part := range strings.SplitSeq(q.Box, ",") {
		n, err := strconv.ParseFloat(part, 64)
		if err != nil {
			return f, fault.New(fault.Invalid, "site.bbox", "The box is not four numbers").At("bbox", "not a number", "Send west,south,east,north in degrees")
		}
		f.Box = append(f.Box, n)
	}
	return f, nil
}

func (s *server) sites(ctx context.Context, actor ledger.Actor, in *siteQuery) (*Body[site.Page], error) {
	f, err := s.siteFilter(in)
	if err != nil {
		return nil, err
	}
	free, err := s.past(actor, f.At)
	if err != nil {
		return nil, err
	}
	defer free()
	return body(s.Sites.List(ctx, actor, f))
}

func (s *server) sitePoints(ctx context.Context, actor ledger.Actor, in *siteQuery) (*Body[site.Points], error) {
	f, err := s.siteFilter(in)
	if err != nil {
		return nil, err
	}
	free, err := s.past(actor, f.At)
	if err != nil {
		return nil, err
	}
	defer free()
	return body(s.Sites.Points(ctx, actor, f))
}

// SiteView is a site with what the reader may do to it.
type SiteView struct {
	ledger.Doc[site.Site]
	May site.May `json:"may"`
}

type taggedSite struct {
	ETag string `header:"ETag"`
	Body SiteView
}

// RecordQuery names a document, now or at a time.
type RecordQuery struct {
	ByID
	AsOf
}

func (s *server) site(ctx context.Context, actor ledger.Actor, in *RecordQuery) (*taggedSite, error) {
	at, err := s.moment(in.AsOf)
	if err != nil {
		return nil, err
	}
	if !at.IsZero() {
		doc, err := s.Sites.GetAt(ctx, actor, in.ID, at)
		if err != nil {
			return nil, err
		}
		return &taggedSite{ETag: etag(doc.Revision), Body: SiteView{Doc: doc}}, nil
	}
	doc, may, err := s.Sites.Get(ctx, actor, in.ID)
	if err != nil {
		return nil, err
	}
	return &taggedSite{ETag: etag(doc.Revision), Body: SiteView{doc, may}}, nil
}

type siteRequest struct {
	Body struct {
		Org  string    `json:"org" format:"uuid"`
		Body site.Site `json:"body"`
	}
}

func (s *server) siteCreate(ctx context.Context, actor ledger.Actor, in *siteRequest) (*Tagged[ledger.Doc[site.Site]], error) {
	return document(s.Sites.Create(ctx, actor, in.Body.Org, in.Body.Body))
}

type siteChange struct {
	ByID
	IfMatch
	Body struct {
		Body site.Site `json:"body"`
	}
}

func (s *server) siteUpdate(ctx context.Context, actor ledger.Actor, in *siteChange) (*Tagged[ledger.Doc[site.Site]], error) {
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	return document(s.Sites.Update(ctx, actor, in.ID, revision, in.Body.Body))
}

// Deletion names what to delete, and the revision that was read.
type Deletion struct {
	ByID
	IfMatch
}

func (s *server) siteDelete(ctx context.Context, actor ledger.Actor, in *Deletion) (*none, error) {
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	return done(s.Sites.Delete(ctx, actor, in.ID, revision))
}

type photoUpload struct {
	NamedFile
	RawBody []byte `contentType:"image/*"`
}

// sitePhotoPut strips the picture's position before it is kept.
func (s *server) sitePhotoPut(ctx context.Context, actor ledger.Actor, in *photoUpload) (*Tagged[ledger.Doc[site.Site]], error) {
	_, may, err := s.Sites.Get(ctx, actor, in.ID)
	if err != nil {
		return nil, err
	}
	if !may.Edit {
		return nil, fault.New(fault.Denied, "site.edit", "You may not change this site").WithMend("Ask an admin of its branch")
	}
	kept, err := s.Responses.StoreFile(ctx, in.Name, bytes.NewReader(in.RawBody))
	if err != nil {
		return nil, err
	}
	return document(s.Sites.AddPhoto(ctx, actor, in.ID, site.File{Name: kept.Name, Blob: kept.Blob, Type: kept.Type, Size: kept.Size}))
}

func (s *server) sitePhoto(ctx context.Context, actor ledger.Actor, in *fileQuery) (*huma.StreamResponse, error) {
	at, err := s.moment(in.AsOf)
	if err != nil {
		return nil, err
	}
	if !at.IsZero() {
		content, file, err := s.Sites.PhotoAt(ctx, actor, in.ID, in.Name, at)
		if err != nil {
			return nil, err
		}
		return stream(content, file.Type, file.Name), nil
	}
	content, file, err := s.Sites.Photo(ctx, actor, in.ID, in.Name)
	if err != nil {
		return nil, err
	}
	return stream(content, file.Type, file.Name), nil
}

func (s *server) siteDevices(ctx context.Context, actor ledger.Actor, in *RecordQuery) (*Body[Page[DeviceView]], error) {
	of, err := s.site(ctx, actor, in)
	if err != nil {
		return nil, err
	}
	at, err := s.moment(in.AsOf)
	if err != nil {
		return nil, err
	}
	docs, err := s.Devices.List(ctx, actor, device.Filter{Org: of.Body.Org, Site: in.ID, Limit: 200, At: at})
	if err != nil {
		return nil, err
	}
	return list(s.deviceViews(ctx, actor, docs, at))
}

func (s *server) siteTypes(ctx context.Context, actor ledger.Actor, in *InOrg) (*Body[Page[site.Type]], error) {
	return list(s.Sites.Types(ctx, actor, in.Org))
}

// siteName is a site's name for somebody who may see it, else nothing.
func (s *server) siteName(ctx context.Context, actor ledger.Actor, id string) (string, error) {
	if id == "" {
		return "", nil
	}
	doc, _, err := s.Sites.Get(ctx, actor, id)
	if err != nil && fault.KindOf(err) == fault.NotFound {
		return "", nil
	}
	return doc.Body.Name, err
}
