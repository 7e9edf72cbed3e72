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
func (m Miss) weight() int {
	switch m.Part {
	case PartKind, PartPoisoned:
		return 8
	case PartAddress, PartDomain:
		return 3
	case PartProtocol:
		return 2
	}
	return 1
}

// Weigh sums up how far misses are from a match: the smaller the nearer; 0 for none.
func Weigh(misses []Miss) int {
	total := 0
	for _, m := range misses {
		total += m.weight()
	}
	return total
}

// Nearest gives the pair of peer and port, -1 where there is no list, that comes closest to
// matching, and what keeps it from it. If the rule matches, misses is empty; if its match is
// unknown, all misses are unknown ones.
func (m *Model) Nearest(r *Rule, q *Query) (peer, port int, misses []Miss) {
	if r.Poisoned && r.Action == Accept {
		return -1, -1, []Miss{{Part: PartPoisoned, Want: "a rule that was understood", Have: "a part of it was not"}}
	}
	peer, port = -1, -1
	best := -1
	for j := firstIndex(r.Peers == nil); j < len(r.Peers); j++ {
		var fromPeer []Miss
		if j >= 0 {
			fromPeer = m.peerMisses(&r.Peers[j], q)
		}
		if best >= 0 && Weigh(fromPeer) >= best {
			continue
		}
		for k := firstIndex(r.Ports == nil); k < len(r.Ports); k++ {
			all := fromPeer
			if k >= 0 {
				all = append(all[:len(all):len(all)], m.portMisses(r, j, k, q)...)
			}
			if w := Weigh(all); best < 0 || w < best {
				best, peer, port, misses = w, j, k, all
			}
		}
	}
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

func (m *Model) peerMisses(p *Peer, q *Query) []Miss {
	r := &q.Remote
	switch p.Kind {
	case PodPeer:
		return m.podMisses(p, r)
	case BlockPeer:
		return blockMisses(p, r)
	case NodePeer:
		return m.nodeMisses(p, r)
	case DomainPeer:
		want := strings.Join(p.Domains, ", ")
		if r.End.Kind == flow.Address {
			return []Miss{{PartDomain, want, "which names resolve to " + r.End.Addr.String(), true}}
		}
		return []Miss{{PartKind, want, kindWord(r), false}}
	}
	return []Miss{{PartPoisoned, "a peer", "one that was not understood", false}}
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

func (m *Model) podMisses(p *Peer, r *Remote) []Miss {
	if !r.IsPod {
		return []Miss{{PartKind, "pods", kindWord(r), false}}
	}
	c := &m.classes[r.Class]
	var out []Miss
	if p.Namespace != "" {
		if p.Namespace != c.Namespace {
			out = append(out, Miss{PartNamespace, p.Namespace, c.Namespace, false})
		}
	} else {
		ns := m.snap.NamespaceByName(c.Namespace)
		known := ns != nil && !ns.Assumed
		var labels map[string]string
		if ns != nil {
			labels = ns.Labels
		}
		out = append(out, labelMisses(PartNamespaceLabel, p.Namespaces, labels, known, "namespace "+c.Namespace)...)
	}
	return append(out, labelMisses(PartPodLabel, p.Pods, c.Labels, true, "")...)
}

// labelMisses compares a selector requirement by requirement. of names the object whose labels are
// missing from the input where complete is false.
func labelMisses(part Part, s Selector, labels map[string]string, complete bool, of string) []Miss {
	var out []Miss
	for _, req := range s {
		v, has := labels[req.Key]
		switch {
		case !complete && !has:
			out = append(out, Miss{part, req.String(), "the labels of " + of, true})
		case req.Holds(labels):
		case has:
			out = append(out, Miss{part, req.String(), req.Key + "=" + v, false})
		default:
			out = append(out, Miss{part, req.String(), "no label " + req.Key, false})
		}
	}
	return out
}

func blockMisses(p *Peer, r *Remote) []Miss {
	var want []string
	unknown := false
	for i := range p.Blocks {
		b := &p.Blocks[i]
		switch b.match(r) {
		case Yes:
			return nil
		case Maybe:
			unknown = true
		}
		want = append(want, b.String())
	}
	have := "an address that is not known"
	if r.End.Addr.IsValid() {
		have = r.End.Addr.String()
	}
	if r.blocksSkip {
		have = kindWord(r) + ", which this plugin never matches by address"
	}
	if unknown {
		have = "the address of " + kindWord(r)
	}
	return []Miss{{PartAddress, strings.Join(want, ", "), have, unknown}}
}

// String gives the CIDR and its holes.
func (b *Block) String() string {
	if !b.CIDR.IsValid() {
		return "a CIDR that was not understood"
	}
	if len(b.Except) == 0 {
		return b.CIDR.String()
	}
	holes := make([]string, 0, len(b.Except))
	for _, e := range b.Except {
		holes = append(holes, e.String())
	}
	return b.CIDR.String() + " except " + shortList(holes)
}

func (m *Model) nodeMisses(p *Peer, r *Remote) []Miss {
	if !r.IsNode {
		return []Miss{{PartKind, "nodes", kindWord(r), false}}
	}
	if len(p.Nodes) == 0 {
		return nil
	}
	if r.Node < 0 {
		return []Miss{{PartNode, p.Nodes.String(), "the labels of the node that it runs on", true}}
	}
	n := &m.snap.Nodes[r.Node]
	return labelMisses(PartNode, p.Nodes, n.Labels, !n.Assumed, "node "+n.Name)
}

func (m *Model) portMisses(r *Rule, peer, port int, q *Query) []Miss {
	p := &r.Ports[port]
	have := q.Proto.String()
	if q.Proto.HasPorts() {
		have = fmt.Sprintf("%s/%d", q.Proto, q.Port)
	}
	got := m.matchPort(p, q)
	switch {
	case p.Name != "":
		if got == Yes && q.Direction == flow.Egress && peer >= 0 && r.Peers[peer].Kind != PodPeer {
			return []Miss{{PartNamedPort, p.String(), "means nothing for a peer given by address", false}}
		}
		if got == No {
			return []Miss{{PartNamedPort, p.String(), m.namedPortHave(p, q), false}}
		}
	case got == No && p.Proto != q.Proto:
		return []Miss{{PartProtocol, p.String(), have, false}}
	case got == No:
		return []Miss{{PartPort, p.String(), have, false}}
	}
	if got == Maybe {
		return []Miss{{PartPort, p.String(), "how the plugin treats it", true}}
	}
	return nil
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
