package activity

import (
	"context"
	"unicode/utf8"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// AccessRecord says that something was read, shown or refused that an
// organization should know of though no document of its changed.
type AccessRecord struct {
	What   string `json:"what" doc:"in few words: activity exported, sign-in link, sessions ended, refused"`
	Thing  string `json:"thing,omitempty" doc:"kind:id of what it was about"`
	Detail string `json:"detail,omitempty" doc:"what of it: the filter, the number it began after"`
}

// Records is the noun of access records. Each belongs to the organization it is
// for, and stays as it was made.
var Records = ledger.Noun[AccessRecord]{
	Name: "access_record",
	Check: func(_ *ledger.Tx, before, after *ledger.Doc[AccessRecord]) error {
		if before != nil || after == nil {
			return fault.New(fault.Denied, "access_record.stays", "What was read stays written down")
		}
		if n := utf8.RuneCountInString(after.Body.What); n < 1 || n > 100 || len(after.Body.Thing) > 100 || len(after.Body.Detail) > 2000 {
			return fault.New(fault.Invalid, "access_record.size", "An access record is short").WithMend("Write less")
		}
		return nil
	},
}

// Nouns are the nouns of this package, for ledger.Config.
func Nouns() []ledger.Kind { return []ledger.Kind{&Records} }

// Who may see an organization's activity sees its access records.
var _ = access.Register(&Records, access.Columns{}, func(_ *ledger.Reader, d ledger.Doc[AccessRecord]) (access.Thing, error) {
	return access.Thing{Kind: "activity", ID: d.Org, Org: d.Org, Branch: d.Org, Name: d.Body.What}, nil
})

// Record writes down that something was read or shown, inside a transaction.
func Record(tx *ledger.Tx, org string, r AccessRecord) error {
	_, err := Records.Create(tx, org, "", r)
	return err
}

// Refused writes down that an actor was refused what he tried to do, in every
// organization that he belongs to, or in that of the token.
func (s *Service) Refused(ctx context.Context, actor ledger.Actor, what string) error {
	return s.Ledger.Write(ctx, actor, "", func(tx *ledger.Tx) error {
		var orgs []string
		query := "SELECT DISTINCT org FROM membership WHERE person = $1 ORDER BY org"
		if actor.Kind == "token" {
			query = "SELECT org FROM token WHERE id = $1"
		}
		rows := tx.Query(query, actor.ID)
		for rows.Next() {
			var org string
			rows.Scan(&org)
			orgs = append(orgs, org)
		}
		if err := rows.Close(); err != nil {
			return err
		}
		for _, org := range orgs {
			if err := Record(tx, org, AccessRecord{What: "refused", Detail: what}); err != nil {
				return err
			}
		}
		return nil
	})
}
