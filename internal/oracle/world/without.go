package world

import (
	"slices"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
)

// WithoutRule gives a Snapshot without one rule of a policy, by its index. Of several rules of a policy
// the last must be taken away first.
func WithoutRule(s *cluster.Snapshot, ref cluster.PolicyRef, d flow.Direction, rule int) *cluster.Snapshot {
	out := *s
	out.NetworkPolicies, out.ClusterPolicies = slices.Clone(s.NetworkPolicies), slices.Clone(s.ClusterPolicies)
	for i := range out.NetworkPolicies {
		if p := &out.NetworkPolicies[i]; p.Object.Namespace == ref.Namespace && p.Object.Name == ref.Name {
			p.Object = p.Object.DeepCopy()
			without(&p.Object.Spec.Egress, &p.Object.Spec.Ingress, d, rule)
		}
	}
	for i := range out.ClusterPolicies {
		if p := &out.ClusterPolicies[i]; p.Kind == ref.Kind && p.Object.Name == ref.Name {
			p.Object = p.Object.DeepCopy()
			without(&p.Object.Spec.Egress, &p.Object.Spec.Ingress, d, rule)
		}
	}
	return &out
}

func without[E, I any](egress *[]E, ingress *[]I, d flow.Direction, rule int) {
	if d == flow.Egress {
		*egress = slices.Delete(*egress, rule, rule+1)
	} else {
		*ingress = slices.Delete(*ingress, rule, rule+1)
	}
}

// WithoutPolicy gives a Snapshot without one NetworkPolicy.
func WithoutPolicy(s *cluster.Snapshot, ref cluster.PolicyRef) *cluster.Snapshot {
	out := *s
	out.NetworkPolicies = slices.DeleteFunc(slices.Clone(s.NetworkPolicies), func(p cluster.NetworkPolicy) bool {
		return p.Object.Namespace == ref.Namespace && p.Object.Name == ref.Name
	})
	return &out
}
