package survey_test

import (
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
)

// A phone speaks for its person: neither a program nor somebody inside a workspace
// gets more by setting one up for somebody else.
func TestPhonesAreNoWayOut(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t)())
	token := ledger.Actor{Kind: "token", Name: "a program", Door: "test"}
	w.Write(t, func(tx *ledger.Tx) error {
		d, err := account.ServiceTokens.Create(tx, w.Org, "", account.ServiceToken{Name: "a program", Branch: w.Org, Group: org.Managers, Hash: "x", Expires: tx.Now.Add(time.Hour), State: account.Active})
		token.ID = d.ID
		if err == nil {
			_, err = org.Workspaces.Create(tx, w.Org, "", org.Workspace{Name: "Pilot", People: []string{"person:" + w.Manager.ID}})
		}
		return err
	})
	_, _, err := w.surveys.CreatePhone(ctx, token, w.Org, w.Admin.ID, "phone")
	wantCode(t, "by a program", err, "phone.person")
	_, _, err = w.surveys.CreatePhone(ctx, w.Manager, w.Org, w.Admin.ID, "phone")
	wantCode(t, "inside a workspace, for another", err, "workspace.locked")
	if _, _, err := w.surveys.CreatePhone(ctx, w.Manager, w.Org, w.Manager.ID, "phone"); err != nil {
		t.Errorf("inside a workspace, the own one: %v", err)
	}
}
