package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/lint"
	"sallyport.dev/sallyport/policytest"
)

const lintPages = "../../docs/lint"

// pageHeadings are the sections of a rule's page, in order.
var pageHeadings = []string{"What it finds", "Why it matters", "Bad", "Good", "When to ignore it"}

// example is a fenced block of YAML on a rule's page: ```yaml bad FLAGS or ```yaml good FLAGS.
var example = regexp.MustCompile("(?ms)^```yaml (bad|good)([^\n]*)\n(.*?)^```\n")

// found is the block below a bad example: what the rule finds in it.
var found = regexp.MustCompile("(?s)^\n```text\n(.*?)```\n")

// TestLintPages checks that each rule has a page, that the rule fires on each bad example of it and
// on no good one, and that what the page says of the findings is what the program prints.
func TestLintPages(t *testing.T) {
	pages := map[string]bool{"README.md": true}
	folder, err := filepath.Abs(lintPages)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range lint.Rules() {
		name := r.ID + ".md"
		pages[name] = true
		t.Run(r.ID, func(t *testing.T) { testLintPage(t, r, filepath.Join(folder, name)) })
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !pages[f.Name()] {
			t.Errorf("docs/lint/%s is about no rule", f.Name())
		}
	}
}

func testLintPage(t *testing.T, r *lint.Rule, path string) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	if want := pageHead(r); !strings.HasPrefix(page, want) {
		t.Errorf("the page does not begin with %q", want)
	}
	rest := page
	for _, h := range pageHeadings {
		_, after, ok := strings.Cut(rest, "\n## "+h+"\n")
		if !ok {
			t.Errorf("no heading %q, or not in its place", h)
			continue
		}
		rest = after
	}
	count := map[string]int{}
	var out strings.Builder
	for rest = page; ; {
		at := example.FindStringSubmatchIndex(rest)
		if at == nil {
			break
		}
		sort, flags, manifest := rest[at[2]:at[3]], rest[at[4]:at[5]], rest[at[6]:at[7]]
		out.WriteString(rest[:at[1]])
		rest = rest[at[1]:]
		count[sort]++
		text := findingsOf(t, r.ID, manifest, policytest.Words(flags))
		if sort == "good" {
			if text != "" {
				t.Errorf("the rule fires on a good example:\n%s", text)
			}
			continue
		}
		if text == "" {
			t.Errorf("the rule does not fire on a bad example:\n%s", manifest)
		}
		fmt.Fprintf(&out, "\n```text\n%s```\n", text)
		rest = strings.TrimPrefix(rest, found.FindString(rest))
	}
	out.WriteString(rest)
	if count["bad"] == 0 || count["good"] == 0 {
		t.Errorf("the page has %d bad examples and %d good ones", count["bad"], count["good"])
	}
	switch {
	case out.String() == page:
	case *update && !t.Failed():
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the page does not show what the program prints (go test ./cmd/sallyport -run TestLintPages -update, and review):\n%s", firstDifference(page, out.String()))
	}
}

// pageHead is how the page of a rule begins.
func pageHead(r *lint.Rule) string {
	article := "A"
	if r.Severity == lint.Error {
		article = "An"
	}
	return fmt.Sprintf("# %s\n\n%s %s: %s.\n", r.ID, article, r.Severity, r.Title)
}

// findingsOf lints a manifest, the file example.yaml, and gives what is printed of one rule.
func findingsOf(t *testing.T, rule, manifest string, flags []string) string {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("example.yaml", []byte(manifest), 0o644); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if run(append([]string{"lint", "-f", "example.yaml", "--fail-on", "never"}, flags...), strings.NewReader(""), &stdout, &stderr) != 0 {
		t.Fatalf("%s\n%s", stderr.String(), manifest)
	}
	return onlyRule(stdout.String(), rule)
}

// onlyRule leaves the findings of one rule in the text of a report, with the objects they are about.
func onlyRule(text, rule string) string {
	var out, object strings.Builder
	keep := false
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "    "):
		case strings.HasPrefix(line, "  "):
			keep = strings.Fields(line)[1] == rule
			if keep && object.Len() > 0 {
				if out.Len() > 0 {
					out.WriteString("\n")
				}
				out.WriteString(object.String())
				object.Reset()
			}
		default:
			keep = false
			object.Reset()
			if line != "\n" {
				object.WriteString(line)
			}
		}
		if keep {
			out.WriteString(line)
		}
	}
	return out.String()
}

// TestLintTable keeps the table of docs/lint/README.md.
func TestLintTable(t *testing.T) {
	path := filepath.Join(lintPages, "README.md")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| rule | severity | finds |\n|---|---|---|\n")
	for _, r := range lint.Rules() {
		fmt.Fprintf(&table, "| [%s](%s.md) | %s | %s |\n", r.ID, r.ID, r.Severity, r.Title)
	}
	is := regexp.MustCompile(`(?m)(^\|.*\n)+`).ReplaceAllLiteralString(string(data), table.String())
	switch {
	case is == string(data) && strings.Contains(is, table.String()):
	case *update:
		if err := os.WriteFile(path, []byte(is), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the table is not that of the rules (go test ./cmd/sallyport -run TestLintTable -update)")
	}
}
