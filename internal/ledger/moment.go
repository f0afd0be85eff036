package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
)

// MostThen is how many documents of one noun may have changed since a moment
// for its lists to be read as of then.
const MostThen = 100_000

// moment is what a Reader of the past knows.
type moment struct {
	org    string // whose documents are read; "": all
	number int64  // the last entry that had happened
	nouns  map[string]*then
}

// then is a noun as it stood: of the documents that have changed since, the rows
// of its index table. All others are as they are now.
type then struct {
	steps map[string]int64 // the revision that stood; 0: there was none yet
	rows  string           // JSON list of index rows
	ids   string           // JSON list of the keys of steps
}

// At is a Reader of the same snapshot that reads the documents of an
// organization ("": of all) as they stood at a time: after the last entry that is
// not newer. Get, List and From read the past; Query over any other table, and
// with it rights, reads the present. Contents are given in the shape of today. What
// was erased since is not there.
func (r *Reader) At(org string, at time.Time) (*Reader, error) {
	if r.group != nil {
		return nil, errors.New("ledger: the past is read outside of writes")
	}
	// Numbers and times grow together, so the last entry that is not newer is found by halving.
	var newest int64
	if _, err := r.q.Row([]any{&newest}, `SELECT entries FROM head WHERE id = 1`); err != nil {
		return nil, err
	}
	var failed error
	ms := at.UnixMilli()
	number := sort.Search(int(newest), func(i int) bool {
		var time int64
		if _, err := r.q.Row([]any{&time}, `SELECT time FROM entry WHERE number = $1`, int64(i)+1); err != nil {
			failed = err
		}
		return time > ms
	})
	return &Reader{q: r.q, ledger: r.ledger, moment: &moment{org: org, number: int64(number), nouns: map[string]*then{}}}, failed
}

// documentThen is a document as it stood; nil when it was not there yet, or has
// been erased.
func (r *Reader) documentThen(id string) (*document, error) {
	now, err := (&Reader{q: r.q, ledger: r.ledger}).document(id)
	if err != nil || now == nil || now.wrapped == nil || r.moment.org != "" && now.org != r.moment.org {
		return nil, err
	}
	if now.entry <= r.moment.number {
		return now, nil
	}
	found, err := r.records(`e.doc = $1 AND e.number <= $2 ORDER BY e.revision DESC LIMIT 1`, []any{id, r.moment.number})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	_, c, err := r.open(&found[0])
	return found[0].document(c), err
}

// document is the document that an entry made.
func (rec *record) document(c content) *document {
	return &document{id: rec.doc, org: rec.org, kind: rec.kind, revision: rec.revision, entry: rec.number, changed: rec.time,
		shape: c.Shape, wrapped: rec.wrapped, body: c.Body}
}

// From names a noun's index table in a FROM clause, as the Reader sees it. In the
// past its rows have one column more: then_id, the id of a document that has
// changed since then, NULL for all others.
func (r *Reader) From(noun string) string {
	if r.moment == nil {
		return noun
	}
	return Then(noun)
}

// Then is what From calls a noun's table in the past.
func Then(noun string) string { return noun + thenSuffix }

const thenSuffix = "_then"

// withThen puts what a query calls noun_then before it, with its rows as more arguments.
func (r *Reader) withThen(sql string, args []any) (string, []any, error) {
	if r.moment == nil {
		return sql, args, nil
	}
	var with []string
	for _, k := range r.ledger.order {
		if k.table() == nil || !strings.Contains(sql, k.noun()+thenSuffix) {
			continue
		}
		was, err := r.then(k)
		if err != nil {
			return "", nil, err
		}
		args = append(args[:len(args):len(args)], was.rows, was.ids, r.moment.org)
		with = append(with, shadow(r.q.Engine(), k, len(args)-2))
	}
	if len(with) == 0 {
		return sql, args, nil
	}
	return "WITH " + strings.Join(with, ", ") + " " + sql, args, nil
}

// shadow defines noun_then: the rows of documents that have not changed since
// from the table, the others from argument n, with the ids of all that have in
// argument n+1, of the organization in argument n+2.
func shadow(engine store.Engine, k Kind, n int) string {
	columns := append([]Column{{"id", Text}, {"org", Text}}, k.table().columns...)
	var names, typed, picked []string
	for i, c := range columns {
		names = append(names, c.Name)
		typed = append(typed, c.Name+" "+engine.DDL(string(c.Type)))
		picked = append(picked, fmt.Sprintf("json_extract(value, '$[%d]')", i))
	}
	list := strings.Join(names, ", ")
	rows := fmt.Sprintf("SELECT %s, json_extract(value, '$[0]') FROM json_each($%d)", strings.Join(picked, ", "), n)
	unchanged := fmt.Sprintf("id NOT IN (SELECT value FROM json_each($%d))", n+1)
	if engine == store.Postgres {
		rows = fmt.Sprintf("SELECT %s, id FROM json_to_recordset(CAST($%d AS json)) AS past(%s)", list, n, strings.Join(typed, ", "))
		unchanged = fmt.Sprintf("id NOT IN (SELECT json_array_elements_text(CAST($%d AS json)))", n+1)
	}
	return fmt.Sprintf("%s%s(%s, then_id) AS (SELECT %s, NULL FROM %s WHERE ($%d = '' OR org = $%d) AND %s UNION ALL %s)",
		k.noun(), thenSuffix, list, list, k.noun(), n+2, n+2, unchanged, rows)
}

