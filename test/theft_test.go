package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/store/storetest"
	responses "github.com/qanat-water/qanat/internal/field/response"
	sites "github.com/qanat-water/qanat/internal/field/site"
	"github.com/qanat-water/qanat/internal/field/survey"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/test/rig"
)

// theft is an organization whose admin Amina is robbed of password and session.
type theft struct {
	*testing.T
	*rig.Server
	org                               string
	operator, amina, ben, carla, mary *rig.Client // the server's administrator; admins of the organization; its manager
	deleted                           int         // responses
	grant                             string      // Mary's, which the thief takes back
	responses                         []string    // ids
	sites                             []rig.Doc[site]
	before                            map[string]string // the state, thing by thing
	since, until                      time.Time         // of the theft
	token                             struct{ ID, Token string }
}

const stolenSites, byToken = 500, 200

// TestStolenAccount is the closing scenario: an admin's password and session are stolen; the thief deletes 10,000
// responses, changes 500 sites, takes the other admins and grants out, and makes a service token that deletes on. Who is
// left ends his sessions and his token, and undoes all of it. QANAT_THEFT sets how many responses he deletes.
func TestStolenAccount(t *testing.T) {
	many := 10_000
	if n, err := strconv.Atoi(os.Getenv("QANAT_THEFT")); err == nil {
		many = n
	}
	t.Run("an admin is left", func(t *testing.T) {
		w := newTheft(t, "", many)
		w.steal(false)
		w.shutOutAsAdmin()
		w.takeBack(w.ben)
		w.story(w.ben)
		w.end()
	})
	t.Run("no admin is left", func(t *testing.T) {
		w := newTheft(t, "", 300)
		w.steal(true)
		w.shutOutAsServerAdministrator()
		w.takeBack(w.operator)
		w.story(w.operator)
		w.leave()
		w.end()
	})
	t.Run("postgres", func(t *testing.T) {
		w := newTheft(t, storetest.PostgresURL(t), 300)
		w.steal(false)
		w.shutOutAsAdmin()
		w.takeBack(w.ben)
		w.story(w.ben)
		w.end()
	})
}

func newTheft(t *testing.T, database string, many int) *theft {
	t.Helper()
	s := rig.New(t, database)
	w := &theft{T: t, Server: s, operator: s.Admin, deleted: many}
	out, err := s.Run("admin", "organization", "create", "Upland Water", "--admin", "amina@example.org", "--admin-name", "Amina Odhiambo")
	_, token, found := strings.Cut(out, "/welcome#")
	if err != nil || !found {
		t.Fatalf("qanat admin organization create: %v\n%s", err, out)
	}
	w.amina = s.Client()
	w.amina.Accept(strings.Fields(token)[0], "Amina Odhiambo", "amina@example.org")
	w.org = w.amina.Organizations()[0]
	s.Admin, s.Org = w.amina, w.org // who invites
	w.ben = s.Invite(w.org, "admins", "Ben Admin", "ben@example.org")
	w.carla = s.Invite(w.org, "admins", "Carla Admin", "carla@example.org")
	w.mary = s.Invite(w.org, "managers", "Mary Manager", "mary@example.org")
	w.furnish()
	w.before = w.state(w.amina)
	if len(w.before) < stolenSites+many {
		t.Fatalf("the state has %d things", len(w.before))
	}
	return w
}

