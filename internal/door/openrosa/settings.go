package openrosa

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"rsc.io/qr"
)

// Settings is what sets up ODK Collect, by the names Collect gives its settings (client-settings.schema.json there). general and
// admin must be present.
type Settings struct {
	General General           `json:"general"`
	Project Project           `json:"project"`
	Admin   map[string]string `json:"admin"`
}

// General are the settings Qanat makes.
type General struct {
	ServerURL      string `json:"server_url"`
	FormUpdateMode string `json:"form_update_mode"`
	Autosend       string `json:"autosend"`
}

// Project is how Collect shows the project.
type Project struct {
	Name  string `json:"name"`
	Icon  string `json:"icon"`
	Color string `json:"color"`
}

// NewSettings are the settings for a phone: forms follow the server, what is finished is sent by itself.
func NewSettings(serverURL, organization string) Settings {
	icon := "W"
	if r := []rune(strings.TrimSpace(organization)); len(r) > 0 {
		icon = strings.ToUpper(string(r[0]))
	}
	return Settings{General: General{ServerURL: serverURL, FormUpdateMode: "match_exactly", Autosend: "wifi_and_cellular"},
		Project: Project{Name: organization, Icon: icon, Color: "#0b6e99"}, Admin: map[string]string{}}
}

// Text is the settings as a QR code holds them: base64 of zlib of JSON.
func (s Settings) Text() (string, error) {
	plain, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	if _, err := w.Write(plain); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(packed.Bytes()), nil
}

// SVG is the QR code as a picture. It has the token in it: show it once, to whom it is for.
func (s Settings) SVG() (string, error) {
	text, err := s.Text()
	if err != nil {
		return "", err
	}
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", fmt.Errorf("QR code: %w", err)
	}
	const quiet = 4 // modules of white around, as the standard asks
	var path strings.Builder
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			if !code.Black(x, y) {
				continue
			}
			from := x
			for x < code.Size && code.Black(x, y) {
				x++
			}
			fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", from+quiet, y+quiet, x-from, x-from)
		}
	}
	size := code.Size + 2*quiet
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges" role="img" aria-label="QR code"><path fill="#fff" d="M0 0h%dv%dH0z"/><path fill="#000" d="%s"/></svg>`,
		size, size, size, size, path.String()), nil
}
