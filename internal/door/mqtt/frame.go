package mqtt

import (
	"bufio"
	"fmt"
	"io"
)

// The control packet types of both versions.
const (
	typeConnect     byte = 1
	typeConnack     byte = 2
	typePublish     byte = 3
	typePuback      byte = 4
	typePubrec      byte = 5
	typePubrel      byte = 6
	typePubcomp     byte = 7
	typeSubscribe   byte = 8
	typeSuback      byte = 9
	typeUnsubscribe byte = 10
	typeUnsuback    byte = 11
	typePingreq     byte = 12
	typePingresp    byte = 13
	typeDisconnect  byte = 14
	typeAuth        byte = 15
)

// The protocol versions as CONNECT names them.
const (
	version311 byte = 4
	version5   byte = 5
)

// breach is a break of the protocol: the MQTT 5 reason code that names it and
// what to tell the sender. MQTT 3.1.1 has no such codes; there the connection
// closes and the text goes to the refusals.
type breach struct {
	code byte
	text string
}

func (b *breach) Error() string { return fmt.Sprintf("%s (0x%02x)", b.text, b.code) }

func breachf(code byte, format string, args ...any) *breach {
	return &breach{code: code, text: fmt.Sprintf(format, args...)}
}

// The reason codes this door uses (MQTT 5, section 2.4).
const (
	codeSuccess            byte = 0x00
	codeNoSubscription     byte = 0x11
	codeMalformed          byte = 0x81
	codeProtocolError      byte = 0x82
	codeUnsupportedVersion byte = 0x84
	codeClientID           byte = 0x85
	codeNotAuthorized      byte = 0x87
	codeUnavailable        byte = 0x88
	codeBusy               byte = 0x89
	codeShuttingDown       byte = 0x8B
	codeBadAuthMethod      byte = 0x8C
	codeKeepAlive          byte = 0x8D
	codeTakenOver          byte = 0x8E
	codeTopicFilter        byte = 0x8F
	codeTopicName          byte = 0x90
	codeReceiveMaximum     byte = 0x93
	codeTopicAlias         byte = 0x94
	codeTooLarge           byte = 0x95
	codeRate               byte = 0x96
	codeQuota              byte = 0x97
	codeAdministrative     byte = 0x98
	codePayloadFormat      byte = 0x99
	codeRetain             byte = 0x9A
	codeQoS                byte = 0x9B
	codeShared             byte = 0x9E
	codeConnectionRate     byte = 0x9F
	codeSubscriptionID     byte = 0xA1
)

// header is the fixed header of a packet.
type header struct {
	kind   byte
	flags  byte
	length int
}

// readHeader reads a fixed header. The length is checked before a byte of the
// body is asked for or room for it is made.
func readHeader(r *bufio.Reader, limit int) (header, error) {
	first, err := r.ReadByte()
	if err != nil {
		return header{}, err
	}
	h := header{kind: first >> 4, flags: first & 0x0F}
	if err := checkFlags(h); err != nil {
		return h, err
	}
	for shift := 0; ; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return h, unexpected(err)
		}
		h.length |= int(b&0x7F) << shift
		if b&0x80 == 0 {
			if b == 0 && shift > 0 {
				return h, breachf(codeMalformed, "The packet's length is not written in its shortest form")
			}
			break
		}
		if shift == 21 {
			return h, breachf(codeMalformed, "The packet's length is longer than four bytes")
		}
	}
	if h.length > limit {
		return h, breachf(codeTooLarge, "The packet says it is %d bytes long; at most %d are accepted", h.length, limit)
	}
	return h, nil
}

// checkFlags refuses types a client may not send and flags the standard reserves.
func checkFlags(h header) error {
	switch h.kind {
	case typePublish:
		qos := h.flags >> 1 & 3
		if qos == 3 {
			return breachf(codeMalformed, "QoS 3 does not exist")
		}
		if qos == 0 && h.flags&8 != 0 {
			return breachf(codeMalformed, "A QoS 0 message cannot be a duplicate")
		}
		return nil
	case typePubrel, typeSubscribe, typeUnsubscribe:
		if h.flags != 2 {
			return breachf(codeMalformed, "The reserved flags of packet type %d must be 2, not %d", h.kind, h.flags)
		}
		return nil
	case typeConnect, typePuback, typePubrec, typePubcomp, typePingreq, typeDisconnect, typeAuth:
		if h.flags != 0 {
			return breachf(codeMalformed, "The reserved flags of packet type %d must be 0, not %d", h.kind, h.flags)
		}
		return nil
	}
	return breachf(codeProtocolError, "Packet type %d is not one that a client sends", h.kind)
}

// readBody reads the body into buf, which grows to what packets need and never
// beyond the limit readHeader enforced. Room is made as bytes arrive, so that a
// long length alone costs nothing.
func readBody(r *bufio.Reader, length int, buf []byte) ([]byte, error) {
	const step = 4096
	buf = buf[:0]
	for len(buf) < length {
		n := min(length-len(buf), max(step, cap(buf)-len(buf)))
		from := len(buf)
		if cap(buf) < from+n {
			grown := make([]byte, from, min(length, max(2*cap(buf), from+n)))
			copy(grown, buf)
			buf = grown
			n = min(length-from, cap(buf)-from)
		}
		buf = buf[:from+n]
		if _, err := io.ReadFull(r, buf[from:]); err != nil {
			return buf[:from], unexpected(err)
		}
	}
	return buf, nil
}

// unexpected makes the end of the stream inside a packet different from its end between packets.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
