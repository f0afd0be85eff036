package reading

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/clock"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
)

func begin(t testing.TB, db *store.Store, c Config) *Store {
	t.Helper()
	c.Store = db
	if c.Clock == nil {
		c.Clock = clock.NewManual(noon)
	}
	s, err := Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func device(t testing.TB, s *Store, id string) *Device {
	t.Helper()
	d, err := s.Device(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func at(minutes int) int64 { return noon.Add(time.Duration(minutes) * time.Minute).UnixMilli() }

func TestReadingsOnceWithCorrections(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		ctx := context.Background()
		var mu sync.Mutex
		appeared := map[string][]Channel{}
		s := begin(t, open(), Config{NewChannels: func(d string, c []Channel) {
			mu.Lock()
			defer mu.Unlock()
			appeared[d] = append(appeared[d], c...)
		}})
		d := device(t, s, "pump-1")
		say := func(received int, values ...Value) {
			t.Helper()
			if err := s.Add(ctx, Message{Device: d, Received: noon.Add(time.Duration(received) * time.Second), Values: values}); err != nil {
				t.Fatal(err)
			}
		}
		say(1, Value{"flow", at(0), 1.5, "l/s"}, Value{"level", at(0), 7, ""})
		say(2, Value{"flow", at(1), 2.5, ""})
		say(3, Value{"flow", at(0), 1.5, "l/s"}) // sent again
		say(4, Value{"flow", at(1), 2.25, ""})   // a correction
		say(5, Value{"flow", at(1), 2.5, ""})    // the first value sent again stays corrected
		say(6, Value{"flow", at(-60 * 24 * 200), 9, ""})

		if n, err := s.Count(ctx, "pump-1"); n != 5 || err != nil {
			t.Errorf("rows: got %d (%v), want 5: four instants and one correction", n, err)
		}
		latest, err := s.Latest(ctx, "pump-1")
		want := []Latest{{"flow", "l/s", at(1), 2.25}, {"level", "", at(0), 7}}
		if err != nil || !slices.Equal(latest, want) {
			t.Errorf("latest: got %+v (%v), want %+v", latest, err, want)
		}
		series, err := s.Range(ctx, Span{Device: "pump-1", Channels: []string{"flow"}, From: noon.Add(-time.Hour), To: noon.Add(time.Hour), Limit: 100})
		if err != nil || len(series) != 1 || fmt.Sprint(series[0].TS, series[0].Value) != fmt.Sprint([]int64{at(0), at(1)}, []float64{1.5, 2.25}) {
			t.Errorf("range: got %+v (%v)", series, err)
		}
		mu.Lock()
		if got := fmt.Sprint(appeared); got != "map[pump-1:[{flow l/s} {level }]]" {
			t.Errorf("new channels: %s", got)
		}
		mu.Unlock()
		var kept []string
		if err := s.Each(ctx, "pump-1", func(r Raw) error {
			kept = append(kept, fmt.Sprintf("%s %v", r.Channel, r.Value))
			return nil
		}); err != nil || fmt.Sprint(kept) != "[flow 9 flow 1.5 flow 2.5 flow 2.25 level 7]" {
			t.Errorf("each: %v (%v)", kept, err)
		}
		if seen, err := s.LastSeen(ctx, "pump-1"); err != nil || !seen.Equal(noon.Add(6*time.Second)) {
			t.Errorf("last seen: got %s (%v), want noon + 6 s", seen, err)
		}
		if seen, err := s.LastSeen(ctx, "pump-2"); err != nil || !seen.IsZero() {
			t.Errorf("last seen of a silent device: got %s (%v)", seen, err)
		}

		for i := range 3 {
			if err := s.Add(ctx, Message{Device: d, Received: noon, States: []State{{"state", fmt.Sprintf(`{"n":%d}`, i)}}}); err != nil {
				t.Fatal(err)
			}
		}
		said, err := s.States(ctx, "pump-1", "state", 2)
		if err != nil || len(said) != 2 || said[0].Body != `{"n":2}` || said[1].Body != `{"n":1}` {
			t.Errorf("states: got %+v (%v)", said, err)
		}

		s.Close()
		if err := s.Add(ctx, Message{Device: d, Received: noon, Values: []Value{{"flow", at(3), 1, ""}}}); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("after close: %v", err)
		}
		again := begin(t, open(), Config{})
		if n, err := again.Count(ctx, "pump-1"); n != 5 || err != nil {
			t.Errorf("rows after reopening: got %d (%v), want 5", n, err)
		}
	})
}

