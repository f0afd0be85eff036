package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/qanat-water/qanat/internal/base/mail"
	"github.com/qanat-water/qanat/internal/door/mqtt"
	"github.com/qanat-water/qanat/internal/door/openrosa"
	"github.com/qanat-water/qanat/internal/door/portal"
	"github.com/qanat-water/qanat/internal/door/web"
	"github.com/qanat-water/qanat/internal/guard"
)

type serveCommand struct {
	where
	Listen string `help:"Address of the HTTPS door. Default: 127.0.0.1:8443." placeholder:"ADDR"`
	MQTT   string `name:"mqtt" help:"Address of the device door (MQTT over mutual TLS). Default: 127.0.0.1:8883." placeholder:"ADDR"`
	Config string `help:"Configuration file, TOML." type:"existingfile" placeholder:"FILE"`
}

// Limits of the HTTPS door.
const (
	connections      = 10_000
	connectionsOfOne = 500 // of one address
	headerTime       = 10 * time.Second
	requestTime      = 60 * time.Second // uploads and downloads prolong theirs while they move
	idleTime         = 2 * time.Minute
	maxHeaderBytes   = 32 << 10
	streamsPerClient = 100
	// Requests of one address at the phones' door: an office sends its day's forms from one.
	phonePerSecond = 50
	phoneBurst     = 500
	addressesKnown = 100_000

	goodbyeTime = 15 * time.Second
)

// Run serves until it is told to stop.
func (c *serveCommand) Run(ctx context.Context) error {
	conf, err := c.configured()
	if err != nil {
		return err
	}
	log := newLog(conf.Log)
	if c.witnesses, err = conf.witnesses(); err != nil {
		return err
	}
	sender, err := conf.Mail.sender(log)
	if err != nil {
		return err
	}
	began := time.Now()
	h, err := openHouse(ctx, c.where, conf.Name, log)
	if err != nil {
		sender.Close()
		return err
	}
	defer h.Close()
	h.mail = sender
	h.close = append(h.close, sender.Close) // before the ledger: what becomes of a mail is written there
	h.people.Mails(h.mail, conf.Name)
	if h.mail != nil {
		h.server.Notify = func(ctx context.Context, to, subject, text string) error {
			return h.mail.Send(ctx, mail.Message{To: to, Subject: subject, Text: text})
		}
		h.accounts.Mails(func(ctx context.Context, to, subject, text string) {
			if err := h.mail.Send(ctx, mail.Message{To: to, Subject: subject, Text: text}); err != nil {
				log.Warn("a security notice was not sent", "error", err)
			}
		})
	}
	doors, err := h.openDoors(ctx, conf, c.Data, log)
	if err != nil {
		return err
	}
	log.Info("serving", "portal", doors.url(conf), "mqtt", doors.mqtt.Addr().String(), "version", versionText(), "started_in", time.Since(began).Round(time.Millisecond))
	working, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { h.jobs(working, log) })
	work.Go(func() { h.visits(working, log) })
	defer work.Wait()
	defer stop()
	return doors.run(ctx)
}

func (c *serveCommand) configured() (config, error) {
	conf, err := readConfig(c.Config)
	if c.Listen != "" {
		conf.Listen = c.Listen
	}
	if c.MQTT != "" {
		conf.MQTT = c.MQTT
	}
	return conf, err
}

// doors are the open doors of a house.
type doors struct {
	web, mqtt         net.Listener
	server            *http.Server
	devices           *mqtt.Door
	admin             net.Listener // for qanat admin, of the same user
	adminAPI          *http.Server
	closing           chan struct{} // closed when run is about to end
	deviceCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	log               *slog.Logger
}

