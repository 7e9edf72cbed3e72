package policy

import (
	"fmt"
	"strings"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
)

// Part is the part of a rule that a flow does not meet.
type Part uint8

// The parts.
const (
	PartKind           Part = iota + 1 // the peer is for pods (or nodes, …) and the other end is none
	PartNamespace                      // a podSelector alone looks only into the policy's own namespace
	PartNamespaceLabel                 // a requirement of the namespaceSelector
	PartPodLabel                       // a requirement of the podSelector
	PartAddress                        // ipBlock or networks
	PartNode                           // a requirement of the node selector
	PartDomain                         // domainNames
	PartProtocol
	PartPort
	PartNamedPort
	PartPoisoned // the rule was not understood (S43)
)

// Miss is one part of a rule that a flow does not meet, or of which it is not known.
type Miss struct {
	Part    Part
	Want    string // what the rule says, in the manifest's words
	Have    string // what the flow has instead; for an unknown part, what is missing
	Unknown bool
}

// weight orders misses by how far they are from a match: a wrong label is nearer than an end of
// another kind.
func (p Part) weight() int {
	switch p {
	case PartKind, PartPoisoned:
		return 8
	case PartAddress, PartDomain:
		return 3
	case PartProtocol:
		return 2
	}
	return 1
}

// certainly is the weight of a part that certainly misses, in those of unknown ones: no number of
// unknown parts is as far from a match as a certain one.
const certainly = 1 << 20

// Weigh sums up how far misses are from a match: the smaller the nearer; 0 for none.
func Weigh(misses []Miss) int {
	var t tally
	for _, m := range misses {
		t.add(m.Part, m.Unknown, nil)
	}
	return t.weight()
}

// tally weighs misses and, where out is set, writes them down; a search over thousands of peers
// puts only the nearest into words.
type tally struct {
	certain, unknown int
	out              *[]Miss
}

func (t *tally) add(p Part, unknown bool, words func() (want, have string)) {
	if unknown {
		t.unknown = min(t.unknown+p.weight(), certainly-1)
	} else {
		t.certain += p.weight()
	}
	if t.out != nil {
		want, have := words()
		*t.out = append(*t.out, Miss{p, want, have, unknown})
	}
}

func (t *tally) weight() int { return t.certain*certainly + t.unknown }

// Nearest gives the pair of peer and port, -1 where there is no list, that comes closest to
// matching, and what keeps it from it. If the rule matches, misses is empty; if its match is
// unknown, all misses are unknown ones; if it does not match, none is.
func (m *Model) Nearest(r *Rule, q *Query) (peer, port int, misses []Miss) {
	if r.Poisoned && r.Action == Accept {
		return -1, -1, []Miss{{Part: PartPoisoned, Want: "a rule that was understood", Have: "a part of it was not"}}
	}
	peer, port = -1, -1
	best := -1
	for j := firstIndex(r.Peers == nil); j < len(r.Peers); j++ {
		var through tally
		m.missPeer(&through, r, j, q)
		if best >= 0 && through.weight() >= best {
			continue
		}
		for k := firstIndex(r.Ports == nil); k < len(r.Ports); k++ {
			all := through
			m.missPort(&all, r, j, k, q)
			if w := all.weight(); best < 0 || w < best {
				best, peer, port = w, j, k
			}
		}
	}
	inWords := tally{out: &misses}
	m.missPeer(&inWords, r, peer, q)
	m.missPort(&inWords, r, peer, port, q)
	return peer, port, onlyCertain(misses)
}

// onlyCertain drops the unknown parts where a certain one decides already.
func onlyCertain(misses []Miss) []Miss {
	var certain []Miss
	for _, m := range misses {
		if !m.Unknown {
			certain = append(certain, m)
		}
	}
	if len(certain) > 0 {
		return certain
	}
	return misses
}

func (m *Model) missPeer(t *tally, rule *Rule, peer int, q *Query) {
	if peer < 0 {
		return
	}
	p, r := &rule.Peers[peer], &q.Remote
	switch p.Kind {
	case PodPeer:
		m.missPods(t, p, r)
	case BlockPeer:
		missBlocks(t, p, r)
	case NodePeer:
		m.missNodes(t, p, r)
	case DomainPeer:
		outside := r.End.Kind == flow.Address
		part := PartKind
		if outside {
			part = PartDomain
		}
		t.add(part, outside, func() (string, string) {
			want := strings.Join(p.Domains, ", ")
			if outside {
				return want, "which names resolve to " + r.End.Addr.String()
			}
			return want, kindWord(r)
		})
	default:
		t.add(PartPoisoned, false, func() (string, string) { return "a peer", "one that was not understood" })
	}
}

func kindWord(r *Remote) string {
	switch {
	case r.IsPod:
		return "a pod"
	case r.IsNode:
		return "a node"
	}
	return "an outside address"
}

