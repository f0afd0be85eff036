// Package blob keeps photos and files: content-addressed, streamed, encrypted.
//
// A blob's name is the SHA-256 of its plain content, so the ledger's entry that
// names it also proves it. On disk its file name is an HMAC of that hash, and
// its content is AES-256-GCM in segments under a key derived for this one blob,
// so that the directory tells an outsider nothing but sizes and times. Put
// returns when the file and its directory are on disk; putting the same content
// again is free. Nothing is ever changed in place; Sweep removes what
// nothing names any more.
//
// Who controls the directory can delete blobs, which verify finds; he cannot
// read, change or swap them without being noticed on the next read.
package blob

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/tink-crypto/tink-go/v2/streamingaead/subtle"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/vault"
)

const (
	segment    = 64 << 10 // bytes of ciphertext that are authenticated at once
	headerSize = 32 + len(magic)
	magic      = "qanat-blob-1\n"
)

// Ref names a blob.
type Ref struct {
	Hash string // SHA-256 of the content, 64 hexadecimal digits
	Size int64  // bytes of content
}

// Store is a directory of blobs.
type Store struct {
	dir     string
	nameKey []byte
	seal    *subtle.AESGCMHKDF
	fail    func(step string, do func() error) error // of tests: runs a step, or not, and fails
}

// Open uses a directory, and makes it if there is none.
func Open(dir string, v *vault.Vault) (*Store, error) {
	if err := os.MkdirAll(filepath.Join(dir, "incoming"), 0o700); err != nil {
		return nil, fmt.Errorf("blob directory: %w", err)
	}
	stale, err := filepath.Glob(filepath.Join(dir, "incoming", "*"))
	if err != nil {
		return nil, err
	}
	for _, path := range stale { // left by a crash: nothing names them
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	seal, err := subtle.NewAESGCMHKDF(v.Derive("blob content", 32), "SHA256", 32, segment, 0)
	if err != nil {
		return nil, err
	}
	return &Store{dir: dir, nameKey: v.Derive("blob names", 32), seal: seal}, nil
}

// Put stores what r gives, up to limit bytes. The content is hashed while it is
// encrypted; the file carries a random label that its segments are bound to.
func (s *Store) Put(ctx context.Context, r io.Reader, limit int64) (Ref, error) {
	var f *os.File
	err := s.at("make", func() (err error) { f, err = os.CreateTemp(filepath.Join(s.dir, "incoming"), ""); return err })
	if f != nil {
		defer os.Remove(f.Name())
		defer f.Close()
	}
	if err != nil {
		return Ref{}, fmt.Errorf("blob: %w", err)
	}
	header := make([]byte, headerSize)
	copy(header, magic)
	rand.Read(header[len(magic):])
	if err := s.at("write header", func() error { _, err := f.Write(header); return err }); err != nil {
		return Ref{}, err
	}
	w, err := s.seal.NewEncryptingWriter(f, header)
	if err != nil {
		return Ref{}, err
	}
	hash := sha256.New()
	var size int64
	if err := s.at("write", func() (err error) {
		size, err = io.Copy(io.MultiWriter(w, hash), &contextReader{ctx, io.LimitReader(r, limit+1)})
		return err
	}); err != nil {
		return Ref{}, err
	}
	if size > limit {
		return Ref{}, fault.Newf(fault.TooLarge, "blob.size", "The file is larger than %d bytes", limit).WithMend("Send a smaller file")
	}
	for _, step := range []step{{"finish", w.Close}, {"sync", f.Sync}} {
		if err := s.at(step.name, step.do); err != nil {
			return Ref{}, fmt.Errorf("blob: %w", err)
		}
	}
	ref := Ref{Hash: hex.EncodeToString(hash.Sum(nil)), Size: size}
	path, err := s.path(ref.Hash)
	if err != nil {
		return Ref{}, err
	}
	for _, step := range []step{
		{"make directory", func() error { return os.MkdirAll(filepath.Dir(path), 0o700) }},
		{"rename", func() error {
			now := time.Now()
			if err := os.Chtimes(path, now, now); err == nil { // it is there, and somebody is about to name it again
				return nil
			}
			return os.Rename(f.Name(), path)
		}},
		// Of a blob that was there already, too: whoever put it may have ended before this.
		{"sync directory", func() error { return syncDir(filepath.Dir(path)) }},
		{"sync root", func() error { return syncDir(s.dir) }},
	} {
		if err := s.at(step.name, step.do); err != nil {
			return Ref{}, err
		}
	}
	return ref, nil
}

type step struct {
	name string
	do   func() error
}

// at does one step.
func (s *Store) at(step string, do func() error) error {
	if s.fail != nil {
		return s.fail(step, do)
	}
	return do()
}

// Get opens a blob for reading. A changed file fails while it is read: the last
// read returns an error instead of io.EOF.
func (s *Store) Get(ctx context.Context, hash string) (io.ReadCloser, error) {
	path, err := s.path(hash)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "blob.missing", "The file is not in the store").
			WithMend("If it was there before, restore it from the backup; qanat verify lists what is missing")
	}
	if err != nil {
		return nil, err
	}
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(f, header); err != nil || !bytes.HasPrefix(header, []byte(magic)) {
		return nil, errors.Join(damaged(hash), f.Close())
	}
	plain, err := s.seal.NewDecryptingReader(f, header)
	if err != nil {
		return nil, errors.Join(damaged(hash), err, f.Close())
	}
	return &reader{plain: &contextReader{ctx, plain}, file: f, sum: sha256.New(), hash: hash}, nil
}

