package web

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"html/template"
	"maps"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.html
var docsPage string

//go:embed docs.css
var docsStyle string

var docsTemplate = template.Must(template.New("docs").Parse(docsPage))

// docs is the API's description as a page: no script, nothing from elsewhere.
func (s *server) docs(w http.ResponseWriter, r *http.Request) {
	type operation struct{ Method, Path, Summary, Parameters, Request, Answer string }
	type group struct {
		Name       string
		Operations []operation
	}
	spec := s.api.OpenAPI()
	groups := map[string]*group{}
	for _, path := range slices.Sorted(maps.Keys(spec.Paths)) {
		item := spec.Paths[path]
		for _, one := range []struct {
			method string
			op     *huma.Operation
		}{{"GET", item.Get}, {"POST", item.Post}, {"PUT", item.Put}, {"DELETE", item.Delete}} {
			if one.op == nil {
				continue
			}
			tag := one.op.Tags[0]
			if groups[tag] == nil {
				groups[tag] = &group{Name: tag}
			}
			o := operation{Method: one.method, Path: path, Summary: one.op.Summary}
			for _, p := range one.op.Parameters {
				o.Parameters += p.Name + " (" + p.In + ")"
				if p.Required {
					o.Parameters += ", required"
				}
				if p.Description != "" {
					o.Parameters += ": " + p.Description
				}
				o.Parameters += "\n"
			}
			if body := one.op.RequestBody; body != nil {
				for _, name := range slices.Sorted(maps.Keys(body.Content)) {
					o.Request = name + "\n" + shape(spec, body.Content[name].Schema)
				}
			}
			for _, status := range []string{"200", "201", "204"} {
				if answer := one.op.Responses[status]; answer != nil {
					o.Answer = status
					for _, name := range slices.Sorted(maps.Keys(answer.Content)) {
						o.Answer += " " + name + "\n" + shape(spec, answer.Content[name].Schema)
					}
				}
			}
			groups[tag].Operations = append(groups[tag].Operations, o)
		}
	}
	var list []*group
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		list = append(list, groups[name])
	}
	var page bytes.Buffer
	if err := docsTemplate.Execute(&page, map[string]any{"Version": s.Version, "Groups": list}); err != nil {
		s.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = page.WriteTo(w) // the client is gone if this fails
}

// shape writes a schema as an example of itself: names with types in their places.
func shape(spec *huma.OpenAPI, schema *huma.Schema) string {
	if schema == nil {
		return ""
	}
	out, err := json.MarshalIndent(example(spec, schema, 0), "", "  ")
	if err != nil {
		return ""
	}
	return string(out)
}

func example(spec *huma.OpenAPI, schema *huma.Schema, depth int) any {
	if schema.Ref != "" {
		schema = spec.Components.Schemas.SchemaFromRef(schema.Ref)
	}
	if schema == nil || depth > 6 {
		return "…"
	}
	word := schema.Type
	if schema.Format != "" {
		word += " (" + schema.Format + ")"
	}
	if schema.Description != "" {
		word += ": " + schema.Description
	}
	switch schema.Type {
	case huma.TypeObject:
		if len(schema.Properties) == 0 {
			return map[string]any{}
		}
		m := map[string]any{}
		for name, inner := range schema.Properties {
			m[name] = example(spec, inner, depth+1)
		}
		return m
	case huma.TypeArray:
		return []any{example(spec, schema.Items, depth+1)}
	case "":
		return "any value"
	}
	return word
}
