package erasure

import (
	"context"
	"fmt"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/org"
)

// The classes of an organization's policy that a run knows. Server logs are
// outside of it: they belong to the operator's system.
const (
	Responses = "responses"
	Readings  = "readings"
	Photos    = "photos"
	Events    = "events"
	Sessions  = "sessions"
)

// Classes are all of them.
var Classes = []string{Responses, Readings, Photos, Events, Sessions}

// Run is what one run of retention expired.
type Run struct {
	State     string               `json:"state" enum:"erased"`
	Before    map[string]time.Time `json:"before" doc:"by class: what is older has expired"`
	Counts    map[string]int64     `json:"counts" doc:"by class: responses and submissions, readings, responses whose files are gone, events and refusals, sessions"`
	Started   time.Time            `json:"started"`
	Finished  time.Time            `json:"finished"`
	CleanedAt time.Time            `json:"cleaned_at,omitzero" doc:"when nothing was left of it in files and free pages"`
}

// Batch names what a run destroyed together: the keys of documents, or files.
type Batch struct {
	Class     string   `json:"class"`
	Documents []string `json:"documents,omitempty"`
	Files     []string `json:"files,omitempty" doc:"SHA-256 of files that are gone although documents are kept that named them"`
}

// Runs and Batches are the nouns of retention.
var (
	Runs = ledger.Noun[Run]{
		Name: "retention_run",
		Table: &ledger.Table[Run]{
			Columns: []ledger.Column{{Name: "state", Type: ledger.Text}, {Name: "cleaned", Type: ledger.Integer}},
			Indexes: [][]string{{"org"}},
			Row: func(d ledger.Doc[Run]) []any {
				cleaned := 0
				if !d.Body.CleanedAt.IsZero() {
					cleaned = 1
				}
				return []any{d.Body.State, cleaned}
			},
		},
	}
	Batches = ledger.Noun[Batch]{
		Name:    "expired",
		Erases:  func(b Batch) (sealed, erased []string) { return nil, b.Documents },
		Without: func(b Batch) []string { return b.Files },
	}
)

func checkBatch(_ *ledger.Tx, before, after *ledger.Doc[Batch]) error {
	if before != nil || after == nil {
		return fault.New(fault.Conflict, "document.erased", "What has expired does not come back")
	}
	return nil
}

func checkRun(_ *ledger.Tx, before, after *ledger.Doc[Run]) error {
	if after == nil || before != nil && !before.Body.Finished.Equal(after.Body.Finished) {
		return fault.New(fault.Conflict, "document.erased", "What has expired does not come back")
	}
	return nil
}

// Due is what a run would expire of one class.
type Due struct {
	Class  string    `json:"class" enum:"responses,readings,photos,events,sessions"`
	Days   int       `json:"days" doc:"how long it is kept; 0: for ever"`
	Before time.Time `json:"before,omitzero" doc:"what is older expires"`
	Count  int64     `json:"count" doc:"how many would expire now"`
}

// Preview tells an administrator what the next run will expire. days asks what it
// would be with other settings; nil: with those of the policy.
func (s *Service) Preview(ctx context.Context, actor ledger.Actor, organization string, days map[string]int) ([]Due, error) {
	if err := s.may(ctx, actor, access.See, organization); err != nil {
		return nil, err
	}
	due, err := s.due(ctx, organization, days)
	if err != nil {
		return nil, err
	}
	devices, err := s.devices(ctx, organization)
	if err != nil {
		return nil, err
	}
	for i := range due {
		if due[i].Days == 0 {
			continue
		}
		if due[i].Count, err = s.count(ctx, organization, devices, due[i]); err != nil {
			return nil, err
		}
	}
	return due, nil
}

func (s *Service) may(ctx context.Context, actor ledger.Actor, verb access.Verb, organization string) error {
	return s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		t := access.Thing{Kind: "retention_run", Org: organization, Branch: organization}
		if verb == access.See {
			t.ID = organization
		}
		return access.Require(r, actor, verb, t)
	})
}

