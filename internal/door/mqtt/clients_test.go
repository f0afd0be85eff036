package mqtt_test

import (
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"crypto/tls"

	five "github.com/eclipse/paho.golang/paho"
	three "github.com/eclipse/paho.mqtt.golang"

	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/fleet/device/devicetest"
	"github.com/qanat-water/qanat/internal/fleet/reading"
)

// mosquitto gives the arguments with which mosquitto_pub and mosquitto_sub come in as a device.
func mosquitto(t *testing.T, w *world, c devicetest.Credentials, version string) []string {
	t.Helper()
	if _, err := exec.LookPath("mosquitto_pub"); err != nil {
		t.Skip("mosquitto_pub is not installed (apt install mosquitto-clients)")
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"ca.pem": c.Root, "cert.pem": c.Certificate, "key.pem": c.KeyPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, port, _ := strings.Cut(w.Address, ":")
	return []string{"-h", "127.0.0.1", "-p", port, "--cafile", filepath.Join(dir, "ca.pem"), "--cert", filepath.Join(dir, "cert.pem"), "--key", filepath.Join(dir, "key.pem"), "-V", version}
}

func TestMosquitto(t *testing.T) {
	w := newWorld(t)
	for _, version := range []string{"mqttv311", "mqttv5"} {
		c := w.Claim("SN-" + version)
		args := mosquitto(t, w, c, version)
		run := func(want string, more ...string) {
			t.Helper()
			timeout, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			out, err := exec.CommandContext(timeout, "mosquitto_pub", append(args, more...)...).CombinedOutput()
			if want == "" && err != nil || !strings.Contains(string(out), want) {
				t.Errorf("%s %v: %v, said %q, want %q", version, more, err, out, want)
			}
		}
		run("", "-t", "up/readings", "-q", "1", "-m", `{"values":{"flow":1.5}}`)
		run("", "-t", "up/readings", "-q", "0", "-m", `[{"bn":"urn:dev:pump:","n":"level","u":"m","v":2}]`)
		if version == "mqttv5" {
			run("ot authorized", "-t", "up/other", "-q", "1", "-m", "{}")
			run("ayload format invalid", "-t", "up/readings", "-q", "1", "-m", "{}")
		}
		for i := 0; ; i++ { // QoS 0 is not acknowledged
			latest, err := w.Readings.Latest(ctx, c.Device)
			if err != nil {
				t.Fatal(err)
			}
			if len(latest) == 2 && latest[0].Channel == "flow" && latest[0].Value == 1.5 && latest[1].Unit == "m" {
				break
			}
			if i == 100 {
				t.Fatalf("%s: latest %+v", version, latest)
			}
			time.Sleep(10 * time.Millisecond)
		}

		sub := exec.Command("mosquitto_sub", append(args, "-t", "down/#", "-q", "1", "-C", "1", "-v")...)
		heard := make(chan string, 1)
		go func() {
			out, err := sub.CombinedOutput()
			if err != nil {
				out = append(out, err.Error()...)
			}
			heard <- string(out)
		}()
		for i := 0; ; i++ {
			err := w.Door.Send(ctx, c.Device, "valve", []byte(`{"open":true}`))
			if err == nil {
				break
			}
			if i == 300 {
				t.Fatalf("%s: %v", version, err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if got := <-heard; !strings.HasPrefix(got, `down/valve {"open":true}`) {
			t.Errorf("%s: mosquitto_sub heard %q", version, got)
		}
	}
}

func TestPahoClients(t *testing.T) {
	w := newWorld(t)
	t.Run("3.1.1", func(t *testing.T) {
		c := w.Claim("SN-3")
		client := three.NewClient(three.NewClientOptions().AddBroker("ssl://" + w.Address).SetTLSConfig(w.config(c)).SetProtocolVersion(4).SetClientID("x").SetConnectTimeout(5 * time.Second).SetAutoReconnect(false))
		wait := func(what string, token three.Token) {
			t.Helper()
			if !token.WaitTimeout(5*time.Second) || token.Error() != nil {
				t.Fatalf("%s: %v", what, token.Error())
			}
		}
		wait("connect", client.Connect())
		defer client.Disconnect(100)
		now := time.Now().UnixMilli()
		for i := range 10 {
			wait("publish", client.Publish("up/readings", 1, false, fmt.Sprintf(`{"ts":%d,"values":{"a":1}}`, now-int64(i))))
		}
		got := make(chan string, 1)
		wait("subscribe", client.Subscribe("down/#", 1, func(_ three.Client, m three.Message) { got <- m.Topic() + " " + string(m.Payload()) }))
		refused := client.Subscribe("up/#", 1, nil).(*three.SubscribeToken)
		refused.WaitTimeout(5 * time.Second)
		if code := refused.Result()["up/#"]; code != 0x80 {
			t.Errorf("up/#: SUBACK 0x%02x, want 0x80", code)
		}
		if err := w.Door.Send(ctx, c.Device, "x", []byte("hello")); err != nil {
			t.Fatal(err)
		}
		if m := <-got; m != "down/x hello" {
			t.Errorf("got %q", m)
		}
		wait("unsubscribe", client.Unsubscribe("down/#"))
		if n, err := w.Readings.Count(ctx, c.Device); n != 10 || err != nil {
			t.Errorf("%d rows (%v), want 10", n, err)
		}
	})
	t.Run("5", func(t *testing.T) {
		c := w.Claim("SN-5")
		conn, err := tls.Dial("tcp", w.Address, w.config(c))
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 1)
		client := five.NewClient(five.ClientConfig{Conn: conn, OnPublishReceived: []func(five.PublishReceived) (bool, error){func(p five.PublishReceived) (bool, error) {
			got <- p.Packet.Topic + " " + string(p.Packet.Payload)
			return true, nil
		}}})
		ack, err := client.Connect(ctx, &five.Connect{KeepAlive: 30, CleanStart: true, ClientID: ""})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = client.Disconnect(&five.Disconnect{}) }()
		p := ack.Properties
		if p.AssignedClientID != c.Device || p.MaximumQoS == nil || *p.MaximumQoS != 1 || p.RetainAvailable || p.SharedSubAvailable || p.SubIDAvailable || !p.WildcardSubAvailable || p.ReceiveMaximum == nil || *p.ReceiveMaximum != 100 || p.MaximumPacketSize == nil || *p.MaximumPacketSize != 65536 {
			t.Errorf("CONNACK: %+v", p)
		}
		if _, err := client.Publish(ctx, &five.Publish{Topic: "up/readings", QoS: 1, Payload: []byte(`{"values":{"a":1}}`), Properties: &five.PublishProperties{ContentType: "application/json"}}); err != nil {
			t.Error(err)
		}
		r, err := client.Publish(ctx, &five.Publish{Topic: "up/readings", QoS: 1, Payload: []byte(`{"ts":9999999999999,"values":{"a":1}}`)})
		if err == nil || r == nil || r.ReasonCode != 0x99 || !strings.Contains(r.Properties.ReasonString, "/ts") {
			t.Errorf("the future: %+v (%v)", r, err)
		}
		s, err := client.Subscribe(ctx, &five.Subscribe{Subscriptions: []five.SubscribeOptions{{Topic: "devices/" + c.Device + "/down/#", QoS: 2}, {Topic: "devices/other/down/#", QoS: 1}, {Topic: "down/#/x"}}})
		if s == nil || fmt.Sprintf("% x", s.Reasons) != "01 87 8f" {
			t.Errorf("SUBACK %+v (%v), want 01 87 8f", s, err)
		}
		if err := w.Door.Send(ctx, c.Device, "x", []byte("hello")); err != nil {
			t.Fatal(err)
		}
		if m := <-got; m != "devices/"+c.Device+"/down/x hello" {
			t.Errorf("got %q", m)
		}
	})
}

// TestKwale publishes the weekly volumes of real handpumps through mosquitto_pub
// with a claimed device's certificate, as the newcomer's guide does.
func TestKwale(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(os.Getenv("QANAT_DATA"), "sensors", "kwale-handpump-weekly-*.csv"))
	if os.Getenv("QANAT_DATA") == "" || len(files) == 0 {
		files, _ = filepath.Glob("../../../../shared/data/sensors/kwale-handpump-weekly-*.csv")
	}
	if len(files) == 0 {
		t.Skip("the Kwale handpump data is not here; QANAT_DATA names its directory")
	}
	w := newWorldOver(t, storetest.SQLite(t)(), reading.Config{Channels: 400})
	c := w.Claim("SN-1")
	args := mosquitto(t, w, c, "mqttv5")
	var lines strings.Builder
	messages, values := 0, 0
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(f).ReadAll()
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		year, err := strconv.Atoi(strings.TrimSuffix(name[strings.LastIndex(name, "-")+1:], ".csv"))
		if err != nil {
			t.Fatal(err)
		}
		for week := 1; week < len(rows[0]); week++ {
			ts := time.Date(year, 1, 1+7*(week-1), 0, 0, 0, 0, time.UTC).UnixMilli()
			var said []string
			for _, row := range rows[1:] {
				if row[week] == "NA" || row[week] == "" {
					continue
				}
				said = append(said, fmt.Sprintf(`"%s":%s`, strings.ReplaceAll(row[0], "/", "."), row[week]))
			}
			if len(said) > 0 {
				fmt.Fprintf(&lines, `{"ts":%d,"values":{%s}}`+"\n", ts, strings.Join(said, ","))
				messages++
				values += len(said)
			}
		}
	}
	cmd := exec.Command("mosquitto_pub", append(args, "-t", "up/readings", "-q", "1", "-l")...)
	cmd.Stdin = strings.NewReader(lines.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if n, err := w.Readings.Count(ctx, c.Device); err != nil || n != int64(values) {
		t.Errorf("%d rows (%v) for %d values in %d messages", n, err, values, messages)
	}
	t.Logf("%d messages, %d values", messages, values)
}
