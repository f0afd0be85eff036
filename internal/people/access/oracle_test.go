package access_test

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cedar-policy/cedar-go"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

//go:embed testdata/oracle.cedar
var oraclePolicies []byte

// TestOracleCedar compares, in random organizations, the decision function, the list
// filters and Cedar with policies of its own: a million decisions, 40,000 in short tests, or as
// many as QANAT_DECISIONS says. Of 200,000 or more, every policy must have decided some.
func TestOracleCedar(t *testing.T) {
	wanted := 1_000_000
	if testing.Short() {
		wanted = 40_000
	}
	if n, err := strconv.Atoi(os.Getenv("QANAT_DECISIONS")); err == nil {
		wanted = n
	}
	policies, err := cedar.NewPolicySetFromBytes("oracle.cedar", oraclePolicies)
	if err != nil {
		t.Fatal(err)
	}
	o := &oracle{policies: policies, decided: map[cedar.PolicyID]int{}}
	for batch := 0; o.decisions < wanted && !t.Failed(); batch++ {
		open, worlds := storetest.SQLite, 25
		switch batch {
		case 0:
			worlds = 3
		case 1:
			open, worlds = storetest.Postgres, 1
		}
		t.Run(fmt.Sprint(batch), func(t *testing.T) { o.batch(t, open(t), uint64(batch), worlds, wanted) })
	}
	for id, p := range policies.All() {
		if o.decided[id] == 0 && o.decisions >= 200_000 && !t.Failed() {
			t.Errorf("oracle.cedar:%d decided nothing: the scenes are too plain", p.Position().Line)
		}
	}
	t.Logf("%d decisions (%d allowed) of %d worlds, %d lists", o.decisions, o.allowed, o.worlds, o.lists)
}

type oracle struct {
	policies                          *cedar.PolicySet
	decided                           map[cedar.PolicyID]int
	decisions, allowed, worlds, lists int
}

// batch draws worlds into one database.
func (o *oracle) batch(t *testing.T, open func() *store.Store, batch uint64, worlds, wanted int) {
	w := peopletest.New(t, open(), nouns...)
	defer w.Ledger.Close()
	for i := 0; i < worlds && o.decisions < wanted && !t.Failed(); i++ {
		draw := rand.New(rand.NewPCG(batch, uint64(i)))
		s := drawScene(t, w.Ledger, func(_ string, n int) int { return draw.IntN(n) })
		s.drawStages(func(_ string, n int) int { return draw.IntN(n) })
		w.Clock.Advance(time.Hour)
		o.worlds++
		w.Read(t, func(r *ledger.Reader) error { return o.judge(t, r, s, draw) })
		if t.Failed() {
			t.Logf("world %d of batch %d", i, batch)
		}
	}
}

// drawStages gives responses what depends on the stage they wait at.
func (s *scene) drawStages(c chooser) {
	for i := range s.specimens {
		if x := &s.specimens[i]; x.kind == "response" {
			x.lists = map[string][]string{"stage": s.list(c), "stage-editor": s.list(c), "remover": {"person:" + x.owner}}
			if c("stays", 2) == 0 {
				x.lists["remover"] = nil
			}
		}
	}
}

