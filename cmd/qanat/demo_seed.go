package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/qanat-water/qanat/internal/field/response"
	"github.com/qanat-water/qanat/internal/field/site"
	"github.com/qanat-water/qanat/internal/field/survey"
	"github.com/qanat-water/qanat/internal/fleet/device"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/sim"
)

// Sizes of the past that a new demo has.
const (
	pastVisits     = 96
	pastHouseholds = 36
	pastReadings   = 5 * 24 * time.Hour
)

// seed fills an empty house while its doors are open.
func (d *demo) seed(ctx context.Context, sites int) error {
	district := sim.NewDistrict(demoSeed, sites)
	if err := d.organize(ctx); err != nil {
		return fmt.Errorf("people: %w", err)
	}
	d.say("%d people in %d branches", len(demoPeople), len(d.memory.Branches))
	if err := d.importSites(ctx, district); err != nil {
		return fmt.Errorf("sites: %w", err)
	}
	if err := d.startSurveys(ctx); err != nil {
		return fmt.Errorf("surveys: %w", err)
	}
	if err := d.placeDevices(ctx); err != nil {
		return fmt.Errorf("devices: %w", err)
	}
	both, ctx1 := errgroup.WithContext(ctx)
	both.Go(func() error { return d.installDevices(ctx1) })
	both.Go(func() error {
		if err := d.sendPast(ctx1); err != nil {
			return fmt.Errorf("phones: %w", err)
		}
		if err := d.check(ctx1); err != nil {
			return fmt.Errorf("approvals: %w", err)
		}
		return d.edit(ctx1)
	})
	if err := both.Wait(); err != nil {
		return err
	}
	d.memory.Ready, d.memory.Sites = true, sites
	return d.remember()
}

// resume goes on with a demo that was kept.
func (d *demo) resume(ctx context.Context) error {
	d.say("Going on with %s: %d phones, %d devices", d.dir, len(d.memory.Phones), len(d.memory.Devices))
	for _, v := range d.memory.Devices {
		v.MQTT = d.mqttName // the ports may be others today
	}
	return d.catchUp(ctx)
}

// importSites imports the district's sheets, each as one act, and leaves one waiting with its mistakes.
func (d *demo) importSites(ctx context.Context, district *sim.District) error {
	north := func(area int) bool { return area < district.North }
	type file struct {
		by, branch, kind, name string
		sheet                  []byte
	}
	files := []file{
		{"grace", "north", "water_point", "water-points-north.csv", district.CSV(north)},
		{"limbani", "south", "water_point", "water-points-south.csv", district.CSV(func(area int) bool { return !north(area) })},
	}
	for _, kind := range sim.Kinds {
		files = append(files, file{"davie", "utility", kind, kind + "s.csv", district.NetworkCSV(kind)})
	}
	for _, f := range files {
		view, err := d.sites.Preview(ctx, d.person(f.by), site.NewImport{Org: d.memory.Org, Branch: d.memory.Branches[f.branch], Type: f.kind, Name: f.name}, bytes.NewReader(f.sheet))
		if err != nil {
			return err
		}
		if view.ErrorsTotal > 0 {
			return fmt.Errorf("%s: %+v", f.name, view.Errors)
		}
		if view, err = d.sites.Run(ctx, d.person(f.by), view.ID, nil); err != nil {
			return err
		}
		if view.State != site.Done || view.Creates != view.Rows {
			return fmt.Errorf("%s: %s after %d of %d rows: %s", f.name, view.State, view.Done, view.Rows, view.Message)
		}
		if f.kind == "water_point" {
			d.say("%d water points imported from %s", view.Creates, f.name)
		}
	}
	d.say("%d parts of the piped network and schools", len(district.Network))
	_, err := d.sites.Preview(ctx, d.person("limbani"), site.NewImport{Org: d.memory.Org, Branch: d.memory.Branches["south"], Type: "water_point", Name: "new-boreholes.csv"}, strings.NewReader(newBoreholes))
	return err
}

// newBoreholes waits as a preview: two of its rows have something wrong in them.
const newBoreholes = `water_point_name,lat_deg,lon_deg,status,water_tech,install_year,served_households
Chimwankhwazi Clinic 2,-15.91342,35.04411,functional,Afridev handpump,2025,60
Kumponda Market 3,-15.93117,34.98320,functional,Afridev handpump,2025,85
Likoswe School,-15.89004,350.6120,functional,Afridev handpump,2025,40
Nasawa Dambo,-15.95508,35.01772,functional,Afridev handpump,twenty-five,55
Gulumba,-15.90239,34.96114,partly functional,Solar pump with kiosk,2025,210
`

