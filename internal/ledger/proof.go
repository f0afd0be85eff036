package ledger

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/witness"
)

// proofLine begins a proof (C2SP tlog-proof).
const proofLine = "c2sp.org/tlog-proof@v1\n"

// ProveEntry gives the proof that an entry is in the tree of the newest signed
// checkpoint, as a file in the format of C2SP tlog-proof. Its extra line is the
// leaf itself, header and sealed content, so that the file and the verifier key
// are all that an outsider needs. A checkpoint is signed first when the entry is
// newer than the newest. Whether somebody may have it is the caller's question.
func (l *Ledger) ProveEntry(ctx context.Context, number int64) ([]byte, error) {
	proof, err := l.proveEntry(ctx, number)
	if errors.Is(err, errUnsigned) {
		if err = l.Checkpoint(ctx); err == nil {
			proof, err = l.proveEntry(ctx, number)
		}
	}
	return proof, err
}

var errUnsigned = errors.New("the entry is newer than the newest checkpoint")

func (l *Ledger) proveEntry(ctx context.Context, number int64) (file []byte, err error) {
	err = l.Read(ctx, func(r *Reader) error {
		found, err := r.records(`e.number = $1`, []any{number})
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return fault.Newf(fault.NotFound, "entry.missing", "There is no entry %d", number)
		}
		c, signed, err := r.LatestCheckpoint()
		if err != nil {
			return err
		}
		if !signed || c.Size < number {
			return errUnsigned
		}
		root, err := tlog.ParseHash(c.Root)
		if err != nil {
			return err
		}
		proof, err := tlog.ProveRecord(c.Size, number-1, storedHashes(r.q))
		if err != nil {
			return err
		}
		raw := leaf(found[0].encode(), found[0].sealed)
		if err := tlog.CheckRecord(proof, c.Size, root, number-1, tlog.RecordHash(raw)); err != nil {
			return unprovable(err)
		}
		file = fmt.Appendf(nil, "%sextra %s\nindex %d\n", proofLine, base64.StdEncoding.EncodeToString(raw), number-1)
		for _, hash := range proof {
			file = fmt.Appendf(file, "%s\n", hash)
		}
		file = fmt.Appendf(file, "\n%s", c.Note)
		return nil
	})
	return file, err
}

// unprovable is said instead of a proof that would not hold.
func unprovable(err error) error {
	return fault.New(fault.Conflict, "ledger.unprovable", "This cannot be proved: the ledger is not as it was signed").
		WithMend("Tell the server's operator: qanat verify names what was changed").Because(err)
}

// ProveConsistency gives the proof that the checkpoint of to entries (0: the
// newest) continues the tree of the first from entries, as a file: what
// add-checkpoint of C2SP tlog-witness takes. Checkpoints are not made for it.
func (l *Ledger) ProveConsistency(ctx context.Context, from, to int64) (file []byte, err error) {
	if from < 1 || to != 0 && to < from {
		return nil, fault.Newf(fault.Invalid, "ledger.sizes", "There is no proof from %d to %d entries", from, to).
			At("from", "It must be at least 1, and not more than to", "Give the number of entries in the older note")
	}
	err = l.Read(ctx, func(r *Reader) error {
		c, found, err := r.LatestCheckpoint()
		if to != 0 && err == nil {
			newest := c.Size
			if c, found, err = r.checkpoint(`SELECT size, time, note FROM checkpoint WHERE size = $1`, to); err == nil && !found {
				return fault.Newf(fault.NotFound, "checkpoint.none", "No checkpoint of exactly %d entries was signed", to).
					WithMend(fmt.Sprintf("Take the number of entries in a note you have, or leave to out for the newest, of %d entries", newest))
			}
		}
		if err != nil {
			return err
		}
		if !found || c.Size < from {
			return fault.Newf(fault.NotFound, "checkpoint.none", "The newest checkpoint is of %d entries, fewer than %d", c.Size, from).
				WithMend("One is signed within a minute of every change. If you have a note of so many entries, this ledger was rolled back: tell others")
		}
		hashes := storedHashes(r.q)
		proof, err := tlog.ProveTree(c.Size, from, hashes)
		if err != nil {
			return err
		}
		root, err := tlog.ParseHash(c.Root)
		if err != nil {
			return err
		}
		old, err := tlog.TreeHash(from, hashes)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, c.Size, root, from, old); err != nil {
			return unprovable(err)
		}
		file = witness.Consistency(from, proof, c.Note)
		return nil
	})
	return file, err
}
