package ledger_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
)

// model is the ledger as a child would keep it: for each document the list of
// what it was, and who made it so.
type model struct {
	docs    map[string][]version
	entries []*version // by number, from 1
}

// fields is a document's content; nil: it is not there.
type fields map[string]string

type version struct {
	number, act    int64
	doc, actor     string
	is             fields
	reverts, until int64
}

func (m *model) write(doc, actor string, act int64, is fields, reverts, until int64) *version {
	number := int64(len(m.entries)) + 1
	if act == 0 {
		act = number
	}
	v := version{number, act, doc, actor, is, reverts, until}
	m.entries = append(m.entries, &v)
	m.docs[doc] = append(m.docs[doc], v)
	return &v
}

func (m *model) now(doc string) fields { return m.at(doc, len(m.docs[doc])-1) }

func (m *model) at(doc string, i int) fields {
	if i < 0 {
		return nil
	}
	return m.docs[doc][i].is
}

// undone tells whether an undo of an entry still holds.
func (m *model) undone(v version) bool {
	for _, u := range m.docs[v.doc] {
		if u.reverts != 0 && u.reverts <= v.number && v.number <= u.until && !m.undone(u) {
			return true
		}
	}
	return false
}

// revert is what a document becomes without its versions from..to; ok is false
// when later work stands in the way.
func (m *model) revert(doc string, from, to int) (is fields, ok bool) {
	before, after, now := m.at(doc, from-1), m.at(doc, to), m.now(doc)
	last := to == len(m.docs[doc])-1
	switch {
	case before == nil && now == nil:
		return nil, true
	case before == nil:
		return nil, last || after != nil && maps.Equal(after, now)
	case last:
		return before, true
	case after == nil || now == nil:
		return nil, false
	}
	is = maps.Clone(now)
	for key := range union(before, after) {
		switch {
		case before[key] == after[key] || now[key] == before[key]:
		case now[key] != after[key]:
			return nil, false
		case before[key] == "":
			delete(is, key)
		default:
			is[key] = before[key]
		}
	}
	return is, true
}

