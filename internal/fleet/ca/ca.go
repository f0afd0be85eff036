// Package ca is the built-in certificate authority.
//
// It holds two roots, kept apart so that neither can speak for the other: one
// signs device certificates (client authentication only, the device's id as
// URI, its organization as subject), the other the doors' server certificates.
// Both roots and their sealed keys are documents of the server in the ledger,
// so several nodes share them and a restore brings them back.
//
// It guarantees that a device certificate is issued only for a key whose holder
// signed the request, that weak keys are refused before work is done with them,
// and that names inside a request are ignored. It does not decide who gets a
// certificate or whether one is revoked: package device does.
//
// Limits: roots live ten years and are not rotated yet; there is no OCSP.
// Who controls it can pose as any device and as the server, until the roots are
// replaced; he needs the vault's master key for that, the database is not enough.
package ca

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/qanat-water/qanat/internal/base/clock"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/vault"
	"github.com/qanat-water/qanat/internal/ledger"
)

// Root is a root certificate with its sealed key, as the ledger keeps it.
type Root struct {
	Purpose     string `json:"purpose"` // devices, doors
	Certificate []byte `json:"certificate"`
	Key         []byte `json:"key"` // PKCS#8, sealed by the vault
}

// Noun is the document of a root.
var Noun = &ledger.Noun[Root]{
	Name: "ca", Shape: 1, Secret: true,
	Table: &ledger.Table[Root]{
		Columns: []ledger.Column{{Name: "purpose", Type: ledger.Text}},
		Unique:  [][]string{{"purpose"}},
		Row:     func(d ledger.Doc[Root]) []any { return []any{d.Body.Purpose} },
		Version: 1,
	},
}

// sealPurpose names the vault key that seals root keys.
const sealPurpose = "fleet/ca root key"

// CA is the open authority. It is for use by any number of goroutines.
type CA struct {
	clock          clock.Clock
	devices, doors *authority
}

// Open reads the roots from the ledger and makes them when there are none.
func Open(ctx context.Context, l *ledger.Ledger, v *vault.Vault, c clock.Clock) (*CA, error) {
	ca := &CA{clock: c}
	for purpose, into := range map[string]**authority{"devices": &ca.devices, "doors": &ca.doors} {
		a, err := open(ctx, l, v, c.Now(), purpose)
		if err != nil {
			return nil, fmt.Errorf("open the %s authority: %w", purpose, err)
		}
		*into = a
	}
	return ca, nil
}

func open(ctx context.Context, l *ledger.Ledger, v *vault.Vault, now time.Time, purpose string) (*authority, error) {
	if a, err := read(ctx, l, v, purpose); a != nil || err != nil {
		return a, err
	}
	a, err := newAuthority("Qanat "+purpose+" root", now)
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, err
	}
	root := Root{Purpose: purpose, Certificate: a.certificate.Raw, Key: v.Seal(sealPurpose, key, a.certificate.Raw)}
	err = l.Write(ctx, ledger.System("certificate authority"), "The certificate authority begins", func(tx *ledger.Tx) error {
		_, err := Noun.Create(tx, "", "", root)
		return err
	})
	if fault.KindOf(err) == fault.Conflict { // another node was first: its root counts
		return read(ctx, l, v, purpose)
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// read gives the root of a purpose, or nil when there is none yet.
func read(ctx context.Context, l *ledger.Ledger, v *vault.Vault, purpose string) (*authority, error) {
	var roots []ledger.Doc[Root]
	err := l.Read(ctx, func(r *ledger.Reader) (err error) {
		roots, err = Noun.List(r, "n.purpose = $1", purpose)
		return err
	})
	if err != nil || len(roots) == 0 {
		return nil, err
	}
	root := roots[0].Body
	key, err := v.Open(sealPurpose, root.Key, root.Certificate)
	if err != nil {
		return nil, errors.Join(errors.New("the root key does not open with this master key"), err)
	}
	return parseAuthority(root.Certificate, key)
}
