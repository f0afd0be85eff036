package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// doorLife is how long a server certificate lives; it is renewed when a third is left.
const doorLife = 90 * 24 * time.Hour

// Doors issues the server certificates of this process. Key and certificate
// live in memory only; every node and every start makes its own, and whoever
// trusts the root trusts them all.
type Doors struct {
	ca    *CA
	names []string

	mu      sync.Mutex
	current *tls.Certificate
}

// Doors prepares server certificates for loopback and the given names and addresses.
func (c *CA) Doors(names ...string) *Doors {
	all := []string{"localhost", "127.0.0.1", "::1"}
	for _, n := range names {
		if n != "" && !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return &Doors{ca: c, names: all}
}

// GetCertificate is for tls.Config: the current certificate, issued anew in time.
func (d *Doors) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.ca.clock.Now()
	if d.current != nil && d.current.Leaf.NotAfter.Sub(now) > doorLife/3 {
		return d.current, nil
	}
	fresh, err := d.issue(now)
	if err != nil {
		if d.current != nil && now.Before(d.current.Leaf.NotAfter) {
			return d.current, nil
		}
		return nil, err
	}
	d.current = fresh
	return fresh, nil
}

func (d *Doors) issue(now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: d.names[len(d.names)-1]},
		NotBefore:   now.Add(-skew),
		NotAfter:    now.Add(doorLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, n := range d.names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	leaf, err := d.ca.doors.sign(template, key.Public())
	if err != nil {
		return nil, fmt.Errorf("sign a server certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw, d.ca.doors.certificate.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// DoorRoot is the root that clients of the doors trust, in PEM.
func (c *CA) DoorRoot() string { return encode(c.doors.certificate) }

// DeviceRoot is the root behind all device certificates, in PEM.
func (c *CA) DeviceRoot() string { return encode(c.devices.certificate) }

// DoorPool is DoorRoot for a tls.Config.
func (c *CA) DoorPool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.doors.certificate)
	return pool
}
