package test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/qanat-water/qanat/test/rig"
)

// strangers is a server with two organizations: what one has, the other must not even know of.
type strangers struct {
	*rig.Server
	t        *testing.T
	other    *rig.Client // admin of the other organization
	otherOrg string
	site     rig.Doc[site]
	survey   string
	response string
	device   string
	imported string
	entry    int64
}

func newStrangers(t *testing.T, database string) *strangers {
	s := &strangers{Server: rig.New(t, database), t: t}
	s.other, s.otherOrg = s.Organization("Mzuzu Water", "Chikondi Banda", "chikondi@example.org")
	s.site = rig.Post[rig.Doc[site]](s.Admin, "/sites", map[string]any{"org": s.Org, "body": site{Type: "water_point", Name: "Bombo", Branch: s.Org, Privacy: "private", Location: &location{-4, 39}}})
	xform := must(os.ReadFile("testdata/visit.xml"))(t)
	s.survey = rig.Post[rig.Doc[struct{}]](s.Admin, "/surveys?org="+s.Org+"&branch="+s.Org, rig.Raw{Type: "application/xml", Body: bytes.NewReader(xform)}).ID
	rig.Post[rig.Doc[struct{}]](s.Admin, "/surveys/"+s.survey+"/deployments", map[string]any{"survey": s.survey, "name": "all", "active": true, "enumerators": []string{"group:" + s.Org + "/admins"}})
	s.Phone(s.Admin, "phone").Submit(http.StatusCreated, []byte(`<data id="visit" version="1"><works>yes</works><meta><instanceID>uuid:1</instanceID></meta></data>`), nil, false)
	s.response = rig.Get[rig.List[rig.Doc[response]]](s.Admin, "/responses?org="+s.Org).Items[0].ID
	s.device = s.Device("stranger", s.Org, "").ID
	s.imported = rig.Post[imported](s.Admin, "/imports?type=water_point&name=x&org="+s.Org+"&branch="+s.Org, rig.Raw{Type: "text/csv", Body: strings.NewReader("name\na\n")}).ID
	s.entry = rig.Get[rig.List[act]](s.Admin, "/activity?org="+s.Org+"&kind=site").Items[0].Entry.Number
	return s
}

// unharmed expects the same process, answering, with nothing in its log that it calls an error.
func (s *strangers) unharmed(pid int) {
	s.t.Helper()
	if !s.Running() || s.PID() != pid {
		s.t.Fatal("the server is gone")
	}
	rig.Get[struct{ OK bool }](s.Client(), "/health")
	for line := range bytes.Lines(s.Logged()) {
		if bytes.Contains(line, []byte("level=ERROR")) || bytes.Contains(line, []byte("panic")) {
			s.t.Errorf("bad input is an error of the server's own: %s", line)
		}
	}
}

func raw(kind, text string) rig.Raw { return rig.Raw{Type: kind, Body: strings.NewReader(text)} }

