package form

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// typed reads text as a field's type. Where it does not fit, the text itself comes back with the problem.
func (r *reader) typed(field *Field, text string) (value any, problem string) {
	trimmed := strings.TrimSpace(text)
	switch field.Type {
	case Int:
		n, err := strconv.ParseInt(trimmed, 10, 64)
		if err != nil || !plainNumber(trimmed) {
			return text, "not a whole number"
		}
		if n > 1<<53 || n < -1<<53 {
			return text, "too large a number to be kept exactly"
		}
		return n, ""
	case Decimal:
		if n, ok := decimal(trimmed); ok {
			return n, ""
		}
		return text, "not a number"
	case Boolean:
		switch trimmed {
		case "true", "1":
			return true, ""
		case "false", "0":
			return false, ""
		}
		return text, "neither true nor false"
	case Date:
		return timed(trimmed, "not a date as 2026-11-21", "2006-01-02", "2006-01-02Z07:00")
	case Time:
		return timed(trimmed, "not a time as 14:30:00", "15:04", "15:04:05", "15:04:05Z07:00", "15:04:05Z07", "15:04Z07:00")
	case DateTime:
		return timed(trimmed, "not a date and time as 2026-11-21T14:30:00Z", dateTimes...)
	case Geopoint:
		if p, ok := point(trimmed); ok {
			return p, ""
		}
		return text, "not a position: latitude, longitude, altitude, accuracy"
	case Geotrace, Geoshape:
		var points []Point
		for _, part := range strings.Split(strings.TrimSuffix(trimmed, ";"), ";") {
			p, ok := point(strings.TrimSpace(part))
			if !ok {
				return text, "not a line of positions"
			}
			points = append(points, p)
		}
		return points, ""
	case Select:
		if !r.offered(field, trimmed) {
			return trimmed, "not one of the choices"
		}
		return trimmed, ""
	case SelectMultiple, Rank:
		values := strings.Fields(trimmed)
		for _, v := range values {
			if !r.offered(field, v) {
				return values, "not one of the choices: " + clip(v)
			}
		}
		return values, ""
	case Binary, Barcode, Trigger:
		return trimmed, ""
	}
	return text, ""
}

// offered tells whether a value is among a select's choices; where these are in a file or made of other answers, all values are.
func (r *reader) offered(field *Field, value string) bool {
	set, ok := r.choices[field]
	if !ok {
		for _, c := range r.form.Choices(field) {
			if set == nil {
				set = map[string]bool{}
			}
			set[c.Value] = true
		}
		if field.External != "" {
			set = nil
		}
		r.choices[field] = set
	}
	return set == nil || set[value]
}

// plainNumber keeps out what Go reads as a number and the field does not: hexadecimal, underscores, Inf, NaN.
func plainNumber(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' {
			return false
		}
	}
	return s != ""
}

func decimal(s string) (float64, bool) {
	if !plainNumber(s) {
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil && !math.IsInf(n, 0)
}

var dateTimes = []string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z07", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05",
	"2006-01-02T15:04Z07:00", "2006-01-02T15:04Z07", "2006-01-02T15:04", "2006-01-02",
}

// timed checks a date or time and keeps it as it was written: what zone a phone meant is part of the answer. (Go reads fractions of
// seconds after any layout that has seconds.)
func timed(s, problem string, layouts ...string) (any, string) {
	for _, layout := range layouts {
		if _, err := time.Parse(layout, s); err == nil {
			return s, ""
		}
	}
	return s, problem
}

// point reads "lat lon altitude accuracy"; the last two may be missing.
func point(s string) (Point, bool) {
	parts := strings.Fields(s)
	if len(parts) < 2 || len(parts) > 4 {
		return Point{}, false
	}
	var n [4]float64
	for i, part := range parts {
		v, ok := decimal(part)
		if !ok {
			return Point{}, false
		}
		n[i] = v
	}
	if math.Abs(n[0]) > 90 || math.Abs(n[1]) > 180 {
		return Point{}, false
	}
	p := Point{Lat: n[0], Lon: n[1]}
	if len(parts) > 2 {
		p.Altitude = &n[2]
	}
	if len(parts) > 3 {
		p.Accuracy = &n[3]
	}
	return p, true
}
