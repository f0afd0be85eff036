package org_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/id"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

var ctx = context.Background()

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	if err == nil || fault.From(err).Code != code {
		t.Errorf("%s: got %v (%s), want %s", what, err, fault.Cause(err), code)
	}
}

func TestLastAdminStays(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open())
		members, err := w.Orgs.Members(ctx, w.Admin, w.Org)
		if err != nil || len(members) != 4 {
			t.Fatalf("members: %v, %v", members, err)
		}
		mine := members[0].Memberships[0]
		wantCode(t, "the last admin leaves", w.Orgs.Leave(ctx, w.Admin, mine.ID, 0), "membership.last-admin")
		_, err = w.Orgs.Regroup(ctx, w.Admin, mine.ID, 0, org.Members)
		wantCode(t, "the last admin is demoted", err, "membership.last-admin")
		wantCode(t, "the last admin's account ends", w.Accounts.End(ctx, w.Admin, w.Admin.ID, "bye"), "membership.last-admin")
		wantCode(t, "the last admin's account ends by the server", w.Accounts.End(ctx, peopletest.System, w.Admin.ID, "bye"), "membership.last-admin")

		// A second admin comes; the first leaves; undoing the second's coming is refused.
		var second int64
		err = w.Ledger.Write(ctx, fresh(w, w.Admin), "", func(tx *ledger.Tx) error {
			m, err := org.Join(tx, org.Membership{Person: w.Manager.ID, Branch: w.Org, Group: org.Admins})
			second = m.Entry
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Orgs.Leave(ctx, w.Admin, mine.ID, 0); err != nil {
			t.Fatalf("the first admin leaves a second behind: %v", err)
		}
		_, err = w.Ledger.Undo(ctx, w.Manager, "", second, access.MayUndo)
		wantCode(t, "the coming of the last admin is undone", err, "membership.last-admin")
	})
}

