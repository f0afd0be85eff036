package openrosa_test

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/qanat-water/qanat/internal/door/openrosa"
)

func TestSettings(t *testing.T) {
	s := openrosa.NewSettings(openrosa.ServerURL("https://water.example.org", strings.Repeat("t", 64), "0190a000-0000-7000-8000-00000000005e"), "Étage Water Office")
	text := must[string](t)(s.Text())
	packed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	unpack := must[io.ReadCloser](t)(zlib.NewReader(bytes.NewReader(packed)))
	plain := must[[]byte](t)(io.ReadAll(unpack))
	var got map[string]map[string]string
	if err := json.Unmarshal(plain, &got); err != nil {
		t.Fatal(err)
	}
	if got["general"] == nil || got["admin"] == nil || got["project"]["icon"] != "É" || !strings.HasSuffix(got["general"]["server_url"], "/projects/0190a000-0000-7000-8000-00000000005e") {
		t.Errorf("%s", plain)
	}

	svg := must[string](t)(s.SVG())
	if err := xml.Unmarshal([]byte(svg), new(struct{})); err != nil || strings.Contains(svg, "style=") || len(svg) > 100_000 {
		t.Errorf("%d bytes: %v", len(svg), err)
	}
}

// The settings are what Collect's own schema allows.
func TestSettingsBySchema(t *testing.T) {
	text, err := os.ReadFile(shared(t, "openrosa", "collect-settings.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	type property struct {
		Type       string
		Enum       []string
		Properties map[string]property
		Required   []string
	}
	var schema property
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	plain := must[[]byte](t)(json.Marshal(openrosa.NewSettings("https://water.example.org/v1/key/x/projects/y", "Office")))
	var got map[string]map[string]any
	if err := json.Unmarshal(plain, &got); err != nil {
		t.Fatal(err)
	}
	for _, must := range append(schema.Required, "general", "admin") {
		if _, ok := got[must]; !ok {
			t.Errorf("%s is missing", must)
		}
	}
	for section, values := range got {
		known, ok := schema.Properties[section]
		if !ok {
			t.Errorf("Collect knows no section %s", section)
		}
		for key, value := range values {
			p, ok := known.Properties[key]
			if !ok || p.Type != "string" {
				t.Errorf("Collect knows no text setting %s.%s", section, key)
			}
			allowed := len(p.Enum) == 0
			for _, e := range p.Enum {
				allowed = allowed || e == value
			}
			if !allowed {
				t.Errorf("%s.%s is %v, not one of %v", section, key, value, p.Enum)
			}
		}
	}
}
