package move_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/blob"
	"github.com/qanat-water/qanat/internal/base/clock"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/base/vault"
	"github.com/qanat-water/qanat/internal/fleet/reading"
	"github.com/qanat-water/qanat/internal/keep/move"
	"github.com/qanat-water/qanat/internal/ledger"
)

var ctx = context.Background()

type tap struct {
	Name  string  `json:"name"`
	Flow  float64 `json:"flow,omitempty"`
	Photo string  `json:"photo,omitempty"`
}

var taps = &ledger.Noun[tap]{
	Name: "tap", Blobs: func(t tap) []string {
		if t.Photo == "" {
			return nil
		}
		return []string{t.Photo}
	},
	Table: &ledger.Table[tap]{Columns: []ledger.Column{{Name: "name", Type: ledger.Text}, {Name: "flow", Type: ledger.Real}}, Unique: [][]string{{"name"}},
		Row: func(d ledger.Doc[tap]) []any { return []any{d.Body.Name, d.Body.Flow} }},
}

type order struct{ Sealed, Erased []string }

var orders = &ledger.Noun[order]{Name: "order", Erases: func(o order) ([]string, []string) { return o.Sealed, o.Erased }}

var nouns = []ledger.Kind{taps, orders}

// place is a database, its files and its key.
type place struct {
	t     testing.TB
	store *store.Store
	vault *vault.Vault
	blobs *blob.Store
	dir   string
}

func newPlace(t testing.TB, s *store.Store, key byte) *place {
	t.Helper()
	v, err := vault.New(bytes.Repeat([]byte{key}, 32))
	check(t, err)
	p := &place{t: t, store: s, vault: v, dir: t.TempDir()}
	p.blobs, err = blob.Open(p.dir+"/blobs", v)
	check(t, err)
	return p
}

func (p *place) open(ctx context.Context, filling bool) (*ledger.Ledger, error) {
	return ledger.Open(ctx, ledger.Config{Store: p.store, Vault: p.vault, Nouns: nouns, Origin: "test.example/qanat", CheckpointDir: p.dir + "/checkpoints", Filling: filling,
		Clock: clock.NewManual(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC))})
}

func (p *place) opened() *ledger.Ledger {
	p.t.Helper()
	l, err := p.open(ctx, false)
	check(p.t, err)
	p.t.Cleanup(func() { l.Close() })
	return l
}

func (p *place) tables(ctx context.Context) error {
	r, err := reading.Open(ctx, reading.Config{Store: p.store})
	if err == nil {
		r.Close()
	}
	return err
}

func (p *place) export(l *ledger.Ledger, files bool) (file []byte, s move.Summary) {
	p.t.Helper()
	var out bytes.Buffer
	e := move.Export{Ledger: l, Nouns: nouns, Vault: p.vault, Out: &out, Progress: func(string, int64, int64) {}}
	if files {
		e.Blobs = p.blobs
	}
	s, err := e.Run(ctx)
	check(p.t, err)
	return out.Bytes(), s
}

func (p *place) take(file io.Reader) (move.Summary, error) {
	m := move.Import{Store: p.store, Vault: p.vault, Blobs: p.blobs, In: file, Nouns: nouns, Tables: p.tables,
		Open: func(ctx context.Context) (*ledger.Ledger, error) { return p.open(ctx, true) }, Progress: func(string, int64, int64) {}}
	return m.Run(ctx)
}

