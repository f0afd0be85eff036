package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/base/witness/witnesstest"
	"github.com/qanat-water/qanat/internal/ledger"
)

// column is one place that a thief with the database can change.
type column struct{ table, key, name string }

var columns = []column{
	{"entry", "number", "number"}, {"entry", "number", "time"}, {"entry", "number", "act"}, {"entry", "number", "org"}, {"entry", "number", "kind"},
	{"entry", "number", "doc"}, {"entry", "number", "revision"}, {"entry", "number", "verb"}, {"entry", "number", "actor"},
	{"entry", "number", "actor_kind"}, {"entry", "number", "door"}, {"entry", "number", "reverts"}, {"entry", "number", "sealed"},
	{"document", "id", "org"}, {"document", "id", "kind"}, {"document", "id", "revision"}, {"document", "id", "entry"}, {"document", "id", "changed"},
	{"document", "id", "shape"}, {"document", "id", "key"}, {"document", "id", "body"},
	{"tree", "first", "first"}, {"tree", "first", "hashes"},
	{"head", "id", "entries"}, {"head", "id", "time"}, {"head", "id", "root"},
	{"checkpoint", "size", "size"}, {"checkpoint", "size", "time"}, {"checkpoint", "size", "note"},
	{"cosignature", "size", "size"}, {"cosignature", "size", "witness"}, {"cosignature", "size", "line"},
	{"well", "id", "org"}, {"well", "id", "name"}, {"well", "id", "code"}, {"well", "id", "depth"},
}

// TestOneChangeIsFoundAndNamed changes one bit, digit or letter at a random
// place of every column of every table, one at a time, and deletes rows, and
// expects verify to find it. QANAT_TAMPER sets how often.
func TestOneChangeIsFoundAndNamed(t *testing.T) {
	rounds := 150
	if n, err := strconv.Atoi(os.Getenv("QANAT_TAMPER")); err == nil {
		rounds = n
	}
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := newWorld(t, open)
		for i := range 12 { // their codes differ in more than one digit, or a change would be refused as taken
			doc := w.create(well{Name: fmt.Sprint("well ", i), Code: fmt.Sprint(100 + 37*i), Depth: float64(i) + 0.5})
			if i%2 == 0 {
				w.update(juma, doc.ID, func(b *well) { b.Depth += 10 })
			}
			if i%4 == 3 {
				w.write(amina, func(tx *ledger.Tx) error { return wells.Delete(tx, doc.ID, 0) })
			}
			if i%5 == 4 {
				check(t, w.Checkpoint(ctx))
			}
		}
		check(t, w.Checkpoint(ctx))
		one := witnesstest.New(t, "witness.example/one")
		for _, size := range []int64{9, latest(t, w.Ledger).Size} {
			cosign(t, w, one, size)
		}
		w.verified()
		random := rand.New(rand.NewPCG(1, 2))
		for round := range rounds {
			c := columns[round%len(columns)]
			what, done := tamper(t, w, random, c, round >= len(columns) && random.IntN(8) == 0)
			if !done {
				continue
			}
			report, err := w.Verify(ctx, nil)
			check(t, err)
			if report.OK() {
				t.Errorf("round %d: %s was not found", round, what)
			} else if !named(report, c.table) {
				t.Errorf("round %d: %s was found as %+v, which does not name it", round, what, report.Problems)
			}
			restore(t, w)
			w.verified()
		}
	})
}

// What somebody wrote into the head row is not signed by the next checkpoint.
func TestAChangedHeadIsNotSigned(t *testing.T) {
	for _, change := range []string{"entries = entries + 1", "entries = entries - 1", "entries = -3", "root = (SELECT hashes FROM tree WHERE first = 0)"} {
		storetest.Each(t, func(t *testing.T, open func() *store.Store) {
			w := newWorld(t, open)
			for i := range 3 {
				w.create(well{Name: "well", Code: fmt.Sprint(i)})
			}
			check(t, w.store.Write(ctx, func(q *store.Q) error {
				_, err := q.Exec(`UPDATE head SET ` + change)
				return err
			}))
			before := signed(t, w)
			if err := w.Checkpoint(ctx); err == nil {
				t.Errorf("%s: a checkpoint was signed", change)
			}
			if after := signed(t, w); after != before {
				t.Errorf("%s: there are %d checkpoints, there were %d", change, after, before)
			}
			check(t, w.store.Write(ctx, func(q *store.Q) error { // for the end of the test, which signs
				_, err := q.Exec(`DELETE FROM head`)
				return err
			}))
		})
	}
}

func signed(t *testing.T, w *world) (checkpoints int) {
	t.Helper()
	check(t, w.store.Read(ctx, func(q *store.Q) error {
		_, err := q.Row([]any{&checkpoints}, `SELECT count(*) FROM checkpoint`)
		return err
	}))
	return checkpoints
}

// cosign gives a checkpoint the signature of a witness, as the ledger keeps it.
func cosign(t *testing.T, w *world, by *witnesstest.Witness, size int64) {
	t.Helper()
	check(t, w.store.Write(ctx, func(q *store.Q) error {
		var note string
		if found, err := q.Row([]any{&note}, `SELECT note FROM checkpoint WHERE size = $1`, size); err != nil || !found {
			return fmt.Errorf("checkpoint of %d entries: %v, %w", size, found, err)
		}
		text, _, _ := strings.Cut(note, "\n\n")
		_, err := q.Exec(`INSERT INTO cosignature (size, witness, line) VALUES ($1, $2, $3)`, size, by.Key, by.Cosign(text+"\n", time.Unix(1_780_000_000, 0)))
		return err
	}))
}

