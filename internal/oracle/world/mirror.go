package world

import (
	"net/netip"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/oracle"
)

// mirrorBase is where the IPv4 addresses go: its last four bytes are theirs.
var mirrorBase = netip.MustParsePrefix("fd00::/96")

// mirrorAddr maps an IPv4 address into mirrorBase and back. An IPv6 address outside mirrorBase goes
// to 192.0.2.1: no IPv6 flow of the mirrored world can tell.
func mirrorAddr(a netip.Addr) netip.Addr {
	switch {
	case !a.IsValid():
		return a
	case a.Is4():
		b, four := mirrorBase.Addr().As16(), a.As4()
		copy(b[12:], four[:])
		return netip.AddrFrom16(b)
	case mirrorBase.Contains(a):
		b := a.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return netip.MustParseAddr("192.0.2.1")
}

// mirrorPrefix maps a block into mirrorBase and back: the length grows by 96. 0.0.0.0/0 goes to ::/0,
// because a flow's addresses may lie anywhere.
func mirrorPrefix(p netip.Prefix) netip.Prefix {
	switch {
	case p.Bits() == 0 && p.Addr().Is4():
		return netip.MustParsePrefix("::/0")
	case p.Bits() == 0:
		return netip.MustParsePrefix("0.0.0.0/0")
	case p.Addr().Is4():
		return netip.PrefixFrom(mirrorAddr(p.Addr()), p.Bits()+96)
	case p.Bits() > 96 && mirrorBase.Contains(p.Addr()):
		return netip.PrefixFrom(mirrorAddr(p.Addr()), p.Bits()-96)
	}
	return netip.MustParsePrefix("192.0.2.0/24")
}

// mirrorCIDR is mirrorPrefix for text; an unreadable CIDR stays as it is.
func mirrorCIDR(s string) string {
	p, ok := oracle.ParseCIDR(s)
	if !ok {
		return s
	}
	return mirrorPrefix(p).String()
}

// canonical writes a CIDR without host bits and leading zeros.
func canonical(s string) string {
	p, ok := oracle.ParseCIDR(s)
	if !ok {
		return s
	}
	return p.String()
}

// MirrorFamilies swaps the families: every IPv4 address and block becomes an IPv6 one, one to one,
// and the reverse. An IPv4 flow of the world and its MirrorFlow in the result have the same answer,
// except for metadata addresses, which have no image (S27), and addresses outside the vocabulary.
// It holds for IPv4 flows only.
func MirrorFamilies(w World) World {
	w = w.clone()
	for i := range w.Pods {
		st := &w.Pods[i].Status
		for j := range st.PodIPs {
			st.PodIPs[j].IP = mirrored(st.PodIPs[j].IP)
			st.PodIP = st.PodIPs[0].IP
		}
	}
	for i := range w.Nodes {
		n := &w.Nodes[i]
		for j := range n.Status.Addresses {
			n.Status.Addresses[j].Address = mirrored(n.Status.Addresses[j].Address)
		}
		for j := range n.Spec.PodCIDRs {
			n.Spec.PodCIDRs[j] = mirrorCIDR(n.Spec.PodCIDRs[j])
			n.Spec.PodCIDR = n.Spec.PodCIDRs[0]
		}
	}
	for i := range w.PodCIDRs {
		w.PodCIDRs[i] = mirrorPrefix(w.PodCIDRs[i])
	}
	mirrorPolicies(&w)
	return w
}

func mirrorPolicies(w *World) {
	w.eachNPRule(func(r npRule) {
		for _, p := range *r.peers {
			if p.IPBlock == nil {
				continue
			}
			p.IPBlock.CIDR = mirrorCIDR(p.IPBlock.CIDR)
			for i := range p.IPBlock.Except {
				p.IPBlock.Except[i] = mirrorCIDR(p.IPBlock.Except[i])
			}
		}
	})
	for i := range w.ClusterPolicies {
		for _, r := range w.ClusterPolicies[i].Object.Spec.Egress {
			for _, p := range r.To {
				for j := range p.Networks {
					p.Networks[j] = policyCIDR(mirrorCIDR(string(p.Networks[j])))
				}
			}
		}
	}
}

// MirrorFlow is the image of a flow under MirrorFamilies.
func MirrorFlow(f flow.Flow) flow.Flow {
	f.Family = flow.IPv4 + flow.IPv6 - f.Family
	f.From.Addr, f.To.Addr = mirrorAddr(f.From.Addr), mirrorAddr(f.To.Addr)
	return f
}

// MirrorOptions is the image of the options under MirrorFamilies.
func MirrorOptions(o oracle.Options) oracle.Options {
	var ranges []netip.Prefix
	for _, p := range o.PodCIDRs {
		ranges = append(ranges, mirrorPrefix(p))
	}
	o.PodCIDRs = ranges
	return o
}
