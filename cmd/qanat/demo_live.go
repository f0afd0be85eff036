package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/qanat-water/qanat/internal/door/openrosa"
	"github.com/qanat-water/qanat/internal/field/response"
	"github.com/qanat-water/qanat/internal/field/site"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/sim"
)

// The pace of a demo that runs. What grows the disk slows down after a while.
const (
	liveReading = 30 * time.Second
	liveForm    = 30 * time.Second
	lateForm    = 10 * time.Minute // after liveForms
	liveForms   = 120
	liveCheck   = 70 * time.Second
	liveKnock   = 45 * time.Second
	messageRows = 200 // readings in one message of the past; the door takes 1,000 values
)

const rememberEvery = time.Minute

// demoPhone is an enumerator's phone.
type demoPhone struct {
	Person string `json:"person"`
	Branch string `json:"branch"`
	Token  string `json:"token"`
	Device string `json:"device"`
}

// demoDevice is a device, where it stands, and what it measures.
type demoDevice struct {
	sim.Device
	Number  int         `json:"number"`
	Model   int         `json:"model"`
	Seed    uint64      `json:"seed"`
	Trouble sim.Trouble `json:"trouble,omitempty"`
	Since   time.Time   `json:"since,omitzero"`
	Stolen  bool        `json:"stolen,omitempty"`
	Name    string      `json:"name"`
	Site    string      `json:"site"`
	Code    string      `json:"code"` // of the site
	Branch  string      `json:"branch"`
	Sent    time.Time   `json:"sent,omitzero"` // the last reading that was acknowledged
}

func (v *demoDevice) signal() sim.Signal {
	return sim.Signal{Model: v.Model, Seed: v.Seed, Trouble: v.Trouble, Since: v.Since}
}

func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// patiently does something again as long as the server asks to wait.
func (d *demo) patiently(ctx context.Context, do func() (*sim.Device, error)) (*sim.Device, error) {
	for {
		made, err := do()
		var slow *sim.Throttled
		if !errors.As(err, &slow) {
			return made, err
		}
		if !wait(ctx, slow.After) {
			return nil, ctx.Err()
		}
	}
}

// phone is an enumerator's form app.
func (d *demo) phone(number int) *sim.Phone {
	p := d.memory.Phones[number]
	phone := sim.NewPhone(d.from(1, number), openrosa.ServerURL("https://"+d.net.Name, p.Token, d.memory.Org), p.Device)
	if number == 1 {
		phone.Limit = 20_000 // an old phone on a bad network: the photo goes in a request of its own
	}
	return phone
}

// places are the water points on the list of an area's enumerators.
func (d *demo) places(ctx context.Context, branch string) ([]sim.Place, error) {
	p, err := d.sites.Points(ctx, ledger.System("qanat demo"), site.Filter{Org: d.memory.Org, Branch: d.memory.Branches[branch], Type: "water_point"})
	places := make([]sim.Place, len(p.IDs))
	for i := range p.IDs {
		places[i] = sim.Place{Code: p.Codes[i], Name: p.Names[i], Status: p.Status[i], Lat: p.Lat[i], Lon: p.Lon[i]}
	}
	return places, err
}

// versions asks a phone's form list for the versions to fill in, and fetches
// the forms, as an app does when it is opened.
func versions(ctx context.Context, p *sim.Phone) (map[string]string, error) {
	listed, err := p.Forms(ctx)
	if err != nil {
		return nil, err
	}
	of := map[string]string{}
	for _, f := range listed {
		if _, err := p.Form(ctx, f); err != nil {
			return nil, err
		}
		of[f.ID] = f.Version
	}
	if of[sim.WaterPointID] == "" || of[sim.HouseholdID] == "" {
		return nil, fmt.Errorf("the form list has %d forms, not both", len(listed))
	}
	return of, nil
}

