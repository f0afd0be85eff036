package web

import (
	"context"
	"net/http"

	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/account"
)

// awayCookie ties a provider's answer to the browser that was sent there.
const awayCookie = "__Host-qanat-away"

type emailRequest struct {
	Body struct {
		Email string `json:"email,omitempty" maxLength:"254" doc:"empty, in a session: the account's own"`
	}
}

func (s *server) providerOffer(ctx context.Context, in *emailRequest) (*Body[account.ProviderOffer], error) {
	return body(s.Accounts.OfferProvider(ctx, in.Body.Email))
}

// Away is where a browser is sent.
type Away struct {
	URL string `json:"url" doc:"the provider's sign-in page"`
}

type awayAnswer struct {
	SetCookie *http.Cookie `header:"Set-Cookie"`
	Body      Away
}

func (s *server) providerBegin(ctx context.Context, in *emailRequest) (*awayAnswer, error) {
	at := account.Place{Origin: s.publicURL(ctx)}
	url, keep, err := s.Accounts.BeginProvider(ctx, tokenOf(ctx), in.Body.Email, at, visitOf(ctx))
	if err != nil {
		return nil, err
	}
	c := cookie(keep, 300)
	c.Name = awayCookie
	return &awayAnswer{SetCookie: c, Body: Away{url}}, nil
}

type returnRequest struct {
	Keep string `cookie:"__Host-qanat-away" maxLength:"64"`
	Body struct {
		State string `json:"state" maxLength:"200"`
		Code  string `json:"code" maxLength:"4000"`
	}
}

// providerFinish takes what the provider gave the browser. The portal's page sends
// it, so that it is a request of our own pages like any other.
func (s *server) providerFinish(ctx context.Context, in *returnRequest) (*sessionAnswer, error) {
	token, view, err := s.Accounts.FinishProvider(ctx, tokenOf(ctx), in.Keep, in.Body.State, in.Body.Code, visitOf(ctx))
	return s.opened(ctx, token, view, err)
}

// Provider is an organization's sign-in provider, and what its domains need.
type Provider struct {
	account.ProviderView
	Proof  string `json:"proof" doc:"TXT record that each domain carries under _qanat"`
	Return string `json:"return" doc:"redirect address, to be told to the provider"`
}

func (s *server) provider(ctx context.Context, actor ledger.Actor, in *ByID) (*Body[Provider], error) {
	v, err := s.Accounts.ProviderOf(ctx, actor, in.ID)
	return body(Provider{v, account.DomainProof(in.ID), s.publicURL(ctx) + account.ReturnPath}, err)
}

type providerRequest struct {
	ByID
	Body account.ProviderView
}

func (s *server) providerSet(ctx context.Context, actor ledger.Actor, in *providerRequest) (*none, error) {
	return done(s.Accounts.SetProvider(ctx, actor, in.ID, in.Body))
}

func (s *server) providerRemove(ctx context.Context, actor ledger.Actor, in *ByID) (*none, error) {
	return done(s.Accounts.RemoveProvider(ctx, actor, in.ID))
}
