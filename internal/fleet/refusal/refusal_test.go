package refusal

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/clock"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestEqualRefusalsAreOneRow(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		ctx := context.Background()
		now := clock.NewManual(noon)
		b, err := Open(ctx, open(), now, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		stranger := Seen{Reason: UnknownCA, Address: "192.0.2.1", Serial: "01", Fingerprint: "ff", Detail: "first"}
		b.Count(stranger)
		b.Count(stranger)
		if err := b.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		now.Advance(time.Minute)
		stranger.Detail = "third"
		b.Count(stranger)
		b.Count(Seen{Org: "org-1", Reason: Revoked, Address: "192.0.2.1", Device: "d", Serial: "02", Fingerprint: "ee"})
		if err := b.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		rows, err := b.List(ctx, "", 10)
		if err != nil || len(rows) != 1 {
			t.Fatalf("the server's: %+v (%v)", rows, err)
		}
		if r := rows[0]; r.Count != 3 || !r.First.Equal(noon) || !r.Last.Equal(noon.Add(time.Minute)) || r.Detail != "third" || r.Reason != UnknownCA {
			t.Errorf("got %+v", r)
		}
		if rows, err := b.List(ctx, "org-1", 10); err != nil || len(rows) != 1 || rows[0].Reason != Revoked || rows[0].Device != "d" {
			t.Errorf("the organization's: %+v (%v)", rows, err)
		}
	})
}

func TestBounds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		ctx := context.Background()
		now := clock.NewManual(noon)
		b, err := Open(ctx, open(), now, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		const flood = rowsInMemory + 500
		for i := range flood {
			now.Advance(time.Millisecond)
			b.Count(Seen{Reason: Malformed, Address: fmt.Sprintf("address-%d", i)})
		}
		b.mu.Lock()
		if n := len(b.tallies); n > rowsInMemory+1 {
			t.Errorf("%d rows in memory", n)
		}
		b.mu.Unlock()
		if err := b.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		rows, err := b.List(ctx, "", rowsOfOrg)
		if err != nil || len(rows) != rowsOfOrg {
			t.Fatalf("%d rows kept (%v), want %d", len(rows), err, rowsOfOrg)
		}
		if rows[0].Address != "others" || rows[0].Count < 499 {
			t.Errorf("those beyond the bound: %+v", rows[0])
		}

		for i := range messagesOfDevice + 5 {
			b.Keep("d", "up/readings", bytes.Repeat([]byte{byte(i)}, payloadKept+i), "because")
		}
		if err := b.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		messages, err := b.Messages(ctx, "d")
		if err != nil || len(messages) != messagesOfDevice {
			t.Fatalf("%d messages kept (%v), want %d", len(messages), err, messagesOfDevice)
		}
		if m := messages[0]; m.Payload[0] != messagesOfDevice+4 || len(m.Payload) != payloadKept || m.Size != payloadKept+messagesOfDevice+4 || m.Reason != "because" {
			t.Errorf("the last message: %d bytes kept of %d, first byte %d", len(m.Payload), m.Size, m.Payload[0])
		}
	})
}
