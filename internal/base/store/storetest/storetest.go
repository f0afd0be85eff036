// Package storetest runs a test on both engines: SQLite in the test's own
// directory, and PostgreSQL in a private cluster that is made from the Debian
// binaries once for a test binary, runs as an unprivileged user, listens on a
// Unix socket only, and goes with the process.
//
// For tests only. It trusts the machine it runs on.
package storetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/qanat-water/qanat/internal/base/store"
)

// Key is the database key of tests.
var Key = []byte("0123456789abcdef0123456789abcdef")

// Each runs fn as a subtest for each engine. open gives the same database each
// time it is called within one run, so that a test can close and reopen it.
func Each(t *testing.T, fn func(t *testing.T, open func() *store.Store)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { fn(t, Postgres(t)) })
}

// EachBench is Each for benchmarks.
func EachBench(b *testing.B, fn func(b *testing.B, open func() *store.Store)) {
	b.Helper()
	b.Run("sqlite", func(b *testing.B) { fn(b, SQLite(b)) })
	b.Run("postgres", func(b *testing.B) { fn(b, Postgres(b)) })
}

// SQLite gives a function that opens one fresh encrypted database file.
func SQLite(t testing.TB) func() *store.Store {
	path := filepath.Join(t.TempDir(), "qanat.db")
	return func() *store.Store {
		s, err := store.OpenSQLite(context.Background(), path, Key)
		if err != nil {
			t.Fatalf("open sqlite: %v", err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
}

// Postgres gives a function that opens one fresh PostgreSQL database.
func Postgres(t testing.TB) func() *store.Store {
	url := PostgresURL(t)
	return func() *store.Store {
		s, err := store.OpenPostgres(context.Background(), url)
		if err != nil {
			t.Fatalf("open postgres: %v", err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
}

var (
	startOnce sync.Once
	socketDir string
	startErr  error
	databases atomic.Int64
)

// PostgresURL makes a fresh database and gives its URL.
func PostgresURL(t testing.TB) string {
	t.Helper()
	startOnce.Do(func() { socketDir, startErr = start() })
	if startErr != nil {
		t.Fatalf("private PostgreSQL cluster: %v (apt-get install postgresql)", startErr)
	}
	ctx := context.Background()
	admin, err := pgx.Connect(ctx, url("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(ctx)
	name := fmt.Sprintf("t%d", databases.Add(1))
	if _, err := admin.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return url(name)
}

func url(database string) string {
	return fmt.Sprintf("postgres://qanat@/%s?host=%s", database, socketDir)
}

// start makes a cluster in a temporary directory and runs it until this process
// dies: the server is told so by the kernel.
func start() (dir string, err error) {
	bin, err := binaries()
	if err != nil {
		return "", err
	}
	dir, err = os.MkdirTemp("", "qanat-pg-")
	if err != nil {
		return "", err
	}
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Geteuid() == 0 { // the server refuses to run as root
		who, err := user.Lookup("postgres")
		if err != nil {
			return "", err
		}
		uid, _ := strconv.Atoi(who.Uid)
		gid, _ := strconv.Atoi(who.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			return "", err
		}
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)} // #nosec G115 -- ids of the system
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "qanat", "-A", "trust", "-E", "UTF8", "--locale=C", "-N") // #nosec G204 -- our own arguments
	initdb.SysProcAttr = attr
	initdb.Dir = dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return "", fmt.Errorf("initdb: %w: %s", err, out)
	}
	// Durable settings stay as they are in production: fsync, full_page_writes and
	// synchronous_commit on. Only sizes are small.
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "shared_buffers=128MB", // #nosec G204 -- our own arguments
		"-c", "max_connections=200", "-c", "max_wal_size=1GB")
	server.SysProcAttr = attr
	server.Dir = dir
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return "", err
	}
	server.Stdout, server.Stderr = log, log
	if err := startKept(server); err != nil {
		return "", err
	}
	socketDir = dir
	return dir, waitReady(dir)
}

func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("no PostgreSQL server binaries under /usr/lib/postgresql")
	}
	return found[len(found)-1], nil
}
