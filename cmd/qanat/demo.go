package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/vault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/sim"
)

type demoCommand struct {
	Data   string `help:"Directory to keep the demo in; a second start goes on with it. Default: a temporary one that is removed at the end." type:"path" placeholder:"DIR"`
	Listen string `help:"Address of the HTTPS door. Default: ${default}." default:"127.0.0.1:8443" placeholder:"ADDR"`
	MQTT   string `name:"mqtt" help:"Address of the device door. Default: ${default}." default:"127.0.0.1:8883" placeholder:"ADDR"`
	Sites  int    `help:"Water points of the district, 50 to 50000. Default: ${default}." default:"2400" placeholder:"N"`
	Quiet  bool   `help:"Print the sign-in links and nothing else." short:"q"`
	Log    string `help:"What the server writes to standard error: debug, info, warn or error. Default: ${default}." default:"warn" placeholder:"LEVEL"`
}

const demoSeed = 7 // of the district; another number is another district

// Help is what 'qanat demo --help' says below the usage.
func (demoCommand) Help() string {
	return `A district of Malawi that exists nowhere: people, water points, surveys with responses, and devices.
Phones and devices are simulated, but they come in through the real doors: OpenRosa over HTTPS, and
MQTT over mutual TLS after claiming their certificates. All of it stays on this machine. Ctrl-C ends it.`
}

// demo is a running demo.
type demo struct {
	*house
	memory   demoMemory
	dir      string
	kept     bool // after the end
	url      string
	net      sim.Net
	shared   bool   // all phones and devices come from one address
	mqtt     string // address of the device door
	mqttName string // as devices are told
	out      io.Writer
	quiet    bool
	began    time.Time
	problem  func(what string, err error) // of the simulated world, which goes on

	mu sync.Mutex // of memory, while phones and devices are at work
}

// demoMemory is what the simulated people, phones and devices remember from one
// start to the next. It holds their keys and tokens, as real ones do.
type demoMemory struct {
	Ready       bool              `json:"ready"` // the seeding was finished
	Sites       int               `json:"sites"`
	Org         string            `json:"org"`
	Branches    map[string]string `json:"branches"`
	Teams       map[string]string `json:"teams"`
	People      map[string]string `json:"people"`
	Visits      string            `json:"visits"`     // deployment
	Households  string            `json:"households"` // deployment
	Phones      []demoPhone       `json:"phones"`
	Devices     []*demoDevice     `json:"devices"`
	Interviewed int               `json:"interviewed"`
}

// Run makes the server, serves it, fills it, and keeps it alive until it is told to stop.
func (c *demoCommand) Run(ctx context.Context) error {
	signal.Ignore(syscall.SIGPIPE) // with 'qanat demo | tee', Ctrl-C ends tee first, and there is still a directory to remove
	return c.run(ctx, os.Stdout, nil)
}

// run is Run with a place to print to; seeded is called when everything is there.
func (c *demoCommand) run(ctx context.Context, out io.Writer, seeded func(*demo)) (err error) {
	if c.Sites < 50 || c.Sites > 50_000 {
		return fault.Newf(fault.Invalid, "demo.sites", "A district has 50 to 50000 water points, not %d", c.Sites).WithMend("Choose another number with --sites")
	}
	d := &demo{out: out, quiet: c.Quiet, began: time.Now()}
	remove, err := d.settle(c)
	if err != nil {
		return err
	}
	defer remove()
	log := newLog(c.Log)
	d.problem = func(what string, err error) { log.Warn("demo: "+what, "error", fault.Cause(err)) }
	if d.house, err = openHouse(ctx, where{Data: d.dir}, "Qanat demo", log); err != nil {
		return err
	}
	defer d.Close()
	conf := config{Name: "Qanat demo", Listen: c.Listen, MQTT: c.MQTT, Log: c.Log}
	opened, err := d.openDoors(ctx, conf, d.dir, log)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fault.Newf(fault.Conflict, "demo.port", "%v", err).WithMend("Stop what listens there, or choose other addresses with --listen and --mqtt")
		}
		return err
	}
	serving, shut := context.WithCancel(context.WithoutCancel(ctx)) // the phones hang up before the doors close
	living, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		defer stop()
		ended <- opened.run(serving)
	}()
	defer func() {
		stop()
		shut()
		err = errors.Join(err, <-ended)
	}()
	d.url = opened.url(conf)
	d.mqtt, d.mqttName = opened.mqtt.Addr().String(), opened.deviceAddress(conf)
	if err := d.reach(opened.web.Addr()); err != nil {
		return err
	}
	d.say("The portal answers at %s", d.url)
	err = d.live(living, c.Sites, seeded)
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return err
}

// live fills the house, or goes on with it, prints how to sign in, and keeps it
// alive until ctx ends.
func (d *demo) live(ctx context.Context, sites int, seeded func(*demo)) error {
	var err error
	if d.memory.Ready {
		err = d.resume(ctx)
	} else {
		err = d.seed(ctx, sites)
	}
	if err != nil {
		return err
	}
	if err := d.card(ctx); err != nil {
		return err
	}
	if seeded != nil {
		seeded(d)
	}
	d.traffic(ctx)
	d.say("Stopped")
	return d.remember()
}

