package account

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"
)

// A device cookie (OWASP, "Slow Down Online Guessing Attacks with Device Cookies")
// says that somebody has signed in to an account from this browser before. It
// gives no right: it lets its browser count attempts by itself, so that nobody
// elsewhere can use them up. It holds one line for each of the last accounts.
const (
	deviceLife    = 365 * 24 * time.Hour
	deviceLines   = 4
	deviceNonce   = 16
	deviceMac     = 16
	deviceLength  = deviceNonce + 8 + deviceMac
	maxDeviceText = 400 // bytes
)

func (s *Service) deviceMac(account string, head []byte) []byte {
	mac := hmac.New(sha256.New, s.vault.Derive("device cookies", 32))
	mac.Write([]byte(account))
	mac.Write(head)
	return mac.Sum(nil)[:deviceMac]
}

// device names the browser when the cookie says that it is known to an account, else "".
func (s *Service) device(account, cookie string) string {
	if account == "" || len(cookie) > maxDeviceText {
		return ""
	}
	for i, line := range strings.Split(cookie, ".") {
		raw, err := base64.RawURLEncoding.DecodeString(line)
		if i >= deviceLines || err != nil || len(raw) != deviceLength {
			continue
		}
		head := raw[:deviceNonce+8]
		ends := time.Unix(int64(binary.BigEndian.Uint64(head[deviceNonce:])), 0) // #nosec G115 -- ours, or the next line refuses it
		if hmac.Equal(s.deviceMac(account, head), raw[deviceNonce+8:]) && s.ledger.Now().Before(ends) {
			return hex.EncodeToString(head[:deviceNonce])
		}
	}
	return ""
}

// DeviceCookie is the device cookie after a sign-in, with the lines of other
// accounts that it had before; "" when nothing is to be changed.
func (s *Service) DeviceCookie(view View, before string) string {
	if view.Needs != NeedsNothing || s.device(view.Account.ID, before) != "" {
		return ""
	}
	head := make([]byte, deviceNonce+8)
	rand.Read(head[:deviceNonce])
	binary.BigEndian.PutUint64(head[deviceNonce:], uint64(s.ledger.Now().Add(deviceLife).Unix())) // #nosec G115 -- after 1970
	lines := []string{base64.RawURLEncoding.EncodeToString(append(head, s.deviceMac(view.Account.ID, head)...))}
	if len(before) <= maxDeviceText {
		for _, line := range strings.Split(before, ".") {
			if len(line) == base64.RawURLEncoding.EncodedLen(deviceLength) && len(lines) < deviceLines {
				lines = append(lines, line)
			}
		}
	}
	return strings.Join(lines, ".")
}
