package oracle

import (
	"cmp"
	"slices"

	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
)

// policy is a policy whose matches with the flow are worked out.
type policy struct {
	ref      cluster.PolicyRef
	priority int32 // of a cluster policy
	subject  match // yes for a NetworkPolicy: those that do not select the pod are left out
	bit      int   // of the assignment, where subject is unknown
	rules    []rule
}

// rule is one rule of the direction in question.
type rule struct {
	id     cluster.RuleID
	action policyv1alpha2.ClusterNetworkPolicyRuleAction // of a cluster policy
	match  match                                         // without the subject
	bit    int                                           // of the assignment, where match is unknown
}

// decision is everything that lines 6 to 9 look at.
type decision struct {
	admin, baseline [][]policy // groups of equal priority, lowest first; (kind, name) within
	networkPolicies []policy
	ownNode         match
	ownNodeBit      int
}

// assignment turns each unknown match into yes or no: bit i is the i-th unknown match.
type assignment uint32

func (as assignment) turn(m match, bit int) bool {
	return m == yes || m == unknown && as&(1<<bit) != 0
}

// result is the set of verdicts reached under one assignment.
type result struct{ allowed, denied bool }

func (r result) union(o result) result { return result{r.allowed || o.allowed, r.denied || o.denied} }

// byPolicy is lines 6 to 9.
func (a asker) byPolicy(subject *cluster.Pod) Direction {
	d := decision{
		admin:           groups(a.clusterPolicies(subject, policyv1alpha2.AdminTier)),
		baseline:        groups(a.clusterPolicies(subject, policyv1alpha2.BaselineTier)),
		networkPolicies: a.networkPolicies(subject),
		ownNode:         a.ownNode(subject),
	}
	unknowns := d.number()
	out := d.deciding()
	if unknowns > MaxUnknowns {
		return out // without verdict
	}
	// "If all assignments give the same result, that is the verdict of the direction, otherwise unknown."
	first := d.outcome(0)
	for as := range assignment(1) << unknowns {
		if d.outcome(as) != first {
			out.Verdict = flow.Unknown
			return out
		}
	}
	switch first { // "One verdict in the set: that one. Both: ambiguous."
	case result{allowed: true}:
		out.Verdict = flow.Allowed
	case result{denied: true}:
		out.Verdict = flow.Denied
	default:
		out.Verdict = flow.Ambiguous
	}
	return out
}

// groups: "policies of equal priority in a tier are a group"; lower priority first (S40).
func groups(ps []policy) [][]policy {
	slices.SortFunc(ps, func(p, q policy) int {
		return cmp.Or(cmp.Compare(p.priority, q.priority), cmp.Compare(p.ref.Kind, q.ref.Kind), cmp.Compare(p.ref.Name, q.ref.Name))
	})
	var out [][]policy
	for i, p := range ps {
		if i == 0 || p.priority != ps[i-1].priority {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], p)
	}
	return out
}

// number gives each unknown match a bit of its own and tells how many there are: one for a rule,
// one for a cluster policy's subject, one for "is it its own node".
func (d *decision) number() int {
	n := 0
	next := func(m match) int {
		if m != unknown {
			return 0
		}
		n++
		return n - 1
	}
	for _, group := range slices.Concat(d.admin, [][]policy{d.networkPolicies}, d.baseline) {
		for i := range group {
			if group[i].subject == no {
				continue // a part that is no: none of its rules is an unknown match
			}
			group[i].bit = next(group[i].subject)
			for j := range group[i].rules {
				group[i].rules[j].bit = next(group[i].rules[j].match)
			}
		}
	}
	d.ownNodeBit = next(d.ownNode)
	return n
}

// offer gives the first matching rule of a policy under an assignment, or nil.
func (p policy) offer(as assignment) *rule {
	if !as.turn(p.subject, p.bit) {
		return nil
	}
	for i, r := range p.rules {
		if as.turn(r.match, r.bit) {
			return &p.rules[i]
		}
	}
	return nil
}

// outcome gives the set of verdicts under one assignment.
func (d *decision) outcome(as assignment) result {
	byDefault := func() result { return result{allowed: true} }                 // line 9
	baseline := func() result { return tier(d.baseline, as, byDefault) }        // line 8
	networkPolicy := func() result { return d.networkPolicyTier(as, baseline) } // line 7
	return tier(d.admin, as, networkPolicy)                                     // line 6
}

// tier: "each policy of the group offers the action of its first matching rule, or nothing; the
// outcome of the group is the set of the offers. An empty set goes on to the next group, Accept and
// Deny end, Pass goes on to the next tier".
func tier(groups [][]policy, as assignment, nextTier func() result) result {
	for _, group := range groups {
		offers := map[policyv1alpha2.ClusterNetworkPolicyRuleAction]bool{}
		for _, p := range group {
			if r := p.offer(as); r != nil {
				offers[r.action] = true
			}
		}
		if len(offers) == 0 {
			continue
		}
		out := result{allowed: offers[accept], denied: offers[deny]}
		if offers[pass] {
			out = out.union(nextTier())
		}
		return out
	}
	return nextTier()
}

// networkPolicyTier is line 7: if any policy selects the pod, nothing below is asked (S10, S22, S42).
func (d *decision) networkPolicyTier(as assignment, nextTier func() result) result {
	if len(d.networkPolicies) == 0 {
		return nextTier()
	}
	if as.turn(d.ownNode, d.ownNodeBit) {
		return result{allowed: true}
	}
	for _, p := range d.networkPolicies {
		if p.offer(as) != nil {
			return result{allowed: true}
		}
	}
	return result{denied: true}
}

// deciding gives reason, rule and isolating policies "under the assignment 'every unknown match is
// no'"; the verdict is left open.
func (d *decision) deciding() Direction {
	if r := decidingRule(d.admin); r != nil {
		return Direction{Reason: flow.AdminRule, Rule: r.id}
	}
	if len(d.networkPolicies) > 0 {
		if d.ownNode == yes {
			return Direction{Reason: flow.OwnNode}
		}
		var isolating []cluster.PolicyRef
		for _, p := range d.networkPolicies {
			if r := p.offer(0); r != nil {
				return Direction{Reason: flow.PolicyRule, Rule: r.id}
			}
			isolating = append(isolating, p.ref)
		}
		return Direction{Reason: flow.Isolated, Isolating: isolating}
	}
	if r := decidingRule(d.baseline); r != nil {
		return Direction{Reason: flow.BaselineRule, Rule: r.id}
	}
	return Direction{Reason: flow.Default}
}

// decidingRule: within a group it belongs to the policy that is first by (kind, name) among those
// that make an offer; a Pass among them is followed: nil.
func decidingRule(groups [][]policy) *rule {
	for _, group := range groups {
		for _, p := range group {
			if r := p.offer(0); r != nil {
				if r.action == pass {
					return nil
				}
				return r
			}
		}
	}
	return nil
}
