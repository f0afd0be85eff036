package org_test

import (
	"io"
	"mime/quotedprintable"
	netmail "net/mail"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qanat-water/qanat/internal/base/mail"
	"github.com/qanat-water/qanat/internal/base/mail/mailtest"
	"github.com/qanat-water/qanat/internal/base/store"
	"github.com/qanat-water/qanat/internal/base/store/storetest"
	"github.com/qanat-water/qanat/internal/ledger"
	"github.com/qanat-water/qanat/internal/people/org"
	"github.com/qanat-water/qanat/internal/people/peopletest"
)

func TestInvitationsByMail(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.Store) {
		w := peopletest.New(t, open())
		var refuse atomic.Bool
		server := mailtest.New(t, func(s *mailtest.Server) {
			s.Refuse = func(string) int {
				if refuse.Load() {
					return 550
				}
				return 0
			}
		})
		sender, err := mail.New(mail.Config{Host: "127.0.0.1", Port: server.Port, From: "qanat@example.org", Roots: server.Roots})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(sender.Close)
		link := func(token string) string { return "https://water.example.org/welcome#" + token }
		state := func(id string) *org.Post {
			t.Helper()
			for range 200 {
				for _, i := range must(w.Orgs.Open(ctx, w.Admin, w.Org)) {
					if i.ID == id && i.Body.Post != nil && i.Body.Post.State != org.PostWaiting {
						return i.Body.Post
					}
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Fatal("nothing became of the mail")
			return nil
		}
		token := func(m mailtest.Mail) string {
			t.Helper()
			parsed, err := netmail.ReadMessage(strings.NewReader(m.Data))
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(quotedprintable.NewReader(parsed.Body))
			_, rest, _ := strings.Cut(string(text), "https://water.example.org/welcome#")
			return strings.Fields(rest)[0]
		}
		invitation := org.Invitation{Branch: w.Org, Group: org.Members, Name: "Esther", Email: "Esther@example.org"}

		if w.Orgs.SendsMail() {
			t.Error("sends mail without a server")
		}
		w.Orgs.Mails(sender, "Qanat of the district")
		made, err := w.Orgs.InviteByMail(ctx, w.Admin, invitation, link)
		if err != nil || made.Body.Post == nil {
			t.Fatalf("%+v, %v", made, err)
		}
		if got := state(made.ID); got.State != org.PostSent {
			t.Errorf("%+v", got)
		}
		first := server.Wait(t, 1)
		if first.To != "esther@example.org" || !strings.Contains(first.Data, "Amina Admin") || !strings.Contains(first.Data, "Test Water Office") {
			t.Errorf("%+v", first)
		}
		if w, err := w.Orgs.Look(ctx, token(first)); err != nil || w.Name != "Esther" {
			t.Errorf("the link of the mail: %+v, %v", w, err)
		}

		// Sent again, with another link; the first is dead.
		if _, err := w.Orgs.SendAgain(ctx, w.Manager, made.ID, link); err == nil {
			t.Error("a manager sends it again")
		}
		if _, err := w.Orgs.SendAgain(ctx, w.Admin, made.ID, link); err != nil {
			t.Fatal(err)
		}
		second := server.Wait(t, 2)
		_, err = w.Orgs.Look(ctx, token(first))
		wantCode(t, "the first link", err, "invitation.missing")
		if _, err := w.Orgs.Look(ctx, token(second)); err != nil {
			t.Errorf("the second link: %v", err)
		}
		// A flood to one address is stopped.
		var limited error
		for range 5 {
			if _, limited = w.Orgs.SendAgain(ctx, w.Admin, made.ID, link); limited != nil {
				break
			}
		}
		wantCode(t, "again and again", limited, "mail.rate")

		// An address that the server refuses: the invitation stands, and says why.
		refuse.Store(true)
		other := invitation
		other.Email = "nobody@example.org"
		failed, err := w.Orgs.InviteByMail(ctx, w.Admin, other, link)
		if err != nil {
			t.Fatal(err)
		}
		if got := state(failed.ID); got.State != org.PostFailed || !strings.Contains(got.Why, "refuses the address") {
			t.Errorf("%+v", got)
		}
		for _, bad := range []string{"", "x@example.org\r\nBcc: eve@example.org", "a@example.org, b@example.org"} {
			wrong := invitation
			wrong.Email = bad
			_, err := w.Orgs.InviteByMail(ctx, w.Admin, wrong, link)
			wantCode(t, "to "+bad, err, "mail.address")
		}

		// What waited when the server was stopped is told as lost.
		w.Write(t, func(tx *ledger.Tx) error {
			_, err := org.Invitations.Update(tx, failed.ID, 0, func(i *org.Invitation) error {
				i.Post = &org.Post{State: org.PostWaiting, At: tx.Now.Add(-time.Hour)}
				return nil
			})
			return err
		})
		if got := state(failed.ID); got.State != org.PostFailed || !strings.Contains(got.Why, "restarted") {
			t.Errorf("after a restart: %+v", got)
		}
	})
}
