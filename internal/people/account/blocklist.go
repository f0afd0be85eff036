package account

import (
	"crypto/sha256"
	_ "embed"
	"sort"
	"strings"
)

// The 100,000 most common passwords of leaks that are long enough to be taken at
// all, in small letters, as sorted hashes cut to five bytes: one honest password
// in ten million is refused by mistake. How it was made stands in docs/dependencies.md.
//
//go:generate go run blocklist_gen.go -from 10_million_password_list_top_1M.txt -to blocklist.bin
//go:embed blocklist.bin
var blocklist string

const blockWidth = 5

// isLeaked tells whether a password is on the list.
func isLeaked(password string) bool {
	sum := sha256.Sum256([]byte(strings.ToLower(password)))
	want := string(sum[:blockWidth])
	n := len(blocklist) / blockWidth
	at := func(i int) string { return blocklist[i*blockWidth : (i+1)*blockWidth] }
	i := sort.Search(n, func(i int) bool { return at(i) >= want })
	return i < n && at(i) == want
}
