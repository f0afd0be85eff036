// Command qanat-check checks proofs of a Qanat ledger without Qanat: it needs the
// ledger's verifier key, the files, and no network. It shares no code with the
// server and imports nothing but Go's library and golang.org/x/mod/sumdb, so that
// it can be read in an afternoon.
//
// It guarantees that it ends with 0 only when every file was signed by the key,
// every proof holds, and all checkpoints are shown to be of one ledger that only
// grew; then what it printed is what was signed. It ends with 1 when that is not
// so, and with 2 when it was called wrongly.
//
// Limits: an entry's content is sealed, and a proof does not open it. Who controls
// the key that is given controls the answer.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

const usage = `qanat-check checks proofs and checkpoints of a Qanat ledger.

  qanat-check --key VKEY [--witness VKEY]... FILE...

Files, in any number and order:
  a proof of an entry     from the portal (Download proof) or 'qanat prove --entry N'
  a checkpoint            a note that you kept, from /api/v1/ledger/note
  a proof of growth       from /api/v1/ledger/consistency?from=N or 'qanat prove --from N';
                          give the note of N entries with it

  --key VKEY       the ledger's verifier key, as its operator told you, not as the server says
  --witness VKEY   a witness that must have cosigned the newest checkpoint given

Ends with 0 when everything holds, 1 when something does not, 2 when called wrongly.
`

// Limits of what is read.
const (
	maxFiles = 1000
	maxFile  = 16 << 20 // bytes; the largest entry has about 4 MiB, in base64 a third more
)

const (
	good  = 0
	bad   = 1
	wrong = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

type several []string

func (s *several) String() string         { return strings.Join(*s, " ") }
func (s *several) Set(value string) error { *s = append(*s, value); return nil }

func run(args []string, out, errs io.Writer) int {
	var witnesses several
	flags := flag.NewFlagSet("qanat-check", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	key := flags.String("key", "", "")
	flags.Var(&witnesses, "witness", "")
	misuse := func(err error) int {
		fmt.Fprintf(errs, "qanat-check: %v\n\n%s", err, usage)
		return wrong
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, usage)
		return good
	case err != nil:
		return misuse(err)
	case *key == "":
		return misuse(errors.New("the verifier key is missing: --key"))
	case flags.NArg() == 0:
		return misuse(errors.New("no files are named"))
	case flags.NArg() > maxFiles:
		return misuse(fmt.Errorf("more than %d files", maxFiles))
	}
	c, err := newChecker(*key, witnesses)
	if err != nil {
		return misuse(err)
	}
	for _, path := range flags.Args() {
		content, err := read(path)
		if err != nil {
			fmt.Fprintln(errs, "qanat-check:", err)
			return wrong
		}
		c.add(path, content)
	}
	report, ok := c.verdict()
	fmt.Fprint(out, report)
	if !ok {
		return bad
	}
	return good
}

func read(path string) (string, error) {
	f, err := os.Open(path) // #nosec G304 -- the caller names the file
	if err != nil {
		return "", err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return string(content), err
}
