// Package qanat holds the rules of the house as tests: who may import whom, one
// comment for each package, documents whose links resolve. It has no code.
package qanat

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/qanat-water/qanat/"

// floors is the house, from the ground up. A package may import packages on
// lower floors, and those on its own floor that friends names.
var floors = []struct {
	rooms  []string
	reason string
}{
	{[]string{"internal/base/"}, "the base knows no water"},
	{[]string{"internal/ledger"}, "the one write path, for nouns it does not know"},
	{[]string{"internal/people/"}, "who may do what, before anything is done"},
	{[]string{"internal/field/", "internal/fleet/"}, "what people record, and what devices send"},
	{[]string{"internal/guard", "internal/keep/"}, "around the data: limits in, copies out"},
	{[]string{"internal/door/"}, "a protocol in, a call, an answer out"},
	{[]string{"cmd/", "test"}, "opens, runs, closes"},
}

// friends are the openings between rooms of one floor: importer -> imported.
var friends = map[string][]string{
	"internal/base/vault":              {"internal/base/fault"},
	"internal/base/blob":               {"internal/base/fault", "internal/base/vault"},
	"internal/base/store":              {"internal/base/fault"},
	"internal/base/mail":               {"internal/base/fault"},
	"internal/base/witness":            {"internal/base/fault"},
	"internal/base/store/storetest":    {"internal/base/store"},
	"internal/people/account":          {"internal/people/access"},
	"internal/people/org":              {"internal/people/access", "internal/people/account"},
	"internal/people/activity":         {"internal/people/access"},
	"internal/people/peopletest":       {"internal/people/"},
	"internal/people/server":           {"internal/people/access", "internal/people/account", "internal/people/org"},
	"internal/field/survey":            {"internal/field/form"},
	"internal/field/response":          {"internal/field/form", "internal/field/survey"},
	"internal/fleet/device":            {"internal/fleet/ca", "internal/fleet/reading", "internal/fleet/refusal"},
	"internal/fleet/device/devicetest": {"internal/fleet/"},
	"cmd/qanat":                        {"internal/sim"},
	"test":                             {"test/"},
}

// beside the house: clients of its doors, for the demo and the load rigs. They may
// use the base and nothing above it.
const beside = "internal/sim"

func TestImportsGoDownstairs(t *testing.T) {
	eachFile(t, func(path string, file *ast.File) {
		from := filepath.ToSlash(filepath.Dir(path))
		test := strings.HasSuffix(path, "_test.go")
		for _, spec := range file.Imports {
			full, err := strconv.Unquote(spec.Path.Value)
			if err != nil || !strings.HasPrefix(full, module) {
				continue
			}
			to := strings.TrimPrefix(full, module)
			if to == from || friend(from, to) || test && (strings.HasSuffix(to, "test") || strings.HasPrefix(to, beside)) {
				continue
			}
			if strings.HasPrefix(from, beside) {
				if !strings.HasPrefix(to, beside) && floor(to) > 0 && !test { // its tests may ask the house what it thinks of a form
					t.Errorf("%s imports %s: %s speaks to the doors as any client does", path, to, beside)
				}
				continue
			}
			up, down := floor(from), floor(to)
			switch {
			case up < 0 || down < 0:
				t.Errorf("%s imports %s: one of them stands on no floor; put it into the table", path, to)
			case down > up:
				t.Errorf("%s imports %s, upstairs: %s (%s)", path, to, floors[up].reason, floors[down].reason)
			case down == up && !test:
				t.Errorf("%s imports %s, a room on its own floor: add an opening to the table if it must be", path, to)
			}
		}
	})
}

