package move

import (
	"bufio"
	"bytes"
	"io"
	"testing"
)

// FuzzRecords reads what nobody can send without the master key: it must end,
// and take no more memory than there are bytes.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("H\x02{}T\x03tapR\x01\x03abcE\x02"))
	f.Add([]byte("F\x04hash\x03abc\x00Z\x02\x02\x02"))
	f.Add([]byte("\xff\xff\xff\xff\x03"))
	f.Fuzz(func(t *testing.T, in []byte) {
		open := func() *reader { return &reader{bufio.NewReader(bytes.NewReader(in))} }
		_, _ = open().head()
		kinds := []string{"text", "bigint", "real", "blob"}
		size := 0
		for i, r := 0, open(); ; i++ {
			v, err := r.value(kinds[i%len(kinds)])
			if err != nil {
				break
			}
			switch v := v.(type) {
			case string:
				size += len(v)
			case []byte:
				size += len(v)
			}
		}
		content, err := io.ReadAll(&pieces{r: open()})
		if size > len(in) || err == nil && len(content) > len(in) {
			t.Errorf("%d and %d bytes of %d", size, len(content), len(in))
		}
	})
}
