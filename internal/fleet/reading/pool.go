package reading

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
)

// Message is what a device said at once.
type Message struct {
	Device   *Device
	Received time.Time
	Values   []Value // copied before Offer returns
	States   []State
}

// State is something a device says about itself, kept with its history.
type State struct {
	Kind string // "state" or "ack"
	Body string // JSON
}

// Ticket stands for an accepted message until it is on disk.
type Ticket struct{ batch *batch }

// Done is closed when the commit has ended, well or badly.
func (t Ticket) Done() <-chan struct{} { return t.batch.done }

// Err waits for the commit and tells whether the message is on disk.
func (t Ticket) Err() error {
	<-t.batch.done
	return t.batch.err
}

// batch is what one commit holds.
type batch struct {
	rows   []row
	fresh  []freshRow
	states []stateRow
	heard  map[*Device]struct{}
	size   int
	done   chan struct{}
	err    error
}

type row struct {
	series, ts, received int64
	value                float64
}

// freshRow is a row whose series has no number yet.
type freshRow struct {
	device        *Device
	channel, unit string
	row
}

type stateRow struct {
	device, kind, body string
	received           int64
}

func newBatch() *batch {
	return &batch{done: make(chan struct{}), heard: map[*Device]struct{}{}}
}

// Add stores a message and returns when it is on disk.
func (s *Store) Add(ctx context.Context, m Message) error {
	t, err := s.Offer(ctx, m)
	if err != nil {
		return err
	}
	return t.Err()
}

// Offer accepts a message for the next commit and gives its ticket. While the
// pool is full it waits, and so must whoever feeds it.
func (s *Store) Offer(ctx context.Context, m Message) (Ticket, error) {
	if err := m.Device.room(m.Values, s.c.Channels); err != nil {
		return Ticket{}, err
	}
	size := len(m.Values)
	for _, state := range m.States {
		size += 1 + len(state.Body)/64 // a state weighs by its size
	}
	s.mu.Lock()
	for s.open.size > 0 && s.open.size+size > s.c.Pending && !s.closing {
		moved := s.moved
		s.mu.Unlock()
		s.metrics.waits.Add(1)
		select {
		case <-moved:
		case <-ctx.Done():
			return Ticket{}, ctx.Err()
		}
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	if s.closing {
		return Ticket{}, errClosing
	}
	b := s.open
	received := m.Received.UnixMilli()
	for i := range m.Values {
		v := &m.Values[i]
		r := row{ts: v.TS, value: v.Value, received: received}
		if id, ok := m.Device.series(v.Channel); ok {
			r.series = id
			b.rows = append(b.rows, r)
		} else {
			b.fresh = append(b.fresh, freshRow{m.Device, v.Channel, v.Unit, r})
		}
	}
	for _, state := range m.States {
		b.states = append(b.states, stateRow{m.Device.id, state.Kind, state.Body, received})
	}
	m.Device.seen.Store(received)
	if due := received - m.Device.seenSaved.Load(); due >= seenEvery.Milliseconds() || due < 0 {
		b.heard[m.Device] = struct{}{}
	}
	b.size += size
	if b.size == size { // the first one wakes the committer
		select {
		case s.work <- struct{}{}:
		default:
		}
	}
	return Ticket{b}, nil
}

var errClosing = fault.New(fault.Unavailable, "reading.closing", "The server is shutting down").WithMend("Send it again in a moment")

// commit takes what has gathered, again and again: while one batch goes to
// disk the next one gathers, so the load itself sets the size of the group.
func (s *Store) commit() {
	defer close(s.done)
	for {
		_, more := <-s.work
		s.mu.Lock()
		b := s.open
		if b.size > 0 {
			s.open = newBatch()
			if !s.closing {
				close(s.moved)
				s.moved = make(chan struct{})
			}
		}
		s.mu.Unlock()
		if b.size > 0 {
			s.save(b)
		}
		if !more {
			return
		}
	}
}

func (s *Store) save(b *batch) {
	start := time.Now()
	fresh, err := s.write(b)
	if err != nil {
		s.log.Error("readings were not stored", "values", b.size, "cause", err)
		s.metrics.failed.Add(1)
		b.err = fault.New(fault.Unavailable, "reading.store", "The readings could not be stored").WithMend("Send them again in a moment").Because(err)
	} else {
		s.metrics.commits.Add(1)
		s.metrics.values.Add(int64(len(b.rows)))
		s.metrics.busy.Add(int64(time.Since(start)))
	}
	close(b.done)
	if err == nil && s.c.NewChannels != nil {
		for device, channels := range fresh {
			s.c.NewChannels(device, channels)
		}
	}
}

// compareRows orders rows as the table does, so that neighbours meet on a page
// and two nodes lock in the same order.
func compareRows(a, b row) int {
	if c := cmp.Compare(a.series, b.series); c != 0 {
		return c
	}
	if c := cmp.Compare(a.ts, b.ts); c != 0 {
		return c
	}
	return cmp.Compare(a.value, b.value)
}

// Device is a handle on one device's series, kept by a door while it is connected.
type Device struct {
	id        string
	seen      atomic.Int64 // ms, in memory
	seenSaved atomic.Int64 // ms, on disk

	mu     sync.RWMutex
	loaded bool
	ids    map[string]int64  // by channel
	units  map[string]string // of channels that were loaded, as the device named them first
}

func (d *Device) series(channel string) (int64, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	id, ok := d.ids[channel]
	return id, ok
}

// room refuses a message that would give the device more channels than it may have.
func (d *Device) room(values []Value, limit int) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var fresh []string
	for i := range values {
		if _, ok := d.ids[values[i].Channel]; !ok && !slices.Contains(fresh, values[i].Channel) {
			fresh = append(fresh, values[i].Channel)
			if len(d.ids)+len(fresh) > limit {
				return refuse("reading.channels", values[i].Channel, "The device has too many channels", "Use the channels it has, or remove the name's changing part")
			}
		}
	}
	return nil
}

