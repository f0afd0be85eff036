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
	Pair  Rate // one target from one address
	From  Rate // one address, whatever it tries
	Who   Rate // one target from anywhere, except from places that are known for it
	Known Rate // one target from one known device or session
	Most  int  // tries in a row of one target from all unknown places, or from one known: then it is closed to them; 0: no end
}

// Throttle slows guessing without locking anybody out: a guesser fills the
// buckets of his own address for one target, and closes it at most for places
// that are unknown; the owner comes from a known device, which no guesser can
// take part in. It is in memory and forgets when full buckets are swept. It is
// safe for concurrent use.
type Throttle struct {
	limits Limits
	now    func() time.Time

	mu      sync.Mutex
	buckets map[string]*rate.Limiter
	trusted map[string]time.Time // pairs that have succeeded, and when
	told    map[string]time.Time // refusals that have been reported, and when
	tries   map[string]int       // in a row, by target and place
}

const (
	maxBuckets  = 100_000
	trustFor    = 30 * 24 * time.Hour
	reportEvery = 15 * time.Minute
	closedFor   = time.Hour // what is said, to try again; only a success opens
)

// NewThrottle makes one.
func NewThrottle(now func() time.Time, limits Limits) *Throttle {
	t := &Throttle{limits: limits, now: now}
	t.clear()
	return t
}

func (t *Throttle) clear() {
	t.buckets, t.trusted, t.told, t.tries = map[string]*rate.Limiter{}, map[string]time.Time{}, map[string]time.Time{}, map[string]int{}
}

// Taken is the answer to an attempt.
type Taken struct {
	Wait   time.Duration // 0: it may go on
	Report bool          // the first refusal in a while
	Closed bool          // refused because of too many tries in a row, not of their rate
	Known  bool          // the place is known for the target
}

// Take takes one attempt on a target from an address. wait is 0 when it may go
// on, else how long to wait. report is true for the first refusal in a while.
func (t *Throttle) Take(who, from string) (wait time.Duration, report bool) {
	is := t.TakeAs(who, from, "")
	return is.Wait, is.Report
}

// TakeAs is Take from a known device or session of the target ("": unknown). That
// counts by itself, whatever the address.
func (t *Throttle) TakeAs(who, from, known string) Taken {
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
	is := Taken{Known: true}
	row := "pair\x00" + pair
	parts := []part{{row, t.limits.Pair}, {"from\x00" + from, t.limits.From}}
	switch {
	case known != "":
		row = "known\x00" + who + "\x00" + known
		parts = []part{{row, t.limits.Known}}
	case now.Sub(t.trusted[pair]) > trustFor:
		is.Known = false
		row = "who\x00" + who
		parts = append(parts, part{row, t.limits.Who})
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
		is.Wait = max(is.Wait, r.DelayFrom(now))
	}
	if t.limits.Most > 0 && t.tries[row] >= t.limits.Most {
		is.Wait, is.Closed = max(is.Wait, closedFor), true
	}
	if is.Wait == 0 {
		if t.limits.Most > 0 {
			t.tries[row]++
		}
		return is
	}
	for _, r := range taken { // a refused attempt costs nothing: the wait does not grow
		r.CancelAt(now)
	}
	is.Report = t.first(now, pair)
	return is
}

// first is true for the first of its kind in a while.
func (t *Throttle) first(now time.Time, what string) bool {
	if now.Sub(t.told[what]) <= reportEvery {
		return false
	}
	t.told[what] = now
	return true
}

// Note tells whether a failure of a target from an address is the first in a while.
func (t *Throttle) Note(who, from string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.first(t.now(), "failed\x00"+who+"\x00"+netaddr.Prefix(from))
}

// Succeeded empties the target's bucket for the address and trusts the pair.
func (t *Throttle) Succeeded(who, from string) { t.SucceededAs(who, from, "") }

// SucceededAs is Succeeded from a known device. The target is open again for all.
func (t *Throttle) SucceededAs(who, from, known string) {
	pair := who + "\x00" + netaddr.Prefix(from)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.buckets, "pair\x00"+pair)
	for _, row := range []string{"pair\x00" + pair, "who\x00" + who, "known\x00" + who + "\x00" + known} {
		delete(t.tries, row)
	}
	t.trusted[pair] = t.now()
}

// sweep keeps the memory bounded: buckets that are full again say nothing.
func (t *Throttle) sweep(now time.Time) {
	if len(t.buckets) < maxBuckets && len(t.trusted) < maxBuckets && len(t.told) < maxBuckets && len(t.tries) < maxBuckets {
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
	for row, n := range t.tries {
		if n < 10 {
			delete(t.tries, row)
		}
	}
	if len(t.buckets) >= maxBuckets || len(t.tries) >= maxBuckets || len(t.trusted) >= maxBuckets || len(t.told) >= maxBuckets {
		t.clear() // a flood from very many addresses: forget rather than grow
	}
}
