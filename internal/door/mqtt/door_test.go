package mqtt_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/clock"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/door/mqtt"
	"github.com/qanat-water/qanat/internal/fleet/device/devicetest"
	"github.com/qanat-water/qanat/internal/fleet/reading"
	"github.com/qanat-water/qanat/internal/fleet/refusal"
	"github.com/qanat-water/qanat/internal/sim/load"
)

var ctx = context.Background()

// world is a fleet behind an open door.
type world struct {
	*devicetest.Fleet
	t       testing.TB
	Door    *mqtt.Door
	Address string
}

func newWorld(t testing.TB, change ...func(*mqtt.Config)) *world {
	return newWorldOver(t, storetest.SQLite(t)(), reading.Config{}, change...)
}

func newWorldOver(t testing.TB, db *store.Store, readings reading.Config, change ...func(*mqtt.Config)) *world {
	t.Helper()
	w := &world{Fleet: devicetest.NewWith(t, db, clock.System, readings), t: t}
	c := mqtt.Config{Devices: w.Devices, Readings: w.Readings, Refusals: w.Refusals, Certificate: w.CA.Doors().GetCertificate}
	for _, f := range change {
		f(&c)
	}
	w.Door = mqtt.New(c)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.Address = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- w.Door.Serve(l) }()
	t.Cleanup(func() {
		w.Door.Close()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return w
}

// config is what a device connects with.
func (w *world) config(c devicetest.Credentials) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(w.CA.DoorRoot()))
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{c.TLS}, ServerName: "localhost", MinVersion: tls.VersionTLS12}
}

func (w *world) dial(c devicetest.Credentials, version byte) *load.Client {
	w.t.Helper()
	client, err := w.try(c, version)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = client.Close() })
	return client
}

func (w *world) try(c devicetest.Credentials, version byte) (*load.Client, error) {
	deadline, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return load.Dial(deadline, w.Address, w.config(c), version)
}

// refused waits until the given refusals have been counted for an organization.
func (w *world) refused(org string, want ...refusal.Reason) {
	w.t.Helper()
	deadline := time.Now().Add(3 * time.Second)
	for {
		if err := w.Refusals.Flush(ctx); err != nil {
			w.t.Fatal(err)
		}
		rows, err := w.Refusals.List(ctx, org, 100)
		if err != nil {
			w.t.Fatal(err)
		}
		have := map[refusal.Reason]int64{}
		for _, r := range rows {
			have[r.Reason] += r.Count
			if r.Address == "" {
				w.t.Errorf("a refusal without an address: %+v", r)
			}
		}
		missing := ""
		for _, reason := range want {
			if have[reason]--; have[reason] < 0 {
				missing += " " + string(reason)
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("refusals not counted:%s; there are %+v", missing, rows)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// ended reads until the connection ends and gives the code of a DISCONNECT, 0 without one.
func ended(t testing.TB, c *load.Client, within time.Duration) (code byte) {
	t.Helper()
	_ = c.Conn().SetReadDeadline(time.Now().Add(within))
	for {
		kind, body, err := c.Read()
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Fatalf("the connection was not ended within %s", within)
		}
		if err != nil {
			return code
		}
		if kind == 0xE0 && len(body) > 0 {
			code = body[0]
		}
	}
}

var versions = map[string]byte{"3.1.1": load.MQTT311, "5": load.MQTT5}

func TestReadingsComeIn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := newWorldOver(t, open(), reading.Config{})
		for name, version := range versions {
			c := w.Claim("SN-" + name)
			client := w.dial(c, version)
			now := time.Now().UnixMilli()
			for i, topic := range []string{"up/readings", "devices/" + c.Device + "/up/readings"} {
				code, err := client.Publish(topic, uint16(i+1), fmt.Appendf(nil, `{"ts":%d,"values":{"flow":%d.5,"level":2}}`, now-int64(i)*1000, i))
				if err != nil || code != 0 {
					t.Fatalf("%s %s: code 0x%02x (%v)", name, topic, code, err)
				}
			}
			// Acknowledged is stored: it is there at once.
			latest, err := w.Readings.Latest(ctx, c.Device)
			if err != nil || fmt.Sprint(latest) != fmt.Sprintf("[{flow  %d 0.5} {level  %d 2}]", now, now) {
				t.Errorf("%s: latest %v (%v)", name, latest, err)
			}
			if n, err := w.Readings.Count(ctx, c.Device); n != 4 || err != nil {
				t.Errorf("%s: %d rows (%v), want 4", name, n, err)
			}
			if code, err := client.Publish("up/state", 9, []byte(`{"battery":87}`)); err != nil || code != 0 {
				t.Errorf("%s: state: 0x%02x (%v)", name, code, err)
			}
			if said, err := w.Readings.States(ctx, c.Device, "state", 10); err != nil || len(said) != 1 || said[0].Body != `{"battery":87}` {
				t.Errorf("%s: states %+v (%v)", name, said, err)
			}
			if at, ok := w.Door.Connected(c.Device); !ok || at.Version != name || at.Address != "127.0.0.1" {
				t.Errorf("%s: connected %+v %v", name, at, ok)
			}
		}
	})
}

