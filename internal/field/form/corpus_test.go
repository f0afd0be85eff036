package form

import (
	"os"
	"path/filepath"
	"testing"
)

func TestParseCollectForms(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(shared(t, "xforms", "collect", "forms"), "*.xml"))
	if err != nil || len(names) == 0 {
		t.Fatal("no forms", err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Parse(data)
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(name), err)
			continue
		}
		if len(f.Warnings) > 0 {
			t.Logf("%s: %v", filepath.Base(name), f.Warnings)
		}
	}
}

func TestParseGoldens(t *testing.T) {
	good := 0
	goldens(t, func(n int, xform []byte) {
		f, err := Parse(xform)
		if err != nil {
			t.Errorf("line %d: %v", n, err)
			return
		}
		if len(f.Warnings) > 0 {
			t.Logf("line %d: %v", n, f.Warnings)
		}
		good++
	})
	t.Logf("%d forms parsed", good)
}