// sendPast has every phone send what it gathered in the last days, and one a
// form of a version that nobody knows any more.
func (d *demo) sendPast(ctx context.Context) error {
	watched := map[string][]sim.Place{}
	for _, branch := range []string{"north", "south"} {
		places, err := d.places(ctx, branch)
		if err != nil {
			return err
		}
		for _, at := range places {
			for _, v := range d.memory.Devices {
				if v.Code == at.Code {
					watched[branch] = append(watched[branch], at)
				}
			}
		}
	}
	work, ctx1 := errgroup.WithContext(ctx)
	phones := len(d.memory.Phones)
	for number, owner := range d.memory.Phones {
		places, err := d.places(ctx, owner.Branch)
		if err != nil {
			return err
		}
		work.Go(func() error {
			p := d.phone(number)
			defer p.Close()
			of, err := versions(ctx1, p)
			if err != nil {
				return err
			}
			r := rand.New(rand.NewPCG(demoSeed, uint64(number))) // #nosec G404 G115 -- a simulation
			for i := range pastVisits/phones + pastHouseholds/phones {
				ended := time.Now().Add(-time.Duration(2+r.IntN(5*24*60)) * time.Minute).Truncate(time.Second)
				at := places[r.IntN(len(places))]
				if i%4 != 3 && i < 2*len(watched[owner.Branch]) { // where there are sensors, first
					at = watched[owner.Branch][(i+number)%len(watched[owner.Branch])]
				}
				f := sim.Visit(r, of[sim.WaterPointID], p.Device, at, ended)
				if i%4 == 3 {
					f = sim.Household(r, of[sim.HouseholdID], p.Device, at, 100*number+i, ended)
				}
				if _, err := p.Send(ctx1, f); err != nil {
					return err
				}
			}
			if number != 0 {
				return nil
			}
			status, err := p.Send(ctx1, sim.Visit(r, "2024061501", p.Device, places[0], time.Now().Add(-time.Hour)))
			if err == nil && status != http.StatusAccepted {
				err = fmt.Errorf("an unknown version of a form was answered with %d", status)
			}
			return err
		})
	}
	if err := work.Wait(); err != nil {
		return err
	}
	d.say("%d phones have sent their forms of the last days; one waits in quarantine", phones)
	return nil
}

// catchUp has every device come in and send what it has stored since it was last
// heard, at most the past of a new demo.
func (d *demo) catchUp(ctx context.Context) error {
	work, ctx1 := errgroup.WithContext(ctx)
	work.SetLimit(8)
	for _, v := range d.memory.Devices {
		if v.Stolen && !v.Sent.IsZero() {
			continue
		}
		work.Go(func() error {
			link, err := v.Connect(ctx1, d.from(2, v.Number))
			if err != nil {
				return fmt.Errorf("%s: %w", v.Name, err)
			}
			defer func() { _ = link.Close() }() // it comes again when the demo is alive
			return d.sendStored(ctx1, link, v)
		})
	}
	if err := work.Wait(); err != nil {
		return fmt.Errorf("devices: %w", err)
	}
	d.say("%d devices have sent what they stored", len(d.memory.Devices))
	return nil
}

func (d *demo) sendStored(ctx context.Context, link *sim.Link, v *demoDevice) error {
	now := time.Now()
	from := v.Sent
	if oldest := now.Add(-pastReadings); from.Before(oldest) {
		from = oldest
	}
	stored := v.signal().Over(from, now)
	for len(stored) > 0 {
		n := min(len(stored), messageRows)
		if err := link.Publish(ctx, stored[:n]); err != nil {
			return err
		}
		stored = stored[n:]
	}
	d.mu.Lock()
	v.Sent = now
	d.mu.Unlock()
	return nil
}

// traffic keeps phones, devices, people and strangers busy until ctx ends.
func (d *demo) traffic(ctx context.Context) {
	var all sync.WaitGroup
	for _, v := range d.memory.Devices {
		all.Go(func() { d.runDevice(ctx, v) })
	}
	all.Go(func() { d.runPhones(ctx) })
	all.Go(func() { d.every(ctx, liveCheck, "a manager's check", d.checkOne) })
	all.Go(func() { d.knock(ctx) })
	all.Go(func() { d.every(ctx, rememberEvery, "memory", func(context.Context) error { return d.remember() }) })
	all.Wait()
}

// knock has somebody whom nobody knows try the device door.
func (d *demo) knock(ctx context.Context) {
	stranger, err := sim.NewStranger()
	if err != nil {
		d.problem("a stranger", err)
		return
	}
	d.every(ctx, liveKnock, "a stranger", func(ctx context.Context) error {
		if stranger.Knock(ctx, d.from(3, 65), d.mqtt) == nil {
			return errors.New("was let in")
		}
		return nil
	})
}

func (d *demo) every(ctx context.Context, pause time.Duration, what string, do func(context.Context) error) {
	for first := 5 * time.Second; wait(ctx, first); first = pause {
		if err := do(ctx); err != nil && ctx.Err() == nil {
			d.problem(what, err)
		}
	}
}

