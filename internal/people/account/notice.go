package account

import (
	"context"
	"fmt"

	"github.com/qanat-water/qanat/internal/base/netaddr"
)

// notice tells a person by mail what happened to the account, when the server can
// send mail. The mail has no link: nobody learns from us to click on one.
func (s *Service) notice(ctx context.Context, person Person, subject, what string, visit Visit) {
	if s.mail == nil {
		return
	}
	text := fmt.Sprintf("Hello %s,\n\n%s on %s, at %s UTC.\n\nAddress: %s\nProgram: %s\n\n"+
		"If this was you, there is nothing to do. If not: open %s yourself, end all your sessions and change your password,\n"+
		"or ask an administrator of your organization to end your sessions.\n",
		person.Name, what, s.server, s.ledger.Now().UTC().Format("2 January 2006, 15:04"), netaddr.Host(visit.From), agentOf(visit), s.server)
	s.mail(ctx, person.Email, s.server+": "+subject, text)
}

// Mails lets the service send mails; it is called before doors open.
func (s *Service) Mails(send func(ctx context.Context, to, subject, text string)) { s.mail = send }
