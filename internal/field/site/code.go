package site

import (
	"context"
	"strconv"
	"sync"

	"github.com/google/uuid"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
)

// A code is a running number followed by a check digit: the number's digits,
// from the right, weighted 7, 3, 1, 7, 3, 1 ..., summed, modulo 10. It is the
// scheme that water points in the field are painted with: 10007, 157469 and
// 742897074 are valid. It finds every single wrong digit.

// CodeOf is the code of a running number.
func CodeOf(number int64) string {
	digits := strconv.FormatInt(number, 10)
	return digits + string(rune('0'+checkDigit(digits)))
}

// ValidCode tells whether a text is a code with the right check digit.
func ValidCode(code string) bool {
	if len(code) < 2 || len(code) > 18 || code[0] == '0' {
		return false
	}
	for _, c := range code {
		if c < '0' || c > '9' {
			return false
		}
	}
	last := len(code) - 1
	return int(code[last]-'0') == checkDigit(code[:last])
}

func checkDigit(digits string) int {
	weights := [3]int{7, 3, 1}
	sum := 0
	for i := range len(digits) {
		sum += int(digits[len(digits)-1-i]-'0') * weights[i%3]
	}
	return sum % 10
}

// number is the running number of a code; 0 when it is none.
func number(code string) int64 {
	if !ValidCode(code) {
		return 0
	}
	n, err := strconv.ParseInt(code[:len(code)-1], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

const (
	firstNumber = 1000 // so that codes have at least five digits
	poolSize    = 50   // numbers that a server process takes at once
)

// Counter is the next running number of the server. It only grows: a number of
// a site that is deleted or undone is never given to another.
type Counter struct {
	Next int64 `json:"next"`
}

// Counters is the noun of the one counter.
var Counters = ledger.Noun[Counter]{Name: "site_counter", Check: func(_ *ledger.Tx, before, after *ledger.Doc[Counter]) error {
	if before != nil && (after == nil || after.Body.Next < before.Body.Next) {
		return fault.New(fault.Conflict, "site_counter.grows", "Site numbers are only ever given out, never taken back")
	}
	return nil
}}

var counterID = uuid.NewSHA1(uuid.NameSpaceOID, []byte("qanat site counter")).String()

// codes gives out codes. Numbers are reserved in a write of their own, before
// the write that uses them: a counter inside the same act would stand in the way
// of undoing it. What a crash leaves unused stays unused.
type codes struct {
	ledger *ledger.Ledger
	mu     sync.Mutex
	next   int64
	end    int64
}

// take reserves n codes.
func (c *codes) take(ctx context.Context, n int) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	given := make([]string, 0, n)
	for len(given) < n {
		if c.next == c.end {
			if err := c.reserve(ctx, int64(max(n-len(given), poolSize))); err != nil {
				return nil, err
			}
		}
		given = append(given, CodeOf(c.next))
		c.next++
	}
	return given, nil
}

func (c *codes) reserve(ctx context.Context, n int64) error {
	var from int64
	err := c.ledger.Write(ctx, ledger.System("site codes"), "numbers reserved", func(tx *ledger.Tx) error {
		counter, err := Counters.Get(tx.Reader, counterID)
		if fault.KindOf(err) == fault.NotFound && err != nil {
			from = firstNumber
			_, err = Counters.Create(tx, "", counterID, Counter{from + n})
			return err
		}
		if err != nil {
			return err
		}
		from = counter.Body.Next
		_, err = Counters.Update(tx, counterID, 0, func(c *Counter) error { c.Next += n; return nil })
		return err
	})
	if err == nil {
		c.next, c.end = from, from+n
	}
	return err
}

// free drops the codes that sites brought from elsewhere already have.
func free(r *ledger.Reader, codes []string) ([]string, error) {
	taken, err := byCodes(r, codes)
	if err != nil {
		return nil, err
	}
	var left []string
	for _, code := range codes {
		if _, is := taken[code]; !is {
			left = append(left, code)
		}
	}
	return left, nil
}

// byCodes gives the ids of the sites that have one of the codes.
func byCodes(r *ledger.Reader, codes []string) (map[string]string, error) {
	found := map[string]string{}
	for len(codes) > 0 {
		part := codes[:min(len(codes), 250)]
		codes = codes[len(part):]
		args := make([]any, len(part))
		for i, code := range part {
			args[i] = code
		}
		rows := r.Query("SELECT n.code, n.id FROM site n WHERE n.code IN ("+placeholders(1, len(part))+")", args...)
		for rows.Next() {
			var code, id string
			rows.Scan(&code, &id)
			found[code] = id
		}
		if err := rows.Close(); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func placeholders(from, n int) string {
	b := make([]byte, 0, n*5)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '$')
		b = strconv.AppendInt(b, int64(from+i), 10)
	}
	return string(b)
}
