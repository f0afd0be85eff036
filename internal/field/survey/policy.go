package survey

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/field/form"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
)

// The sharing policy of an organization says how far answers of each class may be
// shared. A deployment that would share one further is refused; one that came to
// break it, because the policy was tightened, can be closed or narrowed, and
// otherwise stays as it is until it is mended or an admin accepts it.

// Breach is somebody who would see answers that the policy does not share that far.
type Breach struct {
	Class     string `json:"class" doc:"class of the questions"`
	Audience  string `json:"audience" doc:"how far the policy shares it: everyone, organization or administrators"`
	Question  string `json:"question" doc:"path of the first question of the class"`
	Label     string `json:"label,omitempty"`
	Questions int    `json:"questions" doc:"how many questions of the class there are"`
	Place     string `json:"place" doc:"where the principal stands: /viewers/0, or grant"`
	Principal string `json:"principal"`
	Name      string `json:"name" doc:"the principal in words"`
	Accepted  bool   `json:"accepted,omitempty"`
}

func (b Breach) key() string { return b.Class + " " + b.Principal }

// held is a principal at a place of a deployment; whoever reads sees what others answered.
type held struct {
	place, principal string
	reads            bool
}

func (d Deployment) held() []held {
	var all []held
	add := func(place string, reads bool, list []string) {
		for i, p := range list {
			all = append(all, held{fmt.Sprintf("%s/%d", place, i), p, reads})
		}
	}
	add("/enumerators", false, d.Enumerators)
	for i, s := range d.Stages {
		add(fmt.Sprintf("/stages/%d/approvers", i), true, s.Approvers)
	}
	add("/viewers", true, d.Viewers)
	add("/managers", true, d.Managers)
	add("/admins", true, d.Admins)
	return all
}

// judge knows a policy, and how far principals reach.
type judge struct {
	r      *ledger.Reader
	org    string
	policy org.Policy
	known  map[string]string
}

func newJudge(r *ledger.Reader, organization string) (*judge, error) {
	p, err := org.PolicyOf(r, organization)
	return &judge{r, organization, p, map[string]string{}}, err
}

// breaches are those of a deployment with a form. What grants add to the lists counts, too.
func (j *judge) breaches(survey, deployment string, d Deployment, f *form.Form) ([]Breach, error) {
	classes := map[string]*Breach{}
	for _, c := range f.Classified() {
		if b := classes[c.Class]; b != nil {
			b.Questions++
			continue
		}
		classes[c.Class] = &Breach{Class: c.Class, Audience: j.policy.Share[c.Class], Question: c.Path, Label: c.Label.In(f.DefaultLanguage, ""), Questions: 1}
	}
	if len(classes) == 0 {
		return nil, nil
	}
	administrators, err := j.granted("survey", survey, "administrator")
	if err != nil {
		return nil, err
	}
	all := d.held()
	for _, role := range []string{"enumerator", "approver", "viewer", "manager", "admin"} {
		given, err := j.granted("deployment", deployment, role)
		if err != nil {
			return nil, err
		}
		for _, p := range given {
			all = append(all, held{"grant", p, role != "enumerator"})
		}
	}
	for _, p := range administrators {
		all = append(all, held{"survey grant", p, true})
	}
	var found []Breach
	for _, class := range form.Classes {
		b := classes[class]
		if b == nil {
			continue
		}
		for _, h := range all {
			reach, err := j.reach(h.principal)
			if err != nil {
				return nil, err
			}
			allowed := b.Audience
			if allowed == org.Administrators && !h.reads {
				allowed = org.Organization // who answers sees only what he answered himself
			}
			if reach == org.Organization && slices.Contains(administrators, h.principal) {
				reach = org.Administrators
			}
			if slices.Index(org.Audiences, reach) >= slices.Index(org.Audiences, allowed) {
				continue
			}
			one := *b
			one.Place, one.Principal = h.place, h.principal
			one.Accepted = slices.Contains(d.Accepted, one.key())
			if one.Name, err = j.name(h.principal); err != nil {
				return nil, err
			}
			found = append(found, one)
		}
	}
	return found, nil
}

func (j *judge) granted(kind, subject, role string) (principals []string, err error) {
	rows := j.r.Query("SELECT g.principal FROM access_grant g WHERE g.kind = $1 AND g.subject = $2 AND g.role = $3 ORDER BY g.id", kind, subject, role)
	for rows.Next() {
		var p string
		rows.Scan(&p)
		principals = append(principals, p)
	}
	return principals, rows.Close()
}