func TestManyUnderWay(t *testing.T) {
	w := newWorld(t, func(c *mqtt.Config) { c.Rate, c.Burst = 1e6, 1e6 })
	for name, version := range versions {
		c := w.Claim("SN-" + name)
		now := time.Now().UnixMilli()
		r, err := w.dial(c, version).Run(load.Job{Topic: "up/readings", Window: 90, Payload: func(buf []byte, n int) []byte {
			if n == 5000 {
				return nil
			}
			return fmt.Appendf(buf, `{"ts":%d,"values":{"a":%d}}`, now-int64(n), n)
		}})
		if err != nil || r.Messages != 5000 {
			t.Fatalf("%s: %d acknowledged in order (%v)", name, r.Messages, err)
		}
		if n, err := w.Readings.Count(ctx, c.Device); n != 5000 || err != nil {
			t.Errorf("%s: %d rows (%v), want 5000", name, n, err)
		}
	}
}

func TestRefusalsAreToldApart(t *testing.T) {
	w := newWorld(t)
	good := w.Claim("SN-1")
	stranger := newWorld(t).Claim("SN-1")
	revoked := w.Claim("SN-2")
	if _, err := w.Devices.Revoke(ctx, devicetest.Admin, revoked.Device, "stolen"); err != nil {
		t.Fatal(err)
	}
	csr, key := devicetest.Request(t)
	forged := func(id, org string) devicetest.Credentials {
		leaf := devicetest.Issue(t, w.Fleet, csr, id, org)
		return devicetest.Credentials{TLS: tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}}
	}
	const other = "0190a000-0000-7000-8000-0000000000bb"
	for _, c := range []struct {
		name string
		c    devicetest.Credentials
		org  string
		want refusal.Reason
		code byte // of CONNACK in version 5; 0: refused in the handshake
	}{
		{"no certificate", devicetest.Credentials{}, "", refusal.NoCertificate, 0},
		{"unknown authority", stranger, "", refusal.UnknownCA, 0},
		{"not on record", forged(good.Device, devicetest.Org), devicetest.Org, refusal.Unclaimed, 0x87},
		{"revoked", revoked, devicetest.Org, refusal.Revoked, 0x87},
		{"wrong organization", forged(good.Device, other), other, refusal.WrongOrganization, 0x87},
	} {
		_, err := w.try(c.c, load.MQTT5)
		var refused *load.Refused
		if err == nil || errors.As(err, &refused) != (c.code != 0) || refused != nil && refused.Code != c.code {
			t.Errorf("%s: got %v, want CONNACK 0x%02x", c.name, err, c.code)
		}
		w.refused(c.org, c.want)
		if _, err := w.try(c.c, load.MQTT311); c.code != 0 && (!errors.As(err, &refused) || refused.Code != 5) {
			t.Errorf("%s in 3.1.1: got %v, want return code 5", c.name, err)
		}
	}
	if _, err := w.try(good, load.MQTT5); err != nil {
		t.Errorf("good: %v", err)
	}
}

