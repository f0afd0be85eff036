package test

import (
	"bytes"
	"crypto/md5" // #nosec G501 -- what OpenRosa compares forms with
	"encoding/hex"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/qanat-water/qanat/test/rig"
)

type imported struct {
	ID         string `json:"id"`
	State      string `json:"state"`
	Rows       int    `json:"rows"`
	Creates    int    `json:"creates"`
	Done       int    `json:"done"`
	ErrorRows  int    `json:"error_rows"`
	Undone     int    `json:"undone"`
	Kept       int    `json:"kept"`
	Act        int64  `json:"act"`
	Message    string `json:"message"`
	Sample     []site `json:"sample"`
	Properties any    `json:"-"`
	Errors     []struct {
		Row                  int
		Column, Value        string
		Message, Mend, Place string
	} `json:"errors"`
}

func (j *job) total() int {
	j.Helper()
	page := rig.Get[rig.List[rig.Doc[site]]](j.Admin, "/sites?org="+j.Org+"&limit=1")
	if page.Total == nil {
		j.Fatal("the list of sites has no total")
	}
	return int(*page.Total)
}

// importSites imports 11,409 real water points, or 40 of our own, takes them back, and takes that back.
func (j *job) importSites() {
	file, want := []byte("name,lat,lon,status\n"), 40
	for n := range want {
		file = fmt.Appendf(file, "Own pump %d,%.4f,39.5,functional\n", n, -4-float64(n)/100)
	}
	if root, err := rig.Root(); err == nil {
		if real, err := os.ReadFile(filepath.Join(root, "..", "shared/data/sites/malawi-functionality.csv")); err == nil {
			file, want = real, 11409
			if j.Database != "" && !soak() { // the same code as on the embedded engine; the whole file takes minutes
				want = 2000
				file = bytes.Join(bytes.SplitAfterN(real, []byte("\n"), want+2)[:want+1], nil)
			}
		}
	}
	before := j.total()
	preview := rig.Post[imported](j.Admin, "/imports?org="+j.Org+"&branch="+j.Org+"&type=water_point&name=malawi.csv", rig.Raw{Type: "text/csv", Body: bytes.NewReader(file)})
	if preview.State != "preview" || preview.Rows != want || len(preview.Sample) == 0 {
		j.Fatalf("preview of %d rows: %+v", want, preview)
	}
	if got := j.total(); got != before {
		j.Errorf("a preview has made %d sites", got-before)
	}
	rig.Post[imported](j.Admin, "/imports/"+preview.ID+"/run", map[string]any{})
	began := time.Now()
	var now imported
	seen := map[int]bool{}
	for now.State == "" || now.State == "running" {
		time.Sleep(100 * time.Millisecond)
		now = rig.Get[imported](j.Admin, "/imports/"+preview.ID)
		seen[now.Done] = true
		if time.Since(began) > 3*time.Minute {
			j.Fatalf("the import does not end: %+v", now)
		}
	}
	j.Logf("%d rows in %s, progress seen %d times", want, time.Since(began).Round(time.Millisecond), len(seen))
	j.imported = now.Creates
	if now.State != "done" || now.Done != want || now.Creates+now.ErrorRows != want || now.Creates < want*9/10 || j.total() != before+now.Creates {
		j.Fatalf("after the import there are %d sites, before %d: %+v", j.total(), before, now)
	}
	if want > 5000 && len(seen) < 3 {
		j.Errorf("progress of a long import was seen at %v only", slices.Sorted(maps.Keys(seen)))
	}

	began = time.Now()
	undone := rig.Post[imported](j.Admin, "/imports/"+preview.ID+"/undo", map[string]any{"reason": "wrong district"})
	if undone.State != "undone" || undone.Kept != 0 || j.total() != before {
		j.Fatalf("after the undo there are %d sites, want %d: %+v", j.total(), before, undone)
	}
	j.Logf("undone in %s", time.Since(began).Round(time.Millisecond))
	// The undo is an act like any other: it can be taken back from Activity.
	var undo int64
	for _, act := range rig.Get[rig.List[act]](j.Admin, "/activity?org="+j.Org+"&limit=20").Items {
		if act.Entry.Verb == "undo" && act.Kinds["site"] > 0 {
			undo = act.Act
			break
		}
	}
	if undo == 0 {
		j.Fatal("Activity does not show the undo of the import")
	}
	redone := rig.Post[struct {
		Count     int
		Conflicts []any
	}](j.Admin, fmt.Sprintf("/acts/%d/undo", undo), map[string]any{"reason": "it was the right one"})
	if len(redone.Conflicts) > 0 || redone.Count < j.imported || j.total() != before+j.imported {
		j.Fatalf("after the redo there are %d sites, want %d: %+v", j.total(), before+j.imported, redone)
	}
	points := rig.Get[struct{ IDs []string }](j.Admin, "/sites/points?org="+j.Org)
	if len(points.IDs) < j.imported*9/10 {
		j.Errorf("the map has %d points of %d sites", len(points.IDs), j.imported)
	}
}

