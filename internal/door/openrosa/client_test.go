package openrosa_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/blob"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/door/openrosa"
	"github.com/qanat-water/qanat/internal/field/response"
	"github.com/qanat-water/qanat/internal/field/site"
	"github.com/qanat-water/qanat/internal/field/survey"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

var ctx = context.Background()

// world is a server with one organization, its door open over TLS.
type world struct {
	*peopletest.World
	surveys   *survey.Service
	responses *response.Service
	server    *httptest.Server
	log       *safeBuffer
}

type safeBuffer struct {
	sync.Mutex
	bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.Lock()
	defer b.Unlock()
	return b.Buffer.Write(p)
}

func (b *safeBuffer) String() string {
	b.Lock()
	defer b.Unlock()
	return b.Buffer.String()
}

func newWorld(t testing.TB, s *store.Store, limits openrosa.Limits, http2 bool) *world {
	w := &world{World: peopletest.New(t, s, append(append(site.Nouns(), survey.Nouns()...), response.Nouns()...)...), log: &safeBuffer{}}
	blobs, err := blob.Open(t.TempDir(), w.Vault)
	if err != nil {
		t.Fatal(err)
	}
	w.surveys = &survey.Service{Ledger: w.Ledger, Blobs: blobs}
	w.responses = &response.Service{Ledger: w.Ledger, Blobs: blobs}
	w.server = httptest.NewUnstartedServer(openrosa.New(openrosa.Config{Surveys: w.surveys, Responses: w.responses, Log: slog.New(slog.NewTextHandler(w.log, nil)), Limits: limits}))
	w.server.EnableHTTP2 = http2
	w.server.Config.ReadTimeout, w.server.Config.WriteTimeout = time.Second, time.Second // as servers do; uploads must prolong it
	w.server.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(w.log, nil), slog.LevelError)
	w.server.StartTLS()
	t.Cleanup(w.server.Close)
	return w
}

// each runs a test on both engines, and on the way with both versions of HTTP: Collect speaks 2 where it can.
func each(t *testing.T, limits openrosa.Limits, fn func(t *testing.T, w *world)) {
	t.Run("sqlite", func(t *testing.T) { fn(t, newWorld(t, storetest.SQLite(t)(), limits, false)) })
	t.Run("postgres", func(t *testing.T) { fn(t, newWorld(t, storetest.Postgres(t)(), limits, true)) })
}

// eachHTTP runs a test with both versions of HTTP.
func eachHTTP(t *testing.T, limits openrosa.Limits, fn func(t *testing.T, w *world)) {
	for name, http2 := range map[string]bool{"http1": false, "http2": true} {
		t.Run(name, func(t *testing.T) { fn(t, newWorld(t, storetest.SQLite(t)(), limits, http2)) })
	}
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// deploy uploads a form and lets members fill it in.
func (w *world) deploy(t testing.TB, xform []byte) ledger.Doc[survey.Survey] {
	s := must[ledger.Doc[survey.Survey]](t)(w.surveys.CreateFromXForm(ctx, w.Admin, w.Org, w.Org, xform))
	must[ledger.Doc[survey.Deployment]](t)(w.surveys.Deploy(ctx, w.Admin, survey.Deployment{Survey: s.ID, Name: "all", Active: true, Enumerators: []string{"group:" + w.Org + "/members"}}))
	return s
}

// collect is a form app that does what ODK Collect does, and minds what Collect minds.
type collect struct {
	t      testing.TB
	client *http.Client
	base   string
	token  string
	etags  map[string]string
	split  int64
	forms  map[string][]byte // form id and version -> XML
}

func (w *world) collect(t testing.TB) *collect {
	_, token, err := w.surveys.CreatePhone(ctx, w.Admin, w.Org, w.Member.ID, "phone")
	if err != nil {
		t.Fatal(err)
	}
	return &collect{t: t, client: w.server.Client(), base: openrosa.ServerURL(w.server.URL, token, w.Org), token: token, etags: map[string]string{}, forms: map[string][]byte{}}
}

func (c *collect) request(method, url string, body io.Reader) *http.Request {
	c.t.Helper()
	if !strings.Contains(url, "?") {
		url += "?deviceID=collect%3Aabc"
	}
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("X-OpenRosa-Version", "1.0")
	r.Header.Set("Date", time.Now().Add(-12*time.Hour).Format("Mon, 02 Jan 2006 03:04:05 MST")) // the wrong hour, as Collect
	r.Header.Set("User-Agent", "org.odk.collect.android/v2026.3.3 Dalvik/2.1.0")
	return r
}

func (c *collect) do(r *http.Request) (*http.Response, []byte) {
	c.t.Helper()
	resp, err := c.client.Do(r)
	if err != nil {
		c.t.Fatal(strings.ReplaceAll(err.Error(), c.token, "TOKEN"))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp, body
}

type listed struct {
	FormID      string `xml:"formID"`
	Name        string `xml:"name"`
	Version     string `xml:"version"`
	Hash        string `xml:"hash"`
	DownloadURL string `xml:"downloadUrl"`
	ManifestURL string `xml:"manifestUrl"`
}

// sync fetches the list, all forms and their files, checking all hashes.
func (c *collect) sync() []listed {
	c.t.Helper()
	resp, body := c.do(c.request("GET", c.base+"/formList", nil))
	if resp.StatusCode != 200 || resp.Header.Get("X-OpenRosa-Version") != "1.0" || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/xml") {
		c.t.Fatalf("form list: %d %v %s", resp.StatusCode, resp.Header, body)
	}
	var list struct {
		XMLName xml.Name `xml:"http://openrosa.org/xforms/xformsList xforms"`
		Forms   []listed `xml:"xform"`
	}
	if err := xml.Unmarshal(body, &list); err != nil {
		c.t.Fatal(err)
	}
	for _, f := range list.Forms {
		if f.FormID == "" || f.Name == "" || !strings.HasPrefix(f.DownloadURL, "https://") || !strings.HasPrefix(f.Hash, "md5:") {
			c.t.Fatalf("Collect would refuse the list: %+v", f)
		}
		resp, form := c.do(c.request("GET", f.DownloadURL, nil))
		if resp.StatusCode != 200 || "md5:"+md5Of(form) != f.Hash {
			c.t.Fatalf("form: %d, hash %s, want %s", resp.StatusCode, md5Of(form), f.Hash)
		}
		c.forms[f.FormID+"/"+f.Version] = form
		if f.ManifestURL == "" {
			continue
		}
		resp, body := c.do(c.request("GET", f.ManifestURL, nil))
		if resp.StatusCode != 200 || resp.Header.Get("X-OpenRosa-Version") != "1.0" || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/xml") {
			c.t.Fatalf("manifest: %d %v %s", resp.StatusCode, resp.Header, body)
		}
		var manifest struct {
			XMLName xml.Name `xml:"http://openrosa.org/xforms/xformsManifest manifest"`
			Files   []struct {
				Filename    string `xml:"filename"`
				Hash        string `xml:"hash"`
				DownloadURL string `xml:"downloadUrl"`
			} `xml:"mediaFile"`
		}
		if err := xml.Unmarshal(body, &manifest); err != nil {
			c.t.Fatal(err)
		}
		for _, m := range manifest.Files {
			resp, content := c.do(c.request("GET", m.DownloadURL, nil))
			if resp.StatusCode != 200 || "md5:"+md5Of(content) != m.Hash {
				c.t.Fatalf("file %s: %d %s %s", m.Filename, resp.StatusCode, md5Of(content), m.Hash)
			}
			c.forms[f.FormID+"/"+m.Filename] = content
		}
	}
	return list.Forms
}

