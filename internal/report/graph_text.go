package report

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/emicklei/dot"

	"sallyport.dev/sallyport/internal/graphviz"
)

// Colours of arrows and frames; all texts on white have a contrast of 4.5 and more. The font that
// Graphviz measures is a wide one, so that texts fit where another has to be taken.
const (
	green, amber     = "#15803d", "#b45309"
	ink, frame       = "#0f172a", "#64748b"
	shade, shadeRim  = "#f1f5f9", "#cbd5e1"
	warm, warmRim    = "#fff7ed", "#fdba74"
	drawnFont        = "Verdana"
	sureStyle, maybe = "solid", "dashed"
)

// svgGraph lays out a drawing. Graphviz measures one font, and a browser may need another; no text can
// hold the attribute, since quotes are escaped in all.
func svgGraph(d *drawing) (string, error) {
	svg, err := graphviz.SVG(dotGraph(d))
	return strings.ReplaceAll(svg, `font-family="`+drawnFont+`"`, `font-family="`+drawnFont+`,DejaVu Sans,Helvetica,Arial,sans-serif"`), err
}

// dotGraph writes a drawing in the language of Graphviz.
func dotGraph(d *drawing) string {
	g := dot.NewGraph(dot.Directed)
	g.ID("reach")
	g.Attrs("rankdir", "LR", "bgcolor", "white", "fontname", drawnFont, "fontsize", "11", "fontcolor", ink, "nodesep", "0.3", "ranksep", "0.9", "pad", "0.2",
		"labelloc", "b", "labeljust", "l", "label", dotText(d.caption, `\l`))
	nodes := map[int]dot.Node{}
	for i, c := range d.clusters {
		in := g
		if c.title != "" {
			in = g.Subgraph(fmt.Sprintf("s%06d", i+1), dot.ClusterOption{})
			dotCluster(in, c)
		}
		for _, n := range c.nodes {
			nodes[n.id] = in.Node(fmt.Sprintf("n%06d", n.id))
			dotNode(nodes[n.id], n, c.outside)
		}
	}
	for _, e := range d.edges {
		dotEdge(g.Edge(nodes[e.from], nodes[e.to]), e)
	}
	return g.String()
}

func dotCluster(g *dot.Graph, c drawnCluster) {
	fill, rim := shade, shadeRim
	if c.outside {
		fill, rim = warm, warmRim
	}
	g.Attrs("label", dotText([]string{c.title}, ""), "style", "filled,rounded", "fillcolor", fill, "color", rim, "fontname", drawnFont,
		"fontsize", "13", "fontcolor", ink, "labelloc", "t", "labeljust", "l", "margin", "14")
}

func dotNode(n dot.Node, d drawnNode, outside bool) {
	rim := frame
	if outside {
		rim = warmRim
	}
	n.Attrs("label", dotText(d.lines, `\n`), "shape", "box", "style", "filled,rounded", "fillcolor", "white", "color", rim,
		"fontname", drawnFont, "fontsize", "12", "fontcolor", ink, "margin", "0.16,0.08", "height", "0.4")
}

func dotEdge(e dot.Edge, d drawnEdge) {
	colour, style := green, sureStyle
	if !d.sure {
		colour, style = amber, maybe
	}
	e.Attrs("label", dotText(d.lines, `\n`), "color", colour, "fontcolor", colour, "style", style, "penwidth", "1.3", "arrowsize", "0.7",
		"fontname", drawnFont, "fontsize", "10")
}

// dotText quotes a text. Graphviz knows backslash sequences and the entities of HTML in labels.
func dotText(lines []string, end string) dot.Literal {
	var b strings.Builder
	for i, l := range lines {
		b.WriteString(strings.NewReplacer(`\`, `\\`, `"`, `\"`, "&", "&amp;").Replace(l))
		if end == `\l` || i < len(lines)-1 {
			b.WriteString(end)
		}
	}
	return dot.Literal(`"` + b.String() + `"`)
}

// mermaidText writes a drawing as a Mermaid flowchart.
func mermaidText(d *drawing) string {
	var b page
	b.line("flowchart LR")
	for i, c := range d.clusters {
		indent := "  "
		if c.title != "" {
			b.line("  subgraph s%d[%s]", i+1, mermaidLabel([]string{c.title}))
			indent = "    "
		}
		for _, n := range c.nodes {
			b.line("%sn%d[%s]", indent, n.id, mermaidLabel(n.lines))
		}
		if c.title != "" {
			b.line("  end")
		}
	}
	styled := map[string][]string{} // numbers of arrows by colour
	for i, e := range d.edges {
		arrow, colour := "-->", green
		if !e.sure {
			arrow, colour = "-.->", amber
		}
		b.line("  n%d %s|%s| n%d", e.from, arrow, mermaidLabel(e.lines), e.to)
		styled[colour] = append(styled[colour], fmt.Sprint(i))
	}
	for _, colour := range []string{green, amber} {
		if len(styled[colour]) > 0 {
			b.line("  linkStyle %s stroke:%s,color:%[2]s", strings.Join(styled[colour], ","), colour)
		}
	}
	b.line("  caption[%s]", mermaidLabel(d.caption))
	b.line("  style caption fill:none,stroke:none,text-align:left")
	return b.String()
}

// mermaidLabel quotes a text. Mermaid reads quotes, brackets, HTML, Markdown and #entities; in labels
// every character may be written as one of the last, so all that is not plainly harmless is.
func mermaidLabel(lines []string) string {
	var b strings.Builder
	for i, l := range lines {
		if i > 0 {
			b.WriteString("<br/>")
		}
		runes := []rune(l)
		for j, r := range runes {
			if harmless(r) && !(strings.ContainsRune(".-", r) && (j+1 == len(runes) || runes[j+1] == ' ')) {
				b.WriteRune(r)
			} else {
				fmt.Fprintf(&b, "#%d;", r)
			}
		}
	}
	return `"` + b.String() + `"`
}

// harmless characters mean nothing to Mermaid; dot and hyphen only where a blank follows, as in a list.
func harmless(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(" /.,:-", r)
}
