package access_test

import (
	"strings"
	"testing"

	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

// What stands against a right, whatever the chains say, is told by its name.
func TestWhyTellsLimits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open(), nouns...)
		var site, phone, token string
		w.Write(t, func(tx *ledger.Tx) error {
			d, err := sites.Create(tx, w.Org, "", thing{Branch: w.Org, Word: "private"})
			if err != nil {
				return err
			}
			p, err := phones.Create(tx, w.Org, "", thing{Branch: w.Org, Owner: w.Manager.ID})
			if err != nil {
				return err
			}
			k, err := account.ServiceTokens.Create(tx, w.Org, "", account.ServiceToken{
				Name: "sync", Branch: w.Org, Group: org.Admins, Verbs: []string{"see"}, Hash: "x", Expires: tx.Now.AddDate(0, 1, 0), State: account.Active, By: w.Admin.ID,
			})
			if err != nil {
				return err
			}
			site, phone, token = d.ID, p.ID, k.ID
			_, err = org.Workspaces.Create(tx, w.Org, "", org.Workspace{Name: "Narrow", People: []string{"person:" + w.Viewer.ID}})
			return err
		})
		w.Read(t, func(r *ledger.Reader) error {
			at, err := access.Describe(r, "site", site)
			if err != nil {
				return err
			}
			for name, c := range map[string]struct {
				about, limit string
				verb         access.Verb
				allowed      bool
			}{
				"a token within its scope":    {"token:" + token, "", access.See, true},
				"a token beyond its scope":    {"token:" + token, "scope of the token", access.Edit, false},
				"a phone sees":                {"phone:" + phone, "", access.See, true},
				"a phone edits":               {"phone:" + phone, "a phone may only", access.Edit, false},
				"somebody in a workspace":     {"person:" + w.Viewer.ID, "workspace", access.See, false},
				"somebody without a right":    {"person:" + w.Member.ID, "", access.Edit, false},
				"somebody in no organization": {"person:" + w.Outside.ID, "", access.See, false},
			} {
				x, err := access.Why(r, peopletest.System, c.about, c.verb, at)
				if err != nil {
					return err
				}
				told := strings.Join(x.Limits, "; ")
				if x.Allowed != c.allowed || c.limit == "" != (told == "") || !strings.Contains(told, c.limit) || c.allowed != (len(x.Needed) == 0) {
					t.Errorf("%s: allowed %v, limits %q, needed %v", name, x.Allowed, told, x.Needed)
				}
			}
			return nil
		})
	})
}
