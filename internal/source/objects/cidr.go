package objects

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	netutils "k8s.io/utils/net"
)

// checkBlock is S16: an ipBlock is parsed as servers still do, and warned about where that is
// surprising.
func (p *policy) checkBlock(path string, b *networkingv1.IPBlock) {
	block := p.checkCIDR(path+".cidr", b.CIDR)
	for i, e := range b.Except {
		at := indexPath(path+".except", i)
		hole := p.checkCIDR(at, e)
		if block == nil || hole == nil {
			continue
		}
		outer, _ := block.Mask.Size()
		inner, _ := hole.Mask.Size()
		if !block.Contains(hole.IP) || inner <= outer {
			p.add(at, fmt.Sprintf("%s %s is not a strict part of %s", at, quoteShort(e), quoteShort(b.CIDR)),
				"except can only take away from its own cidr")
		}
	}
}

// checkCIDR gives the parsed CIDR, or nil and a problem.
func (p *policy) checkCIDR(path, s string) *net.IPNet {
	ip, n, err := netutils.ParseCIDRSloppy(s)
	if err != nil {
		if s == "" {
			p.add(path, path+" is missing", "")
			return nil
		}
		hint := ""
		if netutils.ParseIPSloppy(s) != nil {
			hint = "for a single address write " + singleAddress(s)
		}
		p.add(path, fmt.Sprintf("%s %s is not a CIDR", path, quoteShort(s)), hint)
		return nil
	}
	switch strict, err := netip.ParsePrefix(s); {
	case err != nil:
		p.note(path, fmt.Sprintf("%s %s is written in an old way and read as %s", path, quoteShort(s), n))
	case strict.Addr().Is4In6():
		p.note(path, fmt.Sprintf("%s %s is an IPv4 range written as IPv6", path, quoteShort(s)))
	case !ip.Equal(n.IP):
		p.note(path, fmt.Sprintf("%s %s has host bits and is read as %s", path, quoteShort(s), n))
	}
	return n
}

func singleAddress(s string) string {
	if strings.Contains(s, ":") {
		return s + "/128"
	}
	return s + "/32"
}
