package erasure_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/qanat-water/qanat/internal/base/blob"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/field/response"
	"github.com/qanat-water/qanat/internal/field/site"
	"github.com/qanat-water/qanat/internal/field/survey"
	"github.com/qanat-water/qanat/internal/fleet/device"
	"github.com/qanat-water/qanat/internal/fleet/reading"
	"github.com/qanat-water/qanat/internal/fleet/refusal"
	"github.com/qanat-water/qanat/internal/keep/erasure"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

var ctx = context.Background()

type world struct {
	*peopletest.World
	t      *testing.T
	blobs  *blob.Store
	keep   *erasure.Service
	second ledger.Actor // another administrator
}

func newWorld(t *testing.T, s *store.Store) *world {
	var nouns []ledger.Kind
	for _, some := range [][]ledger.Kind{site.Nouns(), survey.Nouns(), response.Nouns(), erasure.Nouns(), {device.Noun}} {
		nouns = append(nouns, some...)
	}
	w := &world{World: peopletest.New(t, s, nouns...), t: t}
	blobs, err := blob.Open(t.TempDir(), w.Vault)
	check(t, err)
	readings, err := reading.Open(ctx, reading.Config{Store: s, Clock: w.Clock})
	check(t, err)
	t.Cleanup(readings.Close)
	refusals, err := refusal.Open(ctx, s, w.Clock, nil)
	check(t, err)
	t.Cleanup(refusals.Close)
	w.blobs = blobs
	w.keep = &erasure.Service{Ledger: w.Ledger, Blobs: blobs, Readings: readings, Refusals: refusals, Quiet: time.Nanosecond}
	w.second = w.Person(t, "Sam Second", w.Org, org.Admins)
	return w
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	if err == nil || fault.From(err).Code != code {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

// fresh is an actor who has just proved a second factor.
func (w *world) fresh(a ledger.Actor) ledger.Actor {
	a.Factor = w.Ledger.Now()
	return a
}

func (w *world) file(content string) string {
	w.t.Helper()
	ref, err := w.blobs.Put(ctx, strings.NewReader(content), 1000)
	check(w.t, err)
	return ref.Hash
}

// response makes a response with its submission and a photo.
func (w *world) response(name, photo string, submitted time.Time) (responseID, submissionID string) {
	w.t.Helper()
	w.Write(w.t, func(tx *ledger.Tx) error {
		sub, err := response.Submissions.Create(tx, w.Org, "", response.Submission{InstanceID: name, SHA256: name, Branch: w.Org, Received: submitted, XML: []byte("<data>" + name + "</data>")})
		if err != nil {
			return err
		}
		d, err := response.Responses.Create(tx, w.Org, "", response.Response{Name: name, State: response.Final, Submission: sub.ID, Submitted: submitted,
			Answers: map[string]any{"well": name}, Attachments: []response.Attachment{{Name: "p.jpg", Blob: photo}}})
		if err != nil {
			return err
		}
		responseID, submissionID = d.ID, sub.ID
		_, err = response.Submissions.Update(tx, sub.ID, 0, func(s *response.Submission) error { s.Response = d.ID; return nil })
		return err
	})
	return responseID, submissionID
}

func (w *world) verified(what string) {
	w.t.Helper()
	report, err := w.Ledger.Verify(ctx, nil)
	check(w.t, err)
	for _, p := range report.Problems {
		w.t.Errorf("%s: verify: %s: %s", what, p.Where, p.What)
	}
}

func (w *world) there(ids ...string) (found []bool) {
	w.t.Helper()
	w.Read(w.t, func(r *ledger.Reader) error {
		for _, id := range ids {
			there := false
			_, _, known, err := r.OrgOf(id)
			if err != nil || !known {
				return errors.Join(err, fmt.Errorf("no document %s", id))
			}
			content, _, err := r.AsOf(id, w.Ledger.Now())
			if err != nil {
				return err
			}
			there = content != nil
			found = append(found, there)
		}
		return nil
	})
	return found
}

func TestTwoPeopleEraseAResponse(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := newWorld(t, open())
		alone, shared := w.file("only here"), w.file("also at a site")
		id, submission := w.response("Household 7", alone, w.Ledger.Now())
		other, _ := w.response("Household 8", shared, w.Ledger.Now())
		w.Write(t, func(tx *ledger.Tx) error { // its photo was another once
			_, err := response.Responses.Update(tx, id, 0, func(b *response.Response) error {
				b.Attachments = append(b.Attachments, response.Attachment{Name: "q.jpg", Blob: shared})
				return nil
			})
			return err
		})
		at := w.Ledger.Now()
		w.Clock.Advance(time.Hour)

		order := func(a ledger.Actor) (ledger.Doc[erasure.Order], error) {
			return w.keep.Order(ctx, a, w.Org, "response", id, "at the household's request")
		}
		_, err := order(w.Admin)
		wantCode(t, "an order without a fresh factor", err, "session.step-up")
		for _, a := range []ledger.Actor{w.Manager, w.Viewer, w.Member} {
			if _, err := order(w.fresh(a)); fault.KindOf(err) != fault.NotFound && fault.KindOf(err) != fault.Denied {
				t.Errorf("%s orders an erasure: %v", a.Name, err)
			}
		}
		if _, err := order(w.fresh(w.Outside)); fault.KindOf(err) != fault.NotFound {
			t.Errorf("an outsider orders an erasure: %v", err)
		}
		_, err = w.keep.Order(ctx, w.fresh(w.Admin), w.Org, "response", id, "no")
		wantCode(t, "an order without a reason", err, "erasure.reason")
		_, err = w.keep.Order(ctx, w.fresh(w.Admin), w.Org, "response", w.Org, "at the household's request")
		wantCode(t, "an order for nothing", err, "response.missing")
		o, err := order(w.fresh(w.Admin))
		check(t, err)
		if !w.there(id)[0] {
			t.Error("it was gone when one person had asked")
		}
		_, err = order(w.fresh(w.second))
		wantCode(t, "a second order", err, "erasure.open")
		_, err = w.keep.Confirm(ctx, w.fresh(w.Admin), o.ID)
		wantCode(t, "one person alone", err, "erasure.two")
		_, err = w.keep.Confirm(ctx, w.second, o.ID)
		wantCode(t, "a confirmation without a fresh factor", err, "session.step-up")
		_, err = w.keep.Confirm(ctx, w.fresh(w.Manager), o.ID)
		wantCode(t, "a confirmation by a manager", err, "erasure.missing")

		// Sealed, and called off.
		confirmed, err := w.keep.Confirm(ctx, w.fresh(w.second), o.ID)
		check(t, err)
		if is := w.there(id, submission); is[0] || is[1] {
			t.Errorf("sealed, it is still there: %v", is)
		}
		if confirmed.Body.Due.Sub(w.Ledger.Now()) != erasure.Hold || len(confirmed.Body.Documents) != 2 {
			t.Errorf("the order says %+v", confirmed.Body)
		}
		w.verified("sealed")
		if _, err := w.keep.Carry(ctx); err != nil || !w.blobs.Has(alone) {
			t.Errorf("the job did not wait: %v", err)
		}
		_, _, err = w.keep.Certificate(ctx, w.Admin, o.ID)
		wantCode(t, "a certificate of what is only sealed", err, "erasure.certificate")
		_, err = w.keep.CallOff(ctx, w.Admin, o.ID, "a mistake")
		check(t, err)
		if is := w.there(id, submission); !is[0] || !is[1] {
			t.Errorf("called off, it is not back: %v", is)
		}
		w.Read(t, func(r *ledger.Reader) error {
			d, err := response.Responses.Get(r, id)
			if len(d.Body.Attachments) != 2 || d.Body.Name != "Household 7" {
				t.Errorf("it is back as %+v", d.Body)
			}
			return err
		})
		w.verified("called off")
		_, err = w.keep.Confirm(ctx, w.fresh(w.second), o.ID)
		wantCode(t, "a confirmation of what was called off", err, "erasure.state")

		// Again, to the end.
		o, err = order(w.fresh(w.second))
		check(t, err)
		_, err = w.keep.Confirm(ctx, w.fresh(w.Admin), o.ID)
		check(t, err)
		for _, number := range w.entriesOf(o.ID) {
			if _, err := w.Ledger.Undo(ctx, w.Admin, "", number, access.MayUndo); err == nil {
				t.Errorf("entry %d of the order was undone", number)
			}
		}
		w.Clock.Advance(erasure.Hold - time.Minute)
		if n, err := w.keep.Carry(ctx); n != 0 || err != nil {
			t.Errorf("before its time %d, %v", n, err)
		}
		w.Clock.Advance(2 * time.Minute)
		n, err := w.keep.Carry(ctx)
		if n != 1 || err != nil {
			t.Fatalf("at its time %d, %v", n, err)
		}
		w.verified("erased")
		if is := w.there(id, submission, other); is[0] || is[1] || !is[2] {
			t.Errorf("there is %v", is)
		}
		if w.blobs.Has(alone) || !w.blobs.Has(shared) {
			t.Errorf("its own photo is there: %v, the other's: %v", w.blobs.Has(alone), w.blobs.Has(shared))
		}
		w.Read(t, func(r *ledger.Reader) error {
			past, err := r.At(w.Org, at)
			check(t, err)
			if _, err := response.Responses.Get(past, id); fault.KindOf(err) != fault.NotFound {
				t.Errorf("as of before it is there: %v", err)
			}
			return nil
		})
		for _, number := range append(w.entriesOf(id), w.entriesOf(submission)...) {
			_, err := w.Ledger.Undo(ctx, w.Admin, "", number, func(*ledger.Tx, ledger.Entry) error { return nil })
			wantCode(t, fmt.Sprint("undo of entry ", number), err, "document.erased")
		}
		_, err = w.keep.CallOff(ctx, w.Admin, o.ID, "too late")
		wantCode(t, "calling off what is erased", err, "erasure.late")
		w.certified(o.ID, id)
		check(t, w.Ledger.Rebuild(ctx, nil))
		w.verified("rebuilt")
		if is := w.there(id, submission); is[0] || is[1] {
			t.Errorf("rebuilt, it is back: %v", is)
		}
	})
}