// settled fills a place with a bit of everything.
func settled(t testing.TB, s *store.Store) (*place, *ledger.Ledger) {
	t.Helper()
	p := newPlace(t, s, 1)
	l := p.opened()
	photo, err := p.blobs.Put(ctx, strings.NewReader(strings.Repeat("a photo ", 320_000)), 1<<30) // some segments of the file
	check(t, err)
	actor := ledger.Actor{ID: "0190a000-0000-7000-8000-000000000001", Kind: "account", Name: "Amina", Door: "web"}
	write := func(fn func(tx *ledger.Tx) error) {
		check(t, l.Write(ctx, actor, "", fn))
	}
	var ids []string
	for i := range 60 {
		write(func(tx *ledger.Tx) error {
			doc, err := taps.Create(tx, "0190a000-0000-7000-8000-0000000000aa", "", tap{Name: fmt.Sprint("tap ", i), Flow: float64(i) / 3})
			ids = append(ids, doc.ID)
			return err
		})
	}
	write(func(tx *ledger.Tx) error {
		_, err := taps.Update(tx, ids[3], 0, func(b *tap) error { b.Photo = photo.Hash; return nil })
		return err
	})
	write(func(tx *ledger.Tx) error { return taps.Delete(tx, ids[4], 0) })
	write(func(tx *ledger.Tx) error {
		_, err := orders.Create(tx, "", "", order{Sealed: ids[10:11], Erased: ids[11:12]})
		if err == nil {
			_, err = tx.Seal(ids[10])
		}
		return errors.Join(err, tx.Erase(ids[11]))
	})
	check(t, l.Checkpoint(ctx))
	readings, err := reading.Open(ctx, reading.Config{Store: s})
	check(t, err)
	for i := range 30 {
		device, err := readings.Device(ctx, ids[i%5])
		check(t, err)
		check(t, readings.Add(ctx, reading.Message{Device: device, Received: time.UnixMilli(1772366400000 + int64(i)),
			Values: []reading.Value{{Channel: "flow", TS: 1772366400000 + int64(i), Value: float64(i) * 0.1}}}))
	}
	check(t, readings.Settle(ctx))
	readings.Close()
	return p, l
}

// TestThereAndBack moves everything from SQLite to PostgreSQL and back.
func TestThereAndBack(t *testing.T) {
	first, l := settled(t, storetest.SQLite(t)())
	file, out := first.export(l, true)
	want := digest(t, first.store)
	if out.Files != 1 || out.Entries < 64 || want["reading"] == want["reading_log"] {
		t.Fatalf("exported %+v of %v", out, want)
	}
	check(t, l.Close())

	second := newPlace(t, storetest.Postgres(t)(), 1)
	in, err := second.take(bytes.NewReader(file))
	check(t, err)
	if in != out {
		t.Errorf("imported %+v, exported %+v", in, out)
	}
	same(t, want, digest(t, second.store))
	if _, err := second.take(bytes.NewReader(file)); code(err) != "move.full" {
		t.Errorf("imported over a full database: %v", err)
	}

	there := second.opened()
	back, again := second.export(there, false)
	if again.Root != out.Root || again.Missing != 1 {
		t.Errorf("exported again: %+v, before %+v", again, out)
	}
	third := newPlace(t, storetest.SQLite(t)(), 1)
	in, err = third.take(bytes.NewReader(back))
	check(t, err)
	if in.Root != out.Root || in.Missing != 1 {
		t.Errorf("imported %+v, exported %+v", in, out)
	}
	same(t, want, digest(t, third.store))
	check(t, third.opened().Write(ctx, ledger.System("test"), "", func(tx *ledger.Tx) error {
		_, err := taps.Create(tx, "", "", tap{Name: "after it all"})
		return err
	}))
}

// TestDamagedFilesAreRefused changes, cuts and lengthens the file at random
// places, and imports each again and again into the same database.
func TestDamagedFilesAreRefused(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		source, l := settled(t, storetest.SQLite(t)())
		file, out := source.export(l, true)
		p := newPlace(t, open(), 1)
		cases := []struct {
			name string
			file []byte
		}{{"nothing", nil}, {"longer", append(slices.Clone(file), 0)}, {"twice", append(slices.Clone(file), file...)}, {"cut by one", file[:len(file)-1]}}
		for range 12 {
			at := random.IntN(len(file))
			cases = append(cases, struct {
				name string
				file []byte
			}{fmt.Sprint("cut at ", at), file[:at]})
			flipped := slices.Clone(file)
			flipped[at] ^= 1 << random.IntN(8)
			cases = append(cases, struct {
				name string
				file []byte
			}{fmt.Sprint("flipped at ", at), flipped})
		}
		for _, c := range cases {
			if _, err := p.take(bytes.NewReader(c.file)); fault.KindOf(err) != fault.Invalid && fault.KindOf(err) != fault.Denied {
				t.Errorf("%s of %d: %v", c.name, len(file), err)
			}
			if begun, err := p.begun(); begun {
				if _, err = p.open(ctx, false); code(err) != "ledger.unfinished" {
					t.Fatalf("%s: a server opened what is not whole: %v", c.name, err)
				}
			} else {
				check(t, err)
			}
		}
		in, err := p.take(bytes.NewReader(file)) // nothing of what failed is in the way
		check(t, err)
		if in != out {
			t.Errorf("imported %+v, exported %+v", in, out)
		}
		same(t, digest(t, source.store), digest(t, p.store))
	})
}

