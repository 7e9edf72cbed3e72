package explain

import (
	"cmp"
	"slices"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// maxComparisons bounds the work of covered; beyond it a rule is taken to be needed.
const maxComparisons = 200_000

// covered gives the rules that together allow everything which rule i of a NetworkPolicy allows,
// or nothing if something is allowed by that rule alone. It looks at every kind of remote end that
// the model tells apart: classes of pods, regions of addresses, nodes.
func covered(m *policy.Model, p *policy.Policy, d flow.Direction, i int, subjects []int) []cluster.RuleID {
	rule := &p.Rules(d)[i]
	if p.Tier != policy.NetworkPolicyTier || rule.Poisoned {
		return nil
	}
	c := covering{m: m, p: p, d: d, rule: rule, by: map[cluster.RuleID]bool{}}
	for _, class := range subjects {
		for _, f := range c.flows(class) {
			if !c.check(class, f) {
				return nil
			}
		}
	}
	var out []cluster.RuleID
	for id := range c.by {
		out = append(out, id)
	}
	slices.SortFunc(out, func(a, b cluster.RuleID) int {
		return cmp.Or(cmp.Compare(a.Policy.Name, b.Policy.Name), cmp.Compare(a.Rule, b.Rule))
	})
	return out
}

type covering struct {
	m    *policy.Model
	p    *policy.Policy
	d    flow.Direction
	rule *policy.Rule
	by   map[cluster.RuleID]bool
	done int
}

// flows gives a flow for each kind of remote end, without protocol and port.
func (c *covering) flows(class int) []flow.Flow {
	own := flow.End{Kind: flow.Pod, Index: c.m.Classes()[class].Members[0]}
	var out []flow.Flow
	add := func(f flow.Family, other flow.End) {
		if c.d == flow.Egress {
			out = append(out, flow.Flow{From: own, To: other, Family: f})
		} else {
			out = append(out, flow.Flow{From: other, To: own, Family: f})
		}
	}
	snap := c.m.Snapshot()
	for _, f := range c.m.Families() {
		for i := range c.m.Classes() {
			pod := c.m.Classes()[i].Members[0]
			add(f, flow.End{Kind: flow.Pod, Index: pod, Addr: snap.Pods[pod].Addr(f)})
		}
		for i := range snap.Nodes {
			add(f, flow.End{Kind: flow.Node, Index: i})
		}
	}
	for _, e := range c.outside() {
		add(flow.FamilyOf(e.Addr), e)
	}
	return out
}

func (c *covering) outside() []flow.End {
	var out []flow.End
	space := c.m.Space()
	for _, p := range space.Whole() {
		for _, r := range space.Regions(p) {
			if a, ok := r.Any(); ok {
				out = append(out, flow.End{Kind: flow.Address, Addr: a})
			}
		}
	}
	return out
}

// check tells whether other rules allow whatever the rule allows for one remote end.
func (c *covering) check(class int, f flow.Flow) bool {
	q, _, ok := c.m.NewQuery(&f, c.d)
	if !ok {
		return true
	}
	var cuts policy.Cuts
	cuts.Add(c.m, class, q.DestClass, c.d)
	for _, proto := range netset.Protos {
		for _, r := range cuts.Ranges(proto, netset.AllPorts) {
			if c.done++; c.done > maxComparisons {
				return false
			}
			q.Proto, q.Port = proto, r.First
			if c.m.Match(c.rule, &q) != policy.No && !c.others(class, &q) {
				return false
			}
		}
	}
	return true
}

func (c *covering) others(class int, q *policy.Query) bool {
	for _, p := range c.m.Classes()[class].Subject(c.d).Policies {
		rules := p.Rules(c.d)
		for i := range rules {
			if r := &rules[i]; r != c.rule && c.m.Match(r, q) == policy.Yes {
				c.by[p.RuleID(c.d, r.Index, -1, -1)] = true
				return true
			}
		}
	}
	return false
}
