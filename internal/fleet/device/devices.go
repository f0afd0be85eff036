package device

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/vault"
	"github.com/qanat-water/qanat/internal/fleet/ca"
	"github.com/qanat-water/qanat/internal/fleet/reading"
	"github.com/qanat-water/qanat/internal/fleet/refusal"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// Config of the register.
type Config struct {
	Ledger   *ledger.Ledger
	Vault    *vault.Vault
	CA       *ca.CA
	Readings *reading.Store
	Refusals *refusal.Book
	Log      *slog.Logger

	Life      time.Duration // of a certificate; 0: 60 days
	CodeLife  time.Duration // of a claim code; 0: 14 days
	SlowClaim time.Duration // a failed claim takes this long; 0: 400 ms
}

// Devices is the register. It is for use by any number of goroutines.
type Devices struct {
	c   Config
	key []byte // of the claim codes' hashes

	claims struct {
		sync.Mutex
		by map[string]*rate.Limiter // by address prefix
	}

	hooks struct {
		sync.Mutex
		fns []func(device string, holds func(fingerprint string) bool)
	}
	changed  queue[string, struct{}]          // devices whose document changed
	appeared queue[string, []reading.Channel] // channels that appeared

	stop   context.CancelFunc
	done   sync.WaitGroup
	silent func() // ends the ledger's watch
}

// Open starts the register's two quiet jobs: telling doors whose right has
// ended, and noting new channels.
func Open(c Config) *Devices {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Life == 0 {
		c.Life = 60 * 24 * time.Hour
	}
	if c.CodeLife == 0 {
		c.CodeLife = 14 * 24 * time.Hour
	}
	if c.SlowClaim == 0 {
		c.SlowClaim = 400 * time.Millisecond
	}
	ctx, stop := context.WithCancel(context.Background())
	d := &Devices{c: c, key: c.Vault.Derive("fleet/device claim codes", 32), stop: stop}
	d.claims.by = map[string]*rate.Limiter{}
	d.changed.init()
	d.appeared.init()
	d.silent = c.Ledger.Watch(func(entries []ledger.Entry) {
		for _, e := range entries {
			if e.Kind == Noun.Name {
				d.changed.add(e.Doc, func(struct{}) struct{} { return struct{}{} })
			}
		}
	})
	d.done.Go(func() { d.tellDoors(ctx) })
	d.done.Go(func() { d.noteChannels(ctx) })
	if c.Ledger.Store().Engine() == store.Postgres {
		d.done.Go(func() { d.followOthers(ctx) })
	}
	return d
}

// Close ends the jobs.
func (d *Devices) Close() {
	d.silent()
	d.stop()
	d.done.Wait()
}

// New is what a person says of a device that is to be registered.
type New struct {
	Serial string `json:"serial"`
	Name   string `json:"name,omitempty" doc:"its serial number, unless given"`
	Model  string `json:"model,omitempty"`
	Site   string `json:"site,omitempty"`
	Branch string `json:"branch"`
}

// Register allows a device to claim.
func (d *Devices) Register(ctx context.Context, actor ledger.Actor, org string, n New, reason string) (doc ledger.Doc[Device], err error) {
	if n.Name == "" {
		n.Name = n.Serial
	}
	body := Device{Serial: n.Serial, Name: n.Name, Model: n.Model, Site: n.Site, Branch: n.Branch, State: Registered}
	err = d.c.Ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		if err := access.Require(tx.Reader, actor, access.Create, access.Thing{Kind: Noun.Name, Org: org, Branch: n.Branch}); err != nil {
			return err
		}
		if err := checkSite(tx, "", ledger.Doc[Device]{Org: org, Body: body}); err != nil {
			return err
		}
		doc, err = Noun.Create(tx, org, "", body)
		return err
	})
	return doc, err
}

// Get reads a device.
func (d *Devices) Get(ctx context.Context, actor ledger.Actor, id string) (doc ledger.Doc[Device], err error) {
	err = d.c.Ledger.Read(ctx, func(r *ledger.Reader) error {
		doc, err = get(r, actor, access.See, id)
		return err
	})
	return doc, err
}

// GetAt reads a device as it stood at a time.
func (d *Devices) GetAt(ctx context.Context, actor ledger.Actor, id string, at time.Time) (doc ledger.Doc[Device], err error) {
	err = d.c.Ledger.Read(ctx, func(r *ledger.Reader) error {
		past, err := r.At("", at)
		if err != nil {
			return err
		}
		if doc, err = Noun.Get(past, id); err != nil {
			return err
		}
		set, err := access.Principals(r, actor)
		if err != nil {
			return err
		}
		return set.RequireThen(r, access.See, thing(doc))
	})
	return doc, err
}

