package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/blob"
	"github.com/qanat-water/qanat/internal/base/clock"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/mail"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/vault"
	"github.com/qanat-water/qanat/internal/field/response"
	"github.com/qanat-water/qanat/internal/field/site"
	"github.com/qanat-water/qanat/internal/field/survey"
	"github.com/qanat-water/qanat/internal/fleet/ca"
	"github.com/qanat-water/qanat/internal/fleet/device"
	"github.com/qanat-water/qanat/internal/fleet/reading"
	"github.com/qanat-water/qanat/internal/fleet/refusal"
	"github.com/qanat-water/qanat/internal/keep/erasure"
	"github.com/qanat-water/qanat/internal/keep/export"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/activity"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/server"
)

// where says where a server's data is: flags that most commands share.
type where struct {
	Data     string `help:"Directory of the server's data: master key, embedded database, files." default:"qanat-data" type:"path" env:"QANAT_DATA"`
	Database string `help:"PostgreSQL to use instead of the embedded database: postgres://user@host/name. Passwords belong into ~/.pgpass or PGPASSFILE." env:"QANAT_DATABASE" placeholder:"URL"`

	witnesses []ledger.Witness // of the configuration, for serve
}

func (w where) keyFile() string { return filepath.Join(w.Data, "master.key") }

// house is everything between the base and the doors.
type house struct {
	store     *store.Store
	vault     *vault.Vault
	blobs     *blob.Store
	ledger    *ledger.Ledger
	accounts  *account.Service
	people    *org.Service
	activity  *activity.Service
	sites     *site.Service
	surveys   *survey.Service
	responses *response.Service
	ca        *ca.CA
	readings  *reading.Store
	refusals  *refusal.Book
	devices   *device.Devices
	archive   *export.Service
	erasures  *erasure.Service
	mail      *mail.Sender // nil: no SMTP server is configured
	server    *server.Service
	close     []func()
}

func nouns() []ledger.Kind {
	var all []ledger.Kind
	for _, some := range [][]ledger.Kind{
		account.Nouns(), org.Nouns(), {&access.Grants}, activity.Nouns(), server.Nouns(), site.Nouns(), survey.Nouns(), response.Nouns(), erasure.Nouns(), {ca.Noun, device.Noun, &export.Downloads},
	} {
		all = append(all, some...)
	}
	return all
}

// openBase opens keys, database and files. The lock keeps a second process from
// the same directory.
func openBase(ctx context.Context, w where, log *slog.Logger) (h *house, err error) {
	h = &house{}
	defer func() {
		if err != nil {
			h.Close()
		}
	}()
	if _, err := os.Stat(w.keyFile()); errors.Is(err, fs.ErrNotExist) {
		return h, fault.Newf(fault.NotFound, "data.missing", "There is no server in %s", w.Data).
			WithMend("Run 'qanat init --data " + w.Data + "' first, or name the right directory with --data")
	}
	lock, err := lockDirectory(w.Data)
	if err != nil {
		return h, err
	}
	h.close = append(h.close, lock)
	if h.vault, err = vault.Open(w.keyFile()); err != nil {
		return h, err
	}
	if w.Database == "" {
		h.store, err = store.OpenSQLite(ctx, filepath.Join(w.Data, "qanat.db"), h.vault.Derive("database file", 32))
	} else {
		h.store, err = store.OpenPostgres(ctx, w.Database)
	}
	if err != nil {
		return h, err
	}
	h.close = append(h.close, func() { logged(log, "close database", h.store.Close()) })
	h.blobs, err = blob.Open(filepath.Join(w.Data, "blobs"), h.vault)
	return h, err
}

// openLedger opens the base and the ledger: all that verification needs.
func openLedger(ctx context.Context, w where, inspect bool, log *slog.Logger) (h *house, err error) {
	if h, err = openBase(ctx, w, log); err != nil {
		return h, err
	}
	defer func() {
		if err != nil {
			h.Close()
		}
	}()
	config := h.ledgerConfig(w, log)
	config.Inspect, config.Witnesses = inspect, w.witnesses
	if h.ledger, err = ledger.Open(ctx, config); err != nil {
		return h, err
	}
	h.close = append(h.close, func() { logged(log, "close ledger", h.ledger.Close()) })
	return h, nil
}

