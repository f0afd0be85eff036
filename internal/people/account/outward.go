package account

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
)

// What is asked of providers leaves this machine, to addresses that an admin of an
// organization has written down: so only over HTTPS, only to the public network,
// with bounded answers and times, and without following anybody elsewhere.
const (
	outwardTime = 10 * time.Second
	outwardSize = 1 << 20
)

// outward is the client for that. loopback lets it reach this machine, for tests.
func outward(loopback bool) *http.Client {
	dial := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || !mayReach(at.Addr().Unmap(), loopback) {
			return fmt.Errorf("provider: %s is no public address", address)
		}
		return nil
	}}
	return &http.Client{
		Timeout: outwardTime,
		Transport: bounded{&http.Transport{
			DialContext: dial.DialContext, TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: 5 * time.Second,
			MaxIdleConns: 10, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
		}, loopback},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

var shared = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2002::/16"),
}

func mayReach(at netip.Addr, loopback bool) bool {
	if at.IsLoopback() {
		return loopback
	}
	for _, p := range shared {
		if p.Contains(at) {
			return false
		}
	}
	return at.IsGlobalUnicast() && !at.IsPrivate()
}

// bounded refuses what is not HTTPS, and cuts answers that are too long.
type bounded struct {
	next     http.RoundTripper
	loopback bool
}

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := secureURL(r.URL, b.loopback); err != nil {
		return nil, err
	}
	answer, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = struct {
		io.Reader
		io.Closer
	}{&cut{answer.Body, outwardSize}, answer.Body}
	return answer, nil
}

type cut struct {
	from io.Reader
	left int
}

func (c *cut) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.New("provider: the answer is too long")
	}
	n, err := c.from.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

func secureURL(u *url.URL, loopback bool) error {
	host := u.Hostname()
	ip := net.ParseIP(host)
	local := host == "localhost" || ip != nil && ip.IsLoopback()
	if host == "" || u.User != nil || u.Scheme != "https" && !(u.Scheme == "http" && local && loopback) {
		return fault.New(fault.Invalid, "provider.address", "A provider is reached over HTTPS").
			At("/issuer", "not an HTTPS address", "write it as the provider gives it: https://login.example.org")
	}
	return nil
}

// provenDomain tells whether an organization has proved that a domain is its own.
func (s *Service) provenDomain(ctx context.Context, organization, domain string) (bool, error) {
	ctx, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	lines, err := s.lookupTXT(ctx, "_qanat."+domain)
	var none *net.DNSError
	if errors.As(err, &none) {
		return false, nil
	}
	for _, line := range lines {
		if line == DomainProof(organization) {
			return true, nil
		}
	}
	return false, err
}

// DomainProof is the TXT record that an organization puts under _qanat of its domain.
func DomainProof(organization string) string { return "qanat-organization=" + organization }
