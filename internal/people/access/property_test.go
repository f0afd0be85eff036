package access_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/id"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
	"github.com/qanat-water/qanat/internal/people/account"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

var ctx = context.Background()

// Whatever the organizations, memberships, tokens, workspaces, lists and grants are:
// what the list filter shows is exactly what the decision function allows,
// Require agrees with Decide, every decision has its reasons, and the picture in
// memory says the same as SQL.
func TestDecideIsVisible(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		st := open()
		w := peopletest.New(t, st, nouns...)
		if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
			defer checks.Value.Set(checks.DefValue)
			n := "20"
			if st.Engine() == store.Postgres {
				n = "5" // a round trip for each question
			}
			checks.Value.Set(n)
		}
		decisions, allowed := 0, 0
		rapid.Check(t, func(t *rapid.T) {
			s := draw(t, w.Ledger)
			w.Clock.Advance(time.Hour)
			said := map[question]bool{}
			err := w.Ledger.Read(ctx, func(r *ledger.Reader) error { return s.compare(t, r, said) })
			if err != nil {
				t.Fatal(fault.Cause(err))
			}
			for _, is := range said {
				decisions++
				if is {
					allowed++
				}
			}
			s.compareSQL(t, w.Ledger, said)
		})
		if allowed == 0 || allowed == decisions {
			t.Errorf("%d of %d decisions allowed: the scenes are too plain", allowed, decisions)
		}
		t.Logf("%d decisions, %d of them allowed", decisions, allowed)
	})
}

// question is one that was asked.
type question struct {
	actor    ledger.Actor
	verb     access.Verb
	kind, id string
}

var askedVerbs = []access.Verb{access.See, access.Edit, access.Submit, access.Delete}

// compare asks everything in all ways, and keeps the answers.
func (s *scene) compare(t *rapid.T, r *ledger.Reader, said map[question]bool) error {
	for kind, ids := range s.kindsOf {
		things := map[string]access.Thing{}
		for _, id := range ids {
			thing, err := access.Describe(r, kind, id)
			if err != nil {
				return err
			}
			things[id] = thing
		}
		for _, actor := range s.actors {
			set, err := access.Principals(r, actor)
			if err != nil {
				return err
			}
			for _, verb := range askedVerbs {
				listed, where, err := listed(r, set, kind, verb)
				if err != nil {
					return err
				}
				if err := sameParts(r, set, kind, verb, listed); err != nil {
					t.Fatalf("%s %s: %s", actor.Kind, actor.ID, err)
				}
				for id, thing := range things {
					d, err := access.Decide(r, actor, verb, thing)
					if err != nil {
						return err
					}
					said[question{actor, verb, kind, id}] = d.Allowed
					if len(d.Why) == 0 {
						t.Fatalf("a decision without reasons: %s on %s", actor.Kind, kind)
					}
					// What depends on the stage that a response waits at is no question for a list.
					if is := slices.Contains(listed, id); is != d.Allowed {
						t.Fatalf("%s %s on %s %s: %s: listed is %v, decided %v because %q\n%s", actor.Kind, actor.ID, kind, id, verb, is, d.Allowed, d.Why, where)
					}
					required := access.Require(r, actor, verb, thing)
					seen := said[question{actor, access.See, kind, id}]
					if (required == nil) != d.Allowed || required != nil && (fault.KindOf(required) == fault.Denied) != seen {
						t.Fatalf("%s on %s: %s decided %v, seen %v, required %v", actor.Kind, kind, verb, d.Allowed, seen, required)
					}
				}
			}
		}
	}
	return nil
}

// sameParts is nil when the parts of a list filter give what it gives, each row once.
func sameParts(r *ledger.Reader, set *access.Set, kind string, verb access.Verb, listed []string) error {
	parts, args, err := set.Parts(kind, verb)
	if err != nil {
		return err
	}
	var all []string
	for _, p := range parts {
		rows := r.Query("SELECT n.id FROM "+p.From+" WHERE "+p.Where, args...)
		for rows.Next() {
			var id string
			rows.Scan(&id)
			all = append(all, id)
		}
		if err := rows.Close(); err != nil {
			return fmt.Errorf("%s: %w", p.Where, err)
		}
	}
	if whole := slices.Sorted(slices.Values(listed)); !slices.Equal(slices.Sorted(slices.Values(all)), whole) {
		return fmt.Errorf("%s: the parts %v of a list of %s give %d rows, the whole %d", verb, parts, kind, len(all), len(whole))
	}
	return nil
}

// listed are the ids of a kind that the list filter lets through.
func listed(r *ledger.Reader, set *access.Set, kind string, verb access.Verb) (ids []string, where string, err error) {
	where, args, err := set.Visible(kind, verb)
	if err != nil {
		return nil, where, err
	}
	rows := r.Query("SELECT n.id FROM "+kind+" n WHERE "+where, args...)
	for rows.Next() {
		var id string
		rows.Scan(&id)
		ids = append(ids, id)
	}
	if err := rows.Close(); err != nil {
		return nil, where, fmt.Errorf("%s: %w", where, err)
	}
	return ids, where, nil
}

// compareSQL asks again where the picture does not count: in a transaction that
// has itself changed who there is.
func (s *scene) compareSQL(t *rapid.T, l *ledger.Ledger, said map[question]bool) {
	no := errors.New("nothing is kept")
	err := l.Write(ctx, peopletest.System, "", func(tx *ledger.Tx) error {
		if _, err := account.Create(tx, id.New()+"@example.org", "Newly come", account.Hashed{}); err != nil {
			return err
		}
		for q, is := range said {
			if q.verb == access.Edit && len(said) > 3000 {
				continue
			}
			thing, err := access.Describe(tx.Reader, q.kind, q.id)
			if err != nil {
				return err
			}
			if by := access.Require(tx.Reader, q.actor, q.verb, thing); (by == nil) != is {
				t.Fatalf("%s %s: %s on %s %s: SQL says %v, the picture %v", q.actor.Kind, q.actor.ID, q.verb, q.kind, q.id, by, is)
			}
		}
		return no
	})
	if !errors.Is(err, no) {
		t.Fatal(fault.Cause(err))
	}
}
