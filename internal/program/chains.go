package program

import (
	"cmp"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/flow"
)

// sharedFrom is how many addresses of pods that one selector names make a set that all chains use, instead of elements in each.
var sharedFrom = 64 // a variable for the tests, which have few pods

// The matches on the other end's address, and on the own one, by direction and family.
var (
	farMatch  = [2][2]Match{{Destination4, Destination6}, {Source4, Source6}}
	nearMatch = [2][2]Match{{Source4, Source6}, {Destination4, Destination6}}
	addrKey   = [2]Key{KeyIPv4, KeyIPv6}
	familyNo  = [2]string{"4", "6"}
)

// chainOf makes the chain of a group for one direction and family, and gives its name; empty where everything is allowed.
//
// An address is looked up among the exact ones first, then in the sets of pods that selectors name, then among ranges, and what
// is in none of them gets the verdict of the largest range. Each address that would get another verdict than its own on that way
// is among the exact ones: to fall through is never to be allowed by something else.
func (b *builder) chainOf(word string, g *group, d flow.Direction, family flow.Family, t *table) string {
	f := int(family - 1)
	name := word + familyNo[f] + "_" + hash(g.key)
	far := farMatch[d-1][f]
	var rules []Rule
	first := b.sharedSets(t, family)
	for _, s := range first.sets {
		rules = append(rules, Rule{Match: far, Set: b.sharedSet(s.set, family), Verdict: b.verdict(s.allowed, g, d)})
	}
	exact := Map{Name: name, Key: addrKey[f]}
	for _, r := range b.exceptions(t, family, first) {
		exact.Elements = append(exact.Elements, Element{First: r.addr, Last: r.addr, Verdict: b.verdict(r.allowed, g, d)})
	}
	if len(exact.Elements) > 0 {
		b.p.Maps = append(b.p.Maps, exact)
		rules = slices.Insert(rules, 0, Rule{Match: far, Map: name})
	}
	base := largest(t.segments[f])
	ranges := Map{Name: name + "_net", Key: addrKey[f], Interval: true}
	for _, s := range t.segments[f] {
		if s.allowed != base {
			ranges.Elements = append(ranges.Elements, Element{First: s.first, Last: s.last, Verdict: b.verdict(s.allowed, g, d)})
		}
	}
	if len(ranges.Elements) > 0 {
		b.p.Maps = append(b.p.Maps, ranges)
		rules = append(rules, Rule{Match: far, Map: ranges.Name})
	}
	if len(rules) == 0 && b.allowed[base].Equal(everything) {
		return ""
	}
	rules = append(rules, Rule{Verdict: b.verdict(base, g, d)})
	rules[0].Comment = b.comment(g, d)
	b.p.Chains = append(b.p.Chains, Chain{Name: name, Rules: rules})
	return name
}

// shared is the sets that a chain asks in turn, and which of them is the first to have a remote.
type shared struct {
	sets  []sharedVerdict
	first map[int]int // by remote, its index in sets
}

type sharedVerdict struct {
	set     int32
	allowed int
}

// sharedSets chooses, of the sets of pods that the rules of a table name, the largest. Each gets the verdict that most of
// those addresses have that no set before it has.
func (b *builder) sharedSets(t *table, family flow.Family) shared {
	out := shared{first: map[int]int{}}
	for _, set := range b.largest(t.sets, family) {
		m := b.membersOf(set, family)
		count := map[int]int{}
		best := -1
		var fresh []int
		for _, i := range m.remotes {
			if _, taken := out.first[i]; taken {
				continue
			}
			fresh = append(fresh, i)
			n := t.remotes[i]
			if count[n] += len(b.remotes[i].addrs); best < 0 || count[n] > count[best] {
				best = n
			}
		}
		if best < 0 || count[best] < sharedFrom {
			continue
		}
		for _, i := range fresh {
			out.first[i] = len(out.sets)
		}
		out.sets = append(out.sets, sharedVerdict{set, best})
	}
	return out
}

// maxShared is how many sets a chain asks one after the other: each costs every new connection that is in none of them.
const maxShared = 4

