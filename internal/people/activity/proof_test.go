package activity_test

import (
	"context"
	"strings"
	"testing"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/activity"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

// TestAProofIsForWhoMaySeeTheEntry compares, for people of every group and every
// entry there is, who gets a proof with who is shown the entry: the same, and the
// same words when not.
func TestAProofIsForWhoMaySeeTheEntry(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		ctx := context.Background()
		w := peopletest.New(t, open())
		w.Write(t, func(tx *ledger.Tx) error {
			_, err := org.Teams.Create(tx, w.Org, "", org.Team{Branch: w.Org, Name: "Our team"})
			return err
		})
		service := &activity.Service{Ledger: w.Ledger}
		given, refused := 0, 0
		for name, who := range map[string]ledger.Actor{"admin": w.Admin, "manager": w.Manager, "viewer": w.Viewer, "member": w.Member, "outside": w.Outside} {
			for number := int64(1); ; number++ {
				_, seen := service.Entry(ctx, who, number)
				file, err := service.Proof(ctx, who, number)
				switch {
				case (err == nil) != (seen == nil) || err != nil && err.Error() != seen.Error():
					t.Errorf("%s, entry %d: seen %v, proof %v", name, number, seen, err)
				case err == nil && !strings.HasPrefix(string(file), "c2sp.org/tlog-proof@v1\nextra "):
					t.Errorf("%s, entry %d: %.60q", name, number, file)
				case err == nil:
					given++
				case fault.KindOf(err) != fault.NotFound:
					t.Errorf("%s, entry %d: %v", name, number, err)
				default:
					refused++
				}
				if _, err := w.Ledger.ProveEntry(ctx, number); err != nil {
					break // there are no more
				}
			}
		}
		if given == 0 || refused < 10 {
			t.Errorf("%d proofs given, %d refused: this tests little", given, refused)
		}
	})
}
