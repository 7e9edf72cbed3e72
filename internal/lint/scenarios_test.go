package lint_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"sallyport.dev/sallyport/internal/lint"
	"sallyport.dev/sallyport/internal/platform"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/source/manifest"
	"sallyport.dev/sallyport/internal/source/objects"
)

var update = flag.Bool("update", false, "rewrite what is found in the scenarios; review the diff")

// TestScenarios lints the manifests of testdata/RULE.txtar (or RULE.MORE.txtar) and compares what that rule finds in
// NAME.yaml with NAME.txt; where there is none, it must find nothing: those are look-alikes that are fine.
// A first line "# options: block-metadata, azure, plugin=cilium@1.16, version=1.20" says under what; the
// file common.yaml stands before each of the others.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) { testScenarios(t, path) })
	}
}

func testScenarios(t *testing.T, path string) {
	a, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rule, _, _ := strings.Cut(filepath.Base(path), ".")
	common, want := "", map[string]string{}
	for _, f := range a.Files {
		if f.Name == "common.yaml" {
			common = string(f.Data) + "---\n"
		}
		want[f.Name] = string(f.Data)
	}
	out := &txtar.Archive{Comment: a.Comment}
	fires, silent := 0, 0
	for _, f := range a.Files {
		name, isManifest := strings.CutSuffix(f.Name, ".yaml")
		if !isManifest {
			continue
		}
		out.Files = append(out.Files, f)
		if name == "common" {
			continue
		}
		got := findings(t, rule, common, string(f.Data))
		if got != "" {
			fires++
			out.Files = append(out.Files, txtar.File{Name: name + ".txt", Data: []byte(got)})
		} else {
			silent++
		}
		if expected := want[name+".txt"]; got != expected && !*update {
			t.Errorf("%s finds:\n%s\nnot:\n%s", f.Name, got, expected)
		}
	}
	if fires == 0 || silent < 2 {
		t.Errorf("the rule fires in %d scenarios and is silent in %d: give one of the first and some of the others", fires, silent)
	}
	if *update {
		if err := os.WriteFile(path, txtar.Format(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// findings gives what a rule finds in manifests, a line for each finding, which begins with
// the severity where that is milder than the rule's, and one each for why and what to do.
func findings(t *testing.T, rule, common, text string) string {
	t.Helper()
	b := objects.NewBuilder(objects.Options{})
	if err := manifest.Load(b, manifest.Options{Files: []string{"-"}, Stdin: strings.NewReader(common + text)}); err != nil {
		t.Fatal(err)
	}
	snap, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(text, "\n")
	in := lint.Input{Written: snap}
	for _, option := range strings.Split(strings.TrimPrefix(first, "# options:"), ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(option), "=")
		switch key {
		case "plugin":
			in.Plugin, err = platform.ParsePlugin(value)
		case "version":
			in.Version, err = platform.ParseVersion(value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	now, _ := in.Version.Apply(snap)
	o := policy.Options{BlockMetadata: strings.Contains(first, "block-metadata"), Azure: strings.Contains(first, "azure"), Strict: strings.Contains(first, "strict"),
		Behaviour: in.Plugin.Behaviour()}
	o.Behaviour.NotEnforced = false // as if something enforced the policies
	in.Model = policy.Compile(now, o)
	var out strings.Builder
	for _, f := range lint.Run(&in) {
		if f.Rule.ID == rule {
			at := f.Object.String() + " " + f.Path
			if f.Severity != f.Rule.Severity {
				at = f.Severity.String() + ": " + at
			}
			fmt.Fprintf(&out, "%s\n  %s\n  %s\n", strings.TrimSpace(at), f.Message, strings.TrimSpace(f.Reason+" "+f.Fix))
		}
	}
	return out.String()
}
