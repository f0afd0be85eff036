package site

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

const (
	maxLimit     = 500
	defaultLimit = 50
	maxPoints    = 300_000
)

// Filter chooses sites. Empty fields choose all.
type Filter struct {
	Org, Branch, Type, Status string
	Text                      string    // in the name, or the beginning of the code
	Box                       []float64 // west, south, east, north; west > east crosses the date line
	Sort                      string    // "name" (default), "code" or "changed"; with - before it: backwards
	Cursor                    string    // Next of the page before
	Limit                     int       // 50 when 0, 500 at most
	At                        time.Time // as they stood then, in the branches of today; zero: now
}

// Page is one page of a list.
type Page struct {
	Items []ledger.Doc[Site] `json:"items"`
	Next  string             `json:"next" doc:"cursor of the next page; empty: this is the last"`
	Total int64              `json:"total"`
}

// clause is an SQL condition under construction: what may be seen, and filters.
type clause struct {
	visible string
	ways    []access.Part // visible, cut into queries that an index answers; none for the past
	parts   []string
	args    []any
}

// and adds a condition; each ? in it takes the next argument.
func (c *clause) and(sql string, args ...any) {
	for _, a := range args {
		c.args = append(c.args, a)
		sql = strings.Replace(sql, "?", fmt.Sprintf("$%d", len(c.args)), 1)
	}
	c.parts = append(c.parts, sql)
}

func (c *clause) sql() string { return strings.Join(append([]string{c.visible}, c.parts...), " AND ") }

// each gives what is selected from each way, and from the table where there are none.
func (c *clause) each(selected, table string) []string {
	if len(c.ways) == 0 {
		return []string{"SELECT " + selected + " FROM " + table + " n WHERE " + c.sql()}
	}
	queries := make([]string, len(c.ways))
	for i, way := range c.ways {
		queries[i] = "SELECT " + selected + " FROM " + way.From + " WHERE " + strings.Join(append([]string{way.Where}, c.parts...), " AND ")
	}
	return queries
}

// count is how many there are.
func (c *clause) count(r *ledger.Reader) (n int64, err error) {
	_, err = r.Row([]any{&n}, "SELECT ("+strings.Join(c.each("count(*)", r.From("site")), ") + (")+")", c.args...)
	return n, err
}

// few is as many as are better found first and sorted then; of more, a page is
// found sooner in the order of the list, passing over what may not be seen.
const few = 2000

// found is the condition for a page out of so many.
func (c *clause) found(total int64) string {
	if total > few || len(c.ways) == 0 {
		return c.sql()
	}
	return "n.id IN (" + strings.Join(c.each("n.id", ""), " UNION ALL ") + ")"
}

var likeEscape = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// where is the condition of a filter and of what the actor may see, over the rows
// that the reader it gives sees: r, or one of the past.
func (f Filter) where(r *ledger.Reader, actor ledger.Actor) (*clause, *ledger.Reader, error) {
	set, err := access.Principals(r, actor)
	if err != nil {
		return nil, nil, err
	}
	see := set.Visible
	if !f.At.IsZero() {
		if r, err = r.At(f.Org, f.At); err != nil {
			return nil, nil, err
		}
		see = set.VisibleThen
	}
	c := &clause{}
	if c.visible, c.args, err = see("site", access.See); err != nil {
		return nil, nil, err
	}
	if f.At.IsZero() {
		if c.ways, c.args, err = set.Parts("site", access.See); err != nil {
			return nil, nil, err
		}
	}
	for _, equal := range [][2]string{{"org", f.Org}, {"type", f.Type}, {"status", f.Status}} {
		if equal[1] != "" {
			c.and("n."+equal[0]+" = ?", equal[1])
		}
	}
	if f.Branch != "" { // with all below it
		c.and(`n.branch IN (WITH RECURSIVE below(id) AS (SELECT b.id FROM branch b WHERE b.id = ?
			UNION SELECT b.id FROM branch b JOIN below ON b.parent = below.id) SELECT id FROM below)`, f.Branch)
	}
	if q := strings.ToLower(strings.TrimSpace(f.Text)); q != "" {
		if len(q) > maxName {
			q = q[:maxName]
		}
		q = strings.ToValidUTF8(q, "")
		c.and(`(n.sortname LIKE ? ESCAPE '\' OR n.code LIKE ? ESCAPE '\')`, "%"+likeEscape.Replace(q)+"%", likeEscape.Replace(q)+"%")
	}
	if f.Box != nil {
		if len(f.Box) != 4 {
			return nil, nil, fault.New(fault.Invalid, "site.bbox", "A box has four numbers").At("bbox", "not four numbers", "west,south,east,north in degrees")
		}
		c.and("n.lat BETWEEN ? AND ?", f.Box[1], f.Box[3])
		if f.Box[0] <= f.Box[2] {
			c.and("n.lon BETWEEN ? AND ?", f.Box[0], f.Box[2])
		} else {
			c.and("(n.lon >= ? OR n.lon <= ?)", f.Box[0], f.Box[2])
		}
	}
	return c, r, nil
}

