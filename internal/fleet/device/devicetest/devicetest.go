// Package devicetest builds a fleet for tests: an open ledger with its
// authority, readings, refusals and register, and devices that have claimed.
//
// For tests and benchmarks only: its master key is known.
package devicetest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/clock"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/vault"
	"github.com/qanat-water/qanat/internal/fleet/ca"
	"github.com/qanat-water/qanat/internal/fleet/device"
	"github.com/qanat-water/qanat/internal/fleet/reading"
	"github.com/qanat-water/qanat/internal/fleet/refusal"
	"github.com/qanat-water/qanat/internal/ledger"
)

// Org is the organization that tests use.
const Org = "0190a000-0000-7000-8000-0000000000aa"

// Admin may do everything.
var Admin = ledger.System("test")

// Fleet is all that stands behind a device door.
type Fleet struct {
	Store    *store.Store
	Ledger   *ledger.Ledger
	CA       *ca.CA
	Readings *reading.Store
	Refusals *refusal.Book
	Devices  *device.Devices
	t        testing.TB
	claims   int
}

// New opens a fleet over a store; more nouns may be given.
func New(t testing.TB, db *store.Store, c clock.Clock, nouns ...ledger.Kind) *Fleet {
	return NewWith(t, db, c, reading.Config{}, nouns...)
}

// NewWith is New with a configuration of the readings.
func NewWith(t testing.TB, db *store.Store, c clock.Clock, readings reading.Config, nouns ...ledger.Kind) *Fleet {
	t.Helper()
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	v, err := vault.New([]byte("0123456789abcdef0123456789abcdef"))
	must(err)
	f := &Fleet{Store: db, t: t}
	f.Ledger, err = ledger.Open(ctx, ledger.Config{Store: db, Vault: v, Clock: c, Nouns: append(Nouns(), nouns...), Origin: "test.example/qanat"})
	must(err)
	t.Cleanup(func() { _ = f.Ledger.Close() })
	return f.over(v, c, readings)
}

// Over opens a fleet over a ledger that is open already, with Nouns among its nouns.
func Over(t testing.TB, l *ledger.Ledger, v *vault.Vault, c clock.Clock) *Fleet {
	t.Helper()
	return (&Fleet{Store: l.Store(), Ledger: l, t: t}).over(v, c, reading.Config{})
}

// Nouns are the nouns of a fleet.
func Nouns() []ledger.Kind { return []ledger.Kind{ca.Noun, device.Noun} }

func (f *Fleet) over(v *vault.Vault, c clock.Clock, readings reading.Config) *Fleet {
	t, db, ctx := f.t, f.Store, context.Background()
	t.Helper()
	var err error
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	f.CA, err = ca.Open(ctx, f.Ledger, v, c)
	must(err)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	readings.Store, readings.Clock, readings.Log = db, c, log
	readings.NewChannels = func(id string, channels []reading.Channel) { f.Devices.Appeared(id, channels) }
	f.Readings, err = reading.Open(ctx, readings)
	must(err)
	f.Refusals, err = refusal.Open(ctx, db, c, log)
	must(err)
	f.Devices = device.Open(device.Config{Ledger: f.Ledger, Vault: v, CA: f.CA, Readings: f.Readings, Refusals: f.Refusals, SlowClaim: 20 * time.Millisecond, Log: log})
	t.Cleanup(f.Refusals.Close)
	t.Cleanup(f.Devices.Close)
	t.Cleanup(f.Readings.Close)
	return f
}

// Register registers a device and gives its id and claim code.
func (f *Fleet) Register(serial string) (id, code string) {
	f.t.Helper()
	ctx := context.Background()
	doc, err := f.Devices.Register(ctx, Admin, Org, device.New{Serial: serial, Branch: Org}, "test")
	if err != nil {
		f.t.Fatal(err)
	}
	c, err := f.Devices.ClaimCode(ctx, Admin, doc.ID, "test")
	if err != nil {
		f.t.Fatal(err)
	}
	return doc.ID, c.Code
}

// Credentials is what a claimed device holds.
type Credentials struct {
	device.Issued
	KeyPEM string
	TLS    tls.Certificate
}

// Request makes a key and a certificate request for it.
func Request(t testing.TB) (csr []byte, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), key
}

// Claim registers a device and claims it as the device would.
func (f *Fleet) Claim(serial string) Credentials {
	f.t.Helper()
	_, code := f.Register(serial)
	return f.ClaimWith(serial, code)
}

// ClaimWith claims with a code.
func (f *Fleet) ClaimWith(serial, code string) Credentials {
	f.t.Helper()
	f.claims++ // each from an address of its own, or the throttle would have its say
	csr, key := Request(f.t)
	issued, err := f.Devices.Claim(context.Background(), fmt.Sprintf("10.1.%d.%d", f.claims/250%250, f.claims%250), serial, code, csr)
	if err != nil {
		f.t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		f.t.Fatal(err)
	}
	c := Credentials{Issued: issued, KeyPEM: string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))}
	if c.TLS, err = tls.X509KeyPair([]byte(issued.Certificate), []byte(c.KeyPEM)); err != nil {
		f.t.Fatal(err)
	}
	return c
}

// Issue signs a request past the register: a certificate that is on no record.
func Issue(t testing.TB, f *Fleet, csr []byte, id, org string) *x509.Certificate {
	t.Helper()
	request, err := ca.ParseRequest(csr)
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.CA.IssueDevice(request, id, org, ca.ShortestLife)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(c.PEM))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}
