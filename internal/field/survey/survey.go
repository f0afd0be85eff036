// Package survey keeps surveys, the versions of their forms, their deployments, and the phones that fill them in.
//
// It guarantees: a version of a form never changes and keeps the exact bytes that were uploaded; what a response was filled in with
// stays as long as the response. Rights are asked of people/access inside the transaction that acts on them. Rules stand in the
// nouns' Check, so an undo obeys them too: a revoked phone stays revoked. No deployment, grant or new version shares answers further
// than the organization's policy says, unless an admin of the organization has accepted just that.
//
// Limits: one form id per organization; a version's readable content fits into one document (ledger.MaxBody). Media files of a form
// are up to MaxFile bytes.
//
// Who controls this package chooses what phones are asked and who may answer, and can make tokens; he reads no answers by it. A
// phone's token is kept as its SHA-256 only and gives its holder the enumerator's right to see forms and send in, nothing else.
package survey

import (
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/field/form"
	"github.com/qanat-water/qanat/internal/ledger"
)

// MaxFile is the most bytes of one of a form's own files.
const MaxFile = 100 << 20

// Survey is a form through its versions, and who manages it.
type Survey struct {
	Name   string `json:"name"`
	Branch string `json:"branch" doc:"branch that manages it; its admins are the survey's administrators"`
	FormID string `json:"form_id" doc:"the form's own id, the same in all versions"`
	Form   string `json:"form" doc:"document id of the current version"`
}

// Form is one version of a survey's form.
type Form struct {
	Survey  string     `json:"survey"`
	FormID  string     `json:"form_id"`
	Version string     `json:"version"`
	Title   string     `json:"title"`
	Hash    string     `json:"hash" doc:"MD5 of the XML, hexadecimal, as phones compare it"`
	Blob    string     `json:"blob" doc:"the exact XML"`
	Size    int64      `json:"size"`
	Schema  *form.Form `json:"schema"`
}

// FormFile is a file that a version of a form needs on the phone: a picture, a list of villages.
type FormFile struct {
	Form string `json:"form"`
	Name string `json:"name"`
	Hash string `json:"hash" doc:"MD5, hexadecimal"`
	Blob string `json:"blob"`
	Size int64  `json:"size"`
}

// Surveys is the noun of surveys.
var Surveys = ledger.Noun[Survey]{
	Name: "survey",
	Table: &ledger.Table[Survey]{
		Columns: []ledger.Column{{Name: "branch", Type: ledger.Text}, {Name: "name", Type: ledger.Text}, {Name: "form_id", Type: ledger.Text}, {Name: "form", Type: ledger.Text}},
		Unique:  [][]string{{"org", "form_id"}},
		Indexes: [][]string{{"org", "name"}},
		Row: func(d ledger.Doc[Survey]) []any {
			return []any{d.Body.Branch, d.Body.Name, d.Body.FormID, d.Body.Form}
		},
	},
}

// Forms is the noun of versions of forms.
var Forms = ledger.Noun[Form]{
	Blobs: func(f Form) []string { return []string{f.Blob} },
	Name:  "form",
	Table: &ledger.Table[Form]{
		Columns: []ledger.Column{{Name: "survey", Type: ledger.Text}, {Name: "form_id", Type: ledger.Text}, {Name: "version", Type: ledger.Text},
			{Name: "title", Type: ledger.Text}, {Name: "hash", Type: ledger.Text}, {Name: "made", Type: ledger.Integer}},
		Unique: [][]string{{"survey", "version"}},
		Row: func(d ledger.Doc[Form]) []any {
			return []any{d.Body.Survey, d.Body.FormID, d.Body.Version, d.Body.Title, d.Body.Hash, d.Changed.UnixMilli()}
		},
	},
}

// The rules read each other's nouns, so they are set when all of these are there.
func init() {
	Surveys.Check, Forms.Check, Deployments.Check = checkSurvey, checkForm, checkDeployment
}

