package ledger_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/qanat-water/qanat/internal/base/clock"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/base/vault"
	"github.com/qanat-water/qanat/internal/ledger"
)

// pump has columns of every type, a rule that asks its index in SQL, and one that
// writes another document.
type pump struct {
	Well   string   `json:"well"`
	Serial string   `json:"serial"`
	Hours  int64    `json:"hours,omitempty"`
	Bar    *float64 `json:"bar,omitempty"`
}

type tally struct {
	Pumps int `json:"pumps"`
}

var tallies = &ledger.Noun[tally]{Name: "tally"}

const tallyID = "0190a000-0000-4000-8000-00000000000f"

var pumps *ledger.Noun[pump]

func init() { // its rule asks for itself
	pumps = &ledger.Noun[pump]{
		Name: "pump",
		Table: &ledger.Table[pump]{
			Columns: []ledger.Column{{Name: "well", Type: ledger.Text}, {Name: "serial", Type: ledger.Text}, {Name: "hours", Type: ledger.Integer}, {Name: "bar", Type: ledger.Real}},
			Unique:  [][]string{{"org", "serial"}}, Indexes: [][]string{{"well", "hours"}},
			Row: func(d ledger.Doc[pump]) []any {
				if d.Body.Hours < 0 {
					return nil // one that stands in no list
				}
				return []any{d.Body.Well, d.Body.Serial, d.Body.Hours, d.Body.Bar}
			},
		},
		Check: func(tx *ledger.Tx, before, after *ledger.Doc[pump]) error {
			if after == nil || before != nil {
				return nil
			}
			of, err := pumps.List(tx.Reader, "n.well = $1 ORDER BY n.hours, n.id", after.Body.Well)
			if err != nil {
				return err
			}
			if len(of) >= 3 {
				return fault.New(fault.Conflict, "pump.many", "A well has three pumps at most").WithMend("Take one out")
			}
			if _, err := tallies.Get(tx.Reader, tallyID); err != nil {
				_, err = tallies.Create(tx, "", tallyID, tally{1})
				return err
			}
			_, err = tallies.Update(tx, tallyID, 0, func(t *tally) error { t.Pumps++; return nil })
			return err
		},
	}
}

// life is a ledger that a seed lives in.
type life struct {
	*ledger.Ledger
	t      *testing.T
	random *rand.Rand
	clock  *clock.Manual
	wells  []string
	pumps  []string
	events []string // what came of each step
}

var errOnPurpose = errors.New("on purpose")

// TestBothEnginesComeToTheSame lives the same random lives on both engines, with
// the same randomness for keys and nonces, and wants the same tree, documents,
// index rows, histories and errors. QANAT_SOAK lives more and longer ones.
func TestBothEnginesComeToTheSame(t *testing.T) {
	seeds, steps := uint64(2), 150
	switch {
	case os.Getenv("QANAT_SOAK") != "":
		seeds, steps = 40, 2500
	case testing.Short():
		seeds, steps = 1, 100
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			one, oneEvents := lived(t, storetest.SQLite(t)(), seed, steps)
			other, otherEvents := lived(t, storetest.Postgres(t)(), seed, steps)
			for i, event := range oneEvents {
				if i >= len(otherEvents) || otherEvents[i] != event {
					t.Fatalf("step %d: on SQLite %s, on PostgreSQL %s", i, event, otherEvents[min(i, len(otherEvents)-1)])
				}
			}
			for what, sum := range one {
				if other[what] != sum {
					t.Errorf("%s differ", what)
				}
			}
			if len(one) != len(other) || len(one) < 6 {
				t.Errorf("compared %v and %v", slices.Sorted(maps.Keys(one)), slices.Sorted(maps.Keys(other)))
			}
		})
	}
}

