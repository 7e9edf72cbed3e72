package eval

import (
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/policy"
)

// Decision is the answer to one flow with its why (S60).
type Decision struct {
	Flow    flow.Flow
	Verdict flow.Verdict
	Egress  Direction
	Ingress Direction
}

// Directions lists both directions in the order in which a connection meets them.
func (d *Decision) Directions() [2]*Direction { return [2]*Direction{&d.Egress, &d.Ingress} }

// Direction is how one end decided.
type Direction struct {
	Direction flow.Direction
	Verdict   flow.Verdict
	// Reason and Rule are those of the assignment in which nothing unknown matches, with names
	// breaking ties; for a verdict of allowed or denied they are simply what decided.
	Reason flow.Reason
	Rule   cluster.RuleID // zero unless Reason is a rule
	Origin cluster.Origin // of Rule
	Action Action         // of Rule
	// Isolating are the NetworkPolicies that select the pod, where the NetworkPolicy tier was reached.
	Isolating []PolicyAt
	// Steps are the rules that were compared, in order, up to the one that decided.
	Steps []Step
	// Tied are the matching rules of equal priority that disagree, where the verdict is ambiguous.
	Tied []Step
	// Nearest is the rule that came closest, where Reason is Isolated and there is any rule.
	Nearest *Step
	// Unknown says what the verdict would need to know, where it is unknown.
	Unknown []Gap
	// Assumed are the blocks that the other end is taken to lie outside of, where the verdict would
	// be another without that assumption (S17).
	Assumed []Assumption
	// Foreign are the policies of other engines that may decide otherwise, by index in the Snapshot.
	Foreign []int
}

// PolicyAt is a policy and where it is written.
type PolicyAt struct {
	Ref    cluster.PolicyRef
	Origin cluster.Origin
}

// Step is one rule compared with the flow.
type Step struct {
	Tier   Tier
	Rule   cluster.RuleID // Peer and Port are those that match, or came closest
	Origin cluster.Origin // of Rule
	Name   string         // of the rule, where cluster policies give one
	Action Action
	Match  Match
	// Misses is what keeps the rule from matching, or what is unknown about it.
	Misses []Miss
	// SubjectUnknown: it is not known whether the policy selects the pod at all.
	SubjectUnknown bool
	Poisoned       bool
}

// Gap is something that is not known and that the verdict depends on.
type Gap struct {
	Step    *Step // the rule whose match is unknown, or nil
	OwnNode bool  // whether the other end is the pod's own node (S22)
	Unread  int   // index in Snapshot.Unreadable plus one
	Foreign int   // index in Snapshot.ForeignPolicies plus one
}

// Assumption is a block that an end without known address is taken to lie outside of.
type Assumption struct {
	Rule   cluster.RuleID
	Origin cluster.Origin
	Block  string
}

// Decide decides a flow and says why.
func Decide(m *policy.Model, f *flow.Flow) Decision {
	d := Decision{Flow: *f}
	d.Egress = decide(m, f, flow.Egress)
	d.Ingress = decide(m, f, flow.Ingress)
	d.Verdict = d.Egress.Verdict.And(d.Ingress.Verdict)
	return d
}

func decide(m *policy.Model, f *flow.Flow, dir flow.Direction) Direction {
	out := Direction{Direction: dir}
	q, class, ok := m.NewQuery(f, dir)
	if !ok {
		out.Verdict, out.Reason = flow.Allowed, flow.NoPolicyHere
		return out
	}
	if out.Verdict, out.Reason = beforePolicies(m, f, dir); out.Verdict != 0 {
		return out
	}
	c := &m.Classes()[class]
	w := walk{m: m, q: &q, out: &out, pod: subjectPod(f, dir)}
	w.tiers(c.Subject(dir))
	out.Verdict = tiersVerdict(m, class, &q, w.pod)
	out.Foreign = c.Foreign(dir)
	w.gaps(c)
	w.assumptions(class)
	if out.Verdict != flow.Ambiguous {
		out.Tied = nil
	}
	if out.Reason != flow.Isolated {
		out.Nearest = nil
	}
	return out
}

// walk follows the assignment in which every unknown match is no, and records the steps.
type walk struct {
	m   *policy.Model
	q   *policy.Query
	out *Direction
	pod int
}

func (w *walk) tiers(s *policy.Subject) {
	if w.clusterTier(s.Admin, flow.AdminRule) {
		return
	}
	if len(s.Policies) > 0 {
		w.networkPolicies(s.Policies)
		return
	}
	if w.clusterTier(s.Baseline, flow.BaselineRule) {
		return
	}
	w.out.Reason = flow.Default
}

// clusterTier walks a tier of cluster policies and tells whether it decided.
func (w *walk) clusterTier(list []policy.Applied, reason flow.Reason) bool {
	for first := 0; first < len(list); {
		next := first
		var matched []Step
		for ; next < len(list) && list[next].Priority == list[first].Priority; next++ {
			if s := w.firstMatch(&list[next]); s != nil {
				matched = append(matched, *s)
			}
		}
		first = next
		if len(matched) == 0 {
			continue
		}
		if disagree(matched) {
			w.out.Tied = append(w.out.Tied, matched...)
		}
		if matched[0].Action == policy.Pass {
			return false
		}
		w.decidedBy(reason, &matched[0])
		return true
	}
	return false
}

