package rig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// Device is a claimed device with its files.
type Device struct {
	ID, Serial             string
	Certificate, Key, Root string // files, PEM
	MQTT                   string // host:port as the server told it
	Topic                  string // for readings
	Code                   string // the claim code that was used

	t *current
}

type issued struct {
	Device      string `json:"device"`
	Certificate string `json:"certificate"`
	Chain       string `json:"chain"`
	Root        string `json:"root"`
	MQTT        string `json:"mqtt"`
	Topics      struct {
		Readings string `json:"readings"`
	} `json:"topics"`
}

// Device registers a device and claims it with a key of its own.
func (s *Server) Device(serial, branch, site string) *Device {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: serial}}, key)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.Claim(serial, branch, site, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request})), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// Claim registers a device and claims it with a certificate request.
func (s *Server) Claim(serial, branch, site, request string, key []byte) *Device {
	s.t.Helper()
	registered := Post[Doc[struct{}]](s.Admin, "/devices", map[string]any{"org": s.Org, "body": map[string]any{"serial": serial, "name": "Pump " + serial, "branch": branch, "site": site}})
	code := Post[struct{ Code string }](s.Admin, "/devices/"+registered.ID+"/claim-code", map[string]any{})
	got := Post[issued](s.Client(), "/claim", map[string]any{"serial": serial, "code": code.Code, "csr": request})
	dir := s.t.TempDir()
	d := &Device{
		ID: got.Device, Serial: serial, Certificate: filepath.Join(dir, "device.pem"), Key: filepath.Join(dir, "device.key"), Root: filepath.Join(dir, "root.pem"),
		MQTT: got.MQTT, Topic: got.Topics.Readings, Code: code.Code, t: s.t,
	}
	for path, content := range map[string]string{d.Certificate: got.Certificate, d.Key: string(key), d.Root: got.Root} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	if d.ID != registered.ID {
		s.t.Fatalf("device %s was claimed, %s was registered", d.ID, registered.ID)
	}
	return d
}

// TLS is how the device connects.
func (d *Device) TLS() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(d.Certificate, d.Key)
	if err != nil {
		return nil, err
	}
	root, err := os.ReadFile(d.Root)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(root)
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// Connect opens an MQTT 3.1.1 session that ends when the connection does.
func (d *Device) Connect() (paho.Client, error) {
	secure, err := d.TLS()
	if err != nil {
		return nil, err
	}
	options := paho.NewClientOptions().AddBroker("ssl://" + d.MQTT).SetClientID(d.ID).SetTLSConfig(secure).
		SetAutoReconnect(false).SetConnectRetry(false).SetCleanSession(true).SetConnectTimeout(10 * time.Second).SetOrderMatters(true).
		SetDialer(&net.Dialer{Timeout: 10 * time.Second})
	client := paho.NewClient(options)
	token := client.Connect()
	if !token.WaitTimeout(20 * time.Second) {
		return nil, fmt.Errorf("device %s: no CONNACK", d.Serial)
	}
	return client, token.Error()
}
