// Package response keeps what people in the field send in: the submission exactly as it came, and the response made of it.
//
// It guarantees: nothing that a phone sent is lost or changed. The XML is kept byte for byte; the same content again is the same
// response; other content under the same instanceID is kept as a conflict; what cannot become a response (no permission, unknown
// form, unreadable XML) waits in quarantine with its bytes until an administrator releases it; a file nobody asked for is kept and
// flagged. Photos are on disk before the document that names them. Rules stand in the nouns' Check, so an undo obeys them too.
//
// One thing is taken away on purpose: a JPEG photo loses its position and all other data about the camera except those in jpeg.go.
//
// Limits: MaxAttachments files to a response. Answers must fit into one document (ledger.MaxBody); larger ones stay in quarantine.
// Files other than JPEG are kept as they are, position included.
//
// Who controls this package reads and changes all answers, but not unnoticed: each change is an entry.
package response

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/field/form"
	"github.com/qanat-water/qanat/internal/ledger"
)

// MaxAttachments is the most files of one response.
const MaxAttachments = 500

// The states of a response.
const (
	Draft    = "draft"
	Pending  = "pending"
	Rejected = "rejected"
	Final    = "final"
)

// Response is what one filling-in of a form says, and how far it has been checked.
type Response struct {
	Survey      string         `json:"survey"`
	Deployment  string         `json:"deployment"`
	Form        string         `json:"form" doc:"document id of the version it was filled in with"`
	InstanceID  string         `json:"instance_id"`
	Name        string         `json:"name,omitempty" doc:"what the form calls it"`
	State       string         `json:"state" enum:"draft,pending,rejected,final"`
	Enumerator  string         `json:"enumerator" doc:"account"`
	Submission  string         `json:"submission,omitempty" doc:"what it was made of; empty for one begun in the portal"`
	Site        string         `json:"site,omitempty"`
	Location    *form.Point    `json:"location,omitempty"`
	Started     string         `json:"started,omitempty" doc:"by the phone's clock, as it wrote it"`
	Ended       string         `json:"ended,omitempty"`
	Submitted   time.Time      `json:"submitted,omitzero"`
	Answers     map[string]any `json:"answers"`
	Attachments []Attachment   `json:"attachments,omitempty"`
	Incomplete  bool           `json:"incomplete,omitempty" doc:"the phone has announced more files"`
	Approvals   []Approval     `json:"approvals,omitempty"`
	Rejection   *Rejection     `json:"rejection,omitempty"`
	ConflictOf  string         `json:"conflict_of,omitempty" doc:"earlier response with the same instanceID and other content"`
	Replaces    string         `json:"replaces,omitempty" doc:"instanceID that the phone says this one corrects"`
	Flags       []form.Flag    `json:"flags,omitempty"`
}

// Attachment is a photo or file of a response.
type Attachment struct {
	Name       string `json:"name"`
	Blob       string `json:"blob,omitempty"`
	Size       int64  `json:"size,omitempty"`
	Type       string `json:"type,omitempty" doc:"media type, found in the content"`
	Missing    bool   `json:"missing,omitempty" doc:"an answer names it, and it has not come yet"`
	Expired    bool   `json:"expired,omitempty" doc:"it was kept for as long as the organization keeps files"`
	Unexpected bool   `json:"unexpected,omitempty" doc:"no answer names it"`
	Position   string `json:"position,omitempty" enum:",unknown" doc:"unknown: the picture could not be searched for its position"`
}

// Approval is one stage passed.
type Approval struct {
	Stage    string    `json:"stage"`
	By       string    `json:"by"`
	Name     string    `json:"name"`
	At       time.Time `json:"at"`
	Override bool      `json:"override,omitempty" doc:"by somebody who is no approver of the stage"`
}

// Rejection says why a response went back.
type Rejection struct {
	By       string    `json:"by"`
	Name     string    `json:"name"`
	At       time.Time `json:"at"`
	Reason   string    `json:"reason"`
	Override bool      `json:"override,omitempty"`
}

// Responses is the noun of responses.
var Responses = ledger.Noun[Response]{
	Name:  "response",
	Blobs: func(r Response) []string { return blobsOf(r.Attachments) },
	Table: &ledger.Table[Response]{
		Columns: []ledger.Column{{Name: "survey", Type: ledger.Text}, {Name: "deployment", Type: ledger.Text}, {Name: "form", Type: ledger.Text}, {Name: "site", Type: ledger.Text},
			{Name: "state", Type: ledger.Text}, {Name: "enumerator", Type: ledger.Text}, {Name: "instance_id", Type: ledger.Text}, {Name: "name", Type: ledger.Text},
			{Name: "submitted", Type: ledger.Integer}, {Name: "approvals", Type: ledger.Integer}, {Name: "files", Type: ledger.Integer}},
		Indexes: [][]string{{"org", "id"}, {"survey", "state"}, {"deployment", "state"}, {"site"}, {"enumerator"}, {"form"}},
		Row: func(d ledger.Doc[Response]) []any {
			b := d.Body
			var submitted any
			if !b.Submitted.IsZero() {
				submitted = b.Submitted.UnixMilli()
			}
			return []any{b.Survey, b.Deployment, b.Form, b.Site, b.State, b.Enumerator, b.InstanceID, b.Name, submitted, len(b.Approvals), len(blobsOf(b.Attachments))}
		},
	},
}