// furnish makes sites by import, a survey, and responses in the server's own data while it stands.
func (w *theft) furnish() {
	w.Helper()
	file := []byte("name,lat,lon,status\n")
	for n := range stolenSites {
		file = fmt.Appendf(file, "Borehole %d,%.4f,39.5,functional\n", n, -4-float64(n)/1000)
	}
	run := rig.Post[imported](w.amina, "/imports?org="+w.org+"&branch="+w.org+"&type=water_point&name=sites.csv", rig.Raw{Type: "text/csv", Body: bytes.NewReader(file)})
	rig.Post[imported](w.amina, "/imports/"+run.ID+"/run", map[string]any{})
	for run.State != "done" {
		time.Sleep(50 * time.Millisecond)
		if run = rig.Get[imported](w.amina, "/imports/"+run.ID); run.State == "failed" {
			w.Fatalf("import: %+v", run)
		}
	}
	for d := range pages[site](w.T, w.amina, "/sites?org="+w.org+"&limit=200") {
		w.sites = append(w.sites, d)
	}
	form := must(os.ReadFile("testdata/visit.xml"))(w.T)
	made := rig.Post[rig.Doc[struct {
		Form string `json:"form"`
	}]](w.amina, "/surveys?org="+w.org+"&branch="+w.org, rig.Raw{Type: "application/xml", Body: bytes.NewReader(form)})
	deployment := rig.Post[rig.Doc[any]](w.amina, "/surveys/"+made.ID+"/deployments", map[string]any{"survey": made.ID, "name": "Round", "active": true, "enumerators": []string{"person:" + w.mary.ID}})
	w.grant = rig.Post[rig.Doc[any]](w.amina, "/grants", map[string]any{"thing": "survey:" + made.ID, "principal": "person:" + w.mary.ID, "role": "viewer"}).ID
	w.Stop()
	ctx := context.Background()
	db, v, err := w.Open(ctx)
	if err != nil {
		w.Fatal(err)
	}
	defer db.Close()
	nouns := slices.Concat(account.Nouns(), org.Nouns(), []ledger.Kind{&access.Grants}, sites.Nouns(), survey.Nouns(), responses.Nouns())
	l, err := ledger.Open(ctx, ledger.Config{
		Store: db, Vault: v, Log: slog.New(slog.DiscardHandler), Nouns: nouns, Origin: fmt.Sprintf("qanat/%x", v.Derive("ledger origin", 8)), CheckpointDir: filepath.Join(w.Data, "checkpoints"),
	})
	if err != nil {
		w.Fatal(err)
	}
	for first := 0; first < w.deleted; first += 500 {
		err = l.Write(ctx, ledger.System("test"), "", func(tx *ledger.Tx) error {
			w.responses = w.responses[:first]
			for i := first; i < min(first+500, w.deleted); i++ {
				d, err := responses.Responses.Create(tx, w.org, "", responses.Response{
					Survey: made.ID, Deployment: deployment.ID, Form: made.Body.Form, InstanceID: fmt.Sprint("uuid:", i), State: responses.Final, Enumerator: w.mary.ID,
					Answers: map[string]any{"site": w.sites[i%len(w.sites)].Body.Code, "works": "yes", "litres": i},
				})
				if err != nil {
					return err
				}
				w.responses = append(w.responses, d.ID)
			}
			return nil
		})
		if err != nil {
			w.Fatal(err)
		}
	}
	err = l.Write(ctx, ledger.System("test"), "", func(tx *ledger.Tx) error { // the server's administrator is one of theirs, too
		_, err := org.Memberships.Create(tx, w.org, "", org.Membership{Person: w.operator.ID, Branch: w.org, Group: org.Admins})
		return err
	})
	if err := errors.Join(err, l.Close()); err != nil {
		w.Fatal(err)
	}
	db.Close()
	w.Start()
}