func TestManyWritersShareCommits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		ctx := context.Background()
		s := begin(t, open(), Config{})
		const writers, messages = 20, 25
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				d, err := s.Device(ctx, fmt.Sprintf("device-%d", w%10)) // two senders for each device
				if err != nil {
					t.Error(err)
					return
				}
				for m := range messages {
					v := []Value{{"a", at(m), float64(w), ""}, {"b", at(m), 1, ""}}
					if err := s.Add(ctx, Message{Device: d, Received: noon, Values: v}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		var total int64
		for w := range 10 {
			n, err := s.Count(ctx, fmt.Sprintf("device-%d", w))
			if err != nil {
				t.Fatal(err)
			}
			total += n
		}
		if want := int64(10 * messages * 3); total != want { // b is the same from both senders
			t.Errorf("got %d rows, want %d", total, want)
		}
	})
}

func TestMessagesShareACommit(t *testing.T) {
	db := storetest.SQLite(t)()
	s := begin(t, db, Config{})
	d := device(t, s, "d")
	release, held := make(chan struct{}), make(chan struct{})
	go func() {
		_ = db.Write(context.Background(), func(*store.Q) error { close(held); <-release; return nil })
	}()
	<-held // the store is busy with something else; messages gather
	var tickets []Ticket
	for i := range 50 {
		ticket, err := s.Offer(context.Background(), Message{Device: d, Received: noon, Values: []Value{{"a", at(i), 1, ""}}})
		if err != nil {
			t.Fatal(err)
		}
		tickets = append(tickets, ticket)
	}
	close(release)
	for _, ticket := range tickets {
		if err := ticket.Err(); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Metrics().Commits; n > 2 {
		t.Errorf("%d commits for messages that came together; one under way and one for the rest are enough", n)
	}
}

func TestFullPoolMakesTheCallerWait(t *testing.T) {
	db := storetest.SQLite(t)()
	s := begin(t, db, Config{Pending: 10})
	d := device(t, s, "d")
	if err := s.Add(context.Background(), Message{Device: d, Received: noon, Values: []Value{{"a", at(0), 1, ""}}}); err != nil {
		t.Fatal(err)
	}
	release, held := make(chan struct{}), make(chan struct{})
	go func() {
		_ = db.Write(context.Background(), func(*store.Q) error { close(held); <-release; return nil })
	}()
	<-held
	var accepted atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	var tickets []Ticket
	go func() {
		for i := range 100 {
			ticket, err := s.Offer(ctx, Message{Device: d, Received: noon, Values: []Value{{"a", at(i + 1), 1, ""}}})
			if err != nil {
				done <- err
				return
			}
			tickets = append(tickets, ticket)
			accepted.Add(1)
		}
		done <- nil
	}()
	for s.Metrics().Waits == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond)
	// One batch may be in the held commit, one gathers: never more than two of them.
	if n := accepted.Load(); n > 20 {
		t.Errorf("%d messages accepted while nothing could be stored; the pool holds 10", n)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("a waiting caller that gives up got %v", err)
	}
	close(release)
	for i, ticket := range tickets {
		if err := ticket.Err(); err != nil {
			t.Errorf("message %d: %v", i, err)
		}
	}
	if n, err := s.Count(context.Background(), "d"); n != accepted.Load()+1 || err != nil {
		t.Errorf("%d rows for %d accepted messages (%v)", n, accepted.Load()+1, err)
	}
}

