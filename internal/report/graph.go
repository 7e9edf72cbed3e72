package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/names"
)

// What is drawn at most: more cannot be read.
const (
	maxEdges      = 300
	maxNodeNames  = 4
	maxLabelPorts = 4
	maxNotes      = 4
)

// Where lines break, in characters.
const labelWidth, captionWidth = 24, 110

// drawing is what all picture formats show. All its texts are Safe, and none is escaped for a format.
type drawing struct {
	clusters []drawnCluster
	edges    []drawnEdge
	caption  []string
}

// drawnCluster is the nodes of one namespace or of the outside; without a title they stand alone.
type drawnCluster struct {
	title   string
	outside bool
	nodes   []drawnNode
}

type drawnNode struct {
	id    int // counted from 1, over all clusters
	lines []string
}

// drawnEdge is sure where it shows allowed ports, and not where it shows those that may be open.
type drawnEdge struct {
	from, to int // ids of nodes
	lines    []string
	sure     bool
}

// reachGraph prints the connections as a picture, or as the text of one.
func reachGraph(w io.Writer, r *analyze.Reach, o *ReachOptions) error {
	d := draw(r, o)
	var text string
	var err error
	switch o.Format {
	case "mermaid":
		text = mermaidText(d)
	case "svg":
		text, err = svgGraph(d)
	default:
		text = dotGraph(d)
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text)
	return err
}

// draw chooses the finest picture that can be read: parties, or namespaces, or a part of those.
func draw(r *analyze.Reach, o *ReachOptions) *drawing {
	s := look(r, o)
	d := s.byParty()
	if len(d.edges) > maxEdges {
		how := ""
		if !s.namespaces {
			d, how = s.byNamespace(), "; grouped by namespace"
		}
		if len(d.edges) > maxEdges {
			how += fmt.Sprintf("; the first %d of %s arrows are drawn", maxEdges, thousands(len(d.edges)))
			d.edges = d.edges[:maxEdges]
			d.dropLonely()
		}
		d.caption = append(d.caption, fmt.Sprintf("too many to draw: %s connections%s; focus on one end, or use -o json", thousands(s.connections), how))
	}
	d.caption = append(d.caption, d.legend()...)
	if lonely := s.lonely(); lonely > 0 && o.Focus < 0 {
		d.caption = append(d.caption, plural(lonely, "end has no connection that was asked for and is", "ends have no connection that was asked for and are")+" not drawn")
	}
	d.caption = append(d.caption, fewNotes(o.Notes)...)
	return d
}

// legend says what the arrows mean, as far as there are such.
func (d *drawing) legend() []string {
	if len(d.edges) == 0 {
		return []string{"nothing reaches anything that was asked for"}
	}
	var out []string
	if slices.ContainsFunc(d.edges, func(e drawnEdge) bool { return e.sure }) {
		out = append(out, "green, solid: allowed")
	}
	if slices.ContainsFunc(d.edges, func(e drawnEdge) bool { return !e.sure }) {
		out = append(out, "amber, dashed: allowed for some only, or not known; the word says which")
	}
	return out
}

// dropLonely takes out the nodes without an edge, and then the clusters without a node.
func (d *drawing) dropLonely() {
	used := map[int]bool{}
	for _, e := range d.edges {
		used[e.from], used[e.to] = true, true
	}
	for i := range d.clusters {
		c := &d.clusters[i]
		c.nodes = slices.DeleteFunc(c.nodes, func(n drawnNode) bool { return !used[n.id] })
	}
	d.clusters = slices.DeleteFunc(d.clusters, func(c drawnCluster) bool { return len(c.nodes) == 0 })
}

func fewNotes(notes []string) []string {
	var out []string
	for i, n := range notes {
		if i == maxNotes {
			return append(out, fmt.Sprintf("and %s (see -o text)", plural(len(notes)-maxNotes, "more note", "more notes")))
		}
		out = append(out, wrap("note: "+names.Safe(n), captionWidth)...)
	}
	return out
}

// wrap breaks a text at blanks into lines of some length.
func wrap(text string, width int) []string {
	var out []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			out = append(out, line)
			line = word
			continue
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(out, line)
}

// thousands writes a number the way people read it: 1,234.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return thousands(n/1000) + fmt.Sprintf(",%03d", n%1000)
}

// few shortens a list: the first ones, and how many more there are.
func few(list []string, most int) []string {
	if len(list) <= most {
		return list
	}
	return append(slices.Clone(list[:most]), fmt.Sprintf("and %s more", thousands(len(list)-most)))
}
