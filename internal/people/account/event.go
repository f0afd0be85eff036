package account

import (
	"context"

	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// Event is something about security that no other document says. Those of a
// person belong to the server; those that an organization has to know, to it.
type Event struct {
	Account string `json:"account,omitempty"`
	Email   string `json:"email,omitempty"` // as it was typed, when there is no such account
	What    string `json:"what" enum:"sign-in,sign-in-failed,sign-in-refused,code-refused,sessions-ended,passkey-cloned,recovery-used,account-disabled,account-enabled,sign-in-link,sign-in-link-and-factor"`
	From    string `json:"from,omitempty"`
	Agent   string `json:"agent,omitempty"`
	Count   int    `json:"count,omitempty" doc:"how many, of what the event counts"`
}

// Events is the noun of security events.
var Events = ledger.Noun[Event]{
	Name: "security_event",
	Table: &ledger.Table[Event]{
		Columns: []ledger.Column{{Name: "account", Type: ledger.Text}, {Name: "what", Type: ledger.Text}, {Name: "made", Type: ledger.Integer}},
		Indexes: [][]string{{"account", "made"}},
		Row: func(d ledger.Doc[Event]) []any {
			return []any{d.Body.Account, d.Body.What, d.Changed.UnixMilli()}
		},
	},
}

// Nobody edits an event; the person that it is about sees it.
var _ = access.Register(&Events, access.Columns{Owner: "account"}, func(_ *ledger.Reader, d ledger.Doc[Event]) (access.Thing, error) {
	return access.Thing{Owner: d.Body.Account, Name: d.Body.What}, nil
}, access.Rule{Kind: "security_event", Who: []string{"own"}, May: []access.Verb{access.See}})

// report writes a security event. A flood of them is cut: what was refused is refused.
func (s *Service) report(ctx context.Context, e Event, visit Visit) {
	if d, _ := s.reports.Take("", ""); d > 0 {
		return
	}
	if e.Account != "" {
		e.Email = ""
	}
	actor := ledger.Actor{Kind: "system", Name: "sign-in throttle", Door: visit.Door, From: visit.From}
	// The refusal stands whether or not it could be written down.
	_ = s.ledger.Write(ctx, actor, "too many attempts", func(tx *ledger.Tx) error {
		if _, err := Events.Create(tx, "", "", e); err != nil {
			return err
		}
		return tellOrganizations(tx, e)
	})
}

// failed tells the organizations of a person that somebody gave a wrong
// password. It happens beside the sign-in, which takes as long as one of an
// unknown address; a flood of them is cut.
func (s *Service) failed(ctx context.Context, account string, visit Visit) {
	if d, _ := s.failures.Take(account, visit.From); d > 0 {
		return
	}
	actor := ledger.Actor{Kind: "system", Name: "sign-in", Door: visit.Door, From: visit.From}
	go func() { // the refusal stands whether or not it could be written down
		_ = s.ledger.Write(context.WithoutCancel(ctx), actor, "wrong password", func(tx *ledger.Tx) error {
			return tellOrganizations(tx, Event{Account: account, What: "sign-in-failed", From: visit.From, Agent: visit.Agent})
		})
	}()
}

// tellOrganizations writes an event about a person into every organization that
// he belongs to: their admins see it under Activity.
func tellOrganizations(tx *ledger.Tx, e Event) error {
	if e.Account == "" {
		return nil
	}
	var orgs []string
	rows := tx.Query("SELECT DISTINCT org FROM membership WHERE person = $1 ORDER BY org", e.Account)
	for rows.Next() {
		var org string
		rows.Scan(&org)
		orgs = append(orgs, org)
	}
	if err := rows.Close(); err != nil {
		return err
	}
	for _, org := range orgs {
		if _, err := Events.Create(tx, org, "", e); err != nil {
			return err
		}
	}
	return nil
}
