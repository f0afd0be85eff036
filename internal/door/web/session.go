package web

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/qrcode"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
)

// Session is who is signed in.
type Session struct {
	Account       account.Person `json:"account"`
	Needs         string         `json:"needs" enum:",code,totp-setup" doc:"what is missing before anything may be done"`
	Factors       []string       `json:"factors" doc:"second factors that can be shown now: totp, passkey, recovery"`
	Organizations []org.Mine     `json:"organizations"`
	Workspaces    []org.Inside   `json:"workspaces" doc:"workspaces that the person is locked into"`
	Server        string         `json:"server" doc:"name of this server"`
	Operator      bool           `json:"operator" doc:"a server administrator"`
}

type sessionAnswer struct {
	SetCookie []*http.Cookie `header:"Set-Cookie"`
	Body      Session
}

func (s *server) sessionOf(ctx context.Context, view account.View) (Session, error) {
	out := Session{Account: view.Account, Needs: view.Needs, Organizations: []org.Mine{}, Workspaces: []org.Inside{}, Server: s.Name}
	var err error
	if out.Factors, err = s.Accounts.Shown(ctx, view); err != nil {
		return out, err
	}
	if view.Needs != account.NeedsNothing {
		return out, nil
	}
	visit := visitOf(ctx)
	actor, err := account.ActorOf(view, visit.Door, visit.From)
	if err != nil {
		return out, err
	}
	if out.Operator, err = s.Server.IsOperator(ctx, actor); err != nil {
		return out, err
	}
	mine, err := s.People.Organizations(ctx, actor)
	if err != nil {
		return out, err
	}
	if mine != nil {
		out.Organizations = mine
	}
	if inside, err := s.People.LockedInto(ctx, actor); err != nil {
		return out, err
	} else if inside != nil {
		out.Workspaces = inside
	}
	return out, nil
}

// opened answers with a session and, when there is a new token, its cookie.
func (s *server) opened(ctx context.Context, token account.Token, view account.View, err error) (*sessionAnswer, error) {
	if err != nil {
		return nil, err
	}
	out := &sessionAnswer{}
	if token.Text != "" {
		out.SetCookie = []*http.Cookie{cookie(token.Text, int(time.Until(view.Expires)/time.Second))}
		if known := s.Accounts.DeviceCookie(view, visitOf(ctx).Device); known != "" {
			c := cookie(known, deviceAge)
			c.Name = deviceCookie
			out.SetCookie = append(out.SetCookie, c)
		}
	}
	out.Body, err = s.sessionOf(ctx, view)
	return out, err
}

// deviceCookie tells that somebody has signed in from this browser before. It gives
// no right, and outlives the session.
const (
	deviceCookie = "__Host-qanat-device"
	deviceAge    = 365 * 24 * 60 * 60
)