// largest chooses the sets with the most addresses, in an order that hangs on nothing but them.
func (b *builder) largest(sets []int32, family flow.Family) []int32 {
	out := slices.DeleteFunc(slices.Clone(sets), func(set int32) bool { return b.membersOf(set, family).addrs < sharedFrom })
	slices.SortFunc(out, func(x, y int32) int {
		return cmp.Or(b.membersOf(y, family).addrs-b.membersOf(x, family).addrs, strings.Compare(b.m.SetText(x), b.m.SetText(y)))
	})
	return out[:min(len(out), maxShared)]
}

// exceptions lists the addresses that would not get their own verdict from sets and ranges.
func (b *builder) exceptions(t *table, family flow.Family, s shared) []row {
	f := int(family - 1)
	var out []row
	for _, x := range t.extra[f] {
		if len(s.sets) > 0 || t.at(f, x.addr) != x.allowed { // an address that several ends have may be in a set
			out = append(out, x)
		}
	}
	for i := range t.remotes {
		r := &b.remotes[i]
		if r.family != family {
			continue
		}
		found := -1
		if k, ok := s.first[i]; ok {
			found = s.sets[k].allowed
		} else {
			found = t.at(f, r.end.Addr)
		}
		if found == t.remotes[i] {
			continue
		}
		for _, a := range r.addrs {
			if len(b.owners[a]) < 2 {
				out = append(out, row{a, t.remotes[i]})
			}
		}
	}
	return out
}

// sharedSet puts the addresses of a set of pods into the table, once, and gives the name.
func (b *builder) sharedSet(set int32, family flow.Family) string {
	m := b.membersOf(set, family)
	if m.name != "" {
		return m.name
	}
	m.name = "pods" + familyNo[family-1] + "_" + hash(b.m.SetText(set))
	s := Set{Name: m.name, Key: addrKey[family-1]}
	for _, i := range m.remotes {
		for _, a := range b.remotes[i].addrs {
			s.Elements = append(s.Elements, Element{First: a, Last: a})
		}
	}
	b.p.Sets = append(b.p.Sets, s)
	return m.name
}

// verdict leads to where what is allowed is let through.
func (b *builder) verdict(number int, g *group, d flow.Direction) Verdict {
	allowed := b.allowed[number]
	switch {
	case allowed.Equal(everything):
		return Verdict{Act: Return}
	case allowed.Empty():
		return Verdict{Goto, b.closed(d.String(), g.key, d, b.comment(g, d))}
	}
	return Verdict{Goto, b.portChain(allowed)}
}

// closed makes a chain that denies, once, and gives its name.
func (b *builder) closed(what, key string, d flow.Direction, comment string) string {
	name := "closed_" + what + "_" + hash(key+d.String())
	if !b.closedChains[name] {
		b.closedChains[name] = true
		b.p.Chains = append(b.p.Chains, Chain{Name: name, Rules: []Rule{denied(d.String()+" "+hash(key), comment)}})
	}
	return name
}

// comment names the workloads and the policies of a group.
func (b *builder) comment(g *group, d flow.Direction) string {
	var pods, policies []string
	for _, i := range g.pods {
		w := b.m.Snapshot().Pods[i].Owner
		pods = append(pods, w.Namespace+"/"+w.Name)
	}
	s := b.m.Classes()[b.m.ClassOf(g.pods[0])].Subject(d)
	for _, p := range s.Policies {
		policies = append(policies, p.Ref.Namespace+"/"+p.Ref.Name)
	}
	for _, p := range s.Admin {
		policies = append(policies, p.Ref.Name)
	}
	for _, p := range s.Baseline {
		policies = append(policies, p.Ref.Name)
	}
	text := d.String() + " of " + listed(pods, 2)
	if len(policies) > 0 {
		text += "; policies " + listed(policies, 2)
	}
	return cut(text)
}

// largest gives what the segment with the most addresses allows.
func largest(list []segment) int {
	best := 0
	for i := range list {
		if size(list[i]) > size(list[best]) {
			best = i
		}
	}
	return list[best].allowed
}

// size is about the logarithm of how many addresses a segment has.
func size(s segment) int {
	a, z := s.first.AsSlice(), s.last.AsSlice()
	borrow := 0
	diff := make([]byte, len(a))
	for i := len(a) - 1; i >= 0; i-- {
		d := int(z[i]) - int(a[i]) - borrow
		if borrow = 0; d < 0 {
			d, borrow = d+256, 1
		}
		diff[i] = byte(d)
	}
	for i, d := range diff {
		for bit := 7; bit >= 0; bit-- {
			if d&(1<<bit) != 0 {
				return (len(diff)-1-i)*8 + bit + 1
			}
		}
	}
	return 0
}

