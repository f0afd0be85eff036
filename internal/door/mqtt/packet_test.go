package mqtt

import (
	"bufio"
	"bytes"
	"errors"
	"testing"
)

// FuzzPackets feeds bytes as a client would send them: whatever they are, the
// door ends with a breach or an end of stream, never a panic, and what it does
// accept it decodes as the codecs do.
func FuzzPackets(f *testing.F) {
	for _, seed := range []string{
		"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00",
		"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00\x32\x11\x00\x0bup/readings\x00\x01{}\xc0\x00\xe0\x00",
		"\x10\x1c\x00\x04MQTT\x05\x06\x00\x3c\x00\x00\x00\x00\x00\x08up/state\x00\x02{}\x82\x0c\x00\x01\x00\x00\x06down/#\x01",
		"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x03\x21\x00\x05\x00\x00\x32\x15\x00\x0bup/readings\x00\x01\x03\x23\x00\x01{}",
		"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00\xa2\x0a\x00\x01\x00\x06down/#\x40\x02\x00\x01\x30\x06\x00\x01x\x00{}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 4096
		r := bufio.NewReader(bytes.NewReader(in))
		h, err := readHeader(r, limit)
		if err != nil {
			return
		}
		body, err := readBody(r, h.length, nil)
		if err != nil || len(body) != h.length || h.length > limit {
			if err == nil {
				t.Fatalf("a body of %d bytes for a length of %d", len(body), h.length)
			}
			return
		}
		c, err := decodeConnect(h, body)
		if err != nil {
			mustBeBreach(t, err)
			return
		}
		for {
			h, err := readHeader(r, limit)
			if err != nil {
				return
			}
			body, err := readBody(r, h.length, nil)
			if err != nil {
				return
			}
			packet, err := decode(c.version, h, body)
			if err != nil {
				mustBeBreach(t, err)
			}
			if h.kind == typePublish {
				var cut publish
				cutErr := cutPublish(c.version, h, body, &cut)
				mustBeBreach(t, cutErr)
				if err == nil && cutErr == nil {
					p := packet.(*publish)
					if p.topic != cut.topic || p.id != cut.id || p.qos != cut.qos || p.retain != cut.retain || p.alias != cut.alias || !bytes.Equal(p.payload, cut.payload) {
						t.Fatalf("cut %+v, the codec says %+v", cut, p)
					}
				}
			}
			if err != nil {
				return
			}
		}
	})
}

func mustBeBreach(t *testing.T, err error) {
	t.Helper()
	var b *breach
	if err != nil && (!errors.As(err, &b) || b.code < 0x80 || b.text == "") {
		t.Fatalf("no breach: %v", err)
	}
}

func TestTopics(t *testing.T) {
	const me = "0190a000-0000-7000-8000-000000000001"
	for topic, want := range map[string]upward{
		"up/readings": upReadings, "up/state": upState, "up/ack": upAck,
		"devices/" + me + "/up/readings": upReadings,
		"devices/other/up/readings":      notOwn, "devices/" + me: notOwn, "devices/" + me + "x/up/readings": notOwn,
		"up/readings/": notOwn, "/up/readings": notOwn, "up": notOwn, "": notOwn, "$SYS/up/state": notOwn, "down/valve": notOwn, "Up/readings": notOwn,
		"devices/" + me + "/devices/" + me + "/up/readings": notOwn,
	} {
		if got := upwardTopic(me, topic); got != want {
			t.Errorf("topic %q: got %d, want %d", topic, got, want)
		}
	}
	for filter, want := range map[string]bool{
		"down/#": true, "down/valve": true, "down/+": true, "devices/" + me + "/down/#": true,
		"#": false, "+/#": false, "down": false, "down/": false, "devices/+/down/#": false, "devices/other/down/#": false, "up/#": false, "devices/" + me + "/#": false,
	} {
		if got := downFilter(me, filter); got != want {
			t.Errorf("filter %q: got %v, want %v", filter, got, want)
		}
	}
	for filter, want := range map[string]bool{"down/#": true, "down/#/x": false, "down/x#": false, "down/+/x": true, "down/x+": false, "": false} {
		if got := validFilter(filter); got != want {
			t.Errorf("valid %q: got %v, want %v", filter, got, want)
		}
	}
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{{"down/#", "down/valve", true}, {"down/+", "down/a/b", false}, {"down/+/b", "down/a/b", true}, {"down/a", "down/b", false}, {"down/a/#", "down/a", true}, {"down/a", "down/a/b", false}} {
		if got := matches(c.filter, c.topic); got != c.want {
			t.Errorf("%s matches %s: got %v", c.filter, c.topic, got)
		}
	}
}
