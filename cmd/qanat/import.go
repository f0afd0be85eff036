package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/qanat-water/qanat/internal/base/clock"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/fleet/reading"
	"github.com/qanat-water/qanat/internal/fleet/refusal"
	"github.com/qanat-water/qanat/internal/keep/move"
	"github.com/qanat-water/qanat/internal/ledger"
)

type importCommand struct {
	where
	Ledger string `help:"File that qanat export --ledger wrote." required:"" type:"existingfile" placeholder:"FILE"`
}

// Run fills an empty database. Whatever happens on the way, no server starts on
// one that is not whole.
func (c *importCommand) Run(ctx context.Context) error {
	if _, err := os.Stat(c.keyFile()); errors.Is(err, fs.ErrNotExist) {
		return fault.Newf(fault.NotFound, "import.key", "There is no master key in %s", c.Data).
			WithMend("Make the directory and put the master.key of the server that was exported into it (mode 0600): the file holds no key")
	}
	f, err := os.Open(c.Ledger)
	if err != nil {
		return err
	}
	defer f.Close()
	log := newLog("warn")
	h, err := openBase(ctx, c.where, log)
	if err != nil {
		return err
	}
	defer h.Close()
	m := move.Import{
		Store: h.store, Vault: h.vault, Blobs: h.blobs, In: f, Nouns: nouns(), Progress: progress(),
		Tables: h.tables,
		Open: func(ctx context.Context) (*ledger.Ledger, error) {
			config := h.ledgerConfig(c.where, log)
			config.Filling = true
			return ledger.Open(ctx, config)
		},
	}
	s, err := m.Run(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%d entries, root %s, %d rows of %d tables, %d files: everything is as it was exported.\n", s.Entries, s.Root, s.Rows, s.Tables, s.Files)
	if s.Missing > 0 {
		fmt.Printf("%d files are not here yet: copy the directory blobs of the server that was exported into %s.\n", s.Missing, c.Data)
	}
	return nil
}

// tables makes the tables of what stands beside the ledger.
func (h *house) tables(ctx context.Context) error {
	refusals, err := refusal.Open(ctx, h.store, clock.System, nil)
	if err != nil {
		return err
	}
	refusals.Close()
	readings, err := reading.Open(ctx, reading.Config{Store: h.store})
	if err != nil {
		return err
	}
	readings.Close()
	return nil
}
