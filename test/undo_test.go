package test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/qanat-water/qanat/test/rig"
)

// undoRun is an undo, or its preview, on its way or at its end.
type undoRun struct {
	ID, State, Message string
	Result             struct {
		Act                                       int64
		Total, Done, Count, Already, Kept, Denied int
		Tally                                     []struct {
			Kind, Verb   string
			Total, Count int
		}
	}
}

// undoing starts an undo or a preview and waits for its end.
func undoing(t *testing.T, c *rig.Client, path string, asked map[string]any) undoRun {
	t.Helper()
	run := rig.Post[undoRun](c, path, asked)
	for deadline := time.Now().Add(time.Minute); run.State == "looking" || run.State == "running"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s goes on for ever: %+v", path, run)
		}
		run = rig.Get[undoRun](c, "/undo/"+run.ID)
	}
	if run.State == "failed" {
		t.Fatalf("%s failed: %s", path, run.Message)
	}
	return run
}

// TestUndoOfARange: a second admin takes back what the first did with a stolen session, by API; a restart of the server
// in between costs nothing but the progress bar.
func TestUndoOfARange(t *testing.T) {
	rig.Engines(t, func(t *testing.T, database string) {
		s := rig.New(t, database)
		second := s.Invite(s.Org, "admins", "Second Admin", "second@example.org")
		viewer := s.Invite(s.Org, "viewers", "Vera Viewer", "vera@example.org")
		const sites = 20
		var made []rig.Doc[site]
		for i := range sites {
			made = append(made, rig.Post[rig.Doc[site]](second, "/sites", map[string]any{"org": s.Org, "body": site{Type: "water_point", Name: fmt.Sprint("Well ", i), Branch: s.Org, Privacy: "protected"}}))
		}
		since := time.Now().Add(-time.Second)
		for i, d := range made { // the thief
			if i%2 == 0 {
				d.Body.Name = "gone"
				must(s.Admin.Send(http.MethodPut, "/sites/"+d.ID, map[string]any{"body": d.Body}))(t)
			}
			if answer := must(s.Admin.Send(http.MethodDelete, "/sites/"+d.ID, nil))(t); answer.Status >= 300 {
				t.Fatalf("delete: %d %s", answer.Status, answer.Body)
			}
		}
		left := func() int { return len(rig.Get[rig.List[rig.Doc[site]]](second, "/sites?org="+s.Org).Items) }
		asked := map[string]any{"org": s.Org, "actor": s.Admin.ID, "since": since, "kinds": []string{"site"}}

		var p *rig.Problem
		if err := viewer.Call(http.MethodPost, "/undo/preview", asked, nil); !asProblem(err, &p) || p.Status != http.StatusForbidden {
			t.Errorf("a viewer previews an undo: %v", err)
		}
		if err := second.Call(http.MethodPost, "/undo", map[string]any{"org": s.Org}, nil); !asProblem(err, &p) || p.Status != http.StatusUnprocessableEntity && p.Status != http.StatusBadRequest {
			t.Errorf("an undo of everybody's changes: %v", err)
		}
		preview := undoing(t, second, "/undo/preview", asked)
		if left() != 0 || preview.Result.Act != 0 || preview.Result.Count != preview.Result.Total {
			t.Errorf("preview: %+v with %d sites", preview, left())
		}
		asked["reason"] = "stolen session"
		run := undoing(t, second, "/undo", asked)
		if run.Result.Count != preview.Result.Count || run.Result.Kept+run.Result.Denied != 0 || left() != sites {
			t.Errorf("undo: %+v with %d sites; the preview: %+v", run, left(), preview)
		}
		if err := viewer.Call(http.MethodGet, "/undo/"+run.ID, nil, nil); !asProblem(err, &p) || p.Status != http.StatusNotFound {
			t.Errorf("a viewer reads the undo: %v", err)
		}

		s.Kill()
		s.Start()
		if err := second.Call(http.MethodGet, "/undo/"+run.ID, nil, nil); !asProblem(err, &p) || p.Status != http.StatusNotFound {
			t.Errorf("an undo of before the restart: %v", err)
		}
		if again := undoing(t, second, "/undo", asked); again.Result.Count != 0 || again.Result.Already != run.Result.Count {
			t.Errorf("the same undo after a restart: %+v", again)
		}
		back := undoing(t, second, "/undo", map[string]any{"org": s.Org, "act": run.Result.Act})
		if back.Result.Count != sites || left() != 0 {
			t.Errorf("undoing the undo: %+v with %d sites", back, left())
		}
	})
}
