package account

import (
	"context"
	"time"

	"github.com/qanat-water/qanat/internal/base/netaddr"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// Event is something about security that no other document says. Those of a
// person belong to the server; those that an organization has to know, to it.
type Event struct {
	Account string `json:"account,omitempty"`
	Email   string `json:"email,omitempty"` // as it was typed, when there is no such account
	What    string `json:"what" enum:"sign-in,sign-in-failed,code-wrong,sign-in-refused,code-refused,closed,recovery-used,passkey-cloned,sessions-ended,account-disabled,account-enabled,sign-in-link,sign-in-link-and-factor"`
	Factor  string `json:"factor,omitempty" doc:"of a sign-in: the second factor that was shown"`
	New     bool   `json:"new,omitempty" doc:"of a sign-in: from a browser that was not known"`
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
func (s *Service) report(ctx context.Context, e Event, reason string, visit Visit) {
	if d, _ := s.reports.Take("", ""); d > 0 {
		return
	}
	if e.Account != "" {
		e.Email = ""
	}
	e.From, e.Agent = netaddr.Host(visit.From), agentOf(visit)
	actor := ledger.Actor{Kind: "system", Name: "sign-in throttle", Door: visit.Door, From: visit.From}
	// The refusal stands whether or not it could be written down.
	_ = s.ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		if e.What == "closed" {
			if _, err := Credentials.Update(tx, CredentialID(e.Account), 0, func(c *Credential) error { c.Closed = tx.Now; return nil }); err != nil {
				return err
			}
		}
		if _, err := Events.Create(tx, "", "", e); err != nil {
			return err
		}
		return tellOrganizations(tx, e)
	})
}

// failed writes down that somebody gave a wrong password, for the person and the
// person's organizations. It happens beside the sign-in, which takes as long as
// one of an unknown address; a flood of them is cut.
func (s *Service) failed(ctx context.Context, account string, visit Visit) {
	if d, _ := s.failures.Take(account, visit.From); d > 0 {
		return
	}
	actor := ledger.Actor{Kind: "system", Name: "sign-in", Door: visit.Door, From: visit.From}
	own := s.passwords.Note(account, visit.From)
	go func() { // the refusal stands whether or not it could be written down
		_ = s.ledger.Write(context.WithoutCancel(ctx), actor, "wrong password", func(tx *ledger.Tx) error {
			e := Event{Account: account, What: "sign-in-failed", From: netaddr.Host(visit.From), Agent: agentOf(visit)}
			if own {
				if _, err := Events.Create(tx, "", "", e); err != nil {
					return err
				}
			}
			return tellOrganizations(tx, e)
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

// History is how many events of an account its person is shown.
const history = 100

// newFor is how long a browser at an address stays known without a device cookie.
const newFor = 90 * 24 * time.Hour

// Happened is a security event as its person sees it.
type Happened struct {
	At     time.Time `json:"at"`
	What   string    `json:"what" enum:"sign-in,sign-in-failed,code-wrong,sign-in-refused,code-refused,closed,recovery-used,passkey-cloned,sessions-ended,account-disabled,account-enabled,sign-in-link,sign-in-link-and-factor"`
	Factor string    `json:"factor,omitempty"`
	New    bool      `json:"new,omitempty"`
	From   string    `json:"from,omitempty"`
	Agent  string    `json:"agent,omitempty"`
	Count  int       `json:"count,omitempty"`
}

// History tells a person who has signed in to the own account, who has tried to,
// and what else happened to it, newest first.
func (s *Service) History(ctx context.Context, actor ledger.Actor) ([]Happened, error) {
	var out []Happened
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		if err := access.Require(r, actor, access.See, access.Thing{Kind: "account", ID: actor.ID, Owner: actor.ID}); err != nil {
			return err
		}
		docs, err := Events.List(r, "n.account = $1 AND (n.org = '' OR n.what = 'sessions-ended') ORDER BY n.made DESC, n.id DESC LIMIT $2", actor.ID, history)
		out = make([]Happened, 0, len(docs))
		for _, d := range docs {
			b := d.Body
			out = append(out, Happened{At: d.Changed, What: b.What, Factor: b.Factor, New: b.New, From: b.From, Agent: b.Agent, Count: b.Count})
		}
		return err
	})
	return out, err
}

// signedIn writes a sign-in down, and tells whether it is worth a notice: from a
// browser that is not known, and not the first of the account.
func (s *Service) signedIn(tx *ledger.Tx, account, factor string, visit Visit) (bool, error) {
	earlier, err := Events.List(tx.Reader, "n.account = $1 AND n.org = '' AND n.what = 'sign-in' AND n.made > $2 ORDER BY n.made DESC LIMIT 50", account, tx.Now.Add(-newFor).UnixMilli())
	if err != nil {
		return false, err
	}
	fresh := s.device(account, visit.Device) == ""
	for _, d := range earlier {
		if d.Body.Agent == agentOf(visit) && netaddr.Prefix(d.Body.From) == netaddr.Prefix(visit.From) {
			fresh = false
		}
	}
	_, err = Events.Create(tx, "", "", Event{Account: account, What: "sign-in", Factor: factor, New: fresh, From: netaddr.Host(visit.From), Agent: agentOf(visit)})
	return fresh && len(earlier) > 0, err
}
