package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/netaddr"
	"github.com/qanat-water/qanat/internal/ledger"
)

// ReturnPath is where a provider sends people back to, on the portal.
const ReturnPath = "/sign-in/return"

const discoveryLife = time.Hour

// discoveries remember what providers say of themselves, keys included.
type discoveries struct {
	mu    sync.Mutex
	known map[string]discovery
}

type discovery struct {
	provider *oidc.Provider
	until    time.Time
}

// discover asks a provider for its addresses and keys, once an hour.
func (s *Service) discover(ctx context.Context, issuer string) (*oidc.Provider, error) {
	now := s.ledger.Now()
	s.discoveries.mu.Lock()
	d, known := s.discoveries.known[issuer]
	s.discoveries.mu.Unlock()
	if known && now.Before(d.until) {
		return d.provider, nil
	}
	// The keys are asked for later with the same client, when this request is over.
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), outwardTime)
	defer stop()
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, s.outward), issuer)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "provider.unreachable", "The provider does not answer as an OpenID Connect provider does").Because(err).
			WithMend("Check the issuer's address, or try again later")
	}
	s.discoveries.mu.Lock()
	defer s.discoveries.mu.Unlock()
	if s.discoveries.known == nil || len(s.discoveries.known) > 1000 {
		s.discoveries.known = map[string]discovery{}
	}
	s.discoveries.known[issuer] = discovery{provider, now.Add(discoveryLife)}
	return provider, nil
}

// ProviderOffer is what the sign-in page offers for an address.
type ProviderOffer struct {
	Offered bool   `json:"offered"`
	Name    string `json:"name,omitempty"`
}

// OfferProvider tells which provider signs in people with such an address. It
// depends on the domain alone, and says of nobody whether there is an account.
func (s *Service) OfferProvider(ctx context.Context, email string) (ProviderOffer, error) {
	var offer ProviderOffer
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		p, found, err := providerFor(r, email)
		offer = ProviderOffer{found, p.Body.Name}
		return err
	})
	return offer, err
}

// providerTry is what is remembered while somebody is at the provider.
type providerTry struct {
	organization, issuer, nonce, verifier, email string
}

// BeginProvider sends somebody to the provider of an address: to sign in, or, in a
// session that is complete, to link the account. It gives the provider's address
// and what the browser keeps meanwhile.
func (s *Service) BeginProvider(ctx context.Context, token, email string, at Place, visit Visit) (address, keep string, err error) {
	if d, _ := s.keys.Take("", visit.From); d > 0 { // each may ask a provider outside
		return "", "", wait(d)
	}
	is := ceremony{kind: "provider", place: at, sender: netaddr.Prefix(visit.From)}
	if token != "" {
		if view, err := s.Session(ctx, token); err == nil && view.Needs == NeedsNothing {
			if err := s.mayAdd(view, visit); err != nil {
				return "", "", err
			}
			is.token, email = Token{token}.Hash(), view.Account.Email
		}
	}
	var p ledger.Doc[SignInProvider]
	err = s.ledger.Read(ctx, func(r *ledger.Reader) error {
		found := false
		if p, found, err = providerFor(r, email); err == nil && !found {
			err = fault.New(fault.NotFound, "provider.none", "No organization signs in people with such an address").WithMend("Use your password or a passkey")
		}
		return err
	})
	if err != nil {
		return "", "", err
	}
	provider, err := s.discover(ctx, p.Body.Issuer)
	if err != nil {
		return "", "", err
	}
	is.try = providerTry{organization: p.Org, issuer: p.Body.Issuer, nonce: randomText(), verifier: oauth2.GenerateVerifier(), email: email}
	keep, err = s.ceremonies.begin(s.ledger.Now(), is)
	if err != nil {
		return "", "", err
	}
	config := oauth2.Config{ClientID: p.Body.Client, Endpoint: provider.Endpoint(), RedirectURL: at.Origin + ReturnPath, Scopes: []string{oidc.ScopeOpenID, "email", "profile"}}
	return config.AuthCodeURL(keep, oidc.Nonce(is.try.nonce), oauth2.S256ChallengeOption(is.try.verifier), oauth2.SetAuthURLParam("login_hint", Normal(email))), keep, nil
}

func randomText() string {
	raw := make([]byte, 24)
	rand.Read(raw)
	return base64.RawURLEncoding.EncodeToString(raw)
}

func refusedProvider(cause error) error {
	return fault.New(fault.Unauthenticated, "provider.wrong", "The provider's answer was not accepted").Because(cause).WithMend("Begin again, or sign in another way")
}

