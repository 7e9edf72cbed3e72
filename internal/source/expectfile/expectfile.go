// Package expectfile reads files of expectations: objects of kind PolicyTest, as people keep them beside
// their manifests.
//
// It must never evaluate a test, and never read manifests: which ones belong to a file is only noted.
package expectfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/expect"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/question"
	"sallyport.dev/sallyport/internal/source/objects"
)

// APIVersion and Kind are those of a file of expectations.
const (
	APIVersion = "sallyport.dev/v1alpha1"
	Kind       = "PolicyTest"
)

// maxSize bounds one file.
const maxSize = 4 << 20

// maxEnds bounds the ends of all tests of one file, each alias counted as what it stands for.
const maxEnds = 100_000

// File is one PolicyTest.
type File struct {
	Path  string
	Input []string // files and directories, relative to the working directory; the file's own directory if it names none
	Tests []expect.Test
}

// Find lists the files that arguments stand for: files as they are, and in directories every YAML file that
// holds a PolicyTest, in the order of names. Hidden files and directories are left out.
func Find(args []string) ([]string, error) {
	var out []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, unreadable(arg, err)
		}
		if !info.IsDir() {
			out = append(out, arg)
			continue
		}
		before := len(out)
		err = filepath.WalkDir(arg, func(path string, d fs.DirEntry, err error) error {
			switch hidden := strings.HasPrefix(d.Name(), ".") && path != arg; {
			case err != nil:
				return unreadable(path, err)
			case d.IsDir() && hidden:
				return fs.SkipDir
			case d.IsDir() || hidden || !d.Type().IsRegular() || !isYAML(path):
				return nil
			}
			data, err := load(path)
			if err == nil && holdsTests(data) {
				out = append(out, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(out) == before {
			return nil, fmt.Errorf("%s: no file with kind: %s in this directory", arg, Kind)
		}
	}
	return out, nil
}

func isYAML(path string) bool {
	ext := strings.ToLower(filepath.Ext(path))
	return ext == ".yaml" || ext == ".yml"
}

// holdsTests is a quick look, so that no manifest is parsed here.
func holdsTests(data []byte) bool {
	return bytes.Contains(data, []byte(Kind)) && bytes.Contains(data, []byte(APIVersion))
}

func unreadable(path string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}

func load(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, unreadable(path, err)
	}
	if len(data) > maxSize {
		if isYAML(path) && !holdsTests(data) {
			return nil, nil // a large manifest
		}
		return nil, fmt.Errorf("%s: larger than %d MiB (divide the tests into several files)", path, maxSize>>20)
	}
	return data, nil
}

// Read reads the PolicyTests of one file; other documents in it are manifests and are passed over. The error
// is objects.InputErrors where the file can be opened.
func Read(path string) ([]File, error) {
	data, err := load(path)
	if err != nil {
		return nil, err
	}
	return parse(path, data)
}

func parse(path string, data []byte) ([]File, error) {
	r := reader{path: path}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var out []File
	for {
		var doc yaml.Node
		err := decoder.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			r.fail(0, objects.SafeText(strings.TrimPrefix(err.Error(), "yaml: ")), "")
			break
		}
		if f, ok := r.document(&doc); ok {
			out = append(out, f)
		}
	}
	switch {
	case len(r.errors) > 0:
		return nil, r.errors
	case len(out) == 0:
		return nil, objects.InputErrors{{Origin: cluster.Origin{File: path}, Problem: "no test in this file", Hint: "it begins with apiVersion: " + APIVersion + ", kind: " + Kind}}
	}
	return out, nil
}

// reader collects the problems of one file.
type reader struct {
	path   string
	errors objects.InputErrors
	count  int // of ends read so far
}

func (r *reader) origin(line int) cluster.Origin { return cluster.Origin{File: r.path, Line: line} }

func (r *reader) fail(line int, problem, hint string) {
	r.errors = append(r.errors, &objects.InputError{Origin: r.origin(line), Problem: problem, Hint: hint})
}

