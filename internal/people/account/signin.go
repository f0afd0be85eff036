package account

import (
	"context"
	"fmt"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// passwordLimits slow guessing of passwords. There is no rate for an account as
// such: it would let anybody lock its owner out.
//
// After a hundred tries in a row from unknown places (NIST SP 800-63B-4, 3.2.2)
// the account is closed to these, and open to devices where its person has signed
// in, until the next sign-in. It stays open to passkeys and sign-in links.
var passwordLimits = Limits{Pair: Rate{5, 30 * time.Second}, From: Rate{50, 2 * time.Second}, Known: Rate{10, 30 * time.Second}, Most: maxTries}

const maxTries = 100

// codeLimits slow guessing of codes. Whoever tries one has the password already,
// so that the account has a limit too; addresses where the owner has signed in
// before are free of it.
var codeLimits = Limits{Pair: Rate{5, 30 * time.Second}, From: Rate{50, 2 * time.Second}, Who: Rate{20, time.Minute}, Known: Rate{10, 30 * time.Second}, Most: maxTries}

func wrong() error {
	return fault.New(fault.Unauthenticated, "sign-in.wrong", "The address or the password is wrong").
		WithMend("Check both, or ask an administrator of your organization for a sign-in link")
}

func wait(d time.Duration) error {
	return fault.New(fault.TooMany, "sign-in.slow", "Too many attempts from here").After(d).
		WithMend(fmt.Sprintf("Try again in %d seconds", int(d.Seconds())+1))
}

func closed(d time.Duration) error {
	return fault.New(fault.TooMany, "sign-in.closed", "After many wrong attempts this account opens only from a device where its person has signed in before").After(d).
		WithMend("Use such a device or a passkey, or ask an administrator of your organization for a sign-in link")
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
// that has ended and one without a password take as long as a wrong password. A
// right one counts for nothing where people come in by a provider.
func (s *Service) CheckPassword(ctx context.Context, email, password string, visit Visit) (ledger.Doc[Account], error) {
	account, err := s.checkOwn(ctx, email, password, "", visit)
	if err == nil {
		err = s.byProviderOnly(ctx, account)
	}
	return account, err
}

// checkOwn is CheckPassword in a session that is known to be the person's ("": none).
func (s *Service) checkOwn(ctx context.Context, email, password, session string, visit Visit) (ledger.Doc[Account], error) {
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
	at := session
	if at == "" {
		at = s.device(account.ID, visit.Device)
	}
	is := s.passwords.TakeAs(email, visit.From, at)
	if is.Report {
		s.report(ctx, Event{Account: account.ID, Email: email, What: "sign-in-refused"}, "too many attempts", visit)
	}
	if is.Closed && !is.Known && known && credential.Body.Closed.IsZero() {
		s.report(ctx, Event{Account: account.ID, What: "closed"}, "closed to unknown devices", visit)
	}
	if is.Closed || !is.Known && !credential.Body.Closed.IsZero() {
		return account, closed(max(is.Wait, closedFor))
	}
	if is.Wait > 0 {
		return account, wait(is.Wait)
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
		_, err = s.checkOwn(ctx, view.Account.Email, old, "session "+view.ID, visit)
	}
	if err != nil {
		return err
	}
	hashed, err := s.hashOwn(ctx, view, fresh)
	if err != nil {
		return err
	}
	err = s.ledger.Write(ctx, actor, "password changed", func(tx *ledger.Tx) error {
		return SetPassword(tx, view.Account.ID, hashed, view.ID)
	})
	if err == nil {
		s.passwords.SucceededAs(view.Account.Email, visit.From, "session "+view.ID)
		s.codes.SucceededAs(view.Account.ID, visit.From, "session "+view.ID) // who knew the old password is out
	}
	return err
}

// hashOwn hashes a new password by the rules for this account: a short one only
// beside a second factor of its own, and none with the names that it is known by.
func (s *Service) hashOwn(ctx context.Context, view View, fresh string) (Hashed, error) {
	least, words := alonePassword, []string{view.Account.Email, view.Account.Name, s.server}
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		m, err := means(r, view.Account.ID)
		if err != nil {
			return err
		}
		if m.TOTP || len(m.Passkeys) > 0 {
			least = minPassword
		}
		rows := r.Query("SELECT DISTINCT b.name FROM membership m JOIN branch b ON b.id = m.org OR b.id = m.branch WHERE m.person = $1", view.Account.ID)
		for rows.Next() {
			var name string
			rows.Scan(&name)
			words = append(words, name)
		}
		return rows.Close()
	})
	if err != nil {
		return Hashed{}, err
	}
	if err := checkPassword(fresh, words, least); err != nil {
		return Hashed{}, err
	}
	phc, err := s.hasher.hash(ctx, fresh)
	return Hashed{phc}, err
}
