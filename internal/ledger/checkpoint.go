package ledger

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/vault"
)

// signer signs checkpoints: signed notes whose text is origin, size and root
// (C2SP tlog-checkpoint), with an Ed25519 key derived from the master key.
type signer struct {
	origin   string
	sign     note.Signer
	verify   note.Verifier
	verifier string // the public key in note format
	dir      string

	publishing sync.Mutex
	fail       func(step string, do func() error) error // of tests: runs a step, or not, and fails
}

const checkpointFile = "checkpoint"

func newSigner(v *vault.Vault, origin, dir string) (*signer, error) {
	if origin == "" || strings.ContainsAny(origin, "+\n\t ") {
		return nil, fmt.Errorf("checkpoint origin %q: letters, digits, dots and slashes only", origin)
	}
	sign, verifierKey, err := noteSigner(v, "checkpoint signing", origin)
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(verifierKey)
	if err != nil {
		return nil, err
	}
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		stale, err := filepath.Glob(filepath.Join(dir, checkpointFile+"-*"))
		if err != nil {
			return nil, err
		}
		for _, path := range stale { // left by a crash in publish
			if err := os.Remove(path); err != nil {
				return nil, err
			}
		}
	}
	return &signer{origin: origin, sign: sign, verify: verifier, verifier: verifierKey, dir: dir}, nil
}

// Checkpoint is the signed state of the tree at one time.
type Checkpoint struct {
	Size int64     `json:"size" doc:"entries covered"`
	Root string    `json:"root" doc:"root hash, base64"`
	Time time.Time `json:"time"`
	Note string    `json:"note" doc:"signed note (C2SP tlog-checkpoint)"`
	Key  string    `json:"key" doc:"verifier key (C2SP signed-note vkey)"`

	Witnesses []WitnessState `json:"witnesses" doc:"how things stand with each witness; their cosignatures are in the note"`
}

// VerifierKey is the public key that checkpoints are checked with.
func (l *Ledger) VerifierKey() string { return l.signer.verifier }

// firstCheckpoint is how soon after the start the first one is signed.
const firstCheckpoint = 2 * time.Second

// checkpoints signs a checkpoint soon, and then within every period in which
// something changed.
func (l *Ledger) checkpoints(every time.Duration) {
	due := time.NewTimer(min(every, firstCheckpoint))
	defer due.Stop()
	for {
		select {
		case <-due.C:
			due.Reset(every)
			if err := l.Checkpoint(context.Background()); err != nil {
				l.log.Error("checkpoint failed", "error", err)
			}
		case <-l.closing:
			return
		}
	}
}

// Checkpoint signs the tree as it stands, unless that is done already, and puts
// it outside: first into the table, then beside the database. Witnesses hear of it.
func (l *Ledger) Checkpoint(ctx context.Context) error {
	var text string
	fresh := false
	err := l.store.Write(ctx, func(q *store.Q) error {
		h, err := loadHead(q)
		if err != nil || h.entries == 0 {
			return err
		}
		var size int64
		if _, err := q.Row([]any{&size, &text}, `SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1`); err != nil || size == h.entries {
			return err
		}
		if err := l.signer.continues(q, h, text); err != nil {
			return err
		}
		if text, err = l.signer.signed(h.entries, h.root); err != nil {
			return err
		}
		fresh = true
		_, err = q.Exec(`INSERT INTO checkpoint (size, time, note) VALUES ($1, $2, $3)`, h.entries, h.time, text)
		return err
	})
	if err != nil || text == "" {
		return err
	}
	if fresh {
		for _, w := range l.witnesses {
			w.tell()
		}
	}
	return l.publish(ctx)
}

// continues is an error unless the stored hashes give the head's root and that of
// the checkpoint before: what somebody wrote into the head row is not signed.
func (s *signer) continues(q *store.Q, h *head, before string) error {
	roots := map[int64]tlog.Hash{h.entries: h.root}
	if before != "" {
		size, root, err := s.open(before)
		if err != nil {
			return fmt.Errorf("the newest checkpoint: %w", err)
		}
		roots[size] = root
	}
	for size, root := range roots {
		var is tlog.Hash
		var err error
		if size > 0 {
			is, err = tlog.TreeHash(size, storedHashes(q))
		}
		if err != nil || is != root {
			return fault.Newf(fault.Internal, "ledger.changed", "The tree of %d entries is not what was promised; no checkpoint is signed", size).
				WithMend("Run 'qanat verify': it names what was changed").Because(err)
		}
	}
	return nil
}

// publish puts the newest checkpoint, as the table has it, beside the database.
func (l *Ledger) publish(ctx context.Context) error {
	if l.signer.dir == "" {
		return nil
	}
	l.signer.publishing.Lock() // the newest is read and written by one at a time, so that none overtakes
	defer l.signer.publishing.Unlock()
	var c Checkpoint
	err := l.Read(ctx, func(r *Reader) (err error) {
		c, _, err = r.LatestCheckpoint()
		return err
	})
	if err != nil || c.Note == "" {
		return err
	}
	return l.signer.publish(c.Note)
}

