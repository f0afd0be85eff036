package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/qanat-water/qanat/internal/base/fault"
)

type proveCommand struct {
	where
	Entry int64  `help:"Prove that this entry is in the ledger." placeholder:"N" xor:"what"`
	From  int64  `help:"Prove that the ledger has only grown since a note of so many entries." placeholder:"N" xor:"what"`
	To    int64  `help:"With --from: up to the note of so many entries. Default: the newest." placeholder:"M"`
	Out   string `help:"File to write; it must not exist. Default: standard output." type:"path" placeholder:"FILE"`
}

// Run gives a proof that qanat-check checks with the verifier key alone.
func (c *proveCommand) Run(ctx context.Context) (err error) {
	if c.Entry < 0 || c.From < 0 || c.To < 0 || (c.Entry == 0) == (c.From == 0) || c.To != 0 && c.From == 0 {
		return fault.New(fault.Invalid, "prove.what", "What is to be proved?").WithMend("Use --entry N for an entry, or --from N with or without --to M for growth")
	}
	h, err := openLedger(ctx, c.where, false, newLog("warn"))
	if err != nil {
		return err
	}
	defer h.Close()
	var file []byte
	if c.Entry > 0 {
		file, err = h.ledger.ProveEntry(ctx, c.Entry)
	} else {
		file, err = h.ledger.ProveConsistency(ctx, c.From, c.To)
	}
	if err != nil {
		return err
	}
	if c.Out == "" {
		_, err = os.Stdout.Write(file)
		return err
	}
	out, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- the operator names the file
	if errors.Is(err, os.ErrExist) {
		return fault.Newf(fault.Conflict, "prove.exists", "%s exists already", c.Out).WithMend("Name another file")
	}
	if err != nil {
		return err
	}
	_, err = out.Write(file)
	if err = errors.Join(err, out.Sync(), out.Close()); err == nil {
		fmt.Printf("%s: check it with 'qanat-check --key %s %s'\n", c.Out, h.ledger.VerifierKey(), c.Out)
	}
	return err
}
