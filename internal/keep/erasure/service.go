package erasure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/access"
)

// View is an order as an administrator sees it.
type View struct {
	ledger.Doc[Order]
	Title      string `json:"title,omitempty" doc:"what is to be erased; not when it is sealed or gone"`
	MayConfirm bool   `json:"may_confirm" doc:"the reader may confirm it: somebody else ordered it"`
}

// Order asks for an erasure. Nothing happens to its subject until it is confirmed.
func (s *Service) Order(ctx context.Context, actor ledger.Actor, organization, kind, subject, reason string) (ledger.Doc[Order], error) {
	var made ledger.Doc[Order]
	err := s.Ledger.Write(ctx, actor, "erasure ordered", func(tx *ledger.Tx) error {
		if err := mayAsk(tx.Reader, actor, access.Create, organization); err != nil {
			return err
		}
		if err := access.Fresh(actor, tx.Now); err != nil {
			return err
		}
		if _, _, err := targets(tx.Reader, organization, kind, subject); err != nil {
			return err
		}
		var one string
		open, err := tx.Row([]any{&one}, "SELECT id FROM erasure WHERE subject = $1 AND state IN ('ordered', 'sealed')", subject)
		if err != nil {
			return err
		}
		if open {
			return fault.Newf(fault.Conflict, "erasure.open", "The erasure of this %s is ordered already", kind).WithMend("Ask another administrator to confirm it")
		}
		made, err = Orders.Create(tx, organization, "", Order{Kind: kind, Subject: subject, State: Ordered, Reason: strings.TrimSpace(reason),
			OrderedBy: actor.ID, OrderedName: actor.Name, OrderedAt: tx.Now})
		return err
	})
	return made, err
}

// Confirm seals what another administrator has ordered to be erased, with all that
// belongs to it as it is now.
func (s *Service) Confirm(ctx context.Context, actor ledger.Actor, id string) (ledger.Doc[Order], error) {
	var made ledger.Doc[Order]
	err := s.Ledger.Write(ctx, actor, "erasure confirmed", func(tx *ledger.Tx) error {
		d, err := s.ask(tx, access.Approve, id)
		if err != nil {
			return err
		}
		if d.Body.OrderedBy == actor.ID {
			return onePerson()
		}
		if err := access.Fresh(actor, tx.Now); err != nil {
			return err
		}
		if d.Body.State != Ordered {
			return fault.Newf(fault.Conflict, "erasure.state", "This erasure is %s already", d.Body.State).WithMend("Load it again")
		}
		all, _, err := targets(tx.Reader, d.Org, d.Body.Kind, d.Body.Subject)
		if err != nil {
			return err
		}
		// What the order names first, then what it says: the keys.
		if _, err := Orders.Update(tx, id, 0, func(o *Order) error {
			o.State, o.Documents = Sealed, all
			o.ConfirmedBy, o.ConfirmedName, o.ConfirmedAt, o.Due = actor.ID, actor.Name, tx.Now, tx.Now.Add(Hold)
			return nil
		}); err != nil {
			return err
		}
		for _, t := range all {
			if _, err := tx.Seal(t.ID); err != nil {
				return err
			}
		}
		made, err = Orders.Get(tx.Reader, id)
		return err
	})
	return made, err
}

// CallOff ends an order that is not carried out yet. What was sealed is back as it was.
func (s *Service) CallOff(ctx context.Context, actor ledger.Actor, id, reason string) (ledger.Doc[Order], error) {
	var made ledger.Doc[Order]
	err := s.Ledger.Write(ctx, actor, reason, func(tx *ledger.Tx) error {
		d, err := s.ask(tx, access.Recall, id)
		if err != nil {
			return err
		}
		if d.Body.State != Ordered && d.Body.State != Sealed {
			return fault.Newf(fault.Conflict, "erasure.late", "This erasure is %s already", d.Body.State).WithMend("What is erased cannot be brought back")
		}
		made, err = Orders.Update(tx, id, 0, func(o *Order) error {
			o.State, o.CalledBy, o.CalledName, o.CalledAt = CalledOff, actor.ID, actor.Name, tx.Now
			return nil
		})
		if err != nil || d.Body.State == Ordered {
			return err
		}
		for _, t := range slices.Backward(d.Body.Documents) { // what others stand on comes back first
			if err := tx.Unseal(t.ID, t.Back); err != nil {
				return err
			}
		}
		return nil
	})
	return made, err
}

