package ledger

import "github.com/qanat-water/qanat/internal/base/fault"

// Put makes a document under an id that follows from what it is about, changes
// it, or, when it was deleted, brings it back with this content: for nouns of
// which there is one for each of something. ifRevision, when not 0, must be its
// present revision.
func (n *Noun[T]) Put(tx *Tx, org, docID string, ifRevision int64, body T) (Doc[T], error) {
	before, err := tx.document(docID)
	if err != nil {
		return Doc[T]{}, err
	}
	if before != nil && (before.kind != n.Name || before.org != org) {
		return Doc[T]{}, n.NotFound()
	}
	if before != nil && before.body != nil {
		return n.Update(tx, docID, ifRevision, func(b *T) error { *b = body; return nil })
	}
	if ifRevision != 0 {
		return Doc[T]{}, fault.Newf(fault.Conflict, n.Name+".stale", "This %s was deleted since you read it", n.words()).WithMend("Load it again and repeat your change")
	}
	if before == nil {
		return n.Create(tx, org, docID, body)
	}
	return n.put(tx, before, before.next(), VerbUndelete, body)
}
