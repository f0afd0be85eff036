package account

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

const (
	tokenLife  = 366 * 24 * time.Hour // a year, and the day that makes "in a year" true
	maxScopes  = 40
	scopeWidth = 40 // letters
)

// Revoked is the state of a service token that has been ended for good.
const Revoked = "revoked"

// ServiceToken lets a program act for a branch, by its own rights: those of a
// standing group and those that grants and lists give to the principal
// token:<id>. Verbs and Kinds only narrow them.
type ServiceToken struct {
	Name    string    `json:"name"`
	Branch  string    `json:"branch"`
	Group   string    `json:"group,omitempty" enum:",managers,viewers,members,admins" doc:"standing group that it acts as in the branch; empty: none, only grants count"`
	Verbs   []string  `json:"verbs,omitempty" doc:"what it may do at most; empty: all that its group and grants allow, without share, administer, revoke, delete and export, which must be named"`
	Kinds   []string  `json:"kinds,omitempty" doc:"kinds of things it may touch at most; empty: all"`
	Hash    string    `json:"hash" doc:"SHA-256 of the token, hexadecimal"`
	Expires time.Time `json:"expires"`
	State   string    `json:"state" enum:"active,revoked"`
	By      string    `json:"by" doc:"the account that made it"`
}

// ServiceTokens is the noun of service tokens. They belong to the organization of their branch.
var ServiceTokens = ledger.Noun[ServiceToken]{
	Name: "token",
	Table: &ledger.Table[ServiceToken]{
		Columns: []ledger.Column{
			{Name: "hash", Type: ledger.Text}, {Name: "branch", Type: ledger.Text}, {Name: "standing", Type: ledger.Text},
			{Name: "verbs", Type: ledger.Text}, {Name: "kinds", Type: ledger.Text},
			{Name: "expires", Type: ledger.Integer}, {Name: "state", Type: ledger.Text},
		},
		Unique:  [][]string{{"hash"}},
		Indexes: [][]string{{"branch"}},
		Row: func(d ledger.Doc[ServiceToken]) []any {
			b := d.Body
			return []any{b.Hash, b.Branch, b.Group, access.ListText(b.Verbs), access.ListText(b.Kinds), b.Expires.UnixMilli(), b.State}
		},
	},
	Check: func(tx *ledger.Tx, before, after *ledger.Doc[ServiceToken]) error {
		if after == nil {
			return nil
		}
		if before == nil {
			if after.Revision > 1 && after.Body.State != Revoked { // its making was taken back: then whoever has it has nothing
				return fault.New(fault.Conflict, "token.revoked", "A token that was taken back stays so").WithMend("Make another")
			}
			if err := access.Visiting(tx, after.Org); err != nil {
				return err
			}
			if err := access.Outside(tx, after.Org); err != nil {
				return err
			}
			return after.Body.check(tx.Now)
		}
		was, is := before.Body, after.Body
		if was.State == Revoked && is.State != Revoked {
			return fault.New(fault.Conflict, "token.revoked", "A revoked token stays revoked").WithMend("Make another")
		}
		if was.Hash != is.Hash || was.Branch != is.Branch || was.Group != is.Group || was.By != is.By || !was.Expires.Equal(is.Expires) ||
			access.ListText(was.Verbs) != access.ListText(is.Verbs) || access.ListText(was.Kinds) != access.ListText(is.Kinds) {
			return fault.New(fault.Invalid, "token.fixed", "What a token may do is settled when it is made").WithMend("Revoke it and make another")
		}
		return is.checkName()
	},
}

var _ = access.Register(&ServiceTokens, access.Columns{Branch: "branch", Word: "state"}, tokenThing,
	access.Rule{Kind: "token", Who: []string{"admins"}, May: []access.Verb{access.See, access.Create, access.Edit, access.Delete, access.Revoke}})

func tokenThing(_ *ledger.Reader, d ledger.Doc[ServiceToken]) (access.Thing, error) {
	return access.Thing{Branch: d.Body.Branch, State: d.Body.State, Name: d.Body.Name, Kind: "token", ID: d.ID, Org: d.Org}, nil
}

func (t ServiceToken) check(now time.Time) error {
	if t.State != Active && t.State != Revoked {
		return fault.Newf(fault.Invalid, "token.state", "A token is active or revoked, not %.20q", t.State)
	}
	if !t.Expires.After(now) || t.Expires.After(now.Add(tokenLife)) {
		return fault.New(fault.Invalid, "token.expires", "A token lasts until some day within a year").
			At("/expires", "in the past, or more than a year away", "choose a day within a year; make another when it ends")
	}
	switch t.Group {
	case "", "admins", "managers", "viewers", "members":
	default:
		return fault.Newf(fault.Invalid, "token.group", "A token cannot act as %.40q", t.Group).
			At("/group", "not a standing group", "admins, managers, viewers, members, or none")
	}
	for place, words := range map[string][]string{"/verbs": t.Verbs, "/kinds": t.Kinds} {
		if len(words) > maxScopes {
			return fault.New(fault.Invalid, "token.scope", "A token has too many scopes").At(place, "too many", "name fewer")
		}
		for _, w := range words {
			if w == "" || len(w) > scopeWidth || strings.Trim(w, "abcdefghijklmnopqrstuvwxyz_-") != "" {
				return fault.Newf(fault.Invalid, "token.scope", "%.40q is no scope", w).At(place, "small letters only", "as the table of rights names them")
			}
		}
	}
	return t.checkName()
}

func (t ServiceToken) checkName() error {
	if n := utf8.RuneCountInString(t.Name); n < 1 || n > 100 || strings.TrimSpace(t.Name) != t.Name ||
		strings.ContainsFunc(t.Name, unicode.IsControl) || !utf8.ValidString(t.Name) {
		return fault.New(fault.Invalid, "token.name", "A token's name has 1 to 100 characters").
			At("/name", "missing, too long, or with blanks around it", "name the program that will use it")
	}
	return nil
}
