package account

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/netaddr"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

const maxPasskeys = 20

// Passkey is a key pair whose private half stays in somebody's device or password manager.
type Passkey struct {
	Account string              `json:"account"`
	Name    string              `json:"name"`
	Key     webauthn.Credential `json:"key"`
	Made    time.Time           `json:"made"`
	Used    time.Time           `json:"used,omitzero"`
	From    string              `json:"from,omitempty"`
	Cloned  bool                `json:"cloned,omitempty" doc:"its counter went back: two devices may have it"`
}

// Passkeys is the noun of passkeys. They belong to the server.
var Passkeys = ledger.Noun[Passkey]{
	Name:   "passkey",
	Secret: true,
	Table: &ledger.Table[Passkey]{
		Columns: []ledger.Column{{Name: "account", Type: ledger.Text}, {Name: "credential", Type: ledger.Text}},
		Unique:  [][]string{{"credential"}},
		Indexes: [][]string{{"account"}},
		Row: func(d ledger.Doc[Passkey]) []any {
			return []any{d.Body.Account, base64.RawURLEncoding.EncodeToString(d.Body.Key.ID)}
		},
	},
	Check: func(_ *ledger.Tx, before, after *ledger.Doc[Passkey]) error {
		if after == nil {
			return nil
		}
		if before != nil && before.Body.Account != after.Body.Account {
			return fault.New(fault.Invalid, "passkey.fixed", "A passkey belongs to its account")
		}
		n := utf8.RuneCountInString(after.Body.Name)
		if n < 1 || n > 60 || strings.ContainsFunc(after.Body.Name, unicode.IsControl) || strings.TrimSpace(after.Body.Name) != after.Body.Name {
			return fault.New(fault.Invalid, "passkey.name", "A passkey's name has 1 to 60 characters").
				At("/name", "missing or too long", "name the device that has it")
		}
		return nil
	},
}

var _ = access.Register(&Passkeys, access.Columns{Owner: "account"}, func(_ *ledger.Reader, d ledger.Doc[Passkey]) (access.Thing, error) {
	return access.Thing{Owner: d.Body.Account, Name: d.Body.Name}, nil
}, access.Rule{Kind: "passkey", Who: []string{"own"}, May: []access.Verb{access.See, access.Edit, access.Delete}})

// PasskeyView is a passkey as its person sees it.
type PasskeyView struct {
	ID     string    `json:"id"`
	Name   string    `json:"name"`
	Made   time.Time `json:"made"`
	Used   time.Time `json:"used,omitzero"`
	From   string    `json:"from,omitempty" doc:"address of the last use"`
	Synced bool      `json:"synced" doc:"a password manager keeps it, so that other devices have it too"`
	Cloned bool      `json:"cloned" doc:"its counter went back, so it is not taken any more"`
}

// keeper is an account with its passkeys, as the protocol's library knows it.
type keeper struct {
	account ledger.Doc[Account]
	keys    []ledger.Doc[Passkey]
}

func (k keeper) WebAuthnID() []byte          { return userHandle(k.account.ID) }
func (k keeper) WebAuthnName() string        { return k.account.Body.Email }
func (k keeper) WebAuthnDisplayName() string { return k.account.Body.Name }
func (k keeper) WebAuthnCredentials() []webauthn.Credential {
	list := make([]webauthn.Credential, 0, len(k.keys))
	for _, d := range k.keys {
		if !d.Body.Cloned {
			list = append(list, d.Body.Key)
		}
	}
	return list
}

// userHandle is the account's id as 16 bytes: it says nothing of the person.
func userHandle(account string) []byte {
	id, err := uuid.Parse(account)
	if err != nil {
		return []byte(account)
	}
	return id[:]
}

func (s *Service) keeper(r *ledger.Reader, account string) (k keeper, err error) {
	if k.account, err = Accounts.Get(r, account); err != nil {
		return k, err
	}
	k.keys, err = Passkeys.List(r, "n.account = $1 ORDER BY n.id", account)
	return k, err
}

func refusedPasskey(cause error) error {
	f := fault.New(fault.Unauthenticated, "passkey.wrong", "This passkey was not accepted").WithMend("Try again, or sign in with your password")
	var detail *protocol.Error
	if errors.As(cause, &detail) {
		cause = errors.New(detail.Type + ": " + detail.DevInfo)
	}
	return f.Because(cause)
}

