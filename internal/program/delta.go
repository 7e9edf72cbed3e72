package program

import (
	"fmt"
	"slices"
	"strings"
)

// Delta is what leads from one content of a table to the next. Names are sorted, elements too.
type Delta struct {
	NewSets, GoneSets     []string // maps too
	NewChains, GoneChains []string
	Rules                 []string // chains whose rules are others now, new ones among them
	Elements              []Moved  // of sets that are there now, by name
}

// Moved is what goes from a set, and what comes to it. An element that gets another verdict does both.
type Moved struct {
	Set        string
	Gone, Come []Element
}

// Empty tells whether nothing changes.
func (d *Delta) Empty() bool {
	return len(d.NewSets)+len(d.GoneSets)+len(d.NewChains)+len(d.GoneChains)+len(d.Rules)+len(d.Elements) == 0
}

// String counts what changes.
func (d *Delta) String() string {
	come, gone := 0, 0
	for i := range d.Elements {
		come, gone = come+len(d.Elements[i].Come), gone+len(d.Elements[i].Gone)
	}
	return fmt.Sprintf("%d chains and %d sets made, %d and %d removed, %d elements added, %d deleted", len(d.NewChains), len(d.NewSets), len(d.GoneChains), len(d.GoneSets), come, gone)
}

func (d *Delta) sort() {
	for _, list := range [][]string{d.NewSets, d.GoneSets, d.NewChains, d.GoneChains, d.Rules} {
		slices.Sort(list)
	}
	slices.SortFunc(d.Elements, func(a, b Moved) int { return strings.Compare(a.Set, b.Set) })
	for i := range d.Elements {
		slices.SortFunc(d.Elements[i].Gone, CompareElements)
		slices.SortFunc(d.Elements[i].Come, CompareElements)
	}
}

// Compare gives what leads from one program to another; from nil that is everything.
func Compare(old, next *Program) *Delta {
	d := &Delta{}
	if old == nil {
		old = &Program{}
	}
	before := old.objects()
	for name, o := range next.objects() {
		was, ok := before[name]
		delete(before, name)
		if ok && (was.key != o.key || was.verdicts != o.verdicts || was.interval != o.interval) { // another set under the same name
			d.GoneSets = append(d.GoneSets, name)
			was, ok = object{}, false
		}
		if !ok {
			d.NewSets = append(d.NewSets, name)
		}
		if m := moved(was.elements, o.elements); len(m.Gone)+len(m.Come) > 0 {
			m.Set = name
			d.Elements = append(d.Elements, m)
		}
	}
	for name := range before {
		d.GoneSets = append(d.GoneSets, name)
	}
	rules := map[string][]Rule{}
	for i := range old.Chains {
		rules[old.Chains[i].Name] = old.Chains[i].Rules
	}
	for i := range next.Chains {
		c := &next.Chains[i]
		was, ok := rules[c.Name]
		delete(rules, c.Name)
		if !ok {
			d.NewChains = append(d.NewChains, c.Name)
		}
		if !ok || !slices.Equal(was, c.Rules) {
			d.Rules = append(d.Rules, c.Name)
		}
	}
	for name := range rules {
		d.GoneChains = append(d.GoneChains, name)
	}
	d.sort()
	return d
}

// objects gives the sets and maps by name.
func (p *Program) objects() map[string]object {
	out := make(map[string]object, len(p.Sets)+len(p.Maps))
	for i := range p.Sets {
		s := &p.Sets[i]
		out[s.Name] = object{key: s.Key, elements: s.Elements}
	}
	for i := range p.Maps {
		m := &p.Maps[i]
		out[m.Name] = object{key: m.Key, verdicts: true, interval: m.Interval, elements: m.Elements}
	}
	return out
}

// moved compares sorted lists.
func moved(a, b []Element) (m Moved) {
	if len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) {
		return m // they share their memory
	}
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(a) > 0 && len(b) > 0 && a[0] == b[0]:
			a, b = a[1:], b[1:]
		case len(b) == 0 || len(a) > 0 && CompareElements(a[0], b[0]) < 0:
			m.Gone, a = append(m.Gone, a[0]), a[1:]
		default:
			m.Come, b = append(m.Come, b[0]), b[1:]
		}
	}
	return m
}
