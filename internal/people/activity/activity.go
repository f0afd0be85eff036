// Package activity shows what happened and takes it back: the ledger, read with
// somebody's eyes.
//
// It guarantees that nobody reads an entry of a thing that he may not see, and
// that an undo asks for the same right as the change it reverts. Managers and
// admins of a whole organization see all its entries; others see those of the
// things they see now (for what is deleted: as it last was).
//
// Undoing a range asks besides for the right to see all of the organization's
// activity. It runs on in the background; after a restart of the server the same
// undo, started again, goes on where it stopped.
//
// Limits: a page holds at most 100 acts. Addresses and reasons are sealed, so a
// page that asks for them opens some thousand entries and then gives what it has
// found, with the cursor to go on. Who controls this package reads the
// past of every organization.
package activity

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

const (
	maxActs   = 100
	maxLook   = 2000 // acts that are looked at for one page, so that a page of the unseen ends
	maxOpened = 3000 // sealed entries that are opened for one page, when address or reason are asked for
)

// Service reads and reverts.
type Service struct {
	Ledger *ledger.Ledger

	runs runs
}

// Act is what somebody did at once: one entry, or the thousands of an import.
type Act struct {
	Act     int64            `json:"act"`
	Entries int64            `json:"entries" doc:"how many entries it has"`
	Newest  int64            `json:"newest" doc:"number of its newest entry"`
	Kinds   map[string]int64 `json:"kinds" doc:"entries by kind"`
	Entry   ledger.Entry     `json:"entry" doc:"its first entry"`
	Title   string           `json:"title,omitempty" doc:"name of the document of the first entry"`
	About   string           `json:"about,omitempty" doc:"whom the one entry is about: of a membership, a grant or a security event"`
	Undone  bool             `json:"undone" doc:"its newest entry was undone"`
	Glass   *Glass           `json:"break_glass,omitempty" doc:"it was done by a server administrator under break-glass"`
}

// eyes are somebody's rights over one snapshot.
type eyes struct {
	r   *ledger.Reader
	set *access.Set
	org string
	all bool // may see everything of the organization
}

func look(r *ledger.Reader, actor ledger.Actor, org string) (*eyes, error) {
	set, err := access.Principals(r, actor)
	if err != nil {
		return nil, err
	}
	member := set.System
	for _, mine := range set.Organizations() {
		member = member || mine == org
	}
	if !member {
		return nil, fault.New(fault.NotFound, "branch.missing", "There is no such organization").WithMend("Check the link; you may not belong to it")
	}
	d, err := set.Decide(r, access.See, access.Thing{Kind: "activity", Org: org, Branch: org})
	return &eyes{r: r, set: set, org: org, all: d.Allowed || set.System}, err
}

// sees tells whether an entry may be read.
func (e *eyes) sees(entry ledger.Entry) (bool, error) {
	if e.all && entry.Org == e.org {
		return true, nil
	}
	if e.r.Secret(entry.Kind) {
		return false, nil
	}
	thing, err := access.Describe(e.r, entry.Kind, entry.Doc)
	if fault.KindOf(err) == fault.NotFound && err != nil {
		var last json.RawMessage
		if last, err = e.lastContent(entry.Doc); err == nil && last != nil {
			thing, err = access.DescribePast(e.r, entry.Kind, entry.Org, entry.Doc, last)
		}
		if last == nil && err == nil {
			return false, nil
		}
	}
	if err != nil {
		if fault.KindOf(err) == fault.NotFound {
			return false, nil
		}
		return false, err
	}
	d, err := e.set.Decide(e.r, access.See, thing)
	return d.Allowed, err
}

// lastContent is what a deleted document was before its deletion.
func (e *eyes) lastContent(doc string) (json.RawMessage, error) {
	entries, err := e.r.Entries(ledger.Filter{Doc: doc, Limit: 1})
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	_, before, after, err := e.r.Entry(entries[0].Number)
	if after != nil {
		return after, err
	}
	return before, err
}

// Title is what a document is called, by the first of its contents that says.
func Title(contents ...json.RawMessage) string {
	for _, content := range contents {
		var named struct {
			Name, Title, Serial, Email, What string
			InstanceID                       string `json:"instance_id"`
		}
		if content == nil || json.Unmarshal(content, &named) != nil {
			continue
		}
		for _, name := range []string{named.Name, named.Title, named.Serial, named.Email, named.What, named.InstanceID} {
			if name != "" {
				return name
			}
		}
	}
	return ""
}

