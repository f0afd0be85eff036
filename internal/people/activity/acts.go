package activity

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// Query says which entries; what is empty asks nothing.
type Query struct {
	Org       string
	Kind      string
	Doc       string
	Actor     string // id of an account, token, device or phone
	ActorKind string // account, token, device, phone, system
	Verb      string
	Door      string
	Address   string // network address, or how it begins
	Text      string // in the reason
	Before    int64  // only what happened before the entry of this number
	Since     time.Time
	Until     time.Time
	Limit     int
}

// sealed tells whether entries must be opened to know whether they fit.
func (q Query) sealed() bool { return q.Address != "" || q.Text != "" }

// fits tells whether an opened entry has the address and reason that are asked for.
func (q Query) fits(e ledger.Entry) bool {
	return strings.HasPrefix(e.From, q.Address) && (q.Text == "" || strings.Contains(strings.ToLower(e.Reason), strings.ToLower(q.Text)))
}

// span is a query with its bounds as numbers of entries.
type span struct {
	Query
	first, last int64
}

func (q Query) bounded(r *ledger.Reader) (span, error) {
	first, last, err := r.Between(q.Since, q.Until)
	return span{q, first, last}, err
}

// where is the part of the query that headers answer, about the columns of table entry.
func (q span) where(args []any) (string, []any) {
	where := []string{}
	add := func(condition string, value any) {
		args = append(args, value)
		where = append(where, fmt.Sprintf(condition, len(args)))
	}
	add("org = $%d", q.Org)
	for _, c := range []struct{ condition, value string }{
		{"kind = $%d", q.Kind}, {"doc = $%d", q.Doc}, {"actor = $%d", q.Actor}, {"actor_kind = $%d", q.ActorKind}, {"verb = $%d", q.Verb}, {"door = $%d", q.Door},
	} {
		if c.value != "" {
			add(c.condition, c.value)
		}
	}
	if q.first > 1 {
		add("number >= $%d", q.first)
	}
	add("number <= $%d", q.last)
	return strings.Join(where, " AND "), args
}

type candidate struct{ number, act int64 }

// candidates are the next entries, newest first, of acts that are not known yet;
// opened counts the entries that had to be opened for it, and next is where the
// following ones begin, 0 at the end.
func (q span) candidates(r *ledger.Reader, before int64, skip []int64) (found []candidate, next int64, opened int, err error) {
	if q.sealed() {
		return q.opened(r, before)
	}
	where, args := q.where(nil)
	if before != 0 {
		args = append(args, before)
		where += fmt.Sprintf(" AND number < $%d", len(args))
	}
	if len(skip) > 0 {
		marks := make([]string, len(skip))
		for i, act := range skip {
			args = append(args, act)
			marks[i] = fmt.Sprintf("$%d", len(args))
		}
		where += " AND act NOT IN (" + strings.Join(marks, ", ") + ")"
	}
	const most = 2000
	rows := r.Query(fmt.Sprintf(`SELECT max(number), act, min(number), count(*) FROM (SELECT number, act FROM entry WHERE %s ORDER BY number DESC LIMIT %d) c
		GROUP BY act ORDER BY max(number) DESC`, where, most), args...)
	oldest, count := int64(0), int64(0)
	for rows.Next() {
		var c candidate
		var least, n int64
		rows.Scan(&c.number, &c.act, &least, &n)
		found = append(found, c)
		if count += n; oldest == 0 || least < oldest {
			oldest = least
		}
	}
	if count == most {
		next = oldest
	}
	return found, next, 0, rows.Close()
}

// opened looks into sealed entries.
func (q span) opened(r *ledger.Reader, before int64) (found []candidate, next int64, opened int, err error) {
	const most = 500
	if before == 0 || before > q.last+1 {
		before = q.last + 1
	}
	entries, err := r.Entries(ledger.Filter{
		Orgs: []string{q.Org}, Kind: q.Kind, Doc: q.Doc, Actor: q.Actor, By: q.ActorKind, Verb: ledger.Verb(q.Verb), Door: q.Door,
		Before: before, After: q.first - 1, Limit: most,
	})
	for _, e := range entries {
		if q.fits(e) {
			found = append(found, candidate{e.Number, e.Act})
		}
	}
	if len(entries) == most {
		next = entries[most-1].Number
	}
	return found, next, len(entries), err
}