type response struct {
	InstanceID  string         `json:"instance_id"`
	State       string         `json:"state"`
	Site        string         `json:"site"`
	Submission  string         `json:"submission"`
	ConflictOf  string         `json:"conflict_of"`
	Incomplete  bool           `json:"incomplete"`
	Answers     map[string]any `json:"answers"`
	Attachments []struct {
		Name, Blob string
		Size       int64
		Missing    bool
	} `json:"attachments"`
}

// survey uploads a form, deploys it, and returns the survey's id.
func (j *job) survey(xform []byte) string {
	j.Helper()
	made := rig.Post[rig.Doc[struct{ Name string }]](j.Admin, "/surveys?org="+j.Org+"&branch="+j.Org, rig.Raw{Type: "application/xml", Body: bytes.NewReader(xform)})
	rig.Post[rig.Doc[struct{}]](j.Admin, "/surveys/"+made.ID+"/deployments", map[string]any{
		"survey": made.ID, "name": "Kwale", "active": true, "enumerators": []string{"group:" + j.Org + "/members"}, "stages": []map[string]any{{"name": "Check", "approvers": []string{"person:" + j.Admin.ID}}},
	})
	return made.ID
}

func (j *job) responses(survey string) []rig.Doc[response] {
	j.Helper()
	return rig.Get[rig.List[rig.Doc[response]]](j.Admin, "/responses?org="+j.Org+"&survey="+survey+"&limit=200").Items
}

