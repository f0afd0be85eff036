package web

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
)

const (
	tokenPerSecond = 20 // requests of one service token, on average
	tokenBurst     = 200
	maxBearer      = 200 // bytes
)

// bearer is the service token of a request. It is taken from nowhere else: an
// address ends up in logs and histories.
func bearer(r *http.Request) (string, bool) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return text[:min(len(text), maxBearer)], true
}

// program is the actor of a service token. A request does not come with a cookie
// too: whose right would count?
func (s *server) program(ctx context.Context, text, cookie string) (ledger.Actor, error) {
	if cookie != "" {
		return ledger.Actor{}, fault.New(fault.Invalid, "token.twice", "This request has a session and a service token").WithMend("Send one of them")
	}
	actor, err := s.Accounts.TokenActor(ctx, text, visitOf(ctx))
	if err != nil {
		return actor, err
	}
	if ok, wait := s.tokens.Allow(actor.ID); !ok {
		return ledger.Actor{}, fault.New(fault.TooMany, "rate.token", "Too many requests with this service token").After(wait).WithMend("Ask less often")
	}
	return actor, nil
}

type tokenCreateRequest struct {
	Body struct {
		Name    string    `json:"name" maxLength:"100"`
		Branch  string    `json:"branch" format:"uuid" doc:"where it counts, with all branches below"`
		Group   string    `json:"group,omitempty" enum:",viewers,members,managers,admins" doc:"standing group that it acts as; empty: only what grants give to token:<id>"`
		Verbs   []string  `json:"verbs,omitempty" maxItems:"40" doc:"what it may do at most; empty: all that its group and grants allow, without share, administer, revoke, delete and export, which must be named"`
		Kinds   []string  `json:"kinds,omitempty" maxItems:"40" doc:"kinds of things it may touch at most; empty: all"`
		Expires time.Time `json:"expires" doc:"within a year"`
	}
}

// TokenMade is a service token, shown once.
type TokenMade struct {
	ID    string `json:"id"`
	Token string `json:"token" doc:"shown once; send it as Authorization: Bearer, never in an address"`
}

func (s *server) tokenCreate(ctx context.Context, actor ledger.Actor, in *tokenCreateRequest) (*Body[TokenMade], error) {
	b := in.Body
	token, made, err := s.Accounts.CreateToken(ctx, actor, account.ServiceToken{
		Name: b.Name, Branch: b.Branch, Group: b.Group, Verbs: b.Verbs, Kinds: b.Kinds, Expires: b.Expires,
	})
	return body(TokenMade{ID: made.ID, Token: token.Text}, err)
}

func (s *server) tokenList(ctx context.Context, actor ledger.Actor, in *ByID) (*Body[Page[account.TokenView]], error) {
	return list(s.Accounts.Tokens(ctx, actor, in.ID))
}

type revokeRequest struct {
	ByID
	Body Reason
}

func (s *server) tokenRevoke(ctx context.Context, actor ledger.Actor, in *revokeRequest) (*none, error) {
	return done(s.Accounts.RevokeToken(ctx, actor, in.ID, in.Body.Reason))
}

// Scopes are what a service token can be narrowed to.
type Scopes struct {
	Verbs []string `json:"verbs"`
	Kinds []string `json:"kinds"`
}

func (s *server) tokenScopes(context.Context, ledger.Actor, *struct{}) (*Body[Scopes], error) {
	verbs, kinds := access.Scopes()
	return body(Scopes{verbs, kinds}, nil)
}
