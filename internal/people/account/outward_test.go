package account

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// What an admin writes down as a provider's address reaches nothing of ours.
func TestOutwardReachesThePublicNetworkOnly(t *testing.T) {
	for address, want := range map[string]bool{
		"203.0.113.9": true, "2001:db8::1": true, "8.8.8.8": true,
		"127.0.0.1": false, "::1": false, "10.1.2.3": false, "192.168.1.1": false, "172.16.0.1": false, "169.254.169.254": false, "100.64.0.1": false,
		"0.0.0.0": false, "::": false, "fe80::1": false, "fd00::1": false, "224.0.0.1": false, "255.255.255.255": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false,
	} {
		if got := mayReach(netip.MustParseAddr(address), false); got != want {
			t.Errorf("%s may be reached: %v", address, got)
		}
	}
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "https://example.org/", http.StatusFound)
			return
		}
		_, _ = w.Write([]byte(strings.Repeat("x", outwardSize+1)))
	}))
	defer web.Close()
	if _, err := outward(false).Get(web.URL); err == nil || !strings.Contains(err.Error(), "no public address") {
		t.Errorf("this machine: %v", err)
	}
	if _, err := outward(true).Get("http://example.org"); err == nil || !strings.Contains(err.Error(), "HTTPS") {
		t.Errorf("plain HTTP: %v", err)
	}
	local := outward(true)
	local.Transport = bounded{web.Client().Transport, true}
	answer, err := local.Get(web.URL + "/away")
	if err != nil || answer.StatusCode != http.StatusFound {
		t.Fatalf("a redirection is followed: %v, %v", answer, err)
	}
	answer.Body.Close()
	if answer, err = local.Get(web.URL); err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	n := 0
	for buffer := make([]byte, 64<<10); err == nil; {
		var got int
		got, err = answer.Body.Read(buffer)
		n += got
	}
	if n != outwardSize || !strings.Contains(err.Error(), "too long") {
		t.Errorf("%d bytes of a long answer, %v", n, err)
	}
}
