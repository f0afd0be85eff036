package access

import (
	"encoding/json"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
)

// ServerID is the id of the one thing of kind server: this server itself. Who
// runs it holds the role operator on it, by a grant.
const ServerID = "6b1f3c52-8d0e-5c7a-9a41-2f7d9e60b5a1"

// Operator is the role of server administrators.
const Operator = "operator"

// Server is this server as a thing. It belongs to no organization, and its rights
// reach into none.
func Server() Thing { return Thing{Kind: "server", ID: ServerID, Name: "itself"} }

// OperatorGrant is the grant that makes a person a server administrator.
func OperatorGrant(person string) Grant {
	return Grant{Thing: "server:" + ServerID, Principal: "person:" + person, Role: Operator}
}

// IsOperator tells whether a person is a server administrator.
func IsOperator(r *ledger.Reader, person string) (bool, error) {
	var one int
	return r.Row([]any{&one}, `SELECT 1 FROM access_grant n JOIN account a ON a.id = $1 AND a.state = 'active'
		WHERE n.kind = 'server' AND n.subject = '`+ServerID+`' AND n.role = 'operator' AND n.principal = 'person:' || $1`, person)
}

// KeepsOperator refuses when nobody would be left to administer the server without
// a grant, or without a person.
func KeepsOperator(tx *ledger.Tx, grant, person string) error {
	var left int
	if _, err := tx.Row([]any{&left}, `SELECT count(*) FROM access_grant n JOIN account a ON n.principal = 'person:' || a.id
		WHERE n.kind = 'server' AND n.subject = '`+ServerID+`' AND n.role = 'operator' AND a.state = 'active' AND n.id <> $1 AND a.id <> $2`, grant, person); err != nil {
		return err
	}
	if left == 0 {
		return fault.New(fault.Conflict, "server.last-operator", "This is the last server administrator").
			WithMend("Make another person a server administrator first")
	}
	return nil
}

// Visiting refuses who is in an organization under break-glass: he gives himself
// nothing that outlasts the visit.
func Visiting(tx *ledger.Tx, org string) error {
	is, err := visitor(tx, org)
	if err == nil && is {
		err = fault.New(fault.Denied, "membership.visitor", "Who visits under break-glass cannot make himself stay").WithMend("Ask an admin of the organization")
	}
	return err
}

// Deciding refuses who is in an organization under break-glass what its own people
// decide: who its admins are, and what is erased for good.
func Deciding(tx *ledger.Tx, org string) error {
	is, err := visitor(tx, org)
	if err == nil && is {
		err = fault.New(fault.Denied, "membership.visitor", "Who visits under break-glass makes no admins and decides about no erasure").WithMend("Ask an admin of the organization")
	}
	return err
}

// visitor tells whether the transaction's actor is in an organization under break-glass.
func visitor(tx *ledger.Tx, org string) (bool, error) {
	if tx.Actor.Kind != "account" || org == "" {
		return false, nil
	}
	var one int
	return tx.Row([]any{&one}, "SELECT 1 FROM membership WHERE org = $1 AND person = $2 AND until > 0", org, tx.Actor.ID)
}

func (g Grant) onServer() bool { return strings.HasPrefix(g.Thing, "server:") }

// checkOperator is the rule for grants on the server: to persons only, and one is always left.
func checkOperator(tx *ledger.Tx, before, after *ledger.Doc[Grant]) error {
	if after == nil {
		return KeepsOperator(tx, before.ID, "")
	}
	if !strings.HasPrefix(after.Body.Principal, "person:") {
		return fault.New(fault.Invalid, "access_grant.principal", "Only a person administers a server").
			At("/principal", "not a person", "person:<id>")
	}
	return nil
}

func init() {
	kinds.Lock()
	defer kinds.Unlock()
	if kinds.byName == nil {
		kinds.byName = map[string]kind{}
	}
	// No document, so nothing of it can be listed or undone; a grant on it is described as it.
	kinds.byName["server"] = kind{secret: true, current: func(_ *ledger.Reader, id string) (Thing, error) {
		if id != ServerID {
			return Thing{}, missing("server")
		}
		return Server(), nil
	}, of: func(*ledger.Reader, string, string, json.RawMessage) (Thing, error) {
		return Thing{}, missing("server")
	}}
}
