package program

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// remote is ends with known addresses that no policy tells apart, one family each.
type remote struct {
	end    flow.End // one of them
	family flow.Family
	key    string // what they have in common
	addrs  []netip.Addr
}

// findRemotes groups all pods and nodes of the cluster with their addresses, and notes which addresses several have.
func (b *builder) findRemotes() {
	at := map[string]int{}
	space := b.m.Space()
	add := func(end flow.End, key string) {
		family := flow.FamilyOf(end.Addr)
		key = fmt.Sprint(key, " ", family, " ", space.Atom(end.Addr))
		n, ok := at[key]
		if !ok {
			n = len(b.remotes)
			at[key] = n
			b.remotes = append(b.remotes, remote{end: end, family: family, key: key})
		}
		b.remotes[n].addrs = append(b.remotes[n].addrs, end.Addr)
	}
	s := b.m.Snapshot()
	for i := range s.Pods {
		p := &s.Pods[i]
		class := b.m.ClassOf(i)
		if class < 0 && s.NodeIndex(p.NodeName) >= 0 {
			continue // it is its node
		}
		for _, addr := range p.Addrs {
			add(flow.End{Kind: flow.Pod, Index: i, Addr: addr}, "class "+strconv.Itoa(class))
		}
	}
	for i := range s.Nodes {
		for _, addr := range s.Nodes[i].Addrs {
			add(flow.End{Kind: flow.Node, Index: i, Addr: addr}, "node "+strconv.Itoa(i))
		}
	}
	b.owners = map[netip.Addr][]int{}
	for i := range b.remotes {
		for _, a := range b.remotes[i].addrs {
			b.owners[a] = append(b.owners[a], i)
		}
	}
}

// shares tells whether an address of a local pod is some other end's too, and notes it.
func (b *builder) shares(addr netip.Addr, pod int) bool {
	if len(b.owners[addr]) < 2 && !b.twice(addr) {
		return false
	}
	p := &b.m.Snapshot().Pods[pod]
	b.p.Notes = append(b.p.Notes, fmt.Sprintf("%s of pod %s/%s is closed: another pod or node has the address too", addr, p.Namespace, p.Name))
	return true
}

// twice tells whether two ends of one group have an address.
func (b *builder) twice(addr netip.Addr) bool {
	for _, i := range b.owners[addr] {
		first := slices.Index(b.remotes[i].addrs, addr)
		if slices.Contains(b.remotes[i].addrs[first+1:], addr) {
			return true
		}
	}
	return false
}

// table is what one direction of a group allows, by the address of the other end: segments divide all addresses of a
// family, and rows are the addresses of pods and nodes for which something else holds.
type table struct {
	segments [2][]segment // by family, from the first address to the last
	rows     [2]map[netip.Addr]*row
}

// segment is a range of addresses, and what is allowed where they are no pod's and no node's.
type segment struct {
	first, last netip.Addr
	allowed     netset.PortSet
}

// row is what is allowed for an address.
type row struct {
	allowed netset.PortSet
	from    string // the group of ends that it stands for
}

// table asks the model about everything that may be at the other end.
func (b *builder) table(g *group, d flow.Direction) *table {
	out := &table{}
	for f, family := range flow.Families {
		out.segments[f] = b.segmentsOf(g, d, family)
		out.rows[f] = map[netip.Addr]*row{}
	}
	known := map[string]netset.PortSet{}
	sets := b.setsOf(b.m.ClassOf(g.pods[0]), d)
	for i := range b.remotes {
		r := &b.remotes[i]
		key := b.signature(r, sets)
		allowed, ok := known[key]
		if !ok {
			allowed = decide(b.m, b.flowOf(g.pods[0], r.end, r.family, d), d)
			known[key] = allowed
		}
		f := r.family - 1
		for _, addr := range r.addrs {
			if have := out.rows[f][addr]; have != nil { // two ends have it: what both may
				have.allowed, have.from = have.allowed.Intersect(allowed), have.from+"|"+r.key
				continue
			}
			out.rows[f][addr] = &row{allowed, r.key}
		}
	}
	out.thin()
	return out
}

// nodeTable is what is allowed between a group and this node itself. A packet may carry an address of the node that is in
// no Snapshot, such as a bridge's: it is the node's all the same.
func (b *builder) nodeTable(g *group, d flow.Direction) *table {
	out := &table{}
	for f, family := range flow.Families {
		own := flow.End{Kind: flow.Node, Index: b.node}
		first := firstOf(family)
		out.segments[f] = []segment{{first, lastOf(netip.PrefixFrom(first, 0)), decide(b.m, b.flowOf(g.pods[0], own, family, d), d)}}
		out.rows[f] = map[netip.Addr]*row{}
		for _, own.Addr = range b.m.Snapshot().Nodes[b.node].Addrs {
			if flow.FamilyOf(own.Addr) == family {
				out.rows[f][own.Addr] = &row{decide(b.m, b.flowOf(g.pods[0], own, family, d), d), "this node"}
			}
		}
	}
	out.thin()
	return out
}

