package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/qanat-water/qanat/internal/ledger"
)

const (
	mostAsked = 20_000 // people whose rights are worked out for one answer
	whoPage   = 50
)

// Audience is who may do a verb to a thing.
type Audience struct {
	Verb     Verb     `json:"verb"`
	Thing    string   `json:"thing" doc:"kind:id"`
	Title    string   `json:"title" doc:"the thing in words"`
	Everyone bool     `json:"everyone" doc:"every active account of the server may; people are then those who may for another reason, too"`
	Count    int      `json:"count" doc:"people who may, those of other organizations whom the asker cannot know of left out"`
	More     bool     `json:"more" doc:"there are so many that not all were looked at"`
	Groups   []Source `json:"groups" doc:"by what they may, the largest first; somebody may be in several"`
	People   []Person `json:"people" doc:"a page of them, by name"`
	Except   []Person `json:"except" doc:"when everyone may: people who may not, because a workspace locks them out"`
	Next     string   `json:"next" doc:"cursor of the next page; empty: this is the last"`
}

// Source is a group, list or grant by which people may.
type Source struct {
	Principal string `json:"principal"`
	Name      string `json:"name"`
	Count     int    `json:"count" doc:"people whom the asker can know of"`
	Hidden    bool   `json:"hidden" doc:"it is another organization's, which does not tell who is in it"`
}

// Person is one who may, with the ways in which he may.
type Person struct {
	Principal string  `json:"principal" doc:"person:<id>, token:<id>, phone:<id> or device:<id>"`
	Name      string  `json:"name"`
	Chains    []Chain `json:"chains" doc:"only those that allow it"`

	set *Set
}

// Who tells who may do a verb to a thing: people, service tokens, and for what
// phones may, phones. Who may share the thing, or is an admin of its branch, may
// ask. after is the cursor of the page before.
func Who(r *ledger.Reader, asker ledger.Actor, verb Verb, t Thing, after string) (Audience, error) {
	a := Audience{Verb: verb, Thing: t.Kind + ":" + t.ID, Title: t.title(), Groups: []Source{}, People: []Person{}, Except: []Person{}}
	s, err := Principals(r, asker)
	if err == nil {
		err = s.mayAsk(r, t)
	}
	if err == nil {
		err = knownVerb(t.Kind, verb)
	}
	if err != nil {
		return a, err
	}
	w := newTeller(r)
	may, not, err := w.allowed(s, verb, t, &a)
	if err != nil {
		return a, err
	}
	a.Count = len(may)
	slices.SortFunc(may, byName)
	slices.SortFunc(not, byName)
	for _, p := range may {
		if after != "" && cursor(p) <= after {
			continue
		}
		if len(a.People) == whoPage {
			a.Next = cursor(a.People[whoPage-1])
			break
		}
		if p.Chains, err = w.chains(p.set, verb, t); err != nil {
			return a, err
		}
		p.Chains = slices.DeleteFunc(p.Chains, func(c Chain) bool { return !c.Allows })
		a.People = append(a.People, p)
	}
	if a.Everyone {
		a.Except = append(a.Except, not[:min(len(not), whoPage)]...)
	}
	return a, nil
}

func cursor(p Person) string { return strings.ToLower(p.Name) + "\x1f" + p.Principal }

func byName(a, b Person) int { return strings.Compare(cursor(a), cursor(b)) }

