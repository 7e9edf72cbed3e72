package lint

import (
	"fmt"

	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// tieRules are about cluster policies of equal priority.
var tieRules = []*Rule{
	{ID: "ambiguous-priority", Severity: Error, Title: "cluster policies of equal priority disagree about a connection", check: ambiguousPriority},
}

// tie is a disagreement of two policies.
type tie struct {
	first, second *policy.Policy
	d             flow.Direction
}

// ties is the search for disagreements.
type ties struct {
	*run
	seen map[tie]bool
}

func ambiguousPriority(r *run) {
	t := &ties{run: r, seen: map[tie]bool{}}
	for _, p := range r.Model.Policies() {
		if p.Tier == policy.NetworkPolicyTier {
			continue
		}
		for _, d := range flow.Directions {
			for _, class := range r.search().Subjects(p, d) {
				t.class(p, d, class)
			}
		}
	}
}

// class looks for disagreements about the pods of a class.
func (t *ties) class(p *policy.Policy, d flow.Direction, class int) {
	others := t.rivals(p, d, class)
	if len(others) == 0 {
		return
	}
	rules := p.Rules(d)
	for i := range rules {
		t.search().Flows(class, d, &rules[i], func(f *flow.Flow, q *policy.Query) bool {
			if !t.mayAsk() {
				return false
			}
			if t.firstMatch(p, q) != &rules[i] {
				return true
			}
			for _, o := range others {
				t.compare(tie{p, o, d}, &rules[i], t.firstMatch(o, q), f)
			}
			return true
		})
	}
}

// rivals lists the policies after p that have its tier and priority and select the class too.
func (t *ties) rivals(p *policy.Policy, d flow.Direction, class int) []*policy.Policy {
	s := t.Model.Classes()[class].Subject(d)
	list := s.Admin
	if p.Tier == policy.BaselineTier {
		list = s.Baseline
	}
	var out []*policy.Policy
	for i := range list {
		if o := list[i].Policy; o.Priority == p.Priority && o.Number() > p.Number() && !t.seen[tie{p, o, d}] {
			out = append(out, o)
		}
	}
	return out
}

// firstMatch gives the rule by which a policy acts, if that is sure.
func (t *ties) firstMatch(p *policy.Policy, q *policy.Query) *policy.Rule {
	rules := p.Rules(q.Direction)
	for i := range rules {
		switch t.Model.Match(&rules[i], q) {
		case policy.Yes:
			return &rules[i]
		case policy.Maybe:
			return nil
		}
	}
	return nil
}

// compare makes a finding where two rules act differently on a flow and it hangs on which is asked first.
func (t *ties) compare(at tie, a, b *policy.Rule, f *flow.Flow) {
	if b == nil || a.Action == b.Action || t.seen[at] {
		return
	}
	g := t.twoPods(*f)
	if eval.Surely(t.Model, &g, at.d) != flow.Ambiguous {
		return
	}
	t.seen[at] = true
	second := at.second.RuleID(at.d, b.Index, -1, -1)
	t.add(onPolicy(at.first, at.first.RuleID(at.d, a.Index, -1, -1).Path(),
		fmt.Sprintf("%s here and %s in %s, %s, which has the same priority %d, for example for %s",
			a.Action, b.Action, at.second.Ref, second.Path(), at.first.Priority, t.flowWords(&g)),
		"Policies of equal priority have no order: what happens hangs on the plugin.", "Give one of the two another priority."))
}

// twoPods makes a flow of a pod to itself, which no policy decides, one to another pod of its class, if
// there is one.
func (t *ties) twoPods(f flow.Flow) flow.Flow {
	if f.From.Kind != flow.Pod || f.To.Kind != flow.Pod || f.From.Index != f.To.Index {
		return f
	}
	if class := t.Model.ClassOf(f.To.Index); class >= 0 {
		members := t.Model.Classes()[class].Members
		f.To.Index = members[len(members)-1]
		f.To.Addr = t.Model.Snapshot().Pods[f.To.Index].Addr(f.Family)
	}
	return f
}

// flowWords names a connection.
func (r *run) flowWords(f *flow.Flow) string {
	end := func(e flow.End) string {
		switch e.Kind {
		case flow.Pod:
			return r.Model.Snapshot().Pods[e.Index].Owner.String()
		case flow.Node:
			return "node/" + r.Model.Snapshot().Nodes[e.Index].Name
		}
		return e.Addr.String()
	}
	port := f.Proto.String()
	if f.Proto != netset.Other {
		port += fmt.Sprintf("/%d", f.Port)
	}
	return end(f.From) + " → " + end(f.To) + ", " + port
}
