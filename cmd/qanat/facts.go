package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/door/web"
	"github.com/qanat-water/qanat/internal/people/server"
)

// facts tells the server's administration how this process does; doors is nil
// when nothing is served.
func (h *house) facts(data string, conf config, d *doors) {
	started := time.Time{}
	if d != nil {
		started = time.Now()
	}
	h.server.URL = conf.URL
	h.server.Facts = func(ctx context.Context) (server.Facts, error) {
		f := server.Facts{Version: versionText(), Started: started, Engine: string(h.store.Engine()), Goroutines: runtime.NumGoroutine(), Mail: h.server.Notify != nil, Limits: limits()}
		var err error
		if f.Database, err = h.databaseSize(ctx, data); err != nil {
			return f, err
		}
		var disk syscall.Statfs_t
		if err := syscall.Statfs(data, &disk); err != nil {
			return f, err
		}
		f.Files = server.Files{Free: disk.Bavail * uint64(disk.Bsize), Total: disk.Blocks * uint64(disk.Bsize)} // #nosec G115 -- sizes of blocks are positive
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		f.Heap, f.System = memory.HeapAlloc, memory.Sys
		waiting, most := h.ledger.Waiting()
		f.Queues = []server.Queue{{Name: "writes to the ledger", Waiting: waiting, Most: most}}
		f.Certificates = []server.Certificate{}
		if d != nil {
			f.Certificates = d.certificates(conf)
		}
		return f, nil
	}
}

func (h *house) databaseSize(ctx context.Context, data string) (size int64, err error) {
	if h.store.Engine() == store.Postgres {
		err = h.store.Read(ctx, func(q *store.Q) error {
			_, err := q.Row([]any{&size}, "SELECT pg_database_size(current_database())")
			return err
		})
		return size, err
	}
	for _, name := range []string{"qanat.db", "qanat.db-wal"} {
		if info, err := os.Stat(filepath.Join(data, name)); err == nil {
			size += info.Size()
		}
	}
	return size, nil
}

// certificates are those that the doors show now. One that cannot be had is left out.
func (d *doors) certificates(conf config) []server.Certificate {
	name := "localhost"
	if u, err := url.Parse(conf.URL); err == nil && u.Hostname() != "" {
		name = u.Hostname()
	}
	if len(conf.TLS.ACME.Domains) > 0 {
		name = conf.TLS.ACME.Domains[0]
	}
	found := []server.Certificate{}
	for _, door := range []struct {
		name string
		get  func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	}{{"the HTTPS door", d.server.TLSConfig.GetCertificate}, {"the device door", d.deviceCertificate}} {
		hello := &tls.ClientHelloInfo{ServerName: name, SupportedVersions: []uint16{tls.VersionTLS13}, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256}}
		c, err := door.get(hello)
		if err != nil || len(c.Certificate) == 0 {
			continue
		}
		leaf := c.Leaf
		if leaf == nil {
			if leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
				continue
			}
		}
		found = append(found, server.Certificate{Door: door.name, Names: namesOf(leaf), Expires: leaf.NotAfter.UTC()})
	}
	return found
}

func namesOf(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, net.IP.String(ip))
	}
	return names
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.0f seconds", d.Seconds()) }

// limits are those in force; they are settled when the program is built.
func limits() []server.Limit {
	all := []server.Limit{
		{Area: "HTTPS door", Name: "connections at once", Value: fmt.Sprint(connections)},
		{Area: "HTTPS door", Name: "connections of one address", Value: fmt.Sprint(connectionsOfOne)},
		{Area: "HTTPS door", Name: "streams of one connection", Value: fmt.Sprint(streamsPerClient)},
		{Area: "HTTPS door", Name: "time for the head of a request", Value: seconds(headerTime)},
		{Area: "HTTPS door", Name: "time for a request, while nothing moves", Value: seconds(requestTime)},
		{Area: "HTTPS door", Name: "size of the head of a request", Value: fmt.Sprintf("%d KiB", maxHeaderBytes>>10)},
		{Area: "Phones", Name: "requests of one address", Value: fmt.Sprintf("%d a second, %d at once", phonePerSecond, phoneBurst)},
	}
	return append(all, web.Limits()...)
}
