package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/qanat-water/qanat/test/rig"
)

// job is one walk through the main job; each step stands on the ones before.
type job struct {
	*testing.T
	*rig.Server
	enumerator *rig.Client
	phone      *rig.Phone
	site       rig.Doc[site] // made by hand, then visited, measured, edited
	photo      []byte
	sent       map[string][]byte // submission id or instance -> exact XML
	devices    []*rig.Device
	published  map[string]map[string][]point // device -> channel -> points
	secrets    map[string]string
	imported   int
}

type site struct {
	Code       string         `json:"code"`
	Type       string         `json:"type"`
	Name       string         `json:"name"`
	Branch     string         `json:"branch"`
	Privacy    string         `json:"privacy"`
	Status     string         `json:"status,omitempty"`
	Location   *location      `json:"location,omitempty"`
	Properties map[string]any `json:"properties,omitempty"`
}

type location struct {
	Lat float64 `json:"lat"`
	Lon float64 `json:"lon"`
}

type point struct {
	TS    int64
	Value float64
}

// TestMainJob is the first issue's "It is done when", on both engines.
func TestMainJob(t *testing.T) {
	rig.Engines(t, func(t *testing.T, database string) {
		s := rig.New(t, database)
		j := &job{T: t, Server: s, sent: map[string][]byte{}, published: map[string]map[string][]point{}, secrets: map[string]string{}}
		for _, step := range []struct {
			name string
			do   func(*job)
		}{
			{"people", (*job).people}, {"site", (*job).makeSite}, {"import", (*job).importSites}, {"collect", (*job).collect}, {"water-simple", (*job).waterSimple},
			{"device", (*job).device}, {"edit-and-undo", (*job).editAndUndo}, {"restart", (*job).restart}, {"export", (*job).export}, {"log", (*job).log}, {"verify", (*job).verify},
		} {
			began := time.Now()
			ok := t.Run(step.name, func(t *testing.T) {
				j.T = t
				j.In(t)
				step.do(j)
			})
			j.T = t
			j.In(t)
			if !ok {
				t.Fatalf("step %s failed; those after it stand on it", step.name)
			}
			t.Logf("%s: %s", step.name, time.Since(began).Round(time.Millisecond))
		}
	})
}

func (j *job) people() {
	j.enumerator = j.Invite(j.Org, "members", "Juma Mwangi", "juma@example.org")
	j.secrets["the admin's session"], j.secrets["the enumerator's session"] = j.Admin.Cookie, j.enumerator.Cookie
	j.secrets["the admin's second factor"], j.secrets["the password"] = j.Admin.TOTP, rig.Password

	// Signing in again needs both factors; a code works once.
	again := j.Client()
	if err := again.Call(http.MethodPost, "/session", map[string]any{"email": "juma@example.org", "password": rig.Password}, nil); err != nil {
		j.Fatal(err)
	}
	var p *rig.Problem
	if err := again.Call(http.MethodGet, "/sites?org="+j.Org, nil, nil); !asProblem(err, &p) || p.Status != http.StatusUnauthorized {
		j.Errorf("without the second factor, sites answer %v; want 401", err)
	}
	again.TOTP = j.enumerator.TOTP
	if err := again.Call(http.MethodPost, "/session/code", map[string]any{"code": j.enumerator.Code()}, nil); !asProblem(err, &p) {
		j.Errorf("the code that confirmed the second factor worked a second time: %v", err)
	}
}

func (j *job) makeSite() {
	j.site = rig.Post[rig.Doc[site]](j.Admin, "/sites", map[string]any{"org": j.Org, "body": site{
		Type: "water_point", Name: "Mwabungo school pump", Branch: j.Org, Privacy: "protected", Status: "functional", Location: &location{-4.3312, 39.5321},
	}})
	if j.site.Body.Code == "" || j.site.Revision != 1 {
		j.Errorf("a new site has code %q and revision %d", j.site.Body.Code, j.site.Revision)
	}
}

type act struct {
	Act     int64            `json:"act"`
	Entries int64            `json:"entries"`
	Kinds   map[string]int64 `json:"kinds"`
	Entry   struct {
		Number    int64  `json:"number"`
		Kind      string `json:"kind"`
		Doc       string `json:"doc"`
		Verb      string `json:"verb"`
		Actor     string `json:"actor"`
		ActorName string `json:"actor_name"`
		Door      string `json:"door"`
	} `json:"entry"`
	Title  string `json:"title"`
	Undone bool   `json:"undone"`
}

