// Package ledger is the one write path: whatever changes in Qanat changes here.
//
// What it guarantees:
//   - Write is all or nothing, and durable when it returns nil. A document never
//     changes without an entry that says who, when, through which door and why,
//     with the whole new content, in the same transaction.
//   - Entries are numbered 1, 2, 3 … in commit order without gaps, and are never
//     changed or deleted. Their hashes form a Merkle tree (RFC 6962, as in
//     golang.org/x/mod/sumdb/tlog) whose signed checkpoints (C2SP tlog-checkpoint)
//     also stand outside the database.
//   - An entry's content is sealed with a key of its own document. The tree hashes
//     the sealed bytes, so a destroyed key takes the content and leaves the proof.
//   - Every rule of a noun holds for every write, undo included.
//   - Index tables, and the content of documents, can be rebuilt from entries at any
//     time. The rows of documents must be there: they hold the only copy of their keys.
//
// Limits: a document's content is at most MaxBody bytes of JSON; whatever is
// larger is a blob. One server process, or on PostgreSQL all of them together,
// writes one group of changes at a time (see DESIGN.md).
//
// Who controls the database can withhold or destroy data and make the server
// refuse to start; he cannot change or drop an entry unnoticed, because the
// checkpoints are elsewhere, and reads no entry without the master key. Who
// controls a witness can make the server refuse to start, and is named.
package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/qanat-water/qanat/internal/base/clock"
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/vault"
)

const (
	// MaxBody is the largest content of a document, in bytes of JSON.
	MaxBody = 4 << 20

	maxReason   = 2000 // bytes of a reason
	queueLength = 256  // writes that wait for the next group
	maxGroup    = 256  // writes that share a commit
)

// Actor is who acts, and through which door.
type Actor struct {
	ID   string // of the account, device, phone or token; "" for the system itself
	Kind string // "account", "device", "phone", "token" or "system"
	Name string // how people know it at the time
	Door string // "web", "openrosa", "mqtt", "cli"
	From string // network address, sealed with the entry
	// Factor is when this actor last proved a second factor in this session; zero:
	// never. It is for access.Fresh and stands in no entry.
	Factor time.Time
}

// System is the server itself doing a named job.
func System(job string) Actor { return Actor{Kind: "system", Name: job, Door: "server"} }

// Config is what a ledger stands on.
type Config struct {
	Store *store.Store
	Vault *vault.Vault
	Clock clock.Clock // nil: the system's
	Nouns []Kind      // every noun that may be written

	// Origin names this ledger in its checkpoints, for example "water.example.org/qanat".
	Origin string
	// CheckpointDir is where the newest checkpoint stands outside the database; "" for none.
	CheckpointDir string
	// CheckpointEvery is the longest time between a change and its checkpoint; 0 is a minute.
	CheckpointEvery time.Duration
	// Witnesses cosign checkpoints, and are asked at the start what they have seen.
	Witnesses []Witness
	// WitnessRetry is how long a witness that failed is left alone at first; 0 is 5 seconds.
	WitnessRetry time.Duration
	// Inspect opens a ledger that would be refused, for Verify alone: nothing can be written to it.
	Inspect bool
	// Filling opens a database between BeginFilling and EndFilling: its indexes are
	// made, it can be read and verified, nothing is written or signed.
	Filling bool
	Log     *slog.Logger
}

// Ledger is an open ledger.
type Ledger struct {
	store  *store.Store
	vault  *vault.Vault
	clock  clock.Clock
	kinds  map[string]Kind
	order  []Kind
	log    *slog.Logger
	signer *signer

	witnesses []*watched
	ending    context.Context // ends when the ledger closes
	end       func()

	jobs    chan *job
	closing chan struct{}
	done    sync.WaitGroup
	close   sync.Once
	heard   watchers
	beside  beside

	refused error // why it was opened for inspection only
	filling bool

	head *head // of the writer goroutine: the tree's right edge; nil when it must be read again
}

type job struct {
	ctx    context.Context
	actor  Actor
	reason string
	fn     func(*Tx) error
	done   chan error
}

