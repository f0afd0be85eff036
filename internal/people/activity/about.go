package activity

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// about says in words whom a document concerns that has no name of its own: a
// story of a theft that says "a membership was deleted" tells nobody whose.
func about(r *ledger.Reader, kind string, content json.RawMessage) (string, error) {
	var b struct{ Person, Branch, Group, Principal, Role, Thing, Account string }
	if content == nil || json.Unmarshal(content, &b) != nil {
		return "", nil
	}
	switch {
	case kind == "membership":
		who, err := access.NameOf(r, "person:"+b.Person)
		if err != nil {
			return "", err
		}
		in := "group:" + b.Branch + "/" + b.Group
		if strings.HasPrefix(b.Group, "team:") {
			in = b.Group
		}
		group, err := access.NameOf(r, in)
		return fmt.Sprintf("%s, %s", who, group), err
	case kind == "access_grant":
		who, err := access.NameOf(r, b.Principal)
		thing, _, _ := strings.Cut(b.Thing, ":")
		return fmt.Sprintf("%s, as %s on a %s", who, b.Role, strings.ReplaceAll(thing, "_", " ")), err
	case kind == "security_event" && b.Account != "":
		return access.NameOf(r, "person:"+b.Account)
	}
	return "", nil
}
