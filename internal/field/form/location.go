package form

import "encoding/json"

// Location finds the position in answers that went through JSON: the first asked for, else the first recorded without asking.
func Location(f *Form, answers map[string]any) *Point {
	if p := locate(f.Fields, answers, false); p != nil {
		return p
	}
	return locate(f.Fields, answers, true)
}

func locate(fields []Field, answers map[string]any, hidden bool) *Point {
	for i := range fields {
		field := &fields[i]
		value, answered := answers[field.Name]
		if !answered {
			continue
		}
		var inside []any
		switch v := value.(type) {
		case map[string]any:
			inside = []any{v}
		case []any:
			inside = v
		case Point:
			if field.Type == Geopoint && field.Hidden == hidden {
				return &v
			}
		}
		if field.Type == Geopoint && field.Hidden == hidden && len(inside) == 1 {
			if p, ok := pointOf(inside[0]); ok {
				return p
			}
		}
		for _, one := range inside {
			if group, ok := one.(map[string]any); ok && len(field.Fields) > 0 {
				if p := locate(field.Fields, group, hidden); p != nil {
					return p
				}
			}
		}
	}
	return nil
}

func pointOf(value any) (*Point, bool) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, false
	}
	var p struct {
		Lat, Lon           *float64
		Altitude, Accuracy *float64
	}
	if json.Unmarshal(text, &p) != nil || p.Lat == nil || p.Lon == nil || *p.Lat < -90 || *p.Lat > 90 || *p.Lon < -180 || *p.Lon > 180 {
		return nil, false
	}
	return &Point{Lat: *p.Lat, Lon: *p.Lon, Altitude: p.Altitude, Accuracy: p.Accuracy}, true
}
