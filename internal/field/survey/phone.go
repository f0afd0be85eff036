package survey

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// Phone is a form app that sends in for one person.
type Phone struct {
	Account   string `json:"account" doc:"the enumerator"`
	Name      string `json:"name"`
	TokenHash string `json:"token_hash" doc:"SHA-256 of the token, hexadecimal"`
	Revoked   bool   `json:"revoked,omitempty"`
}

const tokenLength = 64 // characters: 48 random bytes

// Phones is the noun of phones.
var Phones = ledger.Noun[Phone]{
	Name: "phone",
	Table: &ledger.Table[Phone]{
		Columns: []ledger.Column{{Name: "account", Type: ledger.Text}, {Name: "token_hash", Type: ledger.Text}, {Name: "name", Type: ledger.Text}},
		Unique:  [][]string{{"token_hash"}},
		Indexes: [][]string{{"account"}},
		Row:     func(d ledger.Doc[Phone]) []any { return []any{d.Body.Account, d.Body.TokenHash, d.Body.Name} },
	},
	Check: func(tx *ledger.Tx, before, after *ledger.Doc[Phone]) error {
		if after == nil {
			return nil
		}
		if err := checkName("phone", after.Body.Name); err != nil {
			return err
		}
		if before != nil {
			if before.Body.Account != after.Body.Account || before.Body.TokenHash != after.Body.TokenHash {
				return fault.New(fault.Invalid, "phone.fixed", "A phone's person and token cannot change").WithMend("Revoke it and set up another")
			}
			if before.Body.Revoked && !after.Body.Revoked {
				return fault.New(fault.Conflict, "phone.revoked", "A revoked phone stays revoked").WithMend("Set up the phone anew")
			}
			return nil
		}
		var one string
		found, err := tx.Row([]any{&one}, "SELECT id FROM membership WHERE person = $1 AND org = $2", after.Body.Account, after.Org)
		if err == nil && !found {
			err = fault.New(fault.Invalid, "phone.account", "The phone's person does not belong to the organization").At("/account", "not a member", "Invite the person first")
		}
		return err
	},
}

// CreatePhone sets up a phone for a person of the organization: what it sends in counts as said by that person. The token is returned this once.
func (s *Service) CreatePhone(ctx context.Context, actor ledger.Actor, org, account, name string) (doc ledger.Doc[Phone], token string, err error) {
	random := make([]byte, tokenLength/4*3)
	rand.Read(random)
	token = base64.RawURLEncoding.EncodeToString(random)
	err = s.Ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error {
		if err := access.Require(tx.Reader, actor, access.Create, access.Thing{Kind: "phone", Org: org, Branch: org}); err != nil {
			return err
		}
		if actor.Kind == "token" { // what speaks for a person would outlast the token, and see what its scope does not name
			return fault.New(fault.Denied, "phone.person", "Phones are set up by people").WithMend("Sign in as a manager of the organization")
		}
		if account != actor.ID {
			if err := access.Outside(tx, org); err != nil {
				return err
			}
		}
		var one int
		if member, err := tx.Row([]any{&one}, "SELECT 1 FROM membership WHERE person = $1 AND org = $2", account, org); err != nil {
			return err
		} else if !member {
			return fault.New(fault.Invalid, "phone.account", "A phone belongs to a person of the organization").At("/account", "no such person here", "Invite the person first")
		}
		doc, err = Phones.Create(tx, org, "", Phone{Account: account, Name: name, TokenHash: hashToken(token)})
		return err
	})
	if err != nil {
		return doc, "", err
	}
	return doc, token, nil
}

// RevokePhone ends a phone's token for good.
func (s *Service) RevokePhone(ctx context.Context, actor ledger.Actor, id, reason string) error {
	return s.Ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		doc, err := Phones.Get(tx.Reader, id)
		if err != nil {
			return err
		}
		t, _ := PhoneThing(tx.Reader, doc)
		if err := access.Require(tx.Reader, actor, access.Revoke, t); err != nil {
			return err
		}
		_, err = Phones.Update(tx, id, 0, func(p *Phone) error { p.Revoked = true; return nil })
		return err
	})
}

// Phones lists the phones of an organization that the actor may see.
func (s *Service) Phones(ctx context.Context, actor ledger.Actor, org string) (docs []ledger.Doc[Phone], err error) {
	return s.PhonesAt(ctx, actor, org, time.Time{})
}

// PhonesAt is Phones as they stood at a time, unless that is zero.
func (s *Service) PhonesAt(ctx context.Context, actor ledger.Actor, org string, at time.Time) (docs []ledger.Doc[Phone], err error) {
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		docs, err = visibleAt(r, actor, &Phones, org, at, "ORDER BY n.name, n.id")
		return err
	})
	return docs, err
}

// PhoneByToken finds whose token this is, and the actor that its holder is. The token is looked up by its hash, so that the time it
// takes says nothing of the token. Unknown and revoked tokens and those of suspended people are the same Unauthenticated fault.
func (s *Service) PhoneByToken(ctx context.Context, token string) (doc ledger.Doc[Phone], actor ledger.Actor, err error) {
	refused := fault.New(fault.Unauthenticated, "phone.token", "This phone is not set up with this server any more").WithMend("Scan a new QR code from the portal")
	if len(token) != tokenLength {
		return doc, actor, refused
	}
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		var id, name string
		found, err := r.Row([]any{&id, &name}, "SELECT p.id, a.name FROM phone p JOIN account a ON a.id = p.account WHERE p.token_hash = $1 AND a.state = 'active'", hashToken(token))
		if err != nil {
			return err
		}
		if !found {
			return refused
		}
		if doc, err = Phones.Get(r, id); err != nil {
			return err
		}
		if doc.Body.Revoked {
			return refused
		}
		actor = ledger.Actor{ID: doc.ID, Kind: "phone", Name: name + ", " + doc.Body.Name, Door: "openrosa"}
		return nil
	})
	return doc, actor, err
}

func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
