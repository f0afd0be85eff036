// Package sim is the world outside a server: a district that exists nowhere,
// with its water points, the people's phones and the devices. The demo and the
// load rigs use it.
//
// Phones and devices are clients and nothing else: they speak OpenRosa over
// HTTPS as ODK Collect does, claim with a certificate request, and publish by
// MQTT over mutual TLS through Eclipse Paho. The package reads no database and
// knows no service of the server, so what works here works from outside.
//
// It guarantees that the same seed gives the same district, visits and readings,
// and that no error of a phone names the phone's token, which stands in its address.
//
// Limits: the signals are plausible, not hydraulics; a phone has one form open at
// a time. Who controls this package controls what the simulated phones and
// devices send, with their rights and no more.
package sim

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Net is how a client reaches the server.
type Net struct {
	Root *x509.CertPool // authority of the server's certificates
	Name string         // that its certificate has, for example localhost
	From string         // own address, for example 127.0.0.9; "" or one that cannot be had: whichever
	Web  string         // host:port of the HTTPS door
}

// dial connects from the client's own address, so that many clients on one
// machine are as many addresses to the server. Where the system has only one
// loopback address, they share it.
func (n Net) dial(ctx context.Context, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	if ip := net.ParseIP(n.From); ip != nil {
		d.LocalAddr = &net.TCPAddr{IP: ip}
		conn, err := d.DialContext(ctx, "tcp", address)
		var op *net.OpError
		if err == nil || !errors.As(err, &op) || op.Op != "dial" || ctx.Err() != nil {
			return conn, err
		}
		d.LocalAddr = nil
	}
	return d.DialContext(ctx, "tcp", address)
}

func (n Net) tls() *tls.Config {
	return &tls.Config{RootCAs: n.Root, ServerName: n.Name, MinVersion: tls.VersionTLS12}
}

// client speaks HTTPS, whatever host an address names, to the server.
func (n Net) client() *http.Client {
	return &http.Client{
		Timeout: time.Minute,
		Transport: &http.Transport{
			TLSClientConfig:     n.tls(),
			DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return n.dial(ctx, n.Web) },
			MaxIdleConnsPerHost: 1, IdleConnTimeout: 15 * time.Second,
		},
	}
}

// bare takes the address, and with it a phone's token, out of an error of net/http.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