func union(a, b fields) fields {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// undo takes back what is chosen, the document with the newest change first.
func (m *model) undo(actor string, chosen func(version) bool) (count, already, kept int) {
	var docs []string
	runs := map[string][]int{} // places in the document, newest first
	for i := len(m.entries) - 1; i >= 0; i-- {
		v := *m.entries[i]
		if !chosen(v) {
			continue
		}
		if m.undone(v) {
			already++
			continue
		}
		if runs[v.doc] == nil {
			docs = append(docs, v.doc)
		}
		runs[v.doc] = append(runs[v.doc], slices.IndexFunc(m.docs[v.doc], func(o version) bool { return o.number == v.number }))
	}
	var act int64
	one := func(doc string, from, to int) bool {
		is, ok := m.revert(doc, from, to)
		switch now := m.now(doc); {
		case !ok:
			return false
		case (is == nil) == (now == nil) && maps.Equal(is, now):
			already += to - from + 1
		default:
			v := m.write(doc, actor, act, is, m.docs[doc][from].number, m.docs[doc][to].number)
			act = v.act
			count += to - from + 1
		}
		return true
	}
	for _, doc := range docs {
		for places := runs[doc]; len(places) > 0; {
			n := 1
			for n < len(places) && places[n] == places[n-1]-1 {
				n++
			}
			if !one(doc, places[n-1], places[0]) {
				for _, place := range places[:n] {
					if n == 1 || !one(doc, place, place) {
						kept++
					}
				}
			}
			places = places[n:]
		}
	}
	return count, already, kept
}

// TestUndoEqualsTheModel does anything in any order, as three people, and wants
// the documents, the counts and the preview of the model.
func TestUndoEqualsTheModel(t *testing.T) {
	people := map[string]ledger.Actor{}
	names := []string{"a", "b", "c"}
	for _, name := range names {
		people[name] = ledger.Actor{ID: name, Kind: "account", Name: name, Door: "web"}
	}
	checks := flag.Lookup("rapid.checks").Value.String()
	for engine, fresh := range map[string]func(testing.TB) func() *store.Store{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		t.Run(engine, func(t *testing.T) {
			if n, err := strconv.Atoi(checks); err == nil && engine == "postgres" { // where a fresh ledger takes longer
				check(t, flag.Set("rapid.checks", strconv.Itoa(max(1, n/10))))
				defer flag.Set("rapid.checks", checks)
			}
			rapid.Check(t, func(rt *rapid.T) {
				w := newWorld(t, fresh(t))
				defer func() { check(t, errors.Join(w.Close(), w.store.Close())) }()
				w.live(rt, people, names)
				w.verified()
			})
		})
	}
}

// live is one life of a ledger beside its model.
func (w *world) live(rt *rapid.T, people map[string]ledger.Actor, names []string) {
	m := &model{docs: map[string][]version{}}
	var docs []string
	for range rapid.IntRange(1, 25).Draw(rt, "steps") {
		who := rapid.SampledFrom(names).Draw(rt, "who")
		switch rapid.SampledFrom([]string{"create", "update", "update", "update", "delete", "undo", "act", "range", "range"}).Draw(rt, "what") {
		case "create":
			is := someFields(rt)
			var made ledger.Doc[well]
			w.write(people[who], func(tx *ledger.Tx) (err error) { made, err = wells.Create(tx, org, "", is.well()); return err })
			m.write(made.ID, who, 0, is, 0, 0)
			docs = append(docs, made.ID)
		case "update", "delete":
			w.change(rt, m, people[who], docs)
		case "undo":
			w.undoOne(rt, m, people[who], docs)
		case "act":
			if act := someEntry(rt, m, docs); act != nil {
				w.undoMany(rt, m, people[who], ledger.Selection{Act: act.act}, func(v version) bool { return v.act == act.act })
			}
		case "range":
			whose := rapid.SampledFrom(names).Draw(rt, "whose")
			from, to := someEntry(rt, m, docs), someEntry(rt, m, docs)
			if from != nil && from.number <= to.number {
				w.undoMany(rt, m, people[who], ledger.Selection{Actor: whose, After: from.number - 1, Before: to.number + 1},
					func(v version) bool { return v.actor == whose && v.number >= from.number && v.number <= to.number })
			}
		}
		for _, doc := range docs {
			w.same(rt, m, doc)
		}
	}
}

func someFields(rt *rapid.T) fields {
	is := fields{"name": rapid.SampledFrom([]string{"x", "y", "z"}).Draw(rt, "name")}
	for _, key := range []string{"p", "q"} {
		if value := rapid.SampledFrom([]string{"", "1", "2"}).Draw(rt, key); value != "" {
			is[key] = value
		}
	}
	return is
}

// well is the document of fields. One label is always there, because labels
// that appear as a whole are one place.
func (f fields) well() well {
	labels := maps.Clone(f)
	delete(labels, "name")
	labels["always"] = "-"
	return well{Name: f["name"], Labels: labels}
}

func someEntry(rt *rapid.T, m *model, docs []string) *version {
	var all []*version
	for _, doc := range docs {
		for _, v := range m.docs[doc] {
			all = append(all, m.entries[v.number-1])
		}
	}
	if len(all) == 0 {
		return nil
	}
	return rapid.SampledFrom(all).Draw(rt, "entry")
}

func (w *world) change(rt *rapid.T, m *model, actor ledger.Actor, docs []string) {
	there := slices.DeleteFunc(slices.Clone(docs), func(doc string) bool { return m.now(doc) == nil })
	if len(there) == 0 {
		return
	}
	doc := rapid.SampledFrom(there).Draw(rt, "doc")
	if rapid.IntRange(0, 4).Draw(rt, "delete") == 0 {
		w.write(actor, func(tx *ledger.Tx) error { return wells.Delete(tx, doc, 0) })
		m.write(doc, actor.ID, 0, nil, 0, 0)
		return
	}
	is := maps.Clone(m.now(doc))
	maps.Copy(is, someFields(rt))
	w.update(actor, doc, func(b *well) { *b = is.well() })
	if !maps.Equal(is, m.now(doc)) {
		m.write(doc, actor.ID, 0, is, 0, 0)
	}
}

func (w *world) undoOne(rt *rapid.T, m *model, actor ledger.Actor, docs []string) {
	e := someEntry(rt, m, docs)
	if e == nil {
		return
	}
	place := slices.IndexFunc(m.docs[e.doc], func(v version) bool { return v.number == e.number })
	want, ok := m.revert(e.doc, place, place)
	_, err := w.Undo(ctx, actor, "", e.number, anybody)
	now := m.now(e.doc)
	switch {
	case ok && ((want == nil) != (now == nil) || !maps.Equal(want, now)):
		if err != nil {
			rt.Fatalf("undo of entry %d: %v", e.number, err)
		}
		m.write(e.doc, actor.ID, 0, want, e.number, e.number)
	case fault.KindOf(err) != fault.Conflict || err == nil:
		rt.Fatalf("undo of entry %d: %v, want a conflict", e.number, err)
	}
}

func (w *world) undoMany(rt *rapid.T, m *model, actor ledger.Actor, s ledger.Selection, chosen func(version) bool) {
	preview, err := w.PreviewUndo(ctx, actor, s, anybody, nil)
	must(rt, err)
	result, err := w.UndoRange(ctx, actor, "", s, anybody, nil)
	must(rt, err)
	count, already, kept := m.undo(actor.ID, chosen)
	got := fmt.Sprint(result.Count, result.Already, result.Kept)
	if want := fmt.Sprint(count, already, kept); got != want {
		rt.Fatalf("undo of %+v: undone, already, kept = %s, want %s", s, got, want)
	}
	if said := fmt.Sprint(preview.Count, preview.Already, preview.Kept); said != got {
		rt.Fatalf("preview of %+v: %s, it was %s", s, said, got)
	}
	if result.Done != result.Total || result.Total != count+already+kept {
		rt.Fatalf("undo of %+v: %d of %d", s, result.Done, result.Total)
	}
}

func (w *world) same(rt *rapid.T, m *model, doc string) {
	var history []ledger.Revision
	var is fields
	must(rt, w.Read(ctx, func(r *ledger.Reader) (err error) {
		if got, err := wells.Get(r, doc); err == nil {
			is = fields{"name": got.Body.Name}
			maps.Copy(is, got.Body.Labels)
			delete(is, "always")
		} else if fault.KindOf(err) != fault.NotFound {
			return err
		}
		if history, err = r.History(doc); err != nil {
			return err
		}
		for i, h := range history {
			v := m.docs[doc][len(history)-1-i]
			by, err := r.UndoneBy(h.Entry)
			if (by != 0) != m.undone(v) || err != nil {
				rt.Fatalf("entry %d is undone by %d (%v), the model says %v", h.Entry.Number, by, err, m.undone(v))
			}
		}
		return nil
	}))
	if want := m.now(doc); (want == nil) != (is == nil) || !maps.Equal(want, is) || len(history) != len(m.docs[doc]) {
		rt.Fatalf("%s is %v after %d revisions, the model has %v after %d", doc, is, len(history), want, len(m.docs[doc]))
	}
}

func must(rt *rapid.T, err error) {
	if err != nil {
		rt.Fatal(fault.Cause(err))
	}
}
