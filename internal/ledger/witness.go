package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/witness"
)

// Witness is somebody outside who remembers the newest checkpoint and cosigns
// only what continues it.
type Witness struct {
	*witness.Client
	// Required: the server does not start while the witness cannot be asked.
	Required bool
}

// WitnessState is how things stand with a witness.
type WitnessState struct {
	Name     string     `json:"name"`
	Required bool       `json:"required" doc:"the server does not start without it"`
	State    string     `json:"state" enum:"good,waiting,unreachable,unknown,conflict" doc:"good: it has cosigned the newest checkpoint that it was sent; unknown: it does not know this ledger; conflict: it has seen another ledger than this"`
	Size     int64      `json:"size" doc:"entries it has cosigned"`
	Time     *time.Time `json:"time,omitempty" doc:"when it did, by its clock"`
	Problem  string     `json:"problem,omitempty" doc:"what is wrong, for people"`
}

// Each witness is asked again after a while when it failed, more and more rarely.
const (
	firstRetry = 5 * time.Second
	lastRetry  = 10 * time.Minute
)

// watched is a witness with what is known of it.
type watched struct {
	Witness
	news chan struct{} // there is a checkpoint that it has not seen

	mu    sync.Mutex
	state WitnessState
}

func (w *watched) set(change func(*WitnessState)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.state)
}

func (w *watched) now() WitnessState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

func (w *watched) tell() {
	select {
	case w.news <- struct{}{}:
	default: // it is told already
	}
}

// Witnesses tells how things stand with each configured witness.
func (l *Ledger) Witnesses() []WitnessState {
	all := make([]WitnessState, len(l.witnesses))
	for i, w := range l.witnesses {
		all[i] = w.now()
	}
	return all
}

// confirmed asks every witness at the start, all at once, and refuses a ledger
// that has fewer entries than one of them has cosigned, or others. One that
// cannot be asked is a warning, unless it is required.
func (l *Ledger) confirmed(ctx context.Context, witnesses []Witness) error {
	for _, w := range witnesses {
		l.witnesses = append(l.witnesses, &watched{Witness: w, news: make(chan struct{}, 1), state: WitnessState{Name: w.Key.Name(), Required: w.Required, State: "waiting"}})
	}
	errs := make([]error, len(l.witnesses))
	ctx, cancel := context.WithTimeout(ctx, witness.Timeout)
	defer cancel()
	var asked sync.WaitGroup
	for i, w := range l.witnesses {
		asked.Go(func() {
			if errs[i] = l.cosigned(ctx, w); errs[i] == nil {
				errs[i] = l.ask(ctx, w)
			}
		})
	}
	asked.Wait()
	for i, w := range l.witnesses {
		err := errs[i]
		switch {
		case err == nil:
		case fault.KindOf(err) == fault.Conflict:
			return err
		case w.Required:
			mend := "Make it reachable, or set required = false for it while it is away"
			if errors.Is(err, witness.ErrUnknown) {
				mend = "Tell its operator this ledger's verifier key, " + l.signer.verifier
			}
			return fault.Newf(fault.Unavailable, "witness.required", "The witness %s is required and has not confirmed this ledger: %v", w.Key.Name(), err).WithMend(mend)
		default:
			l.log.Warn("a witness has not confirmed this ledger", "witness", w.Key.Name(), "error", err)
			w.tell()
		}
	}
	return nil
}

// cosigned reads what a witness has cosigned by our own books.
func (l *Ledger) cosigned(ctx context.Context, w *watched) error {
	return l.store.Read(ctx, func(q *store.Q) error {
		var size int64
		var line, text string
		found, err := q.Row([]any{&size, &line, &text}, `SELECT s.size, s.line, c.note FROM cosignature s JOIN checkpoint c ON c.size = s.size WHERE s.witness = $1 ORDER BY s.size DESC LIMIT 1`, w.Key.String())
		if err != nil || !found {
			return err
		}
		if c, err := witness.ReadLine(w.Key, line, text); err == nil { // else verify names it, and the witness is asked as if for the first time
			w.set(func(s *WitnessState) { s.Size, s.Time = size, &c.Time })
		}
		return nil
	})
}

