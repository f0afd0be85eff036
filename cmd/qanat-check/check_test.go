package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// book is a ledger made here by the words of docs/ledger-format.md, so that the
// checker is tested against the format and not against the server.
type book struct {
	t      testing.TB
	key    string
	signer note.Signer
	leaves [][]byte
	hashes []tlog.Hash
}

const origin = "qanat/0123456789abcdef"

func newBook(t testing.TB) *book {
	t.Helper()
	private, key, err := note.GenerateKey(rand.Reader, origin)
	check(t, err)
	signer, err := note.NewSigner(private)
	check(t, err)
	return &book{t: t, key: key, signer: signer}
}

// fork has the same key and the first entries of another.
func (b *book) fork(entries int) *book {
	f := &book{t: b.t, key: b.key, signer: b.signer}
	for _, leaf := range b.leaves[:entries] {
		f.add(leaf)
	}
	return f
}

func (b *book) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) (out []tlog.Hash, _ error) {
		for _, i := range indexes {
			out = append(out, b.hashes[i])
		}
		return out, nil
	})
}

func (b *book) add(leaf []byte) {
	b.t.Helper()
	more, err := tlog.StoredHashes(int64(len(b.leaves)), leaf, b.reader())
	check(b.t, err)
	b.hashes, b.leaves = append(b.hashes, more...), append(b.leaves, leaf)
}

func (b *book) write(n int, who string) *book {
	b.t.Helper()
	for range n {
		number := len(b.leaves) + 1
		b.add(entry(number, who))
	}
	return b
}

func entry(number int, who string) []byte {
	var h []byte
	integer := func(n int64) { h = binary.BigEndian.AppendUint64(h, uint64(n)) }
	text := func(s string) { h = append(binary.BigEndian.AppendUint32(h, uint32(len(s))), s...) }
	h = append(h, "qanat entry 1\n"...)
	integer(int64(number))
	integer(time.Date(2026, 3, 1, 8, 0, number, 0, time.UTC).UnixMilli())
	integer(int64(number))
	text("0190a000-0000-7000-8000-0000000000aa")
	text("site")
	text(fmt.Sprintf("0190a000-0000-7000-8000-%012d", number))
	integer(1)
	text("create")
	text(who)
	text("account")
	text("web")
	integer(0)
	sum := sha256.Sum256(h)
	return append(h, sum[:]...) // stands for what is sealed
}

func (b *book) note(size int, lines ...string) string {
	b.t.Helper()
	root, err := tlog.TreeHash(int64(size), b.reader())
	check(b.t, err)
	msg, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", origin, size, root)}, b.signer)
	check(b.t, err)
	return string(msg) + strings.Join(lines, "")
}

func (b *book) proof(number, size int, lines ...string) string {
	b.t.Helper()
	hashes, err := tlog.ProveRecord(int64(size), int64(number-1), b.reader())
	check(b.t, err)
	text := fmt.Sprintf("c2sp.org/tlog-proof@v1\nextra %s\nindex %d\n", base64.StdEncoding.EncodeToString(b.leaves[number-1]), number-1)
	for _, h := range hashes {
		text += h.String() + "\n"
	}
	return text + "\n" + b.note(size, lines...)
}

func (b *book) growth(from, to int) string {
	b.t.Helper()
	hashes, err := tlog.ProveTree(int64(to), int64(from), b.reader())
	check(b.t, err)
	text := fmt.Sprintf("old %d\n", from)
	for _, h := range hashes {
		text += h.String() + "\n"
	}
	return text + "\n" + b.note(to)
}

// seer is a witness that signs whatever it is given.
type seer struct {
	key     string
	name    string
	hash    uint32
	private ed25519.PrivateKey
}

func newSeer(t testing.TB, name string) *seer {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	raw := append([]byte{4}, public...)
	sum := sha256.Sum256(append([]byte(name+"\n"), raw...))
	s := &seer{name: name, hash: binary.BigEndian.Uint32(sum[:4]), private: private}
	s.key = fmt.Sprintf("%s+%08x+%s", name, s.hash, base64.StdEncoding.EncodeToString(raw))
	return s
}

func (s *seer) sign(text string) string {
	body, _, _ := strings.Cut(text, "\n\n")
	at := uint64(time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC).Unix())
	sig := ed25519.Sign(s.private, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s\n", at, body))
	raw := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, s.hash), at)
	return fmt.Sprintf("— %s %s\n", s.name, base64.StdEncoding.EncodeToString(append(raw, sig...)))
}

