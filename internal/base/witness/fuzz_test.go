package witness

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// FuzzAnswer wants an answer of any bytes to be a cosignature only when a note's
// own reader finds the key's signature in it.
func FuzzAnswer(f *testing.F) {
	const (
		key        = "witness.example/w1+d7d7d0b9+BNdaF5ljYlR8GmO2pTAZ4TGTkSyEbKMMm36xYqBAU9EI"
		checkpoint = "log.example/one\n9\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— log.example/one Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
	)
	k := &Key{name: "witness.example/w1", hash: 0xd7d7d0b9, public: make([]byte, 32), text: key}
	f.Add(200, []byte("— witness.example/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"))
	f.Add(200, []byte("\n\n— a b\n"))
	f.Add(409, []byte("20852014\n"))
	f.Add(422, []byte("no"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		got, err := read(k, status, body, checkpoint)
		var conflict *Conflict
		switch {
		case errors.As(err, &conflict):
			if status != 409 || conflict.Size < 0 {
				t.Errorf("%d %q is a conflict at %d", status, body, conflict.Size)
			}
		case err == nil:
			text, _, _ := strings.Cut(checkpoint, "\n\n")
			if _, err := note.Open([]byte(text+"\n\n"+got.Line), note.VerifierList(k)); err != nil || status != 200 {
				t.Errorf("%d %q was taken as %q: %v", status, body, got.Line, err)
			}
		}
	})
}
