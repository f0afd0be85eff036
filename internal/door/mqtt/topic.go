package mqtt

import "strings"

// What a device may publish.
type upward int

const (
	notOwn upward = iota
	upReadings
	upState
	upAck
)

// own cuts the device's own part off a topic: both devices/<id>/up/readings and
// up/readings mean this device, whoever it is; another device's part is no own topic.
func own(device, topic string) (rest string, full, ok bool) {
	after, full := strings.CutPrefix(topic, "devices/")
	if !full {
		return topic, false, true
	}
	rest, ok = strings.CutPrefix(after, device+"/")
	return rest, true, ok
}

func upwardTopic(device, topic string) upward {
	rest, _, ok := own(device, topic)
	if !ok {
		return notOwn
	}
	switch rest {
	case "up/readings":
		return upReadings
	case "up/state":
		return upState
	case "up/ack":
		return upAck
	}
	return notOwn
}

// downFilter tells whether a device may subscribe to a filter: what begins with its own down/.
func downFilter(device, filter string) bool {
	rest, _, ok := own(device, filter)
	return ok && strings.HasPrefix(rest, "down/") && len(rest) > len("down/")
}

// validFilter is section 4.7.1 of the standard: + fills a level, # is the last one.
func validFilter(filter string) bool {
	levels := strings.Split(filter, "/")
	for i, level := range levels {
		if strings.Contains(level, "#") && (level != "#" || i != len(levels)-1) || strings.Contains(level, "+") && level != "+" {
			return false
		}
	}
	return filter != ""
}

// matches tells whether a filter takes a topic.
func matches(filter, topic string) bool {
	fs, ts := strings.Split(filter, "/"), strings.Split(topic, "/")
	for i, f := range fs {
		if f == "#" {
			return true
		}
		if i >= len(ts) || f != "+" && f != ts[i] {
			return false
		}
	}
	return len(fs) == len(ts)
}