// reach is the narrowest audience that a principal is part of.
func (j *judge) reach(principal string) (string, error) {
	if known := j.known[principal]; known != "" {
		return known, nil
	}
	reach, err := j.look(principal)
	j.known[principal] = reach
	return reach, err
}

func (j *judge) look(principal string) (string, error) {
	kind, rest, _ := strings.Cut(principal, ":")
	switch kind {
	case "person":
		standing, reach := "", org.Everyone
		rows := j.r.Query("SELECT m.standing FROM membership m WHERE m.person = $1 AND m.org = $2", rest, j.org)
		for rows.Next() {
			rows.Scan(&standing)
			if standing == org.Admins {
				reach = org.Administrators
			} else if reach == org.Everyone {
				reach = org.Organization
			}
		}
		return reach, rows.Close()
	case "team", "branch", "group":
		doc, group, _ := strings.Cut(rest, "/")
		in, _, found, err := j.r.OrgOf(doc)
		switch {
		case err != nil || !found || in != j.org:
			return org.Everyone, err
		case kind == "group" && group == org.Admins:
			return org.Administrators, nil
		}
		return org.Organization, nil
	case "token":
		t, err := account.ServiceTokens.Get(j.r, rest)
		switch {
		case err != nil && fault.KindOf(err) != fault.NotFound:
			return "", err
		case err != nil || t.Org != j.org:
			return org.Everyone, nil
		case t.Body.Group == org.Admins:
			return org.Administrators, nil
		}
		return org.Organization, nil
	}
	return org.Everyone, nil
}

// name is a principal in words, as far as this organization may know.
func (j *judge) name(principal string) (string, error) {
	kind, rest, _ := strings.Cut(principal, ":")
	doc, group, _ := strings.Cut(rest, "/")
	words := map[string]string{"everyone": "everyone", "person": "a person", "token": "a service token", "team": "a team", "branch": "a branch", "group": "a group"}[kind]
	in, _, _, err := j.r.OrgOf(doc)
	if err != nil || kind == "everyone" {
		return words, err
	}
	if kind == "person" {
		a, err := account.Accounts.Get(j.r, rest)
		if err != nil {
			return words, nil // ended or erased: the words have to do
		}
		return a.Body.Name, nil
	}
	if in != j.org {
		return words + " of another organization", nil
	}
	switch kind {
	case "team":
		t, err := org.Teams.Get(j.r, doc)
		if err != nil {
			return words, nil
		}
		path, err := org.PathOf(j.r, t.Body.Branch)
		return "the team " + strings.Join(append(path, t.Body.Name), " > "), err
	case "branch", "group":
		path, err := org.PathOf(j.r, doc)
		who := map[string]string{"branch": "all people"}[kind]
		if who == "" {
			who = group
		}
		return "the " + who + " of " + strings.Join(path, " > "), err
	}
	return words, nil
}

// keepsPolicy refuses a deployment that shares more than the policy allows.
func keepsPolicy(tx *ledger.Tx, s ledger.Doc[Survey], before, after *ledger.Doc[Deployment]) error {
	for i, key := range after.Body.Accepted {
		if before != nil && slices.Contains(before.Body.Accepted, key) {
			continue
		}
		if i >= maxPrincipals {
			return fault.New(fault.TooLarge, "deployment.accepted", "Too many breaches of the policy are accepted").WithMend("Mend some of them")
		}
		if err := access.Require(tx.Reader, tx.Actor, access.Edit, policyThing(after.Org)); err != nil {
			return fault.New(fault.Denied, "policy.accept", "Only an admin of the organization accepts what breaks its sharing policy").Because(err).WithMend("Ask one of them")
		}
	}
	if before != nil && narrower(before.Body, after.Body) {
		return nil
	}
	f, err := Forms.Get(tx.Reader, s.Body.Form)
	if err != nil {
		return err
	}
	j, err := newJudge(tx.Reader, after.Org)
	if err != nil {
		return err
	}
	found, err := j.breaches(s.ID, after.ID, after.Body, f.Body.Schema)
	if err != nil {
		return err
	}
	return refusal(found)
}

// refusal names the rule and the questions of the breaches that nobody has accepted.
func refusal(found []Breach) error {
	var f *fault.Error
	for _, b := range found {
		if b.Accepted {
			continue
		}
		if f == nil {
			f = fault.Newf(fault.Invalid, "policy.share", "The sharing policy of the organization forbids this: %s", b.rule()).
				WithMend("Take these people out, choose others, or ask an admin of the organization to change the policy or accept this")
		}
		f.At(b.Place, fmt.Sprintf("%s would see %s", b.Name, b.question()), "share it with "+mends[b.Audience])
	}
	if f == nil {
		return nil
	}
	return f
}

