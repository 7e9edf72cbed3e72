package world

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"pgregory.net/rapid"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"
)

// blocks are the CIDRs of the vocabulary with the excepts that may go with them.
var blocks = []networkingv1.IPBlock{
	{CIDR: "0.0.0.0/0"},
	{CIDR: "10.0.0.0/8"},
	{CIDR: "10.0.0.0/16"},
	{CIDR: "10.0.0.0/24", Except: []string{"10.0.0.4/30"}},
	{CIDR: "10.0.1.0/24"},
	{CIDR: "10.1.0.0/24"},
	{CIDR: "10.1.0.0/16", Except: []string{"10.1.0.128/25"}},
	{CIDR: "203.0.113.0/24"},
	{CIDR: "0.0.0.0/0", Except: []string{"10.0.0.0/8"}},
	{CIDR: "0.0.0.0/0", Except: []string{"10.0.1.0/24", "203.0.113.128/25", "10.0.0.0/24"}},
	{CIDR: "169.254.0.0/16"},
	{CIDR: "10.0.0.1/32"},
	{CIDR: "010.0.0.7/24"}, // S16: host bits, leading zero
	{CIDR: "10.0.0.0/8", Except: []string{"10.000.0.9/16"}},
}

func drawBlock(t *rapid.T) networkingv1.IPBlock {
	b := pick(t, "block", blocks...)
	b.Except = slices.Clone(b.Except)
	if !oneIn(t, 3, "IPv6 block") {
		return b
	}
	b.CIDR = mirrorCIDR(b.CIDR)
	for i := range b.Except {
		b.Except[i] = mirrorCIDR(b.Except[i])
	}
	return b
}

func drawNetworkPolicy(t *rapid.T, namespace string, i int) NetworkPolicy {
	p := NetworkPolicy{FromServer: oneIn(t, 16, "from a server")}
	o := &p.Object
	o.TypeMeta = metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"}
	o.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("np%d", i)}
	o.Spec.PodSelector = drawSelector(t, "subject")
	o.Spec.PolicyTypes = pick(t, "policyTypes", nil, nil,
		[]networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
		[]networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
		[]networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress})
	o.Spec.PolicyTypes = slices.Clone(o.Spec.PolicyTypes)
	for range pick(t, "ingress rules", 0, 1, 1, 2) {
		from, ports := drawRule(t)
		o.Spec.Ingress = append(o.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: from, Ports: ports})
	}
	for range pick(t, "egress rules", 0, 0, 1, 2) {
		to, ports := drawRule(t)
		o.Spec.Egress = append(o.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: to, Ports: ports})
	}
	if p.FromServer { // the reader emptied a peer (S32)
		empty := []networkingv1.NetworkPolicyPeer{{}}
		if len(o.Spec.Ingress) > 0 {
			o.Spec.Ingress[0].From = append(empty, o.Spec.Ingress[0].From...)
		} else {
			o.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: empty}}
		}
	}
	return p
}

func drawRule(t *rapid.T) (peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) {
	for range pick(t, "peers", 0, 1, 1, 1, 2, 2) {
		peers = append(peers, drawPeer(t))
	}
	for range pick(t, "ports", 0, 0, 0, 1, 1, 2) {
		ports = append(ports, drawPort(t))
	}
	return peers, ports
}

func drawPeer(t *rapid.T) networkingv1.NetworkPolicyPeer {
	var p networkingv1.NetworkPolicyPeer
	kind := pick(t, "peer", "pods", "namespaces", "both", "block", "block")
	if kind == "block" {
		b := drawBlock(t)
		p.IPBlock = &b
		return p
	}
	if kind != "namespaces" {
		s := drawSelector(t, "peer pods")
		p.PodSelector = &s
	}
	if kind != "pods" {
		s := drawNamespaceSelector(t, "peer namespaces")
		p.NamespaceSelector = &s
	}
	return p
}

