package program

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// editor holds a table while it is put together and while it changes, and notes what changed. Sets and chains that nothing
// refers to any more are gone after the next sweep.
type editor struct {
	sets   map[string]*object
	chains map[string]*part
	// loose are names of sets and chains that lost a reference; they are looked at by sweep.
	looseSets, looseChains map[string]bool

	// What was there when take was called last, of what was touched since.
	hadSet   map[string]bool
	hadRules map[string]*[]Rule // nil: there was no such chain
	net      map[string]map[Element]int
}

// object is a set or a map.
type object struct {
	name               string
	key                Key
	verdicts, interval bool
	refs               int
	elements           []Element
	counts             map[Element]int // of sets whose elements have several reasons
}

// part is a chain.
type part struct {
	Chain
	refs int
}

func newEditor() editor {
	e := editor{sets: map[string]*object{}, chains: map[string]*part{}, looseSets: map[string]bool{}, looseChains: map[string]bool{}}
	e.begin()
	return e
}

func (e *editor) begin() {
	e.hadSet, e.hadRules, e.net = map[string]bool{}, map[string]*[]Rule{}, map[string]map[Element]int{}
}

// set makes sure that a set is there, and gives it.
func (e *editor) set(o object) *object {
	if old := e.sets[o.name]; old != nil {
		return old
	}
	e.touch(o.name)
	e.sets[o.name] = &o
	e.looseSets[o.name] = true
	return &o
}

func (e *editor) touch(set string) {
	if _, ok := e.hadSet[set]; !ok {
		e.hadSet[set] = e.sets[set] != nil
	}
}

// keep makes a set stay although nothing refers to it.
func (e *editor) keep(o object) *object {
	out := e.set(o)
	out.refs++
	return out
}

// note counts what comes to a set or goes from it.
func (e *editor) note(set string, x Element, by int) {
	e.touch(set)
	e.tally(set, x, by)
	e.refer(x.Verdict.Chain, by)
}

// tally counts so that what comes and goes comes to nothing.
func (e *editor) tally(set string, x Element, by int) {
	m := e.net[set]
	if m == nil {
		m = map[Element]int{}
		e.net[set] = m
	}
	if m[x] += by; m[x] == 0 {
		delete(m, x)
	}
}

// refer counts references to a chain.
func (e *editor) refer(chain string, by int) {
	if chain == "" {
		return
	}
	c := e.chains[chain]
	if c.refs += by; c.refs == 0 {
		e.looseChains[chain] = true
	}
}

func (e *editor) ask(set string, by int) {
	if set == "" {
		return
	}
	o := e.sets[set]
	if o.refs += by; o.refs == 0 {
		e.looseSets[set] = true
	}
}

// insert adds an element to a set that has it not.
func (e *editor) insert(o *object, x Element) {
	at, there := slices.BinarySearchFunc(o.elements, x, CompareElements)
	if there {
		return
	}
	o.elements = slices.Insert(o.elements, at, x)
	e.note(o.name, x, 1)
}

// remove takes an element from a set.
func (e *editor) remove(o *object, x Element) {
	at, there := slices.BinarySearchFunc(o.elements, x, CompareElements)
	if !there {
		return
	}
	o.elements = slices.Delete(o.elements, at, at+1)
	e.note(o.name, x, -1)
}

// count adds a reason for an element, or takes one away: by is 1 or -1.
func (e *editor) count(o *object, x Element, by int) {
	if o.counts == nil {
		o.counts = map[Element]int{}
	}
	o.counts[x] += by
	switch {
	case o.counts[x] == 0:
		delete(o.counts, x)
		e.remove(o, x)
	case o.counts[x] == by: // the first one
		e.insert(o, x)
	}
}

// fill makes a set hold just a list, which becomes its own.
func (e *editor) fill(o *object, list []Element) {
	slices.SortFunc(list, CompareElements)
	list = slices.Compact(list)
	m := moved(o.elements, list)
	for _, x := range m.Come { // first, so that no chain looks unused in between
		e.note(o.name, x, 1)
	}
	for _, x := range m.Gone {
		e.note(o.name, x, -1)
	}
	o.elements = list
}

// chain makes a chain hold just some rules.
func (e *editor) chain(name string, hook Hook, rules []Rule) {
	c := e.chains[name]
	if c != nil && slices.Equal(c.Rules, rules) {
		return
	}
	e.touchChain(name)
	if c == nil {
		c = &part{Chain: Chain{Name: name, Hook: hook}}
		if hook != 0 {
			c.refs++
		}
		e.chains[name] = c
		e.looseChains[name] = true
	}
	e.refersTo(rules, 1)
	e.refersTo(c.Rules, -1)
	c.Rules = rules
}

