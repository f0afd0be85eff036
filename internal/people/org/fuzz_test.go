package org

import "testing"

// Whatever is typed, a code that is read is one that could have been made, and is
// read as itself again however it is shown.
func FuzzReadCode(f *testing.F) {
	for range 5 {
		code := newCode()
		f.Add(code)
		f.Add(ShowCode(code))
	}
	f.Add("oil0-0000-0000")
	f.Add("ſ000-0000-0000")
	f.Fuzz(func(t *testing.T, typed string) {
		code, err := readCode(typed)
		if err != nil {
			return
		}
		if len(code) != codeRandom+2 || string(checkOf([]byte(code[:codeRandom]))) != code[codeRandom:] {
			t.Fatalf("%q is read as %q", typed, code)
		}
		if again, err := readCode(ShowCode(code)); err != nil || again != code {
			t.Fatalf("%q is read as %q, %v", ShowCode(code), again, err)
		}
	})
}

func TestEveryCodeCanBeRead(t *testing.T) {
	seen := map[string]bool{}
	for range 2000 {
		code := newCode()
		if read, err := readCode(ShowCode(code)); err != nil || read != code || seen[code] {
			t.Fatalf("%s: %q, %v", code, read, err)
		}
		seen[code] = true
	}
}
