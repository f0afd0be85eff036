package ca

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/clock"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/base/vault"
	"github.com/qanat-water/qanat/internal/ledger"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func openCA(t testing.TB, db *store.Store, c clock.Clock) *CA {
	t.Helper()
	ctx := context.Background()
	v, err := vault.New([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(ctx, ledger.Config{Store: db, Vault: v, Clock: c, Nouns: []ledger.Kind{Noun}, Origin: "test.example/qanat"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	ca, err := Open(ctx, l, v, c)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func csr(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "somebody-else", Organization: []string{"another org"}},
		URIs:    []*url.URL{{Scheme: "urn", Opaque: "qanat:device:another"}},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func ecKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func issue(t testing.TB, ca *CA, device, org string) *x509.Certificate {
	t.Helper()
	request, err := ParseRequest(csr(t, ecKey(t, elliptic.P256())))
	if err != nil {
		t.Fatal(err)
	}
	c, err := ca.IssueDevice(request, device, org, ShortestLife)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(c.PEM))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if c.Serial != Serial(leaf) || c.Fingerprint != Fingerprint(leaf) {
		t.Errorf("the record of a certificate differs from it: %+v", c)
	}
	return leaf
}

func TestDeviceCertificate(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		now := clock.NewManual(noon)
		ca := openCA(t, open(), now)
		leaf := issue(t, ca, "device-1", "org-1")

		if got := leaf.URIs[0].String(); len(leaf.URIs) != 1 || got != "urn:qanat:device:device-1" {
			t.Errorf("URIs: %v", leaf.URIs)
		}
		if leaf.Subject.CommonName != "device-1" || strings.Join(leaf.Subject.Organization, ",") != "org-1" {
			t.Errorf("names of the request came through: %s", leaf.Subject)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(ca.DeviceRoot()))
		check := func(usage x509.ExtKeyUsage) error {
			_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: noon, KeyUsages: []x509.ExtKeyUsage{usage}})
			return err
		}
		if err := check(x509.ExtKeyUsageClientAuth); err != nil {
			t.Errorf("as a client: %v", err)
		}
		if check(x509.ExtKeyUsageServerAuth) == nil {
			t.Error("a device certificate is good for a server")
		}
		if v, device, org := ca.Verify(leaf); v != Good || device != "device-1" || org != "org-1" {
			t.Errorf("verify: %s %s %s", v, device, org)
		}
		other := openCA(t, storetest.SQLite(t)(), now)
		if v, _, _ := other.Verify(leaf); v != Foreign {
			t.Errorf("another authority says %s", v)
		}
		now.Advance(31 * 24 * time.Hour)
		if v, _, _ := ca.Verify(leaf); v != Expired {
			t.Errorf("after 31 days: %s", v)
		}
	})
}

func TestRootsStayAndStandApart(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		now := clock.NewManual(noon)
		first := openCA(t, open(), now)
		second := openCA(t, open(), now)
		if first.DeviceRoot() != second.DeviceRoot() || first.DoorRoot() != second.DoorRoot() {
			t.Error("the roots changed when the authority was opened again")
		}
		if first.DeviceRoot() == first.DoorRoot() {
			t.Error("devices and doors share a root")
		}
		door, err := first.Doors("qanat.example").GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		if v, _, _ := first.Verify(door.Leaf); v != Foreign {
			t.Errorf("a server certificate as a device: %s", v)
		}
	})
}

func TestNotDevice(t *testing.T) {
	ca := openCA(t, storetest.SQLite(t)(), clock.NewManual(noon))
	for name, template := range map[string]*x509.Certificate{
		"no URI":      {Subject: pkix.Name{Organization: []string{"o"}}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
		"no org":      {URIs: []*url.URL{{Scheme: "urn", Opaque: "qanat:device:d"}}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
		"server":      {URIs: []*url.URL{{Scheme: "urn", Opaque: "qanat:device:d"}}, Subject: pkix.Name{Organization: []string{"o"}}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}},
		"no usage":    {URIs: []*url.URL{{Scheme: "urn", Opaque: "qanat:device:d"}}, Subject: pkix.Name{Organization: []string{"o"}}},
		"foreign URI": {URIs: []*url.URL{{Scheme: "urn", Opaque: "other:device:d"}}, Subject: pkix.Name{Organization: []string{"o"}}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}},
	} {
		template.NotBefore, template.NotAfter = noon.Add(-time.Hour), noon.Add(time.Hour)
		leaf, err := ca.devices.sign(template, ecKey(t, elliptic.P256()).Public())
		if err != nil {
			t.Fatal(err)
		}
		if v, _, _ := ca.Verify(leaf); v != NotDevice {
			t.Errorf("%s: got %s, want %s", name, v, NotDevice)
		}
	}
}

