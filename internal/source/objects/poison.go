package objects

import (
	"strings"

	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"
)

// poison rewrites a cluster-wide policy with problems so that whoever reads it sees what was not
// understood: an empty peer or protocol, or a rule without peers, each of which makes the whole rule
// fail closed (S43). Indices stay what they were. A list that is merely too long is read as it is.
func (p *policy) poison(spec *policyv1alpha2.ClusterNetworkPolicySpec, d *dialect) {
	if anyUnder(p.problems, "spec.subject") || p.hasProblem("spec") {
		spec.Subject = policyv1alpha2.ClusterNetworkPolicySubject{} // every pod, and every rule poisoned
	}
	if d.tiers != nil && (spec.Tier == "" || anyUnder(p.problems, "spec.tier")) {
		spec.Tier = policyv1alpha2.AdminTier // the tier that nothing else can overrule
	}
	spec.Priority = min(max(spec.Priority, 0), 1000)
	for i := range spec.Ingress {
		r, path := &spec.Ingress[i], indexPath("spec.ingress", i)
		for j := range r.From {
			if anyUnder(p.problems, indexPath(path+".from", j)) {
				r.From[j] = policyv1alpha2.ClusterNetworkPolicyIngressPeer{}
			}
		}
		p.poisonProtocols(r.Protocols, path+"."+d.ports)
		if p.ruleProblem(path, "from", d.ports) {
			r.From = nil
		}
	}
	for i := range spec.Egress {
		r, path := &spec.Egress[i], indexPath("spec.egress", i)
		for j := range r.To {
			if anyUnder(p.problems, indexPath(path+".to", j)) {
				r.To[j] = policyv1alpha2.ClusterNetworkPolicyEgressPeer{}
			}
		}
		p.poisonProtocols(r.Protocols, path+"."+d.ports)
		if p.ruleProblem(path, "to", d.ports) {
			r.To = nil
		}
	}
	p.poisonLists(spec)
}

// poisonLists puts one rule that denies everything where a list of rules could not be read at all.
func (p *policy) poisonLists(spec *policyv1alpha2.ClusterNetworkPolicySpec) {
	const deny = policyv1alpha2.ClusterNetworkPolicyRuleActionDeny
	if len(spec.Ingress) == 0 && (p.hasProblem("spec.ingress") || p.hasProblem("spec")) {
		spec.Ingress = []policyv1alpha2.ClusterNetworkPolicyIngressRule{{Action: deny}}
	}
	if len(spec.Egress) == 0 && (p.hasProblem("spec.egress") || p.hasProblem("spec")) {
		spec.Egress = []policyv1alpha2.ClusterNetworkPolicyEgressRule{{Action: deny}}
	}
}

func (p *policy) poisonProtocols(list []policyv1alpha2.ClusterNetworkPolicyProtocol, path string) {
	for j := range list {
		if anyUnder(p.problems, indexPath(path, j)) {
			list[j] = policyv1alpha2.ClusterNetworkPolicyProtocol{}
		}
	}
}

// ruleProblem tells whether a rule has a problem outside the items of its two lists.
func (p *policy) ruleProblem(path, peers, ports string) bool {
	for _, q := range p.problems {
		if !q.harmless && under(q.path, path) && !strings.HasPrefix(q.path, path+"."+peers+"[") && !strings.HasPrefix(q.path, path+"."+ports+"[") {
			return true
		}
	}
	return false
}

// hasProblem tells whether a problem lies exactly at a path.
func (p *policy) hasProblem(path string) bool {
	for _, q := range p.problems {
		if q.path == path || q.path == "" && path == "spec" {
			return true
		}
	}
	return false
}
