package oracle

import (
	"net/netip"
	"slices"
	"strings"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
)

// factsClear tells whether all facts of a service are understood (L4).
func factsClear(x *cluster.ExternalService) bool { return len(x.NotUnderstood) == 0 }

// services is L30: the services that the connection is one to.
func (a layerAsker) services() []*cluster.ExternalService {
	if a.service >= 0 {
		return []*cluster.ExternalService{&a.s.External[a.service]}
	}
	var out []*cluster.ExternalService
	for i := range a.s.External {
		if x := &a.s.External[i]; a.f.To.Kind == flow.Address && a.inReach(x) && a.hasAddressAndPort(x) {
			out = append(out, x)
		}
	}
	return out
}

// inReach: a ClusterExternalService, or one in the source pod's namespace.
func (a layerAsker) inReach(x *cluster.ExternalService) bool {
	from := a.network(flow.Egress).pod(a.f.From)
	return x.Namespace == "" || from != nil && from.Namespace == x.Namespace
}

func (a layerAsker) hasAddressAndPort(x *cluster.ExternalService) bool {
	return (a.inCIDRs(x) || a.atPrivateEndpoint(x)) && a.serves(x)
}

// inCIDRs: a service without cidrs has its private endpoints' addresses only.
func (a layerAsker) inCIDRs(x *cluster.ExternalService) bool {
	return slices.ContainsFunc(x.Spec.CIDRs, func(s string) bool {
		p, err := netip.ParsePrefix(s)
		return err == nil && p.Contains(a.f.To.Addr)
	})
}

func (a layerAsker) atPrivateEndpoint(x *cluster.ExternalService) bool {
	return x.Spec.Firewall != nil && slices.ContainsFunc(x.Spec.Firewall.PrivateEndpoints, func(e v1alpha1.PrivateEndpoint) bool {
		address, err := netip.ParseAddr(e.Address)
		return err == nil && address == a.f.To.Addr
	})
}

func (a layerAsker) serves(x *cluster.ExternalService) bool {
	return slices.ContainsFunc(x.Spec.Ports, func(p v1alpha1.ExternalPort) bool {
		return a.portIn(p.Protocol, p.Port, p.EndPort)
	})
}

// appearances is L31: as what the source may appear. Nil stands for something unknown.
func (a layerAsker) appearances(x *cluster.ExternalService) []*v1alpha1.ClusterSource {
	if a.f.From.Kind == flow.Address { // appears as itself
		return []*v1alpha1.ClusterSource{{PodAddresses: true}}
	}
	var out []*v1alpha1.ClusterSource
	for i := range x.Spec.Sources {
		source := &x.Spec.Sources[i]
		switch a.onNode(source.NodeSelector) {
		case yes:
			return append(out, source)
		case unknown: // may match or not
			out = append(out, source)
		}
	}
	return append(out, nil)
}

// onNode: does the nodeSelector match the labels of the source's node? One that says nothing does.
func (a layerAsker) onNode(selector map[string]string) match {
	if len(selector) == 0 {
		return yes
	}
	node := a.sourceNode()
	if node == nil || node.Assumed {
		return unknown
	}
	return known(cluster.HasLabels(node.Labels, selector))
}

// sourceNode gives the node that the source is or runs on, or nil if that is not known.
func (a layerAsker) sourceNode() *cluster.Node {
	if a.f.From.Kind == flow.Node {
		return &a.s.Nodes[a.f.From.Index]
	}
	name := a.s.Pods[a.f.From.Index].NodeName
	i := slices.IndexFunc(a.s.Nodes, func(n cluster.Node) bool { return n.Name == name })
	if name == "" || i < 0 {
		return nil
	}
	return &a.s.Nodes[i]
}

// firewall is L32.
func (a layerAsker) firewall(x *cluster.ExternalService) Opinion {
	rules := x.Spec.Firewall
	switch {
	case !factsClear(x): // L4
		return Unknown
	case rules == nil:
		return None
	case a.atPrivateEndpoint(x):
		return Allow
	case rules.PublicNetworkAccess == v1alpha1.PublicDisabled:
		return Deny
	}
	var possible []Opinion
	for _, as := range a.appearances(x) {
		possible = append(possible, a.admitted(rules, as))
	}
	if len(slices.Compact(possible)) == 1 {
		return possible[0]
	}
	return Unknown
}

