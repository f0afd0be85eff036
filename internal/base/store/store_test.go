package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
)

var ctx = context.Background()

const table = `CREATE TABLE thing (id {text} PRIMARY KEY, n {bigint}, x {real}, b {blob}) {table}`

func TestRoundTripAndNull(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		check(t, s.Migrate(ctx, "test", []string{table}))
		check(t, s.Write(ctx, func(q *store.Q) error {
			_, err := q.Exec(`INSERT INTO thing (b, x, n, id) VALUES ($4, $3, $2, $1)`, "a", 7, 1.5, []byte{0, 1})
			if err != nil {
				return err
			}
			_, err = q.Exec(`INSERT INTO thing (id, n, x, b) VALUES ($1, $2, $3, $4)`, "null", nil, (*float64)(nil), []byte(nil))
			return err
		}))
		check(t, s.Read(ctx, func(q *store.Q) error {
			var n int64
			var x float64
			var b []byte
			if found, err := q.Row([]any{&n, &x, &b}, `SELECT n, x, b FROM thing WHERE id = $1`, "a"); err != nil || !found || n != 7 || x != 1.5 || string(b) != "\x00\x01" {
				t.Errorf("row a = %d %g %x, found %v, %v", n, x, b, found, err)
			}
			var pn *int64
			if found, err := q.Row([]any{&pn, &x, &b}, `SELECT n, x, b FROM thing WHERE id = $1`, "null"); err != nil || !found || pn != nil || x != 0 || b != nil {
				t.Errorf("row null = %v %g %x, found %v, %v", pn, x, b, found, err)
			}
			if found, err := q.Row([]any{&n}, `SELECT n FROM thing WHERE id = 'none'`); err != nil || found {
				t.Errorf("row none: found %v, %v", found, err)
			}
			return nil
		}))
	})
}

func TestUniqueIsToldAndRolledBack(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		check(t, s.Migrate(ctx, "test", []string{table}))
		err := s.Write(ctx, func(q *store.Q) error {
			for range 2 {
				if _, err := q.Exec(`INSERT INTO thing (id) VALUES ('a')`); err != nil {
					return err
				}
			}
			return nil
		})
		if name, ok := store.IsUnique(err); !ok || name != "thing" {
			t.Fatalf("error = %v, unique table %q, want thing", err, name)
		}
		if n := count(t, s); n != 0 {
			t.Errorf("%d rows after a failed write, want 0", n)
		}
	})
}

func TestPanicRollsBackAndLeavesTheStoreUsable(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		check(t, s.Migrate(ctx, "test", []string{table}))
		func() {
			defer func() { _ = recover() }()
			_ = s.Write(ctx, func(q *store.Q) error {
				_, _ = q.Exec(`INSERT INTO thing (id) VALUES ('a')`)
				panic("in the middle")
			})
		}()
		check(t, s.Write(ctx, func(q *store.Q) error { _, err := q.Exec(`INSERT INTO thing (id) VALUES ('b')`); return err }))
		if n := count(t, s); n != 1 {
			t.Errorf("%d rows, want 1", n)
		}
	})
}

func TestReadSeesOneSnapshotWhileOthersWrite(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		check(t, s.Migrate(ctx, "test", []string{table}))
		check(t, s.Read(ctx, func(q *store.Q) error {
			var before, after int
			_, err := q.Row([]any{&before}, `SELECT count(*) FROM thing`)
			check(t, err)
			check(t, s.Write(ctx, func(q *store.Q) error { _, err := q.Exec(`INSERT INTO thing (id) VALUES ('a')`); return err }))
			_, err = q.Row([]any{&after}, `SELECT count(*) FROM thing`)
			check(t, err)
			if before != 0 || after != 0 {
				t.Errorf("a snapshot saw %d, then %d rows", before, after)
			}
			return nil
		}))
	})
}

func TestRowsLeftOpenHoldNobodyUp(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		check(t, s.Migrate(ctx, "test", []string{table}))
		fill := func(from int) {
			check(t, s.Write(ctx, func(q *store.Q) error {
				for i := range 5 {
					if _, err := q.Exec(`INSERT INTO thing (id, n) VALUES ($1, $2)`, string(rune('a'+from+i)), i); err != nil {
						return err
					}
				}
				return nil
			}))
		}
		fill(0)
		enough := errors.New("enough")
		err := s.Read(ctx, func(q *store.Q) error {
			rows := q.Query(`SELECT id FROM thing ORDER BY id`)
			rows.Next()
			return enough // the rows are never closed
		})
		if !errors.Is(err, enough) {
			t.Fatal(err)
		}
		fill(5)
		if n := count(t, s); n != 10 {
			t.Errorf("a later read sees %d of 10 rows: it stands on the snapshot of the one that was left open", n)
		}
	})
}

