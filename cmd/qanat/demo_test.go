package main

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/field/response"
	"github.com/qanat-water/qanat/internal/field/site"
	"github.com/qanat-water/qanat/internal/fleet/device"
	"github.com/qanat-water/qanat/internal/fleet/reading"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/sim"
)

// A small demo is made, looked at, stopped, and gone on with.
func TestDemo(t *testing.T) {
	dir := t.TempDir()
	start := func(look func(ctx context.Context, d *demo)) string {
		ctx, stop := context.WithTimeout(context.Background(), time.Minute)
		defer stop()
		var out bytes.Buffer
		looked := false
		err := (&demoCommand{Data: dir, Listen: "127.0.0.1:0", MQTT: "127.0.0.1:0", Sites: 120, Log: "warn"}).run(ctx, &out, func(d *demo) {
			d.problem = func(what string, err error) { t.Errorf("%s: %v", what, err) }
			look(ctx, d)
			looked = true
			stop()
		})
		if err != nil || !looked {
			t.Fatalf("the demo ended with %v\n%s", err, &out)
		}
		return out.String()
	}

	first := start(func(ctx context.Context, d *demo) {
		seeSites(t, ctx, d)
		seeResponses(t, ctx, d)
		seeDevices(t, ctx, d)
		seeActivity(t, ctx, d)
	})
	links := regexp.MustCompile(`https://localhost:\d+/welcome#(\S+)`).FindAllStringSubmatch(first, -1)
	if len(links) != 3 {
		t.Fatalf("%d sign-in links are printed, not 3:\n%s", len(links), first)
	}

	var entries int64
	second := start(func(ctx context.Context, d *demo) {
		_, view, err := d.people.Accept(ctx, links[0][1], org.Answer{}, account.Visit{Door: "web", From: "127.0.0.1"})
		if err != nil || view.Account.Name != "Thokozani Phiri" || view.Needs != account.NeedsTOTPSetup {
			t.Errorf("the admin's link of the first start opens %+v, %v", view, err)
		}
		page, err := d.sites.List(ctx, ledger.System("test"), site.Filter{Type: "water_point"})
		if err != nil || page.Total != 120 {
			t.Errorf("after the second start there are %d water points, %v", page.Total, err)
		}
		report, err := d.ledger.Verify(ctx, func(int64, int64) {})
		if err != nil || !report.OK() {
			t.Errorf("the ledger does not verify: %v %v", err, report.Problems)
		}
		entries = report.Entries
		if err := d.sendOne(ctx, rand.New(rand.NewPCG(1, 1))); err != nil {
			t.Errorf("a phone of the first start: %v", err)
		}
		if err := d.checkOne(ctx); err != nil {
			t.Errorf("a check: %v", err)
		}
		for _, v := range d.memory.Devices {
			link, err := v.Connect(ctx, d.from(2, v.Number))
			if v.Stolen {
				if err == nil {
					t.Error("the stolen device is let in")
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s: %v", v.Name, err)
			}
			if err := errors.Join(link.Say(ctx, map[string]any{"firmware": "2"}), link.Close()); err != nil {
				t.Errorf("%s: %v", v.Name, err)
			}
		}
		if stranger, err := sim.NewStranger(); err != nil || stranger.Knock(ctx, d.from(3, 1), d.mqtt) == nil {
			t.Errorf("a stranger is let in, %v", err)
		}
	})
	if strings.Contains(second, "imported") || entries == 0 {
		t.Errorf("the second start makes everything again:\n%s", second)
	}
	if info, err := os.Stat(dir + "/demo.json"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the memory of the simulated devices has keys in it, and is %v, %v", info, err)
	}
}

func seeSites(t *testing.T, ctx context.Context, d *demo) {
	page, err := d.sites.List(ctx, d.person("ruth"), site.Filter{Org: d.memory.Org, Type: "water_point", Limit: 200})
	if err != nil || page.Total < 119 || page.Total > 120 { // one is private, and not for viewers of other branches' own
		t.Errorf("the viewer sees %d water points, %v", page.Total, err)
	}
	for _, s := range page.Items {
		if !site.ValidCode(s.Body.Code) || s.Body.Location == nil || s.Body.Properties["install_year"] == nil {
			t.Errorf("a site without code, place or year: %+v", s.Body)
		}
	}
	imports, err := d.sites.ListImports(ctx, d.person("limbani"), d.memory.Org)
	if err != nil || len(imports) == 0 || imports[0].State != site.Previewed || imports[0].ErrorRows != 2 {
		t.Errorf("no preview with two wrong rows is there: %+v, %v", imports, err)
	}
}

func seeResponses(t *testing.T, ctx context.Context, d *demo) {
	counts, err := d.responses.Counts(ctx, d.person("precious"), d.memory.Org)
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]int64{}
	for _, of := range counts {
		for state, n := range of {
			states[state] += n
		}
	}
	for _, state := range []string{response.Draft, response.Pending, response.Rejected, response.Final} {
		if states[state] == 0 {
			t.Errorf("no response is %s: %v", state, counts)
		}
	}
	page, err := d.responses.List(ctx, d.person("precious"), response.Filter{Org: d.memory.Org, Deployment: d.memory.Visits, Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range page.Items {
		if r.Body.State == response.Draft && r.Body.Submission == "" {
			continue
		}
		if r.Body.Site == "" || r.Body.Location == nil || len(r.Body.Attachments) != 1 || r.Body.Attachments[0].Missing || r.Body.Incomplete || len(r.Body.Flags) > 0 {
			t.Errorf("a visit without site, place or photo: %+v", r.Body)
		}
	}
	held, err := d.responses.Quarantined(ctx, d.person("thokozani"), d.memory.Org)
	if err != nil || len(held) != 1 {
		t.Errorf("%d submissions are in quarantine, %v", len(held), err)
	}
}

func seeDevices(t *testing.T, ctx context.Context, d *demo) {
	docs, err := d.devices.List(ctx, d.person("precious"), device.Filter{Org: d.memory.Org, Limit: 500})
	if err != nil || len(docs) < 35 {
		t.Fatalf("%d devices, %v", len(docs), err)
	}
	states := map[device.State]int{}
	for _, doc := range docs {
		if states[doc.Body.State]++; doc.Body.State != device.Active {
			continue
		}
		if doc.Body.Channels[0].Unit == "" || doc.Body.Site == "" {
			t.Errorf("%s has no units or no site: %+v", doc.Body.Name, doc.Body)
		}
		series, err := d.devices.Range(ctx, d.person("precious"), doc.ID, reading.Span{From: time.Now().Add(-6 * 24 * time.Hour), To: time.Now(), Limit: 2000})
		if err != nil || len(series) != len(doc.Body.Channels) {
			t.Errorf("%s: %d series for %d channels, %v", doc.Body.Name, len(series), len(doc.Body.Channels), err)
			continue
		}
		if n := len(series[0].TS); n < 200 {
			t.Errorf("%s: %d readings of five days", doc.Body.Name, n)
		}
	}
	if states[device.Revoked] != 1 || states[device.Registered] != 1 {
		t.Errorf("one device should be revoked and one only registered: %v", states)
	}
}

func seeActivity(t *testing.T, ctx context.Context, d *demo) {
	found, undone := map[string]bool{}, false
	err := d.ledger.Read(ctx, func(r *ledger.Reader) error {
		entries, err := r.Entries(ledger.Filter{Orgs: []string{d.memory.Org}, Limit: 10_000})
		for _, e := range entries {
			found[e.ActorName] = true
			undone = undone || e.Reverts != 0
		}
		return err
	})
	if err != nil || !undone {
		t.Errorf("nothing was taken back, %v", err)
	}
	for _, p := range demoPeople {
		if p.group == org.Managers && !found[p.name] {
			t.Errorf("%s has done nothing", p.name)
		}
	}
}

// A directory that is somebody else's, or half made, is left alone.
func TestDemoRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ file, text, want string }{
		"another server": {"master.key", "00", "not a demo's"},
		"half made":      {"demo.json", `{"ready":false}`, "while it was being made"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/"+tt.file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := (&demoCommand{Data: dir, Listen: "127.0.0.1:0", MQTT: "127.0.0.1:0", Sites: 100, Log: "warn"}).run(t.Context(), &bytes.Buffer{}, nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
