package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/field/site"
	"github.com/qanat-water/qanat/internal/fleet/device"
	"github.com/qanat-water/qanat/internal/ledger"
)

// TestAServerMovesThereAndBack makes a demo, moves it to PostgreSQL and back by
// the commands, and looks at it each time.
func TestAServerMovesThereAndBack(t *testing.T) {
	ctx := context.Background()
	root := t.TempDir()
	dir := func(name string) where {
		w := where{Data: filepath.Join(root, name)}
		if err := os.Mkdir(w.Data, 0o700); err != nil {
			t.Fatal(err)
		}
		return w
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(fault.Cause(err))
		}
	}
	first := dir("first")
	until, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	must((&demoCommand{Data: first.Data, Listen: "127.0.0.1:0", MQTT: "127.0.0.1:0", Sites: 60, Log: "error"}).run(until, &bytes.Buffer{}, func(*demo) { stop() }))
	want := seen(t, first)

	file := filepath.Join(root, "server.qanat")
	must((&exportCommand{where: first, Ledger: file}).Run(ctx))
	if want.entries < 60 || want.files == 0 || want.readings == 0 {
		t.Fatalf("the demo has %+v", want)
	}
	second := dir("second")
	second.Database = storetest.PostgresURL(t)
	if err := (&importCommand{where: second, Ledger: file}).Run(ctx); fault.KindOf(err) != fault.NotFound {
		t.Errorf("imported without a master key: %v", err)
	}
	withKey(t, first, second)
	must((&importCommand{where: second, Ledger: file}).Run(ctx))
	if got := seen(t, second); got != want {
		t.Errorf("on PostgreSQL %+v, before %+v", got, want)
	}
	if err := (&importCommand{where: second, Ledger: file}).Run(ctx); fault.KindOf(err) != fault.Conflict {
		t.Errorf("imported twice: %v", err)
	}

	// Back without files into a directory that has them.
	back := filepath.Join(root, "back.qanat")
	must((&exportCommand{where: second, Ledger: back, WithoutFiles: true}).Run(ctx))
	third := where{Data: second.Data}
	must((&importCommand{where: third, Ledger: back}).Run(ctx))
	if got := seen(t, third); got != want {
		t.Errorf("back on SQLite %+v, before %+v", got, want)
	}

	// A file that was cut leaves nothing that any command opens.
	content, err := os.ReadFile(file)
	must(err)
	cut := filepath.Join(root, "cut.qanat")
	must(os.WriteFile(cut, content[:len(content)-100], 0o600))
	fourth := dir("fourth")
	withKey(t, first, fourth)
	if err := (&importCommand{where: fourth, Ledger: cut}).Run(ctx); fault.KindOf(err) != fault.Invalid {
		t.Errorf("imported a file that was cut: %v", err)
	}
	h, err := openHouse(ctx, fourth, "Qanat", newLog("error"))
	if fault.KindOf(err) != fault.Conflict {
		h.Close()
		t.Errorf("opened a database that is not whole: %v", err)
	}
	for _, wrong := range []exportCommand{{where: first}, {where: first, Out: "a", Ledger: "b"}, {where: first, Ledger: "b", Org: "x"}, {where: first, Out: "a", WithoutFiles: true}} {
		if err := wrong.Run(ctx); fault.KindOf(err) != fault.Invalid {
			t.Errorf("exported with %+v: %v", wrong, err)
		}
	}
}

func withKey(t *testing.T, from, to where) {
	t.Helper()
	key, err := os.ReadFile(from.keyFile())
	if err == nil {
		err = os.WriteFile(to.keyFile(), key, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

type sight struct {
	root                                string
	entries, documents, sites, readings int64
	files                               int
}

// seen verifies a server and counts what it shows.
func seen(t *testing.T, w where) (s sight) {
	t.Helper()
	ctx := context.Background()
	h, err := openHouse(ctx, w, "Qanat", newLog("error"))
	if err != nil {
		t.Fatal(fault.Cause(err))
	}
	defer h.Close()
	named := map[string]string{}
	report, err := h.ledger.VerifyFiles(ctx, nil, func(hash, document string) { named[hash] = document })
	if err != nil || !report.OK() {
		t.Fatalf("verified %v, %v", report.Problems, err)
	}
	checked, problems, err := verifyFiles(ctx, h, named, func(int64, int64) {})
	if err != nil || len(problems) > 0 {
		t.Fatalf("files %v, %v", problems, err)
	}
	s = sight{root: report.Root, entries: report.Entries, documents: report.Documents, files: int(checked)}
	var devices []ledger.Doc[device.Device]
	if err := h.ledger.Read(ctx, func(r *ledger.Reader) error {
		sites, err := site.Sites.List(r, "1 = 1")
		if err != nil {
			return err
		}
		s.sites = int64(len(sites))
		devices, err = device.Noun.List(r, "1 = 1")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, d := range devices {
		n, err := h.readings.Count(ctx, d.ID)
		if err != nil {
			t.Fatal(err)
		}
		s.readings += n
	}
	return s
}
