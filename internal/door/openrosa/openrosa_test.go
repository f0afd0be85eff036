package openrosa_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/door/openrosa"
	"github.com/qanat-water/qanat/internal/field/response"
	"github.com/qanat-water/qanat/internal/field/site"
	"github.com/qanat-water/qanat/internal/field/survey"
	"github.com/qanat-water/qanat/internal/ledger"
)

const visitForm, visitInstance = "../../field/form/testdata/visit.xml", "../../field/form/testdata/visit-instance.xml"

func (w *world) all(t testing.TB) []response.Response {
	page := must[response.Page](t)(w.responses.List(ctx, w.Admin, response.Filter{Org: w.Org, Limit: 500}))
	var out []response.Response
	for i := len(page.Items) - 1; i >= 0; i-- {
		shown := must[response.Shown](t)(w.responses.Get(ctx, w.Admin, page.Items[i].ID))
		out = append(out, shown.Doc.Body)
	}
	return out
}

// noToken fails when a token has found its way into the log.
func (w *world) noToken(t testing.TB, c *collect) {
	if strings.Contains(w.log.String(), c.token) || strings.Contains(w.log.String(), c.token[:16]) {
		t.Errorf("the token is in the log:\n%s", strings.ReplaceAll(w.log.String(), c.token, "TOKEN"))
	}
}

func TestSyncAndSend(t *testing.T) {
	each(t, openrosa.Limits{Advise: 3000}, func(t *testing.T, w *world) {
		s := w.deploy(t, read(t, visitForm))
		must[ledger.Doc[survey.FormFile]](t)(w.surveys.AddFile(ctx, w.Admin, s.Body.Form, "villages and towns.csv", strings.NewReader("name,label\na,A\n")))
		c := w.collect(t)
		forms := c.sync()
		if len(forms) != 1 || forms[0].FormID != "pump_visit" || forms[0].Version != "7" || !bytes.Equal(c.forms["pump_visit/7"], read(t, visitForm)) || len(c.forms["pump_visit/villages and towns.csv"]) == 0 {
			t.Errorf("synced %+v", forms)
		}

		instance := read(t, visitInstance)
		photos := []photo{{"audit.csv", bytes.Repeat([]byte("a,b\n"), 600)}, {"1700000000.jpg", append([]byte("\x89PNG\r\n\x1a\n"), bytes.Repeat([]byte("x"), 2500)...)}}
		if status, body := c.send(instance, photos...); status != 201 || !strings.Contains(body, `nature="submit_success"`) {
			t.Fatalf("%d %s", status, body)
		}
		all := w.all(t)
		if len(all) != 1 {
			t.Fatalf("%d responses", len(all))
		}
		b := all[0]
		if b.Incomplete || len(b.Attachments) != 2 || b.Attachments[0].Missing || b.Attachments[0].Blob != sha(photos[1].content) || !b.Attachments[1].Unexpected || b.Enumerator != w.Member.ID {
			t.Errorf("after a split upload: %+v", b.Attachments)
		}
		if status, _ := c.send(instance, photos...); status != 201 {
			t.Errorf("again: %d", status)
		}
		if n := len(w.all(t)); n != 1 {
			t.Errorf("again made %d responses", n)
		}
		xml := must[[]byte](t)(w.responses.XML(ctx, w.Admin, b.Submission))
		if !bytes.Equal(xml, instance) {
			t.Error("the XML is not what was sent")
		}
		sub := ledger.Doc[response.Submission]{}
		w.Read(t, func(r *ledger.Reader) (err error) { sub, err = response.Submissions.Get(r, b.Submission); return err })
		if sub.Revision != 1 || sub.Body.Device != "collect:abc" {
			t.Errorf("submission %d %+v", sub.Revision, sub.Body)
		}
		if status, _ := c.send(bytes.Replace(instance, []byte("leak"), []byte("dry"), 1)); status != 201 {
			t.Errorf("other content under the same id: %d", status)
		}
		if all := w.all(t); len(all) != 2 || all[1].ConflictOf == "" {
			t.Errorf("%d responses, conflict of %q", len(all), all[len(all)-1].ConflictOf)
		}
		w.noToken(t, c)
	})
}