func get(r *ledger.Reader, actor ledger.Actor, verb access.Verb, id string) (ledger.Doc[Device], error) {
	doc, err := Noun.Get(r, id)
	if err != nil {
		return doc, err
	}
	return doc, access.Require(r, actor, verb, thing(doc))
}

// Filter says which devices to list; empty fields do not filter.
type Filter struct {
	Org, Site string
	State     State
	After     string    // the last one of the page before: its id
	Limit     int       // 1 to 500
	At        time.Time // as they stood then; zero: now
}

// List gives the devices that the actor may see, by name.
func (d *Devices) List(ctx context.Context, actor ledger.Actor, f Filter) (docs []ledger.Doc[Device], err error) {
	if f.Limit < 1 || f.Limit > 500 {
		return nil, fault.Newf(fault.Invalid, "device.limit", "A page has 1 to 500 devices, not %d", f.Limit)
	}
	err = d.c.Ledger.Read(ctx, func(r *ledger.Reader) error {
		set, err := access.Principals(r, actor)
		if err != nil {
			return err
		}
		see := set.Visible
		if !f.At.IsZero() {
			if r, err = r.At(f.Org, f.At); err != nil {
				return err
			}
			see = set.VisibleThen
		}
		where, args, err := see(Noun.Name, access.See)
		if err != nil {
			return err
		}
		and := func(sql string, arg any) {
			args = append(args, arg)
			where += fmt.Sprintf(" AND "+sql, len(args))
		}
		if f.Org != "" {
			and("n.org = $%d", f.Org)
		}
		if f.Site != "" {
			and("n.site = $%d", f.Site)
		}
		if f.State != "" {
			and("n.state = $%d", string(f.State))
		}
		if f.After != "" {
			and("(n.name, n.id) > (SELECT a.name, a.id FROM "+r.From(Noun.Name)+" a WHERE a.id = $%d)", f.After)
		}
		args = append(args, int64(f.Limit))
		docs, err = Noun.List(r, where+fmt.Sprintf(" ORDER BY n.name, n.id LIMIT $%d", len(args)), args...)
		return err
	})
	return docs, err
}

// Change is what a person may change of a device; nil leaves as it is. Channels
// are named by key; only their name and unit change.
type Change struct {
	Name     *string   `json:"name,omitempty"`
	Model    *string   `json:"model,omitempty"`
	Site     *string   `json:"site,omitempty"`
	Branch   *string   `json:"branch,omitempty"`
	Channels []Channel `json:"channels,omitempty"`
}

// Update changes a device.
func (d *Devices) Update(ctx context.Context, actor ledger.Actor, id string, ifRevision int64, c Change, reason string) (doc ledger.Doc[Device], err error) {
	err = d.c.Ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		was, err := get(tx.Reader, actor, access.Edit, id)
		if err != nil {
			return err
		}
		if c.Branch != nil && *c.Branch != was.Body.Branch { // moving it takes the right at both ends
			if err := access.Require(tx.Reader, actor, access.Create, access.Thing{Kind: Noun.Name, Org: was.Org, Branch: *c.Branch}); err != nil {
				return err
			}
		}
		doc, err = Noun.Update(tx, id, ifRevision, func(b *Device) error {
			for from, to := range map[*string]*string{c.Name: &b.Name, c.Model: &b.Model, c.Site: &b.Site, c.Branch: &b.Branch} {
				if from != nil {
					*to = *from
				}
			}
			return renameChannels(b.Channels, c.Channels)
		})
		return err
	})
	return doc, err
}

func renameChannels(have, want []Channel) error {
	for i, w := range want {
		found := false
		for j := range have {
			if have[j].Key == w.Key {
				have[j].Name, have[j].Unit, found = w.Name, w.Unit, true
			}
		}
		if !found {
			return fault.New(fault.Invalid, "device.channel", "The device has no such channel").
				At(fmt.Sprintf("/channels/%d/key", i), fmt.Sprintf("No channel %.70q", w.Key), "Channels appear with their first reading")
		}
	}
	return nil
}

