package policy

import (
	"net/netip"
	"slices"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
)

// Action is what a rule does with what it matches.
type Action uint8

// The actions. The rules of a NetworkPolicy all Accept.
const (
	Accept Action = iota + 1
	Deny
	Pass
)

// String gives the word that manifests use.
func (a Action) String() string { return [...]string{"", "Accept", "Deny", "Pass"}[a] }

// Rule is one rule of a policy, compiled. Peers or Ports nil means every one (S13, S45).
type Rule struct {
	Index  int // in written order
	Name   string
	Action Action
	Peers  []Peer
	Ports  []Port
	// Poisoned: the rule was not understood (S43). Accept then matches nothing; Deny and Pass deny
	// everything, and have Action Deny and no Peers and Ports here.
	Poisoned bool

	index *blockIndex // over many block peers; nil for few
}

// PeerKind tells what a Peer compares.
type PeerKind uint8

// The kinds of peer.
const (
	PodPeer    PeerKind = iota + 1 // namespaceSelector and podSelector, pods, namespaces
	BlockPeer                      // ipBlock, networks
	NodePeer                       // nodes
	DomainPeer                     // domainNames
)

// Peer is one item of from or to.
type Peer struct {
	Kind PeerKind
	// Namespace is set where a podSelector stands alone: the policy's own namespace.
	Namespace  string
	Namespaces Selector
	Pods       Selector
	Blocks     []Block // several for `networks`; one of them is enough
	Nodes      Selector
	Domains    []string

	set int // PodPeer: index of the distinct pair of selectors in Model.sets
}

// Set is the number of the distinct pair of selectors of a PodPeer.
func (p *Peer) Set() int { return p.set }

// Port is one item of ports or protocols.
type Port struct {
	Proto netset.Proto // 0: a named port of whatever protocol (S45)
	Range netset.PortRange
	Name  string // of a named port; Range is then unused
	// unsettledAbove: ports of the range above First are unknown matches.
	unsettledAbove bool
	unsettled      bool // any match is unknown
}

// Unsettled tells whether it is not known what the plugin makes of a named port.
func (p *Port) Unsettled() bool { return p.Name != "" && p.unsettled }

// Remote is the other end of a flow, as the rules of the subject see it.
type Remote struct {
	End    flow.End
	Family flow.Family
	// IsPod: a pod that selectors can select; a hostNetwork pod is its node (S23).
	IsPod bool
	Class int // of the pod; -1 if it is none
	// IsNode: the end is a node; Node is its index, or -1 where it is not known which.
	IsNode bool
	Node   int

	// Strict: where S17 would assume, the match is unknown. NewQuery sets it from the options.
	Strict bool

	blocksSkip bool // Behaviour.BlocksMatchOutsideOnly holds for this end
}

// Query is one direction of a flow.
type Query struct {
	Direction flow.Direction
	Remote    Remote
	Proto     netset.Proto
	Port      uint16
	// DestClass is the class of the destination pod, which resolves named ports (S14); -1 if the
	// destination is no pod.
	DestClass int
}

// peerParts joins the matches of the two sorts of peer: those through which named ports may match,
// and those through which they may not (S14).
type peerParts struct{ named, plain Match }

// Match compares the rule with one direction of a flow.
func (m *Model) Match(r *Rule, q *Query) Match {
	if r.Poisoned && r.Action == Accept {
		return No
	}
	parts := m.matchPeers(r, q)
	if parts.named == No && parts.plain == No {
		return No
	}
	if r.Ports == nil {
		return max(parts.named, parts.plain)
	}
	out := No
	for i := range r.Ports {
		p := &r.Ports[i]
		got := m.matchPort(p, q)
		if p.Name != "" {
			out = max(out, min(got, parts.named))
		} else {
			out = max(out, min(got, max(parts.named, parts.plain)))
		}
	}
	return out
}

func (m *Model) matchPeers(r *Rule, q *Query) peerParts {
	if r.Peers == nil {
		return peerParts{Yes, Yes}
	}
	var parts peerParts
	indexed := r.index != nil && q.Remote.End.Addr.IsValid() && !q.Remote.blocksSkip
	if indexed && r.index.contains(q.Remote.End.Addr) {
		parts.add(BlockPeer, q.Direction, Yes)
	}
	for i := range r.Peers {
		p := &r.Peers[i]
		if indexed && p.Kind == BlockPeer {
			continue
		}
		parts.add(p.Kind, q.Direction, m.matchPeer(p, q))
		if parts.named == Yes {
			break
		}
	}
	return parts
}

func (p *peerParts) add(kind PeerKind, d flow.Direction, got Match) {
	if kind == PodPeer || d == flow.Ingress {
		p.named = max(p.named, got)
	}
	p.plain = max(p.plain, got)
}