func picture(shade uint8) []byte {
	img := image.NewGray(image.Rect(0, 0, 64, 48))
	for i := range img.Pix {
		img.Pix[i] = shade ^ uint8(i) // #nosec G115 -- a pattern
	}
	img.SetGray(1, 1, color.Gray{shade})
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// collect is what ODK Collect does: list, download, announce, send; again after a lost answer; photos in two requests.
func (j *job) collect() {
	xform, err := os.ReadFile("testdata/visit.xml")
	if err != nil {
		j.Fatal(err)
	}
	survey := j.survey(xform)
	j.phone = j.Phone(j.enumerator, "Juma's phone")
	j.secrets["the phone's token"] = j.phone.Token()

	if answer, err := j.phone.Do(http.MethodGet, "/formList", nil, "X-OpenRosa-Version", ""); err != nil || answer.Status != http.StatusBadRequest {
		j.Errorf("formList without X-OpenRosa-Version: %v %+v; want 400", err, answer)
	}
	j.download("visit", xform)
	if answer, err := j.phone.Do(http.MethodHead, "/submission", nil); err != nil || answer.Status != http.StatusNoContent || answer.Header.Get("X-OpenRosa-Accept-Content-Length") == "" {
		j.Errorf("HEAD submission: %v %+v", err, answer)
	}

	instance := func(id string, litres int) []byte {
		return fmt.Appendf(nil, `<?xml version='1.0' ?><data id="visit" version="1"><site>%s</site><works>yes</works><litres>%d</litres><photo>pump.png</photo><meter>meter.png</meter><meta><instanceID>uuid:%s</instanceID></meta></data>`, j.site.Body.Code, litres, id)
	}
	first := instance("11111111-1111-4111-8111-111111111111", 18)
	j.photo = picture(1)
	meter := picture(2)
	j.phone.Submit(http.StatusCreated, first, []rig.File{{Name: "pump.png", Type: "image/png", Content: j.photo}}, true)
	if got := j.responses(survey); len(got) != 1 || !got[0].Body.Incomplete || got[0].Body.State != "pending" {
		j.Fatalf("after the first half: %+v", got)
	}
	j.phone.Submit(http.StatusCreated, first, []rig.File{{Name: "meter.png", Type: "image/png", Content: meter}}, false)
	j.phone.Submit(http.StatusCreated, first, []rig.File{{Name: "meter.png", Type: "image/png", Content: meter}}, false) // the answer was lost
	got := j.responses(survey)
	if len(got) != 1 {
		j.Fatalf("the same submission three times made %d responses", len(got))
	}
	changed := instance("11111111-1111-4111-8111-111111111111", 99)
	j.phone.Submit(http.StatusCreated, changed, nil, false)
	all := j.responses(survey)
	if len(all) != 2 {
		j.Fatalf("other content under the same instanceID made %d responses, want 2", len(all))
	}
	for _, r := range all {
		whole := rig.Get[struct {
			Doc rig.Doc[response] `json:"doc"`
		}](j.Admin, "/responses/"+r.ID).Doc
		xml, err := j.Admin.Send(http.MethodGet, "/responses/"+r.ID+"/submission.xml", nil)
		if err != nil {
			j.Fatal(err)
		}
		j.sent[whole.Body.Submission] = xml.Body
		if r.ID != got[0].ID {
			if whole.Body.ConflictOf != got[0].ID || !bytes.Equal(xml.Body, changed) {
				j.Errorf("the second is no conflict of the first, or not as it was sent: %+v", whole)
			}
			continue
		}
		if !bytes.Equal(xml.Body, first) || whole.Body.Incomplete || whole.Body.Site != j.site.ID {
			j.Errorf("the first response: exact bytes %t, incomplete %t, site %q (want %s)", bytes.Equal(xml.Body, first), whole.Body.Incomplete, whole.Body.Site, j.site.ID)
		}
		for name, want := range map[string][]byte{"pump.png": j.photo, "meter.png": meter} {
			if file, err := j.Admin.Send(http.MethodGet, "/responses/"+r.ID+"/files/"+name, nil); err != nil || file.Status != 200 || !bytes.Equal(file.Body, want) {
				j.Errorf("%s came back as %v", name, err)
			}
		}
	}
	if at := rig.Get[rig.List[rig.Doc[response]]](j.Admin, "/sites/"+j.site.ID+"/responses").Items; len(at) != 2 {
		j.Errorf("the site's page shows %d responses, want 2", len(at))
	}
	approved := rig.Post[rig.Doc[response]](j.Admin, "/responses/"+got[0].ID+"/approve", map[string]any{})
	if approved.Body.State != "final" {
		j.Errorf("after the only stage the response is %q", approved.Body.State)
	}
	stranger := *j.phone
	stranger.URL = strings.Replace(j.phone.URL, j.phone.Token(), strings.Repeat("x", 43), 1)
	if answer, err := stranger.Do(http.MethodGet, "/formList", nil); err != nil || answer.Status != http.StatusUnauthorized {
		j.Errorf("a wrong token: %v %+v; want 401", err, answer)
	}
}

// download checks the form list and the exact form.
func (j *job) download(formID string, xform []byte) {
	j.Helper()
	sum := md5.Sum(xform) // #nosec G401 -- what OpenRosa compares forms with
	for _, f := range j.phone.Forms() {
		if f.FormID != formID {
			continue
		}
		got, err := j.phone.Do(http.MethodGet, f.DownloadURL, nil)
		if err != nil || got.Status != 200 || !bytes.Equal(got.Body, xform) || f.Hash != "md5:"+hex.EncodeToString(sum[:]) {
			j.Errorf("form %s: %v, same bytes %t, hash %s", formID, err, err == nil && bytes.Equal(got.Body, xform), f.Hash)
		}
		return
	}
	j.Errorf("form %s is not in the list", formID)
}

// waterSimple sends a real form's real submissions.
func (j *job) waterSimple() {
	xform, err := os.ReadFile(rig.Shared(j.T, "openrosa/water_simple/forms/WaterSimple.xml"))
	if err != nil {
		j.Fatal(err)
	}
	survey := j.survey(xform)
	j.download("build_WaterSimple_1295821382", xform)
	files, err := filepath.Glob(rig.Shared(j.T, "openrosa/water_simple/instances") + "/WaterSimple_*.xml")
	if err != nil || len(files) != 3 {
		j.Fatalf("%d instances, %v", len(files), err)
	}
	exact := map[string]bool{}
	for range 2 {
		for _, file := range files {
			instance, err := os.ReadFile(file) // #nosec G304 -- test input
			if err != nil {
				j.Fatal(err)
			}
			exact[string(instance)] = true
			j.phone.Submit(http.StatusCreated, instance, nil, false)
		}
	}
	got := j.responses(survey)
	if len(got) != 3 {
		j.Fatalf("three submissions sent twice made %d responses", len(got))
	}
	for _, r := range got {
		xml, err := j.Admin.Send(http.MethodGet, "/responses/"+r.ID+"/submission.xml", nil)
		if err != nil || !exact[string(xml.Body)] {
			j.Errorf("response %s has not the bytes that were sent: %v", r.ID, err)
			continue
		}
		j.sent[r.Body.Submission] = xml.Body
	}
}
