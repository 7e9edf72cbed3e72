package program

import (
	"cmp"
	"math/bits"
	"net/netip"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/flow"
)

// sharedFrom is how many addresses of pods that one selector names make a set that all chains use, instead of elements in each.
var sharedFrom = 64 // a variable for the tests, which have few pods

// maxShared is how many sets a chain asks one after the other: each costs every new connection that is in none of them.
const maxShared = 4

// face is a table for one family, as the kernel has it.
type face struct {
	asked
	t          *table
	candidates []candidate
	through    []int8             // by remote, the candidate by which its addresses get a verdict, or -1
	rows       map[netip.Addr]int // the addresses that are told one by one
}

// candidate is a set of pods that a rule names, of those with the most addresses. It is asked where enough addresses get the
// same verdict by it: each candidate counts those that no other one before it has.
type candidate struct {
	set   int32
	count map[int]int // addresses, by what is allowed for them
	best  int         // what most of them get, or -1
	used  bool
}

// choose finds what most addresses get; it tells whether that, or that the set is asked, is another now.
func (c *candidate) choose(b *builder) bool {
	best := -1
	for n, count := range c.count {
		if count > 0 && (best < 0 || count > c.count[best] || count == c.count[best] && b.words[n] < b.words[best]) {
			best = n
		}
	}
	used := best >= 0 && c.count[best] >= sharedFrom
	changed := used != c.used || used && best != c.best
	c.best, c.used = best, used
	return changed
}

func (b *builder) newFace(t *table, word string, family flow.Family) *face {
	f := &face{t: t, asked: asked{name: word + familyNo[family-1] + "_" + t.g.hash, g: t.g, d: t.d, family: family, segments: t.segments[family-1]}}
	for _, set := range t.sets {
		b.membersOf(set, family).faces[f] = true
	}
	f.rebuild(b)
	return f
}

// drop lets go of everything that is kept for the face.
func (f *face) drop(b *builder) {
	f.release(b)
	for _, set := range f.t.sets {
		m := b.membersOf(set, f.family)
		if delete(m.faces, f); len(m.faces) == 0 {
			delete(b.members, memberKey{set, f.family})
		}
	}
	f.rename(b, "")
}

// release lets go of the sets that are asked.
func (f *face) release(b *builder) {
	for _, c := range f.candidates {
		if c.used {
			if m := b.membersOf(c.set, f.family); m.asking == 1 {
				m.asking, m.shared = 0, nil
			} else {
				m.asking--
			}
		}
	}
}

// rebuild chooses the sets to ask and finds all addresses that have to be told one by one.
func (f *face) rebuild(b *builder) {
	old := face{t: f.t, asked: f.asked, candidates: f.candidates}
	f.candidates = nil
	f.through = make([]int8, len(b.remotes))
	for i := range f.through {
		f.through[i] = -1
	}
	for k, set := range b.largest(f.t.sets, f.family) {
		c := candidate{set: set, count: map[int]int{}}
		m := b.membersOf(set, f.family)
		for _, i := range m.remotes {
			if f.through[i] < 0 {
				c.count[int(f.t.remotes[i])] += len(b.remotes[i].addrs)
			}
		}
		if c.choose(b); c.used {
			for _, i := range m.remotes {
				if f.through[i] < 0 {
					f.through[i] = int8(k)
				}
			}
		}
		f.candidates = append(f.candidates, c)
	}
	for _, c := range f.candidates {
		if c.used {
			b.askShared(c.set, f.family)
		}
	}
	old.release(b)
	f.tell(b)
	f.render(b)
}

// throughOf gives the candidate by which a remote gets its verdict.
func (f *face) throughOf(b *builder, i int) int {
	if b.remotes[i].family != f.family {
		return -1
	}
	return slices.IndexFunc(f.candidates, func(c candidate) bool { return c.used && b.inSet(i, c.set) })
}

// tell finds the addresses that would not get their own verdict from sets and ranges.
func (f *face) tell(b *builder) {
	f.rows = map[netip.Addr]int{}
	var list []Element
	add := func(addr netip.Addr, n int) {
		f.rows[addr] = n
		list = append(list, f.element(b, addr, n))
	}
	for i := range b.remotes {
		r := &b.remotes[i]
		if r.family != f.family || len(r.addrs) == 0 || f.found(b, i) == int(f.t.remotes[i]) {
			continue
		}
		for addr := range r.addrs {
			if len(b.owners[addr]) == 1 {
				add(addr, int(f.t.remotes[i]))
			}
		}
	}
	for addr := range b.contested {
		if flow.FamilyOf(addr) != f.family {
			continue
		}
		if n, ok := f.row(b, addr); ok {
			add(addr, n)
		}
	}
	if len(list) > 0 || b.e.sets[f.name] != nil {
		b.e.fill(b.e.set(f.exact()), list)
	}
}

