// Package load is a lean MQTT client and a rig that drives many of them: the
// smallest work that makes a real device door work hard. It speaks raw packets
// over mutual TLS, keeps a window of QoS 1 messages under way on each
// connection, and times every acknowledgement.
//
// It checks what it is told: an acknowledgement out of order, twice, or with an
// error code is an error. It is no general client: it sends what the caller
// gives it. Who controls it controls the traffic of the simulated devices.
package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// The protocol versions.
const (
	MQTT311 byte = 4
	MQTT5   byte = 5
)

// Client is one connection that has been let in.
type Client struct {
	conn net.Conn
	r    *bufio.Reader
	v    byte
}

// Refused is a CONNACK with a code other than success.
type Refused struct{ Code byte }

func (r *Refused) Error() string {
	return fmt.Sprintf("the door refused the connection: 0x%02x", r.Code)
}

// Dial connects and is let in.
func Dial(ctx context.Context, address string, config *tls.Config, version byte) (*Client, error) {
	d := tls.Dialer{Config: config}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := &Client{conn: conn, r: bufio.NewReaderSize(conn, 4096), v: version}
	if err := c.connect(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

func (c *Client) connect(ctx context.Context) error {
	if t, ok := ctx.Deadline(); ok {
		_ = c.conn.SetDeadline(t)
		defer func() { _ = c.conn.SetDeadline(time.Time{}) }()
	}
	body := append([]byte{0, 4, 'M', 'Q', 'T', 'T', c.v, 2}, 0, 60)
	if c.v == MQTT5 {
		body = append(body, 0)
	}
	body = append(body, 0, 0) // no client identifier: the certificate says who
	if _, err := c.conn.Write(append([]byte{0x10, byte(len(body))}, body...)); err != nil {
		return err
	}
	kind, answer, err := c.Read()
	if err != nil {
		return err
	}
	if kind != 0x20 || len(answer) < 2 {
		return fmt.Errorf("packet 0x%02x instead of CONNACK", kind)
	}
	if answer[1] != 0 {
		return &Refused{answer[1]}
	}
	return nil
}

// Read reads a packet: its first byte and its body.
func (c *Client) Read() (kind byte, body []byte, err error) {
	if kind, err = c.r.ReadByte(); err != nil {
		return 0, nil, err
	}
	n := 0
	for shift := 0; ; shift += 7 {
		b, err := c.r.ReadByte()
		if err != nil {
			return 0, nil, err
		}
		n |= int(b&0x7F) << shift
		if b&0x80 == 0 {
			break
		}
	}
	body = make([]byte, n)
	_, err = io.ReadFull(c.r, body)
	return kind, body, err
}

// Write writes raw packets.
func (c *Client) Write(packets []byte) error {
	_, err := c.conn.Write(packets)
	return err
}

// Conn is the connection underneath.
func (c *Client) Conn() net.Conn { return c.conn }

// Close says goodbye and closes.
func (c *Client) Close() error {
	_, err := c.conn.Write([]byte{0xE0, 0})
	return errors.Join(err, c.conn.Close())
}

// AppendPublish appends a PUBLISH packet to buf; with QoS 0 the identifier is left out.
func (c *Client) AppendPublish(buf []byte, topic string, id uint16, qos byte, payload []byte) []byte {
	n := 2 + len(topic) + len(payload)
	if qos > 0 {
		n += 2
	}
	if c.v == MQTT5 {
		n++
	}
	buf = append(buf, 0x30|qos<<1)
	for {
		b := byte(n & 0x7F)
		if n >>= 7; n > 0 {
			buf = append(buf, b|0x80)
			continue
		}
		buf = append(buf, b)
		break
	}
	buf = binary.BigEndian.AppendUint16(buf, uint16(len(topic))) // #nosec G115 -- topics are short
	buf = append(buf, topic...)
	if qos > 0 {
		buf = binary.BigEndian.AppendUint16(buf, id)
	}
	if c.v == MQTT5 {
		buf = append(buf, 0)
	}
	return append(buf, payload...)
}

// Publish sends one QoS 1 message and waits for its PUBACK; the code is that of the PUBACK.
func (c *Client) Publish(topic string, id uint16, payload []byte) (code byte, err error) {
	if err := c.Write(c.AppendPublish(nil, topic, id, 1, payload)); err != nil {
		return 0, err
	}
	kind, body, err := c.Read()
	if err != nil {
		return 0, err
	}
	if kind != 0x40 || len(body) < 2 || binary.BigEndian.Uint16(body) != id {
		return 0, fmt.Errorf("packet 0x%02x % x instead of PUBACK %d", kind, body, id)
	}
	if len(body) > 2 {
		code = body[2]
	}
	return code, nil
}

// Job is what a rig's client does.
type Job struct {
	Topic   string
	Window  int                                      // messages under way at once, at most 65534
	Every   time.Duration                            // from one message to the next; 0: as fast as the window lets
	Payload func(buf []byte, n int) (payload []byte) // the n-th message, appended to buf, without waiting; nil ends the job
}

// due is when a message is due. A rig that falls behind sends at once, and
// its messages count as late from when they were due: a stalled door is not
// flattered by a generator that waits for it.
func (j Job) due(start time.Time, n int) time.Time { return start.Add(time.Duration(n) * j.Every) }

// Result of a rig or one client of it.
type Result struct {
	Messages int
	Elapsed  time.Duration
	acks     []time.Duration // sorted
}

// Rate is acknowledged messages a second.
func (r Result) Rate() float64 { return float64(r.Messages) / r.Elapsed.Seconds() }

// Ack is a quantile of the time from sending to acknowledgement.
func (r Result) Ack(quantile float64) time.Duration {
	if len(r.acks) == 0 {
		return 0
	}
	return r.acks[min(int(quantile*float64(len(r.acks))), len(r.acks)-1)]
}

// Run does a job on one connection until its payloads end and all are acknowledged.
func (c *Client) Run(job Job) (Result, error) {
	if job.Window < 1 || job.Window > 65534 {
		return Result{}, fmt.Errorf("window of %d messages", job.Window)
	}
	start := time.Now()
	sent := make(chan time.Time, job.Window) // in order; its room is the window
	var wait sync.WaitGroup
	var writeErr error
	wait.Go(func() {
		defer close(sent)
		writeErr = c.pump(job, sent)
	})
	var r Result
	var readErr error
	id := uint16(0)
	var b [4]byte
	for at := range sent {
		if id++; id == 0 {
			id = 1
		}
		if _, err := io.ReadFull(c.r, b[:]); err != nil {
			readErr = err
			break
		}
		if b[0] != 0x40 || b[1] != 2 || binary.BigEndian.Uint16(b[2:]) != id {
			readErr = fmt.Errorf("% x instead of PUBACK %d", b, id)
			break
		}
		r.acks = append(r.acks, time.Since(at))
		r.Messages++
	}
	if readErr != nil {
		_ = c.conn.Close()
		for range sent { // the writer is not to hang
		}
	}
	wait.Wait()
	r.Elapsed = time.Since(start)
	slices.Sort(r.acks)
	return r, errors.Join(readErr, writeErr)
}

// pump writes messages as the window lets it, several in one write when it can.
func (c *Client) pump(job Job, sent chan<- time.Time) error {
	var buf, payload []byte
	id := uint16(0)
	start := time.Now()
	for n := 0; ; n++ {
		if payload = job.Payload(payload[:0], n); payload == nil {
			break
		}
		if id++; id == 0 {
			id = 1
		}
		at := time.Now()
		early := false
		if job.Every > 0 {
			early = at.Before(job.due(start, n))
			at = job.due(start, n)
		}
		if early || len(sent) == cap(sent) || len(buf) > 4<<10 {
			if len(buf) > 0 {
				if err := c.Write(buf); err != nil {
					return err
				}
			}
			buf = buf[:0]
		}
		if early {
			time.Sleep(time.Until(at))
		}
		buf = c.AppendPublish(buf, job.Topic, id, 1, payload)
		sent <- at
	}
	if len(buf) == 0 {
		return nil
	}
	return c.Write(buf)
}

// Together runs a job for each client at once and merges the results.
func Together(clients []*Client, job func(i int) Job) (Result, error) {
	results, errs := make([]Result, len(clients)), make([]error, len(clients))
	start := time.Now()
	var wait sync.WaitGroup
	for i, c := range clients {
		wait.Go(func() { results[i], errs[i] = c.Run(job(i)) })
	}
	wait.Wait()
	all := Result{Elapsed: time.Since(start)}
	for _, r := range results {
		all.Messages += r.Messages
		all.acks = append(all.acks, r.acks...)
	}
	slices.Sort(all.acks)
	return all, errors.Join(errs...)
}

// CPU is the processor time this process has used, which on a shared machine
// says more than the clock on the wall.
func CPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
