package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/qanat-water/qanat/internal/base/fault"
)

// A server that sends mails says itself where their links lead.
func TestMailNeedsURL(t *testing.T) {
	for _, test := range []struct{ text, code string }{
		{"", ""},
		{"url = \"https://water.example.org\"\n[mail]\nhost = \"localhost\"\n", ""},
		{"[mail]\nhost = \"localhost\"\n", "config.url"},
		{"url = \"water.example.org\"\n[mail]\nhost = \"localhost\"\n", "config.url"},
		{"url = \"http://water.example.org\"\n[mail]\nhost = \"localhost\"\n", "config.url"},
	} {
		path := filepath.Join(t.TempDir(), "qanat.toml")
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := readConfig(path)
		if code := ""; err != nil {
			if code = fault.From(err).Code; code != test.code {
				t.Errorf("%q: %v, want %q", test.text, err, test.code)
			}
		} else if test.code != "" {
			t.Errorf("%q is taken", test.text)
		}
	}
}
