package device

import (
	"context"
	"sync"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/fleet/reading"
	"github.com/qanat-water/qanat/internal/ledger"
)

// OnChange has fn called soon after a device's document changed, by whatever way
// and on whatever node. A door finds its session of that device, then asks holds
// whether its certificate is still good, and ends it if not. holds is for use
// during the call only.
func (d *Devices) OnChange(fn func(device string, holds func(fingerprint string) bool)) {
	d.hooks.Lock()
	defer d.hooks.Unlock()
	d.hooks.fns = append(d.hooks.fns, fn)
}

func (d *Devices) tellDoors(ctx context.Context) {
	for {
		changed, ok := d.changed.take(ctx)
		if !ok {
			return
		}
		for id := range changed {
			if err := d.tell(ctx, id); err != nil && ctx.Err() == nil {
				d.c.Log.Error("a device's change was not told to the doors; trying again", "device", id, "cause", err)
				d.changed.add(id, func(struct{}) struct{} { return struct{}{} })
				pause(ctx, 100*time.Millisecond)
			}
		}
	}
}

// tell lets the doors ask. The register is read when they do, after they have
// found their session: an answer from before could be older than the session.
func (d *Devices) tell(ctx context.Context, id string) error {
	var failed error
	holds := func(fingerprint string) bool {
		var doc ledger.Doc[Device]
		err := d.c.Ledger.Read(ctx, func(r *ledger.Reader) (err error) {
			doc, err = Noun.Get(r, id)
			return err
		})
		if err != nil && fault.KindOf(err) != fault.NotFound {
			failed = err // asked again soon
			return true
		}
		return err == nil && doc.Body.holds(fingerprint)
	}
	d.hooks.Lock()
	fns := d.hooks.fns
	d.hooks.Unlock()
	for _, fn := range fns {
		fn(id, holds)
	}
	return failed
}

// followEvery is how often a node looks for what others wrote.
const followEvery = 300 * time.Millisecond

// followOthers finds changes that other nodes committed.
func (d *Devices) followOthers(ctx context.Context) {
	var last int64 = -1
	for pause(ctx, followEvery) {
		err := d.c.Ledger.Read(ctx, func(r *ledger.Reader) error {
			if last < 0 {
				_, err := r.Row([]any{&last}, `SELECT coalesce(max(number), 0) FROM entry`)
				return err
			}
			rows := r.Query(`SELECT number, kind, doc FROM entry WHERE number > $1 ORDER BY number LIMIT 10000`, last)
			for rows.Next() {
				var kind, doc string
				rows.Scan(&last, &kind, &doc)
				if kind == Noun.Name {
					d.changed.add(doc, func(struct{}) struct{} { return struct{}{} })
				}
			}
			return rows.Close()
		})
		if err != nil && ctx.Err() == nil {
			d.c.Log.Error("changes of other nodes were not read; trying again", "cause", err)
		}
	}
}

// Appeared notes channels that a device sent for the first time. It returns at
// once; the document follows.
func (d *Devices) Appeared(device string, channels []reading.Channel) {
	if len(channels) > 0 {
		d.appeared.add(device, func(waiting []reading.Channel) []reading.Channel { return append(waiting, channels...) })
	}
}

func (d *Devices) noteChannels(ctx context.Context) {
	for {
		appeared, ok := d.appeared.take(ctx)
		if !ok {
			return
		}
		var wait sync.WaitGroup // together, so that they share a commit
		room := make(chan struct{}, 64)
		for id, channels := range appeared {
			room <- struct{}{}
			wait.Go(func() {
				defer func() { <-room }()
				err := d.note(ctx, id, channels)
				if err != nil && fault.KindOf(err) != fault.NotFound && ctx.Err() == nil {
					d.c.Log.Error("new channels were not noted; they will be when the device connects again", "device", id, "cause", err)
				}
			})
		}
		wait.Wait()
	}
}

func (d *Devices) note(ctx context.Context, id string, channels []reading.Channel) error {
	actor := ledger.Actor{ID: id, Kind: "device", Door: "mqtt"}
	if err := d.c.Ledger.Read(ctx, func(r *ledger.Reader) error {
		doc, err := Noun.Get(r, id)
		actor.Name = doc.Body.Name
		return err
	}); err != nil {
		return err
	}
	return d.c.Ledger.Write(ctx, actor, "First readings of a channel", func(tx *ledger.Tx) error {
		_, err := Noun.Update(tx, id, 0, func(b *Device) error {
			for _, c := range unknownChannels(b.Channels, channels) {
				b.Channels = append(b.Channels, Channel{Key: c.Name, Name: c.Name, Unit: c.Unit})
			}
			return nil
		})
		return err
	})
}

func unknownChannels(have []Channel, seen []reading.Channel) (unknown []reading.Channel) {
	known := make(map[string]bool, len(have))
	for _, c := range have {
		known[c.Key] = true
	}
	for _, c := range seen {
		if !known[c.Name] {
			known[c.Name] = true
			unknown = append(unknown, c)
		}
	}
	return unknown
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// queue gathers work by key; what comes twice before it is taken is done once.
type queue[K comparable, V any] struct {
	mu      sync.Mutex
	waiting map[K]V
	bell    chan struct{}
}

func (q *queue[K, V]) init() { q.waiting, q.bell = map[K]V{}, make(chan struct{}, 1) }

func (q *queue[K, V]) add(k K, merge func(V) V) {
	q.mu.Lock()
	q.waiting[k] = merge(q.waiting[k])
	q.mu.Unlock()
	select {
	case q.bell <- struct{}{}:
	default:
	}
}

// take waits for work and gives all of it; false when ctx ends.
func (q *queue[K, V]) take(ctx context.Context) (map[K]V, bool) {
	select {
	case <-ctx.Done():
		return nil, false
	case <-q.bell:
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	work := q.waiting
	q.waiting = map[K]V{}
	return work, true
}
