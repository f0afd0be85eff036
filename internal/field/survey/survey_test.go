package survey_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/qanat-water/qanat/internal/base/blob"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/field/survey"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

var ctx = context.Background()

type world struct {
	*peopletest.World
	surveys *survey.Service
	visit   []byte
}

func newWorld(t *testing.T, s *store.Store) *world {
	w := &world{World: peopletest.New(t, s, survey.Nouns()...)}
	blobs, err := blob.Open(t.TempDir(), w.Vault)
	if err != nil {
		t.Fatal(err)
	}
	w.surveys = &survey.Service{Ledger: w.Ledger, Blobs: blobs}
	if w.visit, err = os.ReadFile("../form/testdata/visit.xml"); err != nil {
		t.Fatal(err)
	}
	return w
}

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) { fn(t, newWorld(t, open())) })
}

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	if err == nil || fault.From(err).Code != code {
		t.Errorf("%s: got %v, want %s", what, err, code)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestVersions(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, err := w.surveys.CreateFromXForm(ctx, w.Viewer, w.Org, w.Org, w.visit)
		wantCode(t, "a viewer creates", err, "survey.denied")
		_, err = w.surveys.CreateFromXForm(ctx, w.Outside, w.Org, w.Org, w.visit)
		wantCode(t, "an outsider creates", err, "survey.missing")

		s := must[ledger.Doc[survey.Survey]](t)(w.surveys.CreateFromXForm(ctx, w.Admin, w.Org, w.Org, w.visit))
		if s.Body.Name != "Pump visit" || s.Body.FormID != "pump_visit" || s.Revision != 1 {
			t.Errorf("survey %+v", s)
		}
		_, err = w.surveys.CreateFromXForm(ctx, w.Admin, w.Org, w.Org, w.visit)
		wantCode(t, "the form id again", err, "survey.form_id.taken")

		content, first, err := w.surveys.XML(ctx, w.Admin, s.Body.Form)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(content)
		if err != nil || !bytes.Equal(got, w.visit) {
			t.Errorf("%d bytes of %d come back: %v", len(got), len(w.visit), err)
		}
		if first.Body.Schema.Find("/visit/name") == nil {
			t.Error("the schema is not kept")
		}

		again := must[ledger.Doc[survey.Form]](t)(w.surveys.AddVersion(ctx, w.Admin, s.ID, w.visit))
		if again.ID != s.Body.Form || again.Revision != 1 {
			t.Errorf("the same bytes made %+v", again)
		}
		other := bytes.Replace(w.visit, []byte("Pump visit"), []byte("Pump visits"), 1)
		_, err = w.surveys.AddVersion(ctx, w.Admin, s.ID, other)
		wantCode(t, "other bytes under the same version", err, "form.version.taken")
		next := bytes.Replace(other, []byte(`orx:version="7"`), []byte(`orx:version="8"`), 1)
		_, err = w.surveys.AddVersion(ctx, w.Manager, s.ID, next)
		wantCode(t, "a manager designs", err, "survey.missing")
		second := must[ledger.Doc[survey.Form]](t)(w.surveys.AddVersion(ctx, w.Admin, s.ID, next))
		s = must[ledger.Doc[survey.Survey]](t)(w.surveys.Get(ctx, w.Admin, s.ID))
		if s.Body.Form != second.ID || second.Body.Version != "8" {
			t.Errorf("current %s, second %+v", s.Body.Form, second)
		}
		_, err = w.surveys.AddVersion(ctx, w.Admin, s.ID, bytes.Replace(next, []byte(`id="pump_visit"`), []byte(`id="x"`), 1))
		wantCode(t, "another form", err, "form.other_id")
		list := must[[]survey.Listed](t)(w.surveys.Versions(ctx, w.Admin, s.ID))
		if len(list) != 2 || list[0].Version != "8" {
			t.Errorf("versions %+v", list)
		}
		err = w.Ledger.Write(ctx, peopletest.System, "", func(tx *ledger.Tx) error {
			_, err := survey.Forms.Update(tx, first.ID, 0, func(f *survey.Form) error { f.Title = "changed"; return nil })
			return err
		})
		wantCode(t, "a version changes", err, "form.fixed")
		err = w.Ledger.Write(ctx, peopletest.System, "", func(tx *ledger.Tx) error { return survey.Forms.Delete(tx, second.ID, 0) })
		wantCode(t, "the current version goes", err, "form.current")
	})
}

