package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/pelletier/go-toml/v2"

	"github.com/qanat-water/qanat/internal/base/fault"
)

// config is the file that --config names, in TOML. Everything has a working
// default; secrets are paths of files, never values.
type config struct {
	// Name is what the server is called in the portal and in authenticator apps.
	Name string `toml:"name"`
	// URL is how people and phones reach the server, for links and QR codes:
	// "https://water.example.org". Default: as the request says. Mails need it.
	URL string `toml:"url"`
	// Listen is the address of the HTTPS door. Default: 127.0.0.1:8443, so that a
	// new server is reached from its own machine only until somebody opens it.
	Listen string `toml:"listen"`
	// MQTT is the address of the device door. Default: 127.0.0.1:8883.
	MQTT string `toml:"mqtt"`
	// Names are the host names and addresses in the certificates of the built-in
	// authority, besides localhost.
	Names []string `toml:"names"`
	// Log is debug, info, warn or error. Default: info.
	Log string `toml:"log"`

	// TLS says where the HTTPS door's certificate comes from. Default: from the
	// built-in authority, whose root stands in ca.pem in the data directory. The
	// device door always uses the built-in authority.
	TLS struct {
		// Certificate and Key are PEM files; they are read again when they change.
		Certificate string `toml:"certificate"`
		Key         string `toml:"key"`
		// ACME gets certificates from an authority such as Let's Encrypt, which must
		// reach the HTTPS door on port 443 (TLS-ALPN-01).
		ACME struct {
			Domains []string `toml:"domains"`
			Email   string   `toml:"email"`
			// Directory is the authority's address. Default: Let's Encrypt.
			Directory string `toml:"directory"`
			// Root is a PEM file with the authority's own root, for a private authority.
			Root string `toml:"root"`
		} `toml:"acme"`
	} `toml:"tls"`

	// Witness are parties outside who remember the ledger's checkpoints and cosign
	// what continues them (C2SP tlog-witness). Default: none.
	Witness []witnessConfig `toml:"witness"`

	// Mail is the SMTP server for invitations. Default: none; whoever invites hands
	// the link over.
	Mail mailConfig `toml:"mail"`
}

// names are all that the doors' certificates are for: what is configured, and the
// host of the server's own address.
func (c config) names() []string {
	all := c.Names
	if u, err := url.Parse(c.URL); err == nil && u.Hostname() != "" {
		all = append(all, u.Hostname())
	}
	return all
}

func readConfig(path string) (config, error) {
	c := config{Name: "Qanat", Listen: "127.0.0.1:8443", MQTT: "127.0.0.1:8883", Log: "info"}
	if path == "" {
		return c, nil
	}
	text, err := os.ReadFile(path) // #nosec G304 -- the operator names the file
	if err != nil {
		return c, err
	}
	dec := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		var unknown *toml.StrictMissingError
		if errors.As(err, &unknown) {
			return c, fault.Newf(fault.Invalid, "config.unknown", "%s has settings that are not known:\n%s", path, unknown.String()).WithMend("Mend or remove them")
		}
		var wrong *toml.DecodeError
		if errors.As(err, &wrong) {
			return c, fault.Newf(fault.Invalid, "config.wrong", "%s cannot be read:\n%s", path, wrong.String()).WithMend("Mend that line")
		}
		return c, fmt.Errorf("%s: %w", path, err)
	}
	if (c.TLS.Certificate == "") != (c.TLS.Key == "") || c.TLS.Certificate != "" && len(c.TLS.ACME.Domains) > 0 {
		return c, fault.Newf(fault.Invalid, "config.tls", "%s: tls needs certificate and key together, or acme, or neither", path).WithMend("Remove what is too much")
	}
	// Links in mails never come from a request, whose sender chooses its Host.
	if u, err := url.Parse(c.URL); c.Mail != (mailConfig{}) && (err != nil || u.Scheme != "https" || u.Hostname() == "") {
		return c, fault.Newf(fault.Invalid, "config.url", "%s has [mail], but no url to write into mails", path).
			At("url", "missing, or no HTTPS address", `url = "https://water.example.org", before the first [section]`).
			WithMend("Set url to the address at which people reach the server, or take [mail] out")
	}
	return c, nil
}
