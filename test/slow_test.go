package test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/qanat-water/qanat/test/rig"
)

// TestSlowClients holds doors open with connections that dribble: they are shut, and meanwhile an honest person and an honest
// device notice nothing.
func TestSlowClients(t *testing.T) {
	s := rig.New(t, "")
	honest := s.As(s.Admin)
	d := s.Device("honest", s.Org, "")
	device, err := d.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer device.Disconnect(0)
	ask := func() time.Duration {
		began := time.Now()
		rig.Get[rig.List[rig.Doc[site]]](honest, "/sites?org="+s.Org)
		return time.Since(began)
	}
	quiet := make([]time.Duration, 20)
	for i := range quiet {
		quiet[i] = ask()
	}

	const each = 40
	secure := s.TLS()
	over := func(config *tls.Config) func(net.Conn) (net.Conn, error) {
		return func(c net.Conn) (net.Conn, error) {
			if config == nil {
				return c, nil
			}
			inner := tls.Client(c, config)
			return inner, inner.Handshake()
		}
	}
	mutual, err := d.TLS()
	if err != nil {
		t.Fatal(err)
	}
	mutual.ServerName = "localhost"
	kinds := []struct {
		name, address string
		wrap          func(net.Conn) (net.Conn, error)
		begin         string // sent at once; then a byte a second
	}{
		{"HTTPS: no handshake", s.Web, over(nil), ""},
		{"HTTPS: slow headers", s.Web, over(secure), "GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nX-Slow: "},
		{"HTTPS: slow body", s.Web, over(secure), "POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"},
		{"MQTT: no handshake", s.MQTT, over(nil), ""},
		{"MQTT: slow CONNECT", s.MQTT, over(mutual), "\x10"},
	}
	var all sync.WaitGroup
	began := time.Now()
	shut := make([][]time.Duration, len(kinds))
	var mu sync.Mutex
	for k, kind := range kinds {
		from := s.Client().From // an address for each kind
		for range each {
			all.Go(func() {
				raw, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}).Dial("tcp", kind.address)
				if err != nil {
					t.Errorf("%s: %v", kind.name, err)
					return
				}
				defer raw.Close()
				c, err := kind.wrap(raw)
				if err != nil {
					t.Errorf("%s: %v", kind.name, err)
					return
				}
				if _, err := c.Write([]byte(kind.begin)); err != nil {
					t.Errorf("%s: %v", kind.name, err)
					return
				}
				after := dribble(c)
				mu.Lock()
				defer mu.Unlock()
				shut[k] = append(shut[k], after)
			})
		}
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	var waits []time.Duration
	for serving := true; serving; {
		select {
		case <-done:
			serving = false
		case <-time.After(100 * time.Millisecond):
			waits = append(waits, ask())
			token := device.Publish(d.Topic, 1, false, fmt.Sprintf(`{"values":{"volume":%d}}`, len(waits)))
			if !token.WaitTimeout(5*time.Second) || token.Error() != nil {
				t.Fatalf("the honest device waits for its PUBACK: %v", token.Error())
			}
		}
		if time.Since(began) > 90*time.Second {
			t.Fatal("slow connections are still open after 90 s")
		}
	}
	for k, kind := range kinds {
		if longest := slices.Max(shut[k]); len(shut[k]) != each || longest > 45*time.Second {
			t.Errorf("%s: %d of %d were shut, the last after %s", kind.name, len(shut[k]), each, longest.Round(time.Second))
		} else {
			t.Logf("%s: shut after %s", kind.name, longest.Round(100*time.Millisecond))
		}
	}
	slices.Sort(quiet)
	slices.Sort(waits)
	middle := waits[len(waits)/2]
	t.Logf("an honest request took %s before, %s among %d slow connections (longest %s)", quiet[len(quiet)/2], middle, each*len(kinds), waits[len(waits)-1])
	// A tenth of a second beside the ratio: on a busy machine the quiet median may be a fluke.
	if middle > 10*quiet[len(quiet)/2]+100*time.Millisecond {
		t.Error("slow connections delay honest ones")
	}
}

// dribble sends a byte a second until the other side has had enough, and tells how long that took.
func dribble(c net.Conn) time.Duration {
	began := time.Now()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, c) // ends when the server shuts the connection
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return time.Since(began)
		case <-tick.C:
			if _, plain := c.(*net.TCPConn); !plain {
				_, _ = c.Write([]byte("a")) // the reader sees the end
			}
		}
		if time.Since(began) > 80*time.Second {
			return time.Since(began)
		}
	}
}

