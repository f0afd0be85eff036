package server

import (
	"context"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
)

// Facts is how the server does. Nothing in it is any organization's.
type Facts struct {
	Version      string        `json:"version"`
	Started      time.Time     `json:"started"`
	Engine       string        `json:"engine" enum:"sqlite,postgres"`
	Database     int64         `json:"database" doc:"size of the database in bytes"`
	Files        Files         `json:"files"`
	Entries      int64         `json:"entries" doc:"of the ledger"`
	Documents    int64         `json:"documents"`
	Accounts     int64         `json:"accounts"`
	Checkpoint   *Checkpoint   `json:"checkpoint,omitempty" doc:"the newest signed checkpoint; none yet: absent"`
	Goroutines   int           `json:"goroutines"`
	Heap         uint64        `json:"heap" doc:"bytes of memory in use"`
	System       uint64        `json:"system" doc:"bytes of memory taken from the system"`
	Queues       []Queue       `json:"queues"`
	Certificates []Certificate `json:"certificates"`
	Mail         bool          `json:"mail" doc:"mails can be sent"`
	Backup       Backup        `json:"backup"`
	Limits       []Limit       `json:"limits"`
}

// Files is the disk beneath the data directory.
type Files struct {
	Free  uint64 `json:"free" doc:"bytes that the server may still use"`
	Total uint64 `json:"total"`
}

// Checkpoint is the newest signed one.
type Checkpoint struct {
	Size      int64                 `json:"size" doc:"entries that it covers"`
	Time      time.Time             `json:"time"`
	Witnesses []ledger.WitnessState `json:"witnesses" doc:"others who sign checkpoints; empty: none is configured"`
}

// Queue is something that waits.
type Queue struct {
	Name    string `json:"name"`
	Waiting int    `json:"waiting"`
	Most    int    `json:"most" doc:"0: not bounded by a number"`
}

// Certificate is one that a door shows.
type Certificate struct {
	Door    string    `json:"door"`
	Names   []string  `json:"names"`
	Expires time.Time `json:"expires"`
}

// Backup says how backups stand.
type Backup struct {
	Configured bool `json:"configured" doc:"false: nothing leaves this machine by itself"`
}

// Limit is a bound that is in force.
type Limit struct {
	Area  string `json:"area"`
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Health tells a server administrator how the server does.
func (s *Service) Health(ctx context.Context, actor ledger.Actor) (Facts, error) {
	if err := s.read(ctx, actor, func(*ledger.Reader) error { return nil }); err != nil {
		return Facts{}, err
	}
	if s.Facts == nil {
		return Facts{}, fault.New(fault.Unavailable, "server.facts", "This server does not know how it does").WithMend("Ask a server that serves")
	}
	f, err := s.Facts(ctx)
	if err != nil {
		return Facts{}, err
	}
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		if c, found, err := r.LatestCheckpoint(); err != nil {
			return err
		} else if found {
			f.Checkpoint = &Checkpoint{c.Size, c.Time, c.Witnesses}
		}
		for sql, into := range map[string]*int64{
			"SELECT entries FROM head WHERE id = 1": &f.Entries, "SELECT count(*) FROM account": &f.Accounts, "SELECT count(*) FROM document WHERE body IS NOT NULL": &f.Documents,
		} {
			if _, err := r.Row([]any{into}, sql); err != nil {
				return err
			}
		}
		return nil
	})
	return f, err
}
