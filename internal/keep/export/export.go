// Package export gives an organization everything that is its own, as one open
// archive, at any time.
//
// The archive is a ZIP file: the documents as they are now and every entry of
// their history as JSON lines, sites and responses as CSV, the readings of each
// device as CSV, the exact XML that phones sent, photos and files, the signed
// checkpoint, and last a manifest with the SHA-256 of every file. It guarantees
// that documents, history and tables are of one moment; readings and files are
// added after it. Secret nouns (credentials, sessions, keys) are never in it.
//
// Every export is an entry of the ledger before its first byte leaves. Who
// controls this package reads everything of every organization.
package export

import (
	"archive/zip"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/qanat-water/qanat/internal/base/blob"
	"github.com/qanat-water/qanat/internal/fleet/reading"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// Download is the record of an export.
type Download struct {
	What string `json:"what" doc:"what was taken out"`
	By   string `json:"by"`
}

// Downloads is the noun of exports.
var Downloads = ledger.Noun[Download]{Name: "export"}

// Service makes archives.
type Service struct {
	Ledger   *ledger.Ledger
	Blobs    *blob.Store
	Readings *reading.Store
}

// File is a line of the manifest.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Manifest says what an archive holds.
type Manifest struct {
	Format       string    `json:"format"`
	Organization string    `json:"organization"`
	Made         time.Time `json:"made"`
	Entries      int64     `json:"entries"`
	Documents    int64     `json:"documents"`
	Missing      []string  `json:"missing,omitempty"` // files that documents name and the store does not have
	Files        []File    `json:"files"`
}

// Begin asks for the right and writes the entry that says who took everything out.
func (s *Service) Begin(ctx context.Context, actor ledger.Actor, organization, reason string) error {
	return s.Ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		if err := access.RequireExport(tx.Reader, actor, access.Thing{Kind: "branch", ID: organization, Org: organization, Branch: organization}); err != nil {
			return err
		}
		if err := access.FreshPerson(actor, tx.Now); err != nil { // confidential answers are in it
			return err
		}
		_, err := Downloads.Create(tx, organization, "", Download{What: "everything", By: actor.ID})
		return err
	})
}

// Write writes the archive of an organization. Begin has allowed it.
func (s *Service) Write(ctx context.Context, org string, w io.Writer) error {
	a := &archive{zip: zip.NewWriter(w), ctx: ctx, s: s, org: org, blobs: map[string]bool{}}
	a.manifest = Manifest{Format: "qanat export 1", Organization: org, Made: s.Ledger.Now().UTC(), Files: []File{}}
	if err := s.Ledger.Read(ctx, a.snapshot); err != nil {
		return err
	}
	for _, device := range a.devices {
		if err := a.readings(device); err != nil {
			return err
		}
	}
	for _, hash := range slices.Sorted(maps.Keys(a.blobs)) {
		if err := a.blob(hash); err != nil {
			return err
		}
	}
	err := a.file("manifest.json", func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(a.manifest)
	})
	if err != nil {
		return err
	}
	return a.zip.Close()
}

type archive struct {
	zip      *zip.Writer
	ctx      context.Context
	s        *Service
	org      string
	manifest Manifest
	blobs    map[string]bool
	devices  []string
}

// file writes one file of the archive and its line of the manifest.
func (a *archive) file(name string, fill func(io.Writer) error) error {
	f, err := a.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: a.manifest.Made})
	if err != nil {
		return err
	}
	sum := sha256.New()
	count := &counter{}
	buffered := bufio.NewWriterSize(io.MultiWriter(f, sum, count), 64<<10)
	if err := fill(buffered); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	a.manifest.Files = append(a.manifest.Files, File{name, count.n, hex.EncodeToString(sum.Sum(nil))})
	return nil
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }

// snapshot writes what the ledger holds, at one moment.
func (a *archive) snapshot(r *ledger.Reader) error {
	if err := a.file("README.txt", func(w io.Writer) error { _, err := io.WriteString(w, readme); return err }); err != nil {
		return err
	}
	for _, step := range []func(*ledger.Reader) error{a.documents, a.history, a.sites, a.responses, a.submissions, a.checkpoint} {
		if err := step(r); err != nil {
			return err
		}
	}
	return nil
}

