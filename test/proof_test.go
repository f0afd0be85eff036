package test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/note"

	"github.com/qanat-water/qanat/internal/base/witness/witnesstest"
	"github.com/qanat-water/qanat/test/rig"
)

type checkpoint struct {
	Size      int64
	Note, Key string
	Witnesses []struct {
		Name, State, Problem string
		Size                 int64
		Required             bool
	}
}

// TestProofsAndWitness goes the way of somebody outside, who has the verifier key and files, and of somebody who puts an
// older database back, with the checkpoint file that belongs to it: the witness remembers.
func TestProofsAndWitness(t *testing.T) {
	rig.Engines(t, func(t *testing.T, database string) {
		s := rig.New(t, database)
		key := rig.Get[checkpoint](s.Admin, "/ledger/checkpoint").Key
		_, strangers, err := note.GenerateKey(rand.Reader, "qanat/0123456789abcdef")
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		w := witnesstest.New(t, "witness.example/one")
		origin, _, _ := strings.Cut(key, "+")
		s.Stop()
		plain := must(os.ReadFile(s.Config))(t)
		watched := fmt.Appendf(plain, "\n[[witness]]\nurl = %q\nkey = %q\nrequired = true\n", w.URL, w.Key)
		configure := func(text []byte) {
			if err := os.WriteFile(s.Config, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		configure(watched)
		refused(t, s, "witness.example/one", key) // it does not know this ledger; the mend says what to tell its operator
		w.Know(t, key)
		s.Start()

		// A change, its proof, and the note to keep.
		one := makeSite(s, "One")
		entry, proof := proofOf(t, s, one)
		cosigned := func() (c checkpoint) {
			t.Helper()
			for range 500 {
				if c = rig.Get[checkpoint](s.Admin, "/ledger/checkpoint"); c.Witnesses[0].Size == c.Size {
					return c
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Fatalf("not cosigned: %+v", c)
			return c
		}
		c := cosigned()
		if c.Size < entry || w.Size(origin) != c.Size || c.Witnesses[0].State != "good" || !c.Witnesses[0].Required || c.Witnesses[0].Name != "witness.example/one" {
			t.Errorf("entry %d, the witness has %d: %+v", entry, w.Size(origin), c)
		}
		note := put(t, dir, "kept.note", fetch(t, s, "/ledger/note"))
		file := put(t, dir, "entry.tlog-proof", proof)
		for _, test := range []struct {
			name string
			args []string
			code int
			says string
		}{
			{"the entry", []string{"--key", key, file}, 0, "site " + one},
			{"who", []string{"--key", key, file}, 0, "account " + s.Admin.ID},
			{"the note", []string{"--key", key, "--witness", w.Key, note}, 0, "witness.example/one cosigned"},
			{"another key", []string{"--key", strangers, file}, 1, "not signed by this key"},
			{"edited", []string{"--key", key, put(t, dir, "edited", []byte(strings.Replace(string(proof), fmt.Sprintf("index %d\n", entry-1), fmt.Sprintf("index %d\n", entry-2), 1)))}, 1, "DOES NOT HOLD"},
		} {
			says(t, test.name, test.args, test.code, test.says)
		}

		// Whoever may not see the entry gets no proof, and does not learn that it is there.
		for _, path := range []string{fmt.Sprintf("/ledger/proof?entry=%d", entry), "/ledger/proof?entry=999999"} {
			if answer, err := s.Client().Send(http.MethodGet, path, nil); err != nil || answer.Status != http.StatusUnauthorized {
				t.Errorf("nobody in particular asks for %s: %v, %v", path, answer, err)
			}
		}
		other, _ := s.Organization("Other", "Otieno", "otieno@example.org")
		var answers []string
		for _, number := range []int64{entry, 999999} {
			var p *rig.Problem
			err := other.Call(http.MethodGet, fmt.Sprintf("/ledger/proof?entry=%d", number), nil, nil)
			if !errors.As(err, &p) || p.Status != http.StatusNotFound {
				t.Fatalf("a stranger asks for entry %d: %v", number, err)
			}
			answers = append(answers, strings.ReplaceAll(p.Error(), fmt.Sprint(number), "N"))
		}
		if answers[0] != answers[1] {
			t.Errorf("a stranger can tell what is there:\n%s\n%s", answers[0], answers[1])
		}

		// Growth since the note that was kept.
		makeSite(s, "Two")
		_, _ = proofOf(t, s, makeSite(s, "Three"))
		newer := cosigned()
		growth := put(t, dir, "growth", fetch(t, s, fmt.Sprintf("/ledger/consistency?from=%d", c.Size)))
		says(t, "growth", []string{"--key", key, "--witness", w.Key, file, note, growth}, 0, fmt.Sprintf("the ledger of %d entries begins with the %d", newer.Size, c.Size))
		says(t, "growth without the note", []string{"--key", key, growth}, 1, "NOT SHOWN")
		for path, status := range map[string]int{"?from=0": 422, "?from=x": 422, "?from=999999": 404, fmt.Sprintf("?from=%d&to=%d", newer.Size, c.Size): 422, fmt.Sprintf("?from=1&to=%d", newer.Size+1): 404, "": 422} {
			if answer, err := s.Client().Send(http.MethodGet, "/ledger/consistency"+path, nil); err != nil || answer.Status != status {
				t.Errorf("consistency%s: %d, want %d: %v", path, answer.Status, status, err)
			}
		}

		// A copy of everything but the witness's memory; then the command line; then the ledger goes on.
		s.Stop()
		kept := snapshot(t, s, filepath.Join(dir, "older"))
		out := filepath.Join(dir, "by-hand.tlog-proof")
		if said, err := s.Run("prove", "--entry", fmt.Sprint(entry), "--out", out); err != nil || !strings.Contains(said, "qanat-check --key "+key) {
			t.Errorf("qanat prove: %v\n%s", err, said)
		}
		grown := filepath.Join(dir, "by-hand.growth")
		if said, err := s.Run("prove", "--from", fmt.Sprint(c.Size), "--to", fmt.Sprint(newer.Size), "--out", grown); err != nil {
			t.Errorf("qanat prove: %v\n%s", err, said)
		}
		says(t, "by the command line", []string{"--key", key, "--witness", w.Key, note, grown}, 0, "Everything holds")
		says(t, "by the command line, all", []string{"--key", key, out, grown, note}, 0, "Everything holds")
		for _, args := range [][]string{{"--entry", "1", "--out", out}, {}, {"--entry", "1", "--from", "1"}, {"--to", "5"}, {"--entry", "999999"}, {"--from", "999999"}} {
			if said, err := s.Run("prove", args...); err == nil {
				t.Errorf("qanat prove %q: %s", args, said)
			}
		}
		s.Start()
		for i := range 5 {
			makeSite(s, fmt.Sprint("lost ", i))
		}
		_, _ = proofOf(t, s, makeSite(s, "last"))
		last := cosigned()
		s.Stop()
		s.Verify()

		// The older database, with the older checkpoint file.
		kept.restore(t, s)
		refused(t, s, "witness.example/one", fmt.Sprint(last.Size), "older than what was promised")
		configure(plain)
		s.Start() // without the witness nobody knows
		for i := range 12 {
			makeSite(s, fmt.Sprint("another past ", i))
		}
		s.Stop()
		configure(watched)
		refused(t, s, "witness.example/one", "changed the past")
		if w.Size(origin) != last.Size {
			t.Errorf("the witness has cosigned %d entries, the true ledger has %d", w.Size(origin), last.Size)
		}

		// A witness that is away keeps the server from starting only when it is required.
		w.Fail(func(out http.ResponseWriter) bool { out.WriteHeader(http.StatusBadGateway); return true })
		refused(t, s, "witness.example/one", "required")
		configure([]byte(strings.Replace(string(watched), "required = true", "", 1)))
		s.Start()
		if state := rig.Get[checkpoint](s.Admin, "/ledger/checkpoint").Witnesses[0]; state.State != "unreachable" || state.Problem == "" || strings.Contains(state.Problem, "127.0.0.1") {
			t.Errorf("state %+v", state)
		}
		s.Stop()
		if !strings.Contains(string(s.Logged()), "a witness has not confirmed this ledger") {
			t.Error("the log does not warn of the witness")
		}
	})
}

// refused starts the server, which must end by itself and say why.
func refused(t *testing.T, s *rig.Server, why ...string) {
	t.Helper()
	said, err := s.Run("serve", "--listen", s.Web, "--mqtt", s.MQTT, "--config", s.Config)
	if err == nil {
		t.Fatalf("it serves, and should not: %s", said)
	}
	for _, word := range why {
		if !strings.Contains(said, word) {
			t.Errorf("it does not say %q: %s", word, said)
		}
	}
}

// says runs qanat-check.
func says(t *testing.T, name string, args []string, code int, word string) {
	t.Helper()
	out, err := exec.Command(rig.Checker, args...).CombinedOutput() // #nosec G204 -- the program under test
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if got != code || !strings.Contains(string(out), word) {
		t.Errorf("%s: qanat-check ended with %d, want %d and %q in\n%s", name, got, code, word, out)
	}
}

func makeSite(s *rig.Server, name string) string {
	return rig.Post[rig.Doc[site]](s.Admin, "/sites", map[string]any{"org": s.Org, "body": site{Type: "water_point", Name: name, Branch: s.Org, Privacy: "private", Location: &location{-4, 39}}}).ID
}

// proofOf finds the entry that made a document, and gets its proof.
func proofOf(t *testing.T, s *rig.Server, doc string) (entry int64, file []byte) {
	t.Helper()
	history := rig.Get[rig.List[struct{ Entry struct{ Number int64 } }]](s.Admin, "/history/site/"+doc)
	entry = history.Items[0].Entry.Number
	return entry, fetch(t, s, fmt.Sprintf("/ledger/proof?entry=%d", entry))
}

func fetch(t *testing.T, s *rig.Server, path string) []byte {
	t.Helper()
	answer, err := s.Admin.Send(http.MethodGet, path, nil)
	if err != nil || answer.Status != http.StatusOK || !strings.HasPrefix(answer.Header.Get("Content-Disposition"), "attachment; filename=qanat-") {
		t.Fatalf("%s: %v, %v", path, answer, err)
	}
	return answer.Body
}

func put(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// copied is a copy of a server's data: the directory, and on PostgreSQL the database.
type copied struct{ dir, database string }

// snapshot copies the data of a server that is not running.
func snapshot(t *testing.T, s *rig.Server, dir string) copied {
	t.Helper()
	if err := os.CopyFS(dir, os.DirFS(s.Data)); err != nil {
		t.Fatal(err)
	}
	return copied{dir, cloned(t, s.Database)}
}

// restore puts a copy in the place of the server's data.
func (c copied) restore(t *testing.T, s *rig.Server) {
	t.Helper()
	if err := os.RemoveAll(s.Data); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(s.Data, os.DirFS(c.dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(s.Data, "master.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Database = c.database
}

// cloned copies a PostgreSQL database that nobody uses, and gives the copy's address.
func cloned(t *testing.T, database string) string {
	t.Helper()
	if database == "" {
		return ""
	}
	ctx := context.Background()
	rest, socket, _ := strings.Cut(database, "?")
	name := rest[strings.LastIndexByte(rest, '/')+1:]
	admin, err := pgx.Connect(ctx, strings.TrimSuffix(rest, name)+"postgres?"+socket)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(ctx)
	if _, err := admin.Exec(ctx, "CREATE DATABASE "+name+"_older TEMPLATE "+name); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(rest, name) + name + "_older?" + socket
}
