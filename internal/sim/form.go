package sim

import (
	_ "embed"
	"encoding/xml"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// The forms that the phones fill in, of our own making.
const (
	WaterPointID = "water_point_visit"
	HouseholdID  = "household_water_quality"
)

// WaterPointForm is a visit to a water point, in English and Chichewa.
//
//go:embed forms/water_point_visit.xml
var WaterPointForm []byte

// HouseholdForm is a household's water and its quality, in English and French.
//
//go:embed forms/household_water_quality.xml
var HouseholdForm []byte

// Filled is a filled-in form, as it waits on a phone.
type Filled struct {
	XML    []byte
	Photo  string // name of the photo; "": none
	JPEG   []byte
	Status string // that a visit found
}

// Place is a water point on an enumerator's list.
type Place struct {
	Code, Name, Status string
	Lat, Lon           float64
}

// sheetXML writes the elements of a submission.
type sheetXML struct{ strings.Builder }

func (s *sheetXML) leaf(name, value string) {
	if value == "" {
		fmt.Fprintf(s, "<%s/>", name)
		return
	}
	fmt.Fprintf(s, "<%s>", name)
	_ = xml.EscapeText(s, []byte(value)) // a builder takes everything
	fmt.Fprintf(s, "</%s>", name)
}

func (s *sheetXML) group(name string, inside func()) {
	fmt.Fprintf(s, "<%s>", name)
	inside()
	fmt.Fprintf(s, "</%s>", name)
}

// fill writes a submission as ODK Collect does.
func fill(form, version, device, instance, title string, began, ended time.Time, answers func(*sheetXML)) []byte {
	const stamp = "2006-01-02T15:04:05.000-07:00"
	malawi := time.FixedZone("CAT", catOffset)
	began, ended = began.In(malawi), ended.In(malawi)
	s := &sheetXML{}
	fmt.Fprintf(s, `<?xml version='1.0' ?><data id=%q version=%q xmlns:jr="http://openrosa.org/javarosa" xmlns:orx="http://openrosa.org/xforms">`, form, version)
	s.leaf("start", began.Format(stamp))
	s.leaf("end", ended.Format(stamp))
	s.leaf("today", ended.Format(time.DateOnly))
	s.leaf("deviceid", device)
	answers(s)
	s.group("meta", func() { s.leaf("instanceID", instance); s.leaf("instanceName", title) })
	s.WriteString("</data>")
	return []byte(s.String())
}

// newUUID is a random (version 4) UUID that a seed gives again.
func newUUID(r *rand.Rand) string {
	a, b := r.Uint64(), r.Uint64()
	a = a&^0xf000 | 0x4000
	b = b&^(3<<62) | 1<<63
	return fmt.Sprintf("uuid:%08x-%04x-%04x-%04x-%012x", a>>32, a>>16&0xffff, a&0xffff, b>>48, b&0xffffffffffff)
}

// gps is a position as a phone finds it: off by its accuracy.
func gps(r *rand.Rand, lat, lon float64) string {
	accuracy := 3 + r.ExpFloat64()*3
	lat += r.NormFloat64() * accuracy / 3 / 110_650
	lon += r.NormFloat64() * accuracy / 3 / 107_120
	return fmt.Sprintf("%.7f %.7f %.1f %.2f", lat, lon, 700+r.Float64()*300, accuracy)
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// some picks each of the choices with a chance, and one when it would be none.
func some(r *rand.Rand, chance float64, from ...string) string {
	var some []string
	for _, c := range from {
		if r.Float64() < chance {
			some = append(some, c)
		}
	}
	if len(some) == 0 {
		some = []string{pick(r, from...)}
	}
	return strings.Join(some, " ")
}

func decimals(v float64, n int) string {
	return strconv.FormatFloat(math.Max(v, 0), 'f', n, 64)
}

// Visit fills in a visit to a water point, ended at a time, with a version of the form.
func Visit(r *rand.Rand, version, device string, to Place, ended time.Time) Filled {
	status := to.Status
	if r.Float64() < 0.25 || status == Unknown || status == "" { // things have changed since
		status = pick(r, Functional, Functional, Partly, NotFunctional)
	}
	began := ended.Add(-time.Duration(6+r.IntN(14)) * time.Minute)
	f := Filled{Photo: strconv.FormatInt(began.UnixMilli(), 10) + ".jpg", JPEG: Photo(r, status), Status: status}
	f.XML = fill(WaterPointID, version, device, newUUID(r), to.Code+" "+status, began, ended, func(s *sheetXML) {
		s.leaf("site_code", to.Code)
		s.leaf("location", gps(r, to.Lat, to.Lon))
		s.leaf("status", status)
		s.group("water", func() {
			flow, strokes, taste := "", "", ""
			if status != NotFunctional {
				share := 1.0
				if status == Partly {
					share = 0.4
				}
				flow, strokes, taste = decimals(14*share+2.5*r.NormFloat64(), 1), strconv.Itoa(1+r.IntN(12)), pick(r, "good", "good", "good", "salty", "iron")
			}
			s.leaf("flow", flow)
			s.leaf("strokes", strokes)
			s.leaf("taste", taste)
		})
		s.leaf("photo", f.Photo)
		s.leaf("surroundings", some(r, 0.3, "apron_cracked", "drain_blocked", "no_fence", "animals", "rubbish"))
		if status != Functional {
			for range 1 + r.IntN(3) {
				what := pick(r, []string{"rods", "A rod has come apart under the fourth pipe."}, []string{"seals", "Seals are worn; water runs back."}, []string{"handle", "Handle moves sideways, bearing is gone."},
					[]string{"pipes", "Rising main leaks at a joint."}, []string{"well", "Low water since the dry season."}, []string{"tap", "Tap does not close."})
				s.group("problem", func() {
					s.leaf("part", what[0])
					s.leaf("what", what[1])
					s.leaf("since", ended.AddDate(0, 0, -r.IntN(200)).Format(time.DateOnly))
					s.leaf("cost", strconv.Itoa(5000*(1+r.IntN(30))))
				})
			}
		}
		committee := pick(r, "yes", "yes", "yes", "no")
		s.group("people", func() {
			s.leaf("households", strconv.Itoa(8+r.IntN(90)))
			s.leaf("committee", committee)
			pays := ""
			if committee == "yes" {
				pays = some(r, 0.4, "repairs", "caretaker", "savings")
			}
			s.leaf("pays_for", pays)
		})
		s.leaf("remarks", pick(r, remarks...))
	})
	return f
}

// Household fills in a household's water quality near a place.
func Household(r *rand.Rand, version, device string, near Place, number int, ended time.Time) Filled {
	began := ended.Add(-time.Duration(15+r.IntN(25)) * time.Minute)
	f := Filled{Photo: strconv.FormatInt(began.UnixMilli(), 10) + ".jpg", JPEG: plate(r)}
	members := 2 + r.IntN(7)
	title := fmt.Sprintf("HH-%04d", number)
	f.XML = fill(HouseholdID, version, device, newUUID(r), "Household "+title, began, ended, func(s *sheetXML) {
		s.leaf("consent", "yes")
		s.group("household", func() {
			s.leaf("number", title)
			s.leaf("village", strings.TrimRight(near.Name, " 0123456789"))
			s.leaf("location", gps(r, near.Lat+0.002*r.NormFloat64(), near.Lon+0.002*r.NormFloat64()))
			s.leaf("members", strconv.Itoa(members))
			s.leaf("under_five", strconv.Itoa(r.IntN(min(3, members))))
		})
		treatment := pick(r, "nothing", "nothing", "boil", "chlorine", "chlorine settle")
		s.group("source", func() {
			s.leaf("main", pick(r, "borehole", "borehole", "borehole", "kiosk", "protected_well", "unprotected_well", "piped_yard", "river"))
			s.leaf("minutes", strconv.Itoa(5+int(r.ExpFloat64()*25)))
			s.leaf("treatment", treatment)
			s.leaf("container", pick(r, "narrow", "wide_covered", "wide_covered", "open"))
		})
		dirt := r.ExpFloat64()
		for i, from := range []string{"source", "container"} {
			s.group("sample", func() {
				s.leaf("taken_from", from)
				s.leaf("bottle", fmt.Sprintf("B%05d", number*10+i))
				chlorine := 0.0
				if strings.HasPrefix(treatment, "chlorine") && i == 1 {
					chlorine = 0.2 + 0.6*r.Float64()
				}
				s.leaf("free_chlorine", decimals(chlorine, 2))
				s.leaf("turbidity", decimals(0.6+3*dirt*r.Float64(), 1))
				count := int(dirt * 12 * float64(i+1) * r.Float64())
				if chlorine > 0 {
					count = 0
				}
				s.leaf("ecoli", strconv.Itoa(count))
			})
		}
		s.leaf("photo", f.Photo)
		s.leaf("remarks", pick(r, "", "", "Cup is dipped into the container.", "Fetched this morning.", "Somebody in the household had diarrhoea this week."))
	})
	return f
}