// named tells whether a report points to the table that was changed.
func named(report ledger.Report, table string) bool {
	for _, p := range report.Problems {
		if strings.HasPrefix(p.Where, table) || table == "well" && strings.HasPrefix(p.Where, "index well") {
			return true
		}
	}
	// A changed tree row or key can only be seen through the entries it stands for.
	return len(report.Problems) > 0 && (table == "tree" || table == "document" || table == "head")
}

// tamper changes one place, after keeping a copy of the table.
func tamper(t *testing.T, w *world, random *rand.Rand, c column, remove bool) (what string, done bool) {
	t.Helper()
	check(t, w.store.Write(ctx, func(q *store.Q) error {
		if _, err := q.Exec(`CREATE TABLE kept AS SELECT * FROM ` + c.table); err != nil {
			return err
		}
		if _, err := q.Exec(`CREATE TABLE kept_name AS SELECT '` + c.table + `' AS name`); err != nil {
			return err
		}
		var keys []string
		rows := q.Query(`SELECT CAST(` + c.key + ` AS TEXT) FROM ` + c.table + ` ORDER BY 1`)
		for rows.Next() {
			var key string
			rows.Scan(&key)
			keys = append(keys, key)
		}
		if err := rows.Close(); err != nil {
			return err
		}
		key := keys[random.IntN(len(keys))]
		where := ` WHERE CAST(` + c.key + ` AS TEXT) = $1`
		what = fmt.Sprintf("%s.%s of %s", c.table, c.name, key)
		if remove {
			what, done = "the deletion of "+c.table+" "+key, c.table != "checkpoint" && c.table != "cosignature"
			_, err := q.Exec(`DELETE FROM `+c.table+where, key)
			return err
		}
		var blob []byte
		var text *string
		var number *float64
		kind := kindOf(c)
		var err error
		switch kind {
		case "blob":
			_, err = q.Row([]any{&blob}, `SELECT `+c.name+` FROM `+c.table+where, key)
			if err == nil && len(blob) > 0 {
				blob[random.IntN(len(blob))] ^= 1 << random.IntN(8)
				done = true
				_, err = q.Exec(`UPDATE `+c.table+` SET `+c.name+` = $2`+where, key, blob)
			}
		case "text":
			_, err = q.Row([]any{&text}, `SELECT `+c.name+` FROM `+c.table+where, key)
			if err == nil && text != nil && *text != "" {
				letters := []byte(*text)
				at := random.IntN(len(letters))
				for old := letters[at]; letters[at] == old; {
					letters[at] = byte('0' + random.IntN(70))
				}
				done = true
				_, err = q.Exec(`UPDATE `+c.table+` SET `+c.name+` = $2`+where, key, string(letters))
			}
		default:
			_, err = q.Row([]any{&number}, `SELECT CAST(`+c.name+` AS DOUBLE PRECISION) FROM `+c.table+where, key)
			if err == nil && number != nil {
				done = true
				_, err = q.Exec(`UPDATE `+c.table+` SET `+c.name+` = `+c.name+` + 1000000`+where, key)
			}
		}
		return err
	}))
	if !done {
		restore(t, w)
	}
	return what, done
}

func kindOf(c column) string {
	switch c.name {
	case "sealed", "hashes", "root", "key":
		return "blob"
	case "org", "kind", "doc", "verb", "actor", "actor_kind", "door", "body", "note", "name", "code", "witness", "line":
		return "text"
	}
	return "number"
}

// restore puts the table back as it was.
func restore(t *testing.T, w *world) {
	t.Helper()
	check(t, w.store.Write(ctx, func(q *store.Q) error {
		var table string
		if _, err := q.Row([]any{&table}, `SELECT name FROM kept_name`); err != nil {
			return err
		}
		return q.Script(`DELETE FROM ` + table + `; INSERT INTO ` + table + ` SELECT * FROM kept; DROP TABLE kept; DROP TABLE kept_name`)
	}))
}

func TestRolledBackAndForkedLedgersAreRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for i := range 5 {
			w.create(well{Name: fmt.Sprint(i)})
		}
		check(t, w.Close()) // signs a checkpoint of 5 entries
		for name, change := range map[string]string{
			"rolled back": `DELETE FROM entry WHERE number = 5; UPDATE head SET entries = 4`,
			"forked":      `UPDATE tree SET hashes = (SELECT CAST(a.hashes || b.hashes || a.hashes AS {blob}) FROM tree a, tree b WHERE a.first = 0 AND b.first = 3) WHERE length(hashes) = 96`,
		} {
			s := w.store
			check(t, s.Write(ctx, func(q *store.Q) error {
				for _, table := range []string{"entry", "head", "tree"} {
					if err := q.Script(`CREATE TABLE kept_` + table + ` AS SELECT * FROM ` + table); err != nil {
						return err
					}
				}
				return q.Script(change)
			}))
			_, err := w.reopen()
			if fault.KindOf(err) != fault.Conflict {
				t.Errorf("%s: opened, error %v", name, err)
			}
			check(t, s.Write(ctx, func(q *store.Q) error {
				for _, table := range []string{"entry", "head", "tree"} {
					if err := q.Script(`DELETE FROM ` + table + `; INSERT INTO ` + table + ` SELECT * FROM kept_` + table + `; DROP TABLE kept_` + table); err != nil {
						return err
					}
				}
				return nil
			}))
		}
		l, err := w.reopen()
		check(t, err)
		check(t, l.Close())
	})
}
