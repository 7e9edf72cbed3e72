// Package world draws small random clusters, and questions about them, for tests. Its vocabularies
// are tiny so that policies collide, and its laws change a cluster without changing what it means.
//
// It is for tests only: the product must never import it. It must never decide a flow.
package world

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/netset"
)

// The kinds of ClusterPolicy.
const (
	kindCluster  = "ClusterNetworkPolicy"
	kindAdmin    = "AdminNetworkPolicy"
	kindBaseline = "BaselineAdminNetworkPolicy"
)

// World is a cluster as typed objects, in no particular order. Namespaces and Nodes that are named
// by other objects may be missing (S4).
type World struct {
	Namespaces      []corev1.Namespace
	Nodes           []corev1.Node
	Pods            []corev1.Pod
	Deployments     []appsv1.Deployment
	NetworkPolicies []NetworkPolicy
	ClusterPolicies []ClusterPolicy
	PodCIDRs        []netip.Prefix // Facts.PodCIDRs: no manifest can say it
	// What layers beside the network are about (L1). A service without namespace is a ClusterExternalService.
	// Of the laws only Shuffle knows these.
	Identities     []Own[v1alpha1.WorkloadIdentity]
	AccessPolicies []Own[v1alpha1.AccessPolicy]
	External       []Own[v1alpha1.ExternalService]
	Azure          Azure
	// What is not evaluated: policies of other engines, and what could not be read (S2, S33).
	ForeignPolicies []cluster.ForeignPolicy
	Unreadable      []cluster.Unreadable
}

// NetworkPolicy is a policy as written: PolicyTypes may be absent.
type NetworkPolicy struct {
	Object networkingv1.NetworkPolicy
	// FromServer: it has a part that no file may have and that a server may send (S32).
	FromServer bool
}

// ClusterPolicy is a policy of the cluster-wide kinds; Object is in the common model (S40).
type ClusterPolicy struct {
	Kind   string
	Object policyv1alpha2.ClusterNetworkPolicy
	// FromServer: it has a part that no file may have and that a server may send (S43).
	FromServer bool
}

// fromServer tells whether the world has something that no file of manifests may have.
func (w World) fromServer() bool {
	return len(w.Unreadable) > 0 ||
		slices.ContainsFunc(w.NetworkPolicies, func(p NetworkPolicy) bool { return p.FromServer }) ||
		slices.ContainsFunc(w.ClusterPolicies, func(p ClusterPolicy) bool { return p.FromServer }) || w.ownFromServer()
}

// Snapshot gives the world as a reader would, sorted as the Snapshot's doc demands. The result
// shares nothing with the world.
func (w World) Snapshot() *cluster.Snapshot {
	w = w.clone()
	s := &cluster.Snapshot{Facts: cluster.Facts{PodCIDRs: w.PodCIDRs}, ForeignPolicies: w.ForeignPolicies, Unreadable: w.Unreadable}
	fromServer := w.fromServer()
	for i := range w.Pods {
		s.Pods = append(s.Pods, realPod(&w.Pods[i], fromServer))
	}
	for i := range w.Deployments {
		s.Pods = append(s.Pods, replicas(&w.Deployments[i])...)
	}
	for _, p := range w.NetworkPolicies {
		s.NetworkPolicies = append(s.NetworkPolicies, networkPolicy(p))
	}
	for _, p := range w.ClusterPolicies {
		cp := cluster.ClusterPolicy{Kind: p.Kind, Object: &p.Object}
		if p.FromServer {
			cp.NotUnderstood = []string{"drawn with a part that is not understood"}
		}
		s.ClusterPolicies = append(s.ClusterPolicies, cp)
	}
	w.addLayers(s)
	w.Azure.addTo(s)
	s.Namespaces = w.namespaces(s)
	s.Nodes = w.nodes(s)
	sortSnapshot(s)
	return s
}

