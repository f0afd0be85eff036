package web

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/danielgtaylor/huma/v2"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
)

// checkpoint is public: the more people keep it, the harder it is to rewrite the past.
func (s *server) checkpoint(ctx context.Context, _ *struct{}) (*Body[ledger.Checkpoint], error) {
	var c ledger.Checkpoint
	err := s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		var found bool
		var err error
		if c, found, err = r.LatestCheckpoint(); err == nil && !found {
			err = fault.New(fault.NotFound, "checkpoint.none", "No checkpoint has been signed yet").WithMend("One is signed within a minute of every change")
		}
		return err
	})
	return body(c, err)
}

// note is the newest checkpoint as a file to keep.
func (s *server) note(ctx context.Context, _ *struct{}) (*huma.StreamResponse, error) {
	c, err := s.checkpoint(ctx, nil)
	if err != nil {
		return nil, err
	}
	return textFile([]byte(c.Body.Note), fmt.Sprintf("qanat-%d.note", c.Body.Size)), nil
}

type proofQuery struct {
	Entry int64 `query:"entry" required:"true" minimum:"1" doc:"number of the entry"`
}

// proof is for who may see the entry in the activity.
func (s *server) proof(ctx context.Context, actor ledger.Actor, in *proofQuery) (*huma.StreamResponse, error) {
	file, err := s.Activity.Proof(ctx, actor, in.Entry)
	if err != nil {
		return nil, err
	}
	return textFile(file, fmt.Sprintf("qanat-entry-%d.tlog-proof", in.Entry)), nil
}

type consistencyQuery struct {
	From int64 `query:"from" required:"true" minimum:"1" doc:"number of entries in the older note"`
	To   int64 `query:"to" minimum:"0" doc:"number of entries in the newer note; without it the newest there is"`
}

// consistency is public as the checkpoint is: it is some hashes of hashes.
func (s *server) consistency(ctx context.Context, in *consistencyQuery) (*huma.StreamResponse, error) {
	file, err := s.Ledger.ProveConsistency(ctx, in.From, in.To)
	if err != nil {
		return nil, err
	}
	return textFile(file, fmt.Sprintf("qanat-from-%d.consistency", in.From)), nil
}

// textFile is text to keep, not to look at in a browser.
func textFile(content []byte, name string) *huma.StreamResponse {
	return stream(io.NopCloser(bytes.NewReader(content)), "application/octet-stream", name)
}
