package rig

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
	"strings"
)

// Phone speaks OpenRosa as ODK Collect does.
type Phone struct {
	URL  string // as shown once in the portal; the token is in it
	HTTP *http.Client

	t *current
}

// Phone sets up a phone for a person.
func (s *Server) Phone(of *Client, name string) *Phone {
	s.t.Helper()
	made := Post[struct{ URL, QR string }](s.Admin, "/phones", map[string]any{"org": s.Org, "account": of.ID, "name": name})
	return &Phone{URL: made.URL, HTTP: s.Client().HTTP, t: s.t}
}

// Token is the secret in the phone's address.
func (p *Phone) Token() string {
	_, rest, _ := strings.Cut(p.URL, "/v1/key/")
	token, _, _ := strings.Cut(rest, "/")
	return token
}

// ListedForm is a form in the form list.
type ListedForm struct {
	FormID      string `xml:"formID"`
	Name        string `xml:"name"`
	Version     string `xml:"version"`
	Hash        string `xml:"hash"`
	DownloadURL string `xml:"downloadUrl"`
	ManifestURL string `xml:"manifestUrl"`
}

// Do sends a request with the headers that Collect sends, and reads the whole answer.
func (p *Phone) Do(method, address string, body io.Reader, headers ...string) (*Answer, error) {
	if strings.HasPrefix(address, "/") {
		address = p.URL + address
	}
	request, err := http.NewRequestWithContext(context.Background(), method, address, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-OpenRosa-Version", "1.0")
	request.Header.Set("User-Agent", "org.odk.collect.android/v2025.2.3 Dalvik/2.1.0")
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer, err := p.HTTP.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	return &Answer{answer.StatusCode, answer.Header, content}, err
}

// Forms gets the form list.
func (p *Phone) Forms() []ListedForm {
	p.t.Helper()
	answer, err := p.Do(http.MethodGet, "/formList", nil)
	if err != nil || answer.Status != http.StatusOK {
		p.t.Fatalf("formList: %v %+v", err, answer)
	}
	var list struct {
		Forms []ListedForm `xml:"xform"`
	}
	if err := xml.Unmarshal(answer.Body, &list); err != nil {
		p.t.Fatalf("formList: %v in %s", err, answer.Body)
	}
	return list.Forms
}

// File is an attachment of a submission.
type File struct {
	Name, Type string
	Content    []byte
}

// Submission makes the body of a submission: the XML, the files, and the mark when more files follow.
func Submission(instance []byte, files []File, incomplete bool) (body []byte, contentType string, err error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part := func(name, file, kind string, content []byte) {
		h := textproto.MIMEHeader{}
		h.Set("Content-Disposition", fmt.Sprintf(`form-data; name=%q; filename=%q`, name, file))
		h.Set("Content-Type", kind)
		h.Set("Content-Transfer-Encoding", "binary")
		out, e := w.CreatePart(h)
		if e == nil {
			_, e = out.Write(content)
		}
		if err == nil {
			err = e
		}
	}
	part("xml_submission_file", "instance.xml", "text/xml", instance)
	for _, f := range files {
		part(f.Name, f.Name, f.Type, f.Content)
	}
	if incomplete && err == nil {
		err = w.WriteField("*isIncomplete*", "yes")
	}
	if err == nil {
		err = w.Close()
	}
	return b.Bytes(), w.FormDataContentType(), err
}

// TrySubmit sends a submission and gives the status.
func (p *Phone) TrySubmit(instance []byte, files []File, incomplete bool) (*Answer, error) {
	body, kind, err := Submission(instance, files, incomplete)
	if err != nil {
		return nil, err
	}
	return p.Do(http.MethodPost, "/submission?deviceID="+url.QueryEscape("collect:rig"), bytes.NewReader(body), "Content-Type", kind)
}

// Submit sends a submission and expects a status.
func (p *Phone) Submit(want int, instance []byte, files []File, incomplete bool) {
	p.t.Helper()
	answer, err := p.TrySubmit(instance, files, incomplete)
	if err != nil {
		p.t.Fatal(err)
	}
	if answer.Status != want {
		p.t.Fatalf("submission: %d, want %d: %s", answer.Status, want, answer.Body)
	}
}
