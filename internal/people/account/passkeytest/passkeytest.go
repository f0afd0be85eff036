// Package passkeytest is an authenticator in software: it makes passkeys and
// signs with them as a browser with a phone or a security key does (WebAuthn
// Level 3, ES256), and can be told to get each thing wrong.
//
// For tests only: its keys are in memory, and it asks nobody before it signs.
package passkeytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// Flags of authenticator data.
const (
	present  = 1 << 0
	verified = 1 << 2
	attested = 1 << 6
)

// Authenticator holds passkeys.
type Authenticator struct {
	Origin string // of the page: "https://water.example.org"
	RP     string // what its keys are bound to: "water.example.org"
	Count  uint32 // signature counter; it goes up with each signature

	// What it gets wrong.
	Unverified bool // nobody was asked for finger or PIN
	Forged     bool // the signature is not that of the key
	Challenge  string

	keys []key
}

type key struct {
	id, user []byte
	private  *ecdsa.PrivateKey
}

// New makes one for a page.
func New(origin, rp string) *Authenticator { return &Authenticator{Origin: origin, RP: rp} }

var b64 = base64.RawURLEncoding

type options struct {
	PublicKey struct {
		Challenge string `json:"challenge"`
		User      struct {
			ID string `json:"id"`
		} `json:"user"`
		Exclude []struct {
			ID string `json:"id"`
		} `json:"excludeCredentials"`
		Allow []struct {
			ID string `json:"id"`
		} `json:"allowCredentials"`
	} `json:"publicKey"`
}

func read(from any) (options, error) {
	var o options
	raw, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(raw, &o)
	}
	return o, err
}

func (a *Authenticator) client(kind, challenge string) []byte {
	if a.Challenge != "" {
		challenge = a.Challenge
	}
	raw, _ := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": a.Origin, "crossOrigin": false})
	return raw
}

func (a *Authenticator) data(flags byte) []byte {
	rp := sha256.Sum256([]byte(a.RP))
	if !a.Unverified {
		flags |= verified
	}
	a.Count++
	return binary.BigEndian.AppendUint32(append(rp[:], flags|present), a.Count)
}

// Create makes a passkey as navigator.credentials.create does, and gives the answer.
func (a *Authenticator) Create(from any) (map[string]any, error) {
	o, err := read(from)
	if err != nil {
		return nil, err
	}
	for _, e := range o.PublicKey.Exclude {
		if _, known := a.find(e.ID); known {
			return nil, fmt.Errorf("this authenticator has a passkey already")
		}
	}
	user, err := b64.DecodeString(o.PublicKey.User.ID)
	if err != nil {
		return nil, err
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	k := key{id: make([]byte, 32), user: user, private: private}
	rand.Read(k.id)
	point, err := private.PublicKey.Bytes() // 4, x, y
	if err != nil {
		return nil, err
	}
	cose, err := cbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]})
	if err != nil {
		return nil, err
	}
	data := append(a.data(attested), make([]byte, 16)...)         // no model is named
	data = binary.BigEndian.AppendUint16(data, uint16(len(k.id))) // #nosec G115 -- 16 to 32 bytes of our own
	data = append(append(data, k.id...), cose...)
	object, err := cbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": data})
	if err != nil {
		return nil, err
	}
	a.keys = append(a.keys, k)
	return map[string]any{
		"id": b64.EncodeToString(k.id), "rawId": b64.EncodeToString(k.id), "type": "public-key", "authenticatorAttachment": "platform",
		"clientExtensionResults": map[string]any{},
		"response": map[string]any{
			"clientDataJSON": b64.EncodeToString(a.client("webauthn.create", o.PublicKey.Challenge)), "attestationObject": b64.EncodeToString(object),
			"transports": []string{"internal"},
		},
	}, nil
}

// Get signs as navigator.credentials.get does, with the newest of its keys that is allowed.
func (a *Authenticator) Get(from any) (map[string]any, error) {
	o, err := read(from)
	if err != nil {
		return nil, err
	}
	var k key
	known := false
	for _, allowed := range o.PublicKey.Allow {
		if found, ok := a.find(allowed.ID); ok {
			k, known = found, true
		}
	}
	if len(o.PublicKey.Allow) == 0 && len(a.keys) > 0 {
		k, known = a.keys[len(a.keys)-1], true
	}
	if !known {
		return nil, fmt.Errorf("this authenticator has no such passkey")
	}
	client, data := a.client("webauthn.get", o.PublicKey.Challenge), a.data(0)
	sum := sha256.Sum256(client)
	hash := sha256.Sum256(append(append([]byte{}, data...), sum[:]...))
	if a.Forged {
		hash[0] ^= 1
	}
	signature, err := ecdsa.SignASN1(rand.Reader, k.private, hash[:])
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"id": b64.EncodeToString(k.id), "rawId": b64.EncodeToString(k.id), "type": "public-key", "authenticatorAttachment": "platform",
		"clientExtensionResults": map[string]any{},
		"response": map[string]any{
			"clientDataJSON": b64.EncodeToString(client), "authenticatorData": b64.EncodeToString(data),
			"signature": b64.EncodeToString(signature), "userHandle": b64.EncodeToString(k.user),
		},
	}, nil
}

func (a *Authenticator) find(id string) (key, bool) {
	for _, k := range a.keys {
		if b64.EncodeToString(k.id) == id {
			return k, true
		}
	}
	return key{}, false
}