func drawPort(t *rapid.T) networkingv1.NetworkPolicyPort {
	var p networkingv1.NetworkPolicyPort
	if proto := pick(t, "protocol", "", corev1.ProtocolTCP, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP); proto != "" {
		p.Protocol = &proto
	}
	switch pick(t, "port", "number", "number", "range", "name", "name", "none") {
	case "number":
		n := intstr.FromInt32(int32(pick(t, "number", portNumbers...)))
		p.Port = &n
	case "range":
		first, last := drawRange(t)
		n := intstr.FromInt32(first)
		p.Port, p.EndPort = &n, &last
	case "name":
		n := intstr.FromString(pick(t, "name", portNames...))
		p.Port = &n
	}
	return p
}

func drawRange(t *rapid.T) (first, last int32) {
	r := pick(t, "range", [2]int32{80, 8080}, [2]int32{1, 65535}, [2]int32{1, 79}, [2]int32{53, 80}, [2]int32{81, 443})
	return r[0], r[1]
}

// drawClusterPolicy adds a policy of any of the three kinds; of BaselineAdminNetworkPolicy there is
// at most one.
func (w *World) drawClusterPolicy(t *rapid.T, i int) {
	p := ClusterPolicy{Kind: pick(t, "kind", kindCluster, kindCluster, kindCluster, kindAdmin, kindBaseline),
		FromServer: oneIn(t, 6, "from a server")}
	if p.Kind == kindBaseline && slices.ContainsFunc(w.ClusterPolicies, func(q ClusterPolicy) bool { return q.Kind == kindBaseline }) {
		p.Kind = kindCluster
	}
	o := &p.Object
	o.TypeMeta = metav1.TypeMeta{APIVersion: "policy.networking.k8s.io/v1alpha2", Kind: kindCluster}
	// Names run against the order of priorities, and kinds share names.
	o.Name = pick(t, "name", "b", "c", "a") + fmt.Sprint(i)
	o.Spec.Tier = policyv1alpha2.AdminTier
	switch p.Kind {
	case kindBaseline:
		o.Name, o.Spec.Tier = "default", policyv1alpha2.BaselineTier
	default:
		o.Spec.Priority = pick[int32](t, "priority", 1, 1, 1, 1, 0, 2)
		if p.Kind == kindCluster {
			o.Spec.Tier = pick(t, "tier", policyv1alpha2.AdminTier, policyv1alpha2.BaselineTier)
		}
	}
	if oneIn(t, 3, "subject by pods") {
		s := drawNamespacedPod(t, "subject")
		o.Spec.Subject.Pods = &s
	} else {
		s := drawBroad(t, "subject")
		o.Spec.Subject.Namespaces = &s
	}
	for range pick(t, "ingress rules", 0, 1, 1, 2, 2) {
		o.Spec.Ingress = append(o.Spec.Ingress, drawIngress(t, p.Kind))
	}
	for range pick(t, "egress rules", 0, 1, 1, 2) {
		o.Spec.Egress = append(o.Spec.Egress, drawEgress(t, p.Kind))
	}
	if p.FromServer {
		p.FromServer = break43(t, o, p.Kind)
	}
	w.ClusterPolicies = append(w.ClusterPolicies, p)
}

// drawBroad is every namespace half of the time, or policies of one priority would seldom meet.
func drawBroad(t *rapid.T, label string) metav1.LabelSelector {
	if oneIn(t, 2, label+" not all") {
		return drawNamespaceSelector(t, label)
	}
	return metav1.LabelSelector{}
}

func drawNamespacedPod(t *rapid.T, label string) policyv1alpha2.NamespacedPod {
	return policyv1alpha2.NamespacedPod{
		NamespaceSelector: drawNamespaceSelector(t, label+" namespaces"),
		PodSelector:       drawSelector(t, label+" pods"),
	}
}

func drawAction(t *rapid.T, kind string) policyv1alpha2.ClusterNetworkPolicyRuleAction {
	if kind == kindBaseline { // has no Pass
		return pick(t, "action", policyv1alpha2.ClusterNetworkPolicyRuleActionAccept, policyv1alpha2.ClusterNetworkPolicyRuleActionDeny)
	}
	return pick(t, "action", policyv1alpha2.ClusterNetworkPolicyRuleActionAccept, policyv1alpha2.ClusterNetworkPolicyRuleActionDeny,
		policyv1alpha2.ClusterNetworkPolicyRuleActionPass)
}