const readme = `Everything that this organization has in Qanat.

documents.jsonl    what is true now, one document a line
history.jsonl      every change, one ledger entry a line, oldest first; content is the document after it
sites.csv          sites with their properties
responses/*.csv    responses of each survey; a column for each question
submissions/*.xml  what phones sent, byte for byte
readings/*.csv     every reading of each device: channel, unit, time, value, received
files/*            photos and files, named by their SHA-256
checkpoint.txt     the newest signed checkpoint of the ledger (C2SP tlog-checkpoint)
manifest.json      SHA-256 of every file above
`

func (a *archive) documents(r *ledger.Reader) error {
	return a.file("documents.jsonl", func(w io.Writer) error {
		enc := json.NewEncoder(w)
		return r.Documents(a.org, func(d ledger.Raw) error {
			a.manifest.Documents++
			if d.Kind == "device" {
				a.devices = append(a.devices, d.ID)
			}
			a.note(r.Blobs(d.Kind, d.Body))
			return enc.Encode(d)
		})
	})
}

func (a *archive) history(r *ledger.Reader) error {
	return a.file("history.jsonl", func(w io.Writer) error {
		enc := json.NewEncoder(w)
		var last int64
		for {
			before := last
			err := r.Each(ledger.Filter{Orgs: []string{a.org}, After: last, Oldest: true, Limit: 1000}, func(e ledger.Entry, content json.RawMessage) error {
				last = e.Number
				a.manifest.Entries++
				a.note(r.Blobs(e.Kind, content))
				return enc.Encode(struct {
					ledger.Entry
					Content json.RawMessage `json:"content"`
				}{e, content})
			})
			if err != nil || last == before {
				return err
			}
		}
	})
}

// note remembers the files that a document names.
func (a *archive) note(named []string) {
	for _, hash := range named {
		a.blobs[hash] = true
	}
}

func (a *archive) checkpoint(r *ledger.Reader) error {
	c, found, err := r.LatestCheckpoint()
	if err != nil || !found {
		return err
	}
	return a.file("checkpoint.txt", func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s\nverifier key: %s\n", c.Note, c.Key)
		return err
	})
}

func (a *archive) submissions(r *ledger.Reader) error {
	return r.Documents(a.org, func(d ledger.Raw) error {
		if d.Kind != "submission" {
			return nil
		}
		var s struct {
			XML string `json:"xml"`
		}
		if err := json.Unmarshal(d.Body, &s); err != nil || s.XML == "" {
			return err
		}
		xml, err := base64.StdEncoding.DecodeString(s.XML)
		if err != nil {
			return err
		}
		return a.file("submissions/"+d.ID+".xml", func(w io.Writer) error { _, err := w.Write(xml); return err })
	})
}

func (a *archive) readings(device string) error {
	return a.file("readings/"+device+".csv", func(w io.Writer) error {
		out := csv.NewWriter(w)
		if err := out.Write([]string{"channel", "unit", "time", "value", "received"}); err != nil {
			return err
		}
		err := a.s.Readings.Each(a.ctx, device, func(one reading.Raw) error {
			return out.Write([]string{cell(one.Channel), cell(one.Unit), one.TS.Format(time.RFC3339Nano), strconv.FormatFloat(one.Value, 'g', -1, 64), one.Received.Format(time.RFC3339Nano)})
		})
		out.Flush()
		if err != nil {
			return err
		}
		return out.Error()
	})
}

func (a *archive) blob(hash string) error {
	if !a.s.Blobs.Has(hash) {
		a.manifest.Missing = append(a.manifest.Missing, hash)
		return nil
	}
	content, err := a.s.Blobs.Get(a.ctx, hash)
	if err != nil {
		return err
	}
	defer content.Close()
	return a.file("files/"+hash, func(w io.Writer) error { _, err := io.Copy(w, content); return err })
}
