package program

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/policy"
)

// remote is ends with known addresses that no policy tells apart, one family each. One without addresses has no ends any more.
type remote struct {
	end    flow.End // one of them, or one that was
	family flow.Family
	class  int    // of pods; else -1
	atom   int    // of their addresses, see policy.Space
	key    string // what they have in common
	addrs  map[netip.Addr]int
}

// owner is an end that has an address.
type owner struct {
	remote int
	end    flow.End
}

// ends lists the ends that a pod is to others: none if it is its node.
func (b *builder) ends(i int) []flow.End {
	p := &b.m.Snapshot().Pods[i]
	if b.m.ClassOf(i) < 0 && b.m.Snapshot().NodeIndex(p.NodeName) >= 0 {
		return nil
	}
	var out []flow.End
	for _, addr := range p.Addrs {
		out = append(out, flow.End{Kind: flow.Pod, Index: i, Addr: addr})
	}
	return out
}

// addEnd makes an end known to all tables.
func (b *builder) addEnd(end flow.End) {
	i := b.remoteOf(end)
	if b.owners[end.Addr] = append(b.owners[end.Addr], owner{i, end}); len(b.owners[end.Addr]) == 2 {
		b.contested[end.Addr] = true
	}
	r := &b.remotes[i]
	if r.addrs[end.Addr]++; r.addrs[end.Addr] == 1 {
		r.end = end // of ends that are gone nothing can be asked
		b.counted(i, end.Addr, 1)
	}
	b.moved(end.Addr)
}

// removeEnd makes all tables forget an end.
func (b *builder) removeEnd(end flow.End) {
	list := b.owners[end.Addr]
	at := slices.IndexFunc(list, func(o owner) bool { return o.end == end })
	i := list[at].remote
	if list = slices.Delete(list, at, at+1); len(list) == 0 {
		delete(b.owners, end.Addr)
	} else {
		b.owners[end.Addr] = list
	}
	if len(list) == 1 {
		delete(b.contested, end.Addr)
	}
	r := &b.remotes[i]
	if r.addrs[end.Addr]--; r.addrs[end.Addr] == 0 {
		delete(r.addrs, end.Addr)
		b.counted(i, end.Addr, -1)
	}
	if r.end == end {
		b.anotherEnd(i)
	}
	if len(r.addrs) == 0 {
		b.empty++
	}
	b.moved(end.Addr)
}

// anotherEnd lets another of its ends stand for a remote.
func (b *builder) anotherEnd(i int) {
	r := &b.remotes[i]
	for addr := range r.addrs {
		for _, o := range b.owners[addr] {
			if o.remote == i {
				r.end = o.end
				return
			}
		}
	}
}

// remoteOf finds the remote of an end, or makes it.
func (b *builder) remoteOf(end flow.End) int {
	class, what := -1, fmt.Sprint("node ", end.Index)
	if end.Kind == flow.Pod {
		class = b.m.ClassOf(end.Index)
		what = fmt.Sprint("class ", class, b.account(end.Index))
	}
	family, atom := flow.FamilyOf(end.Addr), b.space.Atom(end.Addr)
	key := fmt.Sprint(what, " ", family, " ", atom)
	i, ok := b.remoteAt[key]
	if ok {
		if len(b.remotes[i].addrs) == 0 {
			b.remotes[i].end = end
			b.empty--
			for _, t := range b.tables {
				if t.remotes[i] < 0 {
					t.remotes[i] = int32(t.ask(b, i))
				}
			}
		}
		return i
	}
	i = len(b.remotes)
	b.remoteAt[key] = i
	b.remotes = append(b.remotes, remote{end: end, family: family, class: class, atom: atom, key: key, addrs: map[netip.Addr]int{}})
	for k, m := range b.members {
		if k.family == family && b.inSet(i, k.set) {
			m.remotes = append(m.remotes, i)
		}
	}
	for _, t := range b.tables {
		t.learn(b, i)
	}
	return i
}

// inSet tells whether a remote is surely in a set of pods.
func (b *builder) inSet(i int, set int32) bool {
	class := b.remotes[i].class
	if class < 0 {
		return false
	}
	_, ok := slices.BinarySearch(b.m.SetsOf(class, policy.Yes), set)
	return ok
}

// members are the remotes of a family that are surely in a set of pods which some table names.
type members struct {
	remotes []int
	addrs   int            // how many they have
	faces   map[*face]bool // that name the set
	shared  *object        // the set in the table, while faces ask it
	asking  int
}

type memberKey struct {
	set    int32
	family flow.Family
}

// membersOf gives the members of a set, and from then on they are kept up.
func (b *builder) membersOf(set int32, family flow.Family) *members {
	k := memberKey{set, family}
	if m := b.members[k]; m != nil {
		return m
	}
	m := &members{faces: map[*face]bool{}}
	for i := range b.remotes {
		if b.remotes[i].family == family && b.inSet(i, set) {
			m.remotes = append(m.remotes, i)
			m.addrs += len(b.remotes[i].addrs)
		}
	}
	b.members[k] = m
	return m
}

// counted keeps up how many addresses sets have, the sets in the table themselves, and what tables choose by that.
func (b *builder) counted(i int, addr netip.Addr, by int) {
	r := &b.remotes[i]
	if r.class < 0 {
		return
	}
	faces := map[*face]bool{}
	for _, set := range b.m.SetsOf(r.class, policy.Yes) {
		m := b.members[memberKey{set, r.family}]
		if m == nil {
			continue
		}
		m.addrs += by
		if m.shared != nil {
			b.share(m, set, addr)
		}
		maps.Copy(faces, m.faces)
	}
	for f := range faces {
		f.recount(b, i, by)
	}
}

// share puts an address into a set that tables ask, or takes it out, by who has it now.
func (b *builder) share(m *members, set int32, addr netip.Addr) {
	in := slices.ContainsFunc(b.owners[addr], func(o owner) bool { return b.inSet(o.remote, set) })
	x := Element{First: addr, Last: addr}
	if in {
		b.e.insert(m.shared, x)
		return
	}
	b.e.remove(m.shared, x)
}

// moved brings what tables hold of a single address up to who has it now.
func (b *builder) moved(addr netip.Addr) {
	f := flow.FamilyOf(addr) - 1
	for _, t := range b.tables {
		t.faces[f].look(b, addr)
	}
	b.refresh(addr)
}

func firstOf(family flow.Family) netip.Addr {
	if family == flow.IPv4 {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}
