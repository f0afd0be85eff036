package reading

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/qanat-water/qanat/internal/base/store"
)

// write stores a batch in one transaction. It gives the channels that are new.
func (s *Store) write(b *batch) (map[string][]Channel, error) {
	ctx := context.Background() // accepted is accepted: no caller's end stops the commit
	var fresh map[string][]Channel
	var numbers map[*Device]map[string]int64
	var stored []row
	s.memory.room()
	err := s.db.Write(ctx, func(q *store.Q) (err error) {
		rows := b.rows // the engine may run this again, so what was gathered stays as it is
		if len(b.fresh) > 0 {
			var numbered []row
			if numbered, fresh, numbers, err = s.number(q, b.fresh); err != nil {
				return err
			}
			rows = append(numbered, rows...)
		}
		if err := s.put(q, rows); err != nil {
			return err
		}
		stored = rows
		if err := s.insertStates(q, b.states); err != nil {
			return err
		}
		for d := range b.heard {
			if _, err := q.Exec(`INSERT INTO reading_device (device, seen) VALUES ($1, $2)
				ON CONFLICT (device) DO UPDATE SET seen = excluded.seen WHERE excluded.seen > reading_device.seen`, d.id, d.seen.Load()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if s.db.Engine() == store.SQLite && len(stored) > 0 {
		s.logged++
		s.memory.add(s.logged, stored)
	}
	for d, channels := range numbers {
		d.mu.Lock()
		for channel, id := range channels {
			d.ids[channel] = id
		}
		d.mu.Unlock()
	}
	for d := range b.heard {
		d.seenSaved.Store(d.seen.Load())
	}
	return fresh, nil
}

// put stores rows durably: in the log of the embedded engine, in their places of the other.
func (s *Store) put(q *store.Q, rows []row) error {
	if len(rows) == 0 {
		return nil
	}
	if q.Engine() == store.SQLite {
		_, err := q.Exec(`INSERT INTO reading_log (number, body) VALUES ($1, $2)`, s.logged+1, encodeRows(rows))
		return err
	}
	sorted := slices.Clone(rows)
	slices.SortStableFunc(sorted, compareRows)
	return insertRows(q, sorted)
}

// number gives every fresh row its series, making those that do not exist.
func (s *Store) number(q *store.Q, fresh []freshRow) (rows []row, made map[string][]Channel, numbers map[*Device]map[string]int64, err error) {
	if q.Engine() == store.Postgres { // another node may be numbering too
		if _, err := q.Exec(`LOCK TABLE reading_series IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return nil, nil, nil, err
		}
	}
	var last int64
	if _, err := q.Row([]any{&last}, `SELECT coalesce(max(id), 0) FROM reading_series`); err != nil {
		return nil, nil, nil, err
	}
	made = map[string][]Channel{}
	numbers = map[*Device]map[string]int64{}
	for _, f := range fresh {
		of := numbers[f.device]
		if of == nil {
			of = map[string]int64{}
			numbers[f.device] = of
		}
		id, ok := of[f.channel]
		if !ok {
			found, err := q.Row([]any{&id}, `SELECT id FROM reading_series WHERE device = $1 AND channel = $2`, f.device.id, f.channel)
			if err != nil {
				return nil, nil, nil, err
			}
			if !found {
				last++
				id = last
				if _, err := q.Exec(`INSERT INTO reading_series (id, device, channel, unit) VALUES ($1, $2, $3, $4)`, id, f.device.id, f.channel, f.unit); err != nil {
					return nil, nil, nil, err
				}
				made[f.device.id] = append(made[f.device.id], Channel{f.channel, f.unit})
			}
			of[f.channel] = id
		}
		f.row.series = id
		rows = append(rows, f.row)
	}
	return rows, made, numbers, nil
}

// The statements that insert several rows, largest first: few texts, each prepared once.
var insertSizes = []int{128, 16, 1}

var insertTexts = func() map[int]string {
	texts := map[int]string{}
	for _, n := range insertSizes {
		var sql strings.Builder
		sql.WriteString(`INSERT INTO reading (series, ts, value, received) VALUES `)
		for i := range n {
			if i > 0 {
				sql.WriteString(", ")
			}
			fmt.Fprintf(&sql, "($%d, $%d, $%d, $%d)", 4*i+1, 4*i+2, 4*i+3, 4*i+4)
		}
		sql.WriteString(` ON CONFLICT DO NOTHING`)
		texts[n] = sql.String()
	}
	return texts
}()

func insertRows(q *store.Q, rows []row) error {
	args := make([]any, 0, 4*insertSizes[0])
	for _, size := range insertSizes {
		for len(rows) >= size {
			args = args[:0]
			for _, r := range rows[:size] {
				args = append(args, r.series, r.ts, r.value, r.received)
			}
			if _, err := q.Exec(insertTexts[size], args...); err != nil {
				return err
			}
			rows = rows[size:]
		}
	}
	return nil
}

// insertStates keeps states; a number tells those of one millisecond apart.
func (s *Store) insertStates(q *store.Q, states []stateRow) error {
	for _, st := range states {
		if _, err := q.Exec(`INSERT INTO reading_state (device, kind, received, number, body)
			SELECT $1, $2, $3, coalesce(max(number), 0) + 1, $4 FROM reading_state WHERE device = $1 AND kind = $2 AND received = $3`,
			st.device, st.kind, st.received, st.body); err != nil {
			return err
		}
	}
	return nil
}

// load reads the series of a device.
func (s *Store) load(ctx context.Context, d *Device) error {
	ids, units := map[string]int64{}, map[string]string{}
	var seen int64
	err := s.db.Read(ctx, func(q *store.Q) error {
		rows := q.Query(`SELECT channel, id, unit FROM reading_series WHERE device = $1`, d.id)
		for rows.Next() {
			var channel, unit string
			var id int64
			rows.Scan(&channel, &id, &unit)
			ids[channel], units[channel] = id, unit
		}
		if err := rows.Close(); err != nil {
			return err
		}
		_, err := q.Row([]any{&seen}, `SELECT seen FROM reading_device WHERE device = $1`, d.id)
		return err
	})
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for channel, id := range ids {
		d.ids[channel], d.units[channel] = id, units[channel]
	}
	d.loaded = true
	d.seen.CompareAndSwap(0, seen)
	d.seenSaved.CompareAndSwap(0, seen)
	return nil
}