func cookie(value string, age int) *http.Cookie {
	return &http.Cookie{Name: cookieName, Value: value, Path: "/", MaxAge: age, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
}

type signInRequest struct {
	Body struct {
		Email    string `json:"email" maxLength:"254"`
		Password string `json:"password" maxLength:"1000"`
	}
}

func (s *server) signIn(ctx context.Context, in *signInRequest) (*sessionAnswer, error) {
	token, view, err := s.Accounts.SignIn(ctx, in.Body.Email, in.Body.Password, visitOf(ctx))
	return s.opened(ctx, token, view, err)
}

func (s *server) session(ctx context.Context, _ *struct{}) (*sessionAnswer, error) {
	if tokenOf(ctx) == "" {
		return nil, fault.New(fault.Unauthenticated, "session.none", "You are not signed in").WithMend("Sign in")
	}
	view, err := s.Accounts.Session(ctx, tokenOf(ctx))
	return s.opened(ctx, account.Token{}, view, err)
}

type codeRequest struct {
	Body struct {
		Code string `json:"code" maxLength:"20" doc:"six digits of the authenticator app"`
	}
}

func (s *server) sessionCode(ctx context.Context, in *codeRequest) (*sessionAnswer, error) {
	token, view, err := s.Accounts.Code(ctx, tokenOf(ctx), strings.ReplaceAll(in.Body.Code, " ", ""), visitOf(ctx))
	return s.opened(ctx, token, view, err)
}

func (s *server) sessionStepUp(ctx context.Context, _ ledger.Actor, in *codeRequest) (*sessionAnswer, error) {
	view, err := s.Accounts.StepUp(ctx, tokenOf(ctx), strings.ReplaceAll(in.Body.Code, " ", ""), visitOf(ctx))
	return s.opened(ctx, account.Token{}, view, err)
}

func (s *server) sessionFresh(_ context.Context, actor ledger.Actor, _ *struct{}) (*none, error) {
	return done(access.Fresh(actor, s.Ledger.Now()))
}

// TOTP is a second factor to set up, shown once.
type TOTP struct {
	Secret string `json:"secret" doc:"base32, to type into an authenticator app"`
	URI    string `json:"uri" doc:"otpauth:// URI"`
	QR     string `json:"qr" doc:"the URI as a QR code, SVG"`
}

func (s *server) totpSetup(ctx context.Context, _ *struct{}) (*Body[TOTP], error) {
	setup, err := s.Accounts.SetupTOTP(ctx, tokenOf(ctx), visitOf(ctx))
	if err != nil {
		return nil, err
	}
	picture, err := qrcode.SVG(setup.URI)
	return body(TOTP{Secret: setup.Secret, URI: setup.URI, QR: picture}, err)
}

func (s *server) totpConfirm(ctx context.Context, in *codeRequest) (*sessionAnswer, error) {
	token, view, err := s.Accounts.ConfirmTOTP(ctx, tokenOf(ctx), strings.ReplaceAll(in.Body.Code, " ", ""), visitOf(ctx))
	return s.opened(ctx, token, view, err)
}

type signedOut struct {
	SetCookie *http.Cookie `header:"Set-Cookie"`
}

func (s *server) signOut(ctx context.Context, _ *struct{}) (*signedOut, error) {
	if token := tokenOf(ctx); token != "" {
		if err := s.Accounts.SignOut(ctx, token, visitOf(ctx)); err != nil && fault.KindOf(err) != fault.Unauthenticated {
			return nil, err
		}
	}
	return &signedOut{SetCookie: cookie("", -1)}, nil
}

type tokenRequest struct {
	Body struct {
		Token string `json:"token" maxLength:"200"`
	}
}

func (s *server) invitationLook(ctx context.Context, in *tokenRequest) (*Body[org.Welcome], error) {
	return body(s.People.Look(ctx, in.Body.Token))
}

type acceptRequest struct {
	Body struct {
		Token    string `json:"token" maxLength:"200"`
		Name     string `json:"name,omitempty" maxLength:"200"`
		Email    string `json:"email,omitempty" maxLength:"254"`
		Password string `json:"password,omitempty" maxLength:"1000"`
	}
}

func (s *server) invitationAccept(ctx context.Context, in *acceptRequest) (*sessionAnswer, error) {
	token, view, err := s.People.Accept(ctx, in.Body.Token, org.Answer{Name: in.Body.Name, Email: in.Body.Email, Password: in.Body.Password}, visitOf(ctx))
	return s.opened(ctx, token, view, err)
}

func (s *server) sessions(ctx context.Context, actor ledger.Actor, _ *struct{}) (*Body[Page[account.View]], error) {
	return list(s.Accounts.List(ctx, actor, actor.ID))
}

func (s *server) sessionRevoke(ctx context.Context, actor ledger.Actor, in *ByID) (*none, error) {
	return done(s.Accounts.Revoke(ctx, actor, in.ID))
}

// Ended tells how many sessions there were.
type Ended struct {
	Ended int `json:"ended"`
}

func (s *server) sessionsEndOthers(ctx context.Context, actor ledger.Actor, _ *struct{}) (*Body[Ended], error) {
	n, err := s.Accounts.EndOthers(ctx, actor, tokenOf(ctx))
	return body(Ended{n}, err)
}

type endMemberRequest struct {
	MemberRequest
	Body Reason
}

func (s *server) memberEndSessions(ctx context.Context, actor ledger.Actor, in *endMemberRequest) (*Body[Ended], error) {
	n, err := s.Accounts.EndMember(ctx, actor, in.ID, in.Person, in.Body.Reason)
	return body(Ended{n}, err)
}

func (s *server) signIns(ctx context.Context, actor ledger.Actor, _ *struct{}) (*Body[Page[account.Happened]], error) {
	return list(s.Accounts.History(ctx, actor))
}

type passwordRequest struct {
	Body struct {
		Old   string `json:"old,omitempty" maxLength:"1000" doc:"empty: a fresh second factor stands for it"`
		Fresh string `json:"fresh" maxLength:"1000"`
	}
}

func (s *server) passwordChange(ctx context.Context, _ ledger.Actor, in *passwordRequest) (*none, error) {
	return done(s.Accounts.ChangePassword(ctx, tokenOf(ctx), in.Body.Old, in.Body.Fresh, visitOf(ctx)))
}