// Acts lists acts, newest first, and the cursor of the next page: 0 at the end.
func (s *Service) Acts(ctx context.Context, actor ledger.Actor, q Query) (acts []Act, next int64, err error) {
	limit := maxActs
	if q.Limit > 0 {
		limit = min(q.Limit, maxActs)
	}
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		eyes, err := look(r, actor, q.Org)
		if err != nil {
			return err
		}
		span, err := q.bounded(r)
		if err != nil {
			return err
		}
		acts, next, err = eyes.page(span, limit)
		return err
	})
	return acts, next, err
}

// page gathers acts until it is full, or enough was looked at.
func (e *eyes) page(q span, limit int) (acts []Act, next int64, err error) {
	before, looked, opened := q.Before, 0, 0
	var skip []int64
	for looked < maxLook && opened < maxOpened {
		found, more, read, err := q.candidates(e.r, before, skip)
		if err != nil {
			return nil, 0, err
		}
		opened += read
		var fresh []int64
		for _, c := range found {
			looked++
			if slices.Contains(skip, c.act) || slices.Contains(fresh, c.act) {
				continue
			}
			if len(acts)+len(fresh) == limit { // and there is another
				described, err := e.describe(q, fresh)
				return append(acts, described...), next, err
			}
			fresh = append(fresh, c.act)
			next = c.number
		}
		described, err := e.describe(q, fresh)
		if err != nil {
			return nil, 0, err
		}
		acts = append(acts, described...)
		skip = append(skip, fresh...)
		if more == 0 {
			return acts, 0, nil
		}
		before, next = more, more
	}
	return acts, next, nil
}

// describe tells of acts what they did in the organization, in the order given;
// those that may not be seen, or that were on an earlier page, are left out. What
// an act did elsewhere, such as making the account of somebody who joins, is no
// part of it here.
func (e *eyes) describe(q span, numbers []int64) ([]Act, error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	marks := make([]string, len(numbers))
	args := make([]any, len(numbers))
	for i, n := range numbers {
		marks[i], args[i] = fmt.Sprintf("$%d", i+1), n
	}
	args = append(args, e.org)
	org := fmt.Sprintf("$%d", len(args))
	// org || '' keeps the engine from the index by organization, which would read all of it.
	rows := e.r.Query(`SELECT act, kind, count(*), min(number), max(number)
		FROM entry WHERE act IN (`+strings.Join(marks, ", ")+`) AND org || '' = `+org+` GROUP BY act, kind`, args...)
	type extent struct{ oldest, newest int64 }
	found, extents := map[int64]*Act{}, map[int64]*extent{}
	for rows.Next() {
		var act, count, oldest, newest int64
		var kind string
		rows.Scan(&act, &kind, &count, &oldest, &newest)
		a, x := found[act], extents[act]
		if a == nil {
			a, x = &Act{Act: act, Kinds: map[string]int64{}}, &extent{oldest: oldest}
			found[act], extents[act] = a, x
		}
		a.Kinds[kind] = count
		a.Entries += count
		x.oldest, x.newest = min(x.oldest, oldest), max(x.newest, newest)
		a.Newest = x.newest
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	before, err := e.shown(q, marks, args[:len(numbers)])
	if err != nil {
		return nil, err
	}
	var wanted []int64
	for _, x := range extents {
		wanted = append(wanted, x.oldest, x.newest)
	}
	slices.Sort(wanted)
	entries, err := e.r.Numbered(slices.Compact(wanted))
	if err != nil {
		return nil, err
	}
	glasses, err := glassesOf(e.r, e.org)
	if err != nil {
		return nil, err
	}
	var newest []ledger.Entry
	for _, x := range extents {
		newest = append(newest, entries[x.newest].Entry)
	}
	undone, err := e.r.Undone(newest)
	if err != nil {
		return nil, err
	}
	var acts []Act
	for _, n := range numbers {
		a, x := found[n], extents[n]
		if a == nil || before[n] {
			continue
		}
		first := entries[x.oldest]
		a.Entry, a.Glass = first.Entry, glasses.over(first.Entry)
		content := first.After
		if a.Title = Title(content); a.Title == "" && first.Entry.Revision > 1 {
			_, before, _, err := e.r.Entry(x.oldest)
			if err != nil {
				return nil, err
			}
			if a.Title = Title(before); content == nil {
				content = before
			}
		}
		if a.Entries == 1 {
			if a.About, err = about(e.r, first.Entry.Kind, content); err != nil {
				return nil, err
			}
		}
		if ok, err := e.sees(a.Entry); err != nil {
			return nil, err
		} else if !ok {
			continue
		}
		a.Undone = undone[x.newest] != 0
		acts = append(acts, *a)
	}
	return acts, nil
}

// shown are those of the acts that were on an earlier page: something of theirs
// that fits is not older than where this page begins.
func (e *eyes) shown(q span, marks []string, acts []any) (map[int64]bool, error) {
	shown := map[int64]bool{}
	if q.Before == 0 {
		return shown, nil
	}
	where, args := q.where(slices.Clone(acts))
	args = append(args, q.Before)
	rows := e.r.Query(fmt.Sprintf(`SELECT DISTINCT act FROM entry WHERE act IN (%s) AND number >= $%d AND %s`,
		strings.Join(marks, ", "), len(args), strings.Replace(where, "org = ", "org || '' = ", 1)), args...)
	for rows.Next() {
		var act int64
		rows.Scan(&act)
		shown[act] = true
	}
	return shown, rows.Close()
}

// ActView is an act with some of its entries.
type ActView struct {
	Act     Act      `json:"act"`
	Entries []Detail `json:"entries" doc:"oldest first"`
	Next    int64    `json:"next" doc:"to go on after; 0: these are the last"`
}

const maxDetails = 50

// Act reads an act in an organization with its entries and what each changed, a
// page at a time, those after a number.
func (s *Service) Act(ctx context.Context, actor ledger.Actor, org string, number, after int64, limit int) (ActView, error) {
	var page ActView
	if limit <= 0 || limit > maxDetails {
		limit = maxDetails
	}
	none := fault.Newf(fault.NotFound, "act.missing", "There is no act %d", number)
	err := s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		eyes, err := look(r, actor, org)
		if err != nil {
			return err
		}
		acts, err := eyes.describe(span{Query: Query{Org: org}, first: 1}, []int64{number})
		if err != nil {
			return err
		}
		if len(acts) == 0 {
			return none
		}
		page = ActView{Act: acts[0], Entries: []Detail{}}
		changes, err := r.Changes(ledger.Filter{Act: number, After: after, Oldest: true, Limit: limit})
		if err != nil {
			return err
		}
		for _, c := range changes {
			if c.Entry.Org != org { // what it did elsewhere is no part of it here
				continue
			}
			if ok, err := eyes.sees(c.Entry); err != nil {
				return err
			} else if !ok {
				continue
			}
			page.Entries = append(page.Entries, Detail{
				Entry: c.Entry, Title: Title(c.After, c.Before), Differences: ledger.Diff(c.Before, c.After), Others: acts[0].Entries - 1, Glass: acts[0].Glass,
			})
		}
		if len(changes) == limit {
			page.Next = changes[limit-1].Entry.Number
		}
		return nil
	})
	return page, err
}

