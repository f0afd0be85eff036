package witness_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/witness"
	"github.com/qanat-water/qanat/internal/base/witness/witnesstest"
)

var ctx = context.Background()

// log is a small log with all its hashes at hand.
type log struct {
	t      *testing.T
	signer note.Signer
	key    string
	hashes []tlog.Hash
	size   int64
}

func newLog(t *testing.T, first string, entries int64) *log {
	t.Helper()
	private, key, err := note.GenerateKey(nil, "log.example/one")
	check(t, err)
	signer, err := note.NewSigner(private)
	check(t, err)
	l := &log{t: t, signer: signer, key: key}
	l.grow(first, entries)
	return l
}

func (l *log) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) (out []tlog.Hash, _ error) {
		for _, i := range indexes {
			out = append(out, l.hashes[i])
		}
		return out, nil
	})
}

func (l *log) grow(what string, entries int64) {
	l.t.Helper()
	for range entries {
		more, err := tlog.StoredHashes(l.size, fmt.Append(nil, what, l.size), l.reader())
		check(l.t, err)
		l.hashes = append(l.hashes, more...)
		l.size++
	}
}

func (l *log) checkpoint(size int64) string {
	l.t.Helper()
	root, err := tlog.TreeHash(size, l.reader())
	check(l.t, err)
	msg, err := note.Sign(&note.Note{Text: fmt.Sprintf("log.example/one\n%d\n%s\n", size, root)}, l.signer)
	check(l.t, err)
	return string(msg)
}

func (l *log) proof(old, size int64) tlog.TreeProof {
	l.t.Helper()
	if old == 0 {
		return nil
	}
	p, err := tlog.ProveTree(size, old, l.reader())
	check(l.t, err)
	return p
}

