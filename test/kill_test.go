package test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/test/rig"
)

// promises is what the server has acknowledged, by every door. What was under way when it was killed is no promise.
type promises struct {
	mu        sync.Mutex
	sites     map[string]string            // id -> name
	edits     map[string]int               // id -> last acknowledged count
	responses map[string][]byte            // instanceID -> XML
	unsure    map[string][]byte            // sent, not answered
	readings  map[string]map[int64]float64 // device -> time -> value
}

// worker is one client under load: it goes on until its connection ends.
type worker func(round int, stop <-chan struct{}) (acknowledged int)

// crash is a server with its clients.
type crash struct {
	*rig.Server
	t       *testing.T
	phone   *rig.Phone
	devices []*rig.Device
	edited  []rig.Doc[site]
	p       promises
	serial  atomic.Int64
}

// TestKill kills the server ten times under load, on both engines together: nothing acknowledged is lost, and everything verifies.
// A killed process leaves the operating system's cache; power cuts are the crash tables' part, in the packages that write.
// QANAT_KILLS sets how often; a server is used for 50 kills at most, because all that it was ever told is looked for after each.
func TestKill(t *testing.T) {
	kills := 10
	if n, err := strconv.Atoi(os.Getenv("QANAT_KILLS")); err == nil {
		kills = n
	}
	const ofOne = 50
	rig.Engines(t, func(t *testing.T, database string) {
		rounds := kills - kills*2/5
		if database != "" {
			rounds = kills * 2 / 5
		}
		for ; rounds > 0 && !t.Failed(); rounds -= ofOne {
			t.Run("", func(t *testing.T) { killed(t, database, min(rounds, ofOne)) })
			if database != "" {
				database = storetest.PostgresURL(t)
			}
		}
	})
}

// killed uses one server until it was killed so often.
func killed(t *testing.T, database string, rounds int) {
	c := &crash{Server: rig.New(t, database), t: t}
	c.p = promises{sites: map[string]string{}, edits: map[string]int{}, responses: map[string][]byte{}, unsure: map[string][]byte{}, readings: map[string]map[int64]float64{}}
	c.prepare()
	var acknowledged [4]int
	for round := range rounds {
		for i, n := range c.load(round) {
			acknowledged[i] += n
		}
		c.Verify()
		c.Start()
		c.check(round)
		if t.Failed() {
			t.Fatalf("after kill %d", round+1)
		}
	}
	t.Logf("%d kills; acknowledged: %d sites, %d edits, %d submissions with a photo, %d messages of readings; nothing lost", rounds, acknowledged[0], acknowledged[1], acknowledged[2], acknowledged[3])
	for i, what := range []string{"sites", "edits", "submissions", "readings"} {
		if acknowledged[i] < rounds {
			t.Errorf("only %d %s were acknowledged in %d rounds: this was no load", acknowledged[i], what, rounds)
		}
	}
	c.Stop()
	c.Verify()
}

func (c *crash) prepare() {
	xform := must(os.ReadFile("testdata/visit.xml"))(c.t)
	survey := rig.Post[rig.Doc[struct{}]](c.Admin, "/surveys?org="+c.Org+"&branch="+c.Org, rig.Raw{Type: "application/xml", Body: bytes.NewReader(xform)})
	rig.Post[rig.Doc[struct{}]](c.Admin, "/surveys/"+survey.ID+"/deployments", map[string]any{"survey": survey.ID, "name": "load", "active": true, "enumerators": []string{"everyone"}})
	c.phone = c.Phone(c.Admin, "phone")
	for i := range 2 {
		d := c.Device(fmt.Sprintf("load-%d", i), c.Org, "")
		c.devices = append(c.devices, d)
		c.p.readings[d.ID] = map[int64]float64{}
	}
	for i := range 2 {
		c.edited = append(c.edited, rig.Post[rig.Doc[site]](c.Admin, "/sites", map[string]any{"org": c.Org, "body": c.site(fmt.Sprintf("edited %d: 0", i))}))
	}
}

func (c *crash) site(name string) site {
	return site{Type: "water_point", Name: name, Branch: c.Org, Privacy: "protected", Location: &location{-4.2, 39.4}}
}

