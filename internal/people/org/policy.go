package org

import (
	"maps"
	"slices"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/id"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// Policy is what an organization has decided about sharing: settings that the
// server obeys. There is one for each organization, under PolicyID.
type Policy struct {
	SecondFactor bool              `json:"second_factor,omitempty" doc:"everybody in the organization needs a second factor"`
	SitePrivacy  string            `json:"site_privacy" doc:"privacy of new sites that say none: public, protected or private"`
	Export       []string          `json:"export,omitempty" doc:"standing groups that may export; none named: whoever has the right to"`
	Share        map[string]string `json:"share" doc:"for each class of question the widest audience: everyone, organization or administrators"`
	Retention    map[string]int    `json:"retention,omitempty" doc:"days by class (responses, readings, photos, events, sessions, logs); absent or 0: for ever"`
}

// Audiences, the widest first.
const (
	Everyone       = "everyone"
	Organization   = "organization"
	Administrators = "administrators"
)

// What a policy speaks of.
var (
	Audiences        = []string{Everyone, Organization, Administrators}
	FieldClasses     = []string{"public", "organization", "confidential"}
	SitePrivacies    = []string{"public", "protected", "private"}
	RetentionClasses = []string{"responses", "readings", "photos", "events", "sessions", "logs"}
)

const maxRetention = 36525 // a hundred years

// PolicyID is the id of an organization's policy.
func PolicyID(organization string) string { return id.Named(organization, "policy") }

// Policies is the noun of sharing policies.
var Policies = ledger.Noun[Policy]{
	Name: "policy",
	Table: &ledger.Table[Policy]{
		Columns: []ledger.Column{{Name: "second_factor", Type: ledger.Integer}},
		Unique:  [][]string{{"org"}},
		Row: func(d ledger.Doc[Policy]) []any {
			required := 0
			if d.Body.SecondFactor {
				required = 1
			}
			return []any{required}
		},
	},
}

var _ = access.Register(&Policies, access.Columns{Branch: "org"}, func(_ *ledger.Reader, d ledger.Doc[Policy]) (access.Thing, error) {
	return access.Thing{Branch: d.Org, Name: "sharing policy"}, nil
})

// PolicyOf is an organization's policy, the defaults where it has said nothing.
func PolicyOf(r *ledger.Reader, organization string) (Policy, error) {
	d, err := Policies.Get(r, PolicyID(organization))
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return Policy{}, err
	}
	return d.Body.withDefaults(), nil
}

func (p Policy) withDefaults() Policy {
	if p.SitePrivacy == "" {
		p.SitePrivacy = "protected"
	}
	share := map[string]string{"public": Everyone, "organization": Organization, "confidential": Administrators}
	maps.Copy(share, p.Share)
	p.Share = share
	p.Retention = maps.Clone(p.Retention)
	if p.Retention == nil {
		p.Retention = map[string]int{}
	}
	return p
}

func checkPolicy(tx *ledger.Tx, before, after *ledger.Doc[Policy]) error {
	had, to := Policy{}, Policy{} // the defaults, where there is none
	if before != nil {
		had = before.Body
	}
	if after != nil {
		if after.ID != PolicyID(after.Org) {
			return fault.New(fault.Invalid, "policy.id", "An organization has one policy").WithMend("Change that one")
		}
		if err := after.Body.check(); err != nil {
			return err
		}
		to = after.Body
	}
	if to.withDefaults().lowers(had.withDefaults()) { // here, because an undo lowers it too
		return access.Fresh(tx.Actor, tx.Now)
	}
	return nil
}

func (p Policy) check() error {
	f := fault.New(fault.Invalid, "policy.invalid", "This policy cannot be kept")
	if !slices.Contains(SitePrivacies, p.SitePrivacy) {
		f.At("/site_privacy", "unknown privacy", "public, protected or private")
	}
	for _, group := range p.Export {
		if !slices.Contains(Groups, group) {
			f.At("/export", "unknown group", "some of admins, managers, viewers and members")
		}
	}
	for class, audience := range p.Share {
		if !slices.Contains(FieldClasses, class) || !slices.Contains(Audiences, audience) {
			f.At("/share/"+class, "unknown class or audience", "public, organization and confidential, each with everyone, organization or administrators")
		}
	}
	for class, days := range p.Retention {
		if !slices.Contains(RetentionClasses, class) || days < 0 || days > maxRetention {
			f.At("/retention/"+class, "unknown class, or not a number of days up to a hundred years", "responses, readings, photos, events, sessions or logs, each with days; 0 for ever")
		}
	}
	if len(f.Details) > 0 {
		return f
	}
	return nil
}
