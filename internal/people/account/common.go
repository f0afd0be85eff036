package account

import (
	_ "embed"
	"strings"
	"sync"
	"unicode"
)

// The list is of our own making: words, names, places and keyboard walks that
// are known to lead every list of leaked passwords, in their bare form. It is
// small because it is compared with the core of a password, after the
// decorations that people add (capitals, digits and signs at the ends, 0 for o,
// @ for a ...) are taken off: one line stands for thousands of passwords.
//
//go:embed common.txt
var commonText string

var commonWords = sync.OnceValue(func() map[string]bool {
	words := map[string]bool{}
	for line := range strings.Lines(commonText) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			words[line] = true
		}
	}
	return words
})

var unleet = strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "8", "b", "9", "g", "@", "a", "$", "s", "!", "i", "+", "t")

// decoration is how many characters beside a common core still make a guess.
const decoration = 6

// isCommon tells whether a password is one of the first guesses: a common word
// or a word of the context with decorations, two common words, a sequence, or
// a short piece that repeats.
func isCommon(password string, context []string) bool {
	words := commonWords()
	known := func(core string) bool { return words[core] }
	for _, text := range context {
		local, domain, _ := strings.Cut(strings.ToLower(text), "@")
		pieces := append(strings.FieldsFunc(local+" "+domain, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }),
			letters(local), strings.ReplaceAll(local, " ", ""))
		before := known
		known = func(core string) bool {
			for _, p := range pieces {
				if len(p) >= 3 && core == p {
					return true
				}
			}
			return before(core)
		}
	}
	lower := strings.ToLower(password)
	if isSequence(lower) || repeats(lower) {
		return true
	}
	bare := strings.TrimFunc(lower, func(r rune) bool { return !unicode.IsLetter(r) })
	forms := []string{lower, bare, letters(lower), unleet.Replace(lower), letters(unleet.Replace(lower)), unleet.Replace(bare)}
	trimmed := strings.TrimRightFunc(lower, func(r rune) bool { return !unicode.IsLetter(r) })
	forms = append(forms, letters(unleet.Replace(trimmed)), unleet.Replace(strings.TrimLeftFunc(trimmed, unicode.IsDigit)))
	for _, form := range forms {
		if form == "" || len(lower)-len(form) > decoration {
			continue
		}
		if known(form) || isSequence(form) && len(form) >= 4 || repeats(form) && len(form) >= 4 {
			return true
		}
		for i := 3; i <= len(form)-3; i++ { // passwordpassword, qanatwater, amina1990 is caught above
			if known(form[:i]) && known(form[i:]) {
				return true
			}
		}
	}
	return false
}

func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return r
		}
		return -1
	}, s)
}

var walks = []string{
	"abcdefghijklmnopqrstuvwxyz", "01234567890123456789", "qwertyuiop", "asdfghjkl", "zxcvbnm", "azertyuiop", "qsdfghjklm",
	"qwertzuiop", "yxcvbnm", "1q2w3e4r5t6y7u8i9o0p", "qazwsxedcrfvtgbyhnujmikolp", "1qaz2wsx3edc4rfv5tgb", "q1w2e3r4t5y6",
}

// isSequence tells whether the whole is one or more walks along the alphabet,
// the digits or the keyboard, at least three keys each.
func isSequence(s string) bool {
	if len(s) < 3 {
		return false
	}
	for len(s) > 0 {
		longest := 0
		for _, walk := range walks {
			for _, w := range []string{walk, reverse(walk)} {
				for n := min(len(s), len(w)); n > longest && n >= 3; n-- {
					if strings.Contains(w, s[:n]) {
						longest = n
						break
					}
				}
			}
		}
		if longest == 0 {
			return false
		}
		s = s[longest:]
	}
	return true
}

// repeats tells whether the whole is one piece of up to four characters again and again.
func repeats(s string) bool {
	for n := 1; n <= 4 && n*2 <= len(s); n++ {
		if strings.Repeat(s[:n], len(s)/n+1)[:len(s)] == s {
			return true
		}
	}
	return false
}

func reverse(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}
