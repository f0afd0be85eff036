package org

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
)

// A join code is typed from paper: 10 random characters of Crockford's base 32
// (50 bits), then two that check them, in groups of four. 1021 is the largest
// prime below 32², so that the check finds every single wrong character and every two
// neighbours that changed places.
const (
	codeAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	codeRandom   = 10
	codePrime    = 1021
)

// newCode makes a join code. It is made before a transaction, which may run twice.
func newCode() string {
	raw := make([]byte, codeRandom)
	rand.Read(raw)
	text := make([]byte, codeRandom, codeRandom+2)
	for i, b := range raw {
		text[i] = codeAlphabet[b%32]
	}
	return string(append(text, checkOf(text)...))
}

func checkOf(text []byte) []byte {
	sum := 0
	for _, c := range text {
		sum = (sum*32 + strings.IndexByte(codeAlphabet, c)) % codePrime
	}
	sum = sum * 1024 % codePrime // as if the two check characters stood there as zeros
	check := (codePrime - sum) % codePrime
	return []byte{codeAlphabet[check/32], codeAlphabet[check%32]}
}

// ShowCode is a code as people read it: 7K3M-0QXA-9ZPC.
func ShowCode(code string) string {
	return code[:4] + "-" + code[4:8] + "-" + code[8:]
}

// readCode is a code as it was typed: small letters, blanks and dashes do not
// matter, O is 0, I and L are 1.
func readCode(typed string) (string, error) {
	wrong := fault.New(fault.Invalid, "join_code.typed", "This is no join code: it has 12 letters and digits, and at least one of these is wrong").
		At("/code", "mistyped", "compare it with the paper; the letters O, I, L and U are never in one")
	if len(typed) > 40 {
		return "", wrong
	}
	var text []byte
	for _, c := range strings.ToUpper(typed) {
		switch c {
		case ' ', '-', '\t', '\n':
			continue
		case 'O':
			c = '0'
		case 'I', 'L':
			c = '1'
		}
		if c > 'Z' || strings.IndexByte(codeAlphabet, byte(c)) < 0 {
			return "", wrong
		}
		text = append(text, byte(c))
	}
	if len(text) != codeRandom+2 || string(checkOf(text[:codeRandom])) != string(text[codeRandom:]) {
		return "", wrong
	}
	return string(text), nil
}

// hashCode is what is kept of a code. It has 50 random bits, and guesses are few:
// no slow hash is needed.
func hashCode(code string) string {
	sum := sha256.Sum256([]byte("join code " + code))
	return hex.EncodeToString(sum[:])
}