// TestBadRequests sends what no honest client sends: each is refused with a problem that names place and mend.
func TestBadRequests(t *testing.T) {
	rig.Engines(t, func(t *testing.T, database string) {
		s := newStrangers(t, database)
		pid := s.PID()
		body := func(more string) rig.Raw {
			return raw("application/json", `{"org":"`+s.Org+`","body":{"code":"","privacy":"protected","type":"water_point","branch":"`+s.Org+`"`+more+`}}`)
		}
		imports, surveys, sites := "/imports?type=water_point&name=x&org="+s.Org+"&branch="+s.Org, "/surveys?org="+s.Org+"&branch="+s.Org, "/sites?org="+s.Org
		nobody := "01a20063-7c9e-7583-b82e-582754c9e908"
		const deep = 200_000
		for _, test := range []struct {
			name, method, path string
			in                 any
			headers            []string
			status             int
			place              string // of an error in the problem; "": it needs none
		}{
			{name: "malformed JSON", method: "POST", path: "/sites", in: raw("application/json", `{"org":`), status: 400, place: "/"},
			{name: "empty body", method: "POST", path: "/sites", in: raw("application/json", ``), status: 400, place: "/"},
			{name: "no body", method: "POST", path: "/sites", status: 400, place: "/"},
			{name: "wrong types", method: "POST", path: "/sites", in: raw("application/json", `{"org":5,"body":[]}`), status: 422, place: "/org"},
			{name: "a field that is not known", method: "POST", path: "/sites", in: body(`,"name":"a","colour":"red"`), status: 422, place: "/body/colour"},
			{name: "a field that is missing", method: "POST", path: "/sites", in: raw("application/json", `{"org":"`+s.Org+`"}`), status: 422, place: "/"},
			{name: "a property that is not known", method: "POST", path: "/sites", in: body(`,"name":"a","properties":{"colour":"red"}`), status: 422, place: "/properties/colour"},
			{name: "too large", method: "POST", path: "/sites", in: body(`,"name":"` + strings.Repeat("a", 2<<20) + `"`), status: 413},
			{name: "nested too deeply", method: "POST", path: "/sites", in: body(`,"name":"a","properties":{"notes":` + strings.Repeat("[", deep) + strings.Repeat("]", deep) + `}`), status: 400, place: "/"},
			{name: "nested deeply", method: "POST", path: "/sites", in: body(`,"name":"a","properties":{"notes":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`), status: 422, place: "/properties/notes"},
			{name: "wrong content type", method: "POST", path: "/sites", in: raw("text/plain", `{}`), status: 415, place: "/"},
			{name: "zero byte in a name", method: "POST", path: "/sites", in: body(`,"name":"a\u0000b"`), status: 422, place: "/name"},
			{name: "zero byte in a property", method: "POST", path: "/sites", in: body(`,"name":"a","properties":{"notes":"a\u0000b"}`), status: 422, place: "/properties/notes"},
			{name: "off the Earth", method: "POST", path: "/sites", in: body(`,"name":"a","location":{"lat":91,"lon":0}`), status: 422, place: "/location/lat"},
			{name: "a number beyond numbers", method: "POST", path: "/sites", in: body(`,"name":"a","location":{"lat":1e999,"lon":0}`), status: 400, place: "/"},
			{name: "no identifier", method: "GET", path: "/sites/1%27", status: 422, place: "path.id"},
			{name: "no number", method: "GET", path: sites + "&limit=abc", status: 422, place: "query.limit"},
			{name: "too many at once", method: "GET", path: sites + "&limit=99999999", status: 422, place: "query.limit"},
			{name: "somebody else's cursor", method: "GET", path: sites + "&cursor=abc", status: 422, place: "cursor"},
			{name: "no box", method: "GET", path: sites + "&bbox=1,2,x,4", status: 422, place: "bbox"},
			{name: "a sort that is SQL", method: "GET", path: sites + "&sort=';drop", status: 422, place: "sort"},
			{name: "no organization", method: "GET", path: "/sites", status: 422, place: "query.org"},
			{name: "no time", method: "GET", path: "/history/site/" + s.site.ID + "/at?time=yesterday", status: 422, place: "query.time"},
			{name: "an entry beyond numbers", method: "GET", path: "/activity/99999999999999999999999", status: 422, place: "path.number"},
			{name: "an unknown site", method: "GET", path: "/sites/" + nobody, status: 404},
			{name: "an unknown kind", method: "GET", path: "/history/nothing/" + nobody, status: 404},
			{name: "a secret kind", method: "GET", path: "/history/credential/" + s.Admin.ID, status: 404},
			{name: "a file outside", method: "GET", path: "/responses/" + s.response + "/files/..%2f..%2fmaster.key", status: 404},
			{name: "an ETag of another server", method: "PUT", path: "/sites/" + s.site.ID, in: map[string]any{"body": s.site.Body}, headers: []string{"If-Match", "abc"}, status: 422},
			{name: "an old revision", method: "PUT", path: "/sites/" + s.site.ID, in: map[string]any{"body": s.site.Body}, headers: []string{"If-Match", `"77"`}, status: 409},
			{name: "from another site's page", method: "POST", path: "/sites", in: body(`,"name":"a"`), headers: []string{"Origin", "https://evil.example"}, status: 403},
			{name: "from another site, says the browser", method: "POST", path: "/sites", in: body(`,"name":"a"`), headers: []string{"Sec-Fetch-Site", "cross-site"}, status: 403},
			{name: "from a sister site", method: "DELETE", path: "/sites/" + s.site.ID, headers: []string{"Sec-Fetch-Site", "same-site"}, status: 403},
			{name: "a method that is not taken", method: "PATCH", path: "/sites/" + s.site.ID, in: body(""), status: 405},
			{name: "no such address", method: "GET", path: "/nothing", status: 404},
			{name: "a long address", method: "GET", path: "/sites?q=" + strings.Repeat("a", 9000), status: 413},
			{name: "CSV: empty", method: "POST", path: imports, in: raw("text/csv", ""), status: 400, place: "/"},
			{name: "CSV: not text", method: "POST", path: imports, in: raw("text/csv", "\x00\x01\x02\xff\xfe"), status: 422},
			{name: "CSV: 20,000 columns", method: "POST", path: imports, in: raw("text/csv", strings.Repeat("c,", 20000)+"\n"), status: 413},
			{name: "CSV: an unknown type of sites", method: "POST", path: strings.Replace(imports, "water_point", "nothing", 1), in: raw("text/csv", "name\nx\n"), status: 422},
			{name: "XForm: not XML", method: "POST", path: surveys, in: raw("application/xml", "hello"), status: 422, place: "line 1"},
			{name: "XForm: entities", method: "POST", path: surveys, in: raw("application/xml", `<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>`), status: 422, place: "line 1"},
			{name: "XForm: a file of the server", method: "POST", path: surveys, in: raw("application/xml", `<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>`), status: 422, place: "line 1"},
			{name: "XForm: nested too deeply", method: "POST", path: surveys, in: raw("application/xml", strings.Repeat("<a>", 100_000)), status: 422, place: "line 1, <a>"},
			{name: "XForm: too large", method: "POST", path: surveys, in: rig.Raw{Type: "application/xml", Body: bytes.NewReader(make([]byte, 6<<20))}, status: 413},
			{name: "claim: no certificate request", method: "POST", path: "/claim", in: map[string]any{"serial": "x", "code": "y", "csr": "z"}, status: 422, place: "/csr"},
		} {
			answer, err := s.Admin.Send(test.method, test.path, test.in, test.headers...)
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
				continue
			}
			p := answer.Problem()
			switch {
			case answer.Status != test.status || p == nil:
				t.Errorf("%s: %d %s, want a problem with %d: %.300s", test.name, answer.Status, answer.Header.Get("Content-Type"), test.status, answer.Body)
				continue
			case p.Status != test.status || p.Code == "" || p.Detail == "" || p.Title == "":
				t.Errorf("%s: the problem is not whole: %s", test.name, answer.Body)
			case len(answer.Body) > 3000:
				t.Errorf("%s: the problem has %d bytes; it repeats what was sent", test.name, len(answer.Body))
			}
			placed, mended := test.place == "", p.Mend != ""
			for _, d := range p.Errors {
				placed = placed || d.Place == test.place
				mended = mended || d.Mend != ""
			}
			if !placed || !mended {
				t.Errorf("%s: want the place %q and how to mend it: %s", test.name, test.place, answer.Body)
			}
			if allow := answer.Header.Get("Allow"); test.status == 405 && !strings.Contains(allow, "PUT") {
				t.Errorf("%s: Allow is %q", test.name, allow)
			}
		}
		// Zero bytes where only one engine minds: refused or not found, never a failure.
		for _, path := range []string{sites + "&q=%00", sites + "&type=%00", sites + "&q=%ff%fe", "/responses?org=" + s.Org + "&q=%00"} {
			if answer, err := s.Admin.Send("GET", path, nil); err != nil || answer.Status >= 500 {
				t.Errorf("GET %s: %v %+v", path, err, answer)
			}
		}
		if answer, err := s.Client().Send("POST", "/session", map[string]any{"email": "a\x00b", "password": "x"}); err != nil || answer.Status >= 500 {
			t.Errorf("sign-in with a zero byte: %v %+v", err, answer)
		}
		s.badRows(imports)
		s.badSubmissions()
		s.unharmed(pid)
		s.Stop()
		s.Verify()
	})
}