// cursor is where a page ended.
type cursor struct {
	Sort string `json:"s"`
	Key  any    `json:"k"`
	ID   string `json:"i"`
}

var sortColumns = map[string]string{"name": "sortname", "code": "number", "changed": "changed"}

// List gives a page of the sites that the actor may see.
func (s *Service) List(ctx context.Context, actor ledger.Actor, f Filter) (Page, error) {
	page := Page{Items: []ledger.Doc[Site]{}}
	if f.Sort == "" {
		f.Sort = "name"
	}
	column, known := sortColumns[strings.TrimPrefix(f.Sort, "-")]
	if !known {
		return page, fault.Newf(fault.Invalid, "site.sort", "Sites cannot be sorted by %.20q", f.Sort).At("sort", "unknown", "name, code or changed, with - before it for backwards")
	}
	direction, after := "ASC", ">"
	if f.Sort[0] == '-' {
		direction, after = "DESC", "<"
	}
	if f.Limit <= 0 {
		f.Limit = defaultLimit
	}
	f.Limit = min(f.Limit, maxLimit)
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		c, r, err := f.where(r, actor)
		if err != nil {
			return err
		}
		if page.Total, err = c.count(r); err != nil {
			return err
		}
		if f.Cursor != "" {
			at, err := readCursor(f.Cursor, f.Sort)
			if err != nil {
				return err
			}
			c.and(fmt.Sprintf("(n.%s %s ? OR n.%s = ? AND n.id %s ?)", column, after, column, after), at.Key, at.Key, at.ID)
		}
		page.Items, err = Sites.List(r, fmt.Sprintf("%s ORDER BY n.%s %s, n.id %s LIMIT %d", c.found(page.Total), column, direction, direction, f.Limit+1), c.args...)
		if err != nil || len(page.Items) <= f.Limit {
			return err
		}
		page.Items = page.Items[:f.Limit]
		last := page.Items[f.Limit-1]
		key := any(strings.ToLower(last.Body.Name))
		switch column {
		case "number":
			key = number(last.Body.Code)
		case "changed":
			key = last.Changed.UnixMilli()
		}
		text, err := json.Marshal(cursor{f.Sort, key, last.ID})
		page.Next = base64.RawURLEncoding.EncodeToString(text)
		return err
	})
	return page, err
}

func readCursor(text, sort string) (cursor, error) {
	var c cursor
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if n, ok := c.Key.(float64); ok {
		c.Key = int64(n)
	}
	_, isText := c.Key.(string)
	if err != nil || c.Sort != sort || c.Key == nil || isText != strings.HasSuffix(sort, "name") {
		return c, fault.New(fault.Invalid, "site.cursor", "This cursor belongs to another list").At("cursor", "unknown", "begin again without one")
	}
	return c, nil
}

// Points is sites for a map: parallel arrays, because 200,000 objects are slow
// to write and to read.
type Points struct {
	IDs      []string  `json:"ids"`
	Lon      []float64 `json:"lon"`
	Lat      []float64 `json:"lat"`
	Status   []string  `json:"status"`
	Type     []string  `json:"type"`
	Names    []string  `json:"names"`
	Codes    []string  `json:"codes"`
	More     bool      `json:"more" doc:"there are more than could be given: choose a box"`
	Unplaced int64     `json:"unplaced" doc:"sites without a location; where there are more points than could be given, at least so many"`
}

// Points gives the position of every site with one that the actor may see.
func (s *Service) Points(ctx context.Context, actor ledger.Actor, f Filter) (Points, error) {
	var p Points
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		c, r, err := f.where(r, actor)
		if err != nil {
			return err
		}
		rows := r.Query(fmt.Sprintf(`SELECT n.id, CASE WHEN n.lat IS NULL THEN 0 ELSE 1 END, n.lon, n.lat, n.status, n.type, n.name, n.code
			FROM %s n WHERE %s`, r.From("site"), c.sql()), c.args...)
		p = Points{IDs: []string{}, Lon: []float64{}, Lat: []float64{}, Status: []string{}, Type: []string{}, Names: []string{}, Codes: []string{}}
		words := map[string]string{} // a few statuses and types for very many sites
		for rows.Next() {
			var id, status, kind, name, code string
			var lon, lat float64
			var placed int
			rows.Scan(&id, &placed, &lon, &lat, &status, &kind, &name, &code)
			if placed == 0 { // counted on the way: a second question reads everything twice
				p.Unplaced++
				continue
			}
			if p.More = len(p.IDs) == maxPoints; p.More {
				break
			}
			p.IDs, p.Lon, p.Lat = append(p.IDs, id), append(p.Lon, lon), append(p.Lat, lat)
			p.Status, p.Type = append(p.Status, same(words, status)), append(p.Type, same(words, kind))
			p.Names, p.Codes = append(p.Names, name), append(p.Codes, code)
		}
		return rows.Close()
	})
	return p, err
}

func same(words map[string]string, s string) string {
	if w, ok := words[s]; ok {
		return w
	}
	words[s] = s
	return s
}
