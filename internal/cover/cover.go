// Package cover finds rules that make no difference: whatever they match is allowed by other rules
// anyway, or is decided before they are asked.
//
// It asks for every kind of remote end that the model tells apart: classes of pods, split by the
// regions that their addresses lie in, nodes, and regions of addresses outside. It must never guess:
// where a match is unknown, or the work would be too much, a rule counts as needed.
package cover

import (
	"cmp"
	"maps"
	"slices"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// MaxWork bounds what is compared for one rule, counted in peers and ports looked at (a fraction of a
// second).
const MaxWork = 20_000_000

// Outcome says whether a rule makes a difference.
type Outcome uint8

// The outcomes.
const (
	Needed    Outcome = iota + 1 // something hangs on this rule alone, or might
	Covered                      // everything that it matches is decided without it
	Idle                         // it surely matches nothing that is known
	Unsettled                    // that would be too much work
)

// Answer is the outcome for one rule.
type Answer struct {
	Outcome Outcome
	// By are the rules that decide what the rule matches, where it is covered: those of the same tier
	// in the order of their policies, and those that come before it.
	By []Other
}

// Other is a rule that decides what another one would.
type Other struct {
	ID     cluster.RuleID // Peer and Port are -1: the whole rule
	Action policy.Action
}

// Search answers for the rules of one model. It is not safe for concurrent use.
type Search struct {
	m       *policy.Model
	remotes *remotes
	chosen  [2][][]int // by direction and policy: the classes that it selects, perhaps
	gone    map[*policy.Rule]bool
	work    int // of all questions so far
}

// New prepares a Search.
func New(m *policy.Model) *Search {
	s := &Search{m: m, remotes: newRemotes(m), gone: map[*policy.Rule]bool{}}
	for i, d := range flow.Directions {
		s.chosen[i] = make([][]int, len(m.Policies()))
		for class := range m.Classes() {
			s.choose(i, class, m.Classes()[class].Subject(d))
		}
	}
	return s
}

func (s *Search) choose(direction, class int, by *policy.Subject) {
	add := func(p *policy.Policy) {
		s.chosen[direction][p.Number()] = append(s.chosen[direction][p.Number()], class)
	}
	for _, p := range by.Policies {
		add(p)
	}
	for _, list := range [][]policy.Applied{by.Admin, by.Baseline} {
		for _, p := range list {
			add(p.Policy)
		}
	}
}

// Subjects lists the classes that a policy selects, surely or perhaps, and has a say for in a direction.
func (s *Search) Subjects(p *policy.Policy, d flow.Direction) []int {
	return s.chosen[d-flow.Egress][p.Number()]
}

// Work counts the peers and ports looked at so far.
func (s *Search) Work() int { return s.work }

// Leave makes the Search answer as if a rule were not there, or were there again.
func (s *Search) Leave(r *policy.Rule, out bool) { s.gone[r] = out }

// Ask tells whether a policy's rule makes a difference to some pod that the policy selects.
func (s *Search) Ask(p *policy.Policy, d flow.Direction, rule *policy.Rule) Answer {
	if rule.Poisoned {
		return Answer{Outcome: Needed}
	}
	q := question{Search: s, p: p, d: d, rule: rule, limit: s.work + MaxWork, found: map[*policy.Rule]*policy.Policy{}}
	for _, class := range s.Subjects(p, d) {
		if out := q.subject(class); out != Covered {
			return Answer{Outcome: out}
		}
	}
	if !q.matches {
		return Answer{Outcome: Idle}
	}
	return Answer{Outcome: Covered, By: q.others()}
}

// question is the search for what covers one rule.
type question struct {
	*Search
	p       *policy.Policy
	d       flow.Direction
	rule    *policy.Rule
	limit   int
	found   map[*policy.Rule]*policy.Policy // what decides instead, and whose it is
	matches bool                            // it surely matches something
}

func (q *question) others() []Other {
	var out []Other
	for r, p := range q.found {
		out = append(out, Other{p.RuleID(q.d, r.Index, -1, -1), r.Action})
	}
	slices.SortFunc(out, func(a, b Other) int {
		return cmp.Or(cmp.Compare(a.ID.Policy.Kind, b.ID.Policy.Kind), cmp.Compare(a.ID.Policy.Name, b.ID.Policy.Name), cmp.Compare(a.ID.Rule, b.ID.Rule))
	})
	return out
}

// subject answers for one class: Covered also where the rule matches nothing.
func (q *question) subject(class int) Outcome {
	out := Covered
	q.Flows(class, q.d, q.rule, func(_ *flow.Flow, query *policy.Query) bool {
		got := q.match(q.rule, query)
		q.matches = q.matches || got == policy.Yes
		switch {
		case q.work > q.limit:
			out = Unsettled
		case got != policy.No && !q.decided(class, query):
			out = Needed
		}
		return out == Covered
	})
	return out
}

// Flows visits one flow of each kind that a rule of a class's policies may match, and some that it does
// not, until visit gives false. The class's end is its first pod, without address; the values are only
// valid during the call.
func (s *Search) Flows(class int, d flow.Direction, rule *policy.Rule, visit func(*flow.Flow, *policy.Query) bool) {
	own := flow.End{Kind: flow.Pod, Index: s.m.Classes()[class].Members[0]}
	pieces := portPieces{m: s.m, class: class, d: d, rule: rule, of: map[int][]netset.Entry{}}
	var f flow.Flow // these two once for all ends, as they go to the heap
	var query policy.Query
	for _, i := range s.remotes.candidates(rule) {
		r := &s.remotes.list[i]
		f = flow.Flow{From: r.End, To: own, Family: r.Family}
		if d == flow.Egress {
			f.From, f.To = own, r.End
		}
		query, _, _ = s.m.NewQuery(&f, d)
		s.work++
		for _, piece := range pieces.at(query.DestClass) {
			f.Proto, f.Port = piece.Proto, piece.Range.First
			query.Proto, query.Port = f.Proto, f.Port
			if !visit(&f, &query) {
				return
			}
		}
	}
}

// match is Model.Match, with the work counted.
func (q *question) match(r *policy.Rule, query *policy.Query) policy.Match {
	q.work += 1 + len(r.Peers) + len(r.Ports)
	return q.m.Match(r, query)
}

// decided tells whether a query is surely decided without the rule, and notes by what.
func (q *question) decided(class int, query *policy.Query) bool {
	s := q.m.Classes()[class].Subject(q.d)
	switch q.p.Tier {
	case policy.AdminTier:
		return q.before(s.Admin, query)
	case policy.BaselineTier:
		return q.before(s.Baseline, query)
	}
	return q.admin(s.Admin, query) || q.alike(s.Policies, query)
}

// alike looks for another rule of a NetworkPolicy that allows the same.
func (q *question) alike(list []*policy.Policy, query *policy.Query) bool {
	for _, p := range list {
		rules := p.Rules(q.d)
		for i := range rules {
			if r := &rules[i]; r != q.rule && !q.gone[r] && q.match(r, query) == policy.Yes {
				q.found[r] = p
				return true
			}
		}
	}
	return false
}

// before looks for a rule that acts before the one in question: an earlier one of its policy, or one
// of a policy with a lower priority.
func (q *question) before(list []policy.Applied, query *policy.Query) bool {
	for i := range list {
		p := &list[i]
		if p.Policy == q.p {
			r, _ := q.first(p, query, q.rule)
			if r != nil {
				q.found[r] = p.Policy
				return true
			}
			continue
		}
		if p.Maybe || p.Priority >= q.p.Priority {
			continue
		}
		if r, _ := q.first(p, query, nil); r != nil {
			q.found[r] = p.Policy
			return true
		}
	}
	return false
}

// first gives the first rule of a policy, before until, that surely matches, or nil; mayPass tells
// whether one that might act up to there is a Pass.
func (q *question) first(p *policy.Applied, query *policy.Query, until *policy.Rule) (r *policy.Rule, mayPass bool) {
	rules := p.Rules(q.d)
	for i := range rules {
		if &rules[i] == until {
			return nil, mayPass
		}
		if q.gone[&rules[i]] {
			continue
		}
		got := q.match(&rules[i], query)
		mayPass = mayPass || got != policy.No && rules[i].Action == policy.Pass
		if got == policy.Yes {
			return &rules[i], mayPass
		}
	}
	return nil, mayPass
}

// admin tells whether the Admin tier surely decides, so that no NetworkPolicy is asked.
func (q *question) admin(list []policy.Applied, query *policy.Query) bool {
	for first := 0; first < len(list); {
		acting := map[*policy.Rule]*policy.Policy{}
		next := first
		for ; next < len(list) && list[next].Priority == list[first].Priority; next++ {
			r, mayPass := q.first(&list[next], query, nil)
			if mayPass {
				return false
			}
			if r != nil && !list[next].Maybe {
				acting[r] = list[next].Policy
			}
		}
		first = next
		maps.Copy(q.found, acting)
		if len(acting) > 0 {
			return true
		}
	}
	return false
}
