package activity

import (
	"context"
	"sync"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/id"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// Range says whose changes of an organization are undone: all that an account,
// device, phone or token did, or an act, in a time.
type Range struct {
	Org   string    `json:"org" format:"uuid"`
	Actor string    `json:"actor,omitempty" maxLength:"40" doc:"id of an account, device, phone or token"`
	Act   int64     `json:"act,omitempty" minimum:"0" doc:"an act: an import, an earlier undo"`
	Kinds []string  `json:"kinds,omitempty" maxItems:"50" doc:"only changes of these kinds of things"`
	Since time.Time `json:"since,omitzero" required:"false"`
	Until time.Time `json:"until,omitzero" required:"false"`
}

// States of a run.
const (
	Looking = "looking" // a preview is made
	Looked  = "looked"
	Running = "running"
	Done    = "done"
	Failed  = "failed" // the same undo, started again, goes on where it stopped
)

// Run is an undo, or the preview of one, on its way or at its end.
type Run struct {
	ID       string        `json:"id"`
	State    string        `json:"state" enum:"looking,looked,running,done,failed"`
	Range    Range         `json:"range"`
	Reason   string        `json:"reason,omitempty"`
	By       string        `json:"by" doc:"account that asked"`
	Started  time.Time     `json:"started"`
	Finished time.Time     `json:"finished,omitzero"`
	Message  string        `json:"message,omitempty" doc:"why it failed"`
	Result   ledger.Undone `json:"result" doc:"so far; of a preview: what would be"`

	stop context.CancelFunc
}

const (
	keepRuns = time.Hour // after their end
	maxRuns  = 8         // under way at once
)

// runs are the undos of this process.
type runs struct {
	sync.Mutex
	byID   map[string]*Run
	ended  bool
	life   context.Context // of the runs, which go on when the asker's page is closed
	stop   context.CancelFunc
	flying sync.WaitGroup
}

// PreviewUndo starts to find out what undoing a range would do; Run tells.
func (s *Service) PreviewUndo(ctx context.Context, actor ledger.Actor, asked Range) (Run, error) {
	return s.start(ctx, actor, asked, "", Looking)
}

// UndoRange starts to undo a range; Run tells how far it is. What the asker may
// not undo, and what others changed later, stays.
func (s *Service) UndoRange(ctx context.Context, actor ledger.Actor, asked Range, reason string) (Run, error) {
	return s.start(ctx, actor, asked, reason, Running)
}

// Run reads a run. Whoever sees all of the organization's activity may.
func (s *Service) Run(ctx context.Context, actor ledger.Actor, run string) (Run, error) {
	none := fault.New(fault.NotFound, "undo.missing", "There is no such undo under way").
		WithMend("If the server was started again meanwhile, start the undo again: it goes on where it stopped")
	s.runs.Lock()
	found := s.runs.byID[run]
	var r Run
	if found != nil {
		r = *found
	}
	s.runs.Unlock()
	if found == nil {
		return Run{}, none
	}
	if err := s.maySeeAll(ctx, actor, r.Range.Org); err != nil {
		return Run{}, none
	}
	return r, nil
}

// Close ends what is under way between two chunks.
func (s *Service) Close() {
	s.runs.Lock()
	s.runs.ended = true
	if s.runs.stop != nil {
		s.runs.stop()
	}
	s.runs.Unlock()
	s.runs.flying.Wait()
}

func (s *Service) maySeeAll(ctx context.Context, actor ledger.Actor, org string) error {
	return s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		eyes, err := look(r, actor, org)
		if err == nil && !eyes.all {
			err = fault.New(fault.Denied, "undo.denied", "Only who sees all activity of the organization can undo a range of it").
				WithMend("Ask an admin; single changes of what you may edit can be undone one by one")
		}
		return err
	})
}

func (s *Service) start(ctx context.Context, actor ledger.Actor, asked Range, reason, state string) (Run, error) {
	if err := s.maySeeAll(ctx, actor, asked.Org); err != nil {
		return Run{}, err
	}
	if asked.Actor == "" && asked.Act == 0 {
		return Run{}, fault.New(fault.Invalid, "undo.selection", "An undo needs to know whose changes, or which act").At("/actor", "missing", "choose a person, device or token")
	}
	run := &Run{ID: id.New(), State: state, Range: asked, Reason: reason, By: actor.ID, Started: s.Ledger.Now(), Result: ledger.Undone{Tally: []ledger.Tally{}, Conflicts: []ledger.Conflict{}}}
	first := *run
	long, err := s.runs.begin(run, actor)
	if err != nil {
		return Run{}, err
	}
	go func() {
		defer s.runs.flying.Done()
		whole := ledger.Selection{Orgs: []string{asked.Org}, Actor: asked.Actor, Act: asked.Act, Kinds: asked.Kinds, Since: asked.Since, Until: asked.Until}
		told := func(u ledger.Undone) { s.runs.tell(run, u) }
		var result ledger.Undone
		var err error
		if state == Looking {
			result, err = s.Ledger.PreviewUndo(long, actor, whole, access.UndoRule(), told)
		} else {
			result, err = s.Ledger.UndoRange(long, actor, reason, whole, access.UndoRule(), told)
		}
		s.runs.finish(run, result, err, s.Ledger.Now())
	}()
	return first, nil
}

// begin takes a run in. An organization has one undo at a time; a person's new preview ends the one before.
func (r *runs) begin(run *Run, actor ledger.Actor) (context.Context, error) {
	r.Lock()
	defer r.Unlock()
	flying := 0
	for key, other := range r.byID {
		switch {
		case !other.Finished.IsZero():
			if run.Started.Sub(other.Finished) > keepRuns {
				delete(r.byID, key)
			}
			continue
		case run.State == Looking && other.State == Looking && other.By == actor.ID:
			other.stop() // he looks at something else now
		case run.State == Running && other.State == Running && other.Range.Org == run.Range.Org:
			return nil, fault.New(fault.Conflict, "undo.running", "Another undo is under way").WithMend("Wait for its end")
		}
		flying++
	}
	if flying >= maxRuns || r.ended {
		return nil, fault.New(fault.TooMany, "undo.many", "Too many undos are under way").WithMend("Wait for the end of one")
	}
	if r.byID == nil {
		r.byID = map[string]*Run{}
		r.life, r.stop = context.WithCancel(context.Background())
	}
	r.byID[run.ID] = run
	r.flying.Add(1)
	life, stop := context.WithCancel(r.life)
	run.stop = stop
	return life, nil
}

func (r *runs) tell(run *Run, result ledger.Undone) {
	r.Lock()
	defer r.Unlock()
	run.Result = result
}

func (r *runs) finish(run *Run, result ledger.Undone, err error, now time.Time) {
	r.Lock()
	defer r.Unlock()
	run.Result, run.Finished = result, now
	run.stop()
	switch {
	case err != nil:
		run.State, run.Message = Failed, fault.From(err).Error()
	case run.State == Looking:
		run.State = Looked
	default:
		run.State = Done
	}
}