// load runs all clients at once, kills the server at a random moment, and tells how much was acknowledged, by kind.
func (c *crash) load(round int) (acknowledged [4]int) {
	stop := make(chan struct{})
	var mu sync.Mutex
	var all sync.WaitGroup
	run := func(kind int, w worker) {
		all.Go(func() {
			n := w(round, stop)
			mu.Lock()
			defer mu.Unlock()
			acknowledged[kind] += n
		})
	}
	for range 3 {
		run(0, c.creator(c.As(c.Admin)))
	}
	for _, doc := range c.edited {
		run(1, c.editor(c.As(c.Admin), doc.ID))
	}
	for range 2 {
		phone := *c.phone
		phone.HTTP = c.Client().HTTP
		run(2, c.enumerator(&phone))
	}
	for _, d := range c.devices {
		run(3, c.logger(d))
	}
	time.Sleep(time.Duration(400+rand.IntN(900)) * time.Millisecond) // #nosec G404 -- any moment will do
	c.Kill()
	close(stop)
	all.Wait()
	return acknowledged
}

func stopped(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

func (c *crash) creator(as *rig.Client) worker {
	return func(round int, stop <-chan struct{}) (n int) {
		for !stopped(stop) {
			name := fmt.Sprintf("round %d site %d", round, c.serial.Add(1))
			answer, err := as.Send(http.MethodPost, "/sites", map[string]any{"org": c.Org, "body": c.site(name)})
			if err != nil {
				return n
			}
			if answer.Status == http.StatusTooManyRequests {
				time.Sleep(20 * time.Millisecond)
				continue
			}
			var doc rig.Doc[site]
			if !decode(c.t, answer, &doc) {
				return n
			}
			n++
			c.p.mu.Lock()
			c.p.sites[doc.ID] = name
			c.p.mu.Unlock()
		}
		return n
	}
}

func (c *crash) editor(as *rig.Client, id string) worker {
	return func(_ int, stop <-chan struct{}) (n int) {
		for !stopped(stop) {
			count := int(c.serial.Add(1))
			answer, err := as.Send(http.MethodPut, "/sites/"+id, map[string]any{"body": c.site(fmt.Sprintf("edited: %d", count))})
			if err != nil {
				return n
			}
			if answer.Status == http.StatusTooManyRequests {
				time.Sleep(20 * time.Millisecond)
				continue
			}
			var doc rig.Doc[site]
			if !decode(c.t, answer, &doc) {
				return n
			}
			n++
			c.p.mu.Lock()
			c.p.edits[id] = count
			c.p.mu.Unlock()
		}
		return n
	}
}

func (c *crash) enumerator(phone *rig.Phone) worker {
	return func(_ int, stop <-chan struct{}) (n int) {
		for !stopped(stop) {
			serial := c.serial.Add(1)
			instance := fmt.Sprintf("uuid:00000000-0000-4000-8000-%012d", serial)
			xml := fmt.Appendf(nil, `<data id="visit" version="1"><works>yes</works><litres>%d</litres><photo>pump.png</photo><meta><instanceID>%s</instanceID></meta></data>`, serial, instance)
			photo := append(picture(uint8(serial)), fmt.Sprint(serial)...) // #nosec G115 -- a pattern
			answer, err := phone.TrySubmit(xml, []rig.File{{Name: "pump.png", Type: "image/png", Content: photo}}, false)
			c.p.mu.Lock()
			switch {
			case err == nil && answer.Status == http.StatusTooManyRequests: // nothing was read of it
			case err == nil && answer.Status == http.StatusCreated:
				c.p.responses[instance] = xml
				n++
			default:
				c.p.unsure[instance] = xml
			}
			c.p.mu.Unlock()
			if err != nil {
				return n
			}
			if answer.Status == http.StatusTooManyRequests {
				time.Sleep(20 * time.Millisecond)
				continue
			}
			if answer.Status != http.StatusCreated {
				c.t.Errorf("submission: %d %s", answer.Status, answer.Body)
				return n
			}
		}
		return n
	}
}

// logger publishes ten messages at a time and waits for their PUBACKs.
func (c *crash) logger(d *rig.Device) worker {
	return func(round int, stop <-chan struct{}) (n int) {
		client, err := d.Connect()
		if err != nil {
			if !stopped(stop) {
				c.t.Errorf("device: %v", err)
			}
			return 0
		}
		defer client.Disconnect(0)
		for at := int64(0); !stopped(stop); at += 10 {
			type sent struct {
				ts    int64
				token interface {
					WaitTimeout(time.Duration) bool
					Error() error
				}
			}
			var window []sent
			for i := range int64(10) {
				ts := roundStart(round) + at + i
				window = append(window, sent{ts, client.Publish(d.Topic, 1, false, fmt.Sprintf(`{"ts":%d,"values":{"volume":%d}}`, ts, ts%1000))})
			}
			for _, s := range window {
				if !s.token.WaitTimeout(5*time.Second) || s.token.Error() != nil {
					return n
				}
				n++
				c.p.mu.Lock()
				c.p.readings[d.ID][s.ts] = float64(s.ts % 1000)
				c.p.mu.Unlock()
			}
		}
		return n
	}
}

// roundStart gives each round an hour of its own.
func roundStart(round int) int64 {
	return time.Date(2026, 1, 1, round, 0, 0, 0, time.UTC).UnixMilli()
}

// check looks for every promise of all rounds through the API.
func (c *crash) check(last int) {
	c.t.Helper()
	found := map[string]string{}
	for doc := range pages[site](c.t, c.Admin, "/sites?org="+c.Org+"&limit=500") {
		found[doc.ID] = doc.Body.Name
	}
	for id, name := range c.p.sites {
		if found[id] != name {
			c.t.Errorf("site %s was acknowledged as %q and is %q", id, name, found[id])
		}
	}
	for id, count := range c.p.edits {
		var now int
		if _, err := fmt.Sscanf(found[id], "edited: %d", &now); err != nil || now < count {
			c.t.Errorf("edit %d of a site was acknowledged; it is %q", count, found[id])
		}
	}
	times := map[string]int{}
	for doc := range pages[response](c.t, c.Admin, "/responses?org="+c.Org+"&limit=200") {
		times[doc.Body.InstanceID]++
	}
	for instance := range c.p.responses {
		if times[instance] != 1 {
			c.t.Errorf("submission %s was acknowledged and is there %d times", instance, times[instance])
		}
	}
	// What a phone is not sure of it sends again: then it is there once, whether it had arrived or not.
	for instance, xml := range c.p.unsure {
		if times[instance] > 1 {
			c.t.Errorf("submission %s, without an answer, is there %d times", instance, times[instance])
		}
		c.phone.Submit(http.StatusCreated, xml, nil, false)
		c.p.responses[instance] = xml
	}
	clear(c.p.unsure)
	for _, d := range c.devices {
		got := map[int64]float64{}
		for round := range last + 1 {
			from := time.UnixMilli(roundStart(round)).UTC()
			for _, series := range rig.Get[struct {
				Series []struct {
					TS    []int64
					Value []float64
				}
			}](c.Admin, "/devices/"+d.ID+"/readings?limit=20000&from="+from.Format(time.RFC3339)+"&to="+from.Add(time.Hour).Format(time.RFC3339)).Series {
				for i, ts := range series.TS {
					got[ts] = series.Value[i]
				}
			}
		}
		lost := 0
		for ts, value := range c.p.readings[d.ID] {
			if is, there := got[ts]; !there || is != value {
				lost++
			}
		}
		if lost > 0 {
			c.t.Errorf("device %s: %d of %d acknowledged readings are lost", d.Serial, lost, len(c.p.readings[d.ID]))
		}
	}
}

// TestKillDuringImport kills the server in the middle of an import: after the next start it goes on by itself, and each row is
// there once.
func TestKillDuringImport(t *testing.T) {
	rig.Engines(t, func(t *testing.T, database string) {
		s := rig.New(t, database)
		const rows = 4000
		file := []byte("name,lat,lon\n")
		for n := range rows {
			file = fmt.Appendf(file, "Row %d,%.5f,39.5\n", n, -4-float64(n)/10000)
		}
		preview := rig.Post[imported](s.Admin, "/imports?org="+s.Org+"&branch="+s.Org+"&type=water_point&name=killed.csv", rig.Raw{Type: "text/csv", Body: bytes.NewReader(file)})
		rig.Post[imported](s.Admin, "/imports/"+preview.ID+"/run", map[string]any{})
		kills, now := 0, imported{State: "running"}
		for began := time.Now(); now.State == "running"; now = rig.Get[imported](s.Admin, "/imports/"+preview.ID) {
			if kills < 2 && now.Done > kills*1500 {
				s.Kill()
				s.Verify()
				s.Start()
				kills++
			}
			if time.Since(began) > 2*time.Minute {
				t.Fatalf("the import does not end: %+v", now)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if now.State != "done" || now.Done != rows || kills == 0 {
			t.Errorf("after %d kills: %+v", kills, now)
		}
		times := map[string]int{}
		for doc := range pages[site](t, s.Admin, "/sites?org="+s.Org+"&limit=500") {
			times[doc.Body.Name]++
		}
		for n := range rows {
			if name := fmt.Sprintf("Row %d", n); times[name] != 1 {
				t.Fatalf("%s is there %d times", name, times[name])
			}
		}
		s.Stop()
		s.Verify()
		t.Logf("%d kills in an import of %d rows", kills, rows)
	})
}
