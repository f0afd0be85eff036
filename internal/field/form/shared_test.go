package form

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// shared finds real input that stands beside the repository on some machines; tests over it are skipped elsewhere.
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

// goldens calls visit with each form of the recorded conversions of the reference XLSForm converter.
func goldens(t testing.TB, visit func(n int, xform []byte)) {
	file, err := os.Open(shared(t, "xlsforms", "pyxform-4.5.0-goldens.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(unzipped)
	lines.Buffer(nil, 64<<20)
	for n := 1; lines.Scan(); n++ {
		var line struct {
			XForm string `json:"xform"`
		}
		if err := json.NewDecoder(bytes.NewReader(lines.Bytes())).Decode(&line); err != nil {
			t.Fatalf("line %d: %v", n, err)
		}
		if line.XForm != "" {
			visit(n, []byte(line.XForm))
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}
