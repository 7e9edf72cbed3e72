package generate

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const root = "../.."

// TestCurrent: the committed CRDs and deep copies are those that the generator makes of api/v1alpha1 now.
func TestCurrent(t *testing.T) {
	crds, copies := t.TempDir(), t.TempDir()
	c := exec.Command("go", "tool", "-modfile=api/generate/go.mod", "controller-gen", "object", "crd", "paths=./api/v1alpha1",
		"output:crd:dir="+crds, "output:object:dir="+copies)
	c.Dir = root
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	compare(t, crds, filepath.Join(root, "deploy", "crds"), "*.yaml")
	compare(t, copies, filepath.Join(root, "api", "v1alpha1"), "zz_generated*.go")
}

// compare holds the generated files against the committed ones that match a pattern.
func compare(t *testing.T, generated, committed, pattern string) {
	t.Helper()
	want, got := read(t, generated, "*"), read(t, committed, pattern)
	if len(want) == 0 {
		t.Fatalf("nothing was generated for %s", committed)
	}
	for name, data := range want {
		if have, ok := got[name]; !ok || !bytes.Equal(data, have) {
			t.Errorf("%s is not what the generator makes: make generate", filepath.Join(committed, name))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is not made by the generator", filepath.Join(committed, name))
		}
	}
}

// read gives the files of a folder whose names match a pattern.
func read(t *testing.T, dir, pattern string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(path)] = data
	}
	return out
}
