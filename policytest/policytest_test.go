package policytest

import (
	"errors"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const good = `A title that says what is shown.
More prose.

rules: S12, S10

-- policy.yaml --
kind: x
-- answers --
? check a/b c/d:80
allowed  a/b

  because

? check 'x y' z
error  no
`

func TestParse(t *testing.T) {
	s, err := Parse("x.txtar", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if s.Title != "A title that says what is shown." || s.Prose != "More prose." || !slices.Equal(s.Rules, []string{"S12", "S10"}) {
		t.Errorf("comment read as %q %q %q", s.Title, s.Prose, s.Rules)
	}
	if len(s.Files) != 1 || s.Files[0] != (File{"policy.yaml", "kind: x\n"}) {
		t.Errorf("files read as %q", s.Files)
	}
	want := []Asked{{"check a/b c/d:80", "allowed  a/b\n\n  because", 9}, {"check 'x y' z", "error  no", 14}}
	if !slices.Equal(s.Asked, want) {
		t.Errorf("answers read as %+v, want %+v", s.Asked, want)
	}
	if got := string(Format([]byte(good), s.Asked)); got != good {
		t.Errorf("not written back as it was:\n%s", got)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, change := range map[string][2]string{
		"no rules":           {"rules: S12, S10", ""},
		"a rule's bad name":  {"S12, S10", "S12, rule 10"},
		"no title":           {"A title that says what is shown.\nMore prose.\n", ""},
		"no verdict":         {"allowed  a/b", "maybe  a/b"},
		"no answers":         {"-- answers --", "-- replies --"},
		"an answer too soon": {"-- answers --\n", "-- answers --\nallowed\n"},
	} {
		if _, err := Parse("x.txtar", []byte(strings.Replace(good, change[0], change[1], 1))); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestWords(t *testing.T) {
	for in, want := range map[string][]string{
		"check a b":              {"check", "a", "b"},
		"check '[::1]:80'  x":    {"check", "[::1]:80", "x"},
		"a 'b c' ''":             {"a", "b c", ""},
		"  lead and  trail  ":    {"lead", "and", "trail"},
		"mid'dle quo'te --flag=": {"middle quote", "--flag="},
	} {
		if got := Words(in); !slices.Equal(got, want) {
			t.Errorf("Words(%q) = %q, want %q", in, got, want)
		}
	}
}

// fixed answers every question with one text.
type fixed struct {
	text string
	err  error
}

func (f fixed) Answer([]File, []string) (string, error) { return f.text, f.err }

func TestRunUpdatesTextButNoVerdict(t *testing.T) {
	one := strings.Replace(good, "\n? check 'x y' z\nerror  no\n", "", 1)
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/x.txtar", []byte(one), 0o644); err != nil {
		t.Fatal(err)
	}
	Run(t, os.DirFS(dir), fixed{text: "allowed  in other words\n"}, Options{UpdateDir: dir})
	got, err := os.ReadFile(dir + "/x.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(got), "\nallowed  in other words\n") {
		t.Errorf("the answer was not rewritten:\n%s", got)
	}
	Run(t, fstest.MapFS{"x.txtar": {Data: []byte(one)}}, fixed{text: "allowed, said otherwise"[:7]}, Options{VerdictOnly: true})
	Run(t, fstest.MapFS{"x.txtar": {Data: []byte(one)}}, fixed{err: ErrUnsupported}, Options{})
	if got, _ := ask(fixed{err: errors.New("bad input")}, nil, "check a b"); got != "error  bad input" {
		t.Errorf("an engine's error is shown as %q", got)
	}
}

// TestCorpusCoversEveryRule keeps the promise that each rule is shown by at least two scenarios.
func TestCorpusCoversEveryRule(t *testing.T) {
	var text []byte
	for _, page := range []string{"../docs/semantics.md", "../docs/layers.md"} {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, data...)
	}
	cited, total, verdicts := map[string]int{}, 0, map[string]int{}
	folders := map[string]int{}
	err := fs.WalkDir(Corpus(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".txtar") {
			return err
		}
		data, err := fs.ReadFile(Corpus(), path)
		if err != nil {
			return err
		}
		s, err := Parse(path, data)
		if err != nil {
			return err
		}
		total++
		folder, file, _ := strings.Cut(path, "/")
		folders[folder]++
		numbered := folder == "recipes" || folder == "aks" // which follow a text of their own
		if rule, _, _ := strings.Cut(file, "-"); !numbered && !slices.Contains(s.Rules, strings.ToUpper(rule)) {
			t.Errorf("%s: the name begins with a rule that the scenario does not cite", path)
		}
		for _, r := range s.Rules {
			cited[r]++
		}
		for _, q := range s.Asked {
			verdicts[q.Verdict()]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`\*\*([SL][0-9]+)\.`).FindAllStringSubmatch(string(text), -1) {
		number, _ := strconv.Atoi(m[1][1:])
		beyond := 60 // where rules are no longer about the answer to one question
		if m[1][0] == 'L' {
			beyond = 50
		}
		if number < beyond && cited[m[1]] < 2 {
			t.Errorf("rule %s is shown by %d scenarios, and not by two", m[1], cited[m[1]])
		}
	}
	for r := range cited {
		if !strings.Contains(string(text), "**"+r+".") && !strings.Contains(string(text), "**"+r+"**") {
			t.Errorf("scenarios cite %s, which neither docs/semantics.md nor docs/layers.md has", r)
		}
	}
	if total < 150 || folders["recipes"] < 15 || folders["aks"] < 3 || folders["layers"] < 65 {
		t.Errorf("%d scenarios, %v: fewer than promised", total, folders)
	}
	t.Logf("%d scenarios, verdicts %v", total, verdicts)
}