var mends = map[string]string{org.Organization: "people of the organization only", org.Administrators: "admins only", org.Everyone: "anybody"}

func (b Breach) rule() string {
	who := map[string]string{org.Organization: "people of the organization", org.Administrators: "administrators"}[b.Audience]
	return fmt.Sprintf("answers of the class %s are for %s only", b.Class, who)
}

func (b Breach) question() string {
	name := b.Label
	if name == "" {
		name = b.Question
	}
	if r := []rune(name); len(r) > 80 {
		name = string(r[:79]) + "…"
	}
	if b.Questions > 1 {
		return fmt.Sprintf("%q and %d more", name, b.Questions-1)
	}
	return fmt.Sprintf("%q", name)
}

// narrower tells whether a change lets nobody see or do more: closing, or taking people out.
func narrower(before, after Deployment) bool {
	if after.Active && !before.Active {
		return false
	}
	had := map[string]bool{}
	for _, h := range before.held() {
		list := h.place[:strings.LastIndexByte(h.place, '/')]
		if strings.HasPrefix(list, "/stages/") {
			list = "/stages"
		}
		had[list+" "+h.principal] = true
	}
	changed := !after.Active && before.Active
	for _, h := range after.held() {
		list := h.place[:strings.LastIndexByte(h.place, '/')]
		if strings.HasPrefix(list, "/stages/") {
			list = "/stages"
		}
		if !had[list+" "+h.principal] {
			return false
		}
	}
	return changed || len(after.held()) < len(before.held())
}

// formKeepsPolicy refuses to make a version of a form the current one when the
// survey's open deployments would share its new questions too far.
func formKeepsPolicy(tx *ledger.Tx, before, after *ledger.Doc[Survey]) error {
	if before == nil || before.Body.Form == after.Body.Form {
		return nil
	}
	open, err := Deployments.List(tx.Reader, "n.survey = $1 AND n.state = 'active' ORDER BY n.id", after.ID)
	if err != nil || len(open) == 0 {
		return err
	}
	was, err := Forms.Get(tx.Reader, before.Body.Form)
	if err != nil {
		return err
	}
	is, err := Forms.Get(tx.Reader, after.Body.Form)
	if err != nil {
		return err
	}
	j, err := newJudge(tx.Reader, after.Org)
	if err != nil {
		return err
	}
	for _, d := range open {
		had, err := j.breaches(after.ID, d.ID, d.Body, was.Body.Schema)
		if err != nil {
			return err
		}
		found, err := j.breaches(after.ID, d.ID, d.Body, is.Body.Schema)
		if err != nil {
			return err
		}
		found = slices.DeleteFunc(found, func(b Breach) bool {
			return slices.ContainsFunc(had, func(h Breach) bool { return h.key() == b.key() })
		})
		if err := refusal(found); err != nil {
			return fault.From(err).At("deployment "+d.Body.Name, "would break the policy with this version", "close it, or change who is in it, first")
		}
	}
	return nil
}

// A grant on a deployment, or of a survey's administration, obeys the policy as its lists do.
var _ = access.GuardGrant(func(tx *ledger.Tx, g access.Grant) error {
	kind, subject, _ := strings.Cut(g.Thing, ":")
	var s ledger.Doc[Survey]
	var open []ledger.Doc[Deployment]
	var err error
	switch {
	case kind == "deployment":
		d, e := Deployments.Get(tx.Reader, subject)
		if e != nil {
			return e
		}
		open = append(open, ledger.Doc[Deployment]{ID: d.ID, Org: d.Org, Body: Deployment{Accepted: d.Body.Accepted}})
		switch g.Role { // as if it stood in the list
		case "enumerator":
			open[0].Body.Enumerators = []string{g.Principal}
		default:
			open[0].Body.Viewers = []string{g.Principal}
		}
		s, err = Surveys.Get(tx.Reader, d.Body.Survey)
	case kind == "survey" && g.Role == "administrator":
		if s, err = Surveys.Get(tx.Reader, subject); err != nil {
			return err
		}
		// As a manager of a deployment who is an administrator by the grant itself.
		open = append(open, ledger.Doc[Deployment]{Org: s.Org, Body: Deployment{Managers: []string{g.Principal}}})
	default:
		return nil
	}
	if err != nil {
		return err
	}
	f, err := Forms.Get(tx.Reader, s.Body.Form)
	if err != nil {
		return err
	}
	j, err := newJudge(tx.Reader, s.Org)
	if err != nil {
		return err
	}
	found, err := j.breaches(s.ID, open[0].ID, open[0].Body, f.Body.Schema)
	if err != nil {
		return err
	}
	reach, err := j.reach(g.Principal)
	if err != nil {
		return err
	}
	found = slices.DeleteFunc(found, func(b Breach) bool {
		return b.Principal != g.Principal || kind == "survey" && reach != org.Everyone
	})
	for i := range found {
		found[i].Place = "/principal"
	}
	return refusal(found)
})

