package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/tools/txtar"

	"sallyport.dev/sallyport/policytest"
)

// inputFlags are the flags that say what is read and for which cluster; each has a value.
var inputFlags = []string{"-f", "-k", "-n", "--aks", "--plugin", "--kube-version", "--pod-cidr"}

// TestLintExamples lints every input that a README or a page of docs asks something of, and every
// folder of examples, and compares all that is printed with testdata/lint/examples.txtar.
func TestLintExamples(t *testing.T) {
	golden, err := filepath.Abs("testdata/lint/examples.txtar")
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	archive := &txtar.Archive{Comment: []byte("What lint prints of every example, and its exit status. Written by go test ./cmd/sallyport -run TestLintExamples -update; review the difference.\n")}
	for _, command := range inputsOfPages(t) {
		out, status := lintText(strings.Fields(command))
		archive.Files = append(archive.Files, txtar.File{Name: command, Data: fmt.Appendf(nil, "%s[%d]\n", out, status)})
	}
	compareGolden(t, golden, archive)
}

// TestLintRecipes does the same for the recipes that everybody knows, which must be free of warnings unless
// the golden file says that one is right.
func TestLintRecipes(t *testing.T) {
	archive := &txtar.Archive{Comment: []byte("What lint prints of every recipe, and its exit status. Written by go test ./cmd/sallyport -run TestLintRecipes -update; review the difference.\n")}
	corpusFolders(t, func(dir string, _ *policytest.Scenario) {
		if path := filepath.ToSlash(dir); strings.Contains(path, "/recipes/") {
			out, status := lintText([]string{"lint", "-f", dir})
			out = strings.ReplaceAll(out, dir+string(filepath.Separator), "")
			archive.Files = append(archive.Files, txtar.File{Name: path[strings.Index(path, "/recipes/")+1:], Data: fmt.Appendf(nil, "%s[%d]\n", out, status)})
		}
	})
	if len(archive.Files) < 15 {
		t.Fatalf("only %d recipes", len(archive.Files))
	}
	compareGolden(t, "testdata/lint/recipes.txtar", archive)
}

// compareGolden compares what was printed with a golden file, or rewrites that under -update.
func compareGolden(t *testing.T, golden string, archive *txtar.Archive) {
	t.Helper()
	got := txtar.Format(archive)
	want, err := os.ReadFile(golden)
	switch {
	case bytes.Equal(got, want):
	case *update:
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("lint prints something else than %s (%v):\n%s", filepath.Base(golden), err, firstDifference(string(want), string(got)))
	}
}

// inputsOfPages lists the command lines of lint, sorted, that have the inputs of the pages' commands.
func inputsOfPages(t *testing.T) []string {
	t.Helper()
	seen := map[string]bool{}
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ sallyport "); ok {
				words := policytest.Words(command)
				if input := inputOf(words); len(input) > 0 && words[0] != "import" { // which reads no manifests
					seen[strings.Join(append([]string{"lint"}, input...), " ")] = true
				}
			}
		}
	}
	folders, err := filepath.Glob("examples/*")
	if err != nil || len(folders) < 3 {
		t.Fatalf("%v %v", folders, err)
	}
	for _, f := range folders {
		seen["lint -f "+filepath.ToSlash(f)] = true
	}
	if len(seen) < 8 {
		t.Fatalf("only %d inputs", len(seen))
	}
	return slices.Sorted(maps.Keys(seen))
}

func inputOf(words []string) []string {
	var out []string
	for i := 0; i+1 < len(words); i++ {
		if slices.Contains(inputFlags, words[i]) {
			out = append(out, words[i], words[i+1])
		}
	}
	return out
}

func lintText(args []string) (string, int) {
	var stdout, stderr bytes.Buffer
	status := run(args, strings.NewReader(""), &stdout, &stderr)
	return stdout.String() + stderr.String(), status
}

// lintInputs have findings of every severity, ignored ones among them.
var lintInputs = [][]string{
	{"-f", "../../examples/shop"}, {"-f", "../../examples/shop-mistakes"}, {"-f", "testdata/world"}, {"-f", "testdata/lint/ignored.yaml"},
	{"-f", "../../examples/shop-mistakes", "--plugin", "none", "--kube-version", "1.9"}, {"-f", "testdata/lint/hostile.json"},
}

// sarifSchema compiles the official schema of SARIF 2.1.0. go-sarif has it in its source and keeps it to
// itself; its own validation is of its types, which fill in empty fields that the schema does not allow.
func sarifSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	const path = "github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	p, err := build.Import(path, ".", build.FindOnly)
	if err != nil {
		t.Fatal(err)
	}
	source, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, "schema.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	text, err := strconv.Unquote(source.Scope.Lookup("schema").Decl.(*ast.ValueSpec).Values[0].(*ast.BasicLit).Value)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("sarif.json", tree); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("sarif.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestLintSARIF checks the output against the official schema, and that results, rules and places
