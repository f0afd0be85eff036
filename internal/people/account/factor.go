package account

import (
	"context"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// Second factors, as a session keeps which one was shown.
const (
	ByTOTP     = "totp"
	ByPasskey  = "passkey"
	ByRecovery = "recovery"
)

// purpose is what a code is shown for.
type purpose struct {
	reason  string
	confirm bool // it makes the waiting seed the second factor
	fresh   bool // the session gets a new token; the old one ends
}

var (
	toSignIn = purpose{reason: "second factor shown", fresh: true}
	toSetUp  = purpose{reason: "second factor set up", confirm: true, fresh: true}
	toStepUp = purpose{reason: "second factor shown again"}
)

func noApp() error {
	return fault.New(fault.Conflict, "totp.none", "No authenticator app is set up").WithMend("Set one up first")
}

// Code completes a session with a code of the authenticator app. The session
// gets a new token; the old one ends.
func (s *Service) Code(ctx context.Context, token, code string, visit Visit) (Token, View, error) {
	view, err := s.Session(ctx, token)
	if err != nil {
		return Token{}, View{}, err
	}
	if view.Needs == NeedsTOTPSetup {
		return Token{}, View{}, noApp()
	}
	return s.prove(ctx, view, token, code, visit, toSignIn)
}

// StepUp shows a code of the authenticator app again in a session that is
// complete, so that for ten minutes it may do what access.Fresh asks for.
func (s *Service) StepUp(ctx context.Context, token, code string, visit Visit) (View, error) {
	view, err := s.Session(ctx, token)
	if err != nil {
		return View{}, err
	}
	if _, err := ActorOf(view, visit.Door, visit.From); err != nil {
		return View{}, err
	}
	_, view, err = s.prove(ctx, view, token, code, visit, toStepUp)
	return view, err
}

// Setup is a new second factor that waits for its confirmation.
type Setup struct {
	Secret string `json:"secret" doc:"base32, to type into an authenticator app"`
	URI    string `json:"uri" doc:"otpauth:// URI, for the QR code"`
}

// SetupTOTP makes a new seed and shows it once. Whose session is complete must
// have shown a second factor just now: an open browser is not enough to take over
// an account.
func (s *Service) SetupTOTP(ctx context.Context, token string, visit Visit) (Setup, error) {
	view, err := s.Session(ctx, token)
	if err == nil {
		err = s.mayAddFactor(ctx, view, visit)
	}
	if err != nil {
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

// mayAdd is nil for a session that may add a second factor: the first one of an
// account that has none, or with a fresh proof.
func (s *Service) mayAdd(view View, visit Visit) error {
	if view.Needs == NeedsTOTPSetup {
		return nil
	}
	actor, err := ActorOf(view, visit.Door, visit.From)
	if err != nil {
		return err
	}
	return access.Fresh(actor, s.ledger.Now())
}

// mayAddFactor is mayAdd for factors of this server. Whom a provider has let in
// may have none yet: he sets up the first one just after he has come in. A session
// that was stolen later does not.
func (s *Service) mayAddFactor(ctx context.Context, view View, visit Visit) error {
	err := s.mayAdd(view, visit)
	if view.Factor != Provider || view.Needs == NeedsCode || err == nil && view.Needs == NeedsNothing {
		return err
	}
	var m Means
	if failed := s.ledger.Read(ctx, func(r *ledger.Reader) (err error) { m, err = means(r, view.Account.ID); return err }); failed != nil {
		return failed
	}
	switch {
	case m.TOTP || len(m.Passkeys) > 0:
		return err
	case s.ledger.Now().Sub(view.Created) <= access.FreshFor:
		return nil
	}
	return fault.New(fault.Denied, "factor.first", "You have no second factor of this server yet, and your sign-in was a while ago").
		WithMend("Sign out, sign in by your organization again, and set one up within ten minutes")
}

// ConfirmTOTP proves that the app shows the right codes, and makes it the second
// factor. Other sessions of the account end.
func (s *Service) ConfirmTOTP(ctx context.Context, token, code string, visit Visit) (Token, View, error) {
	view, err := s.Session(ctx, token)
	if err == nil {
		err = s.mayAddFactor(ctx, view, visit)
	}
	if err != nil {
		return Token{}, View{}, err
	}
	return s.prove(ctx, view, token, code, visit, toSetUp)
}

// prove checks a code, uses up its time step, and raises the session.
func (s *Service) prove(ctx context.Context, view View, token, code string, visit Visit, why purpose) (Token, View, error) {
	who := view.Account.ID
	if err := s.attempt(ctx, who, s.known(view, visit), visit); err != nil {
		return Token{}, View{}, err
	}
	next, notice := Token{token}, false
	if why.fresh {
		next = NewToken()
	}
	err := s.ledger.Write(ctx, view.self(visit), why.reason, func(tx *ledger.Tx) error {
		session, credential, _, err := s.find(tx.Reader, token)
		if err != nil {
			return err
		}
		sealed, used := credential.Body.TOTP, credential.Body.Step
		if why.confirm {
			sealed, used = credential.Body.Pending, 0
		}
		if sealed == nil {
			return noApp()
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
			if why.confirm {
				c.TOTP, c.Pending = c.Pending, nil
			}
			return nil
		}); err != nil {
			return err
		}
		if why.confirm {
			if err := endSessions(tx, who, session.ID); err != nil {
				return err
			}
		}
		notice, err = s.raise(tx, session, ByTOTP, next, visit)
		return err
	})
	if err != nil {
		if !why.confirm {
			s.wrongCode(ctx, view, err, visit)
		}
		return Token{}, View{}, err
	}
	return s.raised(ctx, view, next, notice, visit)
}

// wrongCode writes down that somebody who knows the password does not know the
// second factor, and tells the person: that is nearly always a thief.
func (s *Service) wrongCode(ctx context.Context, view View, err error, visit Visit) {
	code := fault.From(err).Code
	if code != "totp.wrong" && code != "recovery.wrong" || !s.codes.Note(view.Account.ID, visit.From) {
		return
	}
	s.report(ctx, Event{Account: view.Account.ID, What: "code-wrong"}, "wrong second factor", visit)
	if view.Needs != NeedsNothing && s.device(view.Account.ID, visit.Device) == "" {
		s.notice(ctx, view.Account, "Your password was used without your second factor", "Somebody gave the right password of your account, and then a wrong second factor,", visit)
	}
}

// attempt takes one try at a second factor, or says how long to wait. known is the
// session that shows its factor again, or the device cookie's.
func (s *Service) attempt(ctx context.Context, who, known string, visit Visit) error {
	is := s.codes.TakeAs(who, visit.From, known)
	if is.Wait <= 0 {
		return nil
	}
	if is.Report {
		s.report(ctx, Event{Account: who, What: "code-refused"}, "too many attempts", visit)
	}
	if is.Closed {
		return closed(is.Wait)
	}
	return wait(is.Wait)
}

// known names the place of a session's attempt: the session itself when it is
// complete, so that nobody elsewhere can keep its person from showing a factor
// again; else the device that its browser is known as.
func (s *Service) known(view View, visit Visit) string {
	if view.Needs == NeedsNothing {
		return "session " + view.ID
	}
	return s.device(view.Account.ID, visit.Device)
}

// raise writes that a session has shown a factor now, and the token it goes on
// with. One that becomes complete by it is a sign-in; notice tells whether the
// person should hear of it.
func (s *Service) raise(tx *ledger.Tx, session ledger.Doc[Session], factor string, next Token, visit Visit) (notice bool, err error) {
	if session.Body.Factor == "" {
		if notice, err = s.signedIn(tx, session.Body.Account, factor, visit); err != nil {
			return false, err
		}
		c, err := Credentials.Get(tx.Reader, CredentialID(session.Body.Account))
		if err == nil && !c.Body.Closed.IsZero() {
			_, err = Credentials.Update(tx, c.ID, 0, func(c *Credential) error { c.Closed = time.Time{}; return nil })
		}
		if err != nil {
			return false, err
		}
	}
	_, err = Sessions.Update(tx, session.ID, 0, func(d *Session) error {
		d.Factor, d.Proved, d.Token = factor, tx.Now, next.Hash()
		return nil
	})
	return notice, err
}

// raised tells the throttles of a success, and reads the session that was raised.
func (s *Service) raised(ctx context.Context, view View, token Token, notice bool, visit Visit) (Token, View, error) {
	known := s.known(view, visit)
	s.codes.SucceededAs(view.Account.ID, visit.From, known)
	s.passwords.SucceededAs(view.Account.Email, visit.From, known)
	if notice {
		s.notice(ctx, view.Account, "A sign-in from a new place", "Somebody signed in to your account from a browser that it was not used from before,", visit)
	}
	view, err := s.Session(ctx, token.Text)
	return token, view, err
}

// ResetFactor takes the second factor from somebody who lost it, and ends all
// sessions. Only a job of the server may: who it is must be checked by people.
func (s *Service) ResetFactor(ctx context.Context, actor ledger.Actor, account, reason string) error {
	if actor.Kind != "system" {
		return fault.New(fault.Denied, "account.denied", "Only the server's administrator may take a second factor away")
	}
	return s.ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error { return TakeFactor(tx, account) })
}

// TakeFactor is ResetFactor inside a transaction. The caller has decided that the actor may.
func TakeFactor(tx *ledger.Tx, account string) error {
	if _, err := Credentials.Update(tx, CredentialID(account), 0, func(c *Credential) error {
		c.TOTP, c.Pending, c.Recovery = nil, nil, nil
		return nil
	}); err != nil {
		return err
	}
	keys, err := Passkeys.List(tx.Reader, "n.account = $1", account)
	for _, k := range keys {
		if err == nil {
			err = Passkeys.Delete(tx, k.ID, 0)
		}
	}
	if err != nil {
		return err
	}
	return endSessions(tx, account, "")
}