// found gives what an address of a remote gets that is not told by itself.
func (f *face) found(b *builder, i int) int {
	if k := f.through[i]; k >= 0 {
		return f.candidates[k].best
	}
	return at(f.segments, b.remotes[i].end.Addr)
}

// row gives what has to be told of an address, if anything has.
func (f *face) row(b *builder, addr netip.Addr) (n int, ok bool) {
	list := b.owners[addr]
	switch len(list) {
	case 0:
		return 0, false
	case 1:
		i := list[0].remote
		n = int(f.t.remotes[i])
		return n, f.found(b, i) != n
	}
	n = f.t.of(b, list)
	asks := slices.ContainsFunc(f.candidates, func(c candidate) bool { return c.used })
	return n, asks || at(f.segments, addr) != n // it may be in a set
}

// look brings what is told of one address up to who has it now.
func (f *face) look(b *builder, addr netip.Addr) {
	n, ok := f.row(b, addr)
	old, had := f.rows[addr]
	if ok == had && (!ok || n == old) {
		return
	}
	exact := b.e.set(f.exact())
	if ok {
		f.rows[addr] = n
		b.e.insert(exact, f.element(b, addr, n))
	}
	if had {
		b.e.remove(exact, f.element(b, addr, old))
	}
	if !ok {
		delete(f.rows, addr)
	}
	if len(f.rows) == 0 || len(f.rows) == 1 && !had {
		f.render(b)
	}
}

// recount follows an address of a remote that came or went.
func (f *face) recount(b *builder, i, by int) {
	order := b.largest(f.t.sets, f.family)
	if !slices.EqualFunc(order, f.candidates, func(set int32, c candidate) bool { return set == c.set }) {
		f.rebuild(b)
		return
	}
	for k := range f.candidates {
		c := &f.candidates[k]
		if !b.inSet(i, c.set) {
			continue
		}
		was := c.used
		c.count[int(f.t.remotes[i])] += by
		old := *c
		if c.choose(b) {
			c.used, c.best = was, old.best // what is released is what was asked
			f.rebuild(b)
			return
		}
		if c.used {
			return
		}
	}
}

// render writes the chain down.
func (f *face) render(b *builder) {
	var shared []Rule
	for _, c := range f.candidates {
		if c.used {
			far := farMatch[f.d-1][f.family-1]
			shared = append(shared, Rule{Match: far, Set: b.membersOf(c.set, f.family).shared.name, Verdict: b.verdict(c.best, f.g, f.d)})
		}
	}
	if f.write(b, len(f.rows) > 0, shared) {
		b.refreshGroup(f.g)
	}
}

// askShared puts the addresses of a set of pods into the table, if it is not there for another face.
func (b *builder) askShared(set int32, family flow.Family) {
	m := b.membersOf(set, family)
	if m.asking++; m.asking > 1 {
		return
	}
	m.shared = b.e.set(object{name: "pods" + familyNo[family-1] + "_" + hash(b.setText(set)), key: addrKey[family-1]})
	var list []Element
	for _, i := range m.remotes {
		for a := range b.remotes[i].addrs {
			list = append(list, Element{First: a, Last: a})
		}
	}
	b.e.fill(m.shared, list)
}

// largest chooses the sets with the most addresses, in an order that hangs on nothing but them. Sizes count by powers of two, so that
// one pod more rarely changes what chains ask.
func (b *builder) largest(sets []int32, family flow.Family) []int32 {
	var out []int32
	size := func(set int32) int { return bits.Len(uint(b.membersOf(set, family).addrs)) }
	for _, set := range sets {
		if b.membersOf(set, family).addrs >= sharedFrom {
			out = append(out, set)
		}
	}
	slices.SortFunc(out, func(x, y int32) int {
		return cmp.Or(size(y)-size(x), strings.Compare(b.setText(x), b.setText(y)))
	})
	return out[:min(len(out), maxShared)]
}

// setText names a set of pods by its selectors.
func (b *builder) setText(set int32) string {
	text, ok := b.texts[set]
	if !ok {
		text = b.m.SetText(set)
		b.texts[set] = text
	}
	return text
}
