// Package policytest is a test language for network policy engines: scenarios that a person can
// read, a runner, and a corpus of them for every rule of docs/semantics.md and docs/layers.md.
//
// A scenario is one txtar file: prose that says what it shows, the manifests as somebody would
// write them, and questions with their full answers. An engine is anything that takes the manifests
// and a question as strings and gives the answer as text. This package knows no engine.
package policytest

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"golang.org/x/tools/txtar"
)

//go:embed corpus
var corpus embed.FS

// Corpus gives the scenarios that come with the package.
func Corpus() fs.FS {
	sub, err := fs.Sub(corpus, "corpus")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sub
}

// File is one manifest of a scenario.
type File struct {
	Name    string // relative, with forward slashes
	Content string
}

// Engine answers questions about manifests.
type Engine interface {
	// Answer gets the files of a scenario and a question as words, such as "check", "shop/web",
	// "shop/db:5432". The first word of the answer is the verdict: allowed, denied, unknown,
	// ambiguous or partial. Input that the engine refuses is an error.
	Answer(files []File, question []string) (string, error)
}

// ErrUnsupported is what an engine returns for a question that is not for it; the question is skipped.
var ErrUnsupported = errors.New("not for this engine")

// Scenario is one file of the corpus.
type Scenario struct {
	Path  string // of the file
	Title string // the first line
	Prose string // what follows up to the rules
	Rules []string
	Files []File
	Asked []Asked
}

// Asked is one question and its full answer.
type Asked struct {
	Question string
	Answer   string // without trailing newline; the first word is the verdict
	Line     int    // of the question in the file
}

// Verdict is the first word of an answer.
func (a Asked) Verdict() string { return firstWord(a.Answer) }

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, "\n")
	word, _, _ = strings.Cut(word, " ")
	return word
}

const answersFile = "answers"

var (
	rulesLine = regexp.MustCompile(`(?m)^rules: *(.+)$`)
	ruleName  = regexp.MustCompile(`^[SL][0-9]{1,2}$`)
	verdicts  = map[string]bool{"allowed": true, "denied": true, "unknown": true, "ambiguous": true, "partial": true, "error": true}
)

// Parse reads a scenario. Errors name what is wrong with the file.
func Parse(path string, data []byte) (*Scenario, error) {
	a := txtar.Parse(data)
	s := &Scenario{Path: path}
	if err := s.parseComment(string(a.Comment)); err != nil {
		return nil, err
	}
	found := false
	for _, f := range a.Files {
		if f.Name != answersFile {
			s.Files = append(s.Files, File{f.Name, string(f.Data)})
			continue
		}
		found = true
		before, _, _ := strings.Cut(string(data), "-- "+answersFile+" --\n")
		if err := s.parseAnswers(string(f.Data), strings.Count(before, "\n")+2); err != nil {
			return nil, err
		}
	}
	if !found || len(s.Asked) == 0 {
		return nil, fmt.Errorf("%s: no questions: a file called %q holds lines `? check …` and their answers", path, answersFile)
	}
	return s, nil
}

func (s *Scenario) parseComment(text string) error {
	m := rulesLine.FindStringSubmatchIndex(text)
	if m == nil {
		return fmt.Errorf("%s: no line `rules: S…` or `rules: L…` before the first file", s.Path)
	}
	for _, r := range strings.Split(text[m[2]:m[3]], ",") {
		r = strings.TrimSpace(r)
		if !ruleName.MatchString(r) {
			return fmt.Errorf("%s: %q is not a rule's number", s.Path, r)
		}
		s.Rules = append(s.Rules, r)
	}
	title, prose, _ := strings.Cut(strings.TrimSpace(text[:m[0]]), "\n")
	if title == "" {
		return fmt.Errorf("%s: the first line says what the scenario shows", s.Path)
	}
	s.Title, s.Prose = title, strings.TrimSpace(prose)
	return nil
}

func (s *Scenario) parseAnswers(text string, line int) error {
	for i, l := range strings.Split(text, "\n") {
		if q, ok := strings.CutPrefix(l, "? "); ok {
			s.Asked = append(s.Asked, Asked{Question: q, Line: line + i})
			continue
		}
		if len(s.Asked) == 0 {
			if strings.TrimSpace(l) != "" {
				return fmt.Errorf("%s:%d: an answer without question", s.Path, line+i)
			}
			continue
		}
		last := &s.Asked[len(s.Asked)-1]
		last.Answer += l + "\n"
	}
	for i := range s.Asked {
		a := &s.Asked[i]
		a.Answer = strings.Trim(a.Answer, "\n")
		if !verdicts[a.Verdict()] {
			return fmt.Errorf("%s:%d: the answer begins with %q, which is no verdict", s.Path, a.Line, a.Verdict())
		}
	}
	return nil
}

// Format writes the scenario back with other answers, one for each question; everything else of
// data stays as it is.
func Format(data []byte, questions []Asked) []byte {
	a := txtar.Parse(data)
	var b strings.Builder
	for i, q := range questions {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "? %s\n%s\n", q.Question, q.Answer)
	}
	for i := range a.Files {
		if a.Files[i].Name == answersFile {
			a.Files[i].Data = []byte(b.String())
		}
	}
	return txtar.Format(a)
}

// Words splits a question as a shell would: on spaces, except within single quotes.
func Words(question string) []string {
	var out []string
	var word strings.Builder
	quoted, open := false, false
	for _, r := range question {
		switch {
		case r == '\'':
			quoted, open = !quoted, true
		case r == ' ' && !quoted:
			if open {
				out = append(out, word.String())
			}
			word.Reset()
			open = false
		default:
			word.WriteRune(r)
			open = true
		}
	}
	if open {
		out = append(out, word.String())
	}
	return out
}
