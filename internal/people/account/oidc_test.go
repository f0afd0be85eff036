package account_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

// people are those that the provider knows.
type people map[string]*storage.User

func (p people) GetUserByID(id string) *storage.User { return p[id] }
func (p people) GetUserByUsername(name string) *storage.User {
	for _, u := range p {
		if u.Username == name {
			return u
		}
	}
	return nil
}
func (people) ExampleClientID() string { return "service" }

// several is the provider's store when it asks for several factors, or has asked before.
type several struct {
	*storage.Storage
	mfa *bool
	at  *time.Time
}

type severalAsked struct{ op.AuthRequest }

func (severalAsked) GetAMR() []string { return []string{"pwd", "otp", "mfa"} }

type askedBefore struct {
	op.AuthRequest
	at time.Time
}

func (a askedBefore) GetAuthTime() time.Time { return a.at }

func (s several) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	r, err := s.Storage.AuthRequestByCode(ctx, code)
	if err == nil && *s.mfa {
		r = severalAsked{r}
	}
	if err == nil && !s.at.IsZero() {
		r = askedBefore{r, *s.at}
	}
	return r, err
}

// provider runs zitadel/oidc's OpenID provider, with a login form.
type provider struct {
	*httptest.Server
	people people
	mfa    bool
	at     time.Time // when it has asked the person; zero: now
}

func newProvider(t *testing.T, redirect string) *provider {
	p := &provider{people: people{}}
	var inner http.Handler
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { inner.ServeHTTP(w, r) }))
	t.Cleanup(p.Close)
	before := slog.Default()
	inner = exampleop.SetupServer(p.URL, several{storage.NewStorageWithClients(p.people, map[string]*storage.Client{
		"qanat": storage.WebClient("qanat", "its secret", redirect),
	}), &p.mfa, &p.at}, slog.New(slog.DiscardHandler), false)
	slog.SetDefault(before)
	return p
}

func (p *provider) add(id, email string, verified bool) {
	p.people[id] = &storage.User{ID: id, Username: email, Password: "right", FirstName: "Esther", LastName: "Phiri", Email: email, EmailVerified: verified}
}

