package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/qanat-water/qanat/internal/base/store"
)

// ensureIndex makes a noun's index table, or makes it again from the documents
// when its declaration has changed.
func (l *Ledger) ensureIndex(ctx context.Context, k Kind) error {
	t := k.table()
	if t == nil {
		return nil
	}
	ddl := t.ddl(k.noun())
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", ddl, t.version, k.shape()))
	shape := hex.EncodeToString(sum[:8])
	return l.store.Write(ctx, func(q *store.Q) error {
		if err := q.Alone(); err != nil {
			return err
		}
		var had string
		if _, err := q.Row([]any{&had}, `SELECT shape FROM noun WHERE name = $1`, k.noun()); err != nil || had == shape {
			return err
		}
		if err := q.Script(`DROP TABLE IF EXISTS ` + k.noun() + `;` + ddl); err != nil {
			return err
		}
		if err := l.fillIndex(q, k); err != nil {
			return err
		}
		_, err := q.Exec(`INSERT INTO noun (name, shape) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET shape = excluded.shape`, k.noun(), shape)
		return err
	})
}

func (t *indexTable) ddl(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (id {text} PRIMARY KEY, org {text} NOT NULL", name)
	for _, c := range t.columns {
		fmt.Fprintf(&b, ", %s %s", c.Name, c.Type)
	}
	b.WriteString(") {table};\n")
	for _, columns := range t.unique {
		fmt.Fprintf(&b, "CREATE UNIQUE INDEX %s_%s_key ON %s (%s);\n", name, strings.Join(columns, "_"), name, strings.Join(columns, ", "))
	}
	for _, columns := range t.indexes {
		fmt.Fprintf(&b, "CREATE INDEX %s_%s_idx ON %s (%s);\n", name, strings.Join(columns, "_"), name, strings.Join(columns, ", "))
	}
	return b.String()
}

func (l *Ledger) fillIndex(q *store.Q, k Kind) error {
	return eachDocument(q, k.noun(), func(page []*document) error {
		var rows [][]any
		for _, d := range page {
			if d.body == nil {
				continue
			}
			row, err := k.row(d)
			if err != nil {
				return err
			}
			if row != nil {
				rows = append(rows, append([]any{d.id, d.org}, row...))
			}
		}
		return insert(q, indexUpsert(k), rows)
	})
}

// eachDocument goes through the documents of a noun, or of all for "", in the
// order of their ids, a page at a time.
func eachDocument(q *store.Q, noun string, fn func([]*document) error) error {
	after := ""
	for {
		page, err := scanDocuments(q.Query(`SELECT `+documentColumns+` FROM document d WHERE d.id > $1 AND (d.kind = $2 OR $2 = '') ORDER BY d.id LIMIT 500`, after, noun))
		if err != nil || len(page) == 0 {
			return err
		}
		if err := fn(page); err != nil {
			return err
		}
		after = page[len(page)-1].id
	}
}