// attend keeps a witness up to date until the ledger closes.
func (l *Ledger) attend(w *watched, retry time.Duration) {
	defer w.Close()
	for {
		select {
		case <-w.news:
		case <-l.ending.Done():
			return
		}
		for wait := retry; ; wait = min(2*wait, lastRetry) {
			err := l.ask(l.ending, w)
			if l.ending.Err() != nil {
				return
			}
			if err == nil {
				break
			}
			if fault.KindOf(err) == fault.Conflict {
				l.log.Error("a witness contradicts this ledger", "witness", w.Key.Name(), "error", err)
			} else {
				l.log.Warn("a witness did not cosign", "witness", w.Key.Name(), "error", err, "again_in", wait)
			}
			select {
			case <-time.After(wait + rand.N(wait/4+1)): // #nosec G404 -- so that servers do not ask in step
			case <-l.ending.Done():
				return
			}
		}
	}
}

// ask sends the newest checkpoint to a witness and keeps its cosignature.
func (l *Ledger) ask(ctx context.Context, w *watched) error {
	err := l.submit(ctx, w)
	if l.ending.Err() != nil {
		return err
	}
	w.set(func(s *WitnessState) {
		switch {
		case err == nil:
			s.State, s.Problem = "good", ""
		case fault.KindOf(err) == fault.Conflict:
			s.State, s.Problem = "conflict", err.Error()
		case errors.Is(err, witness.ErrUnknown):
			s.State, s.Problem = "unknown", "It does not know this ledger, or not its key"
		default: // the error itself may name addresses inside: it is for the log
			s.State, s.Problem = "unreachable", "It gave no usable answer; it is asked again by itself"
		}
	})
	return err
}

// submit is one conversation. A witness that has cosigned another size than our
// books say tells which, and is asked again from there.
func (l *Ledger) submit(ctx context.Context, w *watched) error {
	const corrections = 3
	size := w.now().Size
	for range corrections {
		newest, text, proof, err := l.continuing(ctx, w, size)
		if err != nil {
			return err
		}
		c, err := w.Add(ctx, size, proof, text)
		var conflict *witness.Conflict
		switch {
		case errors.As(err, &conflict) && conflict.Size != size:
			size = conflict.Size
			continue
		case errors.Is(err, witness.ErrForked) && size > 0: // every tree continues the empty one
			return fault.Newf(fault.Conflict, "ledger.forked", "The witness %s has cosigned %d entries of this ledger, and they are not its first %d now", w.Key.Name(), size, size).
				WithMend("Somebody changed the past of this database: keep it as evidence, run qanat verify, and restore from the backup. If it is the witness that is wrong, take it out of the configuration")
		case err != nil:
			return err
		}
		if err := l.keep(ctx, w, newest, c); err != nil {
			return err
		}
		w.set(func(s *WitnessState) { s.Size, s.Time = newest, &c.Time })
		return nil
	}
	return errors.New("it says another size each time")
}

// continuing is the newest checkpoint, with the proof that it continues a size.
// Nothing is signed for this: a ledger that was tampered with must not put its
// name to a fork. Only the empty tree, which every ledger continues, is signed
// when there is no checkpoint yet.
func (l *Ledger) continuing(ctx context.Context, w *watched, size int64) (newest int64, text string, proof tlog.TreeProof, err error) {
	err = l.store.Read(ctx, func(q *store.Q) error {
		var found bool
		if found, err = q.Row([]any{&newest, &text}, `SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1`); err != nil {
			return err
		}
		if !found {
			empty, _ := tlog.TreeHash(0, nil)
			if text, err = l.signer.signed(0, empty); err != nil {
				return err
			}
		}
		// Checkpoints are in the table before a witness sees them, so none can be ahead of it.
		if size > newest {
			return fault.Newf(fault.Conflict, "ledger.rolled-back", "The witness %s has cosigned %d entries of this ledger, but only %d of them are signed here", w.Key.Name(), size, newest).
				WithMend("This database is older than what was promised: find the newer one, or restore from the backup. If it is the witness that is wrong, take it out of the configuration")
		}
		if size > 0 {
			proof, err = tlog.ProveTree(newest, size, storedHashes(q))
		}
		return err
	})
	return newest, text, proof, err
}

