package move

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/blob"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/vault"
	"github.com/qanat-water/qanat/internal/ledger"
)

// Export says what to carry, and where to.
type Export struct {
	Ledger   *ledger.Ledger
	Nouns    []ledger.Kind // those that the server knows
	Vault    *vault.Vault
	Blobs    *blob.Store // nil: files are carried by other means
	Out      io.Writer
	Progress func(what string, done, total int64)
}

// Run verifies the ledger and writes everything to Out. Whoever writes to the
// database must have stopped, and readings must be settled.
func (e *Export) Run(ctx context.Context) (Summary, error) {
	named := map[string]bool{}
	report, err := e.Ledger.VerifyFiles(ctx, func(done, total int64) { e.Progress("verified", done, total) }, func(hash, _ string) { named[hash] = true })
	if err != nil {
		return Summary{}, err
	}
	if !report.OK() {
		p := report.Problems[0]
		return Summary{}, fault.Newf(fault.Conflict, "move.tampered", "The ledger is not as it was written (%d problems; the first: %s: %s)", len(report.Problems), p.Where, p.What).
			WithMend("Run qanat verify, keep this database as evidence, and restore from the backup")
	}
	w, err := newWriter(e.Vault, e.Out)
	if err != nil {
		return Summary{}, err
	}
	s := Summary{Root: report.Root}
	err = e.Ledger.Store().Read(ctx, func(q *store.Q) error { return e.tables(q, w, report, &s) })
	if err != nil {
		return s, err
	}
	if e.Blobs == nil {
		s.Missing = len(named)
	} else {
		for _, hash := range slices.Sorted(maps.Keys(named)) {
			if err := e.file(ctx, w, hash); err != nil {
				return s, err
			}
			s.Files++
			e.Progress("files", int64(s.Files), int64(len(named)))
		}
	}
	return s, errors.Join(w.record(recordLast, int64(s.Tables), s.Rows, int64(s.Files)), w.close())
}

// tables writes the head and every table of the snapshot that is not derived.
func (e *Export) tables(q *store.Q, w *writer, report ledger.Report, s *Summary) error {
	h := head{Engine: q.Engine(), Time: e.Ledger.Now().UTC().Format(time.RFC3339), Files: e.Blobs != nil}
	var err error
	if h.Entries, h.Root, err = e.Ledger.Head(q); err != nil {
		return err
	}
	if h.Entries != report.Entries || base64.StdEncoding.EncodeToString(h.Root) != report.Root && h.Entries > 0 {
		return fault.New(fault.Conflict, "move.busy", "Somebody writes to the database").WithMend("Stop every qanat that uses it, and export again")
	}
	if h.Migrations, err = migrations(q); err != nil {
		return err
	}
	if h.Tables, err = movable(q, ledger.Derived(e.Nouns)); err != nil {
		return err
	}
	text, err := json.Marshal(h)
	if err == nil {
		err = errors.Join(w.record(recordHead), w.bytes(text))
	}
	if err != nil {
		return err
	}
	s.Entries = h.Entries
	for _, t := range h.Tables {
		rows, err := e.table(q, w, t)
		if err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
		s.Tables++
		s.Rows += rows
	}
	return nil
}

func (e *Export) table(q *store.Q, w *writer, t store.Table) (int64, error) {
	var total, done int64
	if _, err := q.Row([]any{&total}, `SELECT count(*) FROM `+t.Name); err != nil {
		return 0, err
	}
	if err := errors.Join(w.record(recordTable), w.bytes([]byte(t.Name))); err != nil {
		return 0, err
	}
	// A column more that is borrowed in any case, so that a table of numbers alone is read the same way.
	dest := make([]any, len(t.Columns), len(t.Columns)+1)
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
		switch c.Type {
		case "bigint":
			dest[i] = new(*int64)
		case "real":
			dest[i] = new(*float64)
		default:
			dest[i] = new(store.Borrowed)
		}
	}
	sql := `SELECT ` + strings.Join(names, ", ") + `, '' FROM ` + t.Name
	if len(t.Key) > 0 {
		sql += ` ORDER BY ` + strings.Join(t.Key, ", ")
	}
	rows := q.Query(sql)
	write := func() error {
		if err := w.record(recordRow); err != nil {
			return err
		}
		for _, v := range dest {
			if err := w.value(v); err != nil {
				return err
			}
		}
		return nil
	}
	var failed error
	for all := append(dest, new(store.Borrowed)); failed == nil && rows.Next(); done++ {
		rows.Scan(all...)
		failed = write()
		if done%1000 == 0 {
			e.Progress(t.Name, done, total)
		}
	}
	if err := errors.Join(failed, rows.Close()); err != nil {
		return done, err
	}
	return done, w.record(recordEnd, done)
}

// file writes a file's content; it is checked while it is read.
func (e *Export) file(ctx context.Context, w *writer, hash string) error {
	content, err := e.Blobs.Get(ctx, hash)
	if err != nil {
		return fmt.Errorf("file %s: %w", hash, err)
	}
	defer content.Close()
	if err := errors.Join(w.record(recordFile), w.bytes([]byte(hash))); err != nil {
		return err
	}
	piece := make([]byte, pieceSize)
	for {
		n, err := io.ReadFull(content, piece)
		if n > 0 {
			if err := w.bytes(piece[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return w.bytes(nil)
		}
		if err != nil {
			return fmt.Errorf("file %s: %w", hash, err)
		}
	}
}

// migrations lists what made the tables of a database.
func migrations(q *store.Q) (all []string, err error) {
	rows := q.Query(`SELECT owner, step, hash FROM migration WHERE owner <> 'filling' ORDER BY owner, step`)
	for rows.Next() {
		var owner, hash string
		var step int64
		rows.Scan(&owner, &step, &hash)
		all = append(all, fmt.Sprintf("%s %d %s", owner, step, hash))
	}
	return all, rows.Close()
}

// movable lists the tables that must be carried: all but the list of migrations
// and what is derived from documents.
func movable(q *store.Q, derived []string) ([]store.Table, error) {
	all, err := q.Tables()
	return slices.DeleteFunc(all, func(t store.Table) bool { return t.Name == "migration" || slices.Contains(derived, t.Name) }), err
}
