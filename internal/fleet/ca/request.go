package ca

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
)

// requestLimit bounds a certificate request: an RSA-4096 one has 1.7 KB.
const requestLimit = 8 << 10

// Request is a certificate request whose key is strong and whose sender has
// proven to hold it.
type Request struct{ key any }

// ParseRequest reads a PKCS#10 request, PEM or DER.
func ParseRequest(in []byte) (*Request, error) {
	if len(in) > requestLimit {
		return nil, bad("The certificate request is too long", "Send a PKCS#10 request of at most 8 KiB")
	}
	der := in
	if strings.HasPrefix(strings.TrimSpace(string(in)), "-----BEGIN") {
		block, rest := pem.Decode(in)
		if block == nil || block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" {
			return nil, bad("This is not a certificate request", "Send the output of: openssl req -new -key device.key -subj /CN=device")
		}
		if strings.TrimSpace(string(rest)) != "" {
			return nil, bad("There is more than one thing in the certificate request", "Send the request alone, never the key")
		}
		der = block.Bytes
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, bad("The certificate request cannot be read", "Send the output of: openssl req -new -key device.key -subj /CN=device").Because(err)
	}
	// The key is judged before its signature: checking one under a giant key would cost seconds.
	if err := strong(csr.PublicKey); err != nil {
		return nil, err
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, bad("The certificate request is not signed by the key inside it", "Make a new request with the device's own key").Because(err)
	}
	return &Request{csr.PublicKey}, nil
}

func strong(key any) error {
	const mend = "Make a key with: openssl ecparam -genkey -name prime256v1"
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() || k.Curve == elliptic.P384() || k.Curve == elliptic.P521() {
			return nil
		}
		return bad("The key's curve is not strong enough", mend)
	case ed25519.PublicKey:
		return nil
	case *rsa.PublicKey:
		if k.N.BitLen() >= 2048 && k.N.BitLen() <= 4096 && k.E >= 65537 {
			return nil
		}
		return bad("An RSA key must have 2048 to 4096 bits and an exponent of at least 65537", mend)
	}
	return bad("Keys of this kind are not accepted", mend)
}

func bad(message, mend string) *fault.Error {
	return fault.New(fault.Invalid, "ca.request", message).At("/csr", message, mend).WithMend(mend)
}
