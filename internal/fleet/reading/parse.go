package reading

import (
	"fmt"
	"strconv"
	"time"
)

// Parser reads the payloads of one sender. It keeps the names of channels it
// has seen, so that a message costs little; it is not for use by two goroutines.
type Parser struct {
	limits Limits
	now    time.Time
	names  map[string]string
	values []Value
}

// namesKept bounds the names a parser remembers.
const namesKept = 256

// NewParser makes a parser.
func NewParser(limits Limits) *Parser {
	return &Parser{limits: limits, names: map[string]string{}}
}

// Parse reads a message: {"ts":ms,"values":{"flow":1.2}}, an array of these,
// SenML JSON or SenML CBOR (RFC 8428). All of it is accepted or none: a refusal
// is a fault that names the place. The result is valid until the next call.
func (p *Parser) Parse(payload []byte, now time.Time) ([]Value, error) {
	p.now, p.values = now, p.values[:0]
	s := &scanner{in: payload}
	var err error
	switch c := s.peek(); {
	case c == '{':
		err = p.plain(s, -1)
	case c == '[':
		if senML(payload) {
			err = p.senMLJSON(s)
		} else {
			err = p.plainList(s)
		}
	case len(payload) > 0 && payload[0]>>5 == 4: // a CBOR array
		return p.finish(p.senMLCBOR(payload))
	case c == 0 && s.at >= len(payload):
		return nil, refuse("reading.format", "byte 0", "The message is empty", formats)
	default:
		return nil, refuse("reading.format", "byte "+strconv.Itoa(s.at), "This is neither JSON nor SenML", formats)
	}
	if err == nil && s.peek() != 0 || err == nil && s.at < len(payload) {
		err = s.broken("There is something after the end of the message")
	}
	return p.finish(err)
}

const formats = `Send {"ts":1700000000000,"values":{"flow":1.2}}, an array of these, or SenML (RFC 8428) as JSON or CBOR`

func (p *Parser) finish(err error) ([]Value, error) {
	if err != nil {
		return nil, err
	}
	if len(p.values) == 0 {
		return nil, refuse("reading.format", "/", "The message holds no values", formats)
	}
	return p.values, nil
}

func (p *Parser) name(b []byte) string {
	if s, ok := p.names[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(p.names) < namesKept {
		p.names[s] = s
	}
	return s
}

func (p *Parser) add(v Value, place func() string) error {
	if len(p.values) >= p.limits.Values {
		return refuse("reading.many", place(), fmt.Sprintf("The message holds more than %d values", p.limits.Values), "Send several messages")
	}
	if err := p.check(&v, place); err != nil {
		return err
	}
	p.values = append(p.values, v)
	return nil
}

func (p *Parser) plainList(s *scanner) error {
	return s.list(func(i int) error {
		if s.peek() != '{' {
			return s.broken(`An object {"ts":…,"values":{…}} was expected`)
		}
		return p.plain(s, i)
	})
}

// plain reads {"ts":ms,"values":{…}}; the time may follow the values.
func (p *Parser) plain(s *scanner, index int) error {
	place := func(rest string) string {
		if index < 0 {
			return rest
		}
		return "/" + strconv.Itoa(index) + rest
	}
	from, ts, timed, valued := len(p.values), p.now.UnixMilli(), false, false
	err := s.object(func(key []byte) error {
		switch string(key) {
		case "ts":
			if timed {
				return refuse("reading.format", place("/ts"), "The time is given twice", "Give it once")
			}
			n, err := s.number()
			if err != nil {
				return err
			}
			if n != float64(int64(n)) || n < 0 || n > 1<<53 {
				return refuse("reading.time", place("/ts"), "The time is not a whole number of milliseconds", "Send milliseconds since 1970 in UTC")
			}
			ts, timed = int64(n), true
			return nil
		case "values":
			if valued {
				return refuse("reading.format", place("/values"), "The values are given twice", "Give them once")
			}
			valued = true
			return s.object(func(key []byte) error {
				at := func() string { return place("/values/" + string(key)) }
				channel := p.name(key)
				for _, earlier := range p.values[from:] {
					if earlier.Channel == channel {
						return refuse("reading.format", at(), "The channel is given twice for one time", "Give it once")
					}
				}
				value, err := s.measured(at)
				if err != nil {
					return err
				}
				// Judged with the time once it is known; the room is checked now.
				if len(p.values) >= p.limits.Values {
					return refuse("reading.many", at(), fmt.Sprintf("The message holds more than %d values", p.limits.Values), "Send several messages")
				}
				p.values = append(p.values, Value{Channel: channel, Value: value})
				return nil
			})
		}
		return refuse("reading.format", place("/"+string(key)), "There is no such field", `The fields are "ts" and "values"`)
	})
	if err != nil {
		return err
	}
	if !valued {
		return refuse("reading.format", place("/values"), `There is no field "values"`, formats)
	}
	for i := from; i < len(p.values); i++ {
		v := &p.values[i]
		v.TS = ts
		if err := p.check(v, func() string {
			if v.TS < earliest || v.TS > p.now.Add(p.limits.Skew).UnixMilli() {
				return place("/ts")
			}
			return place("/values/" + v.Channel)
		}); err != nil {
			return err
		}
	}
	return nil
}
