package vault_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/qanat-water/qanat/internal/base/fault"
	"github.com/qanat-water/qanat/internal/base/vault"
)

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	if _, err := vault.Open(path); fault.KindOf(err) != fault.NotFound {
		t.Errorf("opening none: %v", err)
	}
	v, err := vault.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := vault.Create(path); fault.KindOf(err) != fault.Conflict {
		t.Errorf("making a second one over it: %v", err)
	}
	again, err := vault.Open(path)
	if err != nil || !bytes.Equal(v.Derive("x", 32), again.Derive("x", 32)) {
		t.Errorf("the file gives another key: %v", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := vault.Open(path); fault.KindOf(err) != fault.Denied {
		t.Errorf("a key that others can read was opened: %v", err)
	}
	if err := os.WriteFile(path, []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := vault.Open(path); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a damaged key was opened: %v", err)
	}
}

func TestSealsOpenInTheirPlaceOnly(t *testing.T) {
	v := fresh(t, 1)
	key, wrapped, err := v.NewKey("doc-1")
	if err != nil {
		t.Fatal(err)
	}
	sealed := key.Seal([]byte("secret"), []byte("place"))
	unwrapped, err := v.Unwrap("doc-1", wrapped)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := unwrapped.Open(sealed, []byte("place")); err != nil || string(plain) != "secret" {
		t.Errorf("open = %q, %v", plain, err)
	}
	if _, err := unwrapped.Open(sealed, []byte("elsewhere")); err == nil {
		t.Error("opened at another place")
	}
	if _, err := v.Unwrap("doc-2", wrapped); err == nil {
		t.Error("a key was unwrapped for another owner")
	}
	if _, err := fresh(t, 2).Unwrap("doc-1", wrapped); err == nil {
		t.Error("a key was unwrapped with another master key")
	}
	other, _, err := v.NewKey("doc-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open(sealed, []byte("place")); err == nil {
		t.Error("opened with another key of the same owner")
	}
	if bytes.Equal(sealed, key.Seal([]byte("secret"), []byte("place"))) {
		t.Error("the same content was sealed alike twice")
	}
	for i := range sealed {
		sealed[i] ^= 1
		if _, err := key.Open(sealed, []byte("place")); err == nil {
			t.Fatalf("opened with byte %d changed", i)
		}
		sealed[i] ^= 1
	}
}

func TestPurposesAreApart(t *testing.T) {
	v := fresh(t, 1)
	if bytes.Equal(v.Derive("a", 32), v.Derive("b", 32)) {
		t.Error("two purposes share a key")
	}
	sealed := v.Seal("a", []byte("x"), nil)
	if _, err := v.Open("b", sealed, nil); err == nil {
		t.Error("opened for another purpose")
	}
	if plain, err := v.Open("a", sealed, nil); err != nil || string(plain) != "x" {
		t.Errorf("open = %q, %v", plain, err)
	}
}

func fresh(t *testing.T, seed byte) *vault.Vault {
	t.Helper()
	v, err := vault.New(bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return v
}
