package access

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Rule is one row of the table: who, on which kind of thing, in which states,
// may do what.
//
// Who is written as
//   - a standing group of the thing's branch: admins, managers, viewers (these
//     three reach down from every branch above), members (only there);
//   - everyone: every active account of the server;
//   - people: who belongs to the thing's organization anywhere in its tree;
//   - own: the person that the thing names as its owner;
//   - self: the device that the thing is;
//   - any other word: a role given by a grant or by a list in the document;
//   - kind.role: that role held on the parent of that kind.
//
// Create on a thing that is there already is the right to undelete it.
type Rule struct {
	Kind string
	Who  []string
	When []string // privacy or state; empty: always
	May  []Verb
}

func who(names ...string) []string   { return names }
func on(words ...string) []string    { return words }
func may(verbs ...Verb) []Verb       { return verbs }
func surveyAdministrators() []string { return who("survey.administrator", "survey.admins") }

// overriders approve and reject at any stage; what they do is marked as override.
func overriders() []string {
	return append(surveyAdministrators(), "deployment.manager", "deployment.admin")
}

var always []string

// table is the permission tables of the handbook, one row of theirs to one row
// here. Kinds that are not here bring their rows when they register.
var table = []Rule{
	// Sites: privacy decides what everyone may; viewers and members of the
	// managing branch hold view, its managers and admins own.
	{"site", who("everyone"), on("public"), may(See, Edit, Submit)},
	{"site", who("everyone"), on("protected"), may(See, Submit)},
	{"site", who("view", "viewers", "members"), always, may(See, Submit)},
	{"site", who("edit"), always, may(See, Edit, Submit)},
	{"site", who("admin", "managers", "admins"), always, may(See, Edit, Submit, Administer, Share, Delete, Export)},
	{"site", who("members", "managers", "admins", "admin"), always, may(Create)}, // "admin": to undelete that site
	{"site_type", who("people"), always, may(See)},
	{"site_type", who("admins"), always, may(Create, Edit, Delete)},
	{"site_import", who("managers", "admins", "own"), always, may(See)},
	{"site_import", who("managers", "admins"), always, may(Create, Edit, Delete)},

	// Surveys. The admins of the managing branch are administrators, worked out when asked.
	{"survey", who("administrator", "admins"), always, may(See, Edit, Design, Share, Administer, Deploy, Delete, Export)},
	{"survey", who("deployer"), always, may(See, Deploy)},
	{"survey", who("viewer", "participant"), always, may(See)},
	{"survey", who("managers", "admins"), always, may(Create)},
	{"form", who("survey.administrator", "survey.admins", "survey.deployer", "survey.viewer", "survey.participant"), always, may(See)},
	{"form", surveyAdministrators(), always, may(Create, Edit)},

	// Deployments.
	{"deployment", who("survey.administrator", "survey.admins", "survey.deployer"), always, may(See, Create, Edit, Delete, Share)},
	{"deployment", who("admin"), always, may(See, Edit, Share, Export)},
	{"deployment", who("manager"), always, may(See, Export)},
	{"deployment", who("enumerator", "approver", "viewer"), always, may(See)},
	{"deployment", who("enumerator"), on("active"), may(Submit)},

	// Responses. "stage" holds the stage that a pending response waits at,
	// "stage-editor" the same where the stage does not forbid editing, "remover"
	// is given where the deployment lets enumerators delete final ones.
	{"response", who("own"), on("draft"), may(See, Edit, Submit, Delete, Reveal)},
	{"response", who("own"), on("rejected"), may(See, Edit, Submit, Delete, Recall, Reveal)},
	{"response", who("own"), on("pending"), may(See, Recall)},
	{"response", who("own"), on("final"), may(See)},
	{"response", who("remover"), on("final"), may(Delete)},
	{"response", who("deployment.approver"), on("pending", "rejected", "final"), may(See)},
	{"response", who("stage"), on("pending"), may(Approve, Reject)},
	{"response", who("stage-editor"), on("pending"), may(Edit)},
	{"response", who("deployment.viewer"), on("final"), may(See)},
	{"response", who("deployment.manager", "deployment.admin"), always, may(See, Edit, Delete, Create)},
	{"response", who("deployment.manager", "deployment.admin"), on("draft", "rejected"), may(Submit)},
	{"response", overriders(), on("pending"), may(Approve, Reject)},
	{"response", overriders(), on("final"), may(Reject)},
	{"response", surveyAdministrators(), always, may(See, Create, Delete, Reveal, Export)},
	{"submission", surveyAdministrators(), always, may(See, Release, Export)},
	{"submission", who("admins"), always, may(See, Release, Edit)},
	{"submission", who("own"), always, may(See)},

	// Phones and devices.
	{"phone", who("own"), always, may(See, Revoke, Delete)},
	{"phone", who("managers", "admins"), always, may(See, Create, Edit, Revoke, Delete)},
	{"device", who("self"), always, may(See, Submit)},
	{"device", who("viewers", "members"), always, may(See)},
	{"device", who("managers", "admins"), always, may(See, Create, Edit, Claim, Revoke)},
	{"device", who("admins"), always, may(Delete, Share, Administer, Export)},
	{"refusal", who("managers", "admins"), always, may(See)},

	// The organization itself.
	{"branch", who("people"), always, may(See)},
	{"branch", who("admins"), always, may(Create, Edit, Delete, Administer, Share, Export)},
	{"team", who("people"), always, may(See)},
	{"team", who("admins"), always, may(Create, Edit, Delete)},
	{"membership", who("own"), always, may(See, Delete)},
	{"membership", who("viewers", "managers"), always, may(See)},
	{"membership", who("admins"), always, may(See, Create, Edit, Delete)},
	{"invitation", who("admins"), always, may(See, Create, Edit, Delete)},
	{"join_code", who("admins"), always, may(See, Create, Edit, Delete)},
	{"join_request", who("own"), always, may(See)},
	{"join_request", who("admins"), always, may(See, Create, Edit, Delete)},
	{"policy", who("people"), always, may(See)},
	{"policy", who("admins"), always, may(Create, Edit, Delete)},
	{"workspace", who("admins"), always, may(See, Create, Edit, Delete)},
	{"activity", who("managers", "admins"), always, may(See)},
	{"activity", who("admins"), always, may(Export)},
	{"account", who("own"), always, may(See, Edit)},
	{"session", who("own"), always, may(See, Delete)},

	// The server itself, and visits of its administrators under break-glass.
	{"server", who(Operator), always, may(See, Administer)},
	{"break_glass", who("managers", "viewers", "members"), always, may(See)},
	{"break_glass", who("admins"), always, may(See, Administer, Revoke)},
	{"break_glass", who("own"), always, may(See, Revoke)},
}

