package web

import (
	"encoding/json"
	"regexp"
	"slices"
	"testing"
)

var inPath = regexp.MustCompile(`\{(\w+)\}`)

// The API library passes over embedded types that are not exported, and a route
// then reads nothing of its own address.
func TestRoutesReadTheirAddress(t *testing.T) {
	spec, err := Spec("test")
	if err != nil {
		t.Fatal(err)
	}
	var api struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name, In string }
		}
	}
	if err := json.Unmarshal(spec, &api); err != nil {
		t.Fatal(err)
	}
	routes := 0
	for path, methods := range api.Paths {
		for method, route := range methods {
			routes++
			for _, part := range inPath.FindAllStringSubmatch(path, -1) {
				if !slices.Contains(route.Parameters, struct{ Name, In string }{part[1], "path"}) {
					t.Errorf("%s %s does not read {%s}: export the type that has it", method, path, part[1])
				}
			}
		}
	}
	if routes < 100 {
		t.Errorf("%d routes: nothing is tested", routes)
	}
}
