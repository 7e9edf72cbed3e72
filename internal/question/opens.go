package question

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// opening compares, before and after a suggestion, everything that its rules touch.
type opening struct {
	*suggesting
	after   *Resolver
	remotes map[flow.Family][]flow.End // one of each kind that no rule tells apart
	seen    map[Pair]bool
	flows   int
}

// opens lists the pairs, beside those of the question, that the added policies open.
func (s *suggesting) opens(after *Resolver) {
	o := &opening{suggesting: s, after: after, remotes: map[flow.Family][]flow.End{}, seen: map[Pair]bool{}}
	o.everyRemote()
	for _, p := range after.Model.Policies() {
		if s.r.Model.Policy(p.Ref) != nil {
			continue
		}
		for _, d := range flow.Directions {
			if len(p.Rules(d)) > 0 {
				o.policy(p, d)
			}
		}
	}
	if o.flows > maxFlows {
		s.why("only the first %d connections were compared: it may open more than is listed", maxFlows)
	}
	s.out.Opens = slices.SortedFunc(maps.Keys(o.seen), func(a, b Pair) int {
		return cmp.Or(strings.Compare(a.From, b.From), strings.Compare(a.To, b.To))
	})
	s.out.Count = len(s.out.Opens)
	s.out.Opens = s.out.Opens[:min(len(s.out.Opens), MaxOpens)]
}

func (o *opening) everyRemote() {
	snap := o.after.Model.Snapshot()
	var pods []int
	for i := range snap.Pods {
		pods = append(pods, i)
	}
	for _, e := range o.like(pods) {
		o.add(e)
	}
	for i := range snap.Nodes {
		o.add(flow.End{Kind: flow.Node, Index: i})
	}
	for _, region := range o.after.external().Regions {
		if a, ok := region.Pick(func(x netip.Addr) bool { _, known := o.after.addrs[x]; return known }); ok {
			o.remotes[flow.FamilyOf(a)] = append(o.remotes[flow.FamilyOf(a)], flow.End{Kind: flow.Address, Addr: a})
		}
	}
}

// like gives one pod of each kind: of pods that no policy and not the question tells apart, two
// where there are two, so that one can talk to the other.
func (o *opening) like(pods []int) []flow.End {
	var out []flow.End
	count := map[string]int{}
	asking := asking{r: o.after}
	for _, i := range pods {
		key := asking.groupKey(&End{}, i, true)
		for _, e := range []*End{&o.asked.src, &o.asked.dst} {
			if slices.Contains(e.Pods, i) {
				key += " asked"
			}
			key += "."
		}
		key += o.after.Model.Snapshot().Pods[i].Owner.String()
		if count[key]++; count[key] <= 2 {
			out = append(out, flow.End{Kind: flow.Pod, Index: i})
		}
	}
	return out
}

// add puts an end with each of its addresses into remotes.
func (o *opening) add(e flow.End) {
	addrs := o.after.addresses(e)
	for _, e.Addr = range addrs {
		o.remotes[flow.FamilyOf(e.Addr)] = append(o.remotes[flow.FamilyOf(e.Addr)], e)
	}
	for _, f := range flow.Families {
		if len(addrs) == 0 {
			o.remotes[f] = append(o.remotes[f], e)
		}
	}
}

// policy compares every pod that a new policy selects with every end that it lets through.
func (o *opening) policy(p *policy.Policy, d flow.Direction) {
	var subjects []int
	for _, class := range o.after.Model.SubjectClasses(p, policy.Maybe) {
		subjects = append(subjects, o.after.Model.Classes()[class].Members...)
	}
	for _, me := range o.like(subjects) {
		for _, f := range flow.Families {
			me.Addr = addrIn(o.after.addresses(me), f)
			if len(o.after.addresses(me)) > 0 && !me.Addr.IsValid() {
				continue
			}
			for _, other := range o.remotes[f] {
				if other.Kind == me.Kind && other.Index == me.Index {
					continue
				}
				fl := flow.Flow{From: me, To: other, Family: f}
				if d == flow.Ingress {
					fl.From, fl.To = other, me
				}
				o.compare(p, d, fl)
			}
		}
	}
}

func (o *opening) compare(p *policy.Policy, d flow.Direction, fl flow.Flow) {
	pair := Pair{o.endName(fl.From), o.endName(fl.To)}
	if o.seen[pair] || o.inQuestion(&o.asked.src, fl.From) && o.inQuestion(&o.asked.dst, fl.To) {
		return
	}
	q, _, _ := o.after.Model.NewQuery(&fl, d)
	cuts := (&asking{r: o.after}).cuts(&fl)
	for _, proto := range netset.Protos {
		for _, r := range cuts.Ranges(proto, netset.AllPorts) {
			if o.flows++; o.flows > maxFlows {
				return
			}
			fl.Proto, fl.Port = proto, r.First
			q.Proto, q.Port = proto, r.First
			touched := slices.ContainsFunc(p.Rules(d), func(r policy.Rule) bool { return o.after.Model.Match(&r, &q) != policy.No })
			if touched && o.r.verdict(&fl) != flow.Allowed && o.after.verdict(&fl) == flow.Allowed {
				o.seen[pair] = true
				return
			}
		}
	}
}

// inQuestion tells whether an end is one of those that the question is about.
func (o *opening) inQuestion(e *End, x flow.End) bool {
	switch x.Kind {
	case flow.Pod:
		return slices.Contains(e.Pods, x.Index) || slices.ContainsFunc(e.Targets, func(t Target) bool {
			return t.End.Kind == flow.Pod && t.End.Index == x.Index
		})
	case flow.Node:
		return slices.Contains(e.Nodes, x.Index)
	}
	return slices.ContainsFunc(e.Regions, func(r policy.Region) bool { return r.Contains(x.Addr) })
}

func (o *opening) endName(e flow.End) string {
	snap := o.after.Model.Snapshot()
	switch e.Kind {
	case flow.Node:
		return "node/" + snap.Nodes[e.Index].Name
	case flow.Pod:
		return snap.Pods[e.Index].Owner.String()
	}
	return "external"
}
