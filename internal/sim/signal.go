package sim

import (
	"fmt"
	"math"
	"time"
)

// Channel is one quantity that a model measures.
type Channel struct{ Key, Name, Unit string }

// Model is a kind of device.
type Model struct {
	Name     string
	Kind     string // of the node it stands at; "": a water point
	What     string // what it is called: "Flow sensor"
	Channels []Channel
	Every    time.Duration // between readings of the past; a live demo is quicker
	Number   int           // in a whole demo
}

// Models are the kinds of devices.
var Models = []Model{
	{"Pulse HP-2", "", "Flow sensor", []Channel{{"flow", "Flow", "L/min"}, {"volume", "Volume pumped", "m³"}, {"strokes", "Strokes", "1/min"}}, 20 * time.Minute, 18},
	{"LevelEye 4", Tank, "Level sensor", []Channel{{"level", "Water level", "m"}, {"temperature", "Water temperature", "°C"}}, 10 * time.Minute, 6},
	{"Bourdon P16", Pipe, "Pressure logger", []Channel{{"pressure", "Pressure", "bar"}}, 10 * time.Minute, 7},
	{"Woltman WM50", Pipe, "Meter", []Channel{{"flow", "Flow", "m³/h"}, {"volume", "Volume", "m³"}}, 10 * time.Minute, 6},
	{"ChloroSense", Pump, "Chlorine sensor", []Channel{{"chlorine", "Free chlorine", "mg/L"}, {"turbidity", "Turbidity", "NTU"}, {"temperature", "Water temperature", "°C"}}, 15 * time.Minute, 3},
}

// Trouble is what is wrong with a device or its place.
type Trouble string

// Troubles.
const (
	Well   Trouble = ""
	Leak   Trouble = "leak"   // water flows when everybody sleeps
	Stuck  Trouble = "stuck"  // the same value for more than a day
	Silent Trouble = "silent" // nothing comes any more
)

// Signal is what a device measures: the same at the same time, whenever asked.
type Signal struct {
	Model   int
	Seed    uint64
	Trouble Trouble
	Since   time.Time // of the trouble
}

const catOffset = 2 * 60 * 60 // seconds; Malawi has no summer time

// pumping and using are shares of a day's water by hour of the day.
var (
	pumping = [24]float64{0, 0, 0, 0, 0.3, 1.9, 3.2, 2.8, 1.8, 1.2, 1, 0.9, 0.9, 0.8, 1, 1.5, 2.4, 2.3, 1.2, 0.5, 0.2, 0.1, 0, 0}
	using   = [24]float64{0.25, 0.2, 0.18, 0.2, 0.5, 1.3, 1.9, 1.8, 1.5, 1.2, 1.1, 1.1, 1.2, 1.1, 1, 1.1, 1.4, 1.7, 1.6, 1.2, 0.9, 0.6, 0.4, 0.3}
)

// hash is a number between -1 and 1 that depends on its arguments alone.
func (s Signal) hash(salt uint64, n int64) float64 {
	x := s.Seed*0x9e3779b97f4a7c15 ^ salt*0xbf58476d1ce4e5b9 ^ uint64(n)*0x94d049bb133111eb // #nosec G115 -- bits only
	x ^= x >> 31
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	return float64(x>>11)/(1<<52) - 1
}

// noise wanders between -1 and 1, with a new aim every period.
func (s Signal) noise(salt uint64, t time.Time, period time.Duration) float64 {
	at := float64(t.UnixMilli()) / float64(period.Milliseconds())
	n := math.Floor(at)
	f := at - n
	f = f * f * (3 - 2*f)
	return s.hash(salt, int64(n))*(1-f) + s.hash(salt, int64(n)+1)*f
}

// clockHour is the hour of the day in Malawi, with its fraction, and the day's number.
func clockHour(t time.Time) (hour float64, day int64) {
	seconds := t.Unix() + catOffset
	day = seconds / 86400
	return float64(seconds%86400)/3600 + float64(t.Nanosecond())/3.6e12, day
}

// share is a profile at an hour, drawn as straight lines between full hours.
func share(profile *[24]float64, hour float64) float64 {
	i := int(hour) % 24
	f := hour - math.Floor(hour)
	return profile[i]*(1-f) + profile[(i+1)%24]*f
}

// upTo is the area below a profile up to an hour, in full days.
func upTo(profile *[24]float64, hour float64) float64 {
	area, whole := 0.0, 0.0
	for i := range 24 {
		step := (profile[i] + profile[(i+1)%24]) / 2
		whole += step
		switch f := hour - float64(i); {
		case f >= 1:
			area += step
		case f > 0:
			area += f * (profile[i] + share(profile, float64(i)+f)) / 2
		}
	}
	return area / whole
}

