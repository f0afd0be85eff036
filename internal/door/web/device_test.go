package web

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

func TestAskingForRevocationsTogetherReadsOnce(t *testing.T) {
	var kept revocations
	if _, err := kept.get(func() ([]byte, error) { return nil, errors.New("the database is away") }); err == nil {
		t.Error("the error is lost")
	}
	var made atomic.Int64
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			der, err := kept.get(func() ([]byte, error) { made.Add(1); return []byte("list"), nil })
			if err != nil || string(der) != "list" {
				t.Errorf("%q, %v", der, err)
			}
		})
	}
	all.Wait()
	if made.Load() != 1 {
		t.Errorf("the list was made %d times for 50 who asked at once", made.Load())
	}
}