// FormFiles is the noun of the files of forms.
var FormFiles = ledger.Noun[FormFile]{
	Blobs: func(f FormFile) []string { return []string{f.Blob} },
	Name:  "form_file",
	Table: &ledger.Table[FormFile]{
		Columns: []ledger.Column{{Name: "form", Type: ledger.Text}, {Name: "name", Type: ledger.Text}, {Name: "hash", Type: ledger.Text}},
		Unique:  [][]string{{"form", "name"}},
		Row:     func(d ledger.Doc[FormFile]) []any { return []any{d.Body.Form, d.Body.Name, d.Body.Hash} },
	},
	Check: func(tx *ledger.Tx, before, after *ledger.Doc[FormFile]) error {
		if after == nil {
			return nil
		}
		if form.FileName(after.Body.Name) != after.Body.Name {
			return fault.Newf(fault.Invalid, "form_file.name", "%.80q is no file name", after.Body.Name).At("/name", "not a plain file name", "Name the file as the form does")
		}
		f, err := Forms.Get(tx.Reader, after.Body.Form)
		if err != nil {
			return err
		}
		return sameOrg(f.Org, after.Org, "form_file")
	},
}

// Holder is a package on the same floor that keeps what was answered. Surveys ask it before something is removed and tell it when
// a deployment changes, in the same transaction.
type Holder struct {
	FormUsed          func(tx *ledger.Tx, form string) (bool, error)
	DeploymentUsed    func(tx *ledger.Tx, deployment string) (bool, error)
	DeploymentChanged func(tx *ledger.Tx, before, after *ledger.Doc[Deployment]) error
}

var holders []Holder

// Hold makes a Holder known. It is called while packages are initialized.
func Hold(h Holder) bool {
	holders = append(holders, h)
	return true
}

func checkName(noun, name string) error {
	if strings.TrimSpace(name) == "" || utf8.RuneCountInString(name) > 200 {
		return fault.Newf(fault.Invalid, noun+".name", "A %s needs a name of at most 200 characters", noun).At("/name", "empty or too long", "Give it a short name")
	}
	return nil
}

func sameOrg(a, b, noun string) error {
	if a != b {
		return fault.Newf(fault.Invalid, noun+".org", "What a %s refers to must belong to the same organization", noun).WithMend("Choose one of this organization")
	}
	return nil
}

func checkSurvey(tx *ledger.Tx, before, after *ledger.Doc[Survey]) error {
	if after == nil {
		var one string
		deployed, err := tx.Row([]any{&one}, "SELECT id FROM deployment WHERE survey = $1", before.ID)
		if err == nil && deployed {
			err = fault.New(fault.Conflict, "survey.used", "The survey has deployments").WithMend("Delete its deployments first, or close them and keep the survey")
		}
		return err
	}
	if err := checkName("survey", after.Body.Name); err != nil {
		return err
	}
	var org string
	if found, err := tx.Row([]any{&org}, "SELECT org FROM branch WHERE id = $1", after.Body.Branch); err != nil {
		return err
	} else if !found || org != after.Org {
		return fault.New(fault.Invalid, "survey.branch", "The survey needs a branch of its organization").At("/branch", "no such branch", "Choose the branch that manages the survey")
	}
	if before != nil && before.Body.FormID != after.Body.FormID {
		return fault.New(fault.Invalid, "survey.form_id", "A survey's form id cannot change").WithMend("Make another survey for the other form")
	}
	current, err := Forms.Get(tx.Reader, after.Body.Form)
	if err != nil {
		return err
	}
	if current.Body.Survey != after.ID || current.Body.FormID != after.Body.FormID {
		return fault.New(fault.Invalid, "survey.form", "The form is not one of this survey's versions").At("/form", "a version of another survey", "Choose one of this survey's versions")
	}
	return formKeepsPolicy(tx, before, after)
}

func checkForm(tx *ledger.Tx, before, after *ledger.Doc[Form]) error {
	switch {
	case before == nil:
		if after.Body.Schema == nil || after.Body.Blob == "" || after.Body.Survey == "" || after.Body.FormID != after.Body.Schema.ID || after.Body.Version != after.Body.Schema.Version {
			return fault.New(fault.Invalid, "form.incomplete", "A form version is made of an XForm").WithMend("Upload the XForm")
		}
		return nil
	case after != nil:
		if !reflect.DeepEqual(before.Body, after.Body) {
			return fault.New(fault.Invalid, "form.fixed", "A version of a form never changes").WithMend("Upload a new version")
		}
		return nil
	}
	s, err := Surveys.Get(tx.Reader, before.Body.Survey)
	if err == nil && s.Body.Form == before.ID {
		return fault.New(fault.Conflict, "form.current", "This is the survey's current form").WithMend("Make another version the current one first")
	}
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return err
	}
	for _, h := range holders {
		if used, err := h.FormUsed(tx, before.ID); err != nil {
			return err
		} else if used {
			return fault.New(fault.Conflict, "form.used", "Responses were filled in with this version").WithMend("Keep it; upload a new version for what comes")
		}
	}
	return nil
}
