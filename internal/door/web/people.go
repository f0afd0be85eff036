package web

import (
	"context"
	"strings"

	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/org"
)

func (s *server) organizations(ctx context.Context, actor ledger.Actor, _ *struct{}) (*Body[Page[org.Mine]], error) {
	return list(s.People.Organizations(ctx, actor))
}

func (s *server) organization(ctx context.Context, actor ledger.Actor, in *RecordQuery) (*Body[org.Tree], error) {
	at, err := s.moment(in.AsOf)
	if err != nil {
		return nil, err
	}
	return body(s.People.TreeAt(ctx, actor, in.ID, at))
}

func (s *server) members(ctx context.Context, actor ledger.Actor, in *RecordQuery) (*Body[Page[org.Member]], error) {
	at, err := s.moment(in.AsOf)
	if err != nil {
		return nil, err
	}
	if !at.IsZero() {
		return list(s.People.MembersAt(ctx, actor, in.ID, at))
	}
	return list(s.People.Members(ctx, actor, in.ID))
}

type branchRequest struct {
	Body struct {
		Name   string `json:"name" maxLength:"100"`
		Parent string `json:"parent" format:"uuid"`
	}
}

func (s *server) branchCreate(ctx context.Context, actor ledger.Actor, in *branchRequest) (*Tagged[ledger.Doc[org.Branch]], error) {
	return document(s.People.CreateBranch(ctx, actor, org.Branch{Name: in.Body.Name, Parent: in.Body.Parent}))
}

type branchChange struct {
	ByID
	IfMatch
	Body struct {
		Name   string `json:"name" maxLength:"100"`
		Parent string `json:"parent,omitempty" doc:"empty only for the organization itself"`
	}
}

func (s *server) branchUpdate(ctx context.Context, actor ledger.Actor, in *branchChange) (*Tagged[ledger.Doc[org.Branch]], error) {
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	return document(s.People.UpdateBranch(ctx, actor, in.ID, revision, org.Branch{Name: in.Body.Name, Parent: in.Body.Parent}))
}

func (s *server) branchDelete(ctx context.Context, actor ledger.Actor, in *ByID) (*none, error) {
	return done(s.People.DeleteBranch(ctx, actor, in.ID, 0))
}

type teamRequest struct {
	Body struct {
		Branch string `json:"branch" format:"uuid"`
		Name   string `json:"name" maxLength:"100"`
	}
}

func (s *server) teamCreate(ctx context.Context, actor ledger.Actor, in *teamRequest) (*Tagged[ledger.Doc[org.Team]], error) {
	return document(s.People.CreateTeam(ctx, actor, org.Team{Branch: in.Body.Branch, Name: in.Body.Name}))
}

func (s *server) teamDelete(ctx context.Context, actor ledger.Actor, in *ByID) (*none, error) {
	return done(s.People.DeleteTeam(ctx, actor, in.ID, 0))
}

type joinRequest struct {
	Body struct {
		Person string `json:"person" format:"uuid"`
		Branch string `json:"branch" format:"uuid"`
		Group  string `json:"group" doc:"admins, managers, viewers, members, or team:<id>"`
	}
}

func (s *server) membershipCreate(ctx context.Context, actor ledger.Actor, in *joinRequest) (*Tagged[ledger.Doc[org.Membership]], error) {
	return document(s.People.Join(ctx, actor, org.Membership{Person: in.Body.Person, Branch: in.Body.Branch, Group: in.Body.Group}))
}

type regroupRequest struct {
	ByID
	IfMatch
	Body struct {
		Group string `json:"group"`
	}
}

func (s *server) membershipUpdate(ctx context.Context, actor ledger.Actor, in *regroupRequest) (*Tagged[ledger.Doc[org.Membership]], error) {
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	return document(s.People.Regroup(ctx, actor, in.ID, revision, in.Body.Group))
}

func (s *server) membershipDelete(ctx context.Context, actor ledger.Actor, in *ByID) (*none, error) {
	return done(s.People.Leave(ctx, actor, in.ID, 0))
}