func (p *place) begun() (begun bool, err error) {
	return begun, p.store.Read(ctx, func(q *store.Q) error {
		tables, err := q.Tables()
		if err == nil && len(tables) > 0 {
			begun, err = ledger.Filling(q)
		}
		return err
	})
}

func TestAnotherMasterKey(t *testing.T) {
	source, l := settled(t, storetest.SQLite(t)())
	file, _ := source.export(l, true)
	p := newPlace(t, storetest.SQLite(t)(), 2)
	if _, err := p.take(bytes.NewReader(file)); code(err) != "move.key" {
		t.Errorf("another master key: %v", err)
	}
}

func TestATamperedLedgerIsNotExported(t *testing.T) {
	source, l := settled(t, storetest.SQLite(t)())
	check(t, source.store.Write(ctx, func(q *store.Q) error { return q.Script(`UPDATE entry SET door = 'x' WHERE number = 9`) }))
	var out bytes.Buffer
	e := move.Export{Ledger: l, Nouns: nouns, Vault: source.vault, Blobs: source.blobs, Out: &out, Progress: func(string, int64, int64) {}}
	if _, err := e.Run(ctx); code(err) != "move.tampered" || out.Len() > 0 {
		t.Errorf("exported %d bytes: %v", out.Len(), err)
	}
}

// TestAnImportThatIsInterruptedIsBegunAnew stops in the middle of a file, as a crash does.
func TestAnImportThatIsInterruptedIsBegunAnew(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		source, l := settled(t, storetest.SQLite(t)())
		file, out := source.export(l, true)
		p := newPlace(t, open(), 1)
		broken := errors.New("the power is gone")
		if _, err := p.take(io.MultiReader(bytes.NewReader(file[:len(file)*9/10]), failing{broken})); err == nil {
			t.Error("half a file was imported")
		}
		in, err := p.take(bytes.NewReader(file))
		check(t, err)
		if in != out {
			t.Errorf("imported %+v, exported %+v", in, out)
		}
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// digest is what each table holds, in the order of its key.
func digest(t testing.TB, s *store.Store) map[string]string {
	t.Helper()
	found := map[string]string{}
	check(t, s.Read(ctx, func(q *store.Q) error {
		tables, err := q.Tables()
		if err != nil {
			return err
		}
		for _, table := range tables {
			sum := sha256.New()
			dest := make([]any, len(table.Columns))
			for i, c := range table.Columns {
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
			rows := q.Query(`SELECT * FROM ` + table.Name + ` ORDER BY ` + strings.Join(table.Key, ", "))
			for rows.Next() {
				rows.Scan(dest...)
				for _, d := range dest {
					switch d := d.(type) {
					case **int64:
						fmt.Fprintln(sum, *d == nil, deref(*d))
					case **float64:
						fmt.Fprintln(sum, *d == nil, deref(*d))
					case **string:
						fmt.Fprintf(sum, "%t %q\n", *d == nil, deref(*d))
					case *[]byte:
						fmt.Fprintf(sum, "%t %x\n", *d == nil, *d)
					}
				}
			}
			if err := rows.Close(); err != nil {
				return err
			}
			found[table.Name] = hex.EncodeToString(sum.Sum(nil))
		}
		return nil
	}))
	return found
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func same(t testing.TB, want, got map[string]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d tables, want %d", len(got), len(want))
	}
	for name, sum := range want {
		if got[name] != sum {
			t.Errorf("table %s is another", name)
		}
	}
}

func code(err error) string {
	var f *fault.Error
	if errors.As(err, &f) {
		return f.Code
	}
	return ""
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(fault.Cause(err))
	}
}
