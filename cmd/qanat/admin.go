package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/server"
)

// adminCommand runs the server: accounts, organizations, server administrators.
// It speaks to the server that runs on the directory, and opens the directory
// itself when none does.
type adminCommand struct {
	where
	URL string `help:"How people reach the server, for links. Default: as the running server is configured, else https://localhost:8443." placeholder:"URL"`

	List         adminList         `cmd:"" help:"List the server administrators."`
	Add          adminAdd          `cmd:"" help:"Make a person a server administrator."`
	Remove       adminRemove       `cmd:"" help:"Take the role away from a server administrator; the last one stays."`
	Accounts     adminAccounts     `cmd:"" help:"List accounts, or search them by name or address."`
	Account      adminAccount      `cmd:"" help:"Do something to one account."`
	Organization adminOrganization `cmd:"" help:"List organizations, or make one."`
	BreakGlass   adminBreakGlass   `cmd:"" name:"break-glass" help:"Let a server administrator into an organization for some hours. Its admins are told."`
	Health       adminHealth       `cmd:"" help:"Show how the server does."`
	Limits       adminLimits       `cmd:"" help:"Show the limits that are in force."`
}

func table(rows func(w io.Writer)) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	rows(w)
	return w.Flush()
}

func shownTime(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04") + " UTC"
}

type adminList struct{}

func (adminList) Run(ctx context.Context, a *adminCommand) error {
	people, err := ask[[]account.Person](ctx, a, adminCall{Do: "list"})
	if err != nil {
		return err
	}
	if len(people) == 0 {
		fmt.Println("There is no server administrator yet: 'qanat admin add EMAIL' makes one.")
		return nil
	}
	return table(func(w io.Writer) {
		for _, p := range people {
			fmt.Fprintf(w, "%s\t%s\n", p.Email, p.Name)
		}
	})
}

type adminAdd struct {
	Email string `arg:"" help:"E-mail address of the person, who has an account already."`
}

func (c *adminAdd) Run(ctx context.Context, a *adminCommand) error {
	p, err := ask[account.Person](ctx, a, adminCall{Do: "add", Email: c.Email})
	if err == nil {
		fmt.Printf("%s is a server administrator.\n", p.Name)
	}
	return err
}

type adminRemove struct {
	Email string `arg:"" help:"E-mail address of the person."`
}

func (c *adminRemove) Run(ctx context.Context, a *adminCommand) error {
	p, err := ask[account.Person](ctx, a, adminCall{Do: "remove", Email: c.Email})
	if err == nil {
		fmt.Printf("%s is no server administrator any more.\n", p.Name)
	}
	return err
}

type adminAccounts struct {
	Search string `arg:"" optional:"" help:"Part of a name or address."`
}

