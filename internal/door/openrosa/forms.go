package openrosa

import (
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

type xforms struct {
	XMLName xml.Name `xml:"http://openrosa.org/xforms/xformsList xforms"`
	Forms   []xform  `xml:"xform"`
}

type xform struct {
	FormID      string `xml:"formID"`
	Name        string `xml:"name"`
	Version     string `xml:"version"`
	Hash        string `xml:"hash"`
	DownloadURL string `xml:"downloadUrl"`
	ManifestURL string `xml:"manifestUrl,omitempty"`
}

// formList lists what the phone's person may fill in. Collect refuses the whole list when one form lacks id, name or address.
func (d *door) formList(v *visit) error {
	forms, err := d.Surveys.FormsFor(v.r.Context(), v.actor, v.org)
	if err != nil {
		return err
	}
	var list xforms
	for _, f := range forms {
		x := xform{FormID: f.FormID, Name: f.Name, Version: f.Version, Hash: "md5:" + f.Hash, DownloadURL: v.base + "/forms/" + f.ID + ".xml"}
		if f.Files {
			x.ManifestURL = v.base + "/forms/" + f.ID + "/manifest"
		}
		list.Forms = append(list.Forms, x)
	}
	return v.list(list)
}

// form gives the exact bytes of a form.
func (d *door) form(v *visit) error {
	id, ok := strings.CutSuffix(v.r.PathValue("file"), ".xml")
	if !ok {
		return errNoSuchPlace
	}
	content, doc, err := d.Surveys.XML(v.r.Context(), v.actor, id)
	if err != nil {
		return err
	}
	defer content.Close()
	if v.fresh(doc.Body.Hash) {
		return nil
	}
	v.w.Header().Set("Content-Type", xmlType)
	return d.stream(v, content, doc.Body.Size)
}

type manifest struct {
	XMLName xml.Name    `xml:"http://openrosa.org/xforms/xformsManifest manifest"`
	Files   []mediaFile `xml:"mediaFile"`
}

type mediaFile struct {
	Name        string `xml:"filename"`
	Hash        string `xml:"hash"`
	DownloadURL string `xml:"downloadUrl"`
}

func (d *door) manifest(v *visit) error {
	files, err := d.Surveys.Files(v.r.Context(), v.actor, v.r.PathValue("form"))
	if err != nil {
		return err
	}
	var m manifest
	for _, f := range files {
		m.Files = append(m.Files, mediaFile{Name: f.Body.Name, Hash: "md5:" + f.Body.Hash, DownloadURL: v.base + "/forms/" + f.Body.Form + "/files/" + url.PathEscape(f.Body.Name)})
	}
	return v.list(m)
}

func (d *door) file(v *visit) error {
	content, doc, err := d.Surveys.File(v.r.Context(), v.actor, v.r.PathValue("form"), v.r.PathValue("name"))
	if err != nil {
		return err
	}
	defer content.Close()
	if v.fresh(doc.Body.Hash) {
		return nil
	}
	v.w.Header().Set("Content-Type", "application/octet-stream")
	return d.stream(v, content, doc.Body.Size)
}

func (d *door) stream(v *visit, content io.Reader, size int64) error {
	_ = http.NewResponseController(v.w).SetWriteDeadline(time.Now().Add(d.limits.Total)) // large files over slow networks
	v.w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	if v.r.Method == http.MethodHead {
		return nil
	}
	_, err := io.Copy(v.w, content)
	return err
}
