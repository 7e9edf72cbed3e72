package oracle

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
)

// networkPolicies lists the NetworkPolicies that select the pod for this direction, sorted by name,
// each with its rules matched against the flow.
func (a asker) networkPolicies(subject *cluster.Pod) []policy {
	var out []policy
	for _, np := range a.s.NetworkPolicies {
		// S11: pods of the policy's own namespace. "A NetworkPolicy's own selector is always known."
		if np.Object.Namespace != subject.Namespace ||
			selects(np.Object.Spec.PodSelector, labels{known: subject.Labels}) != yes {
			continue
		}
		// S29: rules for a direction that policyTypes leaves out have no effect.
		if !slices.Contains(np.Object.Spec.PolicyTypes, a.policyType()) {
			continue
		}
		ref := cluster.PolicyRef{Kind: "NetworkPolicy", Namespace: np.Object.Namespace, Name: np.Object.Name}
		p := policy{ref: ref, subject: yes}
		for i, r := range a.networkPolicyRules(np.Object) {
			m, peer, port := a.networkPolicyRule(np.Object.Namespace, r)
			id := cluster.RuleID{Policy: ref, Direction: a.dir, Rule: i, Peer: peer, Port: port}
			p.rules = append(p.rules, rule{id: id, match: m})
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(p, q policy) int { return strings.Compare(p.ref.Name, q.ref.Name) })
	return out
}

func (a asker) policyType() networkingv1.PolicyType {
	if a.dir == flow.Egress {
		return networkingv1.PolicyTypeEgress
	}
	return networkingv1.PolicyTypeIngress
}

// npRule is an ingress or egress rule; the two differ in the name of the peer list only.
type npRule struct {
	peers []networkingv1.NetworkPolicyPeer
	ports []networkingv1.NetworkPolicyPort
}

func (a asker) networkPolicyRules(np *networkingv1.NetworkPolicy) []npRule {
	var out []npRule
	if a.dir == flow.Egress {
		for _, r := range np.Spec.Egress {
			out = append(out, npRule{r.To, r.Ports})
		}
		return out
	}
	for _, r := range np.Spec.Ingress {
		out = append(out, npRule{r.From, r.Ports})
	}
	return out
}

// networkPolicyRule: "A rule matches for the first pair of (peer, port), peers in the outer loop,
// that is yes; it is unknown if none is yes but some pair has no part that is no."
func (a asker) networkPolicyRule(namespace string, r npRule) (m match, peerIndex, portIndex int) {
	var pairs []match
	for i := range max(len(r.peers), 1) {
		for j := range max(len(r.ports), 1) {
			// S13: a missing list counts as one entry that is always yes; its index is -1.
			peerPart, portPart := yes, yes
			peerIndex, portIndex = -1, -1
			var peer *networkingv1.NetworkPolicyPeer
			if len(r.peers) > 0 {
				peer, peerIndex = &r.peers[i], i
				peerPart = a.networkPolicyPeer(namespace, *peer)
			}
			if len(r.ports) > 0 {
				portIndex = j
				portPart = a.networkPolicyPort(r.ports[j], peer)
			}
			pair := every(peerPart, portPart)
			if pair == yes {
				return yes, peerIndex, portIndex
			}
			pairs = append(pairs, pair)
		}
	}
	return some(pairs...), 0, 0
}

// networkPolicyPeer is S12 and S16.
func (a asker) networkPolicyPeer(namespace string, p networkingv1.NetworkPolicyPeer) match {
	e := a.peerEnd()
	switch selectors := p.PodSelector != nil || p.NamespaceSelector != nil; {
	case p.IPBlock != nil && !selectors:
		return a.blockMatch(e, p.IPBlock.CIDR, p.IPBlock.Except)
	case p.IPBlock != nil, !selectors:
		return no // S12: invalid; S32: what is not understood matches nothing
	}
	pod := a.selectable(e)
	if pod == nil {
		return no
	}
	var pods metav1.LabelSelector // absent: every pod of the namespaces selected
	if p.PodSelector != nil {
		pods = *p.PodSelector
	}
	if p.NamespaceSelector == nil { // podSelector alone: pods of the policy's namespace
		return every(known(pod.Namespace == namespace), selects(pods, labels{known: pod.Labels}))
	}
	return a.podMatch(pod, *p.NamespaceSelector, pods)
}

// networkPolicyPort is S14, S15 and S20. The peer beside it, nil if the list is missing, matters to
// named ports on egress.
func (a asker) networkPolicyPort(p networkingv1.NetworkPolicyPort, peer *networkingv1.NetworkPolicyPeer) match {
	protocol := corev1.ProtocolTCP // S1
	if p.Protocol != nil {
		protocol = *p.Protocol
	}
	// S20: Other is matched by rules without ports, never by rules with ports.
	if !a.f.Proto.HasPorts() || a.f.Proto != protoOf(protocol) {
		return no
	}
	switch {
	case p.Port == nil: // S14: each port of that protocol
		return yes
	case p.Port.Type == intstr.String:
		if a.dir == flow.Egress && peer != nil && peer.IPBlock != nil {
			return no // S14: through ipBlock it matches nothing, even at a pod's address
		}
		return a.namedPort(p.Port.StrVal)
	}
	first, last := int(p.Port.IntVal), int(p.Port.IntVal)
	if p.EndPort != nil { // S15: inclusive
		last = int(*p.EndPort)
	}
	return known(first <= int(a.f.Port) && int(a.f.Port) <= last)
}

func protoOf(p corev1.Protocol) netset.Proto {
	switch p {
	case corev1.ProtocolTCP:
		return netset.TCP
	case corev1.ProtocolUDP:
		return netset.UDP
	case corev1.ProtocolSCTP:
		return netset.SCTP
	}
	return 0
}

// namedPort is S14 and S45: the numbers that the destination pod declares under that name and the
// flow's protocol; hostNetwork pods are not pods here.
func (a asker) namedPort(name string) match {
	destination := a.selectable(a.f.To)
	if destination == nil {
		return no
	}
	for _, c := range destination.Ports {
		if c.Name == name && c.Proto == a.f.Proto && c.Port == a.f.Port {
			return yes
		}
	}
	return no
}
