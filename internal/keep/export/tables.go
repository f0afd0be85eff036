package export

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/qanat-water/qanat/internal/ledger"
)

// table writes documents as CSV: fixed columns first, then every other path that
// any of them has, in alphabetical order. It goes over the documents twice, so
// that it holds none of them.
func (a *archive) table(r *ledger.Reader, name, kind string, fixed []string, row func(body map[string]any) (cells map[string]string, rest any, ok bool)) error {
	each := func(fn func(id string, cells, rest map[string]string) error) error {
		return r.Documents(a.org, func(d ledger.Raw) error {
			if d.Kind != kind {
				return nil
			}
			var body map[string]any
			if err := json.Unmarshal(d.Body, &body); err != nil {
				return err
			}
			cells, rest, ok := row(body)
			if !ok {
				return nil
			}
			flat := map[string]string{}
			flatten("", rest, flat)
			return fn(d.ID, cells, flat)
		})
	}
	paths := map[string]bool{}
	if err := each(func(_ string, _, rest map[string]string) error {
		for path := range rest {
			paths[path] = true
		}
		return nil
	}); err != nil {
		return err
	}
	more := slices.Sorted(maps.Keys(paths))
	return a.file(name, func(w io.Writer) error {
		out := csv.NewWriter(w)
		if err := out.Write(slices.Concat([]string{"id"}, fixed, more)); err != nil {
			return err
		}
		err := each(func(id string, cells, rest map[string]string) error {
			line := []string{id}
			for _, column := range fixed {
				line = append(line, cell(cells[column]))
			}
			for _, path := range more {
				line = append(line, cell(rest[path]))
			}
			return out.Write(line)
		})
		out.Flush()
		if err != nil {
			return err
		}
		return out.Error()
	})
}

func (a *archive) sites(r *ledger.Reader) error {
	fixed := []string{"code", "type", "name", "branch", "privacy", "status", "lat", "lon", "accuracy"}
	return a.table(r, "sites.csv", "site", fixed, func(body map[string]any) (map[string]string, any, bool) {
		cells := map[string]string{}
		for _, column := range fixed[:6] {
			cells[column] = plain(body[column])
		}
		if location, ok := body["location"].(map[string]any); ok {
			for _, column := range fixed[6:] {
				cells[column] = plain(location[column])
			}
		}
		return cells, body["properties"], true
	})
}

// responses writes one table for each survey.
func (a *archive) responses(r *ledger.Reader) error {
	surveys := map[string]bool{}
	if err := r.Documents(a.org, func(d ledger.Raw) error {
		if d.Kind == "survey" {
			surveys[d.ID] = true
		}
		return nil
	}); err != nil {
		return err
	}
	fixed := []string{"instance_id", "state", "name", "enumerator", "site", "started", "ended", "submitted", "lat", "lon"}
	for _, survey := range slices.Sorted(maps.Keys(surveys)) {
		err := a.table(r, "responses/"+survey+".csv", "response", fixed, func(body map[string]any) (map[string]string, any, bool) {
			if body["survey"] != survey {
				return nil, nil, false
			}
			cells := map[string]string{}
			for _, column := range fixed[:8] {
				cells[column] = plain(body[column])
			}
			if location, ok := body["location"].(map[string]any); ok {
				cells["lat"], cells["lon"] = plain(location["lat"]), plain(location["lon"])
			}
			return cells, body["answers"], true
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// flatten gives each value a path: well/depth, repeats as visit[1]/note.
func flatten(path string, v any, into map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			flatten(strings.TrimPrefix(path+"/"+name, "/"), inner, into)
		}
	case []any:
		words := make([]string, 0, len(v))
		for i, inner := range v {
			if _, nested := inner.(map[string]any); nested {
				flatten(fmt.Sprintf("%s[%d]", path, i+1), inner, into)
				continue
			}
			words = append(words, plain(inner))
		}
		if len(words) > 0 {
			into[path] = strings.Join(words, " ")
		}
	case nil:
	default:
		into[path] = plain(v)
	}
}

func plain(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	}
	out, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(out)
}

// cell keeps a spreadsheet from running a text as a formula: such text is quoted
// with an apostrophe, numbers stay as they are (OWASP, CSV injection).
func cell(text string) string {
	if text == "" || !strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return text
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return text
	}
	return "'" + text
}