// belong together.
func TestLintSARIF(t *testing.T) {
	schema := sarifSchema(t)
	if validate(schema, []byte(`{"version": "2.1.0", "runs": [{"results": []}]}`)) == nil {
		t.Fatal("the schema takes a run without a tool")
	}
	results, suppressed := 0, 0
	check := func(input []string) {
		out, status := lintText(slices.Concat([]string{"lint", "-o", "sarif"}, input))
		if status == 1 {
			return // a scenario of what cannot be read
		}
		if err := validate(schema, []byte(out)); err != nil {
			t.Errorf("%v: %v\n%s", input, err, out)
		}
		report, err := sarif.FromString(out)
		if err != nil {
			t.Fatalf("%v: %v\n%s", input, err, out)
		}
		rules := report.Runs[0].Tool.Driver.Rules
		for _, r := range report.Runs[0].Results {
			results++
			suppressed += len(r.Suppressions)
			if i := r.RuleIndex; i < 0 || i >= len(rules) || *rules[i].ID != *r.RuleID {
				t.Errorf("%v: result of %s points to rule %d", input, *r.RuleID, i)
			}
			for _, l := range r.Locations {
				if p := l.PhysicalLocation; p != nil && (p.Region == nil || *p.Region.StartLine < 1) {
					t.Errorf("%v: %s is nowhere: %+v", input, *r.RuleID, p)
				}
			}
		}
	}
	for _, input := range lintInputs {
		check(input)
	}
	corpusFolders(t, func(dir string, s *policytest.Scenario) { check([]string{"-f", dir}) })
	if results < 500 || suppressed < 5 {
		t.Errorf("only %d results, %d of them suppressed", results, suppressed)
	}
}

// TestLintJUnit checks that the counts are those of the tests in it, and that the failures are those
// findings for which the exit status fails.
func TestLintJUnit(t *testing.T) {
	type message struct {
		Text string `xml:",chardata"`
	}
	type suites struct {
		Suite []struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
			Skipped  int `xml:"skipped,attr"`
			Cases    []struct {
				Class   string   `xml:"classname,attr"`
				Failure *message `xml:"failure"`
				Skipped *message `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	skipped := 0
	for _, input := range lintInputs {
		failed := map[string]int{}
		for _, on := range []string{"note", "warning", "error", "never"} {
			out, status := lintText(slices.Concat([]string{"lint", "-o", "junit", "--fail-on", on}, input))
			var s suites
			if err := xml.Unmarshal([]byte(out), &s); err != nil || len(s.Suite) != 1 {
				t.Fatalf("%v: %v\n%s", input, err, out)
			}
			failures, skips := 0, 0
			for _, c := range s.Suite[0].Cases {
				if c.Failure != nil {
					failures++
				}
				if c.Skipped != nil {
					skips++
				}
			}
			failed[on] = failures
			skipped += skips
			if s.Suite[0].Failures != failures || s.Suite[0].Skipped != skips || s.Suite[0].Tests != len(s.Suite[0].Cases) {
				t.Errorf("%v --fail-on %s: the counts are not those of the tests", input, on)
			}
			if (status == 2) != (failures > 0) {
				t.Errorf("%v --fail-on %s: status %d with %d failures", input, on, status, failures)
			}
		}
		if failed["note"] < failed["warning"] || failed["warning"] < failed["error"] || failed["never"] != 0 {
			t.Errorf("%v: %v", input, failed)
		}
	}
	if skipped == 0 {
		t.Error("no ignored finding is a skipped test")
	}
}

// TestLintOrder: the order of files does not show, nor whether ignores are comments or annotations.
func TestLintOrder(t *testing.T) {
	dir := "../../examples/shop-mistakes/"
	parts := []string{"policies", "namespaces.yaml", "web.yaml", "api.yaml", "db.yaml", "cache.yaml", "jobs.yaml", "monitoring.yaml", "ingress.yaml", "dns.yaml"}
	var forward, backward []string
	for _, p := range parts {
		forward = append(forward, "-f", dir+p)
		backward = append([]string{"-f", dir + p}, backward...)
	}
	for _, o := range []string{"text", "json", "sarif", "junit"} {
		a, _ := lintText(slices.Concat([]string{"lint", "-o", o}, forward))
		b, _ := lintText(slices.Concat([]string{"lint", "-o", o}, backward))
		if a != b || a == "" {
			t.Errorf("-o %s shows the order of the input: %s", o, firstDifference(a, b))
		}
	}
}

// TestLintFolds: text names the first findings of a rule and counts the rest, and nothing else folds.
func TestLintFolds(t *testing.T) {
	var input strings.Builder
	input.WriteString(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": "web", "labels": {"app": "web"}}}` + "\n")
	for i := range 45 {
		fmt.Fprintf(&input, `{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"namespace": "shop", "name": "p%d"}, "spec": {"podSelector": {"matchLabels": {"app": "none%d"}}}}`+"\n", i, i)
	}
	for output, want := range map[string]int{"text": 20, "json": 45, "sarif": 45, "junit": 45} {
		var stdout, stderr bytes.Buffer
		run([]string{"lint", "-f", "-", "-o", output}, strings.NewReader(input.String()), &stdout, &stderr)
		for i, mark := range []string{"no pod in shop has app=none"} {
			if got := strings.Count(strings.ReplaceAll(stdout.String(), `message="`+mark, ""), mark); got != want {
				t.Errorf("-o %s: %d findings, want %d (%d)", output, got, want, i)
			}
		}
		if more := "and 25 more of selects-nothing"; output == "text" && !strings.Contains(stdout.String(), more) {
			t.Errorf("the text does not say %q:\n%s", more, stdout.String())
		}
	}
}
