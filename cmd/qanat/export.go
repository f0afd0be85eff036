package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/keep/move"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/org"
)

type exportCommand struct {
	where
	Org string `help:"Organization: its id or exact name. Not needed when there is one only." placeholder:"ORG"`
	Out string `help:"Archive of an organization to write. It must not exist." type:"path" placeholder:"FILE.zip"`

	Ledger       string `help:"Instead: file to write for qanat import, with the whole server. Stop the server first. It is encrypted with a key made from the master key, which is not in it." type:"path" placeholder:"FILE"`
	WithoutFiles bool   `help:"With --ledger: leave photos and files out. The directory blobs must then be copied, or stay where it is."`
}

// Run writes the archive of an organization, or the file of a whole server.
func (c *exportCommand) Run(ctx context.Context) error {
	switch {
	case (c.Out == "") == (c.Ledger == ""):
		return fault.New(fault.Invalid, "export.what", "Either --out or --ledger is needed").
			WithMend("--out FILE.zip writes an organization's archive, --ledger FILE the whole server for qanat import")
	case c.Ledger != "" && c.Org != "" || c.Ledger == "" && c.WithoutFiles:
		return fault.New(fault.Invalid, "export.what", "--org goes with --out, --without-files with --ledger").WithMend("Leave one out")
	case c.Ledger != "":
		return c.server(ctx)
	}
	return c.archive(ctx)
}

func (c *exportCommand) archive(ctx context.Context) error {
	if err := absent(c.Out); err != nil {
		return err
	}
	h, err := openHouse(ctx, c.where, "Qanat", newLog("warn"))
	if err != nil {
		return err
	}
	defer h.Close()
	organization, err := findOrganization(ctx, h, c.Org)
	if err != nil {
		return err
	}
	if err := h.archive.Begin(ctx, ledger.System("qanat export"), organization.ID, "command line"); err != nil {
		return err
	}
	if err := whole(c.Out, func(f *os.File) error { return h.archive.Write(ctx, organization.ID, f) }); err != nil {
		return err
	}
	info, err := os.Stat(c.Out)
	if err != nil {
		return err
	}
	fmt.Printf("%s: everything of %s, %d bytes\n", c.Out, organization.Body.Name, info.Size())
	return nil
}

// server writes everything there is.
func (c *exportCommand) server(ctx context.Context) error {
	if err := absent(c.Ledger); err != nil {
		return err
	}
	h, err := openHouse(ctx, c.where, "Qanat", newLog("warn"))
	if err != nil {
		return err
	}
	defer h.Close()
	if err := errors.Join(h.readings.Settle(ctx), h.refusals.Flush(ctx)); err != nil {
		return err
	}
	e := move.Export{Ledger: h.ledger, Nouns: nouns(), Vault: h.vault, Blobs: h.blobs, Progress: progress()}
	if c.WithoutFiles {
		e.Blobs = nil
	}
	var s move.Summary
	err = whole(c.Ledger, func(f *os.File) error {
		e.Out = f
		s, err = e.Run(ctx)
		return err
	})
	if err != nil {
		return err
	}
	fmt.Printf(`%s: %d entries, root %s, %d rows of %d tables, %d files.
It holds a whole server as it is now. From here on only one of the two may go on: do not
start this one again once the other serves. The import needs the same master.key, which
is not in the file.
`, c.Ledger, s.Entries, s.Root, s.Rows, s.Tables, s.Files)
	if s.Missing > 0 {
		fmt.Printf("%d files were left out: copy the directory blobs, or import beside it.\n", s.Missing)
	}
	return nil
}

func absent(path string) error {
	if _, err := os.Stat(path); err == nil {
		return fault.Newf(fault.Conflict, "export.exists", "%s exists already", path).WithMend("Name another file")
	}
	return nil
}

// whole writes a file beside its final name and renames it when it is on disk.
func whole(path string, write func(f *os.File) error) error {
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // #nosec G304 -- the operator names the file
	if err != nil {
		return err
	}
	err = write(f)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return os.Rename(part, path)
}

// progress tells on standard error how far something is, about once a second.
func progress() func(what string, done, total int64) {
	var last time.Time
	return func(what string, done, total int64) {
		switch {
		case time.Since(last) < time.Second:
			return
		case total > 0:
			fmt.Fprintf(os.Stderr, "%s: %d of %d\n", what, done, total)
		default:
			fmt.Fprintf(os.Stderr, "%s: %d\n", what, done)
		}
		last = time.Now()
	}
}

func findOrganization(ctx context.Context, h *house, name string) (found ledger.Doc[org.Branch], err error) {
	err = h.ledger.Read(ctx, func(r *ledger.Reader) error {
		roots, err := org.Branches.List(r, "n.parent = '' ORDER BY n.name")
		if err != nil {
			return err
		}
		var names string
		for _, root := range roots {
			if root.ID == name || root.Body.Name == name || name == "" && len(roots) == 1 {
				found = root
				return nil
			}
			names += fmt.Sprintf("\n  %s  %s", root.ID, root.Body.Name)
		}
		return fault.Newf(fault.NotFound, "export.org", "There is no organization %q here", name).WithMend("Use --org with one of:" + names)
	})
	return found, err
}
