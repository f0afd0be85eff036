package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"

	"github.com/qanat-water/qanat/internal/base/vault"
)

var errInjected = errors.New("injected")

// TestCrashTable lets each step of Put fail, before it has happened and after, with
// new content and with content that is there. Whatever came of it: what was there
// stays whole, nothing half is found under a name, and putting it again makes it durable.
func TestCrashTable(t *testing.T) {
	ctx := context.Background()
	v, err := vault.New(bytes.Repeat([]byte{3}, 32))
	check(t, err)
	content := bytes.Repeat([]byte("a photo of a pump "), 10_000)
	var steps []string
	record := func(step string, do func() error) error { steps = append(steps, step); return do() }
	s, err := Open(t.TempDir(), v)
	check(t, err)
	s.fail = record
	_, err = s.Put(ctx, bytes.NewReader(content), 1<<20)
	check(t, err)
	if len(steps) != 9 {
		t.Fatalf("steps %q", steps)
	}
	for _, failing := range steps {
		for _, persisted := range []bool{false, true} {
			for _, before := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/persisted=%v/there=%v", failing, persisted, before), func(t *testing.T) {
					dir := t.TempDir()
					s, err := Open(dir, v)
					check(t, err)
					if before {
						_, err := s.Put(ctx, bytes.NewReader(content), 1<<20)
						check(t, err)
					}
					s.fail = func(step string, do func() error) error {
						if step != failing {
							return do()
						}
						if persisted {
							check(t, do())
						}
						return errInjected
					}
					if ref, err := s.Put(ctx, bytes.NewReader(content), 1<<20); !errors.Is(err, errInjected) || ref != (Ref{}) {
						t.Fatalf("Put = %v, %v, though %s failed", ref, err, failing)
					}
					if left := files(t, filepath.Join(dir, "incoming")); len(left) > 0 {
						t.Errorf("left %v", left)
					}
					// After a restart, and after the next attempt.
					s, err = Open(dir, v)
					check(t, err)
					hash := fmt.Sprintf("%x", sha256.Sum256(content))
					renamed := persisted && failing == "rename" || slices.Index(steps, failing) > slices.Index(steps, "rename")
					if s.Has(hash) != (before || renamed) {
						t.Errorf("there: %v", s.Has(hash))
					}
					if s.Has(hash) {
						check(t, s.Verify(ctx, hash))
					}
					var again []string
					s.fail = func(step string, do func() error) error { again = append(again, step); return do() }
					ref, err := s.Put(ctx, bytes.NewReader(content), 1<<20)
					check(t, err)
					if ref.Hash != hash || !slices.Contains(again, "sync directory") || !slices.Contains(again, "sync root") {
						t.Errorf("the next attempt gave %v with steps %q", ref, again)
					}
					r, err := s.Get(ctx, hash)
					check(t, err)
					defer r.Close()
					if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
						t.Errorf("read %d bytes, %v", len(got), err)
					}
					if all := files(t, dir); len(all) != 1 {
						t.Errorf("files %v", all)
					}
				})
			}
		}
	}
}

func files(t *testing.T, dir string) (found []string) {
	t.Helper()
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, path)
		}
		return err
	}))
	return found
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
