package org

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
)

const (
	invitationLife = 7 * 24 * time.Hour
	linkLife       = 24 * time.Hour
)

func itoa(n int) string { return strconv.Itoa(n) }

// Invite makes a one-time link into a group of a branch; admins of the branch
// may. The token is shown once and cannot be read again.
func (s *Service) Invite(ctx context.Context, actor ledger.Actor, i Invitation) (account.Token, ledger.Doc[Invitation], error) {
	token := account.NewToken()
	var made ledger.Doc[Invitation]
	if err := byPerson(actor); err != nil {
		return token, made, err
	}
	err := s.ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error {
		b, err := Branches.Get(tx.Reader, i.Branch)
		if err != nil {
			return unknownBranch("/branch", err)
		}
		if err := access.Require(tx.Reader, actor, access.Create, access.Thing{Kind: "invitation", Org: b.Org, Branch: b.ID}); err != nil {
			return err
		}
		if err := freshFor(tx, i.Group); err != nil {
			return err
		}
		made, err = Invitations.Create(tx, b.Org, "", Invitation{
			Branch: i.Branch, Group: i.Group, Name: strings.TrimSpace(i.Name), Email: account.Normal(i.Email),
			Token: token.Hash(), Expires: tx.Now.Add(invitationLife), By: actor.ID,
		})
		return err
	})
	return token, made, err
}

// SignInLink makes a one-time link that stands for an account's password. An
// admin may for a person all of whose memberships the admin administers, and
// the server itself for everybody. It does not replace the second factor.
func (s *Service) SignInLink(ctx context.Context, actor ledger.Actor, organization, person string) (account.Token, error) {
	token := account.NewToken()
	err := s.ledger.Write(ctx, actor, "sign-in link made", func(tx *ledger.Tx) error {
		branch := organization
		a, err := account.Accounts.Get(tx.Reader, person)
		if err != nil {
			return err
		}
		if actor.Kind != "system" {
			if branch, err = reached(tx.Reader, actor, organization, person); err != nil {
				return err
			}
			if err := access.Fresh(actor, tx.Now); err != nil { // it stands for another's password
				return err
			}
		}
		_, err = Invitations.Create(tx, organization, "", Invitation{
			Branch: branch, Account: person, Name: a.Body.Name, Email: a.Body.Email,
			Token: token.Hash(), Expires: tx.Now.Add(linkLife), By: actor.ID,
		})
		return err
	})
	return token, err
}

// reached finds a person's branch in an organization for somebody who administers
// every membership of the person, whatever the organization.
func reached(r *ledger.Reader, by ledger.Actor, organization, person string) (branch string, err error) {
	held, err := Memberships.List(r, "n.person = $1", person)
	if err != nil {
		return "", err
	}
	for _, m := range held {
		if m.Org == organization {
			branch = m.Body.Branch
		}
		if err := access.Require(r, by, access.Edit, access.Thing{Kind: "membership", ID: m.ID, Org: m.Org, Branch: m.Body.Branch}); err != nil {
			return "", fault.New(fault.Denied, "invitation.reach", "This person also belongs to places that you do not administer").
				WithMend("Ask an admin of all the person's branches, or the server's administrator")
		}
	}
	if branch == "" {
		return "", account.Accounts.NotFound()
	}
	return branch, nil
}

// Open lists the invitations of an organization that can still be used.
func (s *Service) Open(ctx context.Context, actor ledger.Actor, organization string) ([]ledger.Doc[Invitation], error) {
	var open []ledger.Doc[Invitation]
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		where, args, err := access.Visible(r, actor, "invitation")
		if err != nil {
			return err
		}
		args = append(args, organization)
		all, err := Invitations.List(r, where+" AND n.org = $"+itoa(len(args))+" ORDER BY n.id DESC", args...)
		open = []ledger.Doc[Invitation]{}
		for _, i := range all {
			if i.Body.Used.IsZero() && s.ledger.Now().Before(i.Body.Expires) {
				i.Body.Post = s.settled(i.Body.Post)
				open = append(open, i)
			}
		}
		return err
	})
	return open, err
}