func lived(t *testing.T, s *store.Store, seed uint64, steps int) (end map[string]string, events []string) {
	t.Helper()
	v, err := vault.New([]byte("a master key of 32 bytes for test"[:32]))
	check(t, err)
	l := &life{t: t, random: rand.New(rand.NewPCG(seed, 99)), clock: clock.NewManual(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC))}
	kinds := []ledger.Kind{wells, pumps, tallies, secrets}
	l.Ledger, err = ledger.Open(ctx, ledger.Config{Store: s, Vault: v, Clock: l.clock, Nouns: kinds, Origin: "test.example/qanat", CheckpointEvery: time.Hour})
	check(t, err)
	refused, entries := 0, int64(0)
	for step := range steps {
		cryptotest.SetGlobalRandom(t, seed<<32|uint64(step)) // #nosec G115 -- a count
		l.clock.Advance(time.Duration(l.random.IntN(3)) * time.Minute)
		what, err := l.step()
		if err != nil {
			what += ": " + fault.From(err).Code
			refused++
		}
		l.events = append(l.events, what)
	}
	check(t, l.Checkpoint(ctx))
	report, err := l.Verify(ctx, nil)
	check(t, err)
	if !report.OK() {
		t.Errorf("seed %d on %s: %+v", seed, s.Engine(), report.Problems)
	}
	entries = report.Entries
	if refused < steps/50 || entries < int64(steps) {
		t.Errorf("a dull life: %d steps, %d refused, %d entries", steps, refused, entries)
	}
	end = map[string]string{"roots": report.Root}
	check(t, s.Read(ctx, func(q *store.Q) error {
		tables, err := q.Tables()
		for _, table := range tables {
			if err == nil && table.Name != "checkpoint" { // when one is signed is a matter of the wall clock
				end["rows of "+table.Name], err = sumOf(q, table)
			}
		}
		return err
	}))
	check(t, l.Read(ctx, func(r *ledger.Reader) error {
		sum := sha256.New()
		for _, id := range slices.Concat(l.wells, l.pumps) {
			history, err := r.History(id)
			if err != nil {
				return err
			}
			check(t, json.NewEncoder(sum).Encode(history))
			for _, h := range history {
				by, err := r.UndoneBy(h.Entry)
				if err != nil {
					return err
				}
				fmt.Fprintln(sum, by)
			}
		}
		end["histories"] = fmt.Sprintf("%x", sum.Sum(nil))
		c, _, err := r.LatestCheckpoint()
		end["checkpoints"] = c.Note
		return err
	}))
	check(t, l.Close())
	return end, l.events
}

