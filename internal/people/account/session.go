package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

const (
	idleLimit     = 12 * time.Hour
	absoluteLimit = 30 * 24 * time.Hour
	maxAgent      = 200 // bytes of a browser's name that are kept
)

// What a session still needs before it may do anything.
const (
	NeedsNothing   = ""
	NeedsCode      = "code"
	NeedsTOTPSetup = "totp-setup"
)

// Token is the secret of a session. Only its hash is kept.
type Token struct{ Text string }

// NewToken makes one of 32 random bytes. It is made before a transaction, which may run twice.
func NewToken() Token {
	raw := make([]byte, 32)
	rand.Read(raw)
	return Token{base64.RawURLEncoding.EncodeToString(raw)}
}

// Hash is what is kept of a token.
func (t Token) Hash() string {
	sum := sha256.Sum256([]byte(t.Text))
	return hex.EncodeToString(sum[:])
}

// Visit is how somebody came in.
type Visit struct {
	Door, From, Agent string
	Device            string // the device cookie, as the browser sent it
}

// View is a live session as its owner sees it.
type View struct {
	ID      string    `json:"id"`
	Account Person    `json:"account"`
	Needs   string    `json:"needs" enum:",code,totp-setup" doc:"what is missing before the session may do anything"`
	Created time.Time `json:"created"`
	Used    time.Time `json:"used" doc:"last use, as far as this server process knows"`
	Expires time.Time `json:"expires"`
	From    string    `json:"from,omitempty"`
	Agent   string    `json:"agent,omitempty"`
	Factor  string    `json:"factor,omitempty" enum:",totp,passkey,recovery,provider" doc:"the second factor that was shown last"`
	Proved  time.Time `json:"proved,omitzero" doc:"when it was shown; for ten minutes after it the session may do what asks for a fresh one"`
}

// Person is what others see of an account.
type Person struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

// ActorOf is the actor that a session acts as. A session that still needs its
// second factor is nobody.
func ActorOf(v View, door, from string) (ledger.Actor, error) {
	if v.Needs != NeedsNothing {
		return ledger.Actor{}, fault.New(fault.Unauthenticated, "session."+v.Needs, "This session still needs its second factor").
			WithMend("Enter the code of your authenticator app, or set one up first")
	}
	return ledger.Actor{ID: v.Account.ID, Kind: "account", Name: v.Account.Name, Door: door, From: from, Factor: v.Proved}, nil
}

// self is the actor for what a session's person does to the session itself.
func (v View) self(visit Visit) ledger.Actor {
	return ledger.Actor{ID: v.Account.ID, Kind: "account", Name: v.Account.Name, Door: visit.Door, From: visit.From}
}

// CredentialID is the id of an account's credential document.
func CredentialID(account string) string {
	namespace, err := uuid.Parse(account)
	if err != nil {
		namespace = uuid.NameSpaceOID
	}
	return uuid.NewSHA1(namespace, []byte("credential "+account)).String()
}

// Start makes a session inside a transaction, for somebody who has proved the
// first factor: by password, or by a one-time link.
func Start(tx *ledger.Tx, account string, token Token, visit Visit) error {
	a, err := Accounts.Get(tx.Reader, account)
	if err != nil {
		return err
	}
	if a.Body.State != Active {
		return wrong()
	}
	agent := visit.Agent
	if len(agent) > maxAgent {
		agent = agent[:maxAgent]
	}
	_, err = Sessions.Create(tx, "", "", Session{
		Account: account, Token: token.Hash(), Created: tx.Now, Expires: tx.Now.Add(absoluteLimit), Agent: agent, From: visit.From,
	})
	return err
}

// Session finds the live session of a token, and counts as a use of it.
func (s *Service) Session(ctx context.Context, token string) (View, error) {
	var view View
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		_, _, v, err := s.find(r, token)
		view = v
		return err
	})
	if err != nil {
		return View{}, err
	}
	s.used.touch(view.ID, s.ledger.Now())
	return view, nil
}

func noSession() error {
	return fault.New(fault.Unauthenticated, "session.none", "You are not signed in, or your session has ended").WithMend("Sign in")
}

// find reads a live session with its account's credential.
func (s *Service) find(r *ledger.Reader, token string) (ledger.Doc[Session], ledger.Doc[Credential], View, error) {
	var credential ledger.Doc[Credential]
	fail := func(err error) (ledger.Doc[Session], ledger.Doc[Credential], View, error) {
		return ledger.Doc[Session]{}, credential, View{}, err
	}
	found, err := Sessions.List(r, "n.token = $1", Token{token}.Hash())
	if err != nil {
		return fail(err)
	}
	if len(found) == 0 || !s.alive(found[0]) {
		return fail(noSession())
	}
	session := found[0]
	a, err := Accounts.Get(r, session.Body.Account)
	if err != nil || a.Body.State != Active {
		return fail(noSession())
	}
	if credential, err = Credentials.Get(r, CredentialID(a.ID)); err != nil {
		return fail(err)
	}
	view, err := s.view(r, session, a, credential)
	return session, credential, view, err
}

