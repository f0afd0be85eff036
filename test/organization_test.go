package test

import (
	"bytes"
	"fmt"
	"io"
	"mime/quotedprintable"
	netmail "net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/mail/mailtest"
	"github.com/qanat-water/qanat/test/rig"
)

// refusedWith fails unless a request is refused with a status and a code.
func refusedWith(t *testing.T, c *rig.Client, method, path string, in any, code string) {
	t.Helper()
	answer, err := c.Send(method, path, in)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Status < 400 || !strings.Contains(string(answer.Body), `"`+code+`"`) {
		t.Errorf("%s %s: %d %.300s, want %s", method, path, answer.Status, answer.Body, code)
	}
}

type post struct {
	State string `json:"state"`
	Why   string `json:"why"`
}

// TestOrganization walks through what an admin settles for an organization: how people come in, by mail and by codes, what the
// sharing policy allows, and what somebody in a workspace sees.
func TestOrganization(t *testing.T) {
	smtp := mailtest.New(t, func(s *mailtest.Server) {
		s.User, s.Password = "qanat", "sorghum-kettle-9"
		s.Refuse = func(to string) int {
			if strings.HasPrefix(to, "nobody") {
				return 550
			}
			return 0
		}
	})
	s := rig.Prepare(t, "")
	dir := filepath.Dir(s.Config)
	for name, content := range map[string]string{
		"qanat.toml": fmt.Sprintf("name = \"Qanat under test\"\nlog = \"debug\"\nurl = \"https://%s\"\n[mail]\nhost = \"localhost\"\nport = %d\nfrom = \"Water Office <qanat@example.org>\"\nuser = \"qanat\"\npassword_file = %q\nroot = %q\n",
			s.Web, smtp.Port, filepath.Join(dir, "smtp"), filepath.Join(dir, "smtp.pem")),
		"smtp": "sorghum-kettle-9\n", "smtp.pem": string(smtp.PEM),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	token := s.Init()
	s.Start()
	s.Admin = s.Client()
	s.Admin.Accept(token, "Wanjiru Kamau", "wanjiru@example.org")
	s.Org = s.Admin.Organizations()[0]
	at := "/organizations/" + s.Org

	// A mail instead of a link.
	type link struct {
		URL  string `json:"url"`
		To   string `json:"to"`
		Mail *post  `json:"mail"`
	}
	invite := func(email string) link {
		t.Helper()
		return rig.Post[link](s.Admin, at+"/invitations", map[string]any{"branch": s.Org, "group": "members", "name": "Juma", "email": email})
	}
	made := invite("juma@example.org")
	if made.URL != "" || made.Mail == nil || made.To != "juma@example.org" {
		t.Errorf("who invites is told %+v, want no link", made)
	}
	arrived := smtp.Wait(t, 1)
	if !arrived.Secure || arrived.User != "qanat" || arrived.To != "juma@example.org" {
		t.Errorf("%+v", arrived)
	}
	parsed, err := netmail.ReadMessage(strings.NewReader(arrived.Data))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(quotedprintable.NewReader(parsed.Body))
	if err != nil || !strings.Contains(string(text), "Wanjiru Kamau invites you") || !strings.Contains(string(text), "https://"+s.Web+"/welcome#") {
		t.Fatalf("%v\n%s", err, text)
	}
	_, rest, _ := strings.Cut(string(text), "/welcome#")
	juma := s.Client()
	juma.Accept(strings.Fields(rest)[0], "Juma Mwangi", "juma@example.org")
	made = invite("nobody@example.org")
	type invitation struct {
		Email string `json:"email"`
		Token string `json:"token"`
		Post  *post  `json:"post"`
	}
	var told *post
	for range 200 {
		for _, i := range rig.Get[rig.List[rig.Doc[invitation]]](s.Admin, at+"/invitations").Items {
			if i.Body.Token != "" {
				t.Error("the hash of a token is shown")
			}
			if i.Body.Post != nil && i.Body.Post.State == "failed" {
				told = i.Body.Post
			}
		}
		if told != nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if told == nil || !strings.Contains(told.Why, "refuses the address") {
		t.Errorf("a mail that was refused: %+v", told)
	}

	// A join code: by somebody new, after an admin has let him in.
	type code struct{ Code, URL, QR string }
	joining := rig.Post[code](s.Admin, at+"/join-codes", map[string]any{"name": "Training", "branch": s.Org, "group": "viewers", "approval": true, "max_uses": 5, "expires": time.Now().Add(time.Hour)})
	if !strings.Contains(joining.URL, "/join#") || !strings.HasPrefix(joining.QR, "<svg") {
		t.Errorf("%+v", joining)
	}
	refusedWith(t, s.Client(), "POST", "/join/look", map[string]any{"code": "0000-0000-0001"}, "join_code.typed")
	refusedWith(t, s.Client(), "POST", "/join/look", map[string]any{"code": "0000-0000-0000"}, "join_code.missing")
	neema := s.Client()
	if got := rig.Post[struct{ Needs string }](neema, "/join/newcomer", map[string]any{"code": joining.Code, "name": "Neema", "email": "neema@example.org", "password": rig.Password}); got.Needs != "totp-setup" {
		t.Errorf("a newcomer needs %q", got.Needs)
	}
	type request struct {
		ID     string
		Person struct{ Name string }
		Path   string
	}
	waiting := rig.Get[rig.List[request]](s.Admin, at+"/join-requests").Items
	if len(waiting) != 1 || waiting[0].Person.Name != "Neema" || waiting[0].Path != "Kwale Water" {
		t.Fatalf("%+v", waiting)
	}
	if err := s.Admin.Call("POST", "/join-requests/"+waiting[0].ID+"/approve", nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := rig.Post[struct{ State string }](juma, "/join", map[string]any{"code": joining.URL[strings.Index(joining.URL, "#")+1:]}); got.State != "waiting" {
		t.Errorf("who is signed in is %q", got.State)
	}

	// The sharing policy, obeyed.
	policy := map[string]any{"site_privacy": "private", "export": []string{"managers"}, "share": map[string]string{"organization": "administrators"}}
	refusedWith(t, juma, "PUT", at+"/policy", map[string]any{"body": policy}, "policy.denied")
	if err := s.Admin.Call("PUT", at+"/policy", map[string]any{"body": policy}, nil); err != nil {
		t.Fatal(err)
	}
	if made := rig.Post[rig.Doc[site]](s.Admin, "/sites", map[string]any{"org": s.Org, "body": map[string]any{"type": "school", "name": "Bombo School", "branch": s.Org, "location": location{-4, 39}}}); made.Body.Privacy != "private" {
		t.Errorf("a new site is %s", made.Body.Privacy)
	}
	refusedWith(t, s.Admin, "GET", at+"/export", nil, "policy.export")
	form, err := os.ReadFile("testdata/visit.xml")
	if err != nil {
		t.Fatal(err)
	}
	place := bytes.Index(form, []byte("<bind "))
	form = append(form[:place:place], bytes.Replace(form[place:], []byte("<bind "), []byte(`<bind xmlns:qanat="https://qanat.example.org/xforms" qanat:class="organization" `), 1)...)
	survey := rig.Post[rig.Doc[struct{}]](s.Admin, "/surveys?org="+s.Org+"&branch="+s.Org, rig.Raw{Type: "application/xml", Body: bytes.NewReader(form)})
	deployment := map[string]any{"survey": survey.ID, "name": "March", "active": true, "viewers": []string{"group:" + s.Org + "/viewers"}}
	refusedWith(t, s.Admin, "POST", "/surveys/"+survey.ID+"/deployments", deployment, "policy.share")

	// A workspace: its person sees what it names, and its name in the session.
	rig.Post[rig.Doc[site]](s.Admin, "/sites", map[string]any{"org": s.Org, "body": site{Type: "water_point", Name: "Bombo", Branch: s.Org, Privacy: "protected", Location: &location{-4, 39}}})
	rig.Post[rig.Doc[site]](s.Admin, "/sites", map[string]any{"org": s.Org, "body": site{Type: "school", Name: "Chala School", Branch: s.Org, Privacy: "protected", Location: &location{-4, 39}}})
	sites := func(c *rig.Client) int {
		return len(rig.Get[rig.List[rig.Doc[site]]](c, "/sites?org="+s.Org).Items)
	}
	if n := sites(juma); n != 3 {
		t.Errorf("a member sees %d sites, want 3", n)
	}
	rig.Post[struct{}](s.Admin, at+"/workspaces", map[string]any{"name": "Schools", "colour": "#1b5e78", "people": []string{"person:" + juma.ID}, "site_types": []string{"school"}})
	if n := sites(juma); n != 2 {
		t.Errorf("in the workspace a member sees %d sites, want 2", n)
	}
	refusedWith(t, juma, "GET", "/surveys/"+survey.ID, nil, "survey.missing")
	type session struct {
		Workspaces []struct{ Name, Colour, Org string }
	}
	if got := rig.Get[session](juma, "/session").Workspaces; len(got) != 1 || got[0].Name != "Schools" || got[0].Org != s.Org {
		t.Errorf("the session tells %+v", got)
	}
	if got := rig.Get[session](s.Admin, "/session").Workspaces; len(got) != 0 {
		t.Errorf("an admin is in %+v", got)
	}

	s.Stop()
	if said := string(s.Logged()); strings.Contains(said, "sorghum-kettle-9") || strings.Contains(said, joining.Code) || strings.Contains(said, strings.Fields(rest)[0]) {
		t.Error("a secret is in the server's log")
	}
	if strings.Contains(string(s.Logged()), "nobody@example.org") {
		t.Error("a person's address is in the server's log")
	}
	s.Verify()
}
