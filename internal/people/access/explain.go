package access

import (
	"fmt"
	"strings"

	"github.com/qanat-water/qanat/internal/ledger"
)

// explain says in words how a role is held.
func (s *Set) explain(r *ledger.Reader, h heldRole) (string, error) {
	who, err := newTeller(r).principal(s, principalOf(s))
	if s.Person != "" {
		who, err = nameOf(r, "person:"+s.Person)
	}
	if err != nil {
		return "", err
	}
	switch h.via {
	case "self":
		return "the " + h.on + " is this device itself", nil
	case "own":
		return fmt.Sprintf("the %s is %s's own", h.on, who), nil
	case "everyone":
		return who + " has an account on this server", nil
	case "people":
		org, err := branchName(r, h.at)
		return fmt.Sprintf("%s belongs to %s", who, org), err
	case "membership":
		path, err := s.path(r, h.m.branch)
		if err != nil {
			return "", err
		}
		group := h.m.group
		if strings.HasPrefix(group, "team:") {
			if group, err = nameOf(r, group); err != nil {
				return "", err
			}
		}
		if h.m.branch == h.at {
			return fmt.Sprintf("%s is in %s of %s, which manages the %s", who, group, path, h.on), nil
		}
		under, err := s.path(r, h.at)
		return fmt.Sprintf("%s is in %s of %s, whose rights reach down to %s, which manages the %s", who, group, path, under, h.on), err
	}
	to, err := nameOf(r, h.by)
	if err != nil {
		return "", err
	}
	role := h.role[strings.LastIndexByte(h.role, '.')+1:]
	given := fmt.Sprintf("%s on the %s is granted to %s", role, h.on, to)
	if h.via == "list" {
		given = fmt.Sprintf("the %s lists %s as %s", h.on, to, role)
	}
	if h.by == s.principal {
		return given, nil
	}
	return fmt.Sprintf("%s, and %s is one of them", given, who), nil
}

// path is a branch's name with those above it, organization first.
func (s *Set) path(r *ledger.Reader, branch string) (string, error) {
	line, err := s.line(r, branch)
	if err != nil {
		return "", err
	}
	names := make([]string, len(line))
	for i, id := range line {
		if names[len(line)-1-i], err = branchName(r, id); err != nil {
			return "", err
		}
	}
	return strings.Join(names, " > "), nil
}

func branchName(r *ledger.Reader, branch string) (string, error) {
	name := "a removed branch"
	_, err := r.Row([]any{&name}, "SELECT name FROM branch WHERE id = $1", branch)
	return name, err
}

// nameOf is a principal in words.
func nameOf(r *ledger.Reader, principal string) (string, error) {
	kind, rest, _ := strings.Cut(principal, ":")
	switch kind {
	case "everyone":
		return "everyone", nil
	case "person":
		name := "a removed person"
		_, err := r.Row([]any{&name}, "SELECT name FROM account WHERE id = $1", rest)
		return name, err
	case "team":
		name := "a removed team"
		_, err := r.Row([]any{&name}, "SELECT name FROM team WHERE id = $1", rest)
		return "team " + name, err
	case "branch":
		name, err := branchName(r, rest)
		return "everybody in " + name, err
	case "group":
		branch, group, _ := strings.Cut(rest, "/")
		name, err := branchName(r, branch)
		return group + " of " + name, err
	}
	return principal, nil
}
