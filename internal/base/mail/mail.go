// Package mail sends plain-text mails through the organization's own SMTP server.
//
// It guarantees that Send never waits for a mail server: a mail is queued in
// memory and sent in the background, tried again while the failure looks like
// one that passes, and its end, sent or failed and why, is told once to whoever
// queued it. Mails go over TLS whose certificate is checked; without TLS they go
// to this very machine only. What is not one plain address or one plain line is
// refused before it can become a header. Passwords and texts reach no log and no error.
//
// Limits: Most mails waiting, MaxText bytes each, one at a time; what waits when
// the process ends is lost, so a mail must not be the only copy of anything.
//
// Who controls this package reads every invitation on its way and can keep it
// from arriving.
package mail

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"log/slog"
	"net"
	netmail "net/mail"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"

	"github.com/qanat-water/qanat/internal/base/fault"
)

const (
	// Most is how many mails wait at once.
	Most = 1000
	// MaxText is the most bytes of a mail's text.
	MaxText     = 32 << 10
	maxSubject  = 200
	maxAddress  = 254
	tryTime     = 30 * time.Second
	maxReason   = 300
	defaultPort = 587
)

// retries are the waits after each failure that looks like one that passes.
var retries = []time.Duration{30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour, 4 * time.Hour}

// How a connection is kept private.
const (
	StartTLS = "starttls" // begins plain and refuses to go on without TLS
	TLS      = "tls"      // from the first byte
	None     = "none"     // to this machine only
)

// Config says which SMTP server to use.
type Config struct {
	Host     string
	Port     int    // 0: 587, or 465 for tls, or 25 for none
	From     string // "Water Office <qanat@example.org>"
	User     string // empty: no sign-in
	Password string
	TLS      string // StartTLS when empty
	Roots    *x509.CertPool
	Log      *slog.Logger
	// Retries are the waits after each failure that may pass; nil: the usual ones.
	Retries []time.Duration
}

// Message is one mail to one person.
type Message struct {
	To      string
	Subject string
	Text    string
	// Done, when not nil, is called once, from another goroutine: with nil when the
	// mail server has taken the mail, else with a fault that says why it has not.
	Done func(error)
}

type waiting struct {
	Message
	failed int
	due    time.Time
}

// Sender sends mails. A nil Sender is a server without SMTP.
type Sender struct {
	config Config
	from   string
	client []gomail.Option

	mu    sync.Mutex
	queue []*waiting
	wake  chan struct{}
	stop  context.CancelFunc
	work  sync.WaitGroup
}

// New checks the configuration and starts sending; the server is not asked yet.
func New(c Config) (*Sender, error) {
	if c.TLS == "" {
		c.TLS = StartTLS
	}
	wrong := func(message, mend string) (*Sender, error) {
		return nil, fault.New(fault.Invalid, "mail.config", message).WithMend(mend)
	}
	from, err := netmail.ParseAddress(c.From)
	if err != nil || strings.ContainsFunc(c.From, unicode.IsControl) {
		return wrong("The sender of mails is no address", `Set from, for example "Water Office <qanat@example.org>"`)
	}
	options := []gomail.Option{gomail.WithTimeout(tryTime)}
	settings := &tls.Config{ServerName: c.Host, MinVersion: tls.VersionTLS12, RootCAs: c.Roots}
	port := defaultPort
	switch c.TLS {
	case StartTLS:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory), gomail.WithTLSConfig(settings))
	case TLS:
		port = 465
		options = append(options, gomail.WithSSL(), gomail.WithTLSConfig(settings))
	case None:
		port = 25
		if ip := net.ParseIP(c.Host); c.Host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return wrong("Mails without TLS go to this machine only", "Set tls to starttls or tls, or host to localhost")
		}
		if c.User != "" {
			return wrong("A password is not sent without TLS", "Set tls to starttls or tls, or leave user out")
		}
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		return wrong("tls is starttls, tls or none", "Set one of these")
	}
	if c.Port == 0 {
		c.Port = port
	}
	if c.Host == "" || c.Port < 1 || c.Port > 65535 {
		return wrong("The mail server needs a host, and a port between 1 and 65535", "Set host and port")
	}
	if (c.User == "") != (c.Password == "") {
		return wrong("user and password_file go together", "Set both, or neither")
	}
	options = append(options, gomail.WithPort(c.Port))
	if c.User != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(c.User), gomail.WithPassword(c.Password))
	}
	if _, err := gomail.NewClient(c.Host, options...); err != nil {
		return nil, fault.New(fault.Invalid, "mail.config", "The mail server's settings do not work").Because(err).WithMend("Look at host, port and tls")
	}
	if c.Retries == nil {
		c.Retries = retries
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Sender{config: c, from: from.String(), client: options, wake: make(chan struct{}, 1), stop: stop}
	s.work.Go(func() { s.run(ctx) })
	return s, nil
}

// Close ends the sending; who still waits is told that it failed.
func (s *Sender) Close() {
	if s == nil {
		return
	}
	s.stop()
	s.work.Wait()
	s.mu.Lock()
	left := s.queue
	s.queue = nil
	s.mu.Unlock()
	for _, m := range left {
		m.done(fault.New(fault.Unavailable, "mail.stopped", "The server was stopped before the mail went out").WithMend("Send it again"))
	}
}

// Address is a mail address as it stands in an envelope; anything else than one
// plain address is refused.
func Address(text string) (string, error) {
	a, err := netmail.ParseAddress(text)
	if err != nil || a.Name != "" || a.Address != text || len(text) > maxAddress || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
		return "", fault.New(fault.Invalid, "mail.address", "This is no mail address").At("/email", "not an address", "write it as name@example.org")
	}
	return a.Address, nil
}

