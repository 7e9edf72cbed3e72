// Package eval decides flows over a policy.Model and says why.
//
// It is pure and holds no state. It must never render text, and builds nothing of an explanation
// unless asked for one: Verdict allocates nothing, Decide gives the typed steps.
package eval

import (
	"slices"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/policy"
)

// Verdict decides a flow (docs/semantics.md, "The order of evaluation"). The ends of the flow must
// be of the Snapshot that the model was compiled from.
func Verdict(m *policy.Model, f *flow.Flow) flow.Verdict {
	return verdict(m, f, m.Options().Strict)
}

// Side decides one direction of a flow.
func Side(m *policy.Model, f *flow.Flow, d flow.Direction) flow.Verdict {
	return directionVerdict(m, f, d, m.Options().Strict)
}

// Surely is Side where nothing is assumed: what S17 would otherwise take not to match is unknown.
func Surely(m *policy.Model, f *flow.Flow, d flow.Direction) flow.Verdict {
	return directionVerdict(m, f, d, true)
}

func verdict(m *policy.Model, f *flow.Flow, strict bool) flow.Verdict {
	egress := directionVerdict(m, f, flow.Egress, strict)
	if egress == flow.Denied {
		return flow.Denied
	}
	return egress.And(directionVerdict(m, f, flow.Ingress, strict))
}

func directionVerdict(m *policy.Model, f *flow.Flow, d flow.Direction, strict bool) flow.Verdict {
	q, class, ok := m.NewQuery(f, d)
	if !ok {
		return flow.Allowed
	}
	q.Remote.Strict = strict
	if v, _ := beforePolicies(m, f, d); v != 0 {
		return v
	}
	return tiersVerdict(m, class, &q, subjectPod(f, d))
}

// subjectPod is the index of the pod that decides a direction.
func subjectPod(f *flow.Flow, d flow.Direction) int {
	if d == flow.Egress {
		return f.From.Index
	}
	return f.To.Index
}

// beforePolicies gives the verdict and reason of what comes before any policy, or zeros.
func beforePolicies(m *policy.Model, f *flow.Flow, d flow.Direction) (flow.Verdict, flow.Reason) {
	if !m.Enforced(f.Family) {
		return flow.Allowed, flow.NotEnforced
	}
	if isSelf(f) {
		return flow.Allowed, flow.Self
	}
	if d == flow.Ingress {
		return 0, 0
	}
	if spoofed(m, f) {
		return flow.Denied, flow.Spoofed
	}
	if m.BlockedMetadata(f.To.Addr, f.Proto, f.Port) {
		return flow.Denied, flow.Metadata
	}
	return 0, 0
}

// isSelf is S21 and S46: the same endpoint, and not through a Service.
func isSelf(f *flow.Flow) bool {
	return f.From.Kind == flow.Pod && f.To.Kind == flow.Pod && f.From.Index == f.To.Index && !f.ViaService
}

// spoofed is S28: the packet's source is none of the sending pod's addresses.
func spoofed(m *policy.Model, f *flow.Flow) bool {
	own := m.Snapshot().Pods[f.From.Index].Addrs
	return len(own) > 0 && f.From.Addr.IsValid() && !slices.Contains(own, f.From.Addr)
}

// tiersVerdict walks the tiers over all assignments of unknown matches at once.
func tiersVerdict(m *policy.Model, class int, q *policy.Query, pod int) flow.Verdict {
	c := &m.Classes()[class]
	if undecidable(m, c, q.Direction) {
		return flow.Unknown
	}
	s := c.Subject(q.Direction)
	results := tierResults(m, s.Admin, q)
	if results.goesOn() {
		results = results.then(innerResults(m, s, q, pod))
	}
	return results.verdict()
}

// undecidable tells whether something that was not evaluated may decide: a file that could not be
// read (S2) or, under Strict, a policy of another engine.
func undecidable(m *policy.Model, c *policy.Class, d flow.Direction) bool {
	strict := m.Options().Strict
	for i := range m.Snapshot().Unreadable {
		if m.Snapshot().Unreadable[i].CountsFor(c.Namespace, strict) {
			return true
		}
	}
	return strict && len(c.Foreign(d)) > 0
}

// innerResults is everything after the Admin tier.
func innerResults(m *policy.Model, s *policy.Subject, q *policy.Query, pod int) results {
	if len(s.Policies) > 0 {
		return policiesResults(m, s, q, pod)
	}
	r := tierResults(m, s.Baseline, q)
	if r.goesOn() {
		r = r.then(only(accepts))
	}
	return r
}

// policiesResults is the NetworkPolicy tier for an isolated pod (S10, S22).
func policiesResults(m *policy.Model, s *policy.Subject, q *policy.Query, pod int) results {
	best := m.OwnNodeMatch(pod, q)
	for _, p := range s.Policies {
		rules := p.Rules(q.Direction)
		for i := range rules {
			if best == policy.Yes {
				return only(accepts)
			}
			best = max(best, m.Match(&rules[i], q))
		}
	}
	switch best {
	case policy.Yes:
		return only(accepts)
	case policy.Maybe:
		return only(accepts) | only(denies)
	}
	return only(denies)
}

// tierResults gives what a tier of cluster policies can come to (S40, S41).
func tierResults(m *policy.Model, list []policy.Applied, q *policy.Query) results {
	var out results
	for first := 0; first < len(list); {
		group := only(nothing)
		next := first
		for ; next < len(list) && list[next].Priority == list[first].Priority; next++ {
			group = group.combine(policyOffers(m, &list[next], q))
		}
		first = next
		out |= group &^ only(nothing)
		if group&only(nothing) == 0 {
			return out
		}
	}
	return out | only(nothing)
}

// policyOffers gives what a policy may offer: the action of its first matching rule, or nothing.
func policyOffers(m *policy.Model, p *policy.Applied, q *policy.Query) results {
	var out results
	if p.Maybe {
		out = only(nothing)
	}
	rules := p.Rules(q.Direction)
	for i := range rules {
		switch m.Match(&rules[i], q) {
		case policy.Yes:
			return out | only(offerOf(rules[i].Action))
		case policy.Maybe:
			out |= only(offerOf(rules[i].Action))
		}
	}
	return out | only(nothing)
}
