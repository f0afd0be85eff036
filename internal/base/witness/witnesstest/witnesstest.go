// Package witnesstest is a witness for tests, written after C2SP tlog-witness and
// not after our client: it keeps its own state, checks signatures and proofs
// with the tools of the specification, and refuses forks.
//
// For tests only: its state lives in memory.
package witnesstest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Witness is a running witness.
type Witness struct {
	URL string // submission prefix
	Key string // verifier key

	name    string
	private ed25519.PrivateKey
	server  *httptest.Server

	mu    sync.Mutex
	logs  map[string]*known // by origin
	fail  func(w http.ResponseWriter) bool
	asked int
}

type known struct {
	verifier note.Verifier
	size     int64
	root     tlog.Hash
	note     string
}

// New starts a witness that knows no log.
func New(t testing.TB, name string) *Witness {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &Witness{name: name, private: private, logs: map[string]*known{}}
	w.Key = fmt.Sprintf("%s+%08x+%s", name, w.hash(public), base64.StdEncoding.EncodeToString(append([]byte{4}, public...)))
	mux := http.NewServeMux()
	mux.HandleFunc("POST /w/add-checkpoint", w.add)
	w.server = httptest.NewServer(mux)
	w.URL = w.server.URL + "/w"
	t.Cleanup(w.server.Close)
	return w
}

func (w *Witness) hash(public ed25519.PublicKey) uint32 {
	sum := sha256.Sum256(append([]byte(w.name+"\n\x04"), public...))
	return binary.BigEndian.Uint32(sum[:4])
}

// Know tells the witness a log by its verifier key.
func (w *Witness) Know(t testing.TB, verifierKey string) {
	t.Helper()
	v, err := note.NewVerifier(verifierKey)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logs[v.Name()] = &known{verifier: v}
}

// Size is what the witness has cosigned last of a log.
func (w *Witness) Size(origin string) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if log := w.logs[origin]; log != nil {
		return log.size
	}
	return 0
}

// Asked counts requests.
func (w *Witness) Asked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

// Fail lets a function answer instead, as long as it says true; nil ends that.
func (w *Witness) Fail(answer func(http.ResponseWriter) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = answer
}

// add is POST add-checkpoint, in the order of the specification's words.
func (w *Witness) add(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.asked++
	fail := w.fail
	w.mu.Unlock()
	if fail != nil && fail(out) {
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	old, proof, checkpoint, err := request(string(body))
	if err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	origin, _, _ := strings.Cut(checkpoint, "\n")
	w.mu.Lock()
	defer w.mu.Unlock()
	log := w.logs[origin]
	if log == nil {
		http.Error(out, "unknown log", http.StatusNotFound)
		return
	}
	opened, err := note.Open([]byte(checkpoint), note.VerifierList(log.verifier))
	if err != nil {
		http.Error(out, err.Error(), http.StatusForbidden)
		return
	}
	size, root, err := tree(opened.Text)
	if err != nil || old > size {
		http.Error(out, "malformed checkpoint", http.StatusBadRequest)
		return
	}
	if old != log.size {
		out.Header().Set("Content-Type", "text/x.tlog.size")
		out.WriteHeader(http.StatusConflict)
		fmt.Fprintf(out, "%d\n", log.size)
		return
	}
	empty, _ := tlog.TreeHash(0, nil)
	ok := true
	switch {
	case size == 0:
		ok = root == empty && len(proof) == 0
	case old == 0:
		ok = len(proof) == 0
	default:
		ok = tlog.CheckTree(proof, size, root, old, log.root) == nil
	}
	if !ok {
		http.Error(out, "inconsistent", http.StatusUnprocessableEntity)
		return
	}
	log.size, log.root, log.note = size, root, checkpoint
	fmt.Fprint(out, w.Cosign(opened.Text, time.Now()))
}

// Cosign signs the text of a checkpoint, whatever it says: a signature line.
func (w *Witness) Cosign(text string, at time.Time) string {
	sig := ed25519.Sign(w.private, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at.Unix(), text))
	raw := binary.BigEndian.AppendUint32(nil, w.hash(w.private.Public().(ed25519.PublicKey)))
	raw = binary.BigEndian.AppendUint64(raw, uint64(at.Unix())) // #nosec G115 -- after 1970
	return fmt.Sprintf("— %s %s\n", w.name, base64.StdEncoding.EncodeToString(append(raw, sig...)))
}

func request(body string) (old int64, proof tlog.TreeProof, checkpoint string, err error) {
	head, checkpoint, found := strings.Cut(body, "\n\n")
	lines := strings.Split(head, "\n")
	text, isOld := strings.CutPrefix(lines[0], "old ")
	if !found || !isOld || len(lines) > 64 {
		return 0, nil, "", fmt.Errorf("malformed request")
	}
	if old, err = strconv.ParseInt(text, 10, 64); err != nil || strconv.FormatInt(old, 10) != text || old < 0 {
		return 0, nil, "", fmt.Errorf("malformed size")
	}
	for _, line := range lines[1:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return 0, nil, "", err
		}
		proof = append(proof, hash)
	}
	return old, proof, checkpoint, nil
}

func tree(text string) (size int64, root tlog.Hash, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 {
		return 0, root, fmt.Errorf("malformed checkpoint")
	}
	if size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || size < 0 {
		return 0, root, fmt.Errorf("malformed size")
	}
	root, err = tlog.ParseHash(lines[2])
	return size, root, err
}
