package world

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"pgregory.net/rapid"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/oracle"
)

// LayeredCase is a world with questions to the layers.
type LayeredCase struct {
	World     World
	Options   oracle.Options
	Questions []Question // indices count in World.Snapshot()
}

// Question is a flow and, where it was asked of a service by name, the service's index in
// Snapshot.External; otherwise -1 (L30).
type Question struct {
	Flow    flow.Flow
	Service int
}

// GoString is that of Case.
func (c LayeredCase) GoString() string {
	s := c.World.Snapshot()
	var b strings.Builder
	fmt.Fprintf(&b, "%s# %+v\n", c.World.YAML(), c.Options)
	for _, q := range c.Questions {
		fmt.Fprintf(&b, "? %s", flowText(s, q.Flow))
		if q.Service >= 0 {
			fmt.Fprintf(&b, " of %s", &s.External[q.Service])
		}
		b.WriteString("\n")
	}
	return b.String()
}

// LayeredCases generates worlds with identities, access policies and services, with n questions each.
func LayeredCases(n int) *rapid.Generator[LayeredCase] {
	return rapid.Custom(func(t *rapid.T) LayeredCase {
		w := Draw(t)
		if !oneIn(t, 3, "network policies") { // they would hide the rest too often
			w.NetworkPolicies, w.ClusterPolicies = w.NetworkPolicies[:min(1, len(w.NetworkPolicies))], nil
		}
		if !oneIn(t, 40, "without layers") { // L1
			w.drawLayers(t)
		}
		c := LayeredCase{World: w, Options: DrawOptions(t)}
		c.Options.NotEnforced = oneIn(t, 12, "layers, not enforced")
		c.Options.TrustDomain = pick(t, "trust domain option", "", "", "", "cluster.local", "example.org")
		s := w.Snapshot()
		for range n {
			c.Questions = append(c.Questions, DrawQuestion(t, s))
		}
		return c
	})
}

// DrawQuestion draws a flow between any two ends, one at the target of a policy, or one to a service or
// to what is just beside it.
func DrawQuestion(t *rapid.T, s *cluster.Snapshot) Question {
	const anywhere, target, byName, byAddress, beside = 0, 1, 2, 3, 4
	kind := pick(t, "question", anywhere, anywhere, target, target, byName, byName, byAddress, byAddress, byAddress, beside)
	if kind == target && len(s.AccessPolicies) > 0 {
		return Question{drawTargetFlow(t, s, &s.AccessPolicies[ints[len(s.AccessPolicies)].Draw(t, "policy")]), -1}
	}
	if kind > target && len(s.External) > 0 {
		i := drawService(t, s)
		if f, ok := drawServiceFlow(t, s, &s.External[i], kind == beside, kind == byName); ok {
			if kind == byName {
				return Question{f, i}
			}
			return Question{f, -1}
		}
	}
	return Question{DrawFlow(t, s), -1}
}

// drawService draws the index of a service. What Azure issues shows only at those that take tokens for a resource.
func drawService(t *rapid.T, s *cluster.Snapshot) int {
	var taking []int
	for i, x := range s.External {
		if x.Spec.Authentication != nil && x.Spec.Authentication.Resource != "" {
			taking = append(taking, i)
		}
	}
	if len(s.Accounts)+len(s.AzureIdentities) > 0 && len(taking) > 0 && !oneIn(t, 3, "any service") {
		return pick(t, "service asked", taking...)
	}
	return ints[len(s.External)].Draw(t, "service asked")
}

// drawServiceFlow draws a flow to an address and port of the service. beside: one of both is just outside.
// anywhere: a service without cidrs may be at any address outside the cluster, as L30 says of one that is
// asked by name. ok is false where it has no address, or no port that is understood.
func drawServiceFlow(t *rapid.T, s *cluster.Snapshot, x *cluster.ExternalService, beside, anywhere bool) (f flow.Flow, ok bool) {
	near, ports := serviceAddrs(x)
	wrongPort := beside && oneIn(t, 2, "port outside")
	if beside && !wrongPort {
		near = besideAddrs(x)
	}
	if anywhere && len(x.Spec.CIDRs) == 0 {
		near = append(near, netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("fd00::cb00:7109"))
	}
	near = slices.DeleteFunc(near, func(a netip.Addr) bool { return ownAddr(s, a) })
	if len(near) == 0 || len(ports) == 0 {
		return f, false
	}
	f.To = flow.End{Kind: flow.Address, Addr: pick(t, "address of the service", near...)}
	f.Family = flow.FamilyOf(f.To.Addr)
	f.Proto, f.Port = drawNumber(t, pick(t, "port of the service", ports...), wrongPort)
	f.From = drawEnd(t, s, f.Family, "from", -1)
	if i := podIn(s, x.Namespace, f.Family); i >= 0 && oneIn(t, 2, "from its namespace") {
		f.From = flow.End{Kind: flow.Pod, Index: i, Addr: s.Pods[i].Addr(f.Family)}
	}
	if f.From.Kind == flow.Pod && oneIn(t, 40, "spoofed") {
		f.From.Addr = drawAddr(t, f.Family, "source")
	}
	return f, true
}

