package account

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"sync"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/netaddr"
	"github.com/qanat-water/qanat/internal/ledger"
)

// A ceremony is one question to a passkey, from its challenge to the answer.
const (
	ceremonyTime  = 5 * time.Minute
	maxCeremonies = 20_000
	maxOfSender   = 50 // of one address at once
)

// Place is where the portal is, as browsers name it: passkeys are bound to it.
type Place struct {
	ID     string // "water.example.org"
	Origin string // "https://water.example.org"
}

type ceremony struct {
	kind    string // "add", "sign-in" or "provider"
	token   string // hash of the session's token; empty: nobody is signed in
	place   Place
	sender  string
	data    webauthn.SessionData // of a passkey
	try     providerTry          // of a provider
	expires time.Time
}

// ceremonies are the questions that wait for their answers. They are in memory:
// whoever is asked while the server restarts begins again.
type ceremonies struct {
	mu   sync.Mutex
	open map[string]ceremony
	of   map[string]int // by sender
}

// begin keeps a ceremony and gives its id, which only the browser learns that began it.
func (c *ceremonies) begin(now time.Time, is ceremony) (string, error) {
	raw := make([]byte, 24)
	rand.Read(raw)
	id := base64.RawURLEncoding.EncodeToString(raw)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open, c.of = map[string]ceremony{}, map[string]int{}
	}
	if c.of[is.sender] >= maxOfSender || len(c.open) >= maxCeremonies {
		for id, old := range c.open {
			if !now.Before(old.expires) {
				c.drop(id, old)
			}
		}
	}
	if c.of[is.sender] >= maxOfSender || len(c.open) >= maxCeremonies {
		return "", fault.New(fault.TooMany, "passkey.busy", "Too many passkeys are being asked for at this moment").After(time.Minute).WithMend("Try again in a minute")
	}
	is.expires = now.Add(ceremonyTime)
	c.open[id] = is
	c.of[is.sender]++
	return id, nil
}

func (c *ceremonies) drop(id string, is ceremony) {
	delete(c.open, id)
	if c.of[is.sender]--; c.of[is.sender] <= 0 {
		delete(c.of, is.sender)
	}
}

// take gives a ceremony to its answer, once.
func (c *ceremonies) take(now time.Time, id, kind, token string) (ceremony, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	is, known := c.open[id]
	if known {
		c.drop(id, is)
	}
	if !known || !now.Before(is.expires) || is.kind != kind || is.token != token {
		return ceremony{}, fault.New(fault.Invalid, "passkey.late", "This answer comes too late, or was given already").WithMend("Begin again")
	}
	return is, nil
}

// party is the server as a relying party. Who answers must have shown finger, face
// or PIN to his device, so that a passkey is two factors by itself.
func (s *Service) party(at Place) (*webauthn.WebAuthn, error) {
	yes := true
	return webauthn.New(&webauthn.Config{
		RPID: at.ID, RPDisplayName: s.server, RPOrigins: []string{at.Origin},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: &yes, UserVerification: protocol.VerificationRequired,
		},
		Timeouts: webauthn.TimeoutsConfig{
			Login: webauthn.TimeoutConfig{Timeout: ceremonyTime}, Registration: webauthn.TimeoutConfig{Timeout: ceremonyTime},
		},
		// Password managers answer what nobody asked; it is not used.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
}

// Question is what a browser is to ask a passkey.
type Question struct {
	ID      string // stays with the browser that asked
	Options any    // for navigator.credentials
}

// BeginAdd asks for a new passkey. It needs what another second factor needs.
func (s *Service) BeginAdd(ctx context.Context, token string, at Place, visit Visit) (Question, error) {
	view, err := s.Session(ctx, token)
	if err == nil {
		err = s.mayAddFactor(ctx, view, visit)
	}
	if err != nil {
		return Question{}, err
	}
	var of keeper
	err = s.ledger.Read(ctx, func(r *ledger.Reader) (err error) {
		of, err = s.keeper(r, view.Account.ID)
		return err
	})
	if err != nil {
		return Question{}, err
	}
	if len(of.keys) >= maxPasskeys {
		return Question{}, fault.Newf(fault.Conflict, "passkey.many", "An account has at most %d passkeys", maxPasskeys).WithMend("Remove one that you do not use")
	}
	party, err := s.party(at)
	if err != nil {
		return Question{}, err
	}
	options, data, err := party.BeginRegistration(of, webauthn.WithExclusions(webauthn.Credentials(of.WebAuthnCredentials()).CredentialDescriptors()))
	if err != nil {
		return Question{}, err
	}
	id, err := s.ceremonies.begin(s.ledger.Now(), ceremony{kind: "add", token: Token{token}.Hash(), place: at, sender: netaddr.Prefix(visit.From), data: *data})
	return Question{id, options}, err
}

// BeginPasskey asks for a passkey: of anybody, when nobody is signed in; of the
// session's person for the second factor, or to show it again.
func (s *Service) BeginPasskey(ctx context.Context, token string, at Place, visit Visit) (Question, error) {
	party, err := s.party(at)
	if err != nil {
		return Question{}, err
	}
	is := ceremony{kind: "sign-in", place: at, sender: netaddr.Prefix(visit.From)}
	var options *protocol.CredentialAssertion
	var data *webauthn.SessionData
	if token == "" {
		options, data, err = party.BeginDiscoverableLogin()
	} else {
		is.token = Token{token}.Hash()
		var of keeper
		err = s.ledger.Read(ctx, func(r *ledger.Reader) error {
			_, _, view, err := s.find(r, token)
			if err == nil {
				of, err = s.keeper(r, view.Account.ID)
			}
			return err
		})
		if err == nil && len(of.keys) == 0 {
			err = fault.New(fault.Conflict, "passkey.none", "This account has no passkey").WithMend("Use the code of your authenticator app")
		}
		if err != nil {
			return Question{}, err
		}
		options, data, err = party.BeginLogin(of)
	}
	if err != nil {
		return Question{}, err
	}
	is.data = *data
	id, err := s.ceremonies.begin(s.ledger.Now(), is)
	return Question{id, options}, err
}
