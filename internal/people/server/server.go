// Package server is what server administrators do: accounts, organizations,
// other server administrators, and entering an organization under break-glass.
//
// A server administrator holds the role operator on the server by a grant. It
// guarantees that the role shows no organization's data: it counts and names
// organizations, and does nothing in them. Who must see more takes a role in the
// organization by break-glass: with a reason, a fresh second factor, for a day at
// the most, as an entry that the organization's admins are told of and see until
// they have acknowledged it. Whatever is done to a person is told to the
// organizations that he belongs to. The last server administrator stays one.
//
// Reading asks for a session that has shown its second factor, changing for one
// that has shown it within the last ten minutes. To whoever is no server
// administrator there is no server page.
//
// Limits: a break-glass visit that is over is taken away by a sweep, which runs
// at the start before anything is served and once a minute.
//
// Who controls this package signs in as anybody, by a link, and enters any
// organization, noticed.
package server

import (
	"context"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
)

// Service is what server administrators use.
type Service struct {
	Ledger   *ledger.Ledger
	Accounts *account.Service
	// Facts tells how the server does; it is asked for at every look.
	Facts func(ctx context.Context) (Facts, error)
	// Notify sends a mail; nil: none is configured. It must not wait.
	Notify func(ctx context.Context, to, subject, text string) error
	// URL is how people reach the server, for mails; empty: unknown.
	URL string
}

// Nouns are the nouns of this package, for ledger.Config.
func Nouns() []ledger.Kind { return []ledger.Kind{&BreakGlasses} }

var _ = account.GuardEnd(func(tx *ledger.Tx, person string) error {
	operates, err := access.IsOperator(tx.Reader, person)
	if err != nil || !operates {
		return err
	}
	return access.KeepsOperator(tx, "", person)
})

// Who runs the server shows a second factor of this server: no organization's
// sign-in provider vouches for him.
var _ = account.AskOwnFactor(access.IsOperator)

// maySee lets a server administrator look, whose session has shown its second factor.
func maySee(r *ledger.Reader, actor ledger.Actor) error {
	if err := access.Require(r, actor, access.See, access.Server()); err != nil {
		return err
	}
	if actor.Kind != "system" && actor.Factor.IsZero() {
		return access.Fresh(actor, actor.Factor.AddDate(1, 0, 0)) // never fresh: asks for the factor
	}
	return nil
}

// mayChange lets a server administrator change something, whose second factor is fresh.
func mayChange(tx *ledger.Tx, actor ledger.Actor) error {
	if err := access.Require(tx.Reader, actor, access.Administer, access.Server()); err != nil {
		return err
	}
	return access.Fresh(actor, tx.Now)
}

// change runs fn in a write that only a server administrator with a fresh factor may do.
func (s *Service) change(ctx context.Context, actor ledger.Actor, reason string, fn func(tx *ledger.Tx) error) error {
	return s.Ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		if err := mayChange(tx, actor); err != nil {
			return err
		}
		return fn(tx)
	})
}

func (s *Service) read(ctx context.Context, actor ledger.Actor, fn func(r *ledger.Reader) error) error {
	return s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		if err := maySee(r, actor); err != nil {
			return err
		}
		return fn(r)
	})
}

// IsOperator tells whether the actor is a server administrator.
func (s *Service) IsOperator(ctx context.Context, actor ledger.Actor) (is bool, err error) {
	if s == nil || actor.Kind != "account" {
		return false, nil
	}
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) (err error) {
		is, err = access.IsOperator(r, actor.ID)
		return err
	})
	return is, err
}

// Administrators are the server administrators, by name.
func (s *Service) Administrators(ctx context.Context, actor ledger.Actor) ([]account.Person, error) {
	var people []account.Person
	err := s.read(ctx, actor, func(r *ledger.Reader) error {
		people = []account.Person{}
		rows := r.Query(`SELECT a.id, a.name, a.email FROM access_grant n JOIN account a ON n.principal = 'person:' || a.id
			WHERE n.kind = 'server' AND n.subject = $1 AND n.role = $2 ORDER BY a.name, a.id`, access.ServerID, access.Operator)
		for rows.Next() {
			var p account.Person
			rows.Scan(&p.ID, &p.Name, &p.Email)
			people = append(people, p)
		}
		return rows.Close()
	})
	return people, err
}

// AddAdministrator makes the person of an address a server administrator.
func (s *Service) AddAdministrator(ctx context.Context, actor ledger.Actor, email string) (account.Person, error) {
	var person account.Person
	err := s.change(ctx, actor, "server administrator added", func(tx *ledger.Tx) error {
		a, err := byEmail(tx.Reader, email)
		if err != nil {
			return err
		}
		person = account.Person{ID: a.ID, Name: a.Body.Name, Email: a.Body.Email}
		if a.Body.State != account.Active {
			return fault.Newf(fault.Conflict, "account.ended", "The account of %s is disabled", a.Body.Name).WithMend("Enable it first")
		}
		operates, err := access.IsOperator(tx.Reader, a.ID)
		if err != nil || operates {
			return err
		}
		_, err = access.Grants.Create(tx, "", "", access.OperatorGrant(a.ID))
		return err
	})
	return person, err
}

