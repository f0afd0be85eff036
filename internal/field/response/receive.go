package response

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"

	"github.com/qanat-water/qanat/internal/base/blob"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/id"
	"github.com/qanat-water/qanat/internal/field/form"
	"github.com/qanat-water/qanat/internal/field/survey"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// Nouns are what a ledger must know to hold responses.
func Nouns() []ledger.Kind { return []ledger.Kind{&Responses, &Submissions} }

// Service is responses over a ledger and the blobs of their files.
type Service struct {
	Ledger *ledger.Ledger
	Blobs  *blob.Store
	// Sites finds the site of an organization that an answer means by its id or code, if the actor may attach a response to it. Nil: none.
	Sites func(r *ledger.Reader, actor ledger.Actor, org, value string) (site string, found bool, err error)

	mu      sync.Mutex
	schemas map[string]*form.Form // by document id: versions never change
}

// Upload is one request of a phone: the XML, and all or some of the files.
type Upload struct {
	Org        string
	XML        []byte
	Files      []Attachment // as StoreFile gave them
	Incomplete bool         // more files follow in another request
	Device     string
}

// Receipt says what became of an upload. In every case it is on disk.
type Receipt struct {
	Submission string
	Response   string      // empty while in quarantine
	Again      bool        // the same content had come before
	Quarantine *Quarantine // nil when it became a response
}

const (
	maxSchemas    = 64
	maxInlineXML  = 1 << 20 // above it the exact bytes are a blob, since a document has a limit
	maxUploadSize = form.MaxInstance
)

// read is what can be known of an upload before the transaction.
type read struct {
	instance *form.Instance
	broken   error // why instance is nil
	form     string
	answered *form.Answered
	sha256   string
	blob     string // of the XML, when it is long
}

// Receive takes what a phone sends. It is idempotent: the same upload again, whole or in parts, changes nothing. Whatever cannot
// become a response goes into quarantine; only a sender who is nobody, or input beyond all limits, is refused.
func (s *Service) Receive(ctx context.Context, actor ledger.Actor, up Upload) (Receipt, error) {
	if len(up.XML) > maxUploadSize {
		return Receipt{}, fault.Newf(fault.TooLarge, "submission.too_large", "The submission's XML is larger than %d MB", maxUploadSize>>20).WithMend("Send photos and data as files")
	}
	if len(up.Files) > MaxAttachments {
		return Receipt{}, fault.Newf(fault.TooLarge, "submission.attachments", "A submission has at most %d files", MaxAttachments)
	}
	var in read
	sum := sha256.Sum256(up.XML)
	in.sha256 = hex.EncodeToString(sum[:])
	in.instance, in.broken = form.ParseInstance(up.XML)
	if len(up.XML) > maxInlineXML {
		ref, err := s.Blobs.Put(ctx, bytes.NewReader(up.XML), maxUploadSize)
		if err != nil {
			return Receipt{}, err
		}
		in.blob = ref.Hash
	}
	if in.instance != nil {
		err := s.Ledger.Read(ctx, func(r *ledger.Reader) error {
			t, _, err := s.target(r, up.Org, in.instance)
			if err == nil && t.form != "" {
				err = s.answer(r, &in, t.form)
			}
			return err
		})
		if err != nil {
			return Receipt{}, err
		}
	}
	var receipt Receipt
	receive := func(tx *ledger.Tx) (err error) {
		receipt, err = s.receive(tx, actor, up, in)
		return err
	}
	err := s.Ledger.Write(ctx, actor, "", receive)
	if err != nil && fault.KindOf(err) == fault.TooLarge && in.broken == nil { // too much for one document: an administrator must see to it
		in.broken = err
		err = s.Ledger.Write(ctx, actor, "", receive)
	}
	return receipt, err
}

// answer reads the answers by a version of the form.
func (s *Service) answer(r *ledger.Reader, in *read, formID string) error {
	if in.form == formID {
		return nil
	}
	schema, err := s.schema(r, formID)
	if err != nil {
		return err
	}
	in.form, in.answered = formID, form.Answers(schema, in.instance)
	return nil
}

func (s *Service) schema(r *ledger.Reader, formID string) (*form.Form, error) {
	s.mu.Lock()
	schema := s.schemas[formID]
	s.mu.Unlock()
	if schema != nil {
		return schema, nil
	}
	doc, err := survey.Forms.Get(r, formID)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.schemas == nil || len(s.schemas) >= maxSchemas {
		s.schemas = map[string]*form.Form{}
	}
	s.schemas[formID] = doc.Body.Schema
	return doc.Body.Schema, nil
}

