package ledger

import (
	"context"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
)

// A database that is being filled from another one says so in its list of
// migrations, and Open refuses it until all has arrived and was verified.
const filling = `owner = 'filling'`

// BeginFilling makes the ledger's tables and marks the database as unfinished.
// EndFilling takes the mark away, after Open with Filling and Verify.
func BeginFilling(ctx context.Context, s *store.Store) error {
	if err := s.Migrate(ctx, "ledger", schema); err != nil {
		return err
	}
	return s.Write(ctx, func(q *store.Q) error {
		_, err := q.Exec(`INSERT INTO migration (owner, step, hash) VALUES ('filling', 1, '') ON CONFLICT DO NOTHING`)
		return err
	})
}

// EndFilling says that the database is whole.
func EndFilling(ctx context.Context, s *store.Store) error {
	return s.Write(ctx, func(q *store.Q) error {
		_, err := q.Exec(`DELETE FROM migration WHERE ` + filling)
		return err
	})
}

// Filling tells whether a database was begun to be filled and is not whole.
func Filling(q *store.Q) (bool, error) {
	var marks int64
	_, err := q.Row([]any{&marks}, `SELECT count(*) FROM migration WHERE `+filling)
	return marks > 0, err
}

// whole refuses a database that is not whole, unless it is to be filled.
func (l *Ledger) whole(ctx context.Context) error {
	return l.store.Read(ctx, func(q *store.Q) error {
		marked, err := Filling(q)
		if err == nil && marked && !l.filling {
			err = fault.New(fault.Conflict, "ledger.unfinished", "This database was begun by qanat import, which did not end").
				WithMend("Run qanat import again: it begins anew. Nothing of it is used before it is whole")
		}
		return err
	})
}

// Derived names the tables that are made from documents by themselves: nobody
// needs to move them.
func Derived(nouns []Kind) []string {
	names := []string{"noun"}
	for _, k := range nouns {
		if k.table() != nil {
			names = append(names, k.noun())
		}
	}
	return names
}

// Head is the number of entries and the root of the tree, as the database says.
func (l *Ledger) Head(q *store.Q) (entries int64, root []byte, err error) {
	_, err = q.Row([]any{&entries, &root}, `SELECT entries, root FROM head WHERE id = 1`)
	return entries, root, err
}
