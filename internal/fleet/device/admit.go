package device

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/fleet/ca"
	"github.com/qanat-water/qanat/internal/fleet/reading"
	"github.com/qanat-water/qanat/internal/fleet/refusal"
	"github.com/qanat-water/qanat/internal/ledger"
)

// Identity is a device that may come in.
type Identity struct {
	ID          string // of the device
	Org         string
	Name        string
	Serial      string    // of the certificate
	Fingerprint string    // of the certificate
	Until       time.Time // when the certificate ends
	Readings    *reading.Device
}

// Refused says why a certificate was turned away.
type Refused struct{ Seen refusal.Seen }

func (r *Refused) Error() string { return string(r.Seen.Reason) + ": " + r.Seen.Detail }

// Vouch is the first half of Admit, without a look at the register: may the
// holder of this certificate be one of our devices at all? A door asks during
// the handshake.
func (d *Devices) Vouch(leaf *x509.Certificate) error {
	verdict, _, _ := d.c.CA.Verify(leaf)
	if verdict == ca.Foreign || verdict == ca.NotDevice {
		return refused(leaf, refusal.UnknownCA, "", "", "The certificate was not issued to a device by this server")
	}
	return nil
}

func refused(leaf *x509.Certificate, reason refusal.Reason, org, device, detail string) *Refused {
	return &Refused{refusal.Seen{Org: org, Reason: reason, Device: device, Serial: ca.Serial(leaf), Fingerprint: ca.Fingerprint(leaf), Detail: detail}}
}

// Admit decides whether the holder of a certificate may come in as a device.
// The error is a *Refused, or that of the store.
func (d *Devices) Admit(ctx context.Context, leaf *x509.Certificate, from string) (Identity, error) {
	verdict, device, org := d.c.CA.Verify(leaf)
	if verdict == ca.Foreign || verdict == ca.NotDevice {
		return Identity{}, d.Vouch(leaf)
	}
	var doc ledger.Doc[Device]
	err := d.c.Ledger.Read(ctx, func(r *ledger.Reader) (err error) {
		doc, err = Noun.Get(r, device)
		return err
	})
	if fault.KindOf(err) == fault.NotFound {
		return Identity{}, refused(leaf, refusal.Unclaimed, org, device, "There is no such device any more")
	}
	if err != nil {
		return Identity{}, err
	}
	if doc.Org != org {
		return Identity{}, refused(leaf, refusal.WrongOrganization, org, device, "The device belongs to another organization now")
	}
	fingerprint := ca.Fingerprint(leaf)
	var on *Certificate
	for i, c := range doc.Body.Certificates {
		if c.Fingerprint == fingerprint {
			on = &doc.Body.Certificates[i]
		}
	}
	switch {
	case on == nil:
		return Identity{}, refused(leaf, refusal.Unclaimed, org, device, "The certificate is not on the device's record")
	case on.Revoked != nil || doc.Body.State == Revoked:
		return Identity{}, refused(leaf, refusal.Revoked, org, device, "The certificate was revoked")
	case verdict == ca.Expired:
		return Identity{}, refused(leaf, refusal.Expired, org, device, "The certificate's time is over")
	case doc.Body.State != Claimed && doc.Body.State != Active:
		return Identity{}, refused(leaf, refusal.Unclaimed, org, device, "The device has not been claimed")
	}
	handle, err := d.c.Readings.Device(ctx, device)
	if err != nil {
		return Identity{}, err
	}
	who := Identity{device, org, doc.Body.Name, on.Serial, fingerprint, on.NotAfter, handle}
	if doc.Body.State == Claimed {
		if err := d.activate(ctx, who, from); err != nil {
			return Identity{}, err
		}
	}
	d.Appeared(device, unknownChannels(doc.Body.Channels, handle.Channels()))
	return who, nil
}

// activate notes that a device has come in for the first time.
func (d *Devices) activate(ctx context.Context, who Identity, from string) error {
	actor := ledger.Actor{ID: who.ID, Kind: "device", Name: who.Name, Door: "mqtt", From: from}
	return d.c.Ledger.Write(ctx, actor, "Came in for the first time", func(tx *ledger.Tx) error {
		_, err := Noun.Update(tx, who.ID, 0, func(b *Device) error {
			if b.State == Claimed {
				b.State = Active
			}
			return nil
		})
		return err
	})
}

// holds tells which certificates let a device in.
func (b *Device) holds(fingerprint string) bool {
	if b.State != Claimed && b.State != Active {
		return false
	}
	for _, c := range b.Certificates {
		if c.Fingerprint == fingerprint {
			return c.Revoked == nil
		}
	}
	return false
}
