package objects

import (
	"net/netip"
	"slices"

	"sallyport.dev/sallyport/internal/cluster"
)

// osLabel is set by every kubelet.
const osLabel = "kubernetes.io/os"

func (a *assembly) node(it *item, o *nodeObject) {
	n := &cluster.Node{Origin: it.origin, Name: it.key.name, Labels: o.Metadata.Labels}
	n.Windows = n.Labels[osLabel] == "windows"
	for i, addr := range o.Status.Addresses {
		if addr.Type != "InternalIP" && addr.Type != "ExternalIP" {
			continue
		}
		ip, err := netip.ParseAddr(addr.Address)
		if err != nil || ip.Zone() != "" {
			it.problems = append(it.problems, badValue(indexPath("status.addresses", i)+".address", addr.Address, "an address"))
			continue
		}
		n.Addrs = append(n.Addrs, ip.Unmap())
	}
	cidrs := o.Spec.PodCIDRs
	if len(cidrs) == 0 && o.Spec.PodCIDR != "" {
		cidrs = []string{o.Spec.PodCIDR}
	}
	for i, s := range cidrs {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			it.problems = append(it.problems, badValue(indexPath("spec.podCIDRs", i), s, "a CIDR"))
			continue
		}
		n.PodCIDRs = append(n.PodCIDRs, p.Masked())
	}
	if len(it.problems) > 0 {
		a.b.report(it)
		return
	}
	a.nodes[n.Name] = n
}

// useNode makes the node of a pod known, and learns its addresses: those of a hostNetwork pod are
// the node's own, and for a node without an object the pod's hostIPs are all there is.
func (a *assembly) useNode(name string, hosts []netip.Addr, p *cluster.Pod) {
	if name == "" {
		return
	}
	n := a.nodes[name]
	if n == nil {
		n = &cluster.Node{Name: name, Assumed: true}
		a.nodes[name] = n
	}
	if n.Assumed {
		n.Addrs = append(n.Addrs, hosts...)
	}
	if p.HostNetwork {
		n.Addrs = append(n.Addrs, p.Addrs...)
	}
}

// finishNodes moves the nodes into the Snapshot, addresses sorted and without repetition.
func (a *assembly) finishNodes() {
	for _, n := range a.nodes {
		slices.SortFunc(n.Addrs, netip.Addr.Compare)
		n.Addrs = slices.Compact(n.Addrs)
		a.s.Nodes = append(a.s.Nodes, *n)
	}
}
