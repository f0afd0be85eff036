// Package witness asks witnesses of transparency logs to cosign checkpoints
// (C2SP tlog-witness and tlog-cosignature): parties that remember the newest
// checkpoint of a log and sign another only when it continues that one.
//
// It guarantees that a cosignature it returns was made by the witness's
// configured key over exactly the checkpoint that was sent, that only HTTPS is
// spoken, except to the machine itself, and that an answer is limited in size and
// time. Redirects are not followed.
//
// Limits: Ed25519 cosignatures (type 4); the post-quantum type 6 is refused by
// name, because Go's library has no ML-DSA yet. Who controls the witness can
// withhold cosignatures, and say that he has seen more of the log than there is;
// he learns sizes, roots and times of checkpoints, which are public.
package witness

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/qanat-water/qanat/internal/base/fault"
)

const (
	// Timeout is how long one request may take, from dialing to the last byte.
	Timeout = 10 * time.Second

	maxAnswer = 64 << 10 // bytes: room for some post-quantum cosignatures of others
	maxProof  = 63       // hashes, by the protocol

	typeCosignature = 4 // Ed25519 cosignature/v1
	typePostQuantum = 6
)

// Key is the public key of a witness: a verifier for its cosignatures.
type Key struct {
	name   string
	hash   uint32
	public ed25519.PublicKey
	text   string
}

// ParseKey reads a verifier key as witnesses publish it:
// "witness.example.org/w1+1a2b3c4d+BGl…".
func ParseKey(text string) (*Key, error) {
	wrong := func(why string) error {
		return fault.Newf(fault.Invalid, "witness.key", "The witness's key %.200q is none: %s", text, why).
			WithMend("Copy the verifier key (name+hash+key) from the witness's page, one of type Ed25519 cosignature")
	}
	name, rest, _ := strings.Cut(text, "+")
	hash, encoded, _ := strings.Cut(rest, "+")
	if name == "" || strings.ContainsFunc(text, unicode.IsSpace) { // base64 itself passes over line feeds
		return nil, wrong("it has no name, or spaces")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || len(raw) == 0 {
		return nil, wrong("its last part is no base64")
	}
	switch {
	case raw[0] == typePostQuantum:
		return nil, wrong("ML-DSA-44 cosignatures (type 6) are not supported")
	case raw[0] != typeCosignature:
		return nil, wrong(fmt.Sprintf("it is of type %d; a witness's is of type %d", raw[0], typeCosignature))
	case len(raw) != 1+ed25519.PublicKeySize:
		return nil, wrong("it has not the length of an Ed25519 key")
	}
	k := &Key{name: name, public: raw[1:], text: text}
	sum := sha256.Sum256(append([]byte(name+"\n"), raw...))
	k.hash = binary.BigEndian.Uint32(sum[:4])
	if hash != fmt.Sprintf("%08x", k.hash) {
		return nil, wrong("its hash is not that of name and key")
	}
	return k, nil
}

// Name is the witness's name in its signature lines.
func (k *Key) Name() string { return k.name }

// KeyHash is the key's id in its signature lines.
func (k *Key) KeyHash() uint32 { return k.hash }

// String is the key as it was read.
func (k *Key) String() string { return k.text }

// Verify checks a cosignature over the text of a checkpoint.
func (k *Key) Verify(text, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	at := binary.BigEndian.Uint64(sig)
	if at == 0 || at > math.MaxInt64 {
		return false
	}
	message := fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text)
	return ed25519.Verify(k.public, message, sig[8:])
}

// Cosignature is what a witness has signed: a line of a note.
type Cosignature struct {
	Line string    // "— witness.example.org/w1 …" and a line feed
	Time time.Time // when, by the witness's clock
}

// Conflict tells that the witness has cosigned another size than was supposed.
type Conflict struct{ Size int64 }

func (e *Conflict) Error() string {
	return fmt.Sprintf("the witness has cosigned %d entries", e.Size)
}

// What a witness may say besides.
var (
	// ErrForked: the checkpoint does not continue what the witness has seen.
	ErrForked = errors.New("the checkpoint does not continue the one that the witness has cosigned")
	// ErrUnknown: the witness does not know the log or its key.
	ErrUnknown = errors.New("the witness does not know this ledger, or not this key")
)

// Client speaks to one witness.
type Client struct {
	Key  *Key
	URL  string // submission prefix
	http *http.Client
}

