package cover

import (
	"net/netip"
	"slices"

	"go4.org/netipx"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// End is an end of flows in one family. It stands for all ends that no rule tells apart.
type End struct {
	flow.End
	Family flow.Family
}

// remotes are all ends that some rule may tell apart, and where to find those that one rule may match.
type remotes struct {
	m         *policy.Model
	list      []End
	all       []int32
	byClass   [][]int32
	bySet     [][]int32 // classes that a set holds at least perhaps
	byAddr    []int32   // those with an address, sorted by it
	addrless  []int32
	nodes     []int32 // nodes, and hostNetwork pods on a node that is not known
	addresses []int32 // regions outside

	seen  []int // by remote: the last question that it was a candidate of
	asked int
}

func newRemotes(m *policy.Model) *remotes {
	r := &remotes{m: m, byClass: make([][]int32, len(m.Classes())), bySet: make([][]int32, m.Sets())}
	space := m.Space()
	r.pods(space)
	r.hosts()
	for _, whole := range space.Whole() {
		for _, region := range space.Regions(whole) {
			if a, ok := region.Any(); ok {
				r.addresses = append(r.addresses, r.add(End{flow.End{Kind: flow.Address, Addr: a}, flow.FamilyOf(a)}))
			}
		}
	}
	slices.SortStableFunc(r.byAddr, func(a, b int32) int { return r.list[a].Addr.Compare(r.list[b].Addr) })
	for class := range m.Classes() {
		for _, want := range []policy.Match{policy.Yes, policy.Maybe} {
			for _, set := range m.SetsOf(class, want) {
				r.bySet[set] = append(r.bySet[set], int32(class))
			}
		}
	}
	r.seen = make([]int, len(r.list))
	return r
}

func (r *remotes) add(end End) int32 {
	i := int32(len(r.list))
	r.list = append(r.list, end)
	r.all = append(r.all, i)
	if end.Addr.IsValid() {
		r.byAddr = append(r.byAddr, i)
	} else {
		r.addrless = append(r.addrless, i)
	}
	return i
}

// pods adds one pod for each class and set of regions.
func (r *remotes) pods(space *policy.Space) {
	for class := range r.m.Classes() {
		seen := map[string]bool{}
		var key []byte
		for _, i := range r.m.Classes()[class].Members {
			addrs := r.m.Snapshot().Pods[i].Addrs
			if key = space.AppendAtoms(key[:0], addrs); seen[string(key)] {
				continue
			}
			seen[string(key)] = true
			for _, end := range r.inFamilies(flow.End{Kind: flow.Pod, Index: i}, addrs) {
				r.byClass[class] = append(r.byClass[class], r.add(end))
			}
		}
	}
}

// hosts adds the nodes, and the hostNetwork pods of which it is not known on which node they are.
func (r *remotes) hosts() {
	s := r.m.Snapshot()
	for i := range s.Nodes {
		for _, end := range r.inFamilies(flow.End{Kind: flow.Node, Index: i}, s.Nodes[i].Addrs) {
			r.nodes = append(r.nodes, r.add(end))
		}
	}
	for i := range s.Pods {
		if p := &s.Pods[i]; p.HostNetwork && s.NodeIndex(p.NodeName) < 0 {
			for _, end := range r.inFamilies(flow.End{Kind: flow.Pod, Index: i}, p.Addrs) {
				r.nodes = append(r.nodes, r.add(end))
			}
		}
	}
}

// inFamilies gives an end with each of its addresses, or, where none is known, in each family.
func (r *remotes) inFamilies(end flow.End, addrs []netip.Addr) []End {
	var out []End
	for _, end.Addr = range addrs {
		out = append(out, End{end, flow.FamilyOf(end.Addr)})
	}
	if len(addrs) == 0 {
		for _, f := range r.m.Families() {
			out = append(out, End{end, f})
		}
	}
	return out
}

// Pods gives, for a class, one of its pods for each set of regions that its pods' addresses lie in, with
// each address; without address, in each family, where none is known.
func (s *Search) Pods(class int) []End { return s.ends(s.remotes.byClass[class]) }

// Outside gives an address of each region that no policy tells apart.
func (s *Search) Outside() []End { return s.ends(s.remotes.addresses) }

func (s *Search) ends(list []int32) []End {
	out := make([]End, len(list))
	for i, n := range list {
		out[i] = s.remotes.list[n]
	}
	return out
}

// Classes lists the classes that a peer selects, surely or perhaps; none if it is no PodPeer.
func (s *Search) Classes(p *policy.Peer) []int32 {
	if p.Kind != policy.PodPeer {
		return nil
	}
	return s.remotes.bySet[p.Set()]
}

// candidates lists every remote end that a rule may match, and some that it does not.
func (r *remotes) candidates(rule *policy.Rule) []int32 {
	if rule.Peers == nil {
		return r.all
	}
	r.asked++
	var out []int32
	add := func(list []int32) {
		for _, i := range list {
			if r.seen[i] != r.asked {
				r.seen[i] = r.asked
				out = append(out, i)
			}
		}
	}
	for i := range rule.Peers {
		switch p := &rule.Peers[i]; p.Kind {
		case policy.PodPeer:
			for _, class := range r.bySet[p.Set()] {
				add(r.byClass[class])
			}
		case policy.BlockPeer:
			for j := range p.Blocks {
				add(r.inside(p.Blocks[j].CIDR))
			}
			add(r.addrless)
		case policy.NodePeer:
			add(r.nodes)
		case policy.DomainPeer:
			add(r.addresses)
		}
	}
	return out
}

// inside lists the remotes whose address is in a prefix; none if it is the zero Prefix.
func (r *remotes) inside(p netip.Prefix) []int32 {
	if !p.IsValid() {
		return nil
	}
	span := netipx.RangeOfPrefix(p)
	at := func(a netip.Addr) (int, bool) {
		return slices.BinarySearchFunc(r.byAddr, a, func(i int32, a netip.Addr) int { return r.list[i].Addr.Compare(a) })
	}
	first, _ := at(span.From())
	last, _ := at(span.To())
	for last < len(r.byAddr) && r.list[r.byAddr[last]].Addr == span.To() {
		last++
	}
	return r.byAddr[first:last]
}

// portPieces divides the ports that a rule may match so that no rule of its subject tells the ports of
// a piece apart.
type portPieces struct {
	m     *policy.Model
	class int
	d     flow.Direction
	rule  *policy.Rule
	of    map[int][]netset.Entry // by the number of the destination's named ports; -1 for none
}

// at gives the pieces for a destination of a class, or for one that is no pod.
func (p *portPieces) at(dest int) []netset.Entry {
	key := -1
	if dest >= 0 {
		key = p.m.PortsOf(dest)
	}
	out, ok := p.of[key]
	if !ok {
		out = p.make(dest)
		p.of[key] = out
	}
	return out
}

func (p *portPieces) make(dest int) []netset.Entry {
	var cuts policy.Cuts
	cuts.Add(p.m, p.class, dest, p.d)
	out := []netset.Entry{}
	for _, proto := range netset.Protos {
		for _, r := range cuts.Ranges(proto, netset.AllPorts) {
			if p.mayMatch(proto, r.First) {
				out = append(out, netset.Entry{Proto: proto, Range: r})
			}
		}
	}
	return out
}

func (p *portPieces) mayMatch(proto netset.Proto, port uint16) bool {
	return p.rule.Ports == nil || slices.ContainsFunc(p.rule.Ports, func(x policy.Port) bool {
		return x.Name != "" && proto.HasPorts() || x.Proto == proto && x.Range.Contains(port)
	})
}
