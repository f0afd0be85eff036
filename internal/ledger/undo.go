package ledger

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/qanat-water/qanat/internal/base/fault"
)

// Conflict is a change that was not undone, because something later stands in
// the way, a rule forbids it, or the asker may not.
type Conflict struct {
	Entry   Entry  `json:"entry"`
	Message string `json:"message"`
	Denied  bool   `json:"denied,omitempty" doc:"the asker may not undo it"`
}

// May decides, inside the transaction, whether the actor may undo an entry.
type May func(tx *Tx, e Entry) error

// Undo takes one revision of a document back, by a new revision that says so.
// What others changed later elsewhere in the document is kept; a later change of
// the same places is a conflict that names them.
func (l *Ledger) Undo(ctx context.Context, actor Actor, reason string, entry int64, may May) (Entry, error) {
	var made Entry
	err := l.Write(ctx, actor, reason, func(tx *Tx) error {
		e, err := tx.header(entry)
		if err != nil {
			return err
		}
		if err := may(tx, e); err != nil {
			return err
		}
		mark := len(tx.group.pending)
		if err := tx.undo(e, e); err != nil {
			return err
		}
		if len(tx.group.pending) == mark {
			return fault.New(fault.Conflict, "undo.nothing", "There is nothing to undo: it is as it was before already")
		}
		made = tx.group.pending[len(tx.group.pending)-1].entry
		return nil
	})
	return made, err
}

// UndoAct takes back every change of an act: UndoRange with an act as selection.
func (l *Ledger) UndoAct(ctx context.Context, actor Actor, reason string, act int64, may May, progress func(done, total int)) (Undone, error) {
	result, err := l.UndoRange(ctx, actor, reason, Selection{Act: act}, may, func(u Undone) {
		if progress != nil {
			progress(u.Done, u.Total)
		}
	})
	if err == nil && result.Total == 0 {
		err = fault.Newf(fault.NotFound, "act.missing", "There is no act %d", act)
	}
	return result, err
}

// header reads an entry without its content.
func (tx *Tx) header(number int64) (Entry, error) {
	found, err := tx.records(`e.number = $1`, []any{number})
	if err != nil {
		return Entry{}, err
	}
	if len(found) == 0 {
		return Entry{}, fault.Newf(fault.NotFound, "entry.missing", "There is no entry %d", number)
	}
	e, _, err := tx.open(&found[0])
	return e, err
}

// undo takes a run of consecutive revisions of one document back, by one revision.
func (tx *Tx) undo(first, last Entry) error {
	kind := tx.ledger.kinds[last.Kind]
	if kind == nil {
		return fmt.Errorf("ledger: noun %s was not declared at Open", last.Kind)
	}
	now, err := tx.document(last.Doc)
	if err != nil {
		return err
	}
	if now == nil {
		return fmt.Errorf("document %s of entry %d is missing", last.Doc, last.Number)
	}
	before, err := tx.revisionToday(kind, last.Doc, first.Revision-1)
	if err != nil {
		return err
	}
	after, err := tx.revisionToday(kind, last.Doc, last.Revision)
	if err != nil {
		return err
	}
	present := *now
	if present.body, err = kind.upgraded(now.shape, now.body); err != nil {
		return err
	}
	body, err := reverted(kind, &present, last, before, after)
	if err != nil {
		return err
	}
	if body == nil && now.body == nil || body != nil && now.body != nil && equalJSON(body, present.body) {
		return nil // it is so already
	}
	next := now.next()
	next.body, next.shape = body, kind.shape()
	through := last.Number
	if first.Number == last.Number {
		through = 0
	}
	return tx.stage(kind, now, next, VerbUndo, first.Number, through)
}

// revisionToday is a revision's content in the shape of today.
func (tx *Tx) revisionToday(kind Kind, doc string, revision int64) (json.RawMessage, error) {
	e, c, err := tx.revisionContent(doc, revision)
	if err != nil {
		return nil, err
	}
	if e.Erased {
		return nil, gone(kind)
	}
	return kind.upgraded(c.Shape, c.Body)
}

// reverted is the document's content without what an entry did; nil: deleted.
func reverted(kind Kind, now *document, e Entry, before, after json.RawMessage) (json.RawMessage, error) {
	latest := now.revision == e.Revision
	switch {
	case before == nil && now.body == nil:
		return nil, nil
	case before == nil && (latest || after != nil && equalJSON(after, now.body)):
		return nil, nil // whatever came later is undone already
	case before == nil:
		return nil, conflict(kind, e, now, "it was changed since it was made", "Undo the later changes first, or delete it")
	case after == nil && now.body == nil && latest:
		return before, nil
	case after == nil:
		return nil, conflict(kind, e, now, "it was brought back since", "Look at its history")
	case now.body == nil:
		return nil, conflict(kind, e, now, "it was deleted since", "Undo the deletion first")
	case latest:
		return before, nil
	}
	body := json.RawMessage(now.body)
	for _, d := range Diff(before, after) {
		is := at(body, d.Path)
		if equalJSON(is, d.Old) {
			continue // somebody put it back already
		}
		if !equalJSON(is, d.New) {
			return nil, conflict(kind, e, now, d.Path+" was changed again since", "Undo the later change first, or edit it by hand")
		}
		var err error
		if body, err = set(body, steps(d.Path), d.Old); err != nil {
			return nil, err
		}
	}
	return body, nil
}

func conflict(kind Kind, e Entry, now *document, why, mend string) error {
	return fault.Newf(fault.Conflict, codeLater, "This change of a %s cannot be undone: %s", kind.words(), why).
		At(fmt.Sprintf("revision %d", now.revision), fmt.Sprintf("made after revision %d", e.Revision), mend)
}

// codeLater is the code of a conflict with later work on the same document.
const codeLater = "undo.conflict"
