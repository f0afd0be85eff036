package main

import (
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// cosigner verifies the cosignatures of a witness (C2SP tlog-cosignature, Ed25519).
type cosigner struct {
	name   string
	hash   uint32
	public ed25519.PublicKey
}

func newCosigner(key string) (*cosigner, error) {
	const kind = 4 // Ed25519 cosignature/v1
	name, rest, _ := strings.Cut(key, "+")
	hash, encoded, _ := strings.Cut(rest, "+")
	raw, err := decode(encoded)
	if err != nil || name == "" || len(raw) != 1+ed25519.PublicKeySize || raw[0] != kind {
		return nil, fmt.Errorf("%.200q is no verifier key of a witness (Ed25519 cosignature, type 4)", key)
	}
	sum := sha256.Sum256(append([]byte(name+"\n"), raw...))
	c := &cosigner{name: name, hash: binary.BigEndian.Uint32(sum[:4]), public: raw[1:]}
	if hash != fmt.Sprintf("%08x", c.hash) {
		return nil, fmt.Errorf("the verifier key of the witness %q was miscopied: its hash is not that of its name and key", name)
	}
	return c, nil
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return c.hash }

// Verify is asked by note.Open for signatures of this name and hash.
func (c *cosigner) Verify(text, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	at := binary.BigEndian.Uint64(sig)
	return at > 0 && at <= math.MaxInt64 && ed25519.Verify(c.public, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text), sig[8:])
}

// checker gathers what the files say, each proved by itself, and then looks
// whether all of it is of one ledger.
type checker struct {
	log       note.Verifier
	witnesses []*cosigner
	known     note.Verifiers

	report strings.Builder
	failed bool
	trees  []seen
	grown  []growth
}

// seen is a checkpoint whose signature holds.
type seen struct {
	tree
	path string
	by   map[signer]time.Time // witnesses that cosigned it
}

// signer tells keys apart: two of them may have one name.
type signer struct {
	name string
	hash uint32
}

// growth is a proof that waits for the older checkpoint.
type growth struct {
	path   string
	old    int64
	hashes tlog.TreeProof
	to     tree
	holds  bool
}

func newChecker(key string, witnesses []string) (*checker, error) {
	log, err := note.NewVerifier(key)
	if err != nil {
		return nil, fmt.Errorf("%.200q is no verifier key: it looks like qanat/0123456789abcdef+01234567+…, and the server's operator has it", key)
	}
	c := &checker{log: log}
	all := []note.Verifier{log}
	for _, text := range witnesses {
		w, err := newCosigner(text)
		if err != nil {
			return nil, err
		}
		c.witnesses = append(c.witnesses, w)
		all = append(all, w)
	}
	c.known = note.VerifierList(all...)
	return c, nil
}

func (c *checker) say(format string, args ...any) { fmt.Fprintf(&c.report, format+"\n", args...) }

func (c *checker) fail(format string, args ...any) {
	c.failed = true
	c.say(format, args...)
}

// add checks one file by itself.
func (c *checker) add(path, content string) {
	if err := c.addFile(path, content); err != nil {
		c.fail("%s: DOES NOT HOLD: %v", path, err)
	}
}

func (c *checker) addFile(path, content string) error {
	f, err := parse(content)
	if err != nil {
		return err
	}
	s, err := c.open(path, f.note)
	if err != nil {
		return err
	}
	switch {
	case f.leaf != nil:
		err = c.entry(path, f, s.tree)
	case f.old > 0:
		if f.old > s.size {
			return fmt.Errorf("it is to be from %d to %d entries", f.old, s.size)
		}
		c.grown = append(c.grown, growth{path: path, old: f.old, hashes: f.hashes, to: s.tree})
	default:
		c.say("%s: a checkpoint of %d entries, root %s", path, s.size, s.root)
	}
	if err == nil {
		c.trees = append(c.trees, s)
	}
	return err
}

