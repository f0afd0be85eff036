package device_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/clock"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/fleet/device"
	"github.com/qanat-water/qanat/internal/fleet/device/devicetest"
	"github.com/qanat-water/qanat/internal/fleet/reading"
	"github.com/qanat-water/qanat/internal/fleet/refusal"
	"github.com/qanat-water/qanat/internal/ledger"
)

var (
	ctx   = context.Background()
	noon  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	admin = devicetest.Admin
)

func leaf(t *testing.T, c devicetest.Credentials) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(c.TLS.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func reason(err error) refusal.Reason {
	var r *device.Refused
	if errors.As(err, &r) {
		return r.Seen.Reason
	}
	return refusal.Reason(fmt.Sprint(err))
}

func TestLifeOfADevice(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		f := devicetest.New(t, open(), clock.NewManual(noon))
		id, code := f.Register("SN-1")
		state := func() device.State {
			t.Helper()
			doc, err := f.Devices.Get(ctx, admin, id)
			if err != nil {
				t.Fatal(err)
			}
			return doc.Body.State
		}
		if s := state(); s != device.Registered {
			t.Errorf("after registering: %s", s)
		}
		c := f.ClaimWith("SN-1", strings.ToLower(code[:4]+" "+code[5:9]+code[10:])) // as people type it
		if s := state(); s != device.Claimed || c.Device != id {
			t.Errorf("after the claim: %s of %s", s, c.Device)
		}
		if _, err := f.Devices.ClaimCode(ctx, admin, id, "again"); fault.KindOf(err) != fault.Conflict {
			t.Errorf("a code for a claimed device: %v", err)
		}
		who, err := f.Devices.Admit(ctx, leaf(t, c), "192.0.2.1")
		if err != nil || who.ID != id || who.Org != devicetest.Org || state() != device.Active {
			t.Fatalf("admitted as %+v (%v), state %s", who, err, state())
		}

		told := make(chan bool, 10)
		f.Devices.OnChange(func(changed string, holds func(string) bool) {
			if changed == id {
				told <- holds(who.Fingerprint)
			}
		})
		if _, err := f.Devices.Revoke(ctx, admin, id, ""); fault.KindOf(err) != fault.Invalid {
			t.Errorf("revoked without a reason: %v", err)
		}
		revoked, err := f.Devices.Revoke(ctx, admin, id, "stolen")
		if err != nil {
			t.Fatal(err)
		}
		if holds := waitFor(t, told, false); holds {
			t.Error("the doors were told that a revoked certificate holds")
		}
		if _, err := f.Devices.Admit(ctx, leaf(t, c), ""); reason(err) != refusal.Revoked {
			t.Errorf("after the revocation: %v", err)
		}
		der, err := f.Devices.RevocationList(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if list, err := x509.ParseRevocationList(der); err != nil || len(list.RevokedCertificateEntries) != 1 {
			t.Errorf("revocation list: %+v (%v)", list, err)
		}

		// What was revoked stays revoked, undo included.
		_, err = f.Ledger.Undo(ctx, admin, "oops", revoked.Entry, func(*ledger.Tx, ledger.Entry) error { return nil })
		if fault.KindOf(err) != fault.Conflict {
			t.Errorf("undo of a revocation: %v", err)
		}
		again, err := f.Devices.ClaimCode(ctx, admin, id, "found again")
		if err != nil {
			t.Fatal(err)
		}
		second := f.ClaimWith("SN-1", again.Code)
		if _, err := f.Devices.Admit(ctx, leaf(t, second), ""); err != nil {
			t.Errorf("with the second certificate: %v", err)
		}
		if _, err := f.Devices.Admit(ctx, leaf(t, c), ""); reason(err) != refusal.Revoked {
			t.Errorf("with the first certificate: %v", err)
		}
		entries := 0
		if err := f.Ledger.Read(ctx, func(r *ledger.Reader) error {
			h, err := r.History(id)
			entries = len(h)
			return err
		}); err != nil || entries != 8 {
			t.Errorf("%d entries (%v), want 8: register, code, claim, active, revoke, code, claim, active", entries, err)
		}
	})
}

func waitFor(t *testing.T, told chan bool, want bool) bool {
	t.Helper()
	deadline := time.After(time.Second)
	for {
		select {
		case holds := <-told:
			if holds == want {
				return holds
			}
		case <-deadline:
			t.Fatal("the doors were not told within a second")
		}
	}
}

func TestOtherNodesTellTheDoors(t *testing.T) {
	open := storetest.Postgres(t)
	now := clock.NewManual(noon)
	one := devicetest.New(t, open(), now)
	c := one.Claim("SN-1")
	two := devicetest.New(t, open(), now)
	time.Sleep(400 * time.Millisecond) // two has seen where the ledger stands
	told := make(chan bool, 10)
	two.Devices.OnChange(func(_ string, holds func(string) bool) { told <- holds("any") })
	if _, err := one.Devices.Revoke(ctx, admin, c.Device, "stolen"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, told, false)
	if _, err := two.Devices.Admit(ctx, leaf(t, c), ""); reason(err) != refusal.Revoked {
		t.Errorf("on the other node: %v", err)
	}
}

