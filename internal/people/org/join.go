package org

import (
	"context"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
)

// codeLimits slow guessing of join codes from one address. There is no limit for
// all addresses together, which would let anybody keep others from joining: a code
// has 2^50 values, and many addresses do not get through these.
var codeLimits = account.Limits{Pair: account.Rate{Burst: 10, Every: 30 * time.Second}}

// Offer is what the holder of a join code sees before using it.
type Offer struct {
	Organization string `json:"organization"`
	Branch       string `json:"branch" doc:"names from the organization down"`
	Group        string `json:"group"`
	Approval     bool   `json:"approval" doc:"an admin decides about each person"`
}

// Joined is what became of somebody who used a join code.
type Joined struct {
	State string `json:"state" enum:"joined,waiting" doc:"waiting: an admin decides"`
	Offer
}

// tryCode takes one attempt at a code from an address, before anything is looked up.
func (s *Service) tryCode(typed string, visit account.Visit) (string, error) {
	if wait, _ := s.tries.Take("join code", visit.From); wait > 0 {
		return "", fault.New(fault.TooMany, "join_code.tries", "Too many join codes were tried from your address").After(wait).WithMend("Wait a little, then type it again")
	}
	return readCode(typed)
}

// LookAtCode tells what a join code is for, to whoever has it.
func (s *Service) LookAtCode(ctx context.Context, typed string, visit account.Visit) (Offer, error) {
	code, err := s.tryCode(typed, visit)
	if err != nil {
		return Offer{}, err
	}
	var o Offer
	err = s.ledger.Read(ctx, func(r *ledger.Reader) error {
		c, err := openCode(r, code, s.ledger.Now())
		if err == nil {
			o, err = offer(r, c)
		}
		return err
	})
	return o, err
}

func offer(r *ledger.Reader, c ledger.Doc[JoinCode]) (Offer, error) {
	o := Offer{Group: c.Body.Group, Approval: c.Body.Approval}
	names, err := PathOf(r, c.Body.Branch)
	if err != nil || len(names) == 0 {
		return o, err
	}
	o.Organization, o.Branch = names[0], strings.Join(names, " > ")
	if team, is := strings.CutPrefix(o.Group, "team:"); is {
		t, err := Teams.Get(r, team)
		if err != nil {
			return o, err
		}
		o.Group = t.Body.Name
	}
	return o, nil
}

// UseCode joins somebody who is signed in, or makes the request for it.
func (s *Service) UseCode(ctx context.Context, actor ledger.Actor, typed string, visit account.Visit) (Joined, error) {
	code, err := s.tryCode(typed, visit)
	if err != nil {
		return Joined{}, err
	}
	if actor.Kind != "account" {
		return Joined{}, fault.New(fault.Denied, "join_code.person", "A join code is for people").WithMend("Sign in as a person")
	}
	var joined Joined
	err = s.ledger.Write(ctx, actor, "join code used", func(tx *ledger.Tx) error {
		c, err := openCode(tx.Reader, code, tx.Now)
		if err == nil {
			joined, err = use(tx, c, actor.ID)
		}
		return err
	})
	return joined, err
}

// use lets a person in by a code, or has an admin asked, and counts it.
func use(tx *ledger.Tx, c ledger.Doc[JoinCode], person string) (Joined, error) {
	o, err := offer(tx.Reader, c)
	if err != nil {
		return Joined{}, err
	}
	joined := Joined{"joined", o}
	var one int
	if in, err := tx.Row([]any{&one}, "SELECT 1 FROM membership WHERE person = $1 AND branch = $2 AND standing = $3", person, c.Body.Branch, c.Body.Group); err != nil || in {
		return joined, err
	}
	if c.Body.Approval {
		joined.State = Waiting
		if waits, err := tx.Row([]any{&one}, "SELECT 1 FROM join_request WHERE waits = $1", person+"/"+c.Body.Branch+"/"+c.Body.Group); err != nil || waits {
			return joined, err
		}
		_, err = JoinRequests.Create(tx, c.Org, "", JoinRequest{Code: c.ID, Branch: c.Body.Branch, Group: c.Body.Group, Person: person, State: Waiting})
	} else {
		_, err = Memberships.Create(tx, c.Org, "", Membership{Person: person, Branch: c.Body.Branch, Group: c.Body.Group})
	}
	if err != nil {
		return joined, err
	}
	_, err = JoinCodes.Update(tx, c.ID, 0, func(c *JoinCode) error { c.Uses++; return nil })
	return joined, err
}

