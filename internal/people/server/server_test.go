package server_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/activity"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
	"github.com/qanat-water/qanat/internal/people/server"
)

var ctx = context.Background()

type world struct {
	*peopletest.World
	*server.Service
	operator ledger.Actor // belongs to nothing
	mails    []string
}

func newWorld(t *testing.T, s *store.Store) *world {
	w := &world{World: peopletest.New(t, s, append(server.Nouns(), activity.Nouns()...)...)}
	w.Service = &server.Service{Ledger: w.World.Ledger, Accounts: w.World.Accounts, Notify: func(_ context.Context, to, _, text string) error {
		w.mails = append(w.mails, to+": "+text)
		return nil
	}}
	w.operator = w.Person(t, "Olga Operator", "", "")
	w.Write(t, func(tx *ledger.Tx) error {
		_, err := access.Grants.Create(tx, "", "", access.OperatorGrant(w.operator.ID))
		return err
	})
	return w
}

// fresh is an actor who has just shown the second factor.
func (w *world) fresh(a ledger.Actor) ledger.Actor {
	a.Factor = w.Clock.Now()
	return a
}

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Code != code {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

func (w *world) email(t *testing.T, person string) (email string) {
	w.Read(t, func(r *ledger.Reader) error {
		a, err := account.Accounts.Get(r, person)
		email = a.Body.Email
		return err
	})
	return email
}

func TestOnlyServerAdministratorsWithASecondFactor(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := newWorld(t, open())
		calls := map[string]func(a ledger.Actor) error{
			"list":          func(a ledger.Actor) error { _, err := w.Administrators(ctx, a); return err },
			"accounts":      func(a ledger.Actor) error { _, _, err := w.ListAccounts(ctx, a, server.Search{}); return err },
			"organizations": func(a ledger.Actor) error { _, err := w.Organizations(ctx, a); return err },
			"add":           func(a ledger.Actor) error { _, err := w.AddAdministrator(ctx, a, w.email(t, w.Viewer.ID)); return err },
			"remove":        func(a ledger.Actor) error { return w.RemoveAdministrator(ctx, a, w.Viewer.ID) },
			"disable":       func(a ledger.Actor) error { _, err := w.Disable(ctx, a, w.Outside.ID, ""); return err },
			"enable":        func(a ledger.Actor) error { _, err := w.Enable(ctx, a, w.Outside.ID, ""); return err },
			"end sessions":  func(a ledger.Actor) error { _, err := w.EndSessions(ctx, a, w.Outside.ID, ""); return err },
			"link":          func(a ledger.Actor) error { _, err := w.SignInLink(ctx, a, w.Outside.ID, true, ""); return err },
			"create": func(a ledger.Actor) error {
				_, _, err := w.CreateOrganization(ctx, a, "New", "A", "a@example.org")
				return err
			},
			"break-glass": func(a ledger.Actor) error {
				_, err := w.BreakGlass(ctx, a, a.ID, server.Entering{Organization: w.Org, Reason: "Amina asked for help with her import"})
				return err
			},
		}
		reads := []string{"list", "accounts", "organizations"}
		for _, name := range []string{"list", "accounts", "organizations", "add", "remove", "disable", "enable", "end sessions", "link", "create", "break-glass"} {
			call := calls[name]
			for _, other := range []ledger.Actor{w.Admin, w.Outside, {ID: w.operator.ID, Kind: "token"}, {ID: w.operator.ID, Kind: "device"}} {
				wantCode(t, name+" by "+other.Kind+" "+other.Name, call(w.fresh(other)), "server.missing")
			}
			wantCode(t, name+" without second factor", call(w.operator), "session.step-up")
			stale := w.fresh(w.operator)
			stale.Factor = stale.Factor.Add(-time.Hour)
			if err := call(stale); slices.Contains(reads, name) != (err == nil) {
				t.Errorf("%s an hour after the second factor: %v", name, err)
			}
			if err := call(w.fresh(w.operator)); err != nil {
				t.Errorf("%s by a server administrator: %v", name, err)
			}
		}
	})
}