// Submission is what came from a phone, as it came.
type Submission struct {
	FormID      string       `json:"form_id,omitempty"`
	Version     string       `json:"version,omitempty"`
	InstanceID  string       `json:"instance_id,omitempty"`
	Phone       string       `json:"phone"`
	Enumerator  string       `json:"enumerator"`
	Device      string       `json:"device,omitempty" doc:"what the form app calls the phone"`
	Received    time.Time    `json:"received"`
	SHA256      string       `json:"sha256" doc:"of the XML, hexadecimal"`
	Size        int64        `json:"size"`
	XML         []byte       `json:"xml,omitempty" doc:"the exact bytes"`
	Blob        string       `json:"blob,omitempty" doc:"where the exact bytes are when there are many"`
	Survey      string       `json:"survey,omitempty"`
	Branch      string       `json:"branch" doc:"the survey's, or the organization's while the survey is not known"`
	Response    string       `json:"response,omitempty"`
	Quarantine  *Quarantine  `json:"quarantine,omitempty"`
	Attachments []Attachment `json:"attachments,omitempty" doc:"while there is no response that has them"`
}

// Quarantine says why a submission has not become a response.
type Quarantine struct {
	Code     string    `json:"code"`
	Reason   string    `json:"reason"`
	Released time.Time `json:"released,omitzero"`
	By       string    `json:"by,omitempty"`
}

func (s Submission) held() bool { return s.Quarantine != nil && s.Quarantine.Released.IsZero() }

// Submissions is the noun of submissions.
var Submissions = ledger.Noun[Submission]{
	Name: "submission",
	Blobs: func(s Submission) []string {
		if s.Blob == "" {
			return blobsOf(s.Attachments)
		}
		return append(blobsOf(s.Attachments), s.Blob)
	},
	Table: &ledger.Table[Submission]{
		Columns: []ledger.Column{{Name: "form_id", Type: ledger.Text}, {Name: "instance_id", Type: ledger.Text}, {Name: "sha256", Type: ledger.Text}, {Name: "response", Type: ledger.Text},
			{Name: "survey", Type: ledger.Text}, {Name: "branch", Type: ledger.Text}, {Name: "enumerator", Type: ledger.Text}, {Name: "held", Type: ledger.Integer}, {Name: "received", Type: ledger.Integer}},
		Unique:  [][]string{{"org", "form_id", "instance_id", "sha256"}},
		Indexes: [][]string{{"org", "held", "received"}, {"response"}},
		Row: func(d ledger.Doc[Submission]) []any {
			b := d.Body
			held := 0
			if b.held() {
				held = 1
			}
			return []any{b.FormID, b.InstanceID, b.SHA256, b.Response, b.Survey, b.Branch, b.Enumerator, held, b.Received.UnixMilli()}
		},
	},
}

// blobsOf are the files that have come.
func blobsOf(list []Attachment) []string {
	var named []string
	for _, a := range list {
		if a.Blob != "" {
			named = append(named, a.Blob)
		}
	}
	return named
}

// The rules read each other's nouns, so they are set when both are there.
func init() {
	Responses.Check, Submissions.Check = checkResponse, checkSubmission
}

func checkResponse(_ *ledger.Tx, before, after *ledger.Doc[Response]) error {
	if after == nil {
		return nil
	}
	b := after.Body
	switch b.State {
	case Draft, Rejected:
		if len(b.Approvals) > 0 {
			return fault.Newf(fault.Invalid, "response.approvals", "A %s response has no approvals", b.State).WithMend("Submit it first")
		}
	case Pending, Final:
	default:
		return fault.Newf(fault.Invalid, "response.state", "A response is a draft, pending, rejected or final, not %.40q", b.State)
	}
	if (b.State == Rejected) != (b.Rejection != nil) {
		return fault.New(fault.Invalid, "response.rejection", "A response is rejected with a reason, and has none otherwise").At("/rejection", "does not fit the state", "Reject it with a reason")
	}
	if b.Rejection != nil && (strings.TrimSpace(b.Rejection.Reason) == "" || utf8.RuneCountInString(b.Rejection.Reason) > 2000) {
		return fault.New(fault.Invalid, "response.reason", "Rejecting needs a reason of at most 2000 characters").At("/rejection/reason", "empty or too long", "Say what the enumerator should mend")
	}
	if len(b.Attachments) > MaxAttachments {
		return fault.Newf(fault.TooLarge, "response.attachments", "A response has at most %d files", MaxAttachments)
	}
	if before != nil {
		a := before.Body
		if a.Survey != b.Survey || a.Deployment != b.Deployment || a.Form != b.Form || a.InstanceID != b.InstanceID || a.Submission != b.Submission || a.Enumerator != b.Enumerator || a.ConflictOf != b.ConflictOf {
			return fault.New(fault.Invalid, "response.fixed", "Who filled in which form, and when, does not change").WithMend("Change the answers or the site")
		}
	}
	return nil
}

func checkSubmission(tx *ledger.Tx, before, after *ledger.Doc[Submission]) error {
	if after == nil {
		if before.Body.Response == "" {
			return nil
		}
		_, err := Responses.Get(tx.Reader, before.Body.Response)
		if err == nil {
			return fault.New(fault.Conflict, "submission.used", "The submission's response stands on it").WithMend("Undo or delete the response first")
		}
		if fault.KindOf(err) == fault.NotFound {
			return nil
		}
		return err
	}
	if before != nil {
		a, b := before.Body, after.Body
		if a.SHA256 != b.SHA256 || string(a.XML) != string(b.XML) || a.Blob != b.Blob || a.Enumerator != b.Enumerator || a.Phone != b.Phone || !a.Received.Equal(b.Received) {
			return fault.New(fault.Invalid, "submission.fixed", "What was sent in does not change")
		}
	}
	if len(after.Body.Attachments) > MaxAttachments {
		return fault.Newf(fault.TooLarge, "submission.attachments", "A submission has at most %d files", MaxAttachments)
	}
	return nil
}