func TestChannelsAreBounded(t *testing.T) {
	s := begin(t, storetest.SQLite(t)(), Config{Channels: 3})
	d := device(t, s, "d")
	values := func(names ...string) (v []Value) {
		for _, n := range names {
			v = append(v, Value{n, at(0), 1, ""})
		}
		return v
	}
	for _, c := range []struct {
		names []string
		ok    bool
	}{{[]string{"a", "b"}, true}, {[]string{"c", "d"}, false}, {[]string{"c", "a"}, true}, {[]string{"d"}, false}, {[]string{"a", "b", "c"}, true}} {
		err := s.Add(context.Background(), Message{Device: d, Received: noon, Values: values(c.names...)})
		if (err == nil) != c.ok || err != nil && fault.KindOf(err) != fault.Invalid {
			t.Errorf("channels %v: got %v, want ok %v", c.names, err, c.ok)
		}
	}
}

func TestThinningKeepsLowsAndHighs(t *testing.T) {
	s := begin(t, storetest.SQLite(t)(), Config{})
	d := device(t, s, "d")
	var values []Value
	for i := range 5000 {
		v := float64(i % 10)
		if i == 1234 {
			v = 1000
		}
		if i == 4321 {
			v = -1000
		}
		values = append(values, Value{"a", at(-5000 + i), v, ""})
	}
	for len(values) > 0 {
		if err := s.Add(context.Background(), Message{Device: d, Received: noon, Values: values[:500]}); err != nil {
			t.Fatal(err)
		}
		values = values[500:]
	}
	for _, limit := range []int{2, 10, 101, 4999, 5000, 10000} {
		got, err := s.Range(context.Background(), Span{Device: "d", From: noon.Add(-5001 * time.Minute), To: noon, Limit: limit})
		if err != nil || len(got) != 1 {
			t.Fatalf("limit %d: %v", limit, err)
		}
		one := got[0]
		if len(one.TS) > limit || len(one.TS) != len(one.Value) || one.Thinned != (limit < 5000) {
			t.Errorf("limit %d: %d points, thinned %v", limit, len(one.TS), one.Thinned)
		}
		if slices.Max(one.Value) != 1000 || slices.Min(one.Value) != -1000 {
			t.Errorf("limit %d: the spikes are lost: %v to %v", limit, slices.Min(one.Value), slices.Max(one.Value))
		}
		if !slices.IsSorted(one.TS) {
			t.Errorf("limit %d: times are out of order", limit)
		}
	}
	if _, err := s.Range(context.Background(), Span{Device: "d", Limit: 1}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("limit 1: %v", err)
	}
}

// BenchmarkPool stores messages of three values from many devices, without a
// door: what the engine itself takes. Its baseline is a commit for each message.
func BenchmarkPool(b *testing.B) {
	for _, devices := range []int{100, 2000} {
		for _, shared := range []bool{false, true} {
			name := map[bool]string{false: "each", true: "shared"}[shared]
			b.Run(fmt.Sprintf("devices=%d/%s", devices, name), func(b *testing.B) {
				db, err := store.OpenSQLite(context.Background(), filepath.Join(b.TempDir(), "db"), storetest.Key)
				if err != nil {
					b.Fatal(err)
				}
				defer db.Close()
				s := begin(b, db, Config{})
				defer s.Close()
				ctx := context.Background()
				handles := make([]*Device, devices)
				for i := range handles {
					handles[i] = device(b, s, fmt.Sprintf("device-%d", i))
					if _, err := s.Offer(ctx, message(handles[i], -1)); err != nil {
						b.Fatal(err)
					}
				}
				b.ResetTimer()
				var last Ticket
				for i := range b.N {
					t, err := s.Offer(ctx, message(handles[i%devices], i/devices))
					if err != nil {
						b.Fatal(err)
					}
					if last = t; !shared {
						if err := t.Err(); err != nil {
							b.Fatal(err)
						}
					}
				}
				if err := last.Err(); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
				b.ReportMetric(float64(s.Metrics().Values)/float64(s.Metrics().Commits), "values/commit")
			})
		}
	}
}

func message(d *Device, i int) Message {
	ts := at(0) + int64(i)*60_000
	return Message{Device: d, Received: noon, Values: []Value{{"flow", ts, float64(i) * 0.1, ""}, {"pressure", ts, 3.2, ""}, {"battery", ts, 87, ""}}}
}
