package policytest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Options choose how a corpus is run. The zero value compares full answers.
type Options struct {
	// VerdictOnly compares the first word of each answer, for engines with explanations of their own.
	VerdictOnly bool
	// UpdateDir, where set, is the folder of the corpus on disk: answers are rewritten there. An
	// answer whose verdict would change is never rewritten; it fails.
	UpdateDir string
	// Repeat, where set, gives the command that repeats one scenario, for failure messages.
	Repeat func(path string) string
}

// Run runs each scenario of a corpus against an engine, as a subtest named by the file's path.
func Run(t *testing.T, corpus fs.FS, engine Engine, o Options) {
	t.Helper()
	count := 0
	err := fs.WalkDir(corpus, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".txtar") {
			return err
		}
		count++
		t.Run(strings.TrimSuffix(path, ".txtar"), func(t *testing.T) { runFile(t, corpus, path, engine, o) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if count == 0 {
		t.Fatal("the corpus holds no scenario")
	}
}

func runFile(t *testing.T, corpus fs.FS, path string, engine Engine, o Options) {
	data, err := fs.ReadFile(corpus, path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(path, data)
	if err != nil {
		t.Fatal(err)
	}
	changed := false
	for i := range s.Asked {
		q := &s.Asked[i]
		got, err := ask(engine, s.Files, q.Question)
		if errors.Is(err, ErrUnsupported) {
			continue
		}
		switch {
		case firstWord(got) != q.Verdict():
			t.Errorf("%s\nthe verdict should be %q", failure(s, q, got, o), q.Verdict())
		case o.VerdictOnly || got == q.Answer:
		case o.UpdateDir != "":
			q.Answer, changed = got, true
		default:
			t.Errorf("%s", failure(s, q, got, o))
		}
	}
	if changed && !t.Failed() {
		if err := os.WriteFile(filepath.Join(o.UpdateDir, filepath.FromSlash(path)), Format(data, s.Asked), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func ask(engine Engine, files []File, question string) (string, error) {
	got, err := engine.Answer(files, Words(question))
	if errors.Is(err, ErrUnsupported) {
		return "", err
	}
	if err != nil {
		return "error  " + strings.TrimSpace(err.Error()), nil
	}
	return strings.Trim(got, "\n"), nil
}

func failure(s *Scenario, q *Asked, got string, o Options) string {
	text := fmt.Sprintf("%s:%d (%s)\n%s\n? %s\n--- want\n%s\n--- got\n%s", s.Path, q.Line, strings.Join(s.Rules, ", "), s.Title, q.Question, q.Answer, got)
	if o.Repeat != nil {
		text += "\n--- repeat with\n" + o.Repeat(s.Path)
	}
	return text
}
