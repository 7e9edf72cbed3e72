package report

import (
	"io"

	"sallyport.dev/sallyport/internal/lint"
	"sallyport.dev/sallyport/internal/names"
)

// lintAsJUnit prints a test for each finding, and one that passes for each rule without any. A finding
// that is milder than FailOn passes with its text, and an ignored one is skipped.
func lintAsJUnit(w io.Writer, found []lint.Finding, o LintOptions) error {
	s := junitSuite{Name: "sallyport lint"}
	byRule := map[*lint.Rule][]*lint.Finding{}
	for i := range found {
		byRule[found[i].Rule] = append(byRule[found[i].Rule], &found[i])
	}
	for _, r := range lint.Rules() {
		for _, f := range byRule[r] {
			s.add(f, o.FailOn)
		}
		if len(byRule[r]) == 0 {
			s.Cases = append(s.Cases, junitCase{Class: r.ID, Name: r.Title})
		}
	}
	s.Tests = len(s.Cases)
	return writeXML(w, junitSuites{Suites: []junitSuite{s}})
}

func (s *junitSuite) add(f *lint.Finding, failOn lint.Severity) {
	c := junitCase{Class: f.Rule.ID, Name: names.Safe(f.Object.String())}
	if f.Path != "" {
		c.Name += " " + names.Safe(f.Path)
	}
	text := names.Safe(lintWords(f))
	if at := f.Origin.String(); at != "" {
		text = names.Safe(at) + ": " + text
	}
	switch {
	case f.Ignored != nil:
		s.Skipped++
		c.Skipped = &junitProblem{Message: names.Safe("ignored: " + f.Ignored.Reason), Text: text}
	case f.Severity >= failOn:
		s.Failures++
		c.Failure = &junitProblem{Message: names.Safe(f.Message), Type: f.Severity.String(), Text: text}
	default:
		c.Out = f.Severity.String() + ": " + text
	}
	s.Cases = append(s.Cases, c)
}
