package cluster

import (
	"slices"
	"strings"
)

// ObjectRef names an object by its kind as full lower-case singular; Namespace is empty for cluster-wide kinds.
type ObjectRef struct{ Kind, Namespace, Name string }

// Without gives the Snapshot as it were if an object and all that hangs on it were deleted: a workload with
// its pods, a namespace with all in it. ok is false where there is no such object.
func (s *Snapshot) Without(o ObjectRef) (out *Snapshot, ok bool) {
	t := *s
	before := t.size()
	inside := func(namespace string) bool { return o.Kind == "namespace" && namespace != "" && namespace == o.Name }
	is := func(kind, namespace, name string) bool {
		return o == ObjectRef{kind, namespace, name} || inside(namespace)
	}
	t.Namespaces = remaining(s.Namespaces, func(n *Namespace) bool { return inside(n.Name) })
	t.Pods = remaining(s.Pods, func(p *Pod) bool {
		return is(p.Owner.Kind, p.Namespace, p.Owner.Name) || !p.Template && is("pod", p.Namespace, p.Name)
	})
	t.Services = remaining(s.Services, func(x *Service) bool { return is("service", x.Namespace, x.Name) })
	t.Accounts = remaining(s.Accounts, func(x *ServiceAccount) bool { return is("serviceaccount", x.Namespace, x.Name) })
	t.Entries = remaining(s.Entries, func(e *EntryPoint) bool { return is(e.Kind, e.Namespace, e.Name) })
	t.NetworkPolicies = remaining(s.NetworkPolicies, func(p *NetworkPolicy) bool {
		return is("networkpolicy", p.Object.Namespace, p.Object.Name)
	})
	t.ClusterPolicies = remaining(s.ClusterPolicies, func(p *ClusterPolicy) bool { return is(strings.ToLower(p.Kind), "", p.Object.Name) })
	t.Identities = remaining(s.Identities, func(x *WorkloadIdentity) bool { return is("workloadidentity", x.Namespace, x.Name) })
	t.AccessPolicies = remaining(s.AccessPolicies, func(x *AccessPolicy) bool { return is("accesspolicy", x.Namespace, x.Name) })
	t.External = remaining(s.External, func(x *ExternalService) bool { return is(x.Kind(), x.Namespace, x.Name) })
	t.AzureIdentities = remaining(s.AzureIdentities, func(x *AzureIdentity) bool { return is("azureidentity", x.Namespace, x.Name) })
	t.AzureBindings = remaining(s.AzureBindings, func(x *AzureIdentityBinding) bool { return is("azureidentitybinding", x.Namespace, x.Name) })
	t.AzureExceptions = remaining(s.AzureExceptions, func(x *AzurePodIdentityException) bool {
		return is("azurepodidentityexception", x.Namespace, x.Name)
	})
	t.ForeignPolicies = remaining(s.ForeignPolicies, func(p *ForeignPolicy) bool { return inside(p.Namespace) })
	return &t, t.size() < before
}

// size counts the objects; an assumed namespace is none.
func (s *Snapshot) size() int {
	named := remaining(s.Namespaces, func(n *Namespace) bool { return n.Assumed })
	return len(named) + len(s.Pods) + len(s.Services) + len(s.Accounts) + len(s.Entries) + len(s.NetworkPolicies) + len(s.ClusterPolicies) + len(s.ForeignPolicies) +
		len(s.Identities) + len(s.AccessPolicies) + len(s.External) + len(s.AzureIdentities) + len(s.AzureBindings) + len(s.AzureExceptions)
}

func remaining[T any](list []T, gone func(*T) bool) []T {
	return slices.DeleteFunc(slices.Clone(list), func(x T) bool { return gone(&x) })
}
