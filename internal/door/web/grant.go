package web

import (
	"context"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

type onThing struct {
	AsOf
	Thing string `query:"thing" required:"true" maxLength:"100" doc:"kind:id, for example site:0192…"`
}

func (s *server) grants(ctx context.Context, actor ledger.Actor, in *onThing) (*Body[Page[GrantLine]], error) {
	kind, id, found := strings.Cut(in.Thing, ":")
	if !found {
		return nil, fault.New(fault.Invalid, "access_grant.thing", "That names no thing").At("thing", "no kind and id", "Send kind:id")
	}
	at, err := s.moment(in.AsOf)
	if err != nil {
		return nil, err
	}
	var lines []GrantLine
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		var thing access.Thing
		var grants []ledger.Doc[access.Grant]
		var err error
		if !at.IsZero() {
			thing, grants, err = access.OnAt(r, actor, kind, id, at)
		} else if thing, err = access.Describe(r, kind, id); err == nil {
			grants, err = access.On(r, actor, thing)
		}
		if err == nil {
			lines, err = grantLines(r, thing, grants)
		}
		return err
	})
	return list(lines, err)
}

type grantRequest struct {
	Body struct {
		access.Grant
		Reason string `json:"reason,omitempty" maxLength:"2000"`
	}
}

func (s *server) grantCreate(ctx context.Context, actor ledger.Actor, in *grantRequest) (*Tagged[ledger.Doc[access.Grant]], error) {
	var doc ledger.Doc[access.Grant]
	err := s.Ledger.Write(ctx, actor, in.Body.Reason, func(tx *ledger.Tx) (err error) {
		doc, err = access.Give(tx, in.Body.Grant)
		return err
	})
	return document(doc, err)
}

func (s *server) grantDelete(ctx context.Context, actor ledger.Actor, in *reasonQuery) (*none, error) {
	return done(s.Ledger.Write(ctx, actor, in.Reason, func(tx *ledger.Tx) error { return access.TakeBack(tx, in.ID) }))
}