func (m *Model) missPods(t *tally, p *Peer, r *Remote) {
	if !r.IsPod {
		t.add(PartKind, false, func() (string, string) { return "pods", kindWord(r) })
		return
	}
	c := &m.classes[r.Class]
	switch {
	case p.Namespace == "":
		labels, known := m.namespaceLabels(c.Namespace)
		t.labels(PartNamespaceLabel, p.Namespaces, labels, known, func() string { return "namespace " + c.Namespace })
	case p.Namespace != c.Namespace:
		t.add(PartNamespace, false, func() (string, string) { return p.Namespace, c.Namespace })
	}
	t.labels(PartPodLabel, p.Pods, c.Labels, true, nil)
}

// labels compares a selector requirement by requirement. of names the object whose labels are
// missing from the input where complete is false.
func (t *tally) labels(part Part, s Selector, labels map[string]string, complete bool, of func() string) {
	for _, req := range s {
		v, has := labels[req.Key]
		unknown := !complete && !has
		if !unknown && req.Holds(labels) {
			continue
		}
		t.add(part, unknown, func() (string, string) {
			switch {
			case unknown:
				return req.String(), "the labels of " + of()
			case has:
				return req.String(), req.Key + "=" + v
			}
			return req.String(), "no label " + req.Key
		})
	}
}

func missBlocks(t *tally, p *Peer, r *Remote) {
	unknown := false
	for i := range p.Blocks {
		switch p.Blocks[i].match(r) {
		case Yes:
			return
		case Maybe:
			unknown = true
		}
	}
	t.add(PartAddress, unknown, func() (string, string) {
		want := make([]string, len(p.Blocks))
		for i := range p.Blocks {
			want[i] = p.Blocks[i].String()
		}
		return strings.Join(want, ", "), addressWords(r, unknown)
	})
}

// addressWords says what address the end has, or what is missing to know it.
func addressWords(r *Remote, unknown bool) string {
	switch {
	case unknown:
		return "the address of " + kindWord(r)
	case r.blocksSkip:
		return kindWord(r) + ", which this plugin never matches by address"
	case r.End.Addr.IsValid():
		return r.End.Addr.String()
	}
	return "an address that is not known"
}

// String gives the CIDR and its holes.
func (b *Block) String() string {
	if !b.CIDR.IsValid() {
		return "a CIDR that was not understood"
	}
	if len(b.Except) == 0 {
		return b.CIDR.String()
	}
	some := b.Except[:min(len(b.Except), shortest+1)] // as many as shortList looks at
	holes := make([]string, 0, len(some))
	for _, e := range some {
		holes = append(holes, e.String())
	}
	return b.CIDR.String() + " except " + shortList(holes)
}

func (m *Model) missNodes(t *tally, p *Peer, r *Remote) {
	switch {
	case !r.IsNode:
		t.add(PartKind, false, func() (string, string) { return "nodes", kindWord(r) })
	case len(p.Nodes) == 0:
	case r.Node < 0:
		t.add(PartNode, true, func() (string, string) { return p.Nodes.String(), "the labels of the node that it runs on" })
	default:
		n := &m.snap.Nodes[r.Node]
		t.labels(PartNode, p.Nodes, n.Labels, !n.Assumed, func() string { return "node " + n.Name })
	}
}

func (m *Model) missPort(t *tally, r *Rule, peer, port int, q *Query) {
	if port < 0 {
		return
	}
	p := &r.Ports[port]
	got := m.matchPort(p, q)
	byAddress := q.Direction == flow.Egress && peer >= 0 && r.Peers[peer].Kind != PodPeer
	switch {
	case p.Name != "" && got == No:
		t.add(PartNamedPort, false, func() (string, string) { return p.String(), m.namedPortHave(p, q) })
	case p.Name != "" && byAddress:
		t.add(PartNamedPort, false, func() (string, string) { return p.String(), "means nothing for a peer given by address" })
	case got == No && p.Proto != q.Proto:
		t.add(PartProtocol, false, func() (string, string) { return p.String(), portWords(q) })
	case got == No:
		t.add(PartPort, false, func() (string, string) { return p.String(), portWords(q) })
	case got == Maybe:
		t.add(PartPort, true, func() (string, string) { return p.String(), "how the plugin treats it" })
	}
}

func portWords(q *Query) string {
	if q.Proto.HasPorts() {
		return fmt.Sprintf("%s/%d", q.Proto, q.Port)
	}
	return q.Proto.String()
}

func (m *Model) namedPortHave(p *Port, q *Query) string {
	if q.DestClass < 0 {
		return "means nothing at a destination that is no pod"
	}
	for _, c := range m.classes[q.DestClass].Ports {
		if c.Name == p.Name {
			return fmt.Sprintf("is %s/%d at the destination", c.Proto, c.Port)
		}
	}
	return "the destination does not declare"
}

// String writes the port item: tcp/80, tcp/8000-8100, tcp (all), or the name of a named port.
func (p *Port) String() string {
	switch {
	case p.Name != "":
		return p.Name
	case p.Proto == 0 || p.Range.First > p.Range.Last:
		return "a port that was not understood"
	case p.Range == netset.AllPorts:
		return p.Proto.String()
	}
	return p.Proto.String() + "/" + p.Range.String()
}
