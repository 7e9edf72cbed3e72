package program

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"go4.org/netipx"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// remote is ends with known addresses that no policy tells apart, one family each.
type remote struct {
	end    flow.End // one of them
	family flow.Family
	class  int    // of pods; else -1
	atom   int    // of their addresses, see policy.Space
	key    string // what they have in common
	addrs  []netip.Addr
}

// findRemotes groups all pods and nodes of the cluster with their addresses, and notes which addresses several have.
func (b *builder) findRemotes() {
	at := map[string]int{}
	b.space = b.m.Space()
	add := func(end flow.End, class int, key string) {
		family, atom := flow.FamilyOf(end.Addr), b.space.Atom(end.Addr)
		key = fmt.Sprint(key, " ", family, " ", atom)
		n, ok := at[key]
		if !ok {
			n = len(b.remotes)
			at[key] = n
			b.remotes = append(b.remotes, remote{end: end, family: family, class: class, atom: atom, key: key})
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
			add(flow.End{Kind: flow.Pod, Index: i, Addr: addr}, class, fmt.Sprint("class ", class, b.account(i)))
		}
	}
	for i := range s.Nodes {
		for _, addr := range s.Nodes[i].Addrs {
			add(flow.End{Kind: flow.Node, Index: i, Addr: addr}, -1, fmt.Sprint("node ", i))
		}
	}
	b.owners = map[netip.Addr][]int{}
	for i := range b.remotes {
		for _, a := range b.remotes[i].addrs {
			if b.owners[a] = append(b.owners[a], i); len(b.owners[a]) == 2 {
				b.contested = append(b.contested, a)
			}
		}
	}
	slices.SortFunc(b.contested, netip.Addr.Compare)
}

// shares tells whether an address of a local pod is some other end's too, and notes it.
func (b *builder) shares(addr netip.Addr, pod int) bool {
	if len(b.owners[addr]) < 2 {
		return false
	}
	p := &b.m.Snapshot().Pods[pod]
	b.p.Notes = append(b.p.Notes, fmt.Sprintf("%s of pod %s/%s is closed: another pod or node has the address too", addr, p.Namespace, p.Name))
	return true
}

// table is what one direction of a group allows, by the other end. What is allowed is a number, see builder.number.
type table struct {
	sets     []int32      // of pods, that the rules name
	segments [2][]segment // by family: all addresses, for those that are no pod's and no node's
	remotes  []int        // by remote
	extra    [2][]row     // further addresses
}

// segment is a range of addresses.
type segment struct {
	first, last netip.Addr
	allowed     int
}

// row is an address and what is allowed for it.
type row struct {
	addr    netip.Addr
	allowed int
}

// number gives the same number for the same ports, so that tables compare quickly.
func (b *builder) number(allowed netset.PortSet) int {
	key := allowed.String()
	n, ok := b.numbers[key]
	if !ok {
		n = len(b.allowed)
		b.numbers[key] = n
		b.allowed = append(b.allowed, allowed)
	}
	return n
}

// account names the service account of a pod where projections ask for it.
func (b *builder) account(pod int) string {
	if b.l == nil {
		return ""
	}
	p := &b.m.Snapshot().Pods[pod]
	return fmt.Sprintf(" %s/%s ", p.Namespace, p.Account)
}

// subject gives a pod of the group that is not the other end itself, if there is one: a pod and itself are another matter.
func (b *builder) subject(g *group, r *remote) int {
	if r.end.Kind == flow.Pod && r.end.Index == g.pods[0] && len(g.pods) > 1 {
		return g.pods[1]
	}
	return g.pods[0]
}

// table asks the model about everything that may be at the other end.
func (b *builder) table(g *group, d flow.Direction) *table {
	out := &table{sets: b.setsOf(b.m.ClassOf(g.pods[0]), d), remotes: make([]int, len(b.remotes))}
	for f, family := range flow.Families {
		out.segments[f] = b.segmentsOf(g, d, family)
	}
	known := map[string]int{}
	var key []byte
	for i := range b.remotes {
		r := &b.remotes[i]
		key = b.signature(key[:0], r, out.sets)
		n, ok := known[string(key)]
		if !ok {
			n = b.number(b.decide(b.flowOf(b.subject(g, r), r.end, r.family, d), d))
			known[string(key)] = n
		}
		out.remotes[i] = n
	}
	for _, addr := range b.contested { // several ends have it: what all of them may
		allowed := everything
		for _, i := range b.owners[addr] {
			allowed = allowed.Intersect(b.allowed[out.remotes[i]])
		}
		f := flow.FamilyOf(addr) - 1
		out.extra[f] = append(out.extra[f], row{addr, b.number(allowed)})
	}
	return out
}