func md5Of(b []byte) string {
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

type photo struct {
	name    string
	content []byte
}

// send finalizes a form: HEAD, then one or more POSTs, split at the size the server advises.
func (c *collect) send(xmlBytes []byte, photos ...photo) (status int, body string) {
	c.t.Helper()
	resp, _ := c.do(c.request("HEAD", c.base+"/submission", nil))
	if resp.StatusCode != 204 {
		c.t.Fatalf("HEAD: %d, Collect would stop", resp.StatusCode)
	}
	if _, err := fmt.Sscan(resp.Header.Get("X-OpenRosa-Accept-Content-Length"), &c.split); err != nil {
		c.t.Fatal(err)
	}
	for first := true; first || len(photos) > 0; first = false {
		size := int64(len(xmlBytes))
		n := 0
		for n < len(photos) && n < 100 && (n == 0 || size+int64(len(photos[n].content)) < c.split) {
			size += int64(len(photos[n].content))
			n++
		}
		resp, answer := c.post(xmlBytes, photos[:n], n < len(photos))
		status, body = resp.StatusCode, string(answer)
		if status != 201 && status != 202 { // all that Collect takes for success
			return status, body
		}
		photos = photos[n:]
	}
	return status, body
}

func (c *collect) post(xmlBytes []byte, photos []photo, more bool) (*http.Response, []byte) {
	c.t.Helper()
	body, kind := multi(c.t, xmlBytes, photos, more)
	r := c.request("POST", c.base+"/submission", bytes.NewReader(body))
	r.Header.Set("Content-Type", kind)
	return c.do(r)
}

func multi(t testing.TB, xmlBytes []byte, photos []photo, more bool) (body []byte, kind string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	add := func(name, file, kind string, content []byte) {
		h := textproto.MIMEHeader{}
		h.Set("Content-Disposition", fmt.Sprintf(`form-data; name="%s"; filename="%s"`, name, file))
		h.Set("Content-Type", kind)
		h.Set("Content-Transfer-Encoding", "binary")
		part, err := w.CreatePart(h)
		if err == nil {
			_, err = part.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if xmlBytes != nil {
		add("xml_submission_file", "instance.xml", "text/xml", xmlBytes)
	}
	for _, p := range photos {
		add(p.name, p.name, "image/jpeg", p.content)
	}
	if more {
		if err := w.WriteField("*isIncomplete*", "yes"); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), w.FormDataContentType()
}

func read(t testing.TB, name string) []byte {
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func shared(t testing.TB, parts ...string) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			path := filepath.Join(append([]string{filepath.Dir(dir), "shared", "data"}, parts...)...)
			if _, err := os.Stat(path); err == nil {
				return path
			}
			break
		}
	}
	t.Skip("no shared/data beside the repository")
	return ""
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