func (h *house) ledgerConfig(w where, log *slog.Logger) ledger.Config {
	return ledger.Config{Store: h.store, Vault: h.vault, Nouns: nouns(), Origin: origin(h.vault), CheckpointDir: filepath.Join(w.Data, "checkpoints"), Log: log}
}

// origin names the ledger in its checkpoints; it is the server's own, whatever
// its address is.
func origin(v *vault.Vault) string {
	return fmt.Sprintf("qanat/%x", v.Derive("ledger origin", 8))
}

// openHouse opens everything up to the doors.
func openHouse(ctx context.Context, w where, name string, log *slog.Logger) (h *house, err error) {
	if h, err = openLedger(ctx, w, false, log); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			h.Close()
		}
	}()
	h.accounts = account.New(account.Config{Ledger: h.ledger, Vault: h.vault, Server: name})
	h.people = org.New(h.ledger, h.accounts)
	h.activity = &activity.Service{Ledger: h.ledger}
	h.close = append(h.close, h.activity.Close)
	h.sites = site.New(h.ledger, h.blobs)
	h.close = append(h.close, h.sites.Close)
	h.surveys = &survey.Service{Ledger: h.ledger, Blobs: h.blobs}
	h.responses = &response.Service{Ledger: h.ledger, Blobs: h.blobs, Sites: site.Find}
	if h.ca, err = ca.Open(ctx, h.ledger, h.vault, clock.System); err != nil {
		return h, err
	}
	if h.refusals, err = refusal.Open(ctx, h.store, clock.System, log); err != nil {
		return h, err
	}
	h.close = append(h.close, h.refusals.Close)
	if h.readings, err = reading.Open(ctx, reading.Config{
		Store: h.store, Log: log, NewChannels: func(device string, channels []reading.Channel) { h.devices.Appeared(device, channels) },
	}); err != nil {
		return h, err
	}
	h.close = append(h.close, h.readings.Close)
	h.devices = device.Open(device.Config{Ledger: h.ledger, Vault: h.vault, CA: h.ca, Readings: h.readings, Refusals: h.refusals, Log: log})
	h.close = append(h.close, h.devices.Close)
	h.server = &server.Service{Ledger: h.ledger, Accounts: h.accounts}
	h.archive = &export.Service{Ledger: h.ledger, Blobs: h.blobs, Readings: h.readings}
	h.erasures = &erasure.Service{Ledger: h.ledger, Blobs: h.blobs, Readings: h.readings, Refusals: h.refusals}
	return h, nil
}

// sweepEvery is how often what has expired is cleared away, retentionHour when
// organizations' own times for keeping data are looked at.
const (
	sweepEvery    = time.Hour
	retentionHour = 2
)

// jobs runs what a serving house does by itself: it goes on with imports that
// the last end interrupted, clears expired sessions, and erases what is due, until ctx ends.
func (h *house) jobs(ctx context.Context, log *slog.Logger) {
	logged(log, "resume imports", h.sites.Resume(ctx))
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		_, err := h.accounts.Sweep(ctx)
		logged(log, "sweep sessions", err)
		_, err = h.erasures.Carry(ctx)
		logged(log, "carry out erasures", err)
		if time.Now().Hour() == retentionHour {
			logged(log, "retention", h.erasures.Nightly(ctx))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// visits ends break-glass visits whose time is over, until ctx ends. The first
// look is before anything is served.
func (h *house) visits(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_, err := h.server.Sweep(ctx)
			logged(log, "end break-glass", err)
		case <-ctx.Done():
			return
		}
	}
}

// Close closes in the opposite order of opening.
func (h *house) Close() {
	for i := len(h.close) - 1; i >= 0; i-- {
		h.close[i]()
	}
	h.close = nil
}

func logged(log *slog.Logger, what string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) { // else the server is on its way out
		log.Error(what, "error", err)
	}
}

// newLog writes to standard error, as text; level is debug, info, warn or error.
func newLog(level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(strings.ToUpper(level))); err != nil {
		l = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l}))
}
