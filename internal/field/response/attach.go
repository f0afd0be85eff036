package response

import (
	"bufio"
	"context"
	"io"
	"net/http"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/field/form"
)

// MaxFile is the most bytes of one photo or file.
const MaxFile = 200 << 20

// StoreFile keeps a file under the name its sender gave it. It is on disk when StoreFile returns; no document names it yet. The type
// is found in the content, whatever the sender says; a JPEG loses its position on the way.
func (s *Service) StoreFile(ctx context.Context, name string, content io.Reader) (Attachment, error) {
	clean := form.FileName(name)
	if clean == "" {
		return Attachment{}, fault.Newf(fault.Invalid, "attachment.name", "%.80q is no file name", name).At("attachment", "no usable file name", "Name the file as the answer does")
	}
	in := bufio.NewReaderSize(content, 4096)
	head, err := in.Peek(512)
	if err != nil && err != io.EOF {
		return Attachment{}, err
	}
	a := Attachment{Name: clean, Type: http.DetectContentType(head)}
	if a.Type != "image/jpeg" {
		ref, err := s.Blobs.Put(ctx, in, MaxFile)
		a.Blob, a.Size = ref.Hash, ref.Size
		return a, err
	}
	out, into := io.Pipe()
	whole := make(chan bool, 1)
	go func() {
		searched, err := scrub(into, in)
		whole <- searched
		into.CloseWithError(err)
	}()
	ref, err := s.Blobs.Put(ctx, out, MaxFile)
	out.CloseWithError(io.ErrClosedPipe) // when Put gave up, this ends the other side
	if searched := <-whole; !searched {
		a.Position = "unknown"
	}
	a.Blob, a.Size = ref.Hash, ref.Size
	return a, err
}

// expect lists the files that answers name, all still missing.
func expect(names []string) []Attachment {
	var list []Attachment
	for i, name := range names {
		if i == MaxAttachments {
			break
		}
		list = append(list, Attachment{Name: name, Missing: true})
	}
	return list
}

// join adds files that came. The same file again changes nothing; another file under a name that is taken is kept beside the first.
func join(list, came []Attachment, known bool) []Attachment {
	for _, a := range came {
		place, same := -1, false
		for i, old := range list {
			if old.Name != a.Name {
				continue
			}
			same = same || old.Blob == a.Blob
			if old.Missing {
				place = i
			}
		}
		switch {
		case same:
		case place >= 0:
			list[place] = a
		default:
			a.Unexpected = known
			list = append(list, a)
		}
	}
	return list
}
