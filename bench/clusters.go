// Package bench generates the two fixed clusters that budgets are measured on: spread and uniform.
//
// It is for benchmarks only: the product must never import it.
package bench

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/netset"
)

const (
	namespaces = 50
	blocks     = 20
	labelSets  = 100 // of the uniform cluster
)

var tiers = []string{"web", "api", "worker", "db", "cache"}

// Spread is a cluster in which every workload has labels and a policy of its own; peers are by tier
// and namespace label, and 20 distinct blocks are in use. pods is rounded down to whole workloads.
func Spread(workloads, pods, policies int) *cluster.Snapshot {
	return generate(workloads, pods, policies, func(i int) int { return i })
}

// Uniform is a cluster of the same size in which all workloads share 100 label sets.
func Uniform(workloads, pods, policies int) *cluster.Snapshot {
	return generate(workloads, pods, policies, func(i int) int { return i % labelSets })
}

// generate makes a cluster in which set numbers the labels of a workload.
func generate(workloads, pods, policies int, set func(int) int) *cluster.Snapshot {
	s := &cluster.Snapshot{}
	for i := range namespaces {
		s.Namespaces = append(s.Namespaces, cluster.Namespace{Name: namespace(i), Labels: map[string]string{
			cluster.MetadataNameLabel: namespace(i), "team": fmt.Sprintf("team-%d", i%10)}})
	}
	next := netip.MustParseAddr("10.0.0.1")
	for i := range workloads {
		for r := range pods / workloads {
			s.Pods = append(s.Pods, workloadPod(i, r, set(i), next))
			next = next.Next()
		}
	}
	for i := range policies {
		s.NetworkPolicies = append(s.NetworkPolicies, cluster.NetworkPolicy{Object: workloadPolicy(i, i%workloads, set(i%workloads))})
	}
	slices.SortFunc(s.Namespaces, func(a, b cluster.Namespace) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(s.NetworkPolicies, func(a, b cluster.NetworkPolicy) int {
		return cmp.Or(cmp.Compare(a.Object.Namespace, b.Object.Namespace), cmp.Compare(a.Object.Name, b.Object.Name))
	})
	return s
}

func namespace(i int) string { return fmt.Sprintf("ns-%d", i%namespaces) }

// tier changes from one workload of a namespace to the next, so that each namespace has all of them.
func tier(i int) string { return tiers[i/namespaces%len(tiers)] }

func app(set int) string { return fmt.Sprintf("app-%d", set) }

func workloadPod(i, replica, set int, addr netip.Addr) cluster.Pod {
	name := fmt.Sprintf("w-%d", i)
	return cluster.Pod{
		Namespace: namespace(i), Name: fmt.Sprintf("%s-%d", name, replica),
		Owner:  cluster.Workload{Namespace: namespace(i), Kind: "deployment", Name: name},
		Labels: map[string]string{"app": app(set), "tier": tier(set)}, Addrs: []netip.Addr{addr},
		Ports: []cluster.ContainerPort{{Name: "http", Proto: netset.TCP, Port: 8080}},
	}
}

func workloadPolicy(i, workload, set int) *networkingv1.NetworkPolicy {
	tcp := corev1.ProtocolTCP
	number, name := intstr.FromInt32(5432), intstr.FromString("http")
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace(workload), Name: fmt.Sprintf("p-%d", i)},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": app(set), "tier": tier(set)}},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
			Ingress: []networkingv1.NetworkPolicyIngressRule{
				{From: []networkingv1.NetworkPolicyPeer{{
					NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": fmt.Sprintf("team-%d", i%10)}},
					PodSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{"tier": tier(set + namespaces)}},
				}}, Ports: []networkingv1.NetworkPolicyPort{{Protocol: &tcp, Port: &name}}},
				{From: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: fmt.Sprintf("172.16.%d.0/24", i%blocks)}}},
					Ports: []networkingv1.NetworkPolicyPort{{Protocol: &tcp, Port: &number}}},
			},
			Egress: []networkingv1.NetworkPolicyEgressRule{
				{To: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": tier(set + 2*namespaces)}}}}},
				{To: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{}}}, Ports: []networkingv1.NetworkPolicyPort{{Protocol: &tcp, Port: &name}}},
			},
		},
	}
}