// editAndUndo edits the site, finds the change under Activity and in its history, and takes it back.
func (j *job) editAndUndo() {
	was := rig.Get[rig.Doc[site]](j.Admin, "/sites/"+j.site.ID)
	now := was.Body
	now.Status = "not_functional"
	var changed rig.Doc[site]
	if err := j.Admin.Call(http.MethodPut, "/sites/"+j.site.ID, map[string]any{"body": now}, &changed, "If-Match", fmt.Sprintf("%q", strconv.FormatInt(was.Revision, 10))); err != nil {
		j.Fatal(err)
	}
	var p *rig.Problem
	if err := j.Admin.Call(http.MethodPut, "/sites/"+j.site.ID, map[string]any{"body": now}, nil, "If-Match", fmt.Sprintf("%q", strconv.FormatInt(was.Revision, 10))); !asProblem(err, &p) || p.Status != http.StatusConflict {
		j.Errorf("a change on an old revision: %v, want 409", err)
	}
	acts := rig.Get[rig.List[act]](j.Admin, "/activity?org="+j.Org+"&doc="+j.site.ID).Items
	if len(acts) < 2 || acts[0].Entry.Verb != "update" || acts[0].Entry.Actor != j.Admin.ID || acts[0].Entry.ActorName != "Wanjiru Kamau" || acts[0].Entry.Door != "web" {
		j.Fatalf("Activity shows %+v", acts)
	}
	number := acts[0].Entry.Number
	detail := rig.Get[struct {
		Before, After site
		Differences   []struct {
			Path string
			Old  any
			New  any
		}
	}](j.Admin, fmt.Sprintf("/activity/%d", number))
	if detail.Before.Status != "functional" || detail.After.Status != "not_functional" || len(detail.Differences) != 1 || detail.Differences[0].Path != "/status" {
		j.Errorf("the change is shown as %+v", detail)
	}
	rig.Post[struct{ Number int64 }](j.Admin, fmt.Sprintf("/activity/%d/undo", number), map[string]any{"reason": "it was another pump"})
	back := rig.Get[rig.Doc[site]](j.Admin, "/sites/"+j.site.ID)
	if back.Body.Status != "functional" || back.Revision != changed.Revision+1 {
		j.Errorf("after the undo the site is %q at revision %d", back.Body.Status, back.Revision)
	}
	history := rig.Get[rig.List[struct {
		Entry struct {
			Verb    string
			Reverts int64
			Reason  string
		}
	}]](j.Admin, "/history/site/"+j.site.ID).Items
	if len(history) != 3 || history[0].Entry.Verb != "undo" || history[0].Entry.Reverts != number || history[0].Entry.Reason != "it was another pump" {
		j.Errorf("the site's history is %+v", history)
	}
	if err := j.enumerator.Call(http.MethodPost, fmt.Sprintf("/activity/%d/undo", number), map[string]any{}, nil); !asProblem(err, &p) || p.Status != http.StatusForbidden && p.Status != http.StatusNotFound {
		j.Errorf("somebody without the right undoes an entry: %v", err)
	}
}

// restart ends the server as an operator does; everything is there again, sessions and phones too.
func (j *job) restart() {
	sites := j.total()
	j.Stop()
	j.Start()
	if got := j.total(); got != sites {
		j.Errorf("%d sites after a restart, %d before", got, sites)
	}
	j.devicesShown()
	j.download("visit", must(os.ReadFile("testdata/visit.xml"))(j.T))
}

// log looks for secrets in everything that the server has said, at its most talkative.
func (j *job) log() { j.KeptOutOfLog(j.secrets) }

// verify ends the server and has everything checked; the export of the command line says the same as the portal's.
func (j *job) verify() {
	j.Stop()
	j.Verify()
	out := filepath.Join(j.TempDir(), "all.zip")
	if text, err := j.Server.Run("export", "--out", out); err != nil {
		j.Fatalf("qanat export: %v\n%s", err, text)
	}
	archive, err := os.ReadFile(out) // #nosec G304 -- just made
	if err != nil {
		j.Fatal(err)
	}
	if files := unzip(j.T, archive); files["manifest.json"] == nil || files["sites.csv"] == nil {
		j.Error("the archive of the command line has no manifest or no sites")
	}
	j.Verify()
}
