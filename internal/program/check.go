package program

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxName is what nft takes for the names of chains, sets and maps.
const maxName = 127

// Check tells what is wrong with a table, whoever made it: names that are missing or there twice, elements that overlap, so
// that a kernel would take one and hide the other, chains that call each other in a circle. The error lists everything.
func (p *Program) Check() error {
	var out []error
	fail := func(format string, args ...any) { out = append(out, fmt.Errorf(format, args...)) }
	names := map[string]bool{}
	add := func(kind, name string) {
		if name == "" || len(name) > maxName || names[kind+name] {
			fail("the %s %q has no name of its own, or too long a one", kind, name)
		}
		names[kind+name] = true
	}
	for i := range p.Sets {
		add("set ", p.Sets[i].Name)
		disjoint(p.Sets[i].Name, p.Sets[i].Key, p.Sets[i].Elements, false, fail)
	}
	for i := range p.Maps {
		add("set ", p.Maps[i].Name) // both are one sort of thing to the kernel
		disjoint(p.Maps[i].Name, p.Maps[i].Key, p.Maps[i].Elements, p.Maps[i].Interval, fail)
	}
	for i := range p.Chains {
		add("chain ", p.Chains[i].Name)
	}
	p.checkRules(names, fail)
	d := depths{calls: p.calls(), below: map[string]int{}}
	for i := range p.Chains {
		if d.of(p.Chains[i].Name, 0) > maxJumps {
			fail("chain %s calls others too deep", p.Chains[i].Name)
		}
	}
	return errors.Join(out...)
}

func (p *Program) checkRules(names map[string]bool, fail func(string, ...any)) {
	for i := range p.Chains {
		for j := range p.Chains[i].Rules {
			r := &p.Chains[i].Rules[j]
			for _, set := range []string{r.Set, r.Map} {
				if set != "" && !names["set "+set] {
					fail("chain %s, rule %d: there is no set %s", p.Chains[i].Name, j, set)
				}
			}
			if r.Verdict.Chain != "" && !names["chain "+r.Verdict.Chain] {
				fail("chain %s, rule %d: there is no chain %s", p.Chains[i].Name, j, r.Verdict.Chain)
			}
			if len(r.Comment) > MaxComment {
				fail("chain %s, rule %d: its comment has %d bytes", p.Chains[i].Name, j, len(r.Comment))
			}
		}
	}
	for i := range p.Maps {
		for _, e := range p.Maps[i].Elements {
			if e.Verdict.Chain != "" && !names["chain "+e.Verdict.Chain] {
				fail("map %s leads to chain %s, which is not there", p.Maps[i].Name, e.Verdict.Chain)
			}
		}
	}
}

// disjoint compares neighbours: elements are sorted.
func disjoint(name string, key Key, list []Element, ranges bool, fail func(string, ...any)) {
	named := key == KeyInterface || key == KeySource4 || key == KeySource6
	for i := range list {
		e := &list[i]
		if named != (e.Interface != "") || named && !IsInterface(e.Interface) || e.First.Zone() != "" || e.Last.Zone() != "" {
			fail("%s: element %d has an interface that nft cannot name, or an address with a zone: %q %q", name, i, e.Interface, e.First)
		}
		if !ranges && (e.First != e.Last || e.Ports.First != e.Ports.Last) || e.Last.Less(e.First) || e.Ports.Last < e.Ports.First {
			fail("%s: element %d is a range, and ought not to be, or ends before it begins", name, i)
		}
		if i > 0 && !follows(&list[i-1], e) {
			fail("%s: elements %d and %d overlap, or are not in order", name, i-1, i)
		}
	}
}

// follows tells whether an element begins behind the end of the one in front of it.
func follows(before, e *Element) bool {
	switch {
	case before.Interface != e.Interface:
		return before.Interface < e.Interface
	case e.First.IsValid():
		return before.Last.Less(e.First)
	case before.Proto != e.Proto:
		return before.Proto < e.Proto
	case before.Number != e.Number:
		return before.Number < e.Number
	}
	return before.Ports.Last < e.Ports.First
}

// IsInterface tells whether nft reads a text as the name of just one interface. Linux takes names that it does not.
func IsInterface(name string) bool {
	return name != "" && len(name) < 16 && !strings.HasSuffix(name, "*") && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"\/`, r) })
}

// calls lists, for each chain, the chains that it leads to.
func (p *Program) calls() map[string][]string {
	targets := map[string][]string{} // of maps
	for i := range p.Maps {
		for j := range p.Maps[i].Elements {
			if to := p.Maps[i].Elements[j].Verdict.Chain; to != "" {
				targets[p.Maps[i].Name] = append(targets[p.Maps[i].Name], to)
			}
		}
	}
	out := map[string][]string{}
	for i := range p.Chains {
		var list []string
		for j := range p.Chains[i].Rules {
			r := &p.Chains[i].Rules[j]
			if r.Verdict.Chain != "" {
				list = append(list, r.Verdict.Chain)
			}
			list = append(list, targets[r.Map]...)
		}
		slices.Sort(list)
		out[p.Chains[i].Name] = slices.Compact(list)
	}
	return out
}

// depths counts how many chains stand on top of each other at most.
type depths struct {
	calls map[string][]string
	below map[string]int
}

// of gives the depth below a chain; more than maxJumps where there is a circle.
func (d *depths) of(name string, above int) int {
	if above > maxJumps {
		return above
	}
	if n, ok := d.below[name]; ok {
		return n
	}
	most := 0
	for _, next := range d.calls[name] {
		most = max(most, 1+d.of(next, above+1))
	}
	d.below[name] = most
	return most
}