func TestTheLastServerAdministratorStays(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := newWorld(t, open())
		me := w.fresh(w.operator)
		wantCode(t, "remove the last", w.RemoveAdministrator(ctx, me, me.ID), "server.last-operator")
		_, err := w.Disable(ctx, peopletest.System, me.ID, "")
		wantCode(t, "disable the last", err, "server.last-operator")
		wantCode(t, "end the account of the last", w.World.Accounts.End(ctx, peopletest.System, me.ID, "gone"), "server.last-operator")
		if _, err := w.AddAdministrator(ctx, me, w.email(t, w.Viewer.ID)); err != nil {
			t.Fatal(err)
		}
		if err := w.RemoveAdministrator(ctx, me, me.ID); err != nil {
			t.Errorf("remove one of two: %v", err)
		}
		_, err = w.Organizations(ctx, me)
		wantCode(t, "who is none any more", err, "server.missing")
		// By the API of grants nobody makes himself one, and undo does not either.
		err = w.World.Ledger.Write(ctx, w.fresh(w.Admin), "", func(tx *ledger.Tx) error {
			_, err := access.Give(tx, access.OperatorGrant(w.Admin.ID))
			return err
		})
		if err == nil {
			t.Error("an admin of an organization made himself a server administrator by a grant")
		}
		for _, g := range []access.Grant{{Thing: "server:" + access.ServerID, Principal: "everyone", Role: access.Operator}, {Thing: "server:" + access.ServerID, Principal: "group:" + w.Org + "/admins", Role: access.Operator}} {
			err = w.World.Ledger.Write(ctx, peopletest.System, "", func(tx *ledger.Tx) error { _, err := access.Grants.Create(tx, "", "", g); return err })
			wantCode(t, "a grant on the server to "+g.Principal, err, "access_grant.principal")
		}
	})
}

func TestAccounts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := newWorld(t, open())
		me := w.fresh(w.operator)
		found, _, err := w.ListAccounts(ctx, me, server.Search{Text: "VIEWER"})
		if err != nil || len(found) != 1 || found[0].ID != w.Viewer.ID || !slices.Equal(found[0].Organizations, []string{"Test Water Office"}) {
			t.Fatalf("search: %+v, %v", found, err)
		}
		if found, _, _ := w.ListAccounts(ctx, me, server.Search{Text: "%"}); len(found) != 0 {
			t.Errorf("a percent sign in the search finds %d accounts", len(found))
		}
		seen := 0
		for after := ""; ; {
			page, next, err := w.ListAccounts(ctx, me, server.Search{After: after, Limit: 2})
			if err != nil || len(page) > 2 {
				t.Fatal(len(page), err)
			}
			if seen += len(page); next == "" {
				break
			}
			after = next
		}
		if seen != 6 {
			t.Errorf("%d accounts on all pages, want 6", seen)
		}
		// A session of the viewer ends with the call, and his organization is told.
		token := account.NewToken()
		w.Write(t, func(tx *ledger.Tx) error { return account.Start(tx, w.Viewer.ID, token, account.Visit{Door: "test"}) })
		if ended, err := w.EndSessions(ctx, me, w.Viewer.ID, "his password was stolen"); err != nil || ended != 1 {
			t.Errorf("ended %d, %v", ended, err)
		}
		if _, err := w.World.Accounts.Session(ctx, token.Text); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("the session still lives: %v", err)
		}
		link, err := w.SignInLink(ctx, me, w.Viewer.ID, true, "lost his phone; called back on the known number")
		if err != nil {
			t.Fatal(err)
		}
		if len(w.mails) != 1 || !strings.HasPrefix(w.mails[0], w.email(t, w.Viewer.ID)) || !strings.Contains(w.mails[0], "second factor taken away") || strings.Contains(w.mails[0], link.Text) {
			t.Errorf("the person is told %q", w.mails)
		}
		if told, err := w.World.Accounts.History(ctx, w.Viewer); err != nil || len(told) != 2 || told[0].What != "sign-in-link-and-factor" || told[1].What != "sessions-ended" {
			t.Errorf("the person sees of his account %+v, %v", told, err)
		}
		if _, _, err := w.Orgs.Accept(ctx, link.Text, org.Answer{}, account.Visit{Door: "test"}); err != nil {
			t.Errorf("the link does not work: %v", err)
		}
		if _, err := w.Disable(ctx, me, w.Viewer.ID, ""); err != nil {
			t.Fatal(err)
		}
		_, err = w.SignInLink(ctx, me, w.Viewer.ID, false, "")
		wantCode(t, "a link for a disabled account", err, "account.ended")
		if a, err := w.Enable(ctx, me, w.Viewer.ID, ""); err != nil || a.State != account.Active {
			t.Errorf("enabled: %+v, %v", a, err)
		}
		_, err = w.Disable(ctx, me, w.Admin.ID, "")
		wantCode(t, "disable the only admin of an organization", err, "membership.last-admin")
		if _, err := w.SignInLink(ctx, me, w.Outside.ID, false, ""); err != nil {
			t.Errorf("a link for somebody without organization: %v", err)
		}
		acts, _, err := (&activity.Service{Ledger: w.World.Ledger}).Acts(ctx, w.Admin, activity.Query{Org: w.Org, Actor: me.ID})
		if err != nil {
			t.Fatal(err)
		}
		var reasons []string
		for _, a := range acts {
			reasons = append(reasons, a.Entry.Reason)
		}
		want := []string{"account enabled", "account disabled", "sign-in link made, second factor taken away: lost his phone; called back on the known number", "sessions ended: his password was stolen"}
		if !slices.Equal(reasons, want) {
			t.Errorf("the organization's activity tells %q, want %q", reasons, want)
		}
	})
}

