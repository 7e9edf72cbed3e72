package layers_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
)

// decisions answers every question of a case over a changed Snapshot.
func decisions(c *world.LayeredCase, s *cluster.Snapshot) []layers.Decision {
	m := policy.Compile(s, policy.Options{Strict: c.Options.Strict, PodCIDRs: c.Options.PodCIDRs, BlockMetadata: c.Options.BlockMetadata,
		Azure: c.Options.Azure, Behaviour: policy.Behaviour{NotEnforced: c.Options.NotEnforced}})
	l := layers.Compile(m)
	var out []layers.Decision
	for _, q := range c.Questions {
		d := eval.Decide(m, &q.Flow)
		out = append(out, l.Decide(&d, q.Service))
	}
	return out
}

// law draws cases in which layers speak until time is up.
func law(t *testing.T, f func(rt *rapid.T, c *world.LayeredCase, s *cluster.Snapshot) (changed bool)) {
	t.Helper()
	changes := 0
	for end := time.Now().Add(world.Soak(t, 1500*time.Millisecond, 8)); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(rt *rapid.T) {
			c := world.LayeredCases(16).Draw(rt, "case")
			s := c.World.Snapshot()
			s.Facts.TrustDomain = c.Options.TrustDomain
			if layers.Speaks(s) && f(rt, &c, s) {
				changes++
			}
		})
	}
	if t.Logf("%d worlds with a change that counts", changes); changes == 0 && !t.Failed() {
		t.Error("no change changed anything, so nothing was shown")
	}
}

// withRule adds a rule to one of the access policies.
func withRule(rt *rapid.T, s *cluster.Snapshot, action v1alpha1.Action) (*cluster.Snapshot, bool) {
	if len(s.AccessPolicies) == 0 {
		return nil, false
	}
	out := *s
	out.AccessPolicies = slices.Clone(s.AccessPolicies)
	p := &out.AccessPolicies[rapid.IntRange(0, len(out.AccessPolicies)-1).Draw(rt, "policy")]
	spec := p.Spec.DeepCopy()
	namespace := rapid.SampledFrom(s.Namespaces).Draw(rt, "namespace").Name
	spec.Rules = append(spec.Rules, v1alpha1.AccessRule{Action: action, From: []v1alpha1.AccessPeer{
		rapid.SampledFrom([]v1alpha1.AccessPeer{
			{SPIFFEIDPrefix: "spiffe://cluster.local/ns/" + namespace},
			{SPIFFEIDPrefix: "spiffe://cluster.local"},
			{ServiceAccount: &v1alpha1.ServiceAccountPeer{Namespace: namespace, Name: "web"}},
		}).Draw(rt, "peer")}})
	p.Spec = spec
	return &out, true
}

// compareVerdicts checks that no verdict became worse (sign 1) or better (sign -1), on the scale denied, unknown or
// ambiguous, allowed.
func compareVerdicts(rt *rapid.T, was, is []layers.Decision, sign int) (changed bool) {
	scale := map[flow.Verdict]int{flow.Denied: 0, flow.Unknown: 1, flow.Ambiguous: 1, flow.Allowed: 2}
	for i := range was {
		a, b := scale[was[i].Verdict], scale[is[i].Verdict]
		if (b-a)*sign < 0 {
			rt.Fatalf("question %d: was %v, is %v", i, was[i].Verdict, is[i].Verdict)
		}
		changed = changed || a != b
	}
	return changed
}

// TestAllowWidens: one more Allow rule opens, and never closes.
func TestAllowWidens(t *testing.T) {
	law(t, func(rt *rapid.T, c *world.LayeredCase, s *cluster.Snapshot) bool {
		more, ok := withRule(rt, s, v1alpha1.ActionAllow)
		return ok && compareVerdicts(rt, decisions(c, s), decisions(c, more), 1)
	})
}

// TestDenyNarrows: one more Deny rule closes, and never opens.
func TestDenyNarrows(t *testing.T) {
	law(t, func(rt *rapid.T, c *world.LayeredCase, s *cluster.Snapshot) bool {
		more, ok := withRule(rt, s, v1alpha1.ActionDeny)
		return ok && compareVerdicts(rt, decisions(c, s), decisions(c, more), -1)
	})
}