func (o *oracle) judge(t *testing.T, r *ledger.Reader, s *scene, draw *rand.Rand) error {
	entities := s.entities()
	things := make([]access.Thing, len(s.specimens))
	for i, x := range s.specimens {
		if x.id == "" {
			things[i] = access.Thing{Kind: x.kind, Org: x.org, Branch: x.branch, Privacy: x.word, Type: x.siteType}
			continue
		}
		var err error
		if things[i], err = access.Describe(r, x.kind, x.id); err != nil {
			return err
		}
		if x.kind == "response" {
			for role, list := range x.lists {
				for _, p := range list {
					things[i].Holders = append(things[i].Holders, access.Holder{Role: role, Principal: p})
				}
			}
		}
	}
	now := cedar.Long(r.Clock().UnixMilli())
	for _, actor := range s.actors {
		if actor.Kind == "system" { // may do everything: there is nothing to compare
			continue
		}
		set, err := access.Principals(r, actor)
		if err != nil {
			return err
		}
		says := func(i int, verb access.Verb) bool {
			decision, diagnostic := cedar.Authorize(o.policies, entities, cedar.Request{
				Principal: principalOf(actor), Action: cedar.NewEntityUID("Action", cedar.String(verb)), Resource: s.specimens[i].entity(i),
				Context: cedar.NewRecord(cedar.RecordMap{"kind": cedar.String(s.specimens[i].kind), "now": now}),
			})
			if len(diagnostic.Errors) > 0 {
				t.Errorf("the oracle cannot say: %v", diagnostic.Errors)
			}
			for _, reason := range diagnostic.Reasons {
				o.decided[reason.PolicyID]++
			}
			return decision == cedar.Allow
		}
		inLists := []access.Verb{access.See, access.Verbs()[draw.IntN(len(access.Verbs()))]}
		for _, verb := range access.Verbs() {
			var shown map[string]bool
			if slices.Contains(inLists, verb) {
				if shown, err = o.listed(r, s, set, verb); err != nil {
					return err
				}
			}
			for i, x := range s.specimens {
				want, err := says(i, verb), set.Require(r, verb, things[i])
				o.decisions++
				if want {
					o.allowed++
				}
				if (err == nil) != want {
					d, _ := set.Decide(r, verb, things[i])
					t.Errorf("%s %s: %s on %s %s (%s): decided %v because %q, Cedar says %v", actor.Kind, actor.ID, verb, x.kind, x.id, x.word, err == nil, d.Why, want)
				}
				if err != nil && !errors.As(err, new(*fault.Error)) {
					return err
				}
				if err != nil && x.id != "" && verb != access.See && (fault.KindOf(err) == fault.Denied) != says(i, access.See) {
					t.Errorf("%s %s: %s on %s %s is refused as %s, Cedar lets it be seen: %v", actor.Kind, actor.ID, verb, x.kind, x.id, fault.KindOf(err), says(i, access.See))
				}
				staged := x.kind == "response" && slices.Contains([]access.Verb{access.Edit, access.Approve, access.Reject, access.Delete}, verb) // lists know no stage
				if shown != nil && x.id != "" && !staged && shown[x.id] != want {
					t.Errorf("%s %s: %s on %s %s (%s): listed is %v, Cedar says %v", actor.Kind, actor.ID, verb, x.kind, x.id, x.word, shown[x.id], want)
				}
				if t.Failed() {
					return nil
				}
			}
		}
	}
	return nil
}

// listed is what the list filters show of all kinds.
func (o *oracle) listed(r *ledger.Reader, s *scene, set *access.Set, verb access.Verb) (map[string]bool, error) {
	shown := map[string]bool{}
	for kind := range s.kindsOf {
		ids, _, err := listed(r, set, kind, verb)
		if err != nil {
			return nil, err
		}
		o.lists++
		for _, id := range ids {
			shown[id] = true
		}
	}
	return shown, nil
}

func uid(kind cedar.EntityType, id string) cedar.EntityUID {
	return cedar.NewEntityUID(kind, cedar.String(id))
}

func principalOf(a ledger.Actor) cedar.EntityUID {
	kind := map[string]cedar.EntityType{"account": "Person", "phone": "Phone", "device": "Device", "token": "Token"}[a.Kind]
	if kind == "" {
		kind = "Nobody"
	}
	return uid(kind, a.ID)
}

// named is a principal as an entity.
func named(principal string) cedar.EntityUID {
	kind, rest, _ := strings.Cut(principal, ":")
	switch kind {
	case "everyone":
		return uid("Everyone", "all")
	case "person":
		return uid("Person", rest)
	case "group":
		return uid("Group", rest)
	case "branch":
		return uid("Branch", rest)
	case "team":
		return uid("TeamPeople", rest)
	case "token":
		return uid("Token", rest)
	}
	panic(principal)
}

func namedAll(principals []string) cedar.Set {
	var all []cedar.Value
	for _, p := range principals {
		all = append(all, named(p))
	}
	return cedar.NewSet(all...)
}

