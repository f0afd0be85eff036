package main

import (
	"crypto/x509"
	"log/slog"
	"os"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/mail"
)

// mailConfig is the SMTP server that invitations and notices go through.
type mailConfig struct {
	Host string `toml:"host"`
	// Port is 587 for starttls, 465 for tls, 25 for none, unless it is set.
	Port int `toml:"port"`
	// From is the sender: "Water Office <qanat@example.org>".
	From string `toml:"from"`
	User string `toml:"user"`
	// PasswordFile has the password on its first line; nobody but the server should read it.
	PasswordFile string `toml:"password_file"`
	// TLS is starttls (the default), tls, or none, which is for this machine only.
	TLS string `toml:"tls"`
	// Root is a PEM file with the authority of the mail server's certificate, for a private one.
	Root string `toml:"root"`
}

// sender starts the sending of mails; nil without a mail server.
func (m mailConfig) sender(log *slog.Logger) (*mail.Sender, error) {
	if m == (mailConfig{}) {
		return nil, nil
	}
	c := mail.Config{Host: m.Host, Port: m.Port, From: m.From, User: m.User, TLS: m.TLS, Log: log}
	if m.PasswordFile != "" {
		text, err := os.ReadFile(m.PasswordFile)
		if err != nil {
			return nil, fault.New(fault.Invalid, "config.mail", "The password of the mail server cannot be read").Because(err).WithMend("Set password_file in [mail] to a file that the server can read")
		}
		first, _, _ := strings.Cut(string(text), "\n")
		c.Password = strings.TrimRight(first, "\r")
	}
	if m.Root != "" {
		text, err := os.ReadFile(m.Root)
		if err != nil {
			return nil, fault.New(fault.Invalid, "config.mail", "The authority of the mail server cannot be read").Because(err).WithMend("Set root in [mail] to a PEM file")
		}
		c.Roots = x509.NewCertPool()
		if !c.Roots.AppendCertsFromPEM(text) {
			return nil, fault.Newf(fault.Invalid, "config.mail", "%s holds no certificate", m.Root).WithMend("Set root in [mail] to a PEM file")
		}
	}
	return mail.New(c)
}
