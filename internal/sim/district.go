package sim

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
)

// Centre of the district, and how far a degree reaches there.
const (
	centreLat = -15.8
	centreLon = 35.0
	kmPerLat  = 110.65
	kmPerLon  = 107.12
	radius    = 27.0 // km, before the outline bends
)

// Status of a water point, as sites have it.
const (
	Functional    = "functional"
	Partly        = "partly"
	NotFunctional = "not_functional"
	Unknown       = "unknown"
)

// District is a rural district with a town.
type District struct {
	Name    string
	Town    string
	Areas   []string // traditional authorities, those of the north first
	North   int      // how many of Areas are northern
	Points  []Point  // water points of the villages
	Network []Node   // the town's piped network, schools apart
	outline []float64
}

// Point is a water point.
type Point struct {
	Name, Area, Village      string
	Area0                    int // index of Area
	Source, Tech, Management string
	Status, Pay, Installer   string
	Installed, Rehabilitated int // years; 0: never
	Households               int
	Depth, Yield             float64 // metres, litres a minute; 0: not known
	Lat, Lon                 float64
	Reported                 string // date
}

// place is a position in kilometres east and north of the centre.
type place struct{ x, y float64 }

func (p place) lat() float64 { return math.Round((centreLat+p.y/kmPerLat)*1e6) / 1e6 }
func (p place) lon() float64 { return math.Round((centreLon+p.x/kmPerLon)*1e6) / 1e6 }
func (p place) to(q place) float64 {
	return math.Hypot(p.x-q.x, p.y-q.y)
}

// line is a road or river.
type line []place

// at is the place and direction at a share of the line's points.
func (l line) at(share float64) (p, along place) {
	f := share * float64(len(l)-1)
	i := min(int(f), len(l)-2)
	a, b := l[i], l[i+1]
	t, length := f-float64(i), a.to(b)
	return place{a.x + t*(b.x-a.x), a.y + t*(b.y-a.y)}, place{(b.x - a.x) / length, (b.y - a.y) / length}
}

// wander draws a line from a to b that bends as roads and rivers do.
func wander(r *rand.Rand, a, b place, bend float64) line {
	const steps = 40
	length := a.to(b)
	nx, ny := -(b.y-a.y)/length, (b.x-a.x)/length
	p1, p2, p3 := r.Float64()*2*math.Pi, r.Float64()*2*math.Pi, r.Float64()*2*math.Pi
	var l line
	for i := range steps + 1 {
		t := float64(i) / steps
		fade := math.Sin(math.Pi * t) // it ends where it should
		off := fade * bend * (math.Sin(2*math.Pi*t*1.5+p1) + 0.5*math.Sin(2*math.Pi*t*4+p2) + 0.2*math.Sin(2*math.Pi*t*9+p3))
		l = append(l, place{a.x + t*(b.x-a.x) + nx*off, a.y + t*(b.y-a.y) + ny*off})
	}
	return l
}

// edge is how far the district reaches in a direction.
func (d *District) edge(angle float64) float64 {
	reach := 1.0
	for k := 0; k < len(d.outline); k += 2 {
		reach += d.outline[k] * math.Cos(float64(k/2+2)*angle+d.outline[k+1])
	}
	return radius * reach
}

func (d *District) inside(p place) bool {
	return math.Hypot(p.x, p.y) < d.edge(math.Atan2(p.y, p.x))
}

// Contains tells whether a position lies in the district.
func (d *District) Contains(lat, lon float64) bool {
	return d.inside(place{(lon - centreLon) * kmPerLon, (lat - centreLat) * kmPerLat})
}

// village is where people live.
type village struct {
	name   string
	area   int
	at     place
	along  place // of the road it stands at
	weight float64
}

// NewDistrict makes a district of n water points.
func NewDistrict(seed uint64, n int) *District {
	r := rand.New(rand.NewPCG(seed, 15800035)) // #nosec G404 -- a simulation, the same each time
	d := &District{Name: districtName, Town: townName, Areas: areaNames, North: 3}
	for k := range 4 {
		d.outline = append(d.outline, (0.13-0.025*float64(k))*r.Float64(), r.Float64()*2*math.Pi)
	}
	centres := d.centres(r)
	villages := d.villages(r, centres, d.lines(r, centres), max(6, n/9))
	d.Points = d.points(r, villages, n)
	d.Network = network(r, n)
	return d
}

// centres are the trading centres of the areas, the northern ones first.
func (d *District) centres(r *rand.Rand) []place {
	var centres []place
	for i := range d.Areas {
		angle := (float64(i)+0.5)*2*math.Pi/float64(len(d.Areas)) + 0.25*(r.Float64()-0.5)
		reach := d.edge(angle) * (0.5 + 0.12*r.Float64())
		centres = append(centres, place{reach * math.Cos(angle), reach * math.Sin(angle)})
	}
	return centres
}

