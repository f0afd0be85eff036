package openrosa

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/field/form"
	"github.com/qanat-water/qanat/internal/field/response"
)

const (
	xmlPart        = "xml_submission_file"
	incompletePart = "*isIncomplete*"
)

// announce tells a phone that it may send, and how much at a time. Anything but 204 would keep Collect from sending.
func (d *door) announce(v *visit) error {
	v.w.Header().Set("X-OpenRosa-Accept-Content-Length", strconv.FormatInt(d.limits.Advise, 10))
	v.w.WriteHeader(http.StatusNoContent)
	return nil
}

// submit takes a submission: the XML, files, and a mark when more files follow in other requests. The parts may come in any order;
// each file is on disk before the next part is read.
func (d *door) submit(v *visit) error {
	v.w.Header().Set("X-OpenRosa-Accept-Content-Length", strconv.FormatInt(d.limits.Advise, 10))
	body := &patient{ReadCloser: http.MaxBytesReader(v.w, v.r.Body, d.limits.Bytes), control: http.NewResponseController(v.w), idle: d.limits.Idle, end: time.Now().Add(d.limits.Total)}
	v.r.Body, v.body = body, body
	_ = body.control.SetWriteDeadline(body.end.Add(time.Minute)) // the server's own time is for short requests
	parts, err := v.r.MultipartReader()
	if err != nil {
		return fault.New(fault.Invalid, "openrosa.multipart", "A submission is sent as multipart/form-data").WithMend("Send it with a form app such as ODK Collect").Because(err)
	}
	up := response.Upload{Org: v.org, Device: v.r.URL.Query().Get("deviceID")}
	for n := 1; ; n++ {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) && body.ended(v.r.Header.Get("Content-Type")) {
			break
		}
		if err != nil {
			return d.broken(err)
		}
		if n > d.limits.Parts {
			return fault.Newf(fault.TooLarge, "openrosa.parts", "A request has at most %d parts", d.limits.Parts).WithMend("Send the files in several requests")
		}
		if err := d.part(v, part, n, &up); err != nil {
			return err
		}
	}
	_ = body.control.SetReadDeadline(time.Time{}) // or it would end the request while it is being stored
	if up.XML == nil {
		return fault.Newf(fault.Invalid, "openrosa.no_xml", "The request has no part named %s", xmlPart).WithMend("Send the submission's XML with its files")
	}
	receipt, err := d.Responses.Receive(v.r.Context(), v.actor, up)
	if err != nil {
		return err
	}
	if receipt.Quarantine != nil {
		return v.say(http.StatusAccepted, "submit_success", "Received and kept. An administrator must look at it before it counts: "+receipt.Quarantine.Reason)
	}
	return v.say(http.StatusCreated, "submit_success", "full submission upload was successful!")
}

func (d *door) part(v *visit, part *multipart.Part, n int, up *response.Upload) error {
	switch part.FormName() {
	case xmlPart:
		if up.XML != nil {
			return fault.Newf(fault.Invalid, "openrosa.two_xml", "The request has two parts named %s", xmlPart).WithMend("Send one submission at a time")
		}
		xml, err := io.ReadAll(io.LimitReader(part, form.MaxInstance+1))
		if err != nil {
			return d.broken(err)
		}
		up.XML = xml // too long a one is refused where the limit is
		if xml == nil {
			up.XML = []byte{}
		}
		return nil
	case incompletePart:
		value, err := io.ReadAll(io.LimitReader(part, 16))
		up.Incomplete = string(value) == "yes"
		if err != nil {
			return d.broken(err)
		}
		return nil
	}
	name := form.FileName(part.FileName())
	if name == "" {
		name = form.FileName(part.FormName())
	}
	if name == "" {
		name = fmt.Sprintf("file-%d", n) // never refused for its name: nothing that a phone sends is lost
	}
	file, err := d.Responses.StoreFile(v.r.Context(), name, part)
	if err != nil {
		if v.body.failed == nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err // not the phone's doing: our disk, or a name or size that StoreFile refuses
		}
		return d.broken(err)
	}
	up.Files = append(up.Files, file)
	return nil
}

// broken says what is wrong with a request that could not be read to its end.
func (d *door) broken(err error) error {
	var known *fault.Error
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		return err
	case errors.As(err, &large):
		return fault.Newf(fault.TooLarge, "openrosa.request_size", "The request is larger than %d MB", d.limits.Bytes/1_000_000).WithMend("Send fewer or smaller files at a time").Because(err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fault.New(fault.Unavailable, "openrosa.slow", "The request took too long").WithMend("Try again where the network is better").Because(err)
	}
	return fault.New(fault.Invalid, "openrosa.broken", "The request ended in the middle or is not well-formed").WithMend("Send it again").Because(err)
}

// patient gives a slow network time, but not for ever: each wait for bytes is limited, and so is the whole.
type patient struct {
	io.ReadCloser
	control *http.ResponseController
	idle    time.Duration
	end     time.Time
	failed  error
	tail    []byte // the last bytes read
}

// ended tells whether the body has its closing boundary. mime/multipart says io.EOF too when a body stops inside the head of a part,
// and then the files that were still to come would be taken for never sent.
func (p *patient) ended(contentType string) bool {
	_, params, err := mime.ParseMediaType(contentType)
	return err == nil && bytes.Contains(p.tail, []byte("--"+params["boundary"]+"--"))
}

func (p *patient) Read(b []byte) (int, error) {
	by := time.Now().Add(p.idle)
	if by.After(p.end) {
		by = p.end
	}
	_ = p.control.SetReadDeadline(by) // where there is no connection, in tests of the handler alone, there is nothing to wait for
	n, err := p.ReadCloser.Read(b)
	const keep = 512 // a boundary has at most 70 characters
	if n >= keep {
		p.tail = append(p.tail[:0], b[n-keep:n]...)
	} else {
		p.tail = append(p.tail[max(0, len(p.tail)+n-keep):], b[:n]...)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		p.failed = err
	}
	return n, err
}
