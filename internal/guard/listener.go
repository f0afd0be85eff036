package guard

import (
	"net"
	"sync"

	"github.com/qanat-water/qanat/internal/base/netaddr"
)

// Listener bounds the connections of a listener, in all and for one address:
// what is over is closed at once, so that nobody else waits for it.
func Listener(inner net.Listener, all, perAddress int) net.Listener {
	return &listener{Listener: inner, all: all, perAddress: perAddress, open: map[string]int{}}
}

type listener struct {
	net.Listener
	all, perAddress int

	mu    sync.Mutex
	count int
	open  map[string]int
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := netaddr.Prefix(c.RemoteAddr().String())
		l.mu.Lock()
		room := l.count < l.all && l.open[from] < l.perAddress
		if room {
			l.count++
			l.open[from]++
		}
		l.mu.Unlock()
		if room {
			return &conn{Conn: c, done: func() { l.leave(from) }}, nil
		}
		_ = c.Close() // nothing was promised to it
	}
}

func (l *listener) leave(from string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count--
	if l.open[from]--; l.open[from] == 0 {
		delete(l.open, from)
	}
}

type conn struct {
	net.Conn
	once sync.Once
	done func()
}

func (c *conn) Close() error {
	c.once.Do(c.done)
	return c.Conn.Close()
}
