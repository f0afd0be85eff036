package web

import (
	"context"

	"github.com/qanat-water/qanat/internal/field/survey"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/org"
)

func (s *server) policy(ctx context.Context, actor ledger.Actor, in *ByID) (*Tagged[ledger.Doc[org.Policy]], error) {
	return document(s.People.ReadPolicy(ctx, actor, in.ID))
}

type policyChange struct {
	ByID
	IfMatch
	Body struct {
		Body   org.Policy `json:"body"`
		Reason string     `json:"reason,omitempty" maxLength:"2000"`
	}
}

func (s *server) policyUpdate(ctx context.Context, actor ledger.Actor, in *policyChange) (*Tagged[ledger.Doc[org.Policy]], error) {
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	return document(s.People.WritePolicy(ctx, actor, in.ID, revision, in.Body.Reason, in.Body.Body))
}

func (s *server) policyBreaches(ctx context.Context, actor ledger.Actor, in *ByID) (*Body[Page[survey.Breaking]], error) {
	return list(s.Surveys.Breaking(ctx, actor, in.ID))
}

type reasonRequest struct {
	ByID
	Body Reason
}

func (s *server) breachesAccept(ctx context.Context, actor ledger.Actor, in *reasonRequest) (*Tagged[ledger.Doc[survey.Deployment]], error) {
	return document(s.Surveys.AcceptBreaches(ctx, actor, in.ID, in.Body.Reason))
}

// Workspaces are an organization's workspaces, with the roles that can be given inside one.
type Workspaces struct {
	Page[ledger.Doc[org.Workspace]]
	Presets []string `json:"presets" doc:"roles that a workspace can let its people give"`
}

func (s *server) workspaces(ctx context.Context, actor ledger.Actor, in *ByID) (*Body[Workspaces], error) {
	found, err := s.People.Workspaces(ctx, actor, in.ID)
	if found == nil {
		found = []ledger.Doc[org.Workspace]{}
	}
	return body(Workspaces{Page[ledger.Doc[org.Workspace]]{Items: found}, org.Presets()}, err)
}

type workspaceRequest struct {
	ByID
	Body org.Workspace
}

func (s *server) workspaceCreate(ctx context.Context, actor ledger.Actor, in *workspaceRequest) (*Tagged[ledger.Doc[org.Workspace]], error) {
	return document(s.People.MakeWorkspace(ctx, actor, in.ID, in.Body))
}

type workspaceChange struct {
	ByID
	IfMatch
	Body org.Workspace
}

func (s *server) workspaceUpdate(ctx context.Context, actor ledger.Actor, in *workspaceChange) (*Tagged[ledger.Doc[org.Workspace]], error) {
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	return document(s.People.ChangeWorkspace(ctx, actor, in.ID, revision, in.Body))
}

func (s *server) workspaceDelete(ctx context.Context, actor ledger.Actor, in *ByID) (*none, error) {
	return done(s.People.DeleteWorkspace(ctx, actor, in.ID, 0))
}
