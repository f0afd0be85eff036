package sim

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"time"
)

// Phone is a form app: it lists forms, fetches them, and sends in, as ODK Collect does.
type Phone struct {
	Server string // its corner of the server, as the QR code says; the token is part of it
	Device string // what the app calls itself, such as collect:Zs81mQ
	Limit  int64  // bytes of a request above which it splits, when the server allows more; 0: as the server says

	client *http.Client
}

// NewPhone sets a phone up.
func NewPhone(n Net, server, device string) *Phone {
	return &Phone{Server: server, Device: device, client: n.client()}
}

// Close lets connections go.
func (p *Phone) Close() { p.client.CloseIdleConnections() }

// Listed is a form that the person of the phone may fill in.
type Listed struct {
	ID      string `xml:"formID"`
	Name    string `xml:"name"`
	Version string `xml:"version"`
	Hash    string `xml:"hash"`
	URL     string `xml:"downloadUrl"`
}

func (p *Phone) do(ctx context.Context, method, address string, body io.Reader, kind string) (status int, header http.Header, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return 0, nil, nil, bare(err)
	}
	req.Header.Set("X-OpenRosa-Version", "1.0")
	req.Header.Set("User-Agent", "org.odk.collect.android/v2025.2.3 Dalvik/2.1.0")
	req.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	res, err := p.client.Do(req)
	if err != nil {
		return 0, nil, nil, bare(err)
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(res.Body, 8<<20))
	return res.StatusCode, res.Header, answer, err
}

// Refused is an answer of the server that is no success.
type Refused struct {
	Step    string
	Status  int
	Message string
}

func (r *Refused) Error() string { return fmt.Sprintf("%s: %d %s", r.Step, r.Status, r.Message) }

// message is the sentence in an OpenRosa answer.
func message(answer []byte) string {
	var says struct {
		Message string `xml:"message"`
	}
	if xml.Unmarshal(answer, &says) != nil {
		return ""
	}
	return says.Message
}

// Forms lists the forms.
func (p *Phone) Forms(ctx context.Context) ([]Listed, error) {
	status, _, answer, err := p.do(ctx, http.MethodGet, p.Server+"/formList", nil, "")
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, &Refused{"form list", status, message(answer)}
	}
	var list struct {
		Forms []Listed `xml:"xform"`
	}
	err = xml.Unmarshal(answer, &list)
	return list.Forms, err
}

// Form fetches a form.
func (p *Phone) Form(ctx context.Context, f Listed) ([]byte, error) {
	status, _, answer, err := p.do(ctx, http.MethodGet, f.URL, nil, "")
	if err == nil && status != http.StatusOK {
		err = &Refused{"form", status, message(answer)}
	}
	return answer, err
}

// Send sends a filled-in form and returns the status: 201, or 202 when an
// administrator must look at it first. It asks with HEAD before, and sends the
// photo in a request of its own when all together is too long.
func (p *Phone) Send(ctx context.Context, f Filled) (status int, err error) {
	address := p.Server + "/submission?" + url.Values{"deviceID": {p.Device}}.Encode()
	status, header, _, err := p.do(ctx, http.MethodHead, address, nil, "")
	if err != nil {
		return 0, err
	}
	if status != http.StatusNoContent {
		return status, &Refused{"before sending", status, ""}
	}
	limit, err := strconv.ParseInt(header.Get("X-OpenRosa-Accept-Content-Length"), 10, 64)
	if err != nil || limit <= 0 || p.Limit > 0 && p.Limit < limit {
		limit = max(p.Limit, 1)
	}
	parts := []part{{name: "xml_submission_file", file: "submission.xml", kind: "text/xml", content: f.XML}}
	photo := part{name: f.Photo, file: f.Photo, kind: "image/jpeg", content: f.JPEG}
	switch {
	case f.Photo == "":
	case int64(len(f.XML)+len(f.JPEG)) <= limit:
		parts = append(parts, photo)
	default:
		if _, err := p.post(ctx, address, append(parts, part{name: "*isIncomplete*", content: []byte("yes")})); err != nil {
			return 0, err
		}
		parts = append(parts, photo)
	}
	return p.post(ctx, address, parts)
}

type part struct {
	name, file, kind string
	content          []byte
}

func (p *Phone) post(ctx context.Context, address string, parts []part) (int, error) {
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for _, one := range parts {
		h := textproto.MIMEHeader{}
		disposition := fmt.Sprintf(`form-data; name=%q`, one.name)
		if one.file != "" {
			disposition += fmt.Sprintf(`; filename=%q`, one.file)
			h.Set("Content-Type", one.kind)
		}
		h.Set("Content-Disposition", disposition)
		w, err := m.CreatePart(h)
		if err == nil {
			_, err = w.Write(one.content)
		}
		if err != nil {
			return 0, err
		}
	}
	if err := m.Close(); err != nil {
		return 0, err
	}
	status, _, answer, err := p.do(ctx, http.MethodPost, address, &b, m.FormDataContentType())
	if err == nil && status != http.StatusCreated && status != http.StatusAccepted {
		err = &Refused{"sending", status, message(answer)}
	}
	return status, err
}
