package mqtt

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/fleet/device"
	"github.com/qanat-water/qanat/internal/fleet/reading"
	"github.com/qanat-water/qanat/internal/fleet/refusal"
)

// session is a connection after its handshake. Two goroutines share it: the one
// that reads, and the one that writes what is in out, in order.
type session struct {
	door    *Door
	conn    *tls.Conn
	address string
	r       *bufio.Reader
	body    []byte // of the packet being read

	// From open on.
	version   byte
	who       device.Identity
	since     time.Time
	keepAlive time.Duration
	terms     connect
	bucket    *rate.Limiter
	parser    *reading.Parser

	ctx      context.Context
	cancel   context.CancelFunc
	out      chan answer
	inFlight atomic.Int64 // QoS 1 messages without their PUBACK

	ending  sync.Once
	code    byte // why it ended, for DISCONNECT
	text    string
	orderly bool // the client said goodbye

	mu      sync.Mutex
	filters map[string]byte            // subscriptions with their QoS
	waiting map[uint16]chan<- struct{} // deliveries without their PUBACK
	nextID  uint16
}

func newSession(d *Door, conn *tls.Conn, address string) *session {
	s := &session{door: d, conn: conn, address: address, r: bufio.NewReaderSize(conn, 4096)}
	// Not the door's context: a session ends by end, which says why before it cancels.
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// seen begins a refusal of this connection.
func (s *session) seen(reason refusal.Reason, detail string) refusal.Seen {
	return refusal.Seen{Org: s.who.Org, Reason: reason, Address: s.address, Device: s.who.ID, Serial: s.who.Serial, Fingerprint: s.who.Fingerprint, Detail: detail}
}

// open reads CONNECT and lets the device in, or tells it why not.
func (s *session) open() bool {
	defer func() {
		if s.out == nil {
			s.cancel()
		}
	}()
	d := s.door
	deadline := time.Now().Add(d.c.Opening)
	_ = s.conn.SetDeadline(deadline)
	wake := context.AfterFunc(d.ctx, func() { _ = s.conn.SetReadDeadline(time.Now()) })
	defer wake()
	h, err := readHeader(s.r, d.c.PacketLimit)
	if err == nil {
		s.body, err = readBody(s.r, h.length, s.body)
	}
	var c *connect
	if err == nil {
		c, err = decodeConnect(h, s.body)
	}
	if err != nil {
		s.failedConnect(err)
		return false
	}
	s.version, s.terms = c.version, *c
	leaf := s.conn.ConnectionState().PeerCertificates[0]
	ctx, cancel := context.WithDeadline(s.ctx, deadline)
	defer cancel()
	who, err := d.c.Devices.Admit(ctx, leaf, s.address)
	var refused *device.Refused
	switch {
	case errors.As(err, &refused):
		seen := refused.Seen
		seen.Address = s.address
		d.refuse(seen)
		s.deny(codeNotAuthorized, seen.Detail)
		return false
	case err != nil:
		d.c.Log.Error("a device could not be let in", "address", s.address, "cause", err)
		s.deny(codeUnavailable, "Try again in a moment")
		return false
	}
	s.who = who
	if b := s.unacceptable(c); b != nil {
		d.refuse(s.seen(refusal.Malformed, b.text))
		s.deny(b.code, b.text)
		return false
	}
	s.settleTerms(c)
	if !d.settle(s) {
		s.deny(codeShuttingDown, "The server is shutting down")
		return false
	}
	// A revocation between Admit and settle found no session to end.
	if again, err := d.c.Devices.Admit(ctx, leaf, s.address); err != nil || again.Fingerprint != who.Fingerprint {
		d.unsettle(s)
		s.deny(codeNotAuthorized, "The certificate is no longer good")
		return false
	}
	return true
}

// settleTerms makes what the session needs, with CONNACK as its first answer.
func (s *session) settleTerms(c *connect) {
	d := s.door
	s.since = d.c.Clock.Now()
	s.keepAlive = d.c.Idle
	t := &terms{receiveMaximum: d.c.ReceiveMaximum, packetMaximum: d.c.PacketLimit}
	if asked := time.Duration(c.keepAlive) * time.Second; asked > 0 && asked*3/2 <= d.c.Idle {
		s.keepAlive = asked * 3 / 2
	} else {
		t.keepAlive = min(max(int(d.c.Idle/time.Second)*2/3, 1), 65535)
	}
	if c.clientID == "" {
		t.assigned = s.who.ID
	}
	s.parser = reading.NewParser(reading.DefaultLimits)
	s.filters, s.waiting = map[string]byte{}, map[uint16]chan<- struct{}{}
	s.out = make(chan answer, d.c.ReceiveMaximum+8)
	s.out <- answer{packet: appendConnack(nil, s.version, codeSuccess, "", t)}
}

// unacceptable tells what in a CONNECT this door does not do.
func (s *session) unacceptable(c *connect) *breach {
	switch {
	case c.auth:
		return breachf(codeBadAuthMethod, "The certificate is the only way to authenticate")
	case c.version == version311 && c.clientID == "" && !c.clean:
		return breachf(codeClientID, "Without a client identifier the session must be clean")
	case c.will == nil:
		return nil
	case c.will.qos > 1:
		return breachf(codeQoS, "The will's QoS is 2; 0 and 1 are supported")
	case c.will.retain:
		return breachf(codeRetain, "The will is to be retained, which is not supported")
	case upwardTopic(s.who.ID, c.will.topic) != upState:
		return breachf(codeNotAuthorized, "The will's topic %.100q is not the device's up/state", c.will.topic)
	}
	if _, err := reading.ParseState("state", c.will.message); err != nil {
		return breachf(codePayloadFormat, "The will cannot be read: %s", fault.From(err))
	}
	return nil
}

// deny answers CONNECT with a refusal.
func (s *session) deny(code byte, reason string) {
	_, _ = s.conn.Write(appendConnack(nil, s.version, code, s.welcome(reason), nil))
	s.linger()
}

// linger reads what the client had under way when we said our last word: closing
// over unread bytes would reset the connection, and the word would be lost.
func (s *session) linger() {
	if s.conn.CloseWrite() != nil {
		return
	}
	raw := s.conn.NetConn()
	_ = raw.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, raw, lingerBytes)
}

