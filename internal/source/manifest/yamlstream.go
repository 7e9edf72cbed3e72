package manifest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"sallyport.dev/sallyport/internal/source/objects"
)

// readYAML reads a stream of YAML documents whose first line is the given one. It splits the stream
// itself, so that one broken document does not hide the others and none can cost too much memory.
func (f *file) readYAML(in *bufio.Reader, line int) {
	var doc bytes.Buffer
	start, tooLarge := line, false
	flush := func() {
		switch {
		case tooLarge:
			f.fail(start, "this document is larger than 32 MiB", "split it, or save it as JSON, which is read object by object")
		default:
			f.document(doc.Bytes(), start)
		}
		doc.Reset()
		start, tooLarge = line, false
	}
	for {
		text, err := readLine(in)
		if isSeparator(text) && !onlyPreamble(doc.Bytes()) {
			flush()
		}
		if !tooLarge {
			doc.Write(text)
		}
		if doc.Len() > maxDocument || errors.Is(err, errTooLarge) {
			tooLarge = true
			doc.Reset()
		}
		line++
		if isEnd(text) {
			flush()
		}
		if err != nil && !errors.Is(err, errTooLarge) {
			flush()
			if !errors.Is(err, io.EOF) {
				f.fail(0, "cannot be read: "+reason(err), "")
			}
			return
		}
	}
}

// readLine gives a line with its end; of an over-long one only the beginning, with errTooLarge.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	tooLarge := false
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > maxDocument {
			tooLarge = true
		} else {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err == nil && tooLarge {
			err = errTooLarge
		}
		return line, err
	}
}

// isSeparator tells whether a line begins a new document. Three dashes in the first column do so
// wherever they stand, even in a block of text.
func isSeparator(line []byte) bool {
	return bytes.HasPrefix(line, []byte("---")) && (len(line) == 3 || strings.ContainsRune(" \t\r\n", rune(line[3])))
}

// isEnd tells whether a line ends a document.
func isEnd(line []byte) bool {
	return bytes.HasPrefix(line, []byte("...")) && (len(line) == 3 || strings.ContainsRune(" \t\r\n", rune(line[3])))
}

// onlyPreamble tells whether text holds a %YAML directive or a comment that asks to ignore a finding,
// and nothing that is not a comment; it then belongs to the document that follows.
func onlyPreamble(text []byte) bool {
	preamble := false
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		switch {
		case len(line) == 0:
		case line[0] == '#':
			preamble = preamble || bytes.Contains(line, []byte(objects.IgnoreMarker))
		case line[0] == '%':
			preamble = true
		default:
			return false
		}
	}
	return preamble
}

var (
	yamlErrorLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)
	template      = regexp.MustCompile(`\{\{`)
)

const templateHint = "this looks like a Helm template; render it first: helm template … | sallyport … -f -"

// document reads one YAML document that begins at a line of the file.
func (f *file) document(text []byte, start int) {
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		line, problem := start, err.Error()
		if m := yamlErrorLine.FindStringSubmatch(problem); m != nil {
			if n, err := strconv.Atoi(m[1]); err == nil {
				line += n - 1
			}
			problem = m[2]
		}
		f.notYAML(text, line, objects.SafeText(problem))
		return
	}
	if len(root.Content) == 0 {
		return // nothing but comments
	}
	c := &converter{base: start - 1, text: text, marked: ignoreLines(text)}
	top := root.Content[0] // a comment that an empty line parts from the object is the document's
	top.HeadComment, top.FootComment = root.HeadComment+"\n"+top.HeadComment, top.FootComment+"\n"+root.FootComment
	f.value(root.Content[0], c, "", "")
}

func (f *file) notYAML(text []byte, line int, problem string) {
	hint := ""
	if template.Match(text) {
		hint = templateHint
	}
	f.fail(line, "this is not YAML: "+problem, hint)
}

// value adds the object in a node, or the objects of the list in it. The type given is that of an
// item of a typed list, which need not say so itself.
func (f *file) value(n *yaml.Node, c *converter, apiVersion, kind string) {
	if n.Kind == yaml.ScalarNode && n.Value == "" && n.Tag == "!!null" {
		return // an empty document
	}
	if text, ok := scalarChild(n, "apiVersion"); ok {
		apiVersion = text
	}
	if text, ok := scalarChild(n, "kind"); ok {
		kind = text
	}
	if items := child(n, "items"); objects.IsList(kind) && items != nil && items.Kind == yaml.SequenceNode {
		itemAPIVersion, itemKind := objects.ItemType(apiVersion, kind)
		for _, item := range items.Content {
			f.value(item, c, itemAPIVersion, itemKind)
		}
		return
	}
	data, err := c.json(n)
	if err != nil {
		f.yamlProblem(c, err)
		return
	}
	f.found(objects.Doc{
		JSON: data, Origin: f.origin(c.base + n.Line), APIVersion: apiVersion, Kind: kind,
		Lines: func() map[string]int { return c.lines(n) }, Ignores: c.ignores(n),
	}, apiVersion, kind)
}

func (f *file) yamlProblem(c *converter, err *yamlError) {
	hint := err.hint
	if hint == "" && template.Match(c.text) {
		hint = templateHint
	}
	f.fail(err.line, err.problem, hint)
}

// child gives the value of a plain key of a mapping, or nil.
func child(n *yaml.Node, key string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := n.Content[i]; k.Kind == yaml.ScalarNode && k.Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func scalarChild(n *yaml.Node, key string) (string, bool) {
	v := child(n, key)
	if v == nil || v.Kind != yaml.ScalarNode {
		return "", false
	}
	return v.Value, true
}