// hooks makes the chains that packets come by.
func (b *builder) hooks() {
	open := []Rule{
		{Match: Established, Verdict: Verdict{Act: Accept}},
		{Match: RelatedError, Set: errorProtocols, Verdict: Verdict{Act: Accept}},
		{Match: NeighbourTalk, Set: neighbourTypes, Verdict: Verdict{Act: Accept}},
		{Match: ListenerTalk, Set: listenerTypes, Verdict: Verdict{Act: Accept}},
	}
	const unknown = "closed_interface"
	strange := Rule{Match: FromInterface, Set: "interfaces", Negated: true, Verdict: Verdict{Goto, unknown}, Comment: "a pod that is not programmed yet"}
	own := Rule{Match: FromInterface, Set: "pod_interfaces", Verdict: Verdict{Jump, "sources"}}
	forward := slices.Concat(open, []Rule{strange, {Match: ToInterface, Set: "interfaces", Negated: true, Verdict: Verdict{Goto, unknown}}, own,
		{Match: ToInterface, Set: "pod_interfaces", Verdict: Verdict{Jump, "targets"}}})
	input := slices.Concat(open, []Rule{{Match: FromLoopback, Verdict: Verdict{Act: Accept}}, strange, own})
	output := slices.Clone(open)
	for _, d := range flow.Directions {
		for f := range addrKey {
			forward = append(forward, b.dispatch(d.String(), d, f, b.endpoints[f], func(e *endpoint) string { return e.chain[d-1] })...)
			list, ends := &input, b.endpoints[f]
			if d == flow.Ingress {
				list, ends = &output, b.beyond(f)
			}
			*list = append(*list, b.dispatch("node_"+d.String(), d, f, ends, func(e *endpoint) string { return e.node[d-1] })...)
		}
	}
	b.p.Chains = append(b.p.Chains,
		Chain{Name: "forward", Hook: Forward, Rules: forward}, Chain{Name: "input", Hook: Input, Rules: input}, Chain{Name: "output", Hook: Output, Rules: output},
		Chain{Name: unknown, Rules: []Rule{denied("interface", "an interface that is no uplink and no pod's")}},
		Chain{Name: "sources", Rules: []Rule{
			{Match: InterfaceAndIP4, Set: "sources4", Verdict: Verdict{Act: Return}},
			{Match: InterfaceAndIP6, Set: "sources6", Verdict: Verdict{Act: Return}},
			denied("source", "not an address of the pod that it comes from"),
		}},
		Chain{Name: "targets", Rules: []Rule{
			{Match: TargetAndIP4, Set: "sources4", Verdict: Verdict{Act: Return}},
			{Match: TargetAndIP6, Set: "sources6", Verdict: Verdict{Act: Return}},
			denied("target", "an address that is not known to be that pod's, which no policy could be asked about"),
		}})
}

// beyond lists the endpoints that the node can send to. What it sends to an address of its own stays on it, whatever pod says
// that it has the address too: no pod may cut the node off from itself.
func (b *builder) beyond(f int) []endpoint {
	return slices.DeleteFunc(slices.Clone(b.endpoints[f]), func(e endpoint) bool {
		return e.addr.IsLoopback() || slices.Contains(b.m.Snapshot().Nodes[b.node].Addrs, e.addr)
	})
}

// dispatch leads the addresses of pods here to their chains.
func (b *builder) dispatch(name string, d flow.Direction, f int, ends []endpoint, chain func(*endpoint) string) []Rule {
	m := Map{Name: name + familyNo[f], Key: addrKey[f]}
	for i := range ends {
		e := &ends[i]
		to := chain(e)
		switch {
		case e.ambiguous: // first, so that one address has one verdict
			to = b.closed("shared", e.addr.String(), d, "another end has the address "+e.addr.String())
		case e.link == "":
			to = b.closed("unreached", "unreached", d, "a pod here that no interface of its own is known to lead to")
		}
		if to != "" {
			m.Elements = append(m.Elements, Element{First: e.addr, Last: e.addr, Verdict: Verdict{Jump, to}})
		}
	}
	if len(m.Elements) == 0 {
		return nil
	}
	b.p.Maps = append(b.p.Maps, m)
	return []Rule{{Match: nearMatch[d-1][f], Map: m.Name}}
}
