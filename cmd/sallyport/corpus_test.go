package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/sallyport/policytest"
)

var update = flag.Bool("update", false, "rewrite expected output; a verdict is never changed")

// product answers scenarios by the program's own command line, in a folder that holds the files.
type product struct{ t *testing.T }

func (p product) Answer(files []policytest.File, question []string) (string, error) {
	dir := p.t.TempDir()
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, []byte(f.Content), 0o644); err != nil {
			return "", err
		}
	}
	p.t.Chdir(dir)
	var stdout, stderr bytes.Buffer
	args := slices.Concat(question[:1], []string{"-f", "."}, question[1:])
	if run(args, strings.NewReader(""), &stdout, &stderr) == 1 {
		return "", errors.New(strings.ReplaceAll(stderr.String(), "sallyport: ", ""))
	}
	return stdout.String(), nil
}

func TestCorpus(t *testing.T) {
	o := policytest.Options{Repeat: func(path string) string {
		return "go test ./cmd/sallyport -run 'TestCorpus/" + strings.TrimSuffix(path, ".txtar") + "$'"
	}}
	dir, err := filepath.Abs("../../policytest/corpus")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		o.UpdateDir = dir
	}
	policytest.Run(t, os.DirFS(dir), product{t}, o)
}
