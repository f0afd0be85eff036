package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/qanat-water/qanat/internal/base/fault"
)

type postgresDB struct {
	pool   *pgxpool.Pool
	closed atomic.Bool
}

// OpenPostgres opens a database by its URL (postgres://user@host/name). Secrets
// belong into the operator's password file or environment, not on a command line.
func OpenPostgres(ctx context.Context, url string) (*Store, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("the database URL does not parse") // pgx's text may hold the password
	}
	cfg.ConnConfig.RuntimeParams["application_name"] = "qanat"
	cfg.ConnConfig.RuntimeParams["synchronous_commit"] = "on"
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("reach database: %w", err)
	}
	return &Store{engine: Postgres, db: &postgresDB{pool: pool}}, nil
}

func (db *postgresDB) close() error {
	if db.closed.CompareAndSwap(false, true) {
		db.pool.Close()
	}
	return nil
}

func (db *postgresDB) read(ctx context.Context, fn func(*Q) error) error {
	return db.transact(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, fn)
}

func (db *postgresDB) write(ctx context.Context, fn func(*Q) error) error {
	return db.transact(ctx, pgx.TxOptions{}, fn)
}

func (db *postgresDB) transact(ctx context.Context, options pgx.TxOptions, fn func(*Q) error) error {
	if db.closed.Load() {
		return errClosed
	}
	tx, err := db.pool.BeginTx(ctx, options)
	if err != nil {
		return err
	}
	// The connection is given back whatever fn does; a panic passes through.
	defer tx.Rollback(context.WithoutCancel(ctx))
	if err := fn(&Q{engine: Postgres, conn: &postgresConn{ctx: ctx, tx: tx}}); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

type postgresConn struct {
	ctx context.Context
	tx  pgx.Tx
}

func (c *postgresConn) exec(sql string, args []any) (int64, error) {
	tag, err := c.tx.Exec(c.ctx, sql, args...)
	return tag.RowsAffected(), postgresError(err)
}

func (c *postgresConn) query(sql string, args []any) (cursor, error) {
	rows, err := c.tx.Query(c.ctx, sql, args...)
	if err != nil {
		return nil, postgresError(err)
	}
	return &postgresCursor{rows}, nil
}

type postgresCursor struct{ rows pgx.Rows }

func (r *postgresCursor) next() bool { return r.rows.Next() }

func (r *postgresCursor) close() error {
	r.rows.Close()
	return postgresError(r.rows.Err())
}

// scan reads through pointers to pointers, so that NULL gives the zero value as
// it does on SQLite.
func (r *postgresCursor) scan(dest []any) error {
	through := make([]any, len(dest))
	for i, d := range dest {
		switch d.(type) {
		case *int64:
			through[i] = new(*int64)
		case *int:
			through[i] = new(*int)
		case *float64:
			through[i] = new(*float64)
		case *string:
			through[i] = new(*string)
		default:
			through[i] = d
		}
	}
	if err := r.rows.Scan(through...); err != nil {
		return err
	}
	for i, d := range dest {
		switch d := d.(type) {
		case *int64:
			assign(d, through[i])
		case *int:
			assign(d, through[i])
		case *float64:
			assign(d, through[i])
		case *string:
			assign(d, through[i])
		}
	}
	return nil
}

func assign[T any](dest *T, through any) {
	var zero T
	*dest = zero
	if p := *through.(**T); p != nil {
		*dest = *p
	}
}

func postgresError(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch pg.Code {
	case "23505": // unique_violation
		return &UniqueError{Table: pg.TableName, cause: err}
	case "22021": // character_not_in_repertoire: a zero byte, or no UTF-8; it came from outside, and no document has it
		return fault.New(fault.Invalid, "text.invalid", "There are characters in it that are no text").WithMend("Leave the zero bytes out and send UTF-8").Because(err)
	}
	return err
}