func TestAdmitTellsRefusalsApart(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		now := clock.NewManual(noon)
		f := devicetest.New(t, open(), now)
		good, gone, moved := f.Claim("SN-1"), f.Claim("SN-2"), f.Claim("SN-3")
		stranger := devicetest.New(t, storetest.SQLite(t)(), now).Claim("SN-1")
		if err := f.Ledger.Write(ctx, admin, "test", func(tx *ledger.Tx) error {
			return device.Noun.Delete(tx, gone.Device, 0)
		}); err != nil {
			t.Fatal(err)
		}
		// The same device id in a certificate for another organization.
		csr, _ := devicetest.Request(t)
		wrong := devicetest.Issue(t, f, csr, moved.Device, "0190a000-0000-7000-8000-0000000000bb")
		unknown := devicetest.Issue(t, f, csr, moved.Device, devicetest.Org)
		for name, c := range map[string]struct {
			leaf *x509.Certificate
			want refusal.Reason
		}{
			"another authority":  {leaf(t, stranger), refusal.UnknownCA},
			"deleted device":     {leaf(t, gone), refusal.Unclaimed},
			"not on record":      {unknown, refusal.Unclaimed},
			"wrong organization": {wrong, refusal.WrongOrganization},
		} {
			if _, err := f.Devices.Admit(ctx, c.leaf, ""); reason(err) != c.want {
				t.Errorf("%s: got %v, want %s", name, err, c.want)
			}
		}
		if _, err := f.Devices.Admit(ctx, leaf(t, good), ""); err != nil {
			t.Errorf("good: %v", err)
		}
		now.Advance(61 * 24 * time.Hour)
		if _, err := f.Devices.Admit(ctx, leaf(t, good), ""); reason(err) != refusal.Expired {
			t.Errorf("after 61 days: %v", err)
		}
	})
}

func TestClaimRefusesAlike(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		now := clock.NewManual(noon)
		f := devicetest.New(t, open(), now)
		id, code := f.Register("SN-1")
		_, old := f.Register("SN-2")
		_, other := f.Register("SN-3")
		csr, _ := devicetest.Request(t)
		now.Advance(time.Minute)
		var answers []string
		n := 0
		try := func(serial, code string) error {
			n++
			now.Advance(10 * time.Second)
			start := time.Now()
			_, err := f.Devices.Claim(ctx, fmt.Sprintf("198.51.100.%d", n), serial, code, csr)
			if err != nil {
				answers = append(answers, err.Error())
				if took := time.Since(start); took < 20*time.Millisecond {
					t.Errorf("%s %s: refused after %s, all take 20 ms or more", serial, code, took)
				}
			}
			return err
		}
		for _, c := range [][2]string{{"SN-1", "AAAA-AAAA-AAAA"}, {"SN-9", code}, {"SN-1", other}, {"SN-1", ""}, {"", ""}, {"SN-1", code + "X"}} {
			if err := try(c[0], c[1]); fault.KindOf(err) != fault.Denied {
				t.Errorf("%v: got %v, want denied", c, err)
			}
		}
		if doc, err := f.Devices.Get(ctx, admin, id); err != nil || doc.Body.Claim.Tries != 4 {
			t.Errorf("tries counted: %+v (%v), want 4", doc.Body.Claim, err)
		}
		if err := try("SN-1", "BBBB-BBBB-BBBB"); err == nil {
			t.Error("the fifth wrong try came through")
		}
		if err := try("SN-1", code); fault.KindOf(err) != fault.Denied {
			t.Errorf("the right code after five wrong ones: %v", err)
		}
		now.Advance(15 * 24 * time.Hour)
		if err := try("SN-2", old); fault.KindOf(err) != fault.Denied {
			t.Errorf("an expired code: %v", err)
		}
		for _, a := range answers {
			if a != answers[0] {
				t.Errorf("answers differ: %q and %q", a, answers[0])
			}
		}
		if err := f.Refusals.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if rows, err := f.Refusals.List(ctx, "", 100); err != nil || len(rows) != len(answers) {
			t.Errorf("%d refusals counted (%v), want %d", len(rows), err, len(answers))
		}
	})
}

func TestClaimOnce(t *testing.T) {
	f := devicetest.New(t, storetest.SQLite(t)(), clock.NewManual(noon))
	_, code := f.Register("SN-1")
	csr, _ := devicetest.Request(t)
	results := make(chan error)
	for i := range 8 {
		go func() {
			_, err := f.Devices.Claim(ctx, fmt.Sprintf("198.51.100.%d", i), "SN-1", code, csr)
			results <- err
		}()
	}
	good := 0
	for range 8 {
		if err := <-results; err == nil {
			good++
		} else if fault.KindOf(err) != fault.Denied {
			t.Error(err)
		}
	}
	if good != 1 {
		t.Errorf("one code was claimed %d times", good)
	}
	if _, err := f.Devices.Claim(ctx, "198.51.100.9", "SN-1", code, []byte("no request")); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a bad request: %v", err)
	}
}

