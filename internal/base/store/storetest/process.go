package storetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5"
)

// startKept starts the server from a thread that is never given back: the
// kernel sends the parent-death signal when the starting thread ends.
func startKept(server *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- server.Start()
		select {}
	}()
	return <-started
}

func waitReady(dir string) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		conn, err := pgx.Connect(context.Background(), url("postgres"))
		if err == nil {
			return conn.Close(context.Background())
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(dir, "log")) // #nosec G304 -- our own temporary directory
			return fmt.Errorf("server did not answer: %w: %s", err, log)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
