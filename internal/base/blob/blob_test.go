package blob_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/qanat-water/qanat/internal/base/blob"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/vault"
)

var ctx = context.Background()

const limit = 1 << 20

func TestRoundTripOfAllSizes(t *testing.T) {
	s, _ := open(t)
	for _, size := range []int{0, 1, 100, 64<<10 - 1, 64 << 10, 64<<10 + 1, 300_000, limit} {
		content := random(size)
		ref, err := s.Put(ctx, bytes.NewReader(content), limit)
		if err != nil || ref.Size != int64(size) {
			t.Fatalf("%d bytes: %+v, %v", size, ref, err)
		}
		if got := read(t, s, ref.Hash); !bytes.Equal(got, content) {
			t.Errorf("%d bytes came back as %d", size, len(got))
		}
		if !s.Has(ref.Hash) || s.Verify(ctx, ref.Hash) != nil {
			t.Errorf("%d bytes: not there or damaged", size)
		}
	}
}

func TestLimitsAndNames(t *testing.T) {
	s, dir := open(t)
	if _, err := s.Put(ctx, bytes.NewReader(random(limit+1)), limit); fault.KindOf(err) != fault.TooLarge {
		t.Errorf("over the limit: %v", err)
	}
	if _, err := s.Put(ctx, &broken{}, limit); !errors.Is(err, errBroken) {
		t.Errorf("a broken connection: %v", err)
	}
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("failed uploads left %v", left)
	}
	for _, name := range []string{"", "..", "../../master.key", "zz", string(bytes.Repeat([]byte("g"), 64))} {
		if _, err := s.Get(ctx, name); fault.KindOf(err) != fault.Invalid {
			t.Errorf("Get(%q): %v", name, err)
		}
	}
	if _, err := s.Get(ctx, string(bytes.Repeat([]byte("0"), 64))); fault.KindOf(err) != fault.NotFound {
		t.Errorf("getting none: %v", err)
	}
}

func TestTheSameContentIsOneFileThatTellsNothing(t *testing.T) {
	s, dir := open(t)
	content := bytes.Repeat([]byte("a household's photo "), 5000)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := s.Put(ctx, bytes.NewReader(content), limit); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	kept := files(t, dir)
	if len(kept) != 1 {
		t.Fatalf("%d files", len(kept))
	}
	raw, err := os.ReadFile(kept[0])
	if err != nil || bytes.Contains(raw, []byte("household")) {
		t.Errorf("the file can be read: %v", err)
	}
	if info, err := os.Stat(kept[0]); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("others can read it: %v %v", info.Mode(), err)
	}
}

// TestEveryChangedByteIsFound changes, cuts and swaps what is on disk.
func TestEveryChangedByteIsFound(t *testing.T) {
	s, dir := open(t)
	ref, err := s.Put(ctx, bytes.NewReader(random(150_000)), limit)
	if err != nil {
		t.Fatal(err)
	}
	path := files(t, dir)[0]
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	chance := rand.New(rand.NewPCG(1, 1))
	for i := range 60 {
		bad := bytes.Clone(good)
		what := "changed"
		switch {
		case i < 45:
			at := chance.IntN(len(bad))
			if i < 45 && i >= 40 {
				at = i - 40 // the header too
			}
			bad[at] ^= 1 << chance.IntN(8)
		case i < 55:
			bad, what = bad[:chance.IntN(len(bad))], "cut"
		default:
			bad, what = append(bad, 0), "longer"
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if s.Verify(ctx, ref.Hash) == nil {
			t.Errorf("round %d: a %s file passed", i, what)
		}
	}
	other, err := s.Put(ctx, bytes.NewReader(random(1000)), limit)
	if err != nil {
		t.Fatal(err)
	}
	for _, each := range files(t, dir) {
		if each != path {
			if err := os.Rename(each, path); err != nil {
				t.Fatal(err)
			}
		}
	}
	if s.Verify(ctx, ref.Hash) == nil || s.Has(other.Hash) {
		t.Error("one file passed for another")
	}
}

func TestACrashLeavesNothingBehind(t *testing.T) {
	s, dir := open(t)
	if err := os.WriteFile(filepath.Join(dir, "incoming", "half"), random(10), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = s
	v, err := vault.New(bytes.Repeat([]byte{3}, 32))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := blob.Open(dir, v); err != nil {
		t.Fatal(err)
	}
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func open(t *testing.T) (*blob.Store, string) {
	t.Helper()
	v, err := vault.New(bytes.Repeat([]byte{3}, 32))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "blobs")
	s, err := blob.Open(dir, v)
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

func read(t *testing.T, s *blob.Store, hash string) []byte {
	t.Helper()
	r, err := s.Get(ctx, hash)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func files(t *testing.T, dir string) (found []string) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

var chance = rand.NewChaCha8([32]byte{7})

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = chance.Read(b) // it does not fail
	return b
}

var errBroken = errors.New("broken connection")

type broken struct{ sent bool }

func (b *broken) Read(p []byte) (int, error) {
	if b.sent {
		return 0, errBroken
	}
	b.sent = true
	return copy(p, "half of it"), nil
}