// RemoveAdministrator takes a person's role away; the last one stays.
func (s *Service) RemoveAdministrator(ctx context.Context, actor ledger.Actor, person string) error {
	return s.change(ctx, actor, "server administrator removed", func(tx *ledger.Tx) error {
		held, err := access.Grants.List(tx.Reader, "n.kind = 'server' AND n.subject = $1 AND n.principal = $2", access.ServerID, "person:"+person)
		if err != nil {
			return err
		}
		if len(held) == 0 {
			return fault.New(fault.NotFound, "server.operator", "This person is no server administrator").WithMend("Look at the list of server administrators")
		}
		for _, g := range held {
			if err := access.Grants.Delete(tx, g.ID, 0); err != nil {
				return err
			}
		}
		return nil
	})
}

// Organization is one with its size; nothing of what is in it.
type Organization struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	People    int64  `json:"people"`
	Admins    int64  `json:"admins" doc:"active admins of the whole organization; 0: nobody can administer it"`
	Documents int64  `json:"documents" doc:"documents that are there now"`
	Bytes     int64  `json:"bytes" doc:"their size, without photos, files and readings"`
	Entries   int64  `json:"entries" doc:"entries of the ledger"`
}

// Organizations lists all, by name.
func (s *Service) Organizations(ctx context.Context, actor ledger.Actor) ([]Organization, error) {
	var all []Organization
	err := s.read(ctx, actor, func(r *ledger.Reader) error {
		all = []Organization{}
		rows := r.Query(`SELECT b.id, b.name,
			(SELECT count(DISTINCT m.person) FROM membership m WHERE m.org = b.id AND m.until = 0),
			(SELECT count(*) FROM membership m JOIN account a ON a.id = m.person WHERE m.branch = b.id AND m.standing = 'admins' AND m.until = 0 AND a.state = 'active')
			FROM branch b WHERE b.parent = '' ORDER BY b.name, b.id LIMIT 1000`)
		at := map[string]int{}
		for rows.Next() {
			var o Organization
			rows.Scan(&o.ID, &o.Name, &o.People, &o.Admins)
			at[o.ID] = len(all)
			all = append(all, o)
		}
		if err := rows.Close(); err != nil {
			return err
		}
		for sql, take := range map[string]func(o *Organization, count, bytes int64){
			`SELECT org, count(*), sum(length(body)) FROM document WHERE body IS NOT NULL GROUP BY org`: func(o *Organization, n, b int64) { o.Documents, o.Bytes = n, b },
			`SELECT org, count(*), 0 FROM entry GROUP BY org`:                                           func(o *Organization, n, _ int64) { o.Entries = n },
		} {
			rows := r.Query(sql)
			for rows.Next() {
				var id string
				var count, bytes int64
				rows.Scan(&id, &count, &bytes)
				if i, known := at[id]; known {
					take(&all[i], count, bytes)
				}
			}
			if err := rows.Close(); err != nil {
				return err
			}
		}
		return nil
	})
	return all, err
}

// CreateOrganization makes an organization and the invitation of its first
// admin, which is shown once.
func (s *Service) CreateOrganization(ctx context.Context, actor ledger.Actor, name, admin, adminEmail string) (id string, token account.Token, err error) {
	f := org.NewFounding(name, admin, adminEmail)
	err = s.change(ctx, actor, "organization made", func(tx *ledger.Tx) error {
		if strings.TrimSpace(adminEmail) == "" {
			return fault.New(fault.Invalid, "organization.admin", "A new organization needs the address of its first admin").At("/admin", "missing", "write it like name@example.org")
		}
		return f.Make(tx)
	})
	return f.Organization, f.Token, err
}

// HasOrganization finds an organization by id or name: for who types it.
func (s *Service) HasOrganization(ctx context.Context, actor ledger.Actor, named string) (string, error) {
	all, err := s.Organizations(ctx, actor)
	if err != nil {
		return "", err
	}
	found := ""
	for _, o := range all {
		if o.ID == named {
			return o.ID, nil
		}
		if strings.EqualFold(o.Name, named) {
			if found != "" {
				return "", fault.Newf(fault.Conflict, "organization.twice", "There are several organizations named %q", named).WithMend("Name it by its id: 'qanat admin organization list' shows them")
			}
			found = o.ID
		}
	}
	if found == "" {
		return "", fault.Newf(fault.NotFound, "organization.missing", "There is no organization %q here", named).WithMend("'qanat admin organization list' shows them")
	}
	return found, nil
}

func byEmail(r *ledger.Reader, email string) (ledger.Doc[account.Account], error) {
	found, is, err := account.ByEmail(r, email)
	if err == nil && !is {
		err = fault.Newf(fault.NotFound, "account.missing", "Nobody here has the address %.254s", email).At("/email", "unknown", "check the spelling")
	}
	return found, err
}

// tell writes into every organization of a person, and among what happened to his
// account, what a server administrator did to it.
func tell(tx *ledger.Tx, person, what string) error {
	orgs, err := organizationsOf(tx.Reader, person)
	if err != nil {
		return err
	}
	if what != "sessions-ended" || len(orgs) == 0 { // which a person sees of his organizations' events
		orgs = append(orgs, "")
	}
	for _, organization := range orgs {
		if _, err := account.Events.Create(tx, organization, "", account.Event{Account: person, What: what}); err != nil {
			return err
		}
	}
	return nil
}

func organizationsOf(r *ledger.Reader, person string) ([]string, error) {
	var orgs []string
	rows := r.Query("SELECT DISTINCT org FROM membership WHERE person = $1 AND until = 0 ORDER BY org", person)
	for rows.Next() {
		var o string
		rows.Scan(&o)
		orgs = append(orgs, o)
	}
	return orgs, rows.Close()
}
