// Package refusal counts what the doors turned away, so that an administrator
// can see who knocks and act on it, and keeps the last messages of a device that
// were refused, with the reason, so that nothing is lost silently.
//
// It guarantees that counting never delays a door: a count goes to memory and to
// its table about once a second. Equal refusals (organization, reason, address,
// certificate) are one row with its first and last time. Memory and tables are
// bounded; when too many different ones come at once, those beyond the bound are
// counted together under the address "others".
//
// Limits: the last second of counts is lost with a crash; these are no entries
// of the ledger. Who floods a door can fill the bounded rows of the server and
// of the organization whose certificates he holds, and push out older ones.
package refusal

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/qanat-water/qanat/internal/base/clock"
	"github.com/qanat-water/qanat/internal/base/store"
)

// Reason is why something was turned away.
type Reason string

// The reasons.
const (
	NoCertificate     Reason = "no-certificate"     // none was shown
	UnknownCA         Reason = "unknown-ca"         // not signed by this server's authority for devices
	Expired           Reason = "expired"            // signed here, but its time is over
	Unclaimed         Reason = "unclaimed"          // signed here, for a device that is unknown or not claimed
	Revoked           Reason = "revoked"            // the certificate or its device was revoked
	WrongOrganization Reason = "wrong-organization" // the device belongs to another organization now
	TwoPlaces         Reason = "two-places"         // the same device came from two addresses at once
	Malformed         Reason = "malformed"          // the protocol was broken
	Crowded           Reason = "crowded"            // over a limit of connections
	Slow              Reason = "slow"               // nothing came in time
	Topic             Reason = "topic"              // a topic that is not the device's own
	Payload           Reason = "payload"            // a message that cannot be read
	Claim             Reason = "claim"              // a wrong serial number or claim code
)

// Seen is one refusal as a door meets it.
type Seen struct {
	Org         string // "": the server, when nobody's
	Reason      Reason
	Address     string // host without port
	Device      string // its id, when the certificate names one
	Serial      string // of the certificate
	Fingerprint string
	Detail      string // of the last one
}

// Row is a counted refusal.
type Row struct {
	Org         string    `json:"org"`
	Reason      Reason    `json:"reason"`
	Address     string    `json:"address"`
	Device      string    `json:"device,omitempty"`
	Serial      string    `json:"serial,omitempty"`
	Fingerprint string    `json:"fingerprint,omitempty"`
	Detail      string    `json:"detail,omitempty"`
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
	Count       int64     `json:"count"`
}

// Message is a message that was refused.
type Message struct {
	Device  string    `json:"device"`
	Time    time.Time `json:"time"`
	Topic   string    `json:"topic"`
	Payload []byte    `json:"payload"` // its beginning
	Size    int       `json:"size"`
	Reason  string    `json:"reason"`
}

// The bounds.
const (
	rowsInMemory     = 4096 // different refusals between two flushes
	rowsOfOrg        = 2000 // rows kept for an organization or the server
	messagesInMemory = 1024 // refused messages between two flushes
	messagesOfDevice = 20   // refused messages kept for a device
	payloadKept      = 2048 // bytes of a payload
	textKept         = 300  // bytes of a detail or topic
	flushEvery       = time.Second
)

type key struct {
	org                                  string
	reason                               Reason
	address, device, serial, fingerprint string
}

type tally struct {
	first, last int64
	count       int64
	detail      string
}

// Book is the open list of refusals. It is for use by any number of goroutines.
type Book struct {
	db    *store.Store
	clock clock.Clock
	log   *slog.Logger
	stop  chan struct{}
	done  chan struct{}
	once  sync.Once

	mu       sync.Mutex
	tallies  map[key]*tally
	messages []Message
	dropped  int64 // messages beyond the bound; they are counted as refusals all the same
	flushing sync.Mutex
}

