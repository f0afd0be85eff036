package web

import (
	"encoding/json"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/clock"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/base/vault"
	"github.com/qanat-water/qanat/internal/ledger"
)

func TestMoment(t *testing.T) {
	v, err := vault.New([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	l, err := ledger.Open(t.Context(), ledger.Config{Store: storetest.SQLite(t)(), Vault: v, Clock: clock.NewManual(now), Origin: "test.example/qanat"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &server{House: House{Ledger: l}}
	for text, code := range map[string]string{
		"": "", "2026-02-28T08:00:00Z": "", "2026-03-01T09:00:00+01:00": "", "2026-03-01T08:00:00.123Z": "at.future", "2026-03-02T00:00:00Z": "at.future",
		"yesterday": "at.unreadable", "2026-03-01": "at.unreadable", "2026-02-30T08:00:00Z": "at.unreadable",
	} {
		at, err := s.moment(AsOf{text})
		if code == "" {
			if err != nil || at.IsZero() != (text == "") {
				t.Errorf("%q: %s, %v", text, at, err)
			}
			continue
		}
		f := fault.From(err)
		if err == nil || f.Code != code || f.Kind != fault.Invalid || len(f.Details) != 1 || f.Details[0].Place != "at" {
			t.Errorf("%q: %+v, want %s with its place", text, f, code)
		}
	}
}

// TestPathsAreRead: whatever stands in braces in a path is a parameter of its
// route. A type that is embedded without being exported would be passed over.
func TestPathsAreRead(t *testing.T) {
	raw, err := Spec("test")
	if err != nil {
		t.Fatal(err)
	}
	var spec struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name, In string } `json:"parameters"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(raw, &spec); err != nil {
		t.Fatal(err)
	}
	for path, methods := range spec.Paths {
		for method, op := range methods {
			for _, name := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1) {
				found := false
				for _, p := range op.Parameters {
					found = found || p.In == "path" && p.Name == name[1]
				}
				if !found {
					t.Errorf("%s %s does not read %s", method, path, name[0])
				}
			}
		}
	}
}

// Lists of the past cost a lot: one person does not keep all others from them.
func TestListsOfThePastAreFew(t *testing.T) {
	s, _ := newServer(House{})
	then := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	one := ledger.Actor{Kind: "account", ID: "one"}
	var last func()
	for range maxPastsOfOne {
		free, err := s.past(one, then)
		if err != nil {
			t.Fatal(err)
		}
		last = free
	}
	if _, err := s.past(one, then); err == nil || fault.From(err).Code != "at.busy" {
		t.Errorf("one more: %v", err)
	}
	if _, err := s.past(one, time.Time{}); err != nil {
		t.Errorf("now: %v", err)
	}
	if _, err := s.past(ledger.Actor{Kind: "account", ID: "another"}, then); err != nil {
		t.Errorf("somebody else: %v", err)
	}
	last()
	if _, err := s.past(one, then); err != nil {
		t.Errorf("when one has ended: %v", err)
	}
}

// TestMomentsAreRead: every record, list and map that has a past reads the moment.
func TestMomentsAreRead(t *testing.T) {
	raw, err := Spec("test")
	if err != nil {
		t.Fatal(err)
	}
	var spec struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name, In string } `json:"parameters"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(raw, &spec); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"/sites", "/sites/points", "/sites/{id}", "/sites/{id}/responses", "/sites/{id}/devices", "/sites/{id}/photos/{name}", "/responses", "/responses/{id}", "/responses/{id}/files/{name}",
		"/surveys", "/surveys/{id}", "/surveys/{id}/form", "/surveys/{id}/deployments", "/deployments/{id}", "/phones", "/devices", "/devices/{id}", "/grants",
		"/organizations/{id}", "/organizations/{id}/members",
	} {
		if !slices.Contains(spec.Paths["/api/v1"+path]["get"].Parameters, struct{ Name, In string }{"at", "query"}) {
			t.Errorf("GET %s does not read the moment", path)
		}
	}
}