func (w *walk) decidedBy(reason flow.Reason, s *Step) {
	w.out.Reason, w.out.Rule, w.out.Origin, w.out.Action = reason, s.Rule, s.Origin, s.Action
}

func disagree(steps []Step) bool {
	for _, s := range steps {
		if s.Action != steps[0].Action {
			return true
		}
	}
	return false
}

// firstMatch records the policy's rules up to the first that matches, and gives that one unless it
// is not known whether the policy selects the pod.
func (w *walk) firstMatch(p *policy.Applied) *Step {
	rules := p.Rules(w.q.Direction)
	for i := range rules {
		s := w.step(p.Policy, &rules[i])
		s.SubjectUnknown = p.Maybe
		w.out.Steps = append(w.out.Steps, s)
		if s.Match == policy.Yes {
			if p.Maybe {
				return nil
			}
			return &s
		}
	}
	return nil
}

func (w *walk) networkPolicies(list []*policy.Policy) {
	for _, p := range list {
		w.out.Isolating = append(w.out.Isolating, PolicyAt{p.Ref, p.Origin.At("")})
	}
	if w.m.OwnNodeMatch(w.pod, w.q) == policy.Yes {
		w.out.Reason = flow.OwnNode
		return
	}
	nearest := 0
	for _, p := range list {
		rules := p.Rules(w.q.Direction)
		for i := range rules {
			s := w.step(p, &rules[i])
			w.out.Steps = append(w.out.Steps, s)
			if s.Match == policy.Yes {
				w.decidedBy(flow.PolicyRule, &s)
				return
			}
			if far := policy.Weigh(s.Misses); w.out.Nearest == nil || far < nearest {
				w.out.Nearest, nearest = &s, far
			}
		}
	}
	w.out.Reason = flow.Isolated
}

func (w *walk) step(p *policy.Policy, r *policy.Rule) Step {
	s := Step{Tier: p.Tier, Name: r.Name, Action: r.Action, Match: w.m.Match(r, w.q), Poisoned: r.Poisoned}
	peer, port := -1, -1
	if s.Match == policy.Yes {
		peer, port, _ = w.m.FirstMatch(r, w.q)
	} else {
		peer, port, s.Misses = w.m.Nearest(r, w.q)
	}
	s.Rule = p.RuleID(w.q.Direction, r.Index, peer, port)
	s.Origin = p.RuleOrigin(s.Rule)
	return s
}

// gaps lists what an unknown verdict depends on.
func (w *walk) gaps(c *policy.Class) {
	if w.out.Verdict != flow.Unknown {
		return
	}
	for i := range w.m.Snapshot().Unreadable {
		if !w.m.Snapshot().Unreadable[i].CountsFor(c.Namespace, w.m.Options().Strict) {
			continue
		}
		w.out.Unknown = append(w.out.Unknown, Gap{Unread: i + 1})
	}
	if w.m.Options().Strict {
		for _, i := range c.Foreign(w.q.Direction) {
			w.out.Unknown = append(w.out.Unknown, Gap{Foreign: i + 1})
		}
	}
	var open []Gap
	r := reach{m: w.m, q: w.q, visit: func(p *policy.Policy, r *policy.Rule, got policy.Match, subjectUnknown bool) {
		if got == policy.Maybe || subjectUnknown {
			s := w.step(p, r)
			s.SubjectUnknown = subjectUnknown
			open = append(open, Gap{Step: &s})
		}
	}}
	if r.tiers(c.Subject(w.q.Direction), w.m.OwnNodeMatch(w.pod, w.q)) {
		w.out.Unknown = append(w.out.Unknown, Gap{OwnNode: true})
	}
	w.out.Unknown = append(w.out.Unknown, open...)
}

// assumptions lists the blocks that the verdict hangs on (S17): those of rules that would be
// unknown matches under Strict, if the verdict would then be another.
func (w *walk) assumptions(class int) {
	if w.q.Remote.Strict || w.q.Remote.End.Addr.IsValid() || w.out.Verdict == flow.Unknown {
		return
	}
	strict := *w.q
	strict.Remote.Strict = true
	if tiersVerdict(w.m, class, &strict, w.pod) == w.out.Verdict {
		return
	}
	r := reach{m: w.m, q: &strict, visit: func(p *policy.Policy, r *policy.Rule, got policy.Match, _ bool) {
		if got == policy.Maybe && w.m.Match(r, w.q) == policy.No {
			w.assumedBy(p, r)
		}
	}}
	r.tiers(w.m.Classes()[class].Subject(w.q.Direction), w.m.OwnNodeMatch(w.pod, w.q))
}

func (w *walk) assumedBy(p *policy.Policy, r *policy.Rule) {
	for i := range r.Peers {
		for j := range r.Peers[i].Blocks {
			if b := &r.Peers[i].Blocks[j]; b.Assumes(&w.q.Remote) {
				id := p.RuleID(w.q.Direction, r.Index, i, -1)
				w.out.Assumed = append(w.out.Assumed, Assumption{id, p.RuleOrigin(id), b.String()})
			}
		}
	}
}