// deviceCache remembers handles; beyond its limit any one goes, since a door
// holds its own and the database knows the rest.
type deviceCache struct {
	mu    sync.Mutex
	limit int
	byID  map[string]*Device
}

func (c *deviceCache) get(id string) *Device {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.byID[id]
	if d == nil {
		if c.byID == nil {
			c.byID = map[string]*Device{}
		}
		for old := range c.byID {
			if len(c.byID) < c.limit {
				break
			}
			delete(c.byID, old)
		}
		d = &Device{id: id, ids: map[string]int64{}, units: map[string]string{}}
		c.byID[id] = d
	}
	return d
}

// Device gives the handle of a device.
func (s *Store) Device(ctx context.Context, id string) (*Device, error) {
	d := s.devices.get(id)
	d.mu.RLock()
	loaded := d.loaded
	d.mu.RUnlock()
	if loaded {
		return d, nil
	}
	return d, s.load(ctx, d)
}

// Metrics of the pool since it was opened.
type Metrics struct {
	Commits, Values, Failed int64
	Waits                   int64         // times a caller found the pool full
	Busy                    time.Duration // spent in commits
	Pending                 int           // values that wait for the next commit
}

type metrics struct{ commits, values, failed, waits, busy atomic.Int64 }

// Metrics tells how the pool does.
func (s *Store) Metrics() Metrics {
	s.mu.Lock()
	pending := s.open.size
	s.mu.Unlock()
	return Metrics{s.metrics.commits.Load(), s.metrics.values.Load(), s.metrics.failed.Load(), s.metrics.waits.Load(), time.Duration(s.metrics.busy.Load()), pending}
}

// Channels gives the channels of the device that this process knows of.
func (d *Device) Channels() []Channel {
	d.mu.RLock()
	defer d.mu.RUnlock()
	channels := make([]Channel, 0, len(d.ids))
	for name := range d.ids {
		channels = append(channels, Channel{Name: name, Unit: d.units[name]})
	}
	slices.SortFunc(channels, func(a, b Channel) int { return cmp.Compare(a.Name, b.Name) })
	return channels
}
