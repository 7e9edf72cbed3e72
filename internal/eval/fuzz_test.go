package eval_test

import (
	"encoding/json"
	"net/netip"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/oracle"
	"sallyport.dev/sallyport/internal/policy"
)

// FuzzCompile gives Compile policies that no reader has looked at: whatever a server or a bug might
// let through must neither panic nor make evaluator and oracle disagree.
func FuzzCompile(f *testing.F) {
	f.Add([]byte(`{"podSelector":{},"policyTypes":["Ingress"],"ingress":[{"from":[{"ipBlock":{"cidr":"010.0.0.0/8","except":["10.1.0.0/16"]}},{}],"ports":[{"port":"http"},{"port":80,"endPort":70}]}]}`),
		[]byte(`{"tier":"Admin","priority":5,"subject":{"namespaces":{}},"egress":[{"action":"Deny","to":[{"networks":["::/0","x"]},{}]},{"action":"Pass","to":[{"domainNames":["a.b."]}]}],"ingress":[{"action":"Accept","from":[{"pods":{"podSelector":{}}}],"protocols":[{"tcp":{}},{"destinationNamedPort":"http"}]}]}`), uint16(80))
	f.Add([]byte(`{"podSelector":{"matchExpressions":[{"key":"a","operator":"Nope"},{"key":"","operator":"NotIn","values":["",""]}]},"policyTypes":["Egress","Egress","x"],"egress":[{"to":[{"podSelector":{},"ipBlock":{"cidr":"0.0.0.0/0"}}]},{}]}`),
		[]byte(`{"tier":"?","priority":-7,"subject":{},"ingress":[{"action":"x","from":null}]}`), uint16(65535))
	f.Fuzz(func(t *testing.T, np, cnp []byte, port uint16) {
		s := fuzzed(np, cnp)
		if s == nil {
			return
		}
		m := policy.Compile(s, policy.Options{})
		for _, fl := range fuzzFlows(port) {
			d := eval.Decide(m, &fl)
			if v := eval.Verdict(m, &fl); v != d.Verdict {
				t.Fatalf("Verdict %v, Decide %v", v, d.Verdict)
			}
			if want := oracle.Ask(s, oracle.Options{}, fl); !want.Skipped && want.Verdict != d.Verdict {
				t.Fatalf("%+v\nevaluator %v, oracle %v", fl, d.Verdict, want.Verdict)
			}
		}
	})
}

// fuzzed builds a small cluster around two policies, or nil if the JSON does not decode.
func fuzzed(np, cnp []byte) *cluster.Snapshot {
	const limit = 1 << 12
	var spec networkingv1.NetworkPolicySpec
	var cspec policyv1alpha2.ClusterNetworkPolicySpec
	if len(np) > limit || len(cnp) > limit || json.Unmarshal(np, &spec) != nil || json.Unmarshal(cnp, &cspec) != nil {
		return nil
	}
	policyObject := &networkingv1.NetworkPolicy{Spec: spec}
	policyObject.Namespace, policyObject.Name = "a", "np"
	clusterObject := &policyv1alpha2.ClusterNetworkPolicy{Spec: cspec}
	clusterObject.Name = "cnp"
	return &cluster.Snapshot{
		Namespaces: []cluster.Namespace{{Name: "a", Labels: map[string]string{cluster.MetadataNameLabel: "a", "a": "x"}}, {Name: "b", Labels: map[string]string{cluster.MetadataNameLabel: "b"}, Assumed: true}},
		Pods: []cluster.Pod{
			{Namespace: "a", Name: "p", Labels: map[string]string{"a": "x"}, Addrs: []netip.Addr{netip.MustParseAddr("10.1.0.1")}, Ports: []cluster.ContainerPort{{Name: "http", Proto: netset.TCP, Port: 80}}},
			{Namespace: "b", Name: "q", Labels: map[string]string{"": "", "b": "y"}},
		},
		NetworkPolicies: []cluster.NetworkPolicy{{Object: policyObject}},
		ClusterPolicies: []cluster.ClusterPolicy{{Kind: "ClusterNetworkPolicy", Object: clusterObject}},
	}
}

func fuzzFlows(port uint16) []flow.Flow {
	port = max(port, 1)
	p := flow.End{Kind: flow.Pod, Index: 0, Addr: netip.MustParseAddr("10.1.0.1")}
	q := flow.End{Kind: flow.Pod, Index: 1}
	out := flow.End{Kind: flow.Address, Addr: netip.MustParseAddr("192.0.2.1")}
	return []flow.Flow{
		{From: p, To: q, Family: flow.IPv4, Proto: netset.TCP, Port: port},
		{From: q, To: p, Family: flow.IPv4, Proto: netset.TCP, Port: port},
		{From: out, To: p, Family: flow.IPv4, Proto: netset.UDP, Port: port},
		{From: p, To: out, Family: flow.IPv4, Proto: netset.Other},
	}
}
