package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/vault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/org"
)

type initCommand struct {
	where
	Organization string `help:"Name of the first organization." required:"" placeholder:"NAME"`
	Admin        string `help:"Name of its first admin." required:"" placeholder:"NAME"`
	Email        string `help:"E-mail address of its first admin." required:""`
	URL          string `help:"How people will reach the server." default:"https://localhost:8443" placeholder:"URL"`
}

// Run makes a server where there is none. It refuses a directory that has one.
func (c *initCommand) Run(ctx context.Context) error {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return err
	}
	if left, err := filepath.Glob(filepath.Join(c.Data, "*.db")); err != nil || len(left) > 0 {
		return fault.Newf(fault.Conflict, "data.exists", "There is a database in %s already", c.Data).WithMend("Choose an empty directory")
	}
	if _, err := vault.Create(c.keyFile()); err != nil {
		return err
	}
	h, err := openHouse(ctx, c.where, "Qanat", newLog("warn"))
	if err != nil {
		return err
	}
	defer h.Close()
	first := org.NewFounding(c.Organization, c.Admin, c.Email)
	first.Operator = true
	if err := h.ledger.Write(ctx, ledger.System("qanat init"), "organization made", first.Make); err != nil {
		return err
	}
	fmt.Printf(`A new server stands in %s.

  Master key      %s
                  Copy it to a safe place, away from this machine: without it nothing can be read again.
  Verifier key    %s
                  Keep it elsewhere too: with it anybody can check the ledger's checkpoints.
  Organization    %s (%s)

Start it:         qanat serve --data %s
First sign-in:    %s/welcome#%s
                  This link works once, for %s, who becomes an admin of the
                  organization and a server administrator.
`, c.Data, c.keyFile(), h.ledger.VerifierKey(), c.Organization, first.Organization, c.Data, c.URL, first.Token.Text, c.Email)
	return nil
}
