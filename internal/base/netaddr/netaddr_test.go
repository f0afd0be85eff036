package netaddr_test

import (
	"testing"

	"github.com/qanat-water/qanat/internal/base/netaddr"
)

func TestSenders(t *testing.T) {
	for _, c := range []struct{ remote, host, prefix string }{
		{"127.0.0.1:80", "127.0.0.1", "127.0.0.1"},
		{"127.0.0.1", "127.0.0.1", "127.0.0.1"},
		{"[::ffff:10.1.2.3]:5", "10.1.2.3", "10.1.2.3"},
		{"::ffff:10.1.2.3", "10.1.2.3", "10.1.2.3"},
		{"[2001:db8:1:2:3::4]:99", "2001:db8:1:2:3::4", "2001:db8:1:2::/64"},
		{"2001:db8:1:2:3::4", "2001:db8:1:2:3::4", "2001:db8:1:2::/64"},
		{"[fe80::1%eth0]:1", "fe80::1", "fe80::/64"},
		{"2001:db8:1:2::/64", "2001:db8:1:2::/64", "2001:db8:1:2::/64"},
		{"pipe", "pipe", "pipe"}, {"", "", ""},
	} {
		if host, prefix := netaddr.Host(c.remote), netaddr.Prefix(c.remote); host != c.host || prefix != c.prefix {
			t.Errorf("%q: host %q and prefix %q, want %q and %q", c.remote, host, prefix, c.host, c.prefix)
		}
	}
}
