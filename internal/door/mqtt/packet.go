package mqtt

import (
	"bytes"
	"encoding/binary"
	"errors"

	five "github.com/eclipse/paho.golang/packets"
	three "github.com/eclipse/paho.mqtt.golang/packets"
)

// What a client may say, in the door's words; both versions decode to these.
type (
	connect struct {
		version   byte
		clientID  string
		clean     bool
		keepAlive int // seconds
		will      *will
		auth      bool // extended authentication is asked for
		// maximum is how many QoS 1 messages the client takes at once, and the longest packet it takes.
		receiveMaximum int
		packetMaximum  int
		problems       bool // reason strings are welcome
	}
	will struct {
		topic   string
		message []byte
		qos     byte
		retain  bool
	}
	publish struct {
		topic   string
		id      uint16
		qos     byte
		retain  bool
		alias   bool
		payload []byte
	}
	filter struct {
		topic string
		qos   byte
	}
	subscribe struct {
		id         uint16
		filters    []filter
		identifier bool // a subscription identifier is given
	}
	unsubscribe struct {
		id      uint16
		filters []string
	}
	puback struct{ id uint16 }
	ping   struct{}
	// disconnect ends a connection; withWill asks for the will although the end is orderly.
	disconnect struct{ withWill bool }
)

// decodeConnect decodes the first packet. It peeks at the version, which decides
// the codec; a version this door does not speak is a breach of its own kind.
func decodeConnect(h header, body []byte) (*connect, error) {
	if h.kind != typeConnect {
		return nil, breachf(codeProtocolError, "The first packet is of type %d; it must be CONNECT", h.kind)
	}
	name, version, err := peekVersion(body)
	if err != nil {
		return nil, err
	}
	if name != "MQTT" || version != version311 && version != version5 {
		return nil, breachf(codeUnsupportedVersion, "Protocol %q version %d is not spoken here: use MQTT 3.1.1 or 5", name, version)
	}
	if err := measure(version, h, body); err != nil {
		return nil, err
	}
	c := &connect{version: version, receiveMaximum: 65535, problems: true}
	if version == version311 {
		p := three.ConnectPacket{FixedHeader: three.FixedHeader{MessageType: typeConnect, RemainingLength: h.length}}
		if err := p.Unpack(bytes.NewBuffer(body)); err != nil {
			return nil, codecError(err)
		}
		c.clientID, c.clean, c.keepAlive = p.ClientIdentifier, p.CleanSession, int(p.Keepalive)
		if p.WillFlag {
			c.will = &will{p.WillTopic, p.WillMessage, p.WillQos, p.WillRetain}
		}
		return c, nil
	}
	p := five.NewControlPacket(five.CONNECT).Content.(*five.Connect)
	if err := p.Unpack(bytes.NewBuffer(body)); err != nil {
		return nil, codecError(err)
	}
	c.clientID, c.clean, c.keepAlive = p.ClientID, p.CleanStart, int(p.KeepAlive)
	c.auth = p.Properties.AuthMethod != "" || len(p.Properties.AuthData) > 0
	if m := p.Properties.ReceiveMaximum; m != nil {
		c.receiveMaximum = int(*m)
	}
	if m := p.Properties.MaximumPacketSize; m != nil {
		c.packetMaximum = int(*m)
	}
	if i := p.Properties.RequestProblemInfo; i != nil {
		c.problems = *i == 1
	}
	if p.WillFlag {
		c.will = &will{p.WillTopic, p.WillMessage, p.WillQOS, p.WillRetain}
	}
	return c, nil
}

func peekVersion(body []byte) (name string, version byte, err error) {
	w := &walk{rest: body}
	n := w.text("the protocol name")
	v := w.take(1, "the protocol version")
	if w.err != nil {
		return "", 0, w.err
	}
	return string(n), v[0], nil
}

// decode decodes a packet after CONNECT. PUBLISH is the packet that arrives by
// the thousand: measure has proven its lengths, so it is cut in place, and its
// payload is a part of body. All others go through the codecs.
func decode(version byte, h header, body []byte) (any, error) {
	if err := measure(version, h, body); err != nil {
		return nil, err
	}
	if version == version311 {
		return decode3(h, body)
	}
	return decode5(h, body)
}

