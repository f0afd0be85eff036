// Package site holds sites: water points, households, schools, tanks and every
// other place that work is done at, with their types and their import.
//
// It guarantees that a site's code is unique on the server, carries a check
// digit, and is never given twice; that properties have the type that the site's
// type says, and unknown ones are refused with their place; that a location is
// on Earth, and 0/0 only when somebody says it is meant; and that an import is
// one act that can be undone as one, whatever interrupts it.
//
// Limits: 500 properties of 10,000 characters; 50 photos; an import of 64 MiB
// and 500,000 rows. Points of more than 300,000 sites are cut off.
//
// Who controls it changes sites within the rights that people/access gives.
package site

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/org"
)

// Privacy of a site: what everyone may.
const (
	Public    = "public"    // see, edit, attach responses
	Protected = "protected" // see, attach responses
	Private   = "private"   // nothing
)

// Status of a site.
const (
	Functional    = "functional"
	Partly        = "partly"
	NotFunctional = "not_functional"
	Unknown       = "unknown"
)

// Site is a place.
type Site struct {
	Code       string         `json:"code" required:"false" doc:"running number and check digit; given by the server when empty"`
	Type       string         `json:"type" doc:"key of a site type, for example water_point"`
	Name       string         `json:"name"`
	Branch     string         `json:"branch" doc:"the branch that manages it"`
	Privacy    string         `json:"privacy" required:"false" enum:"public,protected,private" doc:"when empty, that of the organization's sharing policy: protected unless it says otherwise"`
	Location   *Location      `json:"location,omitempty"`
	Status     string         `json:"status,omitempty" enum:",functional,partly,not_functional,unknown"`
	Properties map[string]any `json:"properties,omitempty" doc:"by the site's type; dates as YYYY-MM-DD"`
	Photos     []File         `json:"photos,omitempty"`
}

// Location is a position in WGS 84.
type Location struct {
	Lat       float64  `json:"lat" doc:"degrees north"`
	Lon       float64  `json:"lon" doc:"degrees east"`
	Accuracy  *float64 `json:"accuracy,omitempty" doc:"metres"`
	Confirmed bool     `json:"confirmed,omitempty" doc:"latitude 0 and longitude 0 are really meant"`
}

// File is a photo or document of a site.
type File struct {
	Name string `json:"name"`
	Blob string `json:"blob" doc:"SHA-256 of the content"`
	Type string `json:"type" doc:"media type"`
	Size int64  `json:"size" doc:"bytes"`
}

// Sites is the noun of sites.
var Sites = ledger.Noun[Site]{
	Name: "site",
	Blobs: func(s Site) []string {
		var named []string
		for _, f := range s.Photos {
			named = append(named, f.Blob)
		}
		return named
	},
	Table: &ledger.Table[Site]{
		Columns: []ledger.Column{
			{Name: "code", Type: ledger.Text}, {Name: "number", Type: ledger.Integer}, {Name: "type", Type: ledger.Text},
			{Name: "name", Type: ledger.Text}, {Name: "sortname", Type: ledger.Text}, {Name: "branch", Type: ledger.Text},
			{Name: "privacy", Type: ledger.Text}, {Name: "status", Type: ledger.Text}, {Name: "lat", Type: ledger.Real},
			{Name: "lon", Type: ledger.Real}, {Name: "changed", Type: ledger.Integer},
		},
		Unique:  [][]string{{"code"}},
		Indexes: [][]string{{"org", "sortname", "id"}, {"org", "number"}, {"branch", "org", "privacy"}, {"org", "privacy", "branch"}}, // the last two answer what may be seen
		Row:     row,
	},
}

func init() { Sites.Check = check }

func row(d ledger.Doc[Site]) []any {
	s := d.Body
	var lat, lon any
	if s.Location != nil {
		lat, lon = s.Location.Lat, s.Location.Lon
	}
	return []any{s.Code, number(s.Code), s.Type, s.Name, strings.ToLower(s.Name), s.Branch, s.Privacy, s.Status, lat, lon, d.Changed.UnixMilli()}
}

// Thing is a site as access sees it.
func Thing(d ledger.Doc[Site]) access.Thing {
	name := d.Body.Code
	if d.Body.Name != "" {
		name = d.Body.Name + " (" + d.Body.Code + ")"
	}
	return access.Thing{Kind: "site", ID: d.ID, Org: d.Org, Branch: d.Body.Branch, Privacy: d.Body.Privacy, Type: d.Body.Type, Name: name}
}

var _ = access.Register(&Sites, access.Columns{Branch: "branch", Word: "privacy", Type: "type"}, func(_ *ledger.Reader, d ledger.Doc[Site]) (access.Thing, error) {
	return Thing(d), nil
})

// Nouns are the nouns of this package, for ledger.Config.
func Nouns() []ledger.Kind { return []ledger.Kind{&Sites, &Types, &Counters, &Imports} }

