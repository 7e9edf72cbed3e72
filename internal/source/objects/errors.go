package objects

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/names"
)

// maxReported caps how many problems one message lists; more of them help nobody.
const maxReported = 50

// InputError is one problem of the input, said in the user's words.
type InputError struct {
	Origin  cluster.Origin
	Object  string // such as "NetworkPolicy shop/web", already safe to print; empty for a whole file
	Problem string
	Hint    string // what to do about it; may be empty
}

// Error gives "file:line: Kind ns/name: problem (hint: …)".
func (e *InputError) Error() string {
	var parts []string
	for _, p := range []string{place(e.Origin), e.Object, e.Problem} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	s := strings.Join(parts, ": ")
	if e.Hint != "" {
		s += " (hint: " + e.Hint + ")"
	}
	return s
}

// InputErrors are all problems of one input, sorted by place.
type InputErrors []*InputError

// Error lists the problems on a line each; after fifty it only counts them.
func (es InputErrors) Error() string {
	var lines []string
	for i, e := range es {
		if i == maxReported {
			lines = append(lines, fmt.Sprintf("and %d more", len(es)-i))
			break
		}
		lines = append(lines, e.Error())
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find a single problem.
func (es InputErrors) Unwrap() []error {
	out := make([]error, len(es))
	for i, e := range es {
		out[i] = e
	}
	return out
}

// sorted orders the problems by place and text and drops exact repetitions (S61).
func (es InputErrors) sorted() InputErrors {
	slices.SortFunc(es, func(a, b *InputError) int {
		return cmp.Or(compareOrigin(a.Origin, b.Origin), cmp.Compare(a.Object, b.Object),
			cmp.Compare(a.Problem, b.Problem), cmp.Compare(a.Hint, b.Hint))
	})
	return slices.CompactFunc(es, func(a, b *InputError) bool { return a.Error() == b.Error() })
}

func compareOrigin(a, b cluster.Origin) int {
	return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.ResourceVersion, b.ResourceVersion))
}

// place is Origin.String with a hostile file name quoted.
func place(o cluster.Origin) string {
	o.File = Safe(o.File)
	return o.String()
}

// Safe gives text from the input as it may be printed: unchanged if it is harmless, else quoted and
// escaped. Over-long text is cut.
func Safe(s string) string {
	const most = 200
	cut := len(s) > most
	if cut {
		s = s[:most]
	}
	harmless := utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return names.Unsafe(r) || r == '"'
	})
	if !harmless {
		s = strconv.QuoteToASCII(s)
	}
	if cut {
		s += "…"
	}
	return s
}

// SafeText gives a library's message as it may be printed: on one line, what is not printable
// escaped, and cut where it gets too long to read.
func SafeText(s string) string {
	const most = 300
	var out strings.Builder
	for _, r := range strings.Join(strings.Fields(s), " ") {
		if out.Len() > most {
			out.WriteString("…")
			break
		}
		if names.Unsafe(r) {
			out.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}

// problem is something wrong at a path inside one object.
type problem struct {
	path string
	text string // complete, with the path in it where that helps
	hint string
	// harmless: a server would refuse it, but what it says is clear.
	harmless bool
}
