package access

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/qanat-water/qanat/internal/ledger"
)

// picture is memberships, branches, grants, accounts, phones, tokens and
// workspaces in memory, as they stand in the index tables after entry at. It is
// kept beside the ledger, one for the process.
//
// It may be asked for a snapshot only if no entry of these nouns lies between the
// two: then they say the same. A snapshot that is newer makes the picture read
// what has changed since, by the entries themselves, so it does not matter which
// process wrote them; commits of this process that changed none of these nouns move it on
// without a question. A snapshot that is older than the last such change, and a
// transaction with changes of these nouns of its own, are answered by SQL.
type picture struct {
	filling sync.Mutex // held by the one who reads what has changed

	mu      sync.RWMutex
	loaded  bool
	at      int64 // the last entry it holds
	changed int64 // the last entry of its nouns: it is right for every snapshot from here to at

	accounts    map[string]bool         // active or not
	memberships map[string][]membership // by person; of lists, readers may hold what was: they are added to and replaced, never changed in place
	parents     map[string]string       // branch -> the one above
	lines       map[string][]string     // branch -> itself and all above it
	grants      map[subject][]granted
	tokens      map[string]token
	workspaces  map[string][]workspace // by organization
	phones      map[string]phone       // those that have been asked for
	places      map[string]place       // document -> where its line stands
}

type subject struct{ kind, id string }

type granted struct{ role, principal, doc string }

type phone struct {
	owner  string
	active bool
}

type token struct {
	org, branch, group string
	limit              map[Verb]bool
	unnamed            bool // its scope names no verb
	kinds              []string
	expires            int64 // ms since 1970
	active             bool
}

type workspace struct {
	doc                             string
	people, surveys, types, presets []string
}

// place is where the line of a membership, grant or workspace stands, to find it when it goes.
type place struct{ kind, key string }

// pictured are the nouns in the picture.
var pictured = []string{"account", "membership", "branch", "access_grant", "token", "workspace", "phone"}

// maxCatchUp is how many documents are read one after the other; after more changes all is read again.
const maxCatchUp = 5000

type pictureKey struct{}

// view is a reader with the picture that is right for it; p is nil where SQL must be asked.
type view struct {
	r    *ledger.Reader
	p    *picture
	seen int64
}

func viewOf(r *ledger.Reader) (view, error) {
	v := view{r: r}
	if r.Staged(pictured...) {
		return v, nil
	}
	seen, err := r.Seen()
	if err != nil {
		return v, err
	}
	p, _ := r.Beside(pictureKey{}, newPicture).(*picture)
	p.mu.RLock()
	behind, old := !p.loaded || p.at < seen, p.changed > seen
	p.mu.RUnlock()
	if old {
		return v, nil
	}
	if behind {
		if !p.filling.TryLock() {
			return v, nil // somebody reads what has changed; nobody waits for it
		}
		err = p.catchUp(r, seen)
		p.filling.Unlock()
	}
	v.p, v.seen = p, seen
	return v, err
}

func newPicture(l *ledger.Ledger) any {
	p := &picture{}
	l.Watch(p.heard)
	return p
}

// heard moves the picture on over a commit of this process that touched none of its nouns.
func (p *picture) heard(entries []ledger.Entry) {
	if slices.ContainsFunc(entries, func(e ledger.Entry) bool { return slices.Contains(pictured, e.Kind) }) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.loaded && p.at == entries[0].Number-1 {
		p.at = entries[len(entries)-1].Number
	}
}

// right tells whether the picture is right for a snapshot; p.mu is held.
func (p *picture) right(seen int64) bool { return p.loaded && p.changed <= seen && seen <= p.at }

// lookup reads one value of the picture; ok is false when it must be asked by SQL.
func lookup[K comparable, V any](v view, from func(*picture) map[K]V, key K) (value V, found, ok bool) {
	if v.p == nil {
		return value, false, false
	}
	v.p.mu.RLock()
	defer v.p.mu.RUnlock()
	if !v.p.right(v.seen) {
		return value, false, false
	}
	value, found = from(v.p)[key]
	return value, found, true
}

// drawLines works out, for every branch, the branches above it; p.mu is held.
func (p *picture) drawLines() {
	p.lines = make(map[string][]string, len(p.parents))
	for branch := range p.parents {
		line := make([]string, 0, 4)
		for at := branch; at != "" && len(line) <= maxLine; {
			up, there := p.parents[at]
			if !there {
				break
			}
			line, at = append(line, at), up
		}
		p.lines[branch] = line
	}
}

func (v view) keepPhone(id string, is phone) {
	if v.p == nil {
		return
	}
	v.p.mu.Lock()
	defer v.p.mu.Unlock()
	if v.p.right(v.seen) {
		v.p.phones[id] = is
	}
}

