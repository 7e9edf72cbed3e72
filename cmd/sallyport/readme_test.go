package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport.dev/sallyport/policytest"
)

// TestReadmes runs every `$ sallyport …` line in the console blocks of READMEs and docs, from the
// repository's root, and compares what it prints with what the page shows.
func TestReadmes(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	ran := 0
	for _, page := range pages(t) {
		t.Run(page, func(t *testing.T) {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			got, n := executed(string(text))
			ran += n
			switch {
			case got == string(text):
			case *update:
				if err := os.WriteFile(page, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			default:
				t.Errorf("%s does not show what the program prints (go test ./cmd/sallyport -run TestReadmes -update, and review):\n%s", page, firstDifference(string(text), got))
			}
		})
	}
	if ran < 10 {
		t.Errorf("only %d commands were run", ran)
	}
}

func pages(t *testing.T) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != "." {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".md") && !strings.HasPrefix(filepath.ToSlash(path), "policytest/") {
			out = append(out, filepath.ToSlash(path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// executed gives the page with the output of every command put in, and the number of commands.
func executed(page string) (string, int) {
	var out strings.Builder
	lines := strings.SplitAfter(page, "\n")
	n := 0
	for i := 0; i < len(lines); i++ {
		out.WriteString(lines[i])
		if strings.TrimSpace(lines[i]) != "```console" || i+1 == len(lines) || !strings.HasPrefix(lines[i+1], "$ sallyport ") {
			continue
		}
		for i++; i < len(lines) && strings.TrimSpace(lines[i]) != "```"; i++ {
			command, ok := strings.CutPrefix(lines[i], "$ sallyport ")
			if !ok {
				continue // the output that was shown
			}
			if n > 0 && !strings.HasSuffix(out.String(), "```console\n") {
				out.WriteString("\n")
			}
			n++
			out.WriteString(lines[i] + shown(strings.TrimSpace(command)))
		}
		if i < len(lines) {
			out.WriteString(lines[i])
		}
	}
	return out.String(), n
}

// shown is what a person sees after the command: stdout, or the message on stderr.
func shown(command string) string {
	var stdout, stderr bytes.Buffer
	run(policytest.Words(command), strings.NewReader(""), &stdout, &stderr)
	return strings.TrimRight(stdout.String()+stderr.String(), "\n") + "\n"
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return "line " + w[i] + "\nnow  " + g[i]
		}
	}
	return "one is longer than the other"
}
