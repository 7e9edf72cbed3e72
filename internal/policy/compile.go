package policy

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
)

// Compile brings the policies of a Snapshot into a Model. It never fails: what a reader let through
// although it is not valid matches nothing, and denies where a cluster policy denies (S32, S43).
func Compile(snap *cluster.Snapshot, opts Options) *Model {
	return compile(snap, opts).m
}

func compile(snap *cluster.Snapshot, opts Options) compiler {
	c := compiler{m: &Model{snap: snap, opts: opts}, index: map[string]*labelIndex{}, setIDs: map[string]int{}, classIDs: map[string]int{}, portsIDs: map[string]int{}}
	c.facts()
	c.classes()
	c.networkPolicies()
	c.clusterPolicies()
	for i, p := range c.m.policies {
		p.number = i
	}
	c.fillSets(0)
	for i := range c.m.classes {
		c.foreignOf(i)
	}
	return c
}

type compiler struct {
	m                  *Model
	index              map[string]*labelIndex // by namespace
	setIDs             map[string]int
	classIDs, portsIDs map[string]int       // by what makes classes, and named ports
	key                []byte               // room for one
	matched            map[string][]nsMatch // by namespace selector
	differ             map[portName]bool    // names that stand for different numbers; nil until asked
}

func (c *compiler) facts() {
	m := c.m
	m.ranges = append(slices.Clone(m.opts.PodCIDRs), m.snap.Facts.PodCIDRs...)
	m.nodes = make(map[string]int, len(m.snap.Nodes))
	for i := range m.snap.Nodes {
		m.nodes[m.snap.Nodes[i].Name] = i
		m.ranges = append(m.ranges, m.snap.Nodes[i].PodCIDRs...)
	}
	slices.SortFunc(m.ranges, netip.Prefix.Compare)
	m.ranges = slices.Compact(m.ranges)
	m.families = families(m)
}

// families looks for evidence of each address family. Pods and pod ranges decide; nodes and
// services are asked only where nothing is known of pods.
func families(m *Model) []flow.Family {
	var seen [2]bool
	note := func(a netip.Addr) { seen[flow.FamilyOf(a)-1] = true }
	for _, p := range m.ranges {
		note(p.Addr())
	}
	for i := range m.snap.Pods {
		for _, a := range m.snap.Pods[i].Addrs {
			note(a)
		}
	}
	if !seen[0] && !seen[1] {
		for i := range m.snap.Services {
			for _, a := range m.snap.Services[i].ClusterIPs {
				note(a)
			}
		}
	}
	if !seen[1] {
		seen[0] = true
	}
	var out []flow.Family
	for i, f := range flow.Families {
		if seen[i] {
			out = append(out, f)
		}
	}
	return out
}

// clusterPolicies compiles the policies of both outer tiers, in the order in which they are asked.
func (c *compiler) clusterPolicies() {
	m := c.m
	var compiled []*Policy
	for i := range m.snap.ClusterPolicies {
		compiled = append(compiled, c.clusterPolicy(&m.snap.ClusterPolicies[i]))
	}
	slices.SortStableFunc(compiled, func(a, b *Policy) int {
		return cmp.Or(cmp.Compare(a.Tier, b.Tier), cmp.Compare(a.Priority, b.Priority),
			strings.Compare(a.Ref.Kind, b.Ref.Kind), strings.Compare(a.Ref.Name, b.Ref.Name))
	})
	m.policies = append(m.policies, compiled...)
	for _, p := range compiled {
		c.forClasses("", p.Namespaces, p.Pods, func(class int, got Match) { m.classes[class].apply(p, got) })
	}
}

// apply adds a cluster policy to the class's lists.
func (c *Class) apply(p *Policy, got Match) {
	for i := range c.subject {
		if !p.applies[i] {
			continue
		}
		list := &c.subject[i].Admin
		if p.Tier == BaselineTier {
			list = &c.subject[i].Baseline
		}
		*list = append(*list, Applied{p, got == Maybe})
	}
}

func (c *compiler) networkPolicies() {
	m := c.m
	for i := range m.snap.NetworkPolicies {
		p := c.networkPolicy(&m.snap.NetworkPolicies[i])
		m.policies = append(m.policies, p)
		c.forClasses(p.Namespace, nil, p.Pods, func(class int, _ Match) { m.classes[class].isolate(p) })
	}
}

func (c *compiler) networkPolicy(np *cluster.NetworkPolicy) *Policy {
	spec := &np.Object.Spec
	p := &Policy{
		Ref:       cluster.PolicyRef{Kind: "NetworkPolicy", Namespace: np.Object.Namespace, Name: np.Object.Name},
		Origin:    np.Origin,
		Tier:      NetworkPolicyTier,
		Namespace: np.Object.Namespace,
		Pods:      NewSelector(spec.PodSelector), NotUnderstood: np.NotUnderstood,
		KeepsEstablished: keepsEstablished(&np.Object.ObjectMeta),
	}
	for _, t := range spec.PolicyTypes {
		switch t {
		case networkingv1.PolicyTypeEgress:
			p.applies[dir(flow.Egress)] = true
		case networkingv1.PolicyTypeIngress:
			p.applies[dir(flow.Ingress)] = true
		}
	}
	p.inert = [2]int{len(spec.Egress), len(spec.Ingress)}
	if p.Applies(flow.Egress) {
		p.inert[dir(flow.Egress)] = 0
		for i, r := range spec.Egress {
			p.addRule(flow.Egress, c.policyRule(p, i, r.To, r.Ports))
		}
	}
	if p.Applies(flow.Ingress) {
		p.inert[dir(flow.Ingress)] = 0
		for i, r := range spec.Ingress {
			p.addRule(flow.Ingress, c.policyRule(p, i, r.From, r.Ports))
		}
	}
	return p
}