// NewcomerByCode is UseCode for somebody who is not signed in: it makes the
// account, or takes the one of that address when the password is right, and opens
// a session, which still needs its second factor.
func (s *Service) NewcomerByCode(ctx context.Context, typed string, answer Answer, visit account.Visit) (account.Token, account.View, error) {
	fail := func(err error) (account.Token, account.View, error) { return account.Token{}, account.View{}, err }
	code, err := s.tryCode(typed, visit)
	if err != nil {
		return fail(err)
	}
	var person ledger.Doc[account.Account]
	var c ledger.Doc[JoinCode]
	var o Offer
	known := false
	if err := s.ledger.Read(ctx, func(r *ledger.Reader) (err error) {
		c, err = openCode(r, code, s.ledger.Now())
		if err == nil {
			o, err = offer(r, c)
		}
		if err == nil {
			person, known, err = account.ByEmail(r, answer.Email)
		}
		return err
	}); err != nil {
		return fail(err)
	}
	var password account.Hashed
	if known {
		_, err = s.accounts.CheckPassword(ctx, answer.Email, answer.Password, visit)
	} else {
		password, err = s.accounts.Hash(ctx, answer.Password, answer.Email, answer.Name, o.Organization)
	}
	if err != nil {
		return fail(err)
	}
	session := account.NewToken()
	actor := ledger.Actor{ID: person.ID, Kind: "account", Name: person.Body.Name, Door: visit.Door, From: visit.From}
	if !known {
		actor = ledger.Actor{ID: c.ID, Kind: "invitation", Name: strings.TrimSpace(answer.Name), Door: visit.Door, From: visit.From}
	}
	err = s.ledger.Write(ctx, actor, "join code used", func(tx *ledger.Tx) error {
		c, err := openCode(tx.Reader, code, tx.Now)
		if err != nil {
			return err
		}
		who := person.ID
		if !known {
			a, err := account.Create(tx, answer.Email, answer.Name, password)
			if err != nil {
				return err
			}
			who = a.ID
		}
		if _, err := use(tx, c, who); err != nil {
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

// Request is a request to join as admins and its person see it.
type Request struct {
	ledger.Doc[JoinRequest]
	Person account.Person `json:"person"`
	Path   string         `json:"path" doc:"names of the branch, organization first"`
	Group  string         `json:"group" doc:"the group, or the name of the team"`
}

// Requests lists the requests to join an organization that the actor may decide,
// those that wait first, then the newest.
func (s *Service) Requests(ctx context.Context, actor ledger.Actor, organization string) ([]Request, error) {
	if _, err := s.Tree(ctx, actor, organization); err != nil {
		return nil, err
	}
	return s.requests(ctx, actor, func(string) (string, []any) {
		return "n.org = $2 AND n.person <> $1", []any{organization}
	})
}

// MyRequests are those of a person's own that wait or were decided lately.
func (s *Service) MyRequests(ctx context.Context, actor ledger.Actor) ([]Request, error) {
	return s.requests(ctx, actor, func(string) (string, []any) { return "n.person = $1", nil })
}

func (s *Service) requests(ctx context.Context, actor ledger.Actor, which func(string) (string, []any)) ([]Request, error) {
	found := []Request{}
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		where, args, err := access.Visible(r, actor, "join_request")
		if err != nil || len(args) != 1 { // only people have any
			return err
		}
		which, more := which(actor.ID)
		docs, err := JoinRequests.List(r, where+" AND "+which+" ORDER BY CASE n.state WHEN 'waiting' THEN 0 ELSE 1 END, n.id DESC LIMIT 200", append(args, more...)...)
		if err != nil {
			return err
		}
		found = found[:0]
		for _, d := range docs {
			q := Request{Doc: d, Group: d.Body.Group}
			a, err := account.Accounts.Get(r, d.Body.Person)
			if err != nil && fault.KindOf(err) != fault.NotFound {
				return err
			}
			q.Person = account.Person{ID: d.Body.Person, Name: a.Body.Name, Email: a.Body.Email}
			names, err := PathOf(r, d.Body.Branch)
			if err != nil {
				return err
			}
			q.Path = strings.Join(names, " > ")
			if team, is := strings.CutPrefix(q.Group, "team:"); is {
				if t, err := Teams.Get(r, team); err == nil {
					q.Group = t.Body.Name
				}
			}
			found = append(found, q)
		}
		return nil
	})
	return found, err
}

// Decide lets somebody in who waits, or declines with a reason; admins of the branch may.
func (s *Service) Decide(ctx context.Context, actor ledger.Actor, request string, approve bool, reason string) error {
	if err := byPerson(actor); err != nil {
		return err
	}
	return s.ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		if err := require(tx, "join_request", request, access.Edit); err != nil {
			return err
		}
		q, err := JoinRequests.Get(tx.Reader, request)
		if err != nil {
			return err
		}
		if q.Body.State != Waiting {
			return fault.Newf(fault.Conflict, "join_request.decided", "This request was %s already", q.Body.State).WithMend("Load the list again")
		}
		if approve {
			if err := access.Require(tx.Reader, actor, access.Create, access.Thing{Kind: "membership", Org: q.Org, Branch: q.Body.Branch}); err != nil {
				return err
			}
			var one int
			if in, err := tx.Row([]any{&one}, "SELECT 1 FROM membership WHERE person = $1 AND branch = $2 AND standing = $3", q.Body.Person, q.Body.Branch, q.Body.Group); err != nil {
				return err
			} else if !in {
				if _, err := Memberships.Create(tx, q.Org, "", Membership{Person: q.Body.Person, Branch: q.Body.Branch, Group: q.Body.Group}); err != nil {
					return err
				}
			}
		}
		_, err = JoinRequests.Update(tx, request, 0, func(b *JoinRequest) error {
			b.State, b.Reason, b.Decided, b.By = Declined, strings.TrimSpace(reason), tx.Now, actor.ID
			if approve {
				b.State = Approved
			}
			return nil
		})
		return err
	})
}

// PathOf is the names of a branch and of those above it, organization first; none
// for a branch that is not there.
func PathOf(r *ledger.Reader, branch string) ([]string, error) {
	var names []string
	for at := branch; at != "" && len(names) <= maxDepth; {
		b, err := Branches.Get(r, at)
		if err != nil {
			if fault.KindOf(err) == fault.NotFound {
				return nil, nil
			}
			return nil, err
		}
		names = append([]string{b.Body.Name}, names...)
		at = b.Body.Parent
	}
	return names, nil
}

// Paths are the names of branches with those above them, organization first, for
// pages about documents that name a branch. The caller has asked for the right to
// see these.
func (s *Service) Paths(ctx context.Context, branches []string) (map[string]string, error) {
	paths := map[string]string{}
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		for _, b := range branches {
			if _, known := paths[b]; known {
				continue
			}
			names, err := PathOf(r, b)
			if err != nil {
				return err
			}
			paths[b] = strings.Join(names, " > ")
		}
		return nil
	})
	return paths, err
}
