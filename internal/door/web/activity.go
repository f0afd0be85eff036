package web

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/activity"
)

type activityQuery struct {
	InOrg
	ActivityFilter
	Before int64 `query:"before" minimum:"0" doc:"cursor of the last page"`
	Limit  int   `query:"limit" minimum:"1" maximum:"100" default:"50"`
}

func (s *server) acts(ctx context.Context, actor ledger.Actor, in *activityQuery) (*Body[Page[activity.Act]], error) {
	q := in.query(in.Org)
	q.Before, q.Limit = in.Before, in.Limit
	acts, next, err := s.Activity.Acts(ctx, actor, q)
	out, err := list(acts, err)
	if err == nil && next != 0 {
		out.Body.Next = strconv.FormatInt(next, 10)
	}
	return out, err
}

// ByNumber names an entry or an act in the path. It is exported, as all parts of requests are: the API library passes over others.
type ByNumber struct {
	Number int64 `path:"number" minimum:"1"`
}

type actQuery struct {
	InOrg
	ByNumber
	After int64 `query:"after" minimum:"0" doc:"only entries with a larger number"`
	Limit int   `query:"limit" minimum:"1" maximum:"50" default:"20"`
}

func (s *server) act(ctx context.Context, actor ledger.Actor, in *actQuery) (*Body[activity.ActView], error) {
	return body(s.Activity.Act(ctx, actor, in.Org, in.Number, in.After, in.Limit))
}

func (s *server) entry(ctx context.Context, actor ledger.Actor, in *ByNumber) (*Body[activity.Detail], error) {
	return body(s.Activity.Entry(ctx, actor, in.Number))
}

type undoRequest struct {
	ByNumber
	Body Reason
}

func (s *server) undoEntry(ctx context.Context, actor ledger.Actor, in *undoRequest) (*Body[ledger.Entry], error) {
	return body(s.Activity.Undo(ctx, actor, in.Number, in.Body.Reason))
}

func (s *server) undoAct(ctx context.Context, actor ledger.Actor, in *undoRequest) (*Body[ledger.Undone], error) {
	return body(s.Activity.UndoAct(ctx, actor, in.Number, in.Body.Reason))
}

type undoPreview struct{ Body activity.Range }

func (s *server) undoPreview(ctx context.Context, actor ledger.Actor, in *undoPreview) (*Body[activity.Run], error) {
	return body(s.Activity.PreviewUndo(ctx, actor, in.Body))
}

// UndoAsked is a range with the reason to undo it.
type UndoAsked struct {
	activity.Range
	Reason
}

type undoRange struct{ Body UndoAsked }

func (s *server) undoRange(ctx context.Context, actor ledger.Actor, in *undoRange) (*Body[activity.Run], error) {
	return body(s.Activity.UndoRange(ctx, actor, in.Body.Range, in.Body.Reason.Reason))
}

func (s *server) undoRun(ctx context.Context, actor ledger.Actor, in *ByID) (*Body[activity.Run], error) {
	return body(s.Activity.Run(ctx, actor, in.ID))
}

// ByKind names a document with its kind in the path.
type ByKind struct {
	Kind string `path:"kind" maxLength:"40"`
	ID   string `path:"id" format:"uuid"`
}

func (s *server) history(ctx context.Context, actor ledger.Actor, in *ByKind) (*Body[Page[ledger.Revision]], error) {
	return list(s.Activity.History(ctx, actor, in.Kind, in.ID))
}

type atQuery struct {
	ByKind
	Time time.Time `query:"time" required:"true"`
}

// Past is a document as it stood at a time.
type Past struct {
	Exists bool            `json:"exists" doc:"false: it was not made yet, or was deleted"`
	Entry  *ledger.Entry   `json:"entry,omitempty" doc:"what had made it so"`
	Body   json.RawMessage `json:"body,omitempty"`
}

func (s *server) asOf(ctx context.Context, actor ledger.Actor, in *atQuery) (*Body[Past], error) {
	content, entry, err := s.Activity.AsOf(ctx, actor, in.Kind, in.ID, in.Time)
	past := Past{Exists: content != nil, Body: content}
	if entry.Number != 0 {
		past.Entry = &entry
	}
	return body(past, err)
}
