package policy

import (
	"net/netip"

	netutils "k8s.io/utils/net"

	"sallyport.dev/sallyport/internal/flow"
)

// Block is one CIDR with its holes (S16). The zero value matches nothing.
type Block struct {
	CIDR   netip.Prefix
	Except []netip.Prefix
	// podWithout is the match of a pod whose address in the CIDR's family is not known (S17), by what
	// is known of the pod ranges; podAssumed tells that it is No only by assumption.
	podWithout Match
	podAssumed bool
	// nodeWithout and nodeAssumed say the same of a node without known address.
	nodeWithout Match
	nodeAssumed bool

	holes []addrRange // Except, sorted and merged, where there are many
}

// ParseCIDR reads a CIDR the way API servers do to this day: host bits are dropped and leading
// zeros are decimal (S16).
func ParseCIDR(s string) (netip.Prefix, bool) {
	_, n, err := netutils.ParseCIDRSloppy(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	if !ok {
		return netip.Prefix{}, false
	}
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(addr, ones), true
}

// newBlock compiles a CIDR and its exceptions. What does not parse matches nothing; an exception
// that does not parse leaves nothing, because guessing would open what somebody meant to close.
func newBlock(cidr string, except []string, ranges []netip.Prefix, o Options) Block {
	p, ok := ParseCIDR(cidr)
	if !ok {
		return Block{}
	}
	b := Block{CIDR: p}
	for _, e := range except {
		hole, ok := ParseCIDR(e)
		if !ok {
			return Block{}
		}
		b.Except = append(b.Except, hole)
	}
	if len(b.Except) >= indexFrom {
		for _, e := range b.Except {
			b.holes = append(b.holes, rangeOf(e))
		}
		b.holes = mergeAddrs(b.holes)
	}
	b.podWithout, b.podAssumed = b.withoutAddress(ranges, o)
	b.nodeWithout, b.nodeAssumed = b.withoutAddress(nil, o)
	return b
}

// withoutAddress is S17 for an end whose address is not known but lies in one of the ranges.
func (b *Block) withoutAddress(ranges []netip.Prefix, o Options) (m Match, assumed bool) {
	if o.Behaviour.BlocksMatchOutsideOnly || b.CIDR.Addr().Is4In6() { // no pod has a v4-mapped address (S16)
		return No, false
	}
	if b.CIDR.Bits() == 0 && len(b.Except) == 0 {
		return Yes, false
	}
	inside, outside, known := true, true, false
	for _, r := range ranges {
		if r.Addr().Is4() != b.CIDR.Addr().Is4() {
			continue
		}
		known = true
		inside = inside && b.coversAll(r)
		outside = outside && b.coversNone(r)
	}
	switch {
	case known && inside:
		return Yes, false
	case known && outside:
		return No, false
	}
	return No, true
}

func (b *Block) coversAll(r netip.Prefix) bool {
	if !within(r, b.CIDR) {
		return false
	}
	for _, e := range b.Except {
		if e.Overlaps(r) {
			return false
		}
	}
	return true
}

func (b *Block) coversNone(r netip.Prefix) bool {
	if !b.CIDR.Overlaps(r) {
		return true
	}
	for _, e := range b.Except {
		if within(r, e) {
			return true
		}
	}
	return false
}

// within tells whether every address of inner is in outer.
func within(inner, outer netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// Contains tells whether an address is in the block and in none of its holes.
func (b *Block) Contains(a netip.Addr) bool {
	if !b.CIDR.IsValid() || !b.CIDR.Contains(a) {
		return false
	}
	if b.holes != nil {
		return !inRanges(b.holes, a)
	}
	for _, e := range b.Except {
		if e.Contains(a) {
			return false
		}
	}
	return true
}

func (b *Block) match(e *Remote) Match {
	if e.blocksSkip {
		return No
	}
	if e.End.Addr.IsValid() {
		return matchIf(b.Contains(e.End.Addr))
	}
	if !b.CIDR.IsValid() || (e.Family == flow.IPv4) != b.CIDR.Addr().Is4() {
		return No
	}
	got, assumed := b.nodeWithout, b.nodeAssumed
	if e.IsPod {
		got, assumed = b.podWithout, b.podAssumed
	}
	if assumed && e.Strict {
		return Maybe
	}
	return got
}

// Assumes tells whether the block is taken not to match the end only because the end's address is
// not known (S17).
func (b *Block) Assumes(e *Remote) bool {
	if e.End.Addr.IsValid() || !b.CIDR.IsValid() || (e.Family == flow.IPv4) != b.CIDR.Addr().Is4() {
		return false
	}
	if e.IsPod {
		return b.podAssumed
	}
	return b.nodeAssumed && e.IsNode
}
