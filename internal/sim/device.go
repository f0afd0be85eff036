package sim

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
)

// Device is a device that has claimed: what stands in its flash memory.
type Device struct {
	Serial      string `json:"serial"`
	ID          string `json:"id"`
	Key         string `json:"key"`         // PEM; made by the device, never sent
	Certificate string `json:"certificate"` // PEM
	MQTT        string `json:"mqtt"`        // host:port of the device door
	Readings    string `json:"readings"`    // topic
	State       string `json:"state"`       // topic
}

// Throttled says that the server asks to wait.
type Throttled struct{ After time.Duration }

func (t *Throttled) Error() string { return "the server asks to wait " + t.After.String() }

// Claim makes a key, and trades a one-time code and a certificate request for a certificate.
func Claim(ctx context.Context, n Net, serial, code string) (*Device, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: serial}}, key)
	if err != nil {
		return nil, err
	}
	asked, err := json.Marshal(map[string]string{"serial": serial, "code": code, "csr": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}))})
	if err != nil {
		return nil, err
	}
	client := n.client()
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+n.Name+"/api/v1/claim", bytes.NewReader(asked))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusTooManyRequests {
		after, err := strconv.Atoi(res.Header.Get("Retry-After"))
		if err != nil {
			after = 5
		}
		return nil, &Throttled{time.Duration(after) * time.Second}
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("claim of %s: %s: %s", serial, res.Status, answer)
	}
	var issued struct {
		Device      string `json:"device"`
		Certificate string `json:"certificate"`
		MQTT        string `json:"mqtt"`
		Topics      struct {
			Readings string `json:"readings"`
			State    string `json:"state"`
		} `json:"topics"`
	}
	if err := json.Unmarshal(answer, &issued); err != nil {
		return nil, fmt.Errorf("answer to a claim: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return &Device{serial, issued.Device, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), issued.Certificate,
		issued.MQTT, issued.Topics.Readings, issued.Topics.State}, nil
}

// Link is a device's connection to the device door.
type Link struct {
	client *paho.Client
	device *Device
}

// Connect brings a device in by MQTT 5 over mutual TLS.
func (d *Device) Connect(ctx context.Context, n Net) (*Link, error) {
	certificate, err := tls.X509KeyPair([]byte(d.Certificate), []byte(d.Key))
	if err != nil {
		return nil, err
	}
	conn, err := n.secure(ctx, d.MQTT, certificate)
	if err != nil {
		return nil, err
	}
	client := paho.NewClient(paho.ClientConfig{Conn: packets.NewThreadSafeConn(conn), PacketTimeout: 30 * time.Second})
	if _, err := client.Connect(ctx, &paho.Connect{KeepAlive: 120, CleanStart: true}); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &Link{client, d}, nil
}

// secure opens TLS to the device door with a client certificate.
func (n Net) secure(ctx context.Context, address string, certificate tls.Certificate) (*tls.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if web, _, err := net.SplitHostPort(n.Web); err == nil && host == n.Name {
		host = web
	}
	plain, err := n.dial(ctx, net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	config := n.tls()
	config.Certificates, config.NextProtos = []tls.Certificate{certificate}, []string{"mqtt"}
	conn := tls.Client(plain, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, plain.Close())
	}
	return conn, nil
}

// Readings are the values of a device's channels at one instant.
type Readings struct {
	TS     int64              `json:"ts"` // milliseconds since 1970
	Values map[string]float64 `json:"values"`
}

// Publish sends readings in one message, and returns when the server has acknowledged it.
func (l *Link) Publish(ctx context.Context, readings []Readings) error {
	payload, err := json.Marshal(readings)
	if err != nil {
		return err
	}
	return l.publish(ctx, l.device.Readings, payload)
}

// Say sends what the device says of itself.
func (l *Link) Say(ctx context.Context, state map[string]any) error {
	payload, err := json.Marshal(state)
	if err != nil {
		return err
	}
	return l.publish(ctx, l.device.State, payload)
}

func (l *Link) publish(ctx context.Context, topic string, payload []byte) error {
	answer, err := l.client.Publish(ctx, &paho.Publish{Topic: topic, QoS: 1, Payload: payload})
	if answer != nil && answer.ReasonCode >= 0x80 {
		return fmt.Errorf("%s was refused with 0x%02x: %s", topic, answer.ReasonCode, answer.Properties.ReasonString)
	}
	return err
}

// Gone is closed when the connection has ended.
func (l *Link) Gone() <-chan struct{} { return l.client.Done() }

// Close says goodbye.
func (l *Link) Close() error { return l.client.Disconnect(&paho.Disconnect{}) }

// Stranger has a certificate of nobody's.
type Stranger struct{ certificate tls.Certificate }

// NewStranger makes a key and a certificate that it has signed itself.
func NewStranger() (*Stranger, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "gateway"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return &Stranger{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}, err
}

// Knock tries the device door, and gives the error it gets.
func (s *Stranger) Knock(ctx context.Context, n Net, address string) error {
	conn, err := n.secure(ctx, address, s.certificate)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, err = conn.Read(make([]byte, 1)) // with TLS 1.3 the refusal comes after the handshake
	return err
}
