// Package rig runs whole servers for tests: the real program, its real doors, real clients.
//
// It guarantees that what a test sees is what a user would: the program is built as it is released (no cgo), runs as
// a process of its own on loopback, and is spoken to over TLS that its own authority vouches for. A Server belongs to
// one test, and so do its data; it ends with the test. Every Client has a source address of its own in 127.0.0.0/8, because the
// server limits what one address may do.
//
// Limits: Linux, for the loopback addresses. For tests only: it trusts the machine it runs on.
package rig

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/store/storetest"
)

// Binary is the program that Main has built, Checker is qanat-check beside it.
var Binary, Checker string

// Main builds the programs once, runs the tests of a package, and gives their exit code. QANAT_BINARY names one that is
// built already, with qanat-check beside it: a release to be tested.
func Main(m *testing.M) int {
	if Binary = os.Getenv("QANAT_BINARY"); Binary != "" {
		Checker = filepath.Join(filepath.Dir(Binary), "qanat-check")
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "qanat-bin-")
	if err == nil {
		defer os.RemoveAll(dir)
		Binary, Checker = filepath.Join(dir, "qanat"), filepath.Join(dir, "qanat-check")
		build := exec.Command("go", "build", "-o", dir+"/", "github.com/qanat-water/qanat/cmd/qanat", "github.com/qanat-water/qanat/cmd/qanat-check") // #nosec G204 -- our own programs
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		var out []byte
		if out, err = build.CombinedOutput(); err != nil {
			err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// Engines runs fn once on each database engine, with the address of a fresh database: "" is the embedded one.
func Engines(t *testing.T, fn func(t *testing.T, database string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, "") })
	t.Run("postgres", func(t *testing.T) { fn(t, storetest.PostgresURL(t)) })
}

// Tool finds a program of the system. Where it is missing the test is skipped, except where everything must be there (CI=true).
func Tool(t testing.TB, name, packageName string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing: apt-get install %s", name, packageName)
	}
	t.Skipf("%s is missing (apt-get install %s): this part is not tested", name, packageName)
	return ""
}

// Shared finds a file of the collection of real input that stands beside the repository, or skips the test.
func Shared(t testing.TB, name string) string {
	t.Helper()
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "..", "shared", "data", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no ../shared/data/%s beside the repository: real input is not tested", name)
	}
	return path
}

// Root is the repository.
func Root() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("there is no go.mod above the working directory")
		}
	}
	return "", err
}

// Server is one server with its data, running or not.
type Server struct {
	Data     string // directory
	Database string // PostgreSQL URL; "": embedded
	Web      string // host:port
	MQTT     string // host:port
	Log      string // file; everything that the server says
	Config   string // file
	Admin    *Client
	Org      string // the first organization

	t     *current
	cmd   *exec.Cmd
	ended chan error
}

var signInLink = regexp.MustCompile(`/welcome#(\S+)`)

// current is the test that is running now, so that helpers fail the right one.
type current struct{ testing.TB }

// In tells the server and all its clients that another test, a step of the first one, goes on with them.
func (s *Server) In(t testing.TB) { s.t.TB = t }

// New makes a server, starts it and signs its first admin in.
func New(t testing.TB, database string) *Server {
	t.Helper()
	s := Prepare(t, database)
	token := s.Init()
	s.Start()
	s.Admin = s.Client()
	s.Admin.Accept(token, "Wanjiru Kamau", "wanjiru@example.org")
	s.Org = s.Admin.Organizations()[0]
	return s
}

// Prepare chooses directories and ports; nothing is made yet.
func Prepare(t testing.TB, database string) *Server {
	t.Helper()
	dir := t.TempDir()
	s := &Server{
		Data: filepath.Join(dir, "data"), Database: database, Web: freePort(t), MQTT: freePort(t), Log: filepath.Join(dir, "server.log"), Config: filepath.Join(dir, "qanat.toml"), t: &current{t},
	}
	if err := os.WriteFile(s.Config, []byte("name = \"Qanat under test\"\nlog = \"debug\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Kill()
		if !t.Failed() {
			return
		}
		log, err := os.ReadFile(s.Log)
		if err != nil {
			return
		}
		var told []string
		for line := range strings.Lines(string(log)) {
			if !strings.Contains(line, "level=DEBUG") && !strings.Contains(line, "msg=request") {
				told = append(told, line)
			}
		}
		t.Logf("the server's last words:\n%s", strings.Join(told[max(0, len(told)-40):], ""))
	})
	return s
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (s *Server) where() []string {
	where := []string{"--data", s.Data}
	if s.Database != "" {
		where = append(where, "--database", s.Database)
	}
	return where
}

// Run runs a subcommand on the server's data.
func (s *Server) Run(command string, args ...string) (string, error) {
	all := append(append([]string{command}, s.where()...), args...)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, Binary, all...).CombinedOutput() // #nosec G204 -- the program under test
	return string(out), err
}

