package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/qanat-water/qanat/internal/base/fault"
)

// The serving process listens on a socket in its data directory, so that 'qanat
// admin' works while it runs. Only processes of the same user may speak to it:
// they could open the directory as well.
const (
	adminSocket  = "admin.sock"
	maxAdminCall = 64 << 10
	adminTime    = time.Minute
)

// socketPath is a way to the socket that is short enough for the system, however
// deep the directory is: through an open handle of it.
func socketPath(dir string) (path string, done func(), err error) {
	d, err := os.Open(dir) // #nosec G304 -- the operator names the directory
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), adminSocket), func() { _ = d.Close() }, nil
}

// openAdmin listens for 'qanat admin'; the lock of the directory is held.
func openAdmin(dir string) (net.Listener, error) {
	path, done, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := os.Remove(filepath.Join(dir, adminSocket)); err != nil && !errors.Is(err, fs.ErrNotExist) { // left by a process that was killed
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("socket for qanat admin: %w", err)
	}
	l.SetUnlinkOnClose(false) // by its own name, below: the handle is closed by then
	if err := os.Chmod(filepath.Join(dir, adminSocket), 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &ownPeers{UnixListener: l, file: filepath.Join(dir, adminSocket)}, nil
}

// ownPeers hangs up on processes of other users.
type ownPeers struct {
	*net.UnixListener
	file string
}

func (l *ownPeers) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if isOwn(c) {
			return c, nil
		}
		_ = c.Close() // nothing was promised to it
	}
}

func (l *ownPeers) Close() error {
	return errors.Join(l.UnixListener.Close(), os.Remove(l.file))
}

func isOwn(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	own := false
	err = raw.Control(func(fd uintptr) {
		who, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED) // #nosec G115 -- a file descriptor
		own = err == nil && int(who.Uid) == os.Geteuid()
	})
	return err == nil && own
}

// adminServer answers the calls of 'qanat admin'.
func (h *house) adminServer(log *slog.Logger) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /admin", func(w http.ResponseWriter, r *http.Request) {
		var call adminCall
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAdminCall))
		dec.DisallowUnknownFields()
		err := dec.Decode(&call)
		if err != nil {
			err = fault.New(fault.Invalid, "admin.call", "The call cannot be read").WithMend("Use the same version of qanat as the server").Because(err)
		}
		var answer any
		if err == nil {
			answer, err = h.administer(r.Context(), call)
		}
		w.Header().Set("Content-Type", "application/json")
		if err == nil {
			_ = json.NewEncoder(w).Encode(answer) // the client is gone if this fails
			return
		}
		if fault.KindOf(err) == fault.Internal {
			log.Error("qanat admin", "do", call.Do, "error", fault.Cause(err))
		}
		f := fault.From(err)
		w.WriteHeader(http.StatusConflict)
		_ = json.NewEncoder(w).Encode(adminRefusal{f.Kind, f.Code, f.Message, f.Mend, f.Details})
	})
	return &http.Server{Handler: mux, ReadHeaderTimeout: adminTime, ReadTimeout: adminTime, WriteTimeout: adminTime, IdleTimeout: adminTime, ErrorLog: quietLog(log)}
}

// adminRefusal is a fault on its way to 'qanat admin'.
type adminRefusal struct {
	Kind    fault.Kind     `json:"kind"`
	Code    string         `json:"code"`
	Message string         `json:"message"`
	Mend    string         `json:"mend"`
	Details []fault.Detail `json:"details"`
}

// ask asks the server that runs on the directory, or, when none does, the house that it opens itself.
func ask[T any](ctx context.Context, a *adminCommand, call adminCall) (T, error) {
	var out T
	raw, running, err := askRunning(ctx, a.Data, call)
	if err == nil && !running {
		var h *house
		if h, err = openHouse(ctx, a.where, "Qanat", newLog("warn")); err != nil {
			return out, err
		}
		defer h.Close()
		h.facts(a.Data, config{}, nil)
		var answer any
		if answer, err = h.administer(ctx, call); err == nil {
			raw, err = json.Marshal(answer)
		}
	}
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(raw, &out)
}

// askRunning speaks to the socket; running is false when nobody listens there.
func askRunning(ctx context.Context, dir string, call adminCall) (answer []byte, running bool, err error) {
	if _, err := os.Stat(filepath.Join(dir, adminSocket)); err != nil {
		return nil, false, nil // without a socket there is no server, or none that this user may see
	}
	path, done, err := socketPath(dir)
	if err != nil {
		return nil, false, err
	}
	defer done()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, false, nil // its process was killed
	}
	if err != nil {
		return nil, true, fault.Newf(fault.Unavailable, "admin.socket", "The running server cannot be asked: %v", err).WithMend("Run this as the user that the server runs as")
	}
	client := &http.Client{Timeout: adminTime, Transport: &http.Transport{
		DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}}
	body, err := json.Marshal(call)
	if err != nil {
		return nil, true, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://admin/admin", bytes.NewReader(body))
	if err != nil {
		return nil, true, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return nil, true, fault.Newf(fault.Unavailable, "admin.socket", "The running server does not answer: %v", errors.Unwrap(err)).WithMend("Run this as the user that the server runs as, and look at its log")
	}
	defer func() { _ = response.Body.Close() }()
	if answer, err = io.ReadAll(io.LimitReader(response.Body, 16<<20)); err != nil {
		return nil, true, err
	}
	if response.StatusCode == http.StatusOK {
		return answer, true, nil
	}
	var r adminRefusal
	if err := json.Unmarshal(answer, &r); err != nil || r.Message == "" {
		return nil, true, fault.Newf(fault.Internal, "admin.answer", "The running server answers %s", response.Status).WithMend("Use the same version of qanat as the server")
	}
	f := fault.New(r.Kind, r.Code, r.Message).WithMend(r.Mend)
	f.Details = r.Details
	return nil, true, f
}
