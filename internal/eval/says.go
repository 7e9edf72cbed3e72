package eval

import (
	"math"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/policy"
)

// Say is what one policy has to say about one direction of a flow, whoever decides in the end.
type Say struct {
	Policy   cluster.PolicyRef
	Tier     Tier
	Priority int
	// Match is the best match of its rules. A NetworkPolicy that is asked at all isolates the pod (S10).
	Match Match
	// Rule is the first that matches as Match says; zero if none does. Action is what it does.
	Rule   cluster.RuleID
	Origin cluster.Origin
	Action Action

	outcome results
}

// Same tells whether two say the same to a flow, in whatever rules.
func (s *Say) Same(o *Say) bool {
	return s.Tier == o.Tier && s.Priority == o.Priority && s.Match == o.Match && s.outcome == o.outcome
}

// Saying is what all policies asked at one end of a flow say. It is empty where none is asked: the end is no
// pod, or something before policies decides.
type Saying struct {
	List []Say // in the order in which they are asked
	// Exempt: the end is no pod that policies select.
	Exempt bool
	// PastAdmin: the Admin tier may leave the decision to NetworkPolicies.
	PastAdmin bool
	// LastAdmin and LastBaseline are the priorities that surely end their tier: nobody beyond is asked.
	LastAdmin, LastBaseline int
	// Isolated: some NetworkPolicy selects the pod; Allows is then what they come to together, S22 included.
	Isolated bool
	Allows   Match
}

// Says asks every policy at one end of a flow.
func Says(m *policy.Model, f *flow.Flow, d flow.Direction) Saying {
	q, class, ok := m.NewQuery(f, d)
	if !ok {
		return Saying{Exempt: true}
	}
	if v, _ := beforePolicies(m, f, d); v != 0 {
		return Saying{}
	}
	s := m.Classes()[class].Subject(d)
	out := Saying{PastAdmin: tierResults(m, s.Admin, &q).goesOn(), Isolated: len(s.Policies) > 0,
		LastAdmin: lastAsked(m, s.Admin, &q), LastBaseline: lastAsked(m, s.Baseline, &q)}
	clusterTier := func(list []policy.Applied) {
		for i := range list {
			say := sayOf(m, list[i].Policy, &q)
			say.outcome = policyOffers(m, &list[i], &q)
			out.List = append(out.List, say)
		}
	}
	clusterTier(s.Admin)
	out.Allows = m.OwnNodeMatch(subjectPod(f, d), &q)
	for _, p := range s.Policies {
		say := sayOf(m, p, &q)
		out.Allows = max(out.Allows, say.Match)
		out.List = append(out.List, say)
	}
	clusterTier(s.Baseline)
	return out
}

// Asked tells whether policies of a priority in a tier of cluster policies may be asked.
func (s *Saying) Asked(t Tier, priority int) bool {
	if t == policy.AdminTier {
		return priority <= s.LastAdmin
	}
	return priority <= s.LastBaseline
}

// lastAsked gives the priority that surely ends a tier, or the largest number.
func lastAsked(m *policy.Model, list []policy.Applied, q *policy.Query) int {
	for first := 0; first < len(list); {
		next := first
		for next < len(list) && list[next].Priority == list[first].Priority {
			next++
		}
		if tierResults(m, list[first:next], q)&only(nothing) == 0 {
			return list[first].Priority
		}
		first = next
	}
	return math.MaxInt
}

// sayOf finds the best match among the rules of a policy.
func sayOf(m *policy.Model, p *policy.Policy, q *policy.Query) Say {
	say := Say{Policy: p.Ref, Tier: p.Tier, Priority: p.Priority}
	rules := p.Rules(q.Direction)
	for i := range rules {
		got := m.Match(&rules[i], q)
		if got <= say.Match {
			continue
		}
		peer, port := -1, -1
		if got == policy.Yes {
			peer, port, _ = m.FirstMatch(&rules[i], q)
		}
		say.Match, say.Action = got, rules[i].Action
		say.Rule = p.RuleID(q.Direction, rules[i].Index, peer, port)
		say.Origin = p.RuleOrigin(say.Rule)
		if got == policy.Yes {
			break
		}
	}
	return say
}
