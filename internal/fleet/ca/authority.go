package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
)

const (
	rootLife = 10 * 365 * 24 * time.Hour
	// skew is how far before now a certificate begins, for devices whose clock is behind.
	skew = 5 * time.Minute
	// uriPrefix begins the URI that names a device inside its certificate.
	uriPrefix = "urn:qanat:device:"
)

// The bounds of a device certificate's life.
const (
	ShortestLife = 30 * 24 * time.Hour
	LongestLife  = 90 * 24 * time.Hour
)

// authority is one root with its key.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// newAuthority makes a root that may sign leaves only.
func newAuthority(name string, now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(rootLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{certificate, key}, nil
}

// parseAuthority reads a root and its key back; they must belong together.
func parseAuthority(certificate, key []byte) (*authority, error) {
	c, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil, fmt.Errorf("root certificate: %w", err)
	}
	k, err := x509.ParsePKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	ec, ok := k.(*ecdsa.PrivateKey)
	if !ok || !ec.PublicKey.Equal(c.PublicKey) {
		return nil, fmt.Errorf("the root key does not belong to the root certificate")
	}
	return &authority{c, ec}, nil
}

// sign issues a leaf.
func (a *authority) sign(template *x509.Certificate, public any) (*x509.Certificate, error) {
	template.SerialNumber = newSerial()
	template.BasicConstraintsValid = true
	if template.NotAfter.After(a.certificate.NotAfter) {
		template.NotAfter = a.certificate.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, public, a.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// newSerial is 126 random bits: no two certificates share one, none can be guessed.
func newSerial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // crypto/rand does not fail
	b[0] = b[0]&0x3F | 0x40
	return new(big.Int).SetBytes(b)
}

// Certificate is an issued device certificate.
type Certificate struct {
	PEM         string    `json:"certificate"`
	Serial      string    `json:"serial"`
	Fingerprint string    `json:"fingerprint"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
}

// Serial writes a certificate's serial number as this house does everywhere.
func Serial(c *x509.Certificate) string {
	if c.SerialNumber == nil {
		return ""
	}
	return hex.EncodeToString(c.SerialNumber.Bytes())
}

// Fingerprint is the SHA-256 of a certificate in hex.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

func encode(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// IssueDevice signs a request for a device of an organization. Of the request
// only the key counts: the names in it are the device's own claim.
func (c *CA) IssueDevice(request *Request, device, org string, life time.Duration) (Certificate, error) {
	if life < ShortestLife || life > LongestLife {
		return Certificate{}, fault.Newf(fault.Invalid, "ca.life", "A device certificate lives 30 to 90 days, not %s", life)
	}
	name, err := url.Parse(uriPrefix + device)
	if err != nil || device == "" || org == "" {
		return Certificate{}, fault.New(fault.Internal, "internal", "A certificate needs a device and an organization").Because(err)
	}
	now := c.clock.Now()
	leaf, err := c.devices.sign(&x509.Certificate{
		Subject:     pkix.Name{Organization: []string{org}, CommonName: device},
		URIs:        []*url.URL{name},
		NotBefore:   now.Add(-skew),
		NotAfter:    now.Add(life),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, request.key)
	if err != nil {
		return Certificate{}, fmt.Errorf("sign a device certificate: %w", err)
	}
	return Certificate{encode(leaf), Serial(leaf), Fingerprint(leaf), leaf.NotBefore, leaf.NotAfter}, nil
}

// Verdict is what this authority can say about a certificate by itself.
type Verdict string

// The verdicts. Whether the device may come in is for its register to say.
const (
	Good      Verdict = "good"
	Foreign   Verdict = "foreign"    // not signed by this authority
	Expired   Verdict = "expired"    // signed here, but its time is over or has not begun
	NotDevice Verdict = "not-device" // signed here, but not for a device
)

// Verify judges a presented certificate and reads the names in it. The names
// mean something only when the verdict is Good or Expired.
func (c *CA) Verify(leaf *x509.Certificate) (verdict Verdict, device, org string) {
	if leaf.CheckSignatureFrom(c.devices.certificate) != nil {
		return Foreign, "", ""
	}
	if len(leaf.URIs) != 1 || len(leaf.Subject.Organization) != 1 || leaf.IsCA ||
		len(leaf.ExtKeyUsage) != 1 || leaf.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth || len(leaf.UnhandledCriticalExtensions) > 0 {
		return NotDevice, "", ""
	}
	device, ok := strings.CutPrefix(leaf.URIs[0].String(), uriPrefix)
	if !ok || device == "" {
		return NotDevice, "", ""
	}
	now := c.clock.Now()
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return Expired, device, leaf.Subject.Organization[0]
	}
	return Good, device, leaf.Subject.Organization[0]
}