func TestRevocationEndsTheSession(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := newWorldOver(t, open(), reading.Config{})
		for name, version := range versions {
			c := w.Claim("SN-" + name)
			client := w.dial(c, version)
			start := time.Now()
			if _, err := w.Devices.Revoke(ctx, devicetest.Admin, c.Device, "stolen"); err != nil {
				t.Fatal(err)
			}
			code := ended(t, client, time.Second)
			if want := map[byte]byte{load.MQTT5: 0x87}[version]; code != want {
				t.Errorf("%s: ended with 0x%02x, want 0x%02x", name, code, want)
			}
			t.Logf("%s: ended after %s", name, time.Since(start))
			if _, err := w.try(c, version); err == nil {
				t.Errorf("%s: came back after the revocation", name)
			}
		}
		w.refused(devicetest.Org, refusal.Revoked, refusal.Revoked, refusal.Revoked, refusal.Revoked)
	})
}

func TestTheNewerConnectionTakesOver(t *testing.T) {
	w := newWorld(t)
	c := w.Claim("SN-1")
	first := w.dial(c, load.MQTT5)
	second := w.dial(c, load.MQTT5)
	if code := ended(t, first, time.Second); code != 0x8E {
		t.Errorf("the first ended with 0x%02x, want 0x8e", code)
	}
	if code, err := second.Publish("up/readings", 1, []byte(`{"values":{"a":1}}`)); err != nil || code != 0 {
		t.Errorf("the second: 0x%02x (%v)", code, err)
	}
	// From another address: loopback has many.
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	raw, err := d.Dial("tcp", w.Address)
	if err != nil {
		t.Skipf("no second loopback address: %v", err)
	}
	third := tls.Client(raw, w.config(c))
	defer third.Close()
	if _, err := third.Write([]byte("\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00")); err != nil {
		t.Fatal(err)
	}
	if code := ended(t, second, time.Second); code != 0x8E {
		t.Errorf("the second ended with 0x%02x, want 0x8e", code)
	}
	w.refused(devicetest.Org, refusal.TwoPlaces)
	rows, _ := w.Refusals.List(ctx, devicetest.Org, 10)
	if len(rows) != 1 || rows[0].Device != c.Device {
		t.Errorf("taking over from the same address counts too: %+v", rows)
	}
}

func TestFullPoolStopsTheSocket(t *testing.T) {
	db := storetest.SQLite(t)()
	w := newWorldOver(t, db, reading.Config{Pending: 200}, func(c *mqtt.Config) { c.Rate, c.Burst = 1e6, 1e6 })
	c := w.Claim("SN-1")
	client := w.dial(c, load.MQTT311)
	if _, err := client.Publish("up/readings", 1, []byte(`{"values":{"a":2}}`)); err != nil {
		t.Fatal(err)
	}
	release, held := make(chan struct{}), make(chan struct{})
	go func() {
		_ = db.Write(ctx, func(*store.Q) error { close(held); <-release; return nil })
	}()
	<-held
	// Far more than pool, door and sockets hold together.
	done := make(chan load.Result)
	go func() {
		const messages = 50_000
		now := time.Now().UnixMilli()
		r, err := client.Run(load.Job{Topic: "up/readings", Window: 40_000, Payload: func(buf []byte, n int) []byte {
			if n == messages {
				return nil
			}
			return fmt.Appendf(buf, `{"ts":%d,"values":{"a":1}}`, now-int64(n))
		}})
		if err != nil {
			t.Errorf("after the stop: %v", err)
		}
		done <- r
	}()
	var before int64
	for range 100 { // until nothing moves any more
		time.Sleep(50 * time.Millisecond)
		if now := w.Door.Metrics().Messages; now == before && now > 1 {
			break
		} else {
			before = now
		}
	}
	if before > 1000 {
		t.Errorf("%d messages were read while nothing could be stored; the pool holds 200", before)
	}
	close(release)
	r := <-done
	if n, err := w.Readings.Count(ctx, c.Device); err != nil || n != 50_001 || r.Messages != 50_000 {
		t.Errorf("%d rows and %d acknowledgements (%v) for 50,001 messages", n, r.Messages, err)
	}
}