// claims are what a provider says of a person.
type claims struct {
	Subject  string   `json:"sub"`
	Email    string   `json:"email"`
	Verified any      `json:"email_verified"` // some write "true"
	Name     string   `json:"name"`
	AMR      []string `json:"amr"`
	AuthTime any      `json:"auth_time"` // seconds since 1970: when it asked the person last
}

// at is when the provider asked the person who he is: never later than now, and
// zero when it does not say.
func (c claims) at(now time.Time) time.Time {
	seconds, is := c.AuthTime.(float64)
	if !is || seconds < 1 {
		return time.Time{}
	}
	return time.Unix(int64(min(seconds, float64(now.Unix()))), 0).UTC()
}

// FinishProvider takes the provider's answer: it signs in, or links. keep is what
// the browser has kept, state and code what the provider gave it.
func (s *Service) FinishProvider(ctx context.Context, token, keep, state, code string, visit Visit) (Token, View, error) {
	fail := func(err error) (Token, View, error) { return Token{}, View{}, err }
	if d, _ := s.keys.Take("", visit.From); d > 0 {
		return fail(wait(d))
	}
	if keep == "" || subtle.ConstantTimeCompare([]byte(keep), []byte(state)) != 1 {
		return fail(fault.New(fault.Invalid, "provider.browser", "This answer belongs to another browser").WithMend("Begin again in this one"))
	}
	hash := ""
	if token != "" {
		if view, err := s.Session(ctx, token); err == nil && view.Needs == NeedsNothing {
			hash = Token{token}.Hash()
		}
	}
	asked, err := s.ceremonies.take(s.ledger.Now(), keep, "provider", hash)
	if err != nil {
		return fail(err)
	}
	var p ledger.Doc[SignInProvider]
	err = s.ledger.Read(ctx, func(r *ledger.Reader) (err error) {
		p, err = SignInProviders.Get(r, providerID(asked.try.organization))
		return err
	})
	if err != nil || p.Body.Issuer != asked.try.issuer { // changed in the meantime
		return fail(refusedProvider(err))
	}
	said, err := s.exchange(ctx, p, asked, code)
	if err != nil {
		return fail(err)
	}
	if _, domain, _ := strings.Cut(said.Email, "@"); checkEmail(said.Email) != nil || !slices.Contains(p.Body.Domains, domain) {
		return fail(fault.New(fault.Denied, "provider.domain", "The provider gave an address that is not of this organization").WithMend("Choose your work account at the provider"))
	}
	if said.Verified != true && said.Verified != "true" {
		return fail(fault.New(fault.Denied, "provider.unverified", "The provider has not verified your address").WithMend("Ask who runs it"))
	}
	if hash != "" {
		return s.link(ctx, token, p, said, visit)
	}
	return s.enterBy(ctx, p, said, visit)
}

// exchange trades the code for what the provider says, and checks all of it.
func (s *Service) exchange(ctx context.Context, p ledger.Doc[SignInProvider], asked ceremony, code string) (claims, error) {
	var said claims
	provider, err := s.discover(ctx, p.Body.Issuer)
	if err != nil {
		return said, err
	}
	config := oauth2.Config{ClientID: p.Body.Client, Endpoint: provider.Endpoint(), RedirectURL: asked.place.Origin + ReturnPath}
	if p.Body.Secret != nil {
		secret, err := s.vault.Open(providerPurpose, p.Body.Secret, []byte(p.Org))
		if err != nil {
			return said, err
		}
		config.ClientSecret = string(secret)
	}
	ctx, stop := context.WithTimeout(oidc.ClientContext(ctx, s.outward), outwardTime)
	defer stop()
	got, err := config.Exchange(ctx, code, oauth2.VerifierOption(asked.try.verifier))
	if err != nil {
		return said, refusedProvider(err)
	}
	raw, _ := got.Extra("id_token").(string)
	proof, err := provider.VerifierContext(ctx, &oidc.Config{ClientID: p.Body.Client, Now: s.ledger.Now}).Verify(ctx, raw)
	if err != nil {
		return said, refusedProvider(err)
	}
	if subtle.ConstantTimeCompare([]byte(proof.Nonce), []byte(asked.try.nonce)) != 1 || proof.Subject == "" || len(proof.Subject) > 255 {
		return said, refusedProvider(nil)
	}
	if err := proof.Claims(&said); err != nil {
		return said, refusedProvider(err)
	}
	if said.Email == "" { // many give it only when they are asked again
		info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(got))
		if err != nil || info.Subject != proof.Subject {
			return said, refusedProvider(err)
		}
		amr, at := said.AMR, said.AuthTime
		if err := info.Claims(&said); err != nil {
			return said, refusedProvider(err)
		}
		said.AMR, said.AuthTime = amr, at
	}
	said.Subject, said.Email = proof.Subject, Normal(said.Email)
	return said, nil
}

