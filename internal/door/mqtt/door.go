// Package mqtt is the device door: MQTT 3.1.1 and 5 over mutual TLS.
//
// It guarantees that nobody comes in without a certificate of this server's own
// authority that the register of devices holds good now; that a device reaches
// its own topics only; that PUBACK is sent after the commit that stored the
// message, in the order of the messages; that a full pool or a greedy device
// makes the door stop reading that socket, so memory stays flat and nothing is
// dropped; and that a session ends within a second of its certificate's
// revocation, and with the certificate's own end.
//
// How it speaks (DESIGN.md says why):
//   - Up: up/readings, up/state, up/ack, also written devices/<own id>/up/…;
//     down: any filter below down/ or devices/<own id>/down/.
//   - QoS 0 and 1. QoS 2, retained messages, topic aliases, shared subscriptions and
//     subscription identifiers are told in CONNACK to be missing and end the
//     connection with the standard's code when used.
//   - A topic that is not the device's own: MQTT 5 QoS 1 gets PUBACK 0x87, everything
//     else ends the connection, because 3.1.1 and QoS 0 have no way to say no.
//   - A message that cannot be read: PUBACK 0x99 with the reason in MQTT 5, PUBACK in
//     3.1.1; both keep the message where its owner can look at it.
//   - A will is accepted for up/state only, and stored like a state when the
//     connection ends without DISCONNECT.
//   - Sessions end with the connection. The certificate says who the device is: client
//     identifier, user name and password mean nothing. A device that comes twice is the newer one.
//
// Limits: messages to devices are not kept for those who are away. Who controls
// the network sees who talks and when, nothing more. Who controls a device's key
// can write that device's readings until it is revoked.
package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/qanat-water/qanat/internal/base/clock"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/netaddr"
	"github.com/qanat-water/qanat/internal/fleet/device"
	"github.com/qanat-water/qanat/internal/fleet/reading"
	"github.com/qanat-water/qanat/internal/fleet/refusal"
)

// Config of the door. The zero value of a number means its default.
type Config struct {
	Devices     *device.Devices
	Readings    *reading.Store
	Refusals    *refusal.Book
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	Clock       clock.Clock
	Log         *slog.Logger

	Connections    int           // in all; 20,000
	PerAddress     int           // of an IPv4 address or an IPv6 /64; 1,000
	PacketLimit    int           // bytes of a packet; 64 KiB
	ReceiveMaximum int           // messages of a connection that wait for their PUBACK; 100
	Rate           rate.Limit    // messages a second of a device; 200
	Burst          int           // messages of a device at once: what it stored while it was away; 5,000
	Opening        time.Duration // for the handshake, and again for CONNECT; 10 s
	PacketTime     time.Duration // for a packet to arrive once it has begun; 30 s
	WriteTime      time.Duration // for a client to take what is written; 10 s
	Idle           time.Duration // the longest silence, whatever keep alive the client asks for; 20 min
}

// Door is the device door. One Door may serve several listeners.
type Door struct {
	c      Config
	tls    *tls.Config
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu        sync.Mutex
	sessions  map[string]*session // by device
	addresses map[string]int      // connections by address prefix
	buckets   map[string]*rate.Limiter
	listeners map[net.Listener]bool
	metrics   counters
}

// bucketsKept bounds the token buckets of devices that are away.
const bucketsKept = 50_000

