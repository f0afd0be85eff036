package openrosa

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/qanat-water/qanat/internal/base/qrcode"
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
	return qrcode.SVG(text)
}
