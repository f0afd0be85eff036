package sim

import (
	"bytes"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/field/form"
)

// The same seed gives the same district, and another seed another.
func TestDistrictIsReproducible(t *testing.T) {
	a, b, c := NewDistrict(7, 400), NewDistrict(7, 400), NewDistrict(8, 400)
	if !reflect.DeepEqual(a, b) {
		t.Error("two districts of one seed differ")
	}
	if reflect.DeepEqual(a.Points, c.Points) {
		t.Error("districts of two seeds are the same")
	}
}

func TestDistrictIsPlausible(t *testing.T) {
	for _, n := range []int{50, 400, 2400, 6000} {
		d := NewDistrict(7, n)
		if len(d.Points) != n {
			t.Fatalf("%d points instead of %d", len(d.Points), n)
		}
		names, places, areas, status := map[string]bool{}, map[[2]float64]bool{}, map[int]int{}, map[string]int{}
		for _, p := range d.Points {
			if !d.Contains(p.Lat, p.Lon) {
				t.Errorf("%s at %f %f is outside", p.Name, p.Lat, p.Lon)
			}
			if names[p.Name] || places[[2]float64{p.Lat, p.Lon}] {
				t.Errorf("two points are called %s, or stand at %f %f", p.Name, p.Lat, p.Lon)
			}
			if p.Name == "" || p.Village == "" || p.Tech == "" || p.Installed < 1975 || p.Installed > 2025 || p.Rehabilitated != 0 && p.Rehabilitated < p.Installed {
				t.Errorf("%+v", p)
			}
			names[p.Name], places[[2]float64{p.Lat, p.Lon}] = true, true
			areas[p.Area0]++
			status[p.Status]++
		}
		if n < 400 {
			continue
		}
		if len(areas) != len(d.Areas) {
			t.Errorf("n=%d: only %d of %d areas have points", n, len(areas), len(d.Areas))
		}
		if share := float64(status[Functional]) / float64(n); share < 0.6 || share > 0.88 {
			t.Errorf("n=%d: %.0f%% of the points work: %v", n, 100*share, status)
		}
		if r := clustering(d); r > 0.75 {
			t.Errorf("n=%d: nearest neighbours are %.2f of what scattered points have: not clustered", n, r)
		}
	}
}

// clustering is the index of Clark and Evans: the mean distance to the nearest
// neighbour by what it would be were the points scattered evenly; 1 is scattered.
func clustering(d *District) float64 {
	sum := 0.0
	for i, p := range d.Points {
		best := math.Inf(1)
		for j, q := range d.Points {
			if i != j {
				best = math.Min(best, math.Hypot((p.Lat-q.Lat)*kmPerLat, (p.Lon-q.Lon)*kmPerLon))
			}
		}
		sum += best
	}
	n := float64(len(d.Points))
	return sum / n / (0.5 / math.Sqrt(n/(math.Pi*radius*radius)))
}

// What the phones fill in fits the forms: every answer has its question's type.
func TestFilledFormsFit(t *testing.T) {
	schemas := map[string]*form.Form{}
	for id, text := range map[string][]byte{WaterPointID: WaterPointForm, HouseholdID: HouseholdForm} {
		f, err := form.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		if f.ID != id || len(f.Languages) != 2 || len(f.Warnings) > 0 {
			t.Errorf("%s: read as %s with languages %v and warnings %v", id, f.ID, f.Languages, f.Warnings)
		}
		schemas[id] = f
	}
	r := rand.New(rand.NewPCG(1, 1))
	at := Place{Code: "10007", Name: "Kamundi", Status: Partly, Lat: -15.8, Lon: 35}
	for i := range 60 {
		filled, id := Visit(r, schemas[WaterPointID].Version, "collect:x", at, time.Now()), WaterPointID
		if i%2 == 1 {
			filled, id = Household(r, schemas[HouseholdID].Version, "collect:x", at, i, time.Now()), HouseholdID
		}
		in, err := form.ParseInstance(filled.XML)
		if err != nil {
			t.Fatalf("%v\n%s", err, filled.XML)
		}
		answered := form.Answers(schemas[id], in)
		if len(answered.Flags) > 0 || answered.Location == nil || len(answered.Files) != 1 || in.Derived {
			t.Errorf("flags %v, location %v, files %v\n%s", answered.Flags, answered.Location, answered.Files, filled.XML)
		}
		if _, err := jpeg.DecodeConfig(bytes.NewReader(filled.JPEG)); err != nil {
			t.Errorf("photo: %v", err)
		}
	}
}

func TestSignals(t *testing.T) {
	now := time.Date(2026, 3, 14, 10, 0, 0, 0, time.UTC)
	week := now.Add(-7 * 24 * time.Hour)
	for model, m := range Models {
		healthy := Signal{Model: model, Seed: 3}
		all := healthy.Over(week, now)
		if want := int(7 * 24 * time.Hour / m.Every); len(all) < want-1 || len(all) > want+1 {
			t.Errorf("%s: %d readings in a week", m.Name, len(all))
		}
		volume := 0.0
		for _, r := range all {
			if len(r.Values) != len(m.Channels) {
				t.Fatalf("%s measures %v", m.Name, r.Values)
			}
			for _, c := range m.Channels {
				if v, has := r.Values[c.Key]; !has || math.IsNaN(v) || v < 0 {
					t.Errorf("%s: %s is %v", m.Name, c.Key, r.Values)
				}
			}
			if v, counts := r.Values["volume"]; counts {
				if v < volume {
					t.Errorf("%s: the counter went back from %g to %g", m.Name, volume, v)
				}
				volume = v
			}
		}
		if again := healthy.Over(week, now); !reflect.DeepEqual(all, again) {
			t.Errorf("%s: measured again it is another week", m.Name)
		}
		troubled := Signal{Model: model, Seed: 3, Since: now.Add(-24 * time.Hour), Trouble: Silent}
		if late := troubled.Over(now.Add(-23*time.Hour), now); len(late) > 0 {
			t.Errorf("%s: silent, and yet it says %v", m.Name, late[0])
		}
		troubled.Trouble = Stuck
		first := m.Channels[0].Key
		a, _ := troubled.At(now.Add(-20 * time.Hour))
		b, _ := troubled.At(now.Add(-3 * time.Hour))
		if a[first] != b[first] {
			t.Errorf("%s: stuck, and yet %s went from %g to %g", m.Name, first, a[first], b[first])
		}
	}
	night := time.Date(2026, 3, 14, 0, 30, 0, 0, time.UTC) // half past two in Malawi
	meter := Signal{Model: 3, Seed: 3, Since: night.Add(-48 * time.Hour)}
	healthy, _ := meter.At(night)
	meter.Trouble = Leak
	if leaks, _ := meter.At(night); leaks["flow"] < 3*healthy["flow"] {
		t.Errorf("a leak gives %g at night, no leak %g", leaks["flow"], healthy["flow"])
	}
}

func BenchmarkPhoto(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	size := 0
	for b.Loop() {
		size = len(Photo(r, Functional))
	}
	b.ReportMetric(float64(size), "bytes")
}
