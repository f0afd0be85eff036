// Package erasure takes out of the ledger what must be forgotten: a person, a
// response, a site or a submission by order of two people, and whatever is older
// than an organization wants to keep.
//
// It guarantees that nothing is erased by one person alone: one administrator of
// the organization orders, another confirms, each with a fresh second factor and
// one with a reason. Confirmed, it is sealed: nobody reads it in any list,
// record, export or history. For seven days an administrator can call it off,
// and it is back as it was. Then a job destroys the keys of its documents, and the
// files that nothing else names; nothing brings it back, an undo least of all. The
// order stays, without any content of what it erased, and a certificate says when
// and by whom. The tree of the ledger verifies before and after.
//
// Retention is set by one person, in the policy; fewer days than before hold when
// the policy has said so for seven days.
//
// Limits: other documents' entries keep the name of whoever made them, and answers
// keep what people wrote into them. A person who belongs to several organizations
// is erased when only one is left. Copies that left the server (exports, backups)
// are not reached.
//
// Who controls it can destroy data of any organization, after seven days, and not
// unnoticed: each order is an entry.
package erasure

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/qanat-water/qanat/internal/base/blob"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/fleet/reading"
	"github.com/qanat-water/qanat/internal/fleet/refusal"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// Hold is how long what is sealed can be called back.
const Hold = 7 * 24 * time.Hour

// The states of an order.
const (
	Ordered   = "ordered"
	Sealed    = "sealed"
	Erased    = "erased"
	CalledOff = "called-off"
)

// Kinds are what can be erased.
var Kinds = []string{"person", "response", "site", "submission"}

// Order is an erasure on its way, and what is left to say of it.
type Order struct {
	Kind    string `json:"kind" enum:"person,response,site,submission"`
	Subject string `json:"subject" doc:"id of what is erased"`
	State   string `json:"state" enum:"ordered,sealed,erased,called-off"`
	Reason  string `json:"reason" doc:"kept for ever: it names no content"`

	OrderedBy     string    `json:"ordered_by"`
	OrderedName   string    `json:"ordered_name"`
	OrderedAt     time.Time `json:"ordered_at"`
	ConfirmedBy   string    `json:"confirmed_by,omitempty"`
	ConfirmedName string    `json:"confirmed_name,omitempty"`
	ConfirmedAt   time.Time `json:"confirmed_at,omitzero"`
	Due           time.Time `json:"due,omitzero" doc:"when it is erased, if nobody calls it off"`
	CalledBy      string    `json:"called_by,omitempty" doc:"who called it off"`
	CalledName    string    `json:"called_name,omitempty"`
	CalledAt      time.Time `json:"called_at,omitzero"`
	ErasedAt      time.Time `json:"erased_at,omitzero" doc:"when its keys were destroyed"`
	CleanedAt     time.Time `json:"cleaned_at,omitzero" doc:"when its files, and the traces of its keys in the database, were gone too"`

	Documents []Target `json:"documents,omitempty"`
	Files     int      `json:"files,omitempty" doc:"files that its documents named"`
}

// Target is a document that goes with an order.
type Target struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
	Back bool   `json:"back,omitempty" doc:"it was there, and is again when the order is called off"`
}

// Orders is the noun of erasures.
var Orders = ledger.Noun[Order]{
	Name: "erasure",
	Table: &ledger.Table[Order]{
		Columns: []ledger.Column{{Name: "subject", Type: ledger.Text}, {Name: "state", Type: ledger.Text}, {Name: "due", Type: ledger.Integer}, {Name: "cleaned", Type: ledger.Integer}},
		Indexes: [][]string{{"org"}, {"state", "due"}, {"subject"}},
		Row: func(d ledger.Doc[Order]) []any {
			cleaned := 0
			if !d.Body.CleanedAt.IsZero() {
				cleaned = 1
			}
			return []any{d.Body.Subject, d.Body.State, d.Body.Due.UnixMilli(), cleaned}
		},
	},
	Erases: func(o Order) (sealed, erased []string) {
		for _, t := range o.Documents {
			switch o.State {
			case Sealed:
				sealed = append(sealed, t.ID)
			case Erased:
				erased = append(erased, t.ID)
			}
		}
		return sealed, erased
	},
}

