package site

import (
	"slices"
	"strings"
)

// The built-in types. Properties of water points are named as the Water Point
// Data Exchange (WPdx) names its attributes, so that data comes from and goes to
// it without a dictionary; what it lacks stands at the end.

func text(key, label string) Property    { return Property{Key: key, Label: label, Type: Text} }
func date(key, label string) Property    { return Property{Key: key, Label: label, Type: Date} }
func boolean(key, label string) Property { return Property{Key: key, Label: label, Type: Boolean} }

func count(key, label string) Property {
	zero := 0.0
	return Property{Key: key, Label: label, Type: Integer, Min: &zero}
}

func measure(key, label, unit string) Property {
	zero := 0.0
	return Property{Key: key, Label: label, Type: Number, Unit: unit, Min: &zero}
}

func year(key, label string) Property {
	from, to := 1800.0, 2100.0
	return Property{Key: key, Label: label, Type: Integer, Min: &from, Max: &to}
}

// choice takes labels; a value is its label in small letters with _ between words.
func choice(key, label string, labels ...string) Property {
	p := Property{Key: key, Label: label, Type: Select}
	for _, l := range labels {
		p.Choices = append(p.Choices, Choice{Value: slug(l), Label: l})
	}
	return p
}

var unaccent = strings.NewReplacer("à", "a", "á", "a", "â", "a", "ã", "a", "ä", "a", "å", "a", "ç", "c", "è", "e", "é", "e", "ê", "e", "ë", "e",
	"ì", "i", "í", "i", "î", "i", "ï", "i", "ñ", "n", "ò", "o", "ó", "o", "ô", "o", "õ", "o", "ö", "o", "ù", "u", "ú", "u", "û", "u", "ü", "u", "ß", "ss", "œ", "oe")

// slug is a text as a key: small letters without accents, digits and _.
func slug(s string) string {
	var b strings.Builder
	gap := false
	for _, r := range unaccent.Replace(strings.ToLower(s)) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			if gap && b.Len() > 0 {
				b.WriteByte('_')
			}
			gap = false
			b.WriteRune(r)
		} else {
			gap = true
		}
	}
	return b.String()
}

var place = []Property{
	text("country_name", "Country"), text("adm1", "Region"), text("adm2", "District"), text("adm3", "Ward"), text("adm4", "Village"),
}

var provenance = []Property{
	date("report_date", "Date of the report"), text("source", "Source of the data"), text("photo_lnk", "Photo link"), text("notes", "Notes"),
}

func properties(groups ...[]Property) []Property { return slices.Concat(groups...) }

