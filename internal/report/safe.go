// Package report renders answers for people and machines: text, JSON.
//
// It must never decide anything, and must never print a name from the input raw: names, labels and
// paths are hostile (Safe).
package report

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Safe escapes everything in a text from the input that could act on a terminal or mislead a
// reader: control characters, bidirectional overrides, invisible and invalid characters.
func Safe(s string) string {
	if !strings.ContainsFunc(s, unsafeRune) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size == 1 {
			b.WriteString(`\x` + strconv.FormatUint(uint64(s[0])|0x100, 16)[1:])
		} else if unsafeRune(r) {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		} else {
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

// safeJSON escapes in JSON text what encoding/json leaves as it is and Safe would not: the value
// stays the same, and a terminal that shows it is not acted upon.
func safeJSON(text string) string {
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

func unsafeInJSON(r rune) bool { return r != '\n' && unsafeRune(r) }

func unsafeRune(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
