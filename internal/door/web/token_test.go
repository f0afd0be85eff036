package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/account/passkeytest"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
	operate "github.com/qanat-water/qanat/internal/people/server"
)

// house is the API over a real world of people, and a client for it.
type house struct {
	*peopletest.World
	t   *testing.T
	web *httptest.Server
}

func newHouse(t *testing.T) *house {
	w := peopletest.New(t, storetest.SQLite(t)())
	h := &house{World: w, t: t}
	s, mux := newServer(House{Name: "Test", PublicURL: "https://water.example.org", Ledger: w.Ledger, Accounts: w.Accounts, People: w.Orgs,
		Server: &operate.Service{Ledger: w.Ledger}, Log: slog.New(slog.DiscardHandler)})
	h.web = httptest.NewTLSServer(s.guarded(mux))
	t.Cleanup(h.web.Close)
	return h
}

// browser keeps cookies, as one does.
type browser struct {
	*house
	cookies map[string]string
	bearer  string
}

func (h *house) browser() *browser { return &browser{house: h, cookies: map[string]string{}} }

// ask sends a request, and gives the status, the code of a problem, and the body.
func (b *browser) ask(method, path string, body any) (int, string, map[string]any) {
	b.t.Helper()
	var in io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			b.t.Fatal(err)
		}
		in = bytes.NewReader(raw)
	}
	r, err := http.NewRequest(method, b.web.URL+prefix+path, in)
	if err != nil {
		b.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	if b.bearer != "" {
		r.Header.Set("Authorization", "Bearer "+b.bearer)
	}
	answer, err := b.web.Client().Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	for _, c := range answer.Cookies() {
		if !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteStrictMode {
			b.t.Errorf("cookie %s is not for this host, HTTPS and our own pages alone: %s", c.Name, c)
		}
		b.cookies[c.Name] = c.Value
	}
	out := map[string]any{}
	_ = json.NewDecoder(answer.Body).Decode(&out)
	code, _ := out["code"].(string)
	return answer.StatusCode, code, out
}

func (b *browser) want(status int, code, method, path string, body any) map[string]any {
	b.t.Helper()
	is, says, out := b.ask(method, path, body)
	if is != status || says != code {
		b.t.Errorf("%s %s: %d %s, want %d %s", method, path, is, says, status, code)
	}
	return out
}

const rightPassword = "sorghum kettle nine"

// admin makes a person with a password who administers the organization.
func (h *house) admin(email string) (id string) {
	h.t.Helper()
	hashed, err := h.Accounts.Hash(h.t.Context(), rightPassword, email)
	if err != nil {
		h.t.Fatal(err)
	}
	h.Write(h.t, func(tx *ledger.Tx) error {
		a, err := account.Create(tx, email, "Ruth Banda", hashed)
		if err == nil {
			id = a.ID
			_, err = org.Memberships.Create(tx, h.Org, "", org.Membership{Person: id, Branch: h.Org, Group: org.Admins})
		}
		return err
	})
	return id
}

// A person comes in by password and passkey, makes a token when the factor is
// fresh, and a program acts by it until it is revoked.
func TestPasskeyAndTokenByAPI(t *testing.T) {
	h := newHouse(t)
	h.admin("ruth@example.org")
	ruth := h.browser()
	ruth.want(200, "", "POST", "/session", map[string]string{"email": "ruth@example.org", "password": rightPassword})
	key := passkeytest.New("https://water.example.org", "water.example.org")
	asked := ruth.want(200, "", "POST", "/passkeys/question", nil)
	answer, err := key.Create(asked["options"])
	if err != nil {
		t.Fatal(err)
	}
	stranger := h.browser()
	stranger.want(401, "session.none", "POST", "/passkeys", map[string]any{"credential": answer})
	session := ruth.want(200, "", "POST", "/passkeys", map[string]any{"name": "Phone", "credential": answer})
	if session["needs"] != "" || fmt.Sprint(session["factors"]) != "[passkey]" {
		t.Errorf("the session after the first passkey: %v", session)
	}
	if ruth.cookies[deviceCookie] == "" {
		t.Error("the browser does not become known")
	}

	// With the passkey alone, in another browser; its answer is bound to the browser that asked.
	asked = stranger.want(200, "", "POST", "/session/passkey/question", nil)
	if answer, err = key.Get(asked["options"]); err != nil {
		t.Fatal(err)
	}
	h.browser().want(422, "passkey.late", "POST", "/session/passkey", map[string]any{"credential": answer})
	stranger.want(200, "", "POST", "/session/passkey", map[string]any{"credential": answer})
	if items := ruth.want(200, "", "GET", "/sign-ins", nil)["items"].([]any); len(items) != 2 {
		t.Errorf("two sign-ins are %v", items)
	}

	// A token needs a fresh factor.
	token := map[string]any{"name": "Dashboard", "branch": h.Org, "group": "viewers", "expires": h.Ledger.Now().Add(11 * time.Minute).Add(time.Hour)}
	h.Clock.Advance(11 * time.Minute)
	ruth.want(403, "session.step-up", "POST", "/tokens", token)
	asked = ruth.want(200, "", "POST", "/session/passkey/question", nil)
	if answer, err = key.Get(asked["options"]); err != nil {
		t.Fatal(err)
	}
	ruth.want(200, "", "POST", "/session/passkey", map[string]any{"credential": answer})
	made := ruth.want(200, "", "POST", "/tokens", token)
	text, _ := made["token"].(string)

	program := h.browser()
	program.bearer = text
	program.want(200, "", "GET", "/organizations/"+h.Org, nil)
	if status, _, _ := program.ask("POST", "/branches", map[string]string{"name": "Theirs", "parent": h.Org}); status != 403 && status != 404 {
		t.Errorf("a token of viewers makes a branch: %d", status)
	}
	program.want(401, "session.none", "GET", "/session", nil)
	program.cookies = ruth.cookies
	program.want(422, "token.twice", "GET", "/organizations/"+h.Org, nil)
	byAddress := h.browser()
	for _, query := range []string{"?access_token=" + text, "?token=" + text, "?Authorization=Bearer%20" + text} {
		byAddress.want(401, "session.none", "GET", "/organizations/"+h.Org+query, nil)
	}
	wrong := h.browser()
	wrong.bearer = strings.Replace(text, "qanat_", "qanat-", 1)
	wrong.want(401, "token.unknown", "GET", "/organizations/"+h.Org, nil)

	rows := ruth.want(200, "", "GET", "/organizations/"+h.Org+"/tokens", nil)["items"].([]any)
	if len(rows) != 1 || strings.Contains(fmt.Sprint(rows), text) || rows[0].(map[string]any)["from"] != "127.0.0.1" {
		t.Errorf("the list of tokens: %v", rows)
	}
	ruth.want(204, "", "POST", "/tokens/"+made["id"].(string)+"/revoke", map[string]string{"reason": "lost"})
	program.cookies = map[string]string{}
	program.want(401, "token.unknown", "GET", "/organizations/"+h.Org, nil)
}