// keep stores a cosignature, and puts it into the checkpoint outside.
func (l *Ledger) keep(ctx context.Context, w *watched, size int64, c witness.Cosignature) error {
	if size == 0 {
		return nil // of the empty tree
	}
	err := l.store.Write(ctx, func(q *store.Q) error {
		_, err := q.Exec(`INSERT INTO cosignature (size, witness, line) VALUES ($1, $2, $3) ON CONFLICT (size, witness) DO UPDATE SET line = excluded.line`, size, w.Key.String(), c.Line)
		return err
	})
	if err != nil {
		return err
	}
	return l.publish(ctx)
}

// withCosignatures is a checkpoint's note with the lines of all witnesses.
func withCosignatures(q *store.Q, size int64, text string) (string, error) {
	rows := q.Query(`SELECT line FROM cosignature WHERE size = $1 ORDER BY witness`, size)
	for rows.Next() {
		var line string
		rows.Scan(&line)
		text += line
	}
	return text, rows.Close()
}

// cosignatures checks every cosignature that was kept with the key it was kept under.
func (v *verifier) cosignatures([]*store.Q) error {
	type kept struct {
		size             int64
		key, line, check string
	}
	var all []kept
	rows := v.q.Query(`SELECT s.size, s.witness, s.line, coalesce(c.note, '') FROM cosignature s LEFT JOIN checkpoint c ON c.size = s.size ORDER BY s.size, s.witness`)
	for rows.Next() {
		var c kept
		rows.Scan(&c.size, &c.key, &c.line, &c.check)
		all = append(all, c)
	}
	if err := rows.Close(); err != nil {
		return err
	}
	for _, c := range all {
		key, err := witness.ParseKey(c.key)
		where := fmt.Sprintf("cosignature of checkpoint %d", c.size)
		switch {
		case c.check == "":
			v.found(where, "is of a checkpoint that is not there")
		case err != nil:
			v.found(where, "its witness %.100q has no key", c.key)
		default:
			if _, err := witness.ReadLine(key, c.line, c.check); err != nil {
				v.found(where, "is not by the witness %s, or of another checkpoint", key.Name())
			}
		}
	}
	return v.outside()
}

// outside compares the checkpoint file with the table. That it is of this ledger
// was seen when it was opened; here every line of it must be one that was signed.
// It was read before the snapshot, which therefore has all that it says.
func (v *verifier) outside() error {
	s, file := v.ledger.signer, v.published
	if file == nil || v.ledger.refused != nil {
		return nil
	}
	const where = "checkpoint file"
	size, _, err := s.open(string(file))
	if err != nil {
		v.found(where, "its signature does not hold")
		return nil
	}
	var text string
	found, err := v.q.Row([]any{&text}, `SELECT note FROM checkpoint WHERE size = $1`, size)
	if err != nil {
		return err
	}
	if !found {
		v.found(where, "is of %d entries, and there is no such checkpoint in the table", size)
		return nil
	}
	if text, err = withCosignatures(v.q, size, text); err != nil {
		return err
	}
	known := map[string]bool{}
	for line := range strings.Lines(text) {
		known[line] = true
	}
	for line := range strings.Lines(string(file)) {
		if !known[line] {
			v.found(where, "holds a line that nobody signed: %.80q", line)
		}
	}
	return nil
}