var builtIn = []Type{
	{"water_point", "Water point", properties([]Property{
		choice("water_source", "Water source", "Borehole", "Tubewell", "Protected well", "Unprotected well", "Protected spring", "Unprotected spring",
			"Rainwater harvesting", "Surface water", "Sand or sub-surface dam", "Piped water", "Delivered water", "Packaged water", "Other"),
		text("water_tech", "Technology"),
		choice("status_id", "Water available on the day of the visit", "Yes", "No", "Unknown"),
		text("status_detail", "Status in the words of the source"),
		year("install_year", "Year of installation"), text("installer", "Installer"),
		year("rehab_year", "Year of rehabilitation"), text("rehabilitator", "Rehabilitator"),
		choice("management", "Management", "Community management", "Direct government", "Private operator", "Institutional management", "Household", "Other", "None"),
		text("pay", "Payment"),
		choice("facility_type", "Facility type", "Improved", "Unimproved", "No facilities"),
		text("subjective_quality", "Quality as people see it"),
		count("served_population", "People served"), count("served_households", "Households served"),
		choice("fecal_coliform_presence", "Faecal coliforms", "Present", "Absent"), measure("fecal_coliform_value", "Faecal coliforms, count", "CFU/100 mL"),
		text("water_point_id", "Identifier in another register"), text("activity_id", "Activity identifier"), text("scheme_id", "Water scheme"),
		text("orig_lnk", "Link to the original"), text("data_lnk", "Link to the data"),
		measure("depth", "Depth", "m"), measure("yield", "Yield", "L/min"),
		count("max_roundtrip_minutes", "Round trip, longest, minutes"), count("max_distance_metres", "Distance, longest, metres"),
	}, place, provenance)},
	{"household", "Household", properties([]Property{
		text("head_of_household", "Head of the household"), count("people", "People"), count("children_under_5", "Children under 5"),
		choice("drinking_water_source", "Drinking water from", "Piped into dwelling", "Piped to yard", "Public tap", "Borehole", "Protected well", "Unprotected well",
			"Protected spring", "Unprotected spring", "Rainwater", "Delivered water", "Packaged water", "Surface water", "Other"),
		choice("sanitation", "Sanitation", "Flush toilet", "Improved latrine", "Unimproved latrine", "Open defecation", "Other"),
		boolean("handwashing", "Handwashing place with soap and water"), text("meter_number", "Meter number"),
	}, place, provenance)},
	{"community", "Community", properties([]Property{
		count("people", "People"), count("households", "Households"), boolean("open_defecation_free", "Open defecation free"),
		boolean("water_committee", "Has a water committee"), text("contact", "Contact"),
	}, place, provenance)},
	{"school", "School", properties([]Property{
		choice("level", "Level", "Pre-school", "Primary", "Secondary", "Vocational", "Other"), count("pupils", "Pupils"), count("teachers", "Teachers"),
		choice("water_service", "Water service", "Basic", "Limited", "None"), count("latrines_girls", "Latrines for girls"), count("latrines_boys", "Latrines for boys"),
		boolean("handwashing", "Handwashing place with soap and water"),
	}, place, provenance)},
	{"health_facility", "Health facility", properties([]Property{
		choice("level", "Level", "Health post", "Health centre", "District hospital", "Referral hospital", "Other"), count("beds", "Beds"), count("patients_per_day", "Patients a day"),
		choice("water_service", "Water service", "Basic", "Limited", "None"), choice("sanitation_service", "Sanitation service", "Basic", "Limited", "None"),
		boolean("handwashing", "Handwashing at points of care"), boolean("electricity", "Has electricity"),
	}, place, provenance)},
	{"storage_tank", "Storage tank", properties([]Property{
		measure("volume", "Volume", "m³"), measure("height", "Height of the stand", "m"),
		choice("material", "Material", "Plastic", "Concrete", "Masonry", "Steel", "Ferro-cement", "Other"), year("install_year", "Year of installation"),
		boolean("covered", "Covered"), boolean("chlorinated", "Chlorinated"), text("scheme_id", "Water scheme"),
	}, place, provenance)},
	{"treatment_plant", "Treatment plant", properties([]Property{
		choice("treats", "Treats", "Drinking water", "Wastewater", "Faecal sludge"), measure("capacity", "Capacity", "m³/day"),
		text("process", "Process"), year("install_year", "Year of installation"), text("operator", "Operator"), count("served_population", "People served"),
	}, place, provenance)},
	{"pipe_network_node", "Pipe network node", properties([]Property{
		choice("node", "Kind of node", "Junction", "Valve", "Meter", "Hydrant", "Air valve", "Washout", "Connection", "Pump"), measure("diameter", "Diameter", "mm"),
		measure("elevation", "Elevation", "m"), text("scheme_id", "Water scheme"), text("meter_number", "Meter number"), year("install_year", "Year of installation"),
	}, place, provenance)},
	{"pump_station", "Pump station", properties([]Property{
		choice("power", "Power", "Grid", "Solar", "Diesel", "Wind", "Hybrid", "Other"), measure("rated_power", "Rated power", "kW"), measure("rated_flow", "Rated flow", "m³/h"),
		measure("rated_head", "Rated head", "m"), year("install_year", "Year of installation"), text("operator", "Operator"), text("scheme_id", "Water scheme"),
	}, place, provenance)},
	{"water_kiosk", "Water kiosk", properties([]Property{
		text("operator", "Operator"), text("opening_hours", "Opening hours"), text("pay", "Price"), count("taps", "Taps"), count("served_population", "People served"),
		text("scheme_id", "Water scheme"), year("install_year", "Year of installation"),
	}, place, provenance)},
	{"sanitation_facility", "Sanitation facility", properties([]Property{
		choice("kind", "Kind", "Public toilet", "School latrine", "Household latrine", "Shower block", "Handwashing station"), count("stalls", "Stalls"),
		boolean("separate_for_women", "Separate for women"), boolean("accessible", "Accessible"), year("install_year", "Year of installation"),
	}, place, provenance)},
	{"building", "Building", properties([]Property{
		text("use", "Use"), count("floors", "Floors"), count("people", "People"), text("meter_number", "Meter number"), text("owner", "Owner"),
	}, place, provenance)},
	{"surface_water", "Surface water", properties([]Property{
		choice("kind", "Kind", "River", "Stream", "Lake", "Pond", "Reservoir", "Canal", "Spring"), text("gauge", "Gauge"), measure("catchment", "Catchment", "km²"),
	}, place, provenance)},
}

// BuiltIn finds a built-in type; nil when there is none of that key.
func BuiltIn(key string) *Type {
	if i := slices.IndexFunc(builtIn, func(t Type) bool { return t.Key == key }); i >= 0 {
		return &builtIn[i]
	}
	return nil
}
