package test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/qanat-water/qanat/test/rig"
)

// TestCertificateFiles serves a certificate from files, and the next one after
// the files are replaced, without a restart.
func TestCertificateFiles(t *testing.T) {
	s := rig.Prepare(t, "")
	s.Init()
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, certificate, key, "first.example")
	config(t, s, fmt.Sprintf("[tls]\ncertificate = %q\nkey = %q\n", certificate, key))
	serve(t, s)
	if got := served(t, s.Web, "first.example"); got == nil || got.Subject.CommonName != "first.example" {
		t.Fatalf("served %v", got)
	}
	time.Sleep(10 * time.Millisecond) // another time of change
	writePair(t, certificate, key, "second.example")
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		if got := served(t, s.Web, "second.example"); got != nil && got.Subject.CommonName == "second.example" {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the new certificate is not served")
		}
	}
}

// TestACME gets a certificate from an authority of its own on this machine:
// Pebble, the test server of Let's Encrypt, which really connects back (TLS-ALPN-01).
func TestACME(t *testing.T) {
	pebble := installed(t, "github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.1")
	s := rig.Prepare(t, "")
	s.Init()
	_, port, err := net.SplitHostPort(s.Web)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, certificate, key, "localhost")
	authority := freeAddress(t)
	settings, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": authority, "managementListenAddress": freeAddress(t), "certificate": certificate, "privateKey": key,
		"httpPort": 1, "tlsPort": json.Number(port), "retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles": map[string]any{"default": map[string]any{"description": "default", "validityPeriod": 7776000}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	settingsFile := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(settingsFile, settings, 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, []string{"PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0"}, filepath.Join(dir, "pebble.log"), pebble, "-config", settingsFile)
	waitFor(t, authority)
	config(t, s, fmt.Sprintf("[tls.acme]\ndomains = [\"localhost\"]\nemail = \"operator@localhost.example\"\ndirectory = \"https://%s/dir\"\nroot = %q\n", authority, certificate))
	serve(t, s)
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(300 * time.Millisecond) {
		if got := served(t, s.Web, "localhost"); got != nil && len(got.Issuer.CommonName) > 6 && got.Issuer.CommonName[:6] == "Pebble" {
			return
		}
		if time.Now().After(end) {
			log, _ := os.ReadFile(filepath.Join(dir, "pebble.log"))
			t.Fatalf("no certificate came; the authority says:\n%s", log[max(0, len(log)-4000):])
		}
	}
}

// installed builds a program of another module, for tests only.
func installed(t *testing.T, module string) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(dir, "qanat-test", filepath.Base(module))
	path := filepath.Join(dir, "pebble")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	build := exec.Command("go", "install", module)
	build.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	build.Dir = os.TempDir() // outside of our module
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go install %s: %v\n%s", module, err, out)
	}
	return path
}

func config(t *testing.T, s *rig.Server, text string) {
	t.Helper()
	if err := os.WriteFile(s.Config, []byte("log = \"info\"\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// serve starts the server without asking whether its certificate is known.
func serve(t *testing.T, s *rig.Server) {
	t.Helper()
	start(t, nil, s.Log, rig.Binary, "serve", "--data", s.Data, "--listen", s.Web, "--mqtt", s.MQTT, "--config", s.Config)
	waitFor(t, s.Web)
}

func start(t *testing.T, env []string, log string, name string, args ...string) {
	t.Helper()
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...) // #nosec G204 -- programs under test
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		out.Close()
	})
}

func waitFor(t *testing.T, address string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return
		}
	}
	t.Fatalf("nothing answers at %s", address)
}

// served is the certificate that a server shows for a name.
func served(t *testing.T, address, name string) *x509.Certificate {
	t.Helper()
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, ServerName: name}} // #nosec G402 -- the certificate is what is looked at
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil
	}
	defer c.Close()
	return c.(*tls.Conn).ConnectionState().PeerCertificates[0]
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// writePair writes a self-signed certificate and its key.
func writePair(t *testing.T, certificate, key, name string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{key: {Type: "PRIVATE KEY", Bytes: raw}, certificate: {Type: "CERTIFICATE", Bytes: der}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