func TestTreeRules(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	north, err := w.Orgs.CreateBranch(ctx, w.Admin, org.Branch{Name: "North", Parent: w.Org})
	if err != nil {
		t.Fatal(err)
	}
	ward, err := w.Orgs.CreateBranch(ctx, w.Admin, org.Branch{Name: "Ward 1", Parent: north.ID})
	if err != nil {
		t.Fatal(err)
	}
	other := w.Organization(t, "Another")
	for _, test := range []struct {
		name string
		do   func() error
		code string
	}{
		{"under itself", func() error {
			_, err := w.Orgs.UpdateBranch(ctx, w.Admin, north.ID, 0, org.Branch{Name: "North", Parent: north.ID})
			return err
		}, "branch.cycle"},
		{"under its own branch", func() error {
			_, err := w.Orgs.UpdateBranch(ctx, w.Admin, north.ID, 0, org.Branch{Name: "North", Parent: ward.ID})
			return err
		}, "branch.cycle"},
		{"into another organization", func() error {
			_, err := w.Orgs.UpdateBranch(ctx, peopletest.System, north.ID, 0, org.Branch{Name: "North", Parent: other})
			return err
		}, "branch.unknown"},
		{"same name beside it, in capitals", func() error {
			_, err := w.Orgs.CreateBranch(ctx, w.Admin, org.Branch{Name: "NORTH", Parent: w.Org})
			return err
		}, "branch.taken"},
		{"no name", func() error {
			_, err := w.Orgs.CreateBranch(ctx, w.Admin, org.Branch{Name: " ", Parent: w.Org})
			return err
		}, "branch.name"},
		{"by a manager", func() error {
			_, err := w.Orgs.CreateBranch(ctx, w.Manager, org.Branch{Name: "South", Parent: w.Org})
			return err
		}, "branch.denied"},
		{"by an outsider", func() error {
			_, err := w.Orgs.CreateBranch(ctx, w.Outside, org.Branch{Name: "South", Parent: w.Org})
			return err
		}, "branch.missing"},
		{"delete with a branch in it", func() error { return w.Orgs.DeleteBranch(ctx, w.Admin, north.ID, 0) }, "branch.used"},
		{"an outsider reads the tree", func() error { _, err := w.Orgs.Tree(ctx, w.Outside, w.Org); return err }, "branch.missing"},
	} {
		wantCode(t, test.name, test.do(), test.code)
	}
	tree, err := w.Orgs.Tree(ctx, w.Member, w.Org)
	if err != nil || len(tree.Branches) != 2 || strings.Join(tree.Branches[1].Body.Path, " ") != w.Org+" "+north.ID {
		t.Fatalf("tree as a member sees it: %+v, %v", tree, err)
	}
	if err := w.Orgs.DeleteBranch(ctx, w.Admin, ward.ID, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Orgs.UpdateBranch(ctx, w.Admin, north.ID, 1, org.Branch{Name: "Northern region", Parent: w.Org}); err != nil {
		t.Fatal(err)
	}
}

// A branch admin rules below, not beside or above.
func TestBranchAdminReach(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	north, south := w.Branch(t, w.Org, "North"), w.Branch(t, w.Org, "South")
	ward := w.Branch(t, north, "Ward")
	boss := w.Person(t, "Nora North", north, org.Admins)
	join := func(branch string) error {
		_, err := w.Orgs.Join(ctx, boss, org.Membership{Person: w.Member.ID, Branch: branch, Group: org.Viewers})
		return err
	}
	if err := join(ward); err != nil {
		t.Errorf("below: %v", err)
	}
	wantCode(t, "beside", join(south), "membership.denied")
	wantCode(t, "above", join(w.Org), "membership.denied")
}

// Undo gives nobody what he could not do by hand.
func TestUndoIsNoBackDoor(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	north, south := w.Branch(t, w.Org, "North"), w.Branch(t, w.Org, "South")
	ward := w.Branch(t, north, "Ward")
	boss := w.Person(t, "Wanda Ward", ward, org.Admins)
	last := func(doc string) (entry int64) {
		w.Read(t, func(r *ledger.Reader) error {
			entries, err := r.Entries(ledger.Filter{Doc: doc, Limit: 1})
			entry = entries[0].Number
			return err
		})
		return entry
	}
	undo := func(who ledger.Actor, entry int64) error {
		_, err := w.Ledger.Undo(ctx, who, "", entry, access.MayUndo)
		return err
	}

	// A dismissed admin does not come back by undoing the dismissal.
	second := w.Person(t, "Sam Second", "", "")
	m := w.Join(t, second.ID, w.Org, org.Admins)
	if err := w.Orgs.Leave(ctx, w.Admin, m, 0); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "the dismissed undoes the dismissal", undo(second, last(m)), "membership.denied")
	if err := undo(w.Admin, last(m)); err != nil {
		t.Errorf("an admin undoes the dismissal: %v", err)
	}

	// The admin of a branch does not undo its move by an admin of both places.
	if _, err := w.Orgs.UpdateBranch(ctx, w.Admin, ward, 0, org.Branch{Name: "Ward", Parent: south}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "the branch's own admin undoes its move", undo(boss, last(ward)), "branch.denied")
	if err := undo(w.Admin, last(ward)); err != nil {
		t.Errorf("an admin of both places undoes the move: %v", err)
	}
}