// sender is the person who sends: a phone's, or the account itself.
func sender(r *ledger.Reader, actor ledger.Actor, org string) (phone, person string, err error) {
	switch actor.Kind {
	case "phone":
		doc, err := survey.Phones.Get(r, actor.ID)
		if err != nil {
			return "", "", err
		}
		if doc.Org == org && !doc.Body.Revoked {
			return doc.ID, doc.Body.Account, nil
		}
	case "account":
		var one string
		if member, err := r.Row([]any{&one}, "SELECT id FROM membership WHERE person = $1 AND org = $2", actor.ID, org); err != nil || member {
			return "", actor.ID, err
		}
	}
	return "", "", fault.New(fault.Unauthenticated, "submission.sender", "Only a person's phone can send in").WithMend("Scan a new QR code from the portal")
}

// target is where a submission belongs.
type target struct{ survey, branch, form string }

// target finds survey and version by the names a submission has; why says what is missing.
func (s *Service) target(r *ledger.Reader, org string, in *form.Instance) (t target, why *Quarantine, err error) {
	found, err := r.Row([]any{&t.survey, &t.branch}, "SELECT id, branch FROM survey WHERE org = $1 AND form_id = $2", org, in.FormID)
	if err != nil || !found {
		return target{}, &Quarantine{Code: "form.unknown", Reason: "There is no survey with the form id " + in.FormID}, err
	}
	found, err = r.Row([]any{&t.form}, "SELECT id FROM form WHERE survey = $1 AND version = $2", t.survey, in.Version)
	if err != nil || !found {
		return t, &Quarantine{Code: "form.version.unknown", Reason: "The survey has no version \"" + in.Version + "\" of the form"}, err
	}
	return t, nil, nil
}

// deploymentFor finds the deployment that the actor may submit to.
func deploymentFor(r *ledger.Reader, actor ledger.Actor, surveyID string) (string, *Quarantine, error) {
	set, err := access.Principals(r, actor)
	if err != nil {
		return "", nil, err
	}
	where, args, err := set.Visible("deployment", access.Submit)
	if err != nil {
		return "", nil, err
	}
	var deployment string
	args = append(args, surveyID)
	found, err := r.Row([]any{&deployment}, "SELECT n.id FROM deployment n WHERE "+where+" AND n.survey = $"+itoa(len(args))+" ORDER BY n.id LIMIT 1", args...)
	if err != nil || found {
		return deployment, nil, err
	}
	open, err := r.Row([]any{&deployment}, "SELECT id FROM deployment WHERE survey = $1 AND state = 'active' LIMIT 1", surveyID)
	if err != nil {
		return "", nil, err
	}
	if open {
		return "", &Quarantine{Code: "no_permission", Reason: "The sender is not an enumerator of this survey"}, nil
	}
	return "", &Quarantine{Code: "closed", Reason: "The survey has no open deployment"}, nil
}

func (s *Service) receive(tx *ledger.Tx, actor ledger.Actor, up Upload, in read) (Receipt, error) {
	phone, person, err := sender(tx.Reader, actor, up.Org)
	if err != nil {
		return Receipt{}, err
	}
	sub := Submission{Phone: phone, Enumerator: person, Device: clipped(up.Device), Received: tx.Now, SHA256: in.sha256, Size: int64(len(up.XML)), Blob: in.blob, Branch: up.Org}
	if in.blob == "" {
		sub.XML = up.XML
	}
	if in.instance == nil {
		return s.quarantine(tx, up, sub, unreadable(in.broken))
	}
	sub.FormID, sub.Version, sub.InstanceID = in.instance.FormID, in.instance.Version, in.instance.InstanceID
	conflictOf, receipt, err := s.known(tx, up, sub)
	if err != nil || receipt != nil {
		return value(receipt), err
	}
	t, why, err := s.target(tx.Reader, up.Org, in.instance)
	if err != nil {
		return Receipt{}, err
	}
	if t.survey != "" {
		sub.Survey, sub.Branch = t.survey, t.branch
	}
	if why == nil && in.broken != nil {
		why = unreadable(in.broken)
	}
	var deployment string
	if why == nil {
		if deployment, why, err = deploymentFor(tx.Reader, actor, t.survey); err != nil {
			return Receipt{}, err
		}
	}
	if why != nil {
		return s.quarantine(tx, up, sub, why)
	}
	if err := s.answer(tx.Reader, &in, t.form); err != nil {
		return Receipt{}, err
	}
	submissionID, responseID := id.New(), id.New()
	sub.Response = responseID
	if _, err := Submissions.Create(tx, up.Org, submissionID, sub); err != nil {
		return Receipt{}, err
	}
	body, err := s.make(tx, actor, up.Org, submissionID, sub, t, deployment, in)
	if err != nil {
		return Receipt{}, err
	}
	body.ConflictOf, body.Incomplete = conflictOf, up.Incomplete
	body.Attachments = join(body.Attachments, up.Files, true)
	_, err = Responses.Create(tx, up.Org, responseID, body)
	return Receipt{Submission: submissionID, Response: responseID}, err
}

