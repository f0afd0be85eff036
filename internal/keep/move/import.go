package move

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/qanat-water/qanat/internal/base/blob"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/vault"
	"github.com/qanat-water/qanat/internal/ledger"
)

// Import says where to put what a file carries.
type Import struct {
	Store *store.Store
	Vault *vault.Vault
	Blobs *blob.Store
	In    io.Reader
	// Nouns are those that the server knows.
	Nouns []ledger.Kind
	// Tables makes the tables of what stands beside the ledger.
	Tables func(ctx context.Context) error
	// Open opens the filled database, with ledger.Config.Filling.
	Open     func(ctx context.Context) (*ledger.Ledger, error)
	Progress func(what string, done, total int64)
}

const (
	batchRows  = 4000    // of one transaction
	batchBytes = 8 << 20 // and about as much of their values
)

// Run fills the database and verifies it. Until it returns nil the database is
// marked as unfinished.
func (m *Import) Run(ctx context.Context) (Summary, error) {
	var s Summary
	r, err := newReader(m.Vault, m.In)
	if err != nil {
		return s, err
	}
	h, err := r.head()
	if err != nil {
		return s, damaged(err)
	}
	tables, err := m.prepare(ctx, h)
	if err != nil {
		return s, err
	}
	if err := m.records(ctx, r, tables, &s); err != nil {
		return s, err
	}
	return s, m.finish(ctx, h, &s)
}

func (r *reader) head() (h head, err error) {
	kind, err := r.ReadByte()
	if err != nil {
		return h, err
	}
	if kind != recordHead {
		return h, fmt.Errorf("it begins with a record %q", kind)
	}
	text, err := r.bytes(nil)
	if err != nil {
		return h, err
	}
	return h, json.Unmarshal(text, &h)
}

// prepare makes the tables, sees that the file is for them and that nothing is in
// them, and marks the database.
func (m *Import) prepare(ctx context.Context, h head) (map[string]store.Table, error) {
	begun, err := m.begun(ctx)
	if err != nil {
		return nil, err
	}
	if !begun {
		if err := m.empty(ctx); err != nil {
			return nil, err
		}
	}
	if err := ledger.BeginFilling(ctx, m.Store); err != nil {
		return nil, err
	}
	if err := m.Tables(ctx); err != nil {
		return nil, err
	}
	byName := map[string]store.Table{}
	for _, t := range h.Tables {
		byName[t.Name] = t
	}
	return byName, m.Store.Write(ctx, func(q *store.Q) error {
		has, err := migrations(q)
		if err != nil {
			return err
		}
		tables, err := movable(q, ledger.Derived(m.Nouns))
		if err != nil {
			return err
		}
		alike := slices.Equal(has, h.Migrations) && len(tables) == len(h.Tables)
		for _, t := range tables {
			alike = alike && slices.Equal(t.Columns, byName[t.Name].Columns)
		}
		if !alike {
			return fault.New(fault.Conflict, "move.version", "The file is of a server with other tables than this program makes").
				WithMend("Import with the version of qanat that exported, or export again with this one")
		}
		for _, t := range tables { // what an import before has left
			if _, err := q.Exec(`DELETE FROM ` + t.Name); err != nil {
				return err
			}
		}
		return nil
	})
}

// begun tells whether an import was begun into this database.
func (m *Import) begun(ctx context.Context) (begun bool, err error) {
	return begun, m.Store.Read(ctx, func(q *store.Q) error {
		tables, err := q.Tables()
		if err == nil && slices.ContainsFunc(tables, func(t store.Table) bool { return t.Name == "migration" }) {
			begun, err = ledger.Filling(q)
		}
		return err
	})
}

// empty refuses a database in which there is anything.
func (m *Import) empty(ctx context.Context) error {
	return m.Store.Read(ctx, func(q *store.Q) error {
		tables, err := q.Tables()
		if err != nil {
			return err
		}
		for _, t := range tables {
			if t.Name == "migration" || t.Name == "head" || t.Name == "noun" {
				continue
			}
			var one int64
			found, err := q.Row([]any{&one}, `SELECT 1 FROM `+t.Name+` LIMIT 1`)
			if err != nil {
				return err
			}
			if found {
				return fault.Newf(fault.Conflict, "move.full", "The database is not empty: there are rows in %s", t.Name).
					WithMend("Import into an empty database: a new data directory, or a new PostgreSQL database")
			}
		}
		return nil
	})
}

// records takes in tables and files until the last record, and the end of the
// file after it.
func (m *Import) records(ctx context.Context, r *reader, tables map[string]store.Table, s *Summary) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		kind, err := r.ReadByte()
		if err != nil {
			return damaged(err)
		}
		switch kind {
		case recordTable:
			name, err := r.bytes(nil)
			if err != nil {
				return damaged(err)
			}
			t, known := tables[string(name)]
			if !known {
				return damaged(fmt.Errorf("table %.60q twice, or unknown", name))
			}
			delete(tables, t.Name)
			rows, err := m.table(ctx, r, t)
			if err != nil {
				return err
			}
			s.Tables++
			s.Rows += rows
		case recordFile:
			if err := m.file(ctx, r); err != nil {
				return err
			}
			s.Files++
			m.Progress("files", int64(s.Files), 0)
		case recordLast:
			var counts [3]int64
			for i := range counts {
				if counts[i], err = r.number(); err != nil {
					return damaged(err)
				}
			}
			if counts != [3]int64{int64(s.Tables), s.Rows, int64(s.Files)} || len(tables) > 0 {
				return damaged(fmt.Errorf("%d tables, %d rows and %d files were counted: %v", s.Tables, s.Rows, s.Files, counts))
			}
			if _, err := r.ReadByte(); err != io.EOF {
				return damaged(errors.Join(errors.New("it goes on after its end"), err))
			}
			return nil
		default:
			return damaged(fmt.Errorf("a record %q", kind))
		}
	}
}