// thin drops the rows that say what the segment around them says.
func (t *table) thin() {
	for f := range t.rows {
		for addr, x := range t.rows[f] {
			if x.allowed.Equal(t.at(f, addr)) {
				delete(t.rows[f], addr)
			}
		}
	}
}

// at gives what a segment allows.
func (t *table) at(family int, addr netip.Addr) netset.PortSet {
	list := t.segments[family]
	i, found := slices.BinarySearchFunc(list, addr, func(s segment, a netip.Addr) int { return s.first.Compare(a) })
	if !found {
		i--
	}
	return list[i].allowed
}

// setsOf lists the sets of pods that the rules about a class name.
func (b *builder) setsOf(class int, d flow.Direction) []int32 {
	var out []int32
	eachRule(b.m, class, d, func(r *policy.Rule) {
		for i := range r.Peers {
			if r.Peers[i].Kind == policy.PodPeer {
				out = append(out, int32(r.Peers[i].Set()))
			}
		}
	})
	slices.Sort(out)
	return slices.Compact(out)
}

// signature is the same for remotes that the rules about a group do not tell apart: by the sets that they are in, their
// named ports, and the address. Nodes are told apart one by one.
func (b *builder) signature(r *remote, sets []int32) string {
	var key []byte
	key = append(key, byte(r.family))
	key = binary.AppendVarint(key, int64(b.m.Space().Atom(r.end.Addr)))
	class := -1
	if r.end.Kind == flow.Pod {
		class = b.m.ClassOf(r.end.Index)
	}
	if class < 0 {
		return string(append(key, r.key...))
	}
	key = binary.AppendUvarint(key, uint64(b.m.PortsOf(class)))
	for _, want := range []policy.Match{policy.Yes, policy.Maybe} {
		in := b.m.SetsOf(class, want)
		for i, set := range sets {
			if _, ok := slices.BinarySearch(in, set); ok {
				key = binary.AppendUvarint(key, uint64(i))
			}
		}
		key = append(key, 0xff)
	}
	return string(key)
}

// eachRule visits every rule that applies to a class.
func eachRule(m *policy.Model, class int, d flow.Direction, visit func(*policy.Rule)) {
	s := m.Classes()[class].Subject(d)
	rules := func(p *policy.Policy) {
		list := p.Rules(d)
		for i := range list {
			visit(&list[i])
		}
	}
	for _, list := range [][]policy.Applied{s.Admin, s.Baseline} {
		for _, p := range list {
			rules(p.Policy)
		}
	}
	for _, p := range s.Policies {
		rules(p)
	}
}

// segmentsOf divides the addresses of a family where a block of a rule about the group begins or ends, and where a
// metadata address is (S27).
func (b *builder) segmentsOf(g *group, d flow.Direction, family flow.Family) []segment {
	starts := []netip.Addr{firstOf(family)}
	cutAt := func(p netip.Prefix) {
		if flow.FamilyOf(p.Addr()) != family || !p.IsValid() || p.Addr().Is4In6() {
			return
		}
		starts = append(starts, p.Masked().Addr())
		if next := lastOf(p).Next(); next.IsValid() {
			starts = append(starts, next)
		}
	}
	eachRule(b.m, b.m.ClassOf(g.pods[0]), d, func(r *policy.Rule) {
		for i := range r.Peers {
			for _, block := range r.Peers[i].Blocks {
				for _, p := range append([]netip.Prefix{block.CIDR}, block.Except...) {
					cutAt(p)
				}
			}
		}
	})
	for _, m := range b.m.MetadataPorts() {
		cutAt(netip.PrefixFrom(m.Addr(), m.Addr().BitLen()))
	}
	slices.SortFunc(starts, netip.Addr.Compare)
	starts = slices.Compact(starts)
	var out []segment
	for i, first := range starts {
		last := lastOf(netip.PrefixFrom(firstOf(family), 0))
		if i+1 < len(starts) {
			last = starts[i+1].Prev()
		}
		allowed := decide(b.m, b.flowOf(g.pods[0], flow.End{Kind: flow.Address, Addr: first}, family, d), d)
		if n := len(out); n > 0 && out[n-1].allowed.Equal(allowed) {
			out[n-1].last = last
			continue
		}
		out = append(out, segment{first, last, allowed})
	}
	return out
}

func firstOf(family flow.Family) netip.Addr {
	if family == flow.IPv4 {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// lastOf gives the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(a)*8; i++ {
		a[i/8] |= 1 << (7 - i%8)
	}
	out, _ := netip.AddrFromSlice(a)
	return out
}

func portText(p uint16) string { return strconv.Itoa(int(p)) }