// fields gives the members of a mapping; unknown and repeated ones are problems.
func (r *reader) fields(n *yaml.Node, what string, known ...string) (map[string]*yaml.Node, bool) {
	n = resolved(n)
	if n.Kind != yaml.MappingNode {
		r.fail(n.Line, what+" must be a map of "+strings.Join(known, ", "), "")
		return nil, false
	}
	out := map[string]*yaml.Node{}
	ok := true
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := resolved(n.Content[i])
		_, twice := out[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || !contains(known, key.Value):
			r.fail(key.Line, fmt.Sprintf("%s has no field %s", what, objects.Safe(key.Value)), "its fields are "+strings.Join(known, ", "))
			ok = false
		case twice:
			r.fail(key.Line, fmt.Sprintf("field %s is given twice", key.Value), "")
			ok = false
		default:
			out[key.Value] = resolved(n.Content[i+1])
		}
	}
	return out, ok
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// text gives a scalar's text.
func (r *reader) text(n *yaml.Node, what string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.Value == "" {
		r.fail(n.Line, what+" must be a text", "")
		return "", false
	}
	return n.Value, true
}

// list gives the items of a sequence, or a single value as one.
func list(n *yaml.Node) []*yaml.Node {
	if n.Kind != yaml.SequenceNode {
		return []*yaml.Node{n}
	}
	out := make([]*yaml.Node, len(n.Content))
	for i, item := range n.Content {
		out[i] = resolved(item)
	}
	return out
}

// document reads a PolicyTest; ok is false for anything else.
func (r *reader) document(doc *yaml.Node) (f File, ok bool) {
	if len(doc.Content) != 1 || resolved(doc.Content[0]).Kind != yaml.MappingNode {
		return File{}, false
	}
	top := resolved(doc.Content[0])
	if apiVersion, kind := header(top); kind != Kind || apiVersion != APIVersion {
		if kind == Kind {
			r.fail(top.Line, "apiVersion of a "+Kind+" is "+APIVersion, "")
		}
		return File{}, false
	}
	fields, ok := r.fields(top, Kind, "apiVersion", "kind", "metadata", "input", "tests")
	if !ok {
		return File{}, false
	}
	f = File{Path: r.path}
	if in := fields["input"]; in != nil {
		for _, item := range list(in) {
			if text, ok := r.text(item, "input"); ok {
				f.Input = append(f.Input, filepath.Join(filepath.Dir(r.path), text))
			}
		}
	}
	if len(f.Input) == 0 {
		f.Input = []string{filepath.Dir(r.path)}
	}
	tests := fields["tests"]
	if tests == nil || tests.Kind != yaml.SequenceNode || len(tests.Content) == 0 {
		r.fail(top.Line, "tests must be a list with at least one test", "")
		return File{}, false
	}
	for _, item := range list(tests) {
		if t, ok := r.test(item); ok {
			f.Tests = append(f.Tests, t)
		}
	}
	return f, true
}

func header(top *yaml.Node) (apiVersion, kind string) {
	for i := 0; i+1 < len(top.Content); i += 2 {
		switch top.Content[i].Value {
		case "apiVersion":
			apiVersion = top.Content[i+1].Value
		case "kind":
			kind = top.Content[i+1].Value
		}
	}
	return apiVersion, kind
}

var kinds = []expect.Kind{expect.Allow, expect.Deny, expect.Only}

func (r *reader) test(n *yaml.Node) (expect.Test, bool) {
	t := expect.Test{Origin: r.origin(n.Line)}
	fields, ok := r.fields(n, "a test", "name", "allow", "deny", "only")
	if !ok {
		return t, false
	}
	var body *yaml.Node
	for _, k := range kinds {
		if b := fields[string(k)]; b != nil {
			if body != nil {
				r.fail(n.Line, "a test is one of allow, deny and only", "write two tests")
				return t, false
			}
			t.Kind, body = k, b
		}
	}
	if body == nil {
		r.fail(n.Line, "a test needs allow, deny or only", "")
		return t, false
	}
	ends, ok := r.fields(body, string(t.Kind), "from", "to")
	if !ok {
		return t, false
	}
	before := len(r.errors)
	t.From = r.ends(ends["from"], body, "from", false)
	t.To = r.ends(ends["to"], body, "to", true)
	if t.Name = named(&t); fields["name"] != nil {
		t.Name, _ = r.text(fields["name"], "name")
	}
	return t, len(r.errors) == before
}