// drawTargetFlow draws a flow to a pod of the policy's namespace, at or beside one of its ports.
func drawTargetFlow(t *rapid.T, s *cluster.Snapshot, p *cluster.AccessPolicy) flow.Flow {
	f := DrawFlow(t, s)
	i := podIn(s, p.Namespace, f.Family)
	if i < 0 {
		return f
	}
	f.To = flow.End{Kind: flow.Pod, Index: i, Addr: s.Pods[i].Addr(f.Family)}
	f.ViaService = oneIn(t, 8, "to its service")
	if p.Spec.Target.Pods == nil || len(p.Spec.Target.Pods.Ports) == 0 {
		return f
	}
	port := pick(t, "port of the target", p.Spec.Target.Pods.Ports...)
	if declared := s.Pods[i].Ports; port.Port.Type == intstr.String && len(declared) > 0 {
		c := pick(t, "declared port", declared...)
		f.Proto, f.Port = c.Proto, c.Port
	}
	if port.Port.Type == intstr.Int {
		number := v1alpha1.ExternalPort{Port: port.Port.IntVal, EndPort: port.EndPort, Protocol: port.Protocol}
		f.Proto, f.Port = drawNumber(t, number, oneIn(t, 4, "beside the target's port"))
	}
	return f
}

// podIn gives the first pod of a namespace, one with an address of the family if there is one, or -1.
func podIn(s *cluster.Snapshot, namespace string, family flow.Family) int {
	in := func(p cluster.Pod) bool { return p.Namespace == namespace }
	if i := slices.IndexFunc(s.Pods, func(p cluster.Pod) bool { return in(p) && p.Addr(family).IsValid() }); i >= 0 {
		return i
	}
	return slices.IndexFunc(s.Pods, in)
}

// serviceAddrs gives the ends of the service's blocks and its private endpoints, and its ports that are
// understood.
func serviceAddrs(x *cluster.ExternalService) (addrs []netip.Addr, ports []v1alpha1.ExternalPort) {
	for _, s := range x.Spec.CIDRs {
		if p, err := netip.ParsePrefix(s); err == nil {
			addrs = append(addrs, p.Addr(), lastAddr(p))
		}
	}
	if x.Spec.Firewall != nil {
		for _, e := range x.Spec.Firewall.PrivateEndpoints {
			if a, err := netip.ParseAddr(e.Address); err == nil {
				addrs = append(addrs, a)
			}
		}
	}
	for _, p := range x.Spec.Ports {
		if _, err := netset.ParseProto(string(p.Protocol)); err == nil && p.Port <= 65535 {
			ports = append(ports, p)
		}
	}
	return addrs, ports
}

// besideAddrs gives the addresses just before and after the service's blocks.
func besideAddrs(x *cluster.ExternalService) (out []netip.Addr) {
	for _, s := range x.Spec.CIDRs {
		if p, err := netip.ParsePrefix(s); err == nil {
			out = append(out, p.Addr().Prev(), lastAddr(p).Next())
		}
	}
	return out
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b) // as long as it was
	return a
}

// drawNumber draws an end of a port range, or what is just outside it: a number or another protocol.
func drawNumber(t *rapid.T, p v1alpha1.ExternalPort, outside bool) (netset.Proto, uint16) {
	proto, _ := netset.ParseProto(string(p.Protocol)) // the caller chose one that is known
	last := p.Port
	if p.EndPort != nil {
		last = *p.EndPort
	}
	if !outside {
		return proto, uint16(pick(t, "number", p.Port, last))
	}
	switch kind := pick(t, "outside", "protocol", "before", "after", "no ports"); {
	case kind == "before" && p.Port > 1:
		return proto, uint16(p.Port - 1)
	case kind == "after" && last < 65535:
		return proto, uint16(last + 1)
	case kind == "no ports":
		return netset.Other, 0
	case p.Protocol == corev1.ProtocolTCP:
		return netset.UDP, uint16(p.Port)
	}
	return netset.TCP, uint16(p.Port)
}
