package test

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/qanat-water/qanat/test/rig"
)

// TestBrowser walks through the demo in a real browser (test/browser/walk.mjs). It runs when QANAT_BROWSER=1 asks for it, as make
// test-browser does; then everything that it needs must be there.
func TestBrowser(t *testing.T) { inBrowser(t, "walk.mjs", "test/out") }

// TestBrowserAccount does the same with what protects an account: passkeys with the browser's own authenticator, recovery codes,
// step-up, service tokens (test/browser/account.mjs).
func TestBrowserAccount(t *testing.T) { inBrowser(t, "account.mjs", "test/out/account") }

// TestBrowserTheft walks through the end of a theft as the admin who is left: sessions, token, undo, the story (test/browser/theft.mjs).
func TestBrowserTheft(t *testing.T) {
	browserNeeds(t)
	w := newTheft(t, "", 300)
	w.steal(false)
	walk(t, "theft.mjs", "test/out/theft", "QANAT_BASE=https://localhost:"+w.Web[strings.LastIndexByte(w.Web, ':')+1:], "QANAT_COOKIE="+w.ben.Cookie, "QANAT_VICTIM=Amina Odhiambo", "QANAT_TOKEN=sync")
}

func inBrowser(t *testing.T, script, shots string) {
	browserNeeds(t)
	link, place := demo(t)
	walk(t, script, shots, "QANAT_LINK="+link, "QANAT_SITE="+place)
}

// browserNeeds skips the test when nobody asked for it; then everything that it needs must be there.
func browserNeeds(t *testing.T) {
	t.Helper()
	if os.Getenv("QANAT_BROWSER") != "1" {
		t.Skip("QANAT_BROWSER=1 walks through the demo in a browser: make test-browser")
	}
	root := must(rig.Root())(t)
	for _, needed := range []struct{ path, mend string }{
		{filepath.Join(root, "internal/door/portal/dist/index.html"), "make build: the portal is not built"},
		{filepath.Join(root, "test/browser/node_modules/playwright-core"), "cd test/browser && npm ci"},
	} {
		if _, err := os.Stat(needed.path); err != nil {
			t.Fatalf("%v: %s", err, needed.mend)
		}
	}
	for name, in := range map[string]string{"node": "nodejs", "chromium": "chromium"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%v: apt-get install %s", err, in)
		}
	}
}

// walk runs a script with screenshots in a directory of the repository.
func walk(t *testing.T, script, shots string, env ...string) {
	t.Helper()
	root, chromium := must(rig.Root())(t), must(exec.LookPath("chromium"))(t)
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	out := filepath.Join(root, shots)
	run := exec.CommandContext(ctx, "node", script) // #nosec G204 -- a script of ours
	run.Dir = filepath.Join(root, "test/browser")
	run.Env = append(append(os.Environ(), env...), "QANAT_OUT="+out, "QANAT_CHROMIUM="+chromium)
	said, err := run.CombinedOutput()
	t.Logf("screenshots in %s\n%s", out, said)
	if err != nil {
		t.Errorf("the walk: %v", err)
	}
}

var (
	demoLink = regexp.MustCompile(`https://\S+/welcome#\S+`)
	demoSite = regexp.MustCompile(`find (.+), which has a sensor`)
)

// demo starts the demo and reads from its own words where to sign in and what to look at first.
func demo(t *testing.T) (link, place string) {
	t.Helper()
	port := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().String()
	}
	program := exec.Command(rig.Binary, "demo", "--listen", port(), "--mqtt", port()) // #nosec G204 -- the program under test
	program.Stderr = os.Stderr
	stdout, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = program.Process.Signal(syscall.SIGINT) // it may have ended by itself
		if err := program.Wait(); err != nil {
			t.Errorf("after Ctrl-C the demo ended with %v", err)
		}
	})
	ready := make(chan bool, 1)
	go func() {
		defer close(ready)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			line := lines.Text()
			if found := demoLink.FindString(line); found != "" && link == "" {
				link = found // of the admin, who comes first
			}
			if found := demoSite.FindStringSubmatch(line); found != nil {
				place = found[1]
			}
			if strings.Contains(line, "Ctrl-C ends it") {
				ready <- true
			}
		}
	}()
	select {
	case ok := <-ready:
		if !ok || link == "" || place == "" {
			t.Fatalf("the demo said link %q, site %q", link, place)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("the demo is not ready after two minutes")
	}
	return link, place
}