// settle finds the directory and what stands in it.
func (d *demo) settle(c *demoCommand) (remove func(), err error) {
	remove = func() {}
	d.dir, d.kept = c.Data, c.Data != ""
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "qanat-demo-"); err != nil {
			return remove, err
		}
		remove = func() { _ = os.RemoveAll(d.dir) } // the system clears its temporary files otherwise
	} else if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return remove, err
	}
	text, err := os.ReadFile(d.memoryFile())
	switch {
	case err == nil:
		if err := json.Unmarshal(text, &d.memory); err != nil {
			return remove, fmt.Errorf("%s: %w", d.memoryFile(), err)
		}
		if !d.memory.Ready {
			return remove, fault.Newf(fault.Conflict, "demo.half", "The demo in %s was stopped while it was being made", d.dir).WithMend("Remove the directory and start again")
		}
		return remove, nil
	case !errors.Is(err, fs.ErrNotExist):
		return remove, err
	}
	if _, err := vault.Create(filepath.Join(d.dir, "master.key")); err != nil {
		if fault.KindOf(err) == fault.Conflict {
			err = fault.Newf(fault.Conflict, "demo.other", "There is a server in %s that is not a demo's", d.dir).WithMend("Choose an empty directory")
		}
		return remove, err
	}
	return remove, d.remember()
}

func (d *demo) memoryFile() string { return filepath.Join(d.dir, "demo.json") }

// remember writes the memory down.
func (d *demo) remember() error {
	d.mu.Lock()
	text, err := json.MarshalIndent(d.memory, "", "  ")
	d.mu.Unlock()
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.memoryFile()+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(d.memoryFile()+".new", d.memoryFile())
}

// reach says how phones and devices find the doors: over loopback where these listen everywhere.
func (d *demo) reach(address net.Addr) error {
	root := x509.NewCertPool()
	if !root.AppendCertsFromPEM([]byte(d.ca.DoorRoot())) {
		return errors.New("the root of the built-in authority cannot be read")
	}
	host, port, err := net.SplitHostPort(address.String())
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	d.shared = !ownAddresses(host)
	d.net = sim.Net{Root: root, Name: "localhost", Web: net.JoinHostPort(host, port)}
	return err
}

// from is the network of one phone or device, with an address of its own if there are.
func (d *demo) from(kind, number int) sim.Net {
	n := d.net
	if !d.shared {
		n.From = fmt.Sprintf("127.0.%d.%d", kind, 1+number%250)
	}
	return n
}

// ownAddresses tells whether clients of a server on this host can have addresses
// of their own: on IPv4 loopback, where the system has more than 127.0.0.1.
func ownAddresses(host string) bool {
	if ip := net.ParseIP(host).To4(); ip == nil || !ip.IsLoopback() {
		return false
	}
	l, err := net.Listen("tcp", "127.0.2.1:0")
	return err == nil && l.Close() == nil
}

// say prints progress.
func (d *demo) say(format string, args ...any) {
	if !d.quiet {
		fmt.Fprintf(d.out, "%6.1f s  %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
	}
}

// person is somebody as the actor of a change.
func (d *demo) person(key string) ledger.Actor {
	for _, p := range demoPeople {
		if p.key == key {
			return ledger.Actor{ID: d.memory.People[key], Kind: "account", Name: p.name, Door: "demo"}
		}
	}
	panic("demo: nobody is called " + key)
}

// called is the name of the first device that is meant.
func (d *demo) called(meant func(*demoDevice) bool) string {
	for _, v := range d.memory.Devices {
		if meant(v) {
			return v.Name
		}
	}
	return "none"
}

// card prints how to sign in and where to look first.
func (d *demo) card(ctx context.Context) error {
	link := func(key string) (string, error) {
		token, err := d.people.SignInLink(ctx, ledger.System("qanat demo"), d.memory.Org, d.memory.People[key])
		return d.url + "/welcome#" + token.Text, err
	}
	admin, err1 := link("thokozani")
	enumerator, err2 := link("chikondi")
	viewer, err3 := link("ruth")
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	kept := "This demo is gone when it ends; with --data DIR it is kept."
	if d.kept {
		kept = "This demo is kept in " + d.dir + "; the same command goes on with it."
	}
	_, err := fmt.Fprintf(d.out, `
Qanat is running at %s

Sign in. Each link works once, within a day; start again for new ones. You set up an authenticator
app on the way: keep its secret if you use the demo twice.

  Thokozani Phiri, district water officer: an admin, who may do everything
    %s
  Chikondi Banda, enumerator: sees sites and her own responses, and fills in forms
    %s
  Ruth Chisale, donor: a viewer, who sees what is approved and changes nothing
    %s

Look first, as Thokozani:
  Sites      the map of %s district; find %s, which has a sensor
  Responses  visits that wait for approval, with photos; a new one comes about every half minute
  Devices    %d devices; "%s" leaks at night, "%s" is stuck,
             "%s" is silent, "%s" was stolen and is refused
  Activity   who changed what, before and after; undo an edit, or a whole import

The browser will warn, because this server has its own certificate authority. Its certificate is
  %s
%s Ctrl-C ends it.
`, d.url, admin, enumerator, viewer, demoDistrict, strings.TrimPrefix(d.memory.Devices[0].Name, "Flow sensor, "), len(d.memory.Devices),
		d.called(func(v *demoDevice) bool { return v.Trouble == sim.Leak }), d.called(func(v *demoDevice) bool { return v.Trouble == sim.Stuck }),
		d.called(func(v *demoDevice) bool { return v.Trouble == sim.Silent && !v.Stolen }), d.called(func(v *demoDevice) bool { return v.Stolen }), filepath.Join(d.dir, "ca.pem"), kept)
	return err
}