func dial(t *testing.T, w *witnesstest.Witness) *witness.Client {
	t.Helper()
	key, err := witness.ParseKey(w.Key)
	check(t, err)
	c, err := witness.New(w.URL, key)
	check(t, err)
	t.Cleanup(c.Close)
	return c
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAWitnessCosignsWhatContinuesAndNothingElse(t *testing.T) {
	w := witnesstest.New(t, "witness.example/w1")
	c := dial(t, w)
	l := newLog(t, "entry", 20)
	if _, err := c.Add(ctx, 0, nil, l.checkpoint(5)); !errors.Is(err, witness.ErrUnknown) {
		t.Errorf("a log that it does not know: %v", err)
	}
	w.Know(t, l.key)
	for _, step := range []struct{ old, size int64 }{{0, 5}, {5, 5}, {5, 6}, {6, 17}, {17, 20}} {
		got, err := c.Add(ctx, step.old, l.proof(step.old, step.size), l.checkpoint(step.size))
		if err != nil || time.Since(got.Time) > time.Minute {
			t.Fatalf("%d to %d: %+v, %v", step.old, step.size, got, err)
		}
		if again, err := witness.ReadLine(c.Key, got.Line, l.checkpoint(step.size)); err != nil || again != got {
			t.Errorf("reading the cosignature again: %+v, %v", again, err)
		}
		if _, err := witness.ReadLine(c.Key, got.Line, l.checkpoint(step.size-1)); err == nil {
			t.Error("a cosignature holds for another checkpoint")
		}
	}
	var conflict *witness.Conflict
	if _, err := c.Add(ctx, 6, l.proof(6, 20), l.checkpoint(20)); !errors.As(err, &conflict) || conflict.Size != 20 {
		t.Errorf("from another size: %v", err)
	}
	fork := newLog(t, "other", 30)
	fork.signer, fork.key = l.signer, l.key
	if _, err := c.Add(ctx, 20, fork.proof(20, 30), fork.checkpoint(30)); !errors.Is(err, witness.ErrForked) {
		t.Errorf("a fork: %v", err)
	}
	if w.Size("log.example/one") != 20 {
		t.Error("the witness took the fork")
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	w, other := witnesstest.New(t, "witness.example/w1"), witnesstest.New(t, "witness.example/w1")
	c := dial(t, w)
	l := newLog(t, "entry", 9)
	text, _, _ := strings.Cut(l.checkpoint(9), "\n\n")
	good := w.Cosign(text+"\n", time.Now())
	for name, answer := range map[string]struct {
		status int
		body   string
	}{
		"nothing":                     {200, ""},
		"an essay":                    {200, strings.Repeat("a", 70_000)},
		"no line feed":                {200, strings.TrimSuffix(good, "\n")},
		"the key of another":          {200, other.Cosign(text+"\n", time.Now())},
		"another checkpoint":          {200, w.Cosign(text+"x\n", time.Now())},
		"another time":                {200, flip(good, len("— witness.example/w1 ")+10)},
		"a text in front":             {200, "log.example/one\n9\nAAAA\n\n" + good},
		"a time of zero":              {200, w.Cosign(text+"\n", time.Unix(0, 0))},
		"409 without size":            {409, ""},
		"409 with words":              {409, "nine\n"},
		"409 with a size below 0":     {409, "-1\n"},
		"409 with a size beyond int":  {409, "99999999999999999999\n"},
		"409 with a padded size":      {409, "007\n"},
		"a redirect to somewhere":     {307, ""},
		"the witness is out of order": {503, "sorry"},
	} {
		w.Fail(func(out http.ResponseWriter) bool {
			out.Header().Set("Location", other.URL+"/add-checkpoint")
			out.WriteHeader(answer.status)
			_, _ = out.Write([]byte(answer.body))
			return true
		})
		got, err := c.Add(ctx, 0, nil, l.checkpoint(9))
		var conflict *witness.Conflict
		if err == nil || errors.As(err, &conflict) || errors.Is(err, witness.ErrForked) {
			t.Errorf("%s was taken as %+v, %v", name, got, err)
		}
	}
	if other.Asked() > 0 {
		t.Error("a redirect was followed")
	}
	// Cosignatures of others beside the right one are passed over.
	w.Fail(func(out http.ResponseWriter) bool {
		_, _ = out.Write([]byte(other.Cosign(text+"\n", time.Now()) + good))
		return true
	})
	if got, err := c.Add(ctx, 0, nil, l.checkpoint(9)); err != nil || got.Line != good {
		t.Errorf("among others: %+v, %v", got, err)
	}
	w.Fail(func(out http.ResponseWriter) bool { time.Sleep(time.Second); return true })
	hurry, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := c.Add(hurry, 0, nil, l.checkpoint(9)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a witness that does not answer: %v", err)
	}
}

// flip changes one character of base64 into another.
func flip(s string, at int) string {
	b := []byte(s)
	if b[at] == 'A' {
		b[at] = 'B'
	} else {
		b[at] = 'A'
	}
	return string(b)
}

func TestKeysAndAddressesAreChecked(t *testing.T) {
	w := witnesstest.New(t, "witness.example/w1")
	key, err := witness.ParseKey(w.Key)
	check(t, err)
	_, plain, err := note.GenerateKey(nil, "witness.example/w1")
	check(t, err)
	for _, text := range []string{
		"", "witness", "a+b+c", plain, flip(w.Key, len("witness.example/w1+")), flip(w.Key, len(w.Key)-10), w.Key + "\n", "x" + w.Key, w.Key[:len(w.Key)-4],
		"w+00000000+" + base64.StdEncoding.EncodeToString(append([]byte{6}, make([]byte, 1312)...)),
		"w+00000000+" + base64.StdEncoding.EncodeToString(append([]byte{4}, make([]byte, ed25519.PublicKeySize+1)...)),
	} {
		if _, err := witness.ParseKey(text); fault.KindOf(err) != fault.Invalid {
			t.Errorf("key %q: %v", text, err)
		}
	}
	for address, ok := range map[string]bool{
		"https://witness.example.org": true, "https://witness.example.org/a/b/": true, "http://127.0.0.1:8080/w": true, "http://[::1]/": true, "http://localhost:1": true,
		"http://witness.example.org": false, "": false, "witness.example.org": false, "ftp://127.0.0.1/": false, "https://": false,
		"https://user:secret@witness.example.org": false, "https://witness.example.org/?q=1": false, "http://127.0.0.1.example.org/": false,
	} {
		if _, err := witness.New(address, key); (err == nil) != ok || err != nil && fault.KindOf(err) != fault.Invalid {
			t.Errorf("address %q: %v", address, err)
		}
	}
}