// admitted is L32 for one appearance.
func (a layerAsker) admitted(rules *v1alpha1.ExternalFirewall, as *v1alpha1.ClusterSource) Opinion {
	byRules := a.admittedByRules(rules, as)
	switch {
	case byRules == Allow || !allowsAzure(rules):
		return byRules
	case as != nil && beginsWith(as.Subnet, "/subscriptions/"):
		return Allow
	}
	return Unknown
}

func (a layerAsker) admittedByRules(rules *v1alpha1.ExternalFirewall, as *v1alpha1.ClusterSource) Opinion {
	addresses := a.addressesOf(as)
	switch {
	case as == nil, as.Subnet == "" && len(addresses) == 0: // something unknown, an address that is not known
		if len(rules.IPRules)+len(rules.SubnetRules) == 0 {
			return Deny
		}
		return Unknown
	case as.Subnet != "":
		return opinionOf(known(slices.ContainsFunc(rules.SubnetRules, func(r v1alpha1.SubnetRule) bool {
			return strings.EqualFold(r.Subnet, as.Subnet)
		})))
	}
	return inRules(rules, addresses)
}

// addressesOf gives the addresses in the family of the connection, as far as they are known: the source's
// own, or those that its appearance lists. If that lists none in the family, which one it has there is not known.
func (a layerAsker) addressesOf(as *v1alpha1.ClusterSource) []addrRange {
	var out []addrRange
	switch {
	case as == nil:
		return nil
	case as.PodAddresses && a.f.From.Addr.IsValid():
		return []addrRange{{a.f.From.Addr, a.f.From.Addr}}
	}
	for _, s := range as.Addresses {
		if p, err := netip.ParsePrefix(s); err == nil && flow.FamilyOf(p.Addr()) == a.f.Family {
			out = append(out, rangeOf(p))
		}
	}
	return out
}

// beginsWith compares case apart, as subnets are.
func beginsWith(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// allowsAzure: allowAzureServices, or a rule from 0.0.0.0 to 0.0.0.0.
func allowsAzure(rules *v1alpha1.ExternalFirewall) bool {
	return rules.AllowAzureServices || slices.ContainsFunc(rules.IPRules, standsForAzure)
}

func standsForAzure(r v1alpha1.IPRule) bool { return r.First == "0.0.0.0" && r.Last == "0.0.0.0" }

// inRules: admitted if each address is in one of the ranges, denied if none is, else unknown.
func inRules(rules *v1alpha1.ExternalFirewall, sources []addrRange) Opinion {
	var admitted []addrRange
	for _, r := range rules.IPRules {
		first, err1 := netip.ParseAddr(r.First)
		last, err2 := netip.ParseAddr(r.Last)
		if err1 == nil && err2 == nil && !standsForAzure(r) {
			admitted = append(admitted, addrRange{first, last})
		}
	}
	each, some := true, false
	for _, s := range sources {
		each = each && s.covered(admitted)
		some = some || slices.ContainsFunc(admitted, s.meets)
	}
	switch {
	case each:
		return Allow
	case !some:
		return Deny
	}
	return Unknown
}

// addrRange is a range of addresses of one family, both ends included; it may be empty.
type addrRange struct{ first, last netip.Addr }

func (r addrRange) contains(x netip.Addr) bool {
	return r.first.Compare(x) <= 0 && x.Compare(r.last) <= 0
}

// meets tells whether some address is in both.
func (r addrRange) meets(o addrRange) bool {
	return r.contains(o.first) && o.contains(o.first) || o.contains(r.first) && r.contains(r.first)
}

// covered tells whether each address of r is in one of the ranges.
func (r addrRange) covered(by []addrRange) bool {
	for at := r.first; at.IsValid() && at.Compare(r.last) <= 0; {
		i := slices.IndexFunc(by, func(o addrRange) bool { return o.contains(at) })
		if i < 0 {
			return false
		}
		at = by[i].last.Next()
	}
	return true
}

// rangeOf gives the addresses of a CIDR.
func rangeOf(p netip.Prefix) addrRange {
	last := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(last)*8; i++ {
		last[i/8] |= 1 << (7 - i%8)
	}
	end, _ := netip.AddrFromSlice(last)
	return addrRange{p.Masked().Addr(), end}
}
