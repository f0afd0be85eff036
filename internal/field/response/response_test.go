package response_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/qanat-water/qanat/internal/base/blob"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/field/response"
	"github.com/qanat-water/qanat/internal/field/survey"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

var ctx = context.Background()

const theSite = "0190a000-0000-7000-8000-00000000005e"

type world struct {
	*peopletest.World
	surveys                *survey.Service
	responses              *response.Service
	survey                 ledger.Doc[survey.Survey]
	deployment             ledger.Doc[survey.Deployment]
	phone                  ledger.Actor // Mary's
	approver, boss, looker ledger.Actor
	instance               []byte
}

func newWorld(t testing.TB, s *store.Store, stages ...survey.Stage) *world {
	w := &world{World: peopletest.New(t, s, append(survey.Nouns(), response.Nouns()...)...)}
	blobs, err := blob.Open(t.TempDir(), w.Vault)
	if err != nil {
		t.Fatal(err)
	}
	w.surveys = &survey.Service{Ledger: w.Ledger, Blobs: blobs}
	w.responses = &response.Service{Ledger: w.Ledger, Blobs: blobs, Sites: func(_ *ledger.Reader, _ ledger.Actor, _, value string) (string, bool, error) {
		return theSite, value == "10007" || value == theSite, nil
	}}
	visit, err := os.ReadFile("../form/testdata/visit.xml")
	if err != nil {
		t.Fatal(err)
	}
	// Its people are no admins, and the sharing policy keeps what is confidential from others.
	visit = bytes.Replace(visit, []byte(` qanat:confidential="yes"`), nil, 1)
	if w.instance, err = os.ReadFile("../form/testdata/visit-instance.xml"); err != nil {
		t.Fatal(err)
	}
	w.approver = w.Person(t, "Asha Approver", w.Org, org.Members)
	w.boss = w.Person(t, "Bea Boss", w.Org, org.Members)
	w.looker = w.Person(t, "Leo Looker", w.Org, org.Members)
	for i := range stages {
		stages[i].Approvers = []string{"person:" + w.approver.ID}
	}
	if w.survey, err = w.surveys.CreateFromXForm(ctx, w.Admin, w.Org, w.Org, visit); err != nil {
		t.Fatal(err)
	}
	w.deployment, err = w.surveys.Deploy(ctx, w.Admin, survey.Deployment{Survey: w.survey.ID, Name: "March", Active: true, Stages: stages,
		Enumerators: []string{"person:" + w.Member.ID}, Managers: []string{"person:" + w.boss.ID}, Viewers: []string{"person:" + w.looker.ID}})
	if err != nil {
		t.Fatal(err)
	}
	_, token, err := w.surveys.CreatePhone(ctx, w.Admin, w.Org, w.Member.ID, "blue phone")
	if err != nil {
		t.Fatal(err)
	}
	if _, w.phone, err = w.surveys.PhoneByToken(ctx, token); err != nil {
		t.Fatal(err)
	}
	return w
}

func each(t *testing.T, stages int, fn func(t *testing.T, w *world)) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		list := []survey.Stage{{Name: "district"}, {Name: "region", NoEdit: true}}
		fn(t, newWorld(t, open(), list[:stages]...))
	})
}

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	if err == nil || fault.From(err).Code != code {
		t.Errorf("%s: got %v, want %s", what, err, code)
	}
}