// Glass is a visit under break-glass that something was done in.
type Glass struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// glasses are the visits under break-glass of an organization.
type glasses []glass

type glass struct {
	Glass
	person       string
	began, ended int64 // ms; ended 0: it lasts
}

// glassesOf reads them from the index of a package above, as access reads
// memberships; where that is not there, there are none.
func glassesOf(r *ledger.Reader, org string) (glasses, error) {
	var one int
	if declared, err := r.Row([]any{&one}, "SELECT 1 FROM noun WHERE name = 'break_glass'"); err != nil || !declared {
		return nil, err
	}
	var all glasses
	rows := r.Query("SELECT id, person, began, ended, reason FROM break_glass WHERE org = $1 ORDER BY began DESC", org)
	for rows.Next() {
		var g glass
		rows.Scan(&g.ID, &g.person, &g.began, &g.ended, &g.Reason)
		all = append(all, g)
	}
	return all, rows.Close()
}

// over is the visit that an entry was made in; nil: none.
func (all glasses) over(e ledger.Entry) *Glass {
	at := e.Time.UnixMilli()
	for _, g := range all {
		if e.Actor == g.person && e.Actor != "" && at >= g.began && (g.ended == 0 || at <= g.ended) {
			found := g.Glass
			return &found
		}
	}
	return nil
}

// mayExport tells whether an actor may take an organization's activity out.
func mayExport(r *ledger.Reader, actor ledger.Actor, org string) error {
	return access.RequireExport(r, actor, access.Thing{Kind: "activity", ID: org, Org: org, Branch: org})
}
