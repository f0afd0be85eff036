package web

import (
	"context"
	"time"

	"github.com/qanat-water/qanat/internal/base/qrcode"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/org"
)

type joinCodeRequest struct {
	ByID
	Body struct {
		Name     string    `json:"name" maxLength:"100" doc:"what it is for"`
		Branch   string    `json:"branch" format:"uuid"`
		Group    string    `json:"group" doc:"members, viewers, managers (with approval only), or team:<id>"`
		Approval bool      `json:"approval,omitempty" doc:"an admin decides about each person"`
		MaxUses  int       `json:"max_uses" minimum:"1" maximum:"1000"`
		Expires  time.Time `json:"expires"`
	}
}

// NewJoinCode is a join code, shown once.
type NewJoinCode struct {
	Doc  ledger.Doc[org.JoinCode] `json:"join_code"`
	Code string                   `json:"code" doc:"to be typed: 7K3M-0QXA-9ZPC"`
	URL  string                   `json:"url" doc:"the code stands after #, so that it reaches no log"`
	QR   string                   `json:"qr" doc:"the URL as a QR code, SVG"`
}

func (s *server) joinCodeCreate(ctx context.Context, actor ledger.Actor, in *joinCodeRequest) (*Body[NewJoinCode], error) {
	b := in.Body
	code, doc, err := s.People.MakeCode(ctx, actor, in.ID, org.JoinCode{Name: b.Name, Branch: b.Branch, Group: b.Group, Approval: b.Approval, MaxUses: b.MaxUses, Expires: b.Expires})
	if err != nil {
		return nil, err
	}
	url := s.publicURL(ctx) + "/join#" + code
	picture, err := qrcode.SVG(url)
	return body(NewJoinCode{Doc: doc, Code: org.ShowCode(code), URL: url, QR: picture}, err)
}

func (s *server) joinCodes(ctx context.Context, actor ledger.Actor, in *ByID) (*Body[Page[ledger.Doc[org.JoinCode]]], error) {
	return list(s.People.Codes(ctx, actor, in.ID))
}

func (s *server) joinCodeRevoke(ctx context.Context, actor ledger.Actor, in *ByID) (*none, error) {
	return done(s.People.RevokeCode(ctx, actor, in.ID))
}

func (s *server) joinRequests(ctx context.Context, actor ledger.Actor, in *ByID) (*Body[Page[org.Request]], error) {
	return list(s.People.Requests(ctx, actor, in.ID))
}

func (s *server) joinApprove(ctx context.Context, actor ledger.Actor, in *ByID) (*none, error) {
	return done(s.People.Decide(ctx, actor, in.ID, true, ""))
}

func (s *server) joinDecline(ctx context.Context, actor ledger.Actor, in *reasonRequest) (*none, error) {
	return done(s.People.Decide(ctx, actor, in.ID, false, in.Body.Reason))
}

type typedCode struct {
	Body struct {
		Code string `json:"code" maxLength:"40"`
	}
}

func (s *server) joinLook(ctx context.Context, in *typedCode) (*Body[org.Offer], error) {
	return body(s.People.LookAtCode(ctx, in.Body.Code, visitOf(ctx)))
}

func (s *server) join(ctx context.Context, actor ledger.Actor, in *typedCode) (*Body[org.Joined], error) {
	return body(s.People.UseCode(ctx, actor, in.Body.Code, visitOf(ctx)))
}

func (s *server) joinMine(ctx context.Context, actor ledger.Actor, _ *struct{}) (*Body[Page[org.Request]], error) {
	return list(s.People.MyRequests(ctx, actor))
}

type newcomer struct {
	Body struct {
		Code     string `json:"code" maxLength:"40"`
		Name     string `json:"name" maxLength:"200"`
		Email    string `json:"email" maxLength:"254"`
		Password string `json:"password" maxLength:"1000"`
	}
}

func (s *server) joinNewcomer(ctx context.Context, in *newcomer) (*sessionAnswer, error) {
	token, view, err := s.People.NewcomerByCode(ctx, in.Body.Code, org.Answer{Name: in.Body.Name, Email: in.Body.Email, Password: in.Body.Password}, visitOf(ctx))
	return s.opened(ctx, token, view, err)
}
