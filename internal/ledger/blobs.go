package ledger

import (
	"encoding/json"
	"strings"
)

// Blobs lists the files that a content of a noun names, as the noun declares.
func (r *Reader) Blobs(kind string, content json.RawMessage) []string {
	k := r.ledger.kinds[kind]
	if k == nil {
		return nil
	}
	return r.ledger.blobsOf(kind, k.shape(), content)
}

// blobsOf is Blobs of a content in an older shape. One that cannot be read names
// whatever stands in it as a member called "blob": a file too many is kept.
func (l *Ledger) blobsOf(kind string, shape int, content []byte) []string {
	k := l.kinds[kind]
	if k == nil || len(content) == 0 {
		return nil
	}
	found, err := k.blobs(&document{kind: kind, shape: shape, body: content})
	if err == nil {
		return found
	}
	var v any
	if json.Unmarshal(content, &v) != nil {
		return nil
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, inner := range v {
				if hash, ok := inner.(string); ok && name == "blob" && len(hash) == 64 {
					found = append(found, hash)
				}
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(v)
	return found
}

// Files goes through the files that any entry names, whose content can be read, or
// is sealed and may come back: whatever must be kept. A file may come more than once.
func (r *Reader) Files(fn func(hash string)) error {
	gone, err := r.without()
	if err != nil {
		return err
	}
	for _, k := range r.ledger.order {
		if !k.naming() {
			continue
		}
		last := int64(0)
		for {
			rows := r.Query(`SELECT `+strings.TrimSuffix(entryColumns, "d.key")+`coalesce(d.key, d.held) FROM entry e JOIN document d ON d.id = e.doc
				WHERE e.number > $1 AND e.kind = $2 AND coalesce(d.key, d.held) IS NOT NULL ORDER BY e.number LIMIT 500`, last, k.noun())
			page, err := scanRecords(rows)
			if err != nil {
				return err
			}
			if len(page) == 0 {
				break
			}
			for i := range page {
				_, c, err := r.open(&page[i])
				if err != nil {
					return err
				}
				for _, hash := range r.ledger.blobsOf(k.noun(), c.Shape, c.Body) {
					if page[i].number > gone[hash] {
						fn(hash)
					}
				}
			}
			last = page[len(page)-1].number
		}
	}
	return nil
}

// without is the files that are gone on purpose, with the entry since when.
func (r *Reader) without() (map[string]int64, error) {
	gone := map[string]int64{}
	for _, k := range r.ledger.order {
		if !k.lacks() {
			continue
		}
		err := eachDocument(r.q, k.noun(), func(page []*document) error {
			for _, d := range page {
				if d.body == nil {
					continue
				}
				files, err := k.without(d)
				if err != nil {
					return err
				}
				for _, hash := range files {
					gone[hash] = max(gone[hash], d.entry)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return gone, nil
}

// Naming goes through the files that documents name now.
func (r *Reader) Naming(fn func(doc, hash string)) error {
	for _, k := range r.ledger.order {
		if !k.naming() {
			continue
		}
		err := eachDocument(r.q, k.noun(), func(page []*document) error {
			for _, d := range page {
				hashes, err := k.blobs(d)
				if err != nil {
					return err
				}
				for _, hash := range hashes {
					fn(d.id, hash)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Named lists the files that any revision of a document has named. It is asked
// before the document is erased.
func (r *Reader) Named(doc string) ([]string, error) {
	found, err := r.records(`e.doc = $1 ORDER BY e.revision`, []any{doc})
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var all []string
	for i := range found {
		_, c, err := r.open(&found[i])
		if err != nil {
			return nil, err
		}
		for _, hash := range r.ledger.blobsOf(found[i].kind, c.Shape, c.Body) {
			if !seen[hash] {
				seen[hash] = true
				all = append(all, hash)
			}
		}
	}
	return all, nil
}
