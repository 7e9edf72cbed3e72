package manifest

import (
	"bytes"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"sallyport.dev/sallyport/internal/source/objects"
)

// ignoreLines gives the lines of a document that bear the marker, by what follows it in them.
func ignoreLines(document []byte) map[string][]int {
	if !bytes.Contains(document, []byte(objects.IgnoreMarker)) {
		return nil
	}
	out := map[string][]int{}
	line := 0
	for text := range bytes.Lines(document) {
		line++
		if _, after, ok := bytes.Cut(text, []byte(objects.IgnoreMarker)); ok {
			said := strings.TrimSpace(string(after))
			out[said] = append(out[said], line)
		}
	}
	return out
}

// ignores finds the comments of an object that ask to ignore a finding. What stands on or above the
// first line of a list's item is about the item, and what stands outside spec is about the object.
func (c *converter) ignores(n *yaml.Node) []objects.IgnoreComment {
	if len(c.marked) == 0 {
		return nil
	}
	f := ignoreFinder{c: c}
	f.take(n, "")
	f.inside(n, "", n.Line, "", 0)
	return f.found
}

type ignoreFinder struct {
	c     *converter
	found []objects.IgnoreComment
	seen  int
}

// line gives the line of a comment that a node near it bears: the parser knows only the node's.
func (f *ignoreFinder) line(text string, node int) int {
	lines := f.c.marked[text]
	i, exact := slices.BinarySearch(lines, node)
	switch {
	case len(lines) == 0:
		return f.c.base + node
	case exact || i == 0:
		return f.c.base + lines[i]
	case i == len(lines) || node-lines[i-1] <= lines[i]-node:
		return f.c.base + lines[i-1]
	}
	return f.c.base + lines[i]
}

// inside walks the values in a node that begins on a line; first is the path that a comment on that
// very line is about.
func (f *ignoreFinder) inside(n *yaml.Node, path string, line int, first string, depth int) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if f.seen++; f.seen > maxLines || depth > maxDepth {
		return
	}
	about := func(p string, at int) string {
		if at == line {
			return first
		}
		return p
	}
	switch n.Kind {
	case yaml.SequenceNode:
		for i, item := range n.Content {
			p := about(indexed(path, i), item.Line)
			f.take(item, p)
			f.inside(item, indexed(path, i), item.Line, p, depth+1)
		}
	case yaml.MappingNode:
		members, err := f.c.members(n, 0)
		if err != nil {
			return
		}
		for _, m := range members {
			p := about(joinPath(path, m.key), m.node.Line)
			f.take(m.node, p)
			f.take(m.value, p)
			f.inside(m.value, joinPath(path, m.key), m.node.Line, p, depth+1)
		}
	}
}

// take keeps the comments at a node that bear the marker.
func (f *ignoreFinder) take(n *yaml.Node, path string) {
	if path != "spec" && !strings.HasPrefix(path, "spec.") {
		path = ""
	}
	for _, comment := range []string{n.HeadComment, n.LineComment, n.FootComment} {
		for line := range strings.Lines(comment) {
			text, ok := strings.CutPrefix(strings.TrimLeft(line, "# \t"), objects.IgnoreMarker)
			said := strings.TrimSpace(text)
			if ok && (said == "" || !strings.HasPrefix(text, said)) {
				f.found = append(f.found, objects.IgnoreComment{Path: path, Line: f.line(said, n.Line), Text: said})
			}
		}
	}
}