// ask reads an order for somebody with the right to a verb on it.
func (s *Service) ask(tx *ledger.Tx, verb access.Verb, id string) (ledger.Doc[Order], error) {
	d, err := Orders.Get(tx.Reader, id)
	if err != nil {
		return d, err
	}
	if err := mayAsk(tx.Reader, tx.Actor, verb, d.Org); err != nil {
		if fault.KindOf(err) == fault.NotFound {
			err = Orders.NotFound()
		}
		return d, err
	}
	return d, nil
}

// List gives the orders of an organization, the newest first.
func (s *Service) List(ctx context.Context, actor ledger.Actor, organization string) ([]View, error) {
	views := []View{}
	err := s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		views = views[:0]
		if err := mayAsk(r, actor, access.See, organization); err != nil {
			return err
		}
		docs, err := Orders.List(r, "n.org = $1 ORDER BY n.id DESC LIMIT 200", organization)
		if err != nil {
			return err
		}
		for _, d := range docs {
			v := View{Doc: d}
			if d.Body.State == Ordered || d.Body.State == CalledOff {
				v.MayConfirm = d.Body.State == Ordered && d.Body.OrderedBy != actor.ID
				if _, v.Title, err = targets(r, organization, d.Body.Kind, d.Body.Subject); err != nil && fault.KindOf(err) == fault.Internal {
					return err
				}
			}
			views = append(views, v)
		}
		return nil
	})
	return views, err
}

// Carry erases what is due, and cleans up behind it: files that nothing names any
// more, and traces of destroyed keys in the database. It is a job for every hour.
func (s *Service) Carry(ctx context.Context) (erased int, err error) {
	var due []string
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		due = due[:0]
		rows := r.Query("SELECT id FROM erasure WHERE state = 'sealed' AND due <= $1 ORDER BY due, id", s.Ledger.Now().UnixMilli())
		for rows.Next() {
			var id string
			rows.Scan(&id)
			due = append(due, id)
		}
		return rows.Close()
	})
	if err != nil {
		return 0, err
	}
	var errs []error // one that cannot be carried out holds up no other
	for _, id := range due {
		if err := s.carry(ctx, id); err != nil {
			errs = append(errs, fmt.Errorf("erasure %s: %w", id, err))
			continue
		}
		erased++
	}
	return erased, errors.Join(append(errs, s.clean(ctx))...)
}

var system = ledger.System("erasure")

// carry destroys the keys of one order.
func (s *Service) carry(ctx context.Context, id string) error {
	return s.Ledger.Write(ctx, system, "the seven days are over", func(tx *ledger.Tx) error {
		d, err := Orders.Get(tx.Reader, id)
		if err != nil || d.Body.State != Sealed || tx.Now.Before(d.Body.Due) {
			return err
		}
		if _, err := Orders.Update(tx, id, 0, func(o *Order) error { o.State, o.ErasedAt = Erased, tx.Now; return nil }); err != nil {
			return err
		}
		files := map[string]bool{}
		for _, t := range d.Body.Documents {
			if err := tx.Unseal(t.ID, false); err != nil { // to see, once more, which files it named
				return err
			}
			named, err := tx.Named(t.ID)
			if err != nil {
				return err
			}
			for _, hash := range named {
				files[hash] = true
			}
			if err := tx.Erase(t.ID); err != nil {
				return err
			}
		}
		_, err = Orders.Update(tx, id, 0, func(o *Order) error { o.Files = len(files); return nil })
		return err
	})
}

