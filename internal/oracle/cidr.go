package oracle

import (
	"net/netip"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
)

// ParseCIDR reads a CIDR as API servers do (S16): leading zeros are decimal, host bits are cleared.
// The second result is false for text that is no CIDR; such a block matches nothing.
func ParseCIDR(s string) (netip.Prefix, bool) {
	addrText, bitsText, ok := strings.Cut(s, "/")
	if !ok {
		return netip.Prefix{}, false
	}
	addr, ok := parseAddr(addrText)
	if !ok {
		return netip.Prefix{}, false
	}
	bits, ok := decimal(bitsText, addr.BitLen())
	if !ok {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(addr, bits).Masked(), true
}

func parseAddr(s string) (netip.Addr, bool) {
	if !strings.Contains(s, ":") {
		return parseIPv4(s)
	}
	// The last part of an IPv6 address may be written as IPv4.
	if i := strings.LastIndex(s, ":"); strings.Contains(s[i:], ".") {
		tail, ok := parseIPv4(s[i+1:])
		if !ok {
			return netip.Addr{}, false
		}
		s = s[:i+1] + tail.String()
	}
	addr, err := netip.ParseAddr(s)
	return addr, err == nil && addr.Zone() == ""
}

func parseIPv4(s string) (netip.Addr, bool) {
	parts := strings.Split(s, ".")
	if len(parts) != 4 {
		return netip.Addr{}, false
	}
	var b [4]byte
	for i, part := range parts {
		n, ok := decimal(part, 255)
		if !ok {
			return netip.Addr{}, false
		}
		b[i] = byte(n)
	}
	return netip.AddrFrom4(b), true
}

// decimal reads digits only, leading zeros allowed, up to max.
func decimal(s string, max int) (int, bool) {
	if s == "" {
		return 0, false
	}
	n := 0
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n = n*10 + int(c-'0'); n > max {
			return 0, false
		}
	}
	return n, true
}

// inside tells whether every address of p is in q.
func inside(p, q netip.Prefix) bool {
	return p.Addr().BitLen() == q.Addr().BitLen() && p.Bits() >= q.Bits() && q.Contains(p.Addr())
}

// overlap tells whether some address is in both; two CIDRs either nest or are apart.
func overlap(p, q netip.Prefix) bool { return inside(p, q) || inside(q, p) }

// blockMatch is S16 and S17: is this end in the CIDR, but in no except?
func (a asker) blockMatch(e flow.End, cidr string, except []string) match {
	block, ok := ParseCIDR(cidr)
	if !ok {
		return no
	}
	var holes []netip.Prefix
	for _, x := range except {
		if hole, ok := ParseCIDR(x); ok {
			holes = append(holes, hole)
		}
	}
	// S17: the address in the packet counts.
	if e.Addr.IsValid() {
		in := func(p netip.Prefix) bool { return p.Contains(e.Addr) }
		return known(in(block) && !slices.ContainsFunc(holes, in))
	}
	// S16: an IPv4 block says nothing about IPv6 and the reverse.
	if flow.FamilyOf(block.Addr()) != a.f.Family {
		return no
	}
	// S16: nothing has an address in a v4-mapped block, so this one's is not there either.
	if block.Addr().Is4In6() {
		return no
	}
	// S17: an end whose address is not known matches 0.0.0.0/0 or ::/0 whose except is empty.
	if block.Bits() == 0 && len(except) == 0 {
		return yes
	}
	if a.selectable(e) != nil { // a pod; hostNetwork pods are nodes
		ranges := a.podRanges()
		within := func(r netip.Prefix) bool { // in the CIDR, touching no except
			touches := func(hole netip.Prefix) bool { return overlap(r, hole) }
			return inside(r, block) && !slices.ContainsFunc(holes, touches)
		}
		without := func(r netip.Prefix) bool { // outside the CIDR, or inside one except
			covers := func(hole netip.Prefix) bool { return inside(r, hole) }
			return !overlap(r, block) || slices.ContainsFunc(holes, covers)
		}
		switch {
		case len(ranges) > 0 && holdsForAll(ranges, within):
			return yes
		case len(ranges) > 0 && holdsForAll(ranges, without):
			return no
		}
	}
	// S17: in all other cases it is taken not to match; under --strict it is unknown.
	if a.o.Strict {
		return unknown
	}
	return no
}

func holdsForAll(ranges []netip.Prefix, test func(netip.Prefix) bool) bool {
	return !slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return !test(r) })
}

// podRanges lists every known pod range of the flow's family (S17).
func (a asker) podRanges() []netip.Prefix {
	all := slices.Concat(a.o.PodCIDRs, a.s.Facts.PodCIDRs)
	for _, n := range a.s.Nodes {
		all = append(all, n.PodCIDRs...)
	}
	var out []netip.Prefix
	for _, r := range all {
		if flow.FamilyOf(r.Addr()) == a.f.Family {
			out = append(out, r.Masked())
		}
	}
	return out
}

// nodeOf gives the node that an end stands for (S23), and whether the end is a node at all. The
// node is nil if it is not known which one.
func (a asker) nodeOf(e flow.End) (node *cluster.Node, isNode bool) {
	switch {
	case e.Kind == flow.Node:
		return &a.s.Nodes[e.Index], true
	case e.Kind == flow.Pod && a.s.Pods[e.Index].HostNetwork:
		for i := range a.s.Nodes {
			if a.s.Nodes[i].Name == a.s.Pods[e.Index].NodeName {
				return &a.s.Nodes[i], true
			}
		}
		return nil, true
	}
	return nil, false
}