// state is all that the thief can harm, thing by thing.
func (w *theft) state(c *rig.Client) map[string]string {
	w.Helper()
	state := map[string]string{}
	keep := func(key string, value any) { state[key] = string(must(json.Marshal(value))(w.T)) }
	for d := range pages[map[string]any](w.T, c, "/sites?org="+w.org+"&limit=200") {
		keep("site "+d.ID, d.Body)
	}
	for d := range pages[map[string]any](w.T, c, "/responses?org="+w.org+"&limit=200") {
		keep("response "+d.ID, d.Body)
	}
	for _, m := range rig.Get[rig.List[struct {
		Account     struct{ Name string }
		Memberships []struct{ Branch, Group string }
	}]](c, "/organizations/"+w.org+"/members").Items {
		if len(m.Memberships) > 0 && m.Account.Name != "Wanjiru Kamau" { // she comes under break-glass
			keep("member "+m.Account.Name, m.Memberships)
		}
	}
	for _, d := range rig.Get[rig.List[rig.Doc[struct{ Name string }]]](c, "/surveys?org="+w.org).Items {
		for _, g := range rig.Get[rig.List[rig.Doc[any]]](c, "/grants?thing=survey:"+d.ID).Items {
			keep("grant "+g.ID, g.Body)
		}
	}
	return state
}

// crowd does many things at once from many addresses, as a thief with a botnet would.
func (w *theft) crowd(n int, cookie string, fn func(c *rig.Client, i int) (*rig.Answer, error)) {
	w.Helper()
	var next, failed atomic.Int64
	var all sync.WaitGroup
	for range min(32, n) {
		all.Go(func() {
			c := w.Client()
			c.Cookie = cookie
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				answer, err := fn(c, i)
				for err == nil && answer.Status == http.StatusTooManyRequests {
					time.Sleep(100 * time.Millisecond)
					answer, err = fn(c, i)
				}
				if (err != nil || answer.Status >= 300) && failed.Add(1) == 1 {
					w.Errorf("%d: %v %+v", i, err, answer)
				}
			}
		})
	}
	all.Wait()
	if n := failed.Load(); n > 0 {
		w.Fatalf("%d of the thief's requests failed", n)
	}
}

// steal is what the thief does with Amina's session; meanwhile Mary works on.
func (w *theft) steal(everybody bool) {
	w.Helper()
	began := time.Now()
	w.since = began.Add(-time.Second)
	stolen := w.amina.Cookie
	thief := w.As(w.amina)
	w.token = rig.Post[struct{ ID, Token string }](thief, "/tokens", map[string]any{
		"name": "sync", "branch": w.org, "group": "admins", "verbs": []string{"see", "delete"}, "kinds": []string{"response"}, "expires": time.Now().AddDate(0, 6, 0),
	})
	some := min(byToken, w.deleted/3)
	w.crowd(some, "", func(c *rig.Client, i int) (*rig.Answer, error) {
		return c.Send(http.MethodDelete, "/responses/"+w.responses[i], nil, "Authorization", "Bearer "+w.token.Token)
	})
	w.crowd(w.deleted-some, stolen, func(c *rig.Client, i int) (*rig.Answer, error) {
		return c.Send(http.MethodDelete, "/responses/"+w.responses[some+i], nil)
	})
	w.crowd(len(w.sites), stolen, func(c *rig.Client, i int) (*rig.Answer, error) {
		b := w.sites[i].Body
		b.Name, b.Status = "gone", "not_functional"
		return c.Send(http.MethodPut, "/sites/"+w.sites[i].ID, map[string]any{"body": b})
	})
	w.honest()
	if err := thief.Call(http.MethodDelete, "/grants/"+w.grant, nil, nil); err != nil {
		w.Fatal(err)
	}
	for _, m := range rig.Get[rig.List[struct {
		Account     struct{ ID string }
		Memberships []struct{ ID string }
	}]](thief, "/organizations/"+w.org+"/members").Items {
		switch m.Account.ID {
		case w.amina.ID:
			var p *rig.Problem
			if everybody {
				defer func() { // when she is the only one left
					if err := thief.Call(http.MethodDelete, "/memberships/"+m.Memberships[0].ID, nil, nil); !asProblem(err, &p) || p.Code != "membership.last-admin" {
						w.Errorf("the last admin is taken out: %v", err)
					}
				}()
			}
			continue
		case w.ben.ID:
			if !everybody {
				continue
			}
		}
		if err := thief.Call(http.MethodDelete, "/memberships/"+m.Memberships[0].ID, nil, nil); err != nil {
			w.Fatal(err)
		}
	}
	w.until = time.Now()
	w.Logf("the thief deletes %d responses, %d of them by his token, and changes %d sites in %s", w.deleted, some, len(w.sites), time.Since(began).Round(time.Millisecond))
	if left := rig.Get[rig.List[rig.Doc[any]]](thief, "/responses?org="+w.org+"&limit=1").Items; len(left) > 0 {
		w.Fatal("there are responses left")
	}
}