func TestClaimIsThrottled(t *testing.T) {
	now := clock.NewManual(noon)
	f := devicetest.New(t, storetest.SQLite(t)(), now)
	throttled := func(from string) bool {
		_, err := f.Devices.Claim(ctx, from, "SN-1", "code", nil)
		return fault.KindOf(err) == fault.TooMany
	}
	for i := range 30 {
		if throttled(fmt.Sprintf("2001:db8::%x", i)) {
			t.Fatalf("try %d was throttled", i)
		}
	}
	if !throttled("2001:db8::ffff") {
		t.Error("the 31st from one /64 came through")
	}
	if throttled("2001:db8:0:1::1") {
		t.Error("another network was throttled")
	}
	now.Advance(2 * time.Second)
	if throttled("2001:db8::1") {
		t.Error("still throttled after 2 s")
	}
}

func TestSerialNumbersOfTwoOrganizations(t *testing.T) {
	f := devicetest.New(t, storetest.SQLite(t)(), clock.NewManual(noon))
	_, code := f.Register("SN-1")
	const other = "0190a000-0000-7000-8000-0000000000bb"
	squat, err := f.Devices.Register(ctx, admin, other, device.New{Serial: "SN-1", Branch: other}, "test")
	if err != nil {
		t.Fatalf("another organization's device with the same serial number: %v", err)
	}
	if _, err := f.Devices.ClaimCode(ctx, admin, squat.ID, "test"); err != nil {
		t.Fatal(err)
	}
	if c := f.ClaimWith("SN-1", code); c.Device == squat.ID {
		t.Error("the code of one organization claimed the other's device")
	}
	_, err = f.Devices.Register(ctx, admin, devicetest.Org, device.New{Serial: "SN-1", Branch: devicetest.Org}, "test")
	if fault.KindOf(err) != fault.Conflict {
		t.Errorf("the same serial number twice in one organization: %v", err)
	}
}

func TestCodes(t *testing.T) {
	f := devicetest.New(t, storetest.SQLite(t)(), clock.NewManual(noon))
	id, first := f.Register("SN 1&2")
	second, err := f.Devices.ClaimCode(ctx, admin, id, "lost the first")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(second.Payload)
	if err != nil || u.Scheme != "qanat" || u.Query().Get("serial") != "SN 1&2" || u.Query().Get("code") != second.Code {
		t.Errorf("payload %q (%v)", second.Payload, err)
	}
	csr, _ := devicetest.Request(t)
	if _, err := f.Devices.Claim(ctx, "192.0.2.1", "SN 1&2", first, csr); err == nil {
		t.Error("the first code still works")
	}
	if err := f.Ledger.Read(ctx, func(r *ledger.Reader) error {
		entries, err := r.Entries(ledger.Filter{Doc: id})
		for _, e := range entries {
			_, before, after, err := r.Entry(e.Number)
			if err != nil {
				return err
			}
			plain := strings.ReplaceAll(second.Code, "-", "")
			if s := strings.ReplaceAll(string(before)+string(after), "-", ""); strings.Contains(s, plain) {
				t.Error("the code stands in the ledger")
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestChannelsAppear(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		f := devicetest.New(t, open(), clock.NewManual(noon))
		c := f.Claim("SN-1")
		who, err := f.Devices.Admit(ctx, leaf(t, c), "")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if err := f.Readings.Add(ctx, reading.Message{Device: who.Readings, Received: noon, Values: []reading.Value{
				{Channel: "flow", TS: noon.UnixMilli() + int64(i), Value: 1, Unit: "l/s"}, {Channel: "level", TS: noon.UnixMilli(), Value: 2}}}); err != nil {
				t.Fatal(err)
			}
		}
		var doc ledger.Doc[device.Device]
		for range 100 {
			if doc, err = f.Devices.Get(ctx, admin, c.Device); err != nil {
				t.Fatal(err)
			}
			if len(doc.Body.Channels) == 2 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if got := fmt.Sprint(doc.Body.Channels); got != "[{flow flow l/s} {level level }]" {
			t.Errorf("channels: %s", got)
		}
		doc, err = f.Devices.Update(ctx, admin, c.Device, doc.Revision, device.Change{Channels: []device.Channel{{Key: "level", Name: "Tank level", Unit: "m"}}}, "named")
		if err != nil || doc.Body.Channels[1].Name != "Tank level" {
			t.Errorf("rename: %+v (%v)", doc.Body.Channels, err)
		}
		if _, err := f.Devices.Update(ctx, admin, c.Device, 0, device.Change{Channels: []device.Channel{{Key: "none", Name: "x"}}}, ""); fault.KindOf(err) != fault.Invalid {
			t.Errorf("a channel that is not there: %v", err)
		}
		docs, err := f.Devices.List(ctx, admin, device.Filter{Org: devicetest.Org, State: device.Active, Limit: 10})
		if err != nil || len(docs) != 1 {
			t.Errorf("list: %d devices (%v)", len(docs), err)
		}
		if _, err := f.Devices.Get(ctx, ledger.Actor{Kind: "account"}, c.Device); fault.KindOf(err) != fault.NotFound && fault.KindOf(err) != fault.Internal {
			t.Errorf("nobody got a device: %v", err)
		}
	})
}