// allowed decides for everybody who could be meant, and fills the groups.
func (w *teller) allowed(asker *Set, verb Verb, t Thing, a *Audience) (may, not []Person, err error) {
	people, everyone, more, err := w.candidates(verb, t)
	if err != nil {
		return nil, nil, err
	}
	a.Everyone, a.More = everyone, more
	known, err := asker.knows(w.r, people, t)
	if err == nil {
		err = w.meet(people)
	}
	if err != nil {
		return nil, nil, err
	}
	sources := map[string]*Source{}
	consider := func(principal string, visible bool) error {
		actor, err := actorOf(principal)
		if err != nil {
			return err
		}
		set, err := Principals(w.r, actor)
		if err != nil {
			return err
		}
		held, err := set.roles(w.r, t)
		if err != nil {
			return err
		}
		by := set.allows(held, verb, t)
		p := Person{Principal: principal, set: set}
		if by == nil {
			if everyone && visible && set.Person != "" {
				p.Name, err = w.principal(set, principal)
				not = append(not, p)
			}
			return err
		}
		particular := false
		counted := map[string]bool{}
		for _, h := range by {
			if h.via == "everyone" || h.by == "everyone" {
				continue
			}
			particular = true
			from := source(set, h)
			if counted[from] || !visible && from == principal {
				continue
			}
			counted[from] = true
			if sources[from] == nil {
				name, err := w.principal(set, from)
				if err != nil {
					return err
				}
				sources[from] = &Source{Principal: from, Name: name}
			}
			if visible {
				sources[from].Count++
			} else {
				sources[from].Hidden = true
			}
		}
		if !visible || !particular && everyone && set.Person != "" {
			return nil
		}
		if p.Name, err = w.principal(set, principal); err == nil {
			may = append(may, p)
		}
		return err
	}
	for _, person := range people {
		if err := consider("person:"+person, known[person]); err != nil {
			return nil, nil, err
		}
	}
	programs, err := w.programs(verb, t, people)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range programs {
		visible := known[p.owner]
		if kind, id, _ := strings.Cut(p.principal, ":"); p.owner == "" {
			if d, err := Describe(w.r, kind, id); err == nil {
				visible = asker.Require(w.r, See, d) == nil
			} else if !isMissing(err) {
				return nil, nil, err
			}
		}
		if err := consider(p.principal, visible); err != nil {
			return nil, nil, err
		}
	}
	for _, s := range sources {
		a.Groups = append(a.Groups, *s)
	}
	slices.SortFunc(a.Groups, func(x, y Source) int {
		if x.Count != y.Count {
			return y.Count - x.Count
		}
		return strings.Compare(x.Name, y.Name)
	})
	return may, not, nil
}

// meet reads the names of many people at once.
func (w *teller) meet(people []string) error {
	for chunk := range slices.Chunk(people, 500) {
		marks, args := make([]string, len(chunk)), make([]any, len(chunk))
		for i, p := range chunk {
			marks[i], args[i] = fmt.Sprintf("$%d", i+1), p
		}
		rows := w.r.Query("SELECT id, name FROM account WHERE id IN ("+strings.Join(marks, ", ")+")", args...)
		for rows.Next() {
			var id, name string
			rows.Scan(&id, &name)
			w.names["person:"+id] = name
		}
		if err := rows.Close(); err != nil {
			return err
		}
	}
	return nil
}

// source is the group that a held role comes from.
func source(s *Set, h heldRole) string {
	switch h.via {
	case "membership":
		if strings.HasPrefix(h.m.group, "team:") {
			return h.m.group
		}
		return "group:" + h.m.branch + "/" + h.m.group
	case "people":
		return "branch:" + h.at
	case "grant", "list":
		return h.by
	}
	return principalOf(s)
}

// candidates are the people who could hold anything on a thing: whoever is a
// member where it stands or above, or is meant by a grant, a list, or as owner,
// on it or what it is a part of. everyone tells that having an account is enough.
func (w *teller) candidates(verb Verb, t Thing) (people []string, everyone, more bool, err error) {
	nobody := stranger()
	held, err := nobody.roles(w.r, t)
	if err != nil {
		return nil, false, false, err
	}
	everyone = nobody.allows(held, verb, t) != nil
	seen := map[string]bool{}
	add := func(found []string, err error) error {
		for _, p := range found {
			if p != "" && !seen[p] {
				if len(people) == mostAsked {
					more = true
					break
				}
				seen[p] = true
				people = append(people, p)
			}
		}
		return err
	}
	for on := &t; on != nil; on = on.Parent {
		var principals []string
		for _, h := range on.Holders {
			principals = append(principals, h.Principal)
		}
		granted, err := w.texts("SELECT DISTINCT principal FROM access_grant WHERE kind = $1 AND subject = $2", on.Kind, on.ID)
		if err != nil {
			return nil, false, false, err
		}
		if err := add(w.texts(fmt.Sprint("SELECT DISTINCT person FROM membership WHERE org = $1 LIMIT ", mostAsked+1), on.Org)); err != nil {
			return nil, false, false, err
		}
		if err := add([]string{on.Owner}, nil); err != nil {
			return nil, false, false, err
		}
		for _, p := range append(principals, granted...) {
			if err := add(w.expand(p)); err != nil {
				return nil, false, false, err
			}
		}
	}
	return people, everyone, more, nil
}