// A server administrator under break-glass decides about no erasure.
func TestVisitorsEraseNothing(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t)())
	id, _ := w.response("Household 7", w.file("a photo"), w.Ledger.Now())
	other, _ := w.response("Household 8", w.file("another photo"), w.Ledger.Now())
	visitor := w.fresh(w.Outside)
	w.Write(t, func(tx *ledger.Tx) error {
		_, err := org.Visit(tx, visitor.ID, w.Org, org.Admins, tx.Now.Add(time.Hour))
		return err
	})
	o, err := w.keep.Order(ctx, w.fresh(w.Admin), w.Org, "response", id, "at the household's request")
	check(t, err)
	_, err = w.keep.Order(ctx, visitor, w.Org, "response", other, "at the household's request")
	wantCode(t, "an order", err, "membership.visitor")
	_, err = w.keep.Confirm(ctx, visitor, o.ID)
	wantCode(t, "a confirmation", err, "membership.visitor")
	_, err = w.keep.CallOff(ctx, visitor, o.ID, "it was a mistake")
	wantCode(t, "a call-off", err, "membership.visitor")
}

func (w *world) entriesOf(doc string) (numbers []int64) {
	w.Read(w.t, func(r *ledger.Reader) error {
		entries, err := r.Entries(ledger.Filter{Doc: doc})
		for _, e := range entries {
			numbers = append(numbers, e.Number)
		}
		return err
	})
	return numbers
}

