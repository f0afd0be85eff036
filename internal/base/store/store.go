// Package store is one small surface over two engines: SQLite, embedded and
// encrypted, and PostgreSQL.
//
// It guarantees that Write is one transaction, on disk when it returns nil
// (SQLite: synchronous=FULL in WAL mode; PostgreSQL: synchronous_commit=on), and
// that Read sees one snapshot throughout. SQLite has many readers and one
// writer, so writers queue; PostgreSQL writers run side by side and take the
// locks they need themselves.
//
// The same SQL text serves both: $1 placeholders, ON CONFLICT, RETURNING. Only
// in DDL, types are written {text}, {bigint}, {real}, {blob} and a table ends
// with {table} or {clustered}, and each engine puts its own words there.
//
// Who controls the database file or server can delete and replay data, which
// the ledger above detects; with SQLite he reads nothing without the master key.
package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
)

// Engine names what stands behind a Store.
type Engine string

// The two engines.
const (
	SQLite   Engine = "sqlite"
	Postgres Engine = "postgres"
)

// Store is an open database.
type Store struct {
	engine Engine
	db     database
}

// database is what an engine must do; every implementation runs the same tests.
type database interface {
	read(ctx context.Context, fn func(*Q) error) error
	write(ctx context.Context, fn func(*Q) error) error
	readTogether(ctx context.Context, n int, fn func([]*Q) error) error
	scrub(ctx context.Context, tables []string) (bool, error)
	close() error
}

// Q runs statements inside one transaction, one at a time: a query is read to
// its Close before the next statement, on either engine. It is not for use by
// two goroutines.
type Q struct {
	engine Engine
	conn   conn
	open   bool // a query is being read
}

type conn interface {
	exec(sql string, args []any) (int64, error)
	query(sql string, args []any) (cursor, error)
}

type cursor interface {
	next() bool
	scan(dest []any) error
	close() error
}

// UniqueError tells that a row like this exists already.
type UniqueError struct {
	Table string
	cause error
}

func (e *UniqueError) Error() string { return "a row like this exists already in " + e.Table }
func (e *UniqueError) Unwrap() error { return e.cause }

// Engine tells which engine it is.
func (s *Store) Engine() Engine { return s.engine }

// Close ends all connections; it waits for transactions under way.
func (s *Store) Close() error { return s.db.close() }

// Read runs fn over one snapshot. It cannot change anything.
func (s *Store) Read(ctx context.Context, fn func(*Q) error) error { return s.db.read(ctx, fn) }

// Write runs fn in one transaction: committed and on disk when Write returns
// nil, without trace when it returns an error of fn. An error of the commit
// itself leaves open whether it happened.
func (s *Store) Write(ctx context.Context, fn func(*Q) error) error { return s.db.write(ctx, fn) }

// Scrub leaves no copy of what was overwritten or deleted in the engine's own log:
// SQLite's is moved into the database, where freed bytes are zeroed
// (secure_delete), and cut off. That cannot be while somebody reads an older
// snapshot; it tells whether it could, and is to be called again if not.
// PostgreSQL keeps dead rows until its VACUUM, which is asked for, and its log for
// as long as it is configured to.
func (s *Store) Scrub(ctx context.Context, tables ...string) (bool, error) {
	return s.db.scrub(ctx, tables)
}

// Engine tells which engine the transaction runs on.
func (q *Q) Engine() Engine { return q.engine }

// Exec runs a statement and counts the rows it changed.
func (q *Q) Exec(sql string, args ...any) (int64, error) {
	if q.open {
		return 0, errNested
	}
	return q.conn.exec(sql, args)
}

// Query starts a query. Its first error, if any, is what Close returns.
func (q *Q) Query(sql string, args ...any) *Rows {
	if q.open {
		return Failed(errNested)
	}
	c, err := q.conn.query(sql, args)
	q.open = err == nil
	return &Rows{cursor: c, err: err, q: q}
}

var errNested = errors.New("store: a statement while the rows of another are still read: close them first")

// Row reads the first row of a query into dest and tells whether there was one.
func (q *Q) Row(dest []any, sql string, args ...any) (bool, error) {
	rows := q.Query(sql, args...)
	found := rows.Next()
	if found {
		rows.Scan(dest...)
	}
	err := rows.Close()
	return found && err == nil, err
}

// Borrowed is a text or a blob that was not copied: it is valid until the next
// Next or Close. NULL is nil. A row with one of these is read without allocating.
type Borrowed []byte