// Has tells whether a blob's file is there, without reading it.
func (s *Store) Has(hash string) bool {
	path, err := s.path(hash)
	if err != nil {
		return false
	}
	_, err = os.Stat(path)
	return err == nil
}

// Verify reads a whole blob and checks its hash.
func (s *Store) Verify(ctx context.Context, hash string) error {
	r, err := s.Get(ctx, hash)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}

// Sweep deletes the files that nothing names: each is spoiled before it is
// removed. named tells of every hash that must stay. Files that were put, or put
// again, less than an age ago stay too: somebody may be about to name them. It tells
// how many are gone.
func (s *Store) Sweep(ctx context.Context, named func(keep func(hash string)) error, age time.Duration) (removed int, err error) {
	before := time.Now().Add(-age) // files have the clock of the machine
	kept := map[string]bool{}
	err = named(func(hash string) {
		if path, err := s.path(hash); err == nil {
			kept[path] = true
		}
	})
	if err != nil {
		return 0, err
	}
	err = filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if d.IsDir() {
			if d.Name() == "incoming" {
				return filepath.SkipDir
			}
			return nil
		}
		if kept[path] || len(filepath.Base(path)) != 62 {
			return nil
		}
		info, err := d.Info()
		if err != nil || !info.ModTime().Before(before) {
			return err
		}
		removed++
		return spoil(path)
	})
	return removed, err
}

// spoil overwrites what the key of a blob is made of, and removes the file.
func spoil(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0) // #nosec G304 -- a file of ours
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, headerSize+4096), 0)
	if err = errors.Join(err, f.Sync(), f.Close(), os.Remove(path)); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func (s *Store) path(hash string) (string, error) {
	if raw, err := hex.DecodeString(hash); err != nil || len(raw) != sha256.Size {
		return "", fault.New(fault.Invalid, "blob.hash", "That is not the name of a file")
	}
	mac := hmac.New(sha256.New, s.nameKey)
	mac.Write([]byte(hash))
	name := hex.EncodeToString(mac.Sum(nil))
	return filepath.Join(s.dir, name[:2], name[2:]), nil
}

type reader struct {
	plain io.Reader
	file  *os.File
	sum   interface {
		io.Writer
		Sum([]byte) []byte
	}
	hash string
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.plain.Read(p)
	r.sum.Write(p[:n])
	switch {
	case err == io.EOF:
		if hex.EncodeToString(r.sum.Sum(nil)) != r.hash {
			return n, damaged(r.hash)
		}
	case err != nil:
		err = errors.Join(damaged(r.hash), err)
	}
	return n, err
}

func (r *reader) Close() error { return r.file.Close() }

func damaged(hash string) error {
	return fmt.Errorf("blob %s is damaged", hash)
}

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