// runDevice keeps a device connected and sending. A stolen one tries to, and is refused.
func (d *demo) runDevice(ctx context.Context, v *demoDevice) {
	if v.Stolen {
		d.every(ctx, liveKnock, v.Name, func(ctx context.Context) error {
			link, err := v.Connect(ctx, d.from(2, 200))
			if err == nil {
				return errors.Join(errors.New("a revoked device was let in"), link.Close())
			}
			return nil
		})
		return
	}
	if v.Trouble == sim.Silent {
		return
	}
	for pause := time.Duration(0); wait(ctx, pause); pause = 10 * time.Second {
		if err := d.stayConnected(ctx, v); err != nil && ctx.Err() == nil {
			d.problem(v.Name, err)
		}
	}
}

func (d *demo) stayConnected(ctx context.Context, v *demoDevice) error {
	link, err := v.Connect(ctx, d.from(2, v.Number))
	if err != nil {
		return err
	}
	defer func() { _ = link.Close() }() // gone is gone
	if err := link.Say(ctx, map[string]any{"firmware": "2.4.1", "battery": v.signal().Battery(time.Now())}); err != nil {
		return err
	}
	first := time.Duration(v.Number) * liveReading / 50 // not all at once
	for pause := first; ; pause = liveReading {
		select {
		case <-ctx.Done():
			return nil
		case <-link.Gone():
			return errors.New("the connection has ended")
		case <-time.After(pause):
		}
		now := time.Now()
		values, ok := v.signal().At(now)
		if !ok {
			continue
		}
		if err := link.Publish(ctx, []sim.Readings{{TS: now.UnixMilli(), Values: values}}); err != nil {
			return err
		}
		d.mu.Lock()
		v.Sent = now
		d.mu.Unlock()
	}
}

// runPhones sends a form now and then, from one phone after another.
func (d *demo) runPhones(ctx context.Context) {
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1)) // #nosec G404 G115 -- a simulation
	for sent, pause := 0, liveForm; wait(ctx, time.Duration((0.5+r.Float64())*float64(pause))); sent++ {
		if sent == liveForms {
			pause = lateForm
		}
		if err := d.sendOne(ctx, r); err != nil && ctx.Err() == nil {
			d.problem("a phone", err)
		}
	}
}

func (d *demo) sendOne(ctx context.Context, r *rand.Rand) error {
	number := r.IntN(len(d.memory.Phones))
	places, err := d.places(ctx, d.memory.Phones[number].Branch)
	if err != nil {
		return err
	}
	p := d.phone(number)
	defer p.Close()
	of, err := versions(ctx, p)
	if err != nil {
		return err
	}
	at, ended := places[r.IntN(len(places))], time.Now().Add(-time.Minute).Truncate(time.Second)
	f := sim.Visit(r, of[sim.WaterPointID], p.Device, at, ended)
	if r.IntN(4) == 0 {
		d.mu.Lock()
		d.memory.Interviewed++
		household := 1000 + d.memory.Interviewed
		d.mu.Unlock()
		f = sim.Household(r, of[sim.HouseholdID], p.Device, at, household, ended)
	}
	_, err = p.Send(ctx, f)
	return err
}

// checkOne approves the oldest visit that waits, and writes what it found into the site.
func (d *demo) checkOne(ctx context.Context) error {
	page, err := d.responses.List(ctx, d.person("precious"), response.Filter{Org: d.memory.Org, Deployment: d.memory.Visits, State: response.Pending, Limit: 500})
	if err != nil || len(page.Items) <= 12 { // some are left for whoever looks at the demo
		return err
	}
	oldest := page.Items[len(page.Items)-1]
	manager := d.person("grace")
	if oldest.Body.Site != "" {
		at, _, err := d.sites.Get(ctx, ledger.System("qanat demo"), oldest.Body.Site)
		if err != nil {
			return err
		}
		manager = d.keeper(at.Body.Branch)
		shown, err := d.responses.Get(ctx, manager, oldest.ID)
		if err != nil {
			return err
		}
		if status, _ := shown.Doc.Body.Answers["status"].(string); status != "" && status != at.Body.Status {
			at.Body.Status = status
			if _, err := d.sites.Update(ctx, manager, at.ID, at.Revision, at.Body); err != nil {
				return err
			}
		}
	}
	_, err = d.responses.Approve(ctx, manager, oldest.ID, oldest.Revision)
	return err
}
