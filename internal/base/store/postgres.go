package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
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
	cfg.ConnConfig.RuntimeParams["jit"] = "off" // compiling conditions of rights takes longer than asking them
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

func (db *postgresDB) scrub(ctx context.Context, tables []string) (bool, error) {
	if db.closed.Load() {
		return false, errClosed
	}
	for _, table := range tables {
		if _, err := db.pool.Exec(ctx, "VACUUM "+pgx.Identifier{table}.Sanitize()); err != nil {
			return false, err
		}
	}
	return true, nil
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
	for _, d := range dest {
		if _, borrowed := d.(*Borrowed); borrowed {
			return r.borrow(dest)
		}
	}
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

// borrow reads the columns as they came over the wire.
func (r *postgresCursor) borrow(dest []any) error {
	raw, fields := r.rows.RawValues(), r.rows.FieldDescriptions()
	if len(raw) != len(dest) {
		return fmt.Errorf("cannot scan %d columns into %d", len(raw), len(dest))
	}
	for i, d := range dest {
		b, format := raw[i], fields[i].Format
		switch d := d.(type) {
		case *Borrowed:
			if format == pgx.BinaryFormatCode || fields[i].DataTypeOID == pgtype.TextOID {
				*d = b
				continue
			}
		case *string:
			if format == pgx.BinaryFormatCode || fields[i].DataTypeOID == pgtype.TextOID {
				*d = string(b)
				continue
			}
		case *int64:
			switch {
			case b == nil:
				*d = 0
				continue
			case format == pgx.BinaryFormatCode && len(b) == 8 && fields[i].DataTypeOID == pgtype.Int8OID:
				*d = int64(binary.BigEndian.Uint64(b)) // #nosec G115 -- a bit pattern
				continue
			case format == pgx.BinaryFormatCode && len(b) == 4 && fields[i].DataTypeOID == pgtype.Int4OID:
				*d = int64(int32(binary.BigEndian.Uint32(b))) // #nosec G115 -- a bit pattern
				continue
			}
		case **int64:
			switch {
			case b == nil:
				*d = nil
				continue
			case format == pgx.BinaryFormatCode && len(b) == 8 && fields[i].DataTypeOID == pgtype.Int8OID:
				n := int64(binary.BigEndian.Uint64(b)) // #nosec G115 -- a bit pattern
				*d = &n
				continue
			}
		case **float64:
			switch {
			case b == nil:
				*d = nil
				continue
			case format == pgx.BinaryFormatCode && len(b) == 8 && fields[i].DataTypeOID == pgtype.Float8OID:
				x := math.Float64frombits(binary.BigEndian.Uint64(b))
				*d = &x
				continue
			}
		case *float64:
			switch {
			case b == nil:
				*d = 0
				continue
			case format == pgx.BinaryFormatCode && len(b) == 8 && fields[i].DataTypeOID == pgtype.Float8OID:
				*d = math.Float64frombits(binary.BigEndian.Uint64(b))
				continue
			}
		}
		return fmt.Errorf("cannot scan column %d of type %d into %T", i, fields[i].DataTypeOID, d)
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
