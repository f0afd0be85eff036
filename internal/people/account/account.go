// Package account says who a person is: accounts, credentials, passkeys,
// sessions; and what a program is: service tokens.
//
// It guarantees that a password is only ever kept as argon2id (64 MiB, 3
// passes), that a second factor is asked of everybody, that each code, recovery
// code and answer of a passkey works once, that changing a second factor and
// making a token need one that was shown within ten minutes, that an unknown
// address takes as long as a wrong password, and that nobody can lock another
// person out: attempts are slowed for an account from an address, and closed to
// places that are unknown, never to a known browser, a session or a passkey. Sessions are random
// tokens stored as hashes; they end after 12 hours without use, after 30 days,
// when revoked, and with their account. Every sign-in, refused burst, password
// and factor change is an entry of the ledger.
//
// Limits: the time of last use stands in memory, so that a restart counts as a
// use, and each node of several counts for itself. Throttles and questions to
// passkeys are in memory too. Whoever comes from where somebody has signed in
// within thirty days counts as known there until a restart.
//
// Who controls this package signs in as anybody.
package account

import (
	"context"
	"net"
	"net/http"
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/vault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// States of an account.
const (
	Active = "active"
	Ended  = "ended" // cannot sign in; its past stays
)

// Account is a person who can sign in.
type Account struct {
	Email string `json:"email"`
	Name  string `json:"name"`
	State string `json:"state" enum:"active,ended"`
}

// Credential is what proves a person. Its id is the account's.
type Credential struct {
	Password    string    `json:"password,omitempty"` // PHC string; empty: none yet, only an invitation opens the account
	PasswordSet time.Time `json:"password_set,omitzero"`
	TOTP        []byte    `json:"totp,omitempty"`    // seed, sealed by the vault, bound to the account
	Pending     []byte    `json:"pending,omitempty"` // a seed that is shown, not yet confirmed
	Step        int64     `json:"step,omitempty"`    // last time step whose code was used

	Recovery     []string  `json:"recovery,omitempty"` // hashes of the recovery codes that are left
	RecoveryMade time.Time `json:"recovery_made,omitzero"`

	Closed time.Time `json:"closed,omitzero"` // too many wrong passwords in a row: closed to unknown devices until the next sign-in
}

// Session is one sign-in of one browser.
type Session struct {
	Account string    `json:"account"`
	Token   string    `json:"token"` // SHA-256 of the token, hexadecimal
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Factor  string    `json:"factor" enum:",totp,passkey,recovery,provider" doc:"second factor that was shown; empty: none yet"`
	Proved  time.Time `json:"proved,omitzero" doc:"when it was shown last"`
	Agent   string    `json:"agent,omitempty"`
	From    string    `json:"from,omitempty"`
}

// Accounts is the noun of accounts. They belong to the server, not to an organization.
var Accounts = ledger.Noun[Account]{
	Name: "account",
	Table: &ledger.Table[Account]{
		Columns: []ledger.Column{{Name: "email", Type: ledger.Text}, {Name: "name", Type: ledger.Text}, {Name: "state", Type: ledger.Text}},
		Unique:  [][]string{{"email"}},
		Row: func(d ledger.Doc[Account]) []any {
			return []any{d.Body.Email, d.Body.Name, d.Body.State}
		},
	},
	Check: func(tx *ledger.Tx, before, after *ledger.Doc[Account]) error {
		if after != nil {
			if err := after.Body.check(); err != nil {
				return err
			}
		}
		if before != nil && before.Body.State == Active && (after == nil || after.Body.State != Active) {
			for _, guard := range endGuards {
				if err := guard(tx, before.ID); err != nil {
					return err
				}
			}
		}
		return nil
	},
}

// Credentials is the noun of credentials.
var Credentials = ledger.Noun[Credential]{Name: "credential", Secret: true}

// Sessions is the noun of sessions.
var Sessions = ledger.Noun[Session]{
	Name:   "session",
	Secret: true,
	Table: &ledger.Table[Session]{
		Columns: []ledger.Column{{Name: "token", Type: ledger.Text}, {Name: "account", Type: ledger.Text}, {Name: "expires", Type: ledger.Integer}},
		Unique:  [][]string{{"token"}},
		Indexes: [][]string{{"account"}, {"expires"}},
		Row: func(d ledger.Doc[Session]) []any {
			return []any{d.Body.Token, d.Body.Account, d.Body.Expires.UnixMilli()}
		},
	},
}

// Nouns are the nouns of this package, for ledger.Config.
func Nouns() []ledger.Kind {
	return []ledger.Kind{&Accounts, &Credentials, &Sessions, &Events, &ServiceTokens, &TokenUses, &Passkeys, &SignInProviders, &ProviderLinks}
}

var _ = access.Register(&Accounts, access.Columns{Owner: "id"}, func(_ *ledger.Reader, d ledger.Doc[Account]) (access.Thing, error) {
	return access.Thing{Owner: d.ID, Name: d.Body.Name, State: d.Body.State}, nil
})

var _ = access.Register(&Sessions, access.Columns{Owner: "account"}, func(_ *ledger.Reader, d ledger.Doc[Session]) (access.Thing, error) {
	return access.Thing{Owner: d.Body.Account}, nil
})

var endGuards []func(tx *ledger.Tx, account string) error

// GuardEnd adds a rule that can forbid the end of an account: an organization
// does not lose its last admin this way. It is called when packages are initialized.
func GuardEnd(guard func(tx *ledger.Tx, account string) error) bool {
	endGuards = append(endGuards, guard)
	return true
}

func (a Account) check() error {
	if a.State != Active && a.State != Ended {
		return fault.Newf(fault.Invalid, "account.state", "An account is active or ended, not %.20q", a.State)
	}
	if a.Email != Normal(a.Email) {
		return fault.New(fault.Invalid, "account.email", "An address is kept in small letters without spaces")
	}
	if err := checkEmail(a.Email); err != nil {
		return err
	}
	return checkName(a.Name)
}

// Normal is an e-mail address as it is kept and compared.
func Normal(email string) string { return strings.ToLower(strings.TrimSpace(email)) }

func checkEmail(email string) error {
	parsed, err := mail.ParseAddress(email)
	if err != nil || parsed.Address != email || len(email) > 254 || !strings.Contains(email, "@") {
		return fault.Newf(fault.Invalid, "account.email", "%.80q is no e-mail address", email).
			At("/email", "no e-mail address", "write it like name@example.org")
	}
	return nil
}

func checkName(name string) error {
	if n := utf8.RuneCountInString(name); n < 1 || n > 100 || strings.TrimSpace(name) != name ||
		strings.ContainsFunc(name, unicode.IsControl) || !utf8.ValidString(name) {
		return fault.New(fault.Invalid, "account.name", "A person's name has 1 to 100 characters").
			At("/name", "missing, too long, or with blanks around it", "write the name as people know it")
	}
	return nil
}

// Config is what the service stands on.
type Config struct {
	Ledger *ledger.Ledger
	Vault  *vault.Vault
	Server string // name of the server in authenticator apps; "" is Qanat

	// Mail sends a mail to a person; nil: the server sends none. It does not wait.
	Mail func(ctx context.Context, to, subject, text string)

	// Local lets providers stand on this machine, for tests: LookupTXT then answers
	// for the domain name system. Nil: neither.
	Local func(ctx context.Context, name string) ([]string, error)

	// HashMemory is the memory of one password hash in KiB; 0 is 64 MiB. Less only
	// for tests and demonstrations: a hash keeps the cost it was made with.
	HashMemory uint32
}

// Service signs people in and out.
type Service struct {
	ledger *ledger.Ledger
	vault  *vault.Vault
	server string
	mail   func(ctx context.Context, to, subject, text string)
	hasher *hasher
	used   *lastUse
	uses   uses // of service tokens

	passwords, codes, keys, reports, failures, tokens *Throttle

	ceremonies  ceremonies
	discoveries discoveries
	outward     *http.Client
	lookupTXT   func(ctx context.Context, name string) ([]string, error)
}

// New makes the service.
func New(c Config) *Service {
	if c.Server == "" {
		c.Server = "Qanat"
	}
	lookup := c.Local
	if lookup == nil {
		lookup = net.DefaultResolver.LookupTXT
	}
	return &Service{
		outward: outward(c.Local != nil), lookupTXT: lookup,
		ledger: c.Ledger, vault: c.Vault, server: c.Server, mail: c.Mail, hasher: newHasher(c.HashMemory),
		used:      newLastUse(c.Ledger.Now()),
		passwords: NewThrottle(c.Ledger.Now, passwordLimits),
		codes:     NewThrottle(c.Ledger.Now, codeLimits),
		keys:      NewThrottle(c.Ledger.Now, Limits{From: Rate{50, 2 * time.Second}}),
		tokens:    NewThrottle(c.Ledger.Now, Limits{From: Rate{20, 10 * time.Second}}),
		failures:  NewThrottle(c.Ledger.Now, Limits{Pair: Rate{3, 10 * time.Minute}, From: Rate{20, time.Minute}, Who: Rate{10, 10 * time.Minute}}),
		reports:   NewThrottle(c.Ledger.Now, Limits{From: Rate{20, 10 * time.Second}}),
	}
}

// Create makes an account inside a transaction. The password comes from Hash,
// or is zero for an account that only an invitation opens. The caller has
// decided that the actor may.
func Create(tx *ledger.Tx, email, name string, password Hashed) (ledger.Doc[Account], error) {
	a, err := Accounts.Create(tx, "", "", Account{Email: Normal(email), Name: strings.TrimSpace(name), State: Active})
	if err != nil {
		return a, err
	}
	c := Credential{Password: password.phc}
	if password.phc != "" {
		c.PasswordSet = tx.Now
	}
	_, err = Credentials.Create(tx, "", CredentialID(a.ID), c)
	return a, err
}

// ByEmail finds an account.
func ByEmail(r *ledger.Reader, email string) (ledger.Doc[Account], bool, error) {
	found, err := Accounts.List(r, "n.email = $1", Normal(email))
	if err != nil || len(found) == 0 {
		return ledger.Doc[Account]{}, false, err
	}
	return found[0], true, nil
}

// Rename changes a person's own name.
func (s *Service) Rename(ctx context.Context, actor ledger.Actor, account, name string) error {
	return s.ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error {
		t, err := access.Describe(tx.Reader, "account", account)
		if err == nil {
			err = access.Require(tx.Reader, actor, access.Edit, t)
		}
		if err != nil {
			return err
		}
		_, err = Accounts.Update(tx, account, 0, func(a *Account) error { a.Name = strings.TrimSpace(name); return nil })
		return err
	})
}

// End ends an account and all its sessions. The person may, and a job of the server.
func (s *Service) End(ctx context.Context, actor ledger.Actor, account, reason string) error {
	return s.ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		t, err := access.Describe(tx.Reader, "account", account)
		if err == nil {
			err = access.Require(tx.Reader, actor, access.Edit, t)
		}
		if err != nil {
			return err
		}
		if _, err := Accounts.Update(tx, account, 0, func(a *Account) error { a.State = Ended; return nil }); err != nil {
			return err
		}
		return endSessions(tx, account, "")
	})
}
