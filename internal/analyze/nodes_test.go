package analyze_test

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// TestNodesOfOneWorkload: of a workload's pods one is surely not on the host's node and of another it is not
// known, so that the host may reach some of them (S22).
func TestNodesOfOneWorkload(t *testing.T) {
	web := cluster.Workload{Namespace: "a", Kind: "deployment", Name: "web"}
	pod := func(name, node string, o cluster.Workload, host bool) cluster.Pod {
		return cluster.Pod{Namespace: "a", Name: name, Owner: o, NodeName: node, HostNetwork: host}
	}
	s := &cluster.Snapshot{
		Namespaces: []cluster.Namespace{{Name: "a", Labels: map[string]string{cluster.MetadataNameLabel: "a"}}},
		Nodes:      []cluster.Node{{Name: "n1"}, {Name: "n2"}},
		Pods: []cluster.Pod{
			pod("web-1", "n2", web, false), pod("web-2", "", web, false),
			pod("agent", "n1", cluster.Workload{Namespace: "a", Kind: "pod", Name: "agent"}, true),
		},
		NetworkPolicies: []cluster.NetworkPolicy{{Object: &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "deny"},
			Spec: networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}}}}},
	}
	m := policy.Compile(s, policy.Options{})
	r := analyze.New(m, m.Space(), analyze.Options{})
	row, ok := r.Between(r.PartyOf(2), r.PartyOf(0))
	if !ok || !row.Partial.Equal(netset.EveryPort()) {
		t.Errorf("partial %v, unknown %v", row.Partial, row.Unknown)
	}
}
