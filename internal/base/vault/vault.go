// Package vault holds the keys.
//
// One master key of 32 bytes stands in a file that only its owner can read.
// Everything else is derived from it (HKDF-SHA256, one purpose, one key) or
// wrapped by it: every document has a random data key of its own, stored
// wrapped beside the document, so that destroying the wrapped key destroys the
// document's whole past. All sealing is AES-256-GCM with a random nonce, bound
// to its place by additional data: a sealed value moved to another place does
// not open.
//
// Limits: a random 96-bit nonce is safe for 2^32 values under one key; a
// document never comes near it, and purposes that seal more must derive more
// keys. Keys live in memory while the server runs.
//
// Who has the master key reads everything at rest; who can only replace it
// makes the server refuse to start.
package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
)

const keySize = 32

// Vault derives and wraps keys with the master key.
type Vault struct {
	master []byte
	wrap   cipher.AEAD
}

// Key seals and opens what belongs to one owner.
type Key struct{ aead cipher.AEAD }

// Create makes a master key file. It refuses to touch an existing one.
func Create(path string) (*Vault, error) {
	master := make([]byte, keySize)
	rand.Read(master)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fault.Newf(fault.Conflict, "vault.exists", "There is already a master key at %s", path).
			WithMend("Choose another data directory; never replace a master key: what it sealed could not be opened again")
	}
	if err != nil {
		return nil, fmt.Errorf("create master key: %w", err)
	}
	_, err = fmt.Fprintf(f, "%s\n", hex.EncodeToString(master))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("write master key: %w", err)
	}
	return New(master)
}

// Open reads a master key file. It refuses one that others can read.
func Open(path string) (*Vault, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Newf(fault.NotFound, "vault.missing", "There is no master key at %s", path).
			WithMend("Run qanat init to make a new server, or put the key file back from its safe")
	}
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fault.Newf(fault.Denied, "vault.mode", "The master key %s can be read by others (mode %04o)", path, info.Mode().Perm()).
			WithMend("Run chmod 600 on it, and ask who could have read it")
	}
	text, err := os.ReadFile(path) // #nosec G304 -- the operator names the file
	if err != nil {
		return nil, fmt.Errorf("read master key: %w", err)
	}
	master, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(master) != keySize {
		return nil, fault.Newf(fault.Invalid, "vault.format", "The master key %s is not 64 hexadecimal digits", path).
			WithMend("Put the key file back from its safe")
	}
	return New(master)
}

// New is a vault over a master key that is already in memory.
func New(master []byte) (*Vault, error) {
	if len(master) != keySize {
		return nil, fmt.Errorf("master key has %d bytes, not %d", len(master), keySize)
	}
	v := &Vault{master: append([]byte(nil), master...)}
	v.wrap = newAEAD(v.Derive("wrap data keys", keySize))
	return v, nil
}

// Derive is a key of size bytes for one purpose. The same purpose gives the same key.
func (v *Vault) Derive(purpose string, size int) []byte {
	key, err := hkdf.Key(sha256.New, v.master, nil, "qanat/v1/"+purpose, size)
	if err != nil {
		panic("vault: derive " + purpose + ": " + err.Error()) // only a size over 8,160 bytes can fail
	}
	return key
}

// NewKey makes a random data key for an owner, and its wrapped form to store.
func (v *Vault) NewKey(owner string) (*Key, []byte, error) {
	raw := make([]byte, keySize)
	rand.Read(raw)
	return &Key{newAEAD(raw)}, v.wrap.Seal(nil, nil, raw, []byte(owner)), nil
}

// Unwrap opens the stored form of an owner's data key.
func (v *Vault) Unwrap(owner string, wrapped []byte) (*Key, error) {
	raw, err := v.wrap.Open(nil, nil, wrapped, []byte(owner))
	if err != nil {
		return nil, fmt.Errorf("key of %s does not open with this master key", owner)
	}
	return &Key{newAEAD(raw)}, nil
}

// Seal encrypts with a key derived for a purpose, bound to a place.
func (v *Vault) Seal(purpose string, plain, bind []byte) []byte {
	return newAEAD(v.Derive(purpose, keySize)).Seal(nil, nil, plain, bind)
}

// Open opens what Seal made for the same purpose and place.
func (v *Vault) Open(purpose string, sealed, bind []byte) ([]byte, error) {
	plain, err := newAEAD(v.Derive(purpose, keySize)).Open(nil, nil, sealed, bind)
	if err != nil {
		return nil, fmt.Errorf("sealed %s does not open", purpose)
	}
	return plain, nil
}

// Seal encrypts, bound to a place.
func (k *Key) Seal(plain, bind []byte) []byte { return k.aead.Seal(nil, nil, plain, bind) }

// Open opens what Seal made for the same place.
func (k *Key) Open(sealed, bind []byte) ([]byte, error) {
	plain, err := k.aead.Open(nil, nil, sealed, bind)
	if err != nil {
		return nil, errors.New("sealed content does not open")
	}
	return plain, nil
}

// AppendOpen is Open into a buffer that is used again: it appends to dst.
func (k *Key) AppendOpen(dst, sealed, bind []byte) ([]byte, error) {
	plain, err := k.aead.Open(dst, nil, sealed, bind)
	if err != nil {
		return dst, errors.New("sealed content does not open")
	}
	return plain, nil
}

func newAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("vault: " + err.Error()) // the size is ours
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("vault: " + err.Error())
	}
	return aead
}