func TestParseRequest(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skipf("this Go makes no weak keys: %v", err)
	}
	sound, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := csr(t, ecKey(t, elliptic.P256()))
	block, _ := pem.Decode(good)
	forged := bytes.Clone(block.Bytes)
	forged[len(forged)-1] ^= 1
	key, _ := x509.MarshalPKCS8PrivateKey(ecKey(t, elliptic.P256()))
	for _, c := range []struct {
		name string
		in   []byte
		ok   bool
	}{
		{"P-256 PEM", good, true},
		{"P-256 DER", block.Bytes, true},
		{"P-384", csr(t, ecKey(t, elliptic.P384())), true},
		{"Ed25519", csr(t, ed), true},
		{"RSA 2048", csr(t, sound), true},
		{"P-224", csr(t, ecKey(t, elliptic.P224())), false},
		{"RSA 1024", csr(t, weak), false},
		{"forged signature", forged, false},
		{"empty", nil, false},
		{"text", []byte("hello"), false},
		{"a key instead", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), false},
		{"request and key", append(bytes.Clone(good), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...), false},
		{"cut off", good[:len(good)/2], false},
		{"too long", append(bytes.Clone(good), bytes.Repeat([]byte(" "), requestLimit)...), false},
	} {
		_, err := ParseRequest(c.in)
		if (err == nil) != c.ok {
			t.Errorf("%s: got %v, want ok %v", c.name, err, c.ok)
		}
		if err != nil && (fault.KindOf(err) != fault.Invalid || fault.From(err).Mend == "") {
			t.Errorf("%s: refused without a mend: %v", c.name, err)
		}
	}
}

func TestDoorsRenewThemselves(t *testing.T) {
	now := clock.NewManual(noon)
	ca := openCA(t, storetest.SQLite(t)(), now)
	doors := ca.Doors("qanat.example", "192.0.2.7", "localhost")
	first, err := doors.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "qanat.example", "192.0.2.7"} {
		if _, err := first.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: ca.DoorPool(), CurrentTime: noon}); err != nil {
			t.Errorf("for %s: %v", name, err)
		}
	}
	if len(first.Leaf.DNSNames) != 2 {
		t.Errorf("names given twice: %v", first.Leaf.DNSNames)
	}
	now.Advance(59 * 24 * time.Hour)
	if again, _ := doors.GetCertificate(nil); again != first {
		t.Error("renewed too early")
	}
	now.Advance(2 * 24 * time.Hour)
	if again, _ := doors.GetCertificate(nil); again == first || !again.Leaf.NotAfter.After(first.Leaf.NotAfter) {
		t.Error("not renewed when a third of its life is left")
	}

	client, server := net.Pipe()
	go func() {
		s := tls.Server(server, &tls.Config{GetCertificate: doors.GetCertificate})
		_ = s.Handshake() // the client's side reports
	}()
	c := tls.Client(client, &tls.Config{RootCAs: ca.DoorPool(), ServerName: "qanat.example", Time: now.Now})
	if err := c.Handshake(); err != nil {
		t.Errorf("handshake: %v", err)
	}
}

func TestRevocationList(t *testing.T) {
	ca := openCA(t, storetest.SQLite(t)(), clock.NewManual(noon))
	leaf := issue(t, ca, "device-1", "org-1")
	der, err := ca.RevocationList([]Revoked{{Serial(leaf), noon}})
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := list.CheckSignatureFrom(ca.devices.certificate); err != nil {
		t.Error(err)
	}
	if len(list.RevokedCertificateEntries) != 1 || list.RevokedCertificateEntries[0].SerialNumber.Cmp(leaf.SerialNumber) != 0 {
		t.Errorf("entries: %v", list.RevokedCertificateEntries)
	}
}

func FuzzParseRequest(f *testing.F) {
	good := csr(f, ecKey(f, elliptic.P256()))
	block, _ := pem.Decode(good)
	f.Add(good)
	f.Add(block.Bytes)
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := ParseRequest(in)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatalf("refused as %s: %v", fault.KindOf(err), err)
			}
			return
		}
		if strong(r.key) != nil {
			t.Fatal("a weak key came through")
		}
	})
}
