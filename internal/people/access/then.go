package access

import (
	"fmt"

	"github.com/qanat-water/qanat/internal/ledger"
)

// The past is seen with the rights of today: what the actor holds now must allow
// to see the record as it stood, and, while it is still there, as it is too. So a
// grant taken back, or a thing made private, hides its past with it. A record that
// is deleted now is seen by its content then.

// VisibleThen is Visible over the rows of a Reader of the past, where the table is
// called by Reader.From and has the alias n.
func (s *Set) VisibleThen(kind string, verb Verb) (where string, args []any, err error) {
	where, args, err = s.Visible(kind, verb)
	if err != nil || s.System {
		return where, args, err
	}
	// then_id is a column of the past alone, so inside it is that of the row outside.
	return fmt.Sprintf(`(%[1]s AND (n.then_id IS NULL OR NOT EXISTS (SELECT 1 FROM %[2]s n WHERE n.id = then_id)
		OR EXISTS (SELECT 1 FROM %[2]s n WHERE n.id = then_id AND %[1]s)))`, where, kind), args, nil
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
