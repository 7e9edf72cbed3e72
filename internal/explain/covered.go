package explain

import (
	"cmp"
	"slices"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// maxWork bounds what is compared for one policy, counted in peers and ports looked at (a fraction
// of a second); beyond it a rule is taken to be needed.
const maxWork = 20_000_000

// covering finds the rules of a NetworkPolicy that allow nothing that others do not allow. It asks
// for every kind of remote end that the model tells apart: classes of pods, split by the regions
// that their addresses lie in, nodes, and regions of addresses outside.
type covering struct {
	m       *policy.Model
	p       *policy.Policy
	remotes []remote
	work    int
}

// remote stands for all ends that no rule tells apart.
type remote struct {
	end    flow.End
	family flow.Family
}

func newCovering(m *policy.Model, p *policy.Policy) *covering {
	c := &covering{m: m, p: p}
	space := m.Space()
	c.pods(space)
	for i := range m.Snapshot().Nodes {
		for _, f := range m.Families() {
			c.remotes = append(c.remotes, remote{flow.End{Kind: flow.Node, Index: i}, f})
		}
	}
	for _, whole := range space.Whole() {
		for _, r := range space.Regions(whole) {
			if a, ok := r.Any(); ok {
				c.remotes = append(c.remotes, remote{flow.End{Kind: flow.Address, Addr: a}, flow.FamilyOf(a)})
			}
		}
	}
	return c
}

// pods adds one pod for each class and set of regions.
func (c *covering) pods(space *policy.Space) {
	pods := c.m.Snapshot().Pods
	for _, class := range c.m.Classes() {
		seen := map[string]bool{}
		var key []byte
		for _, i := range class.Members {
			if key = space.AppendAtoms(key[:0], pods[i].Addrs); seen[string(key)] {
				continue
			}
			seen[string(key)] = true
			for _, a := range pods[i].Addrs {
				c.remotes = append(c.remotes, remote{flow.End{Kind: flow.Pod, Index: i, Addr: a}, flow.FamilyOf(a)})
			}
			for _, f := range c.m.Families() {
				if len(pods[i].Addrs) == 0 {
					c.remotes = append(c.remotes, remote{flow.End{Kind: flow.Pod, Index: i}, f})
				}
			}
		}
	}
}

// by gives the rules that together allow everything which a rule allows to or from the subjects, or
// nothing if something is allowed by that rule alone.
func (c *covering) by(d flow.Direction, rule *policy.Rule, subjects []int) []cluster.RuleID {
	if rule.Poisoned {
		return nil
	}
	s := search{covering: c, d: d, rule: rule, found: map[cluster.RuleID]bool{}}
	for _, class := range subjects {
		if !s.subject(class) {
			return nil
		}
	}
	var out []cluster.RuleID
	for id := range s.found {
		out = append(out, id)
	}
	slices.SortFunc(out, func(a, b cluster.RuleID) int {
		return cmp.Or(cmp.Compare(a.Policy.Name, b.Policy.Name), cmp.Compare(a.Rule, b.Rule))
	})
	return out
}

// search is the search for the rules that cover one rule.
type search struct {
	*covering
	d     flow.Direction
	rule  *policy.Rule
	found map[cluster.RuleID]bool
}

// subject tells whether other rules allow whatever the rule allows to or from a class.
func (s *search) subject(class int) bool {
	own := flow.End{Kind: flow.Pod, Index: s.m.Classes()[class].Members[0]}
	var cuts policy.Cuts
	cuts.Add(s.m, class, -1, s.d)
	var pieces []netset.Entry
	dest := -2 // the class for which pieces were made; -1 is no pod
	for _, r := range s.remotes {
		f := flow.Flow{From: r.end, To: own, Family: r.family}
		if s.d == flow.Egress {
			f.From, f.To = own, r.end
		}
		q, _, ok := s.m.NewQuery(&f, s.d)
		if !ok {
			continue
		}
		if q.DestClass != dest {
			dest = q.DestClass
			pieces = piecesFor(s.m, &cuts, dest, s.d)
			s.work += len(pieces)
		}
		for _, piece := range pieces {
			q.Proto, q.Port = piece.Proto, piece.Range.First
			if s.work > maxWork || s.match(s.rule, &q) != policy.No && !s.others(class, &q) {
				return false
			}
		}
	}
	return true
}

func piecesFor(m *policy.Model, cuts *policy.Cuts, dest int, d flow.Direction) []netset.Entry {
	own := cuts.Clone()
	own.Add(m, -1, dest, d)
	var out []netset.Entry
	for _, proto := range netset.Protos {
		for _, r := range own.Ranges(proto, netset.AllPorts) {
			out = append(out, netset.Entry{Proto: proto, Range: r})
		}
	}
	return out
}

// match is Model.Match, with the work counted.
func (s *search) match(r *policy.Rule, q *policy.Query) policy.Match {
	s.work += 1 + len(r.Peers) + len(r.Ports)
	return s.m.Match(r, q)
}

func (s *search) others(class int, q *policy.Query) bool {
	for _, p := range s.m.Classes()[class].Subject(s.d).Policies {
		rules := p.Rules(s.d)
		for i := range rules {
			if s.work > maxWork {
				return false
			}
			if r := &rules[i]; r != s.rule && s.match(r, q) == policy.Yes {
				s.found[p.RuleID(s.d, r.Index, -1, -1)] = true
				return true
			}
		}
	}
	return false
}