var entityKinds = map[string]cedar.EntityType{
	"site": "Site", "site_import": "SiteImport", "survey": "Survey", "form": "Form", "deployment": "Deployment", "response": "Response", "submission": "Submission",
	"phone": "Phone", "device": "Device", "branch": "Place", "team": "Team", "membership": "Membership", "token": "Token", "workspace": "Workspace", "account": "Person",
}

func (x specimen) entity(i int) cedar.EntityUID {
	if x.id == "" {
		return uid(entityKinds[x.kind], fmt.Sprint("to be made ", i))
	}
	return uid(entityKinds[x.kind], x.id)
}

// entities is the scene as Cedar sees it.
func (s *scene) entities() cedar.EntityMap {
	g := graph{parents: map[cedar.EntityUID][]cedar.EntityUID{}, attributes: map[cedar.EntityUID]cedar.RecordMap{}}
	for _, b := range s.branches {
		for _, group := range standing {
			of := uid("Group", b.id+"/"+group)
			g.in(of, uid("Branch", b.id))
			if b.in != "" && group != "members" { // the rights of those above reach down
				g.in(uid("Group", b.in+"/"+group), of)
			}
		}
	}
	for _, t := range s.teams {
		g.in(uid("TeamPeople", t.id), uid("Group", t.in+"/members"))
	}
	for _, p := range s.people {
		g.attributes[uid("Person", p)] = cedar.RecordMap{"active": cedar.Boolean(!s.ended[p])}
		if !s.ended[p] {
			g.in(uid("Person", p), uid("Everyone", "all"))
		}
	}
	g.attributes[uid("Person", "")] = cedar.RecordMap{"active": cedar.Boolean(false)}
	g.attributes[uid("Token", s.people[1])] = cedar.RecordMap{"active": cedar.Boolean(false), "expires": cedar.Long(0), "verbs": cedar.NewSet(), "kinds": cedar.NewSet()}
	for id, m := range s.members {
		person, team := uid("Person", m.Person), strings.TrimPrefix(m.Group, "team:")
		if team != m.Group {
			g.in(person, uid("TeamPeople", team))
		} else {
			g.in(person, uid("Group", m.Branch+"/"+m.Group))
		}
		g.in(person, uid("Org", s.orgOf[id]))
	}
	for id, token := range s.tokens {
		of := uid("Token", id)
		var verbs, kinds []cedar.Value
		for _, v := range token.Verbs {
			verbs = append(verbs, uid("Action", v))
		}
		for _, k := range token.Kinds {
			kinds = append(kinds, cedar.String(k))
		}
		g.attributes[of] = cedar.RecordMap{"active": cedar.Boolean(token.State == account.Active), "expires": cedar.Long(token.Expires.UnixMilli()),
			"verbs": cedar.NewSet(verbs...), "kinds": cedar.NewSet(kinds...)}
		g.in(of, uid("Everyone", "all"))
		if token.Group != "" {
			g.in(of, uid("Group", token.Branch+"/"+token.Group))
			g.in(of, uid("Org", s.orgOf[id]))
		}
	}
	s.lock(&g)
	s.resources(&g)
	return g.entities()
}

// lock works out whom workspaces narrow, and to what.
func (s *scene) lock(g *graph) {
	actors := []cedar.EntityUID{}
	for _, p := range s.people {
		actors = append(actors, uid("Person", p))
	}
	for id := range s.tokens {
		actors = append(actors, uid("Token", id))
	}
	for _, actor := range actors {
		var locked, types, surveys []cedar.Value
		for id, w := range s.workspaces {
			in := s.orgOf[id]
			belongs := slices.Contains(g.parents[actor], uid("Org", in))
			admin := slices.Contains(g.parents[actor], uid("Group", in+"/admins"))
			if !belongs || admin || !slices.ContainsFunc(w.People, func(p string) bool { return g.reaches(actor, named(p)) }) {
				continue
			}
			locked = append(locked, uid("Org", in))
			for _, t := range w.SiteTypes {
				types = append(types, cedar.String(in+"/"+t))
			}
			for _, survey := range w.Surveys {
				surveys = append(surveys, uid("Survey", survey))
			}
		}
		for _, attribute := range []struct {
			name   string
			values []cedar.Value
		}{{"locked", locked}, {"shownTypes", types}, {"shownSurveys", surveys}} {
			g.attributes[actor][cedar.String(attribute.name)] = cedar.NewSet(attribute.values...)
		}
	}
}