func (c *adminAccounts) Run(ctx context.Context, a *adminCommand) error {
	after := ""
	return table(func(w io.Writer) {
		fmt.Fprintln(w, "ADDRESS\tNAME\tSTATE\tSECOND FACTOR\tSESSIONS\tLAST SIGN-IN\tORGANIZATIONS")
		for {
			page, err := ask[accountPage](ctx, a, adminCall{Do: "accounts", Text: c.Search, After: after})
			if err != nil {
				fail(err)
			}
			for _, p := range page.Items {
				state, factors := p.State, strings.Join(p.Factors, ", ")
				if state == account.Ended {
					state = "disabled"
				}
				if p.Operator {
					state += ", server administrator"
				}
				if factors == "" {
					factors = "none"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", p.Email, p.Name, state, factors, p.Sessions, shownTime(p.LastSignIn), strings.Join(p.Organizations, ", "))
			}
			if after = page.Next; after == "" {
				return
			}
		}
	})
}

type adminAccount struct {
	Disable     accountDisable     `cmd:"" help:"End an account and its sessions; its past stays."`
	Enable      accountEnable      `cmd:"" help:"Let a disabled account sign in again."`
	EndSessions accountEndSessions `cmd:"" name:"end-sessions" help:"End all sessions of an account at once."`
	SignInLink  accountLink        `cmd:"" name:"sign-in-link" help:"Make a one-time sign-in link for somebody who lost the password or the second factor."`
}

type ofAccount struct {
	Email  string `arg:"" help:"E-mail address of the person."`
	Reason string `help:"Why; it stands in the ledger, and the person's organizations see it." placeholder:"TEXT"`
}

type accountDisable struct{ ofAccount }

func (c *accountDisable) Run(ctx context.Context, a *adminCommand) error {
	p, err := ask[server.Account](ctx, a, adminCall{Do: "disable", Email: c.Email, Reason: c.Reason})
	if err == nil {
		fmt.Printf("The account of %s is disabled, and all its sessions have ended.\n", p.Name)
	}
	return err
}

type accountEnable struct{ ofAccount }

func (c *accountEnable) Run(ctx context.Context, a *adminCommand) error {
	p, err := ask[server.Account](ctx, a, adminCall{Do: "enable", Email: c.Email, Reason: c.Reason})
	if err == nil {
		fmt.Printf("%s can sign in again.\n", p.Name)
	}
	return err
}

type accountEndSessions struct{ ofAccount }

func (c *accountEndSessions) Run(ctx context.Context, a *adminCommand) error {
	ended, err := ask[endedSessions](ctx, a, adminCall{Do: "end-sessions", Email: c.Email, Reason: c.Reason})
	if err == nil {
		fmt.Printf("%d sessions of %s have ended.\n", ended.Ended, ended.Name)
	}
	return err
}

type accountLink struct {
	ofAccount
	ResetFactor bool `help:"Also take the second factor away, for somebody who lost it. Make sure first who is asking."`
}

func (c *accountLink) Run(ctx context.Context, a *adminCommand) error {
	link, err := ask[shownLink](ctx, a, adminCall{Do: "sign-in-link", Email: c.Email, Reason: c.Reason, ResetFactor: c.ResetFactor})
	if err == nil {
		fmt.Printf("For %s, once:\n  %s\n", link.Name, link.at(a.URL))
	}
	return err
}

type adminOrganization struct {
	List   organizationList   `cmd:"" help:"List organizations with their size."`
	Create organizationCreate `cmd:"" help:"Make an organization; the link for its first admin is shown once."`
}

type organizationList struct{}

func (organizationList) Run(ctx context.Context, a *adminCommand) error {
	all, err := ask[[]server.Organization](ctx, a, adminCall{Do: "organizations"})
	if err != nil {
		return err
	}
	return table(func(w io.Writer) {
		fmt.Fprintln(w, "ID\tNAME\tPEOPLE\tADMINS\tDOCUMENTS\tBYTES")
		for _, o := range all {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\n", o.ID, o.Name, o.People, o.Admins, o.Documents, o.Bytes)
		}
	})
}

type organizationCreate struct {
	Name      string `arg:"" help:"Name of the organization."`
	Admin     string `help:"E-mail address of its first admin." required:"" placeholder:"EMAIL"`
	AdminName string `help:"Name of its first admin." placeholder:"NAME"`
}

func (c *organizationCreate) Run(ctx context.Context, a *adminCommand) error {
	link, err := ask[shownLink](ctx, a, adminCall{Do: "create-organization", Text: c.Name, Email: c.Admin, Name: c.AdminName})
	if err == nil {
		fmt.Printf("%s is there (%s). For %s, once:\n  %s\n", c.Name, link.ID, c.Admin, link.at(a.URL))
	}
	return err
}

type adminBreakGlass struct {
	Organization string `arg:"" help:"Name or id of the organization."`
	As           string `help:"E-mail address of the server administrator who enters." required:"" placeholder:"EMAIL"`
	Reason       string `help:"What is to be done, and who asked for it. The organization's admins read it." required:"" placeholder:"TEXT"`
	Role         string `help:"viewers or admins." enum:"viewers,admins" default:"viewers"`
	Hours        int    `help:"How long, 1 to 24." default:"1"`
}

func (c *adminBreakGlass) Run(ctx context.Context, a *adminCommand) error {
	b, err := ask[server.BreakGlass](ctx, a, adminCall{Do: "break-glass", Text: c.Organization, Email: c.As, Reason: c.Reason, Group: c.Role, Hours: c.Hours})
	if err == nil {
		fmt.Printf("%s is one of the %s until %s. The organization's admins are told.\n", b.Name, b.Group, shownTime(b.Until))
	}
	return err
}

type adminHealth struct{}

func (adminHealth) Run(ctx context.Context, a *adminCommand) error {
	f, err := ask[server.Facts](ctx, a, adminCall{Do: "health"})
	if err != nil {
		return err
	}
	return table(func(w io.Writer) {
		line := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
		line("version", "%s", f.Version)
		if !f.Started.IsZero() {
			line("running since", "%s", shownTime(f.Started))
		} else {
			line("running", "no")
		}
		line("database", "%s, %d bytes", f.Engine, f.Database)
		line("disk", "%d bytes free of %d", f.Files.Free, f.Files.Total)
		line("ledger", "%d entries", f.Entries)
		if f.Checkpoint != nil {
			line("checkpoint", "%d entries, signed %s", f.Checkpoint.Size, shownTime(f.Checkpoint.Time))
			for _, w := range f.Checkpoint.Witnesses {
				line("witness "+w.Name, "%s, %d entries %s", w.State, w.Size, w.Problem)
			}
		} else {
			line("checkpoint", "none has been signed yet")
		}
		line("documents", "%d", f.Documents)
		line("accounts", "%d", f.Accounts)
		line("memory", "%d bytes in use, %d taken; %d goroutines", f.Heap, f.System, f.Goroutines)
		for _, q := range f.Queues {
			line("queue of "+q.Name, "%d of %d", q.Waiting, q.Most)
		}
		for _, c := range f.Certificates {
			line("certificate of "+c.Door, "until %s: %s", shownTime(c.Expires), strings.Join(c.Names, ", "))
		}
		line("mail", "%s", map[bool]string{true: "configured", false: "not configured"}[f.Mail])
		line("backup", "%s", map[bool]string{true: "configured", false: "not set up: nothing leaves this machine by itself"}[f.Backup.Configured])
	})
}

type adminLimits struct{}

func (adminLimits) Run(ctx context.Context, a *adminCommand) error {
	f, err := ask[server.Facts](ctx, a, adminCall{Do: "health"})
	if err != nil {
		return err
	}
	return table(func(w io.Writer) {
		for _, l := range f.Limits {
			fmt.Fprintf(w, "%s\t%s\t%s\n", l.Area, l.Name, l.Value)
		}
	})
}