// nodeTable is what is allowed between a group and this node itself. A packet may carry an address of the node that is in
// no Snapshot, such as a bridge's: it is the node's all the same. Only a metadata address stays what it is (S27), where
// something on the node serves it.
func (b *builder) nodeTable(g *group, d flow.Direction) *table {
	out := &table{}
	ask := func(own flow.End, family flow.Family) int {
		return b.number(b.decide(b.flowOf(g.pods[0], own, family, d), d))
	}
	for f, family := range flow.Families {
		own := flow.End{Kind: flow.Node, Index: b.node}
		first := firstOf(family)
		out.segments[f] = []segment{{first, lastOf(netip.PrefixFrom(first, 0)), ask(own, family)}}
		for _, own.Addr = range b.m.Snapshot().Nodes[b.node].Addrs {
			if flow.FamilyOf(own.Addr) == family {
				out.extra[f] = append(out.extra[f], row{own.Addr, ask(own, family)})
			}
		}
		for _, m := range b.m.MetadataPorts() {
			taken := slices.ContainsFunc(out.extra[f], func(r row) bool { return r.addr == m.Addr() })
			if flow.FamilyOf(m.Addr()) == family && !taken {
				out.extra[f] = append(out.extra[f], row{m.Addr(), ask(flow.End{Kind: flow.Address, Addr: m.Addr()}, family)})
			}
		}
	}
	return out
}

// at gives what the segment around an address allows.
func (t *table) at(family int, addr netip.Addr) int {
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
func (b *builder) signature(key []byte, r *remote, sets []int32) []byte {
	key = append(key, byte(r.family))
	key = binary.AppendVarint(key, int64(r.atom))
	if r.class < 0 {
		return append(key, r.key...)
	}
	key = binary.AppendUvarint(key, uint64(b.m.PortsOf(r.class)))
	account := b.account(r.end.Index)
	key = append(binary.AppendUvarint(key, uint64(len(account))), account...)
	for _, want := range []policy.Match{policy.Yes, policy.Maybe} {
		in := b.m.SetsOf(r.class, want)
		for i, set := range sets {
			if _, ok := slices.BinarySearch(in, set); ok {
				key = binary.AppendUvarint(key, uint64(i+1))
			}
		}
		key = append(key, 0) // no index is
	}
	return key
}

// membersOf lists the remotes of a family that are surely in a set of pods, and how many addresses they have.
func (b *builder) membersOf(set int32, family flow.Family) *members {
	k := memberKey{set, family}
	if m := b.members[k]; m != nil {
		return m
	}
	m := &members{}
	for i := range b.remotes {
		r := &b.remotes[i]
		if r.family != family || r.class < 0 {
			continue
		}
		if _, ok := slices.BinarySearch(b.m.SetsOf(r.class, policy.Yes), set); ok {
			m.remotes = append(m.remotes, i)
			m.addrs += len(r.addrs)
		}
	}
	b.members[k] = m
	return m
}

type memberKey struct {
	set    int32
	family flow.Family
}

type members struct {
	remotes []int
	addrs   int
	name    string // of the set in the table, once it is there
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
	if b.l != nil && d == flow.Egress {
		for _, p := range b.l.Prefixes() {
			cutAt(p)
		}
	}
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
		allowed := b.number(b.decide(b.flowOf(g.pods[0], flow.End{Kind: flow.Address, Addr: first}, family, d), d))
		if n := len(out); n > 0 && out[n-1].allowed == allowed {
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
func lastOf(p netip.Prefix) netip.Addr { return netipx.RangeOfPrefix(p).To() }

func portText(p uint16) string { return strconv.Itoa(int(p)) }
