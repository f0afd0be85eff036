package ledger_test

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/qanat-water/qanat/internal/base/blob"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/base/vault"
	"github.com/qanat-water/qanat/internal/ledger"
)

// TestOneChangeOfAFileIsFoundAndNamed changes, cuts, lengthens, swaps and deletes
// the files beside the database at random, one at a time: the checkpoint with its
// cosignatures, and photos. Verification names each. QANAT_TAMPER sets how often.
func TestOneChangeOfAFileIsFoundAndNamed(t *testing.T) {
	rounds := 150
	if n, err := strconv.Atoi(os.Getenv("QANAT_TAMPER")); err == nil {
		rounds = n
	}
	data := t.TempDir()
	checkpoints, photos := filepath.Join(data, "checkpoints"), filepath.Join(data, "blobs")
	v, err := vault.New([]byte("a master key of 32 bytes for test"[:32]))
	check(t, err)
	files, err := blob.Open(photos, v)
	check(t, err)
	one := newWitness(t, "witness.example/one")
	s := storetest.SQLite(t)()
	nouns := []ledger.Kind{&ledger.Noun[pictured]{Name: "pictured", Blobs: func(p pictured) []string { return []string{p.Blob} }}}
	open := func(inspect bool) (*ledger.Ledger, error) {
		c := witnessed(t, s, checkpoints, one)
		c.Nouns, c.Inspect = nouns, inspect
		if inspect {
			c.Witnesses = nil
		}
		return ledger.Open(ctx, c)
	}
	l, err := open(false)
	check(t, err)
	for size := range 5 {
		ref, err := files.Put(ctx, bytes.NewReader(bytes.Repeat([]byte{byte(size)}, 30_000*size)), 1<<20)
		check(t, err)
		check(t, l.Write(ctx, amina, "", func(tx *ledger.Tx) error {
			_, err := nouns[0].(*ledger.Noun[pictured]).Create(tx, org, "", pictured{Blob: ref.Hash})
			return err
		}))
	}
	check(t, l.Checkpoint(ctx))
	eventually(t, "a cosignature outside", func() bool {
		text, err := os.ReadFile(filepath.Join(checkpoints, "checkpoint"))
		return err == nil && strings.Count(string(text), "—") == 2
	})
	check(t, l.Close())

	problems := func() (found []string) {
		t.Helper()
		l, err := open(true)
		check(t, err)
		defer l.Close()
		named := map[string]bool{}
		report, err := l.VerifyFiles(ctx, nil, func(hash, _ string) { named[hash] = true })
		check(t, err)
		for _, p := range report.Problems {
			found = append(found, p.Where+": "+p.What)
		}
		if len(named) != 5 {
			t.Fatalf("%d photos are named", len(named))
		}
		for hash := range named {
			if err := files.Verify(ctx, hash); err != nil {
				found = append(found, "file "+hash+": "+err.Error())
			}
		}
		return found
	}
	if found := problems(); len(found) > 0 {
		t.Fatalf("before anything was changed: %q", found)
	}
	var all []string
	check(t, filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return err
	}))
	if len(all) != 6 {
		t.Fatalf("files %q", all)
	}
	random := rand.New(rand.NewPCG(3, 4))
	for round := range rounds {
		path := all[round%len(all)]
		isCheckpoint := filepath.Dir(path) == checkpoints
		was, err := os.ReadFile(path)
		check(t, err)
		bad, how := bytes.Clone(was), "changed"
		at := random.IntN(len(bad))
		switch chance := random.IntN(10); {
		case chance < 6:
			bad[at] ^= 1 << random.IntN(8)
		case chance < 7:
			bad, how = bad[:at], "cut"
		case chance < 8:
			bad, how = append(bad, byte(random.IntN(256))), "lengthened"
		case isCheckpoint: // its absence is no crime: a server begins without one
			bad, how = bytes.ReplaceAll(bad, []byte("\n5\n"), []byte("\n4\n")), "made to say another size"
		case chance < 9:
			bad, how = nil, "deleted"
		default:
			bad, err = os.ReadFile(all[1+(round+1)%(len(all)-1)])
			check(t, err)
			if how = "swapped"; bytes.Equal(bad, was) {
				continue
			}
		}
		if check(t, os.WriteFile(path, bad, 0o600)); how == "deleted" {
			check(t, os.Remove(path))
		}
		found := problems()
		wanted := "file "
		if isCheckpoint {
			wanted = "checkpoint file: "
		}
		if len(found) != 1 || !strings.HasPrefix(found[0], wanted) {
			t.Errorf("round %d: %s, %s at %d of %d bytes, was found as %q", round, strings.TrimPrefix(path, data), how, at, len(was), found)
		}
		check(t, os.WriteFile(path, was, 0o600))
	}
	if found := problems(); len(found) > 0 {
		t.Errorf("after everything was put back: %q", found)
	}
}

type pictured struct {
	Blob string `json:"blob"`
}
