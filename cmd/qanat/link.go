package main

import (
	"context"
	"fmt"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/account"
)

type linkCommand struct {
	where
	Email       string `help:"E-mail address of the person." required:""`
	ResetFactor bool   `help:"Also take the second factor away, for somebody who lost it. Make sure first who is asking."`
	URL         string `help:"How people reach the server." default:"https://localhost:8443" placeholder:"URL"`
}

// Run prints a one-time sign-in link. The server must be stopped, or run on
// PostgreSQL: this is for whoever holds the machine.
func (c *linkCommand) Run(ctx context.Context) error {
	h, err := openHouse(ctx, c.where, "Qanat", newLog("warn"))
	if err != nil {
		return err
	}
	defer h.Close()
	var person ledger.Doc[account.Account]
	err = h.ledger.Read(ctx, func(r *ledger.Reader) error {
		found, is, err := account.ByEmail(r, c.Email)
		if err == nil && !is {
			err = fault.Newf(fault.NotFound, "account.missing", "Nobody here has the address %s", c.Email).WithMend("Check the spelling")
		}
		person = found
		return err
	})
	if err != nil {
		return err
	}
	organization, err := h.organizationOf(ctx, person.ID)
	if err != nil {
		return err
	}
	job := ledger.System("qanat sign-in-link")
	if c.ResetFactor {
		if err := h.accounts.ResetFactor(ctx, job, person.ID, "by the server's operator"); err != nil {
			return err
		}
	}
	token, err := h.people.SignInLink(ctx, job, organization, person.ID)
	if err != nil {
		return err
	}
	fmt.Printf("For %s, once:\n  %s/welcome#%s\n", person.Body.Name, c.URL, token.Text)
	return nil
}

func (h *house) organizationOf(ctx context.Context, person string) (organization string, err error) {
	err = h.ledger.Read(ctx, func(r *ledger.Reader) error {
		found, err := r.Row([]any{&organization}, `SELECT org FROM membership WHERE person = $1 ORDER BY id LIMIT 1`, person)
		if err == nil && !found {
			err = fault.New(fault.NotFound, "membership.missing", "This person belongs to no organization any more").WithMend("Invite the person into one")
		}
		return err
	})
	return organization, err
}
