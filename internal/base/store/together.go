package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// apartCacheKiB is the page cache of each connection that reads together with others.
const apartCacheKiB = 16_000

// ReadTogether runs fn over n views of one snapshot, each on a connection of its
// own and for a goroutine of its own. It is for reading everything with all
// cores: the connections come beside those of Read, so that nobody waits for
// them. A single view comes from those of Read.
func (s *Store) ReadTogether(ctx context.Context, n int, fn func([]*Q) error) error {
	if n == 1 {
		return s.db.read(ctx, func(q *Q) error { return fn([]*Q{q}) })
	}
	return s.db.readTogether(ctx, n, fn)
}

// readTogether begins its transactions while it holds the write lock, so that
// none of them sees more than another.
func (db *sqliteDB) readTogether(ctx context.Context, n int, fn func([]*Q) error) (err error) {
	if !db.enter() {
		return errClosed
	}
	defer db.apart.Done()
	conns := make([]*sqliteConn, 0, n)
	defer func() {
		for _, c := range conns {
			if c.running != nil {
				c.running.end()
			}
			err = errors.Join(err, c.close()) // which ends its transaction
		}
	}()
	for range n {
		c, err := db.open(apartCacheKiB, true)
		if err != nil {
			return err
		}
		c.conn.SetInterrupt(ctx)
		conns = append(conns, c)
	}
	views := make([]*Q, n)
	err = db.write(ctx, func(*Q) error {
		for i, c := range conns {
			if err := c.conn.Exec(`BEGIN; SELECT count(*) FROM sqlite_schema`); err != nil {
				return err
			}
			views[i] = &Q{engine: SQLite, conn: c}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := fn(views); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	return nil
}

// enter keeps close waiting until apart is done.
func (db *sqliteDB) enter() bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.ctx.Err() != nil {
		return false
	}
	db.apart.Add(1)
	return true
}

// readTogether exports the snapshot of its first transaction to the others.
func (db *postgresDB) readTogether(ctx context.Context, n int, fn func([]*Q) error) error {
	if db.closed.Load() {
		return errClosed
	}
	snapshot := ""
	views := make([]*Q, n)
	for i := range views {
		c, err := pgx.ConnectConfig(ctx, db.pool.Config().ConnConfig)
		if err != nil {
			return fmt.Errorf("reach database: %w", err)
		}
		defer c.Close(context.WithoutCancel(ctx)) // which ends its transaction
		tx, err := c.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
		if err != nil {
			return err
		}
		if i == 0 {
			err = tx.QueryRow(ctx, `SELECT pg_export_snapshot()`).Scan(&snapshot)
		} else {
			_, err = tx.Exec(ctx, `SET TRANSACTION SNAPSHOT '`+snapshot+`'`) // #nosec G202 -- the server's own word, and no place for an argument
		}
		if err != nil {
			return err
		}
		views[i] = &Q{engine: Postgres, conn: &postgresConn{ctx: ctx, tx: tx}}
	}
	return fn(views)
}