var steps = []string{`
CREATE TABLE refusal (org {text} NOT NULL, reason {text} NOT NULL, address {text} NOT NULL, device {text} NOT NULL, serial {text} NOT NULL, fingerprint {text} NOT NULL,
	detail {text} NOT NULL, first {bigint} NOT NULL, last {bigint} NOT NULL, count {bigint} NOT NULL, PRIMARY KEY (org, reason, address, device, serial, fingerprint)) {clustered};
CREATE INDEX refusal_last_idx ON refusal (org, last);
CREATE TABLE refused_message (device {text} NOT NULL, time {bigint} NOT NULL, number {bigint} NOT NULL, topic {text} NOT NULL, payload {blob} NOT NULL, size {bigint} NOT NULL, reason {text} NOT NULL, PRIMARY KEY (device, time, number)) {clustered}
`}

// Open makes the tables and starts to flush.
func Open(ctx context.Context, db *store.Store, c clock.Clock, log *slog.Logger) (*Book, error) {
	if c == nil {
		c = clock.System
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := db.Migrate(ctx, "refusal", steps); err != nil {
		return nil, err
	}
	b := &Book{db: db, clock: c, log: log, stop: make(chan struct{}), done: make(chan struct{}), tallies: map[key]*tally{}}
	go b.run()
	return b, nil
}

// Close flushes and stops.
func (b *Book) Close() {
	b.once.Do(func() { close(b.stop) })
	<-b.done
}

func (b *Book) run() {
	defer close(b.done)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-b.stop:
			if err := b.Flush(context.Background()); err != nil {
				b.log.Error("refusals were not stored", "cause", err)
			}
			return
		}
		if err := b.Flush(context.Background()); err != nil {
			b.log.Error("refusals were not stored", "cause", err)
		}
	}
}

// Count counts a refusal.
func (b *Book) Count(s Seen) {
	now := b.clock.Now().UnixMilli()
	k := key{s.Org, s.Reason, s.Address, s.Device, s.Serial, s.Fingerprint}
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.tallies[k]
	if t == nil && len(b.tallies) >= rowsInMemory {
		k = key{org: s.Org, reason: s.Reason, address: "others"}
		t = b.tallies[k]
	}
	if t == nil {
		t = &tally{first: now}
		b.tallies[k] = t
	}
	t.last, t.detail = now, cut(s.Detail, textKept)
	t.count++
}

// Keep remembers a refused message.
func (b *Book) Keep(device, topic string, payload []byte, reason string) {
	m := Message{Device: device, Time: b.clock.Now(), Topic: cut(topic, textKept), Size: len(payload), Reason: cut(reason, textKept)}
	m.Payload = append(m.Payload, payload[:min(len(payload), payloadKept)]...)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.messages) >= messagesInMemory {
		b.dropped++
		return
	}
	b.messages = append(b.messages, m)
}

// cut makes what a stranger sent fit to be stored and shown.
func cut(s string, n int) string {
	s = s[:min(len(s), n)]
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return '?'
		}
		return r
	}, s)
}

// Flush writes what was counted since the last time.
func (b *Book) Flush(ctx context.Context) error {
	b.flushing.Lock()
	defer b.flushing.Unlock()
	b.mu.Lock()
	tallies, messages, dropped := b.tallies, b.messages, b.dropped
	b.tallies, b.messages, b.dropped = map[key]*tally{}, nil, 0
	b.mu.Unlock()
	if dropped > 0 {
		b.log.Warn("refused messages were counted but not kept", "messages", dropped)
	}
	if len(tallies) == 0 && len(messages) == 0 {
		return nil
	}
	err := b.db.Write(ctx, func(q *store.Q) error {
		if err := saveTallies(q, tallies); err != nil {
			return err
		}
		return saveMessages(q, messages)
	})
	if err != nil { // the next flush tries again with both together
		b.mu.Lock()
		defer b.mu.Unlock()
		for k, t := range tallies {
			if now := b.tallies[k]; now != nil {
				now.first = t.first
				now.count += t.count
			} else if len(b.tallies) < rowsInMemory {
				b.tallies[k] = t
			}
		}
		b.messages = append(messages, b.messages...)[:min(len(messages)+len(b.messages), messagesInMemory)]
	}
	return err
}

