// Package reading keeps what devices measure: rows of (series, time, value),
// where a series is one channel of one device.
//
// It guarantees that a message is on disk when its ticket is good, all of it or
// none; that the same value for the same instant of a channel counts once,
// however often it is sent; and that another value for that instant is kept
// beside the first as a correction, the latest received being the one that
// queries show. Nothing is ever dropped to make room: a full pool makes the
// caller wait, which is how a door stops reading a socket.
//
// Readings are bulk data beside the ledger: they have no entry of their own. A
// reading may be months late; one from the future is refused (see Limits).
//
// Limits: memory is bounded by Config whatever arrives. Rows are not yet
// compressed, rolled up or expired. Who controls a device can write any past
// value of its own channels, and nothing of others.
package reading

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/qanat-water/qanat/internal/base/clock"
	"github.com/qanat-water/qanat/internal/base/store"
)

// Config of the readings. The zero value of every number means its default.
type Config struct {
	Store *store.Store
	Clock clock.Clock
	Log   *slog.Logger

	// Pending is how many values may wait for the next commit, 16384 unless told;
	// as many again are in the commit under way. It bounds the pool's memory.
	Pending int
	// Devices is how many devices are remembered with their series, 50000 unless told.
	Devices int
	// Channels is how many channels a device may have, 64 unless told.
	Channels int
	// NewChannels is told, after the commit, which channels appeared for the first time.
	NewChannels func(device string, channels []Channel)
}

// Channel names a series of a device.
type Channel struct {
	Name string `json:"channel"`
	Unit string `json:"unit"` // as the device named it first
}

// Store holds the readings. It is for use by any number of goroutines.
type Store struct {
	db    *store.Store
	clock clock.Clock
	log   *slog.Logger
	c     Config

	mu      sync.Mutex
	open    *batch        // gathers what the next commit will hold
	moved   chan struct{} // closed when open has been taken, so that there is room again
	work    chan struct{} // has an item when open is not empty
	closing bool
	done    chan struct{}

	memory   memory
	logged   int64      // newest number in the log; of Open, then of the committer
	settling sync.Mutex // one settlement at a time
	stop     context.CancelFunc
	stopped  sync.WaitGroup

	devices deviceCache
	metrics metrics
}

var steps = []string{`
CREATE TABLE reading_series (id {bigint} NOT NULL PRIMARY KEY, device {text} NOT NULL, channel {text} NOT NULL, unit {text} NOT NULL, UNIQUE (device, channel)) {table};
CREATE TABLE reading (series {bigint} NOT NULL, ts {bigint} NOT NULL, value {real} NOT NULL, received {bigint} NOT NULL, PRIMARY KEY (series, ts, value)) {clustered};
CREATE TABLE reading_log (number {bigint} NOT NULL PRIMARY KEY, body {blob} NOT NULL) {table};
CREATE TABLE reading_device (device {text} NOT NULL PRIMARY KEY, seen {bigint} NOT NULL) {clustered};
CREATE TABLE reading_state (device {text} NOT NULL, kind {text} NOT NULL, received {bigint} NOT NULL, number {bigint} NOT NULL, body {text} NOT NULL, PRIMARY KEY (device, kind, received, number)) {clustered}
`}

// Open makes the tables and starts the goroutines that commit and settle.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Clock == nil {
		c.Clock = clock.System
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	for of, standard := range map[*int]int{&c.Pending: 16384, &c.Devices: 50_000, &c.Channels: 64} {
		if *of == 0 {
			*of = standard
		}
	}
	if err := c.Store.Migrate(ctx, "reading", steps); err != nil {
		return nil, err
	}
	s := &Store{
		db: c.Store, clock: c.Clock, log: c.Log, c: c,
		open: newBatch(), moved: make(chan struct{}), work: make(chan struct{}, 1), done: make(chan struct{}),
	}
	s.devices.limit = c.Devices
	s.memory.init()
	if err := s.recall(ctx); err != nil {
		return nil, err
	}
	own, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.stopped.Go(func() { s.settler(own) })
	go s.commit()
	return s, nil
}

// Close commits what has been accepted and stops. Whoever still waits for room is told that it closes.
func (s *Store) Close() {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		<-s.done
		return
	}
	s.closing = true
	close(s.work)
	close(s.moved)
	s.mu.Unlock()
	s.memory.close()
	<-s.done
	s.stop()
	s.stopped.Wait()
}

// seenEvery is how often the time a device was last heard of goes to disk.
const seenEvery = 10 * time.Second
