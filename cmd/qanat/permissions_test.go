package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/qanat-water/qanat/internal/people/access"
)

var update = flag.Bool("update", false, "write the golden file and the page of permissions again")

// states are those that rights distinguish; of all other kinds the state does not matter.
var states = map[string][]string{
	"site":       {"public", "protected", "private"},
	"deployment": {"active", "closed"},
	"response":   {"draft", "pending", "rejected", "final"},
}

// roles are who the table names for a kind, in its order.
func roles(kind string) []string {
	var found []string
	for _, rule := range access.RulesOf(kind) {
		for _, who := range rule.Who {
			if !slices.Contains(found, who) {
				found = append(found, who)
			}
		}
	}
	return found
}

// may is what a role may do to a kind in a state, in the order of access.Verbs.
func may(kind, role, state string) []string {
	var verbs []string
	for _, verb := range access.Verbs() {
		if slices.ContainsFunc(access.RulesOf(kind), func(r access.Rule) bool {
			return slices.Contains(r.Who, role) && slices.Contains(r.May, verb) && (len(r.When) == 0 || slices.Contains(r.When, state))
		}) {
			verbs = append(verbs, string(verb))
		}
	}
	return verbs
}

// The whole matrix of permissions is in a golden file, so that no change of a right
// goes unnoticed, and in a page for people. Both are written again by
// go test ./cmd/qanat -run TestPermissionMatrix -update.
func TestPermissionMatrix(t *testing.T) {
	for _, kind := range access.Kinds() {
		for _, rule := range access.RulesOf(kind) {
			for _, word := range rule.When {
				if !slices.Contains(states[kind], word) {
					t.Errorf("a rule for a %s that is %s, which the page does not show", kind, word)
				}
			}
		}
	}
	for file, text := range map[string]string{"../../internal/people/access/testdata/matrix.golden": golden(), "../../docs/permissions.md": page()} {
		if *update {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		is, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		had, have := strings.Split(string(is), "\n"), strings.Split(text, "\n")
		for i := range max(len(had), len(have)) {
			if i >= len(had) || i >= len(have) || had[i] != have[i] {
				t.Errorf("%s:%d is %q, the table says %q; if that is meant: go test ./cmd/qanat -run TestPermissionMatrix -update", file, i+1, at(had, i), at(have, i))
				break
			}
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

func golden() string {
	var b strings.Builder
	for _, kind := range access.Kinds() {
		for _, state := range statesOf(kind) {
			for _, role := range slices.Sorted(slices.Values(roles(kind))) {
				if verbs := may(kind, role, state); len(verbs) > 0 {
					fmt.Fprintf(&b, "%s %s %s: %s\n", kind, state, role, strings.Join(verbs, " "))
				}
			}
		}
	}
	return b.String()
}

func statesOf(kind string) []string {
	if s := states[kind]; s != nil {
		return s
	}
	return []string{"-"}
}

// page is docs/permissions.md.
func page() string {
	var b strings.Builder
	b.WriteString(intro)
	for _, group := range pageOrder {
		fmt.Fprintf(&b, "\n## %s\n", group.title)
		for _, kind := range group.kinds {
			writeKind(&b, kind)
		}
	}
	var rest []string
	for _, kind := range access.Kinds() {
		if !slices.ContainsFunc(pageOrder, func(g pageGroup) bool { return slices.Contains(g.kinds, kind) }) {
			rest = append(rest, kind)
		}
	}
	if len(rest) > 0 {
		b.WriteString("\n## Everything else\n")
		for _, kind := range rest {
			writeKind(&b, kind)
		}
	}
	return b.String()
}

func writeKind(b *strings.Builder, kind string) {
	fmt.Fprintf(b, "\n### %s\n\n| who |", strings.ReplaceAll(kind, "_", " "))
	for _, state := range statesOf(kind) {
		if state == "-" {
			state = "may"
		}
		fmt.Fprintf(b, " %s |", state)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(statesOf(kind))) + "\n")
	for _, role := range roles(kind) {
		fmt.Fprintf(b, "| %s |", inWords(role))
		for _, state := range statesOf(kind) {
			fmt.Fprintf(b, " %s |", strings.Join(may(kind, role, state), ", "))
		}
		b.WriteString("\n")
	}
}

// inWords is a role as the page calls it.
func inWords(role string) string {
	if said, known := map[string]string{
		"everyone": "everyone with an account", "people": "people of the organization", "own": "the person whose own it is", "self": "the device itself",
		"admins": "admins of the branch", "managers": "managers of the branch", "viewers": "viewers of the branch", "members": "members of the branch",
		"stage": "approvers of the stage it waits at", "stage-editor": "the same, where the stage lets them edit", "remover": "its enumerator, where the deployment lets him",
		"participant": "who stands in a list of one of its deployments", "survey.admins": "admins of the branch that manages the survey",
	}[role]; known {
		return said
	}
	if parent, of, is := strings.Cut(role, "."); is {
		return fmt.Sprintf("**%s** of the %s", of, parent)
	}
	return "**" + role + "**"
}

type pageGroup struct {
	title string
	kinds []string
}

var pageOrder = []pageGroup{
	{"Sites", []string{"site", "site_type", "site_import"}},
	{"Surveys and responses", []string{"survey", "form", "deployment", "response", "submission"}},
	{"Phones and devices", []string{"phone", "device", "refusal"}},
	{"The organization", []string{"branch", "team", "membership", "invitation", "join_code", "join_request", "policy", "workspace", "token", "activity"}},
	{"People", []string{"account", "session", "passkey", "sign_in_provider", "security_event"}},
}

const intro = `# Who may do what

Written from the one table that the server decides by (internal/people/access); a test holds it current. What no row
allows is refused, and what somebody may not see does not exist for him: the answer is "not found" in every protocol. On any page
of the portal "Who may" explains a decision with the chain of grants behind it.

## How rights are held

- **Standing groups.** Every branch has admins, managers, viewers and members. The rights of admins, managers and viewers reach down to all branches
  below; those of members do not. People of a team are members of its branch.
- **Grants and lists** give a role, in bold below, to a principal: a person, a team, a standing group, a whole branch, a service token, or everyone; of any
  organization. A role on a survey counts for its deployments and responses where a row says so.
- **Phones** act for their person, but only see and send in. **Devices** are only themselves.
- **Service tokens** act as a standing group of their branch and by grants to them. Their scope only narrows: verbs and kinds that it names. A scope without verbs
  allows all but share, administer, revoke, delete and export, which must be named, as must every change of a membership. Nothing gives a token confidential answers, nor what asks for a fresh second
  factor: erasure, break-glass.
- **Workspaces** narrow, too. Whom an organization has put into one sees of it only the surveys it names (with their forms, deployments, responses and submissions), the
  sites of its types, and who works in the organization; no devices, imports or refusals, and of the activity what he may see himself. He gives only the roles that
  it offers. Admins of the organization are never locked. What others grant him in other organizations is not touched.
- **Undo** asks for the right to edit the thing as it was, as it became and as it is; to delete what it takes away; to create what it brings back;
  and to administer where branch, privacy or lists change. Taking back an approval or rejection, where no answer changes, is for who may reject it:
  survey administrators too, who never edit answers. What a phone sent in is evidence and stays: undoing "sent in a response" takes the response
  away and says *undone in part*.
- A right is looked up when it is asked for: what is taken back is gone with the next question.

*create* on a thing that was deleted is the right to bring it back. *submit* on a site or deployment is attaching or starting a response.
`