const (
	lingerTime  = 300 * time.Millisecond
	lingerBytes = 1 << 20
)

// failedConnect counts what was no CONNECT, and answers where the standard has an answer.
func (s *session) failedConnect(err error) {
	var b *breach
	switch {
	case errors.As(err, &b):
		s.door.refuse(s.seen(refusal.Malformed, b.text))
		if b.code == codeUnsupportedVersion {
			s.version = version311
			s.deny(b.code, "")
		}
	case s.door.ctx.Err() != nil: // the door closes
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.door.refuse(s.seen(refusal.Slow, "CONNECT did not come in time"))
	case errors.Is(err, io.ErrUnexpectedEOF):
		s.door.refuse(s.seen(refusal.Malformed, "The connection ended inside CONNECT"))
	default: // TLS 1.3: the client's alert about our own certificate comes with the first read
		var remote *net.OpError
		if errors.As(err, &remote) && remote.Op == "remote error" {
			s.door.refuse(s.seen(refusal.Malformed, "TLS: "+err.Error()))
		}
	}
}

// welcome is a reason string as far as the client wants it and has room for it.
func (s *session) welcome(reason string) string {
	if !s.terms.problems || s.terms.packetMaximum > 0 && len(reason)+64 > s.terms.packetMaximum {
		return ""
	}
	return reason
}

// run reads until the session ends, then clears up.
func (s *session) run() {
	d := s.door
	d.metrics.sessions.Add(1)
	_ = s.conn.SetDeadline(time.Time{})
	if s.ctx.Err() != nil { // ended since open: end's deadlines were just lifted
		_ = s.conn.SetReadDeadline(time.Now())
		_ = s.conn.NetConn().SetWriteDeadline(time.Now().Add(time.Second))
	}
	over := time.AfterFunc(s.who.Until.Sub(d.c.Clock.Now()), func() {
		d.refuse(s.seen(refusal.Expired, "Its session was ended"))
		s.end(codeNotAuthorized, "The certificate's time is over")
	})
	defer over.Stop()
	written := make(chan struct{})
	go func() {
		defer close(written)
		s.write()
	}()
	err := s.read()
	s.explain(err)
	<-written
	d.unsettle(s)
	s.linger()
	s.lastWill()
}