// expand is the people that a principal means. Whom everyone means is not listed.
func (w *teller) expand(principal string) ([]string, error) {
	kind, rest, _ := strings.Cut(principal, ":")
	const above = `WITH RECURSIVE up(id, parent, depth) AS (
		SELECT b.id, b.parent, 0 FROM branch b WHERE b.id = $1
		UNION ALL SELECT b.id, b.parent, up.depth + 1 FROM branch b JOIN up ON b.id = up.parent WHERE up.depth < 64)
		SELECT DISTINCT m.person FROM membership m JOIN up ON up.id = m.branch WHERE `
	limit := fmt.Sprint(" LIMIT ", mostAsked+1)
	switch kind {
	case "person":
		return []string{rest}, nil
	case "team":
		return w.texts("SELECT DISTINCT person FROM membership WHERE standing = $1"+limit, principal)
	case "branch":
		return w.texts(above+"up.depth = 0 OR m.standing IN ('"+strings.Join(reaching, "', '")+"')"+limit, rest)
	case "group":
		branch, group, _ := strings.Cut(rest, "/")
		if !slices.Contains(reaching, group) {
			return w.texts("SELECT DISTINCT person FROM membership WHERE branch = $1 AND (standing = 'members' OR standing LIKE 'team:%')"+limit, branch)
		}
		return w.texts(above+"m.standing = $2"+limit, branch, group)
	}
	return nil, nil
}

func (w *teller) texts(sql string, args ...any) ([]string, error) {
	var found []string
	rows := w.r.Query(sql, args...)
	for rows.Next() {
		var s string
		rows.Scan(&s)
		found = append(found, s)
	}
	return found, rows.Close()
}

// program is an actor that is no person; owner is the person it acts for.
type program struct{ principal, owner string }

// tokens are those of the thing's organization, and of all that it names.
func (w *teller) tokens(t Thing, principals []string) ([]program, error) {
	if !w.r.Has("token") {
		return nil, nil
	}
	orgs := []string{t.Org}
	for on := &t; on != nil; on = on.Parent {
		granted, err := w.texts("SELECT DISTINCT principal FROM access_grant WHERE kind = $1 AND subject = $2", on.Kind, on.ID)
		if err != nil {
			return nil, err
		}
		for _, h := range on.Holders {
			granted = append(granted, h.Principal)
		}
		principals = append(principals, granted...)
	}
	var ids []string
	for _, p := range principals {
		if token, is := strings.CutPrefix(p, "token:"); is {
			ids = append(ids, token)
		} else if !strings.HasPrefix(p, "person:") {
			home, err := HomeOf(w.r, p)
			if err != nil {
				return nil, err
			}
			orgs = append(orgs, home...)
		}
	}
	slices.Sort(orgs)
	for _, org := range slices.Compact(orgs) {
		of, err := w.texts("SELECT id FROM token WHERE org = $1 AND state = 'active' LIMIT 1000", org)
		if err != nil {
			return nil, err
		}
		ids = append(ids, of...)
	}
	slices.Sort(ids)
	var found []program
	for _, id := range slices.Compact(ids) {
		found = append(found, program{principal: "token:" + id})
	}
	return found, nil
}

// programs are service tokens that could be meant, the phones of people, and the
// device that it is. also are principals beside those that the thing names.
func (w *teller) programs(verb Verb, t Thing, people []string, also ...string) ([]program, error) {
	var found []program
	if t.Kind == "device" && t.ID != "" {
		found = append(found, program{principal: "device:" + t.ID})
	}
	tokens, err := w.tokens(t, also)
	if err != nil {
		return nil, err
	}
	found = append(found, tokens...)
	phone, known := registered("phone")
	if !known || !w.r.Has("phone") || phone.columns.Owner == "" || !phoneMay(verb) {
		return found, nil
	}
	for chunk := range slices.Chunk(people, 500) {
		marks, args := make([]string, len(chunk)), make([]any, len(chunk))
		for i, p := range chunk {
			marks[i], args[i] = fmt.Sprintf("$%d", i+1), p
		}
		rows := w.r.Query("SELECT n.id, n."+phone.columns.Owner+" FROM phone n WHERE n."+phone.columns.Owner+" IN ("+strings.Join(marks, ", ")+")", args...)
		for rows.Next() {
			p := program{}
			rows.Scan(&p.principal, &p.owner)
			p.principal = "phone:" + p.principal
			found = append(found, p)
		}
		if err := rows.Close(); err != nil {
			return nil, err
		}
	}
	return found, nil
}
