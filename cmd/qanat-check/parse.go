package main

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	proofLine = "c2sp.org/tlog-proof@v1"
	maxHashes = 63
)

// file is what was read of one file, not yet believed.
type file struct {
	leaf   []byte // a proof of an entry: its header and sealed content
	index  int64  // of the leaf
	old    int64  // a proof of growth: from this size; 0: the file is none
	hashes []tlog.Hash
	note   string // the checkpoint
}

// parse reads a file of any of the three kinds. There is one way to write each:
// what differs in a byte is something else or nothing.
func parse(text string) (f file, err error) {
	proof, isProof := strings.CutPrefix(text, proofLine+"\n")
	if !isProof && !strings.HasPrefix(text, "old ") {
		return file{note: text}, nil
	}
	if !isProof {
		proof = text
	}
	head, text, found := strings.Cut(proof, "\n\n")
	if !found {
		return f, errors.New("it has no checkpoint after an empty line")
	}
	f.note = text
	lines := strings.Split(head, "\n")
	if isProof {
		extra, isExtra := strings.CutPrefix(lines[0], "extra ")
		if !isExtra || len(lines) < 2 {
			return f, errors.New("it does not hold the entry (extra), or not its place (index)")
		}
		if f.leaf, err = decode(extra); err != nil {
			return f, fmt.Errorf("extra: %w", err)
		}
		if f.index, err = number(lines[1], "index "); err != nil {
			return f, err
		}
		lines = lines[2:]
	} else {
		if f.old, err = number(lines[0], "old "); err != nil {
			return f, err
		}
		if f.old < 1 {
			return f, errors.New("from 0 entries nothing needs a proof")
		}
		lines = lines[1:]
	}
	if len(lines) > maxHashes {
		return f, fmt.Errorf("it has more than %d hashes", maxHashes)
	}
	for i, line := range lines {
		raw, err := decode(line)
		if err != nil || len(raw) != tlog.HashSize {
			return f, fmt.Errorf("hash %d is none", i+1)
		}
		f.hashes = append(f.hashes, tlog.Hash(raw))
	}
	return f, nil
}

// decode reads base64 in its one form.
func decode(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, errors.New("a line break within base64")
	}
	return base64.StdEncoding.Strict().DecodeString(text)
}

// number reads a decimal number in its one form, after a word.
func number(line, word string) (int64, error) {
	text, found := strings.CutPrefix(line, word)
	n, err := strconv.ParseInt(text, 10, 64)
	if !found || err != nil || n < 0 || strconv.FormatInt(n, 10) != text {
		return 0, fmt.Errorf("%.40q is not %q and a number", line, word)
	}
	return n, nil
}

// tree is what a checkpoint says.
type tree struct {
	size int64
	root tlog.Hash
}

// parseTree reads the signed text of a checkpoint of an origin.
func parseTree(text, origin string) (t tree, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[len(lines)-1] != "" {
		return t, errors.New("the checkpoint is not origin, size and root")
	}
	if lines[0] != origin {
		return t, fmt.Errorf("the checkpoint is of %q, the key of %q", lines[0], origin)
	}
	if t.size, err = number(lines[1], ""); err != nil {
		return t, err
	}
	raw, err := decode(lines[2])
	if err != nil || len(raw) != tlog.HashSize {
		return t, errors.New("the checkpoint's root is no hash")
	}
	t.root = tlog.Hash(raw)
	return t, nil
}

// header is an entry's header, as docs/ledger-format.md has it.
type header struct {
	number, time, act int64
	org, kind, doc    string
	revision          int64
	verb              string
	actor, actorKind  string
	door              string
	reverts           int64
	sealed            int // bytes after it
}

const magic = "qanat entry 1\n"

// parseHeader reads the header at the beginning of a leaf. What follows is sealed.
func parseHeader(leaf []byte) (h header, err error) {
	rest, found := strings.CutPrefix(string(leaf), magic)
	if !found {
		return h, errors.New("the entry is not in the format 'qanat entry 1'")
	}
	short := errors.New("the entry's header is cut off")
	integer := func(into *int64) {
		if len(rest) < 8 {
			err = short
			return
		}
		*into = int64(binary.BigEndian.Uint64([]byte(rest[:8]))) // #nosec G115 -- a bit pattern
		rest = rest[8:]
	}
	text := func(into *string) {
		if len(rest) < 4 {
			err = short
			return
		}
		n := uint64(binary.BigEndian.Uint32([]byte(rest[:4])))
		if rest = rest[4:]; n > uint64(len(rest)) {
			err = short
			return
		}
		if *into, rest = rest[:n], rest[n:]; !utf8.ValidString(*into) {
			err = errors.New("the entry's header is not UTF-8")
		}
	}
	for _, read := range []func(){
		func() { integer(&h.number) }, func() { integer(&h.time) }, func() { integer(&h.act) },
		func() { text(&h.org) }, func() { text(&h.kind) }, func() { text(&h.doc) },
		func() { integer(&h.revision) }, func() { text(&h.verb) }, func() { text(&h.actor) }, func() { text(&h.actorKind) }, func() { text(&h.door) },
		func() { integer(&h.reverts) },
	} {
		if read(); err != nil {
			return h, err
		}
	}
	h.sealed = len(rest)
	return h, nil
}
