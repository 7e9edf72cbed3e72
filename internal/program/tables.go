package program

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"

	"go4.org/netipx"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// table is what one direction of a group allows, by the other end. What is allowed is a number, see builder.number.
type table struct {
	g        *group
	d        flow.Direction
	sets     []int32        // of pods, that the rules name
	segments [2][]segment   // by family: all addresses, for those that are no pod's and no node's
	remotes  []int32        // by remote; of those that are gone -1
	known    map[string]int // by signature
	faces    [2]*face       // by family
}

// segment is a range of addresses.
type segment struct {
	first, last netip.Addr
	allowed     int
}

// number gives the same number for the same ports, so that tables compare quickly.
func (b *builder) number(allowed netset.PortSet) int {
	key := allowed.String()
	n, ok := b.numbers[key]
	if !ok {
		n = len(b.allowed)
		b.numbers[key] = n
		b.allowed, b.words = append(b.allowed, allowed), append(b.words, key)
	}
	return n
}

// newTable asks the model about everything that may be at the other end.
func (b *builder) newTable(g *group, d flow.Direction) *table {
	t := &table{g: g, d: d, sets: b.setsOf(b.m.ClassOf(g.pods[0]), d), known: map[string]int{}}
	for f, family := range flow.Families {
		t.segments[f] = b.segmentsOf(g, d, family)
	}
	for i := range b.remotes {
		n := -1 // of ends that are gone nothing can be asked
		if len(b.remotes[i].addrs) > 0 {
			n = t.ask(b, i)
		}
		t.remotes = append(t.remotes, int32(n))
	}
	return t
}

// learn asks about a remote that is new.
func (t *table) learn(b *builder, i int) {
	t.remotes = append(t.remotes, int32(t.ask(b, i)))
	for _, f := range t.faces {
		f.through = append(f.through, int8(f.throughOf(b, i)))
	}
}

// ask gives what is allowed for a remote.
func (t *table) ask(b *builder, i int) int {
	r := &b.remotes[i]
	b.room = b.signature(b.room[:0], r, t.sets)
	n, ok := t.known[string(b.room)]
	if !ok {
		n = b.number(b.decide(b.flowOf(b.subject(t.g, r), r.end, r.family, t.d), t.d))
		t.known[string(b.room)] = n
	}
	return n
}

// subject gives a pod of the group that is not the other end itself, if there is one: a pod and itself are another matter.
func (b *builder) subject(g *group, r *remote) int {
	if r.end.Kind == flow.Pod && r.end.Index == g.pods[0] && len(g.pods) > 1 {
		return g.pods[1]
	}
	return g.pods[0]
}

// of gives what is allowed for an address that several ends have: what all of them may.
func (t *table) of(b *builder, list []owner) int {
	allowed := everything
	for _, o := range list {
		allowed = allowed.Intersect(b.allowed[t.remotes[o.remote]])
	}
	return b.number(allowed)
}

// at gives what the segment around an address allows.
func at(list []segment, addr netip.Addr) int {
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

// lastOf gives the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr { return netipx.RangeOfPrefix(p).To() }

func portText(p uint16) string { return strconv.Itoa(int(p)) }
