package sallyport

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "sallyport.dev/sallyport"

// source is a Go file with what the rules of the house ask of it.
type source struct {
	path, dir string
	test      bool
	imports   []string
	name      string // of the package
	doc       string // the package's doc comment, if it is in this file
}

// sources reads every Go file of the module.
func sources(t *testing.T) []source {
	t.Helper()
	var out []source
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		s := source{path: path, dir: filepath.ToSlash(filepath.Dir(path)), test: strings.HasSuffix(path, "_test.go"), name: f.Name.Name, doc: f.Doc.Text()}
		for _, i := range f.Imports {
			s.imports = append(s.imports, strings.Trim(i.Path.Value, `"`))
		}
		out = append(out, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 20 {
		t.Fatalf("only %d files found: is the test run in the root?", len(out))
	}
	return out
}

// forbid is one arrow that may not exist.
type forbid struct {
	from    []string // folders; a trailing slash means everything below
	imports []string // import paths; a trailing slash means everything below
	why     string
}

var arrows = []forbid{
	{
		[]string{"internal/policy", "internal/eval", "internal/layers", "internal/failure", "internal/cover", "internal/lint", "internal/explain", "internal/question", "internal/analyze", "internal/expect", "internal/cluster", "internal/flow", "internal/netset", "internal/names", "internal/platform", "internal/azure", "internal/program"},
		[]string{"k8s.io/client-go/", "github.com/google/nftables", "github.com/vishvananda/netlink", "net/http", "os", "os/", "log", "log/", "time"},
		"the core is pure: no I/O, clock or log, so that a prediction depends on its input only",
	},
	{
		[]string{"internal/netset", "internal/flow", "internal/names"},
		[]string{"k8s.io/", "sigs.k8s.io/", "github.com/", "go4.org/"},
		"leaves use the standard library only, so that anything may import them",
	},
	{
		[]string{"internal/report"},
		[]string{module + "/internal/policy", module + "/internal/source/"},
		"report renders facts: it knows nothing of the model's insides and never reads input",
	},
	{
		[]string{"internal/policy"},
		[]string{module + "/internal/eval", module + "/internal/question", module + "/internal/explain", module + "/internal/report", module + "/internal/source/", module + "/internal/platform"},
		"data flows down, imports point up: the model knows none of its uses",
	},
	{
		[]string{"internal/eval"},
		[]string{module + "/internal/question", module + "/internal/explain", module + "/internal/report", module + "/internal/source/"},
		"the evaluator answers flows; who asked and how it is shown is below it",
	},
	{
		[]string{"internal/layers"},
		[]string{module + "/internal/question", module + "/internal/analyze", module + "/internal/failure", module + "/internal/report", module + "/internal/source/", module + "/internal/explain"},
		"the layers answer flows: who asked, what fails and how it is shown is below them",
	},
	{
		[]string{"internal/failure"},
		[]string{module + "/internal/report", module + "/internal/source/", module + "/internal/question", module + "/internal/lint"},
		"failures are facts about paths: how they are asked for or shown is not theirs to know",
	},
	{
		[]string{"internal/question", "internal/explain", "internal/platform", "internal/expect", "internal/analyze", "internal/cover", "internal/lint"},
		[]string{module + "/internal/report", module + "/internal/source/"},
		"answers and explanations are facts: how they are read or rendered is not theirs to know",
	},
	{
		[]string{"internal/program"},
		[]string{module + "/internal/report", module + "/internal/source/", module + "/internal/question", module + "/internal/analyze"},
		"a program is what the model comes to on a node: who loads it and who asks about it is below it",
	},
	{
		[]string{"internal/kernel", "internal/netns", "internal/conntrack"},
		[]string{module + "/internal/policy", module + "/internal/eval", module + "/internal/layers", module + "/internal/cluster", module + "/internal/source/", module + "/internal/report", "os/exec"},
		"the kernel is given tables, and told which connections to cut: what that means is above it, and no program is run for it",
	},
	{
		[]string{"internal/source/directory"},
		[]string{module + "/internal/source/objects", module + "/internal/source/kube", module + "/internal/policy", module + "/internal/report"},
		"a directory is watched: what is in its files is read by those who are given the word",
	},
	{
		[]string{"internal/node"},
		[]string{module + "/internal/policy", module + "/internal/eval", module + "/internal/layers", module + "/internal/kernel", module + "/internal/source/", module + "/internal/report", "os/exec"},
		"the facts of a node are about interfaces and addresses: what policies mean and what the kernel holds is not theirs to know",
	},
	{
		[]string{"internal/azure"},
		[]string{module + "/internal/policy", module + "/internal/cluster", module + "/internal/layers", module + "/internal/report", module + "/internal/source/"},
		"what Azure says becomes objects as people write them: how they are printed, read and judged is not its to know",
	},
	{
		[]string{"internal/cover"},
		[]string{module + "/internal/eval", module + "/internal/question", module + "/internal/explain", module + "/internal/lint", module + "/internal/report", module + "/internal/source/"},
		"what covers a rule is asked of the model alone: explanations and findings are its uses",
	},
	{
		[]string{"internal/explain", "internal/lint"},
		[]string{module + "/internal/question"},
		"an explanation is of the model; what was asked is beside it",
	},
	{
		[]string{"internal/cluster"},
		[]string{module + "/internal/policy", module + "/internal/eval", module + "/internal/source/"},
		"the Snapshot is a value: it knows neither its sources nor its uses",
	},
	{
		[]string{"internal/oracle/"},
		[]string{module + "/internal/policy", module + "/internal/eval", module + "/internal/report", module + "/internal/question", "k8s.io/apimachinery/pkg/labels"},
		"the oracle is the second opinion: it shares only leaves and the Snapshot with what it checks",
	},
	{
		[]string{"api/"},
		[]string{module + "/", "k8s.io/client-go/", "k8s.io/apiextensions-apiserver/"},
		"the types of the API are for everybody: they know nothing of the program",
	},
	{
		[]string{"policytest"},
		[]string{module + "/"},
		"policytest drives any engine: it knows none",
	},
}

func under(path string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if dir, all := strings.CutSuffix(p, "/"); all {
			return path == dir || strings.HasPrefix(path, p)
		}
		return path == p
	})
}