// An organization's sign-in provider, which its admins run, makes nobody a server administrator.
func TestNoProviderVouchesForAServerAdministrator(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t)())
	for _, test := range []struct {
		who   ledger.Actor
		needs string
	}{{w.Viewer, account.NeedsNothing}, {w.operator, account.NeedsTOTPSetup}} {
		token := account.NewToken()
		w.Write(t, func(tx *ledger.Tx) error {
			if err := account.Start(tx, test.who.ID, token, account.Visit{Door: "test"}); err != nil {
				return err
			}
			made, err := account.Sessions.List(tx.Reader, "n.token = $1", token.Hash())
			if err == nil {
				_, err = account.Sessions.Update(tx, made[0].ID, 0, func(s *account.Session) error { s.Factor, s.Proved = account.Provider, tx.Now; return nil })
			}
			return err
		})
		if v, err := w.World.Accounts.Session(ctx, token.Text); err != nil || v.Needs != test.needs {
			t.Errorf("%s, signed in by a provider: needs %q, %v", test.who.Name, v.Needs, err)
		}
	}
}

func TestOrganizationsAreCountedNotShown(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := newWorld(t, open())
		me := w.fresh(w.operator)
		made, token, err := w.CreateOrganization(ctx, me, "Second Office", "Sara", "sara@example.org")
		if err != nil || token.Text == "" {
			t.Fatal(err)
		}
		all, err := w.Organizations(ctx, me)
		if err != nil || len(all) != 2 || all[0].ID != made || all[0].Admins != 0 || all[1].People != 4 || all[1].Admins != 1 || all[1].Documents < 5 || all[1].Bytes == 0 || all[1].Entries < 5 {
			t.Errorf("%+v, %v", all, err)
		}
		if _, err := w.Orgs.Tree(ctx, me, w.Org); fault.KindOf(err) != fault.NotFound {
			t.Errorf("a server administrator reads an organization's tree: %v", err)
		}
		if _, _, err := (&activity.Service{Ledger: w.World.Ledger}).Acts(ctx, me, activity.Query{Org: w.Org}); fault.KindOf(err) != fault.NotFound {
			t.Errorf("a server administrator reads an organization's activity: %v", err)
		}
		if mine, err := w.Orgs.Organizations(ctx, me); err != nil || len(mine) != 0 {
			t.Errorf("he belongs to %v, %v", mine, err)
		}
	})
}

