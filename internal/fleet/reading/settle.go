package reading

import (
	"context"
	"encoding/binary"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/qanat-water/qanat/internal/base/store"
)

// The embedded engine takes readings in two steps, because a row's own place in
// the clustered table is a page of its own for every channel: a commit of a
// thousand devices would write a thousand encrypted pages. A commit appends its
// rows to reading_log as one value, some dozens of pages in a row; memory holds
// the same rows for queries. When enough have come together they are settled:
// moved to their places in the order of the table, in transactions short enough
// that commits go on in between, after which their log is deleted. A crash
// leaves the log, which the next Open reads back; settling twice changes nothing.
//
// PostgreSQL takes rows at once: it has other means, and other nodes must see them.
const (
	settleRows  = 100_000        // rows in memory that begin a settlement
	settleEvery = time.Minute    // the longest a row waits for it
	settleSlice = 3000           // rows of one transaction
	memoryRows  = 3 * settleRows // beyond it commits wait for the settlement
	rowBytes    = 32             // of a row in the log
)

// memory holds the rows that are in the log and not in their places yet.
type memory struct {
	mu         sync.RWMutex
	moved      sync.Cond       // on mu: a settlement has ended
	active     map[int64][]row // by series, in the order of arrival
	frozen     map[int64][]row // being settled
	rows       int             // of active
	last       int64           // newest log number in active
	frozenLast int64           // newest log number in frozen
	closing    bool
	ended      int64         // settlements
	due        chan struct{} // has an item when enough rows have come together
}

func (m *memory) init() {
	m.active, m.due = map[int64][]row{}, make(chan struct{}, 1)
	m.moved.L = &m.mu
}

// add takes the rows of a committed log number.
func (m *memory) add(number int64, rows []row) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range rows {
		m.active[r.series] = append(m.active[r.series], r)
	}
	m.rows, m.last = m.rows+len(rows), number
	if m.rows >= settleRows {
		select {
		case m.due <- struct{}{}:
		default:
		}
	}
}

// room waits while memory is full.
func (m *memory) room() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.rows >= memoryRows && !m.closing {
		m.moved.Wait()
	}
}

func (m *memory) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closing = true
	m.moved.Broadcast()
}

// of gives a series' rows within a span, in the order of arrival.
func (m *memory) of(series, from, to int64) (found []row) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, rows := range [][]row{m.frozen[series], m.active[series]} {
		for _, r := range rows {
			if r.ts >= from && r.ts <= to {
				found = append(found, r)
			}
		}
	}
	return found
}

// freeze sets aside what has come together and tells the newest log number in it.
func (m *memory) freeze() (frozen map[int64][]row, upTo int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.frozen == nil { // else the settlement before failed: it is tried again
		m.frozen, m.active, m.rows = m.active, map[int64][]row{}, 0
		m.frozenLast = m.last
	}
	return m.frozen, m.frozenLast
}

func (m *memory) settled() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.frozen = nil
	m.ended++
	m.moved.Broadcast()
}

func (m *memory) settlements() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.ended
}

// steady reads the table and the memory as one: a row that is settled between the
// two looks would be in neither. When a settlement ends meanwhile it reads
// again, and the third time no settlement may. fn begins anew each time.
func (s *Store) steady(ctx context.Context, fn func(q *store.Q) error) error {
	for range 2 {
		before := s.memory.settlements()
		if err := s.db.Read(ctx, fn); err != nil || s.memory.settlements() == before {
			return err
		}
	}
	s.settling.Lock()
	defer s.settling.Unlock()
	return s.db.Read(ctx, fn)
}

func encodeRows(rows []row) []byte {
	b := make([]byte, 0, rowBytes*len(rows))
	for _, r := range rows {
		b = binary.LittleEndian.AppendUint64(b, uint64(r.series)) // #nosec G115 -- bit patterns, here and below
		b = binary.LittleEndian.AppendUint64(b, uint64(r.ts))     // #nosec G115
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(r.value))
		b = binary.LittleEndian.AppendUint64(b, uint64(r.received)) // #nosec G115
	}
	return b
}

func decodeRows(b []byte) []row {
	rows := make([]row, 0, len(b)/rowBytes)
	for ; len(b) >= rowBytes; b = b[rowBytes:] {
		n := func(i int) int64 { return int64(binary.LittleEndian.Uint64(b[i:])) } // #nosec G115
		rows = append(rows, row{series: n(0), ts: n(8), value: math.Float64frombits(binary.LittleEndian.Uint64(b[16:])), received: n(24)})
	}
	return rows
}

// recall reads back what a crash or a close left in the log.
func (s *Store) recall(ctx context.Context) error {
	return s.db.Read(ctx, func(q *store.Q) error {
		rows := q.Query(`SELECT number, body FROM reading_log ORDER BY number`)
		for rows.Next() {
			var body []byte
			rows.Scan(&s.logged, &body)
			s.memory.add(s.logged, decodeRows(body))
		}
		return rows.Close()
	})
}

// settler settles when enough rows have come together, and every minute.
func (s *Store) settler(ctx context.Context) {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.memory.due:
		}
		for ctx.Err() == nil {
			err := s.Settle(ctx)
			if err == nil || ctx.Err() != nil {
				break
			}
			s.log.Error("readings were not settled; they stay in the log, trying again", "cause", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}

// Settle moves every stored reading to its place in the table. Nothing depends
// on it but the speed of later reads.
func (s *Store) Settle(ctx context.Context) error {
	s.settling.Lock()
	defer s.settling.Unlock()
	frozen, upTo := s.memory.freeze()
	series := make([]int64, 0, len(frozen))
	for id := range frozen {
		series = append(series, id)
	}
	slices.Sort(series)
	var slice []row
	move := func() error {
		err := s.db.Write(ctx, func(q *store.Q) error { return insertRows(q, slice) })
		slice = slice[:0]
		return err
	}
	for _, id := range series {
		rows := slices.Clone(frozen[id])
		// Stable: of the same value twice, the one received first is the one that stays.
		slices.SortStableFunc(rows, compareRows)
		for len(rows) > 0 {
			n := min(len(rows), settleSlice-len(slice))
			slice = append(slice, rows[:n]...)
			rows = rows[n:]
			if len(slice) == settleSlice {
				if err := move(); err != nil {
					return err
				}
			}
		}
	}
	if len(slice) > 0 {
		if err := move(); err != nil {
			return err
		}
	}
	if len(series) > 0 {
		if err := s.db.Write(ctx, func(q *store.Q) error {
			_, err := q.Exec(`DELETE FROM reading_log WHERE number <= $1`, upTo)
			return err
		}); err != nil {
			return err
		}
	}
	s.memory.settled()
	return nil
}
