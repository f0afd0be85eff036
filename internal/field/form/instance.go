package form

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/qanat-water/qanat/internal/base/fault"
)

var instanceLimits = limits{what: "submission", bytes: MaxInstance, nodes: maxInstanceNodes}

// Instance is a submission as a phone sends it.
type Instance struct {
	FormID       string
	Version      string
	InstanceID   string
	Derived      bool   // the submission has no instanceID; InstanceID was made of its content
	DeprecatedID string // the instance this one replaces
	InstanceName string
	Encrypted    bool   // the answers are in an encrypted file; the XML only says how
	SHA256       string // of the exact bytes, hex
	root         *element
}

// ParseInstance reads a submission's XML.
//
// A submission without an instanceID gets one that the same bytes always get again, so that sending twice stays harmless: "uuid:"
// and a UUID of version 8 (RFC 9562, section 5.8) whose other 122 bits are the first of the SHA-256 of the bytes.
func ParseInstance(data []byte) (*Instance, error) {
	root, err := read(data, instanceLimits)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	in := &Instance{FormID: strings.TrimSpace(root.attr("id")), Version: strings.TrimSpace(root.attr("version")), SHA256: hex.EncodeToString(sum[:]),
		Encrypted: root.attr("encrypted") == "yes", root: root}
	if in.FormID == "" {
		in.FormID = strings.TrimSpace(xmlns(root))
	}
	if meta := root.child("meta"); meta != nil {
		in.InstanceID = metaText(meta, "instanceID")
		in.DeprecatedID = metaText(meta, "deprecatedID")
		in.InstanceName = metaText(meta, "instanceName")
	}
	if in.InstanceID == "" {
		in.InstanceID = strings.TrimSpace(root.attr("instanceID")) // as aggregators export it
	}
	if in.FormID == "" {
		return nil, fault.New(fault.Invalid, "submission.no_form", "The submission does not name its form").
			At(root.place(), "the attribute id is missing", "Send the XML as the form app wrote it")
	}
	for what, value := range map[string]string{"form id": in.FormID, "form version": in.Version, "instanceID": in.InstanceID, "deprecatedID": in.DeprecatedID} {
		if len(value) > maxID || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, fault.New(fault.Invalid, "submission.bad_id", "The submission has an unusable "+what).
				At(root.place(), fmt.Sprintf("%s longer than %d bytes or with control characters", what, maxID), "Send the XML as the form app wrote it")
		}
	}
	if in.InstanceID == "" {
		in.Derived = true
		u := sum[:16]
		u[6] = u[6]&0x0f | 0x80 // version 8
		u[8] = u[8]&0x3f | 0x80 // variant 10
		in.InstanceID = fmt.Sprintf("uuid:%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:16])
	}
	return in, nil
}

func metaText(meta *element, name string) string {
	if e := meta.child(name); e != nil {
		return strings.TrimSpace(e.text())
	}
	return ""
}
