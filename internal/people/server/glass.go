package server

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
)

// Bounds of a visit under break-glass.
const (
	MaxHours    = 24
	minReason   = 15 // letters
	mostReason  = 500
	mailedMost  = 50 // admins that are told by mail
	shownVisits = 20
)

// BreakGlass is a visit of a server administrator in an organization.
type BreakGlass struct {
	Person     string    `json:"person"`
	Name       string    `json:"name"`
	Group      string    `json:"group" enum:"viewers,admins"`
	Reason     string    `json:"reason"`
	Membership string    `json:"membership"`
	Began      time.Time `json:"began"`
	Until      time.Time `json:"until" doc:"ends by itself then"`
	Ended      time.Time `json:"ended,omitzero"`
	EndedBy    string    `json:"ended_by,omitempty" doc:"who ended it; empty: time did"`
	Seen       time.Time `json:"seen,omitzero" doc:"acknowledged by an admin of the organization"`
	SeenBy     string    `json:"seen_by,omitempty"`
}

// BreakGlasses is the noun of visits under break-glass. They belong to the organization.
var BreakGlasses = ledger.Noun[BreakGlass]{
	Name: "break_glass",
	Table: &ledger.Table[BreakGlass]{
		Columns: []ledger.Column{
			{Name: "person", Type: ledger.Text}, {Name: "began", Type: ledger.Integer}, {Name: "ended", Type: ledger.Integer},
			{Name: "seen", Type: ledger.Integer}, {Name: "reason", Type: ledger.Text},
		},
		Indexes: [][]string{{"org", "person"}, {"ended"}},
		Row: func(d ledger.Doc[BreakGlass]) []any {
			return []any{d.Body.Person, millis(d.Body.Began), millis(d.Body.Ended), millis(d.Body.Seen), d.Body.Reason}
		},
	},
	Check: func(_ *ledger.Tx, before, after *ledger.Doc[BreakGlass]) error {
		if after == nil {
			return fault.New(fault.Denied, "break_glass.stays", "That somebody was here under break-glass is never deleted")
		}
		if before == nil {
			return after.Body.check()
		}
		was, is := before.Body, after.Body
		was.Ended, was.EndedBy, was.Seen, was.SeenBy = is.Ended, is.EndedBy, is.Seen, is.SeenBy
		if was != is || !before.Body.Ended.IsZero() && is.Ended != before.Body.Ended || !before.Body.Seen.IsZero() && is.Seen != before.Body.Seen {
			return fault.New(fault.Denied, "break_glass.stays", "What was said of a visit under break-glass stays")
		}
		return nil
	},
}

var _ = access.Register(&BreakGlasses, access.Columns{Branch: "org", Owner: "person"}, func(_ *ledger.Reader, d ledger.Doc[BreakGlass]) (access.Thing, error) {
	return access.Thing{Kind: "break_glass", ID: d.ID, Org: d.Org, Branch: d.Org, Owner: d.Body.Person, Name: "of " + d.Body.Name}, nil
})

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func (b BreakGlass) check() error {
	if b.Group != org.Viewers && b.Group != org.Admins {
		return fault.Newf(fault.Invalid, "break_glass.group", "Nobody enters an organization as %.40q", b.Group).At("/group", "unknown", "viewers or admins")
	}
	if n := utf8.RuneCountInString(b.Reason); n < minReason || n > mostReason || len(strings.Fields(b.Reason)) < 3 {
		return fault.Newf(fault.Invalid, "break_glass.reason", "The reason has %d to %d letters, and at least three words", minReason, mostReason).
			At("/reason", "too short, or too long", "say what is to be done and who asked for it: the organization's admins read it")
	}
	if d := b.Until.Sub(b.Began); d <= 0 || d > MaxHours*time.Hour {
		return fault.Newf(fault.Invalid, "break_glass.hours", "A visit under break-glass lasts an hour to %d", MaxHours).At("/hours", "out of bounds", "begin another when it has ended")
	}
	return nil
}

// Entering asks for a visit.
type Entering struct {
	Organization string `json:"organization" format:"uuid"`
	Group        string `json:"group,omitempty" enum:",viewers,admins" doc:"role to take; empty: viewers"`
	Reason       string `json:"reason" maxLength:"500" doc:"the organization's admins read it"`
	Hours        int    `json:"hours,omitempty" minimum:"0" maximum:"24" doc:"0: one hour"`
}

