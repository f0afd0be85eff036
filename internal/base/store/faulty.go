package store

import "context"

// Faulty is a store over another whose steps in transactions that write fail where
// a test says so: fail does a step or leaves it out, and returns the error that it
// should end with. Steps are statements, by their first words, and "COMMIT".
// A step that was done and still fails is one whose answer was lost. For tests.
func Faulty(s *Store, fail func(step string, do func() error) error) *Store {
	return &Store{engine: s.engine, db: &faulty{s.db, fail}}
}

type faulty struct {
	database
	fail func(step string, do func() error) error
}

func (f *faulty) write(ctx context.Context, fn func(*Q) error) error {
	var lost error
	err := f.database.write(ctx, func(q *Q) error {
		q.conn = &faultyConn{q.conn, f.fail}
		if err := fn(q); err != nil {
			return err
		}
		committed := false
		lost = f.fail("COMMIT", func() error { committed = true; return nil })
		if !committed {
			return lost
		}
		return nil
	})
	if err == nil {
		err = lost
	}
	return err
}

type faultyConn struct {
	conn
	fail func(step string, do func() error) error
}

func (c *faultyConn) exec(sql string, args []any) (rows int64, err error) {
	err = c.fail(firstWords(sql), func() (err error) { rows, err = c.conn.exec(sql, args); return err })
	return rows, err
}

func (c *faultyConn) query(sql string, args []any) (found cursor, err error) {
	err = c.fail(firstWords(sql), func() (err error) { found, err = c.conn.query(sql, args); return err })
	if err != nil && found != nil {
		_ = found.close() // the error that is wanted is the other
		found = nil
	}
	return found, err
}

// firstWords is enough to tell statements apart: "INSERT INTO entry".
func firstWords(sql string) string {
	const words = 3
	seen := 0
	for i, r := range sql {
		if r == ' ' || r == '\n' {
			if seen++; seen == words {
				return sql[:i]
			}
		}
	}
	return sql
}
