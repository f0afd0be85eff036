package account

import (
	"context"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// What a provider's word on second factors counts for.
const (
	FactorOwn = "own" // nothing: people show one of this server
	FactorAMR = "amr" // when it says that it asked for several (amr: mfa)
	FactorAll = "all" // always: it never lets anybody in without

	providerPurpose = "provider secrets"
	maxDomains      = 20
)

// SignInProvider is an OpenID Connect provider that signs an organization's people in.
type SignInProvider struct {
	Name     string   `json:"name" doc:"as the sign-in page calls it"`
	Issuer   string   `json:"issuer"`
	Client   string   `json:"client"`
	Secret   []byte   `json:"secret,omitempty"` // sealed by the vault, bound to the organization
	Domains  []string `json:"domains" doc:"of e-mail addresses; proved to be the organization's"`
	Factor   string   `json:"factor" enum:"own,amr,all"`
	Create   bool     `json:"create,omitempty" doc:"people who are new get an account and a membership"`
	Branch   string   `json:"branch,omitempty"`
	Group    string   `json:"group,omitempty" enum:",viewers,members,managers"`
	Required bool     `json:"required,omitempty" doc:"the passwords of people with such an address, who are no admins, open nothing; their passkeys do"`
}

// SignInProviders is the noun of providers; an organization has one at most.
var SignInProviders = ledger.Noun[SignInProvider]{
	Name: "sign_in_provider",
	Table: &ledger.Table[SignInProvider]{
		Columns: []ledger.Column{{Name: "domains", Type: ledger.Text}},
		Row:     func(d ledger.Doc[SignInProvider]) []any { return []any{access.ListText(d.Body.Domains)} },
	},
	Check: func(tx *ledger.Tx, _, after *ledger.Doc[SignInProvider]) error {
		// Who says who people are is changed with a second factor, by an undo too.
		if err := access.Fresh(tx.Actor, tx.Now); err != nil || after == nil {
			return err
		}
		if err := access.Visiting(tx, after.Org); err != nil {
			return err
		}
		if err := after.Body.check(); err != nil {
			return err
		}
		for _, domain := range after.Body.Domains { // an undo obeys it too
			var other string
			found, err := tx.Row([]any{&other}, "SELECT id FROM sign_in_provider n WHERE n.domains LIKE '% ' || $1 || ' %' AND n.id <> $2", domain, after.ID)
			if err != nil {
				return err
			}
			if found {
				return fault.Newf(fault.Conflict, "provider.taken", "%s is another organization's already", domain).At("/domains", "taken", "ask the server's administrator")
			}
		}
		return nil
	},
}

var _ = access.Register(&SignInProviders, access.Columns{Branch: "org"}, func(_ *ledger.Reader, d ledger.Doc[SignInProvider]) (access.Thing, error) {
	return access.Thing{Branch: d.Org, Name: d.Body.Name}, nil
}, access.Rule{Kind: "sign_in_provider", Who: []string{"admins"}, May: []access.Verb{access.See, access.Create, access.Edit, access.Delete}})

// ProviderLink says whom a provider means by a subject.
type ProviderLink struct {
	Account string `json:"account"`
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}

// ProviderLinks is the noun of links. They belong to the server.
var ProviderLinks = ledger.Noun[ProviderLink]{
	Name:   "provider_link",
	Secret: true,
	Table: &ledger.Table[ProviderLink]{
		Columns: []ledger.Column{{Name: "issuer", Type: ledger.Text}, {Name: "subject", Type: ledger.Text}, {Name: "account", Type: ledger.Text}},
		Unique:  [][]string{{"issuer", "subject"}, {"issuer", "account"}},
		Row:     func(d ledger.Doc[ProviderLink]) []any { return []any{d.Body.Issuer, d.Body.Subject, d.Body.Account} },
	},
}

func providerID(organization string) string {
	namespace, err := uuid.Parse(organization)
	if err != nil {
		namespace = uuid.NameSpaceOID
	}
	return uuid.NewSHA1(namespace, []byte("sign-in provider")).String()
}

var domainName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])$`)

func (p SignInProvider) check() error {
	wrong := func(place, message, mend string) error {
		return fault.New(fault.Invalid, "provider"+strings.ReplaceAll(place, "/", "."), message).At(place, message, mend)
	}
	if n := utf8.RuneCountInString(p.Name); n < 1 || n > 60 {
		return wrong("/name", "A provider's name has 1 to 60 characters", "as people know it")
	}
	u, err := url.Parse(p.Issuer)
	if err != nil || len(p.Issuer) > 300 || u.RawQuery != "" || u.Fragment != "" {
		return wrong("/issuer", "This is no issuer", "an HTTPS address without query")
	}
	if err := secureURL(u, true); err != nil { // what may be reached is decided when it is
		return err
	}
	if p.Client == "" || len(p.Client) > 300 {
		return wrong("/client", "The client id is missing", "as the provider gives it")
	}
	if len(p.Domains) < 1 || len(p.Domains) > maxDomains {
		return wrong("/domains", "A provider needs 1 to 20 domains", "those of your people's e-mail addresses")
	}
	for _, d := range p.Domains {
		if len(d) > 200 || !domainName.MatchString(d) {
			return wrong("/domains", "A domain is written like example.org", "small letters, without @")
		}
	}
	if !slices.Contains([]string{FactorOwn, FactorAMR, FactorAll}, p.Factor) {
		return wrong("/factor", "A provider's second factor is own, amr or all", "own, when in doubt")
	}
	if p.Create && (p.Branch == "" || !slices.Contains([]string{"viewers", "members", "managers"}, p.Group)) {
		return wrong("/group", "New people become viewers, members or managers of a branch", "never admins")
	}
	return nil
}

// ProviderView is a provider as admins see and send it.
type ProviderView struct {
	Name     string   `json:"name" maxLength:"60"`
	Issuer   string   `json:"issuer" maxLength:"300"`
	Client   string   `json:"client" maxLength:"300"`
	Secret   string   `json:"secret,omitempty" maxLength:"1000" doc:"never shown; left out: it stays"`
	Domains  []string `json:"domains" maxItems:"20"`
	Factor   string   `json:"factor" enum:"own,amr,all"`
	Create   bool     `json:"create"`
	Branch   string   `json:"branch,omitempty"`
	Group    string   `json:"group,omitempty" enum:",viewers,members,managers"`
	Required bool     `json:"required"`
}

// ProviderOf reads an organization's provider; its admins may. Without one it is empty.
func (s *Service) ProviderOf(ctx context.Context, actor ledger.Actor, organization string) (ProviderView, error) {
	var v ProviderView
	err := s.ledger.Read(ctx, func(r *ledger.Reader) error {
		if err := access.Require(r, actor, access.See, access.Thing{Kind: "sign_in_provider", ID: providerID(organization), Org: organization, Branch: organization}); err != nil {
			return err
		}
		d, err := SignInProviders.Get(r, providerID(organization))
		if fault.KindOf(err) == fault.NotFound {
			d.Body, err = SignInProvider{Domains: []string{}, Factor: FactorOwn}, nil
		}
		b := d.Body
		v = ProviderView{b.Name, b.Issuer, b.Client, "", b.Domains, b.Factor, b.Create, b.Branch, b.Group, b.Required}
		return err
	})
	return v, err
}

// SetProvider sets an organization's provider up. It is asked who it is, and each
// domain must have been proved, before anything is kept.
func (s *Service) SetProvider(ctx context.Context, actor ledger.Actor, organization string, v ProviderView) error {
	id := providerID(organization)
	thing := access.Thing{Kind: "sign_in_provider", Org: organization, Branch: organization}
	may := func(r *ledger.Reader) error {
		err := access.Require(r, actor, access.Create, thing)
		if err == nil {
			err = access.Fresh(actor, s.ledger.Now())
		}
		return err
	}
	if err := s.ledger.Read(ctx, may); err != nil { // before anybody is asked outside
		return err
	}
	p := SignInProvider{Name: strings.TrimSpace(v.Name), Issuer: v.Issuer, Client: v.Client, Domains: v.Domains, Factor: v.Factor, Create: v.Create, Branch: v.Branch, Group: v.Group, Required: v.Required}
	if v.Secret != "" {
		p.Secret = s.vault.Seal(providerPurpose, []byte(v.Secret), []byte(organization))
	}
	if err := p.check(); err != nil {
		return err
	}
	for _, domain := range p.Domains {
		proven, err := s.provenDomain(ctx, organization, domain)
		if err != nil || !proven {
			return fault.Newf(fault.Invalid, "provider.domain", "%s is not proved to be your organization's", domain).Because(err).
				At("/domains", "no TXT record at _qanat."+domain, "put "+DomainProof(organization)+" there, wait some minutes, try again")
		}
	}
	if _, err := s.discover(ctx, p.Issuer); err != nil {
		return err
	}
	return s.ledger.Write(ctx, actor, "sign-in provider set up", func(tx *ledger.Tx) error {
		if err := may(tx.Reader); err != nil {
			return err
		}
		if p.Create {
			var one int
			found, err := tx.Row([]any{&one}, "SELECT 1 FROM branch WHERE id = $1 AND org = $2", p.Branch, organization)
			if err == nil && !found {
				err = fault.New(fault.Invalid, "provider.branch", "There is no such branch here").At("/branch", "unknown", "choose a branch of the organization")
			}
			if err != nil {
				return err
			}
		}
		_, err := SignInProviders.Update(tx, id, 0, func(was *SignInProvider) error {
			secret := was.Secret
			if v.Secret != "" {
				secret = p.Secret
			} else if was.Issuer != p.Issuer || was.Client != p.Client {
				secret = nil // it was meant for another
			}
			*was = p
			was.Secret = secret
			return nil
		})
		if fault.KindOf(err) == fault.NotFound {
			_, err = SignInProviders.Create(tx, organization, id, p)
		}
		return err
	})
}

// RemoveProvider ends the sign-in by the provider. Links stay; they lead nowhere.
func (s *Service) RemoveProvider(ctx context.Context, actor ledger.Actor, organization string) error {
	return s.ledger.Write(ctx, actor, "sign-in provider removed", func(tx *ledger.Tx) error {
		if err := requireOn(tx, "sign_in_provider", providerID(organization), access.Delete); err != nil {
			return err
		}
		if err := access.Fresh(actor, tx.Now); err != nil {
			return err
		}
		return SignInProviders.Delete(tx, providerID(organization), 0)
	})
}

// providerFor finds the provider of an address by its domain.
func providerFor(r *ledger.Reader, email string) (ledger.Doc[SignInProvider], bool, error) {
	_, domain, _ := strings.Cut(Normal(email), "@")
	if !domainName.MatchString(domain) {
		return ledger.Doc[SignInProvider]{}, false, nil
	}
	found, err := SignInProviders.List(r, "n.domains LIKE '% ' || $1 || ' %'", domain)
	if err != nil || len(found) == 0 {
		return ledger.Doc[SignInProvider]{}, false, err
	}
	return found[0], true, nil
}

// byProviderOnly refuses a password to people whose organization wants them to
// come in by its provider. Admins keep their password, for the day it fails.
func (s *Service) byProviderOnly(ctx context.Context, a ledger.Doc[Account]) error {
	return s.ledger.Read(ctx, func(r *ledger.Reader) error {
		p, found, err := providerFor(r, a.Body.Email)
		if err != nil || !found || !p.Body.Required {
			return err
		}
		var member, admin int
		if _, err := r.Row([]any{&member, &admin}, "SELECT count(*), sum(CASE WHEN standing = 'admins' THEN 1 ELSE 0 END) FROM membership WHERE person = $1 AND org = $2 HAVING count(*) > 0", a.ID, p.Org); err != nil {
			return err
		}
		if member == 0 || admin > 0 {
			return nil
		}
		return fault.Newf(fault.Denied, "provider.required", "Your organization signs you in by %s", p.Body.Name).WithMend("Choose it on the sign-in page")
	})
}
