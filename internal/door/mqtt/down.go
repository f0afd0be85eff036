package mqtt

import (
	"context"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/fleet/refusal"
)

// The bounds of what a session may subscribe to and wait for.
const (
	mostFilters = 16
	mostWaiting = 64
)

func (s *session) subscribe(p *subscribe) error {
	if p.identifier {
		return breachf(codeSubscriptionID, "Subscription identifiers are not supported")
	}
	codes := make([]byte, len(p.filters))
	reason := ""
	s.mu.Lock()
	for i, f := range p.filters {
		_, again := s.filters[f.topic]
		switch {
		case strings.HasPrefix(f.topic, "$share/"):
			s.mu.Unlock()
			return breachf(codeShared, "Shared subscriptions are not supported")
		case !validFilter(f.topic):
			codes[i], reason = codeTopicFilter, "The filter "+quoted(f.topic)+" is not valid"
		case !downFilter(s.who.ID, f.topic):
			codes[i], reason = codeNotAuthorized, "The filter "+quoted(f.topic)+" is not the device's own; it may subscribe to down/#"
		case len(s.filters) >= mostFilters && !again:
			codes[i], reason = codeQuota, "Too many subscriptions"
		default:
			codes[i] = min(f.qos, 1)
			s.filters[f.topic] = codes[i]
		}
	}
	s.mu.Unlock()
	if reason != "" {
		s.door.refuse(s.seen(refusal.Topic, reason))
	}
	return s.answer(answer{packet: appendSuback(nil, s.version, p.id, codes, s.welcome(reason))})
}

func (s *session) unsubscribe(p *unsubscribe) error {
	codes := make([]byte, len(p.filters))
	s.mu.Lock()
	for i, f := range p.filters {
		if _, ok := s.filters[f]; !ok {
			codes[i] = codeNoSubscription
		}
		delete(s.filters, f)
	}
	s.mu.Unlock()
	return s.answer(answer{packet: appendUnsuback(nil, s.version, p.id, codes)})
}

// send delivers a message, by the form of topic that the device subscribed to.
func (s *session) send(ctx context.Context, name string, payload []byte) error {
	bare, full := "down/"+name, "devices/"+s.who.ID+"/down/"+name
	topic, qos := "", byte(0)
	s.mu.Lock()
	for f, q := range s.filters {
		for _, t := range []string{bare, full} {
			if matches(f, t) && (topic == "" || q > qos) {
				topic, qos = t, q
			}
		}
	}
	var arrived chan struct{}
	var id uint16
	if qos == 1 {
		if len(s.waiting) >= min(mostWaiting, s.terms.receiveMaximum) {
			s.mu.Unlock()
			return fault.New(fault.Unavailable, "mqtt.busy", "The device has not answered earlier messages").WithMend("Try again later")
		}
		for s.nextID++; s.nextID == 0 || s.waiting[s.nextID] != nil; s.nextID++ {
		}
		id, arrived = s.nextID, make(chan struct{})
		s.waiting[id] = arrived
	}
	s.mu.Unlock()
	if topic == "" {
		return fault.New(fault.Unavailable, "mqtt.deaf", "The device has not subscribed to this").WithMend("It must subscribe to down/#")
	}
	packet := appendPublish(nil, s.version, topic, id, qos, payload)
	if s.terms.packetMaximum > 0 && len(packet) > s.terms.packetMaximum {
		return fault.New(fault.TooLarge, "mqtt.large", "The message is longer than the device takes")
	}
	if err := s.answer(answer{packet: packet}); err != nil {
		return fault.New(fault.Unavailable, "mqtt.away", "The device has gone").WithMend("Try again when it is back")
	}
	if qos == 0 {
		return nil
	}
	select {
	case <-arrived:
		return nil
	case <-ctx.Done():
		s.mu.Lock()
		delete(s.waiting, id)
		s.mu.Unlock()
		return ctx.Err()
	case <-s.ctx.Done():
		return fault.New(fault.Unavailable, "mqtt.away", "The device has gone").WithMend("Try again when it is back")
	}
}
