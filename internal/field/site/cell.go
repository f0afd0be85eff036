package site

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// empty tells whether a cell says nothing: the ways in which statistics programs
// and spreadsheets write "not available".
func empty(cell string) bool {
	switch strings.ToLower(cell) {
	case "", "na", "n/a", "#n/a", "nan", "null", "none given", "-", "--":
		return true
	}
	return false
}

var (
	thousands      = regexp.MustCompile(`^[+-]?\d{1,3}(,\d{3})+(\.\d+)?$`)
	commaDecimal   = regexp.MustCompile(`^[+-]?\d+,\d+$`)
	dotThousands   = regexp.MustCompile(`^[+-]?\d{1,3}(\.\d{3})+(,\d+)?$`)
	spaceThousands = regexp.MustCompile(`^[+-]?\d{1,3}([ \x{00a0}\x{202f}]\d{3})+([.,]\d+)?$`)
)

// decimal reads a number as people write it. Commas are decimal when the file is
// not separated by them, or when they cannot be anything else.
func decimal(cell string, commas bool) (float64, bool) {
	s := strings.ReplaceAll(cell, "\u2212", "-")
	if spaceThousands.MatchString(s) {
		s = strings.NewReplacer(" ", "", "\u00a0", "", "\u202f", "").Replace(s)
	}
	switch {
	case commas && strings.Contains(s, ",") && dotThousands.MatchString(s):
		s = strings.Replace(strings.ReplaceAll(s, ".", ""), ",", ".", 1)
	case !commas && thousands.MatchString(s):
		s = strings.ReplaceAll(s, ",", "")
	case commaDecimal.MatchString(s):
		s = strings.Replace(s, ",", ".", 1)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || strings.ContainsAny(s, "xXpP_nN") { // no hexadecimal, no NaN, no infinity
		return 0, false
	}
	return f, true
}

// degrees reads a coordinate; there are no thousands, so that a single comma is
// a decimal one. A hemisphere may stand before or behind.
func degrees(cell string) (float64, bool) {
	s := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(cell), "°"))
	sign := 1.0
	if n := len(s); n > 1 {
		for _, at := range []int{0, n - 1} {
			switch s[at] {
			case 'S', 's', 'W', 'w':
				sign = -1
				fallthrough
			case 'N', 'n', 'E', 'e':
				s = strings.TrimSpace(strings.Trim(s, "NnSsEeWw°"))
			}
			if len(s) != n {
				break
			}
		}
	}
	if strings.Count(s, ",") == 1 && !strings.Contains(s, ".") {
		s = strings.Replace(s, ",", ".", 1)
	}
	f, ok := decimal(s, false)
	return sign * f, ok
}

var dateLayouts = []string{
	time.DateOnly, time.RFC3339, time.DateTime, "2006-01-02T15:04:05", "2006/1/2", "2/1/2006", "2.1.2006", "2-1-2006",
	"2/1/2006 15:04", "2/1/2006 15:04:05", "2 Jan 2006", "2-Jan-2006", "2 January 2006",
}

// day reads a date, the day before the month, as YYYY-MM-DD.
func day(cell string) (string, bool) {
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, cell); err == nil && t.Year() >= 1800 && t.Year() <= 2200 {
			return t.Format(time.DateOnly), true
		}
	}
	return "", false
}

// statusOf reads what people write about the state of a water point.
func statusOf(cell string) (string, bool) {
	words := strings.Trim(strings.ReplaceAll(slug(cell), "_", " "), " ")
	has := func(any ...string) bool {
		for _, a := range any {
			if strings.Contains(" "+words+" ", " "+a) {
				return true
			}
		}
		return false
	}
	switch words {
	case "":
		return "", false
	case "yes", "y", "1", "true", "working", "operational", "functioning", "functional", "fully functional", "good", "in use", "oui", "si", "sim", "fonctionnel":
		return Functional, true
	case "no", "n", "0", "false", "broken", "down", "dry", "non", "nao":
		return NotFunctional, true
	case "partly", "partial", "partially":
		return Partly, true
	}
	switch {
	case has("unknown", "don t know", "dont know", "not known", "unclear"):
		return Unknown, true
	case has("part", "needs repair", "need of repair", "needs maintenance", "seasonal") || has("functional but", "functioning but", "working but"):
		return Partly, true
	case has("not ", "non ", "nonfunctional", "no longer", "abandon", "broken", "decommission", "out of order", "damaged", "dry ", "closed", "unrepaired"):
		return NotFunctional, true
	case has("functional", "functioning", "working", "operational"):
		return Functional, true
	}
	return "", false
}

// convert reads a cell as a property's type. message is empty when it can be.
func (p *Property) convert(cell string, commas bool) (value any, message, mend string) {
	switch p.Type {
	case Number, Integer:
		n, ok := decimal(cell, commas)
		if !ok {
			return nil, "is no number", "write digits, without a unit"
		}
		value = n
	case Boolean:
		switch strings.ToLower(cell) {
		case "yes", "y", "true", "1", "oui", "si", "sim", "ndiyo", "x":
			return true, "", ""
		case "no", "n", "false", "0", "non", "nao", "não", "hapana":
			return false, "", ""
		}
		return nil, "is neither yes nor no", "write yes or no"
	case Date:
		d, ok := day(cell)
		if !ok {
			return nil, "is no date", "write YYYY-MM-DD, or day/month/year with four digits for the year"
		}
		return d, "", ""
	case Select:
		key := slug(cell)
		for _, c := range p.Choices {
			if c.Value == cell || c.Value == key || slug(c.Label) == key {
				return c.Value, "", ""
			}
		}
		return nil, "is none of the choices of " + p.Label, "one of " + p.values() + "; or import the column as text of its own"
	default:
		value = cell
	}
	message, mend = p.problem(value)
	return value, message, mend
}

var pointText = regexp.MustCompile(`^(?i)POINT\s*Z?\s*\(\s*(\S+)\s+(\S+)(?:\s+\S+)?\s*\)$`)

// position reads both coordinates from one cell: "lat lon [altitude [accuracy]]"
// as ODK writes it, "lat, lon", or POINT(lon lat).
func position(cell string) (*Location, error) {
	parts := strings.FieldsFunc(cell, func(r rune) bool { return r == ' ' || r == ',' || r == ';' })
	if m := pointText.FindStringSubmatch(cell); m != nil {
		parts = []string{m[2], m[1]}
	}
	if len(parts) < 2 || len(parts) > 4 {
		return nil, fmt.Errorf("not two coordinates")
	}
	lat, ok1 := degrees(parts[0])
	lon, ok2 := degrees(parts[1])
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("not two coordinates")
	}
	l := &Location{Lat: lat, Lon: lon}
	if len(parts) == 4 {
		if a, ok := decimal(parts[3], false); ok && a > 0 {
			l.Accuracy = &a
		}
	}
	return l, nil
}
