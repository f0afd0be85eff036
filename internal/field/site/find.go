package site

import (
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/id"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// Find gives the site of an organization that an answer means, by its id or its
// code, when the actor may attach a response to it. What he may not, is not found.
func Find(r *ledger.Reader, actor ledger.Actor, organization, value string) (site string, found bool, err error) {
	value = strings.TrimSpace(value)
	if !id.Valid(value) {
		if !ValidCode(value) {
			return "", false, nil
		}
		byCode, err := byCodes(r, []string{value})
		if err != nil || byCode[value] == "" {
			return "", false, err
		}
		value = byCode[value]
	}
	doc, err := Sites.Get(r, value)
	if err == nil && doc.Org != organization {
		return "", false, nil
	}
	if err == nil {
		err = access.Require(r, actor, access.Submit, Thing(doc))
	}
	if kind := fault.KindOf(err); err != nil && (kind == fault.NotFound || kind == fault.Denied) {
		return "", false, nil
	}
	return value, err == nil, err
}
