package guard

import "sync"

// Slots bounds how many costly things happen at once, in all and for one key, so
// that one person cannot take all the room.
type Slots struct {
	all, each int

	mu    sync.Mutex
	taken int
	by    map[string]int
}

// NewSlots allows all at once, and each for one key.
func NewSlots(all, each int) *Slots { return &Slots{all: all, each: each, by: map[string]int{}} }

// Take takes a slot, which free gives back; ok is false when there is none.
func (s *Slots) Take(key string) (free func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken >= s.all || s.by[key] >= s.each {
		return nil, false
	}
	s.taken++
	s.by[key]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taken--
		if s.by[key]--; s.by[key] == 0 {
			delete(s.by, key)
		}
	}, true
}
