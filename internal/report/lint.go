package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/lint"
	"sallyport.dev/sallyport/internal/names"
)

// LintOptions choose how findings are printed.
type LintOptions struct {
	Version string        // of the program
	FailOn  lint.Severity // the mildest that fails
	Notes   []string      // of the input
	Color   bool
}

// mostOfRule is how many findings of one rule are printed as text before the rest is only counted.
const mostOfRule = 20

// LintFormats are the forms in which findings are printed.
var LintFormats = []string{"text", "json", "sarif", "junit"}

// Lint prints findings in one of LintFormats.
func Lint(w io.Writer, format string, found []lint.Finding, o LintOptions) error {
	switch format {
	case "json":
		return lintAsJSON(w, found, o)
	case "sarif":
		return lintAsSARIF(w, found, o)
	case "junit":
		return lintAsJUnit(w, found, o)
	}
	return lintAsText(w, found, o)
}

// lintAsText keeps those of an object together, in the order of files.
func lintAsText(w io.Writer, found []lint.Finding, o LintOptions) error {
	p := lintPrinter{o: o, printed: map[*lint.Rule]int{}}
	for i := range found {
		if f := &found[i]; f.Ignored == nil {
			p.finding(f)
		}
	}
	p.folded(found)
	if p.Len() > 0 {
		p.line("")
	}
	p.line("%s", lintSummary(found))
	return p.flush(w, o.Notes)
}

type lintPrinter struct {
	page
	o       LintOptions
	last    lint.Object
	printed map[*lint.Rule]int
}

func (p *lintPrinter) finding(f *lint.Finding) {
	if p.printed[f.Rule]++; p.printed[f.Rule] > mostOfRule {
		return
	}
	if p.Len() == 0 || f.Object != p.last {
		if p.Len() > 0 {
			p.line("")
		}
		p.line("%s", names.Safe(f.Object.String()))
	}
	p.last = f.Object
	where := ""
	for _, s := range []string{f.Origin.String(), f.Path} {
		if s != "" {
			where += "  " + names.Safe(s)
		}
	}
	p.line("  %s  %s%s", p.severity(f.Severity), f.Rule.ID, where)
	p.line("    %s", names.Safe(sentence(f.Message)))
	if f.Reason != "" {
		p.line("    %s", names.Safe(f.Reason))
	}
	if f.Fix != "" {
		p.line("    fix: %s", names.Safe(f.Fix))
	}
}

// sentence ends a message with a full stop, as reason and fix end.
func sentence(s string) string { return strings.TrimSuffix(s, ".") + "." }

func (p *lintPrinter) severity(s lint.Severity) string {
	if !p.o.Color {
		return s.String()
	}
	code := map[lint.Severity]string{lint.Note: "36", lint.Warning: "33", lint.Error: "31"}[s]
	return "\x1b[1;" + code + "m" + s.String() + "\x1b[0m"
}

// folded says how many findings were not printed.
func (p *lintPrinter) folded(found []lint.Finding) {
	var rest []string
	for i := range found {
		r := found[i].Rule
		if n := p.printed[r] - mostOfRule; n > 0 {
			rest = append(rest, fmt.Sprintf("and %d more of %s", n, r.ID))
			p.printed[r] = 0
		}
	}
	if len(rest) > 0 {
		slices.Sort(rest)
		p.line("")
		p.line("%s (-o json has them all)", strings.Join(rest, ", "))
	}
}

// lintSummary counts the findings by severity.
func lintSummary(found []lint.Finding) string {
	count, ignored := map[lint.Severity]int{}, 0
	for i := range found {
		if found[i].Ignored != nil {
			ignored++
		} else {
			count[found[i].Severity]++
		}
	}
	var parts []string
	for s := lint.Error; s >= lint.Note; s-- {
		if count[s] > 0 {
			parts = append(parts, plural(count[s], s.String(), s.String()+"s"))
		}
	}
	text := strings.Join(parts, ", ")
	if text == "" {
		text = "nothing found"
	}
	if ignored > 0 {
		text += fmt.Sprintf("; %d ignored", ignored)
	}
	return text
}