func (m *Model) matchPeer(p *Peer, q *Query) Match {
	r := &q.Remote
	switch p.Kind {
	case PodPeer:
		if !r.IsPod {
			return No
		}
		return m.setMatch(r.Class, p.set)
	case BlockPeer:
		out := No
		for i := range p.Blocks {
			out = max(out, p.Blocks[i].match(r))
		}
		return out
	case NodePeer:
		return m.matchNode(p.Nodes, r)
	case DomainPeer:
		if r.End.Kind == flow.Address {
			return Maybe
		}
	}
	return No
}

func (m *Model) matchNode(s Selector, r *Remote) Match {
	if !r.IsNode {
		return No
	}
	if len(s) == 0 {
		return Yes
	}
	if r.Node < 0 {
		return Maybe
	}
	n := &m.snap.Nodes[r.Node]
	return s.Match(n.Labels, !n.Assumed)
}

func (m *Model) matchPort(p *Port, q *Query) Match {
	got := No
	switch {
	case p.Name != "":
		got = m.matchNamed(p, q)
	case p.Proto != q.Proto:
		return No
	case p.Range.Contains(q.Port):
		got = Yes
		if p.unsettledAbove && q.Port > p.Range.First {
			got = Maybe
		}
	}
	if p.unsettled || q.Proto == netset.SCTP && m.opts.Behaviour.SCTPUnsettled {
		got = min(got, Maybe)
	}
	return got
}

// matchNamed resolves a named port at the destination pod (S14, S45).
func (m *Model) matchNamed(p *Port, q *Query) Match {
	if q.DestClass < 0 || !q.Proto.HasPorts() {
		return No
	}
	for _, c := range m.classes[q.DestClass].Ports {
		if c.Name == p.Name && c.Proto == q.Proto && c.Port == q.Port && (p.Proto == 0 || p.Proto == c.Proto) {
			return Yes
		}
	}
	return No
}

// FirstMatch gives the first pair of peer and port, in written order, that matches surely; -1
// stands for a list that the rule does not have. ok is false where there is none.
func (m *Model) FirstMatch(r *Rule, q *Query) (peer, port int, ok bool) {
	if r.Poisoned && r.Action == Accept {
		return 0, 0, false
	}
	for peer = firstIndex(r.Peers == nil); peer < len(r.Peers); peer++ {
		through, named := Yes, true
		if peer >= 0 {
			p := &r.Peers[peer]
			through = m.matchPeer(p, q)
			named = p.Kind == PodPeer || q.Direction == flow.Ingress
		}
		if through != Yes {
			continue
		}
		for port = firstIndex(r.Ports == nil); port < len(r.Ports); port++ {
			if port < 0 || (r.Ports[port].Name == "" || named) && m.matchPort(&r.Ports[port], q) == Yes {
				return peer, port, true
			}
		}
	}
	return 0, 0, false
}

// firstIndex starts the walk over a list: at -1, once, if the list is absent.
func firstIndex(absent bool) int {
	if absent {
		return -1
	}
	return 0
}

// blockIndex answers "is the address in any block of this rule" by binary search, so that a rule of
// thousands of CIDRs costs no more than a few.
type blockIndex struct{ ranges []addrRange }

type addrRange struct{ first, last netip.Addr }

// indexFrom is the number of blocks from which the index pays.
const indexFrom = 8

func newBlockIndex(peers []Peer) *blockIndex {
	count := 0
	for _, p := range peers {
		count += len(p.Blocks)
	}
	if count < indexFrom {
		return nil
	}
	ix := &blockIndex{}
	for i := range peers {
		for j := range peers[i].Blocks {
			ix.ranges = append(ix.ranges, peers[i].Blocks[j].ranges()...)
		}
	}
	ix.ranges = mergeAddrs(ix.ranges)
	return ix
}

func (ix *blockIndex) contains(a netip.Addr) bool { return inRanges(ix.ranges, a) }

// inRanges tells whether an address is in one of the sorted, disjoint ranges.
func inRanges(ranges []addrRange, a netip.Addr) bool {
	i, found := slices.BinarySearchFunc(ranges, a, func(r addrRange, a netip.Addr) int { return r.first.Compare(a) })
	if found {
		return true
	}
	return i > 0 && ranges[i-1].last.Compare(a) >= 0 && sameFamily(ranges[i-1].first, a)
}

// RuleID names a rule of a policy, or with indices a part of it.
func (p *Policy) RuleID(d flow.Direction, rule, peer, port int) cluster.RuleID {
	return cluster.RuleID{Policy: p.Ref, Direction: d, Rule: rule, Peer: peer, Port: port}
}