// total is how much has been used since the counter was at zero, with a day's use that differs from day to day.
func (s Signal) total(profile *[24]float64, daily float64, t time.Time) float64 {
	const since = 20270 // day number: July 2025
	hour, day := clockHour(t)
	sum := (1000 + 500*s.hash(40, 0)) * daily / 10
	for d := int64(since); d < day; d++ {
		sum += daily * (1 + 0.12*s.hash(41, d))
	}
	return sum + daily*(1+0.12*s.hash(41, day))*upTo(profile, hour)
}

// rate is the use per hour at a time: the slope of total.
func (s Signal) rate(profile *[24]float64, daily float64, t time.Time) float64 {
	hour, day := clockHour(t)
	mean := 0.0
	for _, v := range profile {
		mean += v
	}
	return daily * (1 + 0.12*s.hash(41, day)) * share(profile, hour) / mean
}

// At measures all channels. false: there is nothing, because the device is silent.
func (s Signal) At(t time.Time) (map[string]float64, bool) {
	troubled := s.Trouble != Well && t.After(s.Since)
	if troubled && s.Trouble == Silent {
		return nil, false
	}
	if troubled && s.Trouble == Stuck {
		t = s.Since
	}
	hour, _ := clockHour(t)
	v := map[string]float64{}
	own := 1 + 0.35*s.hash(1, 0)
	switch Models[s.Model].Channels[0].Key + Models[s.Model].Kind {
	case "flow": // a handpump
		daily := 4.2 * own // m³
		rate := s.rate(&pumping, daily, t)
		flow := rate * 1000 / 60 * (1 + 0.3*s.noise(2, t, 7*time.Minute))
		if flow < 0.4 {
			flow = 0 // nobody is there
		}
		v["flow"], v["strokes"], v["volume"] = round(flow, 1), math.Round(flow*2.6), round(s.total(&pumping, daily, t), 3)
	case "flow" + Pipe: // a meter at the inlet of a part of the town
		daily := 140 * own
		rate, sum := s.rate(&using, daily, t)*(1+0.06*s.noise(2, t, 4*time.Minute)), s.total(&using, daily, t)
		if troubled && s.Trouble == Leak {
			leak := daily / 24 * 0.9
			rate += leak * (1 + 0.04*s.noise(7, t, 20*time.Minute))
			sum += leak * t.Sub(s.Since).Hours()
		}
		v["flow"], v["volume"] = round(rate, 2), round(sum, 2)
	case "level" + Tank:
		level := 2.1 + 0.9*math.Sin((hour-1)*math.Pi/12) - 0.35*math.Sin((hour-4)*math.Pi/6) + 0.12*s.noise(2, t, 50*time.Minute) + 0.3*s.hash(5, 0)
		v["level"] = round(math.Max(level, 0.15), 3)
		v["temperature"] = round(23+1.8*math.Sin((hour-9)*math.Pi/12)+0.4*s.noise(4, t, 6*time.Hour), 1)
	case "pressure" + Pipe:
		v["pressure"] = round(math.Max(3.6*own-1.1*share(&using, hour)+0.08*s.noise(2, t, 3*time.Minute)+0.06*s.noise(6, t, 40*time.Minute), 0.2), 2)
	case "chlorine" + Pump:
		v["chlorine"] = round(math.Max(0.55+0.12*s.noise(2, t, 3*time.Hour)+0.04*s.noise(6, t, 20*time.Minute)-0.05*share(&using, hour), 0), 2)
		v["turbidity"] = round(1.1+0.5*s.noise(4, t, 7*time.Hour)+0.15*s.noise(7, t, 15*time.Minute), 2)
		v["temperature"] = round(22.5+1.2*math.Sin((hour-10)*math.Pi/12)+0.3*s.noise(8, t, 5*time.Hour), 1)
	}
	return v, true
}

// Battery is the voltage of the device's battery, which it tells of itself.
func (s Signal) Battery(t time.Time) float64 {
	return round(3.58+0.05*s.hash(3, 0)+0.02*s.noise(4, t, 9*time.Hour), 2)
}

// Over measures from a time to another, at the model's pace; the first is after from.
func (s Signal) Over(from, to time.Time) (all []Readings) {
	every := Models[s.Model].Every
	for t := from.Truncate(every).Add(every); t.Before(to); t = t.Add(every) {
		if v, ok := s.At(t); ok {
			all = append(all, Readings{t.UnixMilli(), v})
		}
	}
	return all
}

func round(v float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(v*p) / p
}

// Serial is the number on the n-th device of a model.
func (m Model) Serial(n int) string {
	return fmt.Sprintf("%s-%04d", map[string]string{"Pulse HP-2": "HP2", "LevelEye 4": "LE4", "Bourdon P16": "P16", "Woltman WM50": "WM50", "ChloroSense": "CS1"}[m.Name], 3107+n*13)
}
