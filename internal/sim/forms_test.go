package sim

import (
	"testing"

	"github.com/qanat-water/qanat/internal/field/form"
)

func TestForms(t *testing.T) {
	for _, tt := range []struct {
		xml []byte
		id  string
	}{{WaterPointForm, WaterPointID}, {HouseholdForm, HouseholdID}} {
		f, err := form.Parse(tt.xml)
		if err != nil {
			t.Errorf("%s: %v", tt.id, err)
			continue
		}
		if f.ID != tt.id || len(f.Languages) != 2 || len(f.Warnings) > 0 {
			t.Errorf("%s: read as %s with languages %v and warnings %v", tt.id, f.ID, f.Languages, f.Warnings)
		}
	}
}
