package ledger

import (
	"errors"
	"fmt"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
)

// A document leaves the ledger in two steps. Sealed, its key is put aside: its
// content is gone for every reader, entries included, and can still come back.
// Erased, the key is destroyed: nobody reads its past again, and the tree still
// proves that it happened. Both are only as good as the entry that says so: the
// documents of nouns with Erases name what is sealed or erased, and Verify finds
// every key that is missing without being named, and every key that is there
// although it was erased.

// Seal deletes a document, unless it is deleted already, and puts its key aside.
// wasThere tells Unseal whether to bring it back. A change of a noun with Erases
// that names the document must stand in the same write, before it.
func (tx *Tx) Seal(id string) (wasThere bool, err error) {
	d, k, err := tx.keyed(id)
	if err != nil {
		return false, err
	}
	if d.wrapped == nil {
		return false, gone(k)
	}
	if wasThere = d.body != nil; wasThere {
		if err := tx.stage(k, d, d.next(), VerbDelete, 0, 0); err != nil {
			return false, err
		}
	}
	return wasThere, tx.setKey(id, `UPDATE document SET held = key, key = NULL WHERE id = $1 AND key IS NOT NULL`)
}

// Unseal takes Seal back: the key is where it was, and the document too, if it was there.
func (tx *Tx) Unseal(id string, back bool) error {
	_, k, err := tx.keyed(id)
	if err != nil {
		return err
	}
	if err := tx.setKey(id, `UPDATE document SET key = held, held = NULL WHERE id = $1 AND held IS NOT NULL`); err != nil || !back {
		return err
	}
	d, err := tx.document(id)
	if err != nil {
		return err
	}
	body, err := tx.revisionToday(k, id, d.revision-1)
	if err != nil {
		return err
	}
	next := d.next()
	next.body, next.shape = body, k.shape()
	return tx.stage(k, d, next, VerbUndelete, 0, 0)
}

// Erase destroys the key of a document, sealed or not, with its content. It must
// be deleted, or it is deleted now.
func (tx *Tx) Erase(id string) error {
	d, k, err := tx.keyed(id)
	if err != nil {
		return err
	}
	if d.wrapped != nil && d.body != nil {
		if err := tx.stage(k, d, d.next(), VerbDelete, 0, 0); err != nil {
			return err
		}
	}
	return tx.setKey(id, `UPDATE document SET held = NULL, key = NULL WHERE id = $1 AND (key IS NOT NULL OR held IS NOT NULL)`)
}

func (tx *Tx) keyed(id string) (*document, Kind, error) {
	d, err := tx.document(id)
	if err != nil {
		return nil, nil, err
	}
	if d == nil {
		return nil, nil, fault.New(fault.NotFound, "document.missing", "There is no such document")
	}
	k := tx.ledger.kinds[d.kind]
	if k == nil {
		return nil, nil, fmt.Errorf("ledger: noun %s was not declared at Open", d.kind)
	}
	return d, k, nil
}

// setKey changes the key columns of one document, behind what is staged, and
// inside the savepoint of the write.
func (tx *Tx) setKey(id, sql string) error {
	g := tx.group
	if g.dry {
		return errors.New("ledger: keys are not touched by a preview")
	}
	if len(g.pending) == g.job {
		return errors.New("ledger: a key is touched only after the entry that says why")
	}
	if err := g.flush(); err != nil {
		return err
	}
	n, err := g.q.Exec(sql, id)
	if err != nil {
		return err
	}
	if n != 1 {
		return fault.New(fault.Conflict, "document.sealed", "The document is not in the state that this asks for").WithMend("Load it again")
	}
	delete(g.docs, id) // it is read again, with its key as it is now
	g.rekeyed = append(g.rekeyed, id)
	return nil
}

func gone(k Kind) error {
	return fault.Newf(fault.Conflict, "document.erased", "This %s was erased, or is sealed to be", k.words()).WithMend("Make a new one")
}

// erased is how a document's key is missing, by the documents that say so.
type erased struct {
	by   string
	gone bool // false: only sealed
}

// named reads what documents of nouns with Erases name.
func (r *Reader) named() (map[string]erased, error) {
	all := map[string]erased{}
	for _, k := range r.ledger.order {
		if !k.erasing() {
			continue
		}
		err := eachDocument(r.q, k.noun(), func(page []*document) error {
			for _, d := range page {
				if d.body == nil {
					continue
				}
				sealed, gone, err := k.erases(d)
				if err != nil {
					return err
				}
				for _, id := range sealed {
					if !all[id].gone {
						all[id] = erased{d.id, false}
					}
				}
				for _, id := range gone {
					all[id] = erased{d.id, true}
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// erasures checks that exactly the keys are missing that an erasure names.
func (v *verifier) erasures([]*store.Q) error {
	named, err := (&Reader{q: v.q, ledger: v.ledger}).named()
	if err != nil {
		return err
	}
	rows := v.q.Query(`SELECT id, CASE WHEN key IS NULL THEN 0 ELSE 1 END, CASE WHEN held IS NULL THEN 0 ELSE 1 END FROM document WHERE key IS NULL OR held IS NOT NULL ORDER BY id`)
	for rows.Next() {
		var id string
		var key, held int64
		rows.Scan(&id, &key, &held)
		where := "document " + id
		by, known := named[id]
		delete(named, id)
		switch {
		case key != 0:
			v.found(where, "has its key in two places")
		case !known:
			v.found(where, "its key is gone, and no erasure names it")
		case held == 0 && !by.gone:
			v.found(where, "its key was destroyed while erasure %s only seals it", by.by)
		case held != 0 && by.gone:
			v.found(where, "its key is still there, although erasure %s destroyed it", by.by)
		}
	}
	if err := rows.Close(); err != nil {
		return err
	}
	for id, by := range named { // what is left has its key in place
		v.found("document "+id, "can be read, although erasure %s names it", by.by)
	}
	return nil
}