// Revoke ends a device's right to come in, at once.
func (d *Devices) Revoke(ctx context.Context, actor ledger.Actor, id, reason string) (doc ledger.Doc[Device], err error) {
	if reason == "" {
		return doc, fault.New(fault.Invalid, "device.reason", "A revocation needs a reason").At("/reason", "Missing", "Say why in a few words")
	}
	err = d.c.Ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		if _, err := get(tx.Reader, actor, access.Revoke, id); err != nil {
			return err
		}
		doc, err = Noun.Update(tx, id, 0, func(b *Device) error {
			b.State, b.Claim = Revoked, nil
			for i := range b.Certificates {
				if b.Certificates[i].Revoked == nil {
					at := tx.Now.UTC()
					b.Certificates[i].Revoked = &at
				}
			}
			return nil
		})
		return err
	})
	return doc, err
}

// RevocationList is the signed list of every revoked certificate that has not expired.
func (d *Devices) RevocationList(ctx context.Context) ([]byte, error) {
	var revoked []ca.Revoked
	err := d.c.Ledger.Read(ctx, func(r *ledger.Reader) error {
		now := d.c.Ledger.Now()
		after := ""
		for { // a certificate may be revoked while its device goes on with another
			docs, err := Noun.List(r, "n.id > $1 ORDER BY n.id LIMIT 500", after)
			if err != nil {
				return err
			}
			for _, doc := range docs {
				for _, c := range doc.Body.Certificates {
					if c.Revoked != nil && now.Before(c.NotAfter) {
						revoked = append(revoked, ca.Revoked{Serial: c.Serial, At: *c.Revoked})
					}
				}
				after = doc.ID
			}
			if len(docs) < 500 {
				return nil
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return d.c.CA.RevocationList(revoked)
}

// Latest gives the newest values of a device.
func (d *Devices) Latest(ctx context.Context, actor ledger.Actor, id string) ([]reading.Latest, error) {
	if _, err := d.Get(ctx, actor, id); err != nil {
		return nil, err
	}
	return d.c.Readings.Latest(ctx, id)
}

// Range gives the values of a device over a span; span.Device is set to id.
func (d *Devices) Range(ctx context.Context, actor ledger.Actor, id string, span reading.Span) ([]reading.Series, error) {
	if _, err := d.Get(ctx, actor, id); err != nil {
		return nil, err
	}
	span.Device = id
	return d.c.Readings.Range(ctx, span)
}

// LastSeen tells when a device was last heard of.
func (d *Devices) LastSeen(ctx context.Context, actor ledger.Actor, id string) (time.Time, error) {
	if _, err := d.Get(ctx, actor, id); err != nil {
		return time.Time{}, err
	}
	return d.c.Readings.LastSeen(ctx, id)
}

// States gives what a device said of itself, the newest first; kind is "state" or "ack".
func (d *Devices) States(ctx context.Context, actor ledger.Actor, id, kind string, limit int) ([]reading.Said, error) {
	if _, err := d.Get(ctx, actor, id); err != nil {
		return nil, err
	}
	return d.c.Readings.States(ctx, id, kind, limit)
}

// Messages gives the last messages of a device that were refused, with the reasons.
func (d *Devices) Messages(ctx context.Context, actor ledger.Actor, id string) ([]refusal.Message, error) {
	if _, err := d.Get(ctx, actor, id); err != nil {
		return nil, err
	}
	return d.c.Refusals.Messages(ctx, id)
}

// RefusalsOf gives an organization's refused connections, the last first. Those
// of nobody's certificates belong to no organization: they are shown to the only
// one of a server, and otherwise to jobs of the server.
func (d *Devices) RefusalsOf(ctx context.Context, actor ledger.Actor, org string, limit int) ([]refusal.Row, error) {
	var organizations int
	err := d.c.Ledger.Read(ctx, func(r *ledger.Reader) error {
		if err := access.Require(r, actor, access.See, access.Thing{Kind: "refusal", ID: org, Org: org, Branch: org}); err != nil {
			return err
		}
		_, err := r.Row([]any{&organizations}, `SELECT count(*) FROM branch WHERE parent = ''`)
		return err
	})
	if err != nil {
		return nil, err
	}
	rows, err := d.c.Refusals.List(ctx, org, limit)
	if err != nil || organizations != 1 || org == "" {
		return rows, err
	}
	nobodys, err := d.c.Refusals.List(ctx, "", limit)
	rows = append(rows, nobodys...)
	slices.SortFunc(rows, func(a, b refusal.Row) int { return b.Last.Compare(a.Last) })
	return rows[:min(len(rows), limit)], err
}
