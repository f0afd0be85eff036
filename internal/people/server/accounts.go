package server

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
)

// Account is a person as the server's administrators see him.
type Account struct {
	account.Person
	State         string    `json:"state" enum:"active,ended"`
	Operator      bool      `json:"operator" doc:"a server administrator"`
	Factors       []string  `json:"factors" doc:"kinds of second factor that are set up"`
	Password      bool      `json:"password" doc:"has one"`
	Sessions      int64     `json:"sessions" doc:"that have not ended"`
	LastSignIn    time.Time `json:"last_sign_in,omitzero"`
	Organizations []string  `json:"organizations" doc:"names of those the person belongs to"`
}

const maxAccounts = 100

// Search says which accounts.
type Search struct {
	Text   string // in name or address
	After  string // cursor of the last page
	Limit  int
	person string
}

// ListAccounts lists accounts by address, and the cursor of the next page.
func (s *Service) ListAccounts(ctx context.Context, actor ledger.Actor, q Search) (found []Account, next string, err error) {
	limit := maxAccounts
	if q.Limit > 0 {
		limit = min(q.Limit, maxAccounts)
	}
	err = s.read(ctx, actor, func(r *ledger.Reader) error {
		found, next = []Account{}, ""
		text := "%" + escapeLike(strings.ToLower(q.Text)) + "%"
		rows := r.Query(`SELECT a.id, a.name, a.email, a.state, (SELECT count(*) FROM session s WHERE s.account = a.id AND s.expires > $1) FROM account a
			WHERE a.email > $2 AND (lower(a.name) LIKE $3 ESCAPE '!' OR a.email LIKE $3 ESCAPE '!') AND (a.id = $4 OR $4 = '') ORDER BY a.email LIMIT $5`,
			s.Ledger.Now().UnixMilli(), q.After, text, q.person, limit+1)
		for rows.Next() {
			var a Account
			rows.Scan(&a.ID, &a.Name, &a.Email, &a.State, &a.Sessions)
			found = append(found, a)
		}
		if err := rows.Close(); err != nil {
			return err
		}
		if len(found) > limit {
			found = found[:limit]
			next = found[limit-1].Email
		}
		for i := range found {
			if err := s.describe(r, &found[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return found, next, err
}

var likeSigns = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")

func escapeLike(text string) string { return likeSigns.Replace(text) }

func (s *Service) describe(r *ledger.Reader, a *Account) (err error) {
	if a.Operator, err = access.IsOperator(r, a.ID); err != nil {
		return err
	}
	if a.Factors, a.Password, err = account.FactorsOf(r, a.ID); err != nil {
		return err
	}
	if a.LastSignIn, err = account.LastSignIn(r, a.ID); err != nil {
		return err
	}
	a.Organizations = []string{}
	rows := r.Query("SELECT DISTINCT b.name FROM membership m JOIN branch b ON b.id = m.org WHERE m.person = $1 ORDER BY b.name", a.ID)
	for rows.Next() {
		var name string
		rows.Scan(&name)
		a.Organizations = append(a.Organizations, name)
	}
	return rows.Close()
}

// AccountOf finds an account by its address: for who types it.
func (s *Service) AccountOf(ctx context.Context, actor ledger.Actor, email string) (Account, error) {
	var id string
	err := s.read(ctx, actor, func(r *ledger.Reader) error {
		a, err := byEmail(r, email)
		id = a.ID
		return err
	})
	if err != nil {
		return Account{}, err
	}
	return s.account(ctx, actor, id)
}

func (s *Service) account(ctx context.Context, actor ledger.Actor, id string) (Account, error) {
	found, _, err := s.ListAccounts(ctx, actor, Search{person: id})
	if err == nil && len(found) == 0 {
		err = account.Accounts.NotFound()
	}
	if err != nil {
		return Account{}, err
	}
	return found[0], nil
}

// Disable ends an account and its sessions; the last server administrator and
// the last admin of an organization stay.
func (s *Service) Disable(ctx context.Context, actor ledger.Actor, person, reason string) (Account, error) {
	return s.onAccount(ctx, actor, person, "account disabled", "account-disabled", reason, func(tx *ledger.Tx) error {
		if person == actor.ID {
			return fault.New(fault.Invalid, "account.own", "You cannot disable your own account").WithMend("Ask another server administrator")
		}
		return account.Disable(tx, person)
	})
}

// Enable lets an account sign in again.
func (s *Service) Enable(ctx context.Context, actor ledger.Actor, person, reason string) (Account, error) {
	return s.onAccount(ctx, actor, person, "account enabled", "account-enabled", reason, func(tx *ledger.Tx) error { return account.Enable(tx, person) })
}

// EndSessions ends all sessions of an account at once, and counts them. The
// actor's own session is spared by nobody: who ends his own signs in again.
func (s *Service) EndSessions(ctx context.Context, actor ledger.Actor, person, reason string) (ended int, err error) {
	_, err = s.onAccount(ctx, actor, person, "sessions ended", "sessions-ended", reason, func(tx *ledger.Tx) (err error) {
		ended, err = account.EndSessions(tx, person, "")
		return err
	})
	return ended, err
}

// onAccount does something to an account, and tells its organizations.
func (s *Service) onAccount(ctx context.Context, actor ledger.Actor, person, what, event, reason string, fn func(tx *ledger.Tx) error) (Account, error) {
	why := what
	if reason = strings.TrimSpace(reason); reason != "" {
		why = what + ": " + reason
	}
	err := s.change(ctx, actor, why, func(tx *ledger.Tx) error {
		if _, err := account.Accounts.Get(tx.Reader, person); err != nil {
			return err
		}
		if err := fn(tx); err != nil {
			return err
		}
		return tell(tx, person, event)
	})
	if err != nil {
		return Account{}, err
	}
	found, err := s.account(ctx, ledger.System("server administration"), person)
	return found, err
}

// SignInLink makes a one-time link for a person, who then signs in with the
// second factor; with resetFactor that is taken away, too.
func (s *Service) SignInLink(ctx context.Context, actor ledger.Actor, person string, resetFactor bool, reason string) (account.Token, error) {
	token := account.NewToken()
	what, event := "sign-in link made", "sign-in-link"
	if resetFactor {
		what, event = "sign-in link made, second factor taken away", "sign-in-link-and-factor"
	}
	why := what
	if reason = strings.TrimSpace(reason); reason != "" {
		why = what + ": " + reason
	}
	var a ledger.Doc[account.Account]
	err := s.change(ctx, actor, why, func(tx *ledger.Tx) (err error) {
		if a, err = account.Accounts.Get(tx.Reader, person); err != nil {
			return err
		}
		if a.Body.State != account.Active {
			return fault.Newf(fault.Conflict, "account.ended", "The account of %s is disabled", a.Body.Name).WithMend("Enable it first")
		}
		orgs, err := organizationsOf(tx.Reader, person)
		if err != nil {
			return err
		}
		if resetFactor {
			if err := account.TakeFactor(tx, person); err != nil {
				return err
			}
		}
		if err := org.MakeLink(tx, first(orgs), a, token); err != nil {
			return err
		}
		return tell(tx, person, event)
	})
	if err == nil && s.Notify != nil { // whoever has the link is the person from now on: he hears of it, even if he did not ask for it
		_ = s.Notify(ctx, a.Body.Email, what, fmt.Sprintf("Hello %s,\n\n%s, who administers this server, did this to your account: %s.\n\nIf you did not ask for it, tell an administrator of your organization at once.\n",
			a.Body.Name, actor.Name, what))
	}
	return token, err
}

func first(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return all[0]
}