// resources adds the things.
func (s *scene) resources(g *graph) {
	granted := map[string][]string{} // "site:id/role" -> principals
	for _, grant := range s.grants {
		key := grant.Thing + "/" + grant.Role
		granted[key] = append(granted[key], grant.Principal)
	}
	participants := map[string][]string{}
	for _, x := range s.specimens {
		if x.kind == "deployment" {
			for _, list := range x.lists {
				participants[x.survey] = append(participants[x.survey], list...)
			}
		}
	}
	for i, x := range s.specimens {
		of := x.entity(i)
		a := g.attributes[of]
		if a == nil {
			a = cedar.RecordMap{}
			g.attributes[of] = a
		}
		if x.org != "" {
			a["org"] = uid("Org", x.org)
		}
		if x.branch != "" && !slices.Contains([]string{"deployment", "response", "form"}, x.kind) {
			for _, group := range standing {
				a[cedar.String(group)] = uid("Group", x.branch+"/"+group)
			}
		}
		if x.owner != "" {
			a["owner"] = uid("Person", x.owner)
		}
		if x.survey != "" {
			a["survey"] = uid("Survey", x.survey)
		}
		if x.deployment != "" {
			a["deployment"] = uid("Deployment", x.deployment)
		}
		role := func(attribute, role string, more ...string) {
			a[cedar.String(attribute)] = namedAll(append(slices.Clone(granted[x.kind+":"+x.id+"/"+role]), more...))
		}
		switch x.kind {
		case "site":
			a["privacy"], a["siteType"] = cedar.String(x.word), cedar.String(x.org+"/"+x.siteType)
			role("view", "view")
			role("edit", "edit")
			role("admin", "admin")
		case "survey":
			role("administrator", "administrator")
			role("deployer", "deployer")
			role("viewer", "viewer")
			a["participant"] = namedAll(participants[x.id])
		case "deployment":
			a["state"] = cedar.String(x.word)
			for _, name := range []string{"enumerator", "approver", "viewer", "manager", "admin"} {
				role(name, name, x.lists[name]...)
			}
		case "response":
			a["state"] = cedar.String(x.word)
			a["stage"], a["stageEditor"], a["remover"] = namedAll(x.lists["stage"]), namedAll(x.lists["stage-editor"]), namedAll(x.lists["remover"])
		case "phone":
			if x.id == "" {
				break
			}
			a["active"] = cedar.Boolean(x.word != "revoked" && !s.ended[x.owner])
			maps.Copy(a, locksOf(g.attributes[uid("Person", x.owner)]))
			g.in(of, uid("Person", x.owner))
		}
	}
}

// locksOf is what a phone shares with its person.
func locksOf(person cedar.RecordMap) cedar.RecordMap {
	return cedar.RecordMap{"locked": person["locked"], "shownTypes": person["shownTypes"], "shownSurveys": person["shownSurveys"]}
}

var standing = []string{"admins", "managers", "viewers", "members"}

// graph is entities under construction.
type graph struct {
	parents    map[cedar.EntityUID][]cedar.EntityUID
	attributes map[cedar.EntityUID]cedar.RecordMap
}

func (g *graph) in(child, parent cedar.EntityUID) {
	g.parents[child] = append(g.parents[child], parent)
}

func (g *graph) reaches(from, to cedar.EntityUID) bool {
	return from == to || slices.ContainsFunc(g.parents[from], func(up cedar.EntityUID) bool { return g.reaches(up, to) })
}

func (g *graph) entities() cedar.EntityMap {
	all := cedar.EntityMap{}
	for of := range g.parents {
		all[of] = cedar.Entity{UID: of}
	}
	for of := range g.attributes {
		all[of] = cedar.Entity{UID: of}
	}
	for of, e := range all {
		e.Parents = cedar.NewEntityUIDSet(g.parents[of]...)
		e.Attributes = cedar.NewRecord(g.attributes[of])
		all[of] = e
	}
	return all
}
