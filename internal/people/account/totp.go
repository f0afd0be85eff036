package account

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" // #nosec G505 -- RFC 6238 as every authenticator app does it
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"
)

const (
	totpPeriod  = 30 // seconds
	totpDigits  = 6
	totpSeed    = 20 // bytes
	totpPurpose = "totp seeds"
)

var seedText = base32.StdEncoding.WithPadding(base32.NoPadding)

// totpCode is the code of a time step (RFC 6238 with HMAC-SHA1).
func totpCode(seed []byte, step int64, digits int) string {
	mac := hmac.New(sha1.New, seed)
	binary.Write(mac, binary.BigEndian, step)
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	number := binary.BigEndian.Uint32(sum[at:at+4]) & 0x7fffffff
	modulus := uint32(1)
	for range digits {
		modulus *= 10
	}
	return fmt.Sprintf("%0*d", digits, number%modulus)
}

// totpStep is the step that a code is right for: the present one, the one before
// or after, later than the last one used. 0: none.
func totpStep(seed []byte, code string, now time.Time, used int64) int64 {
	code = strings.ReplaceAll(code, " ", "")
	present := now.Unix() / totpPeriod
	found := int64(0)
	for step := present - 1; step <= present+1; step++ {
		if subtle.ConstantTimeCompare([]byte(totpCode(seed, step, totpDigits)), []byte(code)) == 1 && step > used {
			found = step
		}
	}
	return found
}

func newSeed() []byte {
	seed := make([]byte, totpSeed)
	rand.Read(seed)
	return seed
}

// totpURI is what authenticator apps read from a QR code.
func totpURI(server, email string, seed []byte) string {
	q := url.Values{"secret": {seedText.EncodeToString(seed)}, "issuer": {server}, "algorithm": {"SHA1"}, "digits": {"6"}, "period": {"30"}}
	return "otpauth://totp/" + url.PathEscape(server+":"+email) + "?" + strings.ReplaceAll(q.Encode(), "+", "%20")
}

// Code is the code that an authenticator app shows for a secret, as simulated
// people need it.
func Code(secret string, now time.Time) (string, error) {
	seed, err := seedText.DecodeString(strings.ToUpper(secret))
	if err != nil {
		return "", fmt.Errorf("totp secret: %w", err)
	}
	return totpCode(seed, now.Unix()/totpPeriod, totpDigits), nil
}
