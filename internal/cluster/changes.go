package cluster

import "reflect"

// Update is what a source says of its cluster: what it is now, or why that cannot be told, while what it was before still counts.
type Update struct {
	Snapshot *Snapshot
	Err      error
}

// Changes are what leads from one Snapshot to the next in what nodes enforce. Places do not count.
type Changes struct {
	GonePods     []*Pod
	Pods         []*Pod // new, or different
	GonePolicies []*NetworkPolicy
	Policies     []*NetworkPolicy // new, or different
	Else         bool             // anything else differs
}

// Compare finds the changes from one Snapshot to another.
func Compare(old, now *Snapshot) Changes {
	c := Changes{Else: !reflect.DeepEqual(enforced(old), enforced(now))}
	c.GonePods, c.Pods = differing(old.Pods, now.Pods, podKey, func(a, b *Pod) bool {
		x, y := *a, *b
		x.Origin, y.Origin = Origin{}, Origin{}
		return reflect.DeepEqual(x, y)
	})
	c.GonePolicies, c.Policies = differing(old.NetworkPolicies, now.NetworkPolicies, policyKey, func(a, b *NetworkPolicy) bool {
		return a.Object == b.Object || reflect.DeepEqual(a.Object, b.Object) && reflect.DeepEqual(a.NotUnderstood, b.NotUnderstood)
	})
	return c
}

// enforced is what nodes enforce beside pods and NetworkPolicies.
func enforced(s *Snapshot) Snapshot {
	return Snapshot{Facts: s.Facts, Namespaces: s.Namespaces, Nodes: s.Nodes, ClusterPolicies: s.ClusterPolicies, ForeignPolicies: s.ForeignPolicies,
		Accounts: s.Accounts, Identities: s.Identities, AccessPolicies: s.AccessPolicies, External: s.External, AzureIdentities: s.AzureIdentities,
		AzureBindings: s.AzureBindings, AzureExceptions: s.AzureExceptions, Unreadable: s.Unreadable}
}

type key struct {
	namespace, name string
	template        bool
	replica         int
}

func podKey(p *Pod) key              { return key{p.Namespace, p.Name, p.Template, p.Replica} }
func policyKey(p *NetworkPolicy) key { return key{namespace: p.Object.Namespace, name: p.Object.Name} }

func differing[T any](old, now []T, of func(*T) key, same func(a, b *T) bool) (gone, changed []*T) {
	before := make(map[key]*T, len(old))
	for i := range old {
		before[of(&old[i])] = &old[i]
	}
	for i := range now {
		k := of(&now[i])
		was := before[k]
		delete(before, k)
		if was == nil || !same(was, &now[i]) {
			changed = append(changed, &now[i])
		}
	}
	for i := range old {
		if before[of(&old[i])] != nil {
			gone = append(gone, &old[i])
		}
	}
	return gone, changed
}