// due is the classes with what is too old in each.
func (s *Service) due(ctx context.Context, organization string, days map[string]int) ([]Due, error) {
	now := s.Ledger.Now()
	var all []Due
	err := s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		if days == nil {
			var err error
			if days, err = kept(r, organization, now); err != nil {
				return err
			}
		}
		all = all[:0]
		for _, class := range Classes {
			d := Due{Class: class, Days: days[class]}
			if d.Days > 0 {
				d.Before = now.AddDate(0, 0, -d.Days).UTC()
			}
			all = append(all, d)
		}
		return nil
	})
	return all, err
}

// kept is how many days an organization keeps each class (0: for ever). A shorter
// time holds when it has stood for as long as an order to erase waits: otherwise one
// person, or who has stolen his session, destroys by the policy in one night what
// two could not destroy in a week.
func kept(r *ledger.Reader, organization string, now time.Time) (map[string]int, error) {
	policy, err := org.PolicyOf(r, organization)
	if err != nil {
		return nil, err
	}
	past, err := r.At(organization, now.Add(-Hold))
	if err != nil {
		return nil, err
	}
	before, err := org.PolicyOf(past, organization)
	if err != nil {
		return nil, err
	}
	days := map[string]int{}
	for class, n := range policy.Retention {
		if had := before.Retention[class]; n > 0 && had > 0 {
			days[class] = max(n, had)
		}
	}
	return days, nil
}

func (s *Service) devices(ctx context.Context, organization string) (ids []string, err error) {
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		ids = nil
		rows := r.Query("SELECT id FROM device WHERE org = $1 ORDER BY id", organization)
		for rows.Next() {
			var id string
			rows.Scan(&id)
			ids = append(ids, id)
		}
		return rows.Close()
	})
	return ids, err
}

// selections are the documents of a class that are too old ($2) in an
// organization ($1), those first that others stand on.
var selections = map[string][]string{
	Responses: {
		"SELECT n.id AS id FROM response n JOIN document d ON d.id = n.id WHERE n.org = $1 AND COALESCE(n.submitted, d.changed) < $2",
		"SELECT n.id AS id FROM submission n WHERE n.org = $1 AND n.received < $2 AND NOT EXISTS (SELECT 1 FROM response r WHERE r.id = n.response)",
		"SELECT d.id AS id FROM document d WHERE d.org = $1 AND d.changed < $2 AND d.kind IN ('response', 'submission') AND d.body IS NULL AND d.key IS NOT NULL",
	},
	Photos: { // their documents stay
		"SELECT n.id AS id FROM response n JOIN document d ON d.id = n.id WHERE n.org = $1 AND COALESCE(n.submitted, d.changed) < $2 AND n.files > 0",
	},
	Events: {
		"SELECT n.id AS id FROM security_event n WHERE n.org = $1 AND n.made < $2",
	},
	Sessions: {
		"SELECT d.id AS id FROM document d WHERE d.org = $1 AND d.changed < $2 AND d.kind = 'session' AND d.body IS NULL AND d.key IS NOT NULL",
	},
}