// sign signs in at the provider as a browser does, and gives what it sends back.
func (p *provider) sign(t *testing.T, address, name string) (state, code string) {
	t.Helper()
	jar, _ := cookiejar.New(nil)
	at, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host == "water.example.org" {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	page, err := client.Get(at.String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, page.Body)
	page.Body.Close()
	id := page.Request.URL.Query().Get("authRequestID")
	answer, err := client.PostForm(p.URL+"/login/username", url.Values{"id": {id}, "username": {name}, "password": {"right"}})
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	back, err := url.Parse(answer.Header.Get("Location"))
	if err != nil || back.Path != account.ReturnPath || back.Host != "water.example.org" {
		t.Fatalf("the provider sends back to %q (%s at %s)", back, answer.Status, page.Request.URL)
	}
	return back.Query().Get("state"), back.Query().Get("code")
}

func TestOpenIDConnect(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open())
		records := map[string]string{"_qanat.water.example": account.DomainProof(w.Org)}
		w.Accounts = account.New(account.Config{Ledger: w.Ledger, Vault: w.Vault, HashMemory: peopletest.HashMemory, Local: func(_ context.Context, name string) ([]string, error) {
			return []string{"v=spf1 -all", records[name]}, nil
		}})
		p := newProvider(t, portal.Origin+account.ReturnPath)
		p.add("1", "esther@water.example", true)
		p.add("2", "ruth@water.example", true)
		p.add("3", "unverified@water.example", false)
		p.add("4", "moses@elsewhere.example", true)
		p.add("5", "admin@water.example", true)
		fresh := func(a ledger.Actor) ledger.Actor { a.Factor = w.Ledger.Now(); return a }
		asked := account.ProviderView{Name: "Water login", Issuer: p.URL, Client: "qanat", Secret: "its secret", Domains: []string{"water.example"}, Factor: account.FactorOwn, Create: true, Branch: w.Org, Group: "members"}
		set := func(what string, actor ledger.Actor, code string, change func(*account.ProviderView)) {
			t.Helper()
			v := asked
			change(&v)
			err := w.Accounts.SetProvider(ctx, actor, w.Org, v)
			if code == "" && err != nil {
				t.Fatalf("%s: %v (%s)", what, err, fault.Cause(err))
			}
			if code != "" {
				wantCode(t, what, err, code)
			}
		}
		same := func(*account.ProviderView) {}
		set("without a fresh factor", w.Admin, "session.step-up", same)
		set("by a manager", fresh(w.Manager), "sign_in_provider.denied", same)
		set("by an outsider", fresh(w.Outside), "sign_in_provider.missing", same)
		set("a domain of somebody else", fresh(w.Admin), "provider.domain", func(v *account.ProviderView) { v.Domains = []string{"example.org"} })
		set("new people as admins", fresh(w.Admin), "provider.group", func(v *account.ProviderView) { v.Group = "admins" })
		set("plain HTTP", fresh(w.Admin), "provider.address", func(v *account.ProviderView) { v.Issuer = "http://login.example.org" })
		set("an issuer that is none", fresh(w.Admin), "provider.unreachable", func(v *account.ProviderView) { v.Issuer = p.URL + "/other" })
		set("as it should be", fresh(w.Admin), "", same)
		if v, err := w.Accounts.ProviderOf(ctx, w.Admin, w.Org); err != nil || v.Issuer != p.URL || v.Secret != "" {
			t.Errorf("the settings: %+v, %v", v, err)
		}
		_, err := w.Accounts.ProviderOf(ctx, w.Viewer, w.Org)
		wantCode(t, "a viewer looks", err, "sign_in_provider.missing")
		second := w.Organization(t, "Another")
		w.Write(t, func(tx *ledger.Tx) error {
			_, err := account.SignInProviders.Create(tx, second, "", account.SignInProvider{Name: "x", Issuer: p.URL, Client: "x", Domains: []string{"water.example"}, Factor: "own"})
			wantCode(t, "the same domain twice", err, "provider.taken")
			return nil
		})
		for address, want := range map[string]bool{"Esther@Water.Example": true, "a@example.org": false, "nobody": false, "a@%": false} {
			if o, err := w.Accounts.OfferProvider(ctx, address); err != nil || o.Offered != want {
				t.Errorf("offered for %q: %+v, %v", address, o, err)
			}
		}

		// enter goes the whole way; the hooks change what comes back.
		enter := func(token, name string, change func(keep, state, code *string)) (account.Token, account.View, error) {
			t.Helper()
			address, keep, err := w.Accounts.BeginProvider(ctx, token, name, portal, home)
			if err != nil {
				return account.Token{}, account.View{}, err
			}
			if q := address; !strings.Contains(q, "code_challenge_method=S256") || !strings.Contains(q, "nonce=") || !strings.Contains(q, "state=") {
				t.Errorf("asked with %s", q)
			}
			state, code := p.sign(t, address, name)
			if change != nil {
				change(&keep, &state, &code)
			}
			return w.Accounts.FinishProvider(ctx, token, keep, state, code, home)
		}
		_, _, err = enter("", "unverified@water.example", nil)
		wantCode(t, "an address that is not verified", err, "provider.unverified")
		address, keep, err := w.Accounts.BeginProvider(ctx, "", "esther@water.example", portal, home)
		if err != nil {
			t.Fatal(err)
		}
		state, code := p.sign(t, address, "moses@elsewhere.example")
		_, _, err = w.Accounts.FinishProvider(ctx, "", keep, state, code, home)
		wantCode(t, "somebody of another domain", err, "provider.domain")
		_, _, err = enter("", "esther@water.example", func(keep, _, _ *string) { *keep = "" })
		wantCode(t, "in a browser that did not ask", err, "provider.browser")
		_, _, err = enter("", "esther@water.example", func(_, state, _ *string) { *state += "x" })
		wantCode(t, "another state", err, "provider.browser")
		_, _, err = enter("", "esther@water.example", func(_, _, code *string) { *code += "x" })
		wantCode(t, "another code", err, "provider.wrong")
		var used [3]string
		_, _, _ = enter("", "unverified@water.example", func(keep, state, code *string) { used = [3]string{*keep, *state, *code} })
		_, _, err = w.Accounts.FinishProvider(ctx, "", used[0], used[1], used[2], home)
		wantCode(t, "an answer again", err, "passkey.late")
		// The code of one try with the state of another: PKCE and nonce do not fit.
		address, _, _ = w.Accounts.BeginProvider(ctx, "", "esther@water.example", portal, home)
		_, other := p.sign(t, address, "esther@water.example")
		_, _, err = enter("", "esther@water.example", func(_, _, code *string) { *code = other })
		wantCode(t, "the code of another try", err, "provider.wrong")

		// Esther is new: an account, a membership, and a second factor of her own to set up.
		_, view, err := enter("", "esther@water.example", nil)
		if err != nil || view.Needs != account.NeedsTOTPSetup || view.Account.Email != "esther@water.example" || view.Account.Name != "Esther Phiri" {
			t.Fatalf("Esther: %+v, %v (%s)", view, err, fault.Cause(err))
		}
		w.Read(t, func(r *ledger.Reader) error {
			held, err := org.Memberships.List(r, "n.person = $1", view.Account.ID)
			if len(held) != 1 || held[0].Body.Group != org.Members {
				t.Errorf("Esther is in %+v", held)
			}
			return err
		})
		again := view.Account.ID
		if _, view, err := enter("", "esther@water.example", nil); err != nil || view.Account.ID != again {
			t.Errorf("Esther again: %+v, %v", view, err)
		}

		// Ruth has an account: an address alone opens nothing. She links it, then it does.
		hashed, err := w.Accounts.Hash(ctx, password, "ruth@water.example")
		if err != nil {
			t.Fatal(err)
		}
		w.Write(t, func(tx *ledger.Tx) error {
			a, err := account.Create(tx, "ruth@water.example", "Ruth Banda", hashed)
			if err == nil {
				_, err = org.Memberships.Create(tx, w.Org, "", org.Membership{Person: a.ID, Branch: w.Org, Group: org.Viewers})
			}
			return err
		})
		_, _, err = enter("", "ruth@water.example", nil)
		wantCode(t, "Ruth before she has linked it", err, "provider.unlinked")
		half, _, err := w.Accounts.SignIn(ctx, "ruth@water.example", password, home)
		if err != nil {
			t.Fatal(err)
		}
		full, _, err := add(t, w, half.Text, phone(), "Phone")
		if err != nil {
			t.Fatal(err)
		}
		address, keep, err = w.Accounts.BeginProvider(ctx, full.Text, "", portal, home)
		if err != nil {
			t.Fatal(err)
		}
		state, code = p.sign(t, address, "esther@water.example")
		_, _, err = w.Accounts.FinishProvider(ctx, full.Text, keep, state, code, home)
		wantCode(t, "linking somebody else's", err, "provider.other")
		if _, _, err := enter(full.Text, "ruth@water.example", nil); err != nil {
			t.Fatalf("linking: %v (%s)", err, fault.Cause(err))
		}
		if _, view, err := enter("", "ruth@water.example", nil); err != nil || view.Needs != account.NeedsCode || view.Account.Name != "Ruth Banda" {
			t.Errorf("Ruth by the provider: %+v, %v", view, err)
		}

		// What the provider's word on factors counts for.
		for _, c := range []struct {
			factor string
			mfa    bool
			needs  string
		}{{account.FactorOwn, true, account.NeedsCode}, {account.FactorAMR, false, account.NeedsCode}, {account.FactorAMR, true, account.NeedsNothing}, {account.FactorAll, false, account.NeedsNothing}} {
			set("factor "+c.factor, fresh(w.Admin), "", func(v *account.ProviderView) { v.Factor, v.Secret = c.factor, "" })
			p.mfa = c.mfa
			if _, view, err := enter("", "ruth@water.example", nil); err != nil || view.Needs != c.needs {
				t.Errorf("factor %s, several asked %v: needs %q, want %q, %v (%s)", c.factor, c.mfa, view.Needs, c.needs, err, fault.Cause(err))
			}
		}

		// Required: no password for people of the domain, except admins.
		set("required", fresh(w.Admin), "", func(v *account.ProviderView) { v.Required, v.Secret = true, "" })
		_, _, err = w.Accounts.SignIn(ctx, "ruth@water.example", password, home)
		wantCode(t, "her password", err, "provider.required")
		_, err = w.Accounts.CheckPassword(ctx, "ruth@water.example", password, home)
		wantCode(t, "her password with a join code or an invitation", err, "provider.required")
		w.Write(t, func(tx *ledger.Tx) error {
			a, err := account.Create(tx, "admin@water.example", "Ada Admin", hashed)
			if err == nil {
				_, err = org.Memberships.Create(tx, w.Org, "", org.Membership{Person: a.ID, Branch: w.Org, Group: org.Admins})
			}
			return err
		})
		if _, _, err := w.Accounts.SignIn(ctx, "admin@water.example", password, home); err != nil {
			t.Errorf("an admin's password: %v", err)
		}

		// Who leaves the organization does not come in by it; a proof of yesterday is none.
		w.Write(t, func(tx *ledger.Tx) error {
			held, err := org.Memberships.List(tx.Reader, "n.person = $1", again)
			if err == nil {
				err = org.Memberships.Delete(tx, held[0].ID, 0)
			}
			return err
		})
		_, _, err = enter("", "esther@water.example", nil)
		wantCode(t, "after she left", err, "provider.left")
		_, _, err = enter("", "ruth@water.example", func(_, _, _ *string) { w.Clock.Advance(6 * time.Minute) })
		wantCode(t, "six minutes later", err, "passkey.late")
		if err := w.Accounts.RemoveProvider(ctx, fresh(w.Admin), w.Org); err != nil {
			t.Fatal(err)
		}
		var removed int64
		w.Read(t, func(r *ledger.Reader) error {
			entries, err := r.Entries(ledger.Filter{Kind: "sign_in_provider", Limit: 1})
			removed = entries[0].Number
			return err
		})
		_, err = w.Ledger.Undo(ctx, w.Admin, "", removed, access.MayUndo)
		wantCode(t, "brought back by an undo, with an old second factor", err, "session.step-up")
		_, _, err = w.Accounts.BeginProvider(ctx, "", "ruth@water.example", portal, home)
		wantCode(t, "after it was removed", err, "provider.none")
	})
}

