package layers

import (
	"encoding/binary"
	"net/netip"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// numberSources numbers what is issued to a pod together with everything that L31 and L32 look at.
func (l *Model) numberSources() {
	l.sources = make([]int32, len(l.snap.Pods))
	numbers := map[string]int32{}
	var key []byte
	for i := range l.snap.Pods {
		key = binary.AppendUvarint(key[:0], uint64(l.who[i]))
		for k := range l.services {
			key = l.appendAppearance(key, &l.services[k], i)
		}
		n, ok := numbers[string(key)]
		if !ok {
			n = int32(len(numbers))
			numbers[string(key)] = n
		}
		l.sources[i] = n
	}
}

// appendAppearance writes which sources of a service a pod may match, and which of its addresses are admitted.
func (l *Model) appendAppearance(key []byte, x *service, pod int) []byte {
	p := &l.snap.Pods[pod]
	labels, known := l.nodeLabels(&flow.Flow{From: flow.End{Kind: flow.Pod, Index: pod}})
	addresses := false
	for i := range x.Spec.Sources {
		src := &x.Spec.Sources[i]
		addresses = addresses || src.PodAddresses
		switch {
		case len(src.NodeSelector) == 0:
		case !known:
			key = append(key, '?')
		case cluster.HasLabels(labels, src.NodeSelector):
			key = append(key, 'y')
		default:
			key = append(key, 'n')
		}
	}
	if addresses && x.Spec.Firewall != nil {
		for _, a := range l.addresses(p) {
			key = append(key, byte(flow.FamilyOf(a)))
			if x.wall.union.Contains(a) {
				key = append(key, 'y')
			}
		}
	}
	return append(key, ';')
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
	for i := range l.services { // whichever is meant: projections count by address and port
		for _, r := range l.services[i].ports {
			r.addCuts(c, nil)
		}
	}
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
