package account

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/netaddr"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// A recovery code is 80 random bits, so that a fast hash is enough: nobody tries
// them all. The hash is keyed besides, so that a copy of the database alone
// cannot even be tried.
const (
	recoveryCodes  = 10
	recoveryBytes  = 10
	recoveryLength = 16 // letters
)

// recoveryHash is what is kept of a code.
func (s *Service) recoveryHash(account, code string) string {
	mac := hmac.New(sha256.New, s.vault.Derive("recovery codes", 32))
	mac.Write([]byte(account + "\x00" + code))
	return base64.RawStdEncoding.EncodeToString(mac.Sum(nil))
}

// plainCode takes out what people add when they write a code down.
func plainCode(text string) string {
	return strings.NewReplacer("-", "", " ", "", "0", "o", "1", "l").Replace(strings.ToLower(text))
}

// MakeRecoveryCodes makes a new set, shown this once; the set before works no more.
func (s *Service) MakeRecoveryCodes(ctx context.Context, actor ledger.Actor) ([]string, error) {
	codes, hashes := make([]string, recoveryCodes), make([]string, recoveryCodes)
	for i := range codes {
		raw := make([]byte, recoveryBytes)
		rand.Read(raw)
		text := tokenText.EncodeToString(raw)
		hashes[i] = s.recoveryHash(actor.ID, text)
		codes[i] = text[:4] + "-" + text[4:8] + "-" + text[8:12] + "-" + text[12:]
	}
	err := s.ledger.Write(ctx, actor, "recovery codes made", func(tx *ledger.Tx) error {
		if err := requireOn(tx, "account", actor.ID, access.Edit); err != nil {
			return err
		}
		if err := access.Fresh(actor, tx.Now); err != nil {
			return err
		}
		_, err := Credentials.Update(tx, CredentialID(actor.ID), 0, func(c *Credential) error {
			c.Recovery, c.RecoveryMade = hashes, tx.Now
			return nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// Recover completes a session with a recovery code, which is used up. It counts as
// the second factor; the person is told by mail, and it is a security event.
func (s *Service) Recover(ctx context.Context, token, code string, visit Visit) (Token, View, error) {
	fail := func(err error) (Token, View, error) { return Token{}, View{}, err }
	view, err := s.Session(ctx, token)
	if err != nil {
		return fail(err)
	}
	if view.Needs != NeedsCode {
		return fail(fault.New(fault.Conflict, "recovery.needless", "A recovery code stands for the second factor while you sign in").WithMend("Use your authenticator app or a passkey"))
	}
	who := view.Account.ID
	if err := s.attempt(ctx, who, s.known(view, visit), visit); err != nil {
		return fail(err)
	}
	hash := s.recoveryHash(who, plainCode(code))
	next, left := NewToken(), 0
	err = s.ledger.Write(ctx, view.self(visit), "signed in with a recovery code", func(tx *ledger.Tx) error {
		session, credential, _, err := s.find(tx.Reader, token)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(credential.Body.Recovery, func(kept string) bool { return hmac.Equal([]byte(kept), []byte(hash)) })
		if at < 0 {
			return fault.New(fault.Invalid, "recovery.wrong", "This recovery code is wrong, or was used already").
				At("/code", "wrong or used", "try the next one of your list")
		}
		if _, err := Credentials.Update(tx, credential.ID, 0, func(c *Credential) error {
			c.Recovery = slices.Delete(slices.Clone(c.Recovery), at, at+1)
			left = len(c.Recovery)
			return nil
		}); err != nil {
			return err
		}
		if _, err := Events.Create(tx, "", "", Event{Account: who, What: "recovery-used", From: netaddr.Host(visit.From), Agent: agentOf(visit), Count: left}); err != nil {
			return err
		}
		_, err = s.raise(tx, session, ByRecovery, next, visit) // the notice below says more
		return err
	})
	if err != nil {
		s.wrongCode(ctx, view, err, visit)
		return fail(err)
	}
	s.notice(ctx, view.Account, "A recovery code was used", "A recovery code was used to sign in to your account", visit)
	return s.raised(ctx, view, next, false, visit)
}

// Means is what an account can prove itself with.
type Means struct {
	Password     bool          `json:"password"`
	PasswordSet  time.Time     `json:"password_set,omitzero"`
	TOTP         bool          `json:"totp"`
	Passkeys     []PasskeyView `json:"passkeys"`
	Recovery     int           `json:"recovery" doc:"recovery codes that are left"`
	RecoveryMade time.Time     `json:"recovery_made,omitzero"`
}

// Means tells a person what the own account can prove itself with.
func (s *Service) Means(ctx context.Context, actor ledger.Actor) (Means, error) {
	var m Means
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		if err := access.Require(r, actor, access.See, access.Thing{Kind: "account", ID: actor.ID, Owner: actor.ID}); err != nil {
			return err
		}
		var err error
		m, err = means(r, actor.ID)
		return err
	})
	return m, err
}

func means(r *ledger.Reader, account string) (Means, error) {
	c, err := Credentials.Get(r, CredentialID(account))
	if err != nil {
		return Means{}, err
	}
	m := Means{
		Password: c.Body.Password != "", PasswordSet: c.Body.PasswordSet, TOTP: c.Body.TOTP != nil,
		Passkeys: []PasskeyView{}, Recovery: len(c.Body.Recovery), RecoveryMade: c.Body.RecoveryMade,
	}
	keys, err := Passkeys.List(r, "n.account = $1 ORDER BY n.id", account)
	for _, k := range keys {
		b := k.Body
		m.Passkeys = append(m.Passkeys, PasskeyView{ID: k.ID, Name: b.Name, Made: b.Made, Used: b.Used, From: b.From, Synced: b.Key.Flags.BackupState, Cloned: b.Cloned})
	}
	return m, err
}

// Shown names the second factors that a session's person can show now: "totp",
// "passkey", "recovery". It is what a sign-in page offers.
func (s *Service) Shown(ctx context.Context, view View) ([]string, error) {
	shown := []string{}
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		m, err := means(r, view.Account.ID)
		shown = []string{}
		if m.TOTP {
			shown = append(shown, ByTOTP)
		}
		if slices.ContainsFunc(m.Passkeys, func(p PasskeyView) bool { return !p.Cloned }) {
			shown = append(shown, ByPasskey)
		}
		if m.Recovery > 0 {
			shown = append(shown, ByRecovery)
		}
		return err
	})
	return shown, err
}