// TestTheCheckerStandsAlone keeps qanat-check apart from what it checks, and small
// enough to be read by whoever relies on it.
func TestTheCheckerStandsAlone(t *testing.T) {
	sources := 0
	eachFile(t, func(path string, file *ast.File) {
		if filepath.ToSlash(filepath.Dir(path)) != "cmd/qanat-check" {
			return
		}
		sources++
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			host, _, _ := strings.Cut(name, "/")
			if name != "golang.org/x/mod/sumdb/note" && name != "golang.org/x/mod/sumdb/tlog" && strings.Contains(host, ".") {
				t.Errorf("%s imports %s: qanat-check uses Go's library, sumdb/note and sumdb/tlog, and nothing of ours", path, name)
			}
		}
	})
	if sources == 0 {
		t.Error("cmd/qanat-check is not there")
	}
}

func friend(from, to string) bool {
	for _, name := range friends[from] {
		if to == name || strings.HasSuffix(name, "/") && strings.HasPrefix(to, name) {
			return true
		}
	}
	return false
}

func floor(pkg string) int {
	for i, f := range floors {
		for _, room := range f.rooms {
			if strings.HasPrefix(pkg+"/", strings.TrimSuffix(room, "/")+"/") {
				return i
			}
		}
	}
	return -1
}

// TestEveryPackageSaysWhatItGuarantees wants exactly one comment for each package.
func TestEveryPackageSaysWhatItGuarantees(t *testing.T) {
	docs := map[string]int{}
	eachFile(t, func(path string, file *ast.File) {
		dir := filepath.Dir(path)
		if strings.HasSuffix(path, "_test.go") && dir != "." && !strings.HasPrefix(dir, "test") {
			return
		}
		docs[dir] += 0
		if file.Doc != nil {
			docs[dir]++
		}
	})
	for dir, n := range docs {
		if n != 1 {
			t.Errorf("package %s has %d comments, want one: what it guarantees, its limits, what controlling it gains", dir, n)
		}
	}
}

// TestRulesAskNoWallClock keeps rules testable: time comes in through a clock or
// a transaction.
func TestRulesAskNoWallClock(t *testing.T) {
	eachFile(t, func(path string, file *ast.File) {
		dir := filepath.ToSlash(filepath.Dir(path))
		pure := strings.HasPrefix(dir, "internal/people") || strings.HasPrefix(dir, "internal/field") || strings.HasPrefix(dir, "internal/fleet/device")
		if !pure || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(dir, "test") {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
				if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "time" && sel.Sel.Name == "Now" {
					t.Errorf("%s asks the wall clock: take tx.Now, the ledger's Now or a clock", path)
				}
			}
			return true
		})
	})
}

var link = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)

func TestLinksInDocumentsResolve(t *testing.T) {
	walk(t, ".md", func(path string, content []byte) {
		for _, m := range link.FindAllSubmatch(content, -1) {
			target := string(m[1])
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), filepath.FromSlash(target))); err != nil {
				t.Errorf("%s links to %s, which is not there", path, target)
			}
		}
	})
}

// TestFilesAreOneIdea asks, when a file grows long, whether it still is one.
func TestFilesAreOneIdea(t *testing.T) {
	const most = 700
	for _, ending := range []string{".go", ".vue", ".ts"} {
		walk(t, ending, func(path string, content []byte) {
			if n := strings.Count(string(content), "\n"); n > most && !strings.HasSuffix(path, ".d.ts") {
				t.Errorf("%s has %d lines, %d are a lot: is it still one idea?", path, n, most)
			}
		})
	}
}

func eachFile(t *testing.T, fn func(path string, file *ast.File)) {
	t.Helper()
	walk(t, ".go", func(path string, content []byte) {
		file, err := parser.ParseFile(token.NewFileSet(), path, content, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		fn(path, file)
	})
}

func walk(t *testing.T, ending string, fn func(path string, content []byte)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "dist" || d.Name() == "out" || strings.HasPrefix(d.Name(), ".") && path != ".") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ending) {
			return nil
		}
		content, err := os.ReadFile(path) // #nosec G304 -- the repository's own files
		if err != nil {
			return err
		}
		fn(path, content)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
