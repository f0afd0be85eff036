// Package netaddr says what counts as one sender on the network: for limits,
// throttles, and what is written down of an address.
//
// An address with a port, as net gives it, or without one is taken; what is no
// address (a pipe, a test's name) is a sender of its own. An IPv4 address counts
// whole, an IPv6 address by its /64, because one subscriber has all of that.
//
// Limits: people behind one NAT are one sender. Proxies are not believed: the
// address is that of the connection. Who controls this package escapes limits; he
// gains no right.
package netaddr

import "net/netip"

// Host is an address without port and zone; IPv4 written as IPv6 is IPv4.
func Host(remote string) string {
	if a, ok := parse(remote); ok {
		return a.String()
	}
	return remote
}

// Prefix is the part of an address that one sender can hardly leave.
func Prefix(remote string) string {
	a, ok := parse(remote)
	if !ok || a.Is4() {
		return Host(remote)
	}
	p, err := a.Prefix(64)
	if err != nil {
		return a.String()
	}
	return p.String()
}

func parse(remote string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(remote)
	if err != nil {
		with, err := netip.ParseAddrPort(remote)
		if err != nil {
			return netip.Addr{}, false
		}
		a = with.Addr()
	}
	return a.Unmap().WithZone(""), true
}