// certified checks a certificate as an outsider does.
func (w *world) certified(order, subject string) {
	w.t.Helper()
	signed, key, err := w.keep.Certificate(ctx, w.Admin, order)
	check(w.t, err)
	verifier, err := note.NewVerifier(key)
	check(w.t, err)
	n, err := note.Open([]byte(signed), note.VerifierList(verifier))
	if err != nil {
		w.t.Fatalf("%v\n%s", err, signed)
	}
	for _, want := range []string{"qanat erasure certificate 1\n", "subject response " + subject, `"Sam Second"`, `"Amina Admin"`, "documents 2\n", "files 2\n", "\ntree "} {
		if !strings.Contains(n.Text, want) {
			w.t.Errorf("the certificate does not say %q:\n%s", want, n.Text)
		}
	}
	if strings.Contains(n.Text, "Household") || strings.Contains(n.Text, "entry 0") {
		w.t.Errorf("the certificate says\n%s", n.Text)
	}
	if _, err := note.Open(bytes.Replace([]byte(signed), []byte("files 2"), []byte("files 3"), 1), note.VerifierList(verifier)); err == nil {
		w.t.Error("a changed certificate holds")
	}
	if _, _, err := w.keep.Certificate(ctx, w.Manager, order); fault.KindOf(err) != fault.NotFound {
		w.t.Errorf("a manager gets it: %v", err)
	}
}

