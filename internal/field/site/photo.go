package site

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
)

// AddPhoto puts a picture that is in the store already to a site; one of the same
// name is replaced. This is the only way a site comes to name a file: what an
// edit says of photos can only leave some out.
func (s *Service) AddPhoto(ctx context.Context, actor ledger.Actor, id string, photo File) (doc ledger.Doc[Site], err error) {
	err = s.ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error {
		doc, err = update(tx, id, 0, func(b *Site) {
			b.Photos = slices.DeleteFunc(slices.Clone(b.Photos), func(f File) bool { return f.Name == photo.Name })
			b.Photos = append(b.Photos, photo)
		})
		return err
	})
	return doc, err
}

// Photo opens a picture of a site.
func (s *Service) Photo(ctx context.Context, actor ledger.Actor, id, name string) (io.ReadCloser, File, error) {
	doc, _, err := s.Get(ctx, actor, id)
	if err != nil {
		return nil, File{}, err
	}
	return s.open(ctx, doc, name)
}

// PhotoAt is Photo of a site as it stood at a time.
func (s *Service) PhotoAt(ctx context.Context, actor ledger.Actor, id, name string, at time.Time) (io.ReadCloser, File, error) {
	doc, err := s.GetAt(ctx, actor, id, at)
	if err != nil {
		return nil, File{}, err
	}
	return s.open(ctx, doc, name)
}

func (s *Service) open(ctx context.Context, doc ledger.Doc[Site], name string) (io.ReadCloser, File, error) {
	at := slices.IndexFunc(doc.Body.Photos, func(f File) bool { return f.Name == name })
	if at < 0 {
		return nil, File{}, fault.New(fault.NotFound, "site.photo", "The site has no such photo")
	}
	content, err := s.blobs.Get(ctx, doc.Body.Photos[at].Blob)
	return content, doc.Body.Photos[at], err
}

// kept are the photos of before that an edit still names.
func kept(before, named []File) []File {
	var left []File
	for _, f := range before {
		if slices.ContainsFunc(named, func(n File) bool { return n.Name == f.Name && n.Blob == f.Blob }) {
			left = append(left, f)
		}
	}
	return left
}
