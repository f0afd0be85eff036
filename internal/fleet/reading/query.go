package reading

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
)

// Latest is the newest value of a channel.
type Latest struct {
	Channel string  `json:"channel"`
	Unit    string  `json:"unit"`
	TS      int64   `json:"ts"`
	Value   float64 `json:"value"`
}

// Latest gives the newest value of every channel of a device, by channel.
func (s *Store) Latest(ctx context.Context, device string) (latest []Latest, err error) {
	err = s.steady(ctx, func(q *store.Q) error {
		latest = nil
		series, err := seriesOf(q, device)
		if err != nil {
			return err
		}
		for _, one := range series {
			var at instant
			waiting := s.memory.of(one.id, math.MinInt64, math.MaxInt64)
			rows := q.Query(`SELECT ts, value, received FROM reading WHERE series = $1 ORDER BY ts DESC LIMIT 64`, one.id) // 64: values for one instant, which are one or two
			for rows.Next() {
				var r row
				rows.Scan(&r.ts, &r.value, &r.received)
				at.newest(r)
			}
			if err := rows.Close(); err != nil {
				return err
			}
			for _, r := range waiting {
				at.newest(r)
			}
			if len(at.rows) > 0 {
				r := at.shown()
				latest = append(latest, Latest{Channel: one.Name, Unit: one.Unit, TS: r.ts, Value: r.value})
			}
		}
		return nil
	})
	return latest, err
}

// Span asks for a time range of a device's channels.
type Span struct {
	Device   string
	Channels []string // none: all
	From, To time.Time
	Limit    int // points per series; more are thinned, keeping lows and highs
}

// The bounds of Span.Limit.
const (
	leastPoints = 2
	mostPoints  = 20_000
)

// Series is a channel's values over a span.
type Series struct {
	Channel string    `json:"channel"`
	Unit    string    `json:"unit"`
	TS      []int64   `json:"ts"`
	Value   []float64 `json:"value"`
	Thinned bool      `json:"thinned"` // true: the low and the high of each interval, not every value
}

// Range reads a span. What is longer than the limit is cut into equal intervals
// of which the lowest and the highest value stay, each at its own time, so that
// no spike is lost. Corrected instants show the value received last.
func (s *Store) Range(ctx context.Context, span Span) (out []Series, err error) {
	if span.Limit < leastPoints || span.Limit > mostPoints {
		return nil, fault.Newf(fault.Invalid, "reading.limit", "The limit of points must be %d to %d, not %d", leastPoints, mostPoints, span.Limit)
	}
	err = s.steady(ctx, func(q *store.Q) error {
		out = nil
		series, err := seriesOf(q, span.Device, span.Channels...)
		if err != nil {
			return err
		}
		for _, one := range series {
			got, err := s.readSpan(q, one, span)
			if err != nil {
				return err
			}
			out = append(out, got)
		}
		return nil
	})
	return out, err
}

type numbered struct {
	Channel
	id int64
}

func seriesOf(q *store.Q, device string, only ...string) (found []numbered, err error) {
	rows := q.Query(`SELECT id, channel, unit FROM reading_series WHERE device = $1 ORDER BY channel`, device)
	for rows.Next() {
		var n numbered
		rows.Scan(&n.id, &n.Name, &n.Unit)
		if len(only) == 0 {
			found = append(found, n)
		}
		for _, o := range only {
			if o == n.Name {
				found = append(found, n)
				break
			}
		}
	}
	return found, rows.Close()
}

// instant gathers the values of one series for one time.
type instant struct{ rows []row }

// add takes a value for the same time; the same value again counts once, as in the table.
func (at *instant) add(r row) {
	for _, have := range at.rows {
		if have.value == r.value {
			return
		}
	}
	at.rows = append(at.rows, r)
}

// newest keeps the values of the latest time it is given.
func (at *instant) newest(r row) {
	if len(at.rows) > 0 && r.ts < at.rows[0].ts {
		return
	}
	if len(at.rows) > 0 && r.ts > at.rows[0].ts {
		at.rows = at.rows[:0]
	}
	at.add(r)
}

// shown is the value received last; of two in the same millisecond, the larger.
func (at *instant) shown() row {
	best := at.rows[0]
	for _, r := range at.rows[1:] {
		if r.received > best.received || r.received == best.received && r.value > best.value {
			best = r
		}
	}
	return best
}

