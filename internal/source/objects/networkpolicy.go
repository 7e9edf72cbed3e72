package objects

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
)

// readNetworkPolicy reads a networking.k8s.io/v1 NetworkPolicy.
func (p *policy) readNetworkPolicy(data []byte) {
	np := &networkingv1.NetworkPolicy{}
	p.problems = slices.DeleteFunc(decodeInto(data, np, true), func(q problem) bool {
		return under(q.path, "status") // servers from 1.24 to 1.27 wrote one; it means nothing
	})
	p.hintMisplaced()
	p.noteNulls(data)
	p.takeNames(&np.ObjectMeta)
	p.checkSelector("spec.podSelector", &np.Spec.PodSelector)
	for i := range np.Spec.Ingress {
		r := &np.Spec.Ingress[i]
		p.checkRule(indexPath("spec.ingress", i), "from", r.From, r.Ports)
	}
	for i := range np.Spec.Egress {
		r := &np.Spec.Egress[i]
		p.checkRule(indexPath("spec.egress", i), "to", r.To, r.Ports)
	}
	p.checkPolicyTypes(np.Spec.PolicyTypes)
	p.network = &networkingv1.NetworkPolicy{Spec: np.Spec}
	if len(p.problems) > 0 {
		p.keepUnderstood(&p.network.Spec)
	}
	defaultNetworkPolicy(&p.network.Spec)
}

// hintMisplaced improves the hint for the commonest mistake: a peer's field written in the rule.
func (p *policy) hintMisplaced() {
	for i := range p.problems {
		q := &p.problems[i]
		parent, name, _ := cutLast(q.path)
		inRule := strings.HasPrefix(parent, "spec.ingress[") || strings.HasPrefix(parent, "spec.egress[")
		if !inRule || strings.Count(parent, ".") != 1 || !strings.HasPrefix(q.text, "unknown field") {
			continue
		}
		list := "from"
		if strings.HasPrefix(parent, "spec.egress[") {
			list = "to"
		}
		switch name {
		case "podSelector", "namespaceSelector", "ipBlock":
			q.hint = "it belongs into an item of " + list
		case "port", "protocol", "endPort":
			q.hint = "it belongs into an item of ports"
		case "from", "to":
			q.hint = "a rule of this direction has " + list
		}
	}
}

func cutLast(path string) (parent, name string, ok bool) {
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}

// noteNulls warns of null items, which decode as "everything".
func (p *policy) noteNulls(data []byte) {
	if !bytes.Contains(data, []byte("null")) {
		return
	}
	tree, _ := decodeTree(data)
	for _, path := range nullItems("", tree) {
		if !covered(p.problems, path) {
			p.note(path, path+" is empty, which a server reads as {} and so as everything")
		}
	}
}

func (p *policy) checkRule(path, peers string, list []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) {
	for j := range list {
		p.checkPeer(indexPath(path+"."+peers, j), &list[j])
	}
	for j := range ports {
		p.checkPort(indexPath(path+".ports", j), &ports[j])
	}
}

// checkPeer is S12's last sentence, and S16.
func (p *policy) checkPeer(path string, peer *networkingv1.NetworkPolicyPeer) {
	selectors := peer.PodSelector != nil || peer.NamespaceSelector != nil
	if peer.PodSelector != nil {
		p.checkSelector(path+".podSelector", peer.PodSelector)
	}
	if peer.NamespaceSelector != nil {
		p.checkSelector(path+".namespaceSelector", peer.NamespaceSelector)
	}
	if peer.IPBlock != nil {
		p.checkBlock(path+".ipBlock", peer.IPBlock)
	}
	switch {
	case peer.IPBlock != nil && selectors:
		p.add(path, path+" has ipBlock beside a selector, which is not valid", "make them two items of the list")
	case peer.IPBlock == nil && !selectors && !anyUnder(p.problems, path):
		p.add(path, path+" names no peer", "set podSelector, namespaceSelector or ipBlock; for every peer leave the list out")
	}
}

// checkPort is S14 and S15 as far as servers check them.
func (p *policy) checkPort(path string, port *networkingv1.NetworkPolicyPort) {
	if pr := port.Protocol; pr != nil && *pr != corev1.ProtocolTCP && *pr != corev1.ProtocolUDP && *pr != corev1.ProtocolSCTP {
		p.add(path+".protocol", fmt.Sprintf("%s.protocol %s is not known", path, quoteShort(string(*pr))), "use TCP, UDP or SCTP")
	}
	if port.Port == nil {
		if port.EndPort != nil && !covered(p.problems, path+".port") {
			p.add(path+".endPort", path+".endPort needs a port beside it", "")
		}
		return
	}
	switch port.Port.Type {
	case intstr.Int:
		n := port.Port.IntVal
		if n < 1 || n > 65535 {
			p.add(path+".port", fmt.Sprintf("%s.port %d is not between 1 and 65535", path, n), "")
		}
		if e := port.EndPort; e != nil && (*e < n || *e > 65535) {
			p.add(path+".endPort", fmt.Sprintf("%s.endPort %d is not between port %d and 65535", path, *e, n), "")
		}
	case intstr.String:
		p.checkPortName(path+".port", port.Port.StrVal)
		if port.EndPort != nil {
			p.add(path+".endPort", path+".endPort needs a port number, not a name", "")
		}
	}
}

