package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/qanat-water/qanat/internal/ledger"
)

type verifyCommand struct {
	where
	JSON  bool `help:"Print the report as JSON."`
	Quiet bool `help:"Print nothing but the result." short:"q"`

	Rebuild bool `help:"First make documents and indexes again from the entries. For a database whose derived tables were lost; entries are never touched."`
}

var errTampered = errors.New("the ledger is NOT as it was written: keep this database as evidence, and restore from the backup")

// Run checks everything and exits with 1 when anything is wrong.
func (c *verifyCommand) Run(ctx context.Context) error {
	h, err := openLedger(ctx, c.where, true, newLog("warn"))
	if err != nil {
		return err
	}
	defer h.Close()
	if c.Rebuild {
		if err := h.ledger.Rebuild(ctx, c.progress("rebuilt documents")); err != nil {
			return err
		}
	}
	began := time.Now()
	named := map[string]string{} // file -> document
	report, err := h.ledger.VerifyFiles(ctx, c.progress("entries and documents"), func(hash, document string) { named[hash] = document })
	if err != nil {
		return err
	}
	files, problems, err := verifyFiles(ctx, h, named, c.progress("files"))
	if err != nil {
		return err
	}
	report.Problems = append(report.Problems, problems...)
	if c.JSON {
		err := json.NewEncoder(os.Stdout).Encode(report)
		if err == nil && !report.OK() {
			err = errTampered
		}
		return err
	}
	for _, p := range report.Problems {
		fmt.Printf("%s: %s\n", p.Where, p.What)
	}
	if report.Cut {
		fmt.Println("… and more")
	}
	fmt.Printf("%d entries, %d documents, %d files, root %s, in %s\n", report.Entries, report.Documents, files, report.Root, time.Since(began).Round(time.Millisecond))
	if !report.OK() {
		return errTampered
	}
	fmt.Println("Everything is as it was written.")
	return nil
}

func (c *verifyCommand) progress(what string) func(done, total int64) {
	var last time.Time
	return func(done, total int64) {
		if c.Quiet || c.JSON || time.Since(last) < time.Second {
			return
		}
		last = time.Now()
		fmt.Fprintf(os.Stderr, "%s: %d of %d\n", what, done, total)
	}
}

// verifyFiles reads every file that any entry names.
func verifyFiles(ctx context.Context, h *house, named map[string]string, progress func(done, total int64)) (checked int64, problems []ledger.Problem, err error) {
	for _, hash := range slices.Sorted(maps.Keys(named)) {
		if err := h.blobs.Verify(ctx, hash); err != nil {
			if errors.Is(err, context.Canceled) || errors.Is(err, io.ErrClosedPipe) {
				return checked, problems, err
			}
			problems = append(problems, ledger.Problem{Where: "file " + hash, What: fmt.Sprintf("named by %s: %v", named[hash], err)})
		}
		checked++
		progress(checked, int64(len(named)))
	}
	return checked, problems, nil
}