func (s *Service) view(r *ledger.Reader, d ledger.Doc[Session], a ledger.Doc[Account], c ledger.Doc[Credential]) (View, error) {
	v := View{
		ID: d.ID, Account: Person{a.ID, a.Body.Name, a.Body.Email}, Created: d.Body.Created, Expires: d.Body.Expires,
		From: d.Body.From, Agent: d.Body.Agent, Used: s.used.at(d.ID, d.Body.Created), Factor: d.Body.Factor, Proved: d.Body.Proved,
	}
	if asked, err := factorAsked(r, a.ID, d.Body.Factor); err != nil || !asked {
		return v, err
	}
	v.Needs = NeedsCode
	if c.Body.TOTP != nil {
		return v, nil
	}
	// One that was copied counts here: else whoever copied it and knows the password
	// sets up a factor of his own.
	keys, err := Passkeys.List(r, "n.account = $1", a.ID)
	if len(keys) == 0 {
		v.Needs = NeedsTOTPSetup
	}
	return v, err
}

func (s *Service) alive(d ledger.Doc[Session]) bool {
	now := s.ledger.Now()
	return now.Before(d.Body.Expires) && now.Sub(s.used.at(d.ID, d.Body.Created)) < idleLimit
}

// List gives the live sessions of an account, newest first; the person may.
func (s *Service) List(ctx context.Context, actor ledger.Actor, account string) ([]View, error) {
	var views []View
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		if err := access.Require(r, actor, access.See, access.Thing{Kind: "session", Owner: account}); err != nil {
			return err
		}
		a, err := Accounts.Get(r, account)
		if err != nil {
			return err
		}
		c, err := Credentials.Get(r, CredentialID(account))
		if err != nil {
			return err
		}
		docs, err := Sessions.List(r, "n.account = $1 ORDER BY n.id DESC", account)
		if err != nil {
			return err
		}
		views = nil
		for _, d := range docs {
			if !s.alive(d) {
				continue
			}
			v, err := s.view(r, d, a, c)
			if err != nil {
				return err
			}
			views = append(views, v)
		}
		return nil
	})
	return views, err
}

// Revoke ends a session; its person may.
func (s *Service) Revoke(ctx context.Context, actor ledger.Actor, session string) error {
	return s.ledger.Write(ctx, actor, "session revoked", func(tx *ledger.Tx) error {
		d, err := Sessions.Get(tx.Reader, session)
		if err != nil {
			return err
		}
		if err := access.Require(tx.Reader, actor, access.Delete, access.Thing{Kind: "session", ID: d.ID, Owner: d.Body.Account}); err != nil {
			return err
		}
		return Sessions.Delete(tx, session, 0)
	})
}

// SignOut ends the session of a token. One that is not there has ended already.
func (s *Service) SignOut(ctx context.Context, token string, visit Visit) error {
	view, err := s.Session(ctx, token)
	if fault.KindOf(err) == fault.Unauthenticated {
		return nil
	}
	if err != nil {
		return err
	}
	return s.ledger.Write(ctx, view.self(visit), "signed out", func(tx *ledger.Tx) error {
		err := Sessions.Delete(tx, view.ID, 0)
		if fault.KindOf(err) == fault.NotFound {
			return nil
		}
		return err
	})
}

// Sweep deletes sessions that have expired, some hundreds at a time, and tells
// how many. They are dead already; this keeps the table small. It is a job for
// once an hour.
func (s *Service) Sweep(ctx context.Context) (int, error) {
	swept := 0
	err := s.ledger.Write(ctx, ledger.System("session sweep"), "expired", func(tx *ledger.Tx) error {
		docs, err := Sessions.List(tx.Reader, "n.expires <= $1 ORDER BY n.expires LIMIT 500", tx.Now.UnixMilli())
		swept = len(docs)
		for _, d := range docs {
			if err == nil {
				err = Sessions.Delete(tx, d.ID, 0)
			}
		}
		return err
	})
	return swept, err
}

// endSessions ends all sessions of an account but one.
func endSessions(tx *ledger.Tx, account, except string) error {
	docs, err := Sessions.List(tx.Reader, "n.account = $1", account)
	if err != nil {
		return err
	}
	for _, d := range docs {
		if d.ID == except {
			continue
		}
		if err := Sessions.Delete(tx, d.ID, 0); err != nil {
			return err
		}
	}
	return nil
}

// lastUse remembers in memory when sessions were used: a use is not a change.
type lastUse struct {
	mu      sync.Mutex
	started time.Time
	times   map[string]time.Time
}

func newLastUse(now time.Time) *lastUse {
	return &lastUse{started: now, times: map[string]time.Time{}}
}

func (u *lastUse) touch(session string, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.times) > 10_000 {
		for id, at := range u.times {
			if now.Sub(at) > idleLimit {
				delete(u.times, id)
			}
		}
	}
	u.times[session] = now
}

// at is the last known use; a session from before the start counts as used at the start.
func (u *lastUse) at(session string, created time.Time) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	if at, known := u.times[session]; known {
		return at
	}
	if u.started.After(created) {
		return u.started
	}
	return created
}
