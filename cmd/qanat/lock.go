package main

import (
	"os"
	"path/filepath"
	"syscall"

	"github.com/qanat-water/qanat/internal/base/fault"
)

// lockDirectory keeps other processes of this program out of a data directory.
// The lock goes with the process, however it ends.
func lockDirectory(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { // #nosec G115 -- a file descriptor
		_ = f.Close() // the lock is what matters
		return nil, fault.Newf(fault.Conflict, "data.locked", "Another qanat uses %s", dir).WithMend("Stop it first, or use another directory")
	}
	return func() { _ = f.Close() }, nil
}