func TestFormsFor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := must[ledger.Doc[survey.Survey]](t)(w.surveys.CreateFromXForm(ctx, w.Admin, w.Org, w.Org, w.visit))
		phone, token, err := w.surveys.CreatePhone(ctx, w.Manager, w.Org, w.Member.ID, "Mary's phone")
		if err != nil {
			t.Fatal(err)
		}
		if len(token) != 64 || strings.Contains(phone.Body.TokenHash, token) {
			t.Errorf("token of %d characters", len(token))
		}
		_, actor, err := w.surveys.PhoneByToken(ctx, token)
		if err != nil {
			t.Fatal(err)
		}
		forms := func() []survey.Listed { return must[[]survey.Listed](t)(w.surveys.FormsFor(ctx, actor, w.Org)) }
		if got := forms(); len(got) != 0 {
			t.Errorf("before a deployment: %+v", got)
		}
		_, err = w.surveys.Deploy(ctx, w.Member, survey.Deployment{Survey: s.ID, Name: "March"})
		wantCode(t, "a member deploys", err, "survey.missing")
		_, err = w.surveys.Deploy(ctx, w.Admin, survey.Deployment{Survey: s.ID, Name: "March", Enumerators: []string{"Mary"}})
		wantCode(t, "nobody as enumerator", err, "deployment.principal")
		_, err = w.surveys.Deploy(ctx, w.Admin, survey.Deployment{Survey: s.ID, Name: "March", Stages: []survey.Stage{{Name: "check"}}})
		wantCode(t, "a stage without approvers", err, "deployment.stage")
		d := must[ledger.Doc[survey.Deployment]](t)(w.surveys.Deploy(ctx, w.Admin, survey.Deployment{Survey: s.ID, Name: "March", Active: true, Enumerators: []string{"group:" + w.Org + "/members"}}))
		got := forms()
		if len(got) != 1 || got[0].FormID != "pump_visit" || got[0].Version != "7" || len(got[0].Hash) != 32 || got[0].Files {
			t.Errorf("list %+v", got)
		}
		if _, _, err := w.surveys.XML(ctx, actor, got[0].ID); err != nil {
			t.Error("an enumerator's phone may not read the form:", err)
		}
		_, _, err = w.surveys.XML(ctx, w.Outside, got[0].ID)
		wantCode(t, "an outsider reads the form", err, "form.missing")

		must[ledger.Doc[survey.FormFile]](t)(w.surveys.AddFile(ctx, w.Admin, got[0].ID, "villages.csv", strings.NewReader("name,label\na,A\n")))
		_, err = w.surveys.AddFile(ctx, w.Admin, got[0].ID, "../villages.csv", strings.NewReader("x"))
		wantCode(t, "a path as name", err, "form_file.name")
		if !forms()[0].Files {
			t.Error("the list does not know of the file")
		}
		content, file, err := w.surveys.File(ctx, actor, got[0].ID, "villages.csv")
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(content)
		if string(text) != "name,label\na,A\n" || file.Body.Hash != "4020958f8c43fbc96d8b94eac85e9e0c" {
			t.Errorf("file %q %+v", text, file)
		}

		must[ledger.Doc[survey.Deployment]](t)(w.surveys.SetActive(ctx, w.Admin, d.ID, false))
		if got := forms(); len(got) != 0 {
			t.Errorf("after closing: %+v", got)
		}
		must[ledger.Doc[survey.Deployment]](t)(w.surveys.SetActive(ctx, w.Admin, d.ID, true))
		if err := w.surveys.RevokePhone(ctx, w.Manager, phone.ID, "lost"); err != nil {
			t.Fatal(err)
		}
		if got := forms(); len(got) != 0 {
			t.Errorf("after revoking: %+v", got)
		}
		_, _, err = w.surveys.PhoneByToken(ctx, token)
		wantCode(t, "a revoked token", err, "phone.token")
		_, _, err = w.surveys.PhoneByToken(ctx, strings.Repeat("x", 64))
		wantCode(t, "an unknown token", err, "phone.token")

		// Undo obeys the rule: a revoked phone stays revoked.
		var revoked ledger.Entry
		w.Read(t, func(r *ledger.Reader) error {
			history, err := r.History(phone.ID)
			for _, e := range history {
				if e.Entry.Revision == 2 {
					revoked = e.Entry
				}
			}
			return err
		})
		_, err = w.Ledger.Undo(ctx, w.Admin, "", revoked.Number, access.MayUndo)
		wantCode(t, "undo of revoking", err, "phone.revoked")
	})
}

