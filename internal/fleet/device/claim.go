package device

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/netaddr"
	"github.com/qanat-water/qanat/internal/fleet/ca"
	"github.com/qanat-water/qanat/internal/fleet/refusal"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

const (
	crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	codeChars = 12 // 60 bits
	mostTries = 5

	// claimsPerMinute bounds an address, claimsAtOnce its first rush: an installer's truck has many devices.
	claimsPerMinute   = 30
	claimsAtOnce      = 30
	addressesRemember = 10_000
)

// Code is a claim code. It is shown once; only its hash is kept.
type Code struct {
	Code    string    `json:"code"` // XXXX-XXXX-XXXX
	Expires time.Time `json:"expires"`
	Payload string    `json:"payload" doc:"for a QR code: serial number and code"`
}

// ClaimCode makes a device's one-time code; the one before is void. A revoked
// device is registered again by it, and must claim a new certificate.
func (d *Devices) ClaimCode(ctx context.Context, actor ledger.Actor, id, reason string) (code Code, err error) {
	err = d.c.Ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		if _, err := get(tx.Reader, actor, access.Claim, id); err != nil {
			return err
		}
		plain := newCode()
		doc, err := Noun.Update(tx, id, 0, func(b *Device) error {
			if b.State != Registered && b.State != Revoked {
				return fault.Newf(fault.Conflict, "device.claimed", "The device is %s: it holds a certificate", b.State).
					WithMend("Revoke it first; then it can claim again")
			}
			b.State = Registered
			b.Claim = &Claim{Hash: d.hash(id, plain), Expires: tx.Now.Add(d.c.CodeLife).UTC()}
			return nil
		})
		if err != nil {
			return err
		}
		code = Code{plain, doc.Body.Claim.Expires, "qanat:claim?" + url.Values{"serial": {doc.Body.Serial}, "code": {plain}}.Encode()}
		return nil
	})
	return code, err
}

func newCode() string {
	b := make([]byte, codeChars)
	_, _ = rand.Read(b) // crypto/rand does not fail
	var s strings.Builder
	for i, c := range b {
		if i > 0 && i%4 == 0 {
			s.WriteByte('-')
		}
		s.WriteByte(crockford[c&31])
	}
	return s.String()
}

// plainCode reads a code as people type it: Crockford's base32 forgives case,
// dashes and letters that look like digits.
func plainCode(typed string) string {
	var s strings.Builder
	for _, r := range strings.ToUpper(typed) {
		switch r {
		case '-', ' ':
			continue
		case 'O':
			r = '0'
		case 'I', 'L':
			r = '1'
		}
		if s.Len() > codeChars {
			break
		}
		s.WriteRune(r)
	}
	return s.String()
}

func (d *Devices) hash(id, code string) string {
	mac := hmac.New(sha256.New, d.key)
	mac.Write([]byte(id + "\x00" + plainCode(code)))
	return hex.EncodeToString(mac.Sum(nil))
}

// Issued is the answer to a claim: all that a device needs to come in.
type Issued struct {
	Device      string    `json:"device"`
	Certificate string    `json:"certificate"`                                // PEM
	Chain       string    `json:"chain" doc:"root of the device certificate"` // PEM
	Root        string    `json:"root" doc:"trust the doors with this"`       // PEM
	NotAfter    time.Time `json:"not_after"`
	Topics      Topics    `json:"topics"`
}

// Topics are the device's own.
type Topics struct {
	Readings string `json:"readings"`
	State    string `json:"state"`
	Ack      string `json:"ack"`
	Down     string `json:"down"`
}

// TopicsOf names the topics of a device in full; without the device's part they mean the same.
func TopicsOf(id string) Topics {
	own := "devices/" + id + "/"
	return Topics{own + "up/readings", own + "up/state", own + "up/ack", own + "down/#"}
}

// Claim trades a one-time code and a certificate request for a certificate.
// from is the address it comes from. Whatever is wrong with serial number or
// code, the answer and its time are the same.
func (d *Devices) Claim(ctx context.Context, from, serial, code string, csr []byte) (Issued, error) {
	if !d.mayTry(from) {
		return Issued{}, fault.New(fault.TooMany, "claim.throttled", "There were too many claims from this address").After(time.Minute).WithMend("Wait a minute and try again")
	}
	request, err := ca.ParseRequest(csr) // says nothing about serial number or code
	if err != nil {
		return Issued{}, err
	}
	slow := time.After(d.c.SlowClaim)
	issued, err := d.claim(ctx, from, serial, code, request)
	if fault.KindOf(err) == fault.Denied {
		d.c.Refusals.Count(refusal.Seen{Reason: refusal.Claim, Address: from})
		select {
		case <-slow:
		case <-ctx.Done():
			return Issued{}, ctx.Err()
		}
	}
	return issued, err
}

