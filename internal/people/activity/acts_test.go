package activity_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/activity"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

// diary writes acts of several people through several doors, and gives what each
// did: the reasons of the acts in their order.
func diary(t *testing.T, w *peopletest.World) (reasons []string) {
	ctx := context.Background()
	office, phone := "198.51.100.7", "203.0.113.9"
	for n := range 30 {
		w.Clock.Advance(time.Hour)
		a := w.Manager
		a.Door, a.From = "web", office
		if n%3 == 0 {
			a = w.Admin
			a.Door, a.From = "web", phone
		}
		if n%5 == 0 {
			a = ledger.Actor{ID: "0190a000-0000-7000-8000-000000000001", Kind: "token", Name: "nightly", Door: "api", From: office}
		}
		reason := fmt.Sprintf("Entry %d of the diary", n)
		err := w.Ledger.Write(ctx, a, reason, func(tx *ledger.Tx) error {
			made, err := note.Create(tx, w.Org, "", noted{Text: "one"})
			if err != nil || n%4 != 0 {
				return err
			}
			_, err = note.Update(tx, made.ID, 0, func(b *noted) error { b.Text = "two"; return nil })
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		reasons = append(reasons, reason)
	}
	return reasons
}

func TestFilters(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open(), append(activity.Nouns(), &note)...)
		began := w.Clock.Now()
		reasons := diary(t, w)
		service := &activity.Service{Ledger: w.Ledger}
		hour := func(n int) time.Time { return began.Add(time.Duration(n+1) * time.Hour) }
		for _, test := range []struct {
			name string
			q    activity.Query
			want func(n int) bool
		}{
			{"everything", activity.Query{Kind: "note"}, func(int) bool { return true }},
			{"a person", activity.Query{Kind: "note", Actor: w.Admin.ID}, func(n int) bool { return n%3 == 0 && n%5 != 0 }},
			{"tokens", activity.Query{ActorKind: "token"}, func(n int) bool { return n%5 == 0 }},
			{"a door", activity.Query{Door: "api"}, func(n int) bool { return n%5 == 0 }},
			{"a verb", activity.Query{Kind: "note", Verb: "update"}, func(n int) bool { return n%4 == 0 }},
			{"a span of time", activity.Query{Kind: "note", Since: hour(3), Until: hour(7)}, func(n int) bool { return n >= 3 && n <= 7 }},
			{"a span of no time", activity.Query{Kind: "note", Since: hour(3).Add(time.Minute), Until: hour(3).Add(2 * time.Minute)}, func(int) bool { return false }},
			{"an address", activity.Query{Address: "203.0.113.9"}, func(n int) bool { return n%3 == 0 && n%5 != 0 }},
			{"the beginning of an address", activity.Query{Address: "198.51."}, func(n int) bool { return n%3 != 0 || n%5 == 0 }},
			{"words of the reason", activity.Query{Text: "entry 2"}, func(n int) bool { return n == 2 || n >= 20 && n < 30 }},
			{"all at once", activity.Query{Kind: "note", Verb: "update", Actor: w.Manager.ID, Door: "web", Address: office(), Text: "DIARY", Since: hour(1), Until: hour(20)}, func(n int) bool { return n%4 == 0 && n%3 != 0 && n%5 != 0 && n >= 1 && n <= 20 }},
			{"nobody", activity.Query{Actor: "nobody"}, func(int) bool { return false }},
		} {
			test.q.Org = w.Org
			var want []string
			for n := len(reasons) - 1; n >= 0; n-- {
				if test.want(n) {
					want = append(want, reasons[n])
				}
			}
			for _, limit := range []int{100, 3, 1} { // in one page, and in many: the same, each act once
				test.q.Limit, test.q.Before = limit, 0
				var got []string
				for {
					acts, next, err := service.Acts(context.Background(), w.Admin, test.q)
					if err != nil || len(acts) > limit {
						t.Fatal(len(acts), err)
					}
					for _, a := range acts {
						got = append(got, a.Entry.Reason)
					}
					if next == 0 {
						break
					}
					if test.q.Before != 0 && next >= test.q.Before {
						t.Fatalf("%s: the cursor goes back from %d to %d", test.name, test.q.Before, next)
					}
					test.q.Before = next
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s, %d a page: %q, want %q", test.name, limit, got, want)
				}
			}
			lines, _ := all(t, service, w.Admin, test.q)
			acts := map[string]bool{}
			for _, l := range lines {
				acts[l.Reason] = true
			}
			if len(acts) != len(want) {
				t.Errorf("%s: the export has %d acts, want %d", test.name, len(acts), len(want))
			}
		}
	})
}

func office() string { return "198.51.100.7" }

// all reads an export to its end.
func all(t *testing.T, s *activity.Service, actor ledger.Actor, q activity.Query) (lines []activity.Line, last int64) {
	t.Helper()
	q.Before = 0
	for more := true; more; {
		var page []activity.Line
		var err error
		if page, last, more, err = s.Batch(context.Background(), actor, q, last); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, page...)
	}
	return lines, last
}

