package erasure

import (
	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/field/response"
	"github.com/qanat-water/qanat/internal/field/site"
	"github.com/qanat-water/qanat/internal/field/survey"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/org"
)

// targets are the documents that go with a subject, in the order in which they
// can be deleted, and what people call it.
func targets(r *ledger.Reader, organization, kind, subject string) (all []Target, title string, err error) {
	switch kind {
	case "site":
		d, err := site.Sites.Get(r, subject)
		if err != nil || d.Org != organization {
			return nil, "", missing(err, site.Sites.NotFound())
		}
		if title = d.Body.Name; title == "" {
			title = d.Body.Code
		}
		return []Target{{subject, "site", true}}, title, nil
	case "response":
		d, err := response.Responses.Get(r, subject)
		if err != nil || d.Org != organization {
			return nil, "", missing(err, response.Responses.NotFound())
		}
		all = append(all, Target{subject, "response", true})
		if d.Body.Submission != "" {
			all = append(all, Target{d.Body.Submission, "submission", true})
		}
		return all, d.Body.Name, nil
	case "submission":
		d, err := response.Submissions.Get(r, subject)
		if err != nil || d.Org != organization {
			return nil, "", missing(err, response.Submissions.NotFound())
		}
		if d.Body.Response != "" {
			if _, err := response.Responses.Get(r, d.Body.Response); err == nil {
				return nil, "", fault.New(fault.Conflict, "erasure.response", "A response was made of this submission").WithMend("Erase the response: the submission goes with it")
			}
		}
		return []Target{{subject, "submission", true}}, d.Body.InstanceID, nil
	case "person":
		return person(r, organization, subject)
	}
	return nil, "", fault.Newf(fault.Invalid, "erasure.kind", "%.40q cannot be erased", kind).At("/kind", "unknown", "person, response, site or submission")
}

func missing(err, none error) error {
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return err
	}
	return none
}

// person is all documents that are about a person, when he belongs to no other organization.
func person(r *ledger.Reader, organization, subject string) (all []Target, title string, err error) {
	a, err := account.Accounts.Get(r, subject)
	if err != nil {
		return nil, "", missing(err, account.Accounts.NotFound())
	}
	held, err := org.Memberships.List(r, "n.person = $1 ORDER BY n.id", subject)
	if err != nil {
		return nil, "", err
	}
	here := false
	for _, m := range held {
		if m.Org != organization {
			return nil, "", fault.New(fault.Conflict, "erasure.elsewhere", "This person belongs to another organization too").
				WithMend("Take the person out of your organization; the last organization that is left can erase")
		}
		here = true
	}
	if !here {
		return nil, "", account.Accounts.NotFound()
	}
	phones, err := survey.Phones.List(r, "n.account = $1 ORDER BY n.id", subject)
	if err != nil {
		return nil, "", err
	}
	for _, d := range phones {
		all = append(all, Target{d.ID, "phone", true})
	}
	invitations, err := org.Invitations.List(r, "n.org = $1 ORDER BY n.id", organization)
	if err != nil {
		return nil, "", err
	}
	for _, d := range invitations {
		if d.Body.UsedBy == subject || d.Body.Account == subject || account.Normal(d.Body.Email) == a.Body.Email {
			all = append(all, Target{d.ID, "invitation", true})
		}
	}
	for _, m := range held { // behind the phones, which stand on them when they come back
		all = append(all, Target{m.ID, "membership", true})
	}
	for _, of := range [][2]string{{"security_event", "account"}, {"passkey", "account"}, {"provider_link", "account"}, {"join_request", "person"}, {"session", "account"}} {
		noun := of[0]
		if !r.Has(noun) {
			continue
		}
		rows := r.Query("SELECT id FROM "+noun+" WHERE "+of[1]+" = $1 ORDER BY id", subject)
		for rows.Next() {
			t := Target{Kind: noun, Back: noun != "session"}
			rows.Scan(&t.ID)
			all = append(all, t)
		}
		if err := rows.Close(); err != nil {
			return nil, "", err
		}
	}
	// What the person's sessions said before they ended, and the key to the account.
	rows := r.Query("SELECT DISTINCT e.doc FROM entry e JOIN document d ON d.id = e.doc WHERE e.kind = 'session' AND e.actor = $1 AND d.body IS NULL AND d.key IS NOT NULL ORDER BY e.doc", subject)
	for rows.Next() {
		t := Target{Kind: "session"}
		rows.Scan(&t.ID)
		all = append(all, t)
	}
	if err := rows.Close(); err != nil {
		return nil, "", err
	}
	all = append(all, Target{account.CredentialID(subject), "credential", true}, Target{subject, "account", true})
	return all, a.Body.Name, nil
}

// mayAsk tells whether the actor is a person who may order, or confirm, erasures
// in an organization.
func mayAsk(r *ledger.Reader, actor ledger.Actor, verb access.Verb, organization string) error {
	if actor.Kind != "account" {
		return fault.New(fault.Denied, "erasure.person", "Only people order erasures").WithMend("Sign in to the portal")
	}
	t := thing(organization)
	if verb != access.Create {
		t.ID = organization
	}
	return access.Require(r, actor, verb, t)
}