// Rows is a running query.
type Rows struct {
	cursor cursor
	err    error
	q      *Q
}

// Next moves to the next row.
func (r *Rows) Next() bool { return r.err == nil && r.cursor.next() }

// Scan reads the columns of the row into pointers to int64, int, float64,
// string and []byte, where NULL gives the zero value, to pointers to these,
// where NULL gives nil, or to Borrowed.
func (r *Rows) Scan(dest ...any) {
	if r.err == nil {
		r.err = r.cursor.scan(dest)
	}
}

// Close ends the query and returns the first error of it.
func (r *Rows) Close() error {
	if r.cursor != nil {
		if err := r.cursor.close(); r.err == nil {
			r.err = err
		}
		r.cursor, r.q.open = nil, false
	}
	return r.err
}

// DDL writes a statement's types in the words of the engine.
func (e Engine) DDL(sql string) string {
	if e == SQLite {
		return sqliteTypes.Replace(sql)
	}
	return postgresTypes.Replace(sql)
}

var (
	sqliteTypes   = strings.NewReplacer("{text}", "TEXT", "{bigint}", "INTEGER", "{real}", "REAL", "{blob}", "BLOB", "{table}", "STRICT", "{clustered}", "STRICT, WITHOUT ROWID")
	postgresTypes = strings.NewReplacer("{text}", `TEXT COLLATE "C"`, "{bigint}", "BIGINT", "{real}", "DOUBLE PRECISION", "{blob}", "BYTEA", "{table}", "", "{clustered}", "")
)

// Migrate brings the tables of one owner up to date. Steps are only ever added,
// never edited: a database that ran other steps, or more, is refused.
func (s *Store) Migrate(ctx context.Context, owner string, steps []string) error {
	return s.Write(ctx, func(q *Q) error {
		if err := q.Alone(); err != nil {
			return err
		}
		if err := q.Script(`CREATE TABLE IF NOT EXISTS migration (owner {text} NOT NULL, step {bigint} NOT NULL, hash {text} NOT NULL, PRIMARY KEY (owner, step)) {table}`); err != nil {
			return err
		}
		var ran []string
		rows := q.Query(`SELECT hash FROM migration WHERE owner = $1 ORDER BY step`, owner)
		for rows.Next() {
			var hash string
			rows.Scan(&hash)
			ran = append(ran, hash)
		}
		if err := rows.Close(); err != nil {
			return err
		}
		if len(ran) > len(steps) {
			return fault.Newf(fault.Conflict, "store.newer", "This database was written by a newer version (%s: step %d, this program knows %d)", owner, len(ran), len(steps)).
				WithMend("Start the newer version of qanat")
		}
		for i, step := range steps {
			sum := sha256.Sum256([]byte(step))
			hash := hex.EncodeToString(sum[:8])
			if i < len(ran) {
				if ran[i] != hash {
					return fault.Newf(fault.Conflict, "store.schema", "This database has other tables than this program expects (%s: step %d)", owner, i+1).
						WithMend("Start the version of qanat that wrote it")
				}
				continue
			}
			if err := q.Script(step); err != nil {
				return fmt.Errorf("migrate %s step %d: %w", owner, i+1, err)
			}
			if _, err := q.Exec(`INSERT INTO migration (owner, step, hash) VALUES ($1, $2, $3)`, owner, int64(i+1), hash); err != nil {
				return err
			}
		}
		return nil
	})
}

// Alone waits until no other transaction that called it is under way: nodes of one
// database that start together make its tables one after the other. SQLite has
// one writer anyway.
func (q *Q) Alone() error {
	if q.engine == SQLite {
		return nil
	}
	_, err := q.Exec(`SELECT pg_advisory_xact_lock(7165726311)`) // any number that is ours
	return err
}

// Script runs DDL statements that are separated by semicolons.
func (q *Q) Script(ddl string) error {
	for statement := range strings.SplitSeq(q.engine.DDL(ddl), ";") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if _, err := q.Exec(statement); err != nil {
			return err
		}
	}
	return nil
}

// IsUnique tells whether err is a UniqueError, and of which table.
func IsUnique(err error) (table string, ok bool) {
	var u *UniqueError
	if errors.As(err, &u) {
		return u.Table, true
	}
	return "", false
}

// Failed is a query that has failed already.
func Failed(err error) *Rows { return &Rows{err: err} }