// catchUp brings the picture to a snapshot.
func (p *picture) catchUp(r *ledger.Reader, seen int64) error {
	p.mu.RLock()
	loaded, at := p.loaded, p.at
	p.mu.RUnlock()
	if loaded && at >= seen {
		return nil
	}
	if !loaded {
		return p.load(r, seen)
	}
	touched, err := r.TouchedSince(at, pictured...)
	if err != nil {
		return err
	}
	if len(touched) > maxCatchUp {
		return p.load(r, seen)
	}
	docs, known := map[string][]string{}, map[string]bool{}
	for _, t := range touched {
		if !known[t.Doc] {
			known[t.Doc] = true
			docs[t.Kind] = append(docs[t.Kind], t.Doc)
		}
	}
	var lines []line
	for kind, ids := range docs {
		for part := range slices.Chunk(ids, 50) {
			read, err := readLines(r, kind, part)
			if err != nil {
				return err
			}
			lines = append(lines, read...)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for kind, ids := range docs {
		for _, id := range ids {
			p.forget(kind, id)
		}
	}
	for _, l := range lines {
		l.into(p)
	}
	if docs["branch"] != nil {
		p.drawLines()
	}
	if len(touched) > 0 {
		p.changed = touched[len(touched)-1].Number
	}
	p.at = max(p.at, seen)
	return nil
}

// load reads everything. What stood before is right for no snapshot meanwhile.
func (p *picture) load(r *ledger.Reader, seen int64) error {
	fresh := &picture{
		loaded: true, at: seen, changed: seen,
		accounts: map[string]bool{}, memberships: map[string][]membership{}, parents: map[string]string{}, grants: map[subject][]granted{},
		tokens: map[string]token{}, workspaces: map[string][]workspace{}, phones: map[string]phone{}, places: map[string]place{},
	}
	for _, kind := range pictured {
		lines, err := readLines(r, kind, nil)
		if err != nil {
			return err
		}
		for _, l := range lines {
			l.into(fresh)
		}
	}
	fresh.drawLines()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loaded, p.at, p.changed = true, seen, seen
	p.accounts, p.memberships, p.parents, p.lines, p.grants = fresh.accounts, fresh.memberships, fresh.parents, fresh.lines, fresh.grants
	p.tokens, p.workspaces, p.phones, p.places = fresh.tokens, fresh.workspaces, fresh.phones, fresh.places
	return nil
}

// line is one row of an index table on its way into the picture.
type line struct {
	doc  string
	into func(*picture)
}

// readLines reads rows of one noun: those of some documents, or all when ids is nil.
func readLines(r *ledger.Reader, kind string, ids []string) ([]line, error) {
	columns := map[string]string{
		"account": "n.state", "membership": "n.org, n.person, n.branch, n.standing", "branch": "n.parent", "access_grant": "n.kind, n.subject, n.role, n.principal",
		"token": tokenColumns, "workspace": workspaceColumns,
	}[kind]
	if columns == "" || !r.Has(kind) { // phones are read when they are asked for
		return nil, nil
	}
	where, args := "", []any{}
	if ids != nil {
		marks := make([]string, len(ids))
		for i, id := range ids {
			args = append(args, id)
			marks[i] = fmt.Sprintf("$%d", i+1)
		}
		where = " WHERE n.id IN (" + strings.Join(marks, ", ") + ")"
	}
	var lines []line
	rows := r.Query("SELECT n.id, "+columns+" FROM "+kind+" n"+where, args...)
	for rows.Next() {
		var id string
		l := line{}
		switch kind {
		case "account":
			var state string
			rows.Scan(&id, &state)
			l.into = func(p *picture) { p.accounts[id] = state == activeState }
		case "membership":
			var m membership
			var person string
			rows.Scan(&id, &m.org, &person, &m.branch, &m.group)
			m.doc = id
			l.into = func(p *picture) {
				p.memberships[person] = append(p.memberships[person], m)
				p.places[id] = place{key: person}
			}
		case "branch":
			var parent string
			rows.Scan(&id, &parent)
			l.into = func(p *picture) { p.parents[id] = parent }
		case "access_grant":
			var on subject
			g := granted{}
			rows.Scan(&id, &on.kind, &on.id, &g.role, &g.principal)
			g.doc = id
			l.into = func(p *picture) {
				p.grants[on] = append(p.grants[on], g)
				p.places[id] = place{kind: on.kind, key: on.id}
			}
		case "token":
			var t token
			t.scan(rows, &id)
			l.into = func(p *picture) { p.tokens[id] = t }
		case "workspace":
			var org string
			var w workspace
			w.scan(rows, &org)
			id = w.doc
			l.into = func(p *picture) {
				p.workspaces[org] = append(p.workspaces[org], w)
				p.places[id] = place{key: org}
			}
		}
		l.doc = id
		lines = append(lines, l)
	}
	if err := rows.Close(); err != nil {
		return nil, fmt.Errorf("picture of %s: %w", kind, err)
	}
	return lines, nil
}

// forget takes out what a document said.
func (p *picture) forget(kind, id string) {
	at, placed := p.places[id]
	delete(p.places, id)
	switch kind {
	case "account":
		delete(p.accounts, id)
	case "branch":
		delete(p.parents, id)
	case "token":
		delete(p.tokens, id)
	case "phone":
		delete(p.phones, id)
	}
	if !placed {
		return
	}
	switch kind {
	case "membership":
		put(p.memberships, at.key, without(p.memberships[at.key], func(m membership) bool { return m.doc == id }))
	case "access_grant":
		on := subject{at.kind, at.key}
		put(p.grants, on, without(p.grants[on], func(g granted) bool { return g.doc == id }))
	case "workspace":
		put(p.workspaces, at.key, without(p.workspaces[at.key], func(w workspace) bool { return w.doc == id }))
	}
}

// without is a new list: readers may still hold the old one.
func without[T any](list []T, gone func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(list), gone)
}

func put[K comparable, T any](in map[K][]T, key K, list []T) {
	if len(list) == 0 {
		delete(in, key)
		return
	}
	in[key] = list
}
