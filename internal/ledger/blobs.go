package ledger

import "encoding/json"

// BlobsOf lists the files that a content names: by the house's convention the
// members called "blob" whose value is a SHA-256 in hexadecimal.
func BlobsOf(content json.RawMessage) []string {
	var v any
	if len(content) == 0 || json.Unmarshal(content, &v) != nil {
		return nil
	}
	var found []string
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, inner := range v {
				if hash, ok := inner.(string); ok && name == "blob" && len(hash) == 64 {
					found = append(found, hash)
				}
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(v)
	return found
}
