package site

import (
	"fmt"
	"slices"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
)

// Targets of a column beside the properties of the site's type.
const (
	toCode      = "code"
	toName      = "name"
	toLatitude  = "latitude"
	toLongitude = "longitude"
	toLocation  = "location" // both in one cell
	toAccuracy  = "accuracy"
	toStatus    = "status"
	toNothing   = "-" // left out, only when somebody says so
)

var targets = []string{toCode, toName, toLatitude, toLongitude, toLocation, toAccuracy, toStatus, toNothing}

// synonyms are column names, as slugs, and what they mean. They come from the
// exports of mWater, ODK, Kobo, Akvo and WPdx.
var synonyms = map[string]string{
	"code": toCode, "site_code": toCode, "qanat_code": toCode,
	"name": toName, "site_name": toName, "water_point_name": toName, "waterpoint_name": toName, "wp_name": toName, "label": toName, "nom": toName, "nombre": toName,
	"lat": toLatitude, "latitude": toLatitude, "lat_deg": toLatitude, "gps_latitude": toLatitude, "location_latitude": toLatitude, "y": toLatitude, "latitud": toLatitude,
	"lon": toLongitude, "long": toLongitude, "lng": toLongitude, "longitude": toLongitude, "lon_deg": toLongitude, "gps_longitude": toLongitude,
	"location_longitude": toLongitude, "x": toLongitude, "longitud": toLongitude,
	"location": toLocation, "gps": toLocation, "geopoint": toLocation, "coordinates": toLocation, "geometry": toLocation, "wkt": toLocation, "geom": toLocation,
	"accuracy": toAccuracy, "gps_accuracy": toAccuracy, "gps_precision": toAccuracy, "precision": toAccuracy, "location_accuracy": toAccuracy,
	"status": toStatus, "functional_status": toStatus, "functionality": toStatus, "functioning": toStatus, "functional": toStatus, "status_clean": toStatus,
	"wp_status": toStatus, "operational_status": toStatus, "current_status": toStatus,

	"submitted_on": "report_date", "survey_date": "report_date", "date": "report_date", "visit_date": "report_date", "date_of_visit": "report_date", "submission_date": "report_date",
	"waterpoint_photo": "photo_lnk", "waterpoint_image": "photo_lnk", "photo": "photo_lnk", "image": "photo_lnk", "photo_url": "photo_lnk", "picture": "photo_lnk",
	"waterpoint_id": "water_point_id", "wpdx_id": "water_point_id", "wp_id": "water_point_id",
	"households_using_waterpoint": "served_households", "households_served": "served_households", "number_of_households": "served_households",
	"user_population": "served_population", "users": "served_population", "people_served": "served_population", "population_served": "served_population",
	"water_source_clean": "water_source", "source_type": "water_source", "water_source_type": "water_source",
	"water_tech_clean": "water_tech", "technology": "water_tech", "pump_type": "water_tech", "water_point_type": "water_tech",
	"management_clean": "management", "year_installed": "install_year", "construction_year": "install_year", "installation_year": "install_year",
	"clean_country_name": "country_name", "country": "country_name", "clean_adm1": "adm1", "region": "adm1", "province": "adm1", "clean_adm2": "adm2", "district": "adm2",
	"clean_adm3": "adm3", "ward": "adm3", "clean_adm4": "adm4", "village": "adm4", "comments": "notes", "remarks": "notes",
	"pupils_enrolled": "pupils", "students": "pupils", "enrolment": "pupils", "household_size": "people", "population": "people",
}

// guess proposes what each column becomes. Nothing is left out: what is not
// understood becomes a text of its own.
func guess(columns []string, t *Type) map[string]string {
	mapping := make(map[string]string, len(columns))
	used := map[string]bool{}
	take := func(column, target string) bool {
		if target == "" || used[target] || !slices.Contains(targets, target) && t.Property(target) == nil {
			return false
		}
		mapping[column], used[target] = target, true
		return true
	}
	for _, c := range columns { // a column that is called as the property is has the first claim
		if key := slug(c); t.Property(key) != nil {
			take(c, key)
		}
	}
	for _, c := range columns {
		if mapping[c] == "" {
			take(c, synonyms[slug(c)])
		}
	}
	if used[toLatitude] != used[toLongitude] { // half a position is none
		for c, target := range mapping {
			if target == toLatitude || target == toLongitude {
				delete(mapping, c)
			}
		}
	}
	for i, c := range columns {
		if mapping[c] != "" {
			continue
		}
		key := slug(c)
		if len(key) > 60 {
			key = strings.Trim(key[:60], "_")
		}
		switch {
		case key == "":
			key = fmt.Sprintf("column_%d", i+1)
		case key[0] < 'a':
			key = "c_" + key
		}
		if slices.Contains(targets, key) {
			key += "_text"
		}
		unique := key
		for n := 2; used[unique] || n == 2 && t.Property(unique) != nil && t.Property(unique).Type != Text; n++ {
			unique = fmt.Sprintf("%s_%d", key, n)
		}
		mapping[c], used[unique] = unique, true
	}
	return mapping
}