// TestUnauthenticatedNeverMatches: where nothing is issued to anybody, no access policy at pods that somebody enforces
// lets anything through.
func TestUnauthenticatedNeverMatches(t *testing.T) {
	law(t, func(rt *rapid.T, c *world.LayeredCase, s *cluster.Snapshot) bool {
		none := *s
		none.Identities = nil
		for i := range s.Unreadable {
			if s.Unreadable[i].Missing == cluster.MissingPolicies || s.Unreadable[i].Missing == cluster.MissingLayers {
				return false
			}
		}
		if !layers.Speaks(&none) {
			return false
		}
		denied := false
		for i, d := range decisions(c, &none) {
			issued, access := d.Steps[layers.IdentityIssued], d.Steps[layers.AccessPolicy]
			if c.Questions[i].Flow.To.Kind != flow.Pod || access.Reason == layers.NoAccessPolicy || issued.Reason == layers.ForeignIdentity {
				continue
			}
			if issued.Answer != layers.Deny && !issued.Unenforced {
				rt.Fatalf("question %d: identity issued is %v (%v) although nothing is issued", i, issued.Answer, issued.Reason)
			}
			denied = denied || d.Verdict == flow.Denied
		}
		return denied
	})
}

// TestIdentityWidens: one more WorkloadIdentity opens, and never closes.
func TestIdentityWidens(t *testing.T) {
	law(t, func(rt *rapid.T, c *world.LayeredCase, s *cluster.Snapshot) bool {
		if len(s.Identities) == 0 {
			return false
		}
		fewer := *s
		i := rapid.IntRange(0, len(s.Identities)-1).Draw(rt, "which")
		fewer.Identities = slices.Delete(slices.Clone(s.Identities), i, i+1)
		return layers.Speaks(&fewer) && compareVerdicts(rt, decisions(c, &fewer), decisions(c, s), 1)
	})
}

// TestFirewallRulesOnlyAllow: one rule less at a firewall never opens.
func TestFirewallRulesOnlyAllow(t *testing.T) {
	law(t, func(rt *rapid.T, c *world.LayeredCase, s *cluster.Snapshot) bool {
		fewer := *s
		fewer.External = slices.Clone(s.External)
		for i := range fewer.External {
			f := fewer.External[i].Spec.Firewall
			if f == nil || len(f.IPRules)+len(f.SubnetRules) == 0 {
				continue
			}
			spec := fewer.External[i].Spec.DeepCopy()
			if len(f.IPRules) > 0 && rapid.Bool().Draw(rt, "ip rule") {
				spec.Firewall.IPRules = spec.Firewall.IPRules[1:]
			} else {
				spec.Firewall.SubnetRules = nil
			}
			fewer.External[i].Spec = spec
		}
		return compareVerdicts(rt, decisions(c, &fewer), decisions(c, s), 1)
	})
}

// TestCouldAndWorks: what surely works could be reached, what is denied could not, and both differ only where something
// is unknown or ambiguous (L41).
func TestCouldAndWorks(t *testing.T) {
	law(t, func(rt *rapid.T, c *world.LayeredCase, s *cluster.Snapshot) bool {
		differ := false
		for i, d := range decisions(c, s) {
			if d.Works() && !d.Could() {
				rt.Fatalf("question %d works and could not be reached", i)
			}
			if blocked := len(d.Blockers()) > 0; blocked == d.Could() {
				rt.Fatalf("question %d: blockers %v, could %v", i, d.Blockers(), d.Could())
			}
			open := slices.ContainsFunc(d.Steps[:], func(s layers.Step) bool { return s.Answer == layers.Unknown })
			if d.Could() && d.Works() == open {
				rt.Fatalf("question %d: works is %v, and an unknown layer %v", i, d.Works(), open)
			}
			differ = differ || d.Works() != d.Could()
		}
		return differ
	})
}
