package blob_test

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// TestSweepTakesWhatNothingNames keeps what is named, and what was put, or put again, lately.
func TestSweepTakesWhatNothingNames(t *testing.T) {
	s, dir := open(t)
	put := func(content string) string {
		ref, err := s.Put(ctx, bytes.NewReader([]byte(content)), limit)
		if err != nil {
			t.Fatal(err)
		}
		return ref.Hash
	}
	named, gone := put("named"), put("named by nobody")
	sweep := func(age time.Duration, want int) {
		t.Helper()
		removed, err := s.Sweep(ctx, func(keep func(string)) error { keep(named); keep("no hash at all"); return nil }, age)
		if err != nil || removed != want {
			t.Errorf("%d removed, %v; want %d", removed, err, want)
		}
	}
	sweep(time.Hour, 0)
	if !s.Has(gone) {
		t.Fatal("what came just now was taken")
	}
	time.Sleep(20 * time.Millisecond)
	put("named by nobody") // somebody sends it again
	sweep(15*time.Millisecond, 0)
	time.Sleep(20 * time.Millisecond)
	sweep(15*time.Millisecond, 1)
	if s.Has(gone) || !s.Has(named) || len(files(t, dir)) != 1 {
		t.Errorf("what nobody names is there: %v, what is named: %v", s.Has(gone), s.Has(named))
	}
	if got := read(t, s, named); string(got) != "named" {
		t.Errorf("what is named reads %q", got)
	}
	failed := errors.New("on purpose")
	if _, err := s.Sweep(ctx, func(func(string)) error { return failed }, 0); !errors.Is(err, failed) || !s.Has(named) {
		t.Errorf("without knowing what is named: %v", err)
	}
}
