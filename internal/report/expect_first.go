package report

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/expect"
	"sallyport.dev/sallyport/internal/names"
)

// FirstTests prints a file of tests that hold for the present picture, as YAML.
func FirstTests(w io.Writer, r *analyze.Reach, notes []string) error {
	tests, skipped := expect.First(r)
	var b page
	b.line("# What sallyport test --init saw. Keep what you want to stay so, and delete the rest.")
	b.line("# Run it with: sallyport test THIS-FILE -f MANIFESTS (or name them under input:).")
	for _, n := range notes {
		b.line("# note: %s", names.Safe(n))
	}
	for _, s := range skipped {
		b.line("# %s is left out: who reaches it is too long a list of addresses", names.Safe(s))
	}
	if len(tests) == 0 {
		b.line("# Everything reaches everything, so there is nothing to test yet. An example:")
		b.line("# - deny: {from: external, to: NAMESPACE/NAME}")
	}
	b.line("apiVersion: sallyport.dev/v1alpha1")
	b.line("kind: PolicyTest")
	if len(tests) == 0 {
		b.line("tests: []")
	} else {
		b.line("tests:")
	}
	for i := range tests {
		t := &tests[i]
		b.line("- name: %s", scalar(t.Name))
		b.line("  %s:", t.Kind)
		b.ends("from", t.From)
		b.ends("to", t.To)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (b *page) ends(what string, list []expect.End) {
	if len(list) == 1 {
		b.line("    %s: %s", what, scalar(list[0].Text))
		return
	}
	b.line("    %s:", what)
	for _, e := range list {
		b.line("    - %s", scalar(e.Text))
	}
}

// plainScalar matches texts that YAML takes for a string as they are.
var plainScalar = regexp.MustCompile(`^[a-z][a-z0-9./:-]*( [a-z0-9./:-]+)*$`)

// scalar writes a text so that YAML reads it back.
func scalar(s string) string {
	if plainScalar.MatchString(s) && !strings.Contains(s, ": ") && !strings.HasSuffix(s, ":") {
		return s
	}
	return fmt.Sprintf("%q", s)
}