// TestLiesOverMQTT: packets that lie end the liar's connection, and nobody else's.
func TestLiesOverMQTT(t *testing.T) {
	s := rig.New(t, "")
	pid := s.PID()
	liar, honest := s.Device("liar", s.Org, ""), s.Device("honest", s.Org, "")
	client, err := honest.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Disconnect(0)
	const connect = "\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"
	topic := "\x00\x0bup/readings"
	publish := func(topic, payload string) string {
		rest := topic + "\x00\x01" + payload
		return "\x32" + string([]byte{byte(len(rest))}) + rest // #nosec G115 -- below 128
	}
	for _, test := range []struct {
		name, send string
		answer     string // what comes back before the end
		stays      bool
	}{
		{name: "another protocol", send: "GET / HTTP/1.1\r\n\r\n"},
		{name: "a length of 256 MB", send: "\x10\xff\xff\xff\x7f\x00\x04MQTT"},
		{name: "a length of five bytes", send: "\x10\xff\xff\xff\xff\x7f"},
		{name: "a string longer than its packet", send: "\x10\x0c\xff\xffMQTT\x04\x02\x00\x3c\x00\x00"},
		{name: "PUBLISH before CONNECT", send: publish(topic, `{"values":{"a":1}}`)},
		{name: "CONNECT twice", send: connect + connect, answer: "\x20\x02\x00\x00"},
		{name: "PUBLISH with a topic longer than its packet", send: connect + "\x32\x05\xff\xffabc", answer: "\x20\x02\x00\x00"},
		{name: "PUBLISH of 256 MB", send: connect + "\x32\xff\xff\xff\x7f", answer: "\x20\x02\x00\x00"},
		{name: "QoS 3", send: connect + "\x36\x05\x00\x01a\x00\x01", answer: "\x20\x02\x00\x00"},
		{name: "another device's topic", send: connect + publish("\x00\x38devices/"+honest.ID+"/up/readings", `{"values":{"a":1}}`), answer: "\x20\x02\x00\x00"},
		{name: "not JSON", send: connect + publish(topic, `hello`), answer: "\x20\x02\x00\x00\x40\x02\x00\x01", stays: true},
		{name: "from the future", send: connect + publish(topic, `{"ts":4102444800000,"values":{"a":1}}`), answer: "\x20\x02\x00\x00\x40\x02\x00\x01", stays: true},
	} {
		config, err := liar.TLS()
		if err != nil {
			t.Fatal(err)
		}
		config.ServerName = "localhost"
		c, err := tls.Dial("tcp", s.MQTT, config)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if err := c.SetDeadline(time.Now().Add(8 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte(test.send)); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		got := make([]byte, len(test.answer))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != test.answer {
			t.Errorf("%s: answered with %q, %v; want %q", test.name, got, err, test.answer)
		}
		if !test.stays {
			if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: the connection stays open: %v", test.name, err)
			}
		}
		_ = c.Close() // the server may have closed it already
		token := client.Publish(honest.Topic, 1, false, `{"values":{"volume":1}}`)
		if !token.WaitTimeout(5*time.Second) || token.Error() != nil {
			t.Fatalf("%s: the honest device has no PUBACK: %v", test.name, token.Error())
		}
	}
	var refused []struct{ Topic, Reason string }
	for range 100 { // the book is written every few seconds
		if refused = rig.Get[rig.List[struct{ Topic, Reason string }]](s.Admin, "/devices/"+liar.ID+"/refused").Items; len(refused) == 3 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if len(refused) != 3 {
		t.Errorf("messages that could not be read are shown as %+v, want all three", refused)
	}

	nobody := s.TLS()
	if c, err := tls.Dial("tcp", s.MQTT, nobody); err == nil { // TLS 1.3 tells a client of its missing certificate at its first read
		_ = c.SetDeadline(time.Now().Add(8 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a client without a certificate came in: %v", err)
		}
		_ = c.Close()
	}
	// Revoked: the live session ends, and the door stays shut.
	rig.Post[rig.Doc[struct{}]](s.Admin, "/devices/"+honest.ID+"/revoke", map[string]any{"reason": "stolen"})
	for range 50 {
		if !client.IsConnectionOpen() {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if client.IsConnectionOpen() {
		t.Error("five seconds after the revocation the session lives")
	}
	if _, err := honest.Connect(); err == nil {
		t.Error("a revoked device came in")
	}
	// Refusals are counted, and stand in the portal within moments.
	var counted []struct {
		Reason string
		Count  int64
	}
	for range 50 {
		if counted = rig.Get[rig.List[struct {
			Reason string
			Count  int64
		}]](s.Admin, "/refusals?org="+s.Org).Items; len(counted) > 0 {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	if len(counted) == 0 {
		t.Error("the refused connection of a revoked device is not counted")
	}
	if !s.Running() || s.PID() != pid || bytes.Contains(s.Logged(), []byte("panic")) {
		t.Error("the server did not stand it")
	}
	if answer, err := s.Client().Send(http.MethodGet, "/devices.crl", nil); err != nil || answer.Status != http.StatusOK || len(answer.Body) == 0 {
		t.Errorf("the revocation list: %v", err)
	}
}