func drawIngress(t *rapid.T, kind string) policyv1alpha2.ClusterNetworkPolicyIngressRule {
	r := policyv1alpha2.ClusterNetworkPolicyIngressRule{Action: drawAction(t, kind), Protocols: drawProtocols(t, true)}
	for range pick(t, "peers", 1, 1, 2) {
		r.From = append(r.From, drawIngressPeer(t))
	}
	return r
}

func drawIngressPeer(t *rapid.T) policyv1alpha2.ClusterNetworkPolicyIngressPeer {
	if oneIn(t, 3, "peer by pods") {
		s := drawNamespacedPod(t, "peer")
		return policyv1alpha2.ClusterNetworkPolicyIngressPeer{Pods: &s}
	}
	s := drawBroad(t, "peer")
	return policyv1alpha2.ClusterNetworkPolicyIngressPeer{Namespaces: &s}
}

func drawEgress(t *rapid.T, kind string) policyv1alpha2.ClusterNetworkPolicyEgressRule {
	r := policyv1alpha2.ClusterNetworkPolicyEgressRule{Action: drawAction(t, kind)}
	placeless := false
	for range pick(t, "peers", 1, 1, 2) {
		var p policyv1alpha2.ClusterNetworkPolicyEgressPeer
		switch what := pick(t, "peer", "pods", "pods", "networks", "networks", "nodes", "domains"); {
		case what == "domains" && r.Action == policyv1alpha2.ClusterNetworkPolicyRuleActionAccept && kind != kindBaseline:
			p.DomainNames = []policyv1alpha2.DomainName{"example.com"}
			placeless = true
		case what == "nodes":
			s := drawSelector(t, "nodes")
			p.Nodes = &s
			placeless = true
		case what == "networks":
			for range pick(t, "networks", 1, 1, 2) {
				c := policyv1alpha2.CIDR(canonical(drawBlock(t).CIDR))
				if !slices.Contains(p.Networks, c) {
					p.Networks = append(p.Networks, c)
				}
			}
			placeless = true
		default:
			q := drawIngressPeer(t)
			p.Namespaces, p.Pods = q.Namespaces, q.Pods
		}
		r.To = append(r.To, p)
	}
	r.Protocols = drawProtocols(t, !placeless)
	return r
}

// drawProtocols gives no, one or two entries; named ports only where they are valid.
func drawProtocols(t *rapid.T, names bool) []policyv1alpha2.ClusterNetworkPolicyProtocol {
	var out []policyv1alpha2.ClusterNetworkPolicyProtocol
	for range pick(t, "protocols", 0, 0, 0, 0, 1, 1, 2) {
		var p policyv1alpha2.ClusterNetworkPolicyProtocol
		var port policyv1alpha2.Port
		what := pick(t, "protocol", "tcp", "tcp", "udp", "sctp", "name")
		if what == "name" && names {
			p.DestinationNamedPort = pick(t, "name", portNames...)
			out = append(out, p)
			continue
		}
		if oneIn(t, 3, "range") {
			first, last := drawRange(t)
			port.Range = &policyv1alpha2.PortRange{Start: first, End: last}
		} else {
			port.Number = int32(pick(t, "number", portNumbers...))
		}
		switch what {
		case "udp":
			p.UDP = &policyv1alpha2.ClusterNetworkPolicyProtocolUDP{DestinationPort: &port}
		case "sctp":
			p.SCTP = &policyv1alpha2.ClusterNetworkPolicyProtocolSCTP{DestinationPort: &port}
		default:
			p.TCP = &policyv1alpha2.ClusterNetworkPolicyProtocolTCP{DestinationPort: &port}
		}
		out = append(out, p)
	}
	return out
}

