package lint

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/oracle"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
)

// eachLayeredWorld draws worlds with layers for a while and gives a run over each, the options under which the oracle
// answers what surely holds, and the world as text.
func eachLayeredWorld(t *testing.T, rule *Rule, check func(rt *rapid.T, r *run, strict oracle.Options, text string)) {
	t.Helper()
	for end, n := time.Now().Add(world.Soak(t, 3*time.Second, 8)), 0; (n < 4 || time.Now().Before(end)) && !t.Failed(); n++ {
		rapid.Check(t, func(rt *rapid.T) {
			c := world.LayeredCases(1).Draw(rt, "case")
			c.Options.NotEnforced = false
			snap := c.World.Snapshot()
			snap.Facts.TrustDomain = c.Options.TrustDomain
			snap.Unreadable = slices.DeleteFunc(snap.Unreadable, func(u cluster.Unreadable) bool { return u.Missing == cluster.MissingForeign }) // lint says that they are unread, and goes on
			strict := c.Options
			strict.Strict = true
			r := &run{Input: &Input{Written: snap, Model: policy.Compile(snap, optionsOf(&world.Case{Options: c.Options}))}, rule: rule}
			check(rt, r, strict, c.World.YAML())
		})
	}
}

// TestUnenforcedLaw: where nobody is said to enforce a policy, the oracle never says that identity keeps somebody out.
func TestUnenforcedLaw(t *testing.T) {
	count := map[string]int{}
	eachLayeredWorld(t, accessRules[0], func(rt *rapid.T, r *run, strict oracle.Options, text string) {
		targets, enforced := r.accessTargets(), map[int]enforcement{}
		r.eachAccess(func(i int, p *cluster.AccessPolicy) {
			if p.Spec.Mode == v1alpha1.ModeAudit || !r.layers().OfPods(i) {
				return
			}
			at, ports := r.unenforcedTargets(i, targets[i], enforced)
			for k, pod := range at {
				for _, e := range ports[k].Entries() {
					for _, from := range r.crowds() {
						f, ok := flowBetween(r.endsOf(from.pods[0])[0], r.endsOf(pod)[0])
						if f.Proto, f.Port = e.Proto, e.Range.First; !ok {
							continue
						}
						want := oracle.AskLayers(r.Written, strict, f, -1)
						if count["claimed"]++; !want.Skipped && slices.Contains(want.Answers[oracle.IdentityIssued:], oracle.Deny) {
							rt.Fatalf("%s is said not to be enforced, and the oracle says %v to %v\n%s", p, want.Answers, f, text)
						}
					}
				}
			}
			if len(targets[i]) > len(at) {
				count["held"]++
			}
		})
	})
	if count["claimed"] == 0 || count["held"] == 0 {
		t.Errorf("too little was claimed: %v", count)
	}
}

// plantCoupling adds what couples the network and identity by a label of a pod: an identity for the pods of its account with
// that label, a policy that lets those in, and one that asks them for their identity. What was drawn may break it.
func plantCoupling(s *cluster.Snapshot) *cluster.Snapshot {
	from := slices.IndexFunc(s.Pods, func(p cluster.Pod) bool { return !p.HostNetwork && len(p.Labels) > 0 })
	to := slices.IndexFunc(s.Pods, func(p cluster.Pod) bool { return !p.HostNetwork && len(p.Ports) > 0 })
	if from < 0 || to < 0 {
		return s
	}
	a, b, out := &s.Pods[from], &s.Pods[to], *s
	key := slices.Min(slices.Collect(maps.Keys(a.Labels)))
	label := metav1.LabelSelector{MatchLabels: map[string]string{key: a.Labels[key]}}
	yes := true
	out.Identities = append(slices.Clone(s.Identities), cluster.WorkloadIdentity{Namespace: a.Namespace, Name: "planted",
		Spec: &v1alpha1.WorkloadIdentitySpec{ServiceAccountName: a.Account, PodSelector: &label, Require: v1alpha1.Requirements{NetworkEnforced: &yes}}})
	out.AccessPolicies = append(slices.Clone(s.AccessPolicies), cluster.AccessPolicy{Namespace: b.Namespace, Name: "planted", Spec: &v1alpha1.AccessPolicySpec{
		Target: v1alpha1.AccessTarget{Pods: &v1alpha1.PodTarget{}}, Mode: v1alpha1.ModeEnforce, EnforcedBy: v1alpha1.EnforcerGate,
		Rules: []v1alpha1.AccessRule{{Action: v1alpha1.ActionAllow, From: []v1alpha1.AccessPeer{{ServiceAccount: &v1alpha1.ServiceAccountPeer{Namespace: a.Namespace, Name: a.Account}}}}}}})
	np := &networkingv1.NetworkPolicy{Spec: networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
		Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{}, PodSelector: &label}}}}}}
	np.Namespace, np.Name = b.Namespace, "planted"
	out.NetworkPolicies = append(slices.Clone(s.NetworkPolicies), cluster.NetworkPolicy{Object: np})
	return &out
}

// TestCouplingLaw asks the oracle about carriers and their twins without the label.
func TestCouplingLaw(t *testing.T) {
	count := map[string]int{}
	eachLayeredWorld(t, podIdentityRules[1], func(rt *rapid.T, r *run, strict oracle.Options, text string) {
		if r.layers().Unread() {
			return
		}
		snap := plantCoupling(r.Written)
		r = &run{Input: &Input{Written: snap, Model: policy.Compile(snap, r.Model.Options())}, rule: r.rule}
		carriers := r.carriers()
		if few := r.affordable(carriers, 3); len(carriers) > 3 && (len(few) > 3 || len(r.findings) != 1 || r.findings[0].Severity != Note) {
			rt.Fatalf("%d of %d carriers are kept, and it says %v", len(few), len(carriers), r.findings)
		}
		without := r.without(carriers)
		for i := range carriers {
			found := map[coupling]*coupled{}
			for _, g := range r.askingGoals() {
				before := len(found)
				if r.couple(carriers[i:i+1], without, []goal{g}, true, found); len(found) == before {
					continue
				}
				count[fmt.Sprintf("bound %v", carriers[i].bound)]++
				if !coupledFor(r, &carriers[i], without, g, strict) {
					rt.Fatalf("the oracle does not say that label %s of pod %d makes the difference at %v\n%s", carriers[i].label, carriers[i].pods[0], g, text)
				}
			}
		}
	})
	t.Logf("couplings: %v", count)
	if count["bound false"] == 0 {
		t.Error("nothing was claimed")
	}
}

// coupledFor tells whether by the oracle one flow is let through with an identity, and without the label is not.
func coupledFor(r *run, c *carrier, without *run, g goal, strict oracle.Options) bool {
	for f := range r.passages(c.pods[0], []goal{g}) {
		with := oracle.AskLayers(r.Written, strict, *f, g.service)
		other := *f
		other.From.Index = c.twin
		lacks := oracle.AskLayers(without.Model.Snapshot(), strict, other, g.service)
		if with.Skipped || lacks.Skipped {
			return true
		}
		network := lacks.Answers[oracle.NetworkEgress] == oracle.Deny || lacks.Answers[oracle.NetworkIngress] == oracle.Deny
		if with.Answers[oracle.IdentityIssued] == oracle.Allow && with.Verdict != flow.Denied && network && lacks.Answers[oracle.IdentityIssued] == oracle.Deny {
			return true
		}
	}
	return false
}
