package web

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/keep/erasure"
	"github.com/qanat-water/qanat/internal/ledger"
)

func (s *server) erasures(ctx context.Context, actor ledger.Actor, in *ByID) (*Body[Page[erasure.View]], error) {
	return list(s.Erasures.List(ctx, actor, in.ID))
}

type erasureRequest struct {
	ByID
	Body struct {
		Kind    string `json:"kind" enum:"person,response,site,submission"`
		Subject string `json:"subject" format:"uuid"`
		Reason  string `json:"reason" minLength:"5" maxLength:"500" doc:"on whose request, or by which rule; it is kept for ever, so it names nobody"`
	}
}

func (s *server) erasureOrder(ctx context.Context, actor ledger.Actor, in *erasureRequest) (*Tagged[ledger.Doc[erasure.Order]], error) {
	return document(s.Erasures.Order(ctx, actor, in.ID, in.Body.Kind, in.Body.Subject, in.Body.Reason))
}

func (s *server) erasureConfirm(ctx context.Context, actor ledger.Actor, in *ByID) (*Tagged[ledger.Doc[erasure.Order]], error) {
	return document(s.Erasures.Confirm(ctx, actor, in.ID))
}

func (s *server) erasureCallOff(ctx context.Context, actor ledger.Actor, in *struct {
	ByID
	Body Reason
}) (*Tagged[ledger.Doc[erasure.Order]], error) {
	return document(s.Erasures.CallOff(ctx, actor, in.ID, in.Body.Reason))
}

// Certificate proves an erasure to outsiders.
type Certificate struct {
	Note string `json:"note" doc:"signed note (C2SP signed-note): who, when, how much, and where it stands in the tree"`
	Key  string `json:"key" doc:"verifier key (C2SP signed-note vkey)"`
}

func (s *server) erasureCertificate(ctx context.Context, actor ledger.Actor, in *ByID) (*Body[Certificate], error) {
	signed, key, err := s.Erasures.Certificate(ctx, actor, in.ID)
	return body(Certificate{signed, key}, err)
}

type retentionQuery struct {
	ByID
	Days string `query:"days" maxLength:"200" doc:"class:days with commas between (responses:365,readings:30): what it would be with these; empty: with those of the policy"`
}

func (q *retentionQuery) days() (map[string]int, error) {
	if q.Days == "" {
		return nil, nil
	}
	days := map[string]int{}
	for part := range strings.SplitSeq(q.Days, ",") {
		class, number, _ := strings.Cut(part, ":")
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || n > 36525 || !slices.Contains(erasure.Classes, class) {
			return nil, fault.Newf(fault.Invalid, "retention.days", "%.40q is no class with its days", part).
				At("days", "unreadable", "Write it like responses:365,readings:30; the classes are "+strings.Join(erasure.Classes, ", "))
		}
		days[class] = n
	}
	return days, nil
}

func (s *server) retention(ctx context.Context, actor ledger.Actor, in *retentionQuery) (*Body[Page[erasure.Due]], error) {
	days, err := in.days()
	if err != nil {
		return nil, err
	}
	return list(s.Erasures.Preview(ctx, actor, in.ID, days))
}

func (s *server) retentionRun(ctx context.Context, actor ledger.Actor, in *ByID) (*Body[erasure.Run], error) {
	return body(s.Erasures.Expire(ctx, actor, in.ID))
}