func (p *policy) checkPortName(path, name string) {
	why := validation.IsValidPortName(name)
	if len(why) == 0 {
		return
	}
	hint := ""
	if name != "" && strings.Trim(name, "0123456789") == "" {
		hint = "write the number without quotes"
	}
	p.add(path, fmt.Sprintf("%s %s is not a port name: %s", path, quoteShort(name), strings.Join(why, "; ")), hint)
}

func (p *policy) checkPolicyTypes(types []networkingv1.PolicyType) {
	if len(types) > 2 {
		p.add("spec.policyTypes", "spec.policyTypes has more than two items", "")
	}
	for i, t := range types {
		if t == networkingv1.PolicyTypeIngress || t == networkingv1.PolicyTypeEgress {
			continue
		}
		path, hint := indexPath("spec.policyTypes", i), "use Ingress or Egress"
		if near := nearest(string(t), []string{"Ingress", "Egress"}); near != "" {
			hint = "did you mean " + near + "?"
		}
		p.add(path, fmt.Sprintf("%s %s is not known", path, quoteShort(string(t))), hint)
	}
}

// defaultNetworkPolicy is S1: what an API server would have filled in.
func defaultNetworkPolicy(spec *networkingv1.NetworkPolicySpec) {
	if len(spec.PolicyTypes) == 0 {
		spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(spec.Egress) > 0 {
			spec.PolicyTypes = append(spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
	for i := range spec.Ingress {
		defaultPorts(spec.Ingress[i].Ports)
	}
	for i := range spec.Egress {
		defaultPorts(spec.Egress[i].Ports)
	}
}

func defaultPorts(ports []networkingv1.NetworkPolicyPort) {
	for i := range ports {
		if ports[i].Protocol == nil {
			tcp := corev1.ProtocolTCP
			ports[i].Protocol = &tcp
		}
	}
}

// keepUnderstood takes out of a policy with problems what was not understood, so that it matches
// nothing (S32). Peers and rules keep their indices: an empty peer matches nothing, and so does a
// rule that has no other. Whatever is not known about the reach of the policy is taken to be wide.
func (p *policy) keepUnderstood(spec *networkingv1.NetworkPolicySpec) {
	if anyUnder(p.problems, "spec.podSelector") {
		spec.PodSelector = metav1.LabelSelector{}
	}
	for i := range spec.Ingress {
		path := indexPath("spec.ingress", i)
		if !p.keepPeers(path, "from", spec.Ingress[i].From) {
			spec.Ingress[i] = networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{{}}}
		}
	}
	for i := range spec.Egress {
		path := indexPath("spec.egress", i)
		if !p.keepPeers(path, "to", spec.Egress[i].To) {
			spec.Egress[i] = networkingv1.NetworkPolicyEgressRule{To: []networkingv1.NetworkPolicyPeer{{}}}
		}
	}
	unreadable := anyUnder(p.problems, "spec.policyTypes")
	if unreadable || len(spec.PolicyTypes) == 0 && p.unsureOfSpec() {
		spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	}
}

// keepPeers empties the peers that have a problem; it tells whether the rest of the rule is understood.
func (p *policy) keepPeers(path, peers string, list []networkingv1.NetworkPolicyPeer) bool {
	inPeers := 0
	for j := range list {
		at := indexPath(path+"."+peers, j)
		if anyUnder(p.problems, at) {
			list[j] = networkingv1.NetworkPolicyPeer{}
		}
		for _, q := range p.problems {
			if under(q.path, at) {
				inPeers++
			}
		}
	}
	all := 0
	for _, q := range p.problems {
		if under(q.path, path) {
			all++
		}
	}
	return inPeers == all
}

// unsureOfSpec tells whether a problem may concern which directions the policy has: one above the
// rules themselves.
func (p *policy) unsureOfSpec() bool {
	return slices.ContainsFunc(p.problems, func(q problem) bool {
		inRule := strings.HasPrefix(q.path, "spec.ingress[") || strings.HasPrefix(q.path, "spec.egress[")
		return !inRule && !under(q.path, "spec.podSelector") && !under(q.path, "metadata")
	})
}