func TestAGreedyDeviceIsSlowedAlone(t *testing.T) {
	w := newWorld(t, func(c *mqtt.Config) { c.Rate, c.Burst = 20, 5 })
	greedy, modest := w.dial(w.Claim("SN-1"), load.MQTT5), w.dial(w.Claim("SN-2"), load.MQTT5)
	done := make(chan load.Result)
	go func() {
		r, err := greedy.Run(load.Job{Topic: "up/readings", Window: 30, Payload: func(buf []byte, n int) []byte {
			if n == 20 {
				return nil
			}
			return append(buf, `{"values":{"a":1}}`...)
		}})
		if err != nil {
			t.Error(err)
		}
		done <- r
	}()
	for i := range 3 {
		start := time.Now()
		if _, err := modest.Publish("up/readings", uint16(i+1), []byte(`{"values":{"a":1}}`)); err != nil || time.Since(start) > 300*time.Millisecond {
			t.Errorf("the modest device waited %s (%v)", time.Since(start), err)
		}
	}
	if r := <-done; r.Elapsed < 600*time.Millisecond {
		t.Errorf("20 messages went through in %s at 20 a second after 5", r.Elapsed)
	}
}

func TestSending(t *testing.T) {
	w := newWorld(t)
	for name, version := range versions {
		c := w.Claim("SN-" + name)
		client := w.dial(c, version)
		if err := w.Door.Send(ctx, c.Device, "valve", []byte("x")); err == nil {
			t.Errorf("%s: delivered without a subscription", name)
		}
		filter := "down/#"
		packet := []byte{0x82, byte(2 + 2 + len(filter) + 1), 0, 7}
		if version == load.MQTT5 {
			packet[1]++
			packet = append(packet, 0)
		}
		packet = append(packet, 0, byte(len(filter)))
		packet = append(append(packet, filter...), 1)
		if err := client.Write(packet); err != nil {
			t.Fatal(err)
		}
		if kind, body, err := client.Read(); err != nil || kind != 0x90 || body[len(body)-1] != 1 {
			t.Fatalf("%s: SUBACK 0x%02x % x (%v)", name, kind, body, err)
		}
		sent := make(chan error)
		go func() { sent <- w.Door.Send(ctx, c.Device, "valve", []byte(`{"open":true}`)) }()
		kind, body, err := client.Read()
		if err != nil || kind != 0x32 || string(body[2:12]) != "down/valve" {
			t.Fatalf("%s: got 0x%02x %q (%v)", name, kind, body, err)
		}
		select {
		case err := <-sent:
			t.Errorf("%s: sent before the PUBACK (%v)", name, err)
		case <-time.After(20 * time.Millisecond):
		}
		if err := client.Write([]byte{0x40, 2, body[12], body[13]}); err != nil {
			t.Fatal(err)
		}
		if err := <-sent; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClosingAcknowledgesWhatIsStored(t *testing.T) {
	w := newWorld(t)
	client := w.dial(w.Claim("SN-1"), load.MQTT5)
	w.Door.Close()
	if code := ended(t, client, 2*time.Second); code != 0x8B {
		t.Errorf("ended with 0x%02x, want 0x8b", code)
	}
	if _, err := w.try(w.Claim("SN-2"), load.MQTT5); err == nil {
		t.Error("came in after the close")
	}
}

// BenchmarkDoor is the whole path: devices with certificates over mutual TLS on
// loopback, three readings a message, QoS 1, into the encrypted SQLite database
// with full sync; the load generator runs in the same process on the same cores.
// Its baseline is a commit for each message.
func BenchmarkDoor(b *testing.B) {
	for _, c := range []struct {
		name            string
		devices, window int
		pending         int
		version         byte
		rate            int // messages a second in all; 0: as many as go
	}{
		{"each", 100, 20, 1, load.MQTT5, 0}, // a pool with room for one message: a commit for each
		{"shared/devices=100", 100, 20, 0, load.MQTT5, 0},
		{"shared/devices=100/v311", 100, 20, 0, load.MQTT311, 0},
		{"shared/devices=1000", 1000, 2, 0, load.MQTT5, 0},
		{"paced=12000/devices=500", 500, 90, 0, load.MQTT5, 12_000},
	} {
		b.Run(c.name, func(b *testing.B) {
			db, err := store.OpenSQLite(ctx, filepath.Join(b.TempDir(), "db"), storetest.Key)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { db.Close() })
			w := newWorldOver(b, db, reading.Config{Pending: c.pending}, func(m *mqtt.Config) { m.Rate, m.Burst, m.PerAddress = 1e9, 1e9, 5000 })
			clients := make([]*load.Client, c.devices)
			for i := range clients {
				clients[i] = w.dial(w.Claim(fmt.Sprintf("SN-%d", i)), c.version)
			}
			base := time.Now().Add(-30 * 24 * time.Hour).UnixMilli()
			for _, client := range clients { // the first reading of a channel also writes the device's document
				if _, err := client.Publish("up/readings", 1, []byte(`{"values":{"flow":0,"pressure":0,"battery":0}}`)); err != nil {
					b.Fatal(err)
				}
			}
			time.Sleep(time.Second)
			used := load.CPU()
			heap := peakHeap(b)
			b.ResetTimer()
			r, err := load.Together(clients, func(i int) load.Job {
				share := b.N / c.devices
				if i < b.N%c.devices {
					share++
				}
				every := time.Duration(0)
				if c.rate > 0 {
					every = time.Duration(c.devices) * time.Second / time.Duration(c.rate)
				}
				return load.Job{Topic: "up/readings", Window: c.window, Every: every, Payload: func(buf []byte, n int) []byte {
					if n == share {
						return nil
					}
					return fmt.Appendf(buf, `{"ts":%d,"values":{"flow":%d.25,"pressure":3.1,"battery":87}}`, base+int64(n)*1000, n%100)
				}}
			})
			b.StopTimer()
			if err != nil || r.Messages != b.N {
				b.Fatalf("%d of %d messages acknowledged: %v", r.Messages, b.N, err)
			}
			b.ReportMetric(float64((load.CPU()-used).Microseconds())/float64(b.N), "cpu-us/msg")
			b.ReportMetric(heap(), "heap-MB")
			b.ReportMetric(r.Rate(), "msg/s")
			b.ReportMetric(3*r.Rate(), "readings/s")
			b.ReportMetric(float64(r.Ack(0.5).Microseconds())/1000, "p50-ack-ms")
			b.ReportMetric(float64(r.Ack(0.99).Microseconds())/1000, "p99-ack-ms")
			m := w.Readings.Metrics()
			b.ReportMetric(float64(m.Values)/float64(m.Commits), "values/commit")
		})
	}
}

// peakHeap watches the heap until the function it gives is called, which tells the most it saw.
func peakHeap(b *testing.B) func() float64 {
	b.Helper()
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		var most uint64
		for {
			metrics.Read(sample)
			most = max(most, sample[0].Value.Uint64())
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() float64 { close(stop); return float64(<-peak) / (1 << 20) }
}

// readingBarrier is a message whose commit comes after everything accepted before it.
func readingBarrier(t testing.TB, w *world, c devicetest.Credentials) reading.Message {
	t.Helper()
	d, err := w.Readings.Device(ctx, c.Device)
	if err != nil {
		t.Fatal(err)
	}
	return reading.Message{Device: d, Received: time.Now(), Values: []reading.Value{{Channel: "barrier", TS: time.Now().UnixMilli(), Value: 1}}}
}