// New makes a door.
func New(c Config) *Door {
	if c.Clock == nil {
		c.Clock = clock.System
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	for of, standard := range map[*int]int{&c.Connections: 20_000, &c.PerAddress: 1000, &c.PacketLimit: 64 << 10, &c.ReceiveMaximum: 100, &c.Burst: 5000} {
		if *of == 0 {
			*of = standard
		}
	}
	for of, standard := range map[*time.Duration]time.Duration{&c.Opening: 10 * time.Second, &c.PacketTime: 30 * time.Second, &c.WriteTime: 10 * time.Second, &c.Idle: 20 * time.Minute} {
		if *of == 0 {
			*of = standard
		}
	}
	if c.Rate == 0 {
		c.Rate = 200
	}
	d := &Door{c: c, sessions: map[string]*session{}, addresses: map[string]int{}, buckets: map[string]*rate.Limiter{}, listeners: map[net.Listener]bool{}}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.tls = &tls.Config{
		GetCertificate: c.Certificate,
		MinVersion:     tls.VersionTLS12,
		CipherSuites: []uint16{ // for 1.2: forward secrecy and AEAD only
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		// A resumed session would skip the look at the certificate.
		SessionTicketsDisabled: true,
		// The certificate is asked for here and judged by verify, which tells the ways of being wrong apart.
		ClientAuth:       tls.RequestClientCert,
		VerifyConnection: d.verify,
		NextProtos:       []string{"mqtt"},
	}
	c.Devices.OnChange(d.changed)
	return d
}

// verify is the handshake's part of the judgement: the register is asked after
// CONNECT, when there is a way to answer.
func (d *Door) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return &device.Refused{Seen: refusal.Seen{Reason: refusal.NoCertificate, Detail: "No certificate was shown"}}
	}
	return d.c.Devices.Vouch(state.PeerCertificates[0])
}

// Serve lets devices in until the listener or the door closes.
func (d *Door) Serve(l net.Listener) error {
	d.mu.Lock()
	if d.ctx.Err() != nil {
		d.mu.Unlock()
		return net.ErrClosed
	}
	d.listeners[l] = true
	d.mu.Unlock()
	pause := 5 * time.Millisecond
	for {
		conn, err := l.Accept()
		if err != nil {
			if d.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			// Out of file descriptors, most likely: those inside go on, and the next may be let in soon.
			d.c.Log.Error("a connection could not be accepted", "cause", err)
			select {
			case <-time.After(pause):
			case <-d.ctx.Done():
				return nil
			}
			pause = min(2*pause, time.Second)
			continue
		}
		pause = 5 * time.Millisecond
		d.metrics.accepted.Add(1)
		remote := conn.RemoteAddr().String()
		address, place := netaddr.Host(remote), netaddr.Prefix(remote)
		if !d.enter(place) {
			d.refuse(refusal.Seen{Reason: refusal.Crowded, Address: address, Detail: "Too many connections"})
			_ = conn.Close()
			continue
		}
		d.work.Go(func() {
			defer d.leave(place)
			d.handle(conn, address)
		})
	}
}

// Close ends all sessions, after their accepted messages are stored and
// acknowledged as far as the clients take it.
func (d *Door) Close() {
	d.mu.Lock()
	d.cancel()
	for l := range d.listeners {
		_ = l.Close()
	}
	for _, s := range d.sessions {
		s.end(codeShuttingDown, "The server is shutting down")
	}
	d.mu.Unlock()
	d.work.Wait()
}

func (d *Door) enter(place string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx.Err() != nil || int(d.metrics.connections.Load()) >= d.c.Connections || d.addresses[place] >= d.c.PerAddress {
		return false
	}
	d.addresses[place]++
	d.metrics.connections.Add(1)
	return true
}

func (d *Door) leave(place string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.metrics.connections.Add(-1)
	if d.addresses[place]--; d.addresses[place] == 0 {
		delete(d.addresses, place)
	}
}

func (d *Door) refuse(seen refusal.Seen) {
	d.metrics.refused.Add(1)
	d.c.Refusals.Count(seen)
}

// handle is a connection's life.
func (d *Door) handle(raw net.Conn, address string) {
	conn := tls.Server(raw, d.tls)
	defer func() { _ = conn.Close() }()
	opening, cancel := context.WithTimeout(d.ctx, d.c.Opening)
	err := conn.HandshakeContext(opening)
	cancel()
	if err != nil {
		d.failed(err, address)
		return
	}
	s := newSession(d, conn, address)
	if !s.open() {
		return
	}
	s.run()
}

// failed counts a handshake that came to nothing.
func (d *Door) failed(err error, address string) {
	var refused *device.Refused
	var timeout net.Error
	switch {
	case errors.As(err, &refused):
		seen := refused.Seen
		seen.Address = address
		d.refuse(seen)
	case d.ctx.Err() != nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed):
		// Somebody looked whether the port is open.
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		d.refuse(refusal.Seen{Reason: refusal.Slow, Address: address, Detail: "The TLS handshake took too long"})
	default:
		d.refuse(refusal.Seen{Reason: refusal.Malformed, Address: address, Detail: "TLS handshake: " + err.Error()})
	}
}