// The list that a person sees and what the person may open are the same, for every noun and everybody.
func TestVisibleIsWhatMayBeSeen(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		branch := w.Branch(t, w.Org, "North")
		north := w.Person(t, "Nora North", branch, org.Admins)
		s1 := must[ledger.Doc[survey.Survey]](t)(w.surveys.CreateFromXForm(ctx, w.Admin, w.Org, w.Org, w.visit))
		open := bytes.Replace(w.visit, []byte(` qanat:confidential="yes"`), nil, 1) // the policy lets nobody but admins see what is confidential
		s2 := must[ledger.Doc[survey.Survey]](t)(w.surveys.CreateFromXForm(ctx, w.Admin, w.Org, branch, bytes.Replace(open, []byte(`id="pump_visit"`), []byte(`id="other"`), 1)))
		for _, d := range []survey.Deployment{
			{Survey: s1.ID, Name: "a", Active: true, Enumerators: []string{"person:" + w.Member.ID}, Stages: []survey.Stage{{Name: "check", Approvers: []string{"group:" + branch + "/admins"}}}},
			{Survey: s2.ID, Name: "b", Viewers: []string{"everyone"}},
			{Survey: s2.ID, Name: "c", Active: true, Managers: []string{"person:" + w.Manager.ID}, Admins: []string{"branch:" + w.Org}},
		} {
			must[ledger.Doc[survey.Deployment]](t)(w.surveys.Deploy(ctx, w.Admin, d))
		}
		for _, person := range []ledger.Actor{w.Admin, w.Manager, w.Viewer, w.Member, w.Outside, north} {
			w.Read(t, func(r *ledger.Reader) error {
				for _, kind := range []string{"survey", "form", "deployment"} {
					where, args, err := access.Visible(r, person, kind)
					if err != nil {
						return err
					}
					listed := map[string]bool{}
					rows := r.Query("SELECT n.id FROM "+kind+" n WHERE "+where, args...)
					for rows.Next() {
						var id string
						rows.Scan(&id)
						listed[id] = true
					}
					if err := rows.Close(); err != nil {
						return err
					}
					var all []string
					rows = r.Query("SELECT id FROM " + kind)
					for rows.Next() {
						var id string
						rows.Scan(&id)
						all = append(all, id)
					}
					if err := rows.Close(); err != nil {
						return err
					}
					for _, id := range all {
						thing, err := access.Describe(r, kind, id)
						if err != nil {
							return err
						}
						d, err := access.Decide(r, person, access.See, thing)
						if err != nil {
							return err
						}
						if d.Allowed != listed[id] {
							t.Errorf("%s %s %s: decide %v, list %v; %s", person.Name, kind, thing.Name, d.Allowed, listed[id], strings.Join(d.Why, "; "))
						}
					}
				}
				return nil
			})
		}
	})
}