func (e *editor) touchChain(name string) {
	if _, ok := e.hadRules[name]; ok {
		return
	}
	e.hadRules[name] = nil
	if c := e.chains[name]; c != nil {
		rules := c.Rules
		e.hadRules[name] = &rules
	}
}

func (e *editor) refersTo(rules []Rule, by int) {
	for i := range rules {
		r := &rules[i]
		e.refer(r.Verdict.Chain, by)
		e.ask(r.Set, by)
		e.ask(r.Map, by)
	}
}

// take gives what changed since it was called last.
func (e *editor) take() *Delta {
	d := &Delta{}
	for name, had := range e.hadSet {
		switch has := e.sets[name] != nil; {
		case has && !had:
			d.NewSets = append(d.NewSets, name)
		case had && !has:
			d.GoneSets = append(d.GoneSets, name)
		}
	}
	for name, list := range e.net {
		if len(list) == 0 || e.sets[name] == nil {
			continue
		}
		m := Moved{Set: name}
		for x, by := range list {
			if by > 0 {
				m.Come = append(m.Come, x)
			} else {
				m.Gone = append(m.Gone, x)
			}
		}
		d.Elements = append(d.Elements, m)
	}
	for name, had := range e.hadRules {
		c := e.chains[name]
		switch {
		case c == nil && had != nil:
			d.GoneChains = append(d.GoneChains, name)
		case c != nil && had == nil:
			d.NewChains = append(d.NewChains, name)
		}
		if c != nil && (had == nil || !slices.Equal(c.Rules, *had)) {
			d.Rules = append(d.Rules, name)
		}
	}
	e.begin()
	d.sort()
	return d
}

// follow lets an editor that holds a whole table say what differs from what another one had when take was called last.
func (e *editor) follow(old *editor) {
	e.hadSet, e.hadRules, e.net = old.hadSet, old.hadRules, old.net
	for name, o := range old.sets {
		old.touch(name)
		var now []Element
		if n := e.sets[name]; n != nil {
			now = n.elements
		}
		e.differ(name, o.elements, now)
	}
	for name, o := range e.sets {
		if old.sets[name] == nil {
			old.touch(name)
			e.differ(name, nil, o.elements)
		}
	}
	for name := range old.chains {
		old.touchChain(name)
	}
	for name := range e.chains {
		old.touchChain(name)
	}
}

func (e *editor) differ(set string, was, is []Element) {
	m := moved(was, is)
	for _, x := range m.Come {
		e.tally(set, x, 1)
	}
	for _, x := range m.Gone {
		e.tally(set, x, -1)
	}
}

// sweep drops loose sets and chains, and what only they referred to.
func (e *editor) sweep() {
	for len(e.looseSets)+len(e.looseChains) > 0 {
		for name := range e.looseChains {
			delete(e.looseChains, name)
			if c := e.chains[name]; c != nil && c.refs == 0 {
				e.touchChain(name)
				delete(e.chains, name)
				e.refersTo(c.Rules, -1)
			}
		}
		for name := range e.looseSets {
			delete(e.looseSets, name)
			if o := e.sets[name]; o != nil && o.refs == 0 {
				e.touch(name)
				delete(e.sets, name)
				for _, x := range o.elements {
					e.note(name, x, -1)
				}
			}
		}
	}
}

// program gives what is there. Its lists of elements are the editor's own.
func (e *editor) program() *Program {
	p := &Program{}
	for _, name := range slices.Sorted(maps.Keys(e.sets)) {
		o := e.sets[name]
		if o.verdicts {
			p.Maps = append(p.Maps, Map{Name: name, Key: o.key, Interval: o.interval, Elements: o.elements})
			continue
		}
		p.Sets = append(p.Sets, Set{Name: name, Key: o.key, Elements: o.elements})
	}
	for _, name := range slices.Sorted(maps.Keys(e.chains)) {
		p.Chains = append(p.Chains, e.chains[name].Chain)
	}
	return p
}

// CompareElements orders elements as they are in a program: by key first.
func CompareElements(a, b Element) int {
	if c := strings.Compare(a.Interface, b.Interface); c != 0 {
		return c
	}
	if c := a.First.Compare(b.First); c != 0 {
		return c
	}
	return cmp.Or(a.Last.Compare(b.Last), cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.Ports.First, b.Ports.First), cmp.Compare(a.Number, b.Number),
		cmp.Compare(a.Verdict.Act, b.Verdict.Act), strings.Compare(a.Verdict.Chain, b.Verdict.Chain))
}