// lines are roads, then rivers.
func (d *District) lines(r *rand.Rand, centres []place) (lines []line) {
	end := func(angle, share float64) place {
		reach := d.edge(angle) * share
		return place{reach * math.Cos(angle), reach * math.Sin(angle)}
	}
	town := place{}
	lines = append(lines, wander(r, end(1.75, 0.97), town, 1.6), wander(r, town, end(-1.2, 0.97), 1.6)) // the trunk road
	for i, c := range centres {
		lines = append(lines, wander(r, town, c, 1.2))
		outward := math.Atan2(c.y, c.x)
		for range 2 { // tracks beyond the trading centre
			lines = append(lines, wander(r, c, end(outward+0.9*(r.Float64()-0.5), 0.93), 0.9))
		}
		lines = append(lines, wander(r, c, centres[(i+1)%len(centres)], 1.5))
	}
	lines = append(lines, wander(r, end(2.6, 0.95), end(-0.5, 0.95), 2.5), wander(r, end(0.6, 0.95), end(-2.3, 0.95), 2.8))
	return lines
}

func (d *District) villages(r *rand.Rand, centres []place, lines []line, n int) []village {
	var all []village
	apart := math.Min(1.1, 0.55*math.Sqrt(math.Pi*radius*radius/float64(n)))
	for try := 0; len(all) < n && try < 200*n; try++ {
		at, along := lines[r.IntN(len(lines))].at(r.Float64())
		off := 0.55 * r.NormFloat64()
		if try < len(centres) { // every area has a trading centre
			at, off = centres[try], 0
		}
		if try >= len(centres) && r.Float64() < 0.2 { // some live far from the road
			off = 2.4 * r.NormFloat64()
		}
		v := village{at: place{at.x - along.y*off, at.y + along.x*off}, along: along, weight: math.Exp(0.55 * r.NormFloat64())}
		if !d.inside(place{v.at.x * 1.06, v.at.y * 1.06}) || math.Hypot(v.at.x, v.at.y) < 1.5 { // in the town there are pipes
			continue
		}
		near, free := math.Inf(1), true
		for i, c := range centres {
			if dist := c.to(v.at); dist < near {
				near, v.area = dist, i
			}
		}
		for _, o := range all {
			free = free && o.at.to(v.at) > apart
		}
		if !free {
			continue
		}
		if near < 1.5 {
			v.weight *= 1.8 // a trading centre
		}
		round := len(all) / len(villageNames)
		v.name = villageNames[len(all)%len(villageNames)]
		if round > 0 {
			v.name += " " + []string{"II", "III", "IV", "V", "VI", "VII", "VIII"}[(round-1)%7]
		}
		all = append(all, v)
	}
	return all
}

// near keeps points apart: nobody drills two boreholes side by side.
type near map[[2]int][]place

const cell = 0.2 // km

func (g near) free(p place, apart float64) bool {
	x, y := int(math.Floor(p.x/cell)), int(math.Floor(p.y/cell))
	for dx := -1; dx <= 1; dx++ {
		for dy := -1; dy <= 1; dy++ {
			for _, q := range g[[2]int{x + dx, y + dy}] {
				if p.to(q) < apart {
					return false
				}
			}
		}
	}
	return true
}

func (g near) add(p place) {
	k := [2]int{int(math.Floor(p.x / cell)), int(math.Floor(p.y / cell))}
	g[k] = append(g[k], p)
}

func (d *District) points(r *rand.Rand, villages []village, n int) []Point {
	total := 0.0
	for _, v := range villages {
		total += v.weight
	}
	taken, names := near{}, map[string]int{}
	var points []Point
	for len(points) < n {
		pick := r.Float64() * total
		v := villages[len(villages)-1]
		for _, o := range villages {
			if pick -= o.weight; pick < 0 {
				v = o
				break
			}
		}
		spread := 0.28 + 0.12*v.weight
		a, b := r.NormFloat64()*spread, r.NormFloat64()*spread*0.5 // villages lie along the road
		at := place{v.at.x + v.along.x*a - v.along.y*b, v.at.y + v.along.y*a + v.along.x*b}
		if !d.inside(at) || !taken.free(at, 0.06) {
			continue
		}
		taken.add(at)
		points = append(points, d.point(r, v, at, names))
	}
	return points
}

