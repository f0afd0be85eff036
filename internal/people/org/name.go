package org

import (
	"context"

	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/account"
)

// Name is what a person is called, for those who belong to an organization. The
// caller has asked for the right to see a document of the organization that names
// the person, who may have left since: an id from anywhere else is not for here.
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
