package org

import (
	"context"

	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/account"
)

// Name is what a person of an organization is called, for others who belong to
// it: whoever has, or had, a membership there. Others have no name.
func (s *Service) Name(ctx context.Context, actor ledger.Actor, organization, person string) (string, error) {
	if _, err := s.Tree(ctx, actor, organization); err != nil {
		return "", err
	}
	var name string
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		a, err := account.Accounts.Get(r, person)
		name = a.Body.Name
		return err
	})
	return name, err
}