// Withdraw deletes an invitation.
func (s *Service) Withdraw(ctx context.Context, actor ledger.Actor, invitation string) error {
	return s.ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error {
		if err := require(tx, "invitation", invitation, access.Delete); err != nil {
			return err
		}
		return Invitations.Delete(tx, invitation, 0)
	})
}

// Welcome is what the holder of an invitation sees before accepting.
type Welcome struct {
	Organization string    `json:"organization"`
	Branch       string    `json:"branch" doc:"names from the organization down"`
	Group        string    `json:"group"`
	Name         string    `json:"name"`
	Email        string    `json:"email"`
	Expires      time.Time `json:"expires"`
	Existing     bool      `json:"existing" doc:"there is an account already: its password is asked, or, for a sign-in link, none"`
	Link         bool      `json:"link" doc:"a sign-in link: no password is needed"`
}

func badToken() error {
	return fault.New(fault.NotFound, "invitation.missing", "This link is wrong, was used already, or has expired").
		WithMend("Ask for a new one")
}

// usable finds an invitation that can still be used.
func usable(r *ledger.Reader, token string, now time.Time) (ledger.Doc[Invitation], error) {
	found, err := Invitations.List(r, "n.token = $1", account.Token{Text: token}.Hash())
	if err != nil {
		return ledger.Doc[Invitation]{}, err
	}
	if len(found) == 0 || !found[0].Body.Used.IsZero() || !now.Before(found[0].Body.Expires) {
		return ledger.Doc[Invitation]{}, badToken()
	}
	return found[0], nil
}

// Look shows an invitation to whoever holds its token.
func (s *Service) Look(ctx context.Context, token string) (Welcome, error) {
	var w Welcome
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		i, err := usable(r, token, s.ledger.Now())
		if err != nil {
			return err
		}
		if w, err = welcome(r, i); err != nil {
			return err
		}
		_, w.Existing, err = account.ByEmail(r, i.Body.Email)
		w.Existing = w.Existing || w.Link
		return err
	})
	return w, err
}

// welcome says what an invitation is for.
func welcome(r *ledger.Reader, i ledger.Doc[Invitation]) (Welcome, error) {
	w := Welcome{Group: i.Body.Group, Name: i.Body.Name, Email: i.Body.Email, Expires: i.Body.Expires, Link: i.Body.Account != ""}
	names, err := PathOf(r, i.Body.Branch)
	if err != nil {
		return w, err
	}
	if len(names) == 0 {
		return w, badToken() // its place is gone
	}
	w.Organization, w.Branch = names[0], strings.Join(names, " > ")
	if team, is := strings.CutPrefix(w.Group, "team:"); is {
		t, err := Teams.Get(r, team)
		if err != nil {
			return w, badToken()
		}
		w.Group = t.Body.Name
	}
	return w, nil
}

// Answer is what somebody says who accepts an invitation. A sign-in link needs
// none of it; a password with it sets a new one.
type Answer struct {
	Name     string `json:"name,omitempty"`
	Email    string `json:"email,omitempty"`
	Password string `json:"password,omitempty"`
}

