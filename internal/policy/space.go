package policy

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
	"go4.org/netipx"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
)

// Region is a piece of address space that no policy tells apart: a prefix without the prefixes
// inside it that policies do tell apart.
type Region struct {
	Prefix netip.Prefix
	Except []netip.Prefix // disjoint, sorted, strictly inside Prefix
}

// Space is the division of an address family by every CIDR in use.
type Space struct {
	table    bart.Table[int32]
	prefixes []netip.Prefix // sorted: a prefix comes before those inside it
}

// Space divides the addresses by every CIDR that a policy uses, every exception, and the extra
// prefixes given.
func (m *Model) Space(extra ...netip.Prefix) *Space {
	all := slices.Clone(extra)
	whole := (&Space{}).Whole()
	all = append(all, whole[:]...)
	for _, p := range m.policies {
		for d := range p.rules {
			for i := range p.rules[d] {
				all = p.rules[d][i].appendPrefixes(all)
			}
		}
	}
	if m.opts.BlockMetadata {
		for _, a := range append(slices.Clone(metadataAddrs), AzureWire) {
			all = append(all, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return newSpace(all)
}

// Divides tells whether the space is divided by every CIDR that a policy uses.
func (s *Space) Divides(p *Policy) bool {
	var all []netip.Prefix
	for d := range p.rules {
		for i := range p.rules[d] {
			all = p.rules[d][i].appendPrefixes(all)
		}
	}
	return !slices.ContainsFunc(all, func(p netip.Prefix) bool {
		_, found := slices.BinarySearchFunc(s.prefixes, p, netip.Prefix.Compare)
		return !found
	})
}

func newSpace(prefixes []netip.Prefix) *Space {
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	s := &Space{prefixes: slices.Compact(prefixes)}
	for i, p := range s.prefixes {
		s.table.Insert(p, int32(i))
	}
	return s
}

// Join divides the addresses wherever one of two spaces does.
func (s *Space) Join(o *Space) *Space { return newSpace(slices.Concat(s.prefixes, o.prefixes)) }

func (r *Rule) appendPrefixes(all []netip.Prefix) []netip.Prefix {
	for i := range r.Peers {
		for _, b := range r.Peers[i].Blocks {
			if b.CIDR.IsValid() {
				all = append(append(all, b.CIDR), b.Except...)
			}
		}
	}
	return all
}

// Atom numbers the region that an address lies in; addresses of one region look alike to every policy.
func (s *Space) Atom(a netip.Addr) int {
	id, ok := s.table.Lookup(a)
	if !ok {
		return -1
	}
	return int(id)
}

// AppendAtoms appends a text that is the same for pods whose addresses no policy tells apart: as many
// addresses, in the same regions.
func (s *Space) AppendAtoms(key []byte, addrs []netip.Addr) []byte {
	var room [4]int
	atoms := room[:0]
	for _, a := range addrs {
		atoms = append(atoms, s.Atom(a))
	}
	slices.Sort(atoms)
	for _, a := range atoms {
		key = binary.AppendVarint(key, int64(a))
	}
	return key
}

// Regions lists the regions inside a prefix, which need not be one of the dividing prefixes.
func (s *Space) Regions(within netip.Prefix) []Region {
	inside := []netip.Prefix{within.Masked()}
	for _, p := range s.prefixes {
		if p.Bits() > within.Bits() && within.Contains(p.Addr()) {
			inside = append(inside, p)
		}
	}
	out := make([]Region, 0, len(inside))
	var open []int // indices in out of the regions that enclose the next prefix
	for _, p := range inside {
		for len(open) > 0 && !out[open[len(open)-1]].Prefix.Overlaps(p) {
			open = open[:len(open)-1]
		}
		if len(open) > 0 {
			parent := &out[open[len(open)-1]]
			parent.Except = append(parent.Except, p)
		}
		open = append(open, len(out))
		out = append(out, Region{Prefix: p})
	}
	return out
}

// Whole gives the two prefixes that hold every address.
func (s *Space) Whole() [2]netip.Prefix {
	return [2]netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
}

// Contains tells whether an address lies in the region.
func (r Region) Contains(a netip.Addr) bool {
	return r.Prefix.Contains(a) && !slices.ContainsFunc(r.Except, func(e netip.Prefix) bool { return e.Contains(a) })
}

// CIDRs gives the region as disjoint prefixes without holes.
func (r Region) CIDRs() []netip.Prefix {
	var b netipx.IPSetBuilder
	b.AddPrefix(r.Prefix)
	for _, e := range r.Except {
		b.RemovePrefix(e)
	}
	set, err := b.IPSet()
	if err != nil {
		return nil // only an invalid prefix gives an error, and regions have none
	}
	return set.Prefixes()
}

// Any gives an address of the region; ok is false if the exceptions leave none.
func (r Region) Any() (netip.Addr, bool) { return r.Pick(func(netip.Addr) bool { return false }) }

// Pick gives an address of the region for which skip is false; ok is false if there is none. skip
// must be true for finitely many addresses only, such as those that are known.
func (r Region) Pick(skip func(netip.Addr) bool) (netip.Addr, bool) {
	a, hole := r.Prefix.Addr(), 0
	last := rangeOf(r.Prefix).last
	for {
		for hole < len(r.Except) && rangeOf(r.Except[hole]).last.Less(a) {
			hole++
		}
		if hole < len(r.Except) && r.Except[hole].Contains(a) {
			a = rangeOf(r.Except[hole]).last.Next()
		} else if skip(a) {
			a = a.Next()
		} else {
			return a, true
		}
		if !a.IsValid() || last.Less(a) {
			return netip.Addr{}, false
		}
	}
}

// String gives the prefix and what is left out of it.
func (r Region) String() string {
	b := Block{CIDR: r.Prefix, Except: r.Except}
	return b.String()
}

// Cuts collects where the answer may change from one port to the next.
type Cuts struct{ starts [3][]uint16 }

// Clone gives a copy that shares nothing with c.
func (c *Cuts) Clone() Cuts {
	var out Cuts
	for i := range c.starts {
		out.starts[i] = slices.Clone(c.starts[i])
	}
	return out
}

// AddRange notes that the answer may change where a range of ports begins and after it ends.
func (c *Cuts) AddRange(p netset.Proto, r netset.PortRange) {
	if !p.HasPorts() || r.First > r.Last {
		return
	}
	i := p - netset.TCP
	c.starts[i] = append(c.starts[i], r.First)
	if r.Last < 65535 {
		c.starts[i] = append(c.starts[i], r.Last+1)
	}
}

// Add collects the cuts of every rule that applies to a class for a direction; dest is the class
// of the destination pod or -1.
func (c *Cuts) Add(m *Model, class, dest int, d flow.Direction) {
	if dest >= 0 {
		for _, p := range m.classes[dest].Ports {
			c.AddRange(p.Proto, netset.PortRange{First: p.Port, Last: p.Port})
		}
	}
	if class < 0 {
		return
	}
	s := m.classes[class].Subject(d)
	for _, list := range [][]Applied{s.Admin, s.Baseline} {
		for _, p := range list {
			c.addRules(p.Rules(d))
		}
	}
	for _, p := range s.Policies {
		c.addRules(p.Rules(d))
	}
	if m.opts.BlockMetadata && m.opts.Azure {
		for _, p := range AzureWirePorts {
			c.AddRange(netset.TCP, netset.PortRange{First: p, Last: p})
		}
	}
}

// CutsFor collects the cuts of all that policies say of a flow.
func (m *Model) CutsFor(f *flow.Flow) Cuts {
	var c Cuts
	for _, d := range flow.Directions {
		if q, class, ok := m.NewQuery(f, d); ok {
			c.Add(m, class, q.DestClass, d)
		}
	}
	return c
}

// Pieces divides ports where the answer may change.
func (c *Cuts) Pieces(within netset.PortSet) []netset.Entry {
	var out []netset.Entry
	for _, e := range within.Entries() {
		for _, ports := range c.Ranges(e.Proto, e.Range) {
			out = append(out, netset.Entry{Proto: e.Proto, Range: ports})
		}
	}
	return out
}

func (c *Cuts) addRules(rules []Rule) {
	for i := range rules {
		for _, p := range rules[i].Ports {
			c.AddRange(p.Proto, p.Range)
			if p.unsettledAbove {
				c.AddRange(p.Proto, netset.PortRange{First: p.Range.First, Last: p.Range.First})
			}
		}
	}
}

// Ranges divides a range of a protocol's ports so that every port of a piece gets the same answer.
func (c *Cuts) Ranges(p netset.Proto, within netset.PortRange) []netset.PortRange {
	if !p.HasPorts() {
		return []netset.PortRange{{}}
	}
	starts := slices.Clone(c.starts[p-netset.TCP])
	starts = append(starts, within.First)
	slices.Sort(starts)
	starts = slices.Compact(starts)
	var out []netset.PortRange
	for _, s := range starts {
		if !within.Contains(s) {
			continue
		}
		if n := len(out); n > 0 {
			out[n-1].Last = s - 1
		}
		out = append(out, netset.PortRange{First: s, Last: within.Last})
	}
	return out
}
