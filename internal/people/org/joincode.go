package org

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// JoinCode lets whoever has it into a group of a branch, or ask to be let in.
type JoinCode struct {
	Name     string    `json:"name" doc:"what it is for: Training in March"`
	Branch   string    `json:"branch"`
	Group    string    `json:"group" doc:"members, viewers, managers (with approval only), or team:<id>; never admins"`
	Approval bool      `json:"approval,omitempty" doc:"an admin decides about each person"`
	MaxUses  int       `json:"max_uses" doc:"people that it lets in or lets ask"`
	Uses     int       `json:"uses"`
	Expires  time.Time `json:"expires"`
	Revoked  bool      `json:"revoked,omitempty"`
	Hash     string    `json:"hash,omitempty" doc:"SHA-256 of the code; shown to nobody"`
	By       string    `json:"by,omitempty"`
}

// JoinRequest is somebody who waits to be let in.
type JoinRequest struct {
	Code    string    `json:"code"`
	Branch  string    `json:"branch"`
	Group   string    `json:"group"`
	Person  string    `json:"person"`
	State   string    `json:"state" enum:"waiting,approved,declined"`
	Reason  string    `json:"reason,omitempty" doc:"why it was declined"`
	Decided time.Time `json:"decided,omitzero"`
	By      string    `json:"by,omitempty"`
}

// States of a request to join.
const (
	Waiting  = "waiting"
	Approved = "approved"
	Declined = "declined"
)

const (
	maxCodeUses = 1000
	maxCodeLife = 366 * 24 * time.Hour
	maxReason   = 500
)

// JoinCodes is the noun of join codes.
var JoinCodes = ledger.Noun[JoinCode]{
	Name: "join_code",
	Table: &ledger.Table[JoinCode]{
		Columns: []ledger.Column{{Name: "hash", Type: ledger.Text}, {Name: "branch", Type: ledger.Text}},
		Unique:  [][]string{{"hash"}},
		Indexes: [][]string{{"org"}},
		Row:     func(d ledger.Doc[JoinCode]) []any { return []any{d.Body.Hash, d.Body.Branch} },
	},
}

// JoinRequests is the noun of requests to join.
var JoinRequests = ledger.Noun[JoinRequest]{
	Name: "join_request",
	Table: &ledger.Table[JoinRequest]{
		Columns: []ledger.Column{{Name: "branch", Type: ledger.Text}, {Name: "person", Type: ledger.Text}, {Name: "state", Type: ledger.Text}, {Name: "waits", Type: ledger.Text}},
		Unique:  [][]string{{"waits"}},
		Indexes: [][]string{{"org", "state"}, {"person"}},
		Row: func(d ledger.Doc[JoinRequest]) []any {
			b := d.Body
			waits := d.ID // once decided it stands in nobody's way
			if b.State == Waiting {
				waits = b.Person + "/" + b.Branch + "/" + b.Group
			}
			return []any{b.Branch, b.Person, b.State, waits}
		},
	},
}

var _ = access.Register(&JoinCodes, access.Columns{Branch: "branch"}, func(_ *ledger.Reader, d ledger.Doc[JoinCode]) (access.Thing, error) {
	return access.Thing{Branch: d.Body.Branch, Name: d.Body.Name}, nil
})

var _ = access.Register(&JoinRequests, access.Columns{Branch: "branch", Owner: "person"}, func(_ *ledger.Reader, d ledger.Doc[JoinRequest]) (access.Thing, error) {
	return access.Thing{Branch: d.Body.Branch, Owner: d.Body.Person}, nil
})

func checkJoinCode(tx *ledger.Tx, before, after *ledger.Doc[JoinCode]) error {
	if after == nil {
		return nil
	}
	c := after.Body
	if before != nil {
		had := before.Body
		if had.Revoked && !c.Revoked {
			return fault.New(fault.Conflict, "join_code.revoked", "A revoked join code stays revoked").WithMend("Make a new one")
		}
		had.Uses, had.Revoked, c.Uses, c.Revoked = 0, false, 0, false
		if had != c {
			return fault.New(fault.Invalid, "join_code.fixed", "A join code is revoked, not changed").WithMend("Revoke it and make another")
		}
		return nil // what stands around it may have changed since; it is looked at when used
	}
	if err := checkName("join code", c.Name); err != nil {
		return err
	}
	f := fault.New(fault.Invalid, "join_code.invalid", "This join code cannot be made")
	if c.Group == Admins {
		f.At("/group", "nobody becomes an admin by a code", "invite that person")
	}
	if c.Group == Managers && !c.Approval {
		f.At("/approval", "missing", "a code for managers needs approval")
	}
	if c.MaxUses < 1 || c.MaxUses > maxCodeUses {
		f.At("/max_uses", "missing or too many", "a number from 1 to 1000")
	}
	if !after.Body.Expires.After(tx.Now) || c.Expires.Sub(tx.Now) > maxCodeLife {
		f.At("/expires", "in the past, or more than a year ahead", "choose a day within a year")
	}
	if len(f.Details) > 0 {
		return f
	}
	if after.Revision > 1 { // one that was deleted comes back revoked only
		if !c.Revoked {
			return fault.New(fault.Conflict, "join_code.revoked", "A deleted join code stays closed").WithMend("Make a new one")
		}
	}
	if err := InOrg(tx.Reader, after.Org, c.Branch); err != nil {
		return err
	}
	return checkGroup(tx.Reader, c.Branch, c.Group)
}