// Accept uses an invitation up: it makes the account, or takes the one of that
// address when the password is right, joins it to the group, and opens a
// session, which still needs its second factor.
func (s *Service) Accept(ctx context.Context, token string, answer Answer, visit account.Visit) (account.Token, account.View, error) {
	fail := func(err error) (account.Token, account.View, error) { return account.Token{}, account.View{}, err }
	var invitation ledger.Doc[Invitation]
	var person ledger.Doc[account.Account]
	var organization string
	known := false
	err := s.ledger.Read(ctx, func(r *ledger.Reader) (err error) {
		if invitation, err = usable(r, token, s.ledger.Now()); err != nil {
			return err
		}
		if b, err := Branches.Get(r, invitation.Org); err == nil {
			organization = b.Body.Name
		}
		if invitation.Body.Account != "" {
			person, err = account.Accounts.Get(r, invitation.Body.Account)
			known = true
			return err
		}
		person, known, err = account.ByEmail(r, answer.Email)
		return err
	})
	if err != nil {
		return fail(err)
	}
	var password account.Hashed
	link := invitation.Body.Account != ""
	switch {
	case link && answer.Password == "":
	case known && !link:
		if _, err := s.accounts.CheckPassword(ctx, answer.Email, answer.Password, visit); err != nil {
			return fail(err)
		}
	default:
		email, name := answer.Email, answer.Name
		if link {
			email, name = person.Body.Email, person.Body.Name
		}
		if password, err = s.accounts.Hash(ctx, answer.Password, email, name, organization); err != nil {
			return fail(err)
		}
	}
	session := account.NewToken()
	actor := ledger.Actor{ID: person.ID, Kind: "account", Name: person.Body.Name, Door: visit.Door, From: visit.From}
	reason := "invitation accepted"
	if link {
		reason = "signed in with a one-time link"
	}
	if !known {
		actor = ledger.Actor{ID: invitation.ID, Kind: "invitation", Name: strings.TrimSpace(answer.Name), Door: visit.Door, From: visit.From}
	}
	err = s.ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		// The token is looked at again: two may accept at once.
		if _, err := usable(tx.Reader, token, tx.Now); err != nil {
			return err
		}
		if err := stillMeant(tx, invitation); err != nil {
			return err
		}
		who := person.ID
		if !known {
			a, err := account.Create(tx, answer.Email, answer.Name, password)
			if err != nil {
				return err
			}
			who = a.ID
		} else if link && answer.Password != "" {
			if err := account.SetPassword(tx, who, password, ""); err != nil {
				return err
			}
		}
		if !link {
			if err := enter(tx, invitation, who); err != nil {
				return err
			}
		}
		if _, err := Invitations.Update(tx, invitation.ID, 0, func(i *Invitation) error {
			i.Used, i.UsedBy = tx.Now, who
			return nil
		}); err != nil {
			return err
		}
		return account.Start(tx, who, session, visit)
	})
	if err != nil {
		return fail(err)
	}
	view, err := s.accounts.Session(ctx, session.Text)
	return session, view, err
}

// stillMeant refuses the invitation of somebody who could not make it any more.
func stillMeant(tx *ledger.Tx, i ledger.Doc[Invitation]) error {
	if i.Body.By == "" { // the server's own
		return nil
	}
	by := ledger.Actor{ID: i.Body.By, Kind: "account"}
	err := access.Require(tx.Reader, by, access.Create, access.Thing{Kind: "invitation", Org: i.Org, Branch: i.Body.Branch})
	if err == nil && i.Body.Account != "" { // the person may have come to belong elsewhere since
		_, err = reached(tx.Reader, by, i.Org, i.Body.Account)
	}
	if kind := fault.KindOf(err); err != nil && (kind == fault.NotFound || kind == fault.Denied) {
		return badToken()
	}
	return err
}

// enter joins the invited person; who is in the group already stays.
func enter(tx *ledger.Tx, i ledger.Doc[Invitation], who string) error {
	var one int
	in, err := tx.Row([]any{&one}, "SELECT 1 FROM membership WHERE person = $1 AND branch = $2 AND standing = $3", who, i.Body.Branch, i.Body.Group)
	if err != nil {
		return err
	}
	if operates, err := access.IsOperator(tx.Reader, who); err != nil {
		return err
	} else if i.Body.Operator && !operates {
		if _, err := access.Grants.Create(tx, "", "", access.OperatorGrant(who)); err != nil {
			return err
		}
	}
	if in {
		return nil
	}
	_, err = Memberships.Create(tx, i.Org, "", Membership{Person: who, Branch: i.Body.Branch, Group: i.Body.Group})
	return err
}
