package layers

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"go4.org/netipx"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// numberSources numbers what is issued to a pod together with everything that L31 and L32 look at.
func (l *Model) numberSources() {
	l.sources = make([]int32, len(l.snap.Pods))
	numbers, looks := map[string]int32{}, map[string]int32{}
	onNode := map[string]int32{} // pods of one node appear alike, but for their addresses
	byAddress := l.byAddress()
	var key []byte
	for i := range l.snap.Pods {
		p := &l.snap.Pods[i]
		look, ok := onNode[p.NodeName]
		if !ok {
			look = number(looks, l.looks(i))
			onNode[p.NodeName] = look
		}
		key = binary.AppendUvarint(key[:0], uint64(l.who[i]))
		key = binary.AppendUvarint(key, uint64(look))
		for _, k := range byAddress {
			for _, a := range l.addresses(p) {
				key = append(key, byte(flow.FamilyOf(a)))
				if l.services[k].wall.union.Contains(a) {
					key = append(key, 'y')
				}
			}
			key = append(key, ';')
		}
		l.sources[i] = number(numbers, key)
	}
}

func number(at map[string]int32, key []byte) int32 {
	n, ok := at[string(key)]
	if !ok {
		n = int32(len(at))
		at[string(key)] = n
	}
	return n
}

// looks tells which sources of each service a pod may match. Without a firewall nobody asks for them.
func (l *Model) looks(pod int) []byte {
	var key []byte
	labels, known := l.nodeLabels(&flow.Flow{From: flow.End{Kind: flow.Pod, Index: pod}})
	for k := range l.services {
		x := &l.services[k]
		if x.Spec.Firewall == nil {
			continue
		}
		for i := range x.Spec.Sources {
			selector := x.Spec.Sources[i].NodeSelector
			switch {
			case len(selector) == 0:
			case !known:
				key = append(key, '?')
			case cluster.HasLabels(labels, selector):
				key = append(key, 'y')
			default:
				key = append(key, 'n')
			}
		}
		key = append(key, ';')
	}
	return key
}

// byAddress lists the services whose firewalls see addresses of pods.
func (l *Model) byAddress() []int {
	var out []int
	for i := range l.services {
		spec := l.services[i].Spec
		if spec.Firewall != nil && slices.ContainsFunc(spec.Sources, func(s v1alpha1.ClusterSource) bool { return s.PodAddresses }) {
			out = append(out, i)
		}
	}
	return out
}

// addresses gives the addresses that packets of a pod may carry; one with hostNetwork has its node's.
func (l *Model) addresses(p *cluster.Pod) []netip.Addr {
	if i := l.snap.NodeIndex(p.NodeName); p.HostNetwork && len(p.Addrs) == 0 && i >= 0 {
		return l.snap.Nodes[i].Addrs
	}
	return p.Addrs
}

// Admitting lists the ranges that firewalls of services tell apart among sources outside.
func (l *Model) Admitting() []netip.Prefix {
	var out []netip.Prefix
	for i := range l.services {
		for _, r := range l.services[i].wall.ranges {
			if r.IsValid() {
				out = append(out, r.Prefixes()...)
			}
		}
	}
	return out
}

// Admitted gives, by service, the addresses that its IP rules admit; the set is empty where they make no difference to whoever
// comes from outside the cluster (L3, L4, L32).
func (l *Model) Admitted() []*netipx.IPSet {
	out := make([]*netipx.IPSet, len(l.services))
	for i := range l.services {
		x := &l.services[i]
		out[i] = &netipx.IPSet{}
		if f := x.Spec.Firewall; f != nil && !l.unread && len(x.NotUnderstood) == 0 && f.PublicNetworkAccess != v1alpha1.PublicDisabled {
			out[i] = x.wall.union
		}
	}
	return out
}

// Inside holds the addresses that are known to be a node's or a pod's, so that nobody outside has them.
func (l *Model) Inside() map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	for i := range l.snap.Nodes {
		for _, a := range l.snap.Nodes[i].Addrs {
			out[a] = true
		}
	}
	for i := range l.snap.Pods {
		for _, a := range l.snap.Pods[i].Addrs {
			out[a] = true
		}
	}
	return out
}

// Prefixes lists where services divide the world outside.
func (l *Model) Prefixes() []netip.Prefix {
	var out []netip.Prefix
	for i := range l.services {
		out = append(out, l.services[i].public...)
		for _, a := range l.services[i].private {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return out
}

// AddCuts notes where the answers to a flow may change from one port to the next.
func (l *Model) AddCuts(c *policy.Cuts, f *flow.Flow) {
	if f.To.Kind == flow.Pod {
		declared := l.snap.Pods[f.To.Index].Ports
		for _, k := range l.targeted[l.targets[f.To.Index]] {
			for _, r := range l.policies[k].ports {
				r.addCuts(c, declared)
			}
		}
		return
	}
	for i := range l.ports { // whichever service is meant: projections count by address and port
		l.ports[i].addCuts(c, nil)
	}
}

// portsOf lists the ports of services, each once.
func portsOf(services []service) []portRange {
	var out []portRange
	seen := map[portRange]bool{}
	for i := range services {
		for _, r := range services[i].ports {
			if !seen[r] {
				seen[r] = true
				out = append(out, r)
			}
		}
	}
	return out
}

func (r *portRange) addCuts(c *policy.Cuts, declared []cluster.ContainerPort) {
	if r.name == "" {
		c.AddRange(r.proto, r.ports)
		return
	}
	for _, d := range declared {
		if d.Name == r.name && d.Proto == r.proto {
			c.AddRange(d.Proto, netset.PortRange{First: d.Port, Last: d.Port})
		}
	}
}