// open checks the signatures of a checkpoint.
func (c *checker) open(path, text string) (seen, error) {
	s := seen{path: path, by: map[signer]time.Time{}}
	opened, err := note.Open([]byte(text), c.known)
	var invalid *note.InvalidSignatureError
	var unsigned *note.UnverifiedNoteError
	switch {
	case errors.As(err, &invalid):
		return s, fmt.Errorf("the signature of %s is not over this checkpoint: it was changed", invalid.Name)
	case errors.As(err, &unsigned):
		return s, errors.New("the checkpoint is not signed by this key")
	case err != nil:
		return s, errors.New("it is no signed checkpoint")
	}
	signed := false
	for _, sig := range opened.Sigs {
		if sig.Name == c.log.Name() && sig.Hash == c.log.KeyHash() {
			signed = true
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(sig.Base64)
		if err != nil {
			return s, err
		}
		s.by[signer{sig.Name, sig.Hash}] = time.Unix(int64(binary.BigEndian.Uint64(raw[4:12])), 0).UTC() // #nosec G115 -- Verify has seen that it fits
	}
	if !signed {
		return s, errors.New("the checkpoint is not signed by this key")
	}
	s.tree, err = parseTree(opened.Text, c.log.Name())
	return s, err
}

// entry checks the proof of an entry and tells what the entry is.
func (c *checker) entry(path string, f file, t tree) error {
	if err := tlog.CheckRecord(f.hashes, t.size, t.root, f.index, tlog.RecordHash(f.leaf)); err != nil {
		return fmt.Errorf("this entry is not number %d of the %d entries that were signed", f.index+1, t.size)
	}
	h, err := parseHeader(f.leaf)
	if err != nil {
		return err
	}
	if h.number != f.index+1 {
		return fmt.Errorf("the entry calls itself number %d and stands at %d", h.number, f.index+1)
	}
	c.say("%s: entry %d is among the %d entries that were signed", path, h.number, t.size)
	for _, fact := range []struct{ what, is string }{
		{"when", time.UnixMilli(h.time).UTC().Format("2006-01-02 15:04:05.000 UTC")},
		{"who", cmp.Or(strings.TrimSpace(clean(h.actorKind)+" "+clean(h.actor)), "the server") + ", through " + clean(h.door)},
		{"did", clean(h.verb)},
		{"to", clean(h.kind) + " " + clean(h.doc) + ", which then had revision " + strconv.FormatInt(h.revision, 10)},
		{"of", cmp.Or(clean(h.org), "the server itself")},
		{"act", strconv.FormatInt(h.act, 10)},
		{"takes back", positive(h.reverts)},
		{"content", strconv.Itoa(h.sealed) + " bytes, sealed"},
	} {
		if fact.is != "" {
			c.say("    %-11s%s", fact.what, fact.is)
		}
	}
	return nil
}

// clean keeps what stands in an entry from speaking to a terminal.
func clean(text string) string {
	quoted := strconv.Quote(text)
	if quoted[1:len(quoted)-1] == text {
		return text
	}
	return quoted
}

func positive(n int64) string {
	if n == 0 {
		return ""
	}
	return "entry " + strconv.FormatInt(n, 10)
}

// verdict looks at all checkpoints together.
func (c *checker) verdict() (report string, ok bool) {
	slices.SortStableFunc(c.trees, func(a, b seen) int { return cmp.Compare(a.size, b.size) })
	var distinct []seen
	for _, s := range c.trees {
		if n := len(distinct); n > 0 && distinct[n-1].size == s.size {
			last := distinct[n-1]
			if last.root != s.root {
				c.fail("FORKED: %s and %s are both signed, for %d entries with different roots. Keep both files: together they prove that the past was rewritten.", last.path, s.path, s.size)
			}
			maps.Copy(last.by, s.by)
			continue
		}
		distinct = append(distinct, s)
	}
	c.linked(distinct)
	c.cosigned(distinct)
	switch {
	case c.failed:
		c.say("NOT everything holds.")
	default:
		c.say("Everything holds.")
	}
	return c.report.String(), !c.failed
}

// linked wants each checkpoint to be shown to be a beginning of the newest, by
// one proof or by several that follow each other. What continues the same older
// one is not yet one ledger, so the way leads from old to new only.
func (c *checker) linked(distinct []seen) {
	for i := range c.grown {
		g := &c.grown[i]
		known := slices.IndexFunc(distinct, func(s seen) bool { return s.size == g.old })
		if known < 0 {
			c.fail("%s: NOT SHOWN: give the note of %d entries that you kept, too; without it the proof says nothing", g.path, g.old)
			continue
		}
		old := distinct[known]
		if g.holds = tlog.CheckTree(g.hashes, g.to.size, g.to.root, old.size, old.root) == nil; g.holds {
			c.say("%s: the ledger of %d entries begins with the %d of %s", g.path, g.to.size, g.old, old.path)
		} else {
			c.fail("%s: DOES NOT HOLD: the %d entries do not continue the %d of %s. If the proof is the server's own, the past was rewritten: keep both files.", g.path, g.to.size, g.old, old.path)
		}
	}
	if len(distinct) == 0 {
		return
	}
	newest := distinct[len(distinct)-1]
	begins := map[int64]bool{newest.size: true}
	for _, s := range slices.Backward(distinct) {
		if !begins[s.size] && !slices.ContainsFunc(c.grown, func(g growth) bool { return g.holds && g.old == s.size && begins[g.to.size] }) {
			c.fail("%s and %s: NOT SHOWN to be of one ledger: get the proof from %d to %d entries (/api/v1/ledger/consistency?from=%d&to=%d)", s.path, newest.path, s.size, newest.size, s.size, newest.size)
			continue
		}
		begins[s.size] = true
	}
}

// cosigned wants every named witness on the newest checkpoint.
func (c *checker) cosigned(distinct []seen) {
	if len(distinct) == 0 {
		return
	}
	newest := distinct[len(distinct)-1]
	for _, w := range c.witnesses {
		if at, found := newest.by[signer{w.name, w.hash}]; found {
			c.say("%s cosigned the checkpoint of %d entries on %s", w.name, newest.size, at.Format("2006-01-02 15:04:05 UTC"))
		} else {
			c.fail("%s has NOT cosigned the checkpoint of %d entries", w.name, newest.size)
		}
	}
}
