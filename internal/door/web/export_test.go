package web

import (
	"context"
	"fmt"
	"testing"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
)

func TestExportsLeaveReadersForOthers(t *testing.T) {
	s, _ := newServer(House{})
	for i := range maxExports {
		if _, ok := s.exports.Take(fmt.Sprint("person ", i)); !ok { // downloads that their clients take slowly
			t.Fatalf("archive %d of %d was refused", i+1, maxExports)
		}
	}
	_, err := s.export(context.Background(), ledger.System("test"), &ByID{})
	if f := fault.From(err); err == nil || f.Code != "export.busy" || f.Wait == 0 {
		t.Errorf("one more: %v, want to be told when to come again", err)
	}
}
