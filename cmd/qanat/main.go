// Command qanat is a self-hosted server for water data. One file here for each
// subcommand; flags, environment and configuration are read here and nowhere else.
//
// It guarantees nothing of its own: it opens the house, runs it, and closes it in
// order. Who controls its flags and files controls the server.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/qanat-water/qanat/internal/base/fault"
)

// version is set when a release is built.
var version = ""

type commands struct {
	Init    initCommand    `cmd:"" help:"Make a new server: master key, database, first organization."`
	Serve   serveCommand   `cmd:"" help:"Run the server."`
	Demo    demoCommand    `cmd:"" help:"Run a server with a living district of water points, simulated phones and devices."`
	Verify  verifyCommand  `cmd:"" help:"Check every entry, document, index and file, and name what is wrong."`
	Prove   proveCommand   `cmd:"" help:"Write a proof that an entry is in the ledger, or that the ledger has only grown; qanat-check checks it."`
	Export  exportCommand  `cmd:"" help:"Write everything of an organization into one archive that anybody can read; with --ledger, the whole server into one file for qanat import."`
	Import  importCommand  `cmd:"" help:"Fill an empty database with what qanat export --ledger wrote: the way from one database engine to the other."`
	Admin   adminCommand   `cmd:"" help:"Administer the server: accounts, organizations, server administrators, break-glass. Works while it runs, too."`
	Openapi openapiCommand `cmd:"" hidden:"" help:"Print the description of the API."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c commands
	parser := kong.Must(&c,
		kong.Name("qanat"),
		kong.Description("Qanat: a self-hosted server for water data, from field teams and from sensors.\n\nFirst steps: 'qanat demo' to look around; 'qanat init' and 'qanat serve' to begin for real."),
		kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)))
	parsed, err := parser.Parse(os.Args[1:])
	parser.FatalIfErrorf(err)
	if err := parsed.Run(); err != nil && !errors.Is(err, context.Canceled) {
		fail(err)
	}
}

// fail tells the operator, who may see causes, and how to mend it.
func fail(err error) {
	fmt.Fprintln(os.Stderr, "qanat:", fault.Cause(err))
	os.Exit(1)
}

type versionCommand struct{}

func (versionCommand) Run() error {
	fmt.Println("qanat", versionText())
	return nil
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return "development " + s.Value[:12]
			}
		}
	}
	return "development"
}