// sumOf hashes the rows of a table in the order of its key.
func sumOf(q *store.Q, table store.Table) (string, error) {
	sum := sha256.New()
	columns := make([]string, len(table.Columns))
	dest := make([]any, len(table.Columns))
	for i, c := range table.Columns {
		columns[i] = c.Name
		switch c.Type {
		case "bigint":
			dest[i] = new(*int64)
		case "real":
			dest[i] = new(*float64)
		case "text":
			dest[i] = new(*string)
		default:
			dest[i] = new([]byte)
		}
	}
	rows := q.Query(`SELECT ` + strings.Join(columns, ", ") + ` FROM ` + table.Name + ` ORDER BY ` + strings.Join(table.Key, ", "))
	n := 0
	for ; rows.Next(); n++ {
		rows.Scan(dest...)
		if err := json.NewEncoder(sum).Encode(dest); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d %x", n, sum.Sum(nil)), rows.Close()
}

func (l *life) id() string {
	var b [16]byte
	for i := range b {
		b[i] = byte(l.random.Uint32())
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (l *life) who() ledger.Actor { return []ledger.Actor{amina, juma}[l.random.IntN(2)] }

func (l *life) of(ids []string) string {
	if len(ids) == 0 {
		return "0190a000-0000-4000-8000-000000000000"
	}
	return ids[l.random.IntN(len(ids))]
}

func (l *life) well() well {
	w := well{Name: fmt.Sprint("well ", l.random.IntN(50)), Depth: float64(l.random.IntN(2000))/8 - 3, Labels: map[string]string{"status": []string{"works", "broken"}[l.random.IntN(2)]}}
	if l.random.IntN(2) == 0 {
		w.Code = fmt.Sprint(l.random.IntN(300 + 2*len(l.wells)))
	}
	return w
}

func (l *life) pump() pump {
	p := pump{Well: l.of(l.wells), Serial: fmt.Sprint("s", l.random.IntN(400+2*len(l.pumps))), Hours: int64(l.random.IntN(1000)) - 50}
	if l.random.IntN(3) > 0 {
		bar := l.random.NormFloat64()
		p.Bar = &bar
	}
	return p
}

// changes makes up some changes of a write.
func (l *life) changes(n int) (change func(tx *ledger.Tx) error, done func()) {
	type plan struct {
		kind int
		id   string
		well well
		pump pump
	}
	plans := make([]plan, n)
	for i := range plans {
		plans[i] = plan{kind: l.random.IntN(12), well: l.well(), pump: l.pump()}
		switch p := &plans[i]; {
		case p.kind < 6:
			p.id = l.id()
		case p.kind < 9:
			p.id = l.of(l.wells)
		default:
			p.id = l.of(l.pumps)
		}
	}
	change = func(tx *ledger.Tx) (err error) {
		for _, p := range plans {
			switch {
			case p.kind < 4:
				_, err = wells.Create(tx, org, p.id, p.well)
			case p.kind < 6:
				_, err = pumps.Create(tx, org, p.id, p.pump)
			case p.kind < 8:
				_, err = wells.Update(tx, p.id, 0, func(w *well) error { w.Depth, w.Code = p.well.Depth, p.well.Code; return nil })
			case p.kind == 8:
				err = wells.Delete(tx, p.id, 0)
			case p.kind < 11:
				_, err = pumps.Update(tx, p.id, 0, func(b *pump) error { b.Hours, b.Bar, b.Serial = p.pump.Hours, p.pump.Bar, p.pump.Serial; return nil })
			default:
				err = pumps.Delete(tx, p.id, 0)
			}
			if err != nil && (n == 1 || fault.KindOf(err) != fault.NotFound) {
				return err
			}
		}
		return nil
	}
	return change, func() {
		for _, p := range plans {
			switch {
			case p.kind < 4:
				l.wells = append(l.wells, p.id)
			case p.kind < 6:
				l.pumps = append(l.pumps, p.id)
			}
		}
	}
}

// step does one thing, and says what it was.
func (l *life) step() (string, error) {
	write := func(actor ledger.Actor, fn func(tx *ledger.Tx) error, done func()) error {
		err := l.Write(ctx, actor, "why not", fn)
		if err == nil {
			done()
		}
		return err
	}
	switch n := l.random.IntN(20); {
	case n < 8:
		change, done := l.changes(1)
		return "one change", write(l.who(), change, done)
	case n < 11:
		change, done := l.changes(1 + l.random.IntN(12))
		return "many changes", write(l.who(), change, done)
	case n == 11: // what a write did is gone with it, also what SQL has seen of it
		change, _ := l.changes(3)
		ask := l.random.IntN(2) == 0
		return "a write that fails", write(l.who(), func(tx *ledger.Tx) error {
			if err := change(tx); err != nil {
				return err
			}
			if ask {
				if _, err := wells.List(tx.Reader, "n.depth > $1 ORDER BY n.id LIMIT 5", 10.0); err != nil {
					return err
				}
			}
			return fault.New(fault.Invalid, "test.purpose", "On purpose").Because(errOnPurpose)
		}, func() {})
	case n == 12:
		return l.imported()
	case n < 16:
		return l.undone()
	case n == 16:
		entry := 1 + l.random.Int64N(l.entries()+1)
		undo, err := l.UndoAct(ctx, l.who(), "", entry, anybody, nil)
		return fmt.Sprintf("undo of act %d: %d %d %d", entry, undo.Count, undo.Already, undo.Kept), err
	case n == 17:
		last := l.entries()
		s := ledger.Selection{Actor: l.who().ID, After: last - 1 - l.random.Int64N(40), Before: last + 1}
		if l.random.IntN(3) == 0 {
			s.Verbs = []ledger.Verb{ledger.VerbDelete}
		}
		preview, err := l.PreviewUndo(ctx, amina, s, anybody, nil)
		check(l.t, err)
		undo, err := l.UndoRange(ctx, amina, "", s, anybody, nil)
		return fmt.Sprintf("undo of a range: %d %d %d, previewed %d %d %d", undo.Count, undo.Already, undo.Kept, preview.Count, preview.Already, preview.Kept), err
	case n == 18: // the same code for two, found only when rows are written
		id, other := l.id(), l.id()
		return "a code twice", write(l.who(), func(tx *ledger.Tx) error {
			for _, id := range []string{id, other} {
				if _, err := wells.Create(tx, org, id, well{Name: "twin", Code: "twin " + id[:1]}); err != nil {
					return err
				}
			}
			_, err := wells.Update(tx, other, 0, func(w *well) error { w.Code = "twin " + id[:1]; return nil })
			return err
		}, func() {})
	}
	id := l.id()
	return "a secret", l.Write(ctx, l.who(), "", func(tx *ledger.Tx) error { _, err := secrets.Create(tx, org, id, "hush "+id); return err })
}

func (l *life) entries() int64 {
	var entries int64
	check(l.t, l.Read(ctx, func(r *ledger.Reader) error {
		_, err := r.Row([]any{&entries}, `SELECT count(*) FROM entry`)
		return err
	}))
	return entries
}

// imported writes chunks that belong to one act.
func (l *life) imported() (string, error) {
	act := int64(0)
	for range 3 {
		change, done := l.changes(1 + l.random.IntN(20))
		err := l.Write(ctx, juma, "an import", func(tx *ledger.Tx) error {
			if act != 0 {
				tx.Within(act)
			}
			if err := change(tx); err != nil {
				return err
			}
			act = tx.Act()
			return nil
		})
		if err != nil {
			return fmt.Sprint("an import of act ", act), err
		}
		done()
	}
	return fmt.Sprint("an import of act ", act), nil
}

// undone undoes one entry, mostly one of the newest.
func (l *life) undone() (string, error) {
	entries := l.entries()
	number := 1 + l.random.Int64N(entries+1)
	if l.random.IntN(3) > 0 {
		number = max(1, entries-l.random.Int64N(10))
	}
	e, err := l.Undo(ctx, l.who(), "a mistake", number, anybody)
	return fmt.Sprintf("undo of entry %d by %d", number, e.Number), err
}
