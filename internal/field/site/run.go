package site

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// chunk is how many rows are written at a time, so that others get their turn
// in between and progress is seen.
const chunk = 500

// runs are the imports that this process works on.
type runs struct {
	mu     sync.Mutex
	active map[string]bool
	wait   sync.WaitGroup
	ctx    context.Context
	cancel context.CancelFunc
}

func newRuns() *runs {
	ctx, cancel := context.WithCancel(context.Background())
	return &runs{active: map[string]bool{}, ctx: ctx, cancel: cancel}
}

// begin takes an import for this process; false when it is being worked on.
func (r *runs) begin(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.active[id] || r.ctx.Err() != nil {
		return false
	}
	r.active[id] = true
	r.wait.Add(1)
	return true
}

func (r *runs) end(id string) {
	r.mu.Lock()
	delete(r.active, id)
	r.mu.Unlock()
	r.wait.Done()
}

// Close stops imports under way between two chunks and waits for them; Resume
// goes on with them after the next start.
func (s *Service) Close() {
	s.runs.cancel()
	s.runs.wait.Wait()
}

// Start runs an import in the background, with another mapping if one is given,
// and returns at once; GetImport shows its progress. A failed one goes on where
// it stopped.
func (s *Service) Start(ctx context.Context, actor ledger.Actor, id string, mapping map[string]string) (ImportView, error) {
	view, err := s.ready(ctx, actor, id, mapping)
	if err != nil {
		return view, err
	}
	if s.runs.begin(id) {
		go func() {
			defer s.runs.end(id)
			s.finish(s.runs.ctx, actor, id)
		}()
	}
	return view, nil
}

// Run is Start that waits for the end.
func (s *Service) Run(ctx context.Context, actor ledger.Actor, id string, mapping map[string]string) (ImportView, error) {
	if _, err := s.ready(ctx, actor, id, mapping); err != nil {
		return ImportView{}, err
	}
	if !s.runs.begin(id) {
		return ImportView{}, fault.New(fault.Conflict, "import.running", "This import is running already").WithMend("Wait for its end")
	}
	defer s.runs.end(id)
	s.finish(ctx, actor, id)
	return s.GetImport(ctx, actor, id)
}

// Resume goes on with the imports that were running when the server stopped, as
// the people who started them and with the rights that these have now.
func (s *Service) Resume(ctx context.Context) error {
	var left []ledger.Doc[Import]
	err := s.ledger.Read(ctx, func(r *ledger.Reader) (err error) {
		left, err = Imports.List(r, "n.state = $1", Running)
		return err
	})
	for _, d := range left {
		if !s.runs.begin(d.ID) {
			continue
		}
		go func() {
			defer s.runs.end(d.ID)
			s.finish(s.runs.ctx, ledger.Actor{ID: d.Body.By, Kind: "account", Name: d.Body.ByName, Door: d.Body.ByDoor}, d.ID)
		}()
	}
	return err
}

// ready marks an import as running.
func (s *Service) ready(ctx context.Context, actor ledger.Actor, id string, mapping map[string]string) (ImportView, error) {
	var d ledger.Doc[Import]
	err := s.ledger.Read(ctx, func(r *ledger.Reader) (err error) {
		d, err = visibleImport(r, actor, id, access.Edit)
		return err
	})
	if err != nil {
		return ImportView{}, err
	}
	body := d.Body
	if mapping != nil && !maps.Equal(mapping, body.Mapping) {
		if body.State != Previewed {
			return ImportView{}, fault.New(fault.Conflict, "import.started", "The columns cannot be read in another way once the import has begun").WithMend("Undo it and send the file again")
		}
		if err := s.survey(ctx, d.Org, &body, mapping); err != nil {
			return ImportView{}, err
		}
	}
	err = s.ledger.Write(ctx, actor, "import started", func(tx *ledger.Tx) (err error) {
		if d, err = visibleImport(tx.Reader, actor, id, access.Edit); err != nil {
			return err
		}
		switch d.Body.State {
		case Done, Undone:
			return fault.Newf(fault.Conflict, "import.over", "This import is %s already", d.Body.State).WithMend("Send the file again")
		}
		d, err = Imports.Update(tx, id, d.Revision, func(to *Import) error {
			if to.State == Previewed {
				*to = body
				to.Creates, to.Updates, to.Skips, to.Started = 0, 0, 0, tx.Now // from here on they count what was done
				to.ErrorRows, to.ErrorsTotal, to.Errors = 0, 0, []RowError{}
				to.By, to.ByName, to.ByDoor = actor.ID, actor.Name, actor.Door
			}
			to.State, to.Message = Running, ""
			return nil
		})
		return err
	})
	return viewOf(d), err
}