func TestReadersCannotWrite(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		check(t, s.Migrate(ctx, "test", []string{table}))
		if err := s.Read(ctx, func(q *store.Q) error { _, err := q.Exec(`INSERT INTO thing (id) VALUES ('a')`); return err }); err == nil {
			t.Error("a read transaction wrote")
		}
	})
}

func TestManyReadersAndWriters(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		check(t, s.Migrate(ctx, "test", []string{table}))
		check(t, s.Write(ctx, func(q *store.Q) error { _, err := q.Exec(`INSERT INTO thing (id, n) VALUES ('a', 0)`); return err }))
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for range 10 {
					if err := s.Write(ctx, func(q *store.Q) error { _, err := q.Exec(`UPDATE thing SET n = n + 1`); return err }); err != nil {
						t.Error(err)
					}
					if err := s.Read(ctx, func(q *store.Q) error { var n int; _, err := q.Row([]any{&n}, `SELECT n FROM thing`); return err }); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		var n int
		check(t, s.Read(ctx, func(q *store.Q) error { _, err := q.Row([]any{&n}, `SELECT n FROM thing`); return err }))
		if n != 200 {
			t.Errorf("counter = %d, want 200", n)
		}
	})
}

func TestMigrateRefusesEditedAndNewer(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		check(t, s.Migrate(ctx, "test", []string{table, `CREATE INDEX thing_n ON thing (n)`}))
		check(t, s.Migrate(ctx, "test", []string{table, `CREATE INDEX thing_n ON thing (n)`}))
		for name, steps := range map[string][]string{"edited": {table + " ", `CREATE INDEX thing_n ON thing (n)`}, "newer": {table}} {
			if err := s.Migrate(ctx, "test", steps); fault.KindOf(err) != fault.Conflict {
				t.Errorf("%s: error = %v, want a conflict", name, err)
			}
		}
	})
}

func TestNodesThatStartTogetherMigrateInTurn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		var nodes sync.WaitGroup
		for range 8 {
			nodes.Go(func() {
				if err := s.Migrate(ctx, "test", []string{table, `CREATE INDEX thing_n ON thing (n)`}); err != nil {
					t.Errorf("one of eight that start together: %v", err)
				}
			})
		}
		nodes.Wait()
	})
}

func TestCancelledReadEnds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		c, cancel := context.WithCancel(ctx)
		err := s.Read(c, func(q *store.Q) error {
			cancel()
			var n int
			_, err := q.Row([]any{&n}, `WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 1000000000) SELECT count(*) FROM r`)
			return err
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error = %v, want cancelled", err)
		}
	})
}

