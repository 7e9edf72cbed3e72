package eval

import (
	"sallyport.dev/sallyport/internal/policy"
)

// reach visits the rules that are asked, and do not surely miss, under some assignment of what is
// not known: what the verdict may hang on, beside the rule that decides.
type reach struct {
	m     *policy.Model
	q     *policy.Query
	visit func(p *policy.Policy, r *policy.Rule, got policy.Match, subjectUnknown bool)
}

// tiers visits the rules of all tiers; own is whether the other end is the pod's own node (S22). It
// tells whether the verdict may hang on own.
func (r *reach) tiers(s *policy.Subject, own policy.Match) bool {
	if !r.clusterTier(s.Admin) {
		return false
	}
	if len(s.Policies) > 0 {
		return r.networkPolicies(s.Policies, own) && own == policy.Maybe
	}
	r.clusterTier(s.Baseline)
	return false
}

// clusterTier tells whether the next tier may be asked.
func (r *reach) clusterTier(list []policy.Applied) bool {
	passes := false
	for first := 0; first < len(list); {
		decided := false
		next := first
		for ; next < len(list) && list[next].Priority == list[first].Priority; next++ {
			pass, sure := r.policy(&list[next])
			passes, decided = passes || pass, decided || sure
		}
		first = next
		if decided {
			return passes
		}
	}
	return true
}

// policy visits a policy's rules up to the first that surely matches: pass tells whether one of
// them may leave the tier, sure whether one surely acts.
func (r *reach) policy(p *policy.Applied) (pass, sure bool) {
	rules := p.Rules(r.q.Direction)
	for i := range rules {
		got := r.m.Match(&rules[i], r.q)
		if got == policy.No {
			continue
		}
		r.visit(p.Policy, &rules[i], got, p.Maybe)
		pass = pass || rules[i].Action == policy.Pass
		if got == policy.Yes {
			return pass, !p.Maybe
		}
	}
	return pass, false
}

// networkPolicies visits nothing, and gives false, where the tier surely allows.
func (r *reach) networkPolicies(list []*policy.Policy, own policy.Match) bool {
	type rule struct {
		p *policy.Policy
		r *policy.Rule
	}
	var open []rule
	if own == policy.Yes {
		return false
	}
	for _, p := range list {
		rules := p.Rules(r.q.Direction)
		for i := range rules {
			switch r.m.Match(&rules[i], r.q) {
			case policy.Yes:
				return false
			case policy.Maybe:
				open = append(open, rule{p, &rules[i]})
			}
		}
	}
	for _, o := range open {
		r.visit(o.p, o.r, policy.Maybe, false)
	}
	return true
}