// The sample form has an invalid constraint and its submissions have no instanceID.
func TestWaterSimple(t *testing.T) {
	dir := shared(t, "openrosa", "water_simple")
	each(t, openrosa.Limits{}, func(t *testing.T, w *world) {
		w.deploy(t, read(t, filepath.Join(dir, "forms", "WaterSimple.xml")))
		c := w.collect(t)
		if forms := c.sync(); len(forms) != 1 || forms[0].FormID != "build_WaterSimple_1295821382" {
			t.Fatalf("%+v", forms)
		}
		names, err := filepath.Glob(filepath.Join(dir, "instances", "*.xml"))
		if err != nil || len(names) != 4 {
			t.Fatal(names, err)
		}
		for range 2 {
			for _, name := range names {
				want := 201
				if filepath.Base(name) == "blank.xml" { // names the form #FORM_ID#
					want = 202
				}
				if status, body := c.send(read(t, name)); status != want {
					t.Errorf("%s: %d %s", filepath.Base(name), status, body)
				}
			}
		}
		all := w.all(t)
		if len(all) != 3 {
			t.Fatalf("%d responses", len(all))
		}
		for _, b := range all {
			if b.Location == nil || !strings.HasPrefix(b.InstanceID, "uuid:") || b.Started == "" || len(b.Flags) > 0 || b.Answers["users_per_month"].(float64) < 300 {
				t.Errorf("%+v", b)
			}
		}
		if held := must[[]ledger.Doc[response.Submission]](t)(w.responses.Quarantined(ctx, w.Admin, w.Org)); len(held) != 1 || held[0].Body.FormID != "#FORM_ID#" {
			t.Errorf("quarantine %+v", held)
		}
	})
}

func TestListsAreNotSentTwice(t *testing.T) {
	each(t, openrosa.Limits{}, func(t *testing.T, w *world) {
		s := w.deploy(t, read(t, visitForm))
		must[ledger.Doc[survey.FormFile]](t)(w.surveys.AddFile(ctx, w.Admin, s.Body.Form, "a.csv", strings.NewReader("x")))
		c := w.collect(t)
		form := c.sync()[0]
		for _, url := range []string{c.base + "/formList", form.DownloadURL, form.ManifestURL} {
			first, _ := c.do(c.request("GET", url, nil))
			again := c.request("GET", url, nil)
			again.Header.Set("If-None-Match", first.Header.Get("ETag"))
			resp, body := c.do(again)
			if first.Header.Get("ETag") == "" || resp.StatusCode != 304 || len(body) > 0 {
				t.Errorf("%s: %d", strings.TrimPrefix(url, c.base), resp.StatusCode)
			}
		}
		next := bytes.Replace(read(t, visitForm), []byte(`orx:version="7"`), []byte(`orx:version="8"`), 1)
		before, _ := c.do(c.request("GET", c.base+"/formList", nil))
		must[ledger.Doc[survey.Form]](t)(w.surveys.AddVersion(ctx, w.Admin, s.ID, next))
		after := c.request("GET", c.base+"/formList", nil)
		after.Header.Set("If-None-Match", before.Header.Get("ETag"))
		if resp, _ := c.do(after); resp.StatusCode != 200 {
			t.Errorf("a new version: %d", resp.StatusCode)
		}
		if status, _ := c.send(read(t, visitInstance)); status != 201 { // filled in with the older version
			t.Errorf("an older version: %d", status)
		}
	})
}

