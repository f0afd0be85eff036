package site

import (
	"sync"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
)

// ownIDs remembers which document is an organization's own part of a type, so
// that the rule for each site of an import reads it by id and not by a query.
// It is only a hint: the document read is looked at.
var ownIDs sync.Map // organization/key -> id

// ownType reads an organization's own type, or its part of a built-in one.
func ownType(r *ledger.Reader, organization, key string) (ledger.Doc[Type], bool, error) {
	at := organization + "/" + key
	if hint, known := ownIDs.Load(at); known {
		d, err := Types.Get(r, hint.(string))
		if err == nil && d.Org == organization && d.Body.Key == key {
			return d, true, nil
		}
		if err != nil && fault.KindOf(err) != fault.NotFound {
			return d, false, err
		}
	}
	found, err := Types.List(r, "n.orgkey = $1", at)
	if err != nil || len(found) == 0 {
		return ledger.Doc[Type]{}, false, err
	}
	ownIDs.Store(at, found[0].ID)
	return found[0], true, nil
}