// badRows previews a file in which every row but one is wrong: the errors name row, column, value and mend.
func (s *strangers) badRows(imports string) {
	view := rig.Post[imported](s.Admin, imports, raw("text/csv", "name,lat,lon\nok,-4.1,39.5\noff,91,0\nword,x,1\nhalf,1,\nnull,0,0\nswapped,39.5,-400\n"))
	if view.Rows != 6 || view.ErrorRows != 5 || view.Creates != 1 {
		s.t.Errorf("of six rows one is good: %+v", view)
	}
	rows := map[int]bool{}
	for _, e := range view.Errors {
		rows[e.Row] = true
		if e.Column == "" || e.Message == "" || e.Mend == "" {
			s.t.Errorf("an error without column, message or mend: %+v", e)
		}
	}
	if len(rows) != 5 || rows[2] {
		s.t.Errorf("errors in the rows %v", rows)
	}
}

// badSubmissions: a phone is told to send again only when that would help; what was sent whole is kept for an administrator.
func (s *strangers) badSubmissions() {
	phone := s.Phone(s.Admin, "another phone")
	for name, test := range map[string]struct {
		xml    string
		status int
	}{
		"entities":         {`<!DOCTYPE x [<!ENTITY a "aaaa">]><data id="visit" version="1">&a;</data>`, 202},
		"an external file": {`<!DOCTYPE x SYSTEM "file:///etc/passwd"><data id="visit" version="1"/>`, 202},
		"not XML":          {`hello`, 202},
		"nothing":          {``, 202},
		"deep":             {strings.Repeat("<a>", 100_000), 202},
		"an unknown form":  {`<data id="nothing" version="1"/>`, 202},
		"another version":  {`<data id="visit" version="2"/>`, 202},
		"zero byte in id":  {"<data id=\"a&#0;b\"/>", 202},
		"huge":             {`<data id="visit" version="1"><works>` + strings.Repeat("a", 12<<20) + `</works></data>`, 413},
	} {
		answer, err := phone.TrySubmit([]byte(test.xml), nil, false)
		if err != nil || answer.Status != test.status || !bytes.Contains(answer.Body, []byte("OpenRosaResponse")) {
			s.t.Errorf("submission of %s: %v, want %d: %+v", name, err, test.status, answer)
		}
	}
	whole, kind, err := rig.Submission([]byte(`<data id="visit" version="1"><meta><instanceID>uuid:2</instanceID></meta></data>`), []rig.File{{Name: "a.png", Type: "image/png", Content: picture(3)}}, false)
	if err != nil {
		s.t.Fatal(err)
	}
	for name, test := range map[string]struct {
		kind string
		body []byte
	}{
		"half of it":          {kind, whole[:len(whole)/2]},
		"no end":              {kind, whole[:len(whole)-8]},
		"JSON":                {"application/json", []byte(`{}`)},
		"no boundary":         {"multipart/form-data", whole},
		"no XML":              {`multipart/form-data; boundary=x`, []byte("--x\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a\"\r\n\r\nx\r\n--x--\r\n")},
		"part without a name": {`multipart/form-data; boundary=x`, []byte("--x\r\n\r\nx\r\n--x--\r\n")},
	} {
		answer, err := phone.Do(http.MethodPost, "/submission", bytes.NewReader(test.body), "Content-Type", test.kind)
		if err != nil || answer.Status != http.StatusBadRequest || !bytes.Contains(answer.Body, []byte("nature=\"error\"")) {
			s.t.Errorf("submission with %s: %v %+v, want 400", name, err, answer)
		}
	}
	if n := len(rig.Get[rig.List[rig.Doc[response]]](s.Admin, "/responses?org="+s.Org).Items); n != 1 {
		s.t.Errorf("bad submissions made %d responses", n-1)
	}
	if n := len(rig.Get[rig.List[rig.Doc[struct{}]]](s.Admin, "/quarantine?org="+s.Org).Items); n < 6 {
		s.t.Errorf("%d submissions wait in quarantine, want what was sent whole", n)
	}
}