func TestAPersonIsErased(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t)())
	gone := w.Person(t, "Gaston Gone", w.Org, org.Members)
	token := account.NewToken()
	w.Write(t, func(tx *ledger.Tx) error {
		if err := account.Start(tx, gone.ID, token, account.Visit{}); err != nil {
			return err
		}
		_, err := survey.Phones.Create(tx, w.Org, "", survey.Phone{Account: gone.ID, Name: "his phone", TokenHash: strings.Repeat("a", 64)})
		if err == nil {
			_, err = account.ProviderLinks.Create(tx, "", "", account.ProviderLink{Account: gone.ID, Issuer: "https://login.example.org", Subject: "gaston"})
		}
		if err == nil {
			_, err = org.JoinRequests.Create(tx, w.Org, "", org.JoinRequest{Code: "x", Branch: w.Org, Group: org.Members, Person: gone.ID, State: org.Approved})
		}
		return err
	})
	elsewhere := w.Organization(t, "Other Office")
	m := w.Join(t, gone.ID, elsewhere, org.Members)
	_, err := w.keep.Order(ctx, w.fresh(w.Admin), w.Org, "person", gone.ID, "left the office")
	wantCode(t, "somebody who belongs elsewhere too", err, "erasure.elsewhere")
	w.Write(t, func(tx *ledger.Tx) error { return org.Memberships.Delete(tx, m, 0) })
	_, err = w.keep.Order(ctx, w.fresh(w.Admin), w.Org, "person", w.Outside.ID, "left the office")
	wantCode(t, "somebody who does not belong here", err, "account.missing")
	erase := func() string {
		o, err := w.keep.Order(ctx, w.fresh(w.Admin), w.Org, "person", gone.ID, "left the office")
		check(t, err)
		_, err = w.keep.Confirm(ctx, w.fresh(w.second), o.ID)
		check(t, err)
		return o.ID
	}
	o := erase()
	w.verified("sealed")
	left := func() (n int) {
		w.Read(t, func(r *ledger.Reader) error {
			_, err := r.Row([]any{&n}, "SELECT (SELECT count(*) FROM provider_link WHERE account = $1) + (SELECT count(*) FROM join_request WHERE person = $1)", gone.ID)
			return err
		})
		return n
	}
	if n := left(); n != 0 {
		t.Errorf("%d documents that are about him are left", n)
	}
	if _, err := w.Accounts.Session(ctx, token.Text); err == nil {
		t.Error("his session goes on")
	}
	w.Read(t, func(r *ledger.Reader) error {
		set, err := access.Principals(r, gone)
		if err == nil && set.Person != "" {
			t.Error("he still is somebody")
		}
		return err
	})
	_, err = w.keep.CallOff(ctx, w.Admin, o, "he stays")
	check(t, err)
	orders, err := w.keep.List(ctx, w.Admin, w.Org)
	check(t, err)
	if orders[0].Title == "" || orders[0].MayConfirm {
		t.Errorf("the order that is called off is told as %q, may be confirmed %v", orders[0].Title, orders[0].MayConfirm)
	}
	if n := left(); n != 2 {
		t.Errorf("called off, %d of 2 documents are back", n)
	}
	members, err := w.Orgs.Members(ctx, w.Admin, w.Org)
	check(t, err)
	back := false
	for _, m := range members {
		back = back || m.Account.ID == gone.ID
	}
	if !back {
		t.Error("called off, he is no member")
	}
	w.verified("called off")
	erase()
	w.Clock.Advance(erasure.Hold)
	if n, err := w.keep.Carry(ctx); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	w.verified("erased")
	w.Read(t, func(r *ledger.Reader) error {
		if _, err := account.Accounts.Get(r, gone.ID); fault.KindOf(err) != fault.NotFound {
			t.Errorf("his account: %v", err)
		}
		return r.Each(ledger.Filter{Limit: 1000}, func(e ledger.Entry, content json.RawMessage) error {
			if bytes.Contains(content, []byte("Gaston")) || strings.Contains(e.ActorName, "Gaston") {
				t.Errorf("entry %d of a %s still names him: %s", e.Number, e.Kind, content)
			}
			return nil
		})
	})
}

