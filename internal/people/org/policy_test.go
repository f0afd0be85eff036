package org_test

import (
	"strings"
	"testing"

	"github.com/qanat-water/qanat/internal/base/id"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

// fresh is an actor who has shown the second factor just now.
func fresh(w *peopletest.World, a ledger.Actor) ledger.Actor {
	a.Factor = w.Ledger.Now()
	return a
}

func TestPolicy(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open())
		standing, err := w.Orgs.ReadPolicy(ctx, w.Member, w.Org)
		if err != nil || standing.Revision != 0 || standing.Body.SitePrivacy != "protected" || standing.Body.Share["confidential"] != org.Administrators {
			t.Fatalf("defaults, as a member reads them: %+v, %v", standing, err)
		}
		_, err = w.Orgs.ReadPolicy(ctx, w.Outside, w.Org)
		wantCode(t, "read by an outsider", err, "policy.missing")
		strict := org.Policy{
			SecondFactor: true, SitePrivacy: "private", Export: []string{"admins"},
			Share: map[string]string{"public": "organization", "organization": "organization", "confidential": "administrators"},
		}
		_, err = w.Orgs.WritePolicy(ctx, fresh(w, w.Manager), w.Org, 0, "", strict)
		wantCode(t, "written by a manager", err, "policy.denied")
		branch := w.Branch(t, w.Org, "North")
		north := w.Person(t, "Nora North", branch, org.Admins)
		_, err = w.Orgs.WritePolicy(ctx, fresh(w, north), w.Org, 0, "", strict)
		wantCode(t, "written by a branch's admin", err, "policy.denied")

		made, err := w.Orgs.WritePolicy(ctx, w.Admin, w.Org, 0, "new rules", strict) // more protection needs no second factor
		if err != nil || made.Revision != 1 || made.Body.SitePrivacy != "private" {
			t.Fatalf("%+v, %v", made, err)
		}
		_, err = w.Orgs.WritePolicy(ctx, w.Admin, w.Org, 7, "", strict)
		wantCode(t, "an old revision", err, "policy.stale")

		same := func(change func(*org.Policy)) org.Policy {
			p := strict
			p.Share = map[string]string{"public": "organization", "organization": "organization", "confidential": "administrators"}
			change(&p)
			return p
		}
		for what, change := range map[string]func(*org.Policy){
			"no second factor":      func(p *org.Policy) { p.SecondFactor = false },
			"sites more open":       func(p *org.Policy) { p.SitePrivacy = "protected" },
			"others may export":     func(p *org.Policy) { p.Export = []string{"admins", "viewers"} },
			"all may export":        func(p *org.Policy) { p.Export = nil },
			"answers shared wider":  func(p *org.Policy) { p.Share["confidential"] = "organization" },
			"a class left out":      func(p *org.Policy) { delete(p.Share, "public") },
			"kept for a month only": func(p *org.Policy) { p.Retention = map[string]int{"readings": 30} },
		} {
			_, err := w.Orgs.WritePolicy(ctx, w.Admin, w.Org, 0, "", same(change))
			wantCode(t, what+", with an old second factor", err, "session.step-up")
		}
		for what, change := range map[string]func(*org.Policy){
			"an unknown privacy":  func(p *org.Policy) { p.SitePrivacy = "secret" },
			"an unknown group":    func(p *org.Policy) { p.Export = []string{"bosses"} },
			"an unknown class":    func(p *org.Policy) { p.Share["secret"] = "everyone" },
			"an unknown audience": func(p *org.Policy) { p.Share["public"] = "friends" },
			"days below nothing":  func(p *org.Policy) { p.Retention = map[string]int{"readings": -1} },
			"an unknown data":     func(p *org.Policy) { p.Retention = map[string]int{"dreams": 5} },
			"days without end":    func(p *org.Policy) { p.Retention = map[string]int{"readings": 1 << 30} },
		} {
			_, err := w.Orgs.WritePolicy(ctx, fresh(w, w.Admin), w.Org, 0, "", same(change))
			wantCode(t, what, err, "policy.invalid")
		}
		if _, err := w.Orgs.WritePolicy(ctx, fresh(w, w.Admin), w.Org, 1, "", org.Policy{SitePrivacy: "public", Retention: map[string]int{"logs": 90, "events": 0}}); err != nil {
			t.Fatal(err)
		}
		w.Read(t, func(r *ledger.Reader) error {
			p, err := org.PolicyOf(r, w.Org)
			if err != nil || p.SitePrivacy != "public" || p.Retention["logs"] != 90 || len(p.Retention) != 1 || p.Share["public"] != org.Everyone {
				t.Errorf("what holds now: %+v, %v", p, err)
			}
			return nil
		})

		// It is lowered by an undo as by anything else: with the second factor.
		_, err = w.Ledger.Undo(ctx, w.Admin, "", made.Entry, access.MayUndo)
		wantCode(t, "lowered by an undo of what others have changed since", err, "undo.conflict")
		lower := must(w.Orgs.ReadPolicy(ctx, w.Admin, w.Org)).Entry
		if _, err := w.Ledger.Undo(ctx, w.Admin, "", lower, access.MayUndo); err != nil { // protects more
			t.Fatal(err)
		}
		_, err = w.Ledger.Undo(ctx, w.Admin, "", must(w.Orgs.ReadPolicy(ctx, w.Admin, w.Org)).Entry, access.MayUndo)
		wantCode(t, "an undo undone, with an old second factor", err, "session.step-up")
		_, err = w.Ledger.Undo(ctx, w.Admin, "", made.Entry, access.MayUndo)
		wantCode(t, "the first one undone, with an old second factor", err, "session.step-up")
		if _, err = w.Ledger.Undo(ctx, fresh(w, w.Admin), "", must(w.Orgs.ReadPolicy(ctx, w.Admin, w.Org)).Entry, access.MayUndo); err != nil {
			t.Fatal(err)
		}

		// All of it undone, the defaults hold; then it can be written again.
		for _, number := range []int64{must(w.Orgs.ReadPolicy(ctx, w.Admin, w.Org)).Entry, made.Entry} {
			if _, err := w.Ledger.Undo(ctx, fresh(w, w.Admin), "", number, access.MayUndo); err != nil {
				t.Fatal(err)
			}
		}
		if d := must(w.Orgs.ReadPolicy(ctx, w.Member, w.Org)); d.Revision != 0 || d.Body.SitePrivacy != "protected" {
			t.Errorf("undone: %+v", d)
		}
		if _, err := w.Orgs.WritePolicy(ctx, w.Admin, w.Org, 0, "", strict); err != nil {
			t.Errorf("written after an undo: %v", err)
		}

		// A second one cannot be made beside it.
		err = w.Ledger.Write(ctx, peopletest.System, "", func(tx *ledger.Tx) error {
			_, err := org.Policies.Create(tx, w.Org, id.New(), strict)
			return err
		})
		wantCode(t, "another policy", err, "policy.id")
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestPolicyDecidesWhoExports(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	north := w.Branch(t, w.Org, "North")
	nora := w.Person(t, "Nora North", north, org.Admins)
	device := func(branch string) access.Thing {
		return access.Thing{Kind: "device", ID: id.New(), Org: w.Org, Branch: branch}
	}
	may := func(a ledger.Actor, t access.Thing) (err error) {
		_ = w.Ledger.Read(ctx, func(r *ledger.Reader) error { err = access.RequireExport(r, a, t); return nil })
		return err
	}
	export := func(groups ...string) {
		t.Helper()
		if _, err := w.Orgs.WritePolicy(ctx, fresh(w, w.Admin), w.Org, 0, "", org.Policy{SitePrivacy: "protected", Export: groups}); err != nil {
			t.Fatal(err)
		}
	}
	if err := may(w.Admin, device(north)); err != nil {
		t.Errorf("an admin, without a policy: %v", err)
	}
	if err := may(nora, device(north)); err != nil {
		t.Errorf("a branch's admin, without a policy: %v", err)
	}
	wantCode(t, "a viewer", may(w.Viewer, device(north)), "device.denied")
	export("managers")
	err := may(w.Admin, device(north))
	wantCode(t, "an admin where managers may", err, "policy.export")
	if err == nil || !strings.Contains(err.Error(), "who may export") || !strings.Contains(err.Error(), "managers") {
		t.Errorf("the rule is not named: %v", err)
	}
	wantCode(t, "a manager without the right", may(w.Manager, device(north)), "device.denied")
	export("managers", "admins")
	for _, a := range []ledger.Actor{w.Admin, nora} {
		if err := may(a, device(north)); err != nil {
			t.Errorf("%s: %v", a.Name, err)
		}
	}
	if err := may(nora, device(w.Org)); err == nil {
		t.Error("a branch's admin exports above")
	}
	if err := may(peopletest.System, device(north)); err != nil {
		t.Errorf("a job of the server: %v", err)
	}
}

func TestPolicyAsksSecondFactor(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	asks := func(person string) (asks bool) {
		w.Read(t, func(r *ledger.Reader) (err error) { asks, err = org.AsksSecondFactor(r, person); return err })
		return asks
	}
	if asks(w.Member.ID) {
		t.Error("asked without a policy")
	}
	if _, err := w.Orgs.WritePolicy(ctx, w.Admin, w.Org, 0, "", org.Policy{SecondFactor: true, SitePrivacy: "protected"}); err != nil {
		t.Fatal(err)
	}
	if !asks(w.Member.ID) || asks(w.Outside.ID) {
		t.Error("the organization's people are asked, and nobody else")
	}

	// Sessions that an outside provider has vouched for.
	for person, want := range map[string]string{w.Member.ID: account.NeedsTOTPSetup, w.Outside.ID: account.NeedsNothing} {
		token := account.NewToken()
		w.Write(t, func(tx *ledger.Tx) error {
			if err := account.Start(tx, person, token, account.Visit{}); err != nil {
				return err
			}
			found, err := account.Sessions.List(tx.Reader, "n.token = $1", token.Hash())
			if err == nil {
				_, err = account.Sessions.Update(tx, found[0].ID, 0, func(s *account.Session) error { s.Factor, s.Proved = account.Provider, tx.Now; return nil })
			}
			return err
		})
		if view, err := w.Accounts.Session(ctx, token.Text); err != nil || view.Needs != want {
			t.Errorf("needs %q (%v), want %q", view.Needs, err, want)
		}
	}
}

func TestWorkspaces(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open())
		north := w.Branch(t, w.Org, "North")
		nora := w.Person(t, "Nora North", north, org.Admins)
		mary := "person:" + w.Member.ID
		_, err := w.Orgs.MakeWorkspace(ctx, nora, w.Org, org.Workspace{Name: "Schools"})
		wantCode(t, "made by a branch's admin", err, "workspace.denied")
		_, err = w.Orgs.MakeWorkspace(ctx, w.Outside, w.Org, org.Workspace{Name: "Schools"})
		wantCode(t, "made by an outsider", err, "workspace.missing")
		for what, wrong := range map[string]org.Workspace{
			"workspace.name":    {Name: " "},
			"workspace.invalid": {Name: "a", Colour: "red", People: []string{"everyone", "nobody"}, Presets: []string{"king"}},
			"workspace.unknown": {Name: "a", Surveys: []string{north}}, // a branch is no survey
			"workspace.size":    {Name: "a", Surveys: strings.Split(strings.Repeat("x,", 600)+"y", ",")},
		} {
			if what == "workspace.size" {
				for i := range wrong.Surveys {
					wrong.Surveys[i] = id.New()
				}
			}
			_, err := w.Orgs.MakeWorkspace(ctx, w.Admin, w.Org, wrong)
			wantCode(t, what, err, what)
		}
		made, err := w.Orgs.MakeWorkspace(ctx, w.Admin, w.Org, org.Workspace{Name: "Schools", Colour: "#1B5E78", People: []string{mary, mary, "group:" + north + "/managers"}, Presets: []string{"viewer"}})
		if err != nil || made.Body.Colour != "#1b5e78" || len(made.Body.People) != 2 {
			t.Fatalf("%+v, %v", made, err)
		}
		_, err = w.Orgs.MakeWorkspace(ctx, w.Admin, w.Org, org.Workspace{Name: "schools"})
		if err == nil {
			t.Error("two workspaces of one name")
		}
		inside := must(w.Orgs.LockedInto(ctx, w.Member))
		if len(inside) != 1 || inside[0].Name != "Schools" || inside[0].Org != w.Org || inside[0].Surveys == nil {
			t.Errorf("Mary is in %+v", inside)
		}
		for _, free := range []ledger.Actor{w.Admin, w.Viewer, w.Outside, nora} {
			if inside := must(w.Orgs.LockedInto(ctx, free)); len(inside) != 0 {
				t.Errorf("%s is in %+v", free.Name, inside)
			}
		}
		if _, err := w.Orgs.Workspaces(ctx, w.Outside, w.Org); err == nil {
			t.Error("an outsider lists them")
		}
		if found := must(w.Orgs.Workspaces(ctx, w.Member, w.Org)); len(found) != 0 {
			t.Errorf("a member lists %+v", found)
		}
		_, err = w.Orgs.ChangeWorkspace(ctx, w.Member, made.ID, 0, org.Workspace{Name: "Mine"})
		wantCode(t, "changed from inside", err, "workspace.missing")
		if _, err := w.Orgs.ChangeWorkspace(ctx, w.Admin, made.ID, made.Revision, org.Workspace{Name: "Clinics", People: []string{mary}}); err != nil {
			t.Fatal(err)
		}
		w.Join(t, w.Member.ID, w.Org, org.Admins) // who becomes an admin of the organization is free
		if inside := must(w.Orgs.LockedInto(ctx, w.Member)); len(inside) != 0 {
			t.Errorf("an admin is in %+v", inside)
		}
		if err := w.Orgs.DeleteWorkspace(ctx, w.Admin, made.ID, 0); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLeavingAndMoving(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open())
		north, south := w.Branch(t, w.Org, "North"), w.Branch(t, w.Org, "South")
		ward := w.Branch(t, north, "Ward")
		nora := w.Person(t, "Nora North", north, org.Admins)
		sara := w.Person(t, "Sara South", south, org.Admins)
		membership := func(branch string, actor, person ledger.Actor) error {
			_, err := w.Orgs.Join(ctx, actor, org.Membership{Person: person.ID, Branch: branch, Group: org.Viewers})
			return err
		}

		// Nobody is pulled in by id; what is said is the same as for nobody at all.
		wantCode(t, "an outsider is put in", membership(w.Org, w.Admin, w.Outside), "membership.person")
		wantCode(t, "nobody is put in", membership(w.Org, w.Admin, ledger.Actor{ID: id.New()}), "membership.person")
		if err := membership(ward, nora, sara); err != nil {
			t.Errorf("somebody of the organization, from elsewhere in it: %v", err)
		}

		// A person leaves by himself, whatever the group, but not as the last admin.
		out := w.Join(t, w.Outside.ID, ward, org.Members)
		if err := w.Orgs.Leave(ctx, w.Outside, out, 0); err != nil {
			t.Errorf("leaving: %v", err)
		}
		wantCode(t, "once out, put in again", membership(ward, nora, w.Outside), "membership.person")
		other := w.Join(t, w.Manager.ID, ward, org.Members)
		wantCode(t, "somebody else's membership", w.Orgs.Leave(ctx, w.Member, other, 0), "membership.missing")

		// A branch moves with its people; the rules move with it.
		if err := membership(ward, sara, w.Viewer); err == nil {
			t.Fatal("South's admin puts people into North's ward")
		}
		doc, err := w.Orgs.UpdateBranch(ctx, w.Admin, ward, 0, org.Branch{Name: "Ward", Parent: south})
		if err != nil {
			t.Fatal(err)
		}
		if err := membership(ward, sara, w.Viewer); err != nil {
			t.Errorf("South's admin in the ward that came to South: %v", err)
		}
		wantCode(t, "North's admin in the ward that left", membership(ward, nora, w.Member), "membership.denied")
		_, err = w.Orgs.UpdateBranch(ctx, nora, ward, 0, org.Branch{Name: "Ward", Parent: north})
		wantCode(t, "North's admin takes it back", err, "branch.denied")
		_, err = w.Ledger.Undo(ctx, nora, "", doc.Entry, access.MayUndo)
		wantCode(t, "North's admin undoes the move", err, "branch.denied")
		_, err = w.Orgs.UpdateBranch(ctx, w.Admin, south, 0, org.Branch{Name: "South", Parent: ward})
		wantCode(t, "under itself", err, "branch.cycle")
		other2 := w.Organization(t, "Another Office")
		_, err = w.Orgs.UpdateBranch(ctx, w.Admin, ward, 0, org.Branch{Name: "Ward", Parent: other2})
		if err == nil {
			t.Error("a branch moves to another organization")
		}
		tree := must(w.Orgs.Tree(ctx, w.Admin, w.Org))
		for _, b := range tree.Branches {
			if b.ID == ward && b.Body.FullName != "Test Water Office > South > Ward" {
				t.Errorf("path %q", b.Body.FullName)
			}
		}
	})
}