// settle makes a session the device's one; an older one is taken over.
func (d *Door) settle(s *session) bool {
	d.mu.Lock()
	if d.ctx.Err() != nil {
		d.mu.Unlock()
		return false
	}
	old := d.sessions[s.who.ID]
	d.sessions[s.who.ID] = s
	bucket := d.buckets[s.who.ID]
	if bucket == nil {
		for id := range d.buckets {
			if len(d.buckets) < bucketsKept {
				break
			}
			delete(d.buckets, id)
		}
		bucket = rate.NewLimiter(d.c.Rate, d.c.Burst)
		d.buckets[s.who.ID] = bucket
	}
	s.bucket = bucket
	d.mu.Unlock()
	if old != nil {
		if old.address != s.address && old.ctx.Err() == nil {
			d.refuse(refusal.Seen{Org: s.who.Org, Reason: refusal.TwoPlaces, Address: old.address, Device: s.who.ID, Serial: old.who.Serial, Fingerprint: old.who.Fingerprint,
				Detail: "The same device came from " + s.address})
		}
		old.end(codeTakenOver, "The device connected again")
	}
	return true
}

func (d *Door) unsettle(s *session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sessions[s.who.ID] == s {
		delete(d.sessions, s.who.ID)
	}
}

// changed ends the sessions whose certificate is no longer good.
func (d *Door) changed(id string, holds func(fingerprint string) bool) {
	d.mu.Lock()
	s := d.sessions[id]
	d.mu.Unlock()
	if s != nil && !holds(s.who.Fingerprint) {
		d.refuse(refusal.Seen{Org: s.who.Org, Reason: refusal.Revoked, Address: s.address, Device: id, Serial: s.who.Serial, Fingerprint: s.who.Fingerprint, Detail: "Its session was ended"})
		s.end(codeNotAuthorized, "The certificate is no longer good")
	}
}

// Connection is a device's session.
type Connection struct {
	Since   time.Time `json:"since"`
	Address string    `json:"address"`
	Version string    `json:"version"` // "3.1.1" or "5"
}

// Connected tells whether a device is connected to this node, and since when.
func (d *Door) Connected(id string) (Connection, bool) {
	d.mu.Lock()
	s := d.sessions[id]
	d.mu.Unlock()
	if s == nil || s.ctx.Err() != nil {
		return Connection{}, false
	}
	version := "3.1.1"
	if s.version == version5 {
		version = "5"
	}
	return Connection{s.since, s.address, version}, true
}

// Send delivers a message to a connected device that subscribed to it: name
// "valve" arrives on down/valve. With a QoS 1 subscription it returns when the
// device has acknowledged.
func (d *Door) Send(ctx context.Context, id, name string, payload []byte) error {
	d.mu.Lock()
	s := d.sessions[id]
	d.mu.Unlock()
	if s == nil {
		return fault.New(fault.Unavailable, "mqtt.away", "The device is not connected").WithMend("Try again when it is")
	}
	return s.send(ctx, name, payload)
}

type counters struct {
	connections, accepted, sessions, refused, messages, values, acks, refusedMessages, bytes, throttled atomic.Int64
}

// Metrics of the door since it was made.
type Metrics struct {
	Connections     int64 // now
	Accepted        int64 // connections
	Sessions        int64 // that were let in
	Refused         int64 // connections and topics turned away
	Messages        int64
	Values          int64
	Acks            int64
	RefusedMessages int64 // that could not be read
	Bytes           int64 // of packets read
	Throttled       int64 // times a device had to wait for its token bucket
}

// Metrics tells how the door does.
func (d *Door) Metrics() Metrics {
	m := &d.metrics
	return Metrics{m.connections.Load(), m.accepted.Load(), m.sessions.Load(), m.refused.Load(), m.messages.Load(), m.values.Load(), m.acks.Load(), m.refusedMessages.Load(), m.bytes.Load(), m.throttled.Load()}
}