func checkJoinRequest(_ *ledger.Tx, before, after *ledger.Doc[JoinRequest]) error {
	if after == nil {
		return nil
	}
	q := after.Body
	if !slices.Contains([]string{Waiting, Approved, Declined}, q.State) || len(q.Reason) > maxReason {
		return fault.New(fault.Invalid, "join_request.state", "A request is waiting, approved or declined, with a short reason").At("/reason", "too long", "some hundred characters are enough")
	}
	if before != nil && (before.Body.Person != q.Person || before.Body.Branch != q.Branch || before.Body.Group != q.Group) {
		return fault.New(fault.Invalid, "join_request.fixed", "A request to join is decided, not changed").WithMend("Decline it; the person can ask again")
	}
	return nil
}

// MakeCode makes a join code; admins of the branch may. It is shown once and
// cannot be read again.
func (s *Service) MakeCode(ctx context.Context, actor ledger.Actor, organization string, c JoinCode) (string, ledger.Doc[JoinCode], error) {
	code := newCode()
	var made ledger.Doc[JoinCode]
	if err := byPerson(actor); err != nil {
		return "", made, err
	}
	err := s.ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error {
		if err := InOrg(tx.Reader, organization, c.Branch); err != nil {
			return err
		}
		if err := access.Require(tx.Reader, actor, access.Create, access.Thing{Kind: "join_code", Org: organization, Branch: c.Branch}); err != nil {
			return err
		}
		var err error
		made, err = JoinCodes.Create(tx, organization, "", JoinCode{
			Name: strings.TrimSpace(c.Name), Branch: c.Branch, Group: c.Group, Approval: c.Approval, MaxUses: c.MaxUses,
			Expires: c.Expires.UTC().Truncate(time.Second), Hash: hashCode(code), By: actor.ID,
		})
		return err
	})
	made.Body.Hash = ""
	return code, made, err
}

// Codes lists the join codes of an organization that the actor administers, the newest first.
func (s *Service) Codes(ctx context.Context, actor ledger.Actor, organization string) ([]ledger.Doc[JoinCode], error) {
	var found []ledger.Doc[JoinCode]
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		if err := access.Require(r, actor, access.See, access.Thing{Kind: "branch", ID: organization, Org: organization, Branch: organization}); err != nil {
			return err
		}
		where, args, err := access.Visible(r, actor, "join_code")
		if err != nil {
			return err
		}
		args = append(args, organization)
		found, err = JoinCodes.List(r, where+" AND n.org = $"+itoa(len(args))+" ORDER BY n.id DESC LIMIT 500", args...)
		for i := range found {
			found[i].Body.Hash = ""
		}
		return err
	})
	return found, err
}

// RevokeCode closes a join code at once and for ever. Who waits by it still waits.
func (s *Service) RevokeCode(ctx context.Context, actor ledger.Actor, code string) error {
	return s.ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error {
		if err := require(tx, "join_code", code, access.Edit); err != nil {
			return err
		}
		_, err := JoinCodes.Update(tx, code, 0, func(c *JoinCode) error { c.Revoked = true; return nil })
		return err
	})
}

// byPerson refuses a service token: whoever lets people in must be somebody who can be asked
// whether he still may, when they come.
func byPerson(actor ledger.Actor) error {
	if actor.Kind == "account" || actor.Kind == "system" {
		return nil
	}
	return fault.New(fault.Denied, "join_code.person", "People are let in by people").WithMend("Sign in as an admin of the branch")
}

func badCode() error {
	return fault.New(fault.NotFound, "join_code.missing", "This join code is not known, was revoked, has expired or is used up").
		WithMend("Ask who gave it to you for another")
}

// openCode finds a join code that can still be used. Its maker must still be
// somebody who could make it.
func openCode(r *ledger.Reader, code string, now time.Time) (ledger.Doc[JoinCode], error) {
	found, err := JoinCodes.List(r, "n.hash = $1", hashCode(code))
	if err != nil {
		return ledger.Doc[JoinCode]{}, err
	}
	if len(found) == 0 {
		return ledger.Doc[JoinCode]{}, badCode()
	}
	c := found[0]
	if c.Body.Revoked || !now.Before(c.Body.Expires) || c.Body.Uses >= c.Body.MaxUses {
		return c, badCode()
	}
	if err := checkGroup(r, c.Body.Branch, c.Body.Group); err != nil { // the team may be gone
		if fault.KindOf(err) == fault.Invalid {
			return c, badCode()
		}
		return c, err
	}
	by := ledger.Actor{ID: c.Body.By, Kind: "account"}
	err = access.Require(r, by, access.Create, access.Thing{Kind: "join_code", Org: c.Org, Branch: c.Body.Branch})
	if kind := fault.KindOf(err); err != nil && (kind == fault.NotFound || kind == fault.Denied) {
		return c, badCode()
	}
	return c, err
}