func (w *world) receive(t testing.TB, xml []byte, incomplete bool, files ...response.Attachment) response.Receipt {
	t.Helper()
	r, err := w.responses.Receive(ctx, w.phone, response.Upload{Org: w.Org, XML: xml, Files: files, Incomplete: incomplete, Device: "collect:x"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (w *world) get(t testing.TB, id string) response.Response {
	t.Helper()
	s, err := w.responses.Get(ctx, w.Admin, id)
	if err != nil {
		t.Fatal(err)
	}
	return s.Doc.Body
}

func (w *world) file(t testing.TB, name, content string) response.Attachment {
	t.Helper()
	a, err := w.responses.StoreFile(ctx, name, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestReceive(t *testing.T) {
	each(t, 0, func(t *testing.T, w *world) {
		first := w.receive(t, w.instance, true, w.file(t, "audit.csv", "event,node\n"))
		if first.Again || first.Quarantine != nil || first.Response == "" {
			t.Fatalf("receipt %+v", first)
		}
		b := w.get(t, first.Response)
		if b.State != response.Final || b.Enumerator != w.Member.ID || b.Site != theSite || b.Location == nil || b.Location.Lon != 36.25 || b.Started == "" || !b.Incomplete || len(b.Flags) == 0 {
			t.Errorf("response %+v", b)
		}
		if n, _ := b.Answers["part"].([]any); len(n) != 2 {
			t.Errorf("answers %v", b.Answers)
		}
		if a := b.Attachments; len(a) != 2 || a[0].Name != "1700000000.jpg" || !a[0].Missing || a[1].Name != "audit.csv" || !a[1].Unexpected || a[1].Blob == "" {
			t.Errorf("attachments %+v", a)
		}
		xml, err := w.responses.XML(ctx, w.Admin, first.Submission)
		if err != nil || !bytes.Equal(xml, w.instance) {
			t.Errorf("%d bytes of %d: %v", len(xml), len(w.instance), err)
		}

		again := w.receive(t, w.instance, true)
		if !again.Again || again.Response != first.Response {
			t.Errorf("again %+v", again)
		}
		photo := w.file(t, "1700000000.jpg", "\x89PNG\r\n\x1a\nrest")
		w.receive(t, w.instance, false, photo)
		b = w.get(t, first.Response)
		if a := b.Attachments; len(a) != 2 || a[0].Missing || a[0].Type != "image/png" || b.Incomplete {
			t.Errorf("after the late photo %+v", b.Attachments)
		}
		revision := func() int64 {
			s, err := w.responses.Get(ctx, w.Admin, first.Response)
			if err != nil {
				t.Fatal(err)
			}
			return s.Doc.Revision
		}
		before := revision()
		w.receive(t, w.instance, false, photo)
		if revision() != before {
			t.Error("the same photo again made a revision")
		}
		w.receive(t, w.instance, false, w.file(t, "1700000000.jpg", "other picture"))
		if a := w.get(t, first.Response).Attachments; len(a) != 3 || !a[2].Unexpected {
			t.Errorf("another picture under the same name %+v", a)
		}

		changed := bytes.Replace(w.instance, []byte("leak dry"), []byte("leak"), 1)
		conflict := w.receive(t, changed, false)
		if b := w.get(t, conflict.Response); b.ConflictOf != first.Response {
			t.Errorf("conflict %+v", b)
		}
		if r := w.receive(t, changed, false); !r.Again || r.Response != conflict.Response {
			t.Errorf("the conflict again %+v", r)
		}
		page, err := w.responses.List(ctx, w.looker, response.Filter{Org: w.Org, Survey: w.survey.ID, Limit: 1})
		if err != nil || len(page.Items) != 1 || page.Next == "" || page.Items[0].Body.Answers != nil {
			t.Errorf("list %+v %v", page, err)
		}
		counts, err := w.responses.Counts(ctx, w.looker, w.Org)
		if err != nil || counts[w.survey.ID][response.Final] != 2 {
			t.Errorf("counts %v %v", counts, err)
		}
		if err := w.responses.Delete(ctx, w.boss, first.Response, 0, "twice"); err != nil {
			t.Fatal(err)
		}
		if r := w.receive(t, w.instance, false, w.file(t, "late.csv", "x")); !r.Again || r.Response != "" || r.Quarantine != nil {
			t.Errorf("again after deletion %+v", r)
		}
	})
}

func TestQuarantine(t *testing.T) {
	each(t, 0, func(t *testing.T, w *world) {
		bad := w.receive(t, []byte("<visit id='pump_visit'><name>"), false, w.file(t, "a.jpg", "x"))
		if bad.Quarantine == nil || bad.Quarantine.Code != "submission.xml.malformed" || bad.Response != "" {
			t.Fatalf("broken XML: %+v", bad)
		}
		if r := w.receive(t, []byte("<visit id='pump_visit'><name>"), false); !r.Again || r.Submission != bad.Submission || r.Quarantine == nil {
			t.Errorf("broken XML again: %+v", r)
		}
		unknown := w.receive(t, []byte("<d id='nowhere'/>"), false)
		version := w.receive(t, bytes.Replace(w.instance, []byte(`version="7"`), []byte(`version="6"`), 1), false)
		if _, err := w.surveys.SetActive(ctx, w.Admin, w.deployment.ID, false); err != nil {
			t.Fatal(err)
		}
		closed := w.receive(t, w.instance, false, w.file(t, "1700000000.jpg", "late"))
		for _, c := range []struct {
			r    response.Receipt
			code string
		}{{unknown, "form.unknown"}, {version, "form.version.unknown"}, {closed, "closed"}} {
			if c.r.Quarantine == nil || c.r.Quarantine.Code != c.code {
				t.Errorf("%+v, want %s", c.r.Quarantine, c.code)
			}
		}
		list, err := w.responses.Quarantined(ctx, w.Admin, w.Org)
		if err != nil || len(list) != 4 {
			t.Fatalf("%d in quarantine: %v", len(list), err)
		}
		if list, err := w.responses.Quarantined(ctx, w.looker, w.Org); err != nil || len(list) != 0 {
			t.Errorf("a viewer sees %d: %v", len(list), err)
		}
		_, err = w.responses.ReleaseQuarantine(ctx, w.looker, closed.Submission, "", response.Release{})
		wantCode(t, "a viewer releases", err, "submission.missing")
		_, err = w.responses.ReleaseQuarantine(ctx, w.Member, closed.Submission, "", response.Release{})
		wantCode(t, "the enumerator releases", err, "submission.denied")

		doc, err := w.responses.ReleaseQuarantine(ctx, w.Admin, closed.Submission, "was on the road", response.Release{})
		if err != nil {
			t.Fatal(err)
		}
		if b := doc.Body; b.State != response.Final || b.Enumerator != w.Member.ID || len(b.Attachments) != 1 || b.Attachments[0].Missing || b.Attachments[0].Unexpected {
			t.Errorf("released %+v", b)
		}
		if r := w.receive(t, w.instance, false); !r.Again || r.Response != doc.ID || r.Quarantine != nil {
			t.Errorf("again after release %+v", r)
		}
		_, err = w.responses.ReleaseQuarantine(ctx, w.Admin, closed.Submission, "", response.Release{})
		wantCode(t, "release twice", err, "quarantine.released")
		_, err = w.responses.ReleaseQuarantine(ctx, w.Admin, bad.Submission, "", response.Release{})
		wantCode(t, "release of what cannot be read", err, "submission.xml.malformed")
		_, err = w.responses.ReleaseQuarantine(ctx, w.Admin, unknown.Submission, "", response.Release{})
		wantCode(t, "release to an unknown form", err, "quarantine.form.unknown")

		repaired, err := w.responses.ReleaseQuarantine(ctx, w.Admin, bad.Submission, "closed the tags", response.Release{XML: []byte("<visit id='pump_visit' version='7'><name>x</name></visit>")})
		if err != nil {
			t.Fatal(err)
		}
		if xml, err := w.responses.XML(ctx, w.Admin, bad.Submission); err != nil || string(xml) != "<visit id='pump_visit'><name>" {
			t.Errorf("the original is now %q: %v", xml, err)
		}
		if a := repaired.Body.Attachments; len(a) != 1 || !a[0].Unexpected {
			t.Errorf("repaired %+v", repaired.Body)
		}
		other, err := w.responses.ReleaseQuarantine(ctx, w.Admin, version.Submission, "", response.Release{Form: w.survey.Body.Form})
		if err != nil {
			t.Fatal(err)
		}
		if other.Body.ConflictOf != doc.ID {
			t.Errorf("the same instanceID, released later, is no conflict: %+v", other.Body.ConflictOf)
		}
	})
}

func TestSenderMustBeSomebody(t *testing.T) {
	each(t, 0, func(t *testing.T, w *world) {
		_, err := w.responses.Receive(ctx, ledger.Actor{Kind: "device", ID: w.phone.ID}, response.Upload{Org: w.Org, XML: w.instance})
		wantCode(t, "a device", err, "submission.sender")
		_, err = w.responses.Receive(ctx, w.Outside, response.Upload{Org: w.Org, XML: w.instance})
		wantCode(t, "somebody of no organization", err, "submission.sender")
		other := w.Organization(t, "Other")
		_, err = w.responses.Receive(ctx, w.phone, response.Upload{Org: other, XML: w.instance})
		wantCode(t, "another organization", err, "submission.sender")
		if err := w.surveys.RevokePhone(ctx, w.Admin, w.phone.ID, ""); err != nil {
			t.Fatal(err)
		}
		_, err = w.responses.Receive(ctx, w.phone, response.Upload{Org: w.Org, XML: w.instance})
		wantCode(t, "a revoked phone", err, "submission.sender")
	})
}

func TestStages(t *testing.T) {
	each(t, 2, func(t *testing.T, w *world) {
		id := w.receive(t, w.instance, false).Response
		state := func(what, want string, approvals int) response.Response {
			t.Helper()
			b := w.get(t, id)
			if b.State != want || len(b.Approvals) != approvals {
				t.Fatalf("%s: %s with %d approvals, want %s with %d", what, b.State, len(b.Approvals), want, approvals)
			}
			return b
		}
		state("received", response.Pending, 0)
		_, err := w.responses.Approve(ctx, w.Member, id, 0)
		wantCode(t, "the enumerator approves", err, "response.denied")
		_, err = w.responses.Approve(ctx, w.looker, id, 0)
		wantCode(t, "a viewer approves a pending one", err, "response.missing")
		if _, err = w.responses.Approve(ctx, w.approver, id, 0); err != nil {
			t.Fatal(err)
		}
		if b := state("approved once", response.Pending, 1); b.Approvals[0].Stage != "district" || b.Approvals[0].Override {
			t.Errorf("%+v", b.Approvals)
		}
		_, err = w.responses.Edit(ctx, w.approver, id, 0, "", response.Edit{Answers: map[string]any{"name": "x"}})
		wantCode(t, "edit in a stage that forbids it", err, "response.denied")
		if _, err = w.responses.Approve(ctx, w.boss, id, 0); err != nil {
			t.Fatal(err)
		}
		if b := state("approved by the manager", response.Final, 2); !b.Approvals[1].Override {
			t.Error("the manager's approval is not marked")
		}
		_, err = w.responses.Approve(ctx, w.boss, id, 0)
		wantCode(t, "approve a final one", err, "response.state")
		_, err = w.responses.Reject(ctx, w.boss, id, 0, "  ")
		wantCode(t, "reject without a reason", err, "response.reason")
		_, err = w.responses.Reject(ctx, w.approver, id, 0, "no")
		wantCode(t, "an approver rejects a final one", err, "response.denied")
		if _, err = w.responses.Reject(ctx, w.boss, id, 0, "The photo is dark"); err != nil {
			t.Fatal(err)
		}
		if b := state("rejected", response.Rejected, 0); !b.Rejection.Override || b.Rejection.Reason != "The photo is dark" {
			t.Errorf("%+v", b.Rejection)
		}
		if _, err = w.responses.Edit(ctx, w.Member, id, 0, "", response.Edit{Answers: map[string]any{"name": "Mtepe", "place": map[string]any{"lat": 1.0, "lon": 2.0}}}); err != nil {
			t.Fatal(err)
		}
		if b := w.get(t, id); b.Answers["name"] != "Mtepe" || b.Location.Lon != 2 || b.Site != theSite {
			t.Errorf("edited %+v", b)
		}
		if _, err = w.responses.Submit(ctx, w.Member, id, 0); err != nil {
			t.Fatal(err)
		}
		state("submitted again", response.Pending, 0)
		if _, err = w.responses.Recall(ctx, w.Member, id, 0); err != nil {
			t.Fatal(err)
		}
		state("recalled", response.Draft, 0)
		_, err = w.responses.Get(ctx, w.approver, id)
		wantCode(t, "an approver sees a draft", err, "response.missing")
		if _, err = w.responses.Submit(ctx, w.Member, id, 0); err != nil {
			t.Fatal(err)
		}
		if _, err = w.responses.Approve(ctx, w.approver, id, 0); err != nil {
			t.Fatal(err)
		}
		// Removing a stage finalizes what was only waiting for it.
		other := w.receive(t, bytes.Replace(w.instance, []byte("uuid:6a3d"), []byte("uuid:6a3e"), 1), false).Response
		_, err = w.surveys.ChangeDeployment(ctx, w.Admin, w.deployment.ID, 0, "one check is enough", func(d *survey.Deployment) error { d.Stages = d.Stages[:1]; return nil })
		if err != nil {
			t.Fatal(err)
		}
		state("stage removed", response.Final, 1)
		if b := w.get(t, other); b.State != response.Pending {
			t.Errorf("what waits for the first stage is %s", b.State)
		}
		_, err = w.responses.Submit(ctx, w.boss, id, 1)
		if fault.KindOf(err) != fault.Conflict {
			t.Errorf("stale revision: %v", err)
		}
		err = w.Ledger.Write(ctx, peopletest.System, "", func(tx *ledger.Tx) error { return survey.Deployments.Delete(tx, w.deployment.ID, 0) })
		wantCode(t, "delete a deployment with responses", err, "deployment.used")
	})
}

// Who may do what in which state, as in the handbook: enumerator, approver of the stage, viewer, manager.
func TestPermissionTable(t *testing.T) {
	each(t, 1, func(t *testing.T, w *world) {
		id := w.receive(t, w.instance, false).Response
		people := []ledger.Actor{w.Member, w.approver, w.looker, w.boss, w.Outside}
		set := func(state string) {
			w.Write(t, func(tx *ledger.Tx) error {
				_, err := response.Responses.Update(tx, id, 0, func(b *response.Response) error {
					b.State, b.Approvals, b.Rejection = state, nil, nil
					if state == response.Rejected {
						b.Rejection = &response.Rejection{Reason: "x"}
					}
					return nil
				})
				return err
			})
		}
		for _, c := range []struct {
			state string
			verb  access.Verb
			may   string // e a v m o
		}{
			{response.Draft, access.See, "e..m."}, {response.Pending, access.See, "ea.m."}, {response.Rejected, access.See, "ea.m."}, {response.Final, access.See, "eavm."},
			{response.Draft, access.Edit, "e..m."}, {response.Pending, access.Edit, ".a.m."}, {response.Rejected, access.Edit, "e..m."}, {response.Final, access.Edit, "...m."},
			{response.Draft, access.Submit, "e..m."}, {response.Rejected, access.Submit, "e..m."},
			{response.Pending, access.Approve, ".a.m."}, {response.Pending, access.Reject, ".a.m."}, {response.Final, access.Reject, "...m."},
			{response.Draft, access.Delete, "e..m."}, {response.Rejected, access.Delete, "e..m."}, {response.Pending, access.Delete, "...m."}, {response.Final, access.Delete, "...m."},
			{response.Pending, access.Recall, "e...."},
		} {
			set(c.state)
			w.Read(t, func(r *ledger.Reader) error {
				thing, err := access.Describe(r, "response", id)
				if err != nil {
					return err
				}
				for i, person := range people {
					d, err := access.Decide(r, person, c.verb, thing)
					if err != nil {
						return err
					}
					if want := c.may[i] != '.'; d.Allowed != want {
						t.Errorf("%s %s a %s response: %v, want %v; %s", person.Name, c.verb, c.state, d.Allowed, want, strings.Join(d.Why, "; "))
					}
					if c.verb != access.See {
						continue
					}
					where, args, err := access.Visible(r, person, "response")
					if err != nil {
						return err
					}
					var found string
					listed, err := r.Row([]any{&found}, "SELECT n.id FROM response n WHERE "+where, args...)
					if err != nil {
						return err
					}
					if listed != d.Allowed {
						t.Errorf("%s in a list of %s: %v, decided %v", person.Name, c.state, listed, d.Allowed)
					}
				}
				return nil
			})
		}
	})
}

func TestStartInThePortal(t *testing.T) {
	each(t, 0, func(t *testing.T, w *world) {
		_, err := w.responses.Start(ctx, w.looker, w.deployment.ID, nil)
		wantCode(t, "a viewer starts", err, "deployment.denied")
		doc, err := w.responses.Start(ctx, w.Member, w.deployment.ID, map[string]any{"site_code": "10007"})
		if err != nil {
			t.Fatal(err)
		}
		if doc.Body.State != response.Draft || doc.Body.Site != theSite {
			t.Errorf("%+v", doc.Body)
		}
		if doc, err = w.responses.Submit(ctx, w.Member, doc.ID, doc.Revision); err != nil || doc.Body.State != response.Final {
			t.Errorf("%+v %v", doc.Body, err)
		}
	})
}

// Undoing what a lost phone sent takes the responses away, and undoing that brings them back.
func TestUndoOfASubmission(t *testing.T) {
	each(t, 0, func(t *testing.T, w *world) {
		got := w.receive(t, w.instance, false)
		var act int64
		w.Read(t, func(r *ledger.Reader) error {
			history, err := r.History(got.Response)
			act = history[0].Entry.Act
			return err
		})
		undone, err := w.Ledger.UndoAct(ctx, w.Admin, "stolen phone", act, access.MayUndo, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.responses.Get(ctx, w.Admin, got.Response); fault.KindOf(err) != fault.NotFound {
			t.Errorf("after undo: %v, %+v", err, undone)
		}
		if _, err := w.Ledger.UndoAct(ctx, w.Admin, "", undone.Act, access.MayUndo, nil); err != nil {
			t.Fatal(err)
		}
		if b := w.get(t, got.Response); b.Answers["kind"] != "well" {
			t.Errorf("%+v", b)
		}
	})
}

// An approval is taken back by who may reject, a change of answers by who may edit.
func TestUndoOfADecision(t *testing.T) {
	each(t, 1, func(t *testing.T, w *world) {
		id := w.receive(t, w.instance, false).Response
		newest := func() (number int64) {
			w.Read(t, func(r *ledger.Reader) error {
				history, err := r.History(id)
				number = history[0].Entry.Number
				return err
			})
			return number
		}
		undo := func(who ledger.Actor, number int64) error {
			_, err := w.Ledger.Undo(ctx, who, "", number, access.MayUndo)
			return err
		}
		must := func(_ ledger.Doc[response.Response], err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(w.responses.Approve(ctx, w.approver, id, 0))
		approval := newest()
		if b := w.get(t, id); b.State != response.Final {
			t.Fatalf("%+v", b)
		}
		wantCode(t, "the approver cannot reject a final one", undo(w.approver, approval), "response.denied")
		wantCode(t, "the enumerator", undo(w.Member, approval), "response.denied")
		if err := undo(w.Admin, approval); err != nil { // a survey administrator, who may not edit answers
			t.Fatal(err)
		}
		if b := w.get(t, id); b.State != response.Pending || len(b.Approvals) != 0 {
			t.Errorf("after the undo of an approval: %+v", b)
		}
		must(w.responses.Reject(ctx, w.approver, id, 0, "The photo is dark"))
		if err := undo(w.approver, newest()); err != nil { // his own, and it is his stage's turn again
			t.Fatal(err)
		}
		if b := w.get(t, id); b.State != response.Pending || b.Rejection != nil {
			t.Errorf("after the undo of a rejection: %+v", b)
		}
		wantCode(t, "the enumerator undoes that", undo(w.Member, newest()), "response.denied")
		for _, state := range []string{response.Rejected, response.Pending} { // the undo is undone, and that too
			if err := undo(w.approver, newest()); err != nil {
				t.Fatal(err)
			}
			if b := w.get(t, id); b.State != state {
				t.Errorf("after the undo of an undo: %+v", b)
			}
		}
		must(w.responses.Edit(ctx, w.boss, id, 0, "", response.Edit{Answers: map[string]any{"kind": "spring"}}))
		wantCode(t, "a survey administrator undoes an edit", undo(w.Admin, newest()), "response.denied")
		if err := undo(w.boss, newest()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLargeXMLIsKept(t *testing.T) {
	each(t, 0, func(t *testing.T, w *world) {
		long := bytes.Replace(w.instance, []byte("Mtepe pump"), []byte(strings.Repeat("Mtepe ", 300_000)), 1)
		got := w.receive(t, long, false)
		if got.Quarantine != nil {
			t.Fatalf("%+v", got)
		}
		if xml, err := w.responses.XML(ctx, w.Admin, got.Submission); err != nil || !bytes.Equal(xml, long) {
			t.Errorf("%d bytes of %d: %v", len(xml), len(long), err)
		}
		// More than a document can hold waits in quarantine, whole.
		huge := bytes.Replace(w.instance, []byte("Mtepe pump"), []byte(strings.Repeat("Mtepe ", 900_000)), 1)
		got = w.receive(t, huge, false)
		if got.Quarantine == nil {
			t.Fatalf("%+v", got)
		}
		if xml, err := w.responses.XML(ctx, w.Admin, got.Submission); err != nil || !bytes.Equal(xml, huge) {
			t.Errorf("%d bytes of %d: %v", len(xml), len(huge), err)
		}
	})
}

func TestResponseIsJSON(t *testing.T) {
	each(t, 0, func(t *testing.T, w *world) {
		s, err := w.responses.Get(ctx, w.Member, w.receive(t, w.instance, false).Response)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(s)
		if err != nil || !bytes.Contains(text, []byte(`"place":{"accuracy":4.5`)) && !bytes.Contains(text, []byte(`"lat":-0.5`)) {
			t.Errorf("%s %v", text, err)
		}
		if s.May["approve"] || s.May["edit"] || s.Form.ID != "pump_visit" {
			t.Errorf("%+v", s.May)
		}
	})
}

// A phone that loses the connection sends again while the first request is still under way.
func TestReceiveAtTheSameTime(t *testing.T) {
	each(t, 0, func(t *testing.T, w *world) {
		var group sync.WaitGroup
		made := make([]response.Receipt, 24)
		for i := range made {
			xml := w.instance
			if i%2 == 1 {
				xml = []byte("<visit id='pump_visit'")
			}
			group.Go(func() {
				r, err := w.responses.Receive(ctx, w.phone, response.Upload{Org: w.Org, XML: xml, Files: []response.Attachment{{Name: fmt.Sprintf("%d.jpg", i), Blob: strings.Repeat("0", 64)}}})
				if err != nil {
					t.Error(err)
				}
				made[i] = r
			})
		}
		group.Wait()
		for i, r := range made {
			if r.Submission != made[i%2].Submission || r.Response != made[i%2].Response {
				t.Errorf("%d: %+v, not %+v", i, r, made[i%2])
			}
		}
		if n := len(w.get(t, made[0].Response).Attachments); n != 13 { // 12 that came, one that is missing
			t.Errorf("%d attachments", n)
		}
	})
}

func TestPhotoLosesItsPosition(t *testing.T) {
	each(t, 0, func(t *testing.T, w *world) {
		var picture bytes.Buffer
		if err := jpeg.Encode(&picture, image.NewGray(image.Rect(0, 0, 8, 8)), nil); err != nil {
			t.Fatal(err)
		}
		plain := picture.Bytes()
		secret := []byte("http://ns.adobe.com/xap/1.0/\x00<exif:GPSLatitude>0,30.0S</exif:GPSLatitude>")
		tagged := append([]byte{0xFF, 0xD8, 0xFF, 0xE1, 0, byte(len(secret) + 2)}, secret...)
		tagged = append(tagged, plain[2:]...)
		a := w.file(t, "1700000000.jpg", string(tagged))
		if a.Type != "image/jpeg" || a.Position != "" || a.Size != int64(len(plain)) {
			t.Errorf("%+v", a)
		}
		got := w.receive(t, w.instance, false, a)
		content, file, err := w.responses.File(ctx, w.looker, got.Response, "1700000000.jpg")
		if err != nil {
			t.Fatal(err)
		}
		defer content.Close()
		kept, err := io.ReadAll(content)
		if err != nil || !bytes.Equal(kept, plain) || file.Missing {
			t.Errorf("%d bytes, %v", len(kept), err)
		}
		_, _, err = w.responses.File(ctx, w.Outside, got.Response, "1700000000.jpg")
		wantCode(t, "an outsider opens the photo", err, "response.missing")
		if odd := w.file(t, "a.jpg", "\xff\xd8\xff\xe0 not really"); odd.Position != "unknown" {
			t.Errorf("%+v", odd)
		}
	})
}
