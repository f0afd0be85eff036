package web

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/account"
)

// questionCookie ties the answer of a passkey to the browser that asked for it.
const questionCookie = "__Host-qanat-question"

// place is where browsers find the portal: as it is configured, else as this
// request has reached it. Passkeys are bound to a name; an address is none.
func (s *server) place(ctx context.Context) (account.Place, error) {
	at, err := url.Parse(s.publicURL(ctx))
	if err != nil {
		return account.Place{}, fault.New(fault.Invalid, "passkey.address", "This server has no proper address").WithMend("Configure its public address")
	}
	name := strings.ToLower(at.Hostname())
	if name == "" || net.ParseIP(name) != nil || strings.ContainsAny(name, " _/@%") || name != "localhost" && !strings.Contains(name, ".") {
		return account.Place{}, fault.New(fault.Conflict, "passkey.address", "Passkeys need a server with a name, such as water.example.org").
			WithMend("Reach the server by its name, or use an authenticator app")
	}
	return account.Place{ID: name, Origin: strings.ToLower(at.Scheme + "://" + at.Host)}, nil
}

// PasskeyQuestion is what the browser asks a passkey.
type PasskeyQuestion struct {
	Options any `json:"options" doc:"for navigator.credentials.create or get, binary values in base64url"`
}

type questionAnswer struct {
	SetCookie *http.Cookie `header:"Set-Cookie"`
	Body      PasskeyQuestion
}

func asked(q account.Question, err error) (*questionAnswer, error) {
	if err != nil {
		return nil, err
	}
	c := cookie(q.ID, 300)
	c.Name = questionCookie
	return &questionAnswer{SetCookie: c, Body: PasskeyQuestion{q.Options}}, nil
}

func (s *server) passkeyAsk(ctx context.Context, _ *struct{}) (*questionAnswer, error) {
	at, err := s.place(ctx)
	if err != nil {
		return nil, err
	}
	return asked(s.Accounts.BeginPasskey(ctx, tokenOf(ctx), at, visitOf(ctx)))
}

type passkeyAnswer struct {
	Question string `cookie:"__Host-qanat-question" maxLength:"64"`
	Body     struct {
		Credential any `json:"credential" doc:"the answer of the browser, binary values in base64url"`
	}
}

func (s *server) passkeyShow(ctx context.Context, in *passkeyAnswer) (*sessionAnswer, error) {
	token, view, err := s.Accounts.FinishPasskey(ctx, tokenOf(ctx), in.Question, in.Body.Credential, visitOf(ctx))
	return s.opened(ctx, token, view, err)
}

func (s *server) passkeyAddAsk(ctx context.Context, _ *struct{}) (*questionAnswer, error) {
	at, err := s.place(ctx)
	if err != nil {
		return nil, err
	}
	return asked(s.Accounts.BeginAdd(ctx, tokenOf(ctx), at, visitOf(ctx)))
}

type passkeyNew struct {
	Question string `cookie:"__Host-qanat-question" maxLength:"64"`
	Body     struct {
		Name       string `json:"name,omitempty" maxLength:"60" doc:"how the person calls it"`
		Credential any    `json:"credential" doc:"the answer of the browser, binary values in base64url"`
	}
}

func (s *server) passkeyAdd(ctx context.Context, in *passkeyNew) (*sessionAnswer, error) {
	token, view, err := s.Accounts.FinishAdd(ctx, tokenOf(ctx), in.Question, in.Body.Name, in.Body.Credential, visitOf(ctx))
	return s.opened(ctx, token, view, err)
}

type passkeyName struct {
	ByID
	Body struct {
		Name string `json:"name" maxLength:"60"`
	}
}

func (s *server) passkeyRename(ctx context.Context, actor ledger.Actor, in *passkeyName) (*none, error) {
	return done(s.Accounts.RenamePasskey(ctx, actor, in.ID, in.Body.Name))
}

func (s *server) passkeyRemove(ctx context.Context, actor ledger.Actor, in *ByID) (*none, error) {
	return done(s.Accounts.RemovePasskey(ctx, actor, in.ID))
}

func (s *server) means(ctx context.Context, actor ledger.Actor, _ *struct{}) (*Body[account.Means], error) {
	return body(s.Accounts.Means(ctx, actor))
}

func (s *server) totpRemove(ctx context.Context, actor ledger.Actor, _ *struct{}) (*none, error) {
	return done(s.Accounts.RemoveTOTP(ctx, actor))
}

// RecoveryCodes are shown once.
type RecoveryCodes struct {
	Codes []string `json:"codes" doc:"each works once instead of the second factor"`
}

func (s *server) recoveryMake(ctx context.Context, actor ledger.Actor, _ *struct{}) (*Body[RecoveryCodes], error) {
	codes, err := s.Accounts.MakeRecoveryCodes(ctx, actor)
	return body(RecoveryCodes{codes}, err)
}

type recoveryRequest struct {
	Body struct {
		Code string `json:"code" maxLength:"40"`
	}
}

func (s *server) sessionRecover(ctx context.Context, in *recoveryRequest) (*sessionAnswer, error) {
	token, view, err := s.Accounts.Recover(ctx, tokenOf(ctx), in.Body.Code, visitOf(ctx))
	return s.opened(ctx, token, view, err)
}
