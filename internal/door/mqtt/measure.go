package mqtt

import (
	"encoding/binary"
	"unicode/utf8"
)

// measure walks a packet and proves that every length inside it agrees with the
// packet's own, that text is text, and that no property is unknown, misplaced or
// given twice. The codecs behind it are forgiving: the 3.1.1 one pads a short
// string with zeros, the 5 one shortens a property block. A packet that passes
// here means the same to every reader.
func measure(version byte, h header, body []byte) error {
	w := &walk{rest: body}
	switch h.kind {
	case typeConnect:
		w.connect()
	case typePublish:
		w.text("the topic")
		if h.flags>>1&3 > 0 {
			w.packetID()
		}
		if version == version5 {
			w.properties(typePublish)
		}
		return w.err // what is left is the payload
	case typePuback, typePubrec, typePubrel, typePubcomp:
		w.packetID()
		if version == version5 && len(w.rest) > 0 {
			w.take(1, "the reason code")
			if len(w.rest) > 0 {
				w.properties(h.kind)
			}
		}
	case typeSubscribe:
		w.packetID()
		if version == version5 {
			w.properties(typeSubscribe)
		}
		w.filters(true, version)
	case typeUnsubscribe:
		w.packetID()
		if version == version5 {
			w.properties(typeUnsubscribe)
		}
		w.filters(false, version)
	case typeDisconnect, typeAuth:
		if version != version5 && h.kind == typeAuth {
			return breachf(codeProtocolError, "AUTH does not exist in MQTT 3.1.1")
		}
		if version == version5 && len(w.rest) > 0 {
			w.take(1, "the reason code")
			if len(w.rest) > 0 {
				w.properties(h.kind)
			}
		}
	}
	if w.err == nil && len(w.rest) > 0 {
		return breachf(codeMalformed, "%d bytes are left over at the end of the packet", len(w.rest))
	}
	return w.err
}

type walk struct {
	rest []byte
	err  error
}

func (w *walk) fail(format string, args ...any) {
	if w.err == nil {
		w.err = breachf(codeMalformed, format, args...)
	}
	w.rest = nil
}

// take steps over n bytes and gives them.
func (w *walk) take(n int, what string) []byte {
	if w.err != nil {
		return nil
	}
	if n > len(w.rest) {
		w.fail("%s says %d bytes, %d are left in the packet", what, n, len(w.rest))
		return nil
	}
	taken := w.rest[:n]
	w.rest = w.rest[n:]
	return taken
}

