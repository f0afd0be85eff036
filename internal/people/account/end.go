package account

import (
	"context"

	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// EndOthers ends all sessions of the actor but the one that asks, and tells how many.
func (s *Service) EndOthers(ctx context.Context, actor ledger.Actor, token string) (int, error) {
	ended := 0
	err := s.ledger.Write(ctx, actor, "all other sessions ended", func(tx *ledger.Tx) error {
		if err := access.Require(tx.Reader, actor, access.Delete, access.Thing{Kind: "session", Owner: actor.ID}); err != nil {
			return err
		}
		session, _, _, err := s.find(tx.Reader, token)
		if err != nil {
			return err
		}
		ended, err = EndSessions(tx, actor.ID, session.ID)
		return err
	})
	return ended, err
}

// EndMember ends all sessions of a member of an organization at once: for a
// password or a device that was stolen. Whoever administers all of the person's
// groups in this organization may. The person can sign in again: it takes no right
// away. The organization sees that it was done.
func (s *Service) EndMember(ctx context.Context, actor ledger.Actor, organization, person, reason string) (int, error) {
	ended := 0
	err := s.ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		if err := mayEnd(tx.Reader, actor, organization, person); err != nil {
			return err
		}
		if _, err := Accounts.Get(tx.Reader, person); err != nil {
			return err
		}
		var err error
		if ended, err = EndSessions(tx, person, ""); err != nil {
			return err
		}
		_, err = Events.Create(tx, organization, "", Event{Account: person, What: "sessions-ended", Count: ended})
		return err
	})
	return ended, err
}

func mayEnd(r *ledger.Reader, actor ledger.Actor, organization, person string) error {
	held, err := membershipsIn(r, organization, person)
	if err != nil {
		return err
	}
	if len(held) == 0 {
		return Accounts.NotFound()
	}
	for _, m := range held {
		if err := access.Require(r, actor, access.Edit, m); err != nil {
			return err
		}
	}
	return nil
}

// membershipsIn are a person's memberships in an organization, which a package
// above keeps; its index table is known here as it is to access.
func membershipsIn(r *ledger.Reader, organization, person string) ([]access.Thing, error) {
	var held []access.Thing
	rows := r.Query("SELECT id, branch FROM membership WHERE org = $1 AND person = $2", organization, person)
	for rows.Next() {
		t := access.Thing{Kind: "membership", Org: organization}
		rows.Scan(&t.ID, &t.Branch)
		held = append(held, t)
	}
	return held, rows.Close()
}
