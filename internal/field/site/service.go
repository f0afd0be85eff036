package site

import (
	"context"
	"errors"
	"time"

	"github.com/qanat-water/qanat/internal/base/blob"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/org"
)

// Service reads and changes sites.
type Service struct {
	ledger *ledger.Ledger
	blobs  *blob.Store
	codes  *codes
	runs   *runs
}

// New makes the service. Close ends what it runs.
func New(l *ledger.Ledger, blobs *blob.Store) *Service {
	return &Service{ledger: l, blobs: blobs, codes: &codes{ledger: l}, runs: newRuns()}
}

// noPhotos refuses photos that were not added by AddPhoto: a hash alone must not
// open a file.
func noPhotos(body Site) error {
	if len(body.Photos) == 0 {
		return nil
	}
	return fault.New(fault.Invalid, "site.invalid", "This site has something wrong in it").
		At("/photos/0/blob", "photos are added to a site that is there", "make the site first, then send its photos")
}

// May is what an actor may do to a site.
type May struct {
	Edit   bool `json:"edit"`
	Delete bool `json:"delete"`
	Share  bool `json:"share"`
}

// Get reads a site and says what the actor may do to it.
func (s *Service) Get(ctx context.Context, actor ledger.Actor, id string) (ledger.Doc[Site], May, error) {
	var d ledger.Doc[Site]
	var may May
	err := s.ledger.Read(ctx, func(r *ledger.Reader) (err error) {
		if d, err = Sites.Get(r, id); err != nil {
			return err
		}
		set, err := access.Principals(r, actor)
		if err != nil {
			return err
		}
		if err := set.Require(r, access.See, Thing(d)); err != nil {
			return err
		}
		for verb, to := range map[access.Verb]*bool{access.Edit: &may.Edit, access.Delete: &may.Delete, access.Share: &may.Share} {
			err := set.Require(r, verb, Thing(d))
			if *to = err == nil; err != nil && fault.KindOf(err) == fault.Internal {
				return err
			}
		}
		return nil
	})
	return d, may, err
}

// GetAt reads a site as it stood at a time.
func (s *Service) GetAt(ctx context.Context, actor ledger.Actor, id string, at time.Time) (ledger.Doc[Site], error) {
	var d ledger.Doc[Site]
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		past, err := r.At("", at)
		if err != nil {
			return err
		}
		if d, err = Sites.Get(past, id); err != nil {
			return err
		}
		set, err := access.Principals(r, actor)
		if err != nil {
			return err
		}
		return set.RequireThen(r, access.See, Thing(d))
	})
	return d, err
}

// GetByCode reads a site by its code.
func (s *Service) GetByCode(ctx context.Context, actor ledger.Actor, code string) (ledger.Doc[Site], error) {
	var d ledger.Doc[Site]
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		found, err := byCodes(r, []string{code})
		if err != nil {
			return err
		}
		if d, err = Sites.Get(r, found[code]); err != nil {
			return err
		}
		return access.Require(r, actor, access.See, Thing(d))
	})
	return d, err
}

var errTaken = errors.New("site: the code was taken meanwhile")

// Create makes a site. Without a code it gets the next one.
func (s *Service) Create(ctx context.Context, actor ledger.Actor, organization string, body Site) (ledger.Doc[Site], error) {
	if err := noPhotos(body); err != nil {
		return ledger.Doc[Site]{}, err
	}
	for {
		d, err := s.create(ctx, actor, organization, body)
		if !errors.Is(err, errTaken) {
			return d, err
		}
	}
}

func (s *Service) create(ctx context.Context, actor ledger.Actor, organization string, body Site) (ledger.Doc[Site], error) {
	var made ledger.Doc[Site]
	given := body.Code != ""
	if !given {
		// Who may not create costs no number.
		if err := s.ledger.Read(ctx, func(r *ledger.Reader) error { return mayCreate(r, actor, organization, body) }); err != nil {
			return made, err
		}
		fresh, err := s.codes.take(ctx, 1)
		if err != nil {
			return made, err
		}
		body.Code = fresh[0]
	}
	err := s.ledger.Write(ctx, actor, "", func(tx *ledger.Tx) (err error) {
		if err := mayCreate(tx.Reader, actor, organization, body); err != nil {
			return err
		}
		if !given {
			left, err := free(tx.Reader, []string{body.Code})
			if err != nil {
				return err
			}
			if len(left) == 0 {
				return errTaken
			}
		}
		made, err = Create(tx, organization, "", body)
		return err
	})
	return made, err
}

// Codes reserves codes for sites that are made inside somebody else's
// transaction, or offline. A code that is not used is lost.
func (s *Service) Codes(ctx context.Context, n int) ([]string, error) { return s.codes.take(ctx, n) }