// Too many requests with one token wait; people go on.
func TestTokenRate(t *testing.T) {
	h := newHouse(t)
	maker := h.Admin
	maker.Factor = h.Ledger.Now()
	token, _, err := h.Accounts.CreateToken(t.Context(), maker, account.ServiceToken{Name: "Eager", Branch: h.Org, Group: "viewers", Expires: h.Ledger.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	program := h.browser()
	program.bearer = token.Text
	for range tokenBurst + 60 {
		status, code, _ := program.ask("GET", "/tokens/scopes", nil)
		if status == 429 && code == "rate.token" {
			return
		}
	}
	t.Error("a token is never slowed")
}

// Passkeys are offered where browsers take them.
func TestPasskeyPlaces(t *testing.T) {
	for url, want := range map[string]string{
		"https://water.example.org":      "water.example.org https://water.example.org",
		"https://Water.Example.org:8443": "water.example.org https://water.example.org:8443",
		"https://localhost:8443":         "localhost https://localhost:8443",
		"https://192.0.2.7":              "",
		"https://[2001:db8::1]:8443":     "",
		"https://server":                 "",
	} {
		at, err := (&server{House: House{PublicURL: url}}).place(t.Context())
		if got := strings.TrimSpace(at.ID + " " + at.Origin); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", url, got, err)
		}
	}
}

// The sign-in of an organization: what it depends on, and what it refuses before
// anybody is asked. The whole way is walked in people/account.
func TestProviderByAPI(t *testing.T) {
	h := newHouse(t)
	h.admin("ruth@example.org")
	h.Write(t, func(tx *ledger.Tx) error {
		_, err := account.SignInProviders.Create(tx, h.Org, "", account.SignInProvider{Name: "Water login", Issuer: "https://127.0.0.1:1", Client: "qanat", Domains: []string{"water.example"}, Factor: account.FactorOwn})
		return err
	})
	ruth, stranger := h.browser(), h.browser()
	if is := stranger.want(200, "", "POST", "/session/provider/offer", map[string]string{"email": "nobody@water.example"}); is["offered"] != true || is["name"] != "Water login" {
		t.Errorf("offered: %v", is)
	}
	stranger.want(503, "provider.unreachable", "POST", "/session/provider", map[string]string{"email": "nobody@water.example"}) // this machine is not asked
	stranger.want(404, "provider.none", "POST", "/session/provider", map[string]string{"email": "nobody@example.org"})
	stranger.want(422, "provider.browser", "POST", "/session/provider/finish", map[string]string{"state": "x", "code": "y"})
	stranger.cookies[awayCookie] = "x"
	stranger.want(422, "passkey.late", "POST", "/session/provider/finish", map[string]string{"state": "x", "code": "y"})
	stranger.want(401, "session.none", "GET", "/organizations/"+h.Org+"/provider", nil)

	ruth.want(200, "", "POST", "/session", map[string]string{"email": "ruth@example.org", "password": rightPassword})
	key := passkeytest.New("https://water.example.org", "water.example.org")
	answer, err := key.Create(ruth.want(200, "", "POST", "/passkeys/question", nil)["options"])
	if err != nil {
		t.Fatal(err)
	}
	ruth.want(200, "", "POST", "/passkeys", map[string]any{"credential": answer})
	is := ruth.want(200, "", "GET", "/organizations/"+h.Org+"/provider", nil)
	if is["proof"] != "qanat-organization="+h.Org || is["return"] != "https://water.example.org/sign-in/return" {
		t.Errorf("settings: %v", is)
	}
	h.Clock.Advance(11 * time.Minute)
	ruth.want(403, "session.step-up", "PUT", "/organizations/"+h.Org+"/provider", map[string]any{"name": "x", "issuer": "https://login.example.org", "client": "x", "domains": []string{"example.org"}, "factor": "own", "create": false, "required": false})
}