// FinishAdd keeps the passkey that answers. It is the session's second factor when
// the account has none.
func (s *Service) FinishAdd(ctx context.Context, token, question, name string, answer any, visit Visit) (Token, View, error) {
	fail := func(err error) (Token, View, error) { return Token{}, View{}, err }
	view, err := s.Session(ctx, token)
	if err == nil {
		err = s.mayAddFactor(ctx, view, visit)
	}
	if err != nil {
		return fail(err)
	}
	asked, err := s.ceremonies.take(s.ledger.Now(), question, "add", Token{token}.Hash())
	if err != nil {
		return fail(err)
	}
	raw, err := json.Marshal(answer)
	if err != nil {
		return fail(err)
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(raw)
	if err != nil {
		return fail(refusedPasskey(err))
	}
	party, err := s.party(asked.place)
	if err != nil {
		return fail(err)
	}
	first := view.Needs == NeedsTOTPSetup
	next, notice := Token{token}, false
	if first {
		next = NewToken()
	}
	err = s.ledger.Write(ctx, view.self(visit), "passkey added", func(tx *ledger.Tx) error {
		session, _, now, err := s.find(tx.Reader, token)
		if err != nil {
			return err
		}
		if first && now.Needs != NeedsTOTPSetup { // another request was first
			return fault.New(fault.Conflict, "passkey.raced", "A second factor was set up in the meantime").WithMend("Sign in with it")
		}
		of, err := s.keeper(tx.Reader, view.Account.ID)
		if err != nil {
			return err
		}
		made, err := party.CreateCredential(of, asked.data, parsed)
		if err != nil {
			return refusedPasskey(err)
		}
		made.Attestation = webauthn.CredentialAttestation{} // who made the device is nobody's business
		if name = strings.TrimSpace(name); name == "" {
			name = "Passkey"
		}
		if _, err := Passkeys.Create(tx, "", "", Passkey{Account: view.Account.ID, Name: name, Key: *made, Made: tx.Now, Used: tx.Now, From: netaddr.Host(visit.From)}); err != nil {
			return err
		}
		if !first {
			return nil
		}
		if err := endSessions(tx, view.Account.ID, session.ID); err != nil {
			return err
		}
		notice, err = s.raise(tx, session, ByPasskey, next, visit)
		return err
	})
	if err != nil {
		return fail(err)
	}
	if first {
		return s.raised(ctx, view, next, notice, visit)
	}
	view, err = s.Session(ctx, token)
	return Token{}, view, err
}

// FinishPasskey takes the answer of a passkey. Without a session it signs in: it
// counts as two factors. With one it is the second factor, or shows it again.
func (s *Service) FinishPasskey(ctx context.Context, token, question string, answer any, visit Visit) (Token, View, error) {
	fail := func(err error) (Token, View, error) { return Token{}, View{}, err }
	hash := ""
	if token != "" {
		hash = Token{token}.Hash()
	}
	if d, _ := s.keys.Take("", visit.From); d > 0 {
		return fail(wait(d))
	}
	asked, err := s.ceremonies.take(s.ledger.Now(), question, "sign-in", hash)
	if err != nil {
		return fail(err)
	}
	raw, err := json.Marshal(answer)
	if err != nil {
		return fail(err)
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(raw)
	if err != nil {
		return fail(refusedPasskey(err))
	}
	party, err := s.party(asked.place)
	if err != nil {
		return fail(err)
	}
	who, full, err := s.answering(ctx, token, parsed)
	if err != nil {
		return fail(err)
	}
	next := Token{token}
	if !full {
		next = NewToken()
	}
	reason := map[bool]string{true: toStepUp.reason, false: toSignIn.reason}[full]
	if token == "" {
		reason = "signed in with passkey"
	}
	actor := ledger.Actor{ID: who.ID, Kind: "account", Name: who.Body.Name, Door: visit.Door, From: visit.From}
	cloned, notice := false, false
	err = s.ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		cloned = false
		of, err := s.keeper(tx.Reader, who.ID)
		if err != nil {
			return err
		}
		var used *webauthn.Credential
		if token == "" {
			_, used, err = party.ValidatePasskeyLogin(func(_, _ []byte) (webauthn.User, error) { return of, nil }, asked.data, parsed)
		} else {
			used, err = party.ValidateLogin(of, asked.data, parsed)
		}
		if err != nil {
			return refusedPasskey(err)
		}
		doc, err := usedKey(tx, *used, visit)
		if err != nil {
			return err
		}
		if cloned = doc.Body.Cloned; cloned {
			_, err := Events.Create(tx, "", "", Event{Account: who.ID, What: "passkey-cloned", From: netaddr.Host(visit.From), Agent: agentOf(visit)})
			return err
		}
		if token == "" {
			if err := Start(tx, who.ID, next, visit); err != nil {
				return err
			}
		}
		session, _, _, err := s.find(tx.Reader, map[bool]string{true: next.Text, false: token}[token == ""])
		if err != nil {
			return err
		}
		notice, err = s.raise(tx, session, ByPasskey, next, visit)
		return err
	})
	if err != nil {
		return fail(err)
	}
	if cloned {
		return fail(fault.New(fault.Unauthenticated, "passkey.cloned", "This passkey has been copied: another device uses it too").
			WithMend("Sign in another way or with a recovery code, remove this passkey and make a new one; without either, ask a server administrator for a sign-in link that takes it away"))
	}
	view, err := s.Session(ctx, next.Text)
	if err != nil {
		return fail(err)
	}
	_, view, err = s.raised(ctx, view, next, notice, visit)
	if full {
		next = Token{} // the cookie stays
	}
	return next, view, err
}

