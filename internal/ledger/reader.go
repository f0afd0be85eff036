package ledger

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/vault"
)

// Reader reads one snapshot; in a transaction, with the transaction's own changes.
type Reader struct {
	q      *store.Q
	ledger *Ledger
	group  *group // nil outside a write
	past   *past  // entries read ahead; nil: none
	opened openedKey
	knows  bool    // seen has been asked for
	seen   int64   // last entry of the snapshot
	moment *moment // nil: now
}

// document is a row of the document table. body is nil while it is deleted.
type document struct {
	id, org, kind   string
	revision, entry int64
	changed         int64 // ms since 1970
	shape           int
	wrapped         []byte // nil: erased
	body            []byte
	key             *vault.Key // wrapped, opened; nil until needed
}

// next is the document's next revision, still without content.
func (d *document) next() *document {
	return &document{id: d.id, org: d.org, kind: d.kind, revision: d.revision, shape: d.shape, wrapped: d.wrapped, key: d.key}
}

const documentColumns = `d.id, d.org, d.kind, d.revision, d.entry, d.changed, d.shape, d.key, d.body`

// document reads a document, nil when there never was one.
func (r *Reader) document(id string) (*document, error) {
	if r.moment != nil {
		return r.documentThen(id)
	}
	if r.group != nil {
		if d, ok := r.group.docs[id]; ok {
			return d, nil
		}
	}
	found, err := scanDocuments(r.q.Query(`SELECT `+documentColumns+` FROM document d WHERE d.id = $1`, id))
	if err != nil {
		return nil, err
	}
	var d *document
	if len(found) > 0 {
		d = found[0]
	}
	if r.group != nil {
		r.group.docs[id] = d
	}
	return d, nil
}

// listNow is Noun.List in the present.
func (r *Reader) listNow(k Kind, where string, args []any) ([]*document, error) {
	return r.documents(`SELECT `+documentColumns+` FROM `+k.noun()+` n JOIN document d ON d.id = n.id WHERE `+where, args)
}

func (r *Reader) documents(sql string, args []any) ([]*document, error) {
	return scanDocuments(r.Query(sql, args...))
}

func scanDocuments(rows *store.Rows) ([]*document, error) {
	var found []*document
	for rows.Next() {
		d := &document{}
		var body *string
		rows.Scan(&d.id, &d.org, &d.kind, &d.revision, &d.entry, &d.changed, &d.shape, &d.wrapped, &body)
		if body != nil {
			d.body = []byte(*body)
		}
		found = append(found, d)
	}
	return found, rows.Close()
}

// Query runs a query over the index tables and the bulk stores.
func (r *Reader) Query(sql string, args ...any) *store.Rows {
	if err := r.settle(); err != nil {
		return store.Failed(err)
	}
	sql, args, err := r.withThen(sql, args)
	if err != nil {
		return store.Failed(err)
	}
	return r.q.Query(sql, args...)
}

// Row reads the first row of a query into dest and tells whether there was one.
func (r *Reader) Row(dest []any, sql string, args ...any) (bool, error) {
	if err := r.settle(); err != nil {
		return false, err
	}
	sql, args, err := r.withThen(sql, args)
	if err != nil {
		return false, err
	}
	return r.q.Row(dest, sql, args...)
}

// settle writes what the transaction has staged, so that SQL sees it.
func (r *Reader) settle() error {
	if r.group == nil || r.group.dry {
		return nil
	}
	return r.group.flush()
}

// Raw is a document as stored.
type Raw struct {
	ID       string          `json:"id"`
	Kind     string          `json:"kind"`
	Revision int64           `json:"revision"`
	Entry    int64           `json:"entry"`
	Changed  time.Time       `json:"changed"`
	Shape    int             `json:"shape"`
	Body     json.RawMessage `json:"body"`
}

// Documents goes through the documents of an organization that are there now,
// in the order of their ids, secret nouns left out.
func (r *Reader) Documents(org string, fn func(Raw) error) error {
	if r.moment != nil {
		return errors.New("ledger: all documents are read in the present")
	}
	after := ""
	for {
		page, err := r.documents(`SELECT `+documentColumns+` FROM document d WHERE d.id > $1 AND d.org = $2 AND d.body IS NOT NULL ORDER BY d.id LIMIT 500`, []any{after, org})
		if err != nil || len(page) == 0 {
			return err
		}
		for _, d := range page {
			if !r.Secret(d.kind) {
				if err := fn(Raw{d.id, d.kind, d.revision, d.entry, time.UnixMilli(d.changed).UTC(), d.shape, d.body}); err != nil {
					return err
				}
			}
		}
		after = page[len(page)-1].id
	}
}

// OrgOf tells the organization and kind of a document, deleted ones included.
func (r *Reader) OrgOf(id string) (org, kind string, found bool, err error) {
	d, err := r.document(id)
	if d == nil || err != nil {
		return "", "", false, err
	}
	return d.org, d.kind, true, nil
}
