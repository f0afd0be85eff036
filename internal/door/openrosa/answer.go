package openrosa

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"net/http"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
)

const xmlType = "text/xml; charset=utf-8"

type message struct {
	XMLName xml.Name `xml:"http://openrosa.org/http/response OpenRosaResponse"`
	Message struct {
		Nature string `xml:"nature,attr"`
		Text   string `xml:",chardata"`
	} `xml:"message"`
}

func (v *visit) say(status int, nature, text string) error { return say(v.w, status, nature, text) }

func say(w http.ResponseWriter, status int, nature, text string) error {
	var m message
	m.Message.Nature, m.Message.Text = nature, text
	body, err := xml.Marshal(m)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", xmlType)
	w.WriteHeader(status)
	_, err = w.Write(append([]byte(xml.Header), body...))
	return err
}

var statuses = map[fault.Kind]int{
	fault.Invalid: http.StatusBadRequest, fault.Unauthenticated: http.StatusUnauthorized, fault.Denied: http.StatusForbidden, fault.NotFound: http.StatusNotFound,
	fault.Conflict: http.StatusConflict, fault.TooLarge: http.StatusRequestEntityTooLarge, fault.TooMany: http.StatusTooManyRequests, fault.Unavailable: http.StatusServiceUnavailable,
	fault.Internal: http.StatusInternalServerError,
}

// refuse answers an error, unless an answer has begun.
func refuse(w *recorder, _ *http.Request, err error) {
	if w.status != 0 {
		return
	}
	f := fault.From(err)
	w.Header().Del("ETag")
	_ = say(w, statuses[f.Kind], "error", f.Error()) // the phone may be gone; there is nobody else to tell
}

// list answers a document, or 304 when the phone has it already.
func (v *visit) list(document any) error {
	body, err := xml.Marshal(document)
	if err != nil {
		return err
	}
	body = append([]byte(xml.Header), body...)
	sum := sha256.Sum256(body)
	if v.fresh(hex.EncodeToString(sum[:16])) {
		return nil
	}
	v.w.Header().Set("Content-Type", xmlType)
	_, err = v.w.Write(body)
	return err
}

// fresh sets the ETag and answers 304 when the phone names it.
func (v *visit) fresh(tag string) bool {
	tag = `"` + tag + `"`
	v.w.Header().Set("ETag", tag)
	for _, known := range strings.Split(v.r.Header.Get("If-None-Match"), ",") {
		if known = strings.TrimPrefix(strings.TrimSpace(known), "W/"); known == tag || known == "*" {
			v.w.WriteHeader(http.StatusNotModified)
			return true
		}
	}
	return false
}
