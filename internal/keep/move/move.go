// Package move carries a whole server from one database engine to the other: all
// entries as they are, sealed, with the wrapped keys of their documents, the tree,
// its checkpoints and what witnesses signed, and whatever else stands beside the
// ledger: readings, refusals, and the files.
//
// What it guarantees: a ledger that does not verify is not exported. The file is
// encrypted and authenticated as a whole, and under the master key's own: a byte
// changed, cut off or added anywhere is refused. Every row is there that its table's
// end has counted. An import goes into an empty database only, which stays marked as
// unfinished, and is refused by every server, until all has arrived, indexes are
// made again, everything is verified, and the root is the exported one; an import
// that was interrupted is begun anew by the next. Memory is bounded by the largest
// row, and some hundred bytes for each file.
//
// Limits: the master key is not in the file; it must be there already. The file
// is of one moment: the server it came from must not write on, or there are two
// ledgers with one past. Both programs must know the same tables.
//
// Who has the file and not the master key learns its size, and nothing else. Who has
// both has everything.
package move

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/tink-crypto/tink-go/v2/streamingaead/subtle"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/vault"
)

// A file begins with magic, the mark of the master key and a random label; all of
// it is bound to what follows: segments of AES-256-GCM under a key of this file.
// Inside stand records, each with the byte that says what it is.
const (
	magic      = "qanat ledger 1\n"
	markSize   = 8
	labelSize  = 32
	headerSize = len(magic) + markSize + labelSize
	segment    = 1 << 20

	recordHead  = 'H' // JSON of head
	recordTable = 'T' // name; rows follow
	recordRow   = 'R' // a value for each column
	recordEnd   = 'E' // of a table: how many rows it had
	recordFile  = 'F' // SHA-256; pieces follow, an empty one is the last
	recordLast  = 'Z' // how many tables, rows and files there were

	longest   = 1 << 30 // bytes of a value; the hashes of a large commit are the longest
	pieceSize = 256 << 10
)

// head says what a file holds.
type head struct {
	Engine     store.Engine  `json:"engine"`
	Time       string        `json:"time"`
	Entries    int64         `json:"entries"`
	Root       []byte        `json:"root"`
	Files      bool          `json:"files"`
	Migrations []string      `json:"migrations"` // "owner step hash"
	Tables     []store.Table `json:"tables"`
}

// Summary is what was carried.
type Summary struct {
	Entries int64
	Root    string
	Tables  int
	Rows    int64
	Files   int
	Missing int // files that entries name and that were not carried
}

func seal(v *vault.Vault) (*subtle.AESGCMHKDF, error) {
	return subtle.NewAESGCMHKDF(v.Derive("ledger file", 32), "SHA256", 32, segment, 0)
}

func mark(v *vault.Vault) []byte { return v.Derive("ledger file mark", markSize) }

// writer writes records.
type writer struct {
	sealed io.WriteCloser
	*bufio.Writer
	scratch []byte
}

func newWriter(v *vault.Vault, out io.Writer) (*writer, error) {
	header := append([]byte(magic), mark(v)...)
	header = append(header, make([]byte, labelSize)...)
	rand.Read(header[headerSize-labelSize:])
	if _, err := out.Write(header); err != nil {
		return nil, err
	}
	aead, err := seal(v)
	if err != nil {
		return nil, err
	}
	sealed, err := aead.NewEncryptingWriter(out, header)
	if err != nil {
		return nil, err
	}
	return &writer{sealed: sealed, Writer: bufio.NewWriterSize(sealed, segment)}, nil
}

func (w *writer) close() error { return errors.Join(w.Flush(), w.sealed.Close()) }

func (w *writer) record(kind byte, numbers ...int64) error {
	w.scratch = append(w.scratch[:0], kind)
	for _, n := range numbers {
		w.scratch = binary.AppendVarint(w.scratch, n)
	}
	_, err := w.Write(w.scratch)
	return err
}

func (w *writer) bytes(b []byte) error {
	w.scratch = binary.AppendUvarint(w.scratch[:0], uint64(len(b)))
	if _, err := w.Write(w.scratch); err != nil {
		return err
	}
	_, err := w.Write(b)
	return err
}

// value writes a column: 0 for NULL, 1 and what it is otherwise.
func (w *writer) value(v any) error {
	w.scratch = append(w.scratch[:0], 1)
	switch v := v.(type) {
	case *store.Borrowed:
		if *v != nil {
			if _, err := w.Write(w.scratch); err != nil {
				return err
			}
			return w.bytes(*v)
		}
		w.scratch[0] = 0
	case **int64:
		if *v == nil {
			w.scratch[0] = 0
		} else {
			w.scratch = binary.AppendVarint(w.scratch, **v)
		}
	case **float64:
		if *v == nil {
			w.scratch[0] = 0
		} else {
			w.scratch = binary.BigEndian.AppendUint64(w.scratch, math.Float64bits(**v))
		}
	}
	_, err := w.Write(w.scratch)
	return err
}

// reader reads records.
type reader struct{ *bufio.Reader }

// newReader opens the seal. Nothing that it gives was changed, and its end is the
// end of what was written.
func newReader(v *vault.Vault, in io.Reader) (*reader, error) {
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(in, header); err != nil || !bytes.HasPrefix(header, []byte(magic)) {
		return nil, fault.New(fault.Invalid, "move.format", "This is no ledger file of qanat export, or of another version").
			WithMend("Name the file that qanat export --ledger wrote")
	}
	if !bytes.Equal(header[len(magic):len(magic)+markSize], mark(v)) {
		return nil, fault.New(fault.Denied, "move.key", "This file was written under another master key").
			WithMend("Put the master.key of the server it came from into the data directory")
	}
	aead, err := seal(v)
	if err != nil {
		return nil, err
	}
	plain, err := aead.NewDecryptingReader(in, header)
	if err != nil {
		return nil, damaged(err)
	}
	return &reader{bufio.NewReaderSize(plain, segment)}, nil
}

func damaged(err error) error {
	return fault.New(fault.Invalid, "move.damaged", "The file is damaged, or not whole").
		WithMend("Copy it again, or export again. What was imported of it so far is never served").Because(err)
}

func (r *reader) number() (int64, error) { return binary.ReadVarint(r) }

// bytes reads into dst; a length that was never written does not take memory.
func (r *reader) bytes(dst []byte) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	if n > longest {
		return nil, fmt.Errorf("a value of %d bytes", n)
	}
	for dst = dst[:0]; uint64(len(dst)) < n; {
		piece := int(min(n-uint64(len(dst)), pieceSize)) // #nosec G115 -- at most pieceSize
		from := len(dst)
		dst = append(dst, make([]byte, piece)...)
		if _, err := io.ReadFull(r, dst[from:]); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// value reads a column as an argument of a statement.
func (r *reader) value(kind string) (any, error) {
	there, err := r.ReadByte()
	if err != nil || there == 0 {
		return nil, err
	}
	if there != 1 {
		return nil, fmt.Errorf("a value marked %d", there)
	}
	switch kind {
	case "bigint":
		return r.number()
	case "real":
		var b [8]byte
		_, err := io.ReadFull(r, b[:])
		return math.Float64frombits(binary.BigEndian.Uint64(b[:])), err
	case "text":
		b, err := r.bytes(nil)
		return string(b), err
	}
	b, err := r.bytes([]byte{})
	return b, err
}