// openDoors listens; nothing is answered before run.
func (h *house) openDoors(ctx context.Context, conf config, data string, log *slog.Logger) (*doors, error) {
	certificates := h.ca.Doors(conf.names()...)
	root := filepath.Join(data, "ca.pem")
	if was, err := os.ReadFile(root); err != nil || string(was) != h.ca.DoorRoot() { // others may be reading it
		// #nosec G306 -- a public certificate, for everybody to trust
		if err := os.WriteFile(root, []byte(h.ca.DoorRoot()), 0o644); err != nil {
			return nil, err
		}
	}
	secure, err := webTLS(ctx, conf, data, certificates)
	if err != nil {
		return nil, err
	}
	if _, err := h.server.Sweep(ctx); err != nil { // nobody comes in by a visit that is over
		return nil, err
	}
	d := &doors{log: log, closing: make(chan struct{}), deviceCertificate: certificates.GetCertificate}
	if d.web, err = net.Listen("tcp", conf.Listen); err != nil {
		return nil, fmt.Errorf("HTTPS door: %w", err)
	}
	if d.mqtt, err = net.Listen("tcp", conf.MQTT); err != nil {
		return nil, errors.Join(fmt.Errorf("device door: %w", err), d.web.Close())
	}
	if d.admin, err = openAdmin(data); err != nil {
		return nil, errors.Join(err, d.web.Close(), d.mqtt.Close())
	}
	d.adminAPI = h.adminServer(log)
	h.facts(data, conf, d)
	d.devices = mqtt.New(mqtt.Config{Devices: h.devices, Readings: h.readings, Refusals: h.refusals, Certificate: certificates.GetCertificate, Log: log})
	d.server = &http.Server{
		Handler:           h.handler(conf, d, log),
		TLSConfig:         secure,
		ReadHeaderTimeout: headerTime, ReadTimeout: requestTime, WriteTimeout: requestTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeaderBytes,
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: streamsPerClient},
		ErrorLog: quietLog(log),
	}
	return d, nil
}

// handler is everything behind the HTTPS door.
func (h *house) handler(conf config, d *doors, log *slog.Logger) http.Handler {
	api := web.Handler(web.House{
		Name: conf.Name, Version: versionText(), PublicURL: conf.URL, MQTT: d.deviceAddress(conf),
		Ledger: h.ledger, Blobs: h.blobs, Accounts: h.accounts, People: h.people, Sites: h.sites, Surveys: h.surveys, Responses: h.responses,
		Devices: h.devices, Activity: h.activity, Archive: h.archive, Erasures: h.erasures, Server: h.server, Closing: d.closing, Log: log,
		Connected: func(device string) bool { _, connected := d.devices.Connected(device); return connected },
		Collect: func(base, token, organization string) (string, string, error) {
			address := base + openrosa.Prefix + token + "/projects/" + organization
			picture, err := openrosa.NewSettings(address, conf.Name).SVG()
			return address, picture, err
		},
	})
	mux := http.NewServeMux()
	mux.Handle("/api/", api)
	mux.Handle(openrosa.Prefix, openrosa.New(openrosa.Config{Surveys: h.surveys, Responses: h.responses, Log: log, Rate: guard.NewRate(phonePerSecond, phoneBurst, addressesKnown)}))
	mux.Handle("/", portal.Handler())
	return portal.Headers(mux)
}

// deviceAddress is where devices are told to connect: the public name with the
// device door's port.
func (d *doors) deviceAddress(conf config) string {
	host, port, err := net.SplitHostPort(d.mqtt.Addr().String())
	if err != nil {
		return d.mqtt.Addr().String()
	}
	if name, found := strings.CutPrefix(conf.URL, "https://"); found {
		host, _, _ = strings.Cut(name, ":")
	} else if ip := net.ParseIP(host); ip != nil && (ip.IsLoopback() || ip.IsUnspecified()) {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

func (d *doors) url(conf config) string {
	if conf.URL != "" {
		return conf.URL
	}
	_, port, err := net.SplitHostPort(d.web.Addr().String())
	if err != nil {
		return "https://" + d.web.Addr().String()
	}
	return "https://localhost:" + port
}

// run answers until ctx ends, then lets requests under way finish.
func (d *doors) run(ctx context.Context) error {
	failed := make(chan error, 3)
	go func() { failed <- d.adminAPI.Serve(d.admin) }()
	go func() { failed <- d.devices.Serve(d.mqtt) }()
	go func() {
		failed <- d.server.Serve(tls.NewListener(guard.Listener(d.web, connections, connectionsOfOne), d.server.TLSConfig))
	}()
	var err error
	select {
	case <-ctx.Done():
		d.log.Info("shutting down")
	case err = <-failed:
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbyeTime)
	defer cancel()
	close(d.closing)
	d.devices.Close()
	if e := d.adminAPI.Shutdown(late); e != nil {
		d.log.Warn("qanat admin was cut off", "error", e)
	}
	if e := d.server.Shutdown(late); e != nil {
		e = errors.Join(e, d.server.Close())
		d.log.Warn("some requests were cut off", "error", e)
	}
	if err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// quietLog takes the HTTP server's own complaints, such as handshakes that fail
// because a browser does not know our authority: of interest when debugging.
func quietLog(to *slog.Logger) *log.Logger {
	return log.New(writer(func(p []byte) { to.Debug("https", "error", strings.TrimSpace(string(p))) }), "", 0)
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

type openapiCommand struct{}

// Run prints the description that the portal's typed client is made from.
func (openapiCommand) Run() error {
	spec, err := web.Spec("")
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(append(spec, '\n'))
	return err
}
