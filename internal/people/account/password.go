package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/qanat-water/qanat/internal/base/fault"
)

// The cost of a password hash: RFC 9106 with 64 MiB, 3 passes and 1 lane.
const (
	hashMemory = 64 << 10 // KiB
	hashPasses = 3
	hashLanes  = 1
	saltSize   = 16
	sumSize    = 32

	minPassword   = 8   // beside a second factor, which is asked of everybody before anything may be done
	alonePassword = 15  // of an account that has no second factor of its own: its organization signs it in
	maxPassword   = 512 // bytes

	hashWait  = 5 * time.Second // how long a sign-in waits for its turn
	hashQueue = 64              // how many wait
	tidyAfter = 2 * time.Second // from a hash to giving its memory back
)

// Hashed is a password that has passed the rules and can be kept.
type Hashed struct{ phc string }

// hasher runs as many hashes at once as there are cores: a flood of sign-ins
// takes neither the memory nor all the time of the others.
type hasher struct {
	memory uint32
	turns  chan struct{}
	queue  chan struct{}
	spent  atomic.Int64 // memory times passes of all hashes, in KiB
	tidy   atomic.Bool  // memory will be given back soon
}

// sum runs argon2id.
func (h *hasher) sum(password string, c phcParts, size int) []byte {
	h.spent.Add(int64(c.memory) * int64(c.passes))
	defer h.giveBack()
	return argon2.IDKey([]byte(password), c.salt, c.passes, c.memory, c.lanes, uint32(size)) // #nosec G115 -- parsePHC bounds it
}

// giveBack returns the memory of hashes to the system a little later. It would
// stay with the process for minutes otherwise: more than all the rest uses.
func (h *hasher) giveBack() {
	if h.tidy.CompareAndSwap(false, true) {
		time.AfterFunc(tidyAfter, func() {
			h.tidy.Store(false)
			debug.FreeOSMemory()
		})
	}
}

func newHasher(memory uint32) *hasher {
	if memory == 0 {
		memory = hashMemory
	}
	return &hasher{memory: memory, turns: make(chan struct{}, runtime.NumCPU()), queue: make(chan struct{}, hashQueue)}
}

// turn waits for a core. done gives it back.
func (h *hasher) turn(ctx context.Context) (done func(), err error) {
	select {
	case h.queue <- struct{}{}:
	default:
		return nil, fault.New(fault.TooMany, "sign-in.busy", "Too many people are signing in at this moment").After(hashWait).WithMend("Try again in a few seconds")
	}
	defer func() { <-h.queue }()
	wait := time.NewTimer(hashWait)
	defer wait.Stop()
	select {
	case h.turns <- struct{}{}:
		return func() { <-h.turns }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-wait.C:
		return nil, fault.New(fault.Unavailable, "sign-in.busy", "The server is too busy to check a password").WithMend("Try again in a few seconds")
	}
}

// hash makes a PHC string.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	done, err := h.turn(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	salt := make([]byte, saltSize)
	rand.Read(salt)
	sum := h.sum(password, phcParts{memory: h.memory, passes: hashPasses, lanes: hashLanes, salt: salt}, sumSize)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, hashPasses, hashLanes,
		b64.EncodeToString(salt), b64.EncodeToString(sum)), nil
}

// verify compares a password with a PHC string. An empty one, of an unknown
// person or one without a password, costs the same time and is never right.
func (h *hasher) verify(ctx context.Context, password, phc string) (bool, error) {
	cost := phcParts{memory: h.memory, passes: hashPasses, lanes: hashLanes, salt: make([]byte, saltSize), sum: make([]byte, sumSize)}
	if phc != "" {
		var err error
		if cost, err = parsePHC(phc); err != nil {
			return false, err
		}
	}
	done, err := h.turn(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	sum := h.sum(password, cost, len(cost.sum))
	return subtle.ConstantTimeCompare(sum, cost.sum) == 1 && phc != "", nil
}

type phcParts struct {
	memory, passes uint32
	lanes          uint8
	salt, sum      []byte
}

func parsePHC(phc string) (phcParts, error) {
	var p phcParts
	var version int
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return p, fmt.Errorf("credential: not an argon2id PHC string")
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return p, fmt.Errorf("credential: argon2 version %q", parts[2])
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.passes, &p.lanes); err != nil {
		return p, fmt.Errorf("credential: argon2 cost %q", parts[3])
	}
	var err1, err2 error
	p.salt, err1 = base64.RawStdEncoding.DecodeString(parts[4])
	p.sum, err2 = base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(p.sum) < 16 || len(p.sum) > 64 || p.memory < 8 || p.memory > 1<<20 || p.passes < 1 || p.passes > 20 || p.lanes < 1 {
		return p, fmt.Errorf("credential: argon2 salt, sum or cost out of range")
	}
	return p, nil
}

// Hash checks a new password against the rules and hashes it. words are those
// that a guesser would try first: the person's name, the organization's. It
// takes a tenth of a second, so it is called before a transaction, not inside.
func (s *Service) Hash(ctx context.Context, password, email string, words ...string) (Hashed, error) {
	if err := checkPassword(password, append([]string{email, s.server}, words...), minPassword); err != nil {
		return Hashed{}, err
	}
	phc, err := s.hasher.hash(ctx, password)
	return Hashed{phc}, err
}

// checkPassword holds the rules: long enough, and not what a guesser tries
// first. There are no rules of composition and no expiry.
func checkPassword(password string, context []string, least int) error {
	refuse := func(code, message, mend string) error {
		return fault.New(fault.Invalid, "password."+code, message).At("/password", message, mend)
	}
	switch {
	case !utf8.ValidString(password):
		return refuse("text", "The password is not text", "type it with a keyboard")
	case utf8.RuneCountInString(password) < least:
		return refuse("short", fmt.Sprintf("A password has at least %d characters", least), "take four or five unrelated words")
	case len(password) > maxPassword:
		return refuse("long", fmt.Sprintf("A password has at most %d bytes", maxPassword), "take a shorter one")
	case isLeaked(password), isCommon(password, append(context, "qanat")):
		return refuse("common", "This password is among the first that a guesser tries", "take four or five unrelated words, without your own or the organization's name")
	}
	return nil
}
