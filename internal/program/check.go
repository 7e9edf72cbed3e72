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
		disjoint(p.Sets[i].Name, p.Sets[i].Elements, false, fail)
	}
	for i := range p.Maps {
		add("set ", p.Maps[i].Name) // both are one sort of thing to the kernel
		disjoint(p.Maps[i].Name, p.Maps[i].Elements, p.Maps[i].Interval, fail)
	}
	for i := range p.Chains {
		add("chain ", p.Chains[i].Name)
	}
	p.checkRules(names, fail)
	for i := range p.Chains {
		if p.deep(&p.Chains[i]) > maxJumps {
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
func disjoint(name string, list []Element, ranges bool, fail func(string, ...any)) {
	for i := range list {
		e := &list[i]
		if !plain(e.Interface) || e.First.Zone() != "" || e.Last.Zone() != "" {
			fail("%s: element %d has an interface that nft cannot name, or an address with a zone: %q %q", name, i, e.Interface, e.First)
		}
		if !ranges && e.First != e.Last || e.Last.Less(e.First) || e.Ports.Last < e.Ports.First {
			fail("%s: element %d is a range, and ought not to be, or ends before it begins", name, i)
		}
		if i == 0 {
			continue
		}
		before := &list[i-1]
		same := before.Interface == e.Interface && before.Proto == e.Proto
		if same && (e.First.IsValid() && !before.Last.Less(e.First) || !e.First.IsValid() && before.Ports.Last >= e.Ports.First) {
			fail("%s: elements %d and %d overlap", name, i-1, i)
		}
	}
}

// plain tells whether nft reads a name of an interface as just that one.
func plain(name string) bool {
	return len(name) < 16 && !strings.HasSuffix(name, "*") && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"\/`, r) })
}

// deep counts how many chains stand on top of each other at most.
func (p *Program) deep(c *Chain) int {
	depth := map[string]int{}
	var walk func(name string, above int) int
	walk = func(name string, above int) int {
		if above > maxJumps {
			return above
		}
		if d, ok := depth[name]; ok {
			return above + d
		}
		most := 0
		for _, next := range p.calls(name) {
			most = max(most, walk(next, above+1)-above)
		}
		depth[name] = most
		return above + most
	}
	return walk(c.Name, 0)
}

// calls lists the chains that a chain leads to.
func (p *Program) calls(name string) []string {
	c := p.chain(name)
	if c == nil {
		return nil
	}
	var out []string
	for i := range c.Rules {
		if v := c.Rules[i].Verdict; v.Chain != "" {
			out = append(out, v.Chain)
		}
		for j := range p.Maps {
			if p.Maps[j].Name != c.Rules[i].Map {
				continue
			}
			for _, e := range p.Maps[j].Elements {
				if e.Verdict.Chain != "" {
					out = append(out, e.Verdict.Chain)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