func TestRefusals(t *testing.T) {
	each(t, openrosa.Limits{Bytes: 100_000, Parts: 5}, func(t *testing.T, w *world) {
		w.deploy(t, read(t, visitForm))
		c := w.collect(t)
		instance := read(t, visitInstance)
		good, kind := multi(t, instance, nil, false)
		none, noneKind := multi(t, nil, []photo{{"a.jpg", []byte("x")}}, false)
		large, largeKind := multi(t, instance, []photo{{"a.jpg", bytes.Repeat([]byte("x"), 200_000)}}, false)
		var photos []photo
		for i := range 6 {
			photos = append(photos, photo{fmt.Sprintf("%d.jpg", i), []byte("x")})
		}
		many, manyKind := multi(t, instance, photos, false)
		two, twoKind := multi(t, instance, []photo{{"1700000000.jpg", []byte("x")}}, false)
		between := bytes.Index(two, []byte("1700000000.jpg\"")) // after the XML, in the head of the photo
		other := w.Organization(t, "Other")
		for _, x := range []struct {
			name, method, url, kind string
			body                    []byte
			change                  func(*http.Request)
			status                  int
			text                    string
		}{
			{"no version header", "GET", c.base + "/formList", "", nil, func(r *http.Request) { r.Header.Del("X-OpenRosa-Version") }, 400, "X-OpenRosa-Version"},
			{"no version header on HEAD", "HEAD", c.base + "/submission", "", nil, func(r *http.Request) { r.Header.Del("X-OpenRosa-Version") }, 400, ""},
			{"bad token", "GET", strings.Replace(c.base, c.token, strings.Repeat("a", 64), 1) + "/formList", "", nil, nil, 401, "Scan a new QR code"},
			{"bad token on POST", "POST", strings.Replace(c.base, c.token, "short", 1) + "/submission", kind, good, nil, 401, "Scan a new QR code"},
			{"another organization", "GET", strings.Replace(c.base, w.Org, other, 1) + "/formList", "", nil, nil, 404, "no such project"},
			{"no such form", "GET", c.base + "/forms/0190a000-0000-7000-8000-00000000005e.xml", "", nil, nil, 404, ""},
			{"no such place", "GET", c.base + "/forms", "", nil, nil, 404, "nothing at this address"},
			{"PUT", "PUT", c.base + "/submission", kind, good, nil, 404, "nothing at this address"},
			{"not multipart", "POST", c.base + "/submission", "text/xml", instance, nil, 400, "multipart/form-data"},
			{"no boundary", "POST", c.base + "/submission", "multipart/form-data", good, nil, 400, "multipart/form-data"},
			{"no XML", "POST", c.base + "/submission", noneKind, none, nil, 400, "xml_submission_file"},
			{"cut off", "POST", c.base + "/submission", kind, good[:len(good)-30], nil, 400, "ended in the middle"},
			{"cut off in the headers", "POST", c.base + "/submission", kind, good[:60], nil, 400, "ended in the middle"},
			{"cut off between parts", "POST", c.base + "/submission", twoKind, two[:between], nil, 400, "ended in the middle"},
			{"too large", "POST", c.base + "/submission", largeKind, large, nil, 413, "larger than"},
			{"too many parts", "POST", c.base + "/submission", manyKind, many, nil, 413, "at most 5 parts"},
		} {
			t.Run(x.name, func(t *testing.T) {
				var body io.Reader
				if x.body != nil {
					body = bytes.NewReader(x.body)
				}
				r := c.request(x.method, x.url, body)
				if x.kind != "" {
					r.Header.Set("Content-Type", x.kind)
				}
				if x.change != nil {
					x.change(r)
				}
				resp, answer := c.do(r)
				if resp.StatusCode != x.status {
					t.Fatalf("%d %s, want %d", resp.StatusCode, answer, x.status)
				}
				if x.method == "HEAD" {
					return
				}
				var m struct {
					XMLName xml.Name `xml:"http://openrosa.org/http/response OpenRosaResponse"`
					Message struct {
						Nature string `xml:"nature,attr"`
						Text   string `xml:",chardata"`
					} `xml:"message"`
				}
				if err := xml.Unmarshal(answer, &m); err != nil || m.Message.Nature != "error" || !strings.Contains(m.Message.Text, x.text) {
					t.Errorf("%s: %v", answer, err)
				}
				if strings.Contains(string(answer), c.token[:16]) {
					t.Error("the token is in the answer")
				}
			})
		}
		if n := len(w.all(t)); n != 0 {
			t.Errorf("%d responses", n)
		}
		w.noToken(t, c)
	})
}

