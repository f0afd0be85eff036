package ledger

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/qanat-water/qanat/internal/base/vault"
)

// Certify signs a text that outsiders can check: a signed note (C2SP signed-note)
// under a key of its own, so that no text can pass as a checkpoint. key is the
// verifier key. The text ends with a new line.
func (l *Ledger) Certify(text string) (signed, key string, err error) {
	name := l.signer.origin + "/certificates"
	signer, key, err := noteSigner(l.vault, "certificate signing", name)
	if err != nil {
		return "", "", err
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	out, err := note.Sign(&note.Note{Text: text}, signer)
	return string(out), key, err
}

// noteSigner derives an Ed25519 key for a purpose, as one that signs notes, and
// its public key in the format of notes.
func noteSigner(v *vault.Vault, purpose, name string) (note.Signer, string, error) {
	seed := v.Derive(purpose, ed25519.SeedSize)
	public, ok := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	if !ok {
		return nil, "", errors.New("a key that is none")
	}
	verifier, err := note.NewEd25519VerifierKey(name, public)
	if err != nil {
		return nil, "", err
	}
	// note's own encoding of a private key: algorithm 1, then the seed.
	const algorithm = 1
	sum := sha256.Sum256(append([]byte(name+"\n"), append([]byte{algorithm}, public...)...))
	signer, err := note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", name, binary.BigEndian.Uint32(sum[:4]),
		base64.StdEncoding.EncodeToString(append([]byte{algorithm}, seed...))))
	return signer, verifier, err
}