type inviteRequest struct {
	ByID
	Body struct {
		Branch string `json:"branch" format:"uuid"`
		Group  string `json:"group" doc:"admins, managers, viewers, members, or team:<id>"`
		Name   string `json:"name,omitempty" maxLength:"100"`
		Email  string `json:"email,omitempty" maxLength:"254"`
	}
}

// Link is a one-time link, shown once.
type Link struct {
	URL string `json:"url" doc:"shown once; the token stands after #, so that it reaches no log. Empty when it goes by mail"`
	// Mail is the answer instead of a link, where the server sends mails.
	Mail *org.Post `json:"mail,omitempty" doc:"the mail with the link"`
	To   string    `json:"to,omitempty" doc:"where the mail goes"`
}

func (s *server) welcomeLink(ctx context.Context) func(token string) string {
	base := s.publicURL(ctx) + "/welcome#"
	return func(token string) string { return base + token }
}

// mailLink is welcomeLink for mails. It never asks the request, whose Host its
// sender chooses: a server that sends mails has an address of its own.
func (s *server) mailLink(token string) string {
	return strings.TrimSuffix(s.PublicURL, "/") + "/welcome#" + token
}

func (s *server) invite(ctx context.Context, actor ledger.Actor, in *inviteRequest) (*Body[Link], error) {
	if err := s.inOrganization(ctx, actor, in.ID); err != nil {
		return nil, err
	}
	i := org.Invitation{Branch: in.Body.Branch, Group: in.Body.Group, Name: in.Body.Name, Email: in.Body.Email}
	if s.People.SendsMail() && strings.TrimSpace(i.Email) != "" {
		return posted(s.People.InviteByMail(ctx, actor, i, s.mailLink))
	}
	token, _, err := s.People.Invite(ctx, actor, i)
	return body(Link{URL: s.welcomeLink(ctx)(token.Text)}, err)
}

func posted(i ledger.Doc[org.Invitation], err error) (*Body[Link], error) {
	return body(Link{Mail: i.Body.Post, To: i.Body.Email}, err)
}

func (s *server) invitationSend(ctx context.Context, actor ledger.Actor, in *ByID) (*Body[Link], error) {
	return posted(s.People.SendAgain(ctx, actor, in.ID, s.mailLink))
}

// MemberRequest names a member of an organization. It is exported, as all parts of requests are: the API library passes over others.
type MemberRequest struct {
	ByID
	Person string `path:"person" format:"uuid"`
}

func (s *server) signInLink(ctx context.Context, actor ledger.Actor, in *MemberRequest) (*Body[Link], error) {
	token, err := s.People.SignInLink(ctx, actor, in.ID, in.Person)
	return body(Link{URL: s.publicURL(ctx) + "/welcome#" + token.Text}, err)
}

// inOrganization answers not-found for an organization that the actor cannot see.
func (s *server) inOrganization(ctx context.Context, actor ledger.Actor, organization string) error {
	_, err := s.People.Tree(ctx, actor, organization)
	return err
}

func (s *server) invitations(ctx context.Context, actor ledger.Actor, in *ByID) (*Body[Page[ledger.Doc[org.Invitation]]], error) {
	found, err := s.People.Open(ctx, actor, in.ID)
	for i := range found {
		found[i].Body.Token = "" // even its hash is nobody's business
	}
	return list(found, err)
}

func (s *server) invitationDelete(ctx context.Context, actor ledger.Actor, in *ByID) (*none, error) {
	return done(s.People.Withdraw(ctx, actor, in.ID))
}

// publicURL is how people and phones reach this server: as it is configured, else
// as this request has reached it.
func (s *server) publicURL(ctx context.Context) string {
	if s.PublicURL != "" {
		return strings.TrimSuffix(s.PublicURL, "/")
	}
	host, _ := ctx.Value(hostKey).(string)
	return "https://" + host
}