// TestOtherOrganization: an admin of one organization gets "not found" for everything of another, never "forbidden", and changes
// nothing there. A phone and a device of one are nobody in the other.
func TestOtherOrganization(t *testing.T) {
	rig.Engines(t, func(t *testing.T, database string) {
		s := newStrangers(t, database)
		mine := rig.Post[rig.Doc[site]](s.other, "/sites", map[string]any{"org": s.otherOrg, "body": site{Type: "water_point", Name: "Own", Branch: s.otherOrg, Privacy: "private"}})
		entries := func() int64 {
			return rig.Get[rig.List[act]](s.Admin, "/activity?org="+s.Org+"&limit=1").Items[0].Entry.Number
		}
		before := entries()
		for _, c := range []struct {
			method, path string
			in           any
		}{
			{"GET", "/sites/" + s.site.ID, nil},
			{"PUT", "/sites/" + s.site.ID, map[string]any{"body": s.site.Body}},
			{"DELETE", "/sites/" + s.site.ID, nil},
			{"GET", "/sites/" + s.site.ID + "/responses", nil},
			{"GET", "/sites/" + s.site.ID + "/devices", nil},
			{"POST", "/sites", map[string]any{"org": s.Org, "body": s.site.Body}},
			{"GET", "/organizations/" + s.Org, nil},
			{"GET", "/organizations/" + s.Org + "/members", nil},
			{"GET", "/organizations/" + s.Org + "/export", nil},
			{"POST", "/organizations/" + s.Org + "/invitations", map[string]any{"branch": s.Org, "group": "admins", "name": "me"}},
			{"POST", "/branches", map[string]any{"name": "mine", "parent": s.Org}},
			{"PUT", "/branches/" + s.Org, map[string]any{"name": "mine"}},
			{"POST", "/memberships", map[string]any{"person": s.other.ID, "branch": s.Org, "group": "admins"}},
			{"GET", "/organizations/" + s.Org + "/policy", nil},
			{"PUT", "/organizations/" + s.Org + "/policy", map[string]any{"body": map[string]any{"site_privacy": "public", "share": map[string]string{}}}},
			{"GET", "/organizations/" + s.Org + "/policy/breaches", nil},
			{"GET", "/organizations/" + s.Org + "/workspaces", nil},
			{"POST", "/organizations/" + s.Org + "/workspaces", map[string]any{"name": "mine"}},
			{"GET", "/organizations/" + s.Org + "/join-codes", nil},
			{"GET", "/organizations/" + s.Org + "/join-requests", nil},
			{"POST", "/organizations/" + s.Org + "/join-codes", map[string]any{"name": "mine", "branch": s.Org, "group": "viewers", "max_uses": 1, "expires": "2100-01-01T00:00:00Z"}},
			{"GET", "/surveys/" + s.survey, nil},
			{"GET", "/surveys/" + s.survey + "/form", nil},
			{"GET", "/surveys/" + s.survey + "/deployments", nil},
			{"POST", "/surveys/" + s.survey + "/deployments", map[string]any{"survey": s.survey, "name": "mine", "active": true}},
			{"GET", "/responses/" + s.response, nil},
			{"GET", "/responses/" + s.response + "/submission.xml", nil},
			{"POST", "/responses/" + s.response + "/approve", map[string]any{}},
			{"DELETE", "/responses/" + s.response, nil},
			{"POST", "/phones", map[string]any{"org": s.Org, "account": s.other.ID, "name": "mine"}},
			{"GET", "/devices/" + s.device, nil},
			{"GET", "/devices/" + s.device + "/readings", nil},
			{"POST", "/devices/" + s.device + "/claim-code", map[string]any{}},
			{"POST", "/devices/" + s.device + "/revoke", map[string]any{"reason": "mine"}},
			{"POST", "/devices", map[string]any{"org": s.Org, "body": map[string]any{"serial": "mine", "branch": s.Org}}},
			{"GET", "/imports/" + s.imported, nil},
			{"POST", "/imports/" + s.imported + "/run", map[string]any{}},
			{"GET", fmt.Sprintf("/activity/%d", s.entry), nil},
			{"POST", fmt.Sprintf("/activity/%d/undo", s.entry), map[string]any{}},
			{"POST", fmt.Sprintf("/acts/%d/undo", s.entry), map[string]any{}},
			{"POST", "/undo/preview", map[string]any{"org": s.Org, "actor": s.Admin.ID}},
			{"POST", "/undo", map[string]any{"org": s.Org, "act": s.entry}},
			{"GET", "/history/site/" + s.site.ID, nil},
			{"GET", "/history/site/" + s.site.ID + "/at?time=2030-01-01T00:00:00Z", nil},
		} {
			answer, err := s.other.Send(c.method, c.path, c.in)
			if err != nil || answer.Status != http.StatusNotFound || answer.Problem() == nil {
				t.Errorf("%s %s of another organization: %v %d, want 404: %.200s", c.method, c.path, err, answer.Status, answer.Body)
			}
		}
		for _, path := range []string{"/sites", "/surveys", "/responses", "/devices", "/imports", "/phones", "/quarantine", "/activity", "/refusals"} {
			answer, err := s.other.Send("GET", path+"?org="+s.Org, nil)
			if err != nil || answer.Status != http.StatusNotFound && !bytes.Contains(answer.Body, []byte(`"items":[]`)) {
				t.Errorf("GET %s of another organization: %v %d %.200s", path, err, answer.Status, answer.Body)
			}
		}
		// Own things do not move there either.
		moved := mine.Body
		moved.Branch = s.Org
		for name, c := range map[string]struct {
			method, path string
			in           any
		}{
			"own site into a strange branch":     {"PUT", "/sites/" + mine.ID, map[string]any{"body": moved}},
			"own device at a strange site":       {"POST", "/devices", map[string]any{"org": s.otherOrg, "body": map[string]any{"serial": "d", "branch": s.otherOrg, "site": s.site.ID}}},
			"own import into a strange branch":   {"POST", "/imports?type=water_point&name=x&org=" + s.otherOrg + "&branch=" + s.Org, raw("text/csv", "name\na\n")},
			"own organization, strange branch":   {"POST", "/organizations/" + s.otherOrg + "/invitations", map[string]any{"branch": s.Org, "group": "admins", "name": "me"}},
			"own phone for a stranger's account": {"POST", "/phones", map[string]any{"org": s.otherOrg, "account": s.Admin.ID, "name": "x"}},
		} {
			answer, err := s.other.Send(c.method, c.path, c.in)
			if err != nil || answer.Status < 400 || answer.Status >= 500 {
				t.Errorf("%s: %v %d: %.200s", name, err, answer.Status, answer.Body)
			}
		}
		if now := entries(); now != before {
			t.Errorf("%d entries were written into an organization by strangers", now-before)
		}
		phone := s.Phone(s.Admin, "phone")
		stranger := *phone
		stranger.URL = strings.Replace(phone.URL, s.Org, s.otherOrg, 1)
		if answer, err := stranger.Do(http.MethodGet, "/formList", nil); err != nil || answer.Status != http.StatusNotFound {
			t.Errorf("a phone at another organization's address: %v %+v, want 404", err, answer)
		}
	})
}

