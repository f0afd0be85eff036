package guard

import (
	"fmt"
	"testing"
	"time"
)

func TestRate(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	r := NewRate(2, 3, 4)
	r.now = func() time.Time { return now }
	for i, want := range []bool{true, true, true, false} {
		if ok, wait := r.Allow("a"); ok != want || ok != (wait == 0) {
			t.Errorf("request %d: %v, wait %s", i, ok, wait)
		}
	}
	now = now.Add(500 * time.Millisecond)
	if ok, _ := r.Allow("a"); !ok {
		t.Error("no token after its time")
	}
	for i := range 10 {
		r.Allow(fmt.Sprint("flood", i))
	}
	if len(r.until) > 4 {
		t.Errorf("%d keys kept, 4 allowed", len(r.until))
	}
	now = now.Add(time.Minute)
	if ok, _ := r.Allow("honest"); !ok {
		t.Error("a new key is refused although old ones can be forgotten")
	}
}

func TestSlots(t *testing.T) {
	s := NewSlots(3, 2)
	free, ok := s.Take("a")
	if !ok {
		t.Fatal("no slot in an empty room")
	}
	if _, ok := s.Take("a"); !ok {
		t.Error("no second slot of two")
	}
	if _, ok := s.Take("a"); ok {
		t.Error("a third slot of two")
	}
	if _, ok := s.Take("b"); !ok {
		t.Error("no slot for another")
	}
	if _, ok := s.Take("c"); ok {
		t.Error("a fourth slot of three")
	}
	free()
	if _, ok := s.Take("c"); !ok {
		t.Error("a free slot is not given")
	}
}
