package access

import (
	"slices"
)

// nothingForPrograms are kinds that a service token cannot be narrowed to: they
// belong to persons, or to the server.
var nothingForPrograms = []string{"account", "session", "server", "security_event", "passkey"}

// Scopes are the verbs and kinds that a service token can be narrowed to, sorted.
func Scopes() (verbs, kinds []string) {
	rules.RLock()
	defer rules.RUnlock()
	for kind, rows := range rules.byKind {
		if slices.Contains(nothingForPrograms, kind) {
			continue
		}
		kinds = append(kinds, kind)
		for _, r := range rows {
			for _, v := range r.May {
				if !slices.Contains(verbs, string(v)) {
					verbs = append(verbs, string(v))
				}
			}
		}
	}
	slices.Sort(verbs)
	slices.Sort(kinds)
	return verbs, kinds
}
