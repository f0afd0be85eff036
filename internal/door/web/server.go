package web

import (
	"context"

	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/account"
	admin "github.com/qanat-water/qanat/internal/people/server"
)

// What server administrators do. To others there is none of it.

func (s *server) serverHealth(ctx context.Context, actor ledger.Actor, _ *struct{}) (*Body[admin.Facts], error) {
	return body(s.Server.Health(ctx, actor))
}

func (s *server) serverAdministrators(ctx context.Context, actor ledger.Actor, _ *struct{}) (*Body[Page[account.Person]], error) {
	return list(s.Server.Administrators(ctx, actor))
}

type administratorRequest struct {
	Body struct {
		Email string `json:"email" maxLength:"254"`
	}
}

func (s *server) serverAdministratorAdd(ctx context.Context, actor ledger.Actor, in *administratorRequest) (*Body[account.Person], error) {
	return body(s.Server.AddAdministrator(ctx, actor, in.Body.Email))
}

func (s *server) serverAdministratorRemove(ctx context.Context, actor ledger.Actor, in *ByID) (*none, error) {
	return done(s.Server.RemoveAdministrator(ctx, actor, in.ID))
}

type accountsQuery struct {
	Search string `query:"search" maxLength:"100" doc:"part of a name or address"`
	Cursor string `query:"cursor" maxLength:"254"`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"50"`
}

func (s *server) serverAccounts(ctx context.Context, actor ledger.Actor, in *accountsQuery) (*Body[Page[admin.Account]], error) {
	found, next, err := s.Server.ListAccounts(ctx, actor, admin.Search{Text: in.Search, After: in.Cursor, Limit: in.Limit})
	out, err := list(found, err)
	if err == nil {
		out.Body.Next = next
	}
	return out, err
}

type accountAction struct {
	ByID
	Body Reason
}

func (s *server) serverAccountDisable(ctx context.Context, actor ledger.Actor, in *accountAction) (*Body[admin.Account], error) {
	return body(s.Server.Disable(ctx, actor, in.ID, in.Body.Reason))
}

func (s *server) serverAccountEnable(ctx context.Context, actor ledger.Actor, in *accountAction) (*Body[admin.Account], error) {
	return body(s.Server.Enable(ctx, actor, in.ID, in.Body.Reason))
}

// SessionsEnded counts the sessions that were ended.
type SessionsEnded struct {
	Ended int `json:"ended"`
}

func (s *server) serverAccountEndSessions(ctx context.Context, actor ledger.Actor, in *accountAction) (*Body[SessionsEnded], error) {
	ended, err := s.Server.EndSessions(ctx, actor, in.ID, in.Body.Reason)
	return body(SessionsEnded{ended}, err)
}

type linkRequest struct {
	ByID
	Body struct {
		Reason
		ResetFactor bool `json:"reset_factor,omitempty" doc:"also take the second factor away"`
	}
}

func (s *server) serverAccountLink(ctx context.Context, actor ledger.Actor, in *linkRequest) (*Body[Link], error) {
	token, err := s.Server.SignInLink(ctx, actor, in.ID, in.Body.ResetFactor, in.Body.Reason.Reason)
	return body(Link{URL: s.publicURL(ctx) + "/welcome#" + token.Text}, err)
}

func (s *server) serverOrganizations(ctx context.Context, actor ledger.Actor, _ *struct{}) (*Body[Page[admin.Organization]], error) {
	return list(s.Server.Organizations(ctx, actor))
}

type foundingRequest struct {
	Body struct {
		Name  string `json:"name" maxLength:"100"`
		Admin string `json:"admin" maxLength:"100" doc:"name of its first admin"`
		Email string `json:"email" maxLength:"254" doc:"address of its first admin"`
	}
}

// Founded is a new organization with the link for its first admin, shown once.
type Founded struct {
	ID string `json:"id"`
	Link
}

func (s *server) serverOrganizationCreate(ctx context.Context, actor ledger.Actor, in *foundingRequest) (*Body[Founded], error) {
	id, token, err := s.Server.CreateOrganization(ctx, actor, in.Body.Name, in.Body.Admin, in.Body.Email)
	return body(Founded{id, Link{URL: s.publicURL(ctx) + "/welcome#" + token.Text}}, err)
}

type breakGlassRequest struct{ Body admin.Entering }

func (s *server) breakGlass(ctx context.Context, actor ledger.Actor, in *breakGlassRequest) (*Body[ledger.Doc[admin.BreakGlass]], error) {
	return body(s.Server.BreakGlass(ctx, actor, actor.ID, in.Body))
}

type visitsQuery struct {
	ByID
	All bool `query:"all" doc:"also those that have ended and were acknowledged"`
}

func (s *server) breakGlassVisits(ctx context.Context, actor ledger.Actor, in *visitsQuery) (*Body[Page[ledger.Doc[admin.BreakGlass]]], error) {
	return list(s.Server.Visits(ctx, actor, in.ID, in.All))
}

func (s *server) breakGlassEnd(ctx context.Context, actor ledger.Actor, in *ByID) (*Body[ledger.Doc[admin.BreakGlass]], error) {
	return body(s.Server.End(ctx, actor, in.ID))
}

func (s *server) breakGlassAcknowledge(ctx context.Context, actor ledger.Actor, in *ByID) (*Body[ledger.Doc[admin.BreakGlass]], error) {
	return body(s.Server.Acknowledge(ctx, actor, in.ID))
}