// Send queues a mail and returns at once. It fails when there is no SMTP server,
// when the mail cannot be one, and when too many wait already; Done is then not called.
func (s *Sender) Send(_ context.Context, m Message) error {
	if s == nil {
		return fault.New(fault.Unavailable, "mail.none", "This server sends no mail").WithMend("Its administrator can set up an SMTP server")
	}
	if _, err := Address(m.To); err != nil {
		return err
	}
	if !utf8.ValidString(m.Subject) || utf8.RuneCountInString(m.Subject) > maxSubject || strings.ContainsFunc(m.Subject, unicode.IsControl) || strings.TrimSpace(m.Subject) == "" {
		return fault.New(fault.Invalid, "mail.subject", "The subject of a mail is one line").WithMend("Leave line breaks and control characters out")
	}
	if !utf8.ValidString(m.Text) || len(m.Text) > MaxText || strings.ContainsRune(m.Text, 0) {
		return fault.New(fault.Invalid, "mail.text", "This is no plain text, or too long for a mail").WithMend("Send less")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) >= Most {
		return fault.New(fault.TooMany, "mail.full", "Too many mails are waiting to be sent").WithMend("Try again later; the server's administrator may look why they do not go out")
	}
	s.queue = append(s.queue, &waiting{Message: m})
	s.nudge()
	return nil
}

func (s *Sender) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Sender) run(ctx context.Context) {
	for ctx.Err() == nil {
		m, wait := s.next()
		if m != nil {
			s.try(ctx, m)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.wake:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// next is the mail whose time came first, else how long until one's comes.
func (s *Sender) next() (*waiting, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return nil, time.Hour
	}
	first := slices.MinFunc(s.queue, func(a, b *waiting) int { return a.due.Compare(b.due) })
	if wait := time.Until(first.due); wait > 0 {
		return nil, wait
	}
	return first, 0
}

func (s *Sender) drop(m *waiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = slices.DeleteFunc(s.queue, func(w *waiting) bool { return w == m })
}

func (s *Sender) try(ctx context.Context, m *waiting) {
	err := s.deliver(ctx, m.Message)
	if ctx.Err() != nil {
		if err == nil {
			s.drop(m)
			m.done(nil)
		}
		return // Close tells the others
	}
	if err == nil {
		s.drop(m)
		m.done(nil)
		return
	}
	why, passes := s.reason(err)
	s.config.Log.Warn("mail not sent", "why", s.clean(err.Error(), m.To), "try", m.failed+1, "again", passes && m.failed < len(s.config.Retries))
	if passes && m.failed < len(s.config.Retries) {
		s.mu.Lock()
		m.due = time.Now().Add(s.config.Retries[m.failed])
		m.failed++
		s.mu.Unlock()
		return
	}
	s.drop(m)
	m.done(why)
}

func (m *waiting) done(err error) {
	if m.Done != nil {
		m.Done(err)
	}
}

func (s *Sender) deliver(ctx context.Context, m Message) error {
	client, err := gomail.NewClient(s.config.Host, s.client...)
	if err != nil {
		return err
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := msg.From(s.from); err != nil {
		return err
	}
	if err := msg.To(m.To); err != nil {
		return err
	}
	msg.Subject(m.Subject)
	msg.SetDate()
	msg.SetMessageIDWithValue(s.messageID())
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // no out-of-office answers (RFC 3834)
	msg.SetBodyString(gomail.TypeTextPlain, strings.ReplaceAll(strings.ReplaceAll(m.Text, "\r\n", "\n"), "\n", "\r\n"))
	ctx, cancel := context.WithTimeout(ctx, 2*tryTime)
	defer cancel()
	connection, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return err
	}
	// What goes wrong after the server has taken the mail does not make it untaken.
	defer func() { _ = client.CloseWithSMTPClient(connection) }()
	return client.SendWithSMTPClient(connection, msg)
}

// messageID is under the sender's domain: the name of this machine is nobody's business.
func (s *Sender) messageID() string {
	_, domain, _ := strings.Cut(strings.TrimSuffix(s.from, ">"), "@")
	return rand.Text() + "@" + domain
}

// reason says why a mail was not sent, for people, and whether that may pass.
func (s *Sender) reason(err error) (why error, passes bool) {
	var refused *gomail.SendError
	if errors.As(err, &refused) && refused.ErrorCode() > 0 {
		f := fault.Newf(fault.Unavailable, "mail.refused", "The mail server refuses the mail (%d)", refused.ErrorCode())
		if refused.Reason == gomail.ErrSMTPRcptTo {
			f = fault.Newf(fault.Unavailable, "mail.address.refused", "The mail server refuses the address (%d)", refused.ErrorCode())
		}
		return f.WithMend("Look at the address, or hand the link over in another way").Because(err), refused.IsTemp()
	}
	return fault.New(fault.Unavailable, "mail.unreachable", "The mail server could not be used").
		WithMend("Try again later; the server's administrator finds the reason in the log").Because(err), true
}

// clean is an error's text for the log, on one line, without the password and
// the person's address, whatever a server answers.
func (s *Sender) clean(text, to string) string {
	text, _, _ = strings.Cut(text, ", affected recipient")
	text = strings.ReplaceAll(text, to, "(address)")
	if p := s.config.Password; p != "" {
		for _, secret := range []string{p, base64.StdEncoding.EncodeToString([]byte(p)), base64.StdEncoding.EncodeToString([]byte("\x00" + s.config.User + "\x00" + p))} {
			text = strings.ReplaceAll(text, secret, "(password)")
		}
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "")
	}
	return text
}