// honest is what Mary does while the thief is at work. It must stay.
func (w *theft) honest() {
	w.Helper()
	for i := range 10 { // she measures depths at sites that he has spoilt
		d := rig.Get[rig.Doc[site]](w.mary, "/sites/"+w.sites[i].ID)
		if d.Body.Properties == nil {
			d.Body.Properties = map[string]any{}
		}
		d.Body.Properties["depth"] = 30 + i
		if err := w.mary.Call(http.MethodPut, "/sites/"+d.ID, map[string]any{"body": d.Body}, nil); err != nil {
			w.Fatal(err)
		}
	}
	d := rig.Get[rig.Doc[site]](w.mary, "/sites/"+w.sites[10].ID) // and names one anew, which has lost its name
	d.Body.Name = "Borehole by the church"
	if err := w.mary.Call(http.MethodPut, "/sites/"+d.ID, map[string]any{"body": d.Body}, nil); err != nil {
		w.Fatal(err)
	}
	for i := range 3 {
		rig.Post[rig.Doc[site]](w.mary, "/sites", map[string]any{"org": w.org, "body": site{Type: "water_point", Name: fmt.Sprint("New well ", i), Branch: w.org, Privacy: "protected"}})
	}
}

// refused wants a request refused with a status.
func (w *theft) refused(what string, c *rig.Client, status int, path string, headers ...string) {
	w.Helper()
	if answer := must(c.Send(http.MethodGet, path, nil, headers...))(w.T); answer.Status != status {
		w.Errorf("%s: %d %s, want %d", what, answer.Status, answer.Body, status)
	}
}

func (w *theft) thiefIsOut() {
	w.Helper()
	w.refused("the thief with the stolen session", w.As(w.amina), http.StatusUnauthorized, "/sites?org="+w.org)
	w.refused("the thief with his token", w.Client(), http.StatusUnauthorized, "/responses?org="+w.org, "Authorization", "Bearer "+w.token.Token)
	p := &rig.Problem{}
	if err := w.Client().Call(http.MethodPost, "/session", map[string]any{"email": "amina@example.org", "password": rig.Password}, nil); !asProblem(err, &p) || p.Status != http.StatusUnauthorized {
		w.Errorf("the thief with the stolen password: %v", err)
	}
}

// back lets Amina in again by the link that she was handed.
func (w *theft) back(link string) {
	w.Helper()
	_, token, found := strings.Cut(link, "/welcome#")
	if !found {
		w.Fatalf("no link in %q", link)
	}
	c := w.Client()
	rig.Post[any](c, "/invitations/accept", map[string]any{"token": strings.Fields(token)[0], "name": "Amina Odhiambo", "email": "amina@example.org", "password": "eight dry camels sleep"})
}

