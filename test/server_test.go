package test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/qanat-water/qanat/test/rig"
)

// operator is a server administrator who belongs to no organization any more.
func operator(t *testing.T, s *rig.Server) *rig.Client {
	t.Helper()
	olga := s.Invite(s.Org, "viewers", "Olga Omondi", "olga@example.org")
	if out, err := s.Run("admin", "add", "olga@example.org"); err != nil {
		t.Fatalf("qanat admin add, while the server runs: %v\n%s", err, out)
	}
	type member struct {
		Account     struct{ ID string }
		Memberships []struct{ ID string }
	}
	for _, m := range rig.Get[rig.List[member]](s.Admin, "/organizations/"+s.Org+"/members").Items {
		if m.Account.ID == olga.ID {
			if err := s.Admin.Call(http.MethodDelete, "/memberships/"+m.Memberships[0].ID, nil, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	return olga
}

// TestServerAdministratorsSeeNoData walks every route of the API as a server administrator who belongs to no organization, with the
// ids of everything in one: nothing of it comes back, and nothing of it changes.
func TestServerAdministratorsSeeNoData(t *testing.T) {
	s := rig.New(t, "")
	olga := operator(t, s)
	const mark = "quagga"
	here := rig.Post[rig.Doc[site]](s.Admin, "/sites", map[string]any{"org": s.Org, "body": site{Type: "water_point", Name: mark + " borehole", Branch: s.Org, Privacy: "private", Location: &location{-4.1, 39.2}}})
	team := rig.Post[rig.Doc[struct{}]](s.Admin, "/teams", map[string]any{"branch": s.Org, "name": mark + " team"})
	branch := rig.Post[rig.Doc[struct{}]](s.Admin, "/branches", map[string]any{"parent": s.Org, "name": mark + " branch"})
	survey := rig.Post[rig.Doc[struct{}]](s.Admin, "/surveys?org="+s.Org+"&branch="+s.Org, rig.Raw{Type: "application/xml", Body: strings.NewReader(strings.ReplaceAll(quaggaForm, "MARK", mark))})
	device := rig.Post[rig.Doc[struct{}]](s.Admin, "/devices", map[string]any{"org": s.Org, "body": map[string]any{"branch": s.Org, "serial": mark + "-1", "name": mark + " meter"}})
	newest := rig.Get[rig.List[struct{ Act int64 }]](s.Admin, "/activity?org="+s.Org).Items[0].Act
	ids := []string{s.Org, here.ID, team.ID, branch.ID, survey.ID, device.ID}

	var spec struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	answer, err := olga.Send(http.MethodGet, "https://"+s.Web+"/api/openapi.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(answer.Body, &spec); err != nil || len(spec.Paths) < 80 {
		t.Fatalf("%d paths, %v", len(spec.Paths), err)
	}
	asked, visitor := 0, olga
	for path, methods := range spec.Paths {
		path = strings.TrimPrefix(path, "/api/v1")
		if strings.HasPrefix(path, "/session") || strings.HasPrefix(path, "/server") || path == "/password" {
			continue // one's own; and the server's page, which is what she is there for
		}
		for method := range methods {
			method = strings.ToUpper(method)
			for i, id := range ids {
				if !strings.Contains(path, "{") && i > 0 {
					break
				}
				full := strings.NewReplacer("{id}", id, "{kind}", "site", "{name}", "photo.jpg", "{person}", s.Admin.ID, "{number}", fmt.Sprint(newest)).Replace(path)
				full += "?org=" + s.Org + "&branch=" + s.Org + "&site=" + id + "&thing=site:" + id + "&kind=site&id=" + id + "&verb=see&person=" + s.Admin.ID + "&account=" + s.Admin.ID + "&type=water_point&name=x&number=" + fmt.Sprint(newest) + "&time=2026-01-01T00:00:00Z&actor=" + s.Admin.ID
				if asked++; asked%200 == 0 { // one address may not ask so much
					visitor = s.As(olga)
				}
				var in any
				if method != http.MethodGet {
					in = map[string]any{}
				}
				answer, err := visitor.Send(method, full, in)
				if err != nil {
					t.Fatalf("%s %s: %v", method, full, err)
				}
				if answer.Status >= 500 && answer.Status != http.StatusServiceUnavailable || answer.Status == http.StatusTooManyRequests {
					t.Errorf("%s %s: %d %.200s", method, path, answer.Status, answer.Body)
				}
				if strings.Contains(strings.ToLower(string(answer.Body)), mark) {
					t.Errorf("%s %s tells of the organization's data: %d %.300s", method, path, answer.Status, answer.Body)
				}
				if strings.HasPrefix(path, "/organizations/{id}") && id == s.Org && method == http.MethodGet && answer.Status != http.StatusNotFound && !strings.Contains(string(answer.Body), `"items":[]`) {
					t.Errorf("GET %s: %d %.200s, want not found", path, answer.Status, answer.Body)
				}
			}
		}
	}
	if asked < 300 {
		t.Errorf("only %d requests", asked)
	}
	for _, act := range rig.Get[rig.List[struct{ Entry struct{ Kind, Verb string } }]](s.Admin, "/activity?org="+s.Org+"&actor="+olga.ID+"&since="+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)).Items {
		if act.Entry.Kind != "invitation" && act.Entry.Kind != "membership" { // how she once came in
			t.Errorf("she changed something: %+v", act)
		}
	}
	// What she may see counts and names, and shows nothing else.
	answer, err = s.As(olga).Send(http.MethodGet, "/server/organizations", nil)
	if err != nil || answer.Status != http.StatusOK || !strings.Contains(string(answer.Body), "Kwale Water") || strings.Contains(string(answer.Body), mark) {
		t.Errorf("the server's page: %d %s, %v", answer.Status, answer.Body, err)
	}
	if answer, err := s.Invite(s.Org, "admins", "Amos", "amos@example.org").Send(http.MethodGet, "/server/accounts", nil); err != nil || answer.Status != http.StatusNotFound {
		t.Errorf("an admin of an organization gets the server's accounts: %d, %v", answer.Status, err)
	}
}

const quaggaForm = `<?xml version="1.0"?>
<h:html xmlns="http://www.w3.org/2002/xforms" xmlns:h="http://www.w3.org/1999/xhtml"><h:head><h:title>MARK survey</h:title><model><instance><data id="MARK" version="1"><q/><meta><instanceID/></meta></data></instance>
<bind nodeset="/data/q" type="string"/></model></h:head><h:body><input ref="/data/q"><label>MARK?</label></input></h:body></h:html>`

// TestAuditFeed follows the feed with a token, is cut off, goes on, and has every entry once.
func TestAuditFeed(t *testing.T) {
	rig.Engines(t, func(t *testing.T, database string) {
		s := rig.New(t, database)
		made := rig.Post[struct{ Token string }](s.Admin, "/tokens", map[string]any{
			"branch": s.Org, "name": "siem", "group": "admins", "verbs": []string{"export"}, "kinds": []string{"activity"}, "expires": time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339),
		})
		reader := s.Client()
		type line struct {
			Type          string
			Number, After int64
			Kind          string
			Changes       []struct{ Path string }
		}
		// read follows after a number until it has heard of a site so called, then hangs up without a word.
		read := func(after int64, until string) (lines []line, last int64) {
			t.Helper()
			ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
			defer cancel()
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/organizations/%s/audit.jsonl?follow=true&after=%d", reader.Base, s.Org, after), nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+made.Token)
			answer, err := reader.HTTP.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				t.Fatalf("the feed answers %d", answer.StatusCode)
			}
			last = after
			for in := bufio.NewScanner(answer.Body); in.Scan(); {
				var l line
				if err := json.Unmarshal(in.Bytes(), &l); err != nil {
					t.Fatalf("%v in %.200s", err, in.Bytes())
				}
				if l.Type == "entry" {
					if l.Number <= last {
						t.Errorf("entry %d after %d", l.Number, last)
					}
					last, lines = l.Number, append(lines, l)
				} else if last = max(last, l.After); until == "" {
					return lines, last
				}
				if until != "" && strings.Contains(in.Text(), until) {
					return lines, last
				}
			}
			t.Fatalf("the feed ended before it told of %q", until)
			return nil, 0
		}
		add := func(name string) {
			rig.Post[rig.Doc[site]](s.Admin, "/sites", map[string]any{"org": s.Org, "body": site{Type: "water_point", Name: name, Branch: s.Org, Privacy: "private", Location: &location{-4, 39}}})
		}
		past, last := read(0, "")
		if len(past) < 4 || past[0].Kind != "branch" {
			t.Fatalf("the past has %d entries: %+v", len(past), past)
		}
		heard := past
		for n := range 3 { // while nobody listens, and while somebody does
			add(fmt.Sprintf("Unheard %d", n))
			go func() { time.Sleep(300 * time.Millisecond); add(fmt.Sprintf("Heard %d", n)) }()
			var more []line
			more, last = read(last, fmt.Sprintf("Heard %d", n))
			heard = append(heard, more...)
		}
		// The whole export tells the same entries, each once; the token was written down once for the day.
		answer, err := reader.Send(http.MethodGet, "/organizations/"+s.Org+"/audit.jsonl", nil, "Authorization", "Bearer "+made.Token)
		if err != nil || answer.Status != http.StatusOK {
			t.Fatal(answer, err)
		}
		var whole []line
		for text := range strings.Lines(string(answer.Body)) {
			var l line
			if err := json.Unmarshal([]byte(text), &l); err != nil {
				t.Fatal(err)
			}
			whole = append(whole, l)
		}
		if end := whole[len(whole)-1]; end.Type != "end" || end.After < last {
			t.Errorf("the export ends with %+v", end)
		}
		whole = whole[:len(whole)-1]
		records := 0
		for i, l := range whole {
			if l.Kind == "access_record" {
				records++
			}
			if i < len(heard) && heard[i].Number != l.Number {
				t.Fatalf("line %d is entry %d, the feed had %d", i, l.Number, heard[i].Number)
			}
		}
		if records != 2 || len(whole) != len(heard)+1 { // one for following, one for this export
			t.Errorf("%d access records in %d lines, %d were heard", records, len(whole), len(heard))
		}
		// A token that is revoked hears no more, and one for something else nothing.
		other := rig.Post[struct{ Token string }](s.Admin, "/tokens", map[string]any{
			"branch": s.Org, "name": "other", "group": "admins", "kinds": []string{"site"}, "expires": time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339),
		})
		if answer, err := reader.Send(http.MethodGet, "/organizations/"+s.Org+"/audit.jsonl", nil, "Authorization", "Bearer "+other.Token); err != nil || answer.Status < 400 {
			t.Errorf("a token for sites reads the feed: %d, %v", answer.Status, err)
		}
		// What somebody was refused is told, once, however often he tries.
		viewer := s.Invite(s.Org, "viewers", "Vera", "vera@example.org")
		for range 3 {
			if answer, err := viewer.Send(http.MethodPost, "/teams", map[string]any{"branch": s.Org, "name": "Mine"}); err != nil || answer.Status != http.StatusForbidden {
				t.Errorf("a viewer makes a team: %d, %v", answer.Status, err)
			}
		}
		refused := rig.Get[rig.List[struct{ Title string }]](s.Admin, "/activity?kind=access_record&org="+s.Org+"&actor="+viewer.ID).Items
		if len(refused) != 1 || refused[0].Title != "refused" {
			t.Errorf("three refusals are told as %+v", refused)
		}
		csv, err := s.Admin.Send(http.MethodGet, "/organizations/"+s.Org+"/audit.csv?kind=site", nil)
		if rows := strings.Count(string(csv.Body), "\n"); err != nil || rows != 7 || !strings.HasPrefix(string(csv.Body), "number,time,act,") {
			t.Errorf("the table has %d rows, want 7: %.300s, %v", rows, csv.Body, err)
		}
		began := time.Now()
		go func() {
			_, _ = reader.SendWithin(context.Background(), http.MethodGet, "/organizations/"+s.Org+"/audit.jsonl?follow=true", nil, "Authorization", "Bearer "+made.Token)
		}()
		time.Sleep(500 * time.Millisecond)
		if s.Stop(); time.Since(began) > 10*time.Second {
			t.Errorf("a reader of the feed kept the server from stopping for %s", time.Since(began))
		}
	})
}
