// Package portal serves the front end that is built into the binary, with the
// headers that keep a browser to it.
//
// It guarantees a strict content security policy on every answer: scripts,
// styles, pictures and connections from here only, no inline code, no frames.
// Files with a hash in their name are cached for ever, the page never. It reads
// nothing but the embedded files. Who controls it controls what people see and
// type; that is why it takes no input.
package portal

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

//go:embed all:dist
var files embed.FS

// policy allows WebAssembly compilation no more than inline code: the portal needs neither.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; font-src 'self'; " +
	"worker-src 'self' blob:; manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

// Headers are set on every answer of the HTTPS door, whatever serves it.
func Headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Strict-Transport-Security", "max-age=63072000")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(self), payment=(), usb=()")
		next.ServeHTTP(w, r)
	})
}

type file struct {
	plain, gzip []byte
	mime        string
}

// Handler serves the portal: its files by name, and its page for every other path.
func Handler() http.Handler {
	all := map[string]func() file{} // read and compressed when first asked for: starting is quick, and most files are never asked for
	dist, err := fs.Sub(files, "dist")
	if err != nil {
		panic("portal: " + err.Error()) // the directory is embedded
	}
	err = fs.WalkDir(dist, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		all["/"+name] = sync.OnceValue(func() file {
			content, err := fs.ReadFile(dist, name)
			if err != nil {
				panic("portal: " + err.Error()) // it is embedded
			}
			return pack(name, content)
		})
		return nil
	})
	if err != nil {
		panic("portal: " + err.Error())
	}
	page, built := all["/index.html"]
	if !built {
		page = all["/placeholder.html"]
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "There are only pages here. The API is at /api/docs.", http.StatusMethodNotAllowed)
			return
		}
		get, found := all[path.Clean(r.URL.Path)]
		switch {
		case found && strings.HasPrefix(r.URL.Path, "/assets/"):
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		case found && !strings.HasSuffix(r.URL.Path, ".html"):
			w.Header().Set("Cache-Control", "public, max-age=3600")
		case path.Ext(r.URL.Path) != "" && !found:
			http.NotFound(w, r)
			return
		default:
			get = page
			w.Header().Set("Cache-Control", "no-store")
		}
		f := get()
		w.Header().Set("Content-Type", f.mime)
		w.Header().Add("Vary", "Accept-Encoding")
		content := f.plain
		if f.gzip != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
			content = f.gzip
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	})
}

// pack compresses once what is worth it.
func pack(name string, content []byte) file {
	f := file{plain: content, mime: mime.TypeByExtension(path.Ext(name))}
	if f.mime == "" {
		f.mime = "application/octet-stream"
	}
	if strings.HasPrefix(f.mime, "font/") || strings.HasPrefix(f.mime, "image/png") {
		return f
	}
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return f
	}
	if _, err := io.Copy(z, bytes.NewReader(content)); err != nil || z.Close() != nil || out.Len() >= len(content) {
		return f
	}
	f.gzip = out.Bytes()
	return f
}