// revokeTokens ends the tokens that the stolen account has made.
func (w *theft) revokeTokens(c *rig.Client) {
	w.Helper()
	for _, token := range rig.Get[rig.List[struct {
		ID, Name, State string
		By              struct{ ID string }
	}]](c, "/organizations/"+w.org+"/tokens").Items {
		if token.By.ID != w.amina.ID || token.State != "active" {
			w.Errorf("a token that the thief did not make: %+v", token)
		}
		if err := c.Call(http.MethodPost, "/tokens/"+token.ID+"/revoke", map[string]any{"reason": "stolen account"}, nil); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *theft) shutOutAsAdmin() {
	w.Helper()
	ended := rig.Post[struct{ Ended int }](w.ben, "/organizations/"+w.org+"/members/"+w.amina.ID+"/end-sessions", map[string]any{"reason": "stolen session"})
	if ended.Ended < 1 {
		w.Errorf("%+v sessions ended", ended)
	}
	w.revokeTokens(w.ben)
	w.back(rig.Post[struct{ URL string }](w.ben, "/organizations/"+w.org+"/members/"+w.amina.ID+"/sign-in-link", map[string]any{}).URL)
	w.thiefIsOut()
}

func (w *theft) shutOutAsServerAdministrator() {
	w.Helper()
	admin := func(args ...string) string {
		w.Helper()
		out, err := w.Server.Run("admin", args...)
		if err != nil {
			w.Fatalf("qanat admin %q: %v\n%s", args, err, out)
		}
		return out
	}
	w.refused("the server administrator, before break-glass", w.operator, http.StatusNotFound, "/organizations/"+w.org)
	admin("account", "end-sessions", "amina@example.org", "--reason", "stolen session, Amina called")
	w.back(admin("account", "sign-in-link", "amina@example.org", "--reset-factor", "--reason", "stolen password, Amina called"))
	admin("break-glass", "Upland Water", "--as", "wanjiru@example.org", "--role", "admins", "--hours", "2", "--reason", "Undo what was done with the stolen account of Amina")
	w.revokeTokens(w.operator)
	w.thiefIsOut()
}

// takeBack previews and undoes all that the account and its token did, and compares the state.
func (w *theft) takeBack(by *rig.Client) {
	w.Helper()
	for _, actor := range []string{w.token.ID, w.amina.ID} {
		asked := map[string]any{"org": w.org, "actor": actor, "since": w.since, "until": w.until}
		preview := undoing(w.T, by, "/undo/preview", asked)
		asked["reason"] = "stolen account"
		began := time.Now()
		run := undoing(w.T, by, "/undo", asked)
		w.Logf("undone: %d of %d changes in %s, %d kept, %d denied", run.Result.Count, run.Result.Total, time.Since(began).Round(time.Millisecond), run.Result.Kept, run.Result.Denied)
		if preview.Result.Act != 0 || preview.Result.Count != run.Result.Count || preview.Result.Kept != run.Result.Kept || preview.Result.Denied != run.Result.Denied {
			w.Errorf("the preview of %s said %+v, the undo %+v", actor, preview.Result, run.Result)
		}
		kept, denied := 0, 0
		if actor == w.amina.ID {
			kept = 2 // the site that Mary named anew; the token, which was revoked
			if by == w.operator {
				denied = 1 // nobody makes himself a member while he visits under break-glass
			}
		}
		if run.Result.Kept != kept || run.Result.Denied != denied {
			w.Errorf("%d changes of %s are kept and %d denied, want %d and %d: %+v", run.Result.Kept, actor, run.Result.Denied, kept, denied, run.Result)
		}
	}
	want, after := maps.Clone(w.before), w.state(by)
	news := 0
	for key, is := range after {
		if _, known := want[key]; !known {
			if !strings.Contains(is, "New well") {
				w.Errorf("there is %s %s", key, is)
			}
			news++
		}
	}
	for i := range 11 { // what Mary did
		key := "site " + w.sites[i].ID
		var b map[string]any
		if err := json.Unmarshal([]byte(want[key]), &b); err != nil {
			w.Fatal(err)
		}
		if i == 10 {
			b["name"], b["status"] = "Borehole by the church", "not_functional"
		} else if p, has := b["properties"].(map[string]any); has {
			p["depth"] = 30 + i
		} else {
			b["properties"] = map[string]any{"depth": 30 + i}
		}
		want[key] = string(must(json.Marshal(b))(w.T))
	}
	wrong := 0
	for key, was := range want {
		if after[key] != was {
			if wrong++; wrong < 5 {
				w.Errorf("%s was\n%s, is\n%s", key, was, after[key])
			}
		}
	}
	if wrong > 0 || news != 3 {
		w.Fatalf("%d of %d things are not as before, %d are new, want 3", wrong, len(want), news)
	}
}

// leave ends the visit under break-glass; then the same undo, by an admin who is back, gives the visitor's own membership back.
func (w *theft) leave() {
	w.Helper()
	for _, visit := range rig.Get[rig.List[rig.Doc[any]]](w.operator, "/organizations/"+w.org+"/break-glass").Items {
		if err := w.ben.Call(http.MethodPost, "/break-glass/"+visit.ID+"/end", map[string]any{}, nil); err != nil {
			w.Fatal(err)
		}
	}
	run := undoing(w.T, w.ben, "/undo", map[string]any{"org": w.org, "actor": w.amina.ID, "since": w.since, "until": w.until, "reason": "stolen account"})
	if run.Result.Count != 1 || run.Result.Kept != 2 {
		w.Errorf("after the visit: %+v", run.Result)
	}
	if !slices.Contains(w.operator.Organizations(), w.org) {
		w.Error("the visitor's own membership is not back")
	}
}

// story is what the audit page tells, to whoever asks for the account and the token.
func (w *theft) story(c *rig.Client) {
	w.Helper()
	type told struct {
		Entry struct {
			Verb, Reason, From string
			ActorName          string `json:"actor_name"`
			ActorKind          string `json:"actor_kind"`
		} `json:"entry"`
		Title  string `json:"title"`
		About  string `json:"about"`
		Undone bool   `json:"undone"`
	}
	asked := func(query string) []told {
		w.Helper()
		return rig.Get[rig.List[told]](c, "/activity?org="+w.org+"&limit=100&since="+w.since.UTC().Format("2006-01-02T15:04:05.000Z")+query).Items
	}
	questions := map[string]string{
		"deletions of responses by the account": "&kind=response&verb=delete&actor=" + w.amina.ID,
		"deletions of responses by the token":   "&kind=response&verb=delete&actor_kind=token",
		"changes of sites":                      "&kind=site&verb=update&actor=" + w.amina.ID,
		"admins taken out":                      "&kind=membership&verb=delete&actor=" + w.amina.ID,
		"the grant taken back":                  "&kind=access_grant&verb=delete&actor=" + w.amina.ID,
		"the token made":                        "&kind=token&verb=create&actor=" + w.amina.ID,
		"the token revoked":                     "&kind=token&verb=update&actor=" + c.ID,
		"the sessions ended":                    "&kind=security_event&text=stolen+session",
		"what was undone":                       "&verb=undo&text=stolen&actor=" + c.ID,
	}
	if c == w.operator {
		questions["the break-glass"] = "&kind=break_glass"
	}
	for what, query := range questions {
		acts := asked(query)
		if len(acts) == 0 {
			w.Errorf("the audit page does not tell of %s (%s)", what, query)
			continue
		}
		for _, a := range acts {
			if a.Entry.ActorName == "" || a.Entry.ActorKind == "account" && a.Entry.From == "" {
				w.Errorf("%s: by whom, from where? %+v", what, a)
				break
			}
			if whom := map[string]string{"admins taken out": ", admins of Upland Water", "the grant taken back": "Mary Manager", "the sessions ended": "Amina Odhiambo"}[what]; !slices.ContainsFunc(acts, func(a told) bool { return strings.Contains(a.About, whom) }) {
				w.Errorf("%s: whom? %+v", what, acts)
				break
			}
			if strings.HasPrefix(what, "deletions") && !a.Undone {
				w.Errorf("%s: not shown as undone: %+v", what, a)
				break
			}
		}
	}
}

func (w *theft) end() {
	w.Helper()
	w.KeptOutOfLog(map[string]string{"the token": w.token.Token, "the session": w.amina.Cookie})
	w.Stop()
	w.Verify()
}
