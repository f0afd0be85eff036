package test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/test/rig"
)

// TestCommands runs the scripts in testdata/cli: what a person types, and what the program says.
func TestCommands(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/cli",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(rig.Binary)+string(os.PathListSeparator)+env.Getenv("PATH"))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"private": func(ts *testscript.TestScript, _ bool, args []string) {
				info, err := os.Stat(ts.MkAbs(args[0]))
				ts.Check(err)
				if info.Mode().Perm()&0o077 != 0 {
					ts.Fatalf("%s is %s: others on the machine may read it", args[0], info.Mode())
				}
			},
			"await": func(ts *testscript.TestScript, _ bool, args []string) {
				for range 600 {
					if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
						return
					}
					time.Sleep(50 * time.Millisecond)
				}
				ts.Fatalf("%s does not appear", args[0])
			},
		},
	})
}

// TestTampering changes data behind the program's back, as somebody with the machine could: verify finds and names each. The
// ledger's own tests do it for every byte; here the command is what is tested.
func TestTampering(t *testing.T) {
	rig.Engines(t, func(t *testing.T, database string) {
		s := rig.New(t, database)
		made := rig.Post[rig.Doc[site]](s.Admin, "/sites", map[string]any{"org": s.Org, "body": site{Type: "water_point", Name: "Bombo", Branch: s.Org, Privacy: "private", Location: &location{-4, 39}}})
		rig.Post[imported](s.Admin, "/imports?type=water_point&name=x&org="+s.Org+"&branch="+s.Org, rig.Raw{Type: "text/csv", Body: strings.NewReader("name\nOnly\n")})
		s.Stop()
		s.Verify()
		for _, test := range []struct{ name, change, back, named string }{
			{"a name in an index", `UPDATE site SET name = 'Other' WHERE id = $1`, `UPDATE site SET name = 'Bombo' WHERE id = $1`, made.ID},
			{"the place of a document", `UPDATE document SET changed = changed + 1 WHERE id = $1`, `UPDATE document SET changed = changed - 1 WHERE id = $1`, made.ID},
			{"who did it", `UPDATE entry SET actor = actor || 'x' WHERE doc = $1`, `UPDATE entry SET actor = substr(actor, 1, length(actor) - 1) WHERE doc = $1`, "entry"},
			{"when it was done", `UPDATE entry SET time = time + 1 WHERE doc = $1`, `UPDATE entry SET time = time - 1 WHERE doc = $1`, "entry"},
		} {
			sql(t, s, test.change, made.ID)
			out, err := s.Run("verify", "--quiet")
			if err == nil || !strings.Contains(out, test.named) || !strings.Contains(out, "NOT as it was written") {
				t.Errorf("%s was changed; verify says %v\n%s", test.name, err, out)
			}
			if out, err := s.Run("verify", "--json"); err == nil || !strings.Contains(out, `"problems":[{`) {
				t.Errorf("%s was changed; verify --json says %v\n%s", test.name, err, out)
			}
			sql(t, s, test.back, made.ID)
			s.Verify()
		}
		blobs := 0
		err := filepath.WalkDir(filepath.Join(s.Data, "blobs"), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			blobs++
			was, err := os.ReadFile(path) // #nosec G304 -- our own
			if err != nil {
				return err
			}
			changed := bytes.Clone(was)
			changed[len(changed)/2] ^= 1
			if err := os.WriteFile(path, changed, 0o600); err != nil { // #nosec G703 -- our own
				return err
			}
			if out, err := s.Run("verify", "--quiet"); err == nil || !strings.Contains(out, "file ") {
				t.Errorf("one bit of the file %s was changed; verify says %v\n%s", d.Name(), err, out)
			}
			return os.WriteFile(path, was, 0o600) // #nosec G703 -- our own
		})
		if err != nil || blobs == 0 {
			t.Errorf("%d files, %v", blobs, err)
		}
		s.Verify()
	})
}

func sql(t *testing.T, s *rig.Server, change string, args ...any) {
	t.Helper()
	ctx := context.Background()
	db, _, err := s.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Write(ctx, func(q *store.Q) error {
		rows, err := q.Exec(change, args...)
		if err == nil && rows == 0 {
			t.Errorf("%s: no row", change)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
