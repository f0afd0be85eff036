package response_test

import (
	"io"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/field/response"
	"github.com/qanat-water/qanat/internal/ledger"
)

// TestResponsesOfThePast shows a response and its photo as they stood, to those who may see
// them today in the state that they had.
func TestResponsesOfThePast(t *testing.T) {
	each(t, 1, func(t *testing.T, w *world) {
		before := w.Ledger.Now()
		w.Clock.Advance(time.Hour)
		id := w.receive(t, w.instance, false, w.file(t, "1700000000.jpg", "\x89PNG\r\n\x1a\nrest")).Response
		pending := w.Ledger.Now()
		w.Clock.Advance(time.Hour)
		if _, err := w.responses.Approve(ctx, w.approver, id, 0); err != nil {
			t.Fatal(err)
		}
		final := w.Ledger.Now()
		w.Clock.Advance(time.Hour)
		sees := func(what string, actor ledger.Actor, at time.Time, state string) {
			t.Helper()
			page, err := w.responses.List(ctx, actor, response.Filter{Org: w.Org, At: at})
			if err != nil {
				t.Fatal(err)
			}
			shown, err := w.responses.GetAt(ctx, actor, id, at)
			switch {
			case state == "":
				if len(page.Items) != 0 || fault.KindOf(err) != fault.NotFound {
					t.Errorf("%s: %s lists %d and gets %v, want nothing", what, actor.Name, len(page.Items), err)
				}
			case err != nil || len(page.Items) != 1 || page.Items[0].Body.State != state || shown.Doc.Body.State != state || shown.Form == nil || len(shown.May) != 0:
				t.Errorf("%s: %s lists %+v and gets %+v, %v; want %s", what, actor.Name, page.Items, shown.Doc.Body.State, err, state)
			}
			content, _, err := w.responses.FileAt(ctx, actor, id, "1700000000.jpg", at)
			if (err == nil) != (state != "") {
				t.Errorf("%s: the photo of %s: %v", what, actor.Name, err)
			}
			if err == nil {
				if text, err := io.ReadAll(content); err != nil || len(text) == 0 {
					t.Errorf("%s: the photo has %d bytes, %v", what, len(text), err)
				}
				content.Close()
			}
		}
		look := func(what string) {
			t.Helper()
			sees(what+", before it came", w.Admin, before, "")
			sees(what+", pending", w.Admin, pending, response.Pending)
			sees(what+", final", w.Admin, final, response.Final)
			sees(what+", pending, for who sees only final ones", w.looker, pending, "")
			sees(what+", final, for who sees only final ones", w.looker, final, response.Final)
			sees(what+", final", w.Outside, final, "")
		}
		look("while it is there")
		if err := w.responses.Delete(ctx, w.boss, id, 0, "a test"); err != nil {
			t.Fatal(err)
		}
		look("deleted")
	})
}
