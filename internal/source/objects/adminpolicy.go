package objects

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"
	policyv1alpha1 "sigs.k8s.io/network-policy-api/apis/v1alpha1"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"
)

// fromAdmin rewrites an AdminNetworkPolicy as the one model of S40. Every list keeps its length and
// order, so that a path in the written object is a path in the result.
func fromAdmin(a *policyv1alpha1.AdminNetworkPolicy) *policyv1alpha2.ClusterNetworkPolicy {
	out := &policyv1alpha2.ClusterNetworkPolicy{}
	out.Spec.Tier, out.Spec.Priority = policyv1alpha2.AdminTier, a.Spec.Priority
	out.Spec.Subject = fromSubject(a.Spec.Subject)
	for _, r := range a.Spec.Ingress {
		out.Spec.Ingress = append(out.Spec.Ingress, fromIngressRule(r.Name, string(r.Action), r.From, r.Ports))
	}
	for _, r := range a.Spec.Egress {
		out.Spec.Egress = append(out.Spec.Egress, policyv1alpha2.ClusterNetworkPolicyEgressRule{
			Name: r.Name, Action: fromAction(string(r.Action)), To: mapList(r.To, fromAdminPeer), Protocols: fromPorts(r.Ports),
		})
	}
	return out
}

// fromBaseline does the same for a BaselineAdminNetworkPolicy; there is only one, so that its
// priority does not matter.
func fromBaseline(b *policyv1alpha1.BaselineAdminNetworkPolicy) *policyv1alpha2.ClusterNetworkPolicy {
	out := &policyv1alpha2.ClusterNetworkPolicy{}
	out.Spec.Tier = policyv1alpha2.BaselineTier
	out.Spec.Subject = fromSubject(b.Spec.Subject)
	for _, r := range b.Spec.Ingress {
		out.Spec.Ingress = append(out.Spec.Ingress, fromIngressRule(r.Name, string(r.Action), r.From, r.Ports))
	}
	for _, r := range b.Spec.Egress {
		out.Spec.Egress = append(out.Spec.Egress, policyv1alpha2.ClusterNetworkPolicyEgressRule{
			Name: r.Name, Action: fromAction(string(r.Action)), To: mapList(r.To, fromBaselinePeer), Protocols: fromPorts(r.Ports),
		})
	}
	return out
}

func fromIngressRule(name, action string, from []policyv1alpha1.AdminNetworkPolicyIngressPeer,
	ports *[]policyv1alpha1.AdminNetworkPolicyPort) policyv1alpha2.ClusterNetworkPolicyIngressRule {
	peer := func(p policyv1alpha1.AdminNetworkPolicyIngressPeer) policyv1alpha2.ClusterNetworkPolicyIngressPeer {
		return policyv1alpha2.ClusterNetworkPolicyIngressPeer{Namespaces: p.Namespaces, Pods: fromPods(p.Pods)}
	}
	return policyv1alpha2.ClusterNetworkPolicyIngressRule{
		Name: name, Action: fromAction(action), From: mapList(from, peer), Protocols: fromPorts(ports),
	}
}

func fromAction(action string) policyv1alpha2.ClusterNetworkPolicyRuleAction {
	if action == string(policyv1alpha1.AdminNetworkPolicyRuleActionAllow) {
		return policyv1alpha2.ClusterNetworkPolicyRuleActionAccept
	}
	return policyv1alpha2.ClusterNetworkPolicyRuleAction(action)
}

func fromSubject(s policyv1alpha1.AdminNetworkPolicySubject) policyv1alpha2.ClusterNetworkPolicySubject {
	return policyv1alpha2.ClusterNetworkPolicySubject{Namespaces: s.Namespaces, Pods: fromPods(s.Pods)}
}

func fromPods(p *policyv1alpha1.NamespacedPod) *policyv1alpha2.NamespacedPod {
	if p == nil {
		return nil
	}
	return &policyv1alpha2.NamespacedPod{NamespaceSelector: p.NamespaceSelector, PodSelector: p.PodSelector}
}

func fromAdminPeer(p policyv1alpha1.AdminNetworkPolicyEgressPeer) policyv1alpha2.ClusterNetworkPolicyEgressPeer {
	return policyv1alpha2.ClusterNetworkPolicyEgressPeer{
		Namespaces: p.Namespaces, Pods: fromPods(p.Pods), Nodes: p.Nodes,
		Networks:    mapList(p.Networks, fromCIDR),
		DomainNames: mapList(p.DomainNames, func(d policyv1alpha1.DomainName) policyv1alpha2.DomainName { return policyv1alpha2.DomainName(d) }),
	}
}

func fromBaselinePeer(p policyv1alpha1.BaselineAdminNetworkPolicyEgressPeer) policyv1alpha2.ClusterNetworkPolicyEgressPeer {
	return policyv1alpha2.ClusterNetworkPolicyEgressPeer{
		Namespaces: p.Namespaces, Pods: fromPods(p.Pods), Nodes: p.Nodes, Networks: mapList(p.Networks, fromCIDR),
	}
}

func fromCIDR(c policyv1alpha1.CIDR) policyv1alpha2.CIDR { return policyv1alpha2.CIDR(c) }

func fromPorts(ports *[]policyv1alpha1.AdminNetworkPolicyPort) []policyv1alpha2.ClusterNetworkPolicyProtocol {
	if ports == nil {
		return nil
	}
	return mapList(*ports, fromPort)
}

func fromPort(p policyv1alpha1.AdminNetworkPolicyPort) policyv1alpha2.ClusterNetworkPolicyProtocol {
	switch {
	case p.NamedPort != nil:
		return policyv1alpha2.ClusterNetworkPolicyProtocol{DestinationNamedPort: *p.NamedPort}
	case p.PortNumber != nil:
		return withProtocol(p.PortNumber.Protocol, &policyv1alpha2.Port{Number: p.PortNumber.Port})
	case p.PortRange != nil:
		r := &policyv1alpha2.PortRange{Start: p.PortRange.Start, End: p.PortRange.End}
		return withProtocol(p.PortRange.Protocol, &policyv1alpha2.Port{Range: r})
	}
	return policyv1alpha2.ClusterNetworkPolicyProtocol{}
}

// withProtocol leaves a protocol that is not known empty, which poisons the rule (S43).
func withProtocol(proto corev1.Protocol, port *policyv1alpha2.Port) policyv1alpha2.ClusterNetworkPolicyProtocol {
	switch cmp.Or(proto, corev1.ProtocolTCP) {
	case corev1.ProtocolTCP:
		return policyv1alpha2.ClusterNetworkPolicyProtocol{TCP: &policyv1alpha2.ClusterNetworkPolicyProtocolTCP{DestinationPort: port}}
	case corev1.ProtocolUDP:
		return policyv1alpha2.ClusterNetworkPolicyProtocol{UDP: &policyv1alpha2.ClusterNetworkPolicyProtocolUDP{DestinationPort: port}}
	case corev1.ProtocolSCTP:
		return policyv1alpha2.ClusterNetworkPolicyProtocol{SCTP: &policyv1alpha2.ClusterNetworkPolicyProtocolSCTP{DestinationPort: port}}
	}
	return policyv1alpha2.ClusterNetworkPolicyProtocol{}
}

// mapList converts every item of a list; nil stays nil and empty stays empty.
func mapList[A, B any](list []A, f func(A) B) []B {
	if list == nil {
		return nil
	}
	out := make([]B, len(list))
	for i := range list {
		out[i] = f(list[i])
	}
	return out
}
