//go:build ignore

package main

import (
	"bufio"
	"crypto/sha256"
	"flag"
	"log"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// Makes blocklist.bin of a list of passwords, the most common first: the first
// 100,000 that are long enough to be taken at all, as sorted, cut hashes.
//
//	go run blocklist_gen.go -from LIST -to blocklist.bin
func main() {
	from := flag.String("from", "", "list of passwords, one on a line, the most common first")
	to := flag.String("to", "blocklist.bin", "file to write")
	flag.Parse()
	file, err := os.Open(*from)
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	const most, shortest, width = 100_000, 8, 5
	var sums []string
	seen := map[string]bool{}
	for lines := bufio.NewScanner(file); len(sums) < most && lines.Scan(); {
		password := strings.ToLower(lines.Text())
		if !utf8.ValidString(password) || utf8.RuneCountInString(password) < shortest || seen[password] {
			continue
		}
		seen[password] = true
		sum := sha256.Sum256([]byte(password))
		sums = append(sums, string(sum[:width]))
	}
	if len(sums) < most {
		log.Fatalf("the list has only %d passwords of %d characters", len(sums), shortest)
	}
	slices.Sort(sums)
	if err := os.WriteFile(*to, []byte(strings.Join(sums, "")), 0o644); err != nil {
		log.Fatal(err)
	}
}