// judge checks files in this process.
func judge(t testing.TB, key string, witnesses []string, files ...string) (string, bool) {
	t.Helper()
	c, err := newChecker(key, witnesses)
	check(t, err)
	for i, content := range files {
		c.add(fmt.Sprint("file ", i+1), content)
	}
	return c.verdict()
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestVerdicts(t *testing.T) {
	b := newBook(t).write(40, "0190a000-0000-7000-8000-000000000001")
	other := b.fork(11).write(29, "0190a000-0000-7000-8000-000000000666")
	stranger := newBook(t).write(40, "a")
	one, two, twin := newSeer(t, "witness.example/one"), newSeer(t, "witness.example/two"), newSeer(t, "witness.example/one")
	edited := bytes.Replace(slices.Clone(b.leaves[16]), []byte("0001"), []byte("0002"), 1)
	fake := b.fork(40)
	fake.leaves[16] = edited
	renumbered := newBook(t)
	renumbered.key, renumbered.signer = b.key, b.signer
	renumbered.add(entry(9, "a"))
	odd := newBook(t)
	odd.key, odd.signer = b.key, b.signer
	odd.write(1, "a\x1b[2Jb")
	huge := newBook(t)
	huge.key, huge.signer = b.key, b.signer
	huge.add([]byte("qanat entry 1\n" + strings.Repeat("\x00", 24) + "\xff\xff\xff\xff"))
	for _, c := range []struct {
		name      string
		witnesses []string
		files     []string
		ok        bool
		says      string
	}{
		{"an entry", nil, []string{b.proof(17, 40)}, true, "2026-03-01 08:00:17.000 UTC"},
		{"who did it", nil, []string{b.proof(17, 40)}, true, "account 0190a000-0000-7000-8000-000000000001, through web"},
		{"the only entry", nil, []string{b.fork(1).proof(1, 1)}, true, "entry 1 is among the 1"},
		{"a checkpoint", nil, []string{b.note(40)}, true, "a checkpoint of 40 entries"},
		{"growth", nil, []string{b.note(10), b.growth(10, 40)}, true, "begins with the 10"},
		{"growth of nothing", nil, []string{b.note(40), b.growth(40, 40)}, true, "begins with the 40"},
		{"growth in steps, in any order", nil, []string{b.growth(20, 40), b.note(10), b.growth(10, 20), b.proof(3, 40)}, true, "Everything holds"},
		{"two older notes in the newest", nil, []string{b.note(10), b.note(20), b.growth(20, 40), b.growth(10, 40)}, true, "Everything holds"},
		{"cosigned", []string{one.key, two.key}, []string{b.proof(17, 40, one.sign(b.note(40)), two.sign(b.note(40)))}, true, "witness.example/two cosigned the checkpoint of 40 entries on 2026-04-01"},
		{"cosigned in two files", []string{one.key, two.key}, []string{b.proof(17, 40, one.sign(b.note(40))), b.note(40, two.sign(b.note(40)))}, true, "Everything holds"},

		{"an edited entry", nil, []string{fake.proof(17, 40)}, false, "this entry is not number 17"},
		{"another place", nil, []string{strings.Replace(b.proof(17, 40), "index 16", "index 17", 1)}, false, "this entry is not number 18"},
		{"a place beyond", nil, []string{strings.Replace(b.proof(17, 40), "index 16", "index 40", 1)}, false, "this entry is not number 41"},
		{"another ledger's", nil, []string{stranger.proof(17, 40)}, false, "not signed by this key"},
		{"a number of its own", nil, []string{renumbered.proof(1, 1)}, false, "calls itself number 9"},
		{"a header that is cut off", nil, []string{huge.proof(1, 1)}, false, "cut off"},
		{"an entry that speaks to the terminal", nil, []string{odd.proof(1, 1)}, true, `"a\x1b[2Jb"`},
		{"a forked checkpoint", nil, []string{b.note(40), other.note(40)}, false, "FORKED"},
		{"an entry in a fork", nil, []string{other.proof(17, 40), b.note(40)}, false, "FORKED"},
		{"growth from another past", nil, []string{b.note(20), other.growth(20, 40)}, false, "do not continue"},
		{"growth without the older note", nil, []string{b.growth(10, 40)}, false, "NOT SHOWN"},
		{"two notes without growth", nil, []string{b.note(10), b.note(40)}, false, "consistency?from=10&to=40"},
		{"two that continue the same", nil, []string{b.note(10), b.growth(10, 30), other.growth(10, 40)}, false, "NOT SHOWN to be of one ledger: get the proof from 30"},
		{"growth backwards", nil, []string{b.note(40), strings.Replace(b.growth(10, 20), "old 10", "old 40", 1)}, false, "from 40 to 20"},
		{"not cosigned", []string{one.key}, []string{b.note(40)}, false, "has NOT cosigned"},
		{"the older one cosigned", []string{one.key}, []string{b.note(10, one.sign(b.note(10))), b.growth(10, 40)}, false, "has NOT cosigned the checkpoint of 40"},
		{"cosigned by one of its name", []string{one.key}, []string{b.note(40, twin.sign(b.note(40)))}, false, "has NOT cosigned"},
		{"cosigned by one of two of a name", []string{one.key, twin.key}, []string{b.note(40, twin.sign(b.note(40)))}, false, "has NOT cosigned"},
		{"a cosignature of another checkpoint", []string{one.key}, []string{b.note(40, one.sign(b.note(39)))}, false, "was changed"},
		{"nothing but a cosignature", []string{one.key}, []string{strings.Split(b.note(40), "\n\n")[0] + "\n\n" + one.sign(b.note(40))}, false, "not signed by this key"},
		{"an empty file", nil, []string{""}, false, "no signed checkpoint"},
		{"a picture", nil, []string{"\x89PNG\r\n\x1a\n\x00"}, false, "no signed checkpoint"},
		{"a proof without entry", nil, []string{strings.Replace(b.proof(17, 40), "extra ", "other ", 1)}, false, "does not hold the entry"},
		{"too many hashes", nil, []string{strings.Replace(b.proof(17, 40), "\n\n", strings.Repeat("\n"+strings.Repeat("A", 43)+"=", 64)+"\n\n", 1)}, false, "more than 63"},
	} {
		t.Run(c.name, func(t *testing.T) {
			report, ok := judge(t, b.key, c.witnesses, c.files...)
			if ok != c.ok || !strings.Contains(report, c.says) || ok != strings.HasSuffix(report, "\nEverything holds.\n") || ok == strings.HasSuffix(report, "\nNOT everything holds.\n") {
				t.Errorf("holds: %v, want %v and %q in\n%s", ok, c.ok, c.says, report)
			}
		})
	}
}

// TestEveryByteCounts changes every bit of files that hold, leaves every byte out
// and doubles it: nothing that differs holds, unless it says exactly the same (a
// signature of somebody unknown may be changed, and base64 has spare bits).
func TestEveryByteCounts(t *testing.T) {
	b := newBook(t).write(23, "0190a000-0000-7000-8000-000000000001")
	one := newSeer(t, "witness.example/one")
	cosigned := one.sign(b.note(23))
	for name, files := range map[string][]string{"entry": {b.proof(17, 23, cosigned)}, "growth": {b.growth(9, 23), b.note(9)}, "note": {b.note(23, cosigned)}} {
		for _, witnesses := range [][]string{nil, {one.key}} {
			if name == "growth" && witnesses != nil {
				continue
			}
			want, ok := judge(t, b.key, witnesses, files...)
			if !ok {
				t.Fatalf("%s: %s", name, want)
			}
			same := 0
			try := func(what string, at int, changed string) {
				if report, ok := judge(t, b.key, witnesses, append([]string{changed}, files[1:]...)...); ok && report != want {
					t.Errorf("%s: with byte %d %s it holds and says\n%s", name, at, what, report)
				} else if ok {
					same++
				}
			}
			file := files[0]
			bits := []int{0, 1, 2, 3, 4, 5, 6, 7}
			if testing.Short() { // with the race detector
				bits = []int{0, 5}
			}
			for at := range len(file) {
				for _, bit := range bits {
					try(fmt.Sprintf("changed in bit %d", bit), at, file[:at]+string(file[at]^1<<bit)+file[at+1:])
				}
				try("left out", at, file[:at]+file[at+1:])
				try("doubled", at, file[:at]+file[at:at+1]+file[at:])
				try("the last", at, file[:at])
			}
			limit := 8 // the spare bits of two signatures
			if witnesses == nil && name != "growth" {
				limit += 11 * len(cosigned) // a line of somebody unknown may be anything
			}
			if same > limit {
				t.Errorf("%s: %d changes were passed over, at most %d can be", name, same, limit)
			}
		}
	}
}

// TestTheProgram runs it as it is built, on files.
func TestTheProgram(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "qanat-check")
	build := exec.Command("go", "build", "-o", binary, ".") // #nosec G204 -- our own program
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b := newBook(t).write(23, "0190a000-0000-7000-8000-000000000001")
	put := func(name, content string) string {
		path := filepath.Join(dir, name)
		check(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	start := func(args ...string) (string, int) {
		out, err := exec.Command(binary, args...).CombinedOutput() // #nosec G204 -- the program under test
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return string(out), exit.ExitCode()
		}
		check(t, err)
		return string(out), 0
	}
	proof, kept, growth := put("entry.tlog-proof", b.proof(17, 23)), put("kept.note", b.note(9)), put("growth", b.growth(9, 23))
	_, otherKey, err := note.GenerateKey(rand.Reader, origin)
	check(t, err)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--key", b.key, proof, kept, growth}, good, "Everything holds."},
		{[]string{"-key=" + b.key, proof}, good, "0190a000-0000-7000-8000-000000000017"},
		{[]string{"--help"}, good, "checks proofs"},
		{[]string{"--key", otherKey, proof}, bad, "not signed by this key"},
		{[]string{"--key", b.key, kept, proof}, bad, "NOT SHOWN"},
		{[]string{"--key", b.key, binary}, bad, "DOES NOT HOLD"},
		{[]string{"--key", b.key, "--witness", newSeer(t, "w").key, proof}, bad, "w has NOT cosigned"},
		{[]string{proof}, wrong, "--key"},
		{[]string{"--key", b.key}, wrong, "no files"},
		{[]string{"--key", "nonsense", proof}, wrong, "no verifier key"},
		{[]string{"--key", b.key, "--witness", b.key, proof}, wrong, "no verifier key of a witness"},
		{[]string{"--key", b.key, filepath.Join(dir, "none")}, wrong, "no such file"},
		{[]string{"--key", b.key, dir}, wrong, "directory"},
		{[]string{"--nonsense", proof}, wrong, "nonsense"},
	} {
		if out, code := start(c.args...); code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("%q ended with %d, want %d and %q in\n%s", c.args, code, c.code, c.says, out)
		}
	}
	want, _ := start("--key", b.key, proof)
	content := b.proof(17, 23)
	for range 60 {
		at, bit := mathrand.IntN(len(content)), mathrand.IntN(8)
		put("entry.tlog-proof", content[:at]+string(content[at]^1<<bit)+content[at+1:])
		if out, code := start("--key", b.key, proof); code != bad && (code != good || out != want) {
			t.Errorf("bit %d of byte %d was changed, and it ended with %d\n%s", bit, at, code, out)
		}
	}
}

// FuzzFiles wants the reader to end, and to read back what it wrote.
func FuzzFiles(f *testing.F) {
	b := newBook(f).write(7, "a")
	f.Add(b.proof(3, 7))
	f.Add(b.growth(3, 7))
	f.Add(b.note(7))
	f.Add("old 1\n\n")
	f.Add("c2sp.org/tlog-proof@v1\nextra \nindex 0\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		read, err := parse(text)
		if err != nil {
			return
		}
		again := read.note
		if read.leaf != nil || read.old > 0 {
			var hashes string
			for _, h := range read.hashes {
				hashes += h.String() + "\n"
			}
			again = fmt.Sprintf("old %d\n%s\n%s", read.old, hashes, read.note)
			if read.old == 0 {
				again = fmt.Sprintf("%s\nextra %s\nindex %d\n%s\n%s", proofLine, base64.StdEncoding.EncodeToString(read.leaf), read.index, hashes, read.note)
			}
		}
		if again != text {
			t.Errorf("%q was read as %q", text, again)
		}
		if h, err := parseHeader(read.leaf); err == nil && h.sealed > len(read.leaf) {
			t.Errorf("%d sealed bytes of %d", h.sealed, len(read.leaf))
		}
	})
}