// LatestCheckpoint is the newest signed checkpoint; found is false before the first.
func (r *Reader) LatestCheckpoint() (c Checkpoint, found bool, err error) {
	return r.checkpoint(`SELECT size, time, note FROM checkpoint ORDER BY size DESC LIMIT 1`)
}

func (r *Reader) checkpoint(sql string, args ...any) (c Checkpoint, found bool, err error) {
	var ms int64
	found, err = r.q.Row([]any{&c.Size, &ms, &c.Note}, sql, args...)
	if err != nil || !found {
		return c, false, err
	}
	c.Time, c.Key, c.Witnesses = time.UnixMilli(ms).UTC(), r.ledger.signer.verifier, r.ledger.Witnesses()
	_, root, err := r.ledger.signer.open(c.Note)
	if err != nil {
		return c, true, err
	}
	c.Root = root.String()
	c.Note, err = withCosignatures(r.q, c.Size, c.Note)
	return c, true, err
}

func (s *signer) signed(size int64, root tlog.Hash) (string, error) {
	msg, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", s.origin, size, root)}, s.sign)
	return string(msg), err
}

// open checks a checkpoint's signature and reads it.
func (s *signer) open(text string) (size int64, root tlog.Hash, err error) {
	n, err := note.Open([]byte(text), note.VerifierList(s.verify))
	if err != nil {
		return 0, root, fmt.Errorf("checkpoint: %w", err)
	}
	// Base64 has spare bits, and a decoder that passes over them: one byte could be another unnoticed.
	if _, err := base64.StdEncoding.Strict().DecodeString(n.Sigs[0].Base64); err != nil {
		return 0, root, fmt.Errorf("checkpoint: %w", err)
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) < 4 || lines[0] != s.origin {
		return 0, root, errors.New("checkpoint: not of this ledger")
	}
	if size, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return 0, root, fmt.Errorf("checkpoint: %w", err)
	}
	root, err = tlog.ParseHash(lines[2])
	return size, root, err
}

// published is the checkpoint file, nil when there is none.
func (s *signer) published() ([]byte, error) {
	if s.dir == "" {
		return nil, nil
	}
	text, err := os.ReadFile(filepath.Join(s.dir, checkpointFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// publish replaces the checkpoint file, whole or not at all.
func (s *signer) publish(text string) error {
	path := filepath.Join(s.dir, checkpointFile)
	var tmp *os.File
	err := s.at("make", func() (err error) { tmp, err = os.CreateTemp(s.dir, checkpointFile+"-*"); return err })
	if tmp != nil {
		defer os.Remove(tmp.Name())
		defer tmp.Close()
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"write", func() error { _, err := tmp.WriteString(text); return err }},
		{"sync", func() error { return tmp.Sync() }},
		{"close", func() error { return tmp.Close() }},
		{"rename", func() error { return os.Rename(tmp.Name(), path) }},
		{"sync directory", func() error {
			d, err := os.Open(s.dir)
			if err != nil {
				return err
			}
			return errors.Join(d.Sync(), d.Close())
		}},
	} {
		if err == nil {
			err = s.at(step.name, step.do)
		}
	}
	return err
}

// at does one step.
func (s *signer) at(step string, do func() error) error {
	if s.fail != nil {
		return s.fail(step, do)
	}
	return do()
}

// descends refuses to go on when the ledger is not a descendant of the newest
// checkpoint beside it: it was rolled back, or forked.
func (l *Ledger) descends(ctx context.Context) error {
	if l.signer.dir == "" {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(l.signer.dir, checkpointFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	size, root, err := l.signer.open(string(text))
	if err != nil {
		return fault.New(fault.Conflict, "ledger.checkpoint", "The checkpoint beside the database was not signed by this server's key").
			WithMend("Use the master key and the database that belong together").Because(err)
	}
	return l.store.Read(ctx, func(q *store.Q) error {
		var entries int64
		if _, err := q.Row([]any{&entries}, `SELECT entries FROM head WHERE id = 1`); err != nil {
			return err
		}
		if entries < size {
			return fault.Newf(fault.Conflict, "ledger.rolled-back", "The ledger has %d entries, but a checkpoint of %d entries was signed", entries, size).
				WithMend("This database is older than what was promised: find the newer one, or restore from the backup")
		}
		if size == 0 {
			return nil
		}
		is, err := tlog.TreeHash(size, storedHashes(q))
		if err != nil {
			return err
		}
		if is != root {
			return fault.Newf(fault.Conflict, "ledger.forked", "The first %d entries are not those that a checkpoint was signed for", size).
				WithMend("Somebody changed the past of this database: keep it as evidence, run qanat verify, and restore from the backup")
		}
		return nil
	})
}