func TestALargeActIsReadWhole(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open(), append(activity.Nouns(), &note)...)
		service := &activity.Service{Ledger: w.Ledger}
		w.Write(t, func(tx *ledger.Tx) error {
			for n := range 120 {
				if _, err := note.Create(tx, w.Org, "", noted{Text: fmt.Sprint(n)}); err != nil {
					return err
				}
			}
			return nil
		})
		acts, _, err := service.Acts(context.Background(), w.Admin, activity.Query{Org: w.Org, Limit: 1})
		if err != nil || len(acts) != 1 || acts[0].Entries != 120 {
			t.Fatal(acts, err)
		}
		seen, after := 0, int64(0)
		for {
			page, err := service.Act(context.Background(), w.Admin, w.Org, acts[0].Act, after, 50)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range page.Entries {
				if want := fmt.Sprintf(`"%d"`, seen); len(d.Differences) != 1 || string(d.Differences[0].New) != want {
					t.Fatalf("entry %d of the act: %s, want %s", seen, d.Differences, want)
				}
				seen++
			}
			if after = page.Next; after == 0 {
				break
			}
		}
		if seen != 120 {
			t.Errorf("%d entries on all pages, want 120", seen)
		}
		for _, who := range []ledger.Actor{w.Outside, w.Member} {
			if _, err := service.Act(context.Background(), who, w.Org, acts[0].Act, 0, 50); fault.KindOf(err) != fault.NotFound {
				t.Errorf("%s reads the act: %v", who.Name, err)
			}
		}
		other := w.Organization(t, "Other")
		if _, err := service.Act(context.Background(), peopletest.System, other, acts[0].Act, 0, 50); fault.KindOf(err) != fault.NotFound {
			t.Errorf("the act is shown in another organization: %v", err)
		}
	})
}

func TestExportsAreAllowedAndWrittenDown(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open(), append(activity.Nouns(), &note)...)
		service := &activity.Service{Ledger: w.Ledger}
		diary(t, w)
		q := activity.Query{Org: w.Org, Kind: "note", Text: "diary"}
		for _, who := range []ledger.Actor{w.Manager, w.Viewer, w.Member, w.Outside, {}} {
			if err := service.BeginExport(context.Background(), who, q, 0, "activity exported"); who.Kind != "" && err == nil {
				t.Errorf("%s may export", who.Name)
			}
			if _, _, _, err := service.Batch(context.Background(), who, q, 0); err == nil {
				t.Errorf("%s gets lines", who.Name)
			}
		}
		before, last := all(t, service, w.Admin, activity.Query{Org: w.Org})
		if err := service.BeginExport(context.Background(), w.Admin, q, 17, "activity exported as CSV"); fault.From(err).Code != "session.step-up" {
			t.Errorf("with an old second factor: %v", err)
		}
		fresh := w.Admin
		fresh.Factor = w.Ledger.Now()
		if err := service.BeginExport(context.Background(), fresh, q, 17, "activity exported as CSV"); err != nil {
			t.Fatal(err)
		}
		after, _, _, err := service.Batch(context.Background(), w.Admin, activity.Query{Org: w.Org}, last)
		if err != nil || len(after) != 1 || after[0].Kind != "access_record" || after[0].Actor.ID != w.Admin.ID {
			t.Fatalf("%+v, %v", after, err)
		}
		text, _ := json.Marshal(after[0])
		for _, want := range []string{"activity exported as CSV", "kind note, reason diary, after entry 17"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("the record does not say %q: %s", want, text)
			}
		}
		for i, l := range before[1:] {
			if l.Number <= before[i].Number {
				t.Errorf("line %d has number %d after %d", i+1, l.Number, before[i].Number)
			}
		}
		// Nobody takes the record away or changes it.
		err = w.Ledger.Write(context.Background(), peopletest.System, "", func(tx *ledger.Tx) error { return activity.Records.Delete(tx, after[0].Document, 0) })
		if err == nil {
			t.Error("an access record was deleted")
		}
		if _, err := service.Undo(context.Background(), w.Admin, after[0].Number, ""); err == nil {
			t.Error("an access record was undone")
		}
	})
}

func TestNothingOfOthersIsExported(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)(), append(activity.Nouns(), &note)...)
	service := &activity.Service{Ledger: w.Ledger}
	other := w.Organization(t, "Other")
	w.Person(t, "Somebody Else", other, org.Admins)
	w.Write(t, func(tx *ledger.Tx) error { _, err := note.Create(tx, other, "", noted{Text: "theirs"}); return err })
	lines, last := all(t, service, w.Admin, activity.Query{Org: w.Org})
	for _, l := range lines {
		if l.Organization != w.Org {
			t.Errorf("entry %d is of another organization", l.Number)
		}
	}
	// The reader need not look at what is not its own again.
	var newest int64
	w.Read(t, func(r *ledger.Reader) error {
		_, err := r.Row([]any{&newest}, "SELECT entries FROM head WHERE id = 1")
		return err
	})
	if last != newest {
		t.Errorf("an export ends at %d, the ledger at %d", last, newest)
	}
}
