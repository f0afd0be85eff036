package activity

import (
	"context"

	"github.com/qanat-water/qanat/internal/ledger"
)

// Proof gives the proof that an entry is in the ledger, to whoever may see the
// entry: its header says no more than Entry does, and its content stays sealed.
func (s *Service) Proof(ctx context.Context, actor ledger.Actor, number int64) ([]byte, error) {
	if _, err := s.Entry(ctx, actor, number); err != nil {
		return nil, err
	}
	return s.Ledger.ProveEntry(ctx, number)
}