// What can never become a response by itself is still kept, and the phone is told that it is.
func TestQuarantineIsAccepted(t *testing.T) {
	each(t, openrosa.Limits{}, func(t *testing.T, w *world) {
		c := w.collect(t)
		for name, xml := range map[string]string{
			"broken": "<data id='x'><a>", "empty": "", "entities": "<!DOCTYPE d [<!ENTITY a 'b'>]><d id='x'>&a;</d>", "latin": "<d id='x'>\xe9</d>", "unknown": "<d id='x'/>",
			"deep": "<d id='x'>" + strings.Repeat("<a>", 5000) + strings.Repeat("</a>", 5000) + "</d>",
		} {
			resp, body := c.post([]byte(xml), []photo{{"p.jpg", []byte("photo of " + name)}}, false)
			if resp.StatusCode != 202 || !strings.Contains(string(body), "Received and kept") {
				t.Errorf("%s: %d %s", name, resp.StatusCode, body)
			}
		}
		held := must[[]ledger.Doc[response.Submission]](t)(w.responses.Quarantined(ctx, w.Admin, w.Org))
		if len(held) != 6 {
			t.Fatalf("%d in quarantine", len(held))
		}
		for _, h := range held {
			if len(h.Body.Attachments) != 1 || h.Body.Attachments[0].Blob == "" {
				t.Errorf("%+v", h.Body)
			}
		}
	})
}

func TestSlowPhone(t *testing.T) {
	eachHTTP(t, openrosa.Limits{Idle: 200 * time.Millisecond, Total: 500 * time.Millisecond}, func(t *testing.T, w *world) {
		w.deploy(t, read(t, visitForm))
		c := w.collect(t)
		body, kind := multi(t, read(t, visitInstance), nil, false)
		slow, end := io.Pipe()
		go func() {
			for _, b := range body {
				if _, err := end.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
			end.Close()
		}()
		r := c.request("POST", c.base+"/submission", slow)
		r.Header.Set("Content-Type", kind)
		start := time.Now()
		resp, err := c.client.Do(r)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("status %d", resp.StatusCode)
			}
		}
		slow.Close()
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("the server waited %s", took)
		}
		if status, _ := c.send(read(t, visitInstance)); status != 201 {
			t.Errorf("another request: %d", status)
		}
	})
}

// A network may be slow as long as it moves: longer than the server's time for a request is no reason to give up.
func TestSlowNetwork(t *testing.T) {
	eachHTTP(t, openrosa.Limits{}, func(t *testing.T, w *world) {
		w.deploy(t, read(t, visitForm))
		c := w.collect(t)
		body, kind := multi(t, read(t, visitInstance), nil, false)
		slow, end := io.Pipe()
		go func() {
			for part := range slices.Chunk(body, len(body)/10) {
				end.Write(part)
				time.Sleep(250 * time.Millisecond)
			}
			end.Close()
		}()
		r := c.request("POST", c.base+"/submission", slow)
		r.Header.Set("Content-Type", kind)
		if resp, answer := c.do(r); resp.StatusCode != 201 {
			t.Errorf("%d %s", resp.StatusCode, answer)
		}
	})
}