// A provider's word counts as a factor shown when the provider says that it was; it
// is no fresh one by itself. Who has no factor of this server sets up the first one
// just after a sign-in, and not in a session that somebody found later.
func TestProvidersWordIsNotFresh(t *testing.T) {
	w := peopletest.New(t, storetest.SQLite(t)())
	w.Accounts = account.New(account.Config{Ledger: w.Ledger, Vault: w.Vault, HashMemory: peopletest.HashMemory, Local: func(context.Context, string) ([]string, error) {
		return []string{account.DomainProof(w.Org)}, nil
	}})
	p := newProvider(t, portal.Origin+account.ReturnPath)
	p.add("1", "esther@water.example", true)
	admin := w.Admin
	admin.Factor = w.Ledger.Now()
	if err := w.Accounts.SetProvider(ctx, admin, w.Org, account.ProviderView{Name: "Water login", Issuer: p.URL, Client: "qanat", Secret: "its secret",
		Domains: []string{"water.example"}, Factor: account.FactorAll, Create: true, Branch: w.Org, Group: "members"}); err != nil {
		t.Fatal(err)
	}
	enter := func() (account.Token, account.View) {
		t.Helper()
		address, keep, err := w.Accounts.BeginProvider(ctx, "", "esther@water.example", portal, home)
		if err != nil {
			t.Fatal(err)
		}
		state, code := p.sign(t, address, "esther@water.example")
		token, view, err := w.Accounts.FinishProvider(ctx, "", keep, state, code, home)
		if err != nil || view.Needs != account.NeedsNothing || view.Factor != account.Provider {
			t.Fatalf("%+v, %v (%s)", view, err, fault.Cause(err))
		}
		return token, view
	}
	for _, test := range []struct {
		what  string
		at    time.Time
		fresh bool
	}{
		{"an hour ago", w.Ledger.Now().Add(-time.Hour), false},
		{"a minute ago", w.Ledger.Now().Add(-time.Minute), true},
		{"tomorrow", w.Ledger.Now().Add(24 * time.Hour), true},
		{"not said", time.Unix(0, 0), false},
	} {
		p.at = test.at
		token, view := enter()
		if err := access.Fresh(actorOf(t, w, token.Text), w.Ledger.Now()); (err == nil) != test.fresh {
			t.Errorf("asked %s: fresh is %v, proved %v", test.what, err, view.Proved)
		}
		if view.Proved.After(w.Ledger.Now()) {
			t.Errorf("asked %s: proved %v, in the future", test.what, view.Proved)
		}
	}

	p.at = w.Ledger.Now().Add(-time.Hour)
	old, _ := enter()
	w.Clock.Advance(11 * time.Minute)
	_, err := w.Accounts.SetupTOTP(ctx, old.Text, home)
	wantCode(t, "an app in a session of before", err, "factor.first")
	_, _, err = add(t, w, old.Text, phone(), "Phone")
	wantCode(t, "a passkey in a session of before", err, "factor.first")
	policy := func(on bool) {
		admin.Factor = w.Ledger.Now()
		if _, err := w.Orgs.WritePolicy(ctx, admin, w.Org, 0, "", org.Policy{SecondFactor: on}); err != nil {
			t.Fatal(err)
		}
	}
	policy(true)
	_, err = w.Accounts.SetupTOTP(ctx, old.Text, home)
	wantCode(t, "an app in such a session, which a policy has stopped since", err, "factor.first")
	policy(false)
	_, err = w.Accounts.StepUp(ctx, old.Text, "123456", home)
	wantCode(t, "a code without an app", err, "totp.none")

	token, _ := enter()
	mine := phone()
	if _, _, err := add(t, w, token.Text, mine, "Phone"); err != nil {
		t.Fatalf("the first factor after a new sign-in: %v", err)
	}
	_, _, err = add(t, w, token.Text, phone(), "Another")
	wantCode(t, "a second one, with the sign-in alone", err, "session.step-up")
	if _, _, err := show(t, w, token.Text, mine, home); err != nil {
		t.Fatal(err)
	}
	if err := access.Fresh(actorOf(t, w, token.Text), w.Ledger.Now()); err != nil {
		t.Errorf("after the passkey: %v", err)
	}
}
