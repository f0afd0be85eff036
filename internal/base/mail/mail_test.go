package mail_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	netmail "net/mail"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mime"
	"mime/quotedprintable"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/mail"
	"github.com/qanat-water/qanat/internal/base/mail/mailtest"
)

var ctx = context.Background()

func open(t *testing.T, s *mailtest.Server, set func(*mail.Config)) *mail.Sender {
	t.Helper()
	c := mail.Config{Host: "127.0.0.1", Port: s.Port, From: "Water Office <qanat@example.org>", Roots: s.Roots, Retries: []time.Duration{time.Millisecond, time.Millisecond}}
	if set != nil {
		set(&c)
	}
	sender, err := mail.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sender.Close)
	return sender
}

// send queues a mail and waits for what became of it.
func send(t *testing.T, s *mail.Sender, m mail.Message) error {
	t.Helper()
	end := make(chan error, 1)
	m.Done = func(err error) { end <- err }
	if err := s.Send(ctx, m); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-end:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("nothing became of the mail")
		return nil
	}
}

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Code != code {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

var hello = mail.Message{To: "ruth@example.org", Subject: "Einladung für Sie", Text: "Grüße,\nzwei Zeilen.\n.\n"}

func TestMailsGoOverTLS(t *testing.T) {
	for name, set := range map[string]struct {
		server func(*mailtest.Server)
		config func(*mail.Config)
	}{
		"starttls":          {func(s *mailtest.Server) { s.User, s.Password = "qanat", "sorghum-kettle-9" }, func(c *mail.Config) { c.User, c.Password = "qanat", "sorghum-kettle-9" }},
		"tls":               {func(s *mailtest.Server) { s.Implicit = true }, func(c *mail.Config) { c.TLS = mail.TLS }},
		"none, to loopback": {func(s *mailtest.Server) { s.NoTLS = true }, func(c *mail.Config) { c.TLS = mail.None }},
	} {
		t.Run(name, func(t *testing.T) {
			server := mailtest.New(t, set.server)
			if err := send(t, open(t, server, set.config), hello); err != nil {
				t.Fatal(err)
			}
			got := server.Wait(t, 1)
			if got.To != "ruth@example.org" || !strings.Contains(got.From, "<qanat@example.org>") || got.Secure == strings.HasPrefix(name, "none") {
				t.Errorf("%+v", got)
			}
			m, err := netmail.ReadMessage(strings.NewReader(got.Data))
			if err != nil {
				t.Fatal(err)
			}
			subject, _ := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			body, _ := io.ReadAll(quotedprintable.NewReader(m.Body))
			if subject != hello.Subject || !strings.HasPrefix(strings.ReplaceAll(string(body), "\r\n", "\n"), hello.Text) {
				t.Errorf("subject %q, body %q", subject, body)
			}
			if m.Header.Get("Auto-Submitted") == "" || m.Header.Get("Date") == "" || !strings.HasSuffix(m.Header.Get("Message-ID"), "@example.org>") {
				t.Errorf("headers %v", m.Header)
			}
		})
	}
}

func TestNoMailWithoutTLS(t *testing.T) {
	var log bytes.Buffer
	for name, set := range map[string]struct {
		server func(*mailtest.Server)
		config func(*mail.Config)
	}{
		"the server offers none":  {func(s *mailtest.Server) { s.NoTLS = true }, nil},
		"an authority not known":  {nil, func(c *mail.Config) { c.Roots = nil }},
		"a certificate of others": {nil, func(c *mail.Config) { c.Host = "127.0.0.2" }},
	} {
		t.Run(name, func(t *testing.T) {
			server := mailtest.New(t, set.server)
			err := send(t, open(t, server, func(c *mail.Config) {
				c.Retries = []time.Duration{}
				c.Log = slog.New(slog.NewTextHandler(&log, nil))
				if set.config != nil {
					set.config(c)
				}
			}), hello)
			wantCode(t, name, err, "mail.unreachable")
			if taken, offered := server.Count(); taken+offered != 0 {
				t.Errorf("%d mails were offered all the same", offered)
			}
		})
	}
}

func TestTriesAgainWhatMayPass(t *testing.T) {
	var asked atomic.Int32
	server := mailtest.New(t, func(s *mailtest.Server) {
		s.Refuse = func(to string) int {
			switch {
			case strings.HasPrefix(to, "nobody"):
				return 550
			case strings.HasPrefix(to, "never"), asked.Add(1) < 3:
				return 450
			}
			return 0
		}
	})
	sender := open(t, server, nil)
	if err := send(t, sender, hello); err != nil {
		t.Errorf("refused twice for now: %v", err)
	}
	if _, offered := server.Count(); offered != 3 {
		t.Errorf("offered %d times, want 3", offered)
	}
	nobody := hello
	nobody.To = "nobody@example.org"
	wantCode(t, "refused for good", send(t, sender, nobody), "mail.address.refused")
	if _, offered := server.Count(); offered != 4 {
		t.Errorf("what is refused for good was offered %d times, want once", offered-3)
	}
	never := hello
	never.To = "never@example.org"
	wantCode(t, "refused for now, always", send(t, sender, never), "mail.address.refused")
}

func TestPasswordReachesNoLog(t *testing.T) {
	var log bytes.Buffer
	server := mailtest.New(t, func(s *mailtest.Server) { s.User, s.Password = "qanat", "another" })
	sender := open(t, server, func(c *mail.Config) {
		c.User, c.Password, c.Retries = "qanat", "sorghum-kettle-9", []time.Duration{}
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	err := send(t, sender, hello)
	wantCode(t, "wrong password", err, "mail.unreachable")
	sender.Close()
	// The server repeats the line of the sign-in: base64 of both.
	for _, secret := range []string{"sorghum-kettle-9", "AHFhbmF0AHNvcmdodW0ta2V0dGxlLTk="} {
		if strings.Contains(log.String()+err.Error(), secret) {
			t.Errorf("%q is in the log: %s", secret, log.String())
		}
	}
	log.Reset()
	refusing := mailtest.New(t, func(s *mailtest.Server) { s.Refuse = func(string) int { return 550 } })
	wantCode(t, "refused", send(t, open(t, refusing, func(c *mail.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) }), hello), "mail.address.refused")
	if strings.Contains(log.String(), hello.To) || !strings.Contains(log.String(), "550") {
		t.Errorf("the log of a refused address: %s", log.String())
	}
}

func TestLogSaysWhy(t *testing.T) {
	var log bytes.Buffer
	server := mailtest.New(t, func(s *mailtest.Server) { s.User, s.Password = "qanat", "another" })
	sender := open(t, server, func(c *mail.Config) {
		c.User, c.Password, c.Retries, c.Log = "qanat", "sorghum-kettle-9", []time.Duration{}, slog.New(slog.NewTextHandler(&log, nil))
	})
	wantCode(t, "wrong password", send(t, sender, hello), "mail.unreachable")
	sender.Close()
	if !strings.Contains(log.String(), "535") {
		t.Errorf("the log does not say why: %s", log.String())
	}
}

func TestRefusesWhatIsNoMail(t *testing.T) {
	server := mailtest.New(t, nil)
	sender := open(t, server, nil)
	for _, to := range []string{"", "ruth", "ruth@example.org\r\nBcc: eve@example.org", "Ruth <ruth@example.org>", "a@b.org, c@d.org", "ruth@example.org ", "ruth\x00@example.org", strings.Repeat("a", 300) + "@example.org", "\"x\ny\"@example.org"} {
		m := hello
		m.To = to
		wantCode(t, "to "+to, sender.Send(ctx, m), "mail.address")
	}
	for _, subject := range []string{"", "a\r\nBcc: eve@example.org", "a\nb", "a\rb", strings.Repeat("a", 201), "\xff"} {
		m := hello
		m.Subject = subject
		wantCode(t, "subject", sender.Send(ctx, m), "mail.subject")
	}
	for _, text := range []string{strings.Repeat("a", mail.MaxText+1), "a\x00b", "\xff"} {
		m := hello
		m.Text = text
		wantCode(t, "text", sender.Send(ctx, m), "mail.text")
	}
	wantCode(t, "no SMTP", (*mail.Sender)(nil).Send(ctx, hello), "mail.none")
	(*mail.Sender)(nil).Close()
}

func TestQueueIsBounded(t *testing.T) {
	server := mailtest.New(t, func(s *mailtest.Server) { s.Refuse = func(string) int { return 450 } })
	sender := open(t, server, func(c *mail.Config) { c.Retries = []time.Duration{time.Hour} })
	var failed atomic.Int32
	m := hello
	m.Done = func(err error) {
		if fault.KindOf(err) == fault.Unavailable {
			failed.Add(1)
		}
	}
	for range mail.Most {
		if err := sender.Send(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, "one more", sender.Send(ctx, m), "mail.full")
	sender.Close()
	if failed.Load() != mail.Most {
		t.Errorf("%d of %d were told that they failed when the server stopped", failed.Load(), mail.Most)
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	good := mail.Config{Host: "mail.example.org", From: "qanat@example.org"}
	for name, change := range map[string]func(*mail.Config){
		"no host":                  func(c *mail.Config) { c.Host = "" },
		"no sender":                func(c *mail.Config) { c.From = "" },
		"a sender with a header":   func(c *mail.Config) { c.From = "a@example.org\r\nBcc: b@example.org" },
		"an unknown word":          func(c *mail.Config) { c.TLS = "ssl" },
		"plain over the net":       func(c *mail.Config) { c.TLS = mail.None },
		"plain with a password":    func(c *mail.Config) { c.Host, c.TLS, c.User, c.Password = "localhost", mail.None, "a", "b" },
		"a user without password":  func(c *mail.Config) { c.User = "a" },
		"a password without user":  func(c *mail.Config) { c.Password = "a" },
		"a port that is too large": func(c *mail.Config) { c.Port = 70000 },
	} {
		c := good
		change(&c)
		_, err := mail.New(c)
		wantCode(t, name, err, "mail.config")
	}
	sender, err := mail.New(good)
	if err != nil {
		t.Fatal(err)
	}
	sender.Close()
}