// cutPublish decodes a measured PUBLISH without copying.
func cutPublish(version byte, h header, body []byte, p *publish) error {
	if err := measure(version, h, body); err != nil {
		return err
	}
	*p = publish{qos: h.flags >> 1 & 3, retain: h.flags&1 != 0}
	w := &walk{rest: body}
	p.topic = string(w.binary(""))
	if p.qos > 0 {
		p.id = uint16(w.uint16("")) // #nosec G115 -- read from two bytes
	}
	if version == version5 {
		block := w.take(w.varint(""), "")
		if len(block) > 0 {
			decoded, err := decode5(h, body)
			if err != nil {
				return err
			}
			p.alias = decoded.(*publish).alias
		}
	}
	p.payload = w.rest
	if w.err != nil {
		return w.err
	}
	if p.topic == "" && !p.alias {
		return breachf(codeProtocolError, "The topic is empty")
	}
	return nil
}

func decode3(h header, body []byte) (any, error) {
	fixed := three.FixedHeader{MessageType: h.kind, Dup: h.flags&8 != 0, Qos: h.flags >> 1 & 3, Retain: h.flags&1 != 0, RemainingLength: h.length}
	packet, err := three.NewControlPacketWithHeader(fixed)
	if err != nil {
		return nil, codecError(err)
	}
	if err := packet.Unpack(bytes.NewBuffer(body)); err != nil && len(body) > 0 {
		return nil, codecError(err)
	}
	switch p := packet.(type) {
	case *three.PublishPacket:
		return &publish{topic: p.TopicName, id: p.MessageID, qos: p.Qos, retain: p.Retain, payload: p.Payload}, nil
	case *three.SubscribePacket:
		s := &subscribe{id: p.MessageID}
		for i, topic := range p.Topics {
			s.filters = append(s.filters, filter{topic, p.Qoss[i]})
		}
		return s, nil
	case *three.UnsubscribePacket:
		return &unsubscribe{id: p.MessageID, filters: p.Topics}, nil
	case *three.PubackPacket:
		return &puback{p.MessageID}, nil
	case *three.PingreqPacket:
		return &ping{}, nil
	case *three.DisconnectPacket:
		return &disconnect{}, nil
	}
	return nil, outOfPlace(h)
}

func decode5(h header, body []byte) (any, error) {
	packet := five.NewControlPacket(h.kind)
	if packet == nil {
		return nil, outOfPlace(h)
	}
	if p, ok := packet.Content.(*five.Publish); ok {
		p.QoS, p.Duplicate, p.Retain = h.flags>>1&3, h.flags&8 != 0, h.flags&1 != 0
	}
	if len(body) > 0 { // DISCONNECT may be empty, which the codec does not expect
		if err := packet.Content.Unpack(bytes.NewBuffer(body)); err != nil {
			return nil, codecError(err)
		}
	}
	switch p := packet.Content.(type) {
	case *five.Publish:
		return &publish{topic: p.Topic, id: p.PacketID, qos: p.QoS, retain: p.Retain, alias: p.Properties.TopicAlias != nil, payload: p.Payload}, nil
	case *five.Subscribe:
		s := &subscribe{id: p.PacketID, identifier: p.Properties.SubscriptionIdentifier != nil}
		for _, f := range p.Subscriptions {
			s.filters = append(s.filters, filter{f.Topic, f.QoS})
		}
		return s, nil
	case *five.Unsubscribe:
		return &unsubscribe{id: p.PacketID, filters: p.Topics}, nil
	case *five.Puback:
		return &puback{p.PacketID}, nil
	case *five.Pingreq:
		return &ping{}, nil
	case *five.Disconnect:
		return &disconnect{withWill: p.ReasonCode == 0x04}, nil
	}
	return nil, outOfPlace(h)
}

func outOfPlace(h header) *breach {
	switch h.kind {
	case typeConnect:
		return breachf(codeProtocolError, "CONNECT may be sent once")
	case typePubrec, typePubrel, typePubcomp:
		return breachf(codeProtocolError, "Packet type %d belongs to QoS 2, which this door refuses", h.kind)
	}
	return breachf(codeProtocolError, "Packet type %d has no place here", h.kind)
}

func codecError(err error) error {
	var b *breach
	if errors.As(err, &b) {
		return b
	}
	return breachf(codeMalformed, "The packet could not be decoded: %v", err)
}

// Answers. Each appends a packet of the given version to buf.

// terms are what CONNACK tells a MQTT 5 client about this door.
type terms struct {
	receiveMaximum int
	packetMaximum  int
	keepAlive      int    // 0: the client's own
	assigned       string // client identifier, when the client gave none
}