// table takes in the rows of a table, in transactions of many.
func (m *Import) table(ctx context.Context, r *reader, t store.Table) (total int64, err error) {
	for {
		var batch [][]any
		count, size := int64(-1), 0
		for len(batch) < batchRows && size < batchBytes && count < 0 {
			kind, err := r.ReadByte()
			if err != nil {
				return total, damaged(err)
			}
			switch kind {
			case recordRow:
				row := make([]any, len(t.Columns))
				for i, c := range t.Columns {
					if row[i], err = r.value(c.Type); err != nil {
						return total, damaged(err)
					}
					switch v := row[i].(type) {
					case string:
						size += len(v)
					case []byte:
						size += len(v)
					}
				}
				batch = append(batch, row)
			case recordEnd:
				if count, err = r.number(); err != nil || count < 0 {
					return total, damaged(fmt.Errorf("table %s has %d rows: %w", t.Name, count, err))
				}
			default:
				return total, damaged(fmt.Errorf("a record %q in table %s", kind, t.Name))
			}
		}
		if err := m.Store.Write(ctx, func(q *store.Q) error { return insert(q, t, batch) }); err != nil {
			return total, fmt.Errorf("table %s: %w", t.Name, err)
		}
		total += int64(len(batch))
		m.Progress(t.Name, total, 0)
		if count >= 0 {
			if count != total {
				return total, damaged(fmt.Errorf("table %s has %d rows, %d were counted", t.Name, total, count))
			}
			return total, nil
		}
	}
}

// insert writes rows in runs of two lengths, so that few statements are prepared.
func insert(q *store.Q, t store.Table, rows [][]any) error {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	for _, size := range []int{32, 1} {
		var sql strings.Builder
		fmt.Fprintf(&sql, "INSERT INTO %s (%s) VALUES ", t.Name, strings.Join(names, ", "))
		for n := range size * len(names) {
			switch {
			case n == 0:
				sql.WriteByte('(')
			case n%len(names) == 0:
				sql.WriteString("), (")
			default:
				sql.WriteString(", ")
			}
			fmt.Fprintf(&sql, "$%d", n+1)
		}
		sql.WriteByte(')')
		for len(rows) >= size {
			args := make([]any, 0, size*len(names))
			for _, row := range rows[:size] {
				args = append(args, row...)
			}
			if _, err := q.Exec(sql.String(), args...); err != nil {
				return err
			}
			rows = rows[size:]
		}
	}
	return nil
}

// file takes in a file, which must have the name it came under.
func (m *Import) file(ctx context.Context, r *reader) error {
	name, err := r.bytes(nil)
	if err != nil {
		return damaged(err)
	}
	content := &pieces{r: r}
	ref, err := m.Blobs.Put(ctx, content, 1<<62)
	if content.failed != nil {
		return damaged(content.failed)
	}
	if err != nil {
		return fmt.Errorf("file %.64s: %w", name, err)
	}
	if ref.Hash != string(name) {
		return damaged(fmt.Errorf("file %.64q has the hash %s", name, ref.Hash))
	}
	return nil
}

// pieces reads a file's content up to the empty piece.
type pieces struct {
	r      *reader
	piece  []byte
	rest   []byte
	ended  bool
	failed error
}

func (p *pieces) Read(into []byte) (int, error) {
	if len(p.rest) == 0 && !p.ended && p.failed == nil {
		if p.piece, p.failed = p.r.bytes(p.piece); p.failed == nil {
			p.rest, p.ended = p.piece, len(p.piece) == 0
		}
	}
	switch {
	case p.failed != nil:
		return 0, p.failed
	case p.ended:
		return 0, io.EOF
	}
	n := copy(into, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// finish makes the indexes, verifies everything, and only then takes the mark away.
func (m *Import) finish(ctx context.Context, h head, s *Summary) error {
	l, err := m.Open(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	named := map[string]bool{}
	report, err := l.VerifyFiles(ctx, func(done, total int64) { m.Progress("verified", done, total) }, func(hash, _ string) { named[hash] = true })
	if err != nil {
		return err
	}
	s.Entries, s.Root = report.Entries, report.Root
	if !report.OK() {
		p := report.Problems[0]
		return fault.Newf(fault.Conflict, "move.tampered", "What arrived does not verify (%d problems; the first: %s: %s)", len(report.Problems), p.Where, p.What).
			WithMend("Export again from a server on which qanat verify finds nothing")
	}
	if report.Entries != h.Entries || h.Entries > 0 && report.Root != base64.StdEncoding.EncodeToString(h.Root) {
		return damaged(fmt.Errorf("the root of %d entries is %s", report.Entries, report.Root))
	}
	for hash := range named {
		if !m.Blobs.Has(hash) {
			s.Missing++
		}
	}
	if h.Files && s.Missing > 0 {
		return damaged(fmt.Errorf("%d files are missing", s.Missing))
	}
	return ledger.EndFilling(ctx, m.Store)
}
