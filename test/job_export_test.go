package test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/qanat-water/qanat/test/rig"
)

// export reads the archive as somebody would who has nothing but the archive.
func (j *job) export() {
	answer, err := j.Admin.Send(http.MethodGet, "/organizations/"+j.Org+"/export", nil)
	if err != nil || answer.Status != http.StatusOK {
		j.Fatalf("export: %v", err)
	}
	files := unzip(j.T, answer.Body)
	var manifest struct {
		Documents, Entries int
		Files              []struct {
			Name   string
			Size   int64
			SHA256 string
		}
		Missing []string
	}
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
		j.Fatal(err)
	}
	if len(manifest.Files) != len(files)-1 || len(manifest.Missing) > 0 {
		j.Errorf("the manifest names %d files of %d, and %d as missing", len(manifest.Files), len(files)-1, len(manifest.Missing))
	}
	for _, f := range manifest.Files {
		sum := sha256.Sum256(files[f.Name])
		if hex.EncodeToString(sum[:]) != f.SHA256 || f.Size != int64(len(files[f.Name])) {
			j.Errorf("%s is not what the manifest says", f.Name)
		}
	}
	for submission, xml := range j.sent {
		if !bytes.Equal(files["submissions/"+submission+".xml"], xml) {
			j.Errorf("submission %s is not in the archive byte for byte", submission)
		}
	}
	sum := sha256.Sum256(j.photo)
	if !bytes.Equal(files["files/"+hex.EncodeToString(sum[:])], j.photo) {
		j.Error("the photo is not in the archive")
	}
	if lines := bytes.Count(files["sites.csv"], []byte("\n")); lines < j.imported+2 {
		j.Errorf("sites.csv has %d lines for %d imported sites", lines, j.imported)
	}
	for _, d := range j.devices {
		want := 0
		for _, points := range j.published[d.ID] {
			want += len(points)
		}
		if got := bytes.Count(files["readings/"+d.ID+".csv"], []byte("\n")) - 1; got != want {
			j.Errorf("device %s: %d readings in the archive, %d were published", d.Serial, got, want)
		}
	}
	entries, ofSite := 0, 0
	for line := range bytes.Lines(files["history.jsonl"]) {
		entries++
		if bytes.Contains(line, []byte(`"doc":"`+j.site.ID+`"`)) {
			ofSite++
		}
	}
	if entries != manifest.Entries || ofSite != 3 || bytes.Count(files["documents.jsonl"], []byte("\n")) != manifest.Documents {
		j.Errorf("history.jsonl has %d entries (manifest: %d), %d of the site (want 3)", entries, manifest.Entries, ofSite)
	}
	for what, secret := range j.secrets {
		for name, content := range files {
			if bytes.Contains(content, []byte(secret)) {
				j.Errorf("%s stands in %s of the export", what, name)
			}
		}
	}
	if _, err := j.enumerator.Send(http.MethodGet, "/sites?org="+j.Org, nil); err != nil {
		j.Error(err)
	}
	var p *rig.Problem
	if err := j.enumerator.Call(http.MethodGet, "/organizations/"+j.Org+"/export", nil, nil); !asProblem(err, &p) {
		j.Errorf("an enumerator takes everything out: %v", err)
	}
}

func unzip(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if files[f.Name], err = io.ReadAll(r); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return files
}
