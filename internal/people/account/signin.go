package account

import (
	"context"
	"fmt"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
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
		return ledger.Doc[Account]{}, wrong()
	}
	return account, nil
}

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
		_, err := Events.Create(tx, "", "", e)
		return err
	})
}

// Code completes a session with a code of the authenticator app. The session
// gets a new token; the old one ends.
func (s *Service) Code(ctx context.Context, token, code string, visit Visit) (Token, View, error) {
	view, err := s.Session(ctx, token)
	if err != nil {
		return Token{}, View{}, err
	}
	if view.Needs == NeedsTOTPSetup {
		return Token{}, View{}, fault.New(fault.Conflict, "totp.none", "No authenticator app is set up yet").WithMend("Set one up first")
	}
	return s.prove(ctx, view, token, code, visit, false)
}

// Setup is a new second factor that waits for its confirmation.
type Setup struct {
	Secret string `json:"secret" doc:"base32, to type into an authenticator app"`
	URI    string `json:"uri" doc:"otpauth:// URI, for the QR code"`
}

// SetupTOTP makes a new seed and shows it once. Who has a second factor already
// must have shown it in this session.
func (s *Service) SetupTOTP(ctx context.Context, token string, visit Visit) (Setup, error) {
	view, err := s.Session(ctx, token)
	if err != nil {
		return Setup{}, err
	}
	if view.Needs == NeedsCode {
		_, err := ActorOf(view, "", "")
		return Setup{}, err
	}
	seed := newSeed()
	err = s.ledger.Write(ctx, view.self(visit), "second factor prepared", func(tx *ledger.Tx) error {
		_, err := Credentials.Update(tx, CredentialID(view.Account.ID), 0, func(c *Credential) error {
			c.Pending = s.vault.Seal(totpPurpose, seed, []byte(view.Account.ID))
			return nil
		})
		return err
	})
	if err != nil {
		return Setup{}, err
	}
	return Setup{seedText.EncodeToString(seed), totpURI(s.server, view.Account.Email, seed)}, nil
}

// ConfirmTOTP proves that the app shows the right codes, and makes it the second
// factor. Other sessions of the account end.
func (s *Service) ConfirmTOTP(ctx context.Context, token, code string, visit Visit) (Token, View, error) {
	view, err := s.Session(ctx, token)
	if err != nil {
		return Token{}, View{}, err
	}
	if view.Needs == NeedsCode {
		_, err := ActorOf(view, "", "")
		return Token{}, View{}, err
	}
	return s.prove(ctx, view, token, code, visit, true)
}

// prove checks a code, uses up its time step, and raises the session.
func (s *Service) prove(ctx context.Context, view View, token, code string, visit Visit, confirm bool) (Token, View, error) {
	who := view.Account.ID
	if d, report := s.codes.Take(who, visit.From); d > 0 {
		if report {
			s.report(ctx, Event{Account: who, What: "code-refused", From: visit.From}, visit)
		}
		return Token{}, View{}, wait(d)
	}
	reason := "second factor shown"
	if confirm {
		reason = "second factor set up"
	}
	fresh := NewToken()
	err := s.ledger.Write(ctx, view.self(visit), reason, func(tx *ledger.Tx) error {
		session, credential, _, err := s.find(tx.Reader, token)
		if err != nil {
			return err
		}
		sealed, used := credential.Body.TOTP, credential.Body.Step
		if confirm {
			sealed, used = credential.Body.Pending, 0
		}
		if sealed == nil {
			return fault.New(fault.Conflict, "totp.none", "No authenticator app is set up").WithMend("Begin the set-up again")
		}
		seed, err := s.vault.Open(totpPurpose, sealed, []byte(who))
		if err != nil {
			return err
		}
		step := totpStep(seed, code, tx.Now, used)
		if step == 0 {
			return fault.New(fault.Invalid, "totp.wrong", "This code is wrong, or was used already").
				At("/code", "wrong or used", "wait for the next code of your app; check the clock of the phone")
		}
		if _, err = Credentials.Update(tx, credential.ID, 0, func(c *Credential) error {
			c.Step = step
			if confirm {
				c.TOTP, c.Pending = c.Pending, nil
			}
			return nil
		}); err != nil {
			return err
		}
		if confirm {
			if err := endSessions(tx, who, session.ID); err != nil {
				return err
			}
		}
		_, err = Sessions.Update(tx, session.ID, 0, func(d *Session) error {
			d.Factor, d.Token = "totp", fresh.Hash()
			return nil
		})
		return err
	})
	if err != nil {
		return Token{}, View{}, err
	}
	s.codes.Succeeded(who, visit.From)
	s.passwords.Succeeded(view.Account.Email, visit.From)
	view, err = s.Session(ctx, fresh.Text)
	return fresh, view, err
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
// one. Other sessions end.
func (s *Service) ChangePassword(ctx context.Context, token, old, fresh string, visit Visit) error {
	view, err := s.Session(ctx, token)
	if err != nil {
		return err
	}
	actor, err := ActorOf(view, visit.Door, visit.From)
	if err != nil {
		return err
	}
	if _, err := s.CheckPassword(ctx, view.Account.Email, old, visit); err != nil {
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

// ResetFactor takes the second factor from somebody who lost it, and ends all
// sessions. Only a job of the server may: who it is must be checked by people.
func (s *Service) ResetFactor(ctx context.Context, actor ledger.Actor, account, reason string) error {
	if actor.Kind != "system" {
		return fault.New(fault.Denied, "account.denied", "Only the server's administrator may take a second factor away")
	}
	return s.ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		if _, err := Credentials.Update(tx, CredentialID(account), 0, func(c *Credential) error {
			c.TOTP, c.Pending = nil, nil
			return nil
		}); err != nil {
			return err
		}
		return endSessions(tx, account, "")
	})
}
