package org

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
)

// The sharing policy at work: who may change it, and what it decides.

// ReadPolicy is an organization's policy, for everybody who belongs to it. A
// revision of 0 says that nobody has written one: these are the defaults.
func (s *Service) ReadPolicy(ctx context.Context, actor ledger.Actor, organization string) (ledger.Doc[Policy], error) {
	var d ledger.Doc[Policy]
	err := s.ledger.Read(ctx, func(r *ledger.Reader) (err error) {
		if err := access.Require(r, actor, access.See, policyThing(organization)); err != nil {
			return err
		}
		d, err = policyDoc(r, organization)
		return err
	})
	return d, err
}

func policyThing(organization string) access.Thing {
	return access.Thing{Kind: "policy", ID: PolicyID(organization), Org: organization, Branch: organization, Name: "sharing policy"}
}

func policyDoc(r *ledger.Reader, organization string) (ledger.Doc[Policy], error) {
	d, err := Policies.Get(r, PolicyID(organization))
	if err != nil {
		if fault.KindOf(err) != fault.NotFound {
			return d, err
		}
		d = ledger.Doc[Policy]{ID: PolicyID(organization), Org: organization}
	}
	d.Body = d.Body.withDefaults()
	return d, nil
}

// WritePolicy changes the policy; admins of the organization may. Less protection
// than before needs a second factor that was shown just now.
func (s *Service) WritePolicy(ctx context.Context, actor ledger.Actor, organization string, ifRevision int64, reason string, to Policy) (ledger.Doc[Policy], error) {
	var made ledger.Doc[Policy]
	err := s.ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		if err := access.Require(tx.Reader, actor, access.Edit, policyThing(organization)); err != nil {
			return err
		}
		had, err := policyDoc(tx.Reader, organization)
		if err != nil {
			return err
		}
		fresh := to.withDefaults()
		fresh.Export = slices.DeleteFunc(slices.Clone(Groups), func(g string) bool { return !slices.Contains(to.Export, g) })
		for _, g := range to.Export {
			if !slices.Contains(Groups, g) {
				fresh.Export = to.Export // the noun's rule says what is wrong
			}
		}
		for class, days := range fresh.Retention {
			if days == 0 {
				delete(fresh.Retention, class)
			}
		}
		made, err = Policies.Put(tx, organization, had.ID, ifRevision, fresh)
		return err
	})
	made.Body = made.Body.withDefaults()
	return made, err
}

// lowers tells whether a policy protects less than another in any of its parts.
// Data that is kept for a shorter time is gone for good, so that counts, too.
func (p Policy) lowers(had Policy) bool {
	if had.SecondFactor && !p.SecondFactor || slices.Index(SitePrivacies, p.SitePrivacy) < slices.Index(SitePrivacies, had.SitePrivacy) {
		return true
	}
	for _, group := range Groups {
		if p.exports(group) && !had.exports(group) {
			return true
		}
	}
	for _, class := range FieldClasses {
		if slices.Index(Audiences, p.Share[class]) < slices.Index(Audiences, had.Share[class]) {
			return true
		}
	}
	for _, class := range RetentionClasses {
		if days, before := p.Retention[class], had.Retention[class]; days > 0 && (before == 0 || days < before) {
			return true
		}
	}
	return false
}

func (p Policy) exports(group string) bool {
	return len(p.Export) == 0 || slices.Contains(p.Export, group)
}

// Whoever exports must be in one of the standing groups that the policy of the
// thing's organization names, beside having the right to.
var _ = access.GuardExport(func(r *ledger.Reader, actor ledger.Actor, t access.Thing) error {
	if actor.Kind == "system" {
		return nil
	}
	p, err := PolicyOf(r, t.Org)
	if err != nil || len(p.Export) == 0 {
		return err
	}
	who, err := access.Principals(r, actor)
	if err != nil {
		return err
	}
	branch := t.Branch
	for at := t.Parent; branch == "" && at != nil; at = at.Parent {
		branch = at.Branch
	}
	for _, group := range p.Export {
		if in, err := who.Is(r, fmt.Sprintf("group:%s/%s", branch, group)); err != nil || in {
			return err
		}
	}
	return fault.Newf(fault.Denied, "policy.export", "The sharing policy of the organization (who may export) allows exports to its %s only", strings.Join(p.Export, ", ")).
		WithMend("Ask one of them, or an admin of the organization to change the policy")
})

var _ = account.AskOwnFactor(AsksSecondFactor)

// AsksSecondFactor tells whether an organization of a person wants everybody to
// have a second factor of this server, and not only of an outside provider.
func AsksSecondFactor(r *ledger.Reader, person string) (bool, error) {
	var one int
	return r.Row([]any{&one}, `SELECT 1 FROM policy p WHERE p.second_factor = 1 AND p.org IN (SELECT m.org FROM membership m WHERE m.person = $1) LIMIT 1`, person)
}
