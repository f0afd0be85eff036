package account

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/qanat-water/qanat/internal/base/netaddr"
)

// Rate is a token bucket: Burst at once, then one every Every. Zero: no limit.
type Rate struct {
	Burst int
	Every time.Duration
}

// Limits are the buckets of a Throttle.
type Limits struct {
	Pair Rate // one target from one address
	From Rate // one address, whatever it tries
	Who  Rate // one target from anywhere, except from addresses where it has succeeded
}

// Throttle slows guessing without locking anybody out: a guesser fills the
// bucket of his own address for one target, and the owner comes from another.
// It is in memory and forgets when full buckets are swept. It is safe for
// concurrent use.
type Throttle struct {
	limits Limits
	now    func() time.Time

	mu      sync.Mutex
	buckets map[string]*rate.Limiter
	trusted map[string]time.Time // pairs that have succeeded, and when
	told    map[string]time.Time // refusals that have been reported, and when
}

const (
	maxBuckets  = 100_000
	trustFor    = 30 * 24 * time.Hour
	reportEvery = 15 * time.Minute
)

// NewThrottle makes one.
func NewThrottle(now func() time.Time, limits Limits) *Throttle {
	t := &Throttle{limits: limits, now: now}
	t.clear()
	return t
}

func (t *Throttle) clear() {
	t.buckets, t.trusted, t.told = map[string]*rate.Limiter{}, map[string]time.Time{}, map[string]time.Time{}
}

// Take takes one attempt on a target from an address. wait is 0 when it may go
// on, else how long to wait. report is true for the first refusal in a while.
func (t *Throttle) Take(who, from string) (wait time.Duration, report bool) {
	from = netaddr.Prefix(from)
	pair := who + "\x00" + from
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	type part struct {
		key  string
		rate Rate
	}
	parts := []part{{"pair\x00" + pair, t.limits.Pair}, {"from\x00" + from, t.limits.From}}
	if now.Sub(t.trusted[pair]) > trustFor {
		parts = append(parts, part{"who\x00" + who, t.limits.Who})
	}
	var taken []*rate.Reservation
	for _, p := range parts {
		if p.rate.Burst == 0 {
			continue
		}
		b := t.buckets[p.key]
		if b == nil {
			b = rate.NewLimiter(rate.Every(p.rate.Every), p.rate.Burst)
			t.buckets[p.key] = b
		}
		r := b.ReserveN(now, 1)
		taken = append(taken, r)
		wait = max(wait, r.DelayFrom(now))
	}
	if wait == 0 {
		return 0, false
	}
	for _, r := range taken { // a refused attempt costs nothing: the wait does not grow
		r.CancelAt(now)
	}
	if now.Sub(t.told[pair]) > reportEvery {
		t.told[pair] = now
		report = true
	}
	return wait, report
}

// Succeeded empties the target's bucket for the address and trusts the pair.
func (t *Throttle) Succeeded(who, from string) {
	pair := who + "\x00" + netaddr.Prefix(from)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.buckets, "pair\x00"+pair)
	t.trusted[pair] = t.now()
}

// sweep keeps the memory bounded: buckets that are full again say nothing.
func (t *Throttle) sweep(now time.Time) {
	if len(t.buckets) < maxBuckets && len(t.trusted) < maxBuckets && len(t.told) < maxBuckets {
		return
	}
	for key, b := range t.buckets {
		if b.TokensAt(now) >= float64(b.Burst()) {
			delete(t.buckets, key)
		}
	}
	for pair, at := range t.told {
		if now.Sub(at) > reportEvery {
			delete(t.told, pair)
		}
	}
	for pair, at := range t.trusted {
		if now.Sub(at) > trustFor {
			delete(t.trusted, pair)
		}
	}
	if len(t.buckets) >= maxBuckets || len(t.trusted) >= maxBuckets || len(t.told) >= maxBuckets {
		t.clear() // a flood from very many addresses: forget rather than grow
	}
}