func TestBreakGlass(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := newWorld(t, open())
		me := w.fresh(w.operator)
		feed := &activity.Service{Ledger: w.World.Ledger}
		for _, bad := range []struct {
			name, code string
			e          server.Entering
		}{
			{"no reason", "break_glass.reason", server.Entering{Organization: w.Org}},
			{"a word for a reason", "break_glass.reason", server.Entering{Organization: w.Org, Reason: "xxxxxxxxxxxxxxxxxxxxxx"}},
			{"too long", "break_glass.hours", server.Entering{Organization: w.Org, Reason: "Amina asked for help", Hours: 25}},
			{"another role", "break_glass.group", server.Entering{Organization: w.Org, Reason: "Amina asked for help", Group: "managers"}},
			{"a branch", "branch.missing", server.Entering{Organization: w.Branch(t, w.Org, "North"), Reason: "Amina asked for help"}},
		} {
			_, err := w.BreakGlass(ctx, me, me.ID, bad.e)
			wantCode(t, bad.name, err, bad.code)
		}
		_, err := w.BreakGlass(ctx, me, w.Outside.ID, server.Entering{Organization: w.Org, Reason: "Amina asked for help"})
		wantCode(t, "for somebody else", err, "break_glass.other")
		_, err = w.BreakGlass(ctx, peopletest.System, w.Outside.ID, server.Entering{Organization: w.Org, Reason: "Amina asked for help"})
		wantCode(t, "who is no server administrator", err, "break_glass.operator")

		visit, err := w.BreakGlass(ctx, me, me.ID, server.Entering{Organization: w.Org, Group: org.Admins, Reason: "Amina asked for help with her import", Hours: 2})
		if err != nil {
			t.Fatal(err)
		}
		if len(w.mails) != 1 || !strings.HasPrefix(w.mails[0], w.email(t, w.Admin.ID)) || !strings.Contains(w.mails[0], "help with her import") {
			t.Errorf("mails %q", w.mails)
		}
		_, err = w.BreakGlass(ctx, me, me.ID, server.Entering{Organization: w.Org, Reason: "Amina asked for help with her import"})
		wantCode(t, "a second one at once", err, "break_glass.running")
		for _, who := range []ledger.Actor{w.Admin, w.Manager, w.Viewer, me} {
			if seen, err := w.Visits(ctx, who, w.Org, false); err != nil || len(seen) != 1 {
				t.Errorf("%s sees %d visits, %v", who.Name, len(seen), err)
			}
		}
		// He acts as an admin, and it is marked.
		if _, err := w.Orgs.CreateTeam(ctx, me, org.Team{Branch: w.Org, Name: "Made by the visitor"}); err != nil {
			t.Fatal(err)
		}
		acts, _, err := feed.Acts(ctx, w.Admin, activity.Query{Org: w.Org, Kind: "team"})
		if err != nil || len(acts) != 1 || acts[0].Glass == nil || acts[0].Glass.Reason != "Amina asked for help with her import" {
			t.Errorf("what he did: %+v, %v", acts, err)
		}
		// He cannot make it last, nor take the notice away.
		_, err = w.Orgs.Join(ctx, me, org.Membership{Person: me.ID, Branch: w.Org, Group: org.Members})
		wantCode(t, "join himself", err, "membership.visitor")
		err = w.World.Ledger.Write(ctx, me, "", func(tx *ledger.Tx) error {
			_, err := account.ServiceTokens.Create(tx, w.Org, "", account.ServiceToken{Name: "mine", Branch: w.Org, Group: org.Admins, Expires: tx.Now.Add(time.Hour), State: account.Active, Hash: "x"})
			return err
		})
		wantCode(t, "make a token", err, "membership.visitor")
		err = w.World.Ledger.Write(ctx, me, "", func(tx *ledger.Tx) error {
			_, err := account.SignInProviders.Create(tx, w.Org, "", account.SignInProvider{Name: "mine", Issuer: "https://login.example.org", Client: "x", Domains: []string{"example.org"}, Factor: account.FactorAll})
			return err
		})
		wantCode(t, "let people in by a provider of his", err, "membership.visitor")
		err = w.World.Ledger.Write(ctx, me, "", func(tx *ledger.Tx) error {
			_, err := access.Grants.Create(tx, w.Org, "", access.Grant{Thing: "site:" + w.Org, Principal: "person:" + me.ID, Role: "admin"})
			return err
		})
		wantCode(t, "give himself a grant", err, "membership.visitor")
		// Nor does he decide who the admins are: not by an invitation, a membership, or a change of one.
		_, _, err = w.Orgs.Invite(ctx, me, org.Invitation{Branch: w.Org, Group: org.Admins})
		wantCode(t, "invite an admin", err, "membership.visitor")
		_, err = w.Orgs.Join(ctx, me, org.Membership{Person: w.Viewer.ID, Branch: w.Org, Group: org.Admins})
		wantCode(t, "let an admin in", err, "membership.visitor")
		for who, group := range map[string]string{w.Manager.ID: org.Admins, w.Admin.ID: org.Members} {
			var held string
			w.Read(t, func(r *ledger.Reader) error {
				_, err := r.Row([]any{&held}, "SELECT id FROM membership WHERE person = $1", who)
				return err
			})
			_, err = w.Orgs.Regroup(ctx, me, held, 0, group)
			wantCode(t, "put somebody into "+group, err, "membership.visitor")
		}
		if _, _, err := w.Orgs.Invite(ctx, me, org.Invitation{Branch: w.Org, Group: org.Managers}); err != nil {
			t.Errorf("invite a manager: %v", err)
		}
		_, err = w.Orgs.Regroup(ctx, w.Admin, visit.Body.Membership, 0, org.Members)
		wantCode(t, "change the visit", err, "membership.visit")
		_, err = w.Acknowledge(ctx, w.Admin, visit.ID)
		wantCode(t, "acknowledge while it lasts", err, "break_glass.running")
		_, err = w.Acknowledge(ctx, me, visit.ID)
		wantCode(t, "acknowledge his own", err, "break_glass.own")
		// A visitor does not keep an organization alive: the true last admin stays.
		var admin string
		w.Read(t, func(r *ledger.Reader) error {
			_, err := r.Row([]any{&admin}, "SELECT id FROM membership WHERE person = $1", w.Admin.ID)
			return err
		})
		wantCode(t, "remove the last admin, a visitor being there", w.Orgs.Leave(ctx, me, admin, 0), "membership.last-admin")

		// Time ends it, and not before its time.
		w.Clock.Advance(2*time.Hour - time.Second)
		if n, err := w.Sweep(ctx); err != nil || n != 0 {
			t.Errorf("a second early: swept %d, %v", n, err)
		}
		w.Clock.Advance(time.Second)
		if n, err := w.Sweep(ctx); err != nil || n != 1 {
			t.Errorf("at the end: swept %d, %v", n, err)
		}
		if _, err := w.Orgs.Tree(ctx, me, w.Org); fault.KindOf(err) != fault.NotFound {
			t.Errorf("after the end he reads the tree: %v", err)
		}
		if n, err := w.Sweep(ctx); err != nil || n != 0 {
			t.Errorf("again: swept %d, %v", n, err)
		}
		_, err = w.Acknowledge(ctx, w.Manager, visit.ID)
		wantCode(t, "acknowledged by a manager", err, "break_glass.denied")
		if seen, _ := w.Visits(ctx, w.Admin, w.Org, false); len(seen) != 1 || seen[0].Body.Ended.IsZero() || seen[0].Body.EndedBy != "" {
			t.Errorf("the notice after the end: %+v", seen)
		}
		if _, err := w.Acknowledge(ctx, w.Admin, visit.ID); err != nil {
			t.Fatal(err)
		}
		if seen, _ := w.Visits(ctx, w.Admin, w.Org, false); len(seen) != 0 {
			t.Errorf("the notice stays: %+v", seen)
		}
		if seen, _ := w.Visits(ctx, w.Admin, w.Org, true); len(seen) != 1 {
			t.Errorf("the visit is forgotten: %+v", seen)
		}
		// Undo brings nothing back, and takes nothing away.
		for _, kind := range []string{"break_glass", "membership"} {
			acts, _, err := feed.Acts(ctx, w.Admin, activity.Query{Org: w.Org, Kind: kind, Limit: 3})
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range acts {
				if a.Entry.ActorKind == "system" && a.Entry.ActorName != "break-glass sweep" {
					continue
				}
				if _, err := feed.Undo(ctx, w.Admin, a.Entry.Number, "let him stay"); err == nil {
					t.Errorf("entry %d (%s %s) of a visit was undone", a.Entry.Number, a.Entry.Verb, kind)
				}
			}
		}
	})
}