// The last administrator stays, whoever orders it.
func TestTheLastAdministratorStays(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t)())
	o, err := w.keep.Order(ctx, w.fresh(w.Admin), w.Org, "person", w.Admin.ID, "at my own request")
	check(t, err)
	_, err = w.keep.Confirm(ctx, w.fresh(w.second), o.ID)
	check(t, err) // another is left
	third := w.Person(t, "Third", w.Org, org.Admins)
	o, err = w.keep.Order(ctx, w.fresh(w.second), w.Org, "person", third.ID, "left the office")
	check(t, err)
	_, err = w.keep.Confirm(ctx, w.fresh(third), o.ID)
	check(t, err)
	if _, err := w.keep.Order(ctx, w.fresh(third), w.Org, "person", w.second.ID, "left the office"); err == nil {
		t.Error("who is sealed still orders")
	}
	if err := w.Ledger.Write(ctx, w.second, "", func(tx *ledger.Tx) error {
		for _, m := range mustList(tx, w.second.ID) {
			if err := org.Memberships.Delete(tx, m, 0); err != nil {
				return err
			}
		}
		return nil
	}); fault.From(err).Code != "membership.last-admin" {
		t.Errorf("the last administrator goes: %v", err)
	}
}

func mustList(tx *ledger.Tx, person string) (ids []string) {
	rows := tx.Query("SELECT id FROM membership WHERE person = $1", person)
	for rows.Next() {
		var id string
		rows.Scan(&id)
		ids = append(ids, id)
	}
	if err := rows.Close(); err != nil {
		panic(err)
	}
	return ids
}

func TestRetention(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := newWorld(t, open())
		old := w.file("old photo")
		oldID, oldSubmission := w.response("old", old, w.Ledger.Now())
		deleted, _ := w.response("deleted long ago", w.file("another"), w.Ledger.Now())
		w.Write(t, func(tx *ledger.Tx) error { return response.Responses.Delete(tx, deleted, 0) })
		place, err := w.keepSites().Create(ctx, w.Admin, w.Org, site.Site{Type: "water_point", Name: "stays", Branch: w.Org})
		check(t, err)
		many := 250
		for i := range many {
			w.response(fmt.Sprint("old ", i), old, w.Ledger.Now())
		}
		w.Clock.Advance(40 * 24 * time.Hour)
		young, _ := w.response("young", w.file("young photo"), w.Ledger.Now())

		preview, err := w.keep.Preview(ctx, w.Admin, w.Org, nil)
		check(t, err)
		for _, d := range preview {
			if d.Count != 0 || d.Days != 0 {
				t.Errorf("without a policy %+v", d)
			}
		}
		if _, err := w.keep.Preview(ctx, w.Manager, w.Org, nil); err == nil {
			t.Error("a manager sees it")
		}
		check(t, w.keep.Nightly(ctx))
		if !w.there(oldID)[0] {
			t.Fatal("something expired without a policy")
		}
		w.Write(t, func(tx *ledger.Tx) error {
			_, err := org.Policies.Create(tx, w.Org, org.PolicyID(w.Org), org.Policy{SitePrivacy: "protected", Retention: map[string]int{erasure.Responses: 30}})
			return err
		})
		// For a week it can be taken back.
		w.Clock.Advance(erasure.Hold - time.Second)
		check(t, w.keep.Nightly(ctx))
		if !w.there(oldID)[0] {
			t.Fatal("something expired by a policy that has not stood for a week")
		}
		w.Clock.Advance(time.Second)
		preview, err = w.keep.Preview(ctx, w.Admin, w.Org, nil)
		check(t, err)
		var expected int64
		for _, d := range preview {
			if d.Class == erasure.Responses {
				expected = d.Count
			}
		}
		if expected < int64(many)+1 || !w.there(oldID)[0] {
			t.Errorf("the preview counts %d", expected)
		}
		_, err = w.keep.Expire(ctx, w.Admin, w.Org)
		wantCode(t, "a run without a fresh factor", err, "session.step-up")
		check(t, w.keep.Nightly(ctx))
		if is := w.there(oldID, oldSubmission, deleted, young, place.ID); is[0] || is[1] || is[2] || !is[3] || !is[4] {
			t.Errorf("there is %v", is)
		}
		if w.blobs.Has(old) {
			t.Error("the old photo is there")
		}
		w.verified("expired")
		w.Read(t, func(r *ledger.Reader) error {
			runs, err := erasure.Runs.List(r, "n.org = $1", w.Org)
			if err == nil && (len(runs) != 1 || runs[0].Body.Counts[erasure.Responses] < int64(2*many) || runs[0].Body.CleanedAt.IsZero()) {
				t.Errorf("the runs say %+v", runs)
			}
			return err
		})
		for _, number := range w.entriesOf(oldID) {
			if _, err := w.Ledger.Undo(ctx, w.Admin, "", number, func(*ledger.Tx, ledger.Entry) error { return nil }); err == nil {
				t.Errorf("entry %d was undone", number)
			}
		}
		check(t, w.keep.Nightly(ctx)) // nothing more
		check(t, w.Ledger.Rebuild(ctx, nil))
		w.verified("rebuilt")
	})
}