func TestInvitation(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open())
		visit := account.Visit{Door: "web", From: "192.0.2.7"}
		token, _, err := w.Orgs.Invite(ctx, w.Admin, org.Invitation{Branch: w.Org, Group: org.Members, Name: "Esther", Email: "Esther@Example.org"})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = w.Orgs.Invite(ctx, w.Manager, org.Invitation{Branch: w.Org, Group: org.Admins})
		wantCode(t, "a manager invites", err, "invitation.denied")
		look, err := w.Orgs.Look(ctx, token.Text)
		if err != nil || look.Organization != "Test Water Office" || look.Group != org.Members || look.Existing {
			t.Fatalf("look: %+v, %v", look, err)
		}
		_, _, err = w.Orgs.Accept(ctx, token.Text, org.Answer{Name: "Esther", Email: "esther@example.org", Password: "water2026"}, visit)
		wantCode(t, "a password of words from here", err, "password.common")
		session, view, err := w.Orgs.Accept(ctx, token.Text, org.Answer{Name: "Esther", Email: "esther@example.org", Password: "sorghum-kettle-9"}, visit)
		if err != nil || view.Needs != account.NeedsTOTPSetup || session.Text == "" {
			t.Fatalf("accept: %+v, %v", view, err)
		}
		_, _, err = w.Orgs.Accept(ctx, token.Text, org.Answer{Name: "Eve", Email: "eve@example.org", Password: "sorghum-kettle-9"}, visit)
		wantCode(t, "used twice", err, "invitation.missing")
		mine, err := w.Orgs.Organizations(ctx, ledger.Actor{ID: view.Account.ID, Kind: "account"})
		if err != nil || len(mine) != 1 || mine[0].ID != w.Org {
			t.Errorf("organizations of the invited: %v, %v", mine, err)
		}

		// The same person is invited elsewhere and proves it with the password.
		other := w.Organization(t, "Second office")
		w.Join(t, w.Admin.ID, other, org.Admins)
		again, _, err := w.Orgs.Invite(ctx, w.Admin, org.Invitation{Branch: other, Group: org.Viewers, Email: "esther@example.org"})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = w.Orgs.Accept(ctx, again.Text, org.Answer{Email: "esther@example.org", Password: "something else"}, visit)
		wantCode(t, "another's address without the password", err, "sign-in.wrong")
		if _, view, err := w.Orgs.Accept(ctx, again.Text, org.Answer{Email: "esther@example.org", Password: "sorghum-kettle-9"}, visit); err != nil || view.Account.Name != "Esther" {
			t.Fatalf("existing account: %+v, %v", view, err)
		}

		// A sign-in link, which an admin of one of the two organizations alone cannot make.
		partner := w.Person(t, "Peter Partner", other, org.Admins)
		_, err = w.Orgs.SignInLink(ctx, partner, other, view.Account.ID)
		wantCode(t, "link beyond reach", err, "invitation.reach")
		_, err = w.Orgs.SignInLink(ctx, w.Admin, w.Org, view.Account.ID)
		wantCode(t, "link with an old second factor", err, "session.step-up")
		link, err := w.Orgs.SignInLink(ctx, fresh(w, w.Admin), w.Org, view.Account.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, v, err := w.Orgs.Accept(ctx, link.Text, org.Answer{}, visit); err != nil || v.Account.ID != view.Account.ID || v.Needs != account.NeedsTOTPSetup {
			t.Fatalf("link: %+v, %v", v, err)
		}

		// A new password by a link ends what was opened with the old one.
		stolen, _, err := w.Accounts.SignIn(ctx, "esther@example.org", "sorghum-kettle-9", visit)
		if err != nil {
			t.Fatal(err)
		}
		reset, err := w.Orgs.SignInLink(ctx, fresh(w, w.Admin), w.Org, view.Account.ID)
		if err != nil {
			t.Fatal(err)
		}
		opened, _, err := w.Orgs.Accept(ctx, reset.Text, org.Answer{Password: "millet-lantern-7"}, visit)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Accounts.Session(ctx, stolen.Text)
		wantCode(t, "a session from before the new password", err, "session.none")
		if _, err := w.Accounts.Session(ctx, opened.Text); err != nil {
			t.Errorf("the session of the link itself: %v", err)
		}

		// One that was made before its person came to belong to another organization too.
		late := w.Person(t, "Lena Later", w.Org, org.Members)
		early, err := w.Orgs.SignInLink(ctx, fresh(w, w.Admin), w.Org, late.ID)
		if err != nil {
			t.Fatal(err)
		}
		w.Join(t, late.ID, w.Organization(t, "Third Office"), org.Admins)
		_, _, err = w.Orgs.Accept(ctx, early.Text, org.Answer{Password: "sorghum-kettle-9"}, visit)
		wantCode(t, "a link that has come to reach too far", err, "invitation.missing")

		// Expired, and made by somebody who is no admin any more.
		old, _, err := w.Orgs.Invite(ctx, w.Admin, org.Invitation{Branch: w.Org, Group: org.Members})
		if err != nil {
			t.Fatal(err)
		}
		w.Clock.Advance(8 * 24 * time.Hour)
		_, err = w.Orgs.Look(ctx, old.Text)
		wantCode(t, "expired", err, "invitation.missing")
		gone := w.Person(t, "Gone Admin", "", "")
		m := w.Join(t, gone.ID, w.Org, org.Admins)
		after, _, err := w.Orgs.Invite(ctx, fresh(w, gone), org.Invitation{Branch: w.Org, Group: org.Admins})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Orgs.Leave(ctx, w.Admin, m, 0); err != nil {
			t.Fatal(err)
		}
		_, _, err = w.Orgs.Accept(ctx, after.Text, org.Answer{Name: "Eve", Email: "eve@example.org", Password: "sorghum-kettle-9"}, visit)
		wantCode(t, "the inviter is no admin any more", err, "invitation.missing")
	})
}

