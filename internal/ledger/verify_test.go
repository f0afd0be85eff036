package ledger_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/ledger"
)

// TestVerifyFindsItsPlaceInALargeLedger checks a ledger of four chunks with
// several connections, changes one thing at a time where chunks meet, and in
// ways that no single row gives away.
func TestVerifyFindsItsPlaceInALargeLedger(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const documents, rounds = 500, 6
		ids := fill(t, w, documents)
		for round := range rounds {
			check(t, w.Write(ctx, juma, "", func(tx *ledger.Tx) error {
				for i, id := range ids {
					if _, err := wells.Update(tx, id, 0, func(b *well) error { b.Depth = float64(round*documents + i + 1000); return nil }); err != nil {
						return err
					}
				}
				return nil
			}))
		}
		check(t, w.Checkpoint(ctx))
		report, err := w.Verify(ctx, nil)
		check(t, err)
		var head string
		check(t, w.Read(ctx, func(r *ledger.Reader) error {
			c, _, err := r.LatestCheckpoint()
			head = c.Root
			return err
		}))
		if !report.OK() || report.Entries != (rounds+1)*documents || report.Documents != documents || report.Root != head {
			t.Fatalf("verified %+v, signed root %s", report, head)
		}
		cases := []struct{ name, change, back, where string }{
			{"a sealed byte in another chunk", `UPDATE entry SET door = 'mqtt' WHERE number = 1025`, `UPDATE entry SET door = 'web' WHERE number = 1025`, "entry 1025"},
			{"the last of a chunk", `UPDATE entry SET act = act + 1 WHERE number = 3072`, `UPDATE entry SET act = act - 1 WHERE number = 3072`, "entry 3072"},
			{"a missing entry", `CREATE TABLE kept AS SELECT * FROM entry WHERE number IN (2048, 2049); DELETE FROM entry WHERE number IN (2048, 2049)`,
				`INSERT INTO entry SELECT * FROM kept; DROP TABLE kept`, "entry 2048"},
			{"time that runs backwards from one chunk to the next", `UPDATE entry SET time = time - 1000000 WHERE number = 3073`, `UPDATE entry SET time = time + 1000000 WHERE number = 3073`, "entry 3073"},
			{"a document as it was, in every column", `CREATE TABLE kept AS SELECT * FROM document WHERE id = '` + ids[7] + `'; UPDATE document SET revision = 6, entry = 2508,
				body = (SELECT replace(body, '3507', '3007') FROM kept), changed = (SELECT time FROM entry WHERE number = 2508) WHERE id = '` + ids[7] + `'`,
				`DELETE FROM document WHERE id = '` + ids[7] + `'; INSERT INTO document SELECT * FROM kept; DROP TABLE kept`, "document " + ids[7]},
			{"an entry that two documents name", `CREATE TABLE kept AS SELECT * FROM document WHERE id = '` + ids[8] + `'; UPDATE document SET revision = 8, entry = 3010 WHERE id = '` + ids[8] + `'`,
				`DELETE FROM document WHERE id = '` + ids[8] + `'; INSERT INTO document SELECT * FROM kept; DROP TABLE kept`, "document " + ids[8]},
			{"an index row of nothing", `INSERT INTO well (id, org, name) VALUES ('` + ids[250] + `x', '` + org + `', 'x')`, `DELETE FROM well WHERE name = 'x'`, "index well " + ids[250] + "x"},
			{"an index row after all documents", `INSERT INTO well (id, org, name) VALUES ('z', '` + org + `', 'x')`, `DELETE FROM well WHERE name = 'x'`, "index well"},
		}
		if testing.Short() { // with the race detector; without it all of them
			cases = cases[:3]
		}
		for _, c := range cases {
			check(t, w.store.Write(ctx, func(q *store.Q) error { return q.Script(c.change) }))
			report, err := w.Verify(ctx, nil)
			check(t, err)
			named := false
			for _, p := range report.Problems {
				named = named || strings.HasPrefix(p.Where, c.where)
			}
			if !named || len(report.Problems) > 8 {
				t.Errorf("%s: %d problems, want %s among few: %+v", c.name, len(report.Problems), c.where, report.Problems[:min(len(report.Problems), 8)])
			}
			check(t, w.store.Write(ctx, func(q *store.Q) error { return q.Script(c.back) }))
		}
		w.verified()
	})
}

// TestVerifyTellsOfFiles names a file, and deletes the document that did.
func TestVerifyTellsOfFiles(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		hash := fmt.Sprintf("%064x", 7)
		doc := w.create(well{Name: "pictured"})
		w.update(juma, doc.ID, func(b *well) { b.Labels = map[string]string{"blob": hash} })
		w.update(juma, doc.ID, func(b *well) { b.Depth = 1 })
		w.write(amina, func(tx *ledger.Tx) error { return wells.Delete(tx, doc.ID, 0) })
		var named []string
		_, err := w.VerifyFiles(ctx, nil, func(hash, document string) { named = append(named, document+" "+hash) })
		check(t, err)
		if len(named) != 2 || named[0] != "well "+doc.ID+" "+hash {
			t.Errorf("files %q", named)
		}
	})
}

// TestVerifyWhileOthersWrite signs checkpoints while it verifies: what it sees
// outside of the database is never newer than what it sees inside.
func TestVerifyWhileOthersWrite(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		stop, stopped := make(chan struct{}), make(chan error)
		go func() {
			var err error
			for i := 0; err == nil; i++ {
				select {
				case <-stop:
					stopped <- nil
					return
				default:
				}
				err = w.Write(ctx, amina, "", func(tx *ledger.Tx) error { _, err := wells.Create(tx, org, "", well{Name: fmt.Sprint(i)}); return err })
				if err == nil {
					err = w.Checkpoint(ctx)
				}
			}
			stopped <- err
		}()
		for range 15 {
			w.verified()
		}
		close(stop)
		check(t, <-stopped)
	})
}

// TestVerifyHoldsLittle reads contents that do not fit into its buffers together.
func TestVerifyHoldsLittle(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		large := strings.Repeat("water ", 400_000)
		for i := range 5 {
			w.create(well{Name: fmt.Sprint("large ", i), Labels: map[string]string{"notes": large}})
			w.create(well{Name: fmt.Sprint("small ", i)})
		}
		report, err := w.Verify(ctx, nil)
		check(t, err)
		if !report.OK() || report.Entries != 10 || report.Documents != 10 {
			t.Errorf("%+v", report)
		}
	})
}