// end ends the session; the first reason counts. It may be called by anybody.
func (s *session) end(code byte, text string) {
	s.ending.Do(func() {
		s.code, s.text = code, text
		s.cancel()
		// The reader is woken, the writer has a moment to say why.
		_ = s.conn.SetReadDeadline(time.Now())
		_ = s.conn.NetConn().SetWriteDeadline(time.Now().Add(time.Second))
	})
}

// explain ends the session for what the reader met.
func (s *session) explain(err error) {
	var b *breach
	switch {
	case s.ctx.Err() != nil:
		s.end(codeShuttingDown, "The server is shutting down") // unless it ended for a reason before
	case errors.As(err, &b):
		reason := refusal.Malformed
		if b.code == codeNotAuthorized {
			reason = refusal.Topic
		}
		s.door.refuse(s.seen(reason, b.text))
		s.end(b.code, b.text)
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.end(codeKeepAlive, "Nothing was heard for too long")
	case errors.Is(err, errGoodbye):
		s.orderly = true
		s.end(codeSuccess, "")
	case errors.Is(err, io.ErrUnexpectedEOF):
		s.door.refuse(s.seen(refusal.Malformed, "The connection ended inside a packet"))
		s.end(codeSuccess, "")
	case fault.KindOf(err) == fault.Unavailable:
		s.end(codeUnavailable, fault.From(err).Message)
	default: // the connection broke
		s.end(codeSuccess, "")
	}
}

// lastWill stores the will of a session that ended without a goodbye.
func (s *session) lastWill() {
	w := s.terms.will
	if w == nil || s.orderly {
		return
	}
	state, err := reading.ParseState("state", w.message)
	if err != nil {
		return // judged at CONNECT
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.door.c.WriteTime)
	defer cancel()
	if _, err := s.door.c.Readings.Offer(ctx, reading.Message{Device: s.who.Readings, Received: s.door.c.Clock.Now(), States: []reading.State{state}}); err != nil {
		s.door.c.Log.Error("a will was not stored", "device", s.who.ID, "cause", err)
	}
}

var errGoodbye = errors.New("the client said goodbye")

// read reads packets until one ends the session.
func (s *session) read() error {
	d := s.door
	var p publish
	for {
		if s.r.Buffered() == 0 {
			if err := s.patience(s.keepAlive); err != nil {
				return err
			}
		}
		if _, err := s.r.Peek(1); err != nil {
			return err
		}
		h, err := s.header()
		if err != nil {
			return err
		}
		if s.r.Buffered() < h.length {
			if err := s.patience(d.c.PacketTime); err != nil {
				return err
			}
		}
		if s.body, err = readBody(s.r, h.length, s.body); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && s.ctx.Err() == nil {
				d.refuse(s.seen(refusal.Slow, "A packet did not arrive in time"))
			}
			return err
		}
		d.metrics.bytes.Add(int64(h.length) + 2)
		if h.kind == typePublish {
			if err = cutPublish(s.version, h, s.body, &p); err == nil {
				err = s.publish(&p)
			}
		} else {
			err = s.other(h)
		}
		if err != nil {
			return err
		}
		if cap(s.body) > 16<<10 && h.length < 4<<10 {
			s.body = nil // one long packet does not cost its room for ever
		}
	}
}

// header reads a fixed header of at most five bytes, which may come slowly too.
func (s *session) header() (header, error) {
	if s.r.Buffered() < 2 {
		if err := s.patience(s.door.c.PacketTime); err != nil {
			return header{}, err
		}
	}
	return readHeader(s.r, s.door.c.PacketLimit)
}

// patience sets how long the next bytes may take. A session that has ended
// keeps its deadline in the past.
func (s *session) patience(d time.Duration) error {
	if err := s.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	return s.ctx.Err()
}

// other handles every packet but PUBLISH.
func (s *session) other(h header) error {
	packet, err := decode(s.version, h, s.body)
	if err != nil {
		return err
	}
	switch p := packet.(type) {
	case *ping:
		return s.answer(answer{packet: appendPingresp(nil)})
	case *subscribe:
		return s.subscribe(p)
	case *unsubscribe:
		return s.unsubscribe(p)
	case *puback:
		s.mu.Lock()
		arrived := s.waiting[p.id]
		delete(s.waiting, p.id)
		s.mu.Unlock()
		if arrived != nil {
			close(arrived)
		}
		return nil
	case *disconnect:
		if p.withWill {
			return io.EOF
		}
		return errGoodbye
	}
	return outOfPlace(h)
}
