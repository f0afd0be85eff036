package mqtt_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/door/mqtt"
	"github.com/qanat-water/qanat/internal/fleet/device/devicetest"
	"github.com/qanat-water/qanat/internal/fleet/refusal"
	"github.com/qanat-water/qanat/internal/sim/load"
)

const (
	connect5 = "\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00"
	connect3 = "\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"
)

// raw opens a TLS connection without saying anything.
func (w *world) raw(c devicetest.Credentials) *tls.Conn {
	w.t.Helper()
	conn, err := tls.Dial("tcp", w.Address, w.config(c))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// last sends bytes and reads all until the connection ends.
func last(t *testing.T, conn net.Conn, send string, within time.Duration) string {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(within))
	if _, err := io.WriteString(conn, send); err != nil {
		t.Logf("write: %v", err)
	}
	answer, err := io.ReadAll(conn)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("the connection was not ended within %s; it said % x", within, answer)
	}
	return string(answer)
}

func TestBeforeConnect(t *testing.T) {
	w := newWorld(t, func(c *mqtt.Config) { c.Opening = 300 * time.Millisecond })
	c := w.Claim("SN-1")
	for _, h := range []struct {
		name, send, answer string
		want               refusal.Reason
	}{
		{"silence", "", "", refusal.Slow},
		{"half a CONNECT", connect5[:9], "", refusal.Slow},
		{"a length that never comes", "\x10\xff\x7f\x00\x04MQTT", "", refusal.Slow},
		{"longer than the limit", "\x10\x81\x80\x04", "", refusal.Malformed},
		{"a length of five bytes", "\x10\xff\xff\xff\xff\x01", "", refusal.Malformed},
		{"not CONNECT first", "\x30\x05\x00\x01a12", "", refusal.Malformed},
		{"a string longer than the packet", "\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\xff\xff", "", refusal.Malformed},
		{"a string longer than the packet in 3.1.1", "\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\xff\xff", "", refusal.Malformed},
		{"properties longer than the packet", "\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x7f\x00\x00", "", refusal.Malformed},
		{"bytes left over", "\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00\x00", "", refusal.Malformed},
		{"version 3.1", "\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00", "\x20\x02\x00\x01", refusal.Malformed},
		{"version 6", "\x10\x0d\x00\x04MQTT\x06\x02\x00\x3c\x00\x00\x00", "\x20\x02\x00\x01", refusal.Malformed},
		{"reserved flag", "\x10\x0d\x00\x04MQTT\x05\x03\x00\x3c\x00\x00\x00", "", refusal.Malformed},
		{"HTTP", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "", refusal.Malformed},
		{"3.1.1 without client identifier or clean session", "\x10\x0c\x00\x04MQTT\x04\x00\x00\x3c\x00\x00", "\x20\x02\x00\x02", refusal.Malformed},
		{"enhanced authentication", "\x10\x11\x00\x04MQTT\x05\x02\x00\x3c\x04\x15\x00\x01x\x00\x00", "\x20*\x8c", refusal.Malformed},
		{"will on a foreign topic", "\x10\x15\x00\x04MQTT\x05\x06\x00\x3c\x00\x00\x00\x00\x00\x01x\x00\x02{}", "\x20*\x87", refusal.Malformed},
		{"will to be retained", "\x10\x1c\x00\x04MQTT\x05\x26\x00\x3c\x00\x00\x00\x00\x00\x08up/state\x00\x02{}", "\x20*\x9a", refusal.Malformed},
	} {
		answer := last(t, w.raw(c), h.send, 3*time.Second)
		if h.name == "will to be retained" && len(h.send) != 0x1c+2 {
			t.Fatalf("test packet has %d bytes", len(h.send)-2)
		}
		if first, code, some := strings.Cut(h.answer, "*"); some {
			if len(answer) < 4 || answer[:1] != first || answer[3:4] != code {
				t.Errorf("%s: answer % x, want CONNACK % x", h.name, answer, code)
			}
		} else if answer != h.answer {
			t.Errorf("%s: answer % x, want % x", h.name, answer, h.answer)
		}
		if err := w.Refusals.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	w.refused("", refusal.Slow, refusal.Malformed)

	plain, err := net.Dial("tcp", w.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	_ = plain.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := io.ReadAll(plain); err != nil {
		t.Errorf("a client that does not begin the handshake: %v", err)
	}
	last(t, plain, "", time.Second)
}

func TestAfterConnect(t *testing.T) {
	w := newWorld(t, func(c *mqtt.Config) { c.PacketTime = 300 * time.Millisecond })
	c := w.Claim("SN-1")
	const readings = "\x00\x0bup/readings"
	for _, h := range []struct {
		name, send string
		code       byte // of DISCONNECT in version 5
		three      bool // the same bytes mean the same in 3.1.1
	}{
		{"half a packet", "\x32\x30" + readings, 0x8D, true},
		{"a topic longer than the packet", "\x32\x05\x00\xff\x00\x01\x00", 0x81, true},
		{"a packet longer than the limit", "\x32\xff\xff\xff\x7f", 0x95, true},
		{"QoS 3", "\x36\x05\x00\x01a\x00\x01", 0x81, true},
		{"QoS 2", "\x34\x12" + readings + "\x00\x01\x00{}", 0x9B, true},
		{"retain", "\x33\x12" + readings + "\x00\x01\x00{}", 0x9A, true},
		{"packet identifier 0", "\x32\x12" + readings + "\x00\x00\x00{}", 0x82, true},
		{"topic alias", "\x32\x15" + readings + "\x00\x01\x03\x23\x00\x01{}", 0x94, false},
		{"a property that does not belong", "\x32\x14" + readings + "\x00\x01\x02\x24\x01{}", 0x81, false},
		{"wildcard in a topic", "\x32\x0b\x00\x04up/#\x00\x01\x00{}", 0x90, true},
		{"empty topic", "\x32\x07\x00\x00\x00\x01\x00{}", 0x82, true},
		{"NUL in a topic", "\x32\x08\x00\x01\x00\x00\x01\x00{}", 0x81, true},
		{"a topic that is not UTF-8", "\x32\x08\x00\x01\xff\x00\x01\x00{}", 0x81, true},
		{"a foreign topic with QoS 0", "\x30\x06\x00\x01x\x00{}", 0x87, true},
		{"another device's topic with QoS 0", "\x30\x17\x00\x12devices/1/up/state\x00{}", 0x87, true},
		{"CONNECT again", connect5, 0x82, true},
		{"CONNACK", "\x20\x02\x00\x00", 0x82, true},
		{"packet type 0", "\x00\x00", 0x82, true},
		{"reserved flags", "\xc1\x00", 0x81, true},
		{"PUBREL", "\x62\x02\x00\x01", 0x82, true},
		{"AUTH", "\xf0\x00", 0x82, true},
		{"SUBSCRIBE without a filter", "\x82\x03\x00\x01\x00", 0x82, false},
		{"shared subscription", "\x82\x14\x00\x01\x00\x00\x0e$share/g/down/\x01", 0x9E, false},
		{"subscription identifier", "\x82\x0e\x00\x01\x02\x0b\x01\x00\x06down/#\x01", 0xA1, false},
		{"a property twice", "\x82\x10\x00\x01\x04\x0b\x01\x0b\x01\x00\x06down/#\x01", 0x82, false},
	} {
		for name, version := range versions {
			if version == load.MQTT311 && !h.three {
				continue
			}
			client := w.dial(c, version)
			if err := client.Write([]byte(h.send)); err != nil {
				t.Fatal(err)
			}
			want := h.code
			if version == load.MQTT311 {
				want = 0 // a 3.1.1 server has no DISCONNECT
			}
			if code := ended(t, client, 3*time.Second); code != want {
				t.Errorf("%s in %s: DISCONNECT 0x%02x, want 0x%02x", h.name, name, code, want)
			}
		}
	}
	w.refused(devicetest.Org, refusal.Malformed, refusal.Slow, refusal.Topic)
	if latest, err := w.Readings.Latest(ctx, c.Device); err != nil || len(latest) > 0 {
		t.Errorf("something was stored: %v (%v)", latest, err)
	}
}

func TestBadMessagesAreNamedAndKept(t *testing.T) {
	w := newWorld(t)
	for name, version := range versions {
		c := w.Claim("SN-" + name)
		client := w.dial(c, version)
		future := `{"ts":99999999999999,"values":{"flow":1}}`
		for i, m := range []struct {
			topic, payload string
			code           byte
		}{
			{"up/readings", "not JSON", 0x99},
			{"up/readings", future, 0x99},
			{"up/state", "[1]", 0x99},
			{"up/readings", `{"values":{"flow":1}}`, 0},
		} {
			code, err := client.Publish(m.topic, uint16(i+1), []byte(m.payload))
			if version == load.MQTT311 {
				m.code = 0 // 3.1.1 cannot say no
			}
			if err != nil || code != m.code {
				t.Errorf("%s %s: PUBACK 0x%02x (%v), want 0x%02x", name, m.payload, code, err, m.code)
			}
		}
		if err := w.Refusals.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		kept, err := w.Devices.Messages(ctx, devicetest.Admin, c.Device)
		if err != nil || len(kept) != 3 {
			t.Fatalf("%s: kept %+v (%v), want 3", name, kept, err)
		}
		if m := kept[1]; string(m.Payload) != future || !strings.Contains(m.Reason, "/ts") || !strings.Contains(m.Reason, "clock") {
			t.Errorf("%s: kept %q because %q; the reason should name /ts and the clock", name, m.Payload, m.Reason)
		}
		if n, err := w.Readings.Count(ctx, c.Device); n != 1 || err != nil {
			t.Errorf("%s: %d rows (%v), want 1", name, n, err)
		}
	}
	w.refused(devicetest.Org, refusal.Payload, refusal.Payload)

	// A wrong topic with QoS 1: version 5 is told, the connection goes on.
	c := w.Claim("SN-3")
	client := w.dial(c, load.MQTT5)
	if code, err := client.Publish("devices/another/up/readings", 1, []byte(`{"values":{"flow":1}}`)); err != nil || code != 0x87 {
		t.Errorf("another device's topic: 0x%02x (%v)", code, err)
	}
	if code, err := client.Publish("up/readings", 2, []byte(`{"values":{"flow":1}}`)); err != nil || code != 0 {
		t.Errorf("after it: 0x%02x (%v)", code, err)
	}
	w.refused(devicetest.Org, refusal.Topic)
}

func TestWills(t *testing.T) {
	w := newWorld(t)
	c := w.Claim("SN-1")
	const connect = "\x10\x1c\x00\x04MQTT\x05\x06\x00\x3c\x00\x00\x00\x00\x00\x08up/state\x00\x02{}"
	said := func() int {
		t.Helper()
		if err := w.Readings.Add(ctx, readingBarrier(t, w, c)); err != nil { // the will is in a commit before this one
			t.Fatal(err)
		}
		s, err := w.Readings.States(ctx, c.Device, "state", 10)
		if err != nil {
			t.Fatal(err)
		}
		return len(s)
	}
	gone := func() {
		for range 200 {
			if _, ok := w.Door.Connected(c.Device); !ok {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(400 * time.Millisecond) // lingering included
	}
	conn := w.raw(c)
	_, _ = io.WriteString(conn, connect)
	_, _ = io.ReadFull(conn, make([]byte, 5))
	_, _ = io.WriteString(conn, "\xe0\x00")
	gone()
	if n := said(); n != 0 {
		t.Errorf("%d wills stored after a goodbye", n)
	}
	conn = w.raw(c)
	_, _ = io.WriteString(conn, connect)
	_, _ = io.ReadFull(conn, make([]byte, 5))
	_ = conn.NetConn().Close()
	gone()
	if n := said(); n != 1 {
		t.Errorf("%d wills stored after the connection broke, want 1", n)
	}
}

func TestSlowReadersAndCrowds(t *testing.T) {
	w := newWorld(t, func(c *mqtt.Config) { c.PerAddress, c.WriteTime, c.Rate, c.Burst = 3, 300*time.Millisecond, 1e6, 1e6 })
	c := w.Claim("SN-1")

	// A client that never reads its answers holds its own connection only.
	deaf := w.raw(c)
	_ = deaf.NetConn().(*net.TCPConn).SetReadBuffer(1)
	_, _ = io.WriteString(deaf, connect3)
	pings := strings.Repeat("\xc0\x00", 8000)
	_ = deaf.SetWriteDeadline(time.Now().Add(20 * time.Second))
	ended := false
	for range 2000 {
		if _, err := io.WriteString(deaf, pings); err != nil {
			ended = true
			break
		}
	}
	if !ended {
		t.Error("a client that does not read was written to for ever")
	}

	var held []net.Conn
	for range 6 {
		conn, err := net.Dial("tcp", w.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		held = append(held, conn)
	}
	_ = held[5].SetReadDeadline(time.Now().Add(2 * time.Second))
	if _, err := held[5].Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the sixth connection of an address: %v", err)
	}
	w.refused("", refusal.Crowded)
}

func TestMemoryStaysFlatBeforeConnect(t *testing.T) {
	w := newWorld(t)
	c := w.Claim("SN-1")
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	const clients = 100
	for range clients { // each announces the longest packet and sends nothing of it
		conn := w.raw(c)
		_, _ = io.WriteString(conn, "\x10\xff\xff\x03")
	}
	time.Sleep(100 * time.Millisecond)
	if grown := int64(heap()) - int64(before); grown > clients*100<<10 { // both ends of a TLS connection
		t.Errorf("%d bytes for each connection that announced 64 KiB", grown/clients)
	}
}

func TestIdleConnectionsEnd(t *testing.T) {
	w := newWorld(t, func(c *mqtt.Config) { c.Idle = 400 * time.Millisecond })
	client := w.dial(w.Claim("SN-1"), load.MQTT5)
	if code := ended(t, client, 2*time.Second); code != 0x8D {
		t.Errorf("ended with 0x%02x, want 0x8d", code)
	}
}
