package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
)

// Kinds of nodes: keys of built-in site types.
const (
	Tank   = "storage_tank"
	Pump   = "pump_station"
	Pipe   = "pipe_network_node"
	Kiosk  = "water_kiosk"
	School = "school"
)

// Kinds are the kinds of nodes, in the order in which they are built.
var Kinds = []string{Pump, Tank, Pipe, Kiosk, School}

// Node is a part of the town's water supply, or a school that it serves.
type Node struct {
	Kind, Name, Status string
	Lat, Lon           float64
	Properties         map[string]string // column -> cell
}

const scheme = "Nkhwali Town Water"

// network is a town of streets, with two wellfields, tanks on the hill, and
// meters where a district of the town begins.
func network(r *rand.Rand, n int) []Node {
	size := 1.0
	if n < 500 {
		size = 0.5 // a small district has a small town
	}
	count := func(full int) int { return max(2, int(math.Round(float64(full)*size))) }
	var nodes []Node
	add := func(kind, name string, at place, properties map[string]string) {
		status := Functional
		if r.Float64() < 0.06 {
			status = Partly
		}
		nodes = append(nodes, Node{Kind: kind, Name: name, Status: status, Lat: at.lat(), Lon: at.lon(), Properties: properties})
	}
	river, hill := place{-1.3, 0.9}, place{1.1, 1.4}
	for i := range count(4) {
		add(Pump, fmt.Sprintf("Pump station %d", i+1), place{river.x + 0.22*float64(i) + 0.05*r.NormFloat64(), river.y + 0.12*r.NormFloat64()},
			map[string]string{"power": []string{"Grid", "Solar", "Hybrid"}[i%3], "rated_power": float(5.5 + 2*float64(i)), "rated_flow": float(18 + 4*float64(i)), "scheme_id": scheme, "operator": scheme})
	}
	for i := range count(7) {
		add(Tank, []string{"Hill tank", "Hospital tank", "Market tank", "Mission tank", "Station tank", "School tank", "Boma tank"}[i], place{hill.x - 0.45*float64(i) + 0.1*r.NormFloat64(), hill.y - 0.3*float64(i) + 0.15*r.NormFloat64()},
			map[string]string{"volume": strconv.Itoa([]int{250, 100, 50, 50, 100, 25, 50}[i]), "material": []string{"Concrete", "Steel", "Plastic"}[i%3], "install_year": strconv.Itoa(1998 + 4*i), "scheme_id": scheme})
	}
	step := 0
	for s, street := range streets[:count(8)] {
		angle := float64(s) * math.Pi / 8
		for i := range count(8) {
			out := (float64(i) - 3.4) * 0.19
			at := place{out*math.Cos(angle) - 0.1*math.Sin(angle) + 0.012*r.NormFloat64(), out*math.Sin(angle) + 0.1*math.Cos(angle) + 0.012*r.NormFloat64()}
			kind := []string{"Junction", "Valve", "Meter", "Junction", "Connection", "Hydrant", "Meter", "Washout"}[i%8]
			step++
			cells := map[string]string{"node": kind, "diameter": strconv.Itoa([]int{50, 63, 90, 110}[step%4]), "scheme_id": scheme, "install_year": strconv.Itoa(1996 + step%28)}
			if kind == "Meter" {
				cells["meter_number"] = fmt.Sprintf("NTW-%05d", 20311+7*step)
			}
			add(Pipe, fmt.Sprintf("%s, %s %d", street, kind, i+1), at, cells)
		}
	}
	for i := range count(16) {
		angle := 2 * math.Pi * float64(i) / 16
		reach := 0.5 + 0.5*r.Float64()
		add(Kiosk, fmt.Sprintf("Kiosk %d", i+1), place{reach * math.Cos(angle), reach * math.Sin(angle)},
			map[string]string{"taps": strconv.Itoa(2 + i%3), "pay": "50 kwacha a bucket", "scheme_id": scheme, "install_year": strconv.Itoa(2006 + i), "opening_hours": "5:30-18:00"})
	}
	for i := range count(10) {
		angle := 2*math.Pi*float64(i)/10 + 0.2
		reach := 0.35 + 1.1*r.Float64()
		add(School, villageNames[(i*7)%len(villageNames)]+" Primary School", place{reach * math.Cos(angle), reach * math.Sin(angle)},
			map[string]string{"level": "Primary", "pupils": strconv.Itoa(300 + 37*i), "teachers": strconv.Itoa(6 + i), "water_service": []string{"Basic", "Limited", "None"}[i%3]})
	}
	return nodes
}

// NetworkCSV is the nodes of a kind as a sheet.
func (d *District) NetworkCSV(kind string) []byte {
	columns := map[string][]string{
		Pump: {"power", "rated_power", "rated_flow", "scheme_id", "operator"}, Tank: {"volume", "material", "install_year", "scheme_id"},
		Pipe: {"node", "diameter", "scheme_id", "install_year", "meter_number"}, Kiosk: {"taps", "pay", "scheme_id", "install_year", "opening_hours"},
		School: {"level", "pupils", "teachers", "water_service"},
	}[kind]
	rows := [][]string{append([]string{"name", "lat", "lon", "status"}, columns...)}
	for _, n := range d.Network {
		if n.Kind != kind {
			continue
		}
		row := []string{n.Name, float(n.Lat), float(n.Lon), n.Status}
		for _, c := range columns {
			row = append(row, n.Properties[c])
		}
		rows = append(rows, row)
	}
	return sheet(rows)
}
