package layers

import (
	"slices"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
)

// What follows says what layers know of a single object; Decide says what they make of it together.

// Identity is what is issued to a pod (L11, L12).
type Identity struct {
	SPIFFEID string // by its service account; empty for a pod with hostNetwork
	Issued   Answer // Allow, Unknown or Deny
	Reason   Reason
	Refs     []Ref
	Azure    []Grant
	Any      []Any
}

// Grant is an Azure identity that is issued to a pod, and what gives it.
type Grant struct {
	v1alpha1.AzureIdentity
	Resources []string // nil: every one
	By        []Ref    // at least one
}

// Any is what perhaps issues any Azure identity for any resource (L4, L13 to L15).
type Any struct {
	Reason Reason
	By     Ref
}

// Unread tells whether something that may have a say could not be read (L3).
func (l *Model) Unread() bool { return l.unread }

// Identity gives what is issued to a pod. Pods for which that is the same share the number.
func (l *Model) Identity(pod int) (who Identity, number int) {
	number = int(l.who[pod])
	d := &l.identities[number]
	who = Identity{SPIFFEID: d.id, Issued: d.issued, Reason: d.why, Refs: d.refs}
	for _, g := range d.azure {
		who.Azure = append(who.Azure, Grant{g.AzureIdentity, g.resources, g.refs})
	}
	for _, g := range d.any {
		who.Any = append(who.Any, Any{g.why, g.ref})
	}
	return who, number
}

// IssuedBy tells what a WorkloadIdentity, by its index in the Snapshot, issues to a pod: None where it is not about
// the pod.
func (l *Model) IssuedBy(index, pod int) Answer {
	p := &l.snap.Pods[pod]
	w := &l.issuers[index]
	if !w.concerns(p) {
		return None
	}
	if p.HostNetwork {
		return Deny
	}
	return l.identity(p, []int{index}).issued
}

// Naming lists the AccessPolicies, by their index in the Snapshot, that name a pod as their target (L20).
func (l *Model) Naming(pod int) []int { return l.targeted[l.targets[pod]] }

// PortsAt gives the ports of a target pod that an AccessPolicy is about, and those of its names for ports that
// the pod does not declare.
func (l *Model) PortsAt(index, pod int) (ports netset.PortSet, undeclared []string) {
	p := &l.policies[index]
	if p.ports == nil {
		return netset.EveryPort(), nil
	}
	for _, r := range p.ports {
		if !r.proto.HasPorts() { // it is not understood (L4)
			continue
		}
		if r.name == "" {
			ports.Add(r.proto, r.ports)
			continue
		}
		found := false
		for _, d := range l.snap.Pods[pod].Ports {
			if d.Name == r.name && d.Proto == r.proto {
				found = true
				ports.Add(d.Proto, netset.PortRange{First: d.Port, Last: d.Port})
			}
		}
		if !found {
			undeclared = append(undeclared, r.name)
		}
	}
	return ports, undeclared
}

// Passes tells what an AccessPolicy, were it the only one at its target and enforced, makes of a pod's ID,
// whether or not that is issued (L21).
func (l *Model) Passes(index, pod int) Answer {
	who := &l.identities[l.who[pod]]
	return order([]*access{&l.policies[index]}, who.id, who.has).Answer
}

// PeerID gives the SPIFFE ID that a peer of an AccessPolicy in a namespace matches, or with prefix the beginning
// of those.
func (l *Model) PeerID(namespace string, p *v1alpha1.AccessPeer) (id string, prefix bool) {
	q := l.newPeer(namespace, p)
	return q.id, q.prefix
}

// Foreign tells whether a SPIFFE ID, or the beginning of one, is of another trust domain than the cluster's.
func (l *Model) Foreign(id string) bool { return trustDomainOf(id) != l.trust }

// OfPods tells whether the target of an AccessPolicy is pods; else it is a service.
func (l *Model) OfPods(index int) bool { return l.policies[index].ofPods }

// Enforced tells whether an AccessPolicy says who enforces it at its target pods (L23).
func (l *Model) Enforced(index int) bool { return l.policies[index].enforced() }

// About lists the AccessPolicies, by their index in the Snapshot, that name a service; those about a
// ClusterExternalService count for pods of their own namespaces only (L26).
func (l *Model) About(service int) []int { return l.about[service] }

// ServiceOf gives the index in the Snapshot of the service that an AccessPolicy names, or -1 where there is none.
func (l *Model) ServiceOf(index int) int {
	return slices.IndexFunc(l.about, func(list []int) bool { return slices.Contains(list, index) })
}

// Shows lists which of the identities that a service admits are surely issued to a pod, by their index in admitted;
// perhaps tells whether it may be issued others that are not known (L33).
func (l *Model) Shows(service, pod int) (admitted []int, perhaps bool) {
	x := &l.services[service]
	auth := x.Spec.Authentication
	if auth == nil {
		return nil, false
	}
	for _, c := range l.claims(&flow.Flow{From: flow.End{Kind: flow.Pod, Index: pod}}, x) {
		perhaps = perhaps || !c.sure
		for i, a := range auth.Admitted {
			if c.sure && c.is(a) {
				admitted = append(admitted, i)
			}
		}
	}
	return admitted, perhaps
}

// ServiceRef names a service by its index in the Snapshot, or a part of it.
func (l *Model) ServiceRef(service int, path string) Ref { return l.services[service].ref(path) }

// AccessRef names an AccessPolicy by its index in the Snapshot, or a part of it.
func (l *Model) AccessRef(index int, path string) Ref { return l.policies[index].ref(path) }
