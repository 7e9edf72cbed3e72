package report

import "testing"

// TestMarkdown: a file's name, which anybody may choose, is no link and calls nobody.
func TestMarkdown(t *testing.T) {
	for in, want := range map[string]string{
		"@octocat/www.evil.example#1.yaml:3": "@&#8203;octocat/www&#46;evil.example#1.yaml:3",
		"http://evil.example":                "http&#58;//evil.example",
		"a|b <i> [x](y) *_~`\\!&":            "a&#124;b &#60;i&#62; &#91;x&#93;(y) &#42;&#95;&#126;&#96;&#92;&#33;&#38;",
		"policies/db.yaml:13":                "policies/db.yaml:13",
	} {
		if got := markdown(in); got != want {
			t.Errorf("%q is written %q, want %q", in, got, want)
		}
	}
}
