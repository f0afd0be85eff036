package site

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/org"
)

// States of an import.
const (
	Previewed = "preview"
	Running   = "running"
	Done      = "done"
	Failed    = "failed" // stopped half-way; run goes on where it stopped
	Undone    = "undone"
)

const (
	maxFile    = 64 << 20
	keptErrors = 100 // that stand in the document; all are in the file of errors
	sampleSize = 5
	planSize   = 50
)

// Import is one file of sites: what it will do, what it has done.
type Import struct {
	Name    string `json:"name" doc:"of the file"`
	Branch  string `json:"branch"`
	Type    string `json:"type" doc:"key of the sites' type"`
	Privacy string `json:"privacy"`
	State   string `json:"state" enum:"preview,running,done,failed,undone"`

	Blob    string            `json:"blob" doc:"the file as it was sent"`
	Size    int64             `json:"size"`
	Columns []string          `json:"columns"`
	Mapping map[string]string `json:"mapping" doc:"column to code, name, latitude, longitude, location, accuracy, status, a property's key, or - to leave it out"`
	Added   []Property        `json:"added,omitempty" doc:"properties that the site type gets for columns it does not know"`

	Rows        int        `json:"rows" doc:"without the header"`
	Creates     int        `json:"creates"`
	Updates     int        `json:"updates" doc:"rows whose code is that of a site"`
	Skips       int        `json:"skips" doc:"empty rows and rows that change nothing"`
	ErrorRows   int        `json:"error_rows" doc:"rows that are left out because something is wrong in them"`
	ErrorsTotal int        `json:"errors_total"`
	Errors      []RowError `json:"errors" doc:"the first of them; all with the rows are in the file of errors"`
	Sample      []Site     `json:"sample"`
	Plan        []Planned  `json:"plan" doc:"what the first rows will do"`

	Done     int       `json:"done" doc:"rows done"`
	Act      int64     `json:"act,omitempty" doc:"the act that all its changes belong to"`
	Message  string    `json:"message,omitempty" doc:"why it failed"`
	By       string    `json:"by"`
	ByName   string    `json:"by_name"`
	ByDoor   string    `json:"by_door,omitempty"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
	Undone   int       `json:"undone,omitempty" doc:"changes taken back"`
	Kept     int       `json:"kept,omitempty" doc:"changes that could not be taken back, because others changed the site later"`
}

// Planned is what a row will do.
type Planned struct {
	Row    int    `json:"row"`
	Action string `json:"action" enum:"create,update,skip,error"`
	Code   string `json:"code,omitempty"`
	Name   string `json:"name,omitempty"`
}

// Imports is the noun of imports.
var Imports = ledger.Noun[Import]{
	Blobs: func(i Import) []string { return []string{i.Blob} },
	Name:  "site_import",
	Table: &ledger.Table[Import]{
		Columns: []ledger.Column{{Name: "branch", Type: ledger.Text}, {Name: "state", Type: ledger.Text}, {Name: "person", Type: ledger.Text}},
		Indexes: [][]string{{"org"}, {"state"}},
		Row:     func(d ledger.Doc[Import]) []any { return []any{d.Body.Branch, d.Body.State, d.Body.By} },
	},
}

var _ = access.Register(&Imports, access.Columns{Branch: "branch", Owner: "person"}, func(_ *ledger.Reader, d ledger.Doc[Import]) (access.Thing, error) {
	return importThing(d), nil
})

func importThing(d ledger.Doc[Import]) access.Thing {
	return access.Thing{Kind: "site_import", ID: d.ID, Org: d.Org, Branch: d.Body.Branch, Owner: d.Body.By, Name: d.Body.Name}
}

// ImportView is an import as the API shows it.
type ImportView struct {
	ID      string    `json:"id"`
	Org     string    `json:"org"`
	Changed time.Time `json:"changed"`
	Import
}

func viewOf(d ledger.Doc[Import]) ImportView { return ImportView{d.ID, d.Org, d.Changed, d.Body} }

// NewImport says where the sites of a file go.
type NewImport struct {
	Org, Branch, Type, Name string
	Privacy                 string // "": as the organization's policy says
}

// Preview keeps a file and says what importing it would do: how its columns are
// read, what each row will do, and what is wrong in which row. It changes no site.
func (s *Service) Preview(ctx context.Context, actor ledger.Actor, n NewImport, file io.Reader) (ImportView, error) {
	if n.Type == "" {
		n.Type = "water_point"
	}
	if n.Name = strings.TrimSpace(n.Name); n.Name == "" {
		n.Name = "import"
	}
	if utf8.RuneCountInString(n.Name) > maxName {
		n.Name = string([]rune(n.Name)[:maxName])
	}
	if err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		err := access.Require(r, actor, access.Create, access.Thing{Kind: "site_import", Org: n.Org, Branch: n.Branch})
		if err == nil {
			err = org.InOrg(r, n.Org, n.Branch)
		}
		if err == nil && n.Privacy == "" {
			var p org.Policy
			p, err = org.PolicyOf(r, n.Org)
			n.Privacy = p.SitePrivacy
		}
		return err
	}); err != nil {
		return ImportView{}, err
	}
	ref, err := s.blobs.Put(ctx, file, maxFile)
	if err != nil {
		return ImportView{}, err
	}
	body := Import{
		Name: n.Name, Branch: n.Branch, Type: n.Type, Privacy: n.Privacy, State: Previewed, Blob: ref.Hash, Size: ref.Size,
		By: actor.ID, ByName: actor.Name, ByDoor: actor.Door,
	}
	if err := s.survey(ctx, n.Org, &body, nil); err != nil {
		return ImportView{}, err
	}
	var made ledger.Doc[Import]
	err = s.ledger.Write(ctx, actor, "import previewed", func(tx *ledger.Tx) (err error) {
		made, err = Imports.Create(tx, n.Org, "", body)
		return err
	})
	return viewOf(made), err
}

// rows reads a kept file with a mapping; each is called with every row.
func (s *Service) rows(ctx context.Context, organization string, body *Import, mapping map[string]string, each func(p *plan, row int, record []string, site Site, blank bool, wrong []RowError) error) (*sheet, *plan, error) {
	file, err := s.blobs.Get(ctx, body.Blob)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	sh, err := openSheet(file)
	if err != nil {
		return nil, nil, err
	}
	var typ *Type
	err = s.ledger.Read(ctx, func(r *ledger.Reader) (err error) {
		// With a property that no type has, so that the organization's own part is read.
		typ, err = typeOf(r, organization, body.Type, map[string]any{"?": nil})
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if typ == nil {
		return nil, nil, fault.Newf(fault.Invalid, "import.type", "There is no site type %.60q", body.Type).WithMend("Choose one of the organization's site types")
	}
	if mapping == nil {
		mapping = guess(sh.columns, typ)
	} else if err := checkMapping(mapping, sh.columns); err != nil {
		return nil, nil, err
	}
	body.Mapping = mapping
	p := newPlan(sh.columns, sh.delimiter, mapping, typ, body.Branch, body.Privacy)
	if len(p.typ.Properties) > maxProperties {
		return nil, nil, fault.Newf(fault.TooLarge, "import.properties", "The site type would get more than %d properties", maxProperties).WithMend("Leave some columns out")
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		record, wrong, err := sh.next()
		if errors.Is(err, io.EOF) {
			return sh, p, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if wrong != nil {
			if err := each(p, sh.row, record, Site{}, false, []RowError{*wrong}); err != nil {
				return nil, nil, err
			}
			continue
		}
		site, blank, problems := p.site(sh.row, record)
		if err := each(p, sh.row, record, site, blank, problems); err != nil {
			return nil, nil, err
		}
	}
}

// survey reads the whole file and fills in what importing it would do.
func (s *Service) survey(ctx context.Context, organization string, body *Import, mapping map[string]string) error {
	body.Rows, body.Creates, body.Updates, body.Skips, body.ErrorRows, body.ErrorsTotal = 0, 0, 0, 0, 0, 0
	body.Errors, body.Sample, body.Plan = []RowError{}, []Site{}, []Planned{}
	planned := func(row int, action string, site Site) {
		if len(body.Plan) < planSize {
			body.Plan = append(body.Plan, Planned{row, action, site.Code, site.Name})
		}
	}
	var coded []string // codes in the file; which of them are sites is asked at the end
	at := map[string]int{}
	sh, p, err := s.rows(ctx, organization, body, mapping, func(p *plan, row int, _ []string, site Site, blank bool, wrong []RowError) error {
		body.Rows++
		switch {
		case len(wrong) > 0:
			body.fail(wrong)
			planned(row, "error", site)
			return nil
		case blank:
			body.Skips++
			planned(row, "skip", site)
			return nil
		}
		if len(body.Sample) < sampleSize {
			body.Sample = append(body.Sample, site)
		}
		body.Creates++
		if site.Code != "" {
			if _, twice := at[site.Code]; twice { // a later row changes what an earlier one made
				body.Creates--
				body.Updates++
				planned(row, "update", site)
				return nil
			}
			coded, at[site.Code] = append(coded, site.Code), len(body.Plan)
		}
		planned(row, "create", site)
		return nil
	})
	if err != nil {
		return err
	}
	body.Columns, body.Added = sh.columns, p.fresh
	return s.ledger.Read(ctx, func(r *ledger.Reader) error {
		known, err := byCodes(r, coded)
		if err != nil {
			return err
		}
		for code := range known {
			body.Creates--
			body.Updates++
			if i := at[code]; i < len(body.Plan) && body.Plan[i].Code == code {
				body.Plan[i].Action = "update"
			}
		}
		return nil
	})
}

func (i *Import) fail(wrong []RowError) {
	i.ErrorRows++
	i.ErrorsTotal += len(wrong)
	if room := keptErrors - len(i.Errors); room > 0 {
		i.Errors = append(i.Errors, wrong[:min(room, len(wrong))]...)
	}
}

// GetImport reads an import.
func (s *Service) GetImport(ctx context.Context, actor ledger.Actor, id string) (ImportView, error) {
	var d ledger.Doc[Import]
	err := s.ledger.Read(ctx, func(r *ledger.Reader) (err error) {
		d, err = visibleImport(r, actor, id, access.See)
		return err
	})
	return viewOf(d), err
}

func visibleImport(r *ledger.Reader, actor ledger.Actor, id string, verb access.Verb) (ledger.Doc[Import], error) {
	d, err := Imports.Get(r, id)
	if err == nil {
		err = access.Require(r, actor, verb, importThing(d))
	}
	return d, err
}

// ListImports lists an organization's imports that the actor may see, newest first.
func (s *Service) ListImports(ctx context.Context, actor ledger.Actor, organization string) ([]ImportView, error) {
	views := []ImportView{}
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		where, args, err := access.Visible(r, actor, "site_import")
		if err != nil {
			return err
		}
		c := &clause{visible: where, args: args}
		c.and("n.org = ?", organization)
		docs, err := Imports.List(r, c.sql()+" ORDER BY n.id DESC LIMIT 200", c.args...)
		views = views[:0]
		for _, d := range docs {
			views = append(views, viewOf(d))
		}
		return err
	})
	return views, err
}

// ErrorFile writes the rows that are left out, with what is wrong and how to
// mend it, as a CSV file that can be mended and imported again.
func (s *Service) ErrorFile(ctx context.Context, actor ledger.Actor, id string, w io.Writer) error {
	var d ledger.Doc[Import]
	err := s.ledger.Read(ctx, func(r *ledger.Reader) (err error) {
		d, err = visibleImport(r, actor, id, access.See)
		return err
	})
	if err != nil {
		return err
	}
	body := d.Body
	mapping := maps.Clone(body.Mapping)
	for _, c := range []string{"qanat_row", "qanat_problem", "qanat_mend"} {
		delete(mapping, c)
	}
	later := map[int][]RowError{} // found while it ran
	for _, e := range body.Errors {
		later[e.Row] = append(later[e.Row], e)
	}
	out := csv.NewWriter(w)
	if err := out.Write(append([]string{"qanat_row", "qanat_problem", "qanat_mend"}, body.Columns...)); err != nil {
		return err
	}
	_, _, err = s.rows(ctx, d.Org, &body, body.Mapping, func(p *plan, row int, record []string, _ Site, _ bool, wrong []RowError) error {
		if len(wrong) == 0 {
			wrong = later[row]
		}
		if len(wrong) == 0 {
			return nil
		}
		var problems, mends []string
		for _, e := range wrong {
			problems = append(problems, strings.TrimSpace(fmt.Sprintf("%s: %s %s", e.Column, e.Value, e.Message)))
			mends = append(mends, e.Mend)
		}
		line := append([]string{strconv.Itoa(row), strings.Join(problems, "; "), strings.Join(mends, "; ")}, record...)
		for i, cell := range line { // a spreadsheet must not run what a stranger wrote
			if cell != "" && strings.ContainsRune("=+@\t\r", rune(cell[0])) {
				line[i] = "'" + cell
			}
		}
		return out.Write(line)
	})
	if err != nil {
		return err
	}
	out.Flush()
	return out.Error()
}
