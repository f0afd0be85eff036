package account

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/base/vault"
	"github.com/qanat-water/qanat/internal/ledger"
)

// The vectors of RFC 6238, appendix B, for SHA-1.
func TestTOTPVectors(t *testing.T) {
	seed := []byte("12345678901234567890")
	for at, want := range map[int64]string{59: "94287082", 1111111109: "07081804", 1111111111: "14050471", 1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130"} {
		if got := totpCode(seed, at/totpPeriod, 8); got != want {
			t.Errorf("at %d: %s, want %s", at, got, want)
		}
	}
	now := time.Unix(1111111111, 0)
	present := now.Unix() / totpPeriod
	for shift, ok := range map[int64]bool{-2: false, -1: true, 0: true, 1: true, 2: false} {
		got := totpStep(seed, totpCode(seed, present+shift, 6), now, 0)
		if (got == present+shift) != ok {
			t.Errorf("a code %d steps off: step %d, accepted should be %v", shift, got, ok)
		}
	}
	if totpStep(seed, totpCode(seed, present, 6), now, present) != 0 {
		t.Error("a code works twice")
	}
	if totpStep(seed, totpCode(seed, present-1, 6), now, present) != 0 {
		t.Error("an older code works after a newer one")
	}
}

func TestCommonPasswords(t *testing.T) {
	context := []string{"esther.phiri@water.example.org", "Esther Phiri", "Chikwawa Water Office"}
	for password, common := range map[string]bool{
		"password": true, "Password1!": true, "P@ssw0rd2026": true, "qwertyuiop": true, "1qaz2wsx": true, "12345678": true, "87654321": true, "abcdefgh": true,
		"aaaaaaaa": true, "abababab": true, "letmein123": true, "iloveyou2": true, "Malawi2026!": true, "waterpoint1": true, "qanat1234": true, "Qanat-2026": true,
		"esther1990": true, "EstherPhiri": true, "phiri2026": true, "chikwawa1": true, "passwordpassword": true, "monkeydragon": true, "changeme!!": true,
		"sorghum kettle nine": false, "correct clay lantern": false, "t7#Lq!vz": false, "nzeru-za-madzi-9": false, "kumbukani-mvula-yaikulu": false, "xkcd-lantern-barrel": false,
	} {
		if isCommon(password, context) != common {
			t.Errorf("%q: common is %v", password, !common)
		}
	}
	if n := len(commonWords()); n < 500 {
		t.Errorf("the list has only %d words", n)
	}
	for password, code := range map[string]string{"short7!": "password.short", strings.Repeat("x y", 200): "password.long", "\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8": "password.text", "Qanat-2026": "password.common"} {
		if err := checkPassword(password, []string{"Qanat"}, minPassword); err == nil || fault.From(err).Code != code {
			t.Errorf("%q: %v, want %s", password, err, code)
		}
	}
}

func TestPHC(t *testing.T) {
	h := newHasher(64)
	phc, err := h.hash(context.Background(), "sorghum")
	if err != nil || !strings.HasPrefix(phc, "$argon2id$v=19$m=64,t=3,p=1$") {
		t.Fatal(phc, err)
	}
	for password, want := range map[string]bool{"sorghum": true, "Sorghum": false, "": false} {
		if got, err := h.verify(context.Background(), password, phc); got != want || err != nil {
			t.Errorf("%q: %v, %v", password, got, err)
		}
	}
	if got, err := h.verify(context.Background(), "", ""); got || err != nil {
		t.Errorf("no password at all: %v, %v", got, err)
	}
	for _, bad := range []string{"x", "$argon2i$v=19$m=64,t=3,p=1$AAAA$AAAA", "$argon2id$v=19$m=4294967295,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", strings.Replace(phc, "t=3", "t=0", 1)} {
		if _, err := h.verify(context.Background(), "x", bad); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

// An unknown address and an account without a password cost the same hash as a
// wrong password: counted, because a busy machine cannot be timed.
func TestUnknownTakesAsLong(t *testing.T) {
	h := newHasher(64)
	phc, err := h.hash(context.Background(), "sorghum")
	if err != nil {
		t.Fatal(err)
	}
	for name, stored := range map[string]string{"wrong": phc, "unknown": ""} {
		before := h.spent.Load()
		if ok, err := h.verify(context.Background(), "wrong", stored); ok || err != nil {
			t.Fatal(name, ok, err)
		}
		if spent := h.spent.Load() - before; spent != 64*hashPasses {
			t.Errorf("%s costs %d KiB-passes, want %d", name, spent, 64*hashPasses)
		}
	}
}

// More sign-ins than cores wait; more than the queue are refused at once.
func TestHasherIsBounded(t *testing.T) {
	h := newHasher(64)
	for range cap(h.turns) {
		h.turns <- struct{}{}
	}
	var wait sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	for range hashQueue {
		wait.Go(func() { h.turn(ctx) })
	}
	for len(h.queue) < hashQueue {
		time.Sleep(time.Millisecond)
	}
	if _, err := h.hash(ctx, "sorghum"); fault.KindOf(err) != fault.TooMany {
		t.Errorf("one more than the queue: %v", err)
	}
	cancel()
	wait.Wait()
}

// A device cookie comes from anybody: what is not ours says nothing, and what we
// add to it stays short.
func FuzzDeviceCookie(f *testing.F) {
	v, err := vault.New([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		f.Fatal(err)
	}
	l, err := ledger.Open(context.Background(), ledger.Config{Store: storetest.SQLite(f)(), Vault: v, Nouns: Nouns(), Origin: "test.example/qanat"})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { l.Close() })
	s := New(Config{Ledger: l, Vault: v, HashMemory: 64})
	view := View{Account: Person{ID: "01a200f9-4555-7295-a9f3-86be5d3c3210"}}
	ours := s.DeviceCookie(view, "")
	for _, seed := range []string{"", ".", "....", ours, ours + "." + ours, strings.Repeat("A", 54), ours[:53] + "~"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cookie string) {
		next := s.DeviceCookie(view, cookie)
		if next == "" {
			if s.device("01a200f9-4555-7295-a9f3-86be5d3c3211", cookie) != "" {
				t.Fatalf("%q is known for another account too", cookie)
			}
			return
		}
		if len(next) > maxDeviceText || s.device(view.Account.ID, next) == "" {
			t.Fatalf("after %q the cookie is %q", cookie, next)
		}
	})
}

// The default cost is the promised one.
func BenchmarkHash(b *testing.B) {
	h := newHasher(0)
	for b.Loop() {
		if _, err := h.hash(context.Background(), "sorghum kettle nine"); err != nil {
			b.Fatal(err)
		}
	}
}
