package response_test

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/blob"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/field/response"
	"github.com/qanat-water/qanat/internal/field/site"
	"github.com/qanat-water/qanat/internal/field/survey"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/activity"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

// robbed is an organization whose admin Amina's account was stolen.
type robbed struct {
	*peopletest.World
	responses        *response.Service
	sites            *site.Service
	activity         *activity.Service
	ben, carla       ledger.Actor // admins too
	bens, moses      string       // memberships that the thief takes away
	written, visited []string     // responses, sites
	grant            string       // that the thief gave
}

// QANAT_THEFT sets how many responses the thief deletes.
func thefts(t testing.TB, usual int) int {
	if n, err := strconv.Atoi(os.Getenv("QANAT_THEFT")); err == nil {
		return n
	}
	if testing.Short() {
		return usual / 10
	}
	return usual
}

func rob(t *testing.T, s *store.Store, responses, sites int) *robbed {
	nouns := append(append(site.Nouns(), survey.Nouns()...), response.Nouns()...)
	w := &robbed{World: peopletest.New(t, s, nouns...)}
	w.activity = &activity.Service{Ledger: w.Ledger}
	t.Cleanup(w.activity.Close)
	blobs, err := blob.Open(t.TempDir(), w.Vault)
	must(t, err)
	w.sites = site.New(w.Ledger, blobs)
	t.Cleanup(w.sites.Close)
	w.responses = &response.Service{Ledger: w.Ledger, Blobs: blobs, Sites: site.Find}
	w.ben = w.Person(t, "Ben Admin", "", "")
	w.bens = w.Join(t, w.ben.ID, w.Org, org.Admins)
	w.carla = w.Person(t, "Carla Admin", w.Org, org.Admins)
	w.Read(t, func(r *ledger.Reader) error {
		found, err := org.Memberships.List(r, "n.person = $1", w.Manager.ID)
		w.moses = found[0].ID
		return err
	})
	form, err := os.ReadFile("../form/testdata/visit.xml")
	must(t, err)
	surveys := &survey.Service{Ledger: w.Ledger, Blobs: blobs}
	sv, err := surveys.CreateFromXForm(ctx, w.Admin, w.Org, w.Org, form)
	must(t, err)
	deployment, err := surveys.Deploy(ctx, w.Admin, survey.Deployment{Survey: sv.ID, Name: "March", Active: true, Enumerators: []string{"person:" + w.Member.ID}})
	must(t, err)
	for made := 0; made < responses; made += 500 {
		w.Write(t, func(tx *ledger.Tx) error {
			for i := made; i < min(made+500, responses); i++ {
				d, err := response.Responses.Create(tx, w.Org, "", response.Response{
					Survey: sv.ID, Deployment: deployment.ID, Form: sv.Body.Form, InstanceID: fmt.Sprint("uuid:", i), State: response.Final, Enumerator: w.Member.ID,
					Answers: map[string]any{"status": "functional", "note": fmt.Sprint("visit ", i), "users": 120 + i%40},
				})
				if err != nil {
					return err
				}
				w.written = append(w.written, d.ID)
			}
			return nil
		})
	}
	for i := range sites {
		d, err := w.sites.Create(ctx, w.Manager, w.Org, site.Site{Type: "water_point", Name: fmt.Sprint("Borehole ", i), Branch: w.Org, Status: site.Functional})
		must(t, err)
		w.visited = append(w.visited, d.ID)
	}
	w.Clock.Advance(time.Hour)
	w.steal(t)
	return w
}

// steal is what the thief does with Amina's session.
func (w *robbed) steal(t *testing.T) {
	many(t, w.written, func(id string) error { return w.responses.Delete(ctx, w.Admin, id, 0, "") })
	many(t, w.visited, func(id string) error {
		return w.rename(w.Admin, id, func(s *site.Site) { s.Name, s.Status = "gone", site.NotFunctional })
	})
	must(t, w.Ledger.Write(ctx, w.Admin, "", func(tx *ledger.Tx) error {
		g, err := access.Give(tx, access.Grant{Thing: "site:" + w.visited[0], Principal: "person:" + w.Outside.ID, Role: "admin"})
		w.grant = g.ID
		return errors.Join(err, org.Memberships.Delete(tx, w.bens, 0), org.Memberships.Delete(tx, w.moses, 0))
	}))
	w.Clock.Advance(time.Minute)
}

func (w *robbed) rename(actor ledger.Actor, id string, change func(*site.Site)) error {
	return w.Ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error {
		_, err := site.Sites.Update(tx, id, 0, func(s *site.Site) error { change(s); return nil })
		return err
	})
}

// wait polls a run as the portal does.
func (w *robbed) wait(t *testing.T, run activity.Run, err error) ledger.Undone {
	t.Helper()
	for must(t, err); run.State == activity.Looking || run.State == activity.Running; must(t, err) {
		time.Sleep(5 * time.Millisecond)
		run, err = w.activity.Run(ctx, w.carla, run.ID)
	}
	if run.State == activity.Failed {
		t.Fatal(run.Message)
	}
	return run.Result
}

func (w *robbed) standing(t *testing.T) (responses, sites, memberships, grants int) {
	w.Read(t, func(r *ledger.Reader) error {
		for sql, n := range map[string]*int{
			"SELECT count(*) FROM response": &responses, "SELECT count(*) FROM site WHERE name LIKE 'Borehole %'": &sites,
			"SELECT count(*) FROM membership": &memberships, "SELECT count(*) FROM access_grant": &grants,
		} {
			if _, err := r.Row([]any{n}, sql); err != nil {
				return err
			}
		}
		return nil
	})
	return
}