func TestBootstrap(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	_, _, err := w.Orgs.Bootstrap(ctx, w.Admin, "Mine", "Eve", "eve@example.org")
	wantCode(t, "by a person", err, "organization.denied")
	organization, token, err := w.Orgs.Bootstrap(ctx, ledger.System("qanat init"), "Chikwawa Water", "Ruth", "ruth@example.org")
	if err != nil {
		t.Fatal(err)
	}
	_, view, err := w.Orgs.Accept(ctx, token.Text, org.Answer{Name: "Ruth", Email: "ruth@example.org", Password: "sorghum-kettle-9"}, account.Visit{})
	if err != nil {
		t.Fatal(err)
	}
	tree, err := w.Orgs.Tree(ctx, ledger.Actor{ID: view.Account.ID, Kind: "account"}, organization)
	if err != nil || tree.Organization.Body.Name != "Chikwawa Water" {
		t.Fatalf("%+v, %v", tree, err)
	}
}

// A session that was stolen without the second factor makes no admins, who would have one of their own.
func TestAdminsAreMadeWithASecondFactor(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	north := w.Branch(t, w.Org, "North")
	held := w.Join(t, w.Manager.ID, north, org.Members)
	token := ledger.Actor{Kind: "token", Name: "a program", Door: "test"}
	w.Write(t, func(tx *ledger.Tx) error {
		d, err := account.ServiceTokens.Create(tx, w.Org, "", account.ServiceToken{Name: "a program", Branch: w.Org, Group: org.Admins, Verbs: []string{"see", "create", "edit"}, Hash: "x", Expires: tx.Now.Add(time.Hour), State: account.Active})
		token.ID = d.ID
		return err
	})
	for what, make := range map[string]func(by ledger.Actor, branch, group string) error{
		"invite": func(by ledger.Actor, branch, group string) error {
			if by.Kind == "token" {
				by = w.Admin
			}
			_, _, err := w.Orgs.Invite(ctx, by, org.Invitation{Branch: branch, Group: group})
			return err
		},
		"join": func(by ledger.Actor, branch, group string) error {
			_, err := w.Orgs.Join(ctx, by, org.Membership{Person: w.Viewer.ID, Branch: branch, Group: group})
			return err
		},
		"regroup": func(by ledger.Actor, _, group string) error {
			_, err := w.Orgs.Regroup(ctx, by, held, 0, group)
			return err
		},
	} {
		for _, by := range []ledger.Actor{w.Admin, token} {
			wantCode(t, what+" by "+by.Kind, make(by, north, org.Admins), "session.step-up")
		}
		if err := make(w.Admin, north, org.Managers); err != nil {
			t.Errorf("%s a manager: %v", what, err)
		}
		if err := make(fresh(w, w.Admin), north, org.Admins); err != nil {
			t.Errorf("%s an admin, with a fresh second factor: %v", what, err)
		}
	}
}

// A token that acts as an admin says who belongs where only if its scope names that.
func TestTokensChangeMembershipsByName(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	north := w.Branch(t, w.Org, "North")
	held := w.Join(t, w.Manager.ID, north, org.Members)
	for _, test := range []struct {
		verbs         []string
		join, regroup bool
	}{
		{nil, false, false},
		{[]string{"see", "edit"}, false, true},
		{[]string{"see", "create"}, true, false},
	} {
		token := ledger.Actor{Kind: "token", Name: "a program", Door: "test"}
		w.Write(t, func(tx *ledger.Tx) error {
			d, err := account.ServiceTokens.Create(tx, w.Org, "", account.ServiceToken{Name: "a program", Branch: w.Org, Group: org.Admins, Verbs: test.verbs, Hash: id.New(), Expires: tx.Now.Add(time.Hour), State: account.Active})
			token.ID = d.ID
			return err
		})
		if _, err := w.Orgs.Join(ctx, token, org.Membership{Person: w.Viewer.ID, Branch: north, Group: org.Managers}); (err == nil) != test.join {
			t.Errorf("verbs %q, join: %v", test.verbs, err)
		}
		if _, err := w.Orgs.Regroup(ctx, token, held, 0, org.Managers); (err == nil) != test.regroup {
			t.Errorf("verbs %q, regroup: %v", test.verbs, err)
		}
	}
}