// startSurveys uploads the forms, deploys them, and sets up a phone for each enumerator.
func (d *demo) startSurveys(ctx context.Context) error {
	m, admin := &d.memory, d.person("thokozani")
	group := func(branch, name string) string { return "group:" + m.Branches[branch] + "/" + name }
	teams := []string{"team:" + m.Teams["northern"], "team:" + m.Teams["southern"]}
	for _, s := range []struct {
		xml  []byte
		body survey.Deployment
		to   *string
	}{
		{sim.WaterPointForm, survey.Deployment{Name: "Monitoring round 2026", Stages: []survey.Stage{{Name: "Area manager", Approvers: []string{group("north", "managers"), group("south", "managers")}}},
			Managers: []string{"person:" + m.People["precious"]}, SiteQuestion: "site_code"}, &m.Visits},
		{sim.HouseholdForm, survey.Deployment{Name: "Baseline, dry season", Managers: []string{"person:" + m.People["precious"]}}, &m.Households},
	} {
		made, err := d.surveys.CreateFromXForm(ctx, admin, m.Org, m.Org, s.xml)
		if err != nil {
			return err
		}
		s.body.Survey, s.body.Active, s.body.Enumerators, s.body.Viewers = made.ID, true, teams, []string{group("", "viewers")}
		deployed, err := d.surveys.Deploy(ctx, admin, s.body)
		if err != nil {
			return err
		}
		*s.to = deployed.ID
	}
	for i, p := range demoPeople {
		if p.group != "northern" && p.group != "southern" {
			continue
		}
		name := []string{"Tecno Spark", "Samsung A05", "Itel A60", "Nokia C12", "Redmi 12C"}[len(m.Phones)%5]
		_, token, err := d.surveys.CreatePhone(ctx, admin, m.Org, m.People[p.key], name)
		if err != nil {
			return err
		}
		m.Phones = append(m.Phones, demoPhone{Person: p.key, Branch: p.branch, Token: token, Device: fmt.Sprintf("collect:%s%02d", p.key[:4], i)})
	}
	d.say("2 surveys deployed, %d phones set up", len(m.Phones))
	return nil
}

// check approves and rejects as the area managers do, so that all states are seen.
func (d *demo) check(ctx context.Context) error {
	page, err := d.responses.List(ctx, d.person("precious"), response.Filter{Org: d.memory.Org, Deployment: d.memory.Visits, State: response.Pending, Limit: 500})
	if err != nil {
		return err
	}
	work, ctx1 := errgroup.WithContext(ctx)
	work.SetLimit(8)
	var recalled bool
	for i, r := range page.Items {
		manager := d.person([]string{"grace", "limbani"}[i%2])
		switch {
		case i%9 == 4:
			reason := rejections[i/9%len(rejections)]
			work.Go(func() error { _, err := d.responses.Reject(ctx1, manager, r.ID, 0, reason); return err })
		case i%9 == 7 && !recalled && r.Body.Enumerator != "":
			recalled = true
			by := d.byID(r.Body.Enumerator)
			work.Go(func() error { _, err := d.responses.Recall(ctx1, by, r.ID, 0); return err })
		case i%3 != 0:
			work.Go(func() error { _, err := d.responses.Approve(ctx1, manager, r.ID, 0); return err })
		}
	}
	for i, phone := range d.memory.Phones[:3] { // begun in the portal, not sent in yet
		places, err := d.places(ctx, phone.Branch)
		if err != nil {
			return err
		}
		at := places[(i*37+11)%len(places)]
		work.Go(func() error {
			_, err := d.responses.Start(ctx1, d.person(phone.Person), d.memory.Visits, map[string]any{"site_code": at.Code, "status": "functional", "remarks": "To be finished at the office."})
			return err
		})
	}
	if err := work.Wait(); err != nil {
		return err
	}
	d.say("%d visits looked at by the area managers", len(page.Items))
	return nil
}

var rejections = []string{
	"The photo does not show the apron. Please visit again.", "The position is 600 m from the water point.", "Flow is empty although the pump works.",
	"This is the neighbouring pump: the code on the photo is another one.",
}

func (d *demo) byID(account string) ledger.Actor {
	for _, p := range demoPeople {
		if d.memory.People[p.key] == account {
			return d.person(p.key)
		}
	}
	return ledger.System("qanat demo")
}