// Create makes a site inside a transaction; body.Code comes from Codes. The
// caller has asked for the right to. A site that says no privacy gets that of the
// organization's policy.
func Create(tx *ledger.Tx, organization, id string, body Site) (ledger.Doc[Site], error) {
	if body.Privacy == "" {
		p, err := org.PolicyOf(tx.Reader, organization)
		if err != nil {
			return ledger.Doc[Site]{}, err
		}
		body.Privacy = p.SitePrivacy
	}
	return Sites.Create(tx, organization, id, body)
}

func mayCreate(r *ledger.Reader, actor ledger.Actor, organization string, body Site) error {
	return access.Require(r, actor, access.Create, access.Thing{Kind: "site", Org: organization, Branch: body.Branch, Type: body.Type})
}

// Update changes a site. Its privacy and branch are for those who administer
// it, in both branches when it moves.
func (s *Service) Update(ctx context.Context, actor ledger.Actor, id string, ifRevision int64, body Site) (ledger.Doc[Site], error) {
	var made ledger.Doc[Site]
	err := s.ledger.Write(ctx, actor, "", func(tx *ledger.Tx) (err error) {
		made, err = update(tx, id, ifRevision, func(to *Site) {
			body.Photos = kept(to.Photos, body.Photos)
			*to = body
		})
		return err
	})
	return made, err
}

// update changes a site inside a transaction, by the rights of its actor.
func update(tx *ledger.Tx, id string, ifRevision int64, change func(*Site)) (ledger.Doc[Site], error) {
	d, err := Sites.Get(tx.Reader, id)
	if err != nil {
		return d, err
	}
	set, err := access.Principals(tx.Reader, tx.Actor)
	if err != nil {
		return d, err
	}
	if err := set.Require(tx.Reader, access.Edit, Thing(d)); err != nil {
		return d, err
	}
	return Sites.Update(tx, id, ifRevision, func(to *Site) error {
		had := *to
		change(to)
		if to.Code == "" {
			to.Code = had.Code
		}
		if to.Privacy == "" {
			to.Privacy = had.Privacy
		}
		if to.Type != had.Type { // nobody puts a site where his workspace no longer shows it
			then := Thing(d)
			if then.Type = to.Type; set.Require(tx.Reader, access.Edit, then) != nil {
				return fault.Newf(fault.Denied, "site.type", "You may not make it a %.60s", to.Type).
					At("/type", "not shown by your workspace", "choose a type that it shows, or ask an admin")
			}
		}
		if to.Branch == had.Branch && to.Privacy == had.Privacy {
			return nil
		}
		if err := set.Require(tx.Reader, access.Administer, Thing(d)); err != nil {
			return err
		}
		if to.Branch == had.Branch {
			return nil
		}
		return set.Require(tx.Reader, access.Create, access.Thing{Kind: "site", Org: d.Org, Branch: to.Branch, Type: to.Type})
	})
}

// Delete deletes a site; its past stays, and an undo brings it back.
func (s *Service) Delete(ctx context.Context, actor ledger.Actor, id string, ifRevision int64) error {
	return s.ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error {
		d, err := Sites.Get(tx.Reader, id)
		if err != nil {
			return err
		}
		if err := access.Require(tx.Reader, actor, access.Delete, Thing(d)); err != nil {
			return err
		}
		return Sites.Delete(tx, id, ifRevision)
	})
}

// Types are the types that an organization's sites can have.
func (s *Service) Types(ctx context.Context, actor ledger.Actor, organization string) ([]Type, error) {
	var types []Type
	err := s.ledger.Read(ctx, func(r *ledger.Reader) (err error) {
		if err := access.Require(r, actor, access.See, access.Thing{Kind: "site_type", Org: organization, Branch: organization}); err != nil {
			return err
		}
		types, err = AllTypes(r, organization)
		return err
	})
	return types, err
}

// SaveType makes or changes an organization's own type, or its part of a
// built-in one: then only what it adds is given.
func (s *Service) SaveType(ctx context.Context, actor ledger.Actor, organization string, t Type) (ledger.Doc[Type], error) {
	var made ledger.Doc[Type]
	err := s.ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error {
		own, found, err := ownType(tx.Reader, organization, t.Key)
		if err != nil {
			return err
		}
		verb := access.Create
		if found {
			verb = access.Edit
		}
		if err := access.Require(tx.Reader, actor, verb, access.Thing{Kind: "site_type", ID: own.ID, Org: organization, Branch: organization}); err != nil {
			return err
		}
		if !found {
			made, err = Types.Create(tx, organization, "", t)
			return err
		}
		made, err = Types.Update(tx, own.ID, 0, func(had *Type) error { *had = t; return nil })
		return err
	})
	return made, err
}
