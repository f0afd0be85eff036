package access

import (
	"fmt"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/ledger"
)

// The past is seen with the rights of today: what the actor holds now must allow
// to see the record as it stood, and, while it is still there, as it is too. So a
// grant taken back, or a thing made private, hides its past with it. A record that
// is deleted now is seen by its content then.

// VisibleThen is Visible over the rows of a Reader of the past, where the table is
// called by Reader.From and has the alias n. Lists that stand in a record itself
// count as they stood and as they are; all that stands elsewhere, as it is.
func (s *Set) VisibleThen(kind string, verb Verb) (where string, args []any, err error) {
	where, args, err = s.Visible(kind, verb)
	if err != nil || s.System {
		return where, args, err
	}
	stood := where
	if k, known := registered(kind); known {
		for _, list := range k.columns.Lists {
			if from, own := strings.CutSuffix(list, " FROM "+kind); own {
				stood = strings.ReplaceAll(stood, list, from+" FROM "+ledger.Then(kind))
			}
		}
	}
	// then_id is a column of the past alone, so inside it is that of the row outside.
	return fmt.Sprintf(`(%[3]s AND (n.then_id IS NULL OR NOT EXISTS (SELECT 1 FROM %[2]s n WHERE n.id = then_id)
		OR EXISTS (SELECT 1 FROM %[2]s n WHERE n.id = then_id AND %[1]s)))`, where, kind, stood), args, nil
}

// RequireThen is Require for a thing as it stood; now reads the present.
func (s *Set) RequireThen(now *ledger.Reader, verb Verb, then Thing) error {
	if err := s.Require(now, verb, then); err != nil {
		return err
	}
	present, err := Describe(now, then.Kind, then.ID)
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.Require(now, verb, present)
}

// OnAt is On at a time: the thing as it stood, and the grants that were on it.
func OnAt(r *ledger.Reader, actor ledger.Actor, kind, id string, at time.Time) (t Thing, grants []ledger.Doc[Grant], err error) {
	body, entry, err := r.AsOf(id, at)
	if err != nil {
		return t, nil, err
	}
	if body == nil || entry.Kind != kind {
		return t, nil, missing(kind)
	}
	if t, err = DescribePast(r, kind, entry.Org, id, body); err != nil {
		return t, nil, err
	}
	s, err := Principals(r, actor)
	if err == nil {
		err = s.RequireThen(r, See, t)
	}
	if err != nil {
		return t, nil, err
	}
	past, err := r.At(t.Org, at)
	if err != nil {
		return t, nil, err
	}
	all, err := Grants.List(past, grantsOnThing, t.Kind, t.ID)
	if err == nil {
		grants, err = s.told(r, t, all, s.RequireThen)
	}
	return t, grants, err
}
