package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/people/account"
)

// Password is what every person of the tests has.
const Password = "seven wet camels drink"

const cookieName = "__Host-qanat"

// Client is one person's program at one address.
type Client struct {
	Base   string // https://…/api/v1
	HTTP   *http.Client
	Cookie string // session token
	TOTP   string // secret of the second factor
	ID     string // account
	From   net.IP

	t *current
}

// Client makes a client that nobody has signed in with.
func (s *Server) Client() *Client {
	return s.ClientFrom(nextAddress())
}

// ClientFrom makes a client at a certain address.
func (s *Server) ClientFrom(from net.IP) *Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: 10 * time.Second}
	return &Client{
		Base: "https://" + s.Web + "/api/v1", From: from, t: s.t,
		HTTP: &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: s.TLS(), ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 8}},
	}
}

// As gives the same session at an address of its own.
func (s *Server) As(who *Client) *Client {
	c := s.Client()
	c.Cookie, c.TOTP, c.ID = who.Cookie, who.TOTP, who.ID
	return c
}

// Problem is a refusal (RFC 9457).
type Problem struct {
	Type   string         `json:"type"`
	Title  string         `json:"title"`
	Status int            `json:"status"`
	Detail string         `json:"detail"`
	Code   string         `json:"code"`
	Mend   string         `json:"mend"`
	Errors []fault.Detail `json:"errors"`
}

func (p *Problem) Error() string {
	return fmt.Sprintf("%d %s: %s (%s) %v", p.Status, p.Code, p.Detail, p.Mend, p.Errors)
}

// Answer is what came back, whole.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Raw is a body of a certain type.
type Raw struct {
	Type string
	Body io.Reader
}

// Send sends one request. in is nil, a Raw, or something to send as JSON. headers are name, value, name, value.
func (c *Client) Send(method, path string, in any, headers ...string) (*Answer, error) {
	return c.SendWithin(context.Background(), method, path, in, headers...)
}

// SendWithin is Send with a context.
func (c *Client) SendWithin(ctx context.Context, method, path string, in any, headers ...string) (*Answer, error) {
	var body io.Reader
	kind := ""
	switch in := in.(type) {
	case nil:
	case Raw:
		body, kind = in.Body, in.Type
	default:
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body, kind = bytes.NewReader(text), "application/json"
	}
	if strings.HasPrefix(path, "/") {
		path = c.Base + path
	}
	request, err := http.NewRequestWithContext(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	if c.Cookie != "" {
		request.AddCookie(&http.Cookie{Name: cookieName, Value: c.Cookie})
	}
	for pair := range slices.Chunk(headers, 2) {
		request.Header.Set(pair[0], pair[1])
	}
	answer, err := c.HTTP.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	for _, cookie := range answer.Cookies() {
		if cookie.Name == cookieName {
			c.Cookie = cookie.Value
		}
	}
	return &Answer{answer.StatusCode, answer.Header, content}, nil
}

// Problem reads a refusal; an answer that is none gives nil.
func (a *Answer) Problem() *Problem {
	p := &Problem{}
	if a.Status < 400 || a.Header.Get("Content-Type") != "application/problem+json" || json.Unmarshal(a.Body, p) != nil {
		return nil
	}
	return p
}

// Call sends a request and reads the answer into out (nil: of no interest). A refusal is a *Problem. Told to come
// later, it does: a program that keeps to the limits is no reason to fail.
func (c *Client) Call(method, path string, in, out any, headers ...string) error {
	for {
		answer, err := c.Send(method, path, in, headers...)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		if answer.Status == http.StatusTooManyRequests && answer.Problem() != nil && answer.Problem().Code == "rate.address" {
			wait, err := strconv.Atoi(answer.Header.Get("Retry-After"))
			if err != nil {
				return fmt.Errorf("%s %s: 429 with Retry-After %q", method, path, answer.Header.Get("Retry-After"))
			}
			time.Sleep(time.Duration(wait) * time.Second)
			if _, once := in.(Raw); !once {
				continue
			}
		}
		if answer.Status >= 400 {
			if p := answer.Problem(); p != nil {
				return p
			}
			return fmt.Errorf("%s %s: %d %s, no problem: %.300s", method, path, answer.Status, answer.Header.Get("Content-Type"), answer.Body)
		}
		if out == nil {
			return nil
		}
		if err := json.Unmarshal(answer.Body, out); err != nil {
			return fmt.Errorf("%s %s: %w in %.300s", method, path, err, answer.Body)
		}
		return nil
	}
}

// Get reads.
func Get[T any](c *Client, path string) T {
	c.t.Helper()
	var out T
	if err := c.Call(http.MethodGet, path, nil, &out); err != nil {
		c.t.Fatal(err)
	}
	return out
}

// Post sends.
func Post[T any](c *Client, path string, in any) T {
	c.t.Helper()
	var out T
	if err := c.Call(http.MethodPost, path, in, &out); err != nil {
		c.t.Fatal(err)
	}
	return out
}

// Doc is a document as the API shows it.
type Doc[T any] struct {
	ID       string    `json:"id"`
	Org      string    `json:"org"`
	Revision int64     `json:"revision"`
	Changed  time.Time `json:"changed"`
	Body     T         `json:"body"`
}

// List is a page.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
	Total *int64 `json:"total"`
}

type session struct {
	Account struct {
		ID string `json:"id"`
	} `json:"account"`
	Needs         string `json:"needs"`
	Organizations []struct {
		ID string `json:"id"`
	} `json:"organizations"`
}

// Accept accepts an invitation as somebody new and sets the second factor up.
func (c *Client) Accept(token, name, email string) {
	c.t.Helper()
	got := Post[session](c, "/invitations/accept", map[string]any{"token": token, "name": name, "email": email, "password": Password})
	if got.Needs != "totp-setup" || c.Cookie == "" {
		c.t.Fatalf("after accepting an invitation the session needs %q, cookie %t; want totp-setup", got.Needs, c.Cookie != "")
	}
	setup := Post[struct{ Secret, URI, QR string }](c, "/session/totp", nil)
	c.TOTP = setup.Secret
	got = Post[session](c, "/session/totp/confirm", map[string]any{"code": c.Code()})
	if got.Needs != "" {
		c.t.Fatalf("after the second factor the session still needs %q", got.Needs)
	}
	c.ID = got.Account.ID
}

// Code is what the person's authenticator app shows now.
func (c *Client) Code() string {
	c.t.Helper()
	code, err := account.Code(c.TOTP, time.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	return code
}

// Organizations are the ids of the organizations that the person belongs to.
func (c *Client) Organizations() (ids []string) {
	c.t.Helper()
	for _, o := range Get[session](c, "/session").Organizations {
		ids = append(ids, o.ID)
	}
	if len(ids) == 0 {
		c.t.Fatal("the person belongs to no organization")
	}
	return ids
}

// Invite invites somebody into a group of a branch and accepts for them.
func (s *Server) Invite(branch, group, name, email string) *Client {
	s.t.Helper()
	link := Post[struct{ URL string }](s.Admin, "/organizations/"+s.Org+"/invitations", map[string]any{"branch": branch, "group": group, "name": name, "email": email})
	_, token, found := strings.Cut(link.URL, "/welcome#")
	if !found || !strings.HasPrefix(link.URL, "https://"+s.Web+"/") {
		s.t.Fatalf("an invitation's link is %q", link.URL)
	}
	c := s.Client()
	c.Accept(token, name, email)
	return c
}