// then reads what a noun's changed documents were.
func (r *Reader) then(k Kind) (*then, error) {
	if known := r.moment.nouns[k.noun()]; known != nil {
		return known, nil
	}
	was := &then{steps: map[string]int64{}}
	where, args := "kind = $1 AND number > $2", []any{k.noun(), r.moment.number}
	if r.moment.org != "" {
		where, args = where+" AND org = $3", append(args, r.moment.org)
	}
	// The entries of a document are consecutive revisions: before the first since is what stood.
	rows := r.q.Query(fmt.Sprintf(`SELECT doc, min(revision) - 1 FROM entry WHERE %s GROUP BY doc LIMIT %d`, where, MostThen+1), args...)
	var wanted []step
	ids := []string{}
	for rows.Next() {
		var s step
		rows.Scan(&s.doc, &s.revision)
		was.steps[s.doc] = s.revision
		ids = append(ids, s.doc)
		if s.revision > 0 {
			wanted = append(wanted, s)
		}
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	if len(ids) > MostThen {
		return nil, fault.Newf(fault.TooLarge, "then.many", "More than %d %ss have changed since then", MostThen, k.words()).
			At("at", "too much has changed since", "Choose a later moment, or look at single records as of this one")
	}
	out := [][]any{}
	for part := range slices.Chunk(wanted, mostSteps) {
		docs, err := r.revisionsThen(part)
		if err != nil {
			return nil, err
		}
		for _, d := range docs {
			row, err := rowOf(k, d)
			if err != nil {
				return nil, err
			}
			if row != nil {
				out = append(out, row)
			}
		}
	}
	var err error
	if was.rows, err = rowsJSON(r.q.Engine(), k, out); err != nil {
		return nil, err
	}
	text, err := json.Marshal(ids)
	was.ids = string(text)
	r.moment.nouns[k.noun()] = was
	return was, err
}

// rowOf is a document's index row with its id and organization; nil when it has none.
func rowOf(k Kind, d *document) ([]any, error) {
	if d.body == nil {
		return nil, nil
	}
	row, err := k.row(d)
	if row == nil || err != nil {
		return nil, err
	}
	return append([]any{d.id, d.org}, row...), nil
}

// rowsJSON writes rows as the engine's shadow reads them: lists, or objects.
func rowsJSON(engine store.Engine, k Kind, rows [][]any) (string, error) {
	if engine == store.SQLite {
		text, err := json.Marshal(rows)
		return string(text), err
	}
	named := make([]map[string]any, len(rows))
	for i, row := range rows {
		named[i] = map[string]any{"id": row[0], "org": row[1]}
		for j, c := range k.table().columns {
			named[i][c.Name] = row[j+2]
		}
	}
	text, err := json.Marshal(named)
	return string(text), err
}

// revisionsThen reads revisions as documents; those erased are left out.
func (r *Reader) revisionsThen(wanted []step) ([]*document, error) {
	found, err := r.revisions(wanted)
	if err != nil {
		return nil, err
	}
	docs := make([]*document, 0, len(found))
	for i := range found {
		if found[i].wrapped == nil {
			continue
		}
		_, c, err := r.open(&found[i])
		if err != nil {
			return nil, err
		}
		docs = append(docs, found[i].document(c))
	}
	return docs, nil
}

// listThen is Noun.List in the past: the ids by the query, then the contents that
// stood, in the same order.
func (r *Reader) listThen(k Kind, where string, args []any) ([]*document, error) {
	found, err := r.documents(`SELECT `+documentColumns+` FROM `+r.From(k.noun())+` n JOIN document d ON d.id = n.id WHERE `+where, args)
	if err != nil {
		return nil, err
	}
	was := r.moment.nouns[k.noun()]
	var wanted []step
	for _, d := range found {
		if revision, changed := was.steps[d.id]; changed {
			wanted = append(wanted, step{d.id, revision})
		}
	}
	if len(wanted) == 0 {
		return found, nil
	}
	stood := map[string]*document{}
	for part := range slices.Chunk(wanted, mostSteps) {
		docs, err := r.revisionsThen(part)
		if err != nil {
			return nil, err
		}
		for _, d := range docs {
			stood[d.id] = d
		}
	}
	for i, d := range found {
		if was, changed := stood[d.id]; changed {
			found[i] = was
		}
	}
	return found, nil
}