// finish works an import off and writes down how it ended. An import that the
// end of the server interrupts stays running, for Resume.
func (s *Service) finish(ctx context.Context, actor ledger.Actor, id string) {
	err := s.guarded(ctx, actor, id)
	if ctx.Err() != nil && s.runs.ctx.Err() != nil {
		return
	}
	if err != nil && fault.KindOf(err) == fault.Internal {
		slog.Error("import failed", "import", id, "cause", fault.Cause(err))
	}
	// Whatever happened to the caller's context, the state is written down; when
	// even that fails the import stays running, and Resume takes it up.
	_ = s.ledger.Write(context.WithoutCancel(ctx), actor, "import ended", func(tx *ledger.Tx) error {
		_, werr := Imports.Update(tx, id, 0, func(to *Import) error {
			if to.State != Running {
				return nil
			}
			to.State, to.Finished = Done, tx.Now
			if err != nil {
				to.State, to.Message = Failed, fault.From(err).Error()
			}
			return nil
		})
		return werr
	})
}

// guarded is work that fails, where a file makes it panic, like any other: it
// runs beside the doors, and must not take the server down.
func (s *Service) guarded(ctx context.Context, actor ledger.Actor, id string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in import %s: %v\n%s", id, p, debug.Stack())
		}
	}()
	return s.work(ctx, actor, id)
}

// pending is a row that waits to be written.
type pending struct {
	row   int
	site  Site
	blank bool
	wrong []RowError
}

