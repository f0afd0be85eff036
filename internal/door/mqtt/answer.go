package mqtt

import (
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/fleet/reading"
)

// answer is something to write: a ready packet, or a PUBACK once its ticket is good.
type answer struct {
	packet []byte
	ticket reading.Ticket
	id     uint16
	ack    bool // counts as an answer to a QoS 1 message
	waits  bool // has a ticket
}

// answer queues something to write. A full queue makes the reader wait.
func (s *session) answer(a answer) error {
	select {
	case s.out <- a:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// write writes answers in their order until the session ends.
func (s *session) write() {
	var buf []byte
	flush := func() bool {
		if len(buf) == 0 {
			return true
		}
		if s.ctx.Err() == nil {
			_ = s.conn.SetWriteDeadline(time.Now().Add(s.door.c.WriteTime))
		}
		_, err := s.conn.Write(buf)
		buf = buf[:0]
		return err == nil
	}
	for {
		var a answer
		select {
		case a = <-s.out:
		default:
			if !flush() {
				s.end(codeSuccess, "")
				return
			}
			select {
			case a = <-s.out:
			case <-s.ctx.Done():
				s.farewell(buf)
				return
			}
		}
		if a.waits {
			select {
			case <-a.ticket.Done():
			default:
				if !flush() {
					s.end(codeSuccess, "")
					return
				}
				select {
				case <-a.ticket.Done():
				case <-s.ctx.Done():
					s.farewell(buf)
					return
				}
			}
			if err := a.ticket.Err(); err != nil {
				// No PUBACK: an error code in it would make the client forget the message.
				s.end(codeUnavailable, fault.From(err).Message)
				s.farewell(buf)
				return
			}
			buf = appendPuback(buf, s.version, a.id, codeSuccess, "")
		} else {
			buf = append(buf, a.packet...)
		}
		if a.ack {
			s.inFlight.Add(-1)
			s.door.metrics.acks.Add(1)
		}
		if len(buf) > 8<<10 && !flush() {
			s.end(codeSuccess, "")
			return
		}
	}
}

// farewell writes what is ready and why the session ends.
func (s *session) farewell(buf []byte) {
	for ready := true; ready; {
		select {
		case a := <-s.out:
			if a.waits {
				select {
				case <-a.ticket.Done():
				case <-time.After(200 * time.Millisecond): // its commit is under way
				}
				select {
				case <-a.ticket.Done():
				default:
					ready = false
					continue
				}
				if a.ticket.Err() != nil {
					ready = false
					continue
				}
				buf = appendPuback(buf, s.version, a.id, codeSuccess, "")
			} else {
				buf = append(buf, a.packet...)
			}
		default:
			ready = false
		}
	}
	if s.code != codeSuccess {
		buf = appendDisconnect(buf, s.version, s.code, s.welcome(s.text))
	}
	if len(buf) > 0 {
		_, _ = s.conn.Write(buf)
	}
}