// check is the rule for every write of a site.
func check(tx *ledger.Tx, before, after *ledger.Doc[Site]) error {
	if after == nil {
		return nil
	}
	s := after.Body
	if before != nil && before.Body.Code != s.Code {
		return fault.New(fault.Invalid, "site.code.fixed", "A site keeps its code").At("/code", "changed", "leave it as it is")
	}
	problems := s.problems()
	if before == nil || before.Body.Branch != s.Branch {
		if err := org.InOrg(tx.Reader, after.Org, s.Branch); err != nil {
			return err
		}
	}
	var had map[string]any
	if before != nil && before.Body.Type == s.Type {
		had = before.Body.Properties
	}
	of, err := typeOf(tx.Reader, after.Org, s.Type, s.Properties)
	if err != nil {
		return err
	}
	if of == nil {
		problems = append(problems, fault.Detail{Place: "/type", Message: fmt.Sprintf("no site type %.60q", s.Type), Mend: "choose one of the organization's site types"})
	} else {
		problems = append(problems, of.problems(s.Properties, had)...)
	}
	if len(problems) > 0 {
		e := fault.New(fault.Invalid, "site.invalid", "This site has something wrong in it")
		e.Details = problems
		return e
	}
	return nil
}

const (
	maxName       = 200
	maxProperties = 500
	maxPhotos     = 50
	maxText       = 10_000 // characters of one property
)

var blobName = regexp.MustCompile(`^[0-9a-f]{64}$`)

// problems is all that is wrong with a site by itself.
func (s Site) problems() []fault.Detail {
	var found []fault.Detail
	say := func(place, message, mend string) {
		found = append(found, fault.Detail{Place: place, Message: message, Mend: mend})
	}
	if !ValidCode(s.Code) {
		say("/code", fmt.Sprintf("%.40q is no site code", s.Code), "check the digits: the last one is computed from the others")
	}
	if utf8.RuneCountInString(s.Name) > maxName || !utf8.ValidString(s.Name) || strings.ContainsFunc(s.Name, unicode.IsControl) {
		say("/name", fmt.Sprintf("longer than %d characters, or not plain text", maxName), "shorten it")
	}
	if !slices.Contains([]string{Public, Protected, Private}, s.Privacy) {
		say("/privacy", fmt.Sprintf("%.20q is no privacy", s.Privacy), "public, protected or private")
	}
	if !slices.Contains([]string{"", Functional, Partly, NotFunctional, Unknown}, s.Status) {
		say("/status", fmt.Sprintf("%.20q is no status", s.Status), "functional, partly, not_functional or unknown")
	}
	if len(s.Properties) > maxProperties {
		say("/properties", fmt.Sprintf("more than %d", maxProperties), "leave some out")
	}
	if len(s.Photos) > maxPhotos {
		say("/photos", fmt.Sprintf("more than %d", maxPhotos), "leave some out")
	}
	for i, f := range s.Photos {
		if !blobName.MatchString(f.Blob) {
			say(fmt.Sprintf("/photos/%d/blob", i), "no name of a file", "send the file first, and name it as the answer does")
		}
		if f.Name == "" || len(f.Name) > 255 || strings.ContainsAny(f.Name, "/\\\x00\r\n") || !utf8.ValidString(f.Name) {
			say(fmt.Sprintf("/photos/%d/name", i), "missing, too long, or with signs that a file name cannot have", "give it a plain name")
		}
	}
	if s.Location != nil {
		found = append(found, s.Location.problems("/location")...)
	}
	return found
}

// problems of a location. A coordinate that cannot be is nearly always one that
// was swapped, mistyped, or left at zero by a device without a fix.
func (l Location) problems(place string) []fault.Detail {
	var found []fault.Detail
	say := func(at, message, mend string) {
		found = append(found, fault.Detail{Place: place + at, Message: message, Mend: mend})
	}
	bad := func(v, limit float64) bool { return math.IsNaN(v) || v < -limit || v > limit }
	latBad, lonBad := bad(l.Lat, 90), bad(l.Lon, 180)
	switch {
	case latBad && !bad(l.Lat, 180) && !bad(l.Lon, 90):
		say("/lat", fmt.Sprintf("latitude %g is not between -90 and 90", l.Lat), "latitude and longitude look swapped")
	case latBad:
		say("/lat", fmt.Sprintf("latitude %g is not between -90 and 90", l.Lat), "write degrees, with a minus sign in the south")
	}
	if lonBad {
		say("/lon", fmt.Sprintf("longitude %g is not between -180 and 180", l.Lon), "write degrees, with a minus sign in the west")
	}
	if !latBad && !lonBad && math.Abs(l.Lat) < 1e-6 && math.Abs(l.Lon) < 1e-6 && !l.Confirmed {
		say("", "latitude 0 and longitude 0 is in the sea off Ghana, and what a phone without a fix writes", "leave the location out, or confirm it")
	}
	if l.Accuracy != nil && (math.IsNaN(*l.Accuracy) || *l.Accuracy < 0 || *l.Accuracy > 1e6) {
		say("/accuracy", "not a number of metres", "leave it out")
	}
	return found
}

// dateOf reads a date as properties keep it.
func dateOf(text string) bool {
	_, err := time.Parse(time.DateOnly, text)
	return err == nil
}

// numberOf reads a JSON number, however it was decoded.
func numberOf(v any) (float64, bool) {
	switch n := v.(type) {
	case float64:
		return n, !math.IsNaN(n) && !math.IsInf(n, 0)
	case int:
		return float64(n), true
	case int64:
		return float64(n), true
	case json.Number:
		f, err := n.Float64()
		return f, err == nil
	}
	return 0, false
}