// edit has people correct sites, and takes one correction back.
func (d *demo) edit(ctx context.Context) error {
	for i, e := range []struct {
		by, branch, kind string
		change           func(*site.Site)
	}{
		{"grace", "north", "water_point", func(s *site.Site) { s.Properties["served_households"] = 74.0 }},
		{"grace", "north", "water_point", func(s *site.Site) {
			s.Status, s.Properties["status_detail"] = site.NotFunctional, "Rods stolen in the night"
		}},
		{"limbani", "south", "water_point", func(s *site.Site) { s.Name += " (Old Market)" }},
		{"limbani", "south", "water_point", func(s *site.Site) { s.Status, s.Properties["rehab_year"] = site.Functional, 2025.0 }},
		{"davie", "utility", sim.Tank, func(s *site.Site) { s.Properties["chlorinated"] = true }},
		{"davie", "utility", sim.Pipe, func(s *site.Site) { s.Properties["diameter"] = 110.0 }},
		{"precious", "north", "water_point", func(s *site.Site) { s.Properties["management"] = "private_operator" }},
		{"thokozani", "south", "water_point", func(s *site.Site) { s.Privacy = site.Private }},
		{"precious", "south", "water_point", func(s *site.Site) { s.Name = "DELETE?" }},
	} {
		found, err := d.sites.List(ctx, d.person(e.by), site.Filter{Org: d.memory.Org, Branch: d.memory.Branches[e.branch], Type: e.kind, Limit: 40})
		if err != nil {
			return err
		}
		if len(found.Items) == 0 {
			continue
		}
		was := found.Items[(i*13+5)%len(found.Items)]
		if was.Body.Properties == nil {
			was.Body.Properties = map[string]any{}
		}
		e.change(&was.Body)
		made, err := d.sites.Update(ctx, d.person(e.by), was.ID, was.Revision, was.Body)
		if err != nil {
			return err
		}
		if made.Body.Name == "DELETE?" {
			if _, err := d.activity.Undo(ctx, d.person("thokozani"), made.Entry, "Please ask before renaming a site"); err != nil {
				return err
			}
		}
	}
	return nil
}

// installDevices registers the devices, has them claim, come in, and send what
// they stored. One is stolen and revoked, one is never installed.
func (d *demo) installDevices(ctx context.Context) error {
	if err := d.claimAll(ctx); err != nil {
		return fmt.Errorf("devices: %w", err)
	}
	if err := d.catchUp(ctx); err != nil {
		return err
	}
	work, ctx1 := errgroup.WithContext(ctx)
	work.SetLimit(8)
	for _, v := range d.memory.Devices {
		work.Go(func() error { return d.nameChannels(ctx1, v) })
	}
	if err := work.Wait(); err != nil {
		return fmt.Errorf("channels: %w", err)
	}
	for _, v := range d.memory.Devices {
		if v.Stolen {
			if _, err := d.devices.Revoke(ctx, d.keeper(v.Branch), v.ID, "Stolen from the pump; reported to the police"); err != nil {
				return err
			}
		}
	}
	_, err := d.devices.Register(ctx, d.person("davie"), d.memory.Org, device.New{Serial: "LE4-9001", Name: "Level sensor, to be installed", Model: "LevelEye 4", Branch: d.memory.Branches["utility"]}, "Bought in October")
	return err
}

