package web

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// The server's own time-outs are for short requests. Here a body that arrives and
// an answer that leaves get more while they move, and never more than moveTime
// while they do not.
const (
	readTime   = 15 * time.Second // to receive the body of a short request; for the next bytes of an upload
	moveTime   = 60 * time.Second // for a client to take the next bytes of an answer
	uploadTime = 30 * time.Minute // to receive an upload
	workTime   = 30 * time.Minute // to do what an upload or a long request asks for
)

// arriving is a request's body whose bytes have their time.
type arriving struct {
	io.ReadCloser
	control *http.ResponseController
	end     time.Time
}

func (a *arriving) Read(p []byte) (int, error) {
	by := time.Now().Add(readTime)
	if by.After(a.end) {
		by = a.end
	}
	// An answer that is no connection, in tests, waits for nothing.
	_ = a.control.SetReadDeadline(by)
	n, err := a.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = a.control.SetReadDeadline(time.Time{}) // or it would end the request while it is worked on
	}
	return n, err
}

// patient lets a route's body take its time, and its work if it is long.
func patient(arrival, work time.Duration) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		control := http.NewResponseController(w)
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &arriving{r.Body, control, time.Now().Add(arrival)}
		}
		if work > 0 {
			_ = control.SetWriteDeadline(time.Now().Add(arrival + work))
		}
		next(ctx)
	}
}

// leaving prolongs the time for an answer while its bytes are taken.
func (r *recorder) leaving() {
	if now := time.Now(); now.Sub(r.prolonged) > moveTime/20 {
		r.prolonged = now
		_ = http.NewResponseController(r.ResponseWriter).SetWriteDeadline(now.Add(moveTime))
	}
}