func sortSnapshot(s *cluster.Snapshot) {
	slices.SortFunc(s.Namespaces, func(a, b cluster.Namespace) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Nodes, func(a, b cluster.Node) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Pods, func(a, b cluster.Pod) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Owner.Kind, b.Owner.Kind),
			strings.Compare(a.Name, b.Name), cmp.Compare(a.Replica, b.Replica))
	})
	slices.SortFunc(s.NetworkPolicies, func(a, b cluster.NetworkPolicy) int {
		return cmp.Or(strings.Compare(a.Object.Namespace, b.Object.Namespace), strings.Compare(a.Object.Name, b.Object.Name))
	})
	slices.SortFunc(s.ClusterPolicies, func(a, b cluster.ClusterPolicy) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Object.Name, b.Object.Name))
	})
	slices.SortFunc(s.ForeignPolicies, func(a, b cluster.ForeignPolicy) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name))
	})
	slices.SortFunc(s.Identities, func(a, b cluster.WorkloadIdentity) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	slices.SortFunc(s.AccessPolicies, func(a, b cluster.AccessPolicy) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	slices.SortFunc(s.External, func(a, b cluster.ExternalService) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	sortAzure(s)
	slices.SortFunc(s.Unreadable, func(a, b cluster.Unreadable) int { return strings.Compare(a.Why, b.Why) })
}

// networkPolicy fills in policyTypes (S1).
func networkPolicy(p NetworkPolicy) cluster.NetworkPolicy {
	o := &p.Object
	if len(o.Spec.PolicyTypes) == 0 {
		o.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(o.Spec.Egress) > 0 {
			o.Spec.PolicyTypes = append(o.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
	np := cluster.NetworkPolicy{Object: o}
	if p.FromServer {
		np.NotUnderstood = []string{"drawn with a part that is not understood"}
	}
	return np
}

// namespaces lists those of the input and those that others name (S4).
func (w World) namespaces(s *cluster.Snapshot) []cluster.Namespace {
	var out []cluster.Namespace
	for _, n := range w.Namespaces {
		labels := map[string]string{cluster.MetadataNameLabel: n.Name}
		for k, v := range n.Labels {
			labels[k] = v
		}
		out = append(out, cluster.Namespace{Name: n.Name, Labels: labels})
	}
	assume := func(name string) {
		if !slices.ContainsFunc(out, func(n cluster.Namespace) bool { return n.Name == name }) {
			labels := map[string]string{cluster.MetadataNameLabel: name}
			out = append(out, cluster.Namespace{Name: name, Labels: labels, Assumed: true})
		}
	}
	for _, p := range s.Pods {
		assume(p.Namespace)
	}
	for _, p := range s.NetworkPolicies {
		assume(p.Object.Namespace)
	}
	for _, p := range s.ForeignPolicies {
		if p.Namespace != "" {
			assume(p.Namespace)
		}
	}
	return out
}

// nodes lists those of the input and those that pods name; hostNetwork pods add addresses.
func (w World) nodes(s *cluster.Snapshot) []cluster.Node {
	var out []cluster.Node
	for _, n := range w.Nodes {
		node := cluster.Node{Name: n.Name, Labels: n.Labels}
		for _, a := range n.Status.Addresses {
			node.Addrs = append(node.Addrs, netip.MustParseAddr(a.Address))
		}
		for _, c := range n.Spec.PodCIDRs {
			node.PodCIDRs = append(node.PodCIDRs, netip.MustParsePrefix(c))
		}
		out = append(out, node)
	}
	for _, p := range s.Pods {
		if p.NodeName == "" {
			continue
		}
		i := slices.IndexFunc(out, func(n cluster.Node) bool { return n.Name == p.NodeName })
		if i < 0 {
			i = len(out)
			out = append(out, cluster.Node{Name: p.NodeName, Assumed: true})
		}
		for _, a := range p.Addrs {
			if p.HostNetwork && !slices.Contains(out[i].Addrs, a) {
				out[i].Addrs = append(out[i].Addrs, a)
			}
		}
	}
	for i := range out {
		slices.SortFunc(out[i].Addrs, netip.Addr.Compare)
	}
	return out
}

// realPod gives a pod of a file, or one that a server has sent (L13).
func realPod(p *corev1.Pod, sent bool) cluster.Pod {
	out := podOf(p.Namespace, p.Name, p.Labels, &p.Spec)
	out.EntraToken = hasToken(p.Labels, &p.Spec, sent)
	out.Owner = cluster.Workload{Namespace: p.Namespace, Kind: "pod", Name: p.Name}
	for _, ip := range p.Status.PodIPs {
		out.Addrs = append(out.Addrs, netip.MustParseAddr(ip.IP))
	}
	out.Pending = p.Status.Phase == corev1.PodPending
	out.Terminating = p.DeletionTimestamp != nil
	return out
}

// replicas gives the endpoints of a template: two if it may run more than one replica (S3).
func replicas(d *appsv1.Deployment) []cluster.Pod {
	p := podOf(d.Namespace, d.Name, d.Spec.Template.Labels, &d.Spec.Template.Spec)
	p.Owner = cluster.Workload{Namespace: d.Namespace, Kind: "deployment", Name: d.Name}
	p.Template = true
	p.EntraToken = hasToken(p.Labels, &d.Spec.Template.Spec, false)
	if d.Spec.Replicas == nil || *d.Spec.Replicas < 2 {
		return []cluster.Pod{p}
	}
	second := p
	second.Replica = 1
	return []cluster.Pod{p, second}
}

func podOf(namespace, name string, labels map[string]string, spec *corev1.PodSpec) cluster.Pod {
	p := cluster.Pod{Namespace: namespace, Name: name, Labels: labels, HostNetwork: spec.HostNetwork,
		NodeName: spec.NodeName, Account: cmp.Or(spec.ServiceAccountName, "default")}
	for _, c := range spec.Containers {
		for _, port := range c.Ports {
			proto, err := netset.ParseProto(string(port.Protocol))
			if err != nil {
				panic(err) // the vocabulary has no other
			}
			p.Ports = append(p.Ports, cluster.ContainerPort{Name: port.Name, Proto: proto, Port: uint16(port.ContainerPort)})
		}
	}
	return p
}

// clone copies the world, so that neither copy sees changes of the other.
func (w World) clone() World {
	out := World{PodCIDRs: slices.Clone(w.PodCIDRs), ForeignPolicies: slices.Clone(w.ForeignPolicies), Unreadable: slices.Clone(w.Unreadable)}
	for _, o := range w.Namespaces {
		out.Namespaces = append(out.Namespaces, *o.DeepCopy())
	}
	for _, o := range w.Nodes {
		out.Nodes = append(out.Nodes, *o.DeepCopy())
	}
	for _, o := range w.Pods {
		out.Pods = append(out.Pods, *o.DeepCopy())
	}
	for _, o := range w.Deployments {
		out.Deployments = append(out.Deployments, *o.DeepCopy())
	}
	for _, p := range w.NetworkPolicies {
		p.Object = *p.Object.DeepCopy()
		out.NetworkPolicies = append(out.NetworkPolicies, p)
	}
	for _, p := range w.ClusterPolicies {
		p.Object = *p.Object.DeepCopy()
		out.ClusterPolicies = append(out.ClusterPolicies, p)
	}
	w.cloneLayers(&out)
	out.Azure = w.Azure.clone()
	return out
}
