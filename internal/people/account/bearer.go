package account

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/netaddr"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// A service token is "qanat_", 32 random bytes in small base32, and eight digits
// of a CRC-32 of what stands before: search tools can find one that was lost in a
// program, and a mistyped one is refused without a look into the database.
const (
	tokenMark  = "qanat_"
	tokenWidth = len(tokenMark) + 52 + 8

	keepUse   = 24 * time.Hour // how often a use is written down at least
	movedUse  = time.Hour      // and how often at most when the address changes
	maxTokens = 100            // live ones of an organization
)

var tokenText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func newServiceToken() Token {
	raw := make([]byte, 32)
	rand.Read(raw)
	text := tokenMark + tokenText.EncodeToString(raw)
	return Token{text + checksum(text)}
}

func checksum(text string) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(text))) }

// wellFormed tells a service token from anything else.
func wellFormed(text string) bool {
	return len(text) == tokenWidth && strings.HasPrefix(text, tokenMark) && checksum(text[:tokenWidth-8]) == text[tokenWidth-8:]
}

// TokenUse is when and from where a service token was used last, to a day.
type TokenUse struct {
	At   time.Time `json:"at"`
	From string    `json:"from"`
}

// TokenUses is the noun of last uses: one document for each token, written once a
// day and not for each use. They belong to the server.
var TokenUses = ledger.Noun[TokenUse]{Name: "token_use", Secret: true}

// TokenView is a service token as its administrators see it.
type TokenView struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Branch    string    `json:"branch"`
	Group     string    `json:"group,omitempty"`
	Verbs     []string  `json:"verbs"`
	Kinds     []string  `json:"kinds"`
	Made      time.Time `json:"made"`
	Expires   time.Time `json:"expires"`
	State     string    `json:"state" enum:"active,expired,revoked"`
	By        Person    `json:"by" doc:"who made it"`
	MakerLeft bool      `json:"maker_left" doc:"who made it does not belong to the organization any more: decide whether the token stays"`
	Used      time.Time `json:"used,omitzero" doc:"last use; after a restart of the server to a day"`
	From      string    `json:"from,omitempty" doc:"address of the last use"`
}

// CreateToken makes a service token. Whoever administers its branch may, in a
// session with a fresh second factor, and so never one that is wider than the
// maker. The text is returned this once.
func (s *Service) CreateToken(ctx context.Context, actor ledger.Actor, asked ServiceToken) (Token, ledger.Doc[ServiceToken], error) {
	token := newServiceToken()
	var made ledger.Doc[ServiceToken]
	err := s.ledger.Write(ctx, actor, "service token made", func(tx *ledger.Tx) error {
		var organization string
		if _, err := tx.Row([]any{&organization}, "SELECT org FROM branch WHERE id = $1", asked.Branch); err != nil {
			return err
		}
		thing := access.Thing{Kind: "token", Org: organization, Branch: asked.Branch}
		if err := access.Require(tx.Reader, actor, access.Create, thing); err != nil {
			return err
		}
		if actor.Kind != "account" && actor.Kind != "system" {
			return fault.New(fault.Denied, "token.maker", "Only a person makes a service token")
		}
		if err := access.Fresh(actor, tx.Now); err != nil {
			return err
		}
		if err := knownScopes(asked); err != nil {
			return err
		}
		var live int
		if _, err := tx.Row([]any{&live}, "SELECT count(*) FROM token WHERE org = $1 AND state = 'active' AND expires > $2", organization, tx.Now.UnixMilli()); err != nil {
			return err
		}
		if live >= maxTokens {
			return fault.Newf(fault.Conflict, "token.many", "An organization has at most %d live tokens", maxTokens).WithMend("Revoke those that nothing uses")
		}
		var err error
		made, err = ServiceTokens.Create(tx, organization, "", ServiceToken{
			Name: strings.TrimSpace(asked.Name), Branch: asked.Branch, Group: asked.Group, Verbs: asked.Verbs, Kinds: asked.Kinds,
			Hash: token.Hash(), Expires: asked.Expires.UTC().Truncate(time.Millisecond), State: Active, By: actor.ID,
		})
		return err
	})
	if err != nil {
		return Token{}, made, err
	}
	return token, made, nil
}

func knownScopes(t ServiceToken) error {
	verbs, kinds := access.Scopes()
	for place, both := range map[string][2][]string{"/verbs": {t.Verbs, verbs}, "/kinds": {t.Kinds, kinds}} {
		for _, word := range both[0] {
			if !slices.Contains(both[1], word) {
				return fault.Newf(fault.Invalid, "token.scope", "%.40q is nothing that a token can be narrowed to", word).
					At(place, "unknown", "one of "+strings.Join(both[1], ", "))
			}
		}
	}
	return nil
}

// Tokens lists the service tokens of an organization that the actor may see,
// newest first.
func (s *Service) Tokens(ctx context.Context, actor ledger.Actor, organization string) ([]TokenView, error) {
	var views []TokenView
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		where, args, err := access.Visible(r, actor, "token")
		if err != nil {
			return err
		}
		docs, err := ServiceTokens.List(r, where+fmt.Sprintf(" AND n.org = $%d ORDER BY n.id DESC LIMIT 1000", len(args)+1), append(args, organization)...)
		views = make([]TokenView, 0, len(docs))
		for _, d := range docs {
			if err != nil {
				return err
			}
			var v TokenView
			v, err = s.tokenView(r, d)
			views = append(views, v)
		}
		return err
	})
	return views, err
}

