package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/org"
)

type exportCommand struct {
	where
	Org string `help:"Organization: its id or exact name. Not needed when there is one only." placeholder:"ORG"`
	Out string `help:"File to write. It must not exist." required:"" type:"path" placeholder:"FILE.zip"`
}

// Run writes the archive beside its final name and renames it when it is whole.
func (c *exportCommand) Run(ctx context.Context) error {
	if _, err := os.Stat(c.Out); err == nil {
		return fault.Newf(fault.Conflict, "export.exists", "%s exists already", c.Out).WithMend("Name another file")
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
	part := c.Out + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // #nosec G304 -- the operator names the file
	if err != nil {
		return err
	}
	err = h.archive.Write(ctx, organization.ID, f)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	if err := os.Rename(part, c.Out); err != nil {
		return err
	}
	info, err := os.Stat(c.Out)
	if err != nil {
		return err
	}
	fmt.Printf("%s: everything of %s, %d bytes\n", c.Out, organization.Body.Name, info.Size())
	return nil
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