func policyThing(organization string) access.Thing {
	return access.Thing{Kind: "policy", ID: org.PolicyID(organization), Org: organization, Branch: organization}
}

// Breaking is a deployment that breaks the sharing policy.
type Breaking struct {
	Deployment string   `json:"deployment"`
	Name       string   `json:"name"`
	Survey     string   `json:"survey"`
	SurveyName string   `json:"survey_name"`
	Active     bool     `json:"active"`
	Breaches   []Breach `json:"breaches"`
}

// Breaking lists the deployments of an organization that break its policy, those
// that were accepted too; who may change the policy may see it.
func (s *Service) Breaking(ctx context.Context, actor ledger.Actor, organization string) ([]Breaking, error) {
	found := []Breaking{}
	err := s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		found = found[:0]
		if err := access.Require(r, actor, access.Edit, policyThing(organization)); err != nil {
			return err
		}
		j, err := newJudge(r, organization)
		if err != nil {
			return err
		}
		surveys, err := Surveys.List(r, "n.org = $1 ORDER BY n.name, n.id", organization)
		if err != nil {
			return err
		}
		for _, survey := range surveys {
			f, err := Forms.Get(r, survey.Body.Form)
			if err != nil {
				return err
			}
			if len(f.Body.Schema.Classified()) == 0 {
				continue
			}
			deployments, err := Deployments.List(r, "n.survey = $1 ORDER BY n.name, n.id", survey.ID)
			if err != nil {
				return err
			}
			for _, d := range deployments {
				breaches, err := j.breaches(survey.ID, d.ID, d.Body, f.Body.Schema)
				if err != nil {
					return err
				}
				if len(breaches) > 0 {
					found = append(found, Breaking{d.ID, d.Body.Name, survey.ID, survey.Body.Name, d.Body.Active, breaches})
				}
			}
		}
		return nil
	})
	return found, err
}

// AcceptBreaches lets a deployment stay as it is although it breaks the policy. An
// admin of the organization may, with a reason and a fresh second factor; who comes
// to it later is not accepted.
func (s *Service) AcceptBreaches(ctx context.Context, actor ledger.Actor, deployment, reason string) (doc ledger.Doc[Deployment], err error) {
	if strings.TrimSpace(reason) == "" {
		return doc, fault.New(fault.Invalid, "policy.reason", "Accepting what breaks the policy needs a reason").At("/reason", "empty", "say why it must be so")
	}
	err = s.Ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		d, err := Deployments.Get(tx.Reader, deployment)
		if err != nil {
			return err
		}
		t, err := DeploymentThing(tx.Reader, d)
		if err == nil {
			err = access.Require(tx.Reader, actor, access.See, t)
		}
		if err == nil {
			err = access.Require(tx.Reader, actor, access.Edit, policyThing(d.Org))
		}
		if err == nil {
			err = access.Fresh(actor, tx.Now)
		}
		if err != nil {
			return err
		}
		survey, err := Surveys.Get(tx.Reader, d.Body.Survey)
		if err != nil {
			return err
		}
		f, err := Forms.Get(tx.Reader, survey.Body.Form)
		if err != nil {
			return err
		}
		j, err := newJudge(tx.Reader, d.Org)
		if err != nil {
			return err
		}
		found, err := j.breaches(survey.ID, d.ID, d.Body, f.Body.Schema)
		if err != nil {
			return err
		}
		doc, err = Deployments.Update(tx, deployment, 0, func(b *Deployment) error {
			b.Accepted = nil
			for _, one := range found {
				if !slices.Contains(b.Accepted, one.key()) {
					b.Accepted = append(b.Accepted, one.key())
				}
			}
			return nil
		})
		return err
	})
	return doc, err
}