// Init makes the data and gives the token of the first sign-in link.
func (s *Server) Init() string {
	s.t.Helper()
	out, err := s.Run("init", "--organization", "Kwale Water", "--admin", "Wanjiru Kamau", "--email", "wanjiru@example.org")
	link := signInLink.FindStringSubmatch(out)
	if err != nil || link == nil {
		s.t.Fatalf("qanat init: %v\n%s", err, out)
	}
	return link[1]
}

// Verify runs qanat verify, which must find nothing wrong. The server must not be running.
func (s *Server) Verify() {
	s.t.Helper()
	if out, err := s.Run("verify", "--quiet"); err != nil || !strings.Contains(out, "Everything is as it was written.") {
		s.t.Fatalf("qanat verify: %v\n%s", err, out)
	}
}

// Start runs the server and waits until it answers.
func (s *Server) Start() {
	s.t.Helper()
	log, err := os.OpenFile(s.Log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	args := append(append([]string{"serve"}, s.where()...), "--listen", s.Web, "--mqtt", s.MQTT, "--config", s.Config)
	s.cmd = exec.Command(Binary, args...) // #nosec G204 -- the program under test
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.ended = make(chan error, 1)
	go func(cmd *exec.Cmd, ended chan error) { ended <- cmd.Wait() }(s.cmd, s.ended)
	deadline := time.Now().Add(30 * time.Second)
	for {
		if s.healthy() {
			return
		}
		select {
		case err := <-s.ended:
			s.cmd = nil
			s.t.Fatalf("qanat serve ended: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.t.Fatal("qanat serve does not answer")
		}
	}
}

func (s *Server) healthy() bool {
	pem, err := os.ReadFile(filepath.Join(s.Data, "ca.pem"))
	if err != nil || !x509.NewCertPool().AppendCertsFromPEM(pem) { // it is being written
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	c := s.Client()
	defer c.HTTP.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Base+"/health", nil)
	if err != nil {
		return false
	}
	answer, err := c.HTTP.Do(request)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// PID is the process of the running server.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Running tells whether the process lives.
func (s *Server) Running() bool {
	return s.cmd != nil && s.cmd.Process.Signal(syscall.Signal(0)) == nil
}

// Stop asks the server to end, as Ctrl-C and systemd do, and expects it to end well.
func (s *Server) Stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case err := <-s.ended:
		if err != nil {
			s.t.Errorf("after SIGTERM the server ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		s.t.Error("the server did not end within 30 s of SIGTERM")
		s.Kill()
	}
	s.cmd = nil
}

// Kill ends the server as a power cut would.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may have ended by itself
	<-s.ended
	s.cmd = nil
}

// Roots are what the server's doors are trusted by.
func (s *Server) Roots() *x509.CertPool {
	s.t.Helper()
	pem, err := os.ReadFile(filepath.Join(s.Data, "ca.pem"))
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		s.t.Fatalf("ca.pem: %v", err)
	}
	return pool
}

// TLS is for connections to the HTTPS door that are made by hand.
func (s *Server) TLS() *tls.Config {
	return &tls.Config{RootCAs: s.Roots(), ServerName: "localhost", MinVersion: tls.VersionTLS12}
}

// Logged gives what the server has said so far.
func (s *Server) Logged() []byte {
	log, err := os.ReadFile(s.Log)
	if err != nil {
		s.t.Fatal(err)
	}
	return log
}

// KeptOutOfLog fails the test when one of the secrets stands in the server's log.
func (s *Server) KeptOutOfLog(secrets map[string]string) {
	s.t.Helper()
	log := s.Logged()
	if len(log) == 0 {
		s.t.Error("the log is empty: nothing is tested")
	}
	for what, secret := range secrets {
		if len(secret) < 8 {
			s.t.Errorf("%s: %q is no secret to look for", what, secret)
		} else if at := bytes.Index(log, []byte(secret)); at >= 0 {
			s.t.Errorf("%s stands in the log: …%s…", what, log[max(0, at-200):min(len(log), at+200)])
		}
	}
}

var (
	addressMu sync.Mutex
	addresses = 1
)

// nextAddress gives 127.0.1.0 and on: each its own limits.
func nextAddress() net.IP {
	addressMu.Lock()
	defer addressMu.Unlock()
	addresses++
	return net.IPv4(127, 0, byte(addresses>>8)+1, byte(addresses))
}
