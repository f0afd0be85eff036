package reading

import (
	"context"
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
	err = s.db.Read(ctx, func(q *store.Q) error {
		series, err := seriesOf(q, device)
		if err != nil {
			return err
		}
		for _, one := range series {
			l := Latest{Channel: one.Name, Unit: one.Unit}
			var best int64 = -1
			rows := q.Query(`SELECT ts, value, received FROM reading WHERE series = $1 ORDER BY ts DESC LIMIT 64`, one.id) // 64: values for one instant, which are one or two
			for rows.Next() {
				var ts, received int64
				var value float64
				rows.Scan(&ts, &value, &received)
				if best >= 0 && ts != l.TS {
					break
				}
				if received > best {
					best, l.TS, l.Value = received, ts, value
				}
			}
			if err := rows.Close(); err != nil {
				return err
			}
			if best >= 0 {
				latest = append(latest, l)
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
	err = s.db.Read(ctx, func(q *store.Q) error {
		series, err := seriesOf(q, span.Device, span.Channels...)
		if err != nil {
			return err
		}
		for _, one := range series {
			got, err := readSpan(q, one, span)
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

func readSpan(q *store.Q, one numbered, span Span) (Series, error) {
	t := thinner{out: Series{Channel: one.Name, Unit: one.Unit, TS: []int64{}, Value: []float64{}}, limit: span.Limit}
	from, to := span.From.UnixMilli(), span.To.UnixMilli()
	// The intervals span the data there is, not the range asked for.
	var first, last *int64
	if _, err := q.Row([]any{&first, &last}, `SELECT (SELECT min(ts) FROM reading WHERE series = $1 AND ts >= $2 AND ts <= $3), (SELECT max(ts) FROM reading WHERE series = $1 AND ts >= $2 AND ts <= $3)`, one.id, from, to); err != nil {
		return t.out, err
	}
	if first == nil || last == nil {
		return t.out, nil
	}
	t.from, t.width = *first, (*last-*first)/int64(span.Limit/2)+1
	rows := q.Query(`SELECT ts, value, received FROM reading WHERE series = $1 AND ts >= $2 AND ts <= $3 ORDER BY ts`, one.id, from, to)
	var at, newest int64 = -1, -1
	var value float64
	for rows.Next() {
		var ts, received int64
		var v float64
		rows.Scan(&ts, &v, &received)
		if ts != at && at >= 0 {
			t.add(at, value)
			newest = -1
		}
		if at = ts; received > newest {
			value, newest = v, received
		}
	}
	if at >= 0 {
		t.add(at, value)
	}
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

// Count tells how many rows there are for a device, corrections included.
func (s *Store) Count(ctx context.Context, device string) (n int64, err error) {
	err = s.db.Read(ctx, func(q *store.Q) error {
		_, err := q.Row([]any{&n}, `SELECT count(*) FROM reading r JOIN reading_series s ON s.id = r.series WHERE s.device = $1`, device)
		return err
	})
	return n, err
}