// named gives a test without a name one.
func named(t *expect.Test) string {
	words := map[expect.Kind]string{expect.Allow: "%s may reach %s", expect.Deny: "%s may not reach %s", expect.Only: "only %s may reach %s"}
	join := func(ends []expect.End) string {
		var out []string
		for _, e := range ends {
			out = append(out, e.Text)
		}
		const most = 3
		if len(out) > most+1 {
			out = append(out[:most:most], fmt.Sprintf("%d more", len(out)-most))
		}
		return strings.Join(out, ", ")
	}
	return fmt.Sprintf(words[t.Kind], join(t.From), join(t.To))
}

func (r *reader) ends(n, parent *yaml.Node, what string, withPort bool) []expect.End {
	if n == nil || n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		r.fail(parent.Line, what+" is missing", "an end is ns/name, ns/*, external, a CIDR, or {namespace: …, pods: app=web}")
		return nil
	}
	var out []expect.End
	items := list(n)
	if r.count += len(items); r.count > maxEnds {
		if r.count-len(items) <= maxEnds { // once
			r.fail(parent.Line, fmt.Sprintf("more than %d ends in one file", maxEnds), "divide the tests into several files, or name ends by * and by labels")
		}
		return nil
	}
	for _, item := range items {
		var e expect.End
		var err error
		if item.Kind == yaml.MappingNode {
			e, err = r.selected(item, what, withPort)
		} else {
			e, err = expect.ParseEnd(item.Value, withPort)
		}
		switch {
		case errors.Is(err, errReported):
		case err != nil:
			r.fail(item.Line, fmt.Sprintf("%s: %v", what, err), "")
		default:
			out = append(out, e)
		}
	}
	return out
}

// errReported is an end whose problems are among the reader's already.
var errReported = errors.New("not understood")

// selected reads {namespace: shop, pods: app=web, port: 5432}.
func (r *reader) selected(n *yaml.Node, what string, withPort bool) (expect.End, error) {
	known := []string{"namespace", "namespaces", "pods"}
	if withPort {
		known = append(known, "port")
	}
	fields, ok := r.fields(n, what, known...)
	if !ok {
		return expect.End{}, errReported
	}
	sel := &expect.Select{}
	var words []string
	for _, name := range known {
		if fields[name] == nil {
			continue
		}
		text, ok := r.text(fields[name], name)
		if !ok {
			return expect.End{}, errReported
		}
		words = append(words, name+" "+text)
	}
	e := expect.End{Text: strings.Join(words, ", "), Select: sel}
	if (fields["namespace"] == nil) == (fields["namespaces"] == nil) {
		return e, errors.New("give one of namespace (a name, * for any) and namespaces (labels)")
	}
	var err error
	if f := fields["namespace"]; f != nil {
		sel.Namespace = f.Value
	}
	if f := fields["namespaces"]; f != nil {
		if sel.Namespaces, err = labels(f.Value); err != nil {
			return e, fmt.Errorf("namespaces: %w", err)
		}
	}
	if f := fields["pods"]; f != nil {
		if sel.Pods, err = labels(f.Value); err != nil {
			return e, fmt.Errorf("pods: %w", err)
		}
	}
	if f := fields["port"]; f != nil {
		if e.Port, err = question.ParsePort(f.Value); err != nil {
			return e, err
		}
	}
	return e, nil
}

func labels(text string) (policy.Selector, error) {
	ls, err := metav1.ParseToLabelSelector(text)
	if err != nil {
		return nil, fmt.Errorf("%s is not a label selector such as app=web,tier in (a,b)", objects.Safe(text))
	}
	return policy.NewSelector(*ls), nil
}
