package objects

import (
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
)

const (
	// IgnoreMarker begins a comment that asks to ignore a finding: sallyport:ignore RULE REASON.
	IgnoreMarker = "sallyport:ignore"
	// ignoreAnnotation asks the same of a whole object, a line for each rule: RULE REASON.
	ignoreAnnotation = groupOwn + "/ignore"
	// maxIgnores bounds how many one object may carry.
	maxIgnores = 1000
)

// IgnoreComment is what follows IgnoreMarker in a comment. Path is the part of the object that the
// comment stands at; empty for all of it.
type IgnoreComment struct {
	Path string
	Line int // in the file
	Text string
}

// annotatedIgnores reads the annotation; its lines are about the whole object.
func annotatedIgnores(annotations map[string]string, o cluster.Origin) []IgnoreComment {
	text, ok := annotations[ignoreAnnotation]
	if !ok {
		return nil
	}
	line := o.At("metadata.annotations." + ignoreAnnotation).Line
	var out []IgnoreComment
	for text := range strings.Lines(strings.TrimSpace(text)) {
		if text = strings.TrimSpace(text); text != "" {
			out = append(out, IgnoreComment{Line: line, Text: text})
		}
	}
	return out
}

// ignores puts an object's ignores into the Snapshot.
func (a *assembly) ignores(it *item) {
	list := it.ignores
	if len(list) > maxIgnores {
		a.b.Note(it.origin, it.key.String()+": only the first 1000 ignores count")
		list = list[:maxIgnores]
	}
	for _, c := range list {
		rule, reason, _ := strings.Cut(c.Text, " ")
		o := withoutLines(it.origin)
		o.Line = c.Line
		a.s.Ignores = append(a.s.Ignores, cluster.Ignore{Origin: o, Kind: it.key.kind, Namespace: it.key.namespace, Name: it.key.name,
			Path: c.Path, Rule: rule, Reason: strings.TrimSpace(reason)})
	}
}