// A branch without admins of its own has those above it, up to the last one of the
// organization, who stays whatever is tried.
func TestEveryBranchKeepsAnAdmin(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	north := w.Branch(t, w.Org, "North")
	nora := w.Person(t, "Nora North", "", "")
	m := w.Join(t, nora.ID, north, org.Admins)
	if err := w.Orgs.Leave(ctx, nora, m, 0); err != nil {
		t.Fatalf("the branch's own last admin leaves: %v", err)
	}
	if _, err := w.Orgs.CreateBranch(ctx, w.Admin, org.Branch{Name: "Ward", Parent: north}); err != nil {
		t.Errorf("the organization's admin rules the branch: %v", err)
	}

	// Ways to lose the last admin of the organization.
	admins := func() []ledger.Doc[org.Membership] {
		var found []ledger.Doc[org.Membership]
		w.Read(t, func(r *ledger.Reader) (err error) {
			found, err = org.Memberships.List(r, "n.org = $1 AND n.branch = $1 AND n.standing = 'admins'", w.Org)
			return err
		})
		return found
	}
	last := admins()[0]
	wantCode(t, "undo of how the last came in", func() error {
		_, err := w.Ledger.Undo(ctx, peopletest.System, "", last.Entry, access.MayUndo)
		return err
	}(), "membership.last-admin")
	wantCode(t, "by the server itself", w.Orgs.Leave(ctx, peopletest.System, last.ID, 0), "membership.last-admin")
	wantCode(t, "into another branch", w.Ledger.Write(ctx, peopletest.System, "", func(tx *ledger.Tx) error {
		_, err := org.Memberships.Update(tx, last.ID, 0, func(m *org.Membership) error { m.Branch = north; return nil })
		return err
	}), "membership.last-admin")
	wantCode(t, "handed to another person", w.Ledger.Write(ctx, peopletest.System, "", func(tx *ledger.Tx) error {
		_, err := org.Memberships.Update(tx, last.ID, 0, func(m *org.Membership) error { m.Person = w.Member.ID; return nil })
		return err
	}), "membership.last-admin")
	w.Join(t, w.Manager.ID, w.Org, org.Admins)
	if err := w.Accounts.End(ctx, w.Manager, w.Manager.ID, "bye"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "an admin whose account has ended does not count", w.Orgs.Leave(ctx, w.Admin, last.ID, 0), "membership.last-admin")
	if n := len(admins()); n != 2 {
		t.Errorf("%d admins", n)
	}
}

