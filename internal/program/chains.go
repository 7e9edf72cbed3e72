package program

import (
	"net/netip"

	"sallyport.dev/sallyport/internal/flow"
)

// The matches on the other end's address, and on the own one, by direction and family.
var (
	farMatch  = [2][2]Match{{Destination4, Destination6}, {Source4, Source6}}
	nearMatch = [2][2]Match{{Source4, Source6}, {Destination4, Destination6}}
	addrKey   = [2]Key{KeyIPv4, KeyIPv6}
	familyNo  = [2]string{"4", "6"}
)

// asked is what the chain of a group for one direction and family asks, in this order: the addresses that are told one by one,
// the sets of pods that selectors name, and ranges. What is in none of them gets the verdict of the largest range.
// Each address that would get another verdict than its own on that way is told by itself: to fall through is never to be allowed
// by something else.
type asked struct {
	name     string
	g        *group
	d        flow.Direction
	family   flow.Family
	segments []segment
	chain    string // the name once more where there is a chain; empty where everything is allowed
}

// exact is the map of the addresses that are told one by one.
func (a *asked) exact() object { return object{name: a.name, key: addrKey[a.family-1], verdicts: true} }

// element is an address with its verdict.
func (a *asked) element(b *builder, addr netip.Addr, allowed int) Element {
	return Element{First: addr, Last: addr, Verdict: b.verdict(allowed, a.g, a.d)}
}

// write makes the chain. It tells whether its name is another now, as one that allows everything has none.
func (a *asked) write(b *builder, addresses bool, shared []Rule) bool {
	far := farMatch[a.d-1][a.family-1]
	var rules []Rule
	if addresses {
		b.e.set(a.exact())
		rules = append(rules, Rule{Match: far, Map: a.name})
	}
	rules = append(rules, shared...)
	base := widest(a.segments)
	var list []Element
	for _, s := range a.segments {
		if s.allowed != base {
			list = append(list, Element{First: s.first, Last: s.last, Verdict: b.verdict(s.allowed, a.g, a.d)})
		}
	}
	if len(list) > 0 {
		ranges := b.e.set(object{name: a.name + "_net", key: addrKey[a.family-1], verdicts: true, interval: true})
		b.e.fill(ranges, list)
		rules = append(rules, Rule{Match: far, Map: ranges.name})
	}
	if len(rules) == 0 && b.allowed[base].Equal(everything) {
		return a.rename(b, "")
	}
	rules = append(rules, Rule{Verdict: b.verdict(base, a.g, a.d)})
	rules[0].Comment = b.comment(a.g, a.d)
	b.e.chain(a.name, 0, rules)
	return a.rename(b, a.name)
}

// rename notes the chain's name. A chain stays as long as its group does, whether or not a pod is led to it yet.
func (a *asked) rename(b *builder, name string) bool {
	if a.chain == name {
		return false
	}
	b.e.refer(name, 1)
	b.e.refer(a.chain, -1)
	a.chain = name
	return true
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
	return Verdict{Goto, b.portChain(number)}
}

// closed makes sure of a chain that denies, and gives its name.
func (b *builder) closed(what, key string, d flow.Direction, comment string) string {
	name := closedName(what, key, d)
	if b.e.chains[name] == nil {
		b.e.chain(name, 0, []Rule{denied(d.String()+" "+hash(key), comment)})
	}
	return name
}

func closedName(what, key string, d flow.Direction) string {
	return "closed_" + what + "_" + hash(key+d.String())
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

// widest gives what the segment with the most addresses allows.
func widest(list []segment) int {
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
