package world

import (
	"fmt"
	"math/rand/v2"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
)

type policyCIDR = policyv1alpha2.CIDR

// npRule points into a NetworkPolicy's rule of either direction.
type npRule struct {
	peers *[]networkingv1.NetworkPolicyPeer
	ports *[]networkingv1.NetworkPolicyPort
}

func (w *World) eachNPRule(do func(npRule)) {
	for i := range w.NetworkPolicies {
		spec := &w.NetworkPolicies[i].Object.Spec
		for j := range spec.Ingress {
			do(npRule{&spec.Ingress[j].From, &spec.Ingress[j].Ports})
		}
		for j := range spec.Egress {
			do(npRule{&spec.Egress[j].To, &spec.Egress[j].Ports})
		}
	}
}

// Shuffle reorders everything that has no order (S10, S61): objects, the rules, peers, ports and
// policyTypes of NetworkPolicies, the peers and protocols of cluster policies, and of the resources of
// layers everything but the sources of a service (L31). Verdicts and reasons
// stay; the indices of the deciding rule may not.
func Shuffle(w World, seed uint64) World {
	w = w.clone()
	r := rand.New(rand.NewPCG(seed, 0))
	shuffle(r, w.Namespaces)
	shuffle(r, w.Nodes)
	shuffle(r, w.Pods)
	shuffle(r, w.Deployments)
	shuffle(r, w.NetworkPolicies)
	shuffle(r, w.ClusterPolicies)
	shuffle(r, w.ForeignPolicies)
	shuffle(r, w.Unreadable)
	for i := range w.NetworkPolicies {
		spec := &w.NetworkPolicies[i].Object.Spec
		shuffle(r, spec.Ingress)
		shuffle(r, spec.Egress)
		shuffle(r, spec.PolicyTypes)
		shuffle(r, spec.PodSelector.MatchExpressions)
	}
	w.eachNPRule(func(rule npRule) {
		shuffle(r, *rule.peers)
		shuffle(r, *rule.ports)
		for _, p := range *rule.peers {
			if p.IPBlock != nil {
				shuffle(r, p.IPBlock.Except)
			}
		}
	})
	for i := range w.ClusterPolicies {
		spec := &w.ClusterPolicies[i].Object.Spec
		for j := range spec.Ingress {
			shuffle(r, spec.Ingress[j].From)
			shuffle(r, spec.Ingress[j].Protocols)
		}
		for j := range spec.Egress {
			shuffle(r, spec.Egress[j].To)
			shuffle(r, spec.Egress[j].Protocols)
		}
	}
	shuffleLayers(r, &w)
	return w
}

func shuffle[T any](r *rand.Rand, list []T) {
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
}

// SplitPolicies turns each NetworkPolicy with several rules into as many policies of one rule each,
// with the same selector and explicit policyTypes (S10: policies only add). Verdicts and reasons stay.
func SplitPolicies(w World) World {
	w = w.clone()
	var out []NetworkPolicy
	for _, p := range w.NetworkPolicies {
		spec := networkPolicy(p).Object.Spec // with policyTypes
		base := p
		base.Object.Spec = networkingv1.NetworkPolicySpec{PodSelector: spec.PodSelector, PolicyTypes: spec.PolicyTypes}
		n := 0
		piece := func() *networkingv1.NetworkPolicySpec {
			q := NetworkPolicy{Object: *base.Object.DeepCopy(), FromServer: p.FromServer}
			q.Object.Name = fmt.Sprintf("%s-%d", p.Object.Name, n)
			n++
			out = append(out, q)
			return &out[len(out)-1].Object.Spec
		}
		for _, r := range spec.Ingress {
			piece().Ingress = []networkingv1.NetworkPolicyIngressRule{r}
		}
		for _, r := range spec.Egress {
			piece().Egress = []networkingv1.NetworkPolicyEgressRule{r}
		}
		if n == 0 {
			piece()
		}
	}
	w.NetworkPolicies = out
	return w
}

// AddRule draws one more rule into a NetworkPolicy with explicit policyTypes (an egress rule in one
// without them could isolate egress, S1). False if the world has no such policy.
func AddRule(t *rapid.T, w World) (World, bool) {
	w = w.clone()
	var specs []*networkingv1.NetworkPolicySpec
	for i := range w.NetworkPolicies {
		if spec := &w.NetworkPolicies[i].Object.Spec; len(spec.PolicyTypes) > 0 {
			specs = append(specs, spec)
		}
	}
	if len(specs) == 0 {
		return w, false
	}
	spec := pick(t, "policy", specs...)
	peers, ports := drawRule(t)
	if pick(t, "direction", spec.PolicyTypes...) == networkingv1.PolicyTypeIngress {
		at := ints[len(spec.Ingress)+1].Draw(t, "place")
		spec.Ingress = slices.Insert(spec.Ingress, at, networkingv1.NetworkPolicyIngressRule{From: peers, Ports: ports})
		return w, true
	}
	at := ints[len(spec.Egress)+1].Draw(t, "place")
	spec.Egress = slices.Insert(spec.Egress, at, networkingv1.NetworkPolicyEgressRule{To: peers, Ports: ports})
	return w, true
}