var technologies = []struct {
	share              float64
	source, tech       string
	decay              float64 // of the chance to work, a year
	depth, yield, uses float64 // means
}{
	{0.56, "Borehole", "Afridev handpump", 0.013, 42, 15, 55},
	{0.08, "Borehole", "India Mark III handpump", 0.011, 46, 14, 60},
	{0.05, "Tubewell", "Malda handpump", 0.020, 14, 13, 30},
	{0.05, "Protected well", "Elephant pump", 0.022, 11, 12, 28},
	{0.06, "Protected well", "Windlass", 0.012, 9, 0, 20},
	{0.13, "Piped water", "Gravity-fed tap", 0.017, 0, 9, 24},
	{0.03, "Protected spring", "Spring box", 0.006, 0, 7, 26},
	{0.03, "Borehole", "Solar pump with kiosk", 0.020, 55, 40, 140},
	{0.01, "Unprotected well", "Rope and bucket", 0.004, 6, 0, 12},
}

func (d *District) point(r *rand.Rand, v village, at place, names map[string]int) Point {
	kind := technologies[len(technologies)-1]
	for pick, i := r.Float64(), 0; i < len(technologies); i++ {
		if pick -= technologies[i].share; pick < 0 {
			kind = technologies[i]
			break
		}
	}
	p := Point{Area: d.Areas[v.area], Area0: v.area, Village: v.name, Source: kind.source, Tech: kind.tech, Lat: at.lat(), Lon: at.lon(), Installer: installers[r.IntN(len(installers))]}
	p.Name = v.name
	if r.Float64() < 0.35 {
		p.Name += " " + landmarks[r.IntN(len(landmarks))]
	}
	if names[p.Name]++; names[p.Name] > 1 {
		p.Name += " " + strconv.Itoa(names[p.Name])
	}
	const now = 2025
	age := min(int(r.ExpFloat64()*11), 46)
	p.Installed = now - age
	if age > 12 && r.Float64() < 0.3 {
		p.Rehabilitated = now - r.IntN(10)
		age = now - p.Rehabilitated
	}
	switch chance := r.Float64(); {
	case chance < 0.02:
		p.Status = Unknown
	case chance < 0.88-kind.decay*float64(age):
		p.Status = Functional
	case r.Float64() < 0.42:
		p.Status = Partly
	default:
		p.Status = NotFunctional
	}
	p.Management = []string{"Community management", "Community management", "Community management", "Institutional management", "Direct government", "None"}[r.IntN(6)]
	p.Pay = []string{"Monthly, 500 kwacha a household", "Monthly, 300 kwacha a household", "When it breaks", "No payment", "50 kwacha a bucket"}[r.IntN(5)]
	if kind.yield < 20 && p.Pay == "50 kwacha a bucket" {
		p.Pay = "When it breaks"
	}
	p.Households = max(4, int(kind.uses*(1+0.35*r.NormFloat64())))
	if kind.depth > 0 {
		p.Depth = math.Round(math.Max(kind.depth*(1+0.2*r.NormFloat64()), 3)*10) / 10
	}
	if kind.yield > 0 && p.Status != NotFunctional {
		share := 1.0
		if p.Status == Partly {
			share = 0.4
		}
		p.Yield = math.Round(math.Max(kind.yield*share*(1+0.2*r.NormFloat64()), 1)*10) / 10
	}
	p.Reported = fmt.Sprintf("%d-%02d-%02d", now-r.IntN(2), 1+r.IntN(9), 1+r.IntN(28))
	return p
}

// CSV is the water points of some areas as a sheet with the column names of WPdx.
func (d *District) CSV(areas func(area int) bool) []byte {
	rows := [][]string{{"water_point_name", "lat_deg", "lon_deg", "status", "water_source", "water_tech", "install_year", "rehab_year", "installer", "management", "pay",
		"served_households", "depth", "yield", "country_name", "adm2", "adm3", "adm4", "report_date"}}
	for _, p := range d.Points {
		if !areas(p.Area0) {
			continue
		}
		rows = append(rows, []string{p.Name, float(p.Lat), float(p.Lon), p.Status, p.Source, p.Tech, year(p.Installed), year(p.Rehabilitated), p.Installer, p.Management, p.Pay,
			strconv.Itoa(p.Households), float(p.Depth), float(p.Yield), "Malawi", d.Name, p.Area, p.Village, p.Reported})
	}
	return sheet(rows)
}

func sheet(rows [][]string) []byte {
	var b bytes.Buffer
	_ = csv.NewWriter(&b).WriteAll(rows) // a buffer takes everything
	return b.Bytes()
}

// float writes a number; nothing for zero, which means not known.
func float(v float64) string {
	if v == 0 {
		return ""
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func year(y int) string {
	if y == 0 {
		return ""
	}
	return strconv.Itoa(y)
}
