package question

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/policy"
)

// TestHostileSizesStayQuick asks about inputs that are large in one dimension each. The bounds are
// some twenty times what the answers take, so that only growth of another order breaks them.
func TestHostileSizesStayQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("builds large inputs")
	}
	const many = 3_000
	blocks := func(i int) networkingv1.NetworkPolicyPeer {
		return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: fmt.Sprintf("20.%d.%d.0/24", i/256, i%256)}}
	}
	var oneRule, manyRules, manyPorts, holes networkingv1.NetworkPolicySpec
	oneRule.Ingress = make([]networkingv1.NetworkPolicyIngressRule, 1)
	manyPorts.Ingress = make([]networkingv1.NetworkPolicyIngressRule, 1)
	except := networkingv1.IPBlock{CIDR: "20.0.0.0/8"}
	for i := range many {
		oneRule.Ingress[0].From = append(oneRule.Ingress[0].From, blocks(i))
		except.Except = append(except.Except, blocks(i).IPBlock.CIDR)
		port := intstr.FromInt32(int32(1 + 2*i))
		manyPorts.Ingress[0].Ports = append(manyPorts.Ingress[0].Ports, networkingv1.NetworkPolicyPort{Port: &port})
	}
	for i := range many / 10 {
		port := intstr.FromInt32(int32(1 + 2*i))
		manyRules.Ingress = append(manyRules.Ingress, networkingv1.NetworkPolicyIngressRule{
			From: []networkingv1.NetworkPolicyPeer{blocks(i)}, Ports: []networkingv1.NetworkPolicyPort{{Port: &port}}})
	}
	holes.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{IPBlock: &except}}}}
	for _, c := range []struct {
		name, from, to string
		spec           networkingv1.NetworkPolicySpec
		most           time.Duration
	}{
		{"three thousand blocks", "external", "shop/db:80", oneRule, 10 * time.Second},
		{"three thousand blocks, any port", "external", "shop/db", oneRule, 10 * time.Second},
		{"three thousand ports", "external", "shop/db", manyPorts, 10 * time.Second},
		{"three hundred rules of their own block and port", "external", "shop/db:80", manyRules, 10 * time.Second},
		{"three thousand holes", "external", "shop/db", holes, 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
			np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "np"}, Spec: c.spec}
			snap := &cluster.Snapshot{
				Namespaces:      []cluster.Namespace{{Name: "shop"}},
				Pods:            []cluster.Pod{{Namespace: "shop", Name: "db", Owner: cluster.Workload{Namespace: "shop", Kind: "pod", Name: "db"}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}},
				NetworkPolicies: []cluster.NetworkPolicy{{Object: np}},
			}
			start := time.Now()
			r := NewResolver(policy.Compile(snap, policy.Options{}), "default")
			from, err := ParseTerm(c.from, false)
			if err != nil {
				t.Fatal(err)
			}
			to, err := ParseTerm(c.to, true)
			if err != nil {
				t.Fatal(err)
			}
			a, err := r.Ask(from, to)
			if err != nil {
				t.Fatal(err)
			}
			asked := time.Since(start)
			if _, err := r.Suggest(a); err != nil {
				t.Fatal(err)
			}
			took := time.Since(start)
			t.Logf("%d parts, asked in %v, with suggestion %v", len(a.Parts), asked, took)
			if took > c.most {
				t.Errorf("took %v, more than %v", took, c.most)
			}
		})
	}
}