// checkMapping holds the rules for a mapping that somebody chose.
func checkMapping(mapping map[string]string, columns []string) error {
	e := fault.New(fault.Invalid, "import.mapping", "The columns cannot be read like this")
	used := map[string]string{}
	for column, target := range mapping {
		if !slices.Contains(columns, column) {
			e.At(column, "the file has no such column", "leave it out of the mapping")
			continue
		}
		if target == toNothing || target == "" {
			continue
		}
		if !slices.Contains(targets, target) && !validKey(target) {
			e.At(column, fmt.Sprintf("%.60q is neither a field of a site nor a key of a property", target), "choose one of "+strings.Join(targets, ", ")+", or a property")
		}
		if other, twice := used[target]; twice {
			e.At(column, fmt.Sprintf("%s is read from %s already", target, other), "choose one of the two")
		}
		used[target] = column
	}
	if (used[toLatitude] == "") != (used[toLongitude] == "") {
		e.At(toLatitude, "only one of latitude and longitude has a column", "choose both, or none")
	}
	if len(e.Details) > 0 {
		slices.SortFunc(e.Details, func(a, b fault.Detail) int { return strings.Compare(a.Place, b.Place) })
		return e
	}
	return nil
}

// plan turns rows into sites.
type plan struct {
	columns []string
	at      map[string]int // target -> column
	props   []prop
	fresh   []Property // that the type must get first
	typ     *Type      // with the fresh ones
	commas  bool
	branch  string
	privacy string
}

type prop struct {
	column   int
	property *Property
}

func newPlan(columns []string, delimiter rune, mapping map[string]string, t *Type, branch, privacy string) *plan {
	p := &plan{columns: columns, at: map[string]int{}, commas: delimiter != ',', branch: branch, privacy: privacy}
	whole := *t
	whole.Properties = slices.Clone(t.Properties)
	for i, c := range columns {
		target := mapping[c]
		switch {
		case target == toNothing || target == "":
		case slices.Contains(targets, target):
			p.at[target] = i
		default:
			if whole.Property(target) == nil {
				label := c
				if len([]rune(label)) > 100 {
					label = string([]rune(label)[:100])
				}
				p.fresh = append(p.fresh, Property{Key: target, Label: label, Type: Text})
				whole.Properties = append(whole.Properties, p.fresh[len(p.fresh)-1])
			}
			p.props = append(p.props, prop{column: i})
		}
	}
	p.typ = &whole
	for i := range p.props { // now that the slice of properties stands still
		p.props[i].property = whole.Property(mapping[columns[p.props[i].column]])
	}
	return p
}

// site reads a row. blank: there is nothing in it.
func (p *plan) site(row int, record []string) (s Site, blank bool, wrong []RowError) {
	cell := func(i int) string {
		if i < 0 || i >= len(record) {
			return ""
		}
		if c := strings.TrimSpace(record[i]); !empty(c) {
			return c
		}
		return ""
	}
	column := func(target string) int {
		if i, has := p.at[target]; has {
			return i
		}
		return -1
	}
	say := func(i int, message, mend string) {
		wrong = append(wrong, RowError{Row: row, Column: p.columns[i], Value: short(cell(i)), Message: message, Mend: mend})
	}
	s = Site{Type: p.typ.Key, Branch: p.branch, Privacy: p.privacy, Name: cell(column(toName)), Code: cell(column(toCode)), Properties: map[string]any{}}
	blank = s.Name == "" && s.Code == ""
	if s.Code != "" && !ValidCode(s.Code) {
		say(column(toCode), "is no site code: the check digit is wrong, or it is no number", "look at it again, or map the column to a property of its own")
	}
	if words := cell(column(toStatus)); words != "" {
		blank = false
		status, known := statusOf(words)
		if !known {
			say(column(toStatus), "does not say a status", "write functional, partly functional, not functional or unknown; or map the column to a property of its own")
		}
		s.Status = status
		if d := p.typ.Property("status_detail"); d != nil && words != status {
			s.Properties[d.Key] = words
		}
	}
	for _, c := range p.props {
		text := cell(c.column)
		if text == "" {
			continue
		}
		blank = false
		value, message, mend := c.property.convert(text, p.commas)
		if message != "" {
			say(c.column, message, mend)
			continue
		}
		s.Properties[c.property.Key] = value
	}
	if place := p.place(cell, column, say); place != nil {
		s.Location, blank = place, false
	}
	if len(wrong) > 0 {
		return s, false, wrong
	}
	for _, d := range s.problems() {
		if d.Place == "/code" {
			continue
		}
		at := column(map[string]string{"/name": toName, "/location/lat": toLatitude, "/location/lon": toLongitude, "/location/accuracy": toAccuracy, "/location": toLatitude}[d.Place])
		if at < 0 {
			at = max(column(toLocation), 0)
		}
		say(at, d.Message, d.Mend)
	}
	return s, blank, wrong
}

// place reads the location of a row, nil when it has none.
func (p *plan) place(cell func(int) string, column func(string) int, say func(int, string, string)) *Location {
	lat, lon := column(toLatitude), column(toLongitude)
	if both := column(toLocation); both >= 0 && cell(both) != "" && (lat < 0 || cell(lat) == "") {
		l, err := position(cell(both))
		if err != nil {
			say(both, "is no position", "write latitude and longitude in degrees with a blank between them")
		}
		return l
	}
	if lat < 0 || lon < 0 || cell(lat) == "" && cell(lon) == "" {
		return nil
	}
	l := &Location{}
	for _, c := range []struct {
		at int
		to *float64
	}{{lat, &l.Lat}, {lon, &l.Lon}} {
		if cell(c.at) == "" {
			say(c.at, "is empty, but the other coordinate is not", "write both, or none")
			return nil
		}
		v, ok := degrees(cell(c.at))
		if !ok {
			say(c.at, "is no coordinate", "write decimal degrees, for example -14.52407")
			return nil
		}
		*c.to = v
	}
	if at := column(toAccuracy); cell(at) != "" {
		a, ok := decimal(cell(at), p.commas)
		if !ok {
			say(at, "is no number of metres", "write digits, without a unit")
			return nil
		}
		l.Accuracy = &a
	}
	return l
}
