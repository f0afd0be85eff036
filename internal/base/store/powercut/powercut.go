// Package powercut is a disk for tests whose power can be cut: a SQLite VFS that
// knows what was synced and what was only written.
//
// At the cut every write that was not synced is, by chance, kept, lost, or torn
// into sectors of 512 bytes of which some arrive, each on its own; everything
// after it fails. What Recover lays out is what a real disk may hold afterwards.
// Making and deleting a file is taken as durable at once: SQLite syncs the
// directory, and in WAL mode files are made once.
//
// It stands below the encryption, so that the encrypted blocks are what is torn.
// For tests only.
package powercut

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
	"github.com/ncruces/go-sqlite3/vfs/adiantum"
)

// VFS is the name of the encrypted VFS over the disks.
const VFS = "powercut"

const sector = 512

var (
	mu    sync.Mutex
	disks = map[string]*Disk{} // by directory
)

func init() { vfs.Register(VFS, adiantum.Wrap(&system{vfs.Find("")}, nil)) }

// Disk is a directory on a disk whose power will be cut.
type Disk struct {
	mu     sync.Mutex
	random *rand.Rand
	left   int // writes until the cut
	dead   bool
	files  map[string]*content
}

// content is what one file holds on the disk: what was synced, and what was
// written since.
type content struct {
	synced  []byte
	pending []write
}

type write struct {
	at       int64
	data     []byte
	truncate bool // to the size at
}

// New makes a disk over a directory. Its power is cut in the middle of the given write.
func New(dir string, seed uint64, writes int) *Disk {
	d := &Disk{random: rand.New(rand.NewPCG(seed, 17)), left: writes, files: map[string]*content{}} // #nosec G404 -- a repeatable disaster is wanted
	mu.Lock()
	defer mu.Unlock()
	disks[dir] = d
	return d
}

// Dead tells whether the power is off.
func (d *Disk) Dead() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dead
}

// Recover cuts the power, if it is still on, and lays out in a directory what
// the disk holds.
func (d *Disk) Recover(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	for name, c := range d.files {
		for _, w := range c.pending {
			switch chance := d.random.IntN(3); {
			case chance == 0: // lost
			case chance == 1 || w.truncate:
				c.apply(w)
			default:
				for from := 0; from < len(w.data); {
					to := min(len(w.data), from+sector-int((w.at+int64(from))%sector))
					if d.random.IntN(2) == 0 {
						c.apply(write{at: w.at + int64(from), data: w.data[from:to]})
					}
					from = to
				}
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), c.synced, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (c *content) apply(w write) {
	end := w.at + int64(len(w.data))
	if w.truncate && int64(len(c.synced)) > w.at {
		c.synced = c.synced[:w.at]
	}
	if int64(len(c.synced)) < end {
		c.synced = append(c.synced, make([]byte, end-int64(len(c.synced)))...)
	}
	copy(c.synced[w.at:], w.data)
}

// system is the operating system's VFS with disks in between.
type system struct{ vfs.VFS }

func (s *system) Open(string, vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	return nil, 0, sqlite3.CANTOPEN // files have names here
}

func (s *system) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	inner, flags, err := vfsutil.WrapOpenFilename(s.VFS, name, flags)
	if err != nil || name == nil {
		return inner, flags, err
	}
	mu.Lock()
	d := disks[filepath.Dir(name.String())]
	mu.Unlock()
	if d == nil {
		return inner, flags, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	base := filepath.Base(name.String())
	if d.files[base] == nil {
		d.files[base] = &content{}
	}
	return &file{File: inner, disk: d, content: d.files[base]}, flags, nil
}

func (s *system) Delete(name string, syncDir bool) error {
	mu.Lock()
	d := disks[filepath.Dir(name)]
	mu.Unlock()
	if d == nil {
		return s.VFS.Delete(name, syncDir)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return sqlite3.IOERR_DELETE
	}
	delete(d.files, filepath.Base(name))
	return s.VFS.Delete(name, syncDir)
}

type file struct {
	vfs.File
	disk    *Disk
	content *content
}

func (f *file) write(w write, do func() error) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.dead {
		return sqlite3.IOERR_WRITE
	}
	f.content.pending = append(f.content.pending, w)
	if f.disk.left--; f.disk.left <= 0 {
		f.disk.dead = true
		return sqlite3.IOERR_WRITE
	}
	return do()
}

func (f *file) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.write(write{at: off, data: append([]byte(nil), p...)}, func() error {
		n, err = f.File.WriteAt(p, off)
		return err
	})
	return n, err
}

func (f *file) Truncate(size int64) error {
	return f.write(write{at: size, truncate: true}, func() error { return f.File.Truncate(size) })
}

func (f *file) Sync(flags vfs.SyncFlag) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.dead {
		return sqlite3.IOERR_FSYNC
	}
	for _, w := range f.content.pending {
		f.content.apply(w)
	}
	f.content.pending = nil
	return f.File.Sync(flags)
}

// SharedMemory is the system's: it is no part of the disk.
func (f *file) SharedMemory() vfs.SharedMemory { return vfsutil.WrapSharedMemory(f.File) }

// Unwrap is for the library.
func (f *file) Unwrap() vfs.File { return f.File }
