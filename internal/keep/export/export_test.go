package export_test

import (
	"context"
	"testing"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/keep/export"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

// Everything leaves with a second factor shown just now; what it is, test/job_export_test.go reads.
func TestBeginAsksForTheSecondFactor(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)(), &export.Downloads)
	s := &export.Service{Ledger: w.Ledger}
	if err := s.Begin(context.Background(), w.Admin, w.Org, ""); fault.From(err).Code != "session.step-up" {
		t.Errorf("with an old second factor: %v", err)
	}
	fresh := w.Admin
	fresh.Factor = w.Ledger.Now()
	if err := s.Begin(context.Background(), fresh, w.Org, ""); err != nil {
		t.Error(err)
	}
	fresh = w.Manager
	fresh.Factor = w.Ledger.Now()
	if err := s.Begin(context.Background(), fresh, w.Org, ""); err == nil {
		t.Error("a manager exports everything")
	}
}