// work writes all rows that are not done yet.
func (s *Service) work(ctx context.Context, actor ledger.Actor, id string) error {
	var d ledger.Doc[Import]
	if err := s.ledger.Read(ctx, func(r *ledger.Reader) (err error) { d, err = Imports.Get(r, id); return err }); err != nil {
		return err
	}
	var waiting []pending
	var fresh []Property
	done, seen := d.Body.Done, 0
	flush := func() error {
		if len(waiting) == 0 {
			return nil
		}
		if err := s.chunk(ctx, actor, id, done, waiting, fresh); err != nil {
			return err
		}
		done += len(waiting)
		waiting = waiting[:0]
		return nil
	}
	_, _, err := s.rows(ctx, d.Org, &d.Body, d.Body.Mapping, func(p *plan, row int, _ []string, site Site, blank bool, wrong []RowError) error {
		fresh = p.fresh
		if seen++; seen <= d.Body.Done {
			return nil
		}
		waiting = append(waiting, pending{row, site, blank, wrong})
		if len(waiting) < chunk {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// chunk writes some rows and the progress in one transaction: the rows belong to
// the import's act, the progress does not, so that undoing the act leaves it.
func (s *Service) chunk(ctx context.Context, actor ledger.Actor, id string, from int, rows []pending, fresh []Property) error {
	var given []string // codes of the file
	need := 0
	for _, p := range rows {
		switch {
		case p.blank || len(p.wrong) > 0:
		case p.site.Code == "":
			need++
		default:
			given = append(given, p.site.Code)
		}
	}
	for extra := 0; ; extra += 10 {
		codes, err := s.codes.take(ctx, need+extra)
		if err != nil {
			return err
		}
		err = s.ledger.Write(ctx, actor, "import", func(tx *ledger.Tx) error {
			return writeChunk(tx, id, from, rows, fresh, given, codes, need)
		})
		if !errors.Is(err, errTaken) {
			return err
		}
	}
}

func writeChunk(tx *ledger.Tx, id string, from int, rows []pending, fresh []Property, given, codes []string, need int) error {
	d, err := Imports.Get(tx.Reader, id)
	if err != nil {
		return err
	}
	if d.Body.State != Running || d.Body.Done != from {
		return fault.New(fault.Conflict, "import.elsewhere", "This import has moved on by itself").WithMend("Load it again")
	}
	set, err := access.Principals(tx.Reader, tx.Actor)
	if err != nil {
		return err
	}
	if err := set.Require(tx.Reader, access.Create, access.Thing{Kind: "site", Org: d.Org, Branch: d.Body.Branch, Type: d.Body.Type}); err != nil {
		return err
	}
	known, err := byCodes(tx.Reader, given)
	if err != nil {
		return err
	}
	if codes, err = free(tx.Reader, codes); err != nil {
		return err
	}
	codes = slices.DeleteFunc(codes, func(c string) bool { return slices.Contains(given, c) })
	if len(codes) < need {
		return errTaken
	}
	progress := d.Body
	progress.Errors = slices.Clone(progress.Errors)
	tx.Within(d.Body.Act)
	if err := extend(tx, d.Org, d.Body.Type, fresh); err != nil {
		return err
	}
	for _, p := range rows {
		if len(p.wrong) > 0 {
			progress.fail(p.wrong)
			continue
		}
		if p.blank {
			progress.Skips++
			continue
		}
		site := p.site
		there := known[site.Code]
		if site.Code == "" {
			there, site.Code, codes = "", codes[0], codes[1:]
		}
		var changed bool
		var err error
		if there == "" {
			var made ledger.Doc[Site]
			made, err = Create(tx, d.Org, "", site)
			known[site.Code] = made.ID
		} else {
			changed, err = overwrite(tx, set, d.Org, there, site)
		}
		switch kind := fault.KindOf(err); {
		case err == nil && there == "":
			progress.Creates++
		case err == nil && changed:
			progress.Updates++
		case err == nil:
			progress.Skips++
		case kind == fault.Invalid || kind == fault.Conflict || kind == fault.Denied || kind == fault.NotFound:
			progress.fail(rowErrors(p.row, p.site.Code, err))
		default:
			return err
		}
	}
	act := tx.Act()
	tx.Within(0)
	_, err = Imports.Update(tx, id, 0, func(to *Import) error {
		*to = progress
		to.Done, to.Act = from+len(rows), act
		return nil
	})
	return err
}

// overwrite changes the site that has the row's code: cells that say something
// replace what stood there, the rest stays.
func overwrite(tx *ledger.Tx, set *access.Set, organization, id string, row Site) (changed bool, err error) {
	d, err := Sites.Get(tx.Reader, id)
	if err != nil {
		return false, err
	}
	if d.Org != organization {
		return false, fault.New(fault.Conflict, "site.taken", "This code belongs to another site").WithMend("Leave the code empty to make a new site")
	}
	if err := set.Require(tx.Reader, access.Edit, Thing(d)); err != nil {
		return false, err
	}
	made, err := Sites.Update(tx, id, 0, func(to *Site) error {
		to.Type = row.Type
		if row.Name != "" {
			to.Name = row.Name
		}
		if row.Status != "" {
			to.Status = row.Status
		}
		if row.Location != nil {
			to.Location = row.Location
		}
		if to.Properties == nil && len(row.Properties) > 0 {
			to.Properties = map[string]any{}
		}
		maps.Copy(to.Properties, row.Properties)
		return nil
	})
	return err == nil && made.Revision != d.Revision, err
}

func rowErrors(row int, code string, err error) []RowError {
	f := fault.From(err)
	if len(f.Details) == 0 {
		return []RowError{{Row: row, Value: code, Message: f.Message, Mend: f.Mend}}
	}
	var found []RowError
	for _, d := range f.Details {
		found = append(found, RowError{Row: row, Column: d.Place, Message: d.Message, Mend: d.Mend})
	}
	return found
}

// extend gives the organization's part of a type the properties that it lacks.
func extend(tx *ledger.Tx, organization, key string, fresh []Property) error {
	if len(fresh) == 0 {
		return nil
	}
	own, found, err := ownType(tx.Reader, organization, key)
	if err != nil {
		return err
	}
	var missing []Property
	for _, p := range fresh {
		if own.Body.Property(p.Key) == nil {
			missing = append(missing, p)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if found {
		_, err = Types.Update(tx, own.ID, 0, func(t *Type) error { t.Properties = append(t.Properties, missing...); return nil })
		return err
	}
	b := BuiltIn(key)
	if b == nil {
		return fmt.Errorf("site type %s of %s is gone", key, organization)
	}
	_, err = Types.Create(tx, organization, "", Type{Key: key, Name: b.Name, Properties: missing})
	return err
}

// UndoImport takes back everything that an import did. What others changed later
// is kept and counted.
func (s *Service) UndoImport(ctx context.Context, actor ledger.Actor, id, reason string, progress func(done, total int)) (ImportView, ledger.Undone, error) {
	var undone ledger.Undone
	var d ledger.Doc[Import]
	err := s.ledger.Read(ctx, func(r *ledger.Reader) (err error) {
		d, err = visibleImport(r, actor, id, access.Edit)
		return err
	})
	if err != nil {
		return ImportView{}, undone, err
	}
	if d.Body.State != Done && d.Body.State != Failed {
		return ImportView{}, undone, fault.Newf(fault.Conflict, "import.state", "An import that is in the state %s cannot be undone", d.Body.State).WithMend("Wait for its end")
	}
	if !s.runs.begin(id) {
		return ImportView{}, undone, fault.New(fault.Conflict, "import.running", "This import is running").WithMend("Wait for its end")
	}
	defer s.runs.end(id)
	if reason == "" {
		reason = "import undone"
	}
	if d.Body.Act != 0 {
		rule := access.UndoRule()
		undone, err = s.ledger.UndoAct(ctx, actor, reason, d.Body.Act, func(tx *ledger.Tx, e ledger.Entry) error {
			if e.Kind == Types.Name { // what an import added to the type goes with it
				return nil
			}
			return rule(tx, e)
		}, progress)
		if err != nil {
			return ImportView{}, undone, err
		}
	}
	err = s.ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) (err error) {
		d, err = Imports.Update(tx, id, 0, func(to *Import) error {
			to.State, to.Undone, to.Kept = Undone, undone.Count, undone.Kept+undone.Denied
			return nil
		})
		return err
	})
	return viewOf(d), undone, err
}