func (s *Service) tokenView(r *ledger.Reader, d ledger.Doc[ServiceToken]) (TokenView, error) {
	v := TokenView{
		ID: d.ID, Name: d.Body.Name, Branch: d.Body.Branch, Group: d.Body.Group, Verbs: d.Body.Verbs, Kinds: d.Body.Kinds,
		Expires: d.Body.Expires, State: d.Body.State, By: Person{ID: d.Body.By},
	}
	if d.Body.State == Active && !s.ledger.Now().Before(d.Body.Expires) {
		v.State = "expired"
	}
	if made, err := uuid.Parse(d.ID); err == nil && made.Version() == 7 {
		v.Made = time.Unix(made.Time().UnixTime()).UTC()
	}
	var here int
	_, err := r.Row([]any{&v.By.Name, &v.By.Email, &here}, `SELECT a.name, a.email,
		CASE WHEN a.state = 'active' AND EXISTS (SELECT 1 FROM membership m WHERE m.person = a.id AND m.org = $2) THEN 1 ELSE 0 END
		FROM account a WHERE a.id = $1`, d.Body.By, d.Org)
	if err != nil {
		return v, err
	}
	v.MakerLeft = here == 0 && d.Body.By != ""
	use, err := s.tokenUse(r, d.ID)
	v.Used, v.From = use.At, use.From
	return v, err
}

// RevokeToken ends a service token for good. It needs no fresh factor: ending is
// never what a thief gains by.
func (s *Service) RevokeToken(ctx context.Context, actor ledger.Actor, id, reason string) error {
	return s.ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		t, err := access.Describe(tx.Reader, "token", id)
		if err == nil {
			err = access.Require(tx.Reader, actor, access.Revoke, t)
		}
		if err != nil {
			return err
		}
		_, err = ServiceTokens.Update(tx, id, 0, func(t *ServiceToken) error { t.State = Revoked; return nil })
		return err
	})
}

func badToken() error {
	return fault.New(fault.Unauthenticated, "token.unknown", "This service token is unknown, revoked or has ended").
		WithMend("Ask an administrator of the organization for another one")
}

// TokenActor is the actor that a service token acts as. It is looked up by its
// hash, so that the time it takes says nothing of it. Wrong ones are slowed for
// the address; right ones from there go on.
func (s *Service) TokenActor(ctx context.Context, text string, visit Visit) (ledger.Actor, error) {
	refuse := func() (ledger.Actor, error) {
		if d, _ := s.tokens.Take("", visit.From); d > 0 {
			return ledger.Actor{}, fault.New(fault.TooMany, "token.slow", "Too many wrong service tokens from here").After(d).WithMend("Mend the program's token")
		}
		return ledger.Actor{}, badToken()
	}
	if !wellFormed(text) {
		return refuse()
	}
	var actor ledger.Actor
	var use TokenUse
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		actor = ledger.Actor{}
		found, err := ServiceTokens.List(r, "n.hash = $1", Token{text}.Hash())
		if err != nil || len(found) == 0 {
			return err
		}
		d := found[0]
		if d.Body.State != Active || !s.ledger.Now().Before(d.Body.Expires) {
			return nil
		}
		actor = ledger.Actor{ID: d.ID, Kind: "token", Name: d.Body.Name, Door: visit.Door, From: visit.From}
		use, err = s.tokenUse(r, d.ID)
		return err
	})
	if err != nil {
		return ledger.Actor{}, err
	}
	if actor.ID == "" {
		return refuse()
	}
	return actor, s.countUse(ctx, actor, use)
}

// countUse remembers a use, and writes it down when that was not done today.
func (s *Service) countUse(ctx context.Context, actor ledger.Actor, known TokenUse) error {
	now := TokenUse{s.ledger.Now(), netaddr.Host(actor.From)}
	if !s.uses.note(actor.ID, now, known) {
		return nil
	}
	return s.ledger.Write(ctx, actor, "service token used", func(tx *ledger.Tx) error {
		id := useID(actor.ID)
		_, err := TokenUses.Update(tx, id, 0, func(u *TokenUse) error { *u = now; return nil })
		if fault.KindOf(err) == fault.NotFound {
			_, err = TokenUses.Create(tx, "", id, now)
		}
		return err
	})
}

// tokenUse is the last known use: that of this process, or the one written down.
func (s *Service) tokenUse(r *ledger.Reader, token string) (TokenUse, error) {
	if u, known := s.uses.of(token); known {
		return u, nil
	}
	d, err := TokenUses.Get(r, useID(token))
	if fault.KindOf(err) == fault.NotFound {
		return TokenUse{}, nil
	}
	return d.Body, err
}

func useID(token string) string {
	namespace, err := uuid.Parse(token)
	if err != nil {
		namespace = uuid.NameSpaceOID
	}
	return uuid.NewSHA1(namespace, []byte("use")).String()
}

// uses remembers the last use of each token in memory. Tokens are few.
type uses struct {
	mu    sync.Mutex
	token map[string]*use
}

type use struct{ last, saved TokenUse }

// note remembers a use, and tells whether it is to be written down now. known is
// the last one that is known otherwise.
func (u *uses) note(token string, now, known TokenUse) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.token == nil || len(u.token) > 10_000 {
		u.token = map[string]*use{}
	}
	is := u.token[token]
	if is == nil {
		is = &use{saved: known}
		u.token[token] = is
	}
	is.last = now
	age := now.At.Sub(is.saved.At)
	if age > keepUse || age > movedUse && netaddr.Prefix(now.From) != netaddr.Prefix(is.saved.From) {
		is.saved = now
		return true
	}
	return false
}

func (u *uses) of(token string) (TokenUse, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if is := u.token[token]; is != nil {
		return is.last, true
	}
	return TokenUse{}, false
}