// RemoveRule takes a rule out of a NetworkPolicy and leaves the policyTypes that it had, written or
// not. False if the world has no NetworkPolicy with a rule.
func RemoveRule(t *rapid.T, w World) (World, bool) {
	w = w.clone()
	var removals []func()
	for i := range w.NetworkPolicies {
		spec := &w.NetworkPolicies[i].Object.Spec
		types := networkPolicy(w.NetworkPolicies[i]).Object.Spec.PolicyTypes
		for j := range spec.Ingress {
			removals = append(removals, func() { spec.PolicyTypes, spec.Ingress = types, slices.Delete(spec.Ingress, j, j+1) })
		}
		for j := range spec.Egress {
			removals = append(removals, func() { spec.PolicyTypes, spec.Egress = types, slices.Delete(spec.Egress, j, j+1) })
		}
	}
	if len(removals) == 0 {
		return w, false
	}
	pick(t, "rule", removals...)()
	return w, true
}

// Rename gives every namespace, pod, deployment, node and policy another name, with the opposite
// order, wherever it is named. Verdicts stay; reasons stay where no priorities tie (names break
// ties). The second result maps a flow of the world to the renamed one.
func Rename(w World) (World, func(flow.Flow) flow.Flow) {
	before := w.Snapshot()
	w = w.clone()
	for i := range w.Namespaces {
		w.Namespaces[i].Name = renamed(w.Namespaces[i].Name)
	}
	for i := range w.Nodes {
		w.Nodes[i].Name = renamed(w.Nodes[i].Name)
	}
	for i := range w.Pods {
		renameMeta(&w.Pods[i].ObjectMeta)
		w.Pods[i].Spec.NodeName = renamed(w.Pods[i].Spec.NodeName)
	}
	for i := range w.Deployments {
		renameMeta(&w.Deployments[i].ObjectMeta)
	}
	for i := range w.NetworkPolicies {
		renameMeta(&w.NetworkPolicies[i].Object.ObjectMeta)
	}
	w.eachNPRule(func(r npRule) {
		for _, p := range *r.peers {
			renameSelector(p.NamespaceSelector)
		}
	})
	for i := range w.ClusterPolicies {
		renameClusterPolicy(&w.ClusterPolicies[i].Object)
	}
	for i := range w.ForeignPolicies {
		p := &w.ForeignPolicies[i]
		p.Namespace, p.Name = renamed(p.Namespace), renamed(p.Name)
	}
	after := w.Snapshot()
	return w, func(f flow.Flow) flow.Flow {
		f.From, f.To = renameEnd(f.From, before, after), renameEnd(f.To, before, after)
		return f
	}
}

// renamed turns the alphabet around; "" stays.
func renamed(name string) string {
	b := []byte(name)
	for i, c := range b {
		switch {
		case 'a' <= c && c <= 'z':
			b[i] = 'z' - (c - 'a')
		case '0' <= c && c <= '9':
			b[i] = '9' - (c - '0')
		}
	}
	return string(b)
}

func renameMeta(m *metav1.ObjectMeta) { m.Namespace, m.Name = renamed(m.Namespace), renamed(m.Name) }

func renameClusterPolicy(o *policyv1alpha2.ClusterNetworkPolicy) {
	o.Name = renamed(o.Name)
	pods := func(p *policyv1alpha2.NamespacedPod) {
		if p != nil {
			renameSelector(&p.NamespaceSelector)
		}
	}
	renameSelector(o.Spec.Subject.Namespaces)
	pods(o.Spec.Subject.Pods)
	for _, r := range o.Spec.Ingress {
		for _, p := range r.From {
			renameSelector(p.Namespaces)
			pods(p.Pods)
		}
	}
	for _, r := range o.Spec.Egress {
		for _, p := range r.To {
			renameSelector(p.Namespaces)
			pods(p.Pods)
		}
	}
}

// renameSelector renames the values of the name label.
func renameSelector(s *metav1.LabelSelector) {
	if s == nil {
		return
	}
	if name, ok := s.MatchLabels[cluster.MetadataNameLabel]; ok {
		s.MatchLabels[cluster.MetadataNameLabel] = renamed(name)
	}
	for _, e := range s.MatchExpressions {
		if e.Key != cluster.MetadataNameLabel {
			continue
		}
		for i := range e.Values {
			e.Values[i] = renamed(e.Values[i])
		}
	}
}

func renameEnd(e flow.End, before, after *cluster.Snapshot) flow.End {
	switch e.Kind {
	case flow.Pod:
		was := before.Pods[e.Index]
		e.Index = slices.IndexFunc(after.Pods, func(p cluster.Pod) bool {
			return p.Namespace == renamed(was.Namespace) && p.Name == renamed(was.Name) && p.Replica == was.Replica && p.Template == was.Template
		})
	case flow.Node:
		was := before.Nodes[e.Index].Name
		e.Index = slices.IndexFunc(after.Nodes, func(n cluster.Node) bool { return n.Name == renamed(was) })
	}
	return e
}
