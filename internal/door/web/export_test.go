package web

import (
	"context"
	"testing"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
)

func TestExportsLeaveReadersForOthers(t *testing.T) {
	s, _ := newServer(House{})
	for range maxExports {
		s.exports <- struct{}{} // downloads that their clients take slowly
	}
	_, err := s.export(context.Background(), ledger.System("test"), &ByID{})
	if f := fault.From(err); err == nil || f.Code != "export.busy" || f.Wait == 0 {
		t.Errorf("one more: %v, want to be told when to come again", err)
	}
}
