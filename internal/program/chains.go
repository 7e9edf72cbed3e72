package program

import (
	"net/netip"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
)

// sharedFrom is how many addresses of one verdict make a set that several chains use, instead of elements in each.
const sharedFrom = 64

// The matches on the other end's address, and on the own one, by direction and family.
var (
	farMatch  = [2][2]Match{{Destination4, Destination6}, {Source4, Source6}}
	nearMatch = [2][2]Match{{Source4, Source6}, {Destination4, Destination6}}
	addrKey   = [2]Key{KeyIPv4, KeyIPv6}
	familyNo  = [2]string{"4", "6"}
)

// chainOf makes the chain of a group for one direction and family, and gives its name; empty where everything is allowed.
//
// An address is looked up among the exact ones first, then in shared sets, then among ranges, and what is in none of them gets
// the verdict of the largest range. An address that is in the first is in none of the second, and each has the whole of what
// is allowed for it: to fall through is never to be allowed by something else.
func (b *builder) chainOf(word string, g *group, d flow.Direction, family flow.Family, t *table) string {
	f := int(family - 1)
	base := largest(t.segments[f])
	if len(t.rows[f]) == 0 && len(t.segments[f]) == 1 && base.Equal(everything) {
		return ""
	}
	name := word + familyNo[f] + "_" + hash(g.key)
	c := Chain{Name: name}
	far := farMatch[d-1][f]
	exact := Map{Name: name, Key: addrKey[f]}
	for _, part := range partsOf(t.rows[f]) {
		verdict := b.verdict(part.allowed, g, d)
		if len(part.addrs) >= sharedFrom {
			c.Rules = append(c.Rules, Rule{Match: far, Set: b.sharedSet(f, part), Verdict: verdict})
			continue
		}
		for _, a := range part.addrs {
			exact.Elements = append(exact.Elements, Element{First: a, Last: a, Verdict: verdict})
		}
	}
	if len(exact.Elements) > 0 {
		b.p.Maps = append(b.p.Maps, exact)
		c.Rules = slices.Insert(c.Rules, 0, Rule{Match: far, Map: name})
	}
	ranges := Map{Name: name + "_net", Key: addrKey[f], Interval: true}
	for _, s := range t.segments[f] {
		if !s.allowed.Equal(base) {
			ranges.Elements = append(ranges.Elements, Element{First: s.first, Last: s.last, Verdict: b.verdict(s.allowed, g, d)})
		}
	}
	if len(ranges.Elements) > 0 {
		b.p.Maps = append(b.p.Maps, ranges)
		c.Rules = append(c.Rules, Rule{Match: far, Map: ranges.Name})
	}
	c.Rules = append(c.Rules, Rule{Verdict: b.verdict(base, g, d)})
	c.Rules[0].Comment = b.comment(g, d)
	b.p.Chains = append(b.p.Chains, c)
	return name
}

// verdict leads to where what is allowed is let through.
func (b *builder) verdict(allowed netset.PortSet, g *group, d flow.Direction) Verdict {
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
	if !slices.ContainsFunc(b.p.Chains, func(c Chain) bool { return c.Name == name }) {
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

// part is addresses for which the same is allowed.
type part struct {
	allowed netset.PortSet
	addrs   []netip.Addr // sorted
	from    []string     // sorted, what groups of ends they are of
}

// partsOf divides rows by what is allowed, in a fixed order.
func partsOf(rows map[netip.Addr]*row) []part {
	at := map[string]int{}
	var out []part
	for addr, r := range rows {
		key := r.allowed.String()
		n, ok := at[key]
		if !ok {
			n = len(out)
			at[key] = n
			out = append(out, part{allowed: r.allowed})
		}
		out[n].addrs = append(out[n].addrs, addr)
		out[n].from = append(out[n].from, r.from)
	}
	for i := range out {
		slices.SortFunc(out[i].addrs, netip.Addr.Compare)
		slices.Sort(out[i].from)
		out[i].from = slices.Compact(out[i].from)
	}
	slices.SortFunc(out, func(a, b part) int { return strings.Compare(a.allowed.String(), b.allowed.String()) })
	return out
}

// sharedSet makes a set of addresses, once, and gives its name.
func (b *builder) sharedSet(f int, p part) string {
	name := "peers" + familyNo[f] + "_" + hash(strings.Join(p.from, "\n"))
	if b.shared[name] {
		return name
	}
	b.shared[name] = true
	s := Set{Name: name, Key: addrKey[f]}
	for _, a := range p.addrs {
		s.Elements = append(s.Elements, Element{First: a, Last: a})
	}
	b.p.Sets = append(b.p.Sets, s)
	return name
}

// largest gives what the segment with the most addresses allows.
func largest(list []segment) netset.PortSet {
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
		{Match: RelatedError, Verdict: Verdict{Act: Accept}},
		{Match: NeighbourTalk, Verdict: Verdict{Act: Accept}},
	}
	const unknown = "closed_interface"
	strange := Rule{Match: FromInterface, Set: "interfaces", Negated: true, Verdict: Verdict{Goto, unknown}, Comment: "a pod that is not programmed yet"}
	own := Rule{Match: FromInterface, Set: "pod_interfaces", Verdict: Verdict{Jump, "sources"}}
	forward := slices.Concat(open, []Rule{strange, {Match: ToInterface, Set: "interfaces", Negated: true, Verdict: Verdict{Goto, unknown}}, own})
	input := slices.Concat(open, []Rule{{Match: FromLoopback, Verdict: Verdict{Act: Accept}}, strange, own})
	output := slices.Clone(open)
	for _, d := range flow.Directions {
		for f := range addrKey {
			forward = append(forward, b.dispatch(d.String(), d, f, func(e *endpoint) string { return e.chain[d-1] })...)
			list := &input
			if d == flow.Ingress {
				list = &output
			}
			*list = append(*list, b.dispatch("node_"+d.String(), d, f, func(e *endpoint) string { return e.node[d-1] })...)
		}
	}
	b.p.Chains = append(b.p.Chains,
		Chain{Name: "forward", Hook: Forward, Rules: forward}, Chain{Name: "input", Hook: Input, Rules: input}, Chain{Name: "output", Hook: Output, Rules: output},
		Chain{Name: unknown, Rules: []Rule{denied("interface", "an interface that is no uplink and no pod's")}},
		Chain{Name: "sources", Rules: []Rule{
			{Match: InterfaceAndIP4, Set: "sources4", Verdict: Verdict{Act: Return}},
			{Match: InterfaceAndIP6, Set: "sources6", Verdict: Verdict{Act: Return}},
			denied("source", "not an address of the pod that it comes from"),
		}})
}

// dispatch leads the addresses of pods here to their chains.
func (b *builder) dispatch(name string, d flow.Direction, f int, chain func(*endpoint) string) []Rule {
	m := Map{Name: name + familyNo[f], Key: addrKey[f]}
	for i := range b.endpoints[f] {
		e := &b.endpoints[f][i]
		to := chain(e)
		if e.ambiguous {
			to = b.closed("shared", e.addr.String(), d, "another end has the address "+e.addr.String())
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