// reaching are the standing groups whose rights reach down the tree.
var reaching = []string{"admins", "managers", "viewers"}

// standing are the standing groups of a branch.
var standing = []string{"admins", "managers", "viewers", "members"}

var derived = []string{"admins", "managers", "viewers", "members", "everyone", "people", "own", "self"}

// roles that documents give by their own rules, never by a grant.
var computed = []string{"stage", "stage-editor", "remover", "participant"}

var rules struct {
	sync.RWMutex
	byKind map[string][]Rule
}

// roleSet is the roles that may do something: in which states, or always.
type roleSet map[string][]string

func (r roleSet) include(role, word string) bool {
	when, may := r[role]
	return may && (when == nil || slices.Contains(when, word))
}

// compiled is the table turned round, for quick answers.
type compiled struct {
	may    map[string]map[Verb]roleSet // kind -> verb -> roles
	byName map[[2]string]string        // (kind, role) -> "kind.role"
}

var matrix atomic.Pointer[compiled]

func init() {
	rules.byKind = map[string][]Rule{}
	for _, r := range table {
		rules.byKind[r.Kind] = append(rules.byKind[r.Kind], r)
	}
	compile()
}

// compile is called with rules locked whenever a row was added.
func compile() {
	c := &compiled{may: map[string]map[Verb]roleSet{}, byName: map[[2]string]string{}}
	for kind, lines := range rules.byKind {
		of := map[Verb]roleSet{}
		c.may[kind] = of
		for _, row := range lines {
			for _, verb := range row.May {
				if of[verb] == nil {
					of[verb] = roleSet{}
				}
				for _, role := range row.Who {
					if parent, name, is := strings.Cut(role, "."); is {
						c.byName[[2]string{parent, name}] = role
					}
					when, known := of[verb][role]
					if len(row.When) == 0 || known && when == nil {
						of[verb][role] = nil
						continue
					}
					of[verb][role] = append(when[:len(when):len(when)], row.When...)
				}
			}
		}
	}
	matrix.Store(c)
}

func allowed(kind string, verb Verb) roleSet { return matrix.Load().may[kind][verb] }

// Kinds are the kinds of things that the table knows, sorted.
func Kinds() []string {
	rules.RLock()
	defer rules.RUnlock()
	return slices.Sorted(maps.Keys(rules.byKind))
}

// RulesOf gives the rows of the table for a kind, for the page that shows them.
func RulesOf(kind string) []Rule {
	rules.RLock()
	defer rules.RUnlock()
	return rules.byKind[kind]
}

// GrantRoles are the roles that a grant on a kind of thing can give.
func GrantRoles(kind string) []string {
	var roles []string
	for _, r := range RulesOf(kind) {
		for _, w := range r.Who {
			if !slices.Contains(derived, w) && !strings.Contains(w, ".") && !slices.Contains(roles, w) &&
				!slices.Contains(computed, w) {
				roles = append(roles, w)
			}
		}
	}
	return roles
}

// may tells whether the held role allows a verb on a kind in a state.
func (h heldRole) may(kind, word string, verb Verb) bool {
	return allowed(kind, verb).include(h.role, word)
}