func unreadable(err error) *Quarantine {
	f := fault.From(err)
	return &Quarantine{Code: f.Code, Reason: f.Error()}
}

func value(r *Receipt) Receipt {
	if r == nil {
		return Receipt{}
	}
	return *r
}

// known looks for what came before under the same form and instanceID. The same content again only brings files; other content is a
// conflict with the first.
func (s *Service) known(tx *ledger.Tx, up Upload, sub Submission) (conflictOf string, receipt *Receipt, err error) {
	var ids, responses, sums []string
	rows := tx.Query("SELECT id, response, sha256 FROM submission WHERE org = $1 AND form_id = $2 AND instance_id = $3 ORDER BY id", up.Org, sub.FormID, sub.InstanceID)
	for rows.Next() {
		var a, b, c string
		rows.Scan(&a, &b, &c)
		ids, responses, sums = append(ids, a), append(responses, b), append(sums, c)
	}
	if err := rows.Close(); err != nil {
		return "", nil, err
	}
	for i := range ids {
		if sums[i] == sub.SHA256 {
			receipt, err = s.again(tx, up, ids[i])
			return "", receipt, err
		}
		if conflictOf == "" {
			conflictOf = responses[i]
		}
	}
	return conflictOf, nil, nil
}

// again adds the files of an upload to what its XML has become.
func (s *Service) again(tx *ledger.Tx, up Upload, submissionID string) (*Receipt, error) {
	doc, err := Submissions.Get(tx.Reader, submissionID)
	if err != nil {
		return nil, err
	}
	receipt := &Receipt{Submission: doc.ID, Response: doc.Body.Response, Again: true}
	if doc.Body.Response != "" {
		_, err := Responses.Update(tx, doc.Body.Response, 0, func(b *Response) error {
			b.Attachments = join(b.Attachments, up.Files, true)
			b.Incomplete = up.Incomplete && b.Incomplete
			return nil
		})
		if err == nil || fault.KindOf(err) != fault.NotFound {
			return receipt, err
		}
		receipt.Response = "" // somebody deleted the response; its late files stay with the submission
	}
	if doc.Body.held() {
		receipt.Quarantine = doc.Body.Quarantine
	}
	_, err = Submissions.Update(tx, doc.ID, 0, func(b *Submission) error { b.Attachments = join(b.Attachments, up.Files, false); return nil })
	return receipt, err
}

// make builds the response of a submission.
func (s *Service) make(tx *ledger.Tx, actor ledger.Actor, org, submissionID string, sub Submission, t target, deployment string, in read) (Response, error) {
	d, err := survey.Deployments.Get(tx.Reader, deployment)
	if err != nil {
		return Response{}, err
	}
	a := in.answered
	body := Response{Survey: t.survey, Deployment: deployment, Form: t.form, InstanceID: sub.InstanceID, Name: clipped(in.instance.InstanceName), State: Final, Enumerator: sub.Enumerator,
		Submission: submissionID, Location: a.Location, Started: a.Started, Ended: a.Ended, Submitted: sub.Received, Answers: a.Answers, Attachments: expect(a.Files),
		Replaces: in.instance.DeprecatedID, Flags: a.Flags}
	if len(d.Body.Stages) > 0 {
		body.State = Pending
	}
	body.Site, err = s.siteOf(tx.Reader, actor, org, d.Body.SiteQuestion, a.Answers)
	return body, err
}

// clipped keeps short what others wrote.
func clipped(s string) string {
	if r := []rune(s); len(r) > 200 {
		return string(r[:200])
	}
	return s
}
