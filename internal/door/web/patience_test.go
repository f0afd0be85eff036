package web

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

const serverTime = 400 * time.Millisecond // of a server for short requests

// served runs the API with a server that gives requests little time, and with routes of the test's own.
func served(t *testing.T, http2 bool, routes func(s *server)) *httptest.Server {
	t.Helper()
	s, mux := newServer(House{Log: slog.New(slog.DiscardHandler)})
	routes(s)
	web := httptest.NewUnstartedServer(s.guarded(mux))
	web.Config.ReadTimeout, web.Config.WriteTimeout = serverTime, serverTime
	web.EnableHTTP2 = http2
	web.StartTLS()
	t.Cleanup(web.Close)
	return web
}

func eachHTTP(t *testing.T, fn func(t *testing.T, http2 bool)) {
	t.Run("HTTP/1.1", func(t *testing.T) { fn(t, false) })
	t.Run("HTTP/2", func(t *testing.T) { fn(t, true) })
}

func TestADownloadTakesItsTimeWhileItMoves(t *testing.T) {
	eachHTTP(t, func(t *testing.T, http2 bool) {
		const pieces, size = 12, 64 << 10
		web := served(t, http2, func(s *server) {
			on(s, "GET /slow", "", func(context.Context, *struct{}) (*huma.StreamResponse, error) {
				return stream(io.NopCloser(&dribble{left: pieces, size: size}), "image/png", "a.png"), nil
			})
		})
		answer, err := web.Client().Get(web.URL + prefix + "/slow")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		n, err := io.Copy(io.Discard, answer.Body)
		if n != pieces*size || err != nil {
			t.Errorf("%d of %d bytes came: %v", n, pieces*size, err)
		}
	})
}

// dribble gives pieces with a tenth of a second between them.
type dribble struct{ left, size int }

func (d *dribble) Read(p []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(serverTime / 4)
	d.left--
	return min(len(p), d.size), nil
}

// WriteTo is there because io.Copy would otherwise read in pieces of its own size.
func (d *dribble) WriteTo(w io.Writer) (n int64, err error) {
	piece := make([]byte, d.size)
	for err == nil {
		var m int
		if m, err = d.Read(piece); m > 0 {
			_, err = w.Write(piece[:m])
			n += int64(m)
		}
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

func TestAnUploadAndItsWorkTakeTheirTime(t *testing.T) {
	eachHTTP(t, func(t *testing.T, http2 bool) {
		web := served(t, http2, func(s *server) {
			on(s, "POST /slow", "", func(ctx context.Context, in *struct {
				RawBody []byte `contentType:"text/csv"`
			}) (*Body[int], error) {
				time.Sleep(2 * serverTime) // the work
				return body(len(in.RawBody), ctx.Err())
			}, s.upload(1<<20))
		})
		var sent bytes.Buffer
		answer, err := web.Client().Post(web.URL+prefix+"/slow", "text/csv", io.TeeReader(&dribble{left: 10, size: 1000}, &sent))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		said, err := io.ReadAll(answer.Body)
		if answer.StatusCode != http.StatusOK || strings.TrimSpace(string(said)) != "10000" {
			t.Errorf("%s: %s (%v), want 10000", answer.Status, said, err)
		}
	})
}

func TestNobodysUploadIsNotRead(t *testing.T) {
	eachHTTP(t, func(t *testing.T, http2 bool) {
		web := served(t, http2, func(*server) {})
		var sent atomic.Int64
		request, err := http.NewRequest(http.MethodPost, web.URL+prefix+"/imports?type=water_point&org=0190a000-0000-7000-8000-0000000000aa&branch=0190a000-0000-7000-8000-0000000000aa", &endless{left: maxImport, sent: &sent})
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "text/csv")
		answer, err := web.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s, want 401", answer.Status)
		}
		if sent.Load() > 8<<20 {
			t.Errorf("%d MB were taken from somebody who is not signed in", sent.Load()>>20)
		}
	})
}

type endless struct {
	left int
	sent *atomic.Int64
}

func (c *endless) Read(p []byte) (int, error) {
	n := min(len(p), c.left)
	if n == 0 {
		return 0, io.EOF
	}
	c.left -= n
	c.sent.Add(int64(n))
	return n, nil
}

func TestOnlyHarmlessFilesAreShownInPlace(t *testing.T) {
	for kind, want := range map[string]string{
		"image/jpeg": "inline", "image/png": "inline", "video/mp4": "inline", "audio/mpeg": "inline", "text/plain; charset=utf-8": "inline",
		"text/html; charset=utf-8": "attachment", "image/svg+xml": "attachment", "text/xml; charset=utf-8": "attachment", "application/xml": "attachment",
		"application/pdf": "attachment", "application/octet-stream": "attachment", "": "attachment",
	} {
		if got, _, _ := strings.Cut(disposition(kind, "a"), ";"); got != want {
			t.Errorf("%q is %s, want %s", kind, got, want)
		}
	}
	if got := disposition("image/png", "a\r\nSet-Cookie: x=\"1\" é.png"); strings.ContainsAny(got, "\r\n") {
		t.Errorf("a name breaks out of its header: %q", got)
	}
}
