package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/bench"
	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/graphviz"
	"sallyport.dev/sallyport/internal/names"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/source/manifest"
	"sallyport.dev/sallyport/internal/source/objects"
)

func reachOf(s *cluster.Snapshot, o analyze.Options) *analyze.Reach {
	m := policy.Compile(s, policy.Options{})
	return analyze.New(m, m.Space(), o)
}

func shop(t *testing.T) *cluster.Snapshot {
	t.Helper()
	b := objects.NewBuilder(objects.Options{DefaultNamespace: "default"})
	if err := manifest.Load(b, manifest.Options{Files: []string{"../../examples/shop"}}); err != nil {
		t.Fatal(err)
	}
	s, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func picture(t *testing.T, r *analyze.Reach, o ReachOptions) string {
	t.Helper()
	var b strings.Builder
	if err := Reach(&b, r, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// twins is a snapshot of workloads in one namespace, all open to all.
func twins(workloads ...string) *cluster.Snapshot {
	s := &cluster.Snapshot{Namespaces: []cluster.Namespace{{Name: "ns"}}}
	for _, w := range workloads {
		s.Pods = append(s.Pods, cluster.Pod{Namespace: "ns", Name: w + "-0", Owner: cluster.Workload{Namespace: "ns", Kind: "deployment", Name: w}, Labels: map[string]string{"app": w}})
	}
	return s
}

func TestGraphIsStable(t *testing.T) {
	s := shop(t)
	for _, format := range []string{"dot", "mermaid", "svg"} {
		o := ReachOptions{Format: format, Focus: -1, Notes: []string{"a note"}}
		first, second := picture(t, reachOf(s, analyze.Options{}), o), picture(t, reachOf(s, analyze.Options{}), o)
		if first != second {
			t.Errorf("%s differs from one time to the next", format)
		}
		for _, want := range []string{"deployment/web", "tcp/5432", "shop", "a note"} {
			if !strings.Contains(first, want) {
				t.Errorf("%s has no %q", format, want)
			}
		}
	}
}

// TestDrawnEdgesAreTheRows unfolds the nodes of a picture and compares with the rows.
func TestDrawnEdgesAreTheRows(t *testing.T) {
	for name, s := range map[string]*cluster.Snapshot{"shop": shop(t), "spread": bench.Spread(60, 60, 20), "uniform": bench.Uniform(60, 120, 60)} {
		r := reachOf(s, analyze.Options{})
		sv := look(r, &ReachOptions{Focus: -1})
		alike := sv.alike()
		nodeOf := map[int]int{}
		for node, members := range alike {
			for _, m := range members {
				nodeOf[m] = node
			}
		}
		pairs := map[[2]int]string{}
		r.Each(false, func(row *analyze.Row) bool {
			if row.From == row.To {
				return true
			}
			k := [2]int{nodeOf[row.From], nodeOf[row.To]}
			text := row.Allowed.String() + "|" + row.Partial.String() + "|" + row.Unknown.String()
			if had, ok := pairs[k]; ok && had != text {
				t.Errorf("%s: %s → %s: %s, and others of the same nodes %s", name, r.Parties[row.From].Name, r.Parties[row.To].Name, text, had)
			}
			pairs[k] = text
			return true
		})
		for k := range pairs {
			for _, a := range alike[k[0]] {
				for _, b := range alike[k[1]] {
					if row, ok := r.Between(a, b); a != b && (!ok || row.Empty()) {
						t.Errorf("%s: nothing is open from %s to %s, and an arrow is drawn", name, r.Parties[a].Name, r.Parties[b].Name)
					}
				}
			}
		}
		t.Logf("%s: %d parties, %d nodes, %d arrows", name, len(r.Parties), len(alike), len(pairs))
	}
}

func TestAlikeAreOneNode(t *testing.T) {
	text := picture(t, reachOf(twins("a", "b", "c", "d", "e", "f", "g"), analyze.Options{}), ReachOptions{Format: "mermaid", Focus: -1})
	for _, want := range []string{`n1["deployment/a<br/>deployment/b<br/>deployment/c<br/>deployment/d<br/>and 3 more"]`, `n1 -->|"all"| n1`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if strings.Contains(text, "n2") {
		t.Errorf("more than one node:\n%s", text)
	}
}

func TestTooManyToDraw(t *testing.T) {
	r := reachOf(bench.Spread(500, 500, 500), analyze.Options{})
	s := look(r, &ReachOptions{Focus: -1})
	for _, format := range []string{"dot", "mermaid"} {
		text := picture(t, r, ReachOptions{Format: format, Focus: -1})
		for _, want := range []string{"too many to draw: " + thousands(s.connections) + " connections", "grouped by namespace"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%.600s", format, want, text)
			}
		}
		if n := strings.Count(text, "->"); n > maxEdges {
			t.Errorf("%s draws %d arrows", format, n)
		}
		if len(text) > 100_000 {
			t.Errorf("%s is %d bytes long", format, len(text))
		}
	}
}

func TestUnsureIsDashed(t *testing.T) {
	d := &drawing{clusters: []drawnCluster{{title: "ns", nodes: []drawnNode{{1, []string{"a"}}, {2, []string{"b"}}}}}}
	b := newBuilder()
	var ports netset.PortSet
	for p := range uint16(6) {
		ports.Add(netset.TCP, netset.PortRange{First: 2*p + 1, Last: 2*p + 1})
	}
	b.portEdges(1, 2, []verdictPorts{{"unknown", ports}})
	d.edges = b.edges
	d.caption = d.legend()
	if text := mermaidText(d); !strings.Contains(text, `n1 -.->|"tcp/1, tcp/3, tcp/5,<br/>tcp/7, and 2 more<br/>#40;unknown#41;"| n2`) || !strings.Contains(text, "amber, dashed") {
		t.Error(text)
	}
	if text := dotGraph(d); !strings.Contains(text, `style="dashed"`) || !strings.Contains(text, `(unknown)`) {
		t.Error(text)
	}
}

var hostile = []string{
	`"]; click n1 "javascript:alert(1)"`, `</text><script>alert(1)</script>`, "end", "a\nend\nclick n1 href", "`code`", "#quot;", "#35;x",
	"&lt;b&gt;", "&#60;b", `\N\G\l\"`, "\x1b[31mred", "a\u202eb", "%%{init: {}}%%", "[x](javascript:y)", "1. list", "- list", "<b>", "{{x}}", "a|b", "]]>", "--> n1", "\xff", "\x00", "x\\",
	`"; n99 [URL="javascript:x"]; "`, `font-family="Verdana"`,
}

// hostileReach has hostile names wherever names can be.
func hostileReach() *analyze.Reach {
	s := &cluster.Snapshot{}
	for i, n := range hostile {
		s.Namespaces = append(s.Namespaces, cluster.Namespace{Name: n})
		for _, w := range []string{n, n + "2"} {
			s.Pods = append(s.Pods, cluster.Pod{Namespace: n, Name: fmt.Sprint(w, i), Owner: cluster.Workload{Namespace: n, Kind: n, Name: w}, Labels: map[string]string{"i": w}})
		}
	}
	// Only the first may be reached, so that not all are alike.
	s.NetworkPolicies = append(s.NetworkPolicies, deny(hostile[1:])...)
	return reachOf(s, analyze.Options{})
}

func deny(namespaces []string) []cluster.NetworkPolicy {
	var out []cluster.NetworkPolicy
	for _, ns := range namespaces {
		out = append(out, cluster.NetworkPolicy{Object: &networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "p"},
			Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}},
		}})
	}
	return out
}

