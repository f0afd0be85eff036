package activity_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/activity"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

var ctx = context.Background()

func end(t *testing.T, s *activity.Service, who ledger.Actor, run activity.Run, err error) activity.Run {
	t.Helper()
	for ; err == nil && run.Finished.IsZero(); run, err = s.Run(ctx, who, run.ID) {
		time.Sleep(time.Millisecond)
	}
	if err != nil {
		t.Fatal(fault.Cause(err))
	}
	return run
}

// A thief makes teams and takes people out; an order that the rules refuse at first is found.
func TestUndoRangeOfPeople(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	s := &activity.Service{Ledger: w.Ledger}
	second := w.Person(t, "Second Admin", w.Org, org.Admins)
	upper := w.Branch(t, w.Org, "Upper")
	write := func(who ledger.Actor, fn func(tx *ledger.Tx) error) {
		t.Helper()
		if err := w.Ledger.Write(ctx, who, "", fn); err != nil {
			t.Fatal(fault.Cause(err))
		}
	}
	write(w.Admin, func(tx *ledger.Tx) error { // as a thief
		b, err := org.Branches.Create(tx, w.Org, "", org.Branch{Name: "Mine", Parent: upper})
		for i := range 3 {
			if err == nil {
				_, err = org.Teams.Create(tx, w.Org, "", org.Team{Branch: b.ID, Name: fmt.Sprint("Team ", i)})
			}
		}
		if err == nil { // last, so that it is undone first, while teams stand in it
			_, err = org.Branches.Update(tx, b.ID, 0, func(b *org.Branch) error { b.Name = "Still mine"; return nil })
		}
		return err
	})
	stolen := activity.Range{Org: w.Org, Actor: w.Admin.ID}
	first, err := s.PreviewUndo(ctx, second, stolen)
	if err != nil {
		t.Fatal(err)
	}
	run, err := s.PreviewUndo(ctx, second, stolen) // ends the first
	end(t, s, second, run, err)
	end(t, s, second, first, nil)
	run, err = s.UndoRange(ctx, second, stolen, "")
	done := end(t, s, second, run, err)
	if done.State != activity.Done || done.Result.Count != 5 || done.Result.Done != 5 || len(done.Result.Conflicts) != 0 {
		t.Errorf("undone: %+v", done)
	}
	if _, err := s.Run(ctx, w.Outside, run.ID); fault.KindOf(err) != fault.NotFound {
		t.Errorf("an outsider reads the run: %v", err)
	}
	s.Close()
	if _, err := s.UndoRange(ctx, second, stolen, ""); err == nil {
		t.Error("an undo began after the end")
	}
}