// A thief with an admin's session deletes, changes and shuts out. Another admin
// looks at what an undo would do, does it while others work on, and keeps
// whatever they did.
func TestUndoOfAThief(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		responses := thefts(t, 10_000)
		if t.Name() == "TestUndoOfAThief/postgres" {
			responses /= 5
		}
		const sites, repaired, again = 500, 20, 5
		w := rob(t, open(), responses, sites)
		for i, id := range w.visited[:repaired] { // before anybody notices
			must(t, w.rename(w.Member, id, func(s *site.Site) {
				s.Properties = map[string]any{"management": "household"}
				if i < again {
					s.Name = fmt.Sprint("Renamed ", i)
				}
			}))
		}
		theft := activity.Range{Org: w.Org, Actor: w.Admin.ID, Since: w.Clock.Now().Add(-10 * time.Minute)}
		_, err := w.activity.PreviewUndo(ctx, w.Viewer, theft)
		wantCode(t, "a viewer looks", err, "undo.denied")
		_, err = w.activity.UndoRange(ctx, w.Outside, theft, "")
		wantCode(t, "an outsider undoes", err, "branch.missing")

		run, err := w.activity.PreviewUndo(ctx, w.carla, theft)
		preview := w.wait(t, run, err)
		if r, s, m, g := w.standing(t); r != 0 || s != 0 || g != 1 {
			t.Fatalf("the preview wrote: %d %d %d %d", r, s, m, g)
		}
		stop := make(chan struct{})
		var others sync.WaitGroup
		var made atomic.Int64
		var slowest atomic.Int64
		others.Go(func() { // somebody else goes on working
			for {
				select {
				case <-stop:
					return
				default:
				}
				began := time.Now()
				if _, err := w.sites.Create(ctx, w.Member, w.Org, site.Site{Type: "water_point", Name: "New", Branch: w.Org}); err != nil {
					t.Error(err)
					return
				}
				made.Add(1)
				slowest.Store(max(slowest.Load(), int64(time.Since(began))))
				time.Sleep(5 * time.Millisecond)
			}
		})
		began := time.Now()
		run, err = w.activity.UndoRange(ctx, w.carla, theft, "stolen session")
		undone := w.wait(t, run, err)
		took := time.Since(began)
		close(stop)
		others.Wait()
		t.Logf("%d changes undone in %s, %.0f/s, while %d others were written, the slowest in %s", undone.Count, took.Round(time.Millisecond),
			float64(undone.Count)/took.Seconds(), made.Load(), time.Duration(slowest.Load()).Round(time.Millisecond))

		want := responses + sites - again + 3
		if undone.Count != want || undone.Kept != again || undone.Denied != 0 || undone.Total != want+again {
			t.Errorf("undone: %d of %d, %d kept, %d denied, %+v; want %d and %d kept", undone.Count, undone.Total, undone.Kept, undone.Denied, undone.Conflicts[:min(3, len(undone.Conflicts))], want, again)
		}
		if preview.Count != undone.Count || preview.Kept != undone.Kept || preview.Act != 0 {
			t.Errorf("the preview said %d and %d kept, it was %d and %d", preview.Count, preview.Kept, undone.Count, undone.Kept)
		}
		if r, s, m, g := w.standing(t); r != responses || s != sites-again || m != 6 || g != 0 {
			t.Errorf("after the undo: %d responses, %d sites, %d memberships, %d grants", r, s, m, g)
		}
		w.Read(t, func(r *ledger.Reader) error {
			kept, err := site.Sites.Get(r, w.visited[again])
			if kept.Body.Properties["management"] != "household" || kept.Body.Name != fmt.Sprint("Borehole ", again) || kept.Body.Status != site.Functional {
				t.Errorf("a site that others worked on: %+v", kept.Body)
			}
			return err
		})

		run, err = w.activity.UndoRange(ctx, w.carla, theft, "once more")
		if twice := w.wait(t, run, err); twice.Count != 0 || twice.Already != want {
			t.Errorf("undoing it twice: %d undone, %d already", twice.Count, twice.Already)
		}
		run, err = w.activity.UndoRange(ctx, w.carla, activity.Range{Org: w.Org, Act: undone.Act}, "it was no theft")
		if back := w.wait(t, run, err); back.Count != want || back.Kept != 0 {
			t.Errorf("undoing the undo: %d, %d kept, %+v", back.Count, back.Kept, back.Conflicts)
		}
		if r, s, _, g := w.standing(t); r != 0 || s != 0 || g != 1 {
			t.Errorf("after undoing the undo: %d responses, %d sites, %d grants", r, s, g)
		}
		report, err := w.Ledger.Verify(ctx, nil)
		must(t, err)
		for _, p := range report.Problems {
			t.Errorf("verify: %s: %s", p.Where, p.What)
		}
	})
}

// What the asker may not undo stays, and is counted apart.
func TestUndoOfAThiefByAManager(t *testing.T) {
	w := rob(t, storetest.SQLite(t)(), 50, 5)
	w.Join(t, w.Manager.ID, w.Org, org.Managers) // who was put back by hand
	run, err := w.activity.UndoRange(ctx, w.Manager, activity.Range{Org: w.Org, Actor: w.Admin.ID, Kinds: []string{"site", "membership"}}, "")
	undone := w.wait(t, run, err)
	if undone.Count != 5 || undone.Denied != 2 || len(undone.Conflicts) != 2 || !undone.Conflicts[0].Denied {
		t.Errorf("a manager undid %d, may not undo %d: %+v", undone.Count, undone.Denied, undone.Conflicts)
	}
}

func many(t *testing.T, ids []string, do func(id string) error) {
	t.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(ids); i = int(next.Add(1)) - 1 {
				if err := do(ids[i]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(fault.Cause(err))
	}
}