// Nobody gets out of a workspace by leaving the group that it names.
func TestNobodyLeavesAWorkspace(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	var team string
	w.Write(t, func(tx *ledger.Tx) error {
		d, err := org.Teams.Create(tx, w.Org, "", org.Team{Branch: w.Org, Name: "Contractors"})
		team = "team:" + d.ID
		return err
	})
	in := w.Join(t, w.Viewer.ID, w.Org, team)
	w.Write(t, func(tx *ledger.Tx) error {
		_, err := org.Workspaces.Create(tx, w.Org, "", org.Workspace{Name: "Pilot", People: []string{team}})
		return err
	})
	wantCode(t, "leaving the team", w.Orgs.Leave(ctx, w.Viewer, in, 0), "workspace.locked")
	other := ""
	for _, m := range must(w.Orgs.Members(ctx, w.Admin, w.Org)) {
		for _, h := range m.Memberships {
			if m.Account.ID == w.Viewer.ID && h.ID != in {
				other = h.ID
			}
		}
	}
	if err := w.Orgs.Leave(ctx, w.Admin, other, 0); err != nil {
		t.Errorf("taken out of the other group by an admin: %v", err)
	}
	if err := w.Orgs.Leave(ctx, w.Viewer, in, 0); err != nil {
		t.Errorf("leaving altogether: %v", err)
	}
}
