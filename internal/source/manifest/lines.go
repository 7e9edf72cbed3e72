package manifest

import (
	"bytes"
	"encoding/json"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// maxLines bounds how many paths of one object get a line of their own; beyond it the enclosing
// path's line serves.
const maxLines = 200_000

// lines gives the line of every path inside an object, in the form of cluster.Origin.Lines.
func (c *converter) lines(n *yaml.Node) map[string]int {
	out := map[string]int{}
	c.collect(n, "", 0, out)
	return out
}

func (c *converter) collect(n *yaml.Node, path string, depth int, out map[string]int) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if len(out) > maxLines || depth > maxDepth {
		return
	}
	switch n.Kind {
	case yaml.SequenceNode:
		for i, item := range n.Content {
			p := indexed(path, i)
			out[p] = c.base + item.Line
			c.collect(item, p, depth+1, out)
		}
	case yaml.MappingNode:
		members, err := c.members(n, 0)
		if err != nil {
			return
		}
		for _, m := range members {
			p := joinPath(path, m.key)
			out[p] = c.base + m.node.Line
			c.collect(m.value, p, depth+1, out)
		}
	}
}

func indexed(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func joinPath(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// jsonLines does the same for JSON text that begins at a line.
type jsonLines struct {
	data []byte
	pos  int
	line int
	out  map[string]int
}

// linesOfJSON adds the lines inside a valid JSON value to out.
func linesOfJSON(data []byte, path string, line int, out map[string]int) {
	l := jsonLines{data: data, line: line, out: out}
	l.value(path)
}

func (l *jsonLines) next() byte {
	for ; l.pos < len(l.data); l.pos++ {
		switch l.data[l.pos] {
		case '\n':
			l.line++
		case ' ', '\t', '\r', ',', ':':
		default:
			return l.data[l.pos]
		}
	}
	return 0
}

func (l *jsonLines) str() string {
	start := l.pos
	for l.pos++; l.pos < len(l.data) && l.data[l.pos] != '"'; l.pos++ {
		if l.data[l.pos] == '\\' {
			l.pos++
		}
	}
	l.pos = min(l.pos+1, len(l.data))
	text := l.data[start:l.pos]
	if bytes.IndexByte(text, '\\') < 0 {
		return string(text[1 : len(text)-1])
	}
	var s string
	_ = json.Unmarshal(text, &s) // the text is valid JSON
	return s
}

func (l *jsonLines) value(path string) {
	switch l.next() {
	case '{':
		l.pos++
		for l.next() == '"' {
			line := l.line
			p := joinPath(path, l.str())
			l.put(p, line)
			l.value(p)
		}
		l.pos++
	case '[':
		l.pos++
		for i := 0; ; i++ {
			if c := l.next(); c == ']' || c == 0 {
				break
			}
			p := indexed(path, i)
			l.put(p, l.line)
			l.value(p)
		}
		l.pos++
	case '"':
		l.str()
	default:
		for l.pos < len(l.data) && !bytes.ContainsRune([]byte(" \t\r\n,]}"), rune(l.data[l.pos])) {
			l.pos++
		}
	}
}

func (l *jsonLines) put(path string, line int) {
	if len(l.out) < maxLines {
		l.out[path] = line
	}
}