var errClaim = fault.New(fault.Denied, "claim.refused", "The serial number and the code do not belong together, or the code is used up").
	WithMend("Check both; after five wrong tries, or when it is too old, ask for a new code")

func (d *Devices) claim(ctx context.Context, from, serial, code string, request *ca.Request) (issued Issued, err error) {
	var candidates []ledger.Doc[Device] // one for each organization that knows the serial number
	err = d.c.Ledger.Read(ctx, func(r *ledger.Reader) (err error) {
		candidates, err = Noun.List(r, "n.serial = $1 AND n.state = $2 ORDER BY n.id LIMIT 20", serial, string(Registered))
		return err
	})
	if err != nil {
		return issued, err
	}
	match := -1
	for i := range max(len(candidates), 1) { // with no candidate, one comparison with nothing
		hash := ""
		id := serial
		if i < len(candidates) && candidates[i].Body.Claim != nil {
			hash, id = candidates[i].Body.Claim.Hash, candidates[i].ID
		}
		if hmac.Equal([]byte(d.hash(id, code)), []byte(hash)) {
			match = i
		}
	}
	if match < 0 {
		return issued, d.wrong(ctx, from, candidates)
	}
	found := candidates[match]
	actor := ledger.Actor{ID: found.ID, Kind: "device", Name: found.Body.Name, Door: "web", From: from}
	err = d.c.Ledger.Write(ctx, actor, "Claimed with its code", func(tx *ledger.Tx) error {
		now, err := Noun.Get(tx.Reader, found.ID)
		if err != nil {
			return errClaim
		}
		c := now.Body.Claim
		if now.Body.State != Registered || c == nil || c.Tries >= mostTries || !tx.Now.Before(c.Expires) || !hmac.Equal([]byte(c.Hash), []byte(d.hash(found.ID, code))) {
			return errClaim
		}
		certificate, err := d.c.CA.IssueDevice(request, now.ID, now.Org, d.c.Life)
		if err != nil {
			return err
		}
		_, err = Noun.Update(tx, now.ID, 0, func(b *Device) error {
			b.State, b.Claim = Claimed, nil
			b.Certificates = append(b.Certificates, Certificate{Serial: certificate.Serial, Fingerprint: certificate.Fingerprint, NotBefore: certificate.NotBefore.UTC(), NotAfter: certificate.NotAfter.UTC()})
			return nil
		})
		issued = Issued{now.ID, certificate.PEM, d.c.CA.DeviceRoot(), d.c.CA.DoorRoot(), certificate.NotAfter.UTC(), TopicsOf(now.ID)}
		return err
	})
	if err != nil {
		return Issued{}, err
	}
	return issued, nil
}

// wrong counts a wrong code against every device it may have been meant for.
func (d *Devices) wrong(ctx context.Context, from string, candidates []ledger.Doc[Device]) error {
	for _, c := range candidates {
		if c.Body.Claim == nil || c.Body.Claim.Tries >= mostTries {
			continue
		}
		actor := ledger.System("claim")
		actor.From = from
		err := d.c.Ledger.Write(ctx, actor, "A wrong claim code", func(tx *ledger.Tx) error {
			_, err := Noun.Update(tx, c.ID, 0, func(b *Device) error {
				if b.Claim != nil && b.Claim.Tries < mostTries {
					b.Claim.Tries++
				}
				return nil
			})
			return err
		})
		if err != nil && fault.KindOf(err) != fault.NotFound {
			return err
		}
	}
	return errClaim
}

func (d *Devices) mayTry(from string) bool {
	d.claims.Lock()
	defer d.claims.Unlock()
	p := netaddr.Prefix(from)
	l := d.claims.by[p]
	if l == nil {
		for old := range d.claims.by { // any one goes: it starts with full tries again, the codes' own count stays
			if len(d.claims.by) < addressesRemember {
				break
			}
			delete(d.claims.by, old)
		}
		l = rate.NewLimiter(rate.Limit(claimsPerMinute)/60, claimsAtOnce)
		d.claims.by[p] = l
	}
	return l.AllowN(d.c.Ledger.Now(), 1)
}