func appendConnack(buf []byte, version, code byte, reason string, t *terms) []byte {
	if version != version5 {
		return write(buf, &three.ConnackPacket{FixedHeader: three.FixedHeader{MessageType: typeConnack}, ReturnCode: connackCode3(code)})
	}
	p := five.Properties{ReasonString: reason}
	if t != nil {
		zero, one, expiry := byte(0), byte(1), uint32(0)
		receive, packet, alias := uint16(t.receiveMaximum), uint32(t.packetMaximum), uint16(0) // #nosec G115 -- of the configuration, bounded in New
		p.ReceiveMaximum, p.MaximumPacketSize, p.TopicAliasMaximum = &receive, &packet, &alias
		p.MaximumQOS, p.RetainAvailable, p.SharedSubAvailable, p.SubIDAvailable = &one, &zero, &zero, &zero
		p.WildcardSubAvailable, p.SessionExpiryInterval = &one, &expiry
		p.AssignedClientID = t.assigned
		if t.keepAlive > 0 {
			k := uint16(t.keepAlive) // #nosec G115 -- a keep alive is two bytes on the wire
			p.ServerKeepAlive = &k
		}
	}
	return write5(buf, typeConnack, &five.Connack{ReasonCode: code, Properties: &p})
}

// connackCode3 translates a reason into the five return codes of MQTT 3.1.1.
func connackCode3(code byte) byte {
	switch code {
	case codeSuccess:
		return three.Accepted
	case codeUnsupportedVersion:
		return three.ErrRefusedBadProtocolVersion
	case codeClientID:
		return three.ErrRefusedIDRejected
	case codeBusy, codeUnavailable, codeShuttingDown, codeConnectionRate, codeQuota:
		return three.ErrRefusedServerUnavailable
	}
	return three.ErrRefusedNotAuthorised
}

// appendPuback is written by hand: it is the answer sent by the thousand.
func appendPuback(buf []byte, version byte, id uint16, code byte, reason string) []byte {
	if version != version5 || code == codeSuccess {
		buf = append(buf, typePuback<<4, 2)
		return binary.BigEndian.AppendUint16(buf, id)
	}
	return write5(buf, typePuback, &five.Puback{PacketID: id, ReasonCode: code, Properties: &five.Properties{ReasonString: reason}})
}

func appendSuback(buf []byte, version byte, id uint16, codes []byte, reason string) []byte {
	if version == version5 {
		return write5(buf, typeSuback, &five.Suback{PacketID: id, Reasons: codes, Properties: &five.Properties{ReasonString: reason}})
	}
	for i, c := range codes {
		if c > 2 {
			codes[i] = 0x80
		}
	}
	return write(buf, &three.SubackPacket{FixedHeader: three.FixedHeader{MessageType: typeSuback}, MessageID: id, ReturnCodes: codes})
}

func appendUnsuback(buf []byte, version byte, id uint16, codes []byte) []byte {
	if version == version5 {
		return write5(buf, typeUnsuback, &five.Unsuback{PacketID: id, Reasons: codes, Properties: &five.Properties{}})
	}
	return write(buf, &three.UnsubackPacket{FixedHeader: three.FixedHeader{MessageType: typeUnsuback}, MessageID: id})
}

// appendDisconnect says why the connection ends; MQTT 3.1.1 servers cannot.
func appendDisconnect(buf []byte, version byte, code byte, reason string) []byte {
	if version != version5 {
		return buf
	}
	return write5(buf, typeDisconnect, &five.Disconnect{ReasonCode: code, Properties: &five.Properties{ReasonString: reason}})
}

func appendPublish(buf []byte, version byte, topic string, id uint16, qos byte, payload []byte) []byte {
	if version == version5 {
		return write5(buf, typePublish, &five.Publish{Topic: topic, PacketID: id, QoS: qos, Payload: payload, Properties: &five.Properties{}})
	}
	return write(buf, &three.PublishPacket{FixedHeader: three.FixedHeader{MessageType: typePublish, Qos: qos}, TopicName: topic, MessageID: id, Payload: payload})
}

func appendPingresp(buf []byte) []byte { return append(buf, typePingresp<<4, 0) }

func write(buf []byte, p three.ControlPacket) []byte {
	w := bytes.NewBuffer(buf)
	_ = p.Write(w) // a bytes.Buffer takes everything
	return w.Bytes()
}

func write5(buf []byte, kind byte, content five.Packet) []byte {
	w := bytes.NewBuffer(buf)
	p := five.ControlPacket{Content: content}
	p.Type = kind
	_, _ = p.WriteTo(w)
	return w.Bytes()
}