// Detail is one entry with what it changed.
type Detail struct {
	Entry       ledger.Entry        `json:"entry"`
	Title       string              `json:"title,omitempty"`
	Before      json.RawMessage     `json:"before,omitempty"`
	After       json.RawMessage     `json:"after,omitempty"`
	Differences []ledger.Difference `json:"differences"`
	UndoneBy    int64               `json:"undone_by,omitempty" doc:"number of the entry that undid it"`
	Others      int64               `json:"others" doc:"entries of the same act besides this one"`
	Glass       *Glass              `json:"break_glass,omitempty" doc:"it was done by a server administrator under break-glass"`
}

// Entry reads one entry.
func (s *Service) Entry(ctx context.Context, actor ledger.Actor, number int64) (Detail, error) {
	var d Detail
	err := s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		entry, before, after, err := r.Entry(number)
		if err != nil {
			return err
		}
		if err := s.maySee(r, actor, entry); err != nil {
			return err
		}
		d = Detail{Entry: entry, Title: Title(after, before), Before: before, After: after, Differences: ledger.Diff(before, after)}
		if d.UndoneBy, err = r.UndoneBy(entry); err != nil {
			return err
		}
		glasses, err := glassesOf(r, entry.Org)
		if err != nil {
			return err
		}
		d.Glass = glasses.over(entry)
		_, err = r.Row([]any{&d.Others}, `SELECT count(*) - 1 FROM entry WHERE act = $1 AND org = $2`, entry.Act, entry.Org)
		return err
	})
	return d, err
}

func (s *Service) maySee(r *ledger.Reader, actor ledger.Actor, entry ledger.Entry) error {
	none := fault.Newf(fault.NotFound, "entry.missing", "There is no entry %d", entry.Number)
	eyes, err := look(r, actor, entry.Org)
	if fault.KindOf(err) == fault.NotFound && err != nil {
		return none
	}
	if err != nil {
		return err
	}
	ok, err := eyes.sees(entry)
	if err == nil && !ok {
		return none
	}
	return err
}

// History reads all that happened to a document.
func (s *Service) History(ctx context.Context, actor ledger.Actor, kind, doc string) ([]ledger.Revision, error) {
	var history []ledger.Revision
	err := s.Ledger.Read(ctx, func(r *ledger.Reader) (err error) {
		if err := s.mayReadDocument(r, actor, kind, doc); err != nil {
			return err
		}
		history, err = r.History(doc)
		return err
	})
	return history, err
}

// AsOf reads a document's content as it stood at a time.
func (s *Service) AsOf(ctx context.Context, actor ledger.Actor, kind, doc string, at time.Time) (content json.RawMessage, entry ledger.Entry, err error) {
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		if err := s.mayReadDocument(r, actor, kind, doc); err != nil {
			return err
		}
		content, entry, err = r.AsOf(doc, at)
		return err
	})
	return content, entry, err
}

func (s *Service) mayReadDocument(r *ledger.Reader, actor ledger.Actor, kind, doc string) error {
	none := fault.Newf(fault.NotFound, "document.missing", "There is no such %.40s", strings.ReplaceAll(kind, "_", " ")).WithMend("Check the link; you may not have the right to see it")
	entries, err := r.Entries(ledger.Filter{Doc: doc, Limit: 1})
	if err != nil {
		return err
	}
	if len(entries) == 0 || entries[0].Kind != kind {
		return none
	}
	if err := s.maySee(r, actor, entries[0]); fault.KindOf(err) == fault.NotFound && err != nil {
		return none
	} else if err != nil {
		return err
	}
	return nil
}

// Undo takes one entry back.
func (s *Service) Undo(ctx context.Context, actor ledger.Actor, number int64, reason string) (ledger.Entry, error) {
	return s.Ledger.Undo(ctx, actor, reason, number, access.MayUndo)
}

// UndoAct takes a whole act back, newest entry first. Who may see none of its
// entries is told that there is no such act.
func (s *Service) UndoAct(ctx context.Context, actor ledger.Actor, act int64, reason string) (ledger.Undone, error) {
	err := s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		entry, _, _, err := r.Entry(act)
		if err != nil {
			return err
		}
		return s.maySee(r, actor, entry)
	})
	if err != nil {
		return ledger.Undone{}, err
	}
	return s.Ledger.UndoAct(ctx, actor, reason, act, access.UndoRule(), nil)
}