// A connection that breaks in a file leaves nothing behind, and the next try succeeds.
func TestBrokenConnection(t *testing.T) {
	eachHTTP(t, openrosa.Limits{}, func(t *testing.T, w *world) {
		w.deploy(t, read(t, visitForm))
		c := w.collect(t)
		body, kind := multi(t, read(t, visitInstance), []photo{{"1700000000.jpg", bytes.Repeat([]byte("x"), 1<<20)}}, false)
		broken, end := io.Pipe()
		go func() {
			end.Write(body[:len(body)/2])
			end.CloseWithError(net.ErrClosed)
		}()
		r := c.request("POST", c.base+"/submission", broken)
		r.Header.Set("Content-Type", kind)
		if resp, err := c.client.Do(r); err == nil {
			resp.Body.Close()
			t.Errorf("answered %d", resp.StatusCode)
		}
		if n := len(w.all(t)); n != 0 {
			t.Errorf("%d responses", n)
		}
		if status, _ := c.send(read(t, visitInstance), photo{"1700000000.jpg", bytes.Repeat([]byte("x"), 1<<20)}); status != 201 {
			t.Errorf("the next try: %d", status)
		}
		w.noToken(t, c)
	})
}

// An answer that has a site's code links the response to it, unless the enumerator may not attach responses there.
func TestSiteByCode(t *testing.T) {
	each(t, openrosa.Limits{}, func(t *testing.T, w *world) {
		sites := site.New(w.Ledger, nil)
		defer sites.Close()
		w.responses.Sites = site.Find
		other := w.Organization(t, "Other")
		private := must[ledger.Doc[site.Site]](t)(sites.Create(ctx, w.Admin, w.Org, site.Site{Type: "water_point", Name: "Mtepe", Branch: w.Org, Privacy: "protected"}))
		w.deploy(t, read(t, visitForm))
		c := w.collect(t)
		instance := bytes.Replace(read(t, visitInstance), []byte("<site_code>10007<"), []byte("<site_code>"+private.Body.Code+"<"), 1)
		if status, body := c.send(instance); status != 201 {
			t.Fatalf("%d %s", status, body)
		}
		if all := w.all(t); len(all) != 1 || all[0].Site != private.ID {
			t.Errorf("linked to %q, want %q", all[0].Site, private.ID)
		}
		w.Read(t, func(r *ledger.Reader) error {
			if _, found, err := site.Find(r, w.Admin, other, private.Body.Code); err != nil || found {
				t.Errorf("found from another organization: %v", err)
			}
			return nil
		})
	})
}

// The baseline is one phone at a time, where each submission has a commit of its own.
func BenchmarkSubmissions(b *testing.B) {
	instance := read(b, visitInstance)
	storetest.EachBench(b, func(b *testing.B, open func() *store.Store) {
		for _, photos := range []int{0, 1} {
			baseline := 0.0
			for _, phones := range []int{1, 32} {
				b.Run(fmt.Sprintf("photos=%d/phones=%d", photos, phones), func(b *testing.B) {
					w := newWorld(b, open(), openrosa.Limits{}, false)
					w.server.Client().Transport.(*http.Transport).MaxIdleConnsPerHost = 64
					w.deploy(b, read(b, visitForm))
					c := w.collect(b)
					picture := bytes.Repeat([]byte("0123456789abcdef"), 200<<10/16)
					next := make(chan int, b.N)
					for i := range b.N {
						next <- i
					}
					close(next)
					var all sync.WaitGroup
					b.ResetTimer()
					for range phones {
						all.Go(func() {
							for i := range next {
								xml := bytes.Replace(instance, []byte("uuid:6a3d5a5e"), fmt.Appendf(nil, "uuid:%08x", i), 1)
								var files []photo
								if photos > 0 {
									files = []photo{{"1700000000.jpg", append(fmt.Appendf(nil, "%d", i), picture...)}}
								}
								if resp, body := c.post(xml, files, false); resp.StatusCode != 201 {
									b.Errorf("%d %s", resp.StatusCode, body)
									return
								}
							}
						})
					}
					all.Wait()
					rate := float64(b.N) / b.Elapsed().Seconds()
					b.ReportMetric(rate, "submissions/s")
					if phones == 1 {
						baseline = rate
					} else if baseline > 0 {
						b.ReportMetric(rate/baseline, "x-one-phone")
					}
				})
			}
		}
	})
}