// link ties the account of a session to the provider's subject.
func (s *Service) link(ctx context.Context, token string, p ledger.Doc[SignInProvider], said claims, visit Visit) (Token, View, error) {
	view, err := s.Session(ctx, token)
	if err != nil {
		return Token{}, View{}, err
	}
	if said.Email != view.Account.Email {
		return Token{}, View{}, fault.New(fault.Denied, "provider.other", "The provider speaks of another address than your account's").WithMend("Choose the account with your address at the provider")
	}
	err = s.ledger.Write(ctx, view.self(visit), "linked with "+p.Body.Name, func(tx *ledger.Tx) error {
		if err := memberOf(tx.Reader, p.Org, view.Account.ID); err != nil {
			return err
		}
		_, err := ProviderLinks.Create(tx, "", "", ProviderLink{Account: view.Account.ID, Issuer: p.Body.Issuer, Subject: said.Subject})
		return err
	})
	return Token{}, view, err
}

// joinBy puts a new person into a group; people/org, which keeps memberships, sets it.
var joinBy func(tx *ledger.Tx, organization, branch, group, person string) error

// JoinBy makes known how people join an organization. It is called when packages are initialized.
func JoinBy(join func(tx *ledger.Tx, organization, branch, group, person string) error) bool {
	joinBy = join
	return true
}

// enterBy signs in whom the provider means. It never opens an account by address
// alone: who has one already signs in to it first, and links.
func (s *Service) enterBy(ctx context.Context, p ledger.Doc[SignInProvider], said claims, visit Visit) (Token, View, error) {
	next, notice := NewToken(), false
	counts := p.Body.Factor == FactorAll || p.Body.Factor == FactorAMR && slices.Contains(said.AMR, "mfa")
	actor := ledger.Actor{Kind: "system", Name: p.Body.Name, Door: visit.Door, From: visit.From}
	err := s.ledger.Write(ctx, actor, "signed in by "+p.Body.Name, func(tx *ledger.Tx) error {
		notice = false
		who, err := s.meant(tx, p, said)
		if err != nil {
			return err
		}
		if err := Start(tx, who, next, visit); err != nil || !counts {
			return err
		}
		found, err := Sessions.List(tx.Reader, "n.token = $1", next.Hash())
		if err != nil {
			return err
		}
		if notice, err = s.raise(tx, found[0], Provider, next, visit); err != nil {
			return err
		}
		// Who was still signed in at the provider has shown nothing just now.
		_, err = Sessions.Update(tx, found[0].ID, 0, func(d *Session) error { d.Proved = said.at(tx.Now); return nil })
		return err
	})
	if err != nil {
		return Token{}, View{}, err
	}
	view, err := s.Session(ctx, next.Text)
	if err != nil || !counts {
		return next, view, err
	}
	return s.raised(ctx, view, next, notice, visit)
}

// meant finds or makes the account of a subject.
func (s *Service) meant(tx *ledger.Tx, p ledger.Doc[SignInProvider], said claims) (string, error) {
	links, err := ProviderLinks.List(tx.Reader, "n.issuer = $1 AND n.subject = $2", p.Body.Issuer, said.Subject)
	if err != nil {
		return "", err
	}
	if len(links) > 0 {
		who := links[0].Body.Account
		return who, memberOf(tx.Reader, p.Org, who)
	}
	if _, exists, err := ByEmail(tx.Reader, said.Email); err != nil {
		return "", err
	} else if exists {
		return "", fault.New(fault.Conflict, "provider.unlinked", "There is an account with this address already").
			WithMend("Sign in to it as before, then link it under Your account")
	}
	if !p.Body.Create || joinBy == nil {
		return "", fault.New(fault.Denied, "provider.unknown", "You have no account here yet").WithMend("Ask an administrator of your organization for an invitation")
	}
	name := strings.TrimSpace(said.Name)
	if checkName(name) != nil {
		name, _, _ = strings.Cut(said.Email, "@")
	}
	a, err := Create(tx, said.Email, name, Hashed{})
	if err != nil {
		return "", err
	}
	if err := joinBy(tx, p.Org, p.Body.Branch, p.Body.Group, a.ID); err != nil {
		return "", err
	}
	_, err = ProviderLinks.Create(tx, "", "", ProviderLink{Account: a.ID, Issuer: p.Body.Issuer, Subject: said.Subject})
	return a.ID, err
}

// memberOf refuses a provider's word on people who do not belong to its organization.
func memberOf(r *ledger.Reader, organization, person string) error {
	held, err := membershipsIn(r, organization, person)
	if err == nil && len(held) == 0 {
		err = fault.New(fault.Denied, "provider.left", "You do not belong to this organization any more").WithMend("Sign in with your password or a passkey")
	}
	return err
}