func (s *Service) count(ctx context.Context, organization string, devices []string, d Due) (total int64, err error) {
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		total = 0
		for _, sql := range selections[d.Class] {
			var n int64
			if _, err := r.Row([]any{&n}, "SELECT count(*) FROM ("+sql+") AS old", organization, d.Before.UnixMilli()); err != nil {
				return err
			}
			total += n
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	switch d.Class {
	case Events:
		n, err := s.Refusals.Older(ctx, organization, d.Before)
		return total + n, err
	case Readings:
		for _, device := range devices {
			n, err := s.Readings.Older(ctx, device, d.Before)
			if err != nil {
				return 0, err
			}
			total += n
		}
	}
	return total, nil
}

// Expire runs an organization's retention now. A person needs a fresh second factor.
func (s *Service) Expire(ctx context.Context, actor ledger.Actor, organization string) (Run, error) {
	if actor.Kind != "system" {
		if err := s.may(ctx, actor, access.Create, organization); err != nil {
			return Run{}, err
		}
		if err := access.Fresh(actor, s.Ledger.Now()); err != nil {
			return Run{}, err
		}
	}
	due, err := s.due(ctx, organization, nil)
	if err != nil {
		return Run{}, err
	}
	run, err := s.expire(ctx, actor, organization, due)
	if err != nil {
		return run, err
	}
	return run, s.clean(ctx)
}

const batch = 100 // documents whose keys are destroyed in one write, between which others write

func (s *Service) expire(ctx context.Context, actor ledger.Actor, organization string, due []Due) (Run, error) {
	run := Run{State: Erased, Before: map[string]time.Time{}, Counts: map[string]int64{}, Started: s.Ledger.Now().UTC()}
	devices, err := s.devices(ctx, organization)
	if err != nil {
		return run, err
	}
	var act, total int64
	for _, d := range due {
		if d.Days == 0 {
			continue
		}
		run.Before[d.Class] = d.Before
		n := int64(0)
		for _, sql := range selections[d.Class] {
			expire := s.documents
			if d.Class == Photos {
				expire = s.files
			}
			gone, err := expire(ctx, actor, organization, d, sql, &act)
			if err != nil {
				return run, fmt.Errorf("expire %s: %w", d.Class, err)
			}
			n += gone
		}
		switch d.Class {
		case Events:
			more, err := s.Refusals.Expire(ctx, organization, devices, d.Before)
			if err != nil {
				return run, err
			}
			n += more
		case Readings:
			for _, device := range devices {
				more, err := s.Readings.Expire(ctx, device, d.Before)
				if err != nil {
					return run, err
				}
				n += more
			}
		}
		run.Counts[d.Class] = n
		total += n
	}
	run.Finished = s.Ledger.Now().UTC()
	if total == 0 {
		return run, nil
	}
	err = s.Ledger.Write(ctx, actor, "retention", func(tx *ledger.Tx) error {
		tx.Within(act)
		_, err := Runs.Create(tx, organization, "", run)
		return err
	})
	return run, err
}

// documents expires what a selection finds, a batch at a time.
func (s *Service) documents(ctx context.Context, actor ledger.Actor, organization string, d Due, sql string, act *int64) (total int64, err error) {
	for {
		var gone int
		err := s.Ledger.Write(ctx, actor, "retention", func(tx *ledger.Tx) error {
			var ids []string
			rows := tx.Query(sql+" ORDER BY id LIMIT $3", organization, d.Before.UnixMilli(), batch)
			for rows.Next() {
				var id string
				rows.Scan(&id)
				ids = append(ids, id)
			}
			if err := rows.Close(); err != nil || len(ids) == 0 {
				gone = 0
				return err
			}
			tx.Within(*act)
			if _, err := Batches.Create(tx, organization, "", Batch{Class: d.Class, Documents: ids}); err != nil {
				return err
			}
			for _, id := range ids {
				if err := tx.Erase(id); err != nil {
					return err
				}
			}
			gone, *act = len(ids), tx.Act()
			return nil
		})
		if err != nil {
			return total, err
		}
		if total += int64(gone); gone < batch {
			return total, nil
		}
	}
}

// Nightly runs the retention of every organization, and then that of what belongs
// to the server itself (sessions, and events of nobody's): it is kept as long as
// the organization that keeps it longest, and for ever while one sets no time.
func (s *Service) Nightly(ctx context.Context) error {
	var organizations []string
	longest := map[string]int{Sessions: 0, Events: 0}
	err := s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		organizations = nil
		rows := r.Query("SELECT id FROM branch WHERE id = org ORDER BY id")
		for rows.Next() {
			var id string
			rows.Scan(&id)
			organizations = append(organizations, id)
		}
		if err := rows.Close(); err != nil {
			return err
		}
		for class := range longest {
			longest[class] = 0
			for _, organization := range organizations {
				all, err := kept(r, organization, s.Ledger.Now())
				if err != nil {
					return err
				}
				days := all[class]
				if longest[class] = max(longest[class], days); days == 0 {
					longest[class] = 0
					break
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	job := ledger.System("retention")
	for _, organization := range organizations {
		due, err := s.due(ctx, organization, nil)
		if err == nil {
			_, err = s.expire(ctx, job, organization, due)
		}
		if err != nil {
			return err
		}
	}
	due, err := s.due(ctx, "", longest)
	if err == nil {
		_, err = s.expire(ctx, job, "", due)
	}
	if err != nil {
		return err
	}
	return s.clean(ctx)
}