// New makes a client. The address is the witness's submission prefix.
func New(address string, key *Key) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, fault.Newf(fault.Invalid, "witness.url", "%.200q is no address of a witness", address).
			WithMend("Give its submission prefix: https://witness.example.org/path. http:// is for this machine only")
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: Timeout}).DialContext, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: Timeout, ResponseHeaderTimeout: Timeout, MaxResponseHeaderBytes: maxAnswer, MaxConnsPerHost: 2, IdleConnTimeout: 2 * time.Minute,
	}
	return &Client{Key: key, URL: strings.TrimSuffix(address, "/"), http: &http.Client{
		Transport: transport, Timeout: Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Add sends a checkpoint with the proof that it continues the one of old entries,
// and returns the witness's cosignature. It fails with *Conflict, ErrForked,
// ErrUnknown, or another error when the witness gives no usable answer.
func (c *Client) Add(ctx context.Context, old int64, proof tlog.TreeProof, checkpoint string) (Cosignature, error) {
	if len(proof) > maxProof {
		return Cosignature{}, fmt.Errorf("a consistency proof of %d hashes", len(proof))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+"/add-checkpoint", bytes.NewReader(Consistency(old, proof, checkpoint)))
	if err != nil {
		return Cosignature{}, err
	}
	request.Header.Set("Content-Type", "text/plain; charset=utf-8")
	answer, err := c.http.Do(request)
	if err != nil {
		return Cosignature{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return Cosignature{}, err
	}
	if len(body) > maxAnswer {
		return Cosignature{}, fmt.Errorf("its answer is larger than %d bytes", maxAnswer)
	}
	return read(c.Key, answer.StatusCode, body, checkpoint)
}

// Consistency is a consistency proof as add-checkpoint takes it, and as files of
// ours hold it: the old size, the hashes, an empty line, the checkpoint.
func Consistency(old int64, proof tlog.TreeProof, checkpoint string) []byte {
	b := fmt.Appendf(nil, "old %d\n", old)
	for _, hash := range proof {
		b = fmt.Appendf(b, "%s\n", hash)
	}
	return append(append(b, '\n'), checkpoint...)
}

// read understands an answer to add-checkpoint.
func read(key *Key, status int, body []byte, checkpoint string) (Cosignature, error) {
	switch status {
	case http.StatusOK:
		return cosignature(key, body, checkpoint)
	case http.StatusConflict:
		text, _ := strings.CutSuffix(string(body), "\n")
		size, err := strconv.ParseInt(text, 10, 64)
		if err != nil || size < 0 || strconv.FormatInt(size, 10) != text {
			return Cosignature{}, fmt.Errorf("it answered 409 without a size: %.40q", body)
		}
		return Cosignature{}, &Conflict{Size: size}
	case http.StatusUnprocessableEntity:
		return Cosignature{}, ErrForked
	case http.StatusForbidden, http.StatusNotFound:
		return Cosignature{}, ErrUnknown
	}
	return Cosignature{}, fmt.Errorf("it answered %d %s", status, http.StatusText(status))
}

// cosignature finds the witness's own signature among those it answered. Others
// are passed over, as the protocol wants.
func cosignature(key *Key, lines []byte, checkpoint string) (Cosignature, error) {
	end := strings.LastIndex(checkpoint, "\n\n")
	if end < 0 {
		return Cosignature{}, errors.New("no checkpoint was sent")
	}
	opened, err := note.Open([]byte(checkpoint[:end+2]+string(lines)), note.VerifierList(key))
	if err != nil {
		return Cosignature{}, fmt.Errorf("its answer holds no cosignature of its key: %w", err)
	}
	if opened.Text != checkpoint[:end+1] {
		return Cosignature{}, errors.New("its answer is not about the checkpoint that was sent")
	}
	sig := opened.Sigs[0] // the key's: Open fails without one
	raw, err := base64.StdEncoding.Strict().DecodeString(sig.Base64)
	if err != nil {
		return Cosignature{}, fmt.Errorf("its cosignature: %w", err)
	}
	at := time.Unix(int64(binary.BigEndian.Uint64(raw[4:])), 0).UTC() // #nosec G115 -- Verify has seen that it fits
	return Cosignature{Line: "— " + sig.Name + " " + sig.Base64 + "\n", Time: at}, nil
}

// ReadLine checks a cosignature that was kept: a line, the key that made it, and
// the checkpoint it was made for.
func ReadLine(key *Key, line, checkpoint string) (Cosignature, error) {
	c, err := cosignature(key, []byte(line), checkpoint)
	if err == nil && c.Line != line {
		err = errors.New("there is more than one cosignature")
	}
	return c, err
}
