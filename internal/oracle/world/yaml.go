package world

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1alpha1 "sigs.k8s.io/network-policy-api/apis/v1alpha1"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"
	"sigs.k8s.io/yaml"
)

// YAML renders the world as manifests, one document per object. Facts that no manifest can say become comments.
// A world with something that only a server sends begins with the head of a saved snapshot.
func (w World) YAML() string {
	var docs []string
	add := func(o any) { docs = append(docs, document(o)) }
	if w.fromServer() {
		add(w.header())
	}
	for _, o := range w.Namespaces {
		add(o)
	}
	for _, o := range w.Nodes {
		add(o)
	}
	for _, o := range w.Pods {
		add(o)
	}
	for _, o := range w.Deployments {
		add(o)
	}
	for _, p := range w.NetworkPolicies {
		add(p.Object)
	}
	for _, p := range w.ClusterPolicies {
		switch p.Kind {
		case kindCluster:
			add(p.Object)
		default:
			add(adminPolicy(p))
		}
	}
	for _, p := range w.ForeignPolicies {
		add(foreignObject(p))
	}
	for _, o := range w.Identities {
		add(o.Object)
	}
	for _, o := range w.AccessPolicies {
		add(o.Object)
	}
	for _, o := range w.External {
		add(o.Object)
	}
	for _, o := range w.Azure.documents() {
		add(o)
	}
	var head string
	if w.Azure.AddOn {
		head += "# --aks says that the add-on for pod identity is on\n"
	}
	for _, c := range w.PodCIDRs {
		head += "# --pod-cidr " + c.String() + "\n"
	}
	return head + strings.Join(docs, "---\n")
}

// document renders an object without the noise that typed objects bring.
func document(o any) string {
	text, err := yaml.Marshal(o)
	if err != nil {
		panic(err) // the types are Kubernetes' own
	}
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		panic(err)
	}
	dropNoise(tree)
	if status, ok := tree["status"].(map[string]any); ok {
		dropEmpty(status)
		if len(status) == 0 {
			delete(tree, "status")
		}
	}
	text, err = yaml.Marshal(tree)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// dropNoise removes what typed objects write although it was never set.
func dropNoise(tree map[string]any) {
	for key, value := range tree {
		child, isMap := value.(map[string]any)
		switch {
		case (key == "creationTimestamp" || key == "admitted") && value == nil:
			delete(tree, key)
		case isMap && len(child) == 0 && (key == "resources" || key == "strategy" || key == "spec"):
			delete(tree, key)
		case isMap:
			dropNoise(child)
			if key == "metadata" && len(child) == 0 {
				delete(tree, key)
			}
		}
		list, _ := value.([]any)
		for _, item := range list {
			if child, ok := item.(map[string]any); ok {
				dropNoise(child)
			}
		}
	}
}

// dropEmpty removes what says nothing: nulls, "", 0, and maps that are empty without those.
func dropEmpty(tree map[string]any) {
	for key, value := range tree {
		if child, ok := value.(map[string]any); ok {
			dropEmpty(child)
			if len(child) == 0 {
				delete(tree, key)
			}
		}
		if value == nil || value == "" || value == float64(0) {
			delete(tree, key)
		}
	}
}

// adminPolicy writes the common model as the older kinds have it. The order of the keys is that of
// JSON, so a loose tree is enough where the two old kinds differ.
func adminPolicy(p ClusterPolicy) any {
	spec := map[string]any{"subject": p.Object.Spec.Subject}
	if p.Kind == kindAdmin {
		spec["priority"] = p.Object.Spec.Priority
	}
	var ingress, egress []any
	for _, r := range p.Object.Spec.Ingress {
		ingress = append(ingress, adminRule("from", r.From, r.Action, r.Protocols))
	}
	for _, r := range p.Object.Spec.Egress {
		egress = append(egress, adminRule("to", r.To, r.Action, r.Protocols))
	}
	if len(ingress) > 0 {
		spec["ingress"] = ingress
	}
	if len(egress) > 0 {
		spec["egress"] = egress
	}
	return map[string]any{
		"apiVersion": "policy.networking.k8s.io/v1alpha1",
		"kind":       p.Kind,
		"metadata":   map[string]any{"name": p.Object.Name},
		"spec":       spec,
	}
}

func adminRule(list string, peers any, action policyv1alpha2.ClusterNetworkPolicyRuleAction, protocols []policyv1alpha2.ClusterNetworkPolicyProtocol) map[string]any {
	rule := map[string]any{"action": string(action), list: peers}
	if action == policyv1alpha2.ClusterNetworkPolicyRuleActionAccept {
		rule["action"] = string(policyv1alpha1.AdminNetworkPolicyRuleActionAllow)
	}
	var ports []policyv1alpha1.AdminNetworkPolicyPort
	for _, p := range protocols {
		ports = append(ports, adminPort(p))
	}
	if len(ports) > 0 {
		rule["ports"] = ports
	}
	return rule
}

func adminPort(p policyv1alpha2.ClusterNetworkPolicyProtocol) policyv1alpha1.AdminNetworkPolicyPort {
	of := func(proto corev1.Protocol, port *policyv1alpha2.Port) policyv1alpha1.AdminNetworkPolicyPort {
		switch {
		case port == nil:
			return policyv1alpha1.AdminNetworkPolicyPort{}
		case port.Range != nil:
			return policyv1alpha1.AdminNetworkPolicyPort{PortRange: &policyv1alpha1.PortRange{Protocol: proto, Start: port.Range.Start, End: port.Range.End}}
		}
		return policyv1alpha1.AdminNetworkPolicyPort{PortNumber: &policyv1alpha1.Port{Protocol: proto, Port: port.Number}}
	}
	switch {
	case p.TCP != nil:
		return of(corev1.ProtocolTCP, p.TCP.DestinationPort)
	case p.UDP != nil:
		return of(corev1.ProtocolUDP, p.UDP.DestinationPort)
	case p.SCTP != nil:
		return of(corev1.ProtocolSCTP, p.SCTP.DestinationPort)
	case p.DestinationNamedPort != "":
		return policyv1alpha1.AdminNetworkPolicyPort{NamedPort: &p.DestinationNamedPort}
	}
	return policyv1alpha1.AdminNetworkPolicyPort{}
}
