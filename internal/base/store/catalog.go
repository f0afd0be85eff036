package store

import (
	"fmt"
	"strings"
)

// Table is a table as the database has it, for moving rows from one engine to the other.
type Table struct {
	Name    string        `json:"name"`
	Columns []TableColumn `json:"columns"`
	Key     []string      `json:"key"` // columns of the primary key, in its order
}

// TableColumn is a column of a table: "text", "bigint", "real" or "blob".
type TableColumn struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Tables lists the tables of the database by name, those of Migrate included.
func (q *Q) Tables() ([]Table, error) {
	list, columns, key := sqliteTables, sqliteColumns, sqliteKey
	if q.engine == Postgres {
		list, columns, key = postgresTables, postgresColumns, postgresKey
	}
	names, err := q.texts(list)
	if err != nil {
		return nil, err
	}
	all := make([]Table, len(names))
	for i, name := range names {
		t := Table{Name: name}
		found, err := q.texts(columns, name)
		if err != nil {
			return nil, err
		}
		for _, one := range found {
			column, word, _ := strings.Cut(one, " ")
			kind, known := columnTypes[strings.ToLower(word)]
			if !known {
				return nil, fmt.Errorf("table %s: column %s has the type %s", name, column, word)
			}
			t.Columns = append(t.Columns, TableColumn{column, kind})
		}
		if t.Key, err = q.texts(key, name); err != nil {
			return nil, err
		}
		all[i] = t
	}
	return all, nil
}

const (
	sqliteTables  = `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name`
	sqliteColumns = `SELECT name || ' ' || type FROM pragma_table_info($1) ORDER BY cid`
	sqliteKey     = `SELECT name FROM pragma_table_info($1) WHERE pk > 0 ORDER BY pk`

	postgresTables  = `SELECT CAST(relname AS text) FROM pg_class WHERE relkind = 'r' AND relnamespace = CAST(current_schema() AS regnamespace) ORDER BY CAST(relname AS text) COLLATE "C"`
	postgresColumns = `SELECT column_name || ' ' || data_type FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position`
	postgresKey     = `SELECT CAST(a.attname AS text) FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
		WHERE c.relname = $1 AND c.relnamespace = CAST(current_schema() AS regnamespace) ORDER BY array_position(CAST(i.indkey AS smallint[]), a.attnum)`
)

var columnTypes = map[string]string{
	"text": "text", "integer": "bigint", "bigint": "bigint", "real": "real", "double precision": "real", "blob": "blob", "bytea": "blob",
}

func (q *Q) texts(sql string, args ...any) ([]string, error) {
	var found []string
	rows := q.Query(sql, args...)
	for rows.Next() {
		var text string
		rows.Scan(&text)
		found = append(found, text)
	}
	return found, rows.Close()
}