// TestTooMany: an address that asks too often is told to wait, and when; other addresses notice nothing.
func TestTooMany(t *testing.T) {
	s := rig.New(t, "")
	greedy, honest := s.As(s.Admin), s.As(s.Admin)
	refused := 0
	for range 600 {
		answer, err := greedy.Send(http.MethodGet, "/health", nil)
		if err != nil {
			t.Fatal(err)
		}
		if answer.Status != http.StatusTooManyRequests {
			continue
		}
		refused++
		comeBack(t, "requests", answer)
	}
	if refused == 0 {
		t.Error("600 requests in a row were all answered")
	}
	rig.Get[rig.List[rig.Doc[site]]](honest, "/sites?org="+s.Org)

	guesser := s.Client()
	for try := 0; ; try++ {
		answer, err := guesser.Send(http.MethodPost, "/session", map[string]any{"email": "wanjiru@example.org", "password": fmt.Sprint("guess ", try)})
		if err != nil {
			t.Fatal(err)
		}
		if answer.Status == http.StatusTooManyRequests {
			comeBack(t, "passwords", answer)
			break
		}
		if try == 60 {
			t.Error("60 wrong passwords in a row were all looked at")
			break
		}
	}
	owner := s.Client()
	if err := owner.Call(http.MethodPost, "/session", map[string]any{"email": "wanjiru@example.org", "password": rig.Password}, nil); err != nil {
		t.Errorf("while somebody guesses, the owner at another address is locked out: %v", err)
	}
	if refused > 0 {
		time.Sleep(1500 * time.Millisecond)
		if answer, err := greedy.Send(http.MethodGet, "/health", nil); err != nil || answer.Status != http.StatusOK {
			t.Errorf("after the wait: %v %+v", err, answer)
		}
	}
}

func comeBack(t *testing.T, what string, answer *rig.Answer) {
	t.Helper()
	seconds, err := strconv.Atoi(answer.Header.Get("Retry-After"))
	if p := answer.Problem(); err != nil || seconds < 1 || p == nil || p.Mend == "" {
		t.Errorf("too many %s: Retry-After %q, %s", what, answer.Header.Get("Retry-After"), answer.Body)
	}
}
