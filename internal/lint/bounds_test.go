package lint

import (
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"sallyport.dev/sallyport/bench"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// TestBoundsAreSaid: where a rule stops looking, what was not looked at counts as fine, and it says so once.
func TestBoundsAreSaid(t *testing.T) {
	s := bench.Spread(200, 400, 400)
	in := &Input{Written: s, Model: policy.Compile(s, policy.Options{})}

	whole := &run{Input: in, rule: spareRules[1]}
	if x := whole.spare(); x.unsettled > 0 || len(x.policies) == 0 {
		t.Fatalf("without a bound: %d unsettled, %d policies", x.unsettled, len(x.policies))
	}
	bounded := &run{Input: in, rule: spareRules[1]}
	bounded.facts.spare = bounded.spareWithin(0)
	redundantRule(bounded)
	if len(bounded.findings) != 1 || !strings.Contains(bounded.findings[0].Message, "rules were not compared") {
		t.Errorf("with a bound: %+v", bounded.findings)
	}

	for policies, rule := range map[int]*Rule{400: pairRules[0], 100: metadataRules[1]} { // of 200 workloads
		s := bench.Spread(200, 400, policies)
		in := &Input{Written: s, Model: policy.Compile(s, policy.Options{})}
		whole := &run{Input: in, rule: rule}
		rule.check(whole)
		bounded := &run{Input: in, rule: rule}
		bounded.facts.asked = map[*Rule]int{rule: maxAsked}
		rule.check(bounded)
		if len(whole.findings) == 0 || len(bounded.findings) != 1 || bounded.findings[0].Message != "not everything was looked at" {
			t.Errorf("%s finds %d without a bound, and with one %+v", rule.ID, len(whole.findings), bounded.findings)
		}
	}
}

// TestBoundOfPassages: once no more may be asked, nobody is said to be stopped, or to get through, for want of an answer; and
// the layers are not asked either.
func TestBoundOfPassages(t *testing.T) {
	s := bench.WithLayers(bench.Spread(100, 200, 100))
	in := &Input{Written: s, Model: policy.Compile(s, policy.Options{})}
	rule := identityRules[2]
	whole, bounded := &run{Input: in, rule: rule}, &run{Input: in, rule: rule}
	rule.check(whole)
	bounded.facts.asked = map[*Rule]int{rule: maxAsked}
	rule.check(bounded)
	if len(whole.findings) == 0 || len(bounded.findings) != 1 || bounded.findings[0].Message != "not everything was looked at" {
		t.Errorf("%d without a bound, and with one %+v", len(whole.findings), bounded.findings)
	}
	if asked := bounded.facts.asked[rule]; asked > maxAsked+2 {
		t.Errorf("it goes on asking: %d times", asked-maxAsked)
	}
	bounded.passages(0, bounded.serviceGoals(0))(func(f *flow.Flow, p *passage) bool {
		if p.stops() || p.arrives() || p.needsIdentity() {
			t.Errorf("%v: %+v", f, p)
		}
		return true
	})
}

// TestOtherBounds has the bounds that need an input of their own.
func TestOtherBounds(t *testing.T) {
	all := metav1.LabelSelector{}
	port := intstr.FromInt32(80)
	np := &networkingv1.NetworkPolicy{Spec: networkingv1.NetworkPolicySpec{
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
		Ingress:     []networkingv1.NetworkPolicyIngressRule{{Ports: []networkingv1.NetworkPolicyPort{{Port: &port}}}}}}
	np.Namespace, np.Name = "shop", "p"
	s := &cluster.Snapshot{
		Namespaces:      []cluster.Namespace{{Name: "shop", Labels: map[string]string{}}},
		Pods:            []cluster.Pod{{Namespace: "shop", Name: "web", Labels: map[string]string{"app": "web"}, Owner: cluster.Workload{Namespace: "shop", Kind: "pod", Name: "web"}}},
		Services:        []cluster.Service{{Namespace: "shop", Name: "web", Selector: map[string]string{"app": "web"}, Ports: []cluster.ServicePort{{Proto: netset.TCP, Port: 80, Target: 8080}}}},
		NetworkPolicies: []cluster.NetworkPolicy{{Object: np}},
	}
	for _, action := range []policyv1alpha2.ClusterNetworkPolicyRuleAction{policyv1alpha2.ClusterNetworkPolicyRuleActionAccept, policyv1alpha2.ClusterNetworkPolicyRuleActionDeny} {
		cp := &policyv1alpha2.ClusterNetworkPolicy{Spec: policyv1alpha2.ClusterNetworkPolicySpec{Tier: policyv1alpha2.AdminTier,
			Subject: policyv1alpha2.ClusterNetworkPolicySubject{Namespaces: &all},
			Egress:  []policyv1alpha2.ClusterNetworkPolicyEgressRule{{Action: action, To: []policyv1alpha2.ClusterNetworkPolicyEgressPeer{{Networks: []policyv1alpha2.CIDR{"0.0.0.0/0"}}}}}}}
		cp.Name = string(action)
		s.ClusterPolicies = append(s.ClusterPolicies, cluster.ClusterPolicy{Kind: "ClusterNetworkPolicy", Object: cp})
	}
	in := &Input{Written: s, Model: policy.Compile(s, policy.Options{})}
	for rule, bound := range map[*Rule]func(*run){
		portRules[0]: func(r *run) { r.population().services.work = maxServiceWork },
		tieRules[0]:  func(r *run) { r.facts.asked = map[*Rule]int{r.rule: maxAsked} },
	} {
		whole, bounded := &run{Input: in, rule: rule}, &run{Input: in, rule: rule}
		bound(bounded)
		rule.check(whole)
		rule.check(bounded)
		if len(whole.findings) != 1 || whole.findings[0].Severity != rule.Severity {
			t.Errorf("%s without a bound: %+v", rule.ID, whole.findings)
		}
		if len(bounded.findings) != 1 || bounded.findings[0].Severity != Note || !strings.HasPrefix(bounded.findings[0].Message, "not ") {
			t.Errorf("%s with a bound: %+v", rule.ID, bounded.findings)
		}
	}
}