func (s *Store) readSpan(q *store.Q, one numbered, span Span) (Series, error) {
	t := thinner{out: Series{Channel: one.Name, Unit: one.Unit, TS: []int64{}, Value: []float64{}}, limit: span.Limit}
	from, to := span.From.UnixMilli(), span.To.UnixMilli()
	waiting := s.memory.of(one.id, from, to)
	slices.SortStableFunc(waiting, func(a, b row) int { return cmp.Compare(a.ts, b.ts) })
	// The intervals span the data there is, not the range asked for.
	var low, high *int64
	if _, err := q.Row([]any{&low, &high}, `SELECT (SELECT min(ts) FROM reading WHERE series = $1 AND ts >= $2 AND ts <= $3), (SELECT max(ts) FROM reading WHERE series = $1 AND ts >= $2 AND ts <= $3)`, one.id, from, to); err != nil {
		return t.out, err
	}
	first, last := int64(math.MaxInt64), int64(math.MinInt64)
	if low != nil && high != nil {
		first, last = *low, *high
	}
	if len(waiting) > 0 {
		first, last = min(first, waiting[0].ts), max(last, waiting[len(waiting)-1].ts)
	}
	if first > last {
		return t.out, nil
	}
	t.from, t.width = first, (last-first)/int64(span.Limit/2)+1

	var at instant
	show := func() {
		if len(at.rows) > 0 {
			r := at.shown()
			t.add(r.ts, r.value)
			at.rows = at.rows[:0]
		}
	}
	take := func(r row) {
		if len(at.rows) > 0 && at.rows[0].ts != r.ts {
			show()
		}
		at.add(r)
	}
	rows := q.Query(`SELECT ts, value, received FROM reading WHERE series = $1 AND ts >= $2 AND ts <= $3 ORDER BY ts`, one.id, from, to)
	for rows.Next() {
		var r row
		rows.Scan(&r.ts, &r.value, &r.received)
		for len(waiting) > 0 && waiting[0].ts < r.ts {
			take(waiting[0])
			waiting = waiting[1:]
		}
		take(r)
	}
	for _, r := range waiting {
		take(r)
	}
	show()
	return t.finish(), rows.Close()
}

// thinner takes points in order of time; while there are no more than the limit
// it keeps them all, then it keeps lows and highs of intervals.
type thinner struct {
	out         Series
	limit       int
	from, width int64

	active    bool
	bucket    int64
	low, high point
}

type point struct {
	ts    int64
	value float64
}

func (t *thinner) add(ts int64, value float64) {
	if t.out.Thinned {
		t.fold(ts, value)
		return
	}
	if len(t.out.TS) < t.limit {
		t.out.TS, t.out.Value = append(t.out.TS, ts), append(t.out.Value, value)
		return
	}
	all := t.out
	t.out.TS, t.out.Value, t.out.Thinned = make([]int64, 0, t.limit), make([]float64, 0, t.limit), true
	for i := range all.TS {
		t.fold(all.TS[i], all.Value[i])
	}
	t.fold(ts, value)
}

func (t *thinner) fold(ts int64, value float64) {
	bucket := (ts - t.from) / t.width
	if t.active && bucket != t.bucket {
		t.flush()
	}
	p := point{ts, value}
	if !t.active {
		t.active, t.bucket, t.low, t.high = true, bucket, p, p
		return
	}
	if value < t.low.value {
		t.low = p
	}
	if value > t.high.value {
		t.high = p
	}
}

func (t *thinner) flush() {
	a, b := t.low, t.high
	if b.ts < a.ts {
		a, b = b, a
	}
	t.out.TS, t.out.Value = append(t.out.TS, a.ts), append(t.out.Value, a.value)
	if a.ts != b.ts {
		t.out.TS, t.out.Value = append(t.out.TS, b.ts), append(t.out.Value, b.value)
	}
	t.active = false
}

func (t *thinner) finish() Series {
	if t.active {
		t.flush()
	}
	return t.out
}

// LastSeen tells when a device was last heard of; the zero time means never.
func (s *Store) LastSeen(ctx context.Context, device string) (time.Time, error) {
	d, err := s.Device(ctx, device)
	if err != nil {
		return time.Time{}, err
	}
	var ms int64
	err = s.db.Read(ctx, func(q *store.Q) error { // another node may have heard it
		_, err := q.Row([]any{&ms}, `SELECT seen FROM reading_device WHERE device = $1`, device)
		return err
	})
	if err != nil {
		return time.Time{}, err
	}
	if ms = max(ms, d.seen.Load()); ms == 0 {
		return time.Time{}, nil
	}
	return time.UnixMilli(ms).UTC(), nil
}

// Said is a state as it was received.
type Said struct {
	Received time.Time `json:"received"`
	Body     string    `json:"body"`
}

// States gives what a device said of itself, newest first.
func (s *Store) States(ctx context.Context, device, kind string, limit int) (said []Said, err error) {
	err = s.db.Read(ctx, func(q *store.Q) error {
		rows := q.Query(`SELECT received, body FROM reading_state WHERE device = $1 AND kind = $2 ORDER BY received DESC, number DESC LIMIT $3`, device, kind, int64(limit))
		for rows.Next() {
			var ms int64
			var one Said
			rows.Scan(&ms, &one.Body)
			one.Received = time.UnixMilli(ms).UTC()
			said = append(said, one)
		}
		return rows.Close()
	})
	return said, err
}

// Count settles, then tells how many rows there are for a device, corrections included.
func (s *Store) Count(ctx context.Context, device string) (n int64, err error) {
	if err := s.Settle(ctx); err != nil {
		return 0, err
	}
	err = s.db.Read(ctx, func(q *store.Q) error {
		_, err := q.Row([]any{&n}, `SELECT count(*) FROM reading r JOIN reading_series s ON s.id = r.series WHERE s.device = $1`, device)
		return err
	})
	return n, err
}
