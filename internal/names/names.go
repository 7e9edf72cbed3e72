// Package names handles the texts that people and manifests give to things: showing them without
// danger, and finding the one that was meant.
//
// It imports the standard library only and must never know what a name stands for.
package names

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Unsafe tells whether a character could act on a terminal or mislead a reader: control characters,
// bidirectional overrides, invisible and invalid characters.
func Unsafe(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }

// Safe escapes every unsafe character of a text from the input; a harmless text stays as it is.
func Safe(s string) string {
	if !strings.ContainsFunc(s, Unsafe) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size == 1 {
			b.WriteString(`\x` + strconv.FormatUint(uint64(s[0])|0x100, 16)[1:])
		} else if Unsafe(r) {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		} else {
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

// SafeJSON escapes in JSON text what encoding/json leaves as it is and Safe would not: the value
// stays the same, and a terminal that shows it is not acted upon.
func SafeJSON(text string) string {
	if !strings.ContainsFunc(text, unsafeInJSON) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if !unsafeInJSON(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

func unsafeInJSON(r rune) bool { return r != '\n' && Unsafe(r) }

// Distance counts the insertions, deletions and changes that turn one text into the other; it gives
// up above limit, with a number that is larger.
func Distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
