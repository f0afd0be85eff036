package reading

import (
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"
)

// scanner reads JSON without building it. It is as strict as RFC 8259 about
// what it reads, and goes no deeper than it is asked to, or depthLimit when it
// skips.
type scanner struct {
	in []byte
	at int
}

const depthLimit = 16

// peek gives the next byte that is no white space, 0 at the end.
func (s *scanner) peek() byte {
	for s.at < len(s.in) {
		switch c := s.in[s.at]; c {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) broken(message string) error {
	return refuse("reading.format", "byte "+strconv.Itoa(s.at), message, "Send JSON as RFC 8259 has it")
}

func (s *scanner) expect(c byte) error {
	if s.peek() != c {
		return s.broken("A " + strconv.QuoteRune(rune(c)) + " was expected")
	}
	s.at++
	return nil
}

// object reads an object and calls field for each key; field reads the value.
// The key is valid during the call.
func (s *scanner) object(field func(key []byte) error) error {
	if err := s.expect('{'); err != nil {
		return err
	}
	if s.peek() == '}' {
		s.at++
		return nil
	}
	for {
		key, err := s.text()
		if err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		if err := field(key); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.at++
		case '}':
			s.at++
			return nil
		default:
			return s.broken("A ',' or '}' was expected")
		}
	}
}

// list reads an array and calls item for each element; item reads it.
func (s *scanner) list(item func(i int) error) error {
	if err := s.expect('['); err != nil {
		return err
	}
	if s.peek() == ']' {
		s.at++
		return nil
	}
	for i := 0; ; i++ {
		if err := item(i); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.at++
		case ']':
			s.at++
			return nil
		default:
			return s.broken("A ',' or ']' was expected")
		}
	}
}

// text reads a string; without escapes it is a part of the input.
func (s *scanner) text() ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.broken("A string was expected")
	}
	from := s.at
	escaped := false
	for i := s.at + 1; i < len(s.in); i++ {
		switch c := s.in[i]; {
		case c == '"':
			raw := s.in[from+1 : i]
			if escaped {
				var t string
				if json.Unmarshal(s.in[from:i+1], &t) != nil {
					return nil, s.broken("The string's escapes are not valid")
				}
				raw = []byte(t)
			}
			if !utf8.Valid(raw) {
				return nil, s.broken("The string is not UTF-8")
			}
			s.at = i + 1
			return raw, nil
		case c == '\\':
			escaped = true
			i++
		case c < ' ':
			return nil, s.broken("There is a control character in a string")
		}
	}
	return nil, s.broken("A string does not end")
}

// number reads a number; one too large for a double is not finite.
func (s *scanner) number() (float64, error) {
	s.peek()
	from, i := s.at, s.at
	digits := func() bool {
		start := i
		for i < len(s.in) && s.in[i] >= '0' && s.in[i] <= '9' {
			i++
		}
		return i > start
	}
	next := func(cs string) bool {
		for j := range len(cs) {
			if i < len(s.in) && s.in[i] == cs[j] {
				i++
				return true
			}
		}
		return false
	}
	next("-")
	zero := next("0")
	if !zero && !digits() {
		return 0, s.broken("A number was expected")
	}
	if next(".") && !digits() {
		return 0, s.broken("A digit was expected after the point")
	}
	if next("eE") {
		next("+-")
		if !digits() {
			return 0, s.broken("A digit was expected in the exponent")
		}
	}
	n, err := strconv.ParseFloat(string(s.in[from:i]), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, s.broken("The number cannot be read")
	}
	s.at = i
	return n, nil
}

// measured reads a value: a number, or true and false as 1 and 0.
func (s *scanner) measured(place func() string) (float64, error) {
	switch c := s.peek(); {
	case c == 't' && s.word("true"):
		return 1, nil
	case c == 'f' && s.word("false"):
		return 0, nil
	case c == 'n' && s.word("null"):
		return 0, refuse("reading.value", place(), "The value is null", "Leave out what was not measured")
	case c == '"':
		return 0, refuse("reading.value", place(), "The value is text", "Send a number, without quotes")
	case c == '{', c == '[':
		return 0, refuse("reading.value", place(), "The value is not a number", "Send one number per channel")
	}
	return s.number()
}

func (s *scanner) word(w string) bool {
	if len(s.in)-s.at >= len(w) && string(s.in[s.at:s.at+len(w)]) == w {
		s.at += len(w)
		return true
	}
	return false
}

// skip reads any value and forgets it.
func (s *scanner) skip(depth int) error {
	if depth > depthLimit {
		return s.broken("The message is nested too deeply")
	}
	switch c := s.peek(); c {
	case '{':
		return s.object(func([]byte) error { return s.skip(depth + 1) })
	case '[':
		return s.list(func(int) error { return s.skip(depth + 1) })
	case '"':
		_, err := s.text()
		return err
	case 't', 'f', 'n':
		if s.word("true") || s.word("false") || s.word("null") {
			return nil
		}
		return s.broken("A value was expected")
	}
	_, err := s.number()
	return err
}
