package main

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Only a process of the same user is listened to, even if the modes of socket
// and directory let others in.
func TestTheSocketIsForTheSameUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("another user can be played by root only")
	}
	dir := filepath.Join(t.TempDir(), strings.Repeat("a long name ", 15)) // longer than an address of a socket may be
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := openAdmin(dir)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, adminSocket)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, %v", info.Mode(), err)
	}
	for path, mode := range map[string]os.FileMode{file: 0o666, dir: 0o755, filepath.Dir(dir): 0o755, filepath.Dir(filepath.Dir(dir)): 0o755} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	short, err := os.MkdirTemp("", "q")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(short)
	if err := errors.Join(os.Chmod(short, 0o755), os.Symlink(file, filepath.Join(short, "s"))); err != nil {
		t.Fatal(err)
	}
	heard := make(chan net.Conn, 2)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			heard <- c
		}
	}()
	hungUp := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // it ends with this goroutine: its user is not root any more
		keep := ^uintptr(0)
		if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, 65534, keep); e != 0 {
			hungUp <- e
			return
		}
		c, err := net.Dial("unix", filepath.Join(short, "s"))
		if err == nil {
			_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
			_, err = c.Read(make([]byte, 1))
			_ = c.Close()
		}
		hungUp <- err
	}()
	if err := <-hungUp; !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("another user is not hung up on: %v", err)
	}
	c, err := net.Dial("unix", filepath.Join(short, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	select {
	case <-heard:
	case <-time.After(5 * time.Second):
		t.Error("the same user is not heard")
	}
	if len(heard) != 0 {
		t.Error("another user was heard")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays after the end: %v", err)
	}
}