func init() { Orders.Check, Batches.Check, Runs.Check = checkOrder, checkBatch, checkRun }

// Nouns are the nouns of this package, for ledger.Config.
func Nouns() []ledger.Kind { return []ledger.Kind{&Orders, &Batches, &Runs} }

var (
	_ = access.Register(&Orders, access.Columns{Branch: "org"}, func(_ *ledger.Reader, d ledger.Doc[Order]) (access.Thing, error) {
		return access.Thing{Branch: d.Org, Name: d.Body.Kind}, nil
	}, access.Rule{Kind: "erasure", Who: []string{"admins"}, May: []access.Verb{access.See, access.Create, access.Approve, access.Recall}})
	_ = access.Register(&Runs, access.Columns{Branch: "org"}, func(_ *ledger.Reader, d ledger.Doc[Run]) (access.Thing, error) {
		return access.Thing{Branch: d.Org}, nil
	}, access.Rule{Kind: "retention_run", Who: []string{"admins"}, May: []access.Verb{access.See, access.Create}})
)

// thing is the right to erase in an organization.
func thing(organization string) access.Thing {
	return access.Thing{Kind: "erasure", Org: organization, Branch: organization}
}

// checkOrder lets an order only go forward, so that no undo brings one back or
// takes the second person out of it.
func checkOrder(tx *ledger.Tx, before, after *ledger.Doc[Order]) error {
	if after == nil {
		return fault.New(fault.Conflict, "erasure.stays", "An order to erase stays on record").WithMend("Call it off instead, while it can be")
	}
	if err := access.Deciding(tx, after.Org); err != nil {
		return err
	}
	b := after.Body
	if !slices.Contains(Kinds, b.Kind) || b.Subject == "" {
		return fault.Newf(fault.Invalid, "erasure.kind", "%.40q cannot be erased", b.Kind).At("/kind", "unknown", "One of "+strings.Join(Kinds, ", "))
	}
	if n := utf8.RuneCountInString(strings.TrimSpace(b.Reason)); n < 5 || n > 500 {
		return fault.New(fault.Invalid, "erasure.reason", "An erasure needs a reason of 5 to 500 characters").
			At("/reason", "missing, or too long", "Say on whose request, or by which rule, and no name")
	}
	from := ""
	if before != nil {
		a := before.Body
		if a.Kind != b.Kind || a.Subject != b.Subject || a.Reason != b.Reason || a.OrderedBy != b.OrderedBy {
			return fault.New(fault.Conflict, "erasure.fixed", "What an order says stays").WithMend("Call it off, and order again")
		}
		from = a.State
	}
	switch from + ">" + b.State {
	case ">" + Ordered, Ordered + ">" + CalledOff, Sealed + ">" + CalledOff:
		return nil
	case Ordered + ">" + Sealed:
		if b.ConfirmedBy == "" || b.ConfirmedBy == b.OrderedBy {
			return onePerson()
		}
		if b.Due.Sub(b.ConfirmedAt) < Hold {
			return fault.New(fault.Invalid, "erasure.hold", "What is to be erased is sealed for seven days first")
		}
		return nil
	case Sealed + ">" + Erased:
		if b.ErasedAt.Before(b.Due) {
			return fault.New(fault.Invalid, "erasure.hold", "The seven days are not over")
		}
		return nil
	case Erased + ">" + Erased:
		if !before.Body.ErasedAt.Equal(b.ErasedAt) || !slices.Equal(before.Body.Documents, b.Documents) {
			return fault.New(fault.Conflict, "erasure.done", "What was erased does not change")
		}
		return nil
	}
	return fault.Newf(fault.Conflict, "erasure.state", "An erasure that is %s cannot become %s", from, b.State).WithMend("Load it again")
}

func onePerson() error {
	return fault.New(fault.Denied, "erasure.two", "An erasure takes two people: you ordered this one").
		WithMend("Ask another administrator of the organization to confirm it")
}

// Service orders and erases.
type Service struct {
	Ledger   *ledger.Ledger
	Blobs    *blob.Store
	Readings *reading.Store
	Refusals *refusal.Book
	// Quiet is how long a file that nothing names is kept, because somebody may be about to; 0: a day.
	Quiet time.Duration
}