// answering tells whose passkey answers, and whether the session is complete already.
func (s *Service) answering(ctx context.Context, token string, parsed *protocol.ParsedCredentialAssertionData) (who ledger.Doc[Account], full bool, err error) {
	err = s.ledger.Read(ctx, func(r *ledger.Reader) error {
		if token != "" {
			_, _, view, err := s.find(r, token)
			if err != nil {
				return err
			}
			full = view.Needs == NeedsNothing
			who, err = Accounts.Get(r, view.Account.ID)
			return err
		}
		found, err := Passkeys.List(r, "n.credential = $1", base64.RawURLEncoding.EncodeToString(parsed.RawID))
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return refusedPasskey(nil)
		}
		who, err = Accounts.Get(r, found[0].Body.Account)
		if err != nil || who.Body.State != Active {
			return refusedPasskey(err)
		}
		return nil
	})
	return who, full, err
}

// usedKey writes the use of a passkey down, with its counter.
func usedKey(tx *ledger.Tx, used webauthn.Credential, visit Visit) (ledger.Doc[Passkey], error) {
	found, err := Passkeys.List(tx.Reader, "n.credential = $1", base64.RawURLEncoding.EncodeToString(used.ID))
	if err != nil || len(found) == 0 {
		return ledger.Doc[Passkey]{}, refusedPasskey(err)
	}
	return Passkeys.Update(tx, found[0].ID, 0, func(p *Passkey) error {
		if used.Authenticator.CloneWarning {
			p.Cloned = true
			return nil
		}
		used.Attestation = webauthn.CredentialAttestation{}
		p.Key, p.Used, p.From = used, tx.Now, netaddr.Host(visit.From)
		return nil
	})
}

// RenamePasskey names a passkey.
func (s *Service) RenamePasskey(ctx context.Context, actor ledger.Actor, id, name string) error {
	return s.ledger.Write(ctx, actor, "passkey renamed", func(tx *ledger.Tx) error {
		if err := requireOn(tx, "passkey", id, access.Edit); err != nil {
			return err
		}
		_, err := Passkeys.Update(tx, id, 0, func(p *Passkey) error { p.Name = strings.TrimSpace(name); return nil })
		return err
	})
}

// RemovePasskey ends a passkey, when another second factor is left.
func (s *Service) RemovePasskey(ctx context.Context, actor ledger.Actor, id string) error {
	return s.ledger.Write(ctx, actor, "passkey removed", func(tx *ledger.Tx) error {
		if err := requireOn(tx, "passkey", id, access.Delete); err != nil {
			return err
		}
		if err := access.Fresh(actor, tx.Now); err != nil {
			return err
		}
		d, err := Passkeys.Get(tx.Reader, id)
		if err != nil {
			return err
		}
		if err := Passkeys.Delete(tx, id, 0); err != nil {
			return err
		}
		return keepsFactor(tx, d.Body.Account)
	})
}

// RemoveTOTP ends the authenticator app, when a passkey is left.
func (s *Service) RemoveTOTP(ctx context.Context, actor ledger.Actor) error {
	return s.ledger.Write(ctx, actor, "authenticator app removed", func(tx *ledger.Tx) error {
		if err := requireOn(tx, "account", actor.ID, access.Edit); err != nil {
			return err
		}
		if err := access.Fresh(actor, tx.Now); err != nil {
			return err
		}
		if _, err := Credentials.Update(tx, CredentialID(actor.ID), 0, func(c *Credential) error { c.TOTP, c.Pending = nil, nil; return nil }); err != nil {
			return err
		}
		return keepsFactor(tx, actor.ID)
	})
}

// keepsFactor refuses to leave an account without a second factor.
func keepsFactor(tx *ledger.Tx, account string) error {
	c, err := Credentials.Get(tx.Reader, CredentialID(account))
	if err != nil || c.Body.TOTP != nil {
		return err
	}
	some, err := hasPasskey(tx.Reader, account)
	if err == nil && !some {
		err = fault.New(fault.Conflict, "factor.last", "This is your only second factor").WithMend("Set up another one first")
	}
	return err
}

// hasPasskey tells whether an account has a passkey that is taken.
func hasPasskey(r *ledger.Reader, account string) (bool, error) {
	keys, err := Passkeys.List(r, "n.account = $1", account)
	for _, k := range keys {
		if !k.Body.Cloned {
			return true, err
		}
	}
	return false, err
}

func requireOn(tx *ledger.Tx, kind, id string, verb access.Verb) error {
	t, err := access.Describe(tx.Reader, kind, id)
	if err != nil {
		return err
	}
	return access.Require(tx.Reader, tx.Actor, verb, t)
}

func agentOf(v Visit) string { return v.Agent[:min(len(v.Agent), maxAgent)] }
