package oracle

import (
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
)

const (
	accept = policyv1alpha2.ClusterNetworkPolicyRuleActionAccept
	deny   = policyv1alpha2.ClusterNetworkPolicyRuleActionDeny
	pass   = policyv1alpha2.ClusterNetworkPolicyRuleActionPass
)

// clusterPolicies lists the policies of a tier with their rules of this direction matched against
// the flow; in the Snapshot's order.
func (a asker) clusterPolicies(subject *cluster.Pod, tier policyv1alpha2.Tier) []policy {
	var out []policy
	for _, cp := range a.s.ClusterPolicies {
		in, known := tierOf(cp.Object.Spec.Tier)
		if in != tier {
			continue
		}
		ref := cluster.PolicyRef{Kind: cp.Kind, Name: cp.Object.Name}
		about := cp.Object.Spec.Subject
		p := policy{ref: ref, priority: cp.Object.Spec.Priority, subject: a.subjectMatch(subject, about)}
		for i, r := range a.clusterRules(cp.Object) {
			m, peer, port := a.clusterRule(r)
			action := r.action
			if !known || malformed(about) || poisoned(r) { // S43
				peer, port = -1, -1
				if action == accept {
					m = no // matches nothing
				} else { // Deny, Pass, and an action that is none of the three
					m, action = yes, deny // deny everything
				}
			}
			id := cluster.RuleID{Policy: ref, Direction: a.dir, Rule: i, Peer: peer, Port: port}
			p.rules = append(p.rules, rule{id: id, action: action, match: m})
		}
		out = append(out, p)
	}
	return out
}

// tierOf is S43: a tier that is neither of the two is Admin and poisons the policy's rules.
func tierOf(t policyv1alpha2.Tier) (in policyv1alpha2.Tier, known bool) {
	if t == policyv1alpha2.AdminTier || t == policyv1alpha2.BaselineTier {
		return t, true
	}
	return policyv1alpha2.AdminTier, false
}

// malformed is S43: a subject without exactly one field. It selects every pod and poisons all rules.
func malformed(s policyv1alpha2.ClusterNetworkPolicySubject) bool {
	return fields(s.Namespaces != nil, s.Pods != nil) != 1
}

// subjectMatch: the pods that the policy is about, never hostNetwork ones (the caller saw to that).
func (a asker) subjectMatch(pod *cluster.Pod, s policyv1alpha2.ClusterNetworkPolicySubject) match {
	switch {
	case malformed(s):
		return yes
	case s.Namespaces != nil:
		return selects(*s.Namespaces, a.namespaceLabels(pod.Namespace))
	}
	return a.podMatch(pod, s.Pods.NamespaceSelector, s.Pods.PodSelector)
}

// cnpRule is an ingress or egress rule; ingress peers are the first two fields of egress ones.
type cnpRule struct {
	action    policyv1alpha2.ClusterNetworkPolicyRuleAction
	peers     []policyv1alpha2.ClusterNetworkPolicyEgressPeer
	protocols []policyv1alpha2.ClusterNetworkPolicyProtocol
}

func (a asker) clusterRules(cp *policyv1alpha2.ClusterNetworkPolicy) []cnpRule {
	var out []cnpRule
	if a.dir == flow.Egress {
		for _, r := range cp.Spec.Egress {
			out = append(out, cnpRule{r.Action, r.To, r.Protocols})
		}
		return out
	}
	for _, r := range cp.Spec.Ingress {
		var peers []policyv1alpha2.ClusterNetworkPolicyEgressPeer
		for _, p := range r.From {
			peers = append(peers, policyv1alpha2.ClusterNetworkPolicyEgressPeer{Namespaces: p.Namespaces, Pods: p.Pods})
		}
		out = append(out, cnpRule{r.Action, peers, r.Protocols})
	}
	return out
}