func saveTallies(q *store.Q, tallies map[key]*tally) error {
	orgs := map[string]bool{}
	for k, t := range tallies {
		orgs[k.org] = true
		if _, err := q.Exec(`INSERT INTO refusal (org, reason, address, device, serial, fingerprint, detail, first, last, count) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			ON CONFLICT (org, reason, address, device, serial, fingerprint) DO UPDATE SET last = excluded.last, count = refusal.count + excluded.count, detail = excluded.detail`,
			k.org, string(k.reason), k.address, k.device, k.serial, k.fingerprint, t.detail, t.first, t.last, t.count); err != nil {
			return err
		}
	}
	for org := range orgs { // the oldest go beyond the bound
		if _, err := q.Exec(`DELETE FROM refusal WHERE org = $1 AND last < (SELECT min(last) FROM (SELECT last FROM refusal WHERE org = $1 ORDER BY last DESC LIMIT $2) newest)`, org, int64(rowsOfOrg)); err != nil {
			return err
		}
	}
	return nil
}

func saveMessages(q *store.Q, messages []Message) error {
	devices := map[string]bool{}
	for _, m := range messages {
		devices[m.Device] = true
		if _, err := q.Exec(`INSERT INTO refused_message (device, time, number, topic, payload, size, reason)
			SELECT $1, $2, coalesce(max(number), 0) + 1, $3, $4, $5, $6 FROM refused_message WHERE device = $1 AND time = $2`,
			m.Device, m.Time.UnixMilli(), m.Topic, append([]byte{}, m.Payload...), int64(m.Size), m.Reason); err != nil {
			return err
		}
	}
	for device := range devices {
		if _, err := q.Exec(`DELETE FROM refused_message WHERE device = $1 AND (time, number) NOT IN
			(SELECT time, number FROM refused_message WHERE device = $1 ORDER BY time DESC, number DESC LIMIT $2)`, device, int64(messagesOfDevice)); err != nil {
			return err
		}
	}
	return nil
}

// List gives the refusals of an organization, or of the server for "", the last first.
func (b *Book) List(ctx context.Context, org string, limit int) (rows []Row, err error) {
	if limit < 1 || limit > rowsOfOrg {
		return nil, fmt.Errorf("limit %d of refusals", limit)
	}
	err = b.db.Read(ctx, func(q *store.Q) error {
		found := q.Query(`SELECT org, reason, address, device, serial, fingerprint, detail, first, last, count FROM refusal WHERE org = $1 ORDER BY last DESC LIMIT $2`, org, int64(limit))
		for found.Next() {
			var r Row
			var reason string
			var first, last int64
			found.Scan(&r.Org, &reason, &r.Address, &r.Device, &r.Serial, &r.Fingerprint, &r.Detail, &first, &last, &r.Count)
			r.Reason, r.First, r.Last = Reason(reason), time.UnixMilli(first).UTC(), time.UnixMilli(last).UTC()
			rows = append(rows, r)
		}
		return found.Close()
	})
	return rows, err
}

// Messages gives the last refused messages of a device, the last first.
func (b *Book) Messages(ctx context.Context, device string) (messages []Message, err error) {
	err = b.db.Read(ctx, func(q *store.Q) error {
		found := q.Query(`SELECT device, time, topic, payload, size, reason FROM refused_message WHERE device = $1 ORDER BY time DESC, number DESC`, device)
		for found.Next() {
			var m Message
			var ms int64
			found.Scan(&m.Device, &ms, &m.Topic, &m.Payload, &m.Size, &m.Reason)
			m.Time = time.UnixMilli(ms).UTC()
			messages = append(messages, m)
		}
		return found.Close()
	})
	return messages, err
}
