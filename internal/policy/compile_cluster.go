package policy

import (
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
)

func (c *compiler) clusterPolicy(cp *cluster.ClusterPolicy) *Policy {
	spec := &cp.Object.Spec
	p := &Policy{
		Ref:           cluster.PolicyRef{Kind: cp.Kind, Name: cp.Object.Name},
		Origin:        cp.Origin,
		Tier:          AdminTier,
		Priority:      int(spec.Priority),
		NotUnderstood: cp.NotUnderstood,

		KeepsEstablished: keepsEstablished(&cp.Object.ObjectMeta),
	}
	if spec.Tier == policyv1alpha2.BaselineTier {
		p.Tier = BaselineTier
	}
	understood := p.setSubject(&spec.Subject) && (spec.Tier == policyv1alpha2.AdminTier || spec.Tier == policyv1alpha2.BaselineTier)
	for i := range spec.Egress {
		r := &spec.Egress[i]
		peers := make([]clusterPeer, len(r.To))
		for j := range r.To {
			t := &r.To[j]
			peers[j] = clusterPeer{t.Namespaces, t.Pods, t.Nodes, t.Networks, t.DomainNames}
		}
		p.addRule(flow.Egress, c.clusterRule(i, r.Name, r.Action, peers, r.Protocols, understood))
	}
	for i := range spec.Ingress {
		r := &spec.Ingress[i]
		peers := make([]clusterPeer, len(r.From))
		for j := range r.From {
			peers[j] = clusterPeer{namespaces: r.From[j].Namespaces, pods: r.From[j].Pods}
		}
		p.addRule(flow.Ingress, c.clusterRule(i, r.Name, r.Action, peers, r.Protocols, understood))
	}
	for d := range p.rules {
		p.applies[d] = len(p.rules[d]) > 0
	}
	return p
}

// setSubject tells whether the subject was understood; one that was not selects every pod, and its
// policy's rules are poisoned (S43).
func (p *Policy) setSubject(s *policyv1alpha2.ClusterNetworkPolicySubject) bool {
	switch {
	case s.Namespaces != nil && s.Pods == nil:
		p.Namespaces = NewSelector(*s.Namespaces)
	case s.Pods != nil && s.Namespaces == nil:
		p.Namespaces, p.Pods = NewSelector(s.Pods.NamespaceSelector), NewSelector(s.Pods.PodSelector)
	default:
		return false
	}
	return true
}

// clusterPeer is what the peers of both directions have in common.
type clusterPeer struct {
	namespaces *metav1.LabelSelector
	pods       *policyv1alpha2.NamespacedPod
	nodes      *metav1.LabelSelector
	networks   []policyv1alpha2.CIDR
	domains    []policyv1alpha2.DomainName
}

func (c *compiler) clusterRule(i int, name string, action policyv1alpha2.ClusterNetworkPolicyRuleAction,
	peers []clusterPeer, protocols []policyv1alpha2.ClusterNetworkPolicyProtocol, understood bool) Rule {
	r := Rule{Index: i, Name: name, Action: clusterAction(action)}
	ok := understood && len(peers) > 0 && r.Action != 0 && (protocols == nil || len(protocols) > 0)
	for j := range peers {
		peer, fine := c.clusterPeer(&peers[j])
		ok = ok && fine
		r.Peers = append(r.Peers, peer)
	}
	for j := range protocols {
		port, fine := clusterPort(&protocols[j])
		ok = ok && fine
		port.unsettled = c.m.opts.Behaviour.NamedPortsUnsettled && port.Name != "" && c.numbersDiffer(port.Name, 0)
		r.Ports = append(r.Ports, port)
	}
	if !ok || !r.consistent() {
		return r.poisoned()
	}
	r.index = newBlockIndex(r.Peers)
	return r
}

func clusterAction(a policyv1alpha2.ClusterNetworkPolicyRuleAction) Action {
	switch a {
	case policyv1alpha2.ClusterNetworkPolicyRuleActionAccept:
		return Accept
	case policyv1alpha2.ClusterNetworkPolicyRuleActionDeny:
		return Deny
	case policyv1alpha2.ClusterNetworkPolicyRuleActionPass:
		return Pass
	}
	return 0
}

// consistent checks S44's rules between the parts: domain names are for Accept only, and named
// ports do not go with peers that are not pods.
func (r *Rule) consistent() bool {
	named := false
	for i := range r.Ports {
		named = named || r.Ports[i].Name != ""
	}
	for i := range r.Peers {
		k := r.Peers[i].Kind
		if k == DomainPeer && r.Action != Accept || named && k != PodPeer {
			return false
		}
	}
	return true
}

// poisoned is the rule that stands in for one that was not understood (S43).
func (r *Rule) poisoned() Rule {
	out := Rule{Index: r.Index, Name: r.Name, Action: Deny, Poisoned: true}
	if r.Action == Accept {
		out.Action = Accept
	}
	return out
}

func (c *compiler) clusterPeer(p *clusterPeer) (Peer, bool) {
	set := 0
	for _, has := range []bool{p.namespaces != nil, p.pods != nil, p.nodes != nil, len(p.networks) > 0, len(p.domains) > 0} {
		if has {
			set++
		}
	}
	if set != 1 {
		return Peer{}, false
	}
	switch {
	case p.namespaces != nil:
		return c.withSet(Peer{Kind: PodPeer, Namespaces: NewSelector(*p.namespaces)}), true
	case p.pods != nil:
		return c.withSet(Peer{Kind: PodPeer, Namespaces: NewSelector(p.pods.NamespaceSelector), Pods: NewSelector(p.pods.PodSelector)}), true
	case p.nodes != nil:
		return Peer{Kind: NodePeer, Nodes: NewSelector(*p.nodes)}, true
	case len(p.domains) > 0:
		out := Peer{Kind: DomainPeer}
		for _, d := range p.domains {
			out.Domains = append(out.Domains, string(d))
		}
		return out, true
	}
	out, ok := Peer{Kind: BlockPeer}, true
	for _, n := range p.networks {
		b := newBlock(string(n), nil, c.m.ranges, c.m.opts)
		ok = ok && b.CIDR.IsValid()
		out.Blocks = append(out.Blocks, b)
	}
	return out, ok
}

func clusterPort(p *policyv1alpha2.ClusterNetworkPolicyProtocol) (Port, bool) {
	var ports []*policyv1alpha2.Port
	out := Port{}
	if p.TCP != nil {
		out.Proto, ports = netset.TCP, append(ports, p.TCP.DestinationPort)
	}
	if p.UDP != nil {
		out.Proto, ports = netset.UDP, append(ports, p.UDP.DestinationPort)
	}
	if p.SCTP != nil {
		out.Proto, ports = netset.SCTP, append(ports, p.SCTP.DestinationPort)
	}
	if p.DestinationNamedPort != "" {
		out.Name = p.DestinationNamedPort
		return out, len(ports) == 0
	}
	if len(ports) != 1 || ports[0] == nil {
		return out, false
	}
	n := ports[0]
	if (n.Number != 0) == (n.Range != nil) {
		return out, false
	}
	first, last := n.Number, n.Number
	if n.Range != nil {
		first, last = n.Range.Start, n.Range.End
	}
	if first < 1 || last > 65535 || n.Range != nil && first >= last {
		return out, false
	}
	out.Range = netset.PortRange{First: uint16(first), Last: uint16(last)}
	return out, true
}
