package mqtt

import (
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/fleet/reading"
	"github.com/qanat-water/qanat/internal/fleet/refusal"
)

func (s *session) publish(p *publish) error {
	d := s.door
	switch {
	case p.qos == 2:
		return breachf(codeQoS, "QoS 2 is not supported; use 1")
	case p.retain:
		return breachf(codeRetain, "Retained messages are not supported")
	case p.alias:
		return breachf(codeTopicAlias, "Topic aliases are not supported")
	case strings.ContainsAny(p.topic, "+#"):
		return breachf(codeTopicName, "A topic name has no wildcards")
	}
	d.metrics.messages.Add(1)
	if p.qos == 1 && s.inFlight.Add(1) > int64(d.c.ReceiveMaximum) && s.version == version5 {
		return breachf(codeReceiveMaximum, "More than %d messages wait for their PUBACK", d.c.ReceiveMaximum)
	}
	if err := s.token(); err != nil {
		return err
	}
	now := d.c.Clock.Now()
	m := reading.Message{Device: s.who.Readings, Received: now}
	var err error
	switch upwardTopic(s.who.ID, p.topic) {
	case upReadings:
		m.Values, err = s.parser.Parse(p.payload, now)
	case upState:
		m.States = make([]reading.State, 1)
		m.States[0], err = reading.ParseState("state", p.payload)
	case upAck:
		m.States = make([]reading.State, 1)
		m.States[0], err = reading.ParseState("ack", p.payload)
	default:
		return s.wrongTopic(p)
	}
	var ticket reading.Ticket
	if err == nil {
		ticket, err = d.c.Readings.Offer(s.ctx, m)
	}
	if fault.KindOf(err) == fault.Invalid {
		return s.unreadable(p, err)
	}
	if err != nil {
		return err
	}
	d.metrics.values.Add(int64(len(m.Values)))
	if p.qos == 0 {
		return nil
	}
	return s.answer(answer{ack: true, waits: true, id: p.id, ticket: ticket})
}

// token waits until the device's bucket has one: a device that sends too fast is
// read more slowly, and nobody else is.
func (s *session) token() error {
	wait := s.bucket.Reserve().Delay()
	if wait <= 0 {
		return nil
	}
	s.door.metrics.throttled.Add(1)
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

func (s *session) wrongTopic(p *publish) error {
	text := "Topic " + quoted(p.topic) + " is not the device's own; it may publish to up/readings, up/state and up/ack"
	s.door.c.Refusals.Keep(s.who.ID, p.topic, p.payload, text)
	if s.version != version5 || p.qos == 0 {
		return breachf(codeNotAuthorized, "%s", text)
	}
	s.door.refuse(s.seen(refusal.Topic, text))
	return s.answer(answer{ack: true, packet: appendPuback(nil, s.version, p.id, codeNotAuthorized, s.welcome(text))})
}

func (s *session) unreadable(p *publish, err error) error {
	text := fault.From(err).Error()
	s.door.metrics.refusedMessages.Add(1)
	s.door.c.Refusals.Keep(s.who.ID, p.topic, p.payload, text)
	s.door.c.Refusals.Count(s.seen(refusal.Payload, text))
	if p.qos == 0 {
		return nil
	}
	return s.answer(answer{ack: true, packet: appendPuback(nil, s.version, p.id, codePayloadFormat, s.welcome(text))})
}

func quoted(topic string) string {
	if len(topic) > 100 {
		topic = strings.ToValidUTF8(topic[:100], "") + "…"
	}
	return `"` + topic + `"`
}
