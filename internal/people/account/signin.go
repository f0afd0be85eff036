package account

import (
	"context"
	"fmt"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// passwordLimits slow guessing of passwords. There is no limit for an account as
// such: it would let anybody lock its owner out.
var passwordLimits = Limits{Pair: Rate{5, 30 * time.Second}, From: Rate{50, 2 * time.Second}}

// codeLimits slow guessing of codes. Whoever tries one has the password already,
// so that the account has a limit too; addresses where the owner has signed in
// before are free of it.
var codeLimits = Limits{Pair: Rate{5, 30 * time.Second}, From: Rate{50, 2 * time.Second}, Who: Rate{20, time.Minute}}

func wrong() error {
	return fault.New(fault.Unauthenticated, "sign-in.wrong", "The address or the password is wrong").
		WithMend("Check both, or ask an administrator of your organization for a sign-in link")
}

func wait(d time.Duration) error {
	return fault.New(fault.TooMany, "sign-in.slow", "Too many attempts from here").After(d).
		WithMend(fmt.Sprintf("Try again in %d seconds", int(d.Seconds())+1))
}

// SignIn checks a password and opens a session, which still needs its second factor.
func (s *Service) SignIn(ctx context.Context, email, password string, visit Visit) (Token, View, error) {
	account, err := s.CheckPassword(ctx, email, password, visit)
	if err != nil {
		return Token{}, View{}, err
	}
	token := NewToken()
	actor := ledger.Actor{ID: account.ID, Kind: "account", Name: account.Body.Name, Door: visit.Door, From: visit.From}
	err = s.ledger.Write(ctx, actor, "signed in with password", func(tx *ledger.Tx) error {
		return Start(tx, account.ID, token, visit)
	})
	if err != nil {
		return Token{}, View{}, err
	}
	view, err := s.Session(ctx, token.Text)
	return token, view, err
}

// CheckPassword tells whose password this is. An unknown address, an account
// that has ended and one without a password take as long as a wrong password.
func (s *Service) CheckPassword(ctx context.Context, email, password string, visit Visit) (ledger.Doc[Account], error) {
	email = Normal(email)
	var account ledger.Doc[Account]
	var credential ledger.Doc[Credential]
	if len(email) > 254 || len(password) > maxPassword {
		return account, wrong()
	}
	known := false
	err := s.ledger.Read(ctx, func(r *ledger.Reader) (err error) {
		if account, known, err = ByEmail(r, email); err != nil || !known {
			return err
		}
		credential, err = Credentials.Get(r, CredentialID(account.ID))
		return err
	})
	if err != nil {
		return account, err
	}
	if d, report := s.passwords.Take(email, visit.From); d > 0 {
		if report {
			s.report(ctx, Event{Account: account.ID, Email: email, What: "sign-in-refused", From: visit.From}, visit)
		}
		return account, wait(d)
	}
	right, err := s.hasher.verify(ctx, password, credential.Body.Password)
	if err != nil {
		return account, err
	}
	if !right || !known || account.Body.State != Active {
		if known {
			s.failed(ctx, account.ID, visit)
		}
		return ledger.Doc[Account]{}, wrong()
	}
	return account, nil
}

// SetPassword sets a password inside a transaction and ends the account's sessions
// but one ("": all), because whoever opened them may have known the old one.
func SetPassword(tx *ledger.Tx, account string, password Hashed, except string) error {
	_, err := Credentials.Update(tx, CredentialID(account), 0, func(c *Credential) error {
		c.Password, c.PasswordSet = password.phc, tx.Now
		return nil
	})
	if err != nil {
		return err
	}
	return endSessions(tx, account, except)
}

// ChangePassword changes the password of a session's person, who shows the old
// one, or, who has none or does not know it, a fresh second factor. Other sessions end.
func (s *Service) ChangePassword(ctx context.Context, token, old, fresh string, visit Visit) error {
	view, err := s.Session(ctx, token)
	if err != nil {
		return err
	}
	actor, err := ActorOf(view, visit.Door, visit.From)
	if err != nil {
		return err
	}
	if old == "" {
		err = access.Fresh(actor, s.ledger.Now())
	} else {
		_, err = s.CheckPassword(ctx, view.Account.Email, old, visit)
	}
	if err != nil {
		return err
	}
	hashed, err := s.Hash(ctx, fresh, view.Account.Email, view.Account.Name)
	if err != nil {
		return err
	}
	err = s.ledger.Write(ctx, actor, "password changed", func(tx *ledger.Tx) error {
		return SetPassword(tx, view.Account.ID, hashed, view.ID)
	})
	if err == nil {
		s.passwords.Succeeded(view.Account.Email, visit.From)
	}
	return err
}
