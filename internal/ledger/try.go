package ledger

import (
	"context"
	"errors"
)

var errTried = errors.New("ledger: tried, and taken back")

// Try runs fn as Write would, rules and SQL included, and takes everything back:
// fn sees what would be, and nothing of it remains. What Write would answer, Try
// answers, uniqueness included as far as fn asks SQL after its change. It has
// the one place of the writer while it runs, so fn must be as quick as a write.
func (l *Ledger) Try(ctx context.Context, actor Actor, fn func(*Tx) error) error {
	err := l.Write(ctx, actor, "", func(tx *Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		if err := tx.settle(); err != nil { // the database has a word in it, too
			return err
		}
		return errTried
	})
	if errors.Is(err, errTried) {
		return nil
	}
	return err
}