// TestReadTogetherSeesOneSnapshot writes while connections of their own are read.
func TestReadTogetherSeesOneSnapshot(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		check(t, s.Migrate(ctx, "test", []string{table}))
		add := func() error {
			return s.Write(ctx, func(q *store.Q) error {
				_, err := q.Exec(`INSERT INTO thing (id) SELECT 'n' || count(*) FROM thing`)
				return err
			})
		}
		for range 10 {
			check(t, add())
		}
		writing, wrote := make(chan struct{}), make(chan error)
		go func() {
			var err error
			for err == nil {
				select {
				case <-writing:
					wrote <- nil
					return
				default:
					err = add()
				}
			}
			wrote <- err
		}()
		check(t, s.ReadTogether(ctx, 3, func(views []*store.Q) error {
			counts := make([]int, len(views))
			for range 20 {
				var wg sync.WaitGroup
				for i, q := range views {
					wg.Go(func() {
						if _, err := q.Row([]any{&counts[i]}, `SELECT count(*) FROM thing`); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				if counts[0] < 10 || counts[1] != counts[0] || counts[2] != counts[0] {
					t.Errorf("the views see %v rows", counts)
				}
			}
			if _, err := views[1].Exec(`DELETE FROM thing`); err == nil {
				t.Error("a view was written to")
			}
			return nil
		}))
		close(writing)
		check(t, <-wrote)
		check(t, s.Close())
		if err := s.ReadTogether(ctx, 2, func([]*store.Q) error { return nil }); err == nil {
			t.Error("read after the close")
		}
	})
}

func TestBorrowedColumns(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		check(t, s.Write(ctx, func(q *store.Q) error {
			if err := q.Script(`CREATE TABLE every (n {bigint} PRIMARY KEY, t {text}, b {blob}, r {real}) {table}`); err != nil {
				return err
			}
			for i, row := range [][]any{{"a é", []byte{0, 1}, 1.5}, {"", []byte{}, -2.0}, {nil, nil, nil}} {
				if _, err := q.Exec(`INSERT INTO every (n, t, b, r) VALUES ($1, $2, $3, $4)`, append([]any{int64(i) - 1}, row...)...); err != nil {
					return err
				}
			}
			var n int64
			var text, blob store.Borrowed
			var copied string
			var r float64
			var maybe *int64
			var real *float64
			var got []string
			rows := q.Query(`SELECT n, t, b, t, r, CASE WHEN r > 0 THEN n END, r FROM every ORDER BY n`)
			for dest := []any{&n, &text, &blob, &copied, &r, &maybe, &real}; rows.Next(); {
				rows.Scan(dest...)
				got = append(got, fmt.Sprintf("%d %q %x %q %g %t %t %t %t", n, text, blob, copied, r, text == nil, blob == nil, maybe == nil, real == nil))
			}
			want := []string{`-1 "a é" 0001 "a é" 1.5 false false false false`, `0 ""  "" -2 false false true false`, `1 ""  "" 0 true true true true`}
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			return rows.Close()
		}))
	})
}

func TestTablesAreAlikeOnBothEngines(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		s := open()
		check(t, s.Migrate(ctx, "test", []string{`CREATE TABLE every (b {blob}, r {real}, k {text} NOT NULL, n {bigint} NOT NULL, PRIMARY KEY (n, k)) {clustered}; ALTER TABLE every ADD COLUMN late {text}`}))
		check(t, s.Read(ctx, func(q *store.Q) error {
			tables, err := q.Tables()
			got := fmt.Sprint(tables)
			want := "[{every [{b blob} {r real} {k text} {n bigint} {late text}] [n k]} {migration [{owner text} {step bigint} {hash text}] [owner step]}]"
			if got != want {
				t.Errorf("tables\n%s, want\n%s", got, want)
			}
			return err
		}))
	})
}

func TestALogThatEndsInsideABlockOpens(t *testing.T) {
	dir := t.TempDir()
	s, err := store.OpenSQLite(ctx, filepath.Join(dir, "qanat.db"), storetest.Key)
	check(t, err)
	defer s.Close()
	check(t, s.Migrate(ctx, "test", []string{table}))
	main, err := os.ReadFile(filepath.Join(dir, "qanat.db"))
	check(t, err)
	log, err := os.ReadFile(filepath.Join(dir, "qanat.db-wal"))
	check(t, err)
	for cut := 512; cut < 4*4096; cut += 512 {
		after := t.TempDir()
		check(t, os.WriteFile(filepath.Join(after, "qanat.db"), main, 0o600))
		check(t, os.WriteFile(filepath.Join(after, "qanat.db-wal"), log[:len(log)-cut], 0o600))
		recovered, err := store.OpenSQLite(ctx, filepath.Join(after, "qanat.db"), storetest.Key)
		if err != nil {
			t.Errorf("after a power cut that lost the last %d bytes of the log: %v", cut, err)
			continue
		}
		check(t, recovered.Close())
	}
}

func TestWrongKeyDoesNotOpen(t *testing.T) {
	path := t.TempDir() + "/a.db"
	s, err := store.OpenSQLite(ctx, path, storetest.Key)
	check(t, err)
	check(t, s.Migrate(ctx, "test", []string{table}))
	check(t, s.Close())
	if s, err := store.OpenSQLite(ctx, path, []byte("another key that is 32 bytes lng")); err == nil {
		s.Close()
		t.Error("opened with a wrong key")
	}
}

func count(t *testing.T, s *store.Store) (n int) {
	t.Helper()
	check(t, s.Read(ctx, func(q *store.Q) error { _, err := q.Row([]any{&n}, `SELECT count(*) FROM thing`); return err }))
	return n
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
