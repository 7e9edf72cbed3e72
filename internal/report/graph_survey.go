package report

import (
	"fmt"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/names"
)

// survey is what one pass over the rows tells: enough to see which parties are alike, without
// keeping the rows.
type survey struct {
	r           *analyze.Reach
	o           *ReachOptions
	namespaces  bool // the parties are namespaces
	connections int
	parties     []partySum
	labels      map[string]int
	between     map[nsPair]*tally
	pairs       []nsPair // the keys of between, in order
}

// partySum stands for all rows of a party.
type partySum struct {
	out, in   sum
	self      int   // label of the row to itself; 0 if there is none
	labels    []int // the distinct ones of its rows to others
	connected bool
}

// sum adds up the rows of a party, each mixed into 128 bits, so that the order does not matter and one
// more row can be added for a try.
type sum [2]uint64

func (s sum) plus(other, label int) sum {
	key := uint64(other)<<32 | uint64(label)
	return sum{s[0] + mix(key, 0x9e3779b97f4a7c15), s[1] + mix(key, 0xd1b54a32d192ed03)}
}

// mix is the finaliser of splitmix64.
func mix(x, seed uint64) uint64 {
	x = (x ^ seed) + seed
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// nsPair is two clusters, by title.
type nsPair struct{ from, to clusterKey }

type clusterKey struct {
	title   string
	outside bool
}

// tally counts the connections between two namespaces.
type tally struct {
	sure, unsure int
	words        []string // the verdicts of the unsure ones
}

// look goes through all rows once.
func look(r *analyze.Reach, o *ReachOptions) *survey {
	s := &survey{r: r, o: o, parties: make([]partySum, len(r.Parties)), labels: map[string]int{}, between: map[nsPair]*tally{}}
	s.namespaces = !slices.ContainsFunc(r.Parties, func(p analyze.Party) bool { return !p.External && p.Name != p.Namespace })
	r.Each(false, func(row *analyze.Row) bool {
		if list := s.open(row); len(list) > 0 {
			s.add(row, list)
		}
		return true
	})
	return s
}

// open is what of a row is drawn.
func (s *survey) open(row *analyze.Row) []verdictPorts {
	if !s.o.keep(row) {
		return nil
	}
	return slices.DeleteFunc(s.o.verdicts(row), func(v verdictPorts) bool { return v.verdict == "denied" })
}

func (s *survey) add(row *analyze.Row, list []verdictPorts) {
	s.connections++
	label := s.label(list)
	from, to := &s.parties[row.From], &s.parties[row.To]
	from.connected, to.connected = true, true
	if row.From == row.To {
		from.self = label
	} else {
		from.out, to.in = from.out.plus(row.To, label), to.in.plus(row.From, label)
		from.labels, to.labels = appendLabel(from.labels, label), appendLabel(to.labels, label)
	}
	k := nsPair{s.namespaceOf(row.From), s.namespaceOf(row.To)}
	t := s.between[k]
	if t == nil {
		t = &tally{}
		s.between[k] = t
		s.pairs = append(s.pairs, k)
	}
	t.add(list)
}

// label numbers what is open on a row, from 1.
func (s *survey) label(list []verdictPorts) int {
	var key strings.Builder
	for _, v := range list {
		key.WriteString(portsCell(v) + "\n")
	}
	id, ok := s.labels[key.String()]
	if !ok {
		id = len(s.labels) + 1
		s.labels[key.String()] = id
	}
	return id
}

func appendLabel(list []int, label int) []int {
	if slices.Contains(list, label) {
		return list
	}
	return append(list, label)
}

func (t *tally) add(list []verdictPorts) {
	if list[0].verdict == "allowed" {
		t.sure++
		list = list[1:]
	}
	if len(list) > 0 {
		t.unsure++
	}
	for _, v := range list {
		if !slices.Contains(t.words, v.verdict) {
			t.words = append(t.words, v.verdict)
			slices.Sort(t.words)
		}
	}
}

func (s *survey) namespaceOf(party int) clusterKey {
	p := &s.r.Parties[party]
	if p.External {
		return clusterKey{"outside the cluster", true}
	}
	return clusterKey{names.Safe(p.Namespace), false}
}

// clusterOf is where a party is drawn: namespaces stand alone.
func (s *survey) clusterOf(party int) clusterKey {
	k := s.namespaceOf(party)
	if s.namespaces && !k.outside {
		k.title = ""
	}
	return k
}

func (s *survey) lonely() int {
	n := 0
	for i := range s.parties {
		if !s.parties[i].connected && !s.r.Parties[i].Stranger {
			n++
		}
	}
	return n
}

// alike gathers the parties of a cluster that open the same to the same others and are reached by the
// same others on the same ports; among themselves they have nothing open, or the same each way.
func (s *survey) alike() [][]int {
	type key struct {
		cluster          clusterKey
		self, each       int
		outward, inbound sum
	}
	at := map[key]int{}
	var out [][]int
	for i := range s.parties {
		p := &s.parties[i]
		if !p.connected {
			continue
		}
		keys := []key{{s.clusterOf(i), p.self, 0, p.out, p.in}}
		for _, l := range p.labels {
			keys = append(keys, key{s.clusterOf(i), p.self, l, p.out.plus(i, l), p.in.plus(i, l)})
		}
		node := len(out)
		for _, k := range keys {
			if known, ok := at[k]; ok {
				node = known
			}
		}
		if node == len(out) {
			out = append(out, nil)
		}
		for _, k := range keys {
			at[k] = node
		}
		out[node] = append(out[node], i)
	}
	return out
}

// byParty draws a node for each set of parties that are alike.
func (s *survey) byParty() *drawing {
	b := newBuilder()
	alike := s.alike()
	nodeOf := make([]int, len(s.parties))
	for node, members := range alike {
		b.node(s.clusterOf(members[0]), s.nodeLines(members))
		for _, m := range members {
			nodeOf[m] = node
		}
	}
	type link struct{ from, to, label int }
	seen := map[link]bool{}
	for node, members := range alike {
		s.r.EachFrom(members[0], false, func(row *analyze.Row) bool {
			list := s.open(row)
			if len(list) == 0 {
				return true
			}
			if l := (link{node, nodeOf[row.To], s.label(list)}); !seen[l] {
				seen[l] = true
				b.portEdges(l.from, l.to, list)
			}
			return true
		})
	}
	return b.drawing()
}

// nodeLines names the parties of a node; where they are is said by the cluster.
func (s *survey) nodeLines(members []int) []string {
	var list []string
	for _, m := range members {
		p := &s.r.Parties[m]
		name := strings.TrimPrefix(p.Name, "external/")
		if !p.External && !s.namespaces {
			name = strings.TrimPrefix(p.Name, p.Namespace+"/")
		}
		list = append(list, names.Safe(name))
	}
	return few(list, maxNodeNames)
}

// byNamespace draws a node for each namespace, and counts.
func (s *survey) byNamespace() *drawing {
	b := newBuilder()
	at := map[clusterKey]int{}
	node := func(k clusterKey) int {
		n, ok := at[k]
		if !ok {
			n = b.node(clusterKey{"", k.outside}, []string{k.title})
			at[k] = n
		}
		return n
	}
	for i := range s.parties {
		if s.parties[i].connected {
			node(s.namespaceOf(i))
		}
	}
	for _, k := range s.pairs {
		t := s.between[k]
		if t.sure > 0 {
			b.edge(node(k.from), node(k.to), []string{connections(t.sure)}, true)
		}
		if t.unsure > 0 {
			b.edge(node(k.from), node(k.to), []string{connections(t.unsure), strings.Join(t.words, ", ")}, false)
		}
	}
	return b.drawing()
}

func connections(n int) string {
	if n == 1 {
		return "1 connection"
	}
	return thousands(n) + " connections"
}

// builder makes a drawing of nodes in any order.
type builder struct {
	clusters []drawnCluster
	at       map[clusterKey]int
	place    [][2]int // of a node: cluster, and where in it
	edges    []drawnEdge
}

func newBuilder() *builder { return &builder{at: map[clusterKey]int{}} }

func (b *builder) node(k clusterKey, lines []string) int {
	c, ok := b.at[k]
	if !ok {
		c = len(b.clusters)
		b.at[k] = c
		b.clusters = append(b.clusters, drawnCluster{title: k.title, outside: k.outside})
	}
	b.place = append(b.place, [2]int{c, len(b.clusters[c].nodes)})
	b.clusters[c].nodes = append(b.clusters[c].nodes, drawnNode{lines: lines})
	return len(b.place) - 1
}

func (b *builder) edge(from, to int, lines []string, sure bool) {
	b.edges = append(b.edges, drawnEdge{from, to, lines, sure})
}

// portEdges draws what is allowed, and apart from it what may be.
func (b *builder) portEdges(from, to int, list []verdictPorts) {
	var unsure []string
	for _, v := range list {
		ports := strings.Join(few(v.ports.Strings(), maxLabelPorts), ", ")
		if v.verdict == "allowed" {
			b.edge(from, to, wrap(ports, labelWidth), true)
		} else {
			unsure = append(unsure, wrap(fmt.Sprintf("%s (%s)", ports, v.verdict), labelWidth)...)
		}
	}
	if len(unsure) > 0 {
		b.edge(from, to, unsure, false)
	}
}

// drawing numbers the nodes cluster by cluster, and the edges by them.
func (b *builder) drawing() *drawing {
	id := 0
	for i := range b.clusters {
		for j := range b.clusters[i].nodes {
			id++
			b.clusters[i].nodes[j].id = id
		}
	}
	idOf := func(n int) int { return b.clusters[b.place[n][0]].nodes[b.place[n][1]].id }
	for i := range b.edges {
		b.edges[i].from, b.edges[i].to = idOf(b.edges[i].from), idOf(b.edges[i].to)
	}
	slices.SortStableFunc(b.edges, func(x, y drawnEdge) int {
		if x.from != y.from {
			return x.from - y.from
		}
		return x.to - y.to
	})
	return &drawing{clusters: b.clusters, edges: b.edges}
}