// BreakGlass lets a server administrator into an organization for some hours.
// Somebody else than the actor, person, can be named by the server itself only.
func (s *Service) BreakGlass(ctx context.Context, actor ledger.Actor, person string, e Entering) (ledger.Doc[BreakGlass], error) {
	var made ledger.Doc[BreakGlass]
	var admins []account.Person
	var organization string
	if e.Group == "" {
		e.Group = org.Viewers
	}
	if e.Hours == 0 {
		e.Hours = 1
	}
	err := s.change(ctx, actor, "break-glass: "+e.Reason, func(tx *ledger.Tx) error {
		if actor.Kind != "system" && person != actor.ID {
			return fault.New(fault.Denied, "break_glass.other", "Each server administrator enters for himself").WithMend("Ask the other to do it")
		}
		operates, err := access.IsOperator(tx.Reader, person)
		if err != nil {
			return err
		}
		if !operates {
			return fault.New(fault.Denied, "break_glass.operator", "Only a server administrator enters an organization this way").At("/as", "no server administrator", "'qanat admin list' shows them")
		}
		a, err := account.Accounts.Get(tx.Reader, person)
		if err != nil {
			return err
		}
		b, err := org.Branches.Get(tx.Reader, e.Organization)
		if err != nil || b.Body.Parent != "" {
			return org.Branches.NotFound()
		}
		organization = b.Body.Name
		if again, err := running(tx.Reader, b.ID, person); err != nil {
			return err
		} else if again {
			return fault.New(fault.Conflict, "break_glass.running", "You are in this organization under break-glass already").WithMend("End that visit first")
		}
		if admins, err = adminsOf(tx.Reader, b.ID); err != nil {
			return err
		}
		visit := BreakGlass{
			Person: person, Name: a.Body.Name, Group: e.Group, Reason: strings.TrimSpace(e.Reason),
			Began: tx.Now.UTC(), Until: tx.Now.UTC().Add(time.Duration(e.Hours) * time.Hour),
		}
		if err := visit.check(); err != nil { // before a membership is made for it
			return err
		}
		m, err := org.Visit(tx, person, b.ID, e.Group, visit.Until)
		if err != nil {
			return err
		}
		visit.Membership = m.ID
		made, err = BreakGlasses.Create(tx, b.ID, "", visit)
		return err
	})
	if err == nil {
		s.mail(ctx, made.Body, organization, admins)
	}
	return made, err
}

func running(r *ledger.Reader, organization, person string) (bool, error) {
	var one int
	return r.Row([]any{&one}, "SELECT 1 FROM break_glass n WHERE n.org = $1 AND n.person = $2 AND n.ended = 0", organization, person)
}

func adminsOf(r *ledger.Reader, organization string) ([]account.Person, error) {
	var admins []account.Person
	rows := r.Query(`SELECT a.id, a.name, a.email FROM membership m JOIN account a ON a.id = m.person
		WHERE m.branch = $1 AND m.standing = 'admins' AND m.until = 0 AND a.state = 'active' ORDER BY a.id LIMIT `+fmt.Sprint(mailedMost), organization)
	for rows.Next() {
		var p account.Person
		rows.Scan(&p.ID, &p.Name, &p.Email)
		admins = append(admins, p)
	}
	return admins, rows.Close()
}

// mail tells the admins; the entry and the portal tell them anyhow, so a mail that fails is no error.
func (s *Service) mail(ctx context.Context, b BreakGlass, organization string, admins []account.Person) {
	if s.Notify == nil {
		return
	}
	where := "Activity in the portal"
	if s.URL != "" {
		where = strings.TrimSuffix(s.URL, "/") + "/activity"
	}
	for _, to := range admins {
		_ = s.Notify(ctx, to.Email, "A server administrator has entered "+organization, fmt.Sprintf(
			"%s, who administers this server, has entered %s as one of its %s.\n\nReason: %s\nUntil: %s UTC\n\nEverything done under it is marked in %s. You can end it there, on every page, at any time.\n",
			b.Name, organization, b.Group, b.Reason, b.Until.UTC().Format("2 January 2006 15:04"), where))
	}
}

// Visits are the visits in an organization that people there should know of:
// those that last, and those that no admin has acknowledged. All: also earlier ones.
func (s *Service) Visits(ctx context.Context, actor ledger.Actor, organization string, all bool) ([]ledger.Doc[BreakGlass], error) {
	var found []ledger.Doc[BreakGlass]
	err := s.Ledger.Read(ctx, func(r *ledger.Reader) (err error) {
		if err := access.Require(r, actor, access.See, access.Thing{Kind: "branch", ID: organization, Org: organization, Branch: organization}); err != nil {
			return err
		}
		where, args, err := access.Visible(r, actor, "break_glass")
		if err != nil {
			return err
		}
		args = append(args, organization)
		where += fmt.Sprintf(" AND n.org = $%d", len(args))
		if !all {
			where += " AND (n.ended = 0 OR n.seen = 0)"
		}
		found, err = BreakGlasses.List(r, where+fmt.Sprintf(" ORDER BY n.began DESC LIMIT %d", shownVisits), args...)
		return err
	})
	return found, err
}