func TestBreakGlassEndsEarly(t *testing.T) {
	for name, end := range map[string]func(w *world, v ledger.Doc[server.BreakGlass]) error{
		"by the visitor": func(w *world, v ledger.Doc[server.BreakGlass]) error {
			_, err := w.End(ctx, w.operator, v.ID)
			return err
		},
		"by an admin": func(w *world, v ledger.Doc[server.BreakGlass]) error { _, err := w.End(ctx, w.Admin, v.ID); return err },
		"by an admin who takes the membership away": func(w *world, v ledger.Doc[server.BreakGlass]) error {
			if err := w.Orgs.Leave(ctx, w.Admin, v.Body.Membership, 0); err != nil {
				return err
			}
			_, err := w.Sweep(ctx)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, storetest.SQLite(t)())
			v, err := w.BreakGlass(ctx, w.fresh(w.operator), w.operator.ID, server.Entering{Organization: w.Org, Reason: "Amina asked for help with her import"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Orgs.Tree(ctx, w.operator, w.Org); err != nil {
				t.Fatalf("a visitor does not get in: %v", err)
			}
			_, err = w.End(ctx, w.Viewer, v.ID)
			wantCode(t, "ended by a viewer", err, "break_glass.denied")
			if err := end(w, v); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Orgs.Tree(ctx, w.operator, w.Org); fault.KindOf(err) != fault.NotFound {
				t.Errorf("he is still in: %v", err)
			}
			if seen, _ := w.Visits(ctx, w.Admin, w.Org, false); len(seen) != 1 || seen[0].Body.Ended.IsZero() {
				t.Errorf("the notice: %+v", seen)
			}
		})
	}
}
