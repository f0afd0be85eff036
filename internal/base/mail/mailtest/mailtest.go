// Package mailtest is a small SMTP server for tests: STARTTLS or TLS with an
// authority of its own, PLAIN sign-in, and failures on demand.
//
// For tests only: it keeps what it receives in memory.
package mailtest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Mail is what arrived.
type Mail struct {
	From, To string // of the envelope
	Data     string
	Secure   bool
	User     string
}

// Server is the server. Its fields are set before its first connection.
type Server struct {
	Port  int
	Roots *x509.CertPool
	PEM   []byte // of the authority

	User, Password string              // asked for when not empty
	NoTLS          bool                // does not offer STARTTLS
	Implicit       bool                // TLS from the first byte
	Refuse         func(to string) int // code for RCPT TO; 0: taken

	listener net.Listener
	config   *tls.Config
	mu       sync.Mutex
	mails    []Mail
	tried    int
	arrived  chan struct{}
}

// New listens on this machine; set is told the server before it answers.
func New(t testing.TB, set func(*Server)) *Server {
	t.Helper()
	s := &Server{arrived: make(chan struct{}, 1000)}
	s.authority(t)
	if set != nil {
		set(s)
	}
	var err error
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.Port = s.listener.Addr().(*net.TCPAddr).Port
	t.Cleanup(func() { _ = s.listener.Close() })
	go func() {
		for {
			c, err := s.listener.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return s
}

func (s *Server) authority(t testing.TB) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s.Roots = x509.NewCertPool()
	s.Roots.AddCert(root)
	s.PEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	s.config = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
}

// Wait waits for the nth mail, from 1.
func (s *Server) Wait(t testing.TB, n int) Mail {
	t.Helper()
	late := time.After(10 * time.Second)
	for {
		s.mu.Lock()
		if len(s.mails) >= n {
			defer s.mu.Unlock()
			return s.mails[n-1]
		}
		s.mu.Unlock()
		select {
		case <-s.arrived:
		case <-late:
			t.Fatalf("no mail number %d arrived", n)
		}
	}
}

// Count is how many mails were taken, and how often one was offered.
func (s *Server) Count() (taken, offered int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mails), s.tried
}

func (s *Server) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	secure := false
	if s.Implicit {
		c, secure = tls.Server(c, s.config), true
	}
	in := bufio.NewReader(c)
	say := func(line string) { _, _ = c.Write([]byte(line + "\r\n")) }
	say("220 mail test")
	var m Mail
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		word, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(word) {
		case "EHLO", "HELO":
			out := []string{"localhost"}
			if !secure && !s.NoTLS {
				out = append(out, "STARTTLS")
			}
			if s.User != "" && secure {
				out = append(out, "AUTH PLAIN")
			}
			for i, o := range out {
				sep := "-"
				if i == len(out)-1 {
					sep = " "
				}
				say("250" + sep + o)
			}
		case "STARTTLS":
			say("220 go ahead")
			c, secure = tls.Server(c, s.config), true
			in = bufio.NewReader(c)
		case "AUTH":
			answer, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
			parts := strings.Split(string(answer), "\x00")
			if len(parts) != 3 || parts[1] != s.User || parts[2] != s.Password {
				say("535 no: " + rest) // a server that repeats what it was told
				continue
			}
			m.User = parts[1]
			say("235 welcome")
		case "MAIL":
			if s.User != "" && m.User == "" {
				say("530 sign in first")
				continue
			}
			m.From = rest
			say("250 ok")
		case "RCPT":
			s.mu.Lock()
			s.tried++
			s.mu.Unlock()
			m.To = strings.Trim(strings.TrimPrefix(rest, "TO:"), "<>")
			if s.Refuse != nil {
				switch code := s.Refuse(m.To); code {
				case 0:
				case 450:
					say("450 4.2.1 try later")
					continue
				default:
					say("550 5.1.1 nobody here")
					continue
				}
			}
			say("250 ok")
		case "DATA":
			say("354 go on")
			var data strings.Builder
			for {
				l, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if strings.TrimRight(l, "\r\n") == "." {
					break
				}
				data.WriteString(strings.TrimPrefix(l, "."))
			}
			m.Data, m.Secure = data.String(), secure
			s.mu.Lock()
			s.mails = append(s.mails, m)
			s.mu.Unlock()
			s.arrived <- struct{}{}
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}
