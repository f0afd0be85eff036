// Package guard stands between the doors and the data: limits now, inspection
// and behaviour later.
//
// A Rate guarantees that one key (an address, an account) gets no more than its
// rate and burst, in bounded memory whatever arrives: when there are too many
// keys the ones that are full again are forgotten first, and if none is, a new
// key is treated as one that has used its burst. It is in memory, each process
// counts for itself.
//
// Who controls this package lifts limits; he gains no right.
package guard

import (
	"sync"
	"time"
)

// Rate limits keys with the generic cell rate algorithm (ITU-T I.371): per key
// it keeps only the time at which the key will be free of debt.
type Rate struct {
	every time.Duration // one token
	burst time.Duration // debt allowed
	most  int
	now   func() time.Time

	mu    sync.Mutex
	until map[string]time.Time
}

// NewRate allows perSecond on average and burst at once, for at most keys keys.
func NewRate(perSecond float64, burst, keys int) *Rate {
	every := time.Duration(float64(time.Second) / perSecond)
	return &Rate{every: every, burst: every * time.Duration(burst), most: keys, now: time.Now, until: map[string]time.Time{}}
}

// Allow takes a token of a key, or tells how long to wait for one.
func (r *Rate) Allow(key string) (ok bool, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	until, known := r.until[key]
	if !known && len(r.until) >= r.most {
		r.forget(now)
		if len(r.until) >= r.most {
			return false, r.every
		}
	}
	if until.Before(now) {
		until = now
	}
	if debt := until.Add(r.every).Sub(now); debt > r.burst {
		return false, debt - r.burst
	}
	r.until[key] = until.Add(r.every)
	return true, 0
}

func (r *Rate) forget(now time.Time) {
	for key, until := range r.until {
		if until.Before(now) {
			delete(r.until, key)
		}
	}
}