// End ends a visit before its time: the visitor may, and the organization's admins.
func (s *Service) End(ctx context.Context, actor ledger.Actor, id string) (ledger.Doc[BreakGlass], error) {
	return s.step(ctx, actor, id, access.Revoke, "break-glass ended", func(tx *ledger.Tx, d ledger.Doc[BreakGlass]) (ledger.Doc[BreakGlass], error) {
		return end(tx, d, actor.Name)
	})
}

// Acknowledge takes the notice of a visit away: an admin of the organization
// may, once it has ended; the visitor may not.
func (s *Service) Acknowledge(ctx context.Context, actor ledger.Actor, id string) (ledger.Doc[BreakGlass], error) {
	return s.step(ctx, actor, id, access.Administer, "break-glass acknowledged", func(tx *ledger.Tx, d ledger.Doc[BreakGlass]) (ledger.Doc[BreakGlass], error) {
		if d.Body.Person == actor.ID {
			return d, fault.New(fault.Denied, "break_glass.own", "Another admin of the organization acknowledges your visit")
		}
		if visiting, err := running(tx.Reader, d.Org, actor.ID); err != nil || visiting {
			if err == nil {
				err = fault.New(fault.Denied, "break_glass.own", "A visitor does not acknowledge visits").WithMend("An admin of the organization does")
			}
			return d, err
		}
		if d.Body.Ended.IsZero() {
			return d, fault.New(fault.Conflict, "break_glass.running", "This visit still lasts").WithMend("End it first, or wait for its end")
		}
		return BreakGlasses.Update(tx, d.ID, 0, func(b *BreakGlass) error {
			if b.Seen.IsZero() {
				b.Seen, b.SeenBy = tx.Now.UTC(), actor.Name
			}
			return nil
		})
	})
}

func (s *Service) step(ctx context.Context, actor ledger.Actor, id string, verb access.Verb, reason string, fn func(*ledger.Tx, ledger.Doc[BreakGlass]) (ledger.Doc[BreakGlass], error)) (ledger.Doc[BreakGlass], error) {
	var out ledger.Doc[BreakGlass]
	err := s.Ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		d, err := BreakGlasses.Get(tx.Reader, id)
		if err != nil {
			return err
		}
		t, err := access.Describe(tx.Reader, "break_glass", id)
		if err == nil {
			err = access.Require(tx.Reader, actor, verb, t)
		}
		if err != nil {
			return err
		}
		out, err = fn(tx, d)
		return err
	})
	return out, err
}

// end takes the membership away, whoever has changed what of it, and says so in the visit.
func end(tx *ledger.Tx, d ledger.Doc[BreakGlass], by string) (ledger.Doc[BreakGlass], error) {
	err := org.Memberships.Delete(tx, d.Body.Membership, 0)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return d, err
	}
	return BreakGlasses.Update(tx, d.ID, 0, func(b *BreakGlass) error {
		if b.Ended.IsZero() {
			b.Ended, b.EndedBy = tx.Now.UTC(), by
		}
		return nil
	})
}

// Sweep ends the visits whose time is over, and those whose membership somebody
// took away. It is a job for the start, before anything is served, and for every minute.
func (s *Service) Sweep(ctx context.Context) (ended int, err error) {
	due := func(r *ledger.Reader) ([]ledger.Doc[BreakGlass], []ledger.Doc[org.Membership], error) {
		over, err := org.Overdue(r, s.Ledger.Now())
		if err != nil {
			return nil, nil, err
		}
		open, err := BreakGlasses.List(r, "n.ended = 0 ORDER BY n.id LIMIT 500")
		if err != nil {
			return nil, nil, err
		}
		var done []ledger.Doc[BreakGlass]
		for _, d := range open {
			_, err := org.Memberships.Get(r, d.Body.Membership)
			if err != nil && fault.KindOf(err) != fault.NotFound {
				return nil, nil, err
			}
			if err != nil || !d.Body.Until.After(s.Ledger.Now()) {
				done = append(done, d)
			}
		}
		return done, over, nil
	}
	var visits []ledger.Doc[BreakGlass]
	var over []ledger.Doc[org.Membership]
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) (err error) { visits, over, err = due(r); return err })
	if err != nil || len(visits)+len(over) == 0 {
		return 0, err
	}
	err = s.Ledger.Write(ctx, ledger.System("break-glass sweep"), "break-glass is over", func(tx *ledger.Tx) error {
		ended = 0
		visits, over, err := due(tx.Reader)
		if err != nil {
			return err
		}
		for _, d := range visits {
			if _, err := end(tx, d, ""); err != nil {
				return err
			}
			ended++
		}
		for _, m := range over { // a visit's membership whose visit is not there to say so
			if err := org.Memberships.Delete(tx, m.ID, 0); err != nil && fault.KindOf(err) != fault.NotFound {
				return err
			}
		}
		return nil
	})
	return ended, err
}
