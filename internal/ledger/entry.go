package ledger

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/qanat-water/qanat/internal/base/vault"
)

// Verb is what an entry did.
type Verb string

// The verbs. An undo may create, change or delete: its content tells.
const (
	VerbCreate   Verb = "create"
	VerbUpdate   Verb = "update"
	VerbDelete   Verb = "delete"
	VerbUndelete Verb = "undelete"
	VerbUndo     Verb = "undo"
)

// Entry is what happened once.
type Entry struct {
	Number    int64     `json:"number" doc:"1, 2, 3 … in commit order"`
	Time      time.Time `json:"time"`
	Act       int64     `json:"act" doc:"number of the first entry of the act it belongs to"`
	Org       string    `json:"org"`
	Kind      string    `json:"kind"`
	Doc       string    `json:"doc"`
	Revision  int64     `json:"revision"`
	Verb      Verb      `json:"verb"`
	Actor     string    `json:"actor"`
	ActorKind string    `json:"actor_kind"`
	ActorName string    `json:"actor_name"`
	Door      string    `json:"door"`
	From      string    `json:"from,omitempty" doc:"network address"`
	Reason    string    `json:"reason,omitempty"`
	Reverts   int64     `json:"reverts,omitempty" doc:"number of the entry that this one undoes"`
	Through   int64     `json:"through,omitempty" doc:"number of the last entry of the run that this one undoes, when it undoes more than one"`
	Erased    bool      `json:"erased,omitempty" doc:"its content was erased; the proof that it happened stays"`
}

// header is an entry's columns as they are hashed.
type header = headerOf[string]

// headerOf is a header whose texts are strings, or bytes that are borrowed from a row.
type headerOf[T ~string | ~[]byte] struct {
	number, time, act int64
	org, kind, doc    T
	revision          int64
	verb              T
	actor, actorKind  T
	door              T
	reverts           int64
}

// content is what is sealed. Its JSON is the format.
type content struct {
	Name   string          `json:"name,omitempty"`
	From   string          `json:"from,omitempty"`
	Reason string          `json:"reason,omitempty"`
	Shape  int             `json:"shape,omitempty"`
	Body   json.RawMessage `json:"body,omitempty"` // absent: deleted
	// Through is the last entry of the run that begins at the header's reverts; absent: that one alone.
	Through int64 `json:"through,omitempty"`
}

// encode is the header in its canonical form: a magic line, then each field in
// the order of the table's columns, numbers as 8 bytes big-endian, text as a
// 4-byte big-endian length and its UTF-8 bytes.
func (h *headerOf[T]) encode() []byte { return h.append(make([]byte, 0, 256)) }

const entryMagic = "qanat entry 1\n"

// textsAt is where the first text of a header begins: after three numbers and its length.
const textsAt = len(entryMagic) + 3*8 + 4

func (h *headerOf[T]) append(b []byte) []byte {
	b = append(b, entryMagic...)
	b = appendNumber(b, h.number)
	b = appendNumber(b, h.time)
	b = appendNumber(b, h.act)
	b = appendText(b, h.org)
	b = appendText(b, h.kind)
	b = appendText(b, h.doc)
	b = appendNumber(b, h.revision)
	b = appendText(b, h.verb)
	b = appendText(b, h.actor)
	b = appendText(b, h.actorKind)
	b = appendText(b, h.door)
	return appendNumber(b, h.reverts)
}

func appendNumber(b []byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(n)) // #nosec G115 -- a bit pattern
}

func appendText[T ~string | ~[]byte](b []byte, s T) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...) // #nosec G115 -- far below 4 GiB
}

// leaf is what the tree hashes for an entry: its header, then its sealed bytes.
func leaf(header, sealed []byte) []byte {
	return append(append(make([]byte, 0, len(header)+len(sealed)), header...), sealed...)
}

func (h *headerOf[T]) entry() Entry {
	return Entry{
		Number: h.number, Time: time.UnixMilli(h.time).UTC(), Act: h.act, Org: string(h.org), Kind: string(h.kind), Doc: string(h.doc), Revision: h.revision,
		Verb: Verb(h.verb), Actor: string(h.actor), ActorKind: string(h.actorKind), Door: string(h.door), Reverts: h.reverts,
	}
}

// unseal opens an entry's content with its document's wrapped key.
func (l *Ledger) unseal(h *header, wrapped, sealed []byte) (content, error) {
	key, err := l.vault.Unwrap(h.doc, wrapped)
	if err != nil {
		return content{}, err
	}
	return unsealWith(key, h, sealed)
}

func unsealWith(key *vault.Key, h *header, sealed []byte) (content, error) {
	var c content
	plain, err := key.Open(sealed, h.encode())
	if err != nil {
		return c, fmt.Errorf("entry %d: %w", h.number, err)
	}
	if err := c.parse(plain); err != nil {
		return content{}, fmt.Errorf("entry %d: %w", h.number, err)
	}
	return c, nil
}

// parse reads what was sealed. It was opened, so it is the JSON that was sealed,
// and the body need not be read to know where it ends.
func (c *content) parse(plain []byte) error {
	found, ok := members(plain)
	if !ok {
		return errors.New("what was sealed is no object")
	}
	for _, m := range found {
		var err error
		switch m.name {
		case "name":
			err = json.Unmarshal(m.value, &c.Name)
		case "from":
			err = json.Unmarshal(m.value, &c.From)
		case "reason":
			err = json.Unmarshal(m.value, &c.Reason)
		case "shape":
			err = json.Unmarshal(m.value, &c.Shape)
		case "through":
			err = json.Unmarshal(m.value, &c.Through)
		case "body":
			c.Body = m.value
		}
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}