func (w *walk) uint16(what string) int {
	if b := w.take(2, what); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (w *walk) packetID() {
	if w.uint16("the packet identifier") == 0 && w.err == nil {
		w.err = breachf(codeProtocolError, "A packet identifier cannot be 0")
	}
}

func (w *walk) binary(what string) []byte { return w.take(w.uint16(what), what) }

// text steps over a string: UTF-8 without NUL, as the standard demands.
func (w *walk) text(what string) []byte {
	b := w.binary(what)
	if w.err != nil {
		return nil
	}
	if !utf8.Valid(b) {
		w.fail("%s is not UTF-8", what)
		return nil
	}
	for _, c := range b {
		if c == 0 {
			w.fail("%s contains a NUL", what)
			return nil
		}
	}
	return b
}

func (w *walk) connect() {
	w.text("the protocol name")
	version := w.take(1, "the protocol version")
	flags := w.take(1, "the connect flags")
	w.uint16("the keep alive")
	if w.err != nil {
		return
	}
	five := version[0] == version5
	f := flags[0]
	will := f&4 != 0
	switch {
	case f&1 != 0:
		w.fail("The reserved connect flag is set")
	case f>>3&3 == 3:
		w.fail("The will's QoS 3 does not exist")
	case !will && f&0x38 != 0:
		w.fail("There are will flags without a will")
	case !five && f&0x40 != 0 && f&0x80 == 0:
		w.fail("There is a password without a user name")
	}
	if five {
		w.properties(typeConnect)
	}
	w.text("the client identifier")
	if will {
		if five {
			w.properties(willProperties)
		}
		w.text("the will's topic")
		w.binary("the will's message")
	}
	if f&0x80 != 0 {
		w.text("the user name")
	}
	if f&0x40 != 0 {
		w.binary("the password")
	}
}

func (w *walk) filters(options bool, version byte) {
	if w.err == nil && len(w.rest) == 0 {
		w.err = breachf(codeProtocolError, "There is no topic filter in the packet")
	}
	for w.err == nil && len(w.rest) > 0 {
		w.text("the topic filter")
		if !options {
			continue
		}
		o := w.take(1, "the subscription's options")
		if w.err != nil {
			return
		}
		reserved := byte(0xFC)
		if version == version5 {
			reserved = 0xC0
		}
		if o[0]&reserved != 0 || o[0]&3 == 3 || o[0]>>4&3 == 3 {
			w.fail("The subscription's options 0x%02x are not valid", o[0])
		}
	}
}

// varint reads a variable byte integer.
func (w *walk) varint(what string) int {
	value := 0
	for shift := 0; shift < 28; shift += 7 {
		b := w.take(1, what)
		if w.err != nil {
			return 0
		}
		value |= int(b[0]&0x7F) << shift
		if b[0]&0x80 == 0 {
			return value
		}
	}
	w.fail("%s is longer than four bytes", what)
	return 0
}

// How a property is written.
const (
	asByte = iota + 1
	asUint16
	asUint32
	asVarint
	asText
	asBinary
	asPair
)

// willProperties stands beside the packet types: a will has a set of its own.
const willProperties byte = 16

func in(kinds ...byte) (mask uint32) {
	for _, k := range kinds {
		mask |= 1 << k
	}
	return mask
}

// propertyTable is section 2.2.2.2 of the standard, for the packets a client sends.
var propertyTable = [43]struct {
	form int
	in   uint32
}{
	1:  {asByte, in(typePublish, willProperties)},
	2:  {asUint32, in(typePublish, willProperties)},
	3:  {asText, in(typePublish, willProperties)},
	8:  {asText, in(typePublish, willProperties)},
	9:  {asBinary, in(typePublish, willProperties)},
	11: {asVarint, in(typeSubscribe)}, // in PUBLISH only from server to client
	17: {asUint32, in(typeConnect, typeDisconnect)},
	21: {asText, in(typeConnect, typeAuth)},
	22: {asBinary, in(typeConnect, typeAuth)},
	23: {asByte, in(typeConnect)},
	24: {asUint32, in(willProperties)},
	25: {asByte, in(typeConnect)},
	31: {asText, in(typePuback, typePubrec, typePubrel, typePubcomp, typeDisconnect, typeAuth)},
	33: {asUint16, in(typeConnect)},
	34: {asUint16, in(typeConnect)},
	35: {asUint16, in(typePublish)},
	38: {asPair, ^uint32(0)},
	39: {asUint32, in(typeConnect)},
}

func (w *walk) properties(kind byte) {
	size := w.varint("the length of the properties")
	block := w.take(size, "the property block")
	if w.err != nil {
		return
	}
	p := walk{rest: block}
	var seen uint64
	for p.err == nil && len(p.rest) > 0 {
		number := p.take(1, "a property")[0]
		if int(number) >= len(propertyTable) || propertyTable[number].form == 0 || propertyTable[number].in&(1<<kind) == 0 {
			p.fail("Property %d does not belong here", number)
			break
		}
		form := propertyTable[number].form
		if seen&(1<<number) != 0 && form != asPair {
			p.err = breachf(codeProtocolError, "Property %d is given twice", number)
			break
		}
		seen |= 1 << number
		switch form {
		case asByte:
			if b := p.take(1, "a property"); p.err == nil && b[0] > 1 {
				p.err = breachf(codeProtocolError, "Property %d must be 0 or 1, not %d", number, b[0])
			}
		case asUint16:
			if n := p.uint16("a property"); n == 0 && p.err == nil && (number == 33 || number == 35) {
				code := codeProtocolError
				if number == 35 {
					code = codeTopicAlias
				}
				p.err = breachf(code, "Property %d cannot be 0", number)
			}
		case asUint32:
			if b := p.take(4, "a property"); p.err == nil && number == 39 && binary.BigEndian.Uint32(b) == 0 {
				p.err = breachf(codeProtocolError, "A maximum packet size of 0 leaves nothing to say")
			}
		case asVarint:
			p.varint("a property")
		case asText:
			p.text("a property")
		case asBinary:
			p.binary("a property")
		case asPair:
			p.text("a user property")
			p.text("a user property")
		}
	}
	if p.err != nil {
		w.err, w.rest = p.err, nil
	}
}