// TestPhotosExpire lets files go and keeps the answers.
func TestPhotosExpire(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t)())
	alone, shared := w.file("only here"), w.file("also in a young one")
	old, _ := w.response("old", alone, w.Ledger.Now())
	both, _ := w.response("old with a shared one", shared, w.Ledger.Now())
	w.Clock.Advance(40 * 24 * time.Hour)
	young, _ := w.response("young", shared, w.Ledger.Now())
	w.Write(t, func(tx *ledger.Tx) error {
		_, err := org.Policies.Create(tx, w.Org, org.PolicyID(w.Org), org.Policy{SitePrivacy: "protected", Retention: map[string]int{erasure.Photos: 30}})
		return err
	})
	w.Clock.Advance(erasure.Hold)
	check(t, w.keep.Nightly(ctx))
	if w.blobs.Has(alone) || !w.blobs.Has(shared) {
		t.Errorf("the old file is there: %v, the young one: %v", w.blobs.Has(alone), w.blobs.Has(shared))
	}
	if is := w.there(old, both, young); !is[0] || !is[1] || !is[2] {
		t.Errorf("of the responses there are %v", is)
	}
	w.Read(t, func(r *ledger.Reader) error {
		d, err := response.Responses.Get(r, old)
		if a := d.Body.Attachments; len(a) != 1 || !a[0].Expired || a[0].Blob != "" || d.Body.Answers["well"] != "old" {
			t.Errorf("the old response says %+v, %v", d.Body, err)
		}
		d, err = response.Responses.Get(r, young)
		if a := d.Body.Attachments; len(a) != 1 || a[0].Expired || a[0].Blob != shared {
			t.Errorf("the young response says %+v", a)
		}
		return err
	})
	w.verified("expired")
	_, err := w.Ledger.VerifyFiles(ctx, nil, func(hash, document string) {
		if !w.blobs.Has(hash) {
			t.Errorf("verify misses %s of %s", hash, document)
		}
	})
	check(t, err)
	// The same picture sent in again is kept.
	again, _ := w.response("again", w.file("only here"), w.Ledger.Now())
	w.Clock.Advance(24 * time.Hour)
	w.response("another old one", w.file("makes the files be swept"), w.Ledger.Now().AddDate(0, 0, -60))
	check(t, w.keep.Nightly(ctx))
	if !w.blobs.Has(alone) || !w.there(again)[0] {
		t.Error("what was sent in again is gone")
	}
	w.verified("swept again")
}

func (w *world) keepSites() *site.Service {
	s := site.New(w.Ledger, w.blobs)
	w.t.Cleanup(s.Close)
	return s
}