func keepsEstablished(m *metav1.ObjectMeta) bool {
	return m.Annotations[cluster.EstablishedAnnotation] == cluster.KeepEstablished
}

func (p *Policy) addRule(d flow.Direction, r Rule) { p.rules[dir(d)] = append(p.rules[dir(d)], r) }

// policyRule compiles a rule of a NetworkPolicy; an empty list is the same as an absent one (S13).
func (c *compiler) policyRule(p *Policy, i int, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) Rule {
	r := Rule{Index: i, Action: Accept}
	for j := range peers {
		r.Peers = append(r.Peers, c.policyPeer(p, &peers[j]))
	}
	for j := range ports {
		r.Ports = append(r.Ports, c.policyPort(&ports[j]))
	}
	r.index = newBlockIndex(r.Peers)
	return r
}

func (c *compiler) policyPeer(p *Policy, peer *networkingv1.NetworkPolicyPeer) Peer {
	switch {
	case peer.IPBlock != nil && peer.PodSelector == nil && peer.NamespaceSelector == nil:
		b := newBlock(peer.IPBlock.CIDR, peer.IPBlock.Except, c.m.ranges, c.m.opts)
		return Peer{Kind: BlockPeer, Blocks: []Block{b}}
	case peer.IPBlock == nil && peer.NamespaceSelector != nil:
		out := Peer{Kind: PodPeer, Namespaces: NewSelector(*peer.NamespaceSelector)}
		if peer.PodSelector != nil {
			out.Pods = NewSelector(*peer.PodSelector)
		}
		return c.withSet(out)
	case peer.IPBlock == nil && peer.PodSelector != nil:
		return c.withSet(Peer{Kind: PodPeer, Namespace: p.Namespace, Pods: NewSelector(*peer.PodSelector)})
	}
	return Peer{} // invalid (S12): matches nothing
}

func (c *compiler) policyPort(port *networkingv1.NetworkPolicyPort) Port {
	out := Port{Proto: netset.TCP, Range: netset.AllPorts}
	if port.Protocol != nil {
		proto, err := netset.ParseProto(string(*port.Protocol))
		if err != nil || !proto.HasPorts() {
			return Port{Range: netset.PortRange{First: 1, Last: 0}} // matches nothing
		}
		out.Proto = proto
	}
	b := c.m.opts.Behaviour
	switch {
	case port.Port == nil:
	case port.Port.Type == 1: // a name
		out.Name = port.Port.StrVal
		out.unsettled = b.NamedPortsUnsettled && c.numbersDiffer(out.Name, out.Proto)
	default:
		out.Range = numericRange(int(port.Port.IntVal), port.EndPort, b.EndPort)
		out.unsettledAbove = b.EndPort == EndPortUnsettled
	}
	return out
}

// numericRange is S15 with the plugin's understanding of endPort.
func numericRange(first int, end *int32, e EndPort) netset.PortRange {
	last := first
	if end != nil && e != EndPortIgnored {
		last = int(*end)
	}
	if first < 1 || last > 65535 || last < first {
		return netset.PortRange{First: 1, Last: 0}
	}
	return netset.PortRange{First: uint16(first), Last: uint16(last)}
}

// portName is a named port's name and protocol; protocol 0 is every one.
type portName struct {
	name  string
	proto netset.Proto
}

// numbersDiffer tells whether pods declare different numbers under one port name; proto 0 is every
// protocol.
func (c *compiler) numbersDiffer(name string, proto netset.Proto) bool {
	if c.differ == nil {
		c.differ = map[portName]bool{}
		seen := map[portName]uint16{}
		for i := range c.m.classes {
			for _, p := range c.m.classes[i].Ports {
				for _, key := range []portName{{p.Name, p.Proto}, {p.Name, 0}} {
					if before, ok := seen[key]; ok && before != p.Port {
						c.differ[key] = true
					}
					seen[key] = p.Port
				}
			}
		}
	}
	return c.differ[portName{name, proto}]
}

// foreignOf notes at a class which policies of other engines may decide for it.
func (c *compiler) foreignOf(class int) {
	cl := &c.m.classes[class]
	for i := range c.m.snap.ForeignPolicies {
		f := &c.m.snap.ForeignPolicies[i]
		if f.Namespace != "" && f.Namespace != cl.Namespace {
			continue
		}
		for d, applies := range [2]bool{f.Egress, f.Ingress} {
			if applies {
				cl.foreign[d] = append(cl.foreign[d], i)
			}
		}
	}
}

// withSet gives a PodPeer the number of its pair of selectors; equal pairs share one.
func (c *compiler) withSet(p Peer) Peer {
	key := string(appendText(appendText(appendText(nil, p.Namespace), p.Namespaces.Key()), p.Pods.Key()))
	id, ok := c.setIDs[key]
	if !ok {
		id = len(c.m.sets)
		c.setIDs[key] = id
		c.m.sets = append(c.m.sets, podSet{p.Namespace, p.Namespaces, p.Pods})
	}
	p.set = id
	return p
}