// Open opens a ledger, makes its tables, and refuses one that does not
// descend from the newest checkpoint that stands outside.
func Open(ctx context.Context, c Config) (*Ledger, error) {
	if c.Clock == nil {
		c.Clock = clock.System
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.CheckpointEvery == 0 {
		c.CheckpointEvery = time.Minute
	}
	l := &Ledger{
		store: c.Store, vault: c.Vault, clock: c.Clock, log: c.Log, kinds: map[string]Kind{},
		jobs: make(chan *job, queueLength), closing: make(chan struct{}), filling: c.Filling,
	}
	for _, k := range c.Nouns {
		if _, twice := l.kinds[k.noun()]; twice {
			return nil, fmt.Errorf("noun %s is declared twice", k.noun())
		}
		l.kinds[k.noun()] = k
		l.order = append(l.order, k)
	}
	if err := l.store.Migrate(ctx, "ledger", schema); err != nil {
		return nil, err
	}
	if err := l.whole(ctx); err != nil {
		return nil, err
	}
	signer, err := newSigner(c.Vault, c.Origin, c.CheckpointDir)
	if err != nil {
		return nil, err
	}
	l.signer = signer
	l.ending, l.end = context.WithCancel(context.WithoutCancel(ctx))
	err = l.descends(ctx)
	if err == nil {
		err = l.confirmed(ctx, c.Witnesses)
	}
	if err != nil {
		if !c.Inspect || fault.KindOf(err) != fault.Conflict {
			return nil, err
		}
		l.refused = err
		return l, nil
	}
	for _, k := range l.order {
		if err := l.ensureIndex(ctx, k); err != nil {
			return nil, fmt.Errorf("index of %s: %w", k.noun(), err)
		}
	}
	if l.filling {
		return l, nil
	}
	l.done.Go(l.write)
	l.done.Go(func() { l.checkpoints(c.CheckpointEvery) })
	for _, w := range l.witnesses {
		l.done.Go(func() { l.attend(w, cmp.Or(c.WitnessRetry, firstRetry)) })
	}
	return l, nil
}

// Close waits for writes under way, signs a last checkpoint and ends. The store
// stays open: it is the caller's.
func (l *Ledger) Close() error {
	l.close.Do(func() { close(l.closing); l.end() })
	l.done.Wait()
	if l.refused != nil || l.filling {
		return nil // nothing is signed for a ledger that is not what was promised
	}
	return l.Checkpoint(context.Background())
}

// Write runs fn in a transaction of the ledger and returns when its changes are
// on disk. Writes that arrive together share one commit; each still is all or
// nothing by itself. fn may run more than once, so it changes nothing but
// through tx, and it must not keep tx.
func (l *Ledger) Write(ctx context.Context, actor Actor, reason string, fn func(*Tx) error) error {
	if actor.Kind == "" {
		return errors.New("ledger: a write without an actor")
	}
	if l.refused != nil {
		return l.refused
	}
	if l.filling {
		return errClosing
	}
	if len(reason) > maxReason {
		return fault.Newf(fault.TooLarge, "reason.size", "The reason is longer than %d characters", maxReason).WithMend("Write less")
	}
	j := &job{ctx: ctx, actor: actor, reason: reason, fn: fn, done: make(chan error, 1)}
	select {
	case l.jobs <- j:
	case <-ctx.Done():
		return ctx.Err()
	case <-l.closing:
		return errClosing
	}
	// From here on the change may happen, so the answer is waited for, whatever ctx says.
	select {
	case err := <-j.done:
		return err
	case <-l.closing:
		l.done.Wait()
		select {
		case err := <-j.done:
			return err
		default:
			return errClosing
		}
	}
}

var errClosing = fault.New(fault.Unavailable, "server.closing", "The server is shutting down").WithMend("Try again in a moment")

// Read runs fn over one snapshot of documents, indexes and entries.
func (l *Ledger) Read(ctx context.Context, fn func(*Reader) error) error {
	return l.store.Read(ctx, func(q *store.Q) error { return fn(&Reader{q: q, ledger: l}) })
}

// Ping tells whether the database answers.
func (l *Ledger) Ping(ctx context.Context) error {
	return l.Read(ctx, func(r *Reader) error {
		var one int64
		_, err := r.Row([]any{&one}, `SELECT 1`)
		return err
	})
}

// Kinds names the nouns that are not secret, in the order they were declared.
func (l *Ledger) Kinds() []string {
	var names []string
	for _, k := range l.order {
		if !k.secret() {
			names = append(names, k.noun())
		}
	}
	return names
}

// Store is the database beneath, for the bulk stores that stand beside the ledger.
func (l *Ledger) Store() *store.Store { return l.store }

// Now is the ledger's time.
func (l *Ledger) Now() time.Time { return l.clock.Now() }

// write is the one goroutine that commits: it takes whatever waits and commits
// it together. While a commit is on its way to disk the next group gathers.
func (l *Ledger) write() {
	for {
		var first *job
		select {
		case first = <-l.jobs:
		case <-l.closing:
			for {
				select {
				case j := <-l.jobs:
					l.commit([]*job{j})
				default:
					return
				}
			}
		}
		group := []*job{first}
	gather:
		for len(group) < maxGroup {
			select {
			case j := <-l.jobs:
				group = append(group, j)
			default:
				break gather
			}
		}
		l.commit(group)
	}
}

// commit commits a group and answers every job of it. When the group fails as a
// whole before its commit, each job is tried alone, so that only the guilty one
// gets the error. When the commit itself fails nobody knows whether it happened
// (a connection lost at that moment): to try again could do everything twice.
func (l *Ledger) commit(jobs []*job) {
	errs, committing, err := l.tryGroup(jobs)
	switch {
	case err == nil:
		for i, j := range jobs {
			j.done <- errs[i]
		}
	case len(jobs) == 1 || committing:
		for _, j := range jobs {
			j.done <- l.writeError(err)
		}
	default:
		for _, j := range jobs {
			l.commit([]*job{j})
		}
	}
}

func (l *Ledger) tryGroup(jobs []*job) (errs []error, committing bool, err error) {
	errs = make([]error, len(jobs))
	var g *group
	err = l.store.Write(context.Background(), func(q *store.Q) (err error) {
		defer func() {
			if p := recover(); p != nil { // one bad row must not end the goroutine that everybody writes through
				err = fmt.Errorf("panic in a group of writes: %v\n%s", p, debug.Stack())
			}
			committing = err == nil
		}()
		if g, err = newGroup(l, q); err != nil {
			return err
		}
		for i, j := range jobs {
			if errs[i] = g.run(j); g.broken != nil {
				return g.broken
			}
		}
		return g.finish()
	})
	if err != nil {
		l.head = nil // whatever is known of the tree may be wrong now
		return nil, committing, err
	}
	l.head = g.head
	l.heard.tell(g.pending)
	return errs, true, nil
}

// writeError makes a broken uniqueness a conflict that names the noun.
func (l *Ledger) writeError(err error) error {
	if table, ok := store.IsUnique(err); ok && l.kinds[table] != nil {
		return fault.Newf(fault.Conflict, table+".taken", "There is already another %s like this", l.kinds[table].words()).
			WithMend("Choose another name, code or address").Because(err)
	}
	return err
}