var hostileOptions = ReachOptions{Focus: -1, Notes: hostile[:3]}

func TestHostileMermaid(t *testing.T) {
	o := hostileOptions
	o.Format = "mermaid"
	line := regexp.MustCompile(`^(flowchart LR| *(end|subgraph s\d+\[L\]|(n\d+|caption)\[L\]|n\d+ (-->|-\.->)\|L\| n\d+|linkStyle [\d,]+ stroke:#[0-9a-f]+,color:#[0-9a-f]+|style caption fill:none,stroke:none,text-align:left))$`)
	label := regexp.MustCompile(`"(?:[\p{L}\p{Nd} /.,:-]|#\d+;|<br/>)*"`)
	for l := range strings.Lines(picture(t, hostileReach(), o)) {
		if !line.MatchString(label.ReplaceAllString(strings.TrimSuffix(l, "\n"), "L")) {
			t.Errorf("not of a known form: %q", l)
		}
	}
}

func TestHostileSVG(t *testing.T) {
	o := hostileOptions
	o.Format = "svg"
	text := picture(t, hostileReach(), o)
	if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && names.Unsafe(r) }); i >= 0 {
		t.Errorf("an unsafe character in %q", text[i:i+20])
	}
	var shown []string
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			if !slices.Contains([]string{"svg", "g", "title", "polygon", "path", "text", "polyline"}, e.Name.Local) {
				t.Errorf("<%s> in a picture", e.Name.Local)
			}
			for _, a := range e.Attr {
				if strings.HasPrefix(a.Name.Local, "on") || strings.Contains(a.Name.Local, "href") {
					t.Errorf("attribute %s=%q", a.Name.Local, a.Value)
				}
			}
		case xml.CharData:
			shown = append(shown, strings.ReplaceAll(string(e), "\u00a0", " "))
		}
	}
	for _, n := range hostile {
		if !slices.Contains(shown, names.Safe(n)) {
			t.Errorf("namespace %q is not shown as %q", n, names.Safe(n))
		}
	}
}

func TestHostileDOTIsReadable(t *testing.T) {
	o := hostileOptions
	o.Format = "dot"
	text := picture(t, hostileReach(), o)
	svg, err := graphviz.SVG(text)
	if err != nil {
		t.Fatal(err)
	}
	if nodes, want := strings.Count(svg, `class="node"`), strings.Count(text, `shape="box"`); nodes != want || strings.Contains(svg, "n99</title>") {
		t.Errorf("%d nodes are laid out, %d were meant", nodes, want)
	}
}