// placeDevices chooses where devices stand and what goes wrong with them.
func (d *demo) placeDevices(ctx context.Context) error {
	r := rand.New(rand.NewPCG(demoSeed, 40)) // #nosec G404 -- a simulation
	pumps, err := d.handpumps(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	for model, m := range sim.Models {
		at := pumps
		if m.Kind != "" {
			page, err := d.sites.List(ctx, ledger.System("qanat demo"), site.Filter{Org: d.memory.Org, Type: m.Kind, Limit: 500})
			if err != nil {
				return err
			}
			at = page.Items
			if m.Kind == sim.Pipe { // meters stand where the network has meters, pressure loggers elsewhere
				at = nil
				for _, s := range page.Items {
					if (s.Body.Properties["node"] == "meter") == (m.What == "Meter") {
						at = append(at, s)
					}
				}
			}
		}
		count := min(m.Number, len(at))
		if d.shared {
			count = min(m.Number/2, len(at)) // no more than may claim at once from one address
		}
		for n := range count {
			s := at[n*len(at)/count]
			v := &demoDevice{Model: model, Seed: r.Uint64(), Site: s.ID, Code: s.Body.Code, Branch: s.Body.Branch, Name: m.What + ", " + beforeComma(s.Body.Name), Number: len(d.memory.Devices)}
			v.Device.Serial = m.Serial(n)
			switch {
			case m.What == "Meter" && n == 0:
				v.Trouble, v.Since = sim.Leak, now.Add(-60*time.Hour).Truncate(time.Minute)
			case m.What == "Chlorine sensor" && n == 0:
				v.Trouble, v.Since = sim.Stuck, now.Add(-31*time.Hour).Truncate(time.Minute)
			case m.What == "Flow sensor" && n == 2:
				v.Trouble, v.Since = sim.Silent, now.Add(-9*time.Hour).Truncate(time.Minute)
			case m.What == "Flow sensor" && n == 5:
				v.Stolen, v.Trouble, v.Since = true, sim.Silent, now.Add(-30*time.Hour).Truncate(time.Minute)
			}
			d.memory.Devices = append(d.memory.Devices, v)
		}
	}
	return nil
}

// claimAll registers the devices and has them claim.
func (d *demo) claimAll(ctx context.Context) error {
	work, ctx1 := errgroup.WithContext(ctx)
	work.SetLimit(8)
	for _, v := range d.memory.Devices {
		work.Go(func() error { return d.claim(ctx1, v) })
	}
	if err := work.Wait(); err != nil {
		return err
	}
	d.say("%d devices have claimed their certificates", len(d.memory.Devices))
	return nil
}

// beforeComma is the street in "Boma Road, Meter 3".
func beforeComma(name string) string {
	street, _, _ := strings.Cut(name, ",")
	return street
}

// handpumps are working ones of both areas.
func (d *demo) handpumps(ctx context.Context) (found []ledger.Doc[site.Site], err error) {
	for _, branch := range []string{"north", "south"} {
		page, err := d.sites.List(ctx, ledger.System("qanat demo"), site.Filter{Org: d.memory.Org, Branch: d.memory.Branches[branch], Type: "water_point", Status: site.Functional, Limit: 500})
		if err != nil {
			return nil, err
		}
		for _, s := range page.Items {
			if tech, _ := s.Body.Properties["water_tech"].(string); strings.Contains(tech, "handpump") {
				found = append(found, s)
			}
		}
	}
	return found, nil
}

// keeper is who manages a branch.
func (d *demo) keeper(branch string) ledger.Actor {
	for key, person := range map[string]string{"north": "grace", "south": "limbani"} {
		if d.memory.Branches[key] == branch {
			return d.person(person)
		}
	}
	return d.person("davie")
}

// claim registers a device, as the manager of its place, and has it claim with the code on its box.
func (d *demo) claim(ctx context.Context, v *demoDevice) error {
	by := d.keeper(v.Branch)
	doc, err := d.devices.Register(ctx, by, d.memory.Org, device.New{Serial: v.Serial, Name: v.Name, Model: sim.Models[v.Model].Name, Site: v.Site, Branch: v.Branch}, "")
	if err != nil {
		return err
	}
	code, err := d.devices.ClaimCode(ctx, by, doc.ID, "For its installation")
	if err != nil {
		return err
	}
	claimed, err := d.patiently(ctx, func() (*sim.Device, error) { return sim.Claim(ctx, d.from(2, v.Number), v.Serial, code.Code) })
	if err != nil {
		return err
	}
	v.Device = *claimed
	return nil
}

// nameChannels gives a device's channels the names and units that people use, once they have appeared.
func (d *demo) nameChannels(ctx context.Context, v *demoDevice) error {
	model := sim.Models[v.Model]
	want := make([]device.Channel, len(model.Channels))
	for i, c := range model.Channels {
		want[i] = device.Channel{Key: c.Key, Name: c.Name, Unit: c.Unit}
	}
	for try := 0; ; try++ {
		doc, err := d.devices.Get(ctx, ledger.System("qanat demo"), v.ID)
		if err != nil {
			return err
		}
		if len(doc.Body.Channels) >= len(want) {
			_, err = d.devices.Update(ctx, d.keeper(v.Branch), v.ID, 0, device.Change{Channels: want}, "")
			return err
		}
		if try == 100 {
			return fmt.Errorf("%s: its channels did not appear", v.Name)
		}
		if !wait(ctx, 50*time.Millisecond) {
			return ctx.Err()
		}
	}
}