// break43 breaks a policy in one of the ways of S43 and S44, and tells whether it could. A subject
// is broken now and then only: it touches every pod and so hides much else.
func break43(t *rapid.T, o *policyv1alpha2.ClusterNetworkPolicy, kind string) bool {
	none := metav1.LabelSelector{MatchLabels: map[string]string{"app": "none"}}
	switch pick(t, "break", "rule", "rule", "rule", "rule", "rule", "action", "no subject", "two subjects") {
	case "action":
		return breakAction(t, o)
	case "no subject":
		o.Spec.Subject = policyv1alpha2.ClusterNetworkPolicySubject{}
		return true
	case "two subjects": // that would select nothing if they counted
		o.Spec.Subject = policyv1alpha2.ClusterNetworkPolicySubject{Namespaces: &none, Pods: &policyv1alpha2.NamespacedPod{NamespaceSelector: none}}
		return true
	}
	return poison(t, o, kind)
}

// breakAction gives the last rule of a direction an action that is none of the three.
func breakAction(t *rapid.T, o *policyv1alpha2.ClusterNetworkPolicy) bool {
	const action policyv1alpha2.ClusterNetworkPolicyRuleAction = "Log"
	in, out := len(o.Spec.Ingress), len(o.Spec.Egress)
	switch {
	case in > 0 && (out == 0 || oneIn(t, 2, "of ingress")):
		o.Spec.Ingress[in-1].Action = action
	case out > 0:
		o.Spec.Egress[out-1].Action = action
	default:
		return false
	}
	return true
}

// poison breaks one rule in one of the ways of S43 and S44, and tells whether there was a rule.
func poison(t *rapid.T, o *policyv1alpha2.ClusterNetworkPolicy, kind string) bool {
	empty := policyv1alpha2.ClusterNetworkPolicyProtocol{}
	if len(o.Spec.Egress) == 0 {
		if len(o.Spec.Ingress) == 0 {
			return false
		}
		r := &o.Spec.Ingress[0]
		switch pick(t, "poison", "empty peer", "no peers", "empty protocol", "two fields") {
		case "empty peer":
			r.From = append(r.From, policyv1alpha2.ClusterNetworkPolicyIngressPeer{})
		case "no peers":
			r.From = []policyv1alpha2.ClusterNetworkPolicyIngressPeer{} // an empty list, not null
		case "empty protocol":
			r.Protocols = append(r.Protocols, empty)
		case "two fields":
			r.From[0].Namespaces, r.From[0].Pods = &metav1.LabelSelector{}, &policyv1alpha2.NamespacedPod{}
		}
		return true
	}
	r := &o.Spec.Egress[0]
	add := func(p policyv1alpha2.ClusterNetworkPolicyEgressPeer) { r.To = append(r.To, p) }
	what := pick(t, "poison", "empty peer", "no peers", "empty protocol", "tcp: {}", "two fields", "domains", "named port")
	if what == "domains" && kind == kindBaseline { // knows no domainNames
		what = "empty peer"
	}
	switch what {
	case "empty peer":
		add(policyv1alpha2.ClusterNetworkPolicyEgressPeer{})
	case "no peers":
		r.To = []policyv1alpha2.ClusterNetworkPolicyEgressPeer{}
	case "empty protocol":
		r.Protocols = append(r.Protocols, empty)
	case "tcp: {}":
		r.Protocols = append(r.Protocols, policyv1alpha2.ClusterNetworkPolicyProtocol{TCP: &policyv1alpha2.ClusterNetworkPolicyProtocolTCP{}})
	case "two fields":
		add(policyv1alpha2.ClusterNetworkPolicyEgressPeer{Nodes: &metav1.LabelSelector{}, Namespaces: &metav1.LabelSelector{}})
	case "domains": // poisons Deny and Pass only
		r.Action = policyv1alpha2.ClusterNetworkPolicyRuleActionDeny
		add(policyv1alpha2.ClusterNetworkPolicyEgressPeer{DomainNames: []policyv1alpha2.DomainName{"example.com"}})
	case "named port":
		add(policyv1alpha2.ClusterNetworkPolicyEgressPeer{Nodes: &metav1.LabelSelector{}})
		r.Protocols = append(r.Protocols, policyv1alpha2.ClusterNetworkPolicyProtocol{DestinationNamedPort: "http"})
	}
	return true
}