func TestArrows(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, rule := range arrows {
			if !under(s.dir, rule.from) {
				continue
			}
			for _, i := range s.imports {
				if under(i, rule.imports) {
					t.Errorf("%s imports %s: %s", s.path, i, rule.why)
				}
			}
		}
	}
}

func TestProductNeverImportsTests(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || strings.HasPrefix(s.dir, "internal/oracle") || s.dir == "policytest" || s.dir == "internal/netns/netnstest" {
			continue
		}
		for _, i := range s.imports {
			if i == "testing" || i == module+"/internal/source/kube/fakeapi" || i == module+"/internal/source/objects/owncases" || i == module+"/internal/netns/netnstest" || strings.HasPrefix(i, module+"/internal/oracle") || i == module+"/policytest" || i == "pgregory.net/rapid" {
				t.Errorf("%s imports %s: the product never imports its oracle or testing", s.path, i)
			}
		}
	}
}

func TestNothingImportsCmd(t *testing.T) {
	for _, s := range sources(t) {
		if slices.ContainsFunc(s.imports, func(i string) bool { return strings.HasPrefix(i, module+"/cmd") }) {
			t.Errorf("%s imports a command: flags and exit statuses live there only", s.path)
		}
	}
}

func TestOnlyRimsReadInput(t *testing.T) {
	rim := []string{"cmd/", "internal/source/", "internal/oracle/", "internal/report"}
	for _, s := range sources(t) {
		if s.test || under(s.dir, rim) {
			continue
		}
		for _, i := range s.imports {
			if strings.Contains(i, "yaml") {
				t.Errorf("%s imports %s: YAML lives at the rim only", s.path, i)
			}
		}
	}
}

func TestOnlyOnePackageTalksToServers(t *testing.T) {
	rim := []string{"cmd/", "internal/source/kube/"}
	for _, s := range sources(t) {
		if under(s.dir, rim) {
			continue
		}
		for _, i := range s.imports {
			if strings.HasPrefix(i, "k8s.io/client-go") {
				t.Errorf("%s imports %s: client-go lives in source/kube and in the commands only", s.path, i)
			}
		}
	}
}

func TestPackagesHaveNamesAndDocs(t *testing.T) {
	docs := map[string]string{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		if slices.Contains([]string{"util", "utils", "common", "helpers", "types"}, s.name) {
			t.Errorf("%s: package %s: a package is named for what it holds", s.path, s.name)
		}
		docs[s.dir] += s.doc
	}
	for dir, doc := range docs {
		if doc == "" {
			t.Errorf("%s: no package comment", dir)
		}
		if strings.HasPrefix(dir, "internal/") && !strings.Contains(doc, "never") {
			t.Errorf("%s: the package comment does not say what the package must never do", dir)
		}
	}
}
