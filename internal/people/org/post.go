package org

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/mail"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
)

// Post is what became of the mail with an invitation.
type Post struct {
	State string    `json:"state" enum:"waiting,sent,failed"`
	Why   string    `json:"why,omitempty" doc:"why it failed"`
	At    time.Time `json:"at"`
}

// States of a mail.
const (
	PostWaiting = "waiting"
	PostSent    = "sent"
	PostFailed  = "failed"
)

// postLimits keep a person from using the server to flood others with mail: one
// address, and all that one person sends.
var postLimits = account.Limits{Pair: account.Rate{Burst: 3, Every: 20 * time.Minute}, Who: account.Rate{Burst: 5, Every: 20 * time.Minute}}
var senderLimits = account.Limits{Who: account.Rate{Burst: 100, Every: 30 * time.Second}}

// Mails says how invitations are sent. Without a sender they are shown once to
// who invites. server is the server's name, for the mail's words.
func (s *Service) Mails(sender *mail.Sender, server string) { s.mail, s.server = sender, server }

// SendsMail tells whether invitations go out by mail.
func (s *Service) SendsMail() bool { return s.mail != nil }

// InviteByMail invites like Invite, and sends the link to the person instead of
// giving it to who invites. link makes the address of a token. That the mail
// cannot be sent does not make the invitation fail: it is told in its Post.
func (s *Service) InviteByMail(ctx context.Context, actor ledger.Actor, i Invitation, link func(token string) string) (ledger.Doc[Invitation], error) {
	if _, err := mail.Address(account.Normal(i.Email)); err != nil {
		return ledger.Doc[Invitation]{}, err
	}
	if err := s.allowMail(actor, i.Email); err != nil {
		return ledger.Doc[Invitation]{}, err
	}
	token, made, err := s.Invite(ctx, actor, i)
	if err != nil {
		return made, err
	}
	return s.post(ctx, actor, made, link(token.Text))
}

// SendAgain gives an invitation a new link, which ends the one before, and sends it.
func (s *Service) SendAgain(ctx context.Context, actor ledger.Actor, invitation string, link func(token string) string) (ledger.Doc[Invitation], error) {
	token := account.NewToken()
	var made ledger.Doc[Invitation]
	if s.mail == nil {
		return made, s.mail.Send(ctx, mail.Message{})
	}
	if err := byPerson(actor); err != nil { // the invitation is his from now on
		return made, err
	}
	sendable := func(r *ledger.Reader) (email string, err error) {
		t, err := access.Describe(r, "invitation", invitation)
		if err == nil {
			err = access.Require(r, actor, access.Edit, t)
		}
		if err != nil {
			return "", err
		}
		i, err := Invitations.Get(r, invitation)
		if err == nil && (!i.Body.Used.IsZero() || i.Body.Account != "" || i.Body.Email == "") {
			err = fault.New(fault.Conflict, "invitation.mail", "This invitation cannot be sent").WithMend("Only an invitation with an address that nobody has accepted yet can; make a new one")
		}
		return i.Body.Email, err
	}
	var email string
	err := s.ledger.Read(ctx, func(r *ledger.Reader) (err error) { email, err = sendable(r); return err })
	if err == nil {
		err = s.allowMail(actor, email)
	}
	if err != nil {
		return made, err
	}
	err = s.ledger.Write(ctx, actor, "invitation sent again", func(tx *ledger.Tx) error {
		_, err := sendable(tx.Reader)
		if err != nil {
			return err
		}
		made, err = Invitations.Update(tx, invitation, 0, func(i *Invitation) error {
			i.Token, i.Expires, i.By = token.Hash(), tx.Now.Add(invitationLife), actor.ID
			return nil
		})
		return err
	})
	if err != nil {
		return made, err
	}
	return s.post(ctx, actor, made, link(token.Text))
}

func (s *Service) allowMail(actor ledger.Actor, email string) error {
	wait, _ := s.posts.Take(account.Normal(email), "")
	if wait == 0 {
		wait, _ = s.senders.Take(actor.ID, "")
	}
	if wait > 0 {
		return fault.New(fault.TooMany, "mail.rate", "Too many mails to this address, or from you").After(wait).WithMend("Wait, or leave the address out and hand the link over yourself")
	}
	return nil
}

// post queues the mail and notes what becomes of it.
func (s *Service) post(ctx context.Context, actor ledger.Actor, i ledger.Doc[Invitation], link string) (ledger.Doc[Invitation], error) {
	var w Welcome
	if err := s.ledger.Read(ctx, func(r *ledger.Reader) (err error) { w, err = welcome(r, i); return err }); err != nil {
		return i, err
	}
	token := i.Body.Token
	made, err := s.note(ctx, i.ID, token, Post{State: PostWaiting})
	if err != nil {
		return i, err
	}
	err = s.mail.Send(ctx, mail.Message{
		To: i.Body.Email, Subject: oneLine("Invitation to " + w.Organization), Text: invitationText(w, actor.Name, s.server, link),
		Done: func(failed error) {
			p := Post{State: PostSent}
			if failed != nil {
				p = Post{State: PostFailed, Why: whyOf(failed)}
			}
			// The request is over, and so may be the server's work: what is not noted shows as interrupted.
			_, _ = s.note(context.WithoutCancel(ctx), i.ID, token, p)
		},
	})
	if err != nil {
		made, err = s.note(ctx, i.ID, token, Post{State: PostFailed, Why: whyOf(err)})
	}
	return made, err
}

func whyOf(err error) string {
	var f *fault.Error
	if errors.As(err, &f) {
		return f.Error()
	}
	return fault.From(err).Message
}

// note writes what became of a mail, unless the invitation has got another link since.
func (s *Service) note(ctx context.Context, invitation, token string, p Post) (ledger.Doc[Invitation], error) {
	var made ledger.Doc[Invitation]
	err := s.ledger.Write(ctx, ledger.System("mail"), "", func(tx *ledger.Tx) (err error) {
		p.At = tx.Now
		made, err = Invitations.Get(tx.Reader, invitation)
		if err != nil || made.Body.Token != token {
			return err
		}
		made, err = Invitations.Update(tx, invitation, 0, func(i *Invitation) error { i.Post = &p; return nil })
		return err
	})
	return made, err
}

// settled is a Post as people see it: one that waited when the server was stopped
// is lost.
func (s *Service) settled(p *Post) *Post {
	if p == nil || p.State != PostWaiting || !p.At.Before(s.began) {
		return p
	}
	return &Post{State: PostFailed, Why: "The server was restarted before the mail went out. Send it again", At: p.At}
}

// oneLine keeps names from being more than a part of a line.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > 150 {
		text = string(r[:149]) + "…"
	}
	return text
}

func invitationText(w Welcome, by, server, link string) string {
	hello := "Hello,"
	if w.Name != "" {
		hello = fmt.Sprintf("Hello %s,", oneLine(w.Name))
	}
	who := "You are invited"
	if by != "" {
		who = oneLine(by) + " invites you"
	}
	return fmt.Sprintf(`%s

%s to join %s on %s, in the group %s.

Open this link to accept:

%s

It works once, until %s UTC. Nobody else should have it.

If you do not know what this is about, ignore this mail: without the link
nothing happens.
`, hello, who, oneLine(w.Branch), oneLine(server), oneLine(w.Group), link, w.Expires.UTC().Format("2 January 2006, 15:04"))
}