// poisoned is S43 for a rule, and what S44 adds for domainNames and named ports.
func poisoned(r cnpRule) bool {
	if r.action != accept && r.action != deny && r.action != pass {
		return true
	}
	if len(r.peers) == 0 {
		return true
	}
	placeless := false // a peer without named ports
	for _, p := range r.peers {
		if fields(p.Namespaces != nil, p.Pods != nil, p.Nodes != nil, len(p.Networks) > 0, len(p.DomainNames) > 0) != 1 {
			return true
		}
		if len(p.DomainNames) > 0 && r.action != accept {
			return true
		}
		for _, n := range p.Networks {
			if _, ok := ParseCIDR(string(n)); !ok {
				return true
			}
		}
		placeless = placeless || p.Nodes != nil || len(p.Networks) > 0 || len(p.DomainNames) > 0
	}
	for _, p := range r.protocols {
		if fields(p.TCP != nil, p.UDP != nil, p.SCTP != nil, p.DestinationNamedPort != "") != 1 {
			return true
		}
		if p.DestinationNamedPort != "" {
			if placeless {
				return true
			}
			continue
		}
		if _, port := portOf(p); port == nil || fields(port.Number != 0, port.Range != nil) != 1 || !legal(port) {
			return true
		}
	}
	return false
}

// legal tells whether a number or range lies in 1 to 65535 and rises.
func legal(p *policyv1alpha2.Port) bool {
	if p.Range == nil {
		return 1 <= p.Number && p.Number <= 65535
	}
	return 1 <= p.Range.Start && p.Range.Start < p.Range.End && p.Range.End <= 65535
}

func fields(set ...bool) int {
	n := 0
	for _, s := range set {
		if s {
			n++
		}
	}
	return n
}

// portOf gives the one protocol of an entry that is not a named port.
func portOf(p policyv1alpha2.ClusterNetworkPolicyProtocol) (netset.Proto, *policyv1alpha2.Port) {
	switch {
	case p.TCP != nil:
		return netset.TCP, p.TCP.DestinationPort
	case p.UDP != nil:
		return netset.UDP, p.UDP.DestinationPort
	case p.SCTP != nil:
		return netset.SCTP, p.SCTP.DestinationPort
	}
	return 0, nil
}

// clusterRule matches the pairs of a rule, as networkPolicyRule does. The subject's part, and what
// poison makes of the rule, are left to the caller.
func (a asker) clusterRule(r cnpRule) (m match, peerIndex, portIndex int) {
	var pairs []match
	for i, peer := range r.peers {
		for j := range max(len(r.protocols), 1) {
			protocolPart, portIndex := yes, -1 // S45: absent is everything, ICMP included
			if len(r.protocols) > 0 {
				protocolPart, portIndex = a.clusterProtocol(r.protocols[j]), j
			}
			pair := every(a.clusterPeer(peer), protocolPart)
			if pair == yes {
				return yes, i, portIndex
			}
			pairs = append(pairs, pair)
		}
	}
	return some(pairs...), 0, 0
}

// clusterPeer is S44.
func (a asker) clusterPeer(p policyv1alpha2.ClusterNetworkPolicyEgressPeer) match {
	e := a.peerEnd()
	pod := a.selectable(e)
	switch {
	case p.Namespaces != nil:
		if pod == nil {
			return no
		}
		return selects(*p.Namespaces, a.namespaceLabels(pod.Namespace))
	case p.Pods != nil:
		if pod == nil {
			return no
		}
		return a.podMatch(pod, p.Pods.NamespaceSelector, p.Pods.PodSelector)
	case len(p.Networks) > 0:
		var parts []match
		for _, cidr := range p.Networks {
			parts = append(parts, a.blockMatch(e, string(cidr), nil))
		}
		return some(parts...)
	case p.Nodes != nil:
		node, isNode := a.nodeOf(e)
		switch {
		case !isNode:
			return no
		case len(p.Nodes.MatchLabels) == 0 && len(p.Nodes.MatchExpressions) == 0:
			return yes
		case node == nil || node.Assumed: // identity or labels are unknown
			return unknown
		}
		return selects(*p.Nodes, labels{known: node.Labels})
	case len(p.DomainNames) > 0:
		if e.Kind == flow.Address {
			return unknown
		}
		return no
	}
	return no
}

// clusterProtocol is S45.
func (a asker) clusterProtocol(p policyv1alpha2.ClusterNetworkPolicyProtocol) match {
	if p.DestinationNamedPort != "" {
		return a.namedPort(p.DestinationNamedPort)
	}
	proto, port := portOf(p)
	if proto != a.f.Proto || port == nil {
		return no
	}
	if port.Range != nil {
		return known(port.Range.Start <= int32(a.f.Port) && int32(a.f.Port) <= port.Range.End)
	}
	return known(port.Number == int32(a.f.Port))
}
