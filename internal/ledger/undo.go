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
}

// Undone is what undoing an act did.
type Undone struct {
	Act       int64      `json:"act" doc:"the act of the undo, which can be undone itself; 0: nothing was undone"`
	Count     int        `json:"count" doc:"changes undone"`
	Conflicts []Conflict `json:"conflicts"`
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
		if err := tx.undo(e); err != nil {
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

// undoChunk is how many changes are undone in one write, so that others get
// their turn in between.
const undoChunk = 200

// UndoAct takes back every change of an act, newest first, in chunks that join
// one act of their own. What cannot be undone is reported and left.
func (l *Ledger) UndoAct(ctx context.Context, actor Actor, reason string, act int64, may May, progress func(done, total int)) (Undone, error) {
	result := Undone{Conflicts: []Conflict{}}
	var numbers []int64
	err := l.Read(ctx, func(r *Reader) error {
		rows := r.Query(`SELECT number FROM entry WHERE act = $1 ORDER BY number DESC`, act)
		for rows.Next() {
			var n int64
			rows.Scan(&n)
			numbers = append(numbers, n)
		}
		return rows.Close()
	})
	if err != nil {
		return result, err
	}
	if len(numbers) == 0 {
		return result, fault.Newf(fault.NotFound, "act.missing", "There is no act %d", act)
	}
	for done := 0; done < len(numbers); {
		chunk := numbers[done:min(done+undoChunk, len(numbers))]
		var conflicts []Conflict
		var count int
		var made int64
		err := l.Write(ctx, actor, reason, func(tx *Tx) error {
			conflicts, count, made = nil, 0, 0
			tx.act = result.Act
			for _, n := range chunk {
				e, err := tx.header(n)
				if err != nil {
					return err
				}
				mark := len(tx.group.pending)
				err = may(tx, e)
				if err == nil {
					err = tx.undo(e)
				}
				switch {
				case err == nil:
					if len(tx.group.pending) > mark {
						count++
					}
				case fault.KindOf(err) == fault.Internal || tx.group.broken != nil || len(tx.group.pending) > mark:
					return err
				default:
					conflicts = append(conflicts, Conflict{Entry: e, Message: fault.From(err).Error()})
				}
			}
			made = tx.act
			return nil
		})
		if err != nil {
			return result, err
		}
		if count > 0 && result.Act == 0 {
			result.Act = made
		}
		result.Count += count
		result.Conflicts = append(result.Conflicts, conflicts...)
		done += len(chunk)
		if progress != nil {
			progress(done, len(numbers))
		}
	}
	return result, nil
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

func (tx *Tx) undo(e Entry) error {
	kind := tx.ledger.kinds[e.Kind]
	if kind == nil {
		return fmt.Errorf("ledger: noun %s was not declared at Open", e.Kind)
	}
	now, err := tx.document(e.Doc)
	if err != nil {
		return err
	}
	if now == nil {
		return fmt.Errorf("document %s of entry %d is missing", e.Doc, e.Number)
	}
	before, err := tx.revisionToday(kind, e.Doc, e.Revision-1)
	if err != nil {
		return err
	}
	after, err := tx.revisionToday(kind, e.Doc, e.Revision)
	if err != nil {
		return err
	}
	present := *now
	if present.body, err = kind.upgraded(now.shape, now.body); err != nil {
		return err
	}
	body, err := reverted(kind, &present, e, before, after)
	if err != nil {
		return err
	}
	if body == nil && now.body == nil || body != nil && now.body != nil && equalJSON(body, present.body) {
		return nil // it is so already
	}
	next := now.next()
	next.body, next.shape = body, kind.shape()
	return tx.stage(kind, now, next, VerbUndo, e.Number)
}

// revisionToday is a revision's content in the shape of today.
func (tx *Tx) revisionToday(kind Kind, doc string, revision int64) (json.RawMessage, error) {
	_, c, err := tx.revisionContent(doc, revision)
	if err != nil {
		return nil, err
	}
	return kind.upgraded(c.Shape, c.Body)
}

// reverted is the document's content without what an entry did; nil: deleted.
func reverted(kind Kind, now *document, e Entry, before, after json.RawMessage) (json.RawMessage, error) {
	latest := now.revision == e.Revision
	switch {
	case before == nil && now.body == nil:
		return nil, nil
	case before == nil && latest:
		return nil, nil
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
	return fault.Newf(fault.Conflict, "undo.conflict", "This change of a %s cannot be undone: %s", kind.words(), why).
		At(fmt.Sprintf("revision %d", now.revision), fmt.Sprintf("made after revision %d", e.Revision), mend)
}
