package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/qanat-water/qanat/internal/fleet/ca"
)

// webTLS is the HTTPS door's TLS: 1.2 with AEAD ciphers or 1.3, with the
// certificate that the configuration asks for.
func webTLS(ctx context.Context, c config, data string, doors *ca.Doors) (*tls.Config, error) {
	t := &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		GetCertificate: doors.GetCertificate,
		NextProtos:     []string{"h2", "http/1.1"},
	}
	switch {
	case c.TLS.Certificate != "":
		files := &certificateFiles{certificate: c.TLS.Certificate, key: c.TLS.Key}
		if _, err := files.get(nil); err != nil {
			return nil, err
		}
		t.GetCertificate = files.get
	case len(c.TLS.ACME.Domains) > 0:
		magic, err := acme(ctx, c, data)
		if err != nil {
			return nil, err
		}
		t.GetCertificate = magic.GetCertificate
		t.NextProtos = append(t.NextProtos, "acme-tls/1")
	}
	return t, nil
}

// acme manages certificates of an outside authority. Its account and keys stand
// in the data directory.
func acme(ctx context.Context, c config, data string) (*certmagic.Config, error) {
	settings := c.TLS.ACME
	var cache *certmagic.Cache
	quiet := zap.NewNop()
	magic := certmagic.Config{Storage: &certmagic.FileStorage{Path: filepath.Join(data, "acme")}, Logger: quiet}
	cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return certmagic.New(cache, magic), nil }, Logger: quiet,
	})
	managed := certmagic.New(cache, magic)
	template := certmagic.ACMEIssuer{CA: settings.Directory, Email: settings.Email, Agreed: true, DisableHTTPChallenge: true, Logger: quiet}
	if template.CA == "" {
		template.CA = certmagic.LetsEncryptProductionCA
	}
	if settings.Root != "" {
		pem, err := os.ReadFile(settings.Root)
		if err != nil {
			return nil, err
		}
		template.TrustedRoots = x509.NewCertPool()
		if !template.TrustedRoots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", settings.Root)
		}
	}
	managed.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(managed, template)}
	return managed, managed.ManageAsync(ctx, settings.Domains)
}

// certificateFiles reads a certificate and its key again when they change.
type certificateFiles struct {
	certificate, key string

	mu      sync.Mutex
	current *tls.Certificate
	changed time.Time
	looked  time.Time
}

const lookAgain = 10 * time.Second

func (f *certificateFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current != nil && time.Since(f.looked) < lookAgain {
		return f.current, nil
	}
	f.looked = time.Now()
	info, err := os.Stat(f.certificate)
	if err == nil && f.current != nil && info.ModTime().Equal(f.changed) {
		return f.current, nil
	}
	var fresh tls.Certificate
	if err == nil {
		fresh, err = tls.LoadX509KeyPair(f.certificate, f.key)
	}
	if err != nil {
		if f.current != nil {
			return f.current, nil // half-written files: the old one still serves
		}
		return nil, errors.Join(errors.New("certificate files"), err)
	}
	f.current, f.changed = &fresh, info.ModTime()
	return f.current, nil
}
