package main

import (
	"context"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/server"
)

// adminCall is what 'qanat admin' asks of a house, its own or the running one.
type adminCall struct {
	Do          string `json:"do"`
	Email       string `json:"email,omitempty"`
	Name        string `json:"name,omitempty"`
	Text        string `json:"text,omitempty"`
	After       string `json:"after,omitempty"`
	Reason      string `json:"reason,omitempty"`
	Group       string `json:"group,omitempty"`
	Hours       int    `json:"hours,omitempty"`
	ResetFactor bool   `json:"reset_factor,omitempty"`
}

type accountPage struct {
	Items []server.Account `json:"items"`
	Next  string           `json:"next"`
}

type endedSessions struct {
	Name  string `json:"name"`
	Ended int    `json:"ended"`
}

// shownLink is a one-time link; it is shown once and kept nowhere.
type shownLink struct {
	Name  string `json:"name"`
	ID    string `json:"id,omitempty"`
	URL   string `json:"url,omitempty"` // of the server, as it is configured
	Token string `json:"token"`
}

func (l shownLink) at(url string) string {
	for _, u := range []string{url, l.URL, "https://localhost:8443"} {
		if u != "" {
			return strings.TrimSuffix(u, "/") + "/welcome#" + l.Token
		}
	}
	return ""
}

// administer does what was asked. Whoever runs this command on the machine, as the
// server's own user, is the server itself.
func (h *house) administer(ctx context.Context, c adminCall) (any, error) {
	actor := ledger.Actor{Kind: "system", Name: "qanat admin", Door: "cli"}
	s := h.server
	person := func() (server.Account, error) { return s.AccountOf(ctx, actor, c.Email) }
	switch c.Do {
	case "list":
		return s.Administrators(ctx, actor)
	case "add":
		return s.AddAdministrator(ctx, actor, c.Email)
	case "remove":
		p, err := person()
		if err == nil {
			err = s.RemoveAdministrator(ctx, actor, p.ID)
		}
		return p.Person, err
	case "accounts":
		found, next, err := s.ListAccounts(ctx, actor, server.Search{Text: c.Text, After: c.After})
		return accountPage{found, next}, err
	case "disable", "enable", "end-sessions", "sign-in-link":
		p, err := person()
		if err != nil {
			return nil, err
		}
		return h.administerAccount(ctx, actor, c, p)
	case "organizations":
		return s.Organizations(ctx, actor)
	case "create-organization":
		if c.Name == "" {
			c.Name, _, _ = strings.Cut(account.Normal(c.Email), "@")
		}
		id, token, err := s.CreateOrganization(ctx, actor, c.Text, c.Name, c.Email)
		return shownLink{Name: c.Name, ID: id, URL: s.URL, Token: token.Text}, err
	case "break-glass":
		p, err := person()
		if err != nil {
			return nil, err
		}
		organization, err := s.HasOrganization(ctx, actor, c.Text)
		if err != nil {
			return nil, err
		}
		made, err := s.BreakGlass(ctx, actor, p.ID, server.Entering{Organization: organization, Group: c.Group, Reason: c.Reason, Hours: c.Hours})
		return made.Body, err
	case "health":
		return s.Health(ctx, actor)
	}
	return nil, fault.Newf(fault.Invalid, "admin.unknown", "The running server does not know %.40q", c.Do).WithMend("Use the same version of qanat as the server")
}

func (h *house) administerAccount(ctx context.Context, actor ledger.Actor, c adminCall, p server.Account) (any, error) {
	switch c.Do {
	case "disable":
		return h.server.Disable(ctx, actor, p.ID, c.Reason)
	case "enable":
		return h.server.Enable(ctx, actor, p.ID, c.Reason)
	case "end-sessions":
		ended, err := h.server.EndSessions(ctx, actor, p.ID, c.Reason)
		return endedSessions{p.Name, ended}, err
	}
	token, err := h.server.SignInLink(ctx, actor, p.ID, c.ResetFactor, c.Reason)
	return shownLink{Name: p.Name, URL: h.server.URL, Token: token.Text}, err
}
