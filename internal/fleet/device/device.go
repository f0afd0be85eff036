// Package device knows the devices of every organization and lets them in.
//
// A device's life: registered (allowed to claim, nothing more) -> claimed (holds
// a certificate) -> active (has come in) -> revoked. Each step is an entry with
// who and why. It guarantees that a certificate is issued only against the
// one-time code of that device, which is kept as a keyed hash, expires, and is
// void after five wrong tries; that what was revoked stays revoked, undo
// included; and that a device whose certificate is revoked, or whose document
// is deleted, undone or moved to another organization, is told to every door
// within a second, by whatever way the document was changed.
//
// Claim is the one entry without a session: it answers the same, after the same
// time, for an unknown serial number and a wrong code.
//
// Limits: one code and one claim at a time for a device; renewal over its own
// certificate and quarantine are not built yet. Who controls this package lets
// in whom he likes.
package device

import (
	"fmt"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// State is where a device is in its life.
type State string

// The states.
const (
	Registered State = "registered"
	Claimed    State = "claimed"
	Active     State = "active"
	Revoked    State = "revoked"
)

// Device is a thing that measures.
type Device struct {
	Serial       string        `json:"serial" doc:"as printed on it; unique in its organization"`
	Name         string        `json:"name"`
	Model        string        `json:"model,omitempty"`
	Site         string        `json:"site,omitempty" doc:"id of the site it stands at"`
	Branch       string        `json:"branch" doc:"id of the branch that manages it"`
	State        State         `json:"state"`
	Claim        *Claim        `json:"claim,omitempty" doc:"the open claim code, as a hash"`
	Certificates []Certificate `json:"certificates,omitempty"`
	Channels     []Channel     `json:"channels,omitempty"`
}

// Claim is an open claim code.
type Claim struct {
	Hash    string    `json:"hash"`
	Expires time.Time `json:"expires"`
	Tries   int       `json:"tries"` // wrong ones
}

// Certificate is what was issued to the device.
type Certificate struct {
	Serial      string     `json:"serial"`
	Fingerprint string     `json:"fingerprint"`
	NotBefore   time.Time  `json:"not_before"`
	NotAfter    time.Time  `json:"not_after"`
	Revoked     *time.Time `json:"revoked,omitempty"`
}

// Channel is one measured quantity. The key is the name the device sends.
type Channel struct {
	Key  string `json:"key"`
	Name string `json:"name"`
	Unit string `json:"unit"`
}

const textLimit = 200

// Noun is the document of a device.
var Noun = &ledger.Noun[Device]{
	Name: "device", Shape: 1,
	Table: &ledger.Table[Device]{
		Columns: []ledger.Column{{Name: "serial", Type: ledger.Text}, {Name: "name", Type: ledger.Text}, {Name: "site", Type: ledger.Text}, {Name: "branch", Type: ledger.Text}, {Name: "state", Type: ledger.Text}},
		Unique:  [][]string{{"org", "serial"}},
		Indexes: [][]string{{"serial"}, {"site"}, {"org", "name"}},
		Row: func(d ledger.Doc[Device]) []any {
			return []any{d.Body.Serial, d.Body.Name, d.Body.Site, d.Body.Branch, string(d.Body.State)}
		},
		Version: 1,
	},
	Check: check,
}

var _ = access.Register(Noun, access.Columns{Branch: "branch"}, func(_ *ledger.Reader, d ledger.Doc[Device]) (access.Thing, error) {
	return thing(d), nil
})

func thing(d ledger.Doc[Device]) access.Thing {
	return access.Thing{Kind: Noun.Name, ID: d.ID, Org: d.Org, Branch: d.Body.Branch, Name: d.Body.Name}
}

// check is the rule for every write of a device, undo included.
func check(tx *ledger.Tx, before, after *ledger.Doc[Device]) error {
	if after == nil {
		return nil // deleted: its certificates are unknown from now on
	}
	b := after.Body
	f := fault.New(fault.Invalid, "device.invalid", "The device is not complete")
	text := func(place, value string, required bool) {
		if strings.TrimSpace(value) != value || required && value == "" || len(value) > textLimit || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' }) {
			f.At(place, "Missing, too long, or with spaces around it", fmt.Sprintf("Give 1 to %d characters", textLimit))
		}
	}
	text("/serial", b.Serial, true)
	text("/name", b.Name, true)
	text("/model", b.Model, false)
	text("/branch", b.Branch, true)
	keys := map[string]bool{}
	for i, c := range b.Channels {
		text(fmt.Sprintf("/channels/%d/name", i), c.Name, true)
		text(fmt.Sprintf("/channels/%d/unit", i), c.Unit, false)
		if keys[c.Key] || c.Key == "" {
			f.At(fmt.Sprintf("/channels/%d/key", i), "There is another channel with this key", "Leave the keys as the device sends them")
		}
		keys[c.Key] = true
	}
	if len(f.Details) > 0 {
		return f
	}
	if after.Org == "" {
		return fault.New(fault.Invalid, "device.org", "A device belongs to an organization").At("/org", "Missing", "Name the organization")
	}
	if before == nil { // made, or brought back as it was
		return checkCredentials(Device{}, b)
	}
	if err := checkSite(tx, before.Body.Site, *after); err != nil {
		return err
	}
	return checkCredentials(before.Body, b)
}

// checkCredentials keeps what was issued on record, and what was revoked revoked.
func checkCredentials(before, after Device) error {
	kept := map[string]Certificate{}
	for _, c := range after.Certificates {
		kept[c.Fingerprint] = c
	}
	alive := false
	for _, c := range after.Certificates {
		alive = alive || c.Revoked == nil
	}
	for _, c := range before.Certificates {
		k, ok := kept[c.Fingerprint]
		if !ok {
			return fault.New(fault.Conflict, "device.certificates", "An issued certificate cannot be taken off the record").
				WithMend("Revoke the device instead")
		}
		if c.Revoked != nil && k.Revoked == nil {
			return fault.New(fault.Conflict, "device.revoked", "What was revoked stays revoked").
				WithMend("Give the device a new claim code, so that it claims a new certificate")
		}
	}
	if (after.State == Claimed || after.State == Active) != alive {
		return fault.Newf(fault.Conflict, "device.state", "The state %q does not fit the device's certificates", after.State).
			WithMend("Use claim code, claim and revoke to change it")
	}
	switch after.State {
	case Registered, Claimed, Active, Revoked:
	default:
		return fault.Newf(fault.Invalid, "device.state", "There is no state %q", after.State)
	}
	if after.Claim != nil && after.State != Registered {
		return fault.New(fault.Conflict, "device.claim", "Only a registered device has a claim code")
	}
	return nil
}

// checkSite makes sure that a device stands at a site of its own organization.
func checkSite(tx *ledger.Tx, was string, d ledger.Doc[Device]) error {
	if d.Body.Site == "" || d.Body.Site == was {
		return nil
	}
	site, err := access.Describe(tx.Reader, "site", d.Body.Site)
	if fault.KindOf(err) == fault.NotFound || err == nil && site.Org != d.Org {
		return fault.New(fault.Invalid, "device.site", "There is no such site").At("/site", "Not a site of this organization", "Choose one from the list of sites")
	}
	return err
}
