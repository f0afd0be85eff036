package ca

import (
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
)

// Revoked is one revoked certificate.
type Revoked struct {
	Serial string
	At     time.Time
}

// RevocationList signs the list of revoked device certificates in DER, for
// verifiers outside; the doors here ask the register itself and do not wait for
// a list. Its number is the second it was made, so it only grows.
func (c *CA) RevocationList(revoked []Revoked) ([]byte, error) {
	now := c.clock.Now()
	list := &x509.RevocationList{Number: big.NewInt(now.Unix()), ThisUpdate: now, NextUpdate: now.Add(7 * 24 * time.Hour)}
	for _, r := range revoked {
		serial, ok := new(big.Int).SetString(r.Serial, 16)
		if !ok {
			return nil, fault.New(fault.Internal, "internal", "A certificate's serial number cannot be read").Because(fmt.Errorf("serial %q", r.Serial))
		}
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: serial, RevocationTime: r.At})
	}
	return x509.CreateRevocationList(rand.Reader, list, c.devices.certificate, c.devices.key)
}
