package ledger

import "sync"

// watchers are told of what was committed by this process.
type watchers struct {
	mu  sync.Mutex
	fns map[int]func([]Entry)
	seq int
}

// Watch calls fn with the entries of every commit of this process, in order,
// before the writers get their answer. fn must be quick and must not write.
func (l *Ledger) Watch(fn func([]Entry)) (stop func()) {
	w := &l.heard
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fns == nil {
		w.fns = map[int]func([]Entry){}
	}
	w.seq++
	key := w.seq
	w.fns[key] = fn
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.fns, key)
	}
}

func (w *watchers) tell(changes []*change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.fns) == 0 || len(changes) == 0 {
		return
	}
	entries := make([]Entry, len(changes))
	for i, c := range changes {
		entries[i] = c.entry
	}
	for _, fn := range w.fns {
		fn(entries)
	}
}