// clean takes away what erased documents left beside the ledger's tables, and
// says so in their orders and runs.
func (s *Service) clean(ctx context.Context) error {
	var orders, runs []string
	err := s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		orders, runs = orders[:0], runs[:0]
		for table, into := range map[string]*[]string{"erasure": &orders, "retention_run": &runs} {
			rows := r.Query("SELECT id FROM " + table + " WHERE cleaned = 0 AND state = 'erased' ORDER BY id")
			for rows.Next() {
				var id string
				rows.Scan(&id)
				*into = append(*into, id)
			}
			if err := rows.Close(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(orders)+len(runs) == 0 {
		return err
	}
	quiet := s.Quiet
	if quiet == 0 {
		quiet = 24 * time.Hour
	}
	if _, err := s.Blobs.Sweep(ctx, func(keep func(string)) error {
		return s.Ledger.Read(ctx, func(r *ledger.Reader) error { return r.Files(keep) })
	}, quiet); err != nil {
		return fmt.Errorf("sweep files: %w", err)
	}
	clean, err := s.Ledger.Store().Scrub(ctx, "document", "entry", "reading")
	if err != nil || !clean {
		return err // somebody reads an old snapshot: it is tried again
	}
	return s.Ledger.Write(ctx, system, "nothing is left", func(tx *ledger.Tx) error {
		for _, id := range orders {
			if _, err := Orders.Update(tx, id, 0, func(o *Order) error { o.CleanedAt = tx.Now; return nil }); err != nil {
				return err
			}
		}
		for _, id := range runs {
			if _, err := Runs.Update(tx, id, 0, func(r *Run) error { r.CleanedAt = tx.Now; return nil }); err != nil {
				return err
			}
		}
		return nil
	})
}

// Certificate says, signed, that something was erased: who ordered and confirmed
// it, when, how much, and where in the tree that stands. It has no content.
func (s *Service) Certificate(ctx context.Context, actor ledger.Actor, id string) (signed, key string, err error) {
	var d ledger.Doc[Order]
	var erasedBy ledger.Entry
	if err := s.Ledger.Checkpoint(ctx); err != nil { // so that one covers it
		return "", "", err
	}
	var at ledger.Checkpoint
	err = s.Ledger.Read(ctx, func(r *ledger.Reader) error {
		if d, err = Orders.Get(r, id); err != nil {
			return err
		}
		if err := mayAsk(r, actor, access.See, d.Org); err != nil {
			return Orders.NotFound()
		}
		if d.Body.CleanedAt.IsZero() {
			return fault.New(fault.Conflict, "erasure.certificate", "There is no certificate yet").WithMend("It is there when the erasure is complete")
		}
		entries, err := r.Entries(ledger.Filter{Doc: id, Limit: 10})
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.Time.Equal(d.Body.ErasedAt) {
				erasedBy = e
			}
		}
		at, _, err = r.LatestCheckpoint()
		return err
	})
	if err != nil {
		return "", "", err
	}
	o := d.Body
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	var text strings.Builder
	fmt.Fprintf(&text, "qanat erasure certificate 1\n")
	fmt.Fprintf(&text, "erasure %s\norganization %s\nsubject %s %s\n", d.ID, d.Org, o.Kind, o.Subject)
	fmt.Fprintf(&text, "ordered %s %s %q\n", stamp(o.OrderedAt), o.OrderedBy, o.OrderedName)
	fmt.Fprintf(&text, "confirmed %s %s %q\n", stamp(o.ConfirmedAt), o.ConfirmedBy, o.ConfirmedName)
	fmt.Fprintf(&text, "erased %s\ncomplete %s\n", stamp(o.ErasedAt), stamp(o.CleanedAt))
	fmt.Fprintf(&text, "documents %d\nfiles %d\n", len(o.Documents), o.Files)
	fmt.Fprintf(&text, "entry %d\ntree %d %s\ncheckpoints %s\n", erasedBy.Number, at.Size, at.Root, s.Ledger.VerifierKey())
	return s.Ledger.Certify(text.String())
}
