package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
)

// TestScrubEmptiesTheLog: what was overwritten stays in no log, and a reader who
// still needs it is waited for.
func TestScrubEmptiesTheLog(t *testing.T) {
	dir := t.TempDir()
	s, err := store.OpenSQLite(ctx, filepath.Join(dir, "qanat.db"), storetest.Key)
	check(t, err)
	defer s.Close()
	check(t, s.Migrate(ctx, "test", []string{table}))
	size := func() int64 {
		is, err := os.Stat(filepath.Join(dir, "qanat.db-wal"))
		check(t, err)
		return is.Size()
	}
	if size() == 0 {
		t.Fatal("there is no log to scrub")
	}
	check(t, s.Read(ctx, func(q *store.Q) error {
		if _, err := q.Row([]any{new(int64)}, `SELECT count(*) FROM thing`); err != nil {
			return err
		}
		if err := s.Write(ctx, func(q *store.Q) error { _, err := q.Exec(`INSERT INTO thing (id) VALUES ('a')`); return err }); err != nil {
			return err
		}
		if done, err := s.Scrub(ctx, "thing"); done || err != nil {
			t.Errorf("beside a reader: %v, %v", done, err)
		}
		return nil
	}))
	if done, err := s.Scrub(ctx, "thing"); !done || err != nil || size() != 0 {
		t.Errorf("scrubbed: %v, %v; the log has %d bytes", done, err, size())
	}
}

func TestScrubOnBothEngines(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		check(t, s.Migrate(ctx, "test", []string{table}))
		if done, err := s.Scrub(ctx, "thing"); !done || err != nil {
			t.Errorf("%v, %v", done, err)
		}
	})
}
